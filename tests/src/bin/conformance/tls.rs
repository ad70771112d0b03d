//! The server's TLS, looked at by Debian's `sslscan`.

use std::process::ExitCode;

use skep_tests::{Server, tls_grade};

/// Prints each item; fails where one is weaker than what earns an A.
pub(crate) async fn run() -> anyhow::Result<ExitCode> {
    let dir = tempfile::tempdir()?;
    let server = Server::start(dir.path(), "").await?;
    let findings = tls_grade::scan(&server).await?;
    for finding in &findings {
        let verdict = if finding.is_good { "good" } else { "WEAK" };
        println!("{verdict}  {:<30} {}", finding.item, finding.found);
    }
    let n_weak = findings.iter().filter(|it| !it.is_good).count();
    println!("{} items, {n_weak} weak", findings.len());
    Ok(if n_weak == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}
