# A home's server: the front door with certificates of Let's Encrypt, the home page, metrics, logs,
# and SSH. Copy it, change the names; `hardware.nix` is what `nixos-generate-config` made for the machine.
#
# The files below /run/agenix are agenix's or sops-nix's; any file that only root reads will do.
{ config, ... }:
{
  imports = [
    ./hardware.nix
    ./ssh.nix
  ];

  networking.hostName = "hive";
  system.stateVersion = "26.05";

  services.skep-server = {
    enable = true;
    domain = "home.example.org";
    openFirewall = true;
    admin = {
      name = "ada";
      passwordFile = "/run/agenix/skep-admin";
    };
    acme = {
      email = "ada@example.org";
      termsAgreed = true;
      cloudflareTokenFile = "/run/agenix/cloudflare";
    };
    settings = {
      store = {
        retention = "365d";
        max_bytes = "200GB";
      };
      sites = [
        {
          hosts = [ "photos.home.example.org" ];
          to = [ "http://127.0.0.1:2283" ];
        }
        {
          hosts = [ "router.home.example.org" ];
          access = "admin";
          to = [ "http://192.168.1.1" ];
        }
      ];
    };
    home = {
      title = "Home of Ada";
      groups = [
        {
          name = "Media";
          services = [
            {
              name = "Photos";
              href = "https://photos.home.example.org";
            }
          ];
        }
      ];
    };
  };

  # The server's own host is one of the hosts.
  services.skep-agent = {
    enable = true;
    url = "https://${config.services.skep-server.domain}";
    tokenFile = "/run/agenix/skep-token";
  };
  networking.hosts."127.0.0.1" = [ config.services.skep-server.domain ];
}
