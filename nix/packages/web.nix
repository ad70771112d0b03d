# The page, built by Vite.
#
# The lock file names no addresses, so npm itself fetches what it lists, in a derivation whose whole
# output is known beforehand: `web-modules.json` has its hash for each system. `cargo xtask
# nix-check --update` writes it again after a change of the lock file.
{
  lib,
  stdenv,
  nodejs_22,
  cacert,
}:
let
  version = (lib.importTOML ../../Cargo.toml).workspace.package.version;
  known = builtins.fromJSON (builtins.readFile ./web-modules.json);
  system = stdenv.hostPlatform.system;
  cpu =
    {
      x86_64-linux = "x64";
      aarch64-linux = "arm64";
    }
    .${system};
  modules = stdenv.mkDerivation {
    pname = "skep-web-modules";
    inherit version;
    src = ../../server/web;
    nativeBuildInputs = [
      nodejs_22
      cacert
    ];
    buildPhase = ''
      export HOME=$TMPDIR
      npm ci --ignore-scripts --no-audit --no-fund --os=linux --cpu=${cpu} --libc=glibc
    '';
    installPhase = ''
      rm -f node_modules/.package-lock.json
      cp -r node_modules $out
    '';
    # As npm unpacked it, or the hash would be another one.
    dontFixup = true;
    outputHashMode = "recursive";
    outputHashAlgo = "sha256";
    outputHash = known.${system};
    meta = { };
  };
in
stdenv.mkDerivation {
  pname = "skep-web";
  inherit version;
  src = ../../server/web;
  nativeBuildInputs = [ nodejs_22 ];
  buildPhase = ''
    runHook preBuild
    cp -r --no-preserve=ownership ${modules} node_modules
    chmod -R u+w node_modules
    patchShebangs node_modules
    npm run build
    runHook postBuild
  '';
  installPhase = ''
    runHook preInstall
    cp -r dist $out
    runHook postInstall
  '';
  meta = {
    description = "The page of skep-server";
    license = [
      lib.licenses.mit
      lib.licenses.asl20
    ];
    platforms = lib.platforms.linux;
  };
}
