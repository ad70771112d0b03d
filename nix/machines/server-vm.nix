# The server in a virtual machine, to look at it before it touches a real one:
#
#   nix build .#nixosConfigurations.server-vm.config.system.build.vm && ./result/bin/run-hive-vm
#
# then https://localhost:8443, as `ada` with the password `try-skep-here`. Nothing is asked of
# Let's Encrypt, and no secret of yours is needed.
{
  lib,
  config,
  modulesPath,
  pkgs,
  ...
}:
{
  imports = [
    ./server
    (modulesPath + "/virtualisation/qemu-vm.nix")
  ];

  services.skep-server = {
    domain = lib.mkForce "skep.localhost";
    acme.cloudflareTokenFile = lib.mkForce null;
    admin.passwordFile = lib.mkForce "/etc/skep-vm/admin-password";
    settings.front.https_port_public = 8443;
    settings.tokens = [
      {
        name = "vm";
        # Of the token below.
        sha256 = "fa7ca8345f760b4a938332109d9ab79ccd6b0c20c3c1c5f4406a305ef277ad76";
        scopes = [ "ingest" ];
      }
    ];
  };
  services.skep-agent = {
    tokenFile = lib.mkForce "/etc/skep-vm/agent-token";
    caFile = "/var/lib/skep/ca/root.pem";
  };
  environment.etc."skep-vm/admin-password".text = "try-skep-here";
  environment.etc."skep-vm/agent-token".text =
    "skep_0000000000000000000000000000000000000000000000000000000000000001";

  # The agent needs the authority that the server makes at its first start.
  systemd.services.skep-agent.after = [ "skep-server.service" ];
  users.users.ada.initialPassword = "ada";
  virtualisation = {
    memorySize = 2048;
    forwardPorts = [
      {
        from = "host";
        host.port = 8443;
        guest.port = 443;
      }
      {
        from = "host";
        host.port = 2222;
        guest.port = 22;
      }
    ];
  };
}
