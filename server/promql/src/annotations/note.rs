//! What computations over native histograms have to say, before it is known where in the query.

use std::collections::BTreeSet;

use crate::{ast::BinaryOp, lex::quote};

/// Each once, in an order that does not depend on the data's.
pub type Notes = BTreeSet<Note>;

/// One thing to tell; the evaluator adds the position.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Note {
    /// A range holds floats and histograms of this metric.
    MixedTypes(String),
    /// A group holds floats and histograms.
    MixedTypesInGroup,
    /// Exponential and custom buckets under this name.
    MixedSchemas(String),
    /// Classic buckets and native histograms of one name and labels.
    MixedClassicNative(String),
    NotCounter(String),
    NotGauge(String),
    /// Histograms of a range were left out, as the function knows floats only.
    IgnoredInRange(String),
    /// As above, of an aggregation.
    IgnoredInAggregation(&'static str),
    /// No result where an operator has none for these kinds.
    NoOperator {
        lhs: &'static str,
        op: BinaryOp,
        rhs: &'static str,
    },
    /// Bucket layouts that an operator cannot bring together.
    NoCommonLayout(BinaryOp),
    ResetCollision(Operation),
    Reconciled(Operation),
    QuantileIsNan(String),
    QuantileIsSkewed(String),
    FractionExcludesNan(String),
}

/// What histograms were put through.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Operation {
    Addition,
    Subtraction,
    Aggregation,
}

impl Operation {
    fn name(self) -> &'static str {
        match self {
            Self::Addition => "addition",
            Self::Subtraction => "subtraction",
            Self::Aggregation => "aggregation",
        }
    }
}

impl Note {
    pub(super) fn is_info(&self) -> bool {
        matches!(
            self,
            Self::IgnoredInRange(_)
                | Self::IgnoredInAggregation(_)
                | Self::NoOperator { .. }
                | Self::Reconciled(_)
                | Self::QuantileIsNan(_)
                | Self::QuantileIsSkewed(_)
                | Self::FractionExcludesNan(_)
        )
    }

    /// Prometheus' words.
    pub(super) fn text(&self) -> String {
        let for_metric = |it: &String| super::for_metric(it);
        match self {
            Self::MixedTypes(name) => format!(
                "encountered a mix of histograms and floats for metric name {}",
                quote(name)
            ),
            Self::MixedTypesInGroup => {
                "encountered a mix of histograms and floats for aggregation".to_owned()
            }
            Self::MixedSchemas(name) => format!(
                "vector contains a mix of histograms with exponential and custom buckets schemas \
                 for metric name {}",
                quote(name)
            ),
            Self::MixedClassicNative(name) => format!(
                "vector contains a mix of classic and native histograms{}",
                for_metric(name)
            ),
            Self::NotCounter(name) => {
                format!("this native histogram metric is not a counter: {}", quote(name))
            }
            Self::NotGauge(name) => {
                format!("this native histogram metric is not a gauge: {}", quote(name))
            }
            Self::IgnoredInRange(name) => format!(
                "ignored histograms in a range containing both floats and histograms for metric \
                 name {}",
                quote(name)
            ),
            Self::IgnoredInAggregation(op) => format!("ignored histogram in {op} aggregation"),
            Self::NoOperator { lhs, op, rhs } => {
                let op = op.name();
                format!(
                    "incompatible sample types encountered for binary operator {}: {lhs} {op} {rhs}",
                    quote(op)
                )
            }
            Self::NoCommonLayout(op) => {
                format!("incompatible bucket layout encountered for binary operator {}", op.name())
            }
            Self::ResetCollision(it) => {
                format!("conflicting counter resets during histogram {}", it.name())
            }
            Self::Reconciled(it) => {
                format!("mismatched custom buckets were reconciled during {}", it.name())
            }
            Self::QuantileIsNan(name) => format!(
                "input to histogram_quantile has NaN observations, result is NaN{}",
                for_metric(name)
            ),
            Self::QuantileIsSkewed(name) => format!(
                "input to histogram_quantile has NaN observations, result is skewed higher{}",
                for_metric(name)
            ),
            Self::FractionExcludesNan(name) => format!(
                "input to histogram_fraction has NaN observations, which are excluded from all \
                 fractions{}",
                for_metric(name)
            ),
        }
    }
}
