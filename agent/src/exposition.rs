//! One collection's result: metric families, as text for `/metrics` or as series for the wire.

use std::{borrow::Cow, collections::HashMap, fmt, fmt::Write as _};

use skep_proto::{
    Labels, LabelsBuilder, MetricKind, Sample, TimestampMs,
    names::{BUCKET_LE, METRIC_NAME},
    remote_write::SeriesBatch,
};

/// Families in the order they were first added.
#[derive(Debug, Default)]
pub(crate) struct Exposition {
    families: Vec<Family>,
    by_name: HashMap<Cow<'static, str>, usize>,
}

/// All points of one metric.
#[derive(Debug)]
pub(crate) struct Family {
    name: Cow<'static, str>,
    help: Cow<'static, str>,
    kind: MetricKind,
    points: Vec<Point>,
}

#[derive(Debug)]
struct Point {
    suffix: &'static str,
    labels: Vec<(Cow<'static, str>, String)>,
    value: f64,
}

impl Exposition {
    /// The family of this name, added if it is new.
    pub(crate) fn family(
        &mut self,
        name: impl Into<Cow<'static, str>>,
        help: impl Into<Cow<'static, str>>,
        kind: MetricKind,
    ) -> &mut Family {
        let name = name.into();
        let family_idx = match self.by_name.get(&name) {
            Some(family_idx) => *family_idx,
            None => {
                self.by_name.insert(name.clone(), self.families.len());
                self.families.push(Family { name, help: help.into(), kind, points: Vec::new() });
                self.families.len() - 1
            }
        };
        self.families.get_mut(family_idx).expect("found or pushed above")
    }

    pub(crate) fn gauge(&mut self, name: &'static str, help: &'static str, value: f64) {
        self.family(name, help, MetricKind::Gauge).point([], value);
    }

    pub(crate) fn counter(&mut self, name: &'static str, help: &'static str, value: f64) {
        self.family(name, help, MetricKind::Counter).point([], value);
    }

    /// Prometheus' text format 0.0.4, families sorted by name and points by label, as
    /// node_exporter prints them.
    pub(crate) fn to_text(&self) -> String {
        let mut families: Vec<&Family> =
            self.families.iter().filter(|it| !it.points.is_empty()).collect();
        families.sort_by(|left, right| left.name.cmp(&right.name));
        let mut out = String::new();
        for family in families {
            family.write_text(&mut out).expect("a String never fails");
        }
        out
    }

    /// Every point as a series of one sample at `ts`, with `common` labels added; a point's own
    /// label wins.
    pub(crate) fn to_series(&self, ts: TimestampMs, common: &[(&str, &str)]) -> Vec<SeriesBatch> {
        self.families.iter().flat_map(|family| family.to_series(ts, common)).collect()
    }
}

impl Family {
    pub(crate) fn point<const N: usize>(
        &mut self,
        labels: [(&'static str, &str); N],
        value: f64,
    ) -> &mut Self {
        let labels =
            labels.into_iter().map(|(name, it)| (Cow::Borrowed(name), it.to_owned())).collect();
        self.labelled(labels, value)
    }

    /// A point whose label names are only known at run time.
    pub(crate) fn labelled(
        &mut self,
        labels: Vec<(Cow<'static, str>, String)>,
        value: f64,
    ) -> &mut Self {
        self.points.push(Point { suffix: "", labels, value });
        self
    }

    /// A point of a suffixed series of a histogram or summary read from elsewhere.
    pub(crate) fn suffixed(
        &mut self,
        suffix: &'static str,
        labels: Vec<(Cow<'static, str>, String)>,
        value: f64,
    ) -> &mut Self {
        self.points.push(Point { suffix, labels, value });
        self
    }

    /// A classic histogram: `counts` are per bucket (not cumulative), one more than `bounds`; the
    /// last one is `+Inf`.
    pub(crate) fn histogram(
        &mut self,
        labels: &[(Cow<'static, str>, String)],
        bounds: &[f64],
        counts: &[u64],
        sum: f64,
    ) -> &mut Self {
        let bounds = bounds.iter().copied().chain([f64::INFINITY]);
        let mut total = 0;
        for (bound, count) in bounds.zip(counts) {
            total += count;
            let mut bucket = labels.to_vec();
            bucket.push((Cow::Borrowed(BUCKET_LE), Number(bound).to_string()));
            self.suffixed("_bucket", bucket, as_f64(total));
        }
        self.suffixed("_sum", labels.to_vec(), sum);
        self.suffixed("_count", labels.to_vec(), as_f64(total))
    }

    fn write_text(&self, out: &mut String) -> fmt::Result {
        let Self { name, help, kind, points } = self;
        if !help.is_empty() {
            writeln!(out, "# HELP {name} {}", help.replace('\\', "\\\\").replace('\n', "\\n"))?;
        }
        let kind = if *kind == MetricKind::Unknown { "untyped" } else { kind.as_str() };
        writeln!(out, "# TYPE {name} {kind}")?;
        for point in points {
            write!(out, "{name}{}", point.suffix)?;
            for (i, (label, value)) in point.labels.iter().enumerate() {
                out.push(if i == 0 { '{' } else { ',' });
                let value = value.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n");
                write!(out, "{label}=\"{value}\"")?;
            }
            out.push_str(if point.labels.is_empty() { "" } else { "}" });
            writeln!(out, " {}", Number(point.value))?;
        }
        Ok(())
    }

    fn to_series(&self, ts: TimestampMs, common: &[(&str, &str)]) -> Vec<SeriesBatch> {
        self.points
            .iter()
            .map(|point| SeriesBatch {
                labels: self.labels_of(point, common),
                samples: vec![Sample { ts, value: point.value }],
                kind: self.kind,
                help: self.help.clone(),
            })
            .collect()
    }

    fn labels_of(&self, point: &Point, common: &[(&str, &str)]) -> Labels {
        let mut labels = LabelsBuilder::default();
        for (name, value) in common {
            labels.set(name, value);
        }
        for (name, value) in &point.labels {
            labels.set(name, value);
        }
        labels.set(METRIC_NAME, &format!("{}{}", self.name, point.suffix));
        labels.build()
    }
}

/// Counters of the kernel as the float that goes over the wire; exact below 2^53.
#[expect(clippy::cast_precision_loss, reason = "samples are floats; 2^53 bounds what is exact")]
pub(crate) fn as_f64(count: u64) -> f64 {
    count as f64
}

/// A float as Go's client library prints it.
pub(crate) struct Number(pub(crate) f64);

impl fmt::Display for Number {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self(value) = *self;
        if value.is_nan() {
            return out.write_str("NaN");
        }
        if value.is_infinite() {
            return out.write_str(if value > 0.0 { "+Inf" } else { "-Inf" });
        }
        // Go's 'g' format with the shortest digits: an exponent below -4 and from 6 on.
        let magnitude = value.abs();
        if value == 0.0 || (1e-4..1e6).contains(&magnitude) {
            return write!(out, "{value}");
        }
        let text = format!("{value:e}");
        let (digits, exponent) = text.split_once('e').unwrap_or((&text, "0"));
        let (sign, exponent) =
            exponent.strip_prefix('-').map_or(('+', exponent), |exponent| ('-', exponent));
        write!(out, "{digits}e{sign}{exponent:0>2}")
    }
}
