//! Why stages cannot be built, in Promtail's words where it has any.

/// What is wrong with a configured stage.
#[derive(Debug, thiserror::Error)]
pub(crate) enum StageError {
    #[error("pipeline_stages[{idx}].{name}")]
    At { idx: usize, name: String, source: Box<StageError> },
    #[error("pipeline stage must contain only one key")]
    OneKey,
    #[error("unknown stage type")]
    Unknown,
    #[error("{n_stages} stages are too many; there may be {n_stages_max}")]
    TooMany { n_stages: usize, n_stages_max: usize },
    #[error("{0}")]
    Settings(serde_json::Error),
    /// Promtail's text for what is missing or contradicts itself.
    #[error("{0}")]
    Invalid(&'static str),
    #[error("invalid label name: {0}")]
    LabelName(String),
    /// Go's text.
    #[error("could not compile regular expression: {0}")]
    Regex(String),
    #[error("could not compile JMES expression {expression:?}: {text}")]
    Jmes { expression: String, text: String },
    #[error("{text}")]
    Template { text: String },
    #[error("{key} {text:?} is no duration; write it as in \"10s\" or \"1h30m\"")]
    Duration { key: &'static str, text: String },
    #[error("{key} {text:?} is no size; write it as in \"8kb\"")]
    Size { key: &'static str, text: String },
    #[error("invalid location specified: {0}")]
    Location(String),
    #[error("invalid selector syntax for match stage: {what} at {rest:?}")]
    Selector { what: &'static str, rest: String },
    #[error(transparent)]
    Matcher(#[from] skep_proto::MatcherError),
    #[error("metric {name:?}: {what}")]
    Metric { name: String, what: &'static str },
}

pub(super) fn build_error(idx: usize, name: &str, source: StageError) -> StageError {
    StageError::At { idx, name: name.to_owned(), source: Box::new(source) }
}
