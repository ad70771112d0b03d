# skep-server, with the page inside.
{
  lib,
  rustPlatform,
  skep-web,
}:
import ./crate.nix { inherit lib rustPlatform; } {
  name = "skep-server";
  description = "Stores metrics and logs of a small fleet, answers PromQL and LogQL, and serves a page";
  args.preBuild = ''
    cp -r --no-preserve=mode ${skep-web} server/web/dist
  '';
}
