# The options below services.skep-server and services.skep-agent, flat: what docs/nixos.md lists.
{ lib, options }:
let
  walk =
    path: tree:
    builtins.concatMap (
      name:
      let
        it = tree.${name};
        at = path ++ [ name ];
      in
      if lib.isOption it then [ (row at it) ] else walk at it
    ) (builtins.filter (name: !lib.hasPrefix "_" name) (builtins.attrNames tree));
  shown = it: it.text or (builtins.toJSON it);
  row = path: it: {
    name = lib.concatStringsSep "." path;
    inherit (it) description;
    default =
      if it ? defaultText then
        shown it.defaultText
      else if it ? default then
        shown it.default
      else
        null;
    example = if it ? example then shown it.example else null;
  };
in
builtins.concatMap
  (
    name:
    walk [
      "services"
      name
    ] options.services.${name}
  )
  [
    "skep-server"
    "skep-agent"
  ]
