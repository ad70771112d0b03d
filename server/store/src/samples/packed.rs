//! A block in few bytes, as queries keep it: what its series have in common is there once.
//!
//! ```text
//! stamps = lists of time stamps; a series whose list is that of the one before shares it
//! bytes  = values series by series, each in as many bytes as that series needs: what a mantissa is
//!          above the smallest one, or doubles as they are; none where all are the same
//! ```
//! A node_exporter's sample takes 1 to 2 bytes so, against 16 as two columns, and a query unpacks
//! only the samples it wants.

use std::ops::Range;

use super::block::{RawBlock, power_of};

/// Samples of one series in a block.
#[derive(Debug, Clone, Copy)]
struct Run {
    id: i64,
    /// Where its list begins in `stamps`.
    stamps: u32,
    n_rows: u32,
    /// Where its values begin in `bytes`.
    bytes: u32,
    /// Bytes of a value; 0 where all are `base`.
    width: u8,
    form: Form,
    /// The smallest mantissa; of doubles, the bits of the only one.
    base: i64,
}

#[derive(Debug, Clone, Copy)]
enum Form {
    Mantissas { scale: i8 },
    Doubles,
}

/// Which samples of its block something holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Reach {
    /// In order; `None` for all.
    pub(super) ids: Option<Vec<i64>>,
    /// Those of this time and later.
    pub(super) from: i64,
}

/// All samples of a block, or a [`Reach`] of them.
#[derive(Debug)]
pub(crate) struct Block {
    /// In order of id.
    runs: Vec<Run>,
    stamps: Vec<i64>,
    bytes: Vec<u8>,
    reach: Reach,
}

impl Reach {
    pub(super) const ALL: Self = Self { ids: None, from: i64::MIN };

    /// Whether all of these samples are inside (`None`: of any id).
    pub(super) fn covers(&self, ids: Option<&[i64]>, from: i64) -> bool {
        let has_ids = match (&self.ids, ids) {
            (None, _) => true,
            (Some(_), None) => false,
            (Some(its), Some(ids)) => ids.iter().all(|it| its.binary_search(it).is_ok()),
        };
        has_ids && self.from <= from
    }

    /// The smallest one that has both.
    pub(super) fn with(mut self, other: &Self) -> Self {
        self.from = self.from.min(other.from);
        self.ids = self.ids.zip(other.ids.as_ref()).map(|(mut ids, other)| {
            ids.extend(other);
            ids.sort_unstable();
            ids.dedup();
            ids
        });
        self
    }
}

impl Block {
    pub(super) fn pack(raw: &RawBlock) -> Self {
        let mut packer = Packer::new(Reach::ALL);
        let mut values = Vec::new();
        for at in 0..raw.runs.len() {
            let Some(run) = raw.runs.get(at) else { continue };
            let rows = raw.runs.rows(at);
            packer.stamps(run.id, raw.ts.get(rows.clone()).unwrap_or_default());
            if let Some((scale, mantissas)) = raw.mantissas(rows.clone()) {
                packer.mantissas(scale, mantissas);
            } else {
                values.clear();
                raw.values(rows, &mut values);
                packer.doubles(&values);
            }
        }
        packer.finish()
    }

    /// Series with their time stamps and values.
    #[cfg(test)]
    pub(super) fn of_doubles(series: &[(i64, &[i64], &[f64])]) -> Self {
        let mut packer = Packer::new(Reach::ALL);
        for (id, ts, values) in series {
            packer.stamps(*id, ts);
            packer.doubles(values);
        }
        packer.finish()
    }

    /// What is inside `reach`.
    pub(super) fn only(&self, reach: Reach) -> Self {
        let from = reach.from;
        let wanted = reach.ids.clone();
        let mut packer = Packer::new(reach);
        let mut at = 0;
        let mut take = |at: usize| {
            let Some(run) = self.runs.get(at) else { return };
            let ts = self.ts(at);
            let n_before = ts.partition_point(|it| *it < from);
            let rest = ts.get(n_before..).unwrap_or_default();
            if !rest.is_empty() {
                packer.stamps(run.id, rest);
                packer.copy(run, self.bytes_of(run, n_before..ts.len()));
            }
        };
        match wanted {
            None => (0..self.runs.len()).for_each(take),
            Some(ids) => {
                for id in ids {
                    at = self.position(at, id);
                    if self.id(at) == Some(id) {
                        take(at);
                    }
                }
            }
        }
        packer.finish()
    }

    pub(super) fn reach(&self) -> &Reach {
        &self.reach
    }

    /// The series of the run at this place.
    pub(super) fn id(&self, at: usize) -> Option<i64> {
        self.runs.get(at).map(|it| it.id)
    }

    /// The first run from `at` on whose id is `id` or greater.
    pub(super) fn position(&self, at: usize, id: i64) -> usize {
        let rest = self.runs.get(at..).unwrap_or_default();
        // Most often it is the next one.
        match rest.first() {
            Some(run) if run.id < id => at + rest.partition_point(|it| it.id < id),
            _ => at,
        }
    }

