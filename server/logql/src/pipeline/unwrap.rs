//! `| unwrap duration(took)`: a label's value becomes the sample.

use skep_proto::go_units as units;

use super::{Line, RunStage, label_filter::LabelFilterStage};
use crate::{
    ast::{Conversion, Unwrap},
    error::QueryError,
};

/// The `__error__` of a label that is no number.
const UNWRAP_ERROR: &str = "SampleExtractionErr";

/// What a line counts in a range aggregation.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Unwrapped {
    /// The query unwraps nothing: the line itself counts.
    NoStage,
    /// The line has no such label, or a filter behind `unwrap` dropped it.
    Skip,
    Value(f64),
}

#[derive(Debug)]
pub(super) struct Unwrapper {
    label: String,
    conversion: Conversion,
    filters: Vec<LabelFilterStage>,
}

impl Unwrapper {
    pub(super) fn compile(unwrap: &Unwrap) -> Result<Self, QueryError> {
        let filters =
            unwrap.filters.iter().map(LabelFilterStage::compile).collect::<Result<_, _>>()?;
        Ok(Self { label: unwrap.label.clone(), conversion: unwrap.conversion, filters })
    }

    /// The value of a text; `None` if it has none.
    pub(super) fn convert(&self, text: &str) -> Option<f64> {
        convert(self.conversion, text).ok()
    }

    /// Whether a line passes the filters behind.
    pub(super) fn passes(&self, line: &mut Line<'_>) -> bool {
        self.filters.iter().all(|it| it.run(line))
    }

    pub(super) fn run(&self, line: &mut Line<'_>) -> Unwrapped {
        let text = line.labels.get(&self.label).unwrap_or_default();
        if text.is_empty() {
            return Unwrapped::Skip;
        }
        let value = match convert(self.conversion, text) {
            Ok(value) => value,
            Err(details) => {
                line.labels.set_error(UNWRAP_ERROR);
                line.labels.set_error_details(&details);
                0.0
            }
        };
        if self.filters.iter().all(|it| it.run(line)) {
            Unwrapped::Value(value)
        } else {
            Unwrapped::Skip
        }
    }
}

#[expect(clippy::cast_precision_loss, reason = "values are floats")]
fn convert(conversion: Conversion, text: &str) -> Result<f64, String> {
    match conversion {
        Conversion::Number => units::go_parse_float(text),
        Conversion::Duration | Conversion::DurationSeconds => {
            units::go_duration_or_error(text).map(|ns| ns as f64 / 1e9)
        }
        Conversion::Bytes => units::bytes_or_error(text).map(|it| it as f64),
    }
}
