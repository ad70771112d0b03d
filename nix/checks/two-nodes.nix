# A server and a host: what happens on the host is found on the server, over its own TLS.
{ self }:
{
  name = "skep-two-nodes";
  nodes.hive =
    { pkgs, ... }:
    {
      imports = [ self.nixosModules.server ];
      system.stateVersion = "26.05";
      environment.systemPackages = [ pkgs.curl ];
      environment.etc."admin-password".text = "correct horse battery";
      services.skep-server = {
        enable = true;
        domain = "hive";
        openFirewall = true;
        admin.passwordFile = "/etc/admin-password";
      };
    };
  nodes.bee =
    { lib, ... }:
    {
      imports = [ self.nixosModules.agent ];
      system.stateVersion = "26.05";
      services.skep-agent = {
        enable = true;
        url = "https://hive";
        enrolmentTokenFile = "/run/skep-enrolment-token";
        caFile = "/run/skep-ca.pem";
        settings.interval = "1s";
      };
      # Started by the test, once it is let in and the server's authority is here.
      systemd.services.skep-agent.wantedBy = lib.mkForce [ ];
    };
  testScript = ''
    start_all()
    hive.wait_for_unit("skep-server.service")
    hive.wait_for_open_port(443)
    authority = hive.succeed("curl --silent --fail --insecure https://localhost/ca.pem")
    bee.succeed(f"cat > /run/skep-ca.pem <<'END'\n{authority}END")
    token = hive.succeed("skep-server enrol bee --token").strip()
    bee.succeed(f"umask 077; echo {token} > /run/skep-enrolment-token")
    bee.systemctl("start skep-agent.service")
    bee.wait_for_unit("skep-agent.service")
    bee.succeed("logger -t marker it-is-4711")

    def ask(path, query):
        return (
            "curl --silent --fail --get --cacert /var/lib/skep/ca/root.pem"
            " --user 'admin:correct horse battery'"
            f" https://localhost{path} --data-urlencode '{query}'"
        )

    with subtest("figures of the host"):
        hive.wait_until_succeeds(
            ask("/api/v1/query", 'query=node_uname_info{instance="bee"}') + " | grep -q nodename"
        )
    with subtest("a line of its journal"):
        hive.wait_until_succeeds(
            ask("/loki/api/v1/query_range", 'query={host="bee"} |= "it-is-4711"') + " | grep -q it-is-4711"
        )
    with subtest("kernel programs run in the hardened unit"):
        hive.wait_until_succeeds(
            ask("/api/v1/query", 'query=sum(ebpf_program_loaded) > 0') + " | grep -q value"
        )
    with subtest("nothing is lost while the server is away"):
        hive.systemctl("stop skep-server.service")
        bee.succeed("logger -t marker it-is-4712")
        hive.systemctl("start skep-server.service")
        hive.wait_until_succeeds(
            ask("/loki/api/v1/query_range", 'query={host="bee"} |= "it-is-4712"') + " | grep -q it-is-4712"
        )
    with subtest("neither runs as root"):
        for machine, unit in [(hive, "skep-server"), (bee, "skep-agent")]:
            pid = machine.succeed(f"systemctl show --property MainPID --value {unit}.service").strip()
            machine.succeed(f"test $(stat --format %u /proc/{pid}) != 0")
  '';
}
