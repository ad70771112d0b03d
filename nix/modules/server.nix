# `services.skep-server`: one for the home.
{ self }:
{
  lib,
  config,
  pkgs,
  ...
}:
let
  inherit (lib)
    mkDefault
    mkEnableOption
    mkIf
    mkOption
    types
    ;
  cfg = config.services.skep-server;
  secrets = import ./secrets.nix { inherit lib; };
  unit = import ./unit.nix { inherit lib; } ../../server/dist/skep-server.service;
  toml = pkgs.formats.toml { };
  configFile = toml.generate "server.toml" cfg.settings;
  homeFile = toml.generate "home.toml" cfg.home;
  files =
    cfg.credentials
    // lib.optionalAttrs (cfg.admin.passwordFile != null) { admin-password = cfg.admin.passwordFile; }
    // lib.optionalAttrs (cfg.acme.cloudflareTokenFile != null) {
      cloudflare-token = cfg.acme.cloudflareTokenFile;
    };
  credential = name: "${cfg.credentialsDirectory}/${name}";
  server = lib.getExe cfg.package;
  # Once; who changed the password since keeps the new one.
  addAdmin = pkgs.writeShellScript "skep-add-admin" ''
    set -eu
    if ! ${server} user list --config /etc/skep/server.toml | grep -q '^${cfg.admin.name}[[:space:]]'; then
      ${server} user add '${cfg.admin.name}' --role admin --config /etc/skep/server.toml \
        < "$CREDENTIALS_DIRECTORY/admin-password"
    fi
  '';
  portOf = address: lib.toInt (builtins.head (builtins.match ".*:([0-9]+)" address));
  isOutside = address: builtins.match "(127[.].*|\\[::1]:.*)" address == null;
  ports = map portOf (
    builtins.filter isOutside (cfg.listen ++ lib.optional (cfg.redirect != null) cfg.redirect)
  );
in
{
  options.services.skep-server = {
    enable = mkEnableOption "the Skep server";
    package = mkOption {
      type = types.package;
      default = self.packages.${pkgs.stdenv.hostPlatform.system}.skep-server;
      defaultText = "skep-server of this flake";
      description = "The server to run.";
    };
    domain = mkOption {
      type = types.str;
      default = "skep.localhost";
      example = "home.example.org";
      description = "The name of the page; sites and both APIs have names below it.";
    };
    listen = mkOption {
      type = types.listOf types.str;
      default = [ "[::]:443" ];
      description = "Where HTTPS is served.";
    };
    redirect = mkOption {
      type = types.nullOr types.str;
      default = "[::]:80";
      description = "Where browsers are sent on to HTTPS.";
    };
    openFirewall = mkOption {
      type = types.bool;
      default = false;
      description = "Whether the ports of `listen` and `redirect` are opened.";
    };
    admin.name = mkOption {
      type = types.strMatching "[a-z0-9._-]+";
      default = "admin";
      description = "The first administrator.";
    };
    admin.passwordFile = mkOption {
      type = types.nullOr secrets.type;
      default = null;
      example = "/run/agenix/skep-admin";
      description = "File with the password that the first administrator begins with. Without it, make one with `skep-server user add`.";
    };
    acme.email = mkOption {
      type = types.nullOr types.str;
      default = null;
      example = "me@example.org";
      description = "Where the certificate authority writes when something is wrong.";
    };
    acme.termsAgreed = mkOption {
      type = types.bool;
      default = false;
      description = "That you have read Let's Encrypt's terms and agree.";
    };
    acme.cloudflareTokenFile = mkOption {
      type = types.nullOr secrets.type;
      default = null;
      example = "/run/agenix/cloudflare";
      description = "File with a token that may edit the domain's DNS: `domain` and the wildcard below it then have certificates of Let's Encrypt, by DNS-01.";
    };
    credentials = mkOption {
      type = types.attrsOf secrets.type;
      default = { };
      example = {
        s3-secret = "/run/agenix/s3-secret";
      };
      description = "More files with secrets. Write `\${config.services.skep-server.credentialsDirectory}/NAME` in `settings` where one is needed.";
    };
    credentialsDirectory = mkOption {
      type = types.str;
      default = "/run/credentials/skep-server.service";
      description = "Where the service finds the files of `credentials`.";
    };
    home = mkOption {
      type = types.nullOr toml.type;
      default = null;
      example = {
        title = "Home of Ada";
      };
      description = "The home page, see docs/services/homepage.md. Without it, it shows what is found by itself.";
    };
    settings = mkOption {
      type = types.submodule { freeformType = toml.type; };
      default = { };
      example = {
        store.retention = "1000d";
        sites = [
          {
            hosts = [ "photos.home.example.org" ];
            to = [ "http://127.0.0.1:2283" ];
          }
        ];
      };
      description = "Everything else of server.toml, see docs/guide/server.md.";
    };
  };

  config = mkIf cfg.enable {
    assertions = secrets.assertions "services.skep-server" files ++ [
      {
        assertion = cfg.acme.cloudflareTokenFile == null || cfg.acme.termsAgreed;
        message = "services.skep-server.acme: certificates need termsAgreed = true";
      }
    ];
    services.skep-server.settings = {
      front = {
        inherit (cfg) domain;
        https = cfg.listen;
        redirect = mkIf (cfg.redirect != null) cfg.redirect;
      };
      home.file = mkIf (cfg.home != null) "/etc/skep/home.toml";
      acme = mkIf (cfg.acme.cloudflareTokenFile != null) [
        (
          {
            terms_agreed = cfg.acme.termsAgreed;
            names = [
              cfg.domain
              "*.${cfg.domain}"
            ];
            dns = {
              provider = "cloudflare";
              token_file = credential "cloudflare-token";
            };
          }
          // lib.optionalAttrs (cfg.acme.email != null) { inherit (cfg.acme) email; }
        )
      ];
      data_dir = mkDefault "/var/lib/skep";
    };
    environment.systemPackages = [ cfg.package ];
    environment.etc."skep/server.toml".source = configFile;
    environment.etc."skep/home.toml" = mkIf (cfg.home != null) { source = homeFile; };
    networking.firewall.allowedTCPPorts = mkIf cfg.openFirewall ports;
    systemd.services.skep-server = unit.base // {
      path = [ pkgs.gnugrep ];
      # Its own eyes are on the file, so most changes need no restart.
      reloadTriggers = [ configFile ] ++ lib.optional (cfg.home != null) homeFile;
      serviceConfig = unit.service // {
        ExecStart = "${server} run --config /etc/skep/server.toml";
        ExecStartPre = mkIf (cfg.admin.passwordFile != null) "${addAdmin}";
        ExecReload = "${pkgs.coreutils}/bin/kill -HUP $MAINPID";
        LoadCredential = secrets.load files;
      };
    };
  };
}
