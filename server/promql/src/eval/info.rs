//! `info()`: labels of info metrics put to the series of the same instance and job.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    sync::Arc,
};

use skep_proto::{Labels, MatchOp, Matcher, TimeRange, TimestampMs, names::METRIC_NAME};

use super::{Eval, EvalError, select::Look};
use crate::{
    Expr, Grid, Matrix, Row, Window,
    ast::{Call, Length, Modifiers, VectorSelector},
    vector::{Cell, Operand as _, merge_same_labels},
};

/// What a query gets that names no info metric.
const DEFAULT_METRIC: &str = "target_info";

/// The labels by which a series and an info series belong together.
const IDENTIFYING: [&str; 2] = ["instance", "job"];

/// The info metrics and their labels that are asked for.
struct Wanted {
    names: Vec<Matcher>,
    /// By label; all labels are wanted where there is none.
    labels: BTreeMap<String, Vec<Matcher>>,
}

/// An info series, with the time of its newest sample at each step.
struct InfoSeries {
    row: Row,
    name: String,
}

type BySignature = HashMap<Labels, Vec<InfoSeries>>;

impl Eval<'_> {
    pub(super) async fn info(&self, call: &Call, grid: Grid) -> Result<Matrix, EvalError> {
        let input = self.argument(call, 0, grid).await?;
        let selector = match call.args.get(1).map(Expr::unwrapped) {
            Some(Expr::Vector(it)) => Some(it),
            _ => None,
        };
        let wanted = Wanted::of(selector)?;
        let is_info =
            |row: &Row| wanted.names.iter().all(|it| it.matches(row.labels.metric_name()));
        let plain: Vec<&Row> = input.rows.iter().filter(|it| !is_info(it)).collect();
        let modifiers = match call.args.first() {
            Some(it) => self.first_modifiers(it)?.unwrap_or_default(),
            None => Modifiers::default(),
        };
        let infos = self.info_series(&wanted, &plain, &modifiers, grid).await?;
        let mut rows = Vec::with_capacity(input.rows.len());
        for row in &input.rows {
            if is_info(row) {
                rows.push(row.clone());
            } else {
                let own = infos.get(&signature(&row.labels)).map(Vec::as_slice);
                rows.extend(enriched(row, own.unwrap_or_default(), &wanted)?);
            }
        }
        Ok(Matrix { grid, rows: merge_same_labels(rows)? })
    }

    /// The info series any of the rows may belong to, by what identifies them.
    async fn info_series(
        &self,
        wanted: &Wanted,
        rows: &[&Row],
        modifiers: &Modifiers,
        grid: Grid,
    ) -> Result<BySignature, EvalError> {
        let is_identified = |it: &&Row| IDENTIFYING.iter().any(|name| it.labels.contains(name));
        if !rows.iter().any(is_identified) {
            return Ok(BySignature::new());
        }
        let mut matchers: Vec<Matcher> = Vec::new();
        for label in IDENTIFYING {
            matchers.extend(one_of_values(label, rows)?);
        }
        matchers.extend(wanted.labels.values().flatten().cloned());
        matchers.extend(wanted.names.iter().cloned());
        let selector = VectorSelector {
            name: None,
            matchers,
            modifiers: Modifiers::default(),
            may_match_all: true,
            span: crate::ast::Span::default(),
        };
        let lens = self.lens(modifiers, grid)?;
        let start = lens.grid.start().0.saturating_sub(self.options.lookback_ms);
        let range = TimeRange { start: TimestampMs(start), end: lens.grid.end() };
        if let [it, ..] = self.storage.histograms(&selector.matchers, range).await?.as_slice() {
            return Err(EvalError::Execution(format!(
                "this should be an info metric, with float samples: {}",
                it.labels
            )));
        }
        let look = Look::new(&selector, Window::LastTimestamp, selector.span);
        let found = lens.onto(self.instant_leaf(look, lens.grid).await?, grid);
        let mut infos = BySignature::new();
        for row in found.rows {
            let name = row.labels.metric_name().to_owned();
            infos.entry(signature(&row.labels)).or_default().push(InfoSeries { row, name });
        }
        Ok(infos)
    }
}

impl Eval<'_> {
    /// Where the first selector of an expression looks: info series are looked at there, too.
    fn first_modifiers(&self, expr: &Expr) -> Result<Option<Modifiers>, EvalError> {
        let first = |all: &mut dyn Iterator<Item = &Expr>| -> Result<Option<Modifiers>, EvalError> {
            for it in all {
                if let Some(found) = self.first_modifiers(it)? {
                    return Ok(Some(found));
                }
            }
            Ok(None)
        };
        match expr {
            Expr::Vector(it) => Ok(Some(it.modifiers.clone())),
            Expr::Matrix(it) => Ok(Some(it.selector.modifiers.clone())),
            Expr::Subquery(it) => {
                let Some(inner) = self.first_modifiers(&it.expr)? else {
                    return Ok(None);
                };
                if inner.at.is_some() {
                    return Ok(Some(inner));
                }
                let outer_ms = self.length_ms(&it.modifiers.offset)?;
                let offset_ms = self.length_ms(&inner.offset)?.saturating_add(outer_ms);
                let offset = Length::Millis(offset_ms);
                Ok(Some(Modifiers { offset, at: it.modifiers.at, extended: None }))
            }
            Expr::Call(it) => first(&mut it.args.iter()),
            Expr::Aggregate(it) => first(&mut it.param.as_deref().into_iter().chain([&*it.expr])),
            Expr::Binary(it) => first(&mut [&*it.lhs, &*it.rhs].into_iter()),
            Expr::Unary(it) => self.first_modifiers(&it.expr),
            Expr::Paren(it) => self.first_modifiers(&it.expr),
            Expr::Number(_) | Expr::String(_) => Ok(None),
        }
    }
}

