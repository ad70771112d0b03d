//! The best so many lines: blocks whose best time is better come first, and what cannot be in the
//! answer is not read.

use std::{
    cmp::Reverse,
    collections::{BinaryHeap, HashMap},
    ops::Range,
    sync::Arc,
};

use arrow::array::RecordBatch;
use datafusion::common::DataFusionError;
use skep_logql::{
    Direction, LogCollector, LogScan, Pipeline,
    pipeline::{Shape, Verdict},
};
use skep_proto::{LogBlock, LogBlockInfo, LogColumns, TimestampNs};

use super::{
    leaf_exec::{external, read_failed},
    rows,
    shapes::Shapes,
    walk::{Read, Walk},
};

/// Blocks whose keys were read to find out how old the answer is, and that are kept for it.
const BLOCKS_KEPT_MAX: usize = 256;

/// A block whose keys were read before, and its rows that count.
type Kept = (Option<LogBlock>, Option<Vec<Range<usize>>>);

pub(super) fn run(scan: &LogScan, mut walk: Walk) -> Result<RecordBatch, DataFusionError> {
    let pipeline = Arc::new(scan.compile().map_err(external)?);
    let mut order: Vec<(usize, LogBlockInfo)> = walk.infos().iter().copied().enumerate().collect();
    match scan.direction {
        Direction::Backward => order.sort_by_key(|(at, info)| (Reverse(info.ts.1), *at)),
        Direction::Forward => order.sort_by_key(|(at, info)| (info.ts.0, *at)),
    }
    let mut kept = HashMap::new();
    let worst =
        if pipeline.keeps_all() { worst_wanted(scan, &order, &mut walk, &mut kept)? } else { None };
    let mut lines = Lines {
        scan,
        collector: LogCollector::new(scan, Arc::clone(&pipeline)),
        pipeline,
        shapes: Shapes::default(),
        line: String::new(),
    };
    for (at, info) in order {
        let best = if scan.direction == Direction::Backward { info.ts.1 } else { info.ts.0 };
        if !lines.collector.wants(TimestampNs(best))
            || worst.is_some_and(|it| is_worse(scan, best, it))
        {
            break;
        }
        let (block, wanted) = kept.remove(&at).unwrap_or_default();
        let mut block = match block {
            Some(block) => block,
            None => walk.read(at, lines.collector.n_bytes())?,
        };
        let mut wanted = match wanted {
            Some(wanted) => wanted,
            None => walk.unseen(at, &mut block, &info)?,
        };
        if let Some(worst) = worst {
            wanted.iter_mut().for_each(|it| *it = not_worse(scan, &block.ts, it.clone(), worst));
        }
        lines.take(&mut block, at, wanted, &mut walk)?;
    }
    Ok(rows::entries_batch(&lines.collector.finish())?)
}

/// Lines on their way into the answer.
struct Lines<'s> {
    scan: &'s LogScan,
    pipeline: Arc<Pipeline>,
    collector: LogCollector,
    shapes: Shapes,
    line: String,
}

impl Lines<'_> {
    /// Takes wanted rows of a block, the best of each stream first: the answer may be full before
    /// they are used up.
    fn take(
        &mut self,
        block: &mut LogBlock,
        at: usize,
        wanted: Vec<Range<usize>>,
        walk: &mut Walk,
    ) -> Result<(), DataFusionError> {
        let Self { scan, pipeline, collector, shapes, line } = self;
        let has_filters = !pipeline.keeps_all();
        let (mut n_lines, mut read) = (0, Read::default());
        for rows in wanted.into_iter().filter(|it| !it.is_empty()) {
            let Some(&id) = block.ids.get(rows.start) else { continue };
            let Some(labels) = walk.labels(id) else { continue };
            let ordered: &mut dyn Iterator<Item = usize> = match scan.direction {
                Direction::Backward => &mut rows.clone().rev(),
                Direction::Forward => &mut rows.clone(),
            };
            let mut ordered = ordered.peekable();
            let ts_of = |row: usize| block.ts.get(row).map(|it| TimestampNs(*it));
            let best = ordered.peek().copied().and_then(ts_of);
            if !best.is_some_and(|it| collector.wants(it)) {
                continue;
            }
            collector.set_stream(&labels);
            if has_filters {
                shapes.set_stream(id, &labels);
                prepare(block, rows, shapes, collector, pipeline)?;
            }
            for row in ordered {
                let Some(ts) = block.ts.get(row).map(|it| TimestampNs(*it)) else { break };
                if !collector.wants(ts) {
                    break;
                }
                n_lines += 1;
                if has_filters && is_dropped(block, row, shapes, pipeline) {
                    continue;
                }
                block
                    .load(LogColumns { metadata: true, ..LogColumns::LINES })
                    .map_err(read_failed)?;
                let place = (at as u64) << 32 | row as u64;
                let data = block.data();
                let line = data.line(row, line);
                read.add(line, data.metadata(row), pipeline);
                collector.push(ts, place, line, data.metadata(row));
            }
        }
        walk.note_lines(n_lines);
        walk.note_read(read);
        Ok(())
    }
}

