//! Where the agent's program is that hosts get when they enrol.

use std::path::PathBuf;

/// What hosts enrol with.
#[derive(Debug, Clone, Default)]
pub struct AgentPrograms {
    /// Holds `skep-agent-ARCH`, as `uname -m` tells it.
    pub folder: PathBuf,
    /// Of this machine's own kind, where the folder has none.
    pub own: Option<PathBuf>,
}

impl AgentPrograms {
    /// The program for a kind of machine, if there is one.
    pub fn find(&self, arch: &str) -> Option<PathBuf> {
        let is_arch = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_';
        if arch.is_empty() || !arch.bytes().all(is_arch) {
            return None;
        }
        let of_folder = self.folder.join(format!("skep-agent-{arch}"));
        let own = || self.own.clone().filter(|_| arch == std::env::consts::ARCH);
        Some(of_folder).filter(|it| it.is_file()).or_else(|| own().filter(|it| it.is_file()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_folder_counts_before_the_servers_own_machine() {
        let dir = tempfile::tempdir().unwrap();
        let file = |name: &str| {
            let path = dir.path().join(name);
            std::fs::write(&path, name).unwrap();
            path
        };
        let own = file("skep-agent");
        let programs = AgentPrograms { folder: dir.path().to_owned(), own: Some(own.clone()) };
        let arch = std::env::consts::ARCH;
        assert_eq!(programs.find(arch), Some(own));
        assert_eq!(programs.find("riscv64"), None);
        let foreign = file("skep-agent-riscv64");
        assert_eq!(programs.find("riscv64"), Some(foreign));
        let better = file(&format!("skep-agent-{arch}"));
        assert_eq!(programs.find(arch), Some(better));
        file("secret");
        for bad in ["", "../secret", "x/../../secret"] {
            assert_eq!(programs.find(bad), None, "{bad:?}");
        }
    }
}
