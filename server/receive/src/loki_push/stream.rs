//! One stream on its way into the rows: its labels and entries are checked and made what they are
//! kept as here, for both spellings. Texts are Loki's.

use std::{borrow::Cow, fmt};

use skep_proto::LogRow;

use super::{
    Decoded,
    labels::Pair,
    level::{DETECTED_LEVEL, normal},
    names::sanitize,
    rules::{SERVICE_NAME, Terms, UNKNOWN_SERVICE},
};
use crate::{Limits, Reason, TooLarge, reason::Fault};

/// A stream's labels as Loki prints them in texts.
#[derive(Debug, Clone, Copy)]
pub(super) struct StreamText<'t>(&'t [Pair<'t>]);

impl fmt::Display for StreamText<'_> {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str("{")?;
        for (i, (name, value)) in self.0.iter().enumerate() {
            out.write_str(if i == 0 { "" } else { ", " })?;
            out.write_str(name)?;
            out.write_str("=")?;
            write_quoted(out, value)?;
        }
        out.write_str("}")
    }
}

/// As Go quotes it.
pub(super) fn write_quoted(out: &mut impl fmt::Write, text: &str) -> fmt::Result {
    out.write_char('"')?;
    for c in text.chars() {
        match c {
            '"' => out.write_str("\\\"")?,
            '\\' => out.write_str("\\\\")?,
            '\n' => out.write_str("\\n")?,
            '\t' => out.write_str("\\t")?,
            '\r' => out.write_str("\\r")?,
            c if c.is_ascii_control() => write!(out, "\\x{:02x}", u32::from(c))?,
            c => out.write_char(c)?,
        }
    }
    out.write_char('"')
}

/// Nanoseconds since 1970 as RFC 3339 to the second, in UTC.
#[derive(Debug, Clone, Copy)]
pub(super) struct Rfc3339(i64);

impl fmt::Display for Rfc3339 {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let seconds = self.0.div_euclid(1_000_000_000);
        let at = time::OffsetDateTime::from_unix_timestamp(seconds).ok();
        let format = &time::format_description::well_known::Rfc3339;
        match at.and_then(|it| it.format(format).ok()) {
            Some(text) => out.write_str(&text),
            None => write!(out, "{seconds}"),
        }
    }
}

/// What is wrong with a whole stream.
#[derive(Debug, thiserror::Error)]
enum StreamFault<'t> {
    #[error("error at least one label pair is required per stream")]
    Missing,
    #[error("stream '{stream}' has an empty label name")]
    EmptyName { stream: StreamText<'t> },
    #[error("entry for stream '{stream}' has {n} label names; limit {n_max}")]
    TooMany { stream: StreamText<'t>, n: usize, n_max: usize },
    #[error("entry for stream '{text}' has {n} label names; limit {n_max}")]
    FarTooMany { text: &'t str, n: usize, n_max: usize },
    #[error("stream '{stream}' has label name too long: '{name}'")]
    NameTooLong { stream: StreamText<'t>, name: &'t str },
    #[error("stream '{stream}' has label value too long: '{value}'")]
    ValueTooLong { stream: StreamText<'t>, value: &'t str },
    #[error("stream '{stream}' has duplicate label name: '{name}'")]
    Duplicate { stream: StreamText<'t>, name: &'t str },
}

/// What is wrong with one entry.
#[derive(Debug, thiserror::Error)]
enum EntryFault<'t> {
    #[error(
        "entry for stream '{stream}' has timestamp too old: {ts}, oldest acceptable timestamp is: \
         {oldest}"
    )]
    TooOld { stream: StreamText<'t>, ts: Rfc3339, oldest: Rfc3339 },
    #[error("entry for stream '{stream}' has timestamp too new: {ts}")]
    TooNew { stream: StreamText<'t>, ts: Rfc3339 },
    #[error(
        "max entry size '{size_bytes_max}' bytes exceeded for stream '{stream}' while adding an \
         entry with length '{size_bytes}' bytes"
    )]
    LineTooLong { stream: StreamText<'t>, size_bytes: usize, size_bytes_max: usize },
    #[error(
        "stream '{stream}' includes structured metadata, but this feature is disallowed. Please \
         see `limits_config.allow_structured_metadata` or contact your Loki administrator to \
         enable it."
    )]
    MetadataDisallowed { stream: StreamText<'t> },
    #[error(
        "stream '{stream}' has structured metadata too large: '{size_bytes}' bytes, limit: \
         '{size_bytes_max}' bytes. Please see `limits_config.max_structured_metadata_size` or \
         contact your Loki administrator to increase it."
    )]
    MetadataTooLarge { stream: StreamText<'t>, size_bytes: usize, size_bytes_max: usize },
    #[error(
        "stream '{stream}' has too many structured metadata labels: '{n}', limit: '{n_max}'. \
         Please see `limits_config.max_structured_metadata_entries_count` or contact your Loki \
         administrator to increase it."
    )]
    MetadataTooMany { stream: StreamText<'t>, n: usize, n_max: usize },
    #[error("entry for stream '{stream}' has a timestamp outside the years 1678 to 2262")]
    Timestamp { stream: StreamText<'t> },
}

impl Fault for StreamFault<'_> {
    fn reason(&self) -> Reason {
        match self {
            Self::EmptyName { .. } => Reason::InvalidLabels,
            Self::Missing => Reason::MissingLabels,
            Self::TooMany { .. } | Self::FarTooMany { .. } => Reason::TooManyLabels,
            Self::NameTooLong { .. } => Reason::LabelNameTooLong,
            Self::ValueTooLong { .. } => Reason::LabelValueTooLong,
            Self::Duplicate { .. } => Reason::DuplicateLabels,
        }
    }
}

