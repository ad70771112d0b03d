# Skep on NixOS: docs/nixos.md.
{
  description = "Metrics, logs and the front door of a home or a small fleet";

  inputs.nixpkgs.url = "github:NixOS/nixpkgs/nixos-unstable";

  outputs =
    { self, nixpkgs }:
    let
      inherit (nixpkgs) lib;
      systems = [
        "x86_64-linux"
        "aarch64-linux"
      ];
      forEach = f: lib.genAttrs systems (system: f nixpkgs.legacyPackages.${system});
      machine =
        module:
        lib.nixosSystem {
          system = "x86_64-linux";
          modules = [
            self.nixosModules.server
            self.nixosModules.agent
            module
          ];
        };
    in
    {
      packages = forEach (
        pkgs:
        let
          skep-web = pkgs.callPackage ./nix/packages/web.nix { };
          skep-ebpf = pkgs.callPackage ./nix/packages/ebpf.nix { };
          skep-server = pkgs.callPackage ./nix/packages/server.nix { inherit skep-web; };
        in
        {
          inherit skep-web skep-ebpf skep-server;
          skep-agent = pkgs.callPackage ./nix/packages/agent.nix { inherit skep-ebpf; };
          default = skep-server;
        }
      );

      nixosModules = {
        server = import ./nix/modules/server.nix { inherit self; };
        agent = import ./nix/modules/agent.nix { inherit self; };
      };

      nixosConfigurations = {
        server = machine ./nix/machines/server;
        server-vm = machine ./nix/machines/server-vm.nix;
      };

      # Every option of both modules, for docs/nixos.md.
      lib.moduleOptions = import ./nix/options.nix {
        inherit lib;
        inherit (self.nixosConfigurations.server) options;
      };

      checks = forEach (pkgs: {
        two-nodes = pkgs.testers.runNixOSTest (import ./nix/checks/two-nodes.nix { inherit self; });
      });

      devShells = forEach (pkgs: {
        default = pkgs.mkShell {
          packages = [
            pkgs.bpf-linker
            pkgs.cargo
            pkgs.clippy
            pkgs.gnumake
            pkgs.nodejs_22
            pkgs.pkg-config
            pkgs.prometheus
            pkgs.rustc
            pkgs.rustfmt
            pkgs.systemd
          ];
        };
      });
    };
}
