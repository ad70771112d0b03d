//! What the agent shows the server to be let in: a token of a file, or one of its own that it got
//! for an enrolment token, with a certificate. The only file that knows where they come from and
//! when to get others.
//!
//! An agent makes its credential up itself and tells the server its SHA-256 and the enrolment
//! token; the server answers with the name that it goes by. Both files are in `data_dir`, 0600:
//!
//! | file | holds |
//! | :-- | :-- |
//! | `credential.pending` | what was made up, before the server is asked: an answer that is lost can be asked for again |
//! | `credential` | what the server has taken |

use std::{
    fs,
    io::{self, Write as _},
    os::unix::fs::OpenOptionsExt as _,
    path::{Path, PathBuf},
};

use anyhow::Context as _;
use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use rand::RngCore as _;
use reqwest::header::HeaderValue;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use sha2::{Digest as _, Sha256};
use tracing::{info, warn};

use super::{
    answer::Answer,
    certificate::{self, Certificate},
};
use crate::config::CredentialConfig;

/// Below the server's address.
const ENROL_PATH: &str = "/-/skep/v1/enrol";
/// Before a server that gave no certificate is asked again: nothing waits for it.
const ASK_AGAIN_S: i64 = 600;

/// Where the agent's credential comes from, and the one it has.
#[derive(Debug)]
pub(crate) struct Credential {
    source: CredentialConfig,
    kept: Option<Kept>,
    authorization: Option<HeaderValue>,
    /// The server does not take `authorization`, or the agent has just started.
    is_doubtful: bool,
    /// Asking for the same again would be answered the same.
    given_up: Option<GivenUp>,
    asking: Asking,
}

/// How far the agent has come in getting a certificate.
#[derive(Debug, Default)]
struct Asking {
    /// Seconds since 1970.
    not_before_unix_s: i64,
    /// The server may have broken a connection off over the one the agent has.
    is_doubted: bool,
    /// One cause of doubt in a while is enough: connections are lost for many reasons.
    no_doubt_before_unix_s: i64,
    /// Why it got none, which is said once.
    problem: Option<String>,
}

/// What the agent got for an enrolment token.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Kept {
    /// The bearer token.
    token: String,
    /// Of the enrolment token: the same one is not worth trying again.
    enrolment_sha256: String,
    /// What the server calls this agent; empty while it has not answered.
    #[serde(default)]
    name: String,
    /// The certificate's, PKCS #8 in PEM: the same as long as the token. An agent that enrolled
    /// before there were certificates has none.
    #[serde(default)]
    key: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    certificate: Option<Certificate>,
}

#[derive(Debug)]
struct GivenUp {
    enrolment_sha256: String,
    reason: String,
}

/// What is to be asked of the server.
#[derive(Debug)]
pub(crate) struct Enrolment {
    pending: Kept,
    /// What the server takes at [`Enrolment::PATH`].
    pub(crate) body: Value,
}

impl Enrolment {
    pub(crate) const PATH: &str = ENROL_PATH;
}

/// Why there is no new credential.
#[derive(Debug, thiserror::Error)]
pub(crate) enum EnrolError {
    #[error(
        "this agent has not enrolled, and server.enrolment_token_file {} is not there; `skep-server enrol HOST` makes a token for it", .0.display()
    )]
    NoToken(PathBuf),
    #[error("server.enrolment_token_file {}", path.display())]
    Token { path: PathBuf, source: io::Error },
    #[error("keeping the agent's credential in {}", path.display())]
    Keep { path: PathBuf, source: io::Error },
    #[error("making a key for the agent's certificate")]
    Key(#[from] rcgen::Error),
    #[error("the server does not let this agent enrol: {0}")]
    Refused(String),
    #[error("the server does not let this agent enrol yet: {0}")]
    NotYet(String),
    #[error(
        "{url} does not know how to enrol an agent (status {status}); is it a Skep server, by the name that shows its page?"
    )]
    NoSkep { url: String, status: u16 },
}

impl Credential {
    /// # Errors
    /// A token file that cannot be read or is no token; a credential that cannot be read.
    pub(crate) fn open(source: &CredentialConfig) -> anyhow::Result<Self> {
        let (mut kept, mut authorization) = (None, None);
        match source {
            CredentialConfig::None => {}
            CredentialConfig::TokenFile(path) => authorization = Some(of_file(path)?),
            CredentialConfig::Enrolment { credential_file, .. } => {
                kept = read_kept(credential_file)?;
                let bearer = kept.as_ref().map(|it| bearer(&it.token)).transpose();
                authorization = bearer.with_context(|| format!("{}", credential_file.display()))?;
            }
        }
        let source = source.clone();
        let asking = Asking::default();
        Ok(Self { source, kept, authorization, is_doubtful: true, given_up: None, asking })
    }

