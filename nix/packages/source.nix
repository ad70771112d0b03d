# What cargo needs of the checkout, so that a word in the docs builds nothing anew.
{ lib }:
lib.fileset.toSource {
  root = ../..;
  fileset = lib.fileset.unions [
    ../../.cargo
    ../../Cargo.toml
    ../../Cargo.lock
    ../../agent
    ../../agent-ebpf
    ../../server
    ../../tests
    ../../xtask
  ];
}
