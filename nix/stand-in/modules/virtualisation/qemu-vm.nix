# What a machine that is run by `nixos-rebuild build-vm` may say beyond others.
{
  lib,
  config,
  pkgs,
  ...
}:
{
  options.virtualisation = lib.mkOption {
    type = lib.types.anything;
    default = { };
  };
  config.system.build.vm = pkgs.writeText "run-${config.networking.hostName}-vm" (
    builtins.toJSON config.virtualisation
  );
}
