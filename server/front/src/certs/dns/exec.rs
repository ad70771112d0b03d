//! A program that sets records, called as lego's `exec` provider calls it: `PROGRAM present FQDN VALUE`.

use std::process::Stdio;

use async_trait::async_trait;
use tokio::process::Command;

use super::{DnsError, DnsProvider, TxtRecord};
use crate::certs::http::quote;
use crate::config::Exec;

#[derive(Debug)]
pub(super) struct Provider {
    config: Exec,
}

impl Provider {
    pub(super) fn new(config: Exec) -> Self {
        Self { config }
    }

    async fn run(&self, action: &'static str, record: &TxtRecord) -> Result<(), DnsError> {
        let program = self.config.program.display().to_string();
        let mut command = Command::new(&self.config.program);
        command.args([action, &record.fqdn(), &record.value]);
        command.stdin(Stdio::null()).kill_on_drop(true);
        let output = match tokio::time::timeout(self.config.timeout, command.output()).await {
            Ok(Ok(output)) => output,
            Ok(Err(source)) => return Err(DnsError::Run { program, source }),
            Err(_elapsed) => {
                let seconds = self.config.timeout.as_secs();
                return Err(DnsError::TooSlow { program, action, seconds });
            }
        };
        if output.status.success() {
            return Ok(());
        }
        let said = if output.stderr.is_empty() { &output.stdout } else { &output.stderr };
        let text = quote(&String::from_utf8_lossy(said));
        Err(DnsError::Failed { program, action, status: output.status.to_string(), text })
    }
}

#[async_trait]
impl DnsProvider for Provider {
    async fn present(&self, record: &TxtRecord) -> Result<(), DnsError> {
        self.run("present", record).await
    }

    async fn clean_up(&self, record: &TxtRecord) -> Result<(), DnsError> {
        self.run("cleanup", record).await
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;
    use std::time::Duration;

    use super::*;

    fn provider(dir: &std::path::Path, script: &str, timeout: Duration) -> Provider {
        let program = dir.join("hook");
        std::fs::write(&program, format!("#!/bin/sh\n{script}\n")).unwrap();
        std::fs::set_permissions(&program, std::fs::Permissions::from_mode(0o755)).unwrap();
        Provider::new(Exec { program, timeout })
    }

    #[tokio::test]
    async fn the_program_gets_what_lego_would_give_it() {
        let dir = tempfile::tempdir().unwrap();
        let log = dir.path().join("log");
        let script = format!("echo \"$#: $*\" >> {}", log.display());
        let provider = provider(dir.path(), &script, Duration::from_secs(20));
        let record = TxtRecord::for_challenge("nas.lan", "v4lue".to_owned());
        provider.present(&record).await.unwrap();
        provider.clean_up(&record).await.unwrap();
        assert_eq!(
            std::fs::read_to_string(log).unwrap(),
            "3: present _acme-challenge.nas.lan. v4lue\n3: cleanup _acme-challenge.nas.lan. v4lue\n"
        );
    }

    #[tokio::test]
    async fn a_program_that_fails_or_hangs_is_an_error_with_its_words() {
        let dir = tempfile::tempdir().unwrap();
        let record = TxtRecord::for_challenge("nas.lan", "v4lue".to_owned());
        let failing =
            provider(dir.path(), "echo no such zone >&2; exit 3", Duration::from_secs(20));
        let error = failing.present(&record).await.unwrap_err().to_string();
        assert!(error.ends_with("present ended with exit status: 3: no such zone"), "{error}");
        let hanging = provider(dir.path(), "exec sleep 60", Duration::from_millis(50));
        let error = hanging.present(&record).await.unwrap_err();
        assert!(matches!(error, DnsError::TooSlow { action: "present", .. }), "{error}");
    }
}
