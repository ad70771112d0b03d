# The options of NixOS that our modules and machines set. Those of systemd are typed, since that is
# where mistakes hide; of the rest, what nobody reads is taken as it is.
{
  lib,
  config,
  pkgs,
  ...
}:
let
  inherit (lib) mkOption types;
  free = mkOption {
    type = types.anything;
    default = { };
  };
  listOption =
    type:
    mkOption {
      type = types.listOf type;
      default = [ ];
    };
  unitName = types.strMatching "[a-zA-Z0-9@%:_.\\-]+[.](service|socket|device|mount|automount|swap|target|path|timer|scope|slice)";
  scalar = types.oneOf [
    types.bool
    types.int
    types.str
    types.package
  ];
  section = mkOption {
    type = types.attrsOf (types.either (types.listOf scalar) scalar);
    default = { };
  };
  service = {
    options = {
      enable = mkOption {
        type = types.bool;
        default = true;
      };
      description = mkOption {
        type = types.str;
        default = "";
      };
      documentation = listOption types.str;
      after = listOption unitName;
      wants = listOption unitName;
      requires = listOption unitName;
      wantedBy = listOption unitName;
      path = listOption types.package;
      restartTriggers = listOption types.anything;
      reloadTriggers = listOption types.anything;
      environment = mkOption {
        type = types.attrsOf (types.nullOr types.str);
        default = { };
      };
      preStart = mkOption {
        type = types.lines;
        default = "";
      };
      unitConfig = section;
      serviceConfig = section;
    };
  };
  failed = map (it: it.message) (builtins.filter (it: !it.assertion) config.assertions);
in
{
  options = {
    assertions = listOption types.anything;
    warnings = listOption types.str;
    boot = free;
    environment.systemPackages = listOption types.package;
    environment.etc = free;
    fileSystems = free;
    networking.hostName = mkOption {
      type = types.str;
      default = "nixos";
    };
    networking.firewall.allowedTCPPorts = listOption types.port;
    networking.hosts = free;
    security.sudo = free;
    services.getty = free;
    services.openssh = free;
    system.stateVersion = mkOption { type = types.str; };
    system.build = free;
    systemd.services = mkOption {
      type = types.attrsOf (types.submodule service);
      default = { };
    };
    time = free;
    users.users = free;
  };
  config.system.build.toplevel =
    if failed != [ ] then
      throw "Failed assertions:\n${lib.concatStringsSep "\n" (map (it: "- ${it}") failed)}"
    else
      derivation {
        name = "nixos-system-${config.networking.hostName}-stand-in-${config.system.stateVersion}";
        inherit (pkgs) system;
        builder = "/bin/sh";
        args = [
          "-c"
          "printf '%s\\n' \"$units\" > $out"
        ];
        units = builtins.toJSON (builtins.mapAttrs (_: it: it.serviceConfig) config.systemd.services);
        packages = map (it: "${it}") config.environment.systemPackages;
        inherit (config.networking) hostName;
        ports = map toString config.networking.firewall.allowedTCPPorts;
        rest = builtins.toJSON {
          inherit (config) boot fileSystems time;
          inherit (config.environment) etc;
          users = config.users.users;
          openssh = config.services.openssh;
          sudo = config.security.sudo;
        };
      };
}