/// Finds out about the templates of rows of the current stream, and loads what that takes.
fn prepare(
    block: &mut LogBlock,
    rows: Range<usize>,
    shapes: &mut Shapes,
    collector: &mut LogCollector,
    pipeline: &Pipeline,
) -> Result<(), DataFusionError> {
    block.load(LogColumns { templates: true, ..LogColumns::NONE }).map_err(read_failed)?;
    let Some(templates) = block.data().templates.as_ref().filter(|it| it.is_dictionary) else {
        return Ok(());
    };
    let columns = shapes.prepare(templates, rows, |template| collector.shape(template));
    block.load(columns).map_err(read_failed)?;
    shapes.rule_out(block.data(), pipeline);
    Ok(())
}

/// Whether template and values tell that the line does not pass.
fn is_dropped(block: &LogBlock, row: usize, shapes: &mut Shapes, pipeline: &Pipeline) -> bool {
    let data = block.data();
    let Some(templates) = data.templates.as_ref().filter(|it| it.is_dictionary) else {
        return false;
    };
    let slot = templates.keys.get(row).and_then(|it| shapes.slot(*it));
    let Some(slot) = slot else { return false };
    match slot.shape.as_deref() {
        Some(Shape::Never) => true,
        Some(_) if slot.is_ruled_out => true,
        Some(Shape::Known(known)) => {
            let value = |at| data.value(at, row);
            !pipeline.has_needles_in(known, value)
                || known.fits(value) && known.test(value) == Verdict::Drop
        }
        Some(Shape::Unknown) | None => false,
    }
}

/// The time of the worst line of an answer that takes every line; `None` where all lines are
/// fewer than asked for.
fn worst_wanted(
    scan: &LogScan,
    order: &[(usize, LogBlockInfo)],
    walk: &mut Walk,
    kept: &mut HashMap<usize, Kept>,
) -> Result<Option<i64>, DataFusionError> {
    // Greater is better.
    let rank = |ts: i64| if scan.direction == Direction::Backward { ts } else { !ts };
    let mut best: BinaryHeap<Reverse<i64>> = BinaryHeap::with_capacity(scan.limit + 1);
    for (at, info) in order {
        let first = rank(if scan.direction == Direction::Backward { info.ts.1 } else { info.ts.0 });
        let is_full = best.len() >= scan.limit;
        if is_full && best.peek().is_some_and(|it| first < it.0) {
            break;
        }
        let mut block = walk.read(*at, best.len() * size_of::<i64>())?;
        let wanted = walk.unseen(*at, &mut block, info)?;
        for rows in &wanted {
            let mut ranks =
                block.ts.get(rows.clone()).unwrap_or_default().iter().map(|it| rank(*it));
            let mut take = |it: i64| {
                if best.len() >= scan.limit {
                    if best.peek().is_some_and(|worst| it <= worst.0) {
                        return false;
                    }
                    best.pop();
                }
                best.push(Reverse(it));
                true
            };
            match scan.direction {
                Direction::Backward => ranks.rev().all(&mut take),
                Direction::Forward => ranks.all(&mut take),
            };
        }
        let block = (kept.len() < BLOCKS_KEPT_MAX).then_some(block);
        kept.insert(*at, (block, Some(wanted)));
    }
    Ok(best.peek().filter(|_| best.len() >= scan.limit).map(|it| rank(it.0)))
}

fn is_worse(scan: &LogScan, ts: i64, worst: i64) -> bool {
    match scan.direction {
        Direction::Backward => ts < worst,
        Direction::Forward => ts > worst,
    }
}

/// Of the rows of one stream, those that are no worse than this time.
fn not_worse(scan: &LogScan, ts: &[i64], rows: Range<usize>, worst: i64) -> Range<usize> {
    let times = ts.get(rows.clone()).unwrap_or_default();
    match scan.direction {
        Direction::Backward => rows.start + times.partition_point(|it| *it < worst)..rows.end,
        Direction::Forward => rows.start..rows.start + times.partition_point(|it| *it <= worst),
    }
}
