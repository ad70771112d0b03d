//! What of the language a case needs, so that results can be counted by it.

use std::collections::BTreeSet;

use super::{script::Eval, series::Series};
use crate::{
    Expr, ParseOptions,
    ast::{Length, Modifiers, VectorSelector},
    functions::Run,
    parse_with,
};

/// A part of the language.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Tag {
    /// None of the others.
    Core,
    NativeHistogram,
    /// Native histograms with custom buckets.
    Nhcb,
    ExperimentalFunction,
    DurationExpression,
    ExtendedRange,
    FillModifier,
    StartTimestamp,
    TypeAndUnit,
}

impl Tag {
    /// As the lists of Prometheus' cases are counted.
    pub fn name(self) -> &'static str {
        match self {
            Self::Core => "core",
            Self::NativeHistogram => "native_histogram",
            Self::Nhcb => "nhcb",
            Self::ExperimentalFunction => "experimental_function",
            Self::DurationExpression => "duration_expression",
            Self::ExtendedRange => "extended_range",
            Self::FillModifier => "fill_modifier",
            Self::StartTimestamp => "start_timestamp",
            Self::TypeAndUnit => "type_and_unit",
        }
    }
}

/// What was loaded since the last `clear`.
#[derive(Debug, Default)]
pub(super) struct Block {
    /// Names with histograms.
    native: BTreeSet<String>,
    /// Names with custom buckets.
    nhcb: BTreeSet<String>,
    has_types: bool,
}

impl Block {
    pub(super) fn loaded(&mut self, series: &Series) {
        self.has_types |= series.labels.contains("__type__") || series.labels.contains("__unit__");
        let name = series.labels.metric_name();
        for item in series.values.iter().flatten() {
            if let super::Item::Histogram { histogram, .. } = item {
                self.native.insert(name.to_owned());
                if histogram.has_custom_buckets() {
                    self.nhcb.insert(name.to_owned());
                }
            }
        }
    }

    pub(super) fn tags(&self, case: &Eval) -> BTreeSet<Tag> {
        let mut tags = BTreeSet::new();
        if let Ok(expr) = parse_with(&case.query, ParseOptions { experimental: true }) {
            self.visit(&expr, &mut tags);
        }
        if case.expects_histograms() {
            tags.insert(Tag::NativeHistogram);
        }
        if self.has_types {
            tags.insert(Tag::TypeAndUnit);
        }
        if tags.is_empty() {
            tags.insert(Tag::Core);
        }
        tags
    }

    fn visit(&self, expr: &Expr, tags: &mut BTreeSet<Tag>) {
        match expr {
            Expr::Number(_) | Expr::String(_) => {}
            Expr::Vector(it) => self.selector(it, tags),
            Expr::Matrix(it) => {
                self.selector(&it.selector, tags);
                length(&it.range, tags);
            }
            Expr::Subquery(it) => {
                self.visit(&it.expr, tags);
                length(&it.range, tags);
                it.step.iter().for_each(|it| length(it, tags));
                modifiers(&it.modifiers, tags);
            }
            Expr::Call(it) => {
                if it.function.experimental {
                    tags.insert(Tag::ExperimentalFunction);
                }
                if it.function.name == "start_timestamp" {
                    tags.insert(Tag::StartTimestamp);
                }
                if matches!(it.function.run, Run::OfHistogram(_)) {
                    tags.insert(Tag::NativeHistogram);
                }
                it.args.iter().for_each(|it| self.visit(it, tags));
            }
            Expr::Aggregate(it) => {
                if it.op.is_experimental() {
                    tags.insert(Tag::ExperimentalFunction);
                }
                it.param.iter().for_each(|it| self.visit(it, tags));
                self.visit(&it.expr, tags);
            }
            Expr::Binary(it) => {
                if it.matching.fill != (None, None) {
                    tags.insert(Tag::FillModifier);
                }
                self.visit(&it.lhs, tags);
                self.visit(&it.rhs, tags);
            }
            Expr::Unary(it) => self.visit(&it.expr, tags),
            Expr::Paren(it) => self.visit(&it.expr, tags),
        }
    }

    fn selector(&self, it: &VectorSelector, tags: &mut BTreeSet<Tag>) {
        modifiers(&it.modifiers, tags);
        let names = it.matchers.iter().filter(|it| it.name() == skep_proto::names::METRIC_NAME);
        let names: Vec<_> = names.collect();
        let is_met = |name: &String| names.iter().all(|it| it.matches(name));
        if self.native.iter().any(is_met) {
            tags.insert(Tag::NativeHistogram);
        }
        if self.nhcb.iter().any(is_met) {
            tags.insert(Tag::Nhcb);
        }
    }
}

fn modifiers(it: &Modifiers, tags: &mut BTreeSet<Tag>) {
    length(&it.offset, tags);
    if it.extended.is_some() {
        tags.insert(Tag::ExtendedRange);
    }
}

fn length(it: &Length, tags: &mut BTreeSet<Tag>) {
    if matches!(it, Length::Expr(_)) {
        tags.insert(Tag::DurationExpression);
    }
}
