//! `/-/skep/v1/enrol/…`: what a host needs to become one with an agent, for who shows an enrolment
//! token: the script that installs it, and the program.

use axum::body::Body;
use axum::http::header::{AUTHORIZATION, CONTENT_LENGTH, CONTENT_TYPE};
use axum::http::request::Parts;
use axum::response::{IntoResponse, Response};
use tokio_util::io::ReaderStream;

use super::access_api::Fault;
use super::{Asked, Gate};
use crate::access::error::AccessError;
use crate::installer::{Fetcher, Installer, LOCAL_CA_QUERY, ServerTrust, is_of_this_machine};

/// Of one read of the program.
const CHUNK_BYTES: usize = 64 * 1024;

impl Gate {
    /// The script for the host that the token is for, to be run by `sh` as root.
    pub(super) fn install_script(
        &self,
        asked: &Asked<'_>,
        parts: &Parts,
    ) -> Result<Response, Fault> {
        let (host, token) = self.enrolling(asked, parts)?;
        let is_local = parts.uri.query() == Some(LOCAL_CA_QUERY);
        let trust = match is_local {
            true => ServerTrust::LocalCa(self.certificates.ca().root_pem().to_owned()),
            false => ServerTrust::System,
        };
        let script = Installer::new(&host, &url(asked), token, trust)?.script();
        tracing::info!(host, peer = %asked.client, "Handed out the script that installs an agent.");
        Ok(([(CONTENT_TYPE, "text/x-shellscript; charset=utf-8")], script).into_response())
    }

    /// What `skep-server enrol` prints, for the address at which it is asked for; `None` where that
    /// leads no other host here.
    pub(super) fn install_line(
        &self,
        asked: &Asked<'_>,
        host: &str,
        token: &str,
    ) -> Result<Option<String>, AccessError> {
        let name = &asked.host.name;
        if asked.connection.transport.scheme() != "https" || is_of_this_machine(name) {
            return Ok(None);
        }
        let trust = match self.certificates.is_local(name) {
            true => ServerTrust::LocalCa(self.certificates.ca().root_pem().to_owned()),
            false => ServerTrust::System,
        };
        Ok(Some(Installer::new(host, &url(asked), token, trust)?.line(Fetcher::Curl)))
    }

    /// The program for one kind of machine.
    pub(super) async fn agent_program(
        &self,
        arch: &str,
        asked: &Asked<'_>,
        parts: &Parts,
    ) -> Result<Response, Fault> {
        let (host, _token) = self.enrolling(asked, parts)?;
        let path = self.programs.find(arch).ok_or_else(|| Fault::NoProgram {
            arch: arch.escape_debug().to_string(),
            folder: self.programs.folder.clone(),
        })?;
        let opened = async {
            let file = tokio::fs::File::open(&path).await?;
            let n_bytes = file.metadata().await?.len();
            Ok::<_, std::io::Error>((file, n_bytes))
        };
        let (file, n_bytes) = opened.await.map_err(|source| {
            AccessError::File(crate::error::Error::File { path: path.clone(), source })
        })?;
        tracing::info!(host, arch, peer = %asked.client, "Handed out the agent.");
        let headers = [
            (CONTENT_TYPE, "application/octet-stream".to_owned()),
            (CONTENT_LENGTH, n_bytes.to_string()),
        ];
        let body = Body::from_stream(ReaderStream::with_capacity(file, CHUNK_BYTES));
        Ok((headers, body).into_response())
    }

    /// The host and the token of who asks; wrong tokens are counted for the client.
    fn enrolling<'p>(
        &self,
        asked: &Asked<'_>,
        parts: &'p Parts,
    ) -> Result<(String, &'p str), Fault> {
        let now = self.clock.now();
        self.access.count_guess(asked.client, now).map_err(Fault::TooMany)?;
        let value = parts.headers.get(AUTHORIZATION).and_then(|it| it.to_str().ok());
        let token = value.and_then(|it| it.strip_prefix("Bearer ")).unwrap_or_default().trim();
        match self.access.records.enrolling(token, now) {
            Ok(host) => {
                self.access.forgive_guess(asked.client);
                Ok((host, token))
            }
            Err(error) => {
                tracing::warn!(%error, peer = %asked.client, "Refused to hand out an agent.");
                Err(error.into())
            }
        }
    }
}

/// By which the client found this server.
fn url(asked: &Asked<'_>) -> String {
    let port = asked.host.port.map(|it| format!(":{it}")).unwrap_or_default();
    format!("{}://{}{port}", asked.connection.transport.scheme(), asked.host.name)
}
