# The kernel's half of the agent: one object file, built with the flags of `xtask/src/ebpf.rs`.
#
# rustc of nixpkgs has `core` for BPF, and its bpf-linker is built with the same LLVM.
{
  lib,
  stdenv,
  rustPlatform,
  bpf-linker,
}:
let
  target = "bpfel-unknown-none";
  package = "skep-agent-ebpf";
  flags = [
    ''--cfg=bpf_target_arch="${stdenv.hostPlatform.parsed.cpu.name}"''
    "-Cdebuginfo=2"
    "-Clink-arg=--btf"
  ];
in
rustPlatform.buildRustPackage {
  pname = package;
  version = (lib.importTOML ../../Cargo.toml).workspace.package.version;
  src = import ./source.nix { inherit lib; };
  cargoLock.lockFile = ../../Cargo.lock;
  nativeBuildInputs = [ bpf-linker ];
  # aya-ebpf uses a feature that is not stable yet.
  env.RUSTC_BOOTSTRAP = "1";
  buildPhase = ''
    runHook preBuild
    export CARGO_ENCODED_RUSTFLAGS="$(printf '%s\x1f' ${
      lib.concatStringsSep " " (map (it: "'${it}'") flags)
    })--remap-path-prefix=$PWD=."
    cargo build --release --locked --offline --package ${package} --target ${target} --target-dir target
    runHook postBuild
  '';
  installPhase = ''
    runHook preInstall
    install -D -m 644 target/${target}/release/${package} $out/skep.o
    runHook postInstall
  '';
  # strip knows no BPF, and the object's BTF must stay.
  dontStrip = true;
  dontPatchELF = true;
  doCheck = false;
  meta = {
    description = "Kernel programs of the Skep agent";
    license = [
      lib.licenses.mit
      lib.licenses.gpl2Only
    ];
    platforms = lib.platforms.linux;
  };
}
