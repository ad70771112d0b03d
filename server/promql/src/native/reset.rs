//! Counter resets between two histograms of one series.

use skep_proto::ResetHint;

use super::{
    Histogram,
    schema::{mapped, reduced, shared_bounds},
    zero::above_zero,
};

impl Histogram {
    /// Whether the counter started anew since `before`: the writer says so, or something was
    /// counted less often, or by finer buckets than before.
    pub(crate) fn is_reset_after(&self, before: &Self) -> bool {
        match self.hint {
            ResetHint::Reset => return true,
            ResetHint::NotReset => return false,
            ResetHint::Unknown | ResetHint::Gauge => {}
        }
        if self.count < before.count {
            return true;
        }
        if self.has_custom_buckets() {
            if !before.has_custom_buckets() {
                return true;
            }
            if self.custom_values != before.custom_values {
                return self.has_fallen_within_shared_bounds(before);
            }
        }
        if self.schema > before.schema || self.zero_threshold < before.zero_threshold {
            return true;
        }
        let (zero_count, threshold) = before.zero_count_for(self.zero_threshold);
        // A populated bucket lies across the edge of the zero bucket.
        #[expect(clippy::float_cmp, reason = "moved or not")]
        if threshold != self.zero_threshold || self.zero_count < zero_count {
            return true;
        }
        let by = u32::from(before.schema.abs_diff(self.schema));
        let sides = [(&self.positive, &before.positive), (&self.negative, &before.negative)];
        sides.into_iter().any(|(now, before)| {
            let lowered;
            let before = if by == 0 {
                before
            } else {
                lowered = reduced(before, by);
                &lowered
            };
            let above = |it| above_zero(it, self.schema, self.zero_threshold);
            has_fallen(above(now), above(before))
        })
    }

    fn has_fallen_within_shared_bounds(&self, before: &Self) -> bool {
        let bounds = shared_bounds(&self.custom_values, &before.custom_values);
        let now = mapped(&self.positive, &self.custom_values, &bounds);
        has_fallen(&now, &mapped(&before.positive, &before.custom_values, &bounds))
    }
}

/// Whether a bucket counts less than before; one that is gone counts nothing.
fn has_fallen(now: &[(i32, f64)], before: &[(i32, f64)]) -> bool {
    let mut now = now.iter().peekable();
    before.iter().any(|(idx, count)| {
        while now.next_if(|(it, _)| it < idx).is_some() {}
        match now.peek() {
            Some((it, held)) if it == idx => held < count,
            _ => *count != 0.0,
        }
    })
}
