//! The two things that are installed, and what differs between their packages.

use clap::ValueEnum;

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Product {
    Server,
    Agent,
}

impl Product {
    /// Of the package, the binary and, with `.service`, the unit.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Server => "skep-server",
            Self::Agent => "skep-agent",
        }
    }

    /// What is built for it: a server hands agents out.
    pub(crate) fn binaries(self) -> &'static [&'static str] {
        match self {
            Self::Server => &["skep-server", "skep-agent"],
            Self::Agent => &["skep-agent"],
        }
    }

    /// Its folder in the repository.
    pub(crate) fn folder(self) -> &'static str {
        match self {
            Self::Server => "server",
            Self::Agent => "agent",
        }
    }

    /// The unit's `StateDirectory=`, which a purge removes.
    pub(crate) fn state(self) -> &'static str {
        match self {
            Self::Server => "skep",
            Self::Agent => "skep-agent",
        }
    }

    /// Folders of a package that hold nothing yet, for root alone.
    pub(crate) fn private_folders(self) -> &'static [&'static str] {
        match self {
            // `LoadCredential=` wants it to be there.
            Self::Server => &["etc/skep/secrets"],
            Self::Agent => &[],
        }
    }

    pub(crate) fn summary(self) -> &'static str {
        match self {
            Self::Server => "metrics, logs and the front door of a small fleet",
            Self::Agent => "brings a host's metrics and logs to a Skep server",
        }
    }

    /// Of the control file: lines begin with a space.
    pub(crate) fn description(self) -> &'static str {
        match self {
            Self::Server => {
                " Stores what agents bring as plain Parquet files, answers PromQL and LogQL at the\n \
                 HTTP APIs of Prometheus and Loki, and serves it over TLS with a page of its own."
            }
            Self::Agent => {
                " Reads what node_exporter reads, what only the kernel knows (through eBPF), and the\n \
                 systemd journal with all its fields; forgets an entry only after the server has it."
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::paths;

    #[test]
    fn the_units_say_what_their_packages_rely_on() {
        for product in Product::value_variants() {
            let file = format!("{}/dist/{}.service", product.folder(), product.name());
            let unit = std::fs::read_to_string(paths::root().join(file)).unwrap();
            let has = |line: &str| unit.lines().any(|it| it == line);
            assert!(has(&format!("StateDirectory={}", product.state())), "{product:?}");
            let (name, folder) = (product.name(), product.folder());
            assert!(has(&format!(
                "ExecStart=/usr/bin/{name} run --config /etc/skep/{folder}.toml"
            )));
            for folder in product.private_folders() {
                assert!(unit.contains(&format!(":/{folder}\n")), "{folder}");
            }
        }
    }
}
