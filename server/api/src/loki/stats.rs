//! The `stats` of a query's answer, in the shape of Loki's. What a chunk store or a cache of its
//! kind would report is zero: there is none.

use std::{fmt::Write as _, time::Duration};

use skep_logql::Value;
use skep_query::LogqlStats;

/// Loki's caches, each with the same figures.
const CACHES: [&str; 8] = [
    "chunk",
    "index",
    "result",
    "statsResult",
    "volumeResult",
    "seriesResult",
    "labelResult",
    "instantMetricResult",
];

/// Lines or series of an answer.
pub(super) fn n_entries(value: &Value) -> usize {
    match value {
        Value::Streams(streams) => streams.iter().map(|it| it.entries.len()).sum(),
        Value::Matrix(matrix) => matrix.rows.len(),
        Value::Scalar(_) => 1,
    }
}

pub(super) fn push(out: &mut String, stats: &LogqlStats, waited: Duration, n_entries: usize) {
    write(out, stats, waited, n_entries).expect("a String never fails");
}

fn write(
    out: &mut String,
    stats: &LogqlStats,
    waited: Duration,
    n_entries: usize,
) -> std::fmt::Result {
    let LogqlStats { took, n_leaves, n_lines, n_lines_matched, .. } = *stats;
    let LogqlStats { line_bytes, metadata_bytes, .. } = *stats;
    let bytes = line_bytes.saturating_add(metadata_bytes);
    let (exec, queue) = (took.as_secs_f64(), waited.as_secs_f64());
    let (bytes_a_second, lines_a_second) = (a_second(bytes, took), a_second(n_lines, took));
    write!(
        out,
        "{{\"summary\":{{\"bytesProcessedPerSecond\":{bytes_a_second},\
         \"linesProcessedPerSecond\":{lines_a_second},\"totalBytesProcessed\":{bytes},\
         \"totalLinesProcessed\":{n_lines},\"execTime\":{exec},\"queueTime\":{queue},\
         \"subqueries\":0,\"totalEntriesReturned\":{n_entries},\"splits\":{n_leaves},\
         \"shards\":0,\"totalPostFilterLines\":{n_lines_matched},\
         \"totalStructuredMetadataBytesProcessed\":{metadata_bytes}}},"
    )?;
    write!(
        out,
        "\"querier\":{{\"store\":{}}},\"ingester\":{{\"totalReached\":0,\
         \"totalChunksMatched\":0,\"totalBatches\":0,\"totalLinesSent\":0,\"store\":{}}},",
        Store { bytes: line_bytes, metadata_bytes, n_lines, n_lines_matched },
        Store::default(),
    )?;
    out.push_str("\"cache\":{");
    for (at, cache) in CACHES.iter().enumerate() {
        let comma = if at > 0 { "," } else { "" };
        write!(
            out,
            "{comma}\"{cache}\":{{\"entriesFound\":0,\"entriesRequested\":0,\"entriesStored\":0,\
             \"bytesReceived\":0,\"bytesSent\":0,\"requests\":0,\"downloadTime\":0,\
             \"queryLengthServed\":0}}"
        )?;
    }
    out.push_str(
        "},\"index\":{\"totalChunks\":0,\"postFilterChunks\":0,\"shardsDuration\":0,\
         \"usedBloomFilters\":false}}",
    );
    Ok(())
}

/// What one side of a query read.
#[derive(Default)]
struct Store {
    bytes: u64,
    metadata_bytes: u64,
    n_lines: u64,
    n_lines_matched: u64,
}

impl std::fmt::Display for Store {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { bytes, metadata_bytes, n_lines, n_lines_matched } = self;
        let has_metadata = *metadata_bytes > 0;
        write!(
            out,
            "{{\"totalChunksRef\":0,\"totalChunksDownloaded\":0,\
             \"chunksDownloadTime\":0,\"queryReferencedStructuredMetadata\":{has_metadata},\
             \"chunk\":{{\"headChunkBytes\":0,\"headChunkLines\":0,\"decompressedBytes\":{bytes},\
             \"decompressedLines\":{n_lines},\"compressedBytes\":0,\"totalDuplicates\":0,\
             \"postFilterLines\":{n_lines_matched},\"headChunkStructuredMetadataBytes\":0,\
             \"decompressedStructuredMetadataBytes\":{metadata_bytes}}},\"chunkRefsFetchTime\":0,\
             \"congestionControlLatency\":0,\"pipelineWrapperFilteredLines\":0}}"
        )
    }
}

fn a_second(n: u64, took: Duration) -> u128 {
    let ns = took.as_nanos().max(1);
    u128::from(n).saturating_mul(1_000_000_000) / ns
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn figures_stand_where_lokis_do() {
        let stats = LogqlStats {
            took: Duration::from_millis(500),
            n_leaves: 3,
            n_lines: 10,
            n_lines_matched: 4,
            line_bytes: 100,
            metadata_bytes: 20,
        };
        let mut text = String::new();
        push(&mut text, &stats, Duration::from_millis(250), 7);
        let stats: serde_json::Value = serde_json::from_str(&text).unwrap();
        let summary = &stats["summary"];
        assert_eq!(summary["bytesProcessedPerSecond"], 240);
        assert_eq!(summary["totalLinesProcessed"], 10);
        assert_eq!(summary["totalEntriesReturned"], 7);
        assert_eq!(summary["execTime"], 0.5);
        assert_eq!(summary["queueTime"], 0.25);
        assert_eq!(stats["querier"]["store"]["chunk"]["decompressedLines"], 10);
        assert_eq!(stats["ingester"]["store"]["chunk"]["decompressedLines"], 0);
        assert_eq!(stats["cache"].as_object().unwrap().len(), 8);
    }
}