    pub(crate) fn authorization(&self) -> Option<&HeaderValue> {
        self.authorization.as_ref()
    }

    /// The server does not take it. A token can be exchanged while the agent runs; a file that
    /// cannot be read now leaves the old one.
    pub(crate) fn refused(&mut self, now_unix_s: i64) {
        self.is_doubtful = true;
        if self.identity(now_unix_s).is_none() {
            // It may be that a certificate is what the server misses.
            self.asking.not_before_unix_s = now_unix_s;
        }
        let CredentialConfig::TokenFile(path) = &self.source else { return };
        match of_file(path) {
            Ok(authorization) => self.authorization = Some(authorization),
            Err(error) => warn!(error = format!("{error:#}"), "Could not read the token again."),
        }
    }

    /// What to do about a refusal, for people.
    pub(crate) fn advice(&self) -> String {
        match &self.source {
            CredentialConfig::None => {
                "set server.enrolment_token_file or server.token_file".to_owned()
            }
            CredentialConfig::TokenFile(path) => {
                format!("put a token with the scope ingest into {}", path.display())
            }
            CredentialConfig::Enrolment { token_file, .. } => format!(
                "it was revoked, or this is another server: put a new enrolment token (`skep-server enrol HOST`) into {}",
                token_file.display()
            ),
        }
    }

    /// How the agent stands with the server, as far as this host knows.
    pub(crate) fn standing(&self) -> Result<String, String> {
        match &self.source {
            CredentialConfig::None => Ok("none is configured".to_owned()),
            CredentialConfig::TokenFile(path) => Ok(format!("the token in {}", path.display())),
            CredentialConfig::Enrolment { token_file, credential_file } => match &self.kept {
                Some(kept) => Ok(format!(
                    "enrolled as {}, {} in {}",
                    kept.name,
                    match kept.certificate {
                        Some(_) => "credential and certificate",
                        None => "credential",
                    },
                    credential_file.display()
                )),
                None if token_file.exists() => {
                    Ok(format!("not enrolled yet; it will with {}", token_file.display()))
                }
                None => Err(EnrolError::NoToken(token_file.clone()).to_string()),
            },
        }
    }

    /// What to ask the server before anything else, if there is an enrolment token that has not
    /// been used.
    pub(crate) fn wanted(&mut self) -> Result<Option<Enrolment>, EnrolError> {
        let CredentialConfig::Enrolment { token_file, credential_file } = &self.source else {
            return Ok(None);
        };
        if !self.is_doubtful {
            return Ok(None);
        }
        let token = match fs::read_to_string(token_file) {
            Ok(token) => token.trim().to_owned(),
            // It may go once it was used.
            Err(error) if error.kind() == io::ErrorKind::NotFound && self.kept.is_some() => {
                self.is_doubtful = false;
                return Ok(None);
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                return Err(EnrolError::NoToken(token_file.clone()));
            }
            Err(source) => return Err(EnrolError::Token { path: token_file.clone(), source }),
        };
        let enrolment_sha256 = sha256(&token);
        if self.kept.as_ref().is_some_and(|it| it.enrolment_sha256 == enrolment_sha256) {
            self.is_doubtful = false;
            return Ok(None);
        }
        if let Some(it) = &self.given_up
            && it.enrolment_sha256 == enrolment_sha256
        {
            return match self.kept {
                Some(_) => Ok(None),
                None => Err(EnrolError::Refused(it.reason.clone())),
            };
        }
        let pending = pending(credential_file, enrolment_sha256)?;
        let body = serde_json::json!({
            "token": token,
            "credential_sha256": sha256(&pending.token),
            "csr": certificate::request(&pending.key)?,
        });
        Ok(Some(Enrolment { pending, body }))
    }