impl Fault for EntryFault<'_> {
    fn reason(&self) -> Reason {
        match self {
            Self::TooOld { .. } => Reason::TooOld,
            Self::TooNew { .. } => Reason::TooNew,
            Self::LineTooLong { .. } => Reason::LineTooLong,
            Self::MetadataDisallowed { .. } => Reason::MetadataDisallowed,
            Self::MetadataTooLarge { .. } => Reason::MetadataTooLarge,
            Self::MetadataTooMany { .. } => Reason::MetadataTooMany,
            Self::Timestamp { .. } => Reason::Timestamp,
        }
    }
}

/// Puts a stream into the rows, or what is wrong with it or its entries into `refused`. An entry
/// of which even the timestamp could not be kept is `None`. One without entries is as if it were
/// not there.
pub(super) fn finish<'a>(
    decoded: &mut Decoded<'a>,
    mut labels: Vec<Pair<'a>>,
    mut entries: Vec<Option<LogRow<'a>>>,
    terms: &Terms<'_>,
) {
    if entries.is_empty() {
        return;
    }
    name_service(&mut labels, &terms.rules.service_name_labels);
    labels.sort_unstable();
    if let Err(fault) = check_labels(&labels, terms.limits) {
        decoded.refused.series(entries.len(), &fault);
        return;
    }
    labels.retain(|(_, value)| !value.is_empty());
    if let Some(mark) = &terms.rules.truncate {
        entries.iter_mut().flatten().for_each(|it| truncate(it, mark, terms.limits));
    }
    let level = terms.rules.levels.as_ref().and_then(|it| it.of_labels(&labels));
    let refused = &mut decoded.refused;
    let stream = StreamText(&labels);
    // Collected in place: a request's entries are not in memory twice.
    let mut kept: Vec<_> = entries
        .into_iter()
        .filter_map(|entry| {
            let mut entry = entry
                .ok_or(EntryFault::Timestamp { stream })
                .and_then(|it| check_entry(it, stream, terms))
                .map_err(|fault| refused.values(1, &fault))
                .ok()?;
            tidy_metadata(&mut entry.metadata, terms);
            if terms.rules.levels.is_some() {
                add_level(&mut entry, level.as_ref(), terms);
            }
            Some(entry)
        })
        .collect();
    if terms.rules.increment_duplicate_timestamp {
        increment_duplicates(&mut kept);
    }
    if !kept.is_empty() {
        decoded.rows.streams.push((labels, kept));
    }
}

