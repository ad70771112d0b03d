# Packages that build to a text which says what they stand for.
{
  lib,
  system,
  nixosSystem,
}:
let
  named = name: args: derivation {
    inherit name system;
    builder = "/bin/sh";
    args = [
      "-c"
      "printf '%s\\n' \"$says\" > $out"
    ];
    says = args;
  };
  # Fails as the real one does where an attribute is missing; its inputs become inputs of ours.
  mkDerivation =
    args:
    let
      name = args.name or "${args.pname}-${args.version}";
      inputs = (args.nativeBuildInputs or [ ]) ++ (args.buildInputs or [ ]);
    in
    named name (
      builtins.toJSON {
        inputs = map (it: "${it}") inputs;
        src = "${args.src or ""}";
        env = args.env or { };
        phases = lib.filterAttrs (name: _: builtins.match "(pre|post)?[A-Za-z]*Phase|pre.*|post.*" name != null) args;
        hash = args.outputHash or "";
        mode = args.outputHashMode or "flat";
      }
    )
    // {
      inherit (args) meta;
      passthru = args.passthru or { };
    }
    // (args.passthru or { });
  tool = name: named name name // { meta.mainProgram = name; };
  toTOML = value: builtins.toJSON value;
  tomlValue = lib.types.anything;
in
lib.genAttrs [
  "bpf-linker"
  "bpftools"
  "cacert"
  "cargo"
  "clippy"
  "coreutils"
  "curl"
  "gnugrep"
  "gnumake"
  "jq"
  "nodejs_22"
  "pkg-config"
  "prometheus"
  "rustc"
  "rustfmt"
  "systemd"
] tool
// {
  inherit lib system;
  stdenv = {
    inherit mkDerivation;
    hostPlatform = {
      inherit system;
      parsed.cpu.name = builtins.head (builtins.match "([^-]*)-.*" system);
    };
  };
  rustPlatform = {
    buildRustPackage =
      args:
      assert args ? cargoLock.lockFile && builtins.pathExists args.cargoLock.lockFile;
      mkDerivation args;
  };
  callPackage =
    file: overrides:
    let
      f = import file;
      own = (import ./pkgs.nix { inherit lib system nixosSystem; }) // overrides;
    in
    f (
      builtins.mapAttrs (
        name: hasDefault: own.${name} or (throw "the stand-in has no package `${name}'; add it to nix/stand-in/pkgs.nix")
      ) (builtins.functionArgs f)
    );
  mkShell =
    args:
    mkDerivation (
      {
        name = "shell";
        meta = { };
      }
      // args
      // {
        nativeBuildInputs = (args.packages or [ ]) ++ (args.nativeBuildInputs or [ ]);
      }
    );
  writeText = named;
  writeShellScript = named;
  formats.toml = _: {
    type = tomlValue;
    generate = name: value: named name (toTOML value);
  };
  testers.runNixOSTest =
    {
      name,
      nodes,
      testScript,
    }:
    let
      machines = builtins.mapAttrs (
        node: module:
        nixosSystem {
          inherit system;
          modules = [
            module
            { networking.hostName = lib.mkDefault node; }
            ./modules/virtualisation/qemu-vm.nix
          ];
        }
      ) nodes;
    in
    named "vm-test-run-${name}" (
      builtins.toJSON {
        machines = builtins.mapAttrs (_: it: "${it.config.system.build.toplevel}") machines;
        inherit testScript;
      }
    )
    // {
      inherit testScript;
    };
}
