# A stand-in for nixpkgs, of our own: just enough of its interface that our flake can be evaluated
# where the real one cannot be fetched. `cargo xtask nix-check` uses it then, and says so.
#
# What it cannot show: that a package builds, or that a machine boots.
{
  outputs =
    { self }:
    let
      lib = import ./lib.nix;
      pkgsFor = system: import ./pkgs.nix { inherit lib system nixosSystem; };
      nixosSystem =
        {
          system,
          modules,
          specialArgs ? { },
        }:
        lib.evalModules {
          modules = [ ./nixos.nix ] ++ modules;
          specialArgs = {
            pkgs = pkgsFor system;
            modulesPath = ./modules;
          }
          // specialArgs;
        };
    in
    {
      lib = lib // { inherit nixosSystem; };
      legacyPackages = lib.genAttrs [ "x86_64-linux" "aarch64-linux" ] pkgsFor;
    };
}
