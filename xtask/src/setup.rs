//! What building, running and testing need from the machine, and how to get it.

use std::{path::Path, process::Command};

use anyhow::{Context as _, bail};

use crate::{paths, shell};

/// How much has to be there.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum For {
    Run,
    Test,
}

struct Need {
    what: &'static str,
    why: &'static str,
    package: &'static str,
    since: For,
    is_there: fn() -> bool,
}

const NEEDS: &[Need] = &[
    Need {
        what: "a C compiler and make",
        why: "zstd and jemalloc are C, and rustc links with cc",
        package: "gcc libc6-dev make",
        since: For::Run,
        is_there: || shell::which("cc").is_some() && shell::which("make").is_some(),
    },
    Need {
        what: "pkg-config and libsystemd's headers",
        why: "the agent reads the journal through libsystemd",
        package: "pkg-config libsystemd-dev",
        since: For::Run,
        is_there: || shell::succeeds(Command::new("pkg-config").args(["--exists", "libsystemd"])),
    },
    Need {
        what: "Node.js and npm",
        why: "the page is TypeScript, built by Vite",
        package: "nodejs npm",
        since: For::Run,
        is_there: || shell::which("node").is_some() && shell::which("npm").is_some(),
    },
    Need {
        what: "systemd-journald",
        why: "the agent follows a real journal; where none runs, `run` starts one",
        package: "systemd",
        since: For::Run,
        is_there: || Path::new("/lib/systemd/systemd-journald").exists(),
    },
    Need {
        what: "systemd-journal-remote",
        why: "tests make journal files from text with it",
        package: "systemd-journal-remote",
        since: For::Test,
        is_there: || Path::new("/lib/systemd/systemd-journal-remote").exists(),
    },
    Need {
        what: "Prometheus and promtool",
        why: "tests use them as clients",
        package: "prometheus",
        since: For::Test,
        is_there: || shell::which("promtool").is_some() && shell::which("prometheus").is_some(),
    },
    Need {
        what: "pebble",
        why: "tests get certificates from it, as from Let's Encrypt",
        package: "pebble",
        since: For::Test,
        is_there: || {
            shell::which("pebble").is_some() && shell::which("pebble-challtestsrv").is_some()
        },
    },
    Need {
        what: "sshd, ssh and curl",
        why: "tests deploy an agent to an sshd of their own, and paste the line that fetches one",
        package: "openssh-server openssh-client curl",
        since: For::Test,
        is_there: || {
            Path::new("/usr/sbin/sshd").exists()
                && shell::which("ssh").is_some()
                && shell::which("curl").is_some()
        },
    },
    Need {
        what: "jq and openssl",
        why: "tests run what the guides do with them",
        package: "jq openssl",
        since: For::Test,
        is_there: || shell::which("jq").is_some() && shell::which("openssl").is_some(),
    },
    Need {
        what: "systemd-nspawn and dpkg-shlibdeps",
        why: "tests make the packages and install them in a guest with systemd",
        package: "systemd-container dpkg-dev curl",
        since: For::Test,
        is_there: || {
            ["systemd-nspawn", "dpkg-shlibdeps", "curl"].iter().all(|it| shell::which(it).is_some())
        },
    },
    Need {
        what: "sslscan",
        why: "a test has it look for weak TLS",
        package: "sslscan",
        since: For::Test,
        is_there: || shell::which("sslscan").is_some(),
    },
    Need {
        what: "Chromium",
        why: "the page is tested in it",
        package: "chromium",
        since: For::Test,
        is_there: || shell::which("chromium").is_some(),
    },
    Need {
        what: "Nix",
        why: "flake.nix is evaluated with it; no daemon runs, nothing is fetched",
        package: "nix-bin",
        since: For::Test,
        is_there: || shell::which("nix").is_some(),
    },
    Need {
        what: "Python with venv",
        why: "tests open the Parquet files with stock readers",
        package: "python3 python3-venv",
        since: For::Test,
        is_there: || shell::succeeds(Command::new("python3").args(["-m", "venv", "--help"])),
    },
];

/// Stock readers of Parquet and of a Delta table, and an S3 server.
const PYTHON_PACKAGES: &[&str] =
    &["pyarrow==26.0.1", "duckdb==2.0.0", "deltalake==1.6.6", "moto[server]==5.2.5"];

/// What is needed, whether it is there, and the packages that bring it.
pub(crate) fn needs() -> impl Iterator<Item = (&'static str, bool, &'static str)> {
    NEEDS.iter().map(|it| (it.what, (it.is_there)(), it.package))
}

/// Installs what is missing. Doing it twice does nothing the second time.
pub(crate) fn run(level: For) -> anyhow::Result<()> {
    let missing: Vec<&Need> =
        NEEDS.iter().filter(|it| it.since <= level && !(it.is_there)()).collect();
    if !missing.is_empty() {
        install(&missing)?;
    }
    if level == For::Test {
        python_packages()?;
    }
    Ok(())
}

fn install(missing: &[&Need]) -> anyhow::Result<()> {
    let packages: Vec<&str> =
        missing.iter().flat_map(|it| it.package.split_ascii_whitespace()).collect();
    for need in missing {
        eprintln!("missing: {} ({})", need.what, need.why);
    }
    let by_hand = format!("sudo apt-get install --no-install-recommends {}", packages.join(" "));
    if shell::which("apt-get").is_none() {
        bail!(
            "install what is named above with this system's package manager; on Debian it is \
             `{by_hand}`"
        );
    }
    if !shell::is_root() {
        bail!("not root, so run this first: `{by_hand}`");
    }
    apt(&packages).with_context(|| format!("installing by hand would be `{by_hand}`"))?;
    if let Some(still) = missing.iter().find(|it| !(it.is_there)()) {
        bail!("{} is still missing after installing {}", still.what, still.package);
    }
    Ok(())
}

/// Installs one package that only some runs need, or says how.
pub(crate) fn package(name: &str) -> anyhow::Result<()> {
    let by_hand = format!("sudo apt-get install --no-install-recommends {name}");
    if !shell::is_root() {
        bail!("not root, so run this first: `{by_hand}`");
    }
    apt(&[name]).with_context(|| format!("installing by hand would be `{by_hand}`"))
}

/// Installs Debian packages; as root only.
pub(crate) fn apt(packages: &[&str]) -> anyhow::Result<()> {
    eprintln!("installing: {}", packages.join(" "));
    shell::quiet(Command::new("apt-get").args(["-o", "DPkg::Lock::Timeout=600", "update"]))?;
    shell::quiet(
        Command::new("apt-get")
            .args(["-o", "DPkg::Lock::Timeout=600", "install", "-y", "--no-install-recommends"])
            .args(packages)
            .env("DEBIAN_FRONTEND", "noninteractive"),
    )?;
    Ok(())
}

fn python_packages() -> anyhow::Result<()> {
    let venv = paths::venv();
    let stamp = venv.join("installed");
    let want = PYTHON_PACKAGES.join("\n");
    if std::fs::read_to_string(&stamp).is_ok_and(|it| it == want) {
        return Ok(());
    }
    eprintln!("installing for tests: {}", PYTHON_PACKAGES.join(" "));
    shell::quiet(Command::new("python3").args(["-m", "venv", "--clear"]).arg(&venv))?;
    shell::quiet(
        Command::new(venv.join("bin/pip"))
            .args(["install", "--quiet", "--disable-pip-version-check"])
            .args(PYTHON_PACKAGES),
    )?;
    std::fs::write(&stamp, want).with_context(|| format!("writing {}", stamp.display()))
}