    /// Takes the server's answer to an enrolment.
    pub(crate) fn answered(
        &mut self,
        url: &str,
        enrolment: Enrolment,
        answer: &Answer,
        now_unix_s: i64,
    ) -> Result<(), EnrolError> {
        let CredentialConfig::Enrolment { credential_file, .. } = &self.source else {
            return Ok(());
        };
        let said: Value = serde_json::from_str(&answer.text).unwrap_or_default();
        let text = |pointer| said.pointer(pointer).and_then(Value::as_str).map(str::to_owned);
        let reason = text("/error").unwrap_or_else(|| answer.to_string());
        match (answer.status, text("/data/name")) {
            (200..=299, Some(name)) => {
                let certificate = Certificate::of_answer(&said["data"], now_unix_s);
                let kept = Kept { name, certificate, ..enrolment.pending };
                let keep = |source| EnrolError::Keep { path: credential_file.clone(), source };
                let authorization = bearer(&kept.token).map_err(|it| keep(io::Error::other(it)))?;
                write_kept(credential_file, &kept).map_err(keep)?;
                // What it holds has been taken; should it stay, it is for a token that is used up.
                drop(fs::remove_file(pending_file(credential_file)));
                info!(name = kept.name, server = url, "Enrolled.");
                self.authorization = Some(authorization);
                (self.kept, self.is_doubtful, self.given_up) = (Some(kept), false, None);
                self.asking = Asking::default();
                Ok(())
            }
            (400 | 403 | 409, _) if said.get("error").is_some() => {
                let enrolment_sha256 = enrolment.pending.enrolment_sha256;
                self.given_up = Some(GivenUp { enrolment_sha256, reason: reason.clone() });
                match &self.kept {
                    Some(kept) => {
                        let name = &kept.name;
                        warn!(reason, name, "Could not enrol anew; going on as before.");
                        Ok(())
                    }
                    None => Err(EnrolError::Refused(reason)),
                }
            }
            (408 | 429 | 500.., _) => Err(EnrolError::NotYet(reason)),
            (status, _) => Err(EnrolError::NoSkep { url: url.to_owned(), status }),
        }
    }

    /// The certificate and its key in PEM, if there is one that the server can take.
    pub(crate) fn identity(&self, now_unix_s: i64) -> Option<String> {
        let kept = self.kept.as_ref()?;
        let certificate = kept.certificate.as_ref().filter(|it| !it.is_over(now_unix_s))?;
        (!self.asking.is_doubted).then(|| certificate.with_key(&kept.key))
    }

    /// A connection broke off, maybe over the certificate: only without it can the agent get
    /// another.
    pub(crate) fn certificate_doubted(&mut self, now_unix_s: i64) {
        if self.identity(now_unix_s).is_some() && now_unix_s >= self.asking.no_doubt_before_unix_s {
            self.asking = Asking {
                is_doubted: true,
                not_before_unix_s: now_unix_s,
                no_doubt_before_unix_s: now_unix_s.saturating_add(ASK_AGAIN_S),
                problem: None,
            };
        }
    }

    /// The body to ask for a certificate with, in time before the old one ends.
    pub(crate) fn certificate_wanted(
        &mut self,
        now_unix_s: i64,
    ) -> Result<Option<Value>, EnrolError> {
        let CredentialConfig::Enrolment { credential_file, .. } = &self.source else {
            return Ok(None);
        };
        let Some(kept) = &mut self.kept else { return Ok(None) };
        let is_fine = kept.certificate.as_ref().is_some_and(|it| !it.is_due(now_unix_s));
        if (is_fine && !self.asking.is_doubted) || now_unix_s < self.asking.not_before_unix_s {
            return Ok(None);
        }
        if kept.key.is_empty() {
            // Before it is asked for: the server gives none for another key later.
            kept.key = certificate::new_key()?;
            let keep = |source| EnrolError::Keep { path: credential_file.clone(), source };
            write_kept(credential_file, kept).map_err(keep)?;
        }
        Ok(Some(serde_json::json!({"csr": certificate::request(&kept.key)?})))
    }