impl Wanted {
    fn of(selector: Option<&VectorSelector>) -> Result<Self, EvalError> {
        let mut names = Vec::new();
        let mut labels: BTreeMap<String, Vec<Matcher>> = BTreeMap::new();
        for it in selector.iter().flat_map(|it| &it.matchers) {
            if it.name() == METRIC_NAME {
                names.push(it.clone());
            } else {
                labels.entry(it.name().to_owned()).or_default().push(it.clone());
            }
        }
        let is_positive = |it: &Matcher| matches!(it.op(), MatchOp::Equal | MatchOp::Regex);
        if names.is_empty() {
            names.push(matcher(METRIC_NAME, MatchOp::Equal, DEFAULT_METRIC)?);
        } else if !names.iter().any(is_positive) {
            // What is excluded alone would leave every series there is.
            names.push(matcher(METRIC_NAME, MatchOp::Regex, ".+_info")?);
        }
        Ok(Self { names, labels })
    }

    fn is_wanted(&self, label: &str) -> bool {
        label != METRIC_NAME && (self.labels.is_empty() || self.labels.contains_key(label))
    }

    /// Whether a series without any of the labels is one that is asked for.
    fn may_be_missing(&self) -> bool {
        self.labels.values().flatten().all(|it| it.matches(""))
    }
}

fn matcher(name: &str, op: MatchOp, value: &str) -> Result<Matcher, EvalError> {
    Matcher::new(name, op, value).map_err(|error| EvalError::Execution(error.to_string()))
}

/// Bounds the pattern made of the values of a label; more of them are not told apart by storage.
const N_VALUES_MAX: usize = 1_000;

/// A matcher for the values the rows have of a label.
fn one_of_values(label: &str, rows: &[&Row]) -> Result<Option<Matcher>, EvalError> {
    let values = rows.iter().map(|it| it.labels.get(label)).filter(|it| !it.is_empty());
    let values: BTreeSet<&str> = values.collect();
    if values.is_empty() || values.len() > N_VALUES_MAX {
        return Ok(None);
    }
    let pattern: Vec<String> = values.into_iter().map(regex::escape).collect();
    matcher(label, MatchOp::Regex, &pattern.join("|")).map(Some)
}

fn signature(labels: &Labels) -> Labels {
    labels.keep(|it| IDENTIFYING.contains(&it))
}

/// A row with the labels of its info series: several rows where these change over time.
fn enriched(row: &Row, own: &[InfoSeries], wanted: &Wanted) -> Result<Vec<Row>, EvalError> {
    let mut rows: HashMap<Arc<Labels>, Row> = HashMap::new();
    let mut order: Vec<Arc<Labels>> = Vec::new();
    let n_steps = row.values.len();
    for step_idx in 0..n_steps {
        let Some(cell) = Cell::at(row, step_idx) else {
            continue;
        };
        let newest = newest(own, step_idx)?;
        if newest.is_empty() && !wanted.may_be_missing() {
            continue;
        }
        let labels = Arc::new(with_labels(&row.labels, &newest, wanted)?);
        let held = rows.entry(Arc::clone(&labels)).or_insert_with(|| {
            order.push(Arc::clone(&labels));
            let values = vec![crate::absent(); n_steps];
            Row { drops_name: row.drops_name, ..Row::floats(labels, values) }
        });
        cell.put(held, step_idx);
    }
    Ok(order.iter().filter_map(|it| rows.remove(it)).collect())
}

/// The newest series of each info metric at a step.
fn newest(own: &[InfoSeries], step_idx: usize) -> Result<BTreeMap<&str, &InfoSeries>, EvalError> {
    let mut newest: BTreeMap<&str, (f64, &InfoSeries)> = BTreeMap::new();
    for info in own {
        let Some(at) = f64::at(&info.row, step_idx) else {
            continue;
        };
        match newest.get(info.name.as_str()) {
            Some((held_at, _)) if *held_at > at => {}
            Some((held_at, held)) if at.to_bits() == held_at.to_bits() => {
                return Err(duplicate(held, info, at));
            }
            _ => {
                newest.insert(&info.name, (at, info));
            }
        }
    }
    Ok(newest.into_iter().map(|(name, (_, info))| (name, info)).collect())
}

fn duplicate(first: &InfoSeries, second: &InfoSeries, at: f64) -> EvalError {
    #[expect(clippy::cast_possible_truncation, reason = "was a time stamp")]
    let at = TimestampMs((at * 1000.0).round() as i64).0;
    EvalError::Execution(format!(
        "found duplicate series for info metric: existing {} @ {at}, new {} @ {at}",
        first.row.labels, second.row.labels
    ))
}

fn with_labels(
    labels: &Labels,
    infos: &BTreeMap<&str, &InfoSeries>,
    wanted: &Wanted,
) -> Result<Labels, EvalError> {
    let mut added = Labels::default().to_builder();
    for info in infos.values() {
        for (name, value) in info.row.labels.iter().filter(|(name, _)| wanted.is_wanted(name)) {
            let held = added.get(name);
            if !held.is_empty() && held != value {
                return Err(EvalError::Execution(format!("conflicting label: {name}")));
            }
            if !labels.contains(name) {
                added.set(name, value);
            }
        }
    }
    let mut result = labels.to_builder();
    for (name, value) in added.build().iter() {
        result.set(name, value);
    }
    Ok(result.build())
}