/// Leaves out a stream whose labels (as text) are so many that they were only counted.
pub(super) fn refuse_far_too_many(
    decoded: &mut Decoded<'_>,
    text: &str,
    n: usize,
    n_entries: usize,
    terms: &Terms<'_>,
) {
    let fault = StreamFault::FarTooMany { text, n, n_max: terms.limits.labels_max };
    decoded.refused.series(n_entries, &fault);
}

/// Counts a request while it is read, and refuses it once it has more than it may.
pub(super) struct Counts<'l> {
    n_streams: usize,
    n_entries: usize,
    n_pairs: usize,
    limits: &'l Limits,
}

impl<'l> Counts<'l> {
    pub(super) fn new(limits: &'l Limits) -> Self {
        Self { n_streams: 0, n_entries: 0, n_pairs: 0, limits }
    }

    pub(super) fn stream(&mut self) -> Result<(), TooLarge> {
        self.n_streams += 1;
        let n_max = self.limits.series_max;
        if self.n_streams > n_max { Err(TooLarge::Series { n_max }) } else { Ok(()) }
    }

    pub(super) fn entry(&mut self) -> Result<(), TooLarge> {
        self.n_entries += 1;
        let n_max = self.limits.values_max;
        if self.n_entries > n_max { Err(TooLarge::Values { n_max }) } else { Ok(()) }
    }

    /// A label, or a field of structured metadata.
    pub(super) fn pair(&mut self) -> Result<(), TooLarge> {
        self.n_pairs += 1;
        let n_max = self.limits.pairs_max;
        if self.n_pairs > n_max { Err(TooLarge::Pairs { n_max }) } else { Ok(()) }
    }
}

/// Gives a stream that has none a `service_name`.
fn name_service(labels: &mut Vec<Pair<'_>>, candidates: &[String]) {
    if candidates.is_empty() || labels.iter().any(|(name, _)| name == SERVICE_NAME) {
        return;
    }
    let value = candidates.iter().find_map(|candidate| {
        let of_it = |pair: &&Pair<'_>| pair.0 == candidate.as_str() && !pair.1.is_empty();
        labels.iter().find(of_it).map(|(_, value)| value.clone())
    });
    let value = value.unwrap_or(Cow::Borrowed(UNKNOWN_SERVICE));
    labels.push((Cow::Borrowed(SERVICE_NAME), value));
}

/// Labels are sorted by name.
fn check_labels<'t>(labels: &'t [Pair<'t>], limits: &Limits) -> Result<(), StreamFault<'t>> {
    let stream = StreamText(labels);
    let present = || labels.iter().filter(|(_, value)| !value.is_empty());
    let n = present().filter(|(name, _)| name != SERVICE_NAME).count();
    if present().next().is_none() {
        return Err(StreamFault::Missing);
    }
    if n > limits.labels_max {
        return Err(StreamFault::TooMany { stream, n, n_max: limits.labels_max });
    }
    for (i, (name, value)) in labels.iter().enumerate() {
        if name.is_empty() {
            return Err(StreamFault::EmptyName { stream });
        }
        if name.len() > limits.label_name_bytes_max {
            return Err(StreamFault::NameTooLong { stream, name });
        }
        if value.len() > limits.label_value_bytes_max {
            return Err(StreamFault::ValueTooLong { stream, value });
        }
        if i.checked_sub(1).and_then(|it| labels.get(it)).is_some_and(|it| it.0 == *name) {
            return Err(StreamFault::Duplicate { stream, name });
        }
    }
    Ok(())
}

/// By name, each once: of two with one name the later one stays.
pub(super) fn sort_keeping_last(pairs: &mut Vec<Pair<'_>>) {
    if pairs.is_sorted_by(|(left, _), (right, _)| left < right) {
        return;
    }
    // Stable: the later one stays behind the earlier one.
    pairs.sort_by(|(left, _), (right, _)| left.cmp(right));
    pairs.dedup_by(|later, earlier| {
        let same = later.0 == earlier.0;
        if same {
            std::mem::swap(later, earlier);
        }
        same
    });
}

/// The value of a name among pairs that are sorted by name.
pub(super) fn field<'p, 'a>(pairs: &'p [Pair<'a>], name: &str) -> Option<&'p Cow<'a, str>> {
    let at = pairs.binary_search_by(|(it, _)| it.as_ref().cmp(name)).ok()?;
    pairs.get(at).map(|(_, value)| value)
}

