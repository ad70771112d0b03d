//! The windows of a range aggregation, block by block.

use std::{ops::Range, sync::Arc};

use arrow::array::RecordBatch;
use datafusion::common::DataFusionError;
use skep_logql::{Pipeline, RangeCollector, RangeLeaf, RangeLimits, pipeline::Shape};
use skep_proto::{LogBlock, LogColumns, TimestampNs};

use super::{
    leaf_exec::{external, read_failed},
    rows,
    shapes::Shapes,
    walk::{Read, Walk},
};
use crate::Limits;

pub(super) fn run(
    leaf: &RangeLeaf,
    mut walk: Walk,
    limits: &Limits,
) -> Result<RecordBatch, DataFusionError> {
    let pipeline = Arc::new(leaf.compile().map_err(external)?);
    let limits =
        RangeLimits { n_series_max: limits.n_series_max, n_samples_max: limits.n_samples_max };
    let mut lines = Lines {
        collector: RangeCollector::new(leaf, Arc::clone(&pipeline), limits),
        pipeline,
        shapes: Shapes::default(),
        read: Read::default(),
    };
    for at in 0..walk.infos().len() {
        let Some(info) = walk.infos().get(at).copied() else { break };
        let mut block = walk.read(at, lines.collector.n_bytes())?;
        for rows in walk.unseen(at, &mut block, &info)? {
            let Some(&id) = block.ids.get(rows.start) else { continue };
            let Some(labels) = walk.labels(id) else { continue };
            walk.note_lines(rows.len());
            lines.collector.set_stream(&labels);
            lines.shapes.set_stream(id, &labels);
            lines.take(&mut block, rows)?;
            walk.note_read(std::mem::take(&mut lines.read));
        }
    }
    Ok(rows::matrix_batch(&lines.collector.finish().map_err(external)?)?)
}

struct Lines {
    collector: RangeCollector,
    pipeline: Arc<Pipeline>,
    shapes: Shapes,
    read: Read,
}

impl Lines {
    /// Takes lines of the current stream.
    fn take(&mut self, block: &mut LogBlock, rows: Range<usize>) -> Result<(), DataFusionError> {
        let needs_metadata = self.collector.needs_metadata()
            && block
                .may_have_metadata(|name| self.collector.may_use_metadata(name))
                .map_err(read_failed)?;
        if needs_metadata {
            block.load(LogColumns { metadata: true, ..LogColumns::NONE }).map_err(read_failed)?;
        }
        if !self.collector.counts_lines_as_they_are() {
            block.load(LogColumns { templates: true, ..LogColumns::NONE }).map_err(read_failed)?;
            if block.data().templates.as_ref().is_some_and(|it| it.is_dictionary) {
                return self.take_by_template(block, rows, needs_metadata);
            }
            block.load(LogColumns::LINES).map_err(read_failed)?;
            return self.take_whole(block, rows, needs_metadata);
        }
        if self.collector.counts_bytes() {
            block.load(LogColumns { line_bytes: true, ..LogColumns::NONE }).map_err(read_failed)?;
        }
        let ts = block.ts.get(rows.clone()).unwrap_or_default();
        let data = block.data();
        let n_bytes = |it: Range<usize>| data.n_bytes(rows.start + it.start..rows.start + it.end);
        if !needs_metadata {
            self.collector.push_all(ts, [], n_bytes).map_err(external)?;
            return Ok(());
        }
        // Lines of a stream come in runs of the same metadata.
        let mut start = rows.start;
        while start < rows.end {
            let same = (start + 1..rows.end).take_while(|it| data.has_same_metadata(start, *it));
            let run = start..start + 1 + same.count();
            let ts = block.ts.get(run.clone()).unwrap_or_default();
            let n_bytes = |it: Range<usize>| data.n_bytes(run.start + it.start..run.start + it.end);
            self.collector.push_all(ts, data.metadata(start), n_bytes).map_err(external)?;
            start = run.end;
        }
        Ok(())
    }

    /// Lines as they are, one by one.
    fn take_whole(
        &mut self,
        block: &LogBlock,
        rows: Range<usize>,
        needs_metadata: bool,
    ) -> Result<(), DataFusionError> {
        let mut line = String::new();
        for row in rows {
            self.take_row(block, row, needs_metadata, &mut line)?;
        }
        Ok(())
    }

    fn take_row(
        &mut self,
        block: &LogBlock,
        row: usize,
        needs_metadata: bool,
        line: &mut String,
    ) -> Result<(), DataFusionError> {
        let Some(&ts) = block.ts.get(row) else { return Ok(()) };
        let data = block.data();
        let metadata = || needs_metadata.then(|| data.metadata(row)).into_iter().flatten();
        let line = data.line(row, line);
        self.read.add(line, metadata(), &self.pipeline);
        self.collector.push(TimestampNs(ts), line, metadata()).map_err(external)
    }

    /// Lines by what is known of their templates, and those of which nothing is known as they are.
    fn take_by_template(
        &mut self,
        block: &mut LogBlock,
        rows: Range<usize>,
        needs_metadata: bool,
    ) -> Result<(), DataFusionError> {
        let Some(templates) = &block.data().templates else { return Ok(()) };
        let collector = &mut self.collector;
        let columns =
            self.shapes.prepare(templates, rows.clone(), |template| collector.shape(template));
        let line_bytes = self.collector.counts_bytes();
        block.load(LogColumns { line_bytes, ..columns }).map_err(read_failed)?;
        self.shapes.rule_out(block.data(), &self.pipeline);
        let mut line = String::new();
        for row in rows {
            let (data, Some(&ts)) = (block.data(), block.ts.get(row)) else { continue };
            let key = data.templates.as_ref().and_then(|it| it.keys.get(row));
            let Some(slot) = key.and_then(|it| self.shapes.slot(*it)) else { continue };
            match slot.shape.as_deref() {
                Some(Shape::Never) => {}
                Some(_) if slot.is_ruled_out => {}
                Some(Shape::Known(known)) if known.fits(|at| data.value(at, row)) => {
                    let metadata = needs_metadata.then(|| data.metadata(row));
                    self.collector
                        .push_known(
                            TimestampNs(ts),
                            known,
                            |at| data.value(at, row),
                            || data.n_bytes(row..row + 1),
                            metadata,
                            &mut slot.series,
                        )
                        .map_err(external)?;
                }
                _ => {
                    block.load(LogColumns::LINES).map_err(read_failed)?;
                    self.take_row(block, row, needs_metadata, &mut line)?;
                }
            }
        }
        Ok(())
    }
}
