//! Lines that no one should have to read; `cargo xtask bench hostile` has a gigabyte of them.

use skep_tests::hostile::{Hostility, run};

#[tokio::test]
async fn hostile_lines_come_back_as_they_were_and_every_query_over_them_is_answered()
-> anyhow::Result<()> {
    let dir = tempfile::tempdir()?;
    let hostility = Hostility { bytes: 4 << 20, round_bytes: 1 << 20, query_every: 4, seed: 1 };
    let figures = run(dir.path(), &hostility, |_| {}).await?;
    assert_eq!(figures.n_timed_out, 0, "slowest: {:?}", figures.slowest);
    assert!(figures.n_lines > 100 && figures.n_queries > 90, "{figures:?}");
    Ok(())
}
