//! What the configuration says about log files, made valid: `[[files]]`.

use std::{collections::BTreeMap, sync::Arc};

use encoding_rs::{Encoding, UTF_8};
use serde::{Deserialize, Serialize};
use skep_proto::{
    is_label_name,
    relabel::{RawRule, Rule, RuleError},
};

use super::paths::{Glob, GlobError};
use crate::pipeline::{Builder, LogMetrics, Pipeline, RawStages, StageError, docker::DockerLog};

/// Jobs of one agent.
const JOBS_MAX: usize = 200;
const LINE_BYTES_MAX_DEFAULT: usize = 256 << 10;
/// What fits a batch.
const LINE_BYTES_MAX_LIMIT: usize = 1 << 20;

/// `[[files]]` as it is written.
#[derive(Debug, Clone, Default, PartialEq, Deserialize, Serialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct RawFiles {
    /// Label `job`.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub(crate) job: String,
    pub(crate) paths: Vec<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(crate) exclude: Vec<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) format: Option<Format>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) start: Option<Start>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) encoding: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) max_line_bytes: Option<usize>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) long_lines: Option<LongLines>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) default_labels: Option<bool>,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub(crate) labels: BTreeMap<String, String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(crate) relabel_configs: Vec<RawRule>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(crate) pipeline_stages: RawStages,
}

/// What the lines of a file are.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize, Serialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Format {
    #[default]
    Plain,
    /// Of Docker's json-file driver.
    Docker,
    /// Of the runtimes of Kubernetes.
    Cri,
}

/// Where to begin in a file that is there when the agent first starts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize, Serialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Start {
    #[default]
    Beginning,
    End,
}

/// What becomes of a line over `max_line_bytes`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize, Serialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum LongLines {
    #[default]
    Cut,
    Drop,
}

/// A valid `[[files]]`.
#[derive(Debug, Clone)]
pub(crate) struct FilesJob {
    pub(super) paths: Vec<Glob>,
    pub(super) exclude: Vec<Glob>,
    pub(super) format: Format,
    pub(super) start: Start,
    pub(super) encoding: &'static Encoding,
    pub(super) line_bytes_max: usize,
    pub(super) long_lines: LongLines,
    /// Whether `filename` and, of Docker's files, `container` are labels.
    pub(super) has_default_labels: bool,
    pub(super) labels: Vec<(String, String)>,
    pub(super) relabel: Vec<Rule>,
    /// To be copied for each file.
    pub(super) pipeline: Pipeline,
}

/// Why a job cannot be followed.
#[derive(Debug, thiserror::Error)]
pub(crate) enum JobError {
    #[error("there are {n_jobs}; there may be {JOBS_MAX}")]
    TooMany { n_jobs: usize },
    #[error("paths is empty; write the files to follow")]
    NoPaths,
    #[error(transparent)]
    Glob(#[from] GlobError),
    #[error("encoding {0:?} is not known; write one of the WHATWG's labels, as \"utf-16le\"")]
    Encoding(String),
    #[error("max_line_bytes {0} is out of range; it must be 1 to {LINE_BYTES_MAX_LIMIT}")]
    LineBytes(usize),
    #[error("label name {0:?} is not allowed; use letters, digits and _")]
    Label(String),
    #[error("relabel_configs[{idx}]")]
    Relabel { idx: usize, source: RuleError },
    #[error(transparent)]
    Stage(#[from] StageError),
}

/// Relabelling rules, made valid.
pub(crate) fn rules(raw: Vec<RawRule>) -> Result<Vec<Rule>, JobError> {
    let rules = raw.into_iter().enumerate();
    rules
        .map(|(idx, it)| it.rule(true).map_err(|source| JobError::Relabel { idx, source }))
        .collect()
}

/// Labels as they are written, with names that may be labels.
pub(crate) fn checked_labels(
    labels: BTreeMap<String, String>,
) -> Result<Vec<(String, String)>, JobError> {
    match labels.keys().find(|it| !is_label_name(it)) {
        Some(name) => Err(JobError::Label(name.clone())),
        None => Ok(labels.into_iter().collect()),
    }
}

impl FilesJob {
    /// All jobs, valid, with the labels that each stream has, `host` first; what is wrong comes
    /// with the number of its job.
    pub(crate) fn all(
        raw: Vec<RawFiles>,
        common: &[(String, String)],
        metrics: &Arc<LogMetrics>,
    ) -> Result<Vec<Self>, (usize, JobError)> {
        if raw.len() > JOBS_MAX {
            return Err((JOBS_MAX, JobError::TooMany { n_jobs: raw.len() }));
        }
        let jobs = raw.into_iter().enumerate();
        jobs.map(|(idx, it)| Self::new(it, common, metrics).map_err(|error| (idx, error))).collect()
    }

    fn new(
        raw: RawFiles,
        common: &[(String, String)],
        metrics: &Arc<LogMetrics>,
    ) -> Result<Self, JobError> {
        if raw.paths.is_empty() {
            return Err(JobError::NoPaths);
        }
        let encoding = match raw.encoding {
            None => UTF_8,
            Some(label) => {
                Encoding::for_label(label.as_bytes()).ok_or(JobError::Encoding(label))?
            }
        };
        let line_bytes_max = raw.max_line_bytes.unwrap_or(LINE_BYTES_MAX_DEFAULT);
        if !(1..=LINE_BYTES_MAX_LIMIT).contains(&line_bytes_max) {
            return Err(JobError::LineBytes(line_bytes_max));
        }
        let format = raw.format.unwrap_or_default();
        let builder = Builder { metrics };
        let mut pipeline = Pipeline::build(&raw.pipeline_stages, &builder)?;
        match format {
            Format::Plain => {}
            Format::Docker => pipeline.push_front(Box::new(DockerLog::default())),
            Format::Cri => pipeline.push_front(crate::pipeline::cri_log(&builder)?),
        }
        let mut labels = common.to_vec();
        let job = if raw.job.is_empty() { "files".to_owned() } else { raw.job };
        labels.push(("job".to_owned(), job));
        labels.extend(checked_labels(raw.labels)?);
        Ok(Self {
            paths: globs(&raw.paths)?,
            exclude: globs(&raw.exclude)?,
            format,
            start: raw.start.unwrap_or_default(),
            encoding,
            line_bytes_max,
            long_lines: raw.long_lines.unwrap_or_default(),
            has_default_labels: raw.default_labels.unwrap_or(true),
            labels,
            relabel: rules(raw.relabel_configs)?,
            pipeline,
        })
    }
}

fn globs(texts: &[String]) -> Result<Vec<Glob>, GlobError> {
    let mut globs = Vec::new();
    for text in texts {
        globs.extend(Glob::parse(text)?);
    }
    Ok(globs)
}
