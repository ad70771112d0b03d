//! Which labels of a row name its group.

use skep_proto::{Labels, names::METRIC_NAME};

use crate::leaf::Grouping;

/// The labels a row contributes to: `by` keeps only its labels, `without` drops its own and the
/// metric name.
pub fn group_labels(labels: &Labels, grouping: &Grouping) -> Labels {
    match grouping {
        Grouping::By(names) if names.is_empty() => Labels::default(),
        Grouping::By(names) => labels.keep(|it| names.iter().any(|name| name == it)),
        Grouping::Without(names) => {
            labels.keep(|it| it != METRIC_NAME && !names.iter().any(|name| name == it))
        }
    }
}
