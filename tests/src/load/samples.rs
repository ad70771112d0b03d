//! Samples as a fleet of node_exporters would send them by remote-write 1.0.
//!
//! The template `scrape.tsv` is one host's 1,219 series: type, series, its value and its value a
//! minute later. A host's counters and gauges move at the pace these two tell, scaled by a factor
//! of its own; its scrapes come at a phase of its own with a few milliseconds of jitter.

use super::rng::Rng;

const TEMPLATE: &str = include_str!("scrape.tsv");
/// Between the two values of the template, in seconds.
const TEMPLATE_SPACING_S: f64 = 60.0;
const JITTER_MS: u64 = 11;

/// What to send; the same seed and end give the same samples.
#[derive(Debug, Clone, Copy)]
pub struct SampleLoad {
    pub hosts: u32,
    pub scrapes: u32,
    pub interval_ms: i64,
    /// Of the last scrape, in milliseconds.
    pub end_ms: i64,
    pub seed: u64,
}

#[derive(Debug, Clone, Copy, PartialEq)]
enum Kind {
    Constant,
    Counter,
    Gauge,
}

#[derive(Debug)]
struct Series {
    name: String,
    labels: Vec<(String, String)>,
    kind: Kind,
    start: f64,
    /// A counter's mean increment, a gauge's standard deviation; per scrape.
    pace: f64,
    /// Values are multiples of it; 0 for any value.
    grain: f64,
}

/// One sender of the load.
#[derive(Debug)]
pub struct Host {
    rng: Rng,
    series: std::sync::Arc<[Series]>,
    values: Vec<f64>,
    factors: Vec<f64>,
    /// The encoded `Label` messages of each series.
    labels: Vec<Vec<u8>>,
    phase_ms: i64,
}

impl SampleLoad {
    /// # Errors
    /// The template is damaged.
    pub fn hosts(&self) -> anyhow::Result<Vec<Host>> {
        let interval_s = std::time::Duration::from_millis(self.interval_ms.unsigned_abs());
        let series: std::sync::Arc<[Series]> = template(interval_s.as_secs_f64())?.into();
        Ok((0..self.hosts).map(|it| Host::new(it, self, &series)).collect())
    }

    /// When scrape `n` is nominally taken, in milliseconds.
    pub fn scrape_ms(&self, n: u32) -> i64 {
        self.end_ms - i64::from(self.scrapes - n) * self.interval_ms
    }

    pub fn n_samples(&self) -> u64 {
        u64::from(self.hosts) * u64::from(self.scrapes) * SERIES_PER_HOST
    }
}

/// Lines of the template.
pub const SERIES_PER_HOST: u64 = 1_219;

impl Host {
    fn new(index: u32, load: &SampleLoad, series: &std::sync::Arc<[Series]>) -> Self {
        let mut rng = Rng::new(load.seed.wrapping_mul(1_000_003).wrapping_add(u64::from(index)));
        let phase_ms = rng.below(load.interval_ms.unsigned_abs() - 20).cast_signed() + 10;
        let (mut values, mut factors, mut labels) = (Vec::new(), Vec::new(), Vec::new());
        for it in series.iter() {
            let factor = 0.3 + rng.unit() * 1.4;
            // As a 32-bit float, so that the values are those of earlier measurements.
            #[expect(clippy::cast_possible_truncation, reason = "rounding is what is meant")]
            factors.push(f64::from(factor as f32));
            values.push(match it.kind {
                Kind::Constant => it.start,
                _ => round(it.start * factor, it.grain),
            });
            labels.push(it.encoded_labels(index));
        }
        Self { rng, series: std::sync::Arc::clone(series), values, factors, labels, phase_ms }
    }

    /// Its first scrape comes this long after the load's.
    pub fn phase_ms(&self) -> i64 {
        self.phase_ms
    }

    /// Appends one scrape to the bytes of a `WriteRequest`.
    pub fn scrape(&mut self, nominal_ms: i64, out: &mut Vec<u8>) {
        let jitter = self.rng.below(JITTER_MS).cast_signed() - 5;
        let ts = (nominal_ms + self.phase_ms + jitter).cast_unsigned();
        let values = self.values.iter_mut().zip(&self.factors);
        for ((series, labels), (value, factor)) in self.series.iter().zip(&self.labels).zip(values)
        {
            series.step(&mut self.rng, value, *factor);
            let n_sample_bytes = 9 + 1 + varint_len(ts);
            out.push(0x0a);
            put_varint(out, (labels.len() + 2 + n_sample_bytes) as u64);
            out.extend_from_slice(labels);
            out.push(0x12);
            put_varint(out, n_sample_bytes as u64);
            out.push(0x09);
            out.extend_from_slice(&value.to_le_bytes());
            out.push(0x10);
            put_varint(out, ts);
        }
    }
}

impl Series {
    fn encoded_labels(&self, host: u32) -> Vec<u8> {
        let (instance, node) = (format!("host-{host:03}:9100"), format!("host-{host:03}"));
        let mut pairs: Vec<(&str, &str)> = self
            .labels
            .iter()
            .map(|(name, value)| (name.as_str(), if name == "nodename" { &node } else { value }))
            .map(|(name, value)| (name, value.as_str()))
            .collect();
        pairs.extend([("__name__", self.name.as_str()), ("instance", &instance), ("job", "node")]);
        pairs.sort_unstable();
        let mut out = Vec::new();
        for (name, value) in pairs {
            let mut pair = Vec::new();
            put_bytes(&mut pair, 1, name.as_bytes());
            put_bytes(&mut pair, 2, value.as_bytes());
            put_bytes(&mut out, 1, &pair);
        }
        out
    }

