//! Sum and mean of many histograms, without what rounding would take from them.

use skep_proto::ResetHint;

use super::{Added, Histogram, MixedSchemas};
use crate::kahan::Kahan;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fold {
    Sum,
    Mean,
}

/// A running sum or mean.
#[derive(Debug)]
struct Running {
    /// The sum; the mean once the sum would overflow.
    total: Histogram<Kahan>,
    n: f64,
    is_incremental: bool,
}

/// What many histograms come to, and what there is to tell of it. An error names which of them had
/// other buckets than those before; of nothing comes nothing.
pub(crate) fn fold<'a>(
    kind: Fold,
    histograms: impl IntoIterator<Item = &'a Histogram>,
) -> (Result<Option<Histogram>, usize>, Added) {
    let (mut notes, mut hints) = (Added::default(), [false; 2]);
    let mut running: Option<Running> = None;
    for (idx, histogram) in histograms.into_iter().enumerate() {
        hints[0] |= histogram.hint == ResetHint::Reset;
        hints[1] |= histogram.hint == ResetHint::NotReset;
        match &mut running {
            None => {
                let total = histogram.counted();
                running = Some(Running { total, n: 1.0, is_incremental: false });
            }
            Some(running) => match running.add(kind, histogram) {
                Ok(added) => notes.is_reconciled |= added.is_reconciled,
                Err(MixedSchemas) => return (Err(idx), notes),
            },
        }
    }
    notes.is_collision = hints == [true; 2];
    (Ok(running.map(|it| it.finish(kind))), notes)
}

impl Running {
    fn add(&mut self, kind: Fold, histogram: &Histogram) -> Result<Added, MixedSchemas> {
        self.n += 1.0;
        if kind == Fold::Sum {
            return self.total.add(histogram);
        }
        if !self.is_incremental {
            let mut next = self.total.clone();
            let added = next.add(histogram)?;
            if !next.has_overflow() {
                self.total = next;
                return Ok(added);
            }
            self.is_incremental = true;
            self.total.divide(self.n - 1.0);
        }
        self.total.scale((self.n - 1.0) / self.n);
        let mut share = histogram.clone();
        share.divide(self.n);
        self.total.add(&share)
    }

    fn finish(mut self, kind: Fold) -> Histogram {
        if kind == Fold::Mean && !self.is_incremental {
            self.total.divide(self.n);
        }
        self.total.counted()
    }
}
