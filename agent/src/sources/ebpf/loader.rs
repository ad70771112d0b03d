//! Which programs there are, what each needs from the kernel, and how they get into it: each by
//! itself, so that one that a kernel refuses takes nothing else along.

use std::{
    fs, io,
    path::{Path, PathBuf},
};

use aya::{
    EbpfLoader,
    programs::{
        BtfTracePoint, CgroupAttachMode, CgroupSkb, CgroupSkbAttachType, FEntry, FExit,
        Program as AyaProgram, ProgramError, RawTracePoint, TracePoint,
    },
};
use skep_abi::ABSENT;
use tracing::debug;

use super::{
    btf::{Btf, BtfError},
    drops,
    family::{FAMILIES, programs},
    maps::Maps,
    raw,
};

const KERNEL_BTF: &str = "/sys/kernel/btf/vmlinux";
const TRACEFS_EVENTS: &[&str] = &["/sys/kernel/tracing/events", "/sys/kernel/debug/tracing/events"];

/// One thing the kernel can tell us, by the first of its programs that this kernel takes.
#[derive(Debug)]
pub(super) struct Program {
    /// As metrics name it.
    pub(super) name: &'static str,
    /// What is missing without it.
    pub(super) gives: &'static str,
    pub(super) candidates: &'static [Candidate],
}

/// A function of the object and where it goes.
#[derive(Debug)]
pub(super) struct Candidate {
    pub(super) function: &'static str,
    pub(super) hook: Hook,
    /// Globals that must not be [`ABSENT`].
    pub(super) needs: &'static [&'static str],
}

