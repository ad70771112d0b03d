//! Native histograms into Parquet.

use std::{path::Path, sync::Arc};

use arrow::{
    array::{AsArray as _, RecordBatch},
    datatypes::{Int64Type, TimestampMillisecondType},
};
use skep_proto::names::column;
use skep_wal::Fs;

use super::{Bounds, EncodeError, PartFile, Written, properties, zstd};
use crate::schema;

/// Neighbours of a series differ little: a higher level finds what they share.
const ZSTD_LEVEL: i32 = 3;
/// As large as 10 million samples with 100 buckets each.
const ROW_GROUP_ROWS: usize = 65_536;

/// Takes rows in the order of the table.
pub(crate) struct HistogramWriter {
    file: PartFile,
    bounds: Bounds,
}

impl HistogramWriter {
    pub(crate) fn create(path: &Path, fs: &dyn Fs) -> Result<Self, EncodeError> {
        let properties = properties(2)
            .set_compression(zstd(ZSTD_LEVEL))
            .set_max_row_group_row_count(Some(ROW_GROUP_ROWS))
            .build();
        let file = PartFile::create(path, Arc::clone(&schema::HISTOGRAMS), properties, fs)?;
        Ok(Self { file, bounds: Bounds::default() })
    }

    pub(crate) fn push(&mut self, batch: &RecordBatch) -> Result<(), EncodeError> {
        let column = |at| batch.columns().get(at);
        let ids = column(0).and_then(|it| it.as_primitive_opt::<Int64Type>());
        let ts = column(1).and_then(|it| it.as_primitive_opt::<TimestampMillisecondType>());
        let (Some(ids), Some(ts)) = (ids, ts) else {
            let path = self.file.path().to_owned();
            return Err(EncodeError::Column { path, column: column::SERIES_ID });
        };
        for (id, ts) in ids.values().iter().zip(ts.values()) {
            self.bounds.add(*id, *ts);
        }
        self.file.write(batch)
    }

    pub(crate) fn finish(self) -> Result<Written, EncodeError> {
        self.file.finish(self.bounds)
    }
}
