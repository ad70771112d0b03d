//! Where two sources may hold the same entries.
//!
//! An entry that was sent twice may lie in two parts, or in a part and in memory. Nearly always
//! sources hold different times of a stream, and nothing has to be compared.

use skep_proto::LogBlockInfo;

/// Sets [`LogBlockInfo::shared`] of all blocks. Each source's are in order of their ids.
pub(super) fn mark(sources: &mut [Vec<LogBlockInfo>]) {
    for (source, blocks) in sources.iter_mut().enumerate() {
        blocks.iter_mut().for_each(|it| it.source = source);
    }
    let hulls: Vec<Option<LogBlockInfo>> = sources.iter().map(|it| hull(it)).collect();
    for at in 0..sources.len() {
        let Some(blocks) = sources.get(at) else { continue };
        let shared: Vec<Option<(i64, i64)>> = blocks
            .iter()
            .map(|block| {
                let others = sources.iter().zip(&hulls).enumerate().filter(|(i, _)| *i != at);
                let shared = others.filter_map(|(_, (blocks, hull))| {
                    overlap(block, hull.as_ref()?)?;
                    shared_with(block, blocks)
                });
                shared.reduce(union)
            })
            .collect();
        for (block, shared) in sources.get_mut(at).into_iter().flatten().zip(shared) {
            block.shared = shared;
        }
    }
}

/// The times that a block shares with those of another source.
fn shared_with(block: &LogBlockInfo, others: &[LogBlockInfo]) -> Option<(i64, i64)> {
    // Greatest ids grow, too, from block to block.
    let start = others.partition_point(|it| it.ids.1 < block.ids.0);
    let others = others.get(start..).unwrap_or_default();
    let others = others.iter().take_while(|it| it.ids.0 <= block.ids.1);
    others.filter_map(|it| overlap(block, it)).reduce(union)
}

fn overlap(one: &LogBlockInfo, other: &LogBlockInfo) -> Option<(i64, i64)> {
    let times = (one.ts.0.max(other.ts.0), one.ts.1.min(other.ts.1));
    let is_any = one.ids.0 <= other.ids.1 && other.ids.0 <= one.ids.1 && times.0 <= times.1;
    is_any.then_some(times)
}

fn union(one: (i64, i64), other: (i64, i64)) -> (i64, i64) {
    (one.0.min(other.0), one.1.max(other.1))
}

fn hull(blocks: &[LogBlockInfo]) -> Option<LogBlockInfo> {
    let both = |one: LogBlockInfo, other: LogBlockInfo| LogBlockInfo {
        n_rows: one.n_rows + other.n_rows,
        source: one.source,
        ids: union(one.ids, other.ids),
        ts: union(one.ts, other.ts),
        shared: None,
    };
    blocks.iter().copied().reduce(both)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn block(ids: (i64, i64), ts: (i64, i64)) -> LogBlockInfo {
        LogBlockInfo { n_rows: 1, ids, ts, source: 0, shared: None }
    }

    #[test]
    fn only_blocks_of_other_sources_with_the_same_streams_and_times_share() {
        let mut sources = [
            vec![block((1, 1), (0, 10)), block((1, 3), (0, 12)), block((4, 9), (0, 9))],
            vec![block((2, 2), (11, 20)), block((5, 5), (10, 20))],
            vec![block((3, 4), (5, 6)), block((4, 4), (8, 40))],
        ];
        mark(&mut sources);
        let shared = |at: usize| sources[at].iter().map(|it| it.shared).collect::<Vec<_>>();
        assert_eq!(shared(0), [None, Some((5, 12)), Some((5, 9))]);
        assert_eq!(shared(1), [Some((11, 12)), None]);
        assert_eq!(shared(2), [Some((5, 6)), Some((8, 9))]);
    }
}