    /// Takes the server's answer to a request for a certificate. Without one, all goes on as it
    /// was, and the server is asked again in some minutes.
    pub(crate) fn certified(
        &mut self,
        answer: Result<Answer, String>,
        now_unix_s: i64,
    ) -> Result<(), EnrolError> {
        let CredentialConfig::Enrolment { credential_file, .. } = &self.source else {
            return Ok(());
        };
        let Some(kept) = &mut self.kept else { return Ok(()) };
        let said: Value = answer
            .as_ref()
            .ok()
            .and_then(|it| serde_json::from_str(&it.text).ok())
            .unwrap_or_default();
        if let Some(certificate) = Certificate::of_answer(&said["data"], now_unix_s) {
            let next = Kept { certificate: Some(certificate), ..kept.clone() };
            let keep = |source| EnrolError::Keep { path: credential_file.clone(), source };
            write_kept(credential_file, &next).map_err(keep)?;
            info!(name = next.name, "Got a certificate.");
            *kept = next;
            let no_doubt_before_unix_s = self.asking.no_doubt_before_unix_s;
            self.asking = Asking { no_doubt_before_unix_s, ..Asking::default() };
            return Ok(());
        }
        let problem = answer.map_or_else(|problem| problem, |answer| answer.to_string());
        self.asking.not_before_unix_s = now_unix_s.saturating_add(ASK_AGAIN_S);
        if self.asking.problem.as_ref() != Some(&problem) {
            warn!(problem, "The server gives no certificate; going on with the credential.");
            self.asking.problem = Some(problem);
        }
        Ok(())
    }
}

/// Made up before the server is asked, and the same until it has answered.
fn pending(credential_file: &Path, enrolment_sha256: String) -> Result<Kept, EnrolError> {
    let path = pending_file(credential_file);
    // One that cannot be read is as good as none: nobody has taken it.
    if let Ok(Some(pending)) = read_kept(&path)
        && pending.enrolment_sha256 == enrolment_sha256
        && !pending.key.is_empty()
    {
        return Ok(pending);
    }
    let mut secret = [0; 32];
    rand::rng().fill_bytes(&mut secret);
    let token = format!("skep_{}", URL_SAFE_NO_PAD.encode(secret));
    let key = certificate::new_key()?;
    let pending = Kept { token, enrolment_sha256, name: String::new(), key, certificate: None };
    write_kept(&path, &pending).map_err(|source| EnrolError::Keep { path, source })?;
    Ok(pending)
}

fn pending_file(credential_file: &Path) -> PathBuf {
    credential_file.with_extension("pending")
}

fn read_kept(path: &Path) -> anyhow::Result<Option<Kept>> {
    let text = match fs::read_to_string(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        read => read.with_context(|| format!("reading the credential {}", path.display()))?,
    };
    let kept = serde_json::from_str(&text).with_context(|| {
        format!("{} is no credential; remove it and enrol this host again", path.display())
    })?;
    Ok(Some(kept))
}

/// After a crash the file holds the old credential or the new.
fn write_kept(path: &Path, kept: &Kept) -> io::Result<()> {
    let partial = path.with_extension("partial");
    match fs::remove_file(&partial) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let mut file =
        fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(&partial)?;
    file.write_all(serde_json::to_string(kept)?.as_bytes())?;
    file.sync_all()?;
    fs::rename(&partial, path)?;
    match path.parent() {
        Some(dir) => fs::File::open(dir)?.sync_all(),
        None => Ok(()),
    }
}

fn of_file(path: &Path) -> anyhow::Result<HeaderValue> {
    let token = fs::read_to_string(path)
        .with_context(|| format!("reading server.token_file {}", path.display()))?;
    bearer(token.trim())
        .with_context(|| format!("server.token_file {} is no token", path.display()))
}

fn bearer(token: &str) -> Result<HeaderValue, reqwest::header::InvalidHeaderValue> {
    let mut value = HeaderValue::from_str(&format!("Bearer {token}"))?;
    value.set_sensitive(true);
    Ok(value)
}

