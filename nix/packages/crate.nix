# One binary of the workspace.
{
  lib,
  rustPlatform,
}:
{
  name,
  description,
  args ? { },
}:
rustPlatform.buildRustPackage (
  {
    pname = name;
    version = (lib.importTOML ../../Cargo.toml).workspace.package.version;
    src = import ./source.nix { inherit lib; };
    cargoLock.lockFile = ../../Cargo.lock;
    cargoBuildFlags = [
      "--package"
      name
    ];
    # `cargo xtask test` runs them; they need journald, Chromium and the like.
    doCheck = false;
    meta = {
      inherit description;
      license = [
        lib.licenses.mit
        lib.licenses.asl20
      ];
      mainProgram = name;
      platforms = lib.platforms.linux;
    };
  }
  // args
)
