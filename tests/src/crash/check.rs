//! What must be there: every row of every acknowledged batch, once, and nothing nobody sent.

use anyhow::{Context as _, ensure};
use serde_json::Value;

use super::load::{Kind, LATE_S, METRIC, N_STAMPS, Place, STEP_S, Sender, start_s};
use crate::Client;

/// Of one answer, so that it stays below the server's limit of lines.
const BATCHES_PER_PAGE: u64 = 150;
/// As many as the server gives at most.
const LINES_MAX: usize = 5_000;
const EXAMPLES_MAX: usize = 5;

/// A count of rows.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Tally {
    pub n_found: u64,
    pub n_lost: u64,
    pub n_doubled: u64,
    /// Rows that nobody sent, or with another value.
    pub n_wrong: u64,
    pub examples: Vec<String>,
}

impl Tally {
    pub(super) fn add(&mut self, other: Self) {
        self.n_found += other.n_found;
        self.n_lost += other.n_lost;
        self.n_doubled += other.n_doubled;
        self.n_wrong += other.n_wrong;
        self.examples.extend(other.examples);
        self.examples.truncate(EXAMPLES_MAX);
    }

    pub fn is_good(&self) -> bool {
        self.n_lost + self.n_doubled + self.n_wrong == 0
    }

    fn example(&mut self, text: impl FnOnce() -> String) {
        if self.examples.len() < EXAMPLES_MAX {
            self.examples.push(text());
        }
    }
}

/// Which rows of each batch were seen.
struct Seen {
    masks: Vec<u64>,
    tally: Tally,
}

impl Seen {
    fn row(&mut self, place: Option<Place>, is_right: bool, what: impl Fn() -> String) {
        let index = place.and_then(|it| usize::try_from(it.batch).ok());
        let mask = index.and_then(|it| self.masks.get_mut(it));
        match (place, mask) {
            (Some(place), Some(mask)) if is_right => {
                if *mask & place.bit() == 0 {
                    *mask |= place.bit();
                    self.tally.n_found += 1;
                } else {
                    self.tally.n_doubled += 1;
                    self.tally.example(|| format!("twice: {}", what()));
                }
            }
            _ => {
                self.tally.n_wrong += 1;
                self.tally.example(|| format!("never sent: {}", what()));
            }
        }
    }
}

/// Reads back all that the sender may have sent. The load may go on meanwhile.
pub(super) async fn check(client: &Client, sender: &Sender) -> anyhow::Result<Tally> {
    let n_must = sender.n_acknowledged();
    let mut seen = Seen { masks: Vec::new(), tally: Tally::default() };
    let first_s = start_s(0) - LATE_S;
    let last_s = start_s(n_must + 1);
    let page_s = i64::try_from(BATCHES_PER_PAGE * N_STAMPS)? * STEP_S;
    // Room for what is sent until we are done.
    seen.masks.resize(usize::try_from(n_must)? + 100_000, 0);
    let mut start_s = first_s;
    while start_s <= last_s {
        match sender.kind {
            Kind::Samples => samples(client, sender, start_s, page_s, &mut seen).await?,
            Kind::Lines => lines(client, sender, start_s, page_s, &mut seen).await?,
        }
        start_s += page_s;
    }
    for (batch, mask) in (0..n_must).zip(&seen.masks) {
        let n_missing = u64::from((sender.full_mask() & !mask).count_ones());
        if n_missing > 0 {
            seen.tally.n_lost += n_missing;
            let connection = sender.connection;
            seen.tally.example(|| {
                format!("lost: {n_missing} rows of connection {connection} batch {batch}")
            });
        }
    }
    Ok(seen.tally)
}

/// Samples in `[start_s, start_s + page_s)`.
async fn samples(
    client: &Client,
    sender: &Sender,
    start_s: i64,
    page_s: i64,
    seen: &mut Seen,
) -> anyhow::Result<()> {
    let query = format!("{METRIC}{{connection=\"{}\"}}[{page_s}s]", sender.connection);
    let time = (start_s + page_s - 1).to_string();
    let data = client.data("/api/v1/query", &[("query", query.as_str()), ("time", &time)]).await?;
    for series in data.get("result").and_then(Value::as_array).context("no result")? {
        let label = |name| series.pointer(name).and_then(Value::as_str).unwrap_or_default();
        let set: u64 = label("/metric/set").parse()?;
        let epoch: u64 = label("/metric/epoch").parse()?;
        let values = series.get("values").and_then(Value::as_array).context("no values")?;
        for value in values {
            let ts_s = value.get(0).and_then(Value::as_i64).context("no whole time stamp")?;
            let found: f64 = value.get(1).and_then(Value::as_str).context("no value")?.parse()?;
            let place = Place::at(set, ts_s);
            let is_right = place.is_some_and(|it| {
                it.epoch() == epoch && sender.value(it).to_bits() == found.to_bits()
            });
            seen.row(place, is_right, || format!("set {set} epoch {epoch}: {value}"));
        }
    }
    Ok(())
}

/// Lines in `[start_s, start_s + page_s)`.
async fn lines(
    client: &Client,
    sender: &Sender,
    start_s: i64,
    page_s: i64,
    seen: &mut Seen,
) -> anyhow::Result<()> {
    let query = format!("{{job=\"crash\",connection=\"{}\"}}", sender.connection);
    let (start, end) = (format!("{start_s}000000000"), format!("{}000000000", start_s + page_s));
    let limit = LINES_MAX.to_string();
    let params = [
        ("query", query.as_str()),
        ("start", &start),
        ("end", &end),
        ("limit", &limit),
        ("direction", "forward"),
    ];
    let data = client.data("/loki/api/v1/query_range", &params).await?;
    let mut n_lines = 0;
    for stream in data.get("result").and_then(Value::as_array).context("no result")? {
        let set: u64 =
            stream.pointer("/stream/set").and_then(Value::as_str).context("no set")?.parse()?;
        for value in stream.get("values").and_then(Value::as_array).context("no values")? {
            n_lines += 1;
            let ts = value.get(0).and_then(Value::as_str).context("no time stamp")?;
            let ts_s = ts.strip_suffix("000000000").context("no whole second")?.parse()?;
            let found = value.get(1).and_then(Value::as_str).context("no line")?;
            let place = Place::at(set, ts_s);
            let is_right = place.is_some_and(|it| sender.line(it) == found);
            seen.row(place, is_right, || format!("set {set}: {value}"));
        }
    }
    ensure!(n_lines < LINES_MAX, "a page of lines is not whole");
    Ok(())
}