    /// The time stamps of the run at this place, in order.
    pub(super) fn ts(&self, at: usize) -> &[i64] {
        let Some(run) = self.runs.get(at) else { return &[] };
        let start = run.stamps as usize;
        self.stamps.get(start..start + run.n_rows as usize).unwrap_or_default()
    }

    /// Appends the values of these rows of the run at this place.
    pub(super) fn values(&self, at: usize, rows: Range<usize>, out: &mut Vec<f64>) {
        let Some(run) = self.runs.get(at) else { return };
        let bytes = self.bytes_of(run, rows.clone());
        match (run.form, run.width) {
            (Form::Doubles, 0) => {
                out.resize(out.len() + rows.len(), f64::from_bits(run.base.cast_unsigned()));
            }
            (Form::Doubles, _) => out.extend(words(bytes).map(f64::from_le_bytes)),
            (Form::Mantissas { scale }, width) => {
                let power = power_of(scale);
                let value = |above: u64| mantissa_value(run.base, above, power);
                match width {
                    0 => out.resize(out.len() + rows.len(), value(0)),
                    1 => out.extend(bytes.iter().map(|it| value(u64::from(*it)))),
                    2 => out.extend(words(bytes).map(|it| value(u16::from_le_bytes(it).into()))),
                    4 => out.extend(words(bytes).map(|it| value(u32::from_le_bytes(it).into()))),
                    _ => out.extend(words(bytes).map(|it| value(u64::from_le_bytes(it)))),
                }
            }
        }
    }

    pub(super) fn size_bytes(&self) -> usize {
        size_of::<Run>() * self.runs.len()
            + size_of::<i64>() * self.stamps.len()
            + self.bytes.len()
            + size_of::<i64>() * self.reach.ids.as_ref().map_or(0, Vec::len)
    }

    fn bytes_of(&self, run: &Run, rows: Range<usize>) -> &[u8] {
        let (start, width) = (run.bytes as usize, usize::from(run.width));
        self.bytes.get(start + rows.start * width..start + rows.end * width).unwrap_or_default()
    }
}

fn words<const N: usize>(bytes: &[u8]) -> impl Iterator<Item = [u8; N]> {
    bytes.as_chunks().0.iter().copied()
}

#[expect(clippy::cast_precision_loss, reason = "the writer checked that it is exact")]
fn mantissa_value(base: i64, above: u64, power: f64) -> f64 {
    base.wrapping_add_unsigned(above) as f64 / power
}

/// A block on its way into memory.
struct Packer {
    block: Block,
}

impl Packer {
    fn new(reach: Reach) -> Self {
        let (runs, stamps, bytes) = (Vec::new(), Vec::new(), Vec::new());
        Self { block: Block { runs, stamps, bytes, reach } }
    }

    /// Begins a series; its values follow.
    fn stamps(&mut self, id: i64, ts: &[i64]) {
        let Self { block } = self;
        let shared = block
            .runs
            .last()
            .filter(|_| block.runs.len().checked_sub(1).is_some_and(|last| block.ts(last) == ts));
        let stamps = match shared {
            Some(run) => run.stamps,
            None => {
                let start = position(block.stamps.len());
                block.stamps.extend_from_slice(ts);
                start
            }
        };
        let (n_rows, bytes) = (position(ts.len()), position(block.bytes.len()));
        let (width, form, base) = (0, Form::Doubles, 0);
        block.runs.push(Run { id, stamps, n_rows, bytes, width, form, base });
    }

    fn mantissas(&mut self, scale: i8, mantissas: &[i64]) {
        let (Some(&min), Some(&max)) = (mantissas.iter().min(), mantissas.iter().max()) else {
            return;
        };
        let width = width_of(max.wrapping_sub(min).cast_unsigned());
        self.form(Form::Mantissas { scale }, width, min);
        let above = mantissas.iter().map(|it| it.wrapping_sub(min).to_le_bytes());
        let bytes = &mut self.block.bytes;
        match width {
            0 => {}
            1 => bytes.extend(above.map(|[low, ..]| low)),
            2 => above.for_each(|[a, b, ..]| bytes.extend([a, b])),
            4 => above.for_each(|[a, b, c, d, ..]| bytes.extend([a, b, c, d])),
            _ => above.for_each(|it| bytes.extend(it)),
        }
    }

    fn doubles(&mut self, values: &[f64]) {
        let Some(first) = values.first().map(|it| it.to_bits()) else { return };
        if values.iter().all(|it| it.to_bits() == first) {
            self.form(Form::Doubles, 0, first.cast_signed());
        } else {
            self.form(Form::Doubles, 8, 0);
            values.iter().for_each(|it| self.block.bytes.extend(it.to_le_bytes()));
        }
    }

    /// Values as another block has them.
    fn copy(&mut self, run: &Run, bytes: &[u8]) {
        self.form(run.form, run.width, run.base);
        self.block.bytes.extend_from_slice(bytes);
    }

