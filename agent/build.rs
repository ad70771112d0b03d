//! Puts the eBPF object into the binary, or nothing: then the agent runs without kernel programs.

use std::{env, error::Error, fs, path::PathBuf};

/// The object to embed; `cargo xtask` builds it and sets this.
const OBJECT: &str = "SKEP_EBPF_OBJECT";

fn main() -> Result<(), Box<dyn Error>> {
    println!("cargo::rerun-if-env-changed={OBJECT}");
    println!("cargo::rerun-if-changed=build.rs");
    let object = match env::var(OBJECT).ok().filter(|it| !it.is_empty()) {
        Some(file) => {
            println!("cargo::rerun-if-changed={file}");
            fs::read(&file).map_err(|error| format!("{OBJECT}={file}: {error}"))?
        }
        None => Vec::new(),
    };
    let out_dir = PathBuf::from(env::var_os("OUT_DIR").ok_or("cargo sets no OUT_DIR")?);
    fs::write(out_dir.join("ebpf.o"), object)?;
    Ok(())
}