/// In hexadecimal.
fn sha256(text: &str) -> String {
    format!("{:x}", Sha256::digest(text.as_bytes()))
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    const URL: &str = "https://skep.example";
    const NOW: i64 = 1_000_000;
    const DAY_S: i64 = 86_400;

    /// An agent's folder with an enrolment token in it.
    struct Lab(tempfile::TempDir);

    impl Lab {
        fn new(token: &str) -> Self {
            let lab = Self(tempfile::tempdir().unwrap());
            fs::write(lab.path("enrolment"), token).unwrap();
            lab
        }

        fn path(&self, name: &str) -> PathBuf {
            self.0.path().join(name)
        }

        fn open(&self) -> Credential {
            let (token_file, credential_file) = (self.path("enrolment"), self.path("credential"));
            Credential::open(&CredentialConfig::Enrolment { token_file, credential_file }).unwrap()
        }

        /// As an agent that was let in.
        fn enrolled(&self) -> Credential {
            let mut credential = self.open();
            let wanted = credential.wanted().unwrap().unwrap();
            credential.answered(URL, wanted, &taken(), NOW).unwrap();
            credential
        }
    }

    fn answer(status: u16, text: &str) -> Answer {
        Answer { status, retry_after: None, speaks_v2: false, text: text.to_owned() }
    }

    fn taken() -> Answer {
        answer(200, r#"{"status":"success","data":{"name":"bee-1"}}"#)
    }

    fn refused() -> Answer {
        answer(403, r#"{"status":"error","error":"it was used"}"#)
    }

    #[test]
    fn an_enrolment_token_is_traded_once_and_may_go() {
        let lab = Lab::new("skep_once\n");
        let mut credential = lab.open();
        assert_eq!(credential.authorization(), None);
        let wanted = credential.wanted().unwrap().unwrap();
        assert_eq!(wanted.body["token"], "skep_once");
        let own = wanted.pending.token.clone();
        assert_eq!(wanted.body["credential_sha256"], sha256(&own));
        credential.answered(URL, wanted, &taken(), NOW).unwrap();
        assert!(credential.wanted().unwrap().is_none());
        fs::remove_file(lab.path("enrolment")).unwrap();
        let mut again = lab.open();
        assert!(again.wanted().unwrap().is_none());
        assert_eq!(again.authorization().unwrap(), &format!("Bearer {own}"));
        let mode = lab.path("credential").metadata().unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
        assert!(!lab.path("credential.pending").exists());
    }

    #[test]
    fn after_a_lost_answer_the_same_is_asked_again() {
        let lab = Lab::new("skep_once");
        let first = lab.open().wanted().unwrap().unwrap();
        let second = lab.open().wanted().unwrap().unwrap();
        assert_eq!(first.body["credential_sha256"], second.body["credential_sha256"]);
        assert_eq!(first.pending.key, second.pending.key);
        let mode = lab.path("credential.pending").metadata().unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
    }

    #[test]
    fn a_refused_enrolment_is_asked_for_once_and_a_new_token_tried_at_once() {
        let lab = Lab::new("skep_used");
        let mut credential = lab.open();
        let wanted = credential.wanted().unwrap().unwrap();
        let error = credential.answered(URL, wanted, &refused(), NOW).unwrap_err();
        assert_eq!(error.to_string(), "the server does not let this agent enrol: it was used");
        assert!(matches!(credential.wanted(), Err(EnrolError::Refused(_))));
        fs::write(lab.path("enrolment"), "skep_new").unwrap();
        let wanted = credential.wanted().unwrap().unwrap();
        credential.answered(URL, wanted, &taken(), NOW).unwrap();
        assert!(credential.authorization().is_some());
    }

    #[test]
    fn a_revoked_agent_enrols_with_a_new_token_and_not_with_the_old() {
        let lab = Lab::new("skep_once");
        let mut credential = lab.enrolled();
        let old = credential.authorization().unwrap().clone();
        credential.refused(NOW);
        assert!(credential.wanted().unwrap().is_none());
        credential.refused(NOW);
        fs::write(lab.path("enrolment"), "skep_new").unwrap();
        let wanted = credential.wanted().unwrap().unwrap();
        // What the agent has stays until there is better.
        credential.answered(URL, wanted, &refused(), NOW).unwrap();
        assert_eq!(credential.authorization(), Some(&old));
        fs::write(lab.path("enrolment"), "skep_newer").unwrap();
        let wanted = credential.wanted().unwrap().unwrap();
        credential.answered(URL, wanted, &taken(), NOW).unwrap();
        assert_ne!(credential.authorization(), Some(&old));
    }

    /// As a server gives one: the text is not looked at here.
    fn certificate(name: &str) -> Answer {
        let ends = NOW + 90 * DAY_S;
        let data =
            serde_json::json!({"name": "bee-1", "certificate": name, "not_after_unix_s": ends});
        answer(200, &serde_json::json!({"status": "success", "data": data}).to_string())
    }

    #[test]
    fn a_certificate_comes_with_the_enrolment_and_is_renewed_for_the_same_key() {
        let lab = Lab::new("skep_once");
        let mut credential = lab.open();
        let wanted = credential.wanted().unwrap().unwrap();
        assert!(wanted.body["csr"].as_str().unwrap().contains("CERTIFICATE REQUEST"));
        credential.answered(URL, wanted, &certificate("first"), NOW).unwrap();
        let first = credential.identity(NOW).unwrap();
        assert!(first.starts_with("first\n-----BEGIN PRIVATE KEY-----"), "{first}");
        assert_eq!(credential.certificate_wanted(NOW + 59 * DAY_S).unwrap(), None);

        // After a restart as before it, and while the server does not answer.
        let mut credential = lab.open();
        assert_eq!(credential.identity(NOW), Some(first.clone()));
        let late = NOW + 60 * DAY_S;
        assert!(credential.certificate_wanted(late).unwrap().is_some());
        credential.certified(Err("no answer".to_owned()), late).unwrap();
        assert_eq!(credential.certificate_wanted(late + ASK_AGAIN_S - 1).unwrap(), None);
        assert_eq!(credential.identity(late), Some(first.clone()));
        assert!(credential.certificate_wanted(late + ASK_AGAIN_S).unwrap().is_some());
        let other = answer(409, r#"{"error":"bee-1 has a certificate for another key"}"#);
        credential.certified(Ok(other), late + ASK_AGAIN_S).unwrap();
        assert_eq!(credential.identity(NOW + 90 * DAY_S), None, "it has ended");

        credential.certified(Ok(certificate("second")), late).unwrap();
        assert_eq!(credential.identity(late), Some(first.replacen("first", "second", 1)));
        assert_eq!(lab.open().identity(late), credential.identity(late));
        let standing = credential.standing().unwrap();
        assert!(standing.starts_with("enrolled as bee-1, credential and certificate in"));
    }

    #[test]
    fn who_enrolled_before_there_were_certificates_gets_one() {
        let lab = Lab::new("skep_once");
        let old = r#"{"token":"skep_own","enrolment_sha256":"x","name":"bee-1"}"#;
        fs::write(lab.path("credential"), old).unwrap();
        let mut credential = lab.open();
        assert_eq!(credential.identity(NOW), None);
        assert!(credential.certificate_wanted(NOW).unwrap().is_some());
        let key = lab.open().kept.unwrap().key;
        credential.certified(Ok(answer(404, "not here")), NOW).unwrap();
        assert_eq!(credential.certificate_wanted(NOW).unwrap(), None, "an older server");
        // Until it asks for one.
        credential.refused(NOW);
        assert!(credential.certificate_wanted(NOW).unwrap().is_some());
        credential.certified(Ok(certificate("first")), NOW).unwrap();
        assert_eq!(credential.identity(NOW), Some(format!("first\n{key}")));
    }

    #[test]
    fn a_certificate_that_the_server_may_not_take_is_exchanged_once_in_a_while() {
        let lab = Lab::new("skep_once");
        let mut credential = lab.open();
        let wanted = credential.wanted().unwrap().unwrap();
        credential.answered(URL, wanted, &certificate("first"), NOW).unwrap();
        credential.certificate_doubted(NOW);
        assert_eq!(credential.identity(NOW), None);
        assert!(credential.certificate_wanted(NOW).unwrap().is_some());
        credential.certified(Ok(certificate("second")), NOW).unwrap();
        let at = |credential: &mut Credential, now| {
            credential.certificate_doubted(now);
            credential.identity(now).map(|it| it[..6].to_owned())
        };
        assert_eq!(at(&mut credential, NOW + ASK_AGAIN_S - 1).as_deref(), Some("second"));
        assert_eq!(at(&mut credential, NOW + ASK_AGAIN_S), None);
    }

    #[test]
    fn what_is_wrong_is_said_with_what_to_do() {
        let lab = Lab::new("skep_once");
        let mut credential = lab.open();
        let mut told = |answer: &Answer| {
            let wanted = credential.wanted().unwrap().unwrap();
            credential.answered(URL, wanted, answer, NOW).unwrap_err().to_string()
        };
        assert_eq!(
            told(&answer(404, "not here")),
            "https://skep.example does not know how to enrol an agent (status 404); is it a Skep server, by the name that shows its page?"
        );
        assert_eq!(
            told(&answer(429, r#"{"error":"too many"}"#)),
            "the server does not let this agent enrol yet: too many"
        );
        fs::remove_file(lab.path("enrolment")).unwrap();
        let missing = credential.wanted().unwrap_err().to_string();
        assert!(missing.contains("`skep-server enrol HOST` makes a token"), "{missing}");
        assert_eq!(lab.open().standing(), Err(missing));
        fs::write(lab.path("credential"), "{").unwrap();
        let broken = format!("{:#}", Credential::open(&credential.source).unwrap_err());
        assert!(broken.contains("remove it and enrol this host again"), "{broken}");
    }
}
