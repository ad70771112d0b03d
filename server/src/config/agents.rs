//! `[agents]`: what hosts get when they enrol.

use std::path::PathBuf;

use serde::Deserialize;
use skep_front::AgentPrograms;

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct RawAgents {
    programs: PathBuf,
}

impl Default for RawAgents {
    fn default() -> Self {
        Self { programs: "/usr/lib/skep/agents".into() }
    }
}

impl RawAgents {
    /// Where both packages are installed, the agent lies beside the server.
    pub(super) fn programs(&self) -> AgentPrograms {
        let beside = std::env::current_exe().ok().map(|it| it.with_file_name("skep-agent"));
        AgentPrograms { folder: self.programs.clone(), own: beside }
    }
}
