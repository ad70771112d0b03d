//! A stranger's scanner looks at the server's TLS.

use skep_tests::{Server, tls_grade};

#[tokio::test]
async fn a_scanner_finds_nothing_weak() -> anyhow::Result<()> {
    let dir = tempfile::tempdir()?;
    let server = Server::start(dir.path(), "").await?;
    let findings = tls_grade::scan(&server).await?;
    let weak: Vec<_> = findings.iter().filter(|it| !it.is_good).collect();
    assert!(weak.is_empty(), "{weak:#?}");
    for item in ["cipher TLSv1.2", "cipher TLSv1.3", "key exchange"] {
        assert!(findings.iter().any(|it| it.item == item), "{item} was not looked at");
    }
    Ok(())
}