    fn form(&mut self, form: Form, width: u8, base: i64) {
        if let Some(run) = self.block.runs.last_mut() {
            *run = Run { form, width, base, ..*run };
        }
    }

    fn finish(self) -> Block {
        let Self { mut block } = self;
        block.runs.shrink_to_fit();
        block.stamps.shrink_to_fit();
        block.bytes.shrink_to_fit();
        block
    }
}

/// Bytes that numbers up to this one take.
fn width_of(max: u64) -> u8 {
    match max {
        0 => 0,
        1..=0xff => 1,
        0x100..=0xffff => 2,
        0x1_0000..=0xffff_ffff => 4,
        _ => 8,
    }
}

/// Blocks are far smaller: a part's row group has a million rows.
fn position(at: usize) -> u32 {
    u32::try_from(at).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests {
    use proptest::{collection::vec, prelude::*};

    use super::*;

    #[derive(Debug, Clone)]
    enum Values {
        Mantissas(i8, Vec<i64>),
        Doubles(Vec<f64>),
    }

    fn values() -> impl Strategy<Value = Values> {
        let range = prop_oneof![
            Just(0..1_i64),
            Just(-3..250),
            Just(-70_000..5),
            Just(0..1 << 31),
            Just(-9_000_000_000_000_000..9_000_000_000_000_000)
        ];
        prop_oneof![
            (0..9_i8, range.prop_flat_map(|it| vec(it, 20)))
                .prop_map(|(scale, it)| Values::Mantissas(scale, it)),
            vec(any::<f64>(), 20).prop_map(Values::Doubles),
            any::<f64>().prop_map(|it| Values::Doubles(vec![it; 20])),
        ]
    }

    fn unpacked(block: &Block) -> Vec<(i64, Vec<i64>, Vec<u64>)> {
        let run = |at| {
            let (mut values, ts) = (Vec::new(), block.ts(at).to_vec());
            block.values(at, 0..ts.len(), &mut values);
            (block.id(at).unwrap(), ts, values.into_iter().map(f64::to_bits).collect())
        };
        (0..block.runs.len()).map(run).collect()
    }

    proptest! {
        #[test]
        fn what_is_packed_comes_back_bit_for_bit_whole_and_in_part(
            series in vec((values(), 1..20_usize, 0..3_i64), 1..12),
            ids in vec(0..14_i64, 0..6),
            from in -2..70_i64,
        ) {
            let mut packer = Packer::new(Reach::ALL);
            let mut expected = Vec::new();
            for (id, (values, n_rows, start)) in (0..).zip(series) {
                let ts: Vec<i64> = (0..).map(|it| start * 20 + it).take(n_rows).collect();
                packer.stamps(id, &ts);
                let values: Vec<f64> = match values {
                    Values::Mantissas(scale, mantissas) => {
                        packer.mantissas(scale, &mantissas[..n_rows]);
                        super::super::block::decoded(scale, &mantissas[..n_rows]).collect()
                    }
                    Values::Doubles(values) => {
                        packer.doubles(&values[..n_rows]);
                        values[..n_rows].to_vec()
                    }
                };
                expected.push((id, ts, values.into_iter().map(f64::to_bits).collect::<Vec<_>>()));
            }
            let block = packer.finish();
            prop_assert_eq!(&unpacked(&block), &expected);
            let mut ids = ids;
            ids.sort_unstable();
            ids.dedup();
            for reach in [Reach { ids: Some(ids), from }, Reach { ids: None, from }] {
                let wanted: Vec<_> = expected
                    .iter()
                    .filter(|it| reach.ids.as_ref().is_none_or(|ids| ids.contains(&it.0)))
                    .filter_map(|(id, ts, values)| {
                        let start = ts.partition_point(|it| *it < from);
                        let (ts, values) = (ts[start..].to_vec(), values[start..].to_vec());
                        (!ts.is_empty()).then_some((*id, ts, values))
                    })
                    .collect();
                prop_assert_eq!(unpacked(&block.only(reach)), wanted);
            }
        }
    }

    #[test]
    fn series_of_one_scrape_share_their_time_stamps() {
        let ts = [10, 25, 40];
        let block = Block::of_doubles(&[
            (1, &ts, &[0.5; 3]),
            (2, &ts, &[1.5; 3]),
            (5, &ts, &[0.0, 1.0, 2.0]),
        ]);
        assert_eq!((block.stamps.len(), block.bytes.len()), (3, 24));
    }

    #[test]
    fn two_reaches_together_have_what_either_has() {
        let reach = |ids: Option<&[i64]>, from| Reach { ids: ids.map(<[i64]>::to_vec), from };
        let both = reach(Some(&[1, 4]), 5).with(&reach(Some(&[2, 4]), 3));
        assert_eq!(both, reach(Some(&[1, 2, 4]), 3));
        assert!(both.covers(Some(&[1, 2]), 3) && !both.covers(Some(&[1, 2]), 2));
        assert!(!both.covers(Some(&[3]), 9) && !both.covers(None, 9));
        assert_eq!(both.with(&reach(None, 7)), reach(None, 3));
    }
}
