//! Which kernel programs this host takes, tried for a moment: for `skep-agent doctor`.

use aya::programs::CgroupSkbAttachType;

use super::{
    OBJECT,
    family::programs,
    loader::{Hook, Object},
};
use crate::sources::{Roots, units::Units};

/// One program and how it fares here.
#[derive(Debug)]
pub(crate) struct ProgramState {
    pub(crate) name: &'static str,
    /// What it is for.
    pub(crate) gives: &'static str,
    /// The hook that was chosen, or why there is none.
    pub(crate) hook: Result<String, String>,
}

/// Loads and attaches every program, each by itself, and detaches them again.
pub(crate) fn survey(roots: &Roots) -> Vec<ProgramState> {
    let units = Units::new(roots, 1);
    let mut object = Object::load(OBJECT, units.groups_root()).map_err(describe);
    let mut states = Vec::new();
    for program in programs() {
        let started = match &mut object {
            Ok(object) => object.start(program).map_err(describe),
            Err(why) => Err(why.clone()),
        };
        let hook = started.map(|function| {
            let candidate = program.candidates.iter().find(|it| it.function == function);
            candidate.map_or_else(String::new, |it| it.hook.to_string())
        });
        states.push(ProgramState { name: program.name, gives: program.gives, hook });
    }
    states
}

fn describe(error: impl std::error::Error + Send + Sync + 'static) -> String {
    format!("{:#}", anyhow::Error::from(error))
}

impl std::fmt::Display for Hook {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::BtfTracepoint { name, .. } => write!(out, "tp_btf {name}"),
            Self::RawTracepoint(name) => write!(out, "raw tracepoint {name}"),
            Self::Tracepoint { category, name } => write!(out, "tracepoint {category}/{name}"),
            Self::FunctionEntry(name) => write!(out, "fentry {name}"),
            Self::FunctionExit(name) => write!(out, "fexit {name}"),
            Self::CgroupSkb(CgroupSkbAttachType::Ingress) => out.write_str("cgroup ingress"),
            Self::CgroupSkb(CgroupSkbAttachType::Egress) => out.write_str("cgroup egress"),
            Self::OnDemand => out.write_str("run by the agent"),
        }
    }
}
