# What both modules say about files with secrets.
{ lib }:
let
  inherit (lib) types;
in
{
  # A text, not a path: a path would be copied into the store, where everybody reads it.
  type = types.strMatching "/.+";
  # For `LoadCredential`: systemd reads each as root, and the service sees a copy of its own.
  load = lib.mapAttrsToList (name: file: "${name}:${file}");
  assertions =
    option: files:
    lib.mapAttrsToList (name: file: {
      assertion = !lib.hasPrefix builtins.storeDir file;
      message = "${option}: ${file} is in the Nix store, where every user can read it; name a file outside, as agenix or sops-nix make it";
    }) files;
}
