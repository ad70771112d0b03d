//! `[agents]`: what hosts get when they enrol, and how agents come in.

use std::path::PathBuf;

use serde::Deserialize;
use skep_front::{AgentCertificates, AgentPrograms};

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct RawAgents {
    programs: PathBuf,
    mtls: RawMtls,
}

#[derive(Debug, Clone, Copy, Default, Deserialize)]
#[serde(rename_all = "lowercase")]
enum RawMtls {
    #[default]
    Off,
    Optional,
    Required,
}

impl Default for RawAgents {
    fn default() -> Self {
        Self { programs: "/usr/lib/skep/agents".into(), mtls: RawMtls::default() }
    }
}

impl RawAgents {
    /// Where both packages are installed, the agent lies beside the server.
    pub(super) fn programs(&self) -> AgentPrograms {
        let beside = std::env::current_exe().ok().map(|it| it.with_file_name("skep-agent"));
        AgentPrograms { folder: self.programs.clone(), own: beside }
    }

    pub(super) fn certificates(&self) -> AgentCertificates {
        match self.mtls {
            RawMtls::Off => AgentCertificates::Off,
            RawMtls::Optional => AgentCertificates::Optional,
            RawMtls::Required => AgentCertificates::Required,
        }
    }
}