    fn step(&self, rng: &mut Rng, value: &mut f64, factor: f64) {
        match self.kind {
            Kind::Constant => {}
            Kind::Counter => {
                let mean = self.pace * factor;
                // Small whole counters tick now and then; others grow by a noisy step.
                let step = if self.grain >= 1.0 && mean < 1.0 {
                    f64::from(u8::from(rng.unit() < mean))
                } else {
                    mean * (0.25 + 1.5 * rng.unit())
                };
                *value = round(*value + step, self.grain);
            }
            Kind::Gauge => {
                let moved = *value + rng.normal() * self.pace;
                let low = (self.start * 3.0).min(0.0);
                let high = self.start.abs() * 3.0 + self.pace * 10.0;
                *value = round(moved.clamp(low, high), self.grain);
            }
        }
    }
}

fn template(interval_s: f64) -> anyhow::Result<Vec<Series>> {
    let lines = TEMPLATE.lines().filter(|it| !it.is_empty() && !it.starts_with('#'));
    lines.map(|line| series(line, interval_s)).collect()
}

fn series(line: &str, interval_s: f64) -> anyhow::Result<Series> {
    let fields: Vec<&str> = line.split('\t').collect();
    let &[kind, text, start, later] = fields.as_slice() else {
        anyhow::bail!("template line {line:?} has not four columns")
    };
    let (start, later): (f64, f64) = (start.parse()?, later.parse()?);
    let delta = later - start;
    let kind = if delta == 0.0 || !delta.is_finite() {
        Kind::Constant
    } else if kind == "counter" && delta >= 0.0 {
        Kind::Counter
    } else {
        Kind::Gauge
    };
    let n_steps = TEMPLATE_SPACING_S / interval_s;
    let pace = match kind {
        Kind::Constant => 0.0,
        Kind::Counter => delta / n_steps,
        Kind::Gauge => delta.abs() / n_steps.sqrt(),
    };
    let (name, labels) = skep_series(text)?;
    let grain = grain(&name, start, later);
    Ok(Series { name, labels, kind, start, pace, grain })
}

/// Of what both values are multiples: pages, whole numbers, hundredths.
fn grain(name: &str, start: f64, later: f64) -> f64 {
    let both = |is: fn(f64) -> bool| is(start) && is(later);
    if name.ends_with("_bytes") && both(|it| it % 4_096.0 == 0.0) {
        4_096.0
    } else if both(|it| it.fract() == 0.0) {
        1.0
    } else if both(|it| ((it * 100.0).round() / 100.0 - it).abs() < 1e-9) {
        0.01
    } else {
        0.0
    }
}

fn round(value: f64, grain: f64) -> f64 {
    if grain == 0.0 {
        value
    } else if grain < 1.0 {
        (value * 100.0).round() / 100.0
    } else {
        (value / grain).round() * grain
    }
}

type NamedPairs = (String, Vec<(String, String)>);

/// `name{label="value",…}` as the text format writes it.
fn skep_series(text: &str) -> anyhow::Result<NamedPairs> {
    let Some((name, rest)) = text.split_once('{') else { return Ok((text.to_owned(), Vec::new())) };
    let mut pairs = Vec::new();
    let mut rest = rest.trim_start_matches([',', ' ']);
    while let Some((label, after)) = rest.split_once("=\"") {
        let mut value = String::new();
        let mut chars = after.char_indices();
        let end = loop {
            match chars.next() {
                Some((at, '"')) => break at,
                Some((_, '\\')) => match chars.next() {
                    Some((_, 'n')) => value.push('\n'),
                    Some((_, it)) => value.push(it),
                    None => anyhow::bail!("series {text:?} ends in a backslash"),
                },
                Some((_, it)) => value.push(it),
                None => anyhow::bail!("series {text:?} has an open quote"),
            }
        };
        pairs.push((label.to_owned(), value));
        rest = after.get(end + 1..).unwrap_or_default().trim_start_matches([',', ' ']);
    }
    Ok((name.to_owned(), pairs))
}

pub(super) fn put_varint(out: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        out.push(value.to_le_bytes()[0] | 0x80);
        value >>= 7;
    }
    out.push(value.to_le_bytes()[0]);
}

pub(super) fn put_bytes(out: &mut Vec<u8>, field: u8, bytes: &[u8]) {
    out.push(field << 3 | 2);
    put_varint(out, bytes.len() as u64);
    out.extend_from_slice(bytes);
}

fn varint_len(value: u64) -> usize {
    (64 - (value | 1).leading_zeros() as usize).div_ceil(7)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_template_has_as_many_series_as_is_said_and_their_labels_are_read() {
        let series = template(15.0).unwrap();
        assert_eq!(series.len() as u64, SERIES_PER_HOST);
        let (name, pairs) = skep_series(r#"a{b="c,\"d\n",e=""}"#).unwrap();
        assert_eq!(name, "a");
        assert_eq!(pairs, [("b".into(), "c,\"d\n".into()), ("e".into(), String::new())]);
    }

    #[test]
    fn the_same_seed_gives_the_same_bytes() {
        let load = SampleLoad {
            hosts: 2,
            scrapes: 3,
            interval_ms: 15_000,
            end_ms: 1_795_000_000_000,
            seed: 7,
        };
        let bytes = || {
            let mut out = Vec::new();
            for host in &mut load.hosts().unwrap() {
                (0..load.scrapes).for_each(|it| host.scrape(load.scrape_ms(it), &mut out));
            }
            out
        };
        assert_eq!(bytes(), bytes());
        assert_eq!(load.n_samples(), 2 * 3 * SERIES_PER_HOST);
    }
}
