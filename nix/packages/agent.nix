# skep-agent, with the eBPF object inside.
{
  lib,
  rustPlatform,
  pkg-config,
  systemd,
  skep-ebpf,
}:
import ./crate.nix { inherit lib rustPlatform; } {
  name = "skep-agent";
  description = "Collects a host's metrics and logs and brings them to a Skep server";
  args = {
    nativeBuildInputs = [ pkg-config ];
    # It reads the journal through libsystemd.
    buildInputs = [ systemd ];
    env.SKEP_EBPF_OBJECT = "${skep-ebpf}/skep.o";
  };
}