#[derive(Debug)]
pub(super) enum Hook {
    /// Typed pointers and plain loads; the tracepoint must have at least so many arguments.
    BtfTracepoint {
        name: &'static str,
        n_args_min: u32,
    },
    RawTracepoint(&'static str),
    /// By the record in tracefs.
    Tracepoint {
        category: &'static str,
        name: &'static str,
    },
    /// Where a function of the kernel begins; some kernels permit it to nobody.
    FunctionEntry(&'static str),
    /// Where it ends.
    FunctionExit(&'static str),
    /// At the root of the cgroup2 tree, so for every group.
    CgroupSkb(CgroupSkbAttachType),
    /// Run by the agent itself, attached nowhere.
    OnDemand,
}

/// Where the value of a global comes from.
#[derive(Debug)]
pub(super) struct Offset {
    pub(super) global: &'static str,
    pub(super) of: &'static str,
    pub(super) path: &'static [&'static str],
}

/// Shorthand for tables of them.
pub(super) const fn offset(
    global: &'static str,
    of: &'static str,
    path: &'static [&'static str],
) -> Offset {
    Offset { global, of, path }
}

/// What programs need to find a task's group.
macro_rules! needs {
    ($($more:literal),* $(,)?) => {
        &["TASK_CGROUPS", "CSS_SET_DFL_CGRP", "CGROUP_KN", "KERNFS_NODE_ID", $($more),*]
    };
}
pub(super) use needs;

/// A program at a tracepoint with typed arguments, or at the raw one: two functions of the object
/// whose names differ in `_raw`. Name, what it gives, function, tracepoint, arguments, globals.
macro_rules! traced {
    ($name:expr, $gives:expr, $function:literal, $tracepoint:literal, $n_args_min:literal, $needs:expr $(,)?) => {
        $crate::sources::ebpf::loader::Program {
            name: $name,
            gives: $gives,
            candidates: &[
                $crate::sources::ebpf::loader::Candidate {
                    function: $function,
                    hook: $crate::sources::ebpf::loader::Hook::BtfTracepoint {
                        name: $tracepoint,
                        n_args_min: $n_args_min,
                    },
                    needs: $needs,
                },
                $crate::sources::ebpf::loader::Candidate {
                    function: concat!($function, "_raw"),
                    hook: $crate::sources::ebpf::loader::Hook::RawTracepoint($tracepoint),
                    needs: $needs,
                },
            ],
        }
    };
}
pub(super) use traced;

/// Why no program runs at all.
#[derive(Debug, thiserror::Error)]
pub(super) enum LoadError {
    #[error("this build carries no eBPF object; build it with `cargo xtask build`")]
    NoObject,
    #[error(
        "cannot read {KERNEL_BTF}; kernel programs need a kernel with CONFIG_DEBUG_INFO_BTF, and in \
         a container the host's /sys"
    )]
    NoBtf(#[source] io::Error),
    #[error("{KERNEL_BTF} makes no sense")]
    Btf(#[from] BtfError),
    #[error("aya cannot read {KERNEL_BTF}")]
    AyaBtf(#[source] aya::BtfError),
    #[error(
        "the kernel does not permit BPF; run the agent as root or with CAP_BPF, CAP_PERFMON and \
         CAP_NET_ADMIN"
    )]
    NotPermitted(#[source] aya::EbpfError),
    #[error("the eBPF object does not load")]
    Object(#[source] aya::EbpfError),
    #[error("cannot tell how many CPUs there may be")]
    Cpus(#[source] io::Error),
}

/// Why one program does not run.
#[derive(Debug, thiserror::Error)]
pub(super) enum ProgramFailure {
    #[error("this kernel has no field for {0}")]
    Field(&'static str),
    #[error("tracepoint {name} has {n_args:?} arguments here, not {n_args_min}")]
    Arguments { name: &'static str, n_args: Option<u32>, n_args_min: u32 },
    #[error("the object has no function {0}")]
    Function(&'static str),
    #[error("tracefs is not mounted; run `mount -t tracefs tracefs /sys/kernel/tracing` as root")]
    Tracefs(#[source] io::Error),
    #[error("cannot open the cgroup2 tree {}", path.display())]
    Cgroup2 { path: PathBuf, source: io::Error },
    #[error("the kernel refuses it: {0}")]
    Refused(#[source] io::Error),
    #[error("it cannot be attached")]
    Attach(#[source] ProgramError),
}

impl LoadError {
    /// As the metric's label names it.
    pub(super) fn reason(&self) -> &'static str {
        match self {
            Self::NoObject => "no_object",
            Self::NoBtf(_) | Self::Btf(_) | Self::AyaBtf(_) => "no_btf",
            Self::NotPermitted(_) => "not_permitted",
            Self::Object(_) | Self::Cpus(_) => "object",
        }
    }
}

impl ProgramFailure {
    /// As the metric's label names it.
    pub(super) fn reason(&self) -> &'static str {
        match self {
            Self::Field(_) | Self::Arguments { .. } => "kernel_lacks_field",
            Self::Function(_) => "object",
            Self::Tracefs(_) => "no_tracefs",
            Self::Cgroup2 { .. } => "no_cgroup2",
            Self::Refused(error) if error.kind() == io::ErrorKind::PermissionDenied => {
                "not_permitted"
            }
            Self::Refused(_) => "refused",
            Self::Attach(_) => "attach",
        }
    }
}

impl From<ProgramError> for ProgramFailure {
    fn from(error: ProgramError) -> Self {
        match error {
            ProgramError::LoadError { io_error, verifier_log } => {
                debug!(%verifier_log, "The kernel's verifier refused a program.");
                Self::Refused(io_error)
            }
            error => Self::Attach(error),
        }
    }
}

/// The object in the kernel: its maps are there, no program is yet.
#[derive(Debug)]
pub(super) struct Object {
    pub(super) maps: Maps,
    globals: Vec<(&'static str, u32)>,
    tracepoint_args: Vec<(&'static str, Option<u32>)>,
    btf: aya::Btf,
    /// Where the cgroup2 tree is.
    groups_root: PathBuf,
}

impl Object {
    /// Makes the maps and resolves everything the programs need to know about this kernel.
    ///
    /// # Errors
    /// No program can run here, and why.
    pub(super) fn load(object: &[u8], groups_root: &Path) -> Result<Self, LoadError> {
        Self::load_for(object, groups_root, |_globals| {})
    }

    /// As `load`, for a kernel that is said to be different.
    ///
    /// # Errors
    /// As [`Object::load`].
    pub(super) fn load_for(
        object: &[u8],
        groups_root: &Path,
        change: impl FnOnce(&mut Vec<(&'static str, u32)>),
    ) -> Result<Self, LoadError> {
        if object.is_empty() {
            return Err(LoadError::NoObject);
        }
        let bytes = fs::read(KERNEL_BTF).map_err(LoadError::NoBtf)?;
        let btf = Btf::parse(&bytes)?;
        let mut globals = globals(&btf);
        change(&mut globals);
        let tracepoint_args = programs()
            .flat_map(|program| program.candidates)
            .filter_map(|candidate| match candidate.hook {
                Hook::BtfTracepoint { name, .. } => Some((name, btf.tracepoint_args(name))),
                _ => None,
            })
            .collect();
        let aya_btf = aya::Btf::from_sys_fs().map_err(LoadError::AyaBtf)?;
        let mut loader = EbpfLoader::new();
        loader.btf(Some(&aya_btf));
        for (name, value) in &globals {
            loader.override_global(name, value, true);
        }
        let kernel = loader.load(object).map_err(|error| {
            if is_permission_denied(&error) {
                LoadError::NotPermitted(error)
            } else {
                LoadError::Object(error)
            }
        })?;
        let groups_root = groups_root.to_owned();
        let mut maps = Maps::new(kernel).map_err(LoadError::Cpus)?;
        maps.drop_reasons = drops::reasons(&btf);
        Ok(Self { maps, globals, tracepoint_args, btf: aya_btf, groups_root })
    }

    /// Loads and attaches the first candidate that works.
    ///
    /// # Errors
    /// What the last candidate failed with.
    pub(super) fn start(&mut self, program: &Program) -> Result<&'static str, ProgramFailure> {
        let mut failure = ProgramFailure::Function(program.name);
        for candidate in program.candidates {
            match self.attach(candidate) {
                Ok(()) => return Ok(candidate.function),
                Err(error) => {
                    debug!(%error, function = candidate.function, "Trying the next candidate.");
                    failure = error;
                }
            }
        }
        Err(failure)
    }

    /// # Errors
    /// This kernel lacks something, or refuses the program.
    pub(super) fn attach(&mut self, candidate: &Candidate) -> Result<(), ProgramFailure> {
        for need in candidate.needs {
            if !self.globals.iter().any(|(name, value)| name == need && *value != ABSENT) {
                return Err(ProgramFailure::Field(need));
            }
        }
        if let Hook::BtfTracepoint { name, n_args_min } = candidate.hook {
            let n_args =
                self.tracepoint_args.iter().find(|(it, _)| *it == name).and_then(|(_, it)| *it);
            if n_args.is_none_or(|it| it < n_args_min) {
                return Err(ProgramFailure::Arguments { name, n_args, n_args_min });
            }
        }
        if matches!(candidate.hook, Hook::Tracepoint { .. }) {
            ensure_tracefs()?;
        }
        let function = candidate.function;
        let program =
            self.maps.kernel.program_mut(function).ok_or(ProgramFailure::Function(function))?;
        attach(program, &candidate.hook, &self.btf, &self.groups_root)
    }
}

fn attach(
    program: &mut AyaProgram,
    hook: &Hook,
    btf: &aya::Btf,
    groups_root: &Path,
) -> Result<(), ProgramFailure> {
    match *hook {
        Hook::BtfTracepoint { name, .. } => {
            let program: &mut BtfTracePoint = program.try_into()?;
            program.load(name, btf)?;
            program.attach()?;
        }
        Hook::RawTracepoint(name) => {
            let program: &mut RawTracePoint = program.try_into()?;
            program.load()?;
            program.attach(name)?;
        }
        Hook::Tracepoint { category, name } => {
            let program: &mut TracePoint = program.try_into()?;
            program.load()?;
            program.attach(category, name)?;
        }
        Hook::FunctionEntry(name) => {
            let program: &mut FEntry = program.try_into()?;
            program.load(name, btf)?;
            program.attach()?;
        }
        Hook::FunctionExit(name) => {
            let program: &mut FExit = program.try_into()?;
            program.load(name, btf)?;
            program.attach()?;
        }
        Hook::CgroupSkb(direction) => {
            let program: &mut CgroupSkb = program.try_into()?;
            program.load()?;
            let group = fs::File::open(groups_root).map_err(|source| ProgramFailure::Cgroup2 {
                path: groups_root.to_owned(),
                source,
            })?;
            // Links never replace each other: the kernel wants to hear nothing about it.
            program.attach(group, direction, CgroupAttachMode::Single)?;
        }
        Hook::OnDemand => {
            let program: &mut RawTracePoint = program.try_into()?;
            program.load()?;
        }
    }
    Ok(())
}

fn ensure_tracefs() -> Result<(), ProgramFailure> {
    if TRACEFS_EVENTS.iter().any(|it| Path::new(it).exists()) {
        return Ok(());
    }
    raw::mount_tracefs().map_err(ProgramFailure::Tracefs)
}

/// Every global of the object with its value on this kernel.
fn globals(btf: &Btf<'_>) -> Vec<(&'static str, u32)> {
    let value = |it: &Offset| (it.global, btf.offset(it.of, it.path).unwrap_or(ABSENT));
    let of_family = |family: &super::family::Family| {
        let offsets: Vec<_> = family.offsets.iter().map(value).collect();
        offsets.into_iter().chain((family.globals)(btf))
    };
    FAMILIES.iter().flat_map(|family| of_family(family)).collect()
}

/// Whether EPERM or EACCES lies below an error.
fn is_permission_denied(error: &(dyn std::error::Error + 'static)) -> bool {
    let mut cause = Some(error);
    while let Some(error) = cause {
        let io_error = error.downcast_ref::<io::Error>();
        if io_error.is_some_and(|it| it.kind() == io::ErrorKind::PermissionDenied) {
            return true;
        }
        cause = error.source();
    }
    false
}