/// Cuts a line to its limit, `mark` included.
fn truncate(entry: &mut LogRow<'_>, mark: &str, limits: &Limits) {
    if entry.line.len() > limits.line_bytes_max {
        let n_kept = limits.line_bytes_max.saturating_sub(mark.len());
        let line = entry.line.to_mut();
        line.truncate(line.floor_char_boundary(n_kept));
        line.push_str(mark);
    }
}

fn check_entry<'a, 't>(
    mut entry: LogRow<'a>,
    stream: StreamText<'t>,
    terms: &Terms<'_>,
) -> Result<LogRow<'a>, EntryFault<'t>> {
    let (limits, ts) = (terms.limits, entry.ts.0);
    if ts < terms.oldest() {
        let (ts, oldest) = (Rfc3339(ts), Rfc3339(terms.oldest()));
        return Err(EntryFault::TooOld { stream, ts, oldest });
    }
    if ts > terms.newest() {
        return Err(EntryFault::TooNew { stream, ts: Rfc3339(ts) });
    }
    let (size_bytes, size_bytes_max) = (entry.line.len(), limits.line_bytes_max);
    if size_bytes > size_bytes_max && terms.rules.truncate.is_none() {
        return Err(EntryFault::LineTooLong { stream, size_bytes, size_bytes_max });
    }
    let metadata = &mut entry.metadata;
    metadata.retain(|(name, _)| !name.is_empty());
    if !metadata.is_empty() && !terms.rules.allow_structured_metadata {
        return Err(EntryFault::MetadataDisallowed { stream });
    }
    let size_bytes = metadata.iter().map(|(name, value)| name.len() + value.len()).sum();
    if size_bytes > limits.metadata_bytes_max {
        let size_bytes_max = limits.metadata_bytes_max;
        return Err(EntryFault::MetadataTooLarge { stream, size_bytes, size_bytes_max });
    }
    sort_keeping_last(metadata);
    let (n, n_max) = (metadata.len(), limits.metadata_fields_max);
    if n > n_max {
        return Err(EntryFault::MetadataTooMany { stream, n, n_max });
    }
    Ok(entry)
}

/// Names become label names, values lose what was no UTF-8, as in Loki.
fn tidy_metadata(metadata: &mut Vec<Pair<'_>>, terms: &Terms<'_>) {
    if terms.rules.label_names == super::LabelNames::Any {
        return;
    }
    let mut is_renamed = false;
    for (name, value) in metadata.iter_mut() {
        is_renamed |= sanitize(name);
        if value.contains('\u{fffd}') {
            *value = Cow::Owned(value.replace('\u{fffd}', ""));
        }
    }
    if is_renamed {
        sort_keeping_last(metadata);
    }
}

/// A level that the sender found is kept, in its usual spelling; `of_stream` goes before what the
/// entry says.
fn add_level<'a>(entry: &mut LogRow<'a>, of_stream: Option<&Cow<'a, str>>, terms: &Terms<'_>) {
    let place = entry.metadata.binary_search_by(|(it, _)| it.as_ref().cmp(DETECTED_LEVEL));
    match place {
        Ok(at) => {
            if let Some((_, value)) = entry.metadata.get_mut(at) {
                *value = normal(value);
            }
        }
        Err(at) => {
            let level = match (of_stream, &terms.rules.levels) {
                (Some(level), _) => level.clone(),
                (None, Some(fields)) => fields.of_entry(entry),
                (None, None) => return,
            };
            if !level.is_empty() {
                entry.metadata.reserve_exact(1);
                entry.metadata.insert(at, (Cow::Borrowed(DETECTED_LEVEL), level));
            }
        }
    }
}

/// Entries that follow one with the same time stamp get one that is a nanosecond later.
fn increment_duplicates(entries: &mut [LogRow<'_>]) {
    let mut previous: Option<(i64, i64)> = None;
    for entry in entries {
        let sent = entry.ts.0;
        if let Some((sent_before, kept_before)) = previous
            && sent == sent_before
        {
            entry.ts.0 = kept_before.saturating_add(1);
        }
        previous = Some((sent, entry.ts.0));
    }
}
