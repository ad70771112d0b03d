# `services.skep-agent`: one for each host.
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
  cfg = config.services.skep-agent;
  secrets = import ./secrets.nix { inherit lib; };
  unit = import ./unit.nix { inherit lib; } ../../agent/dist/skep-agent.service;
  toml = pkgs.formats.toml { };
  configFile = toml.generate "agent.toml" cfg.settings;
  files =
    lib.optionalAttrs (cfg.tokenFile != null) { token = cfg.tokenFile; }
    // lib.optionalAttrs (cfg.enrolmentTokenFile != null) { enrolment = cfg.enrolmentTokenFile; };
in
{
  options.services.skep-agent = {
    enable = mkEnableOption "the Skep agent";
    package = mkOption {
      type = types.package;
      default = self.packages.${pkgs.stdenv.hostPlatform.system}.skep-agent;
      defaultText = "skep-agent of this flake";
      description = "The agent to run.";
    };
    url = mkOption {
      type = types.strMatching "https?://.+";
      example = "https://skep.home.example.org";
      description = "Address of the server.";
    };
    tokenFile = mkOption {
      type = types.nullOr secrets.type;
      default = null;
      example = "/run/agenix/skep-token";
      description = "File with a token of scope `ingest`.";
    };
    enrolmentTokenFile = mkOption {
      type = types.nullOr secrets.type;
      default = null;
      example = "/etc/skep/enrolment-token";
      description = "File with a token that is good once, as `skep-server enrol HOST --token` prints it: the agent trades it for a credential that it keeps in /var/lib/skep-agent. In place of `tokenFile`; the file may go after that.";
    };
    caFile = mkOption {
      type = types.nullOr types.str;
      default = null;
      example = "/etc/skep/ca.pem";
      description = "The authorities to trust, in PEM, if the server's certificate is of its own. The system's list if null.";
    };
    settings = mkOption {
      type = types.submodule { freeformType = toml.type; };
      default = { };
      example = {
        labels.site = "attic";
        ebpf.enabled = false;
      };
      description = "Everything else of agent.toml, see docs/guide/agent.md.";
    };
  };

  config = mkIf cfg.enable {
    assertions = secrets.assertions "services.skep-agent" files ++ [
      {
        assertion = cfg.tokenFile == null || cfg.enrolmentTokenFile == null;
        message = "services.skep-agent: tokenFile and enrolmentTokenFile are both set; the agent has one credential, so leave one out";
      }
    ];
    services.skep-agent.settings = {
      host = mkDefault config.networking.hostName;
      server = {
        inherit (cfg) url;
        ca_file = mkIf (cfg.caFile != null) cfg.caFile;
        # No credentials of systemd: the agent may read what root may, and does so again when the
        # server refuses what it read.
        token_file = mkIf (cfg.tokenFile != null) cfg.tokenFile;
        enrolment_token_file = mkIf (cfg.enrolmentTokenFile != null) cfg.enrolmentTokenFile;
      };
    };
    environment.systemPackages = [ cfg.package ];
    environment.etc."skep/agent.toml".source = configFile;
    systemd.services.skep-agent = unit.base // {
      restartTriggers = [ configFile ];
      serviceConfig = unit.service // {
        ExecStart = "${lib.getExe cfg.package} run --config /etc/skep/agent.toml";
      };
    };
  };
}
