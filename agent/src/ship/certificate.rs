//! The certificate that an enrolled agent shows besides its credential: the server's local CA signs
//! it for a key that never leaves this host. Pure.

use rcgen::{CertificateParams, KeyPair};
use serde::{Deserialize, Serialize};
use serde_json::Value;

/// Where a server gives certificates, below its address.
pub(crate) const PATH: &str = "/-/skep/v1/certificate";

/// One that the server gave.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Certificate {
    pem: String,
    renew_at_unix_s: i64,
    not_after_unix_s: i64,
}

/// A private key, PKCS #8 in PEM.
pub(crate) fn new_key() -> Result<String, rcgen::Error> {
    Ok(KeyPair::generate()?.serialize_pem())
}

/// Shows that the agent has the key, in PEM (RFC 2986). What the certificate says is the server's.
pub(crate) fn request(key: &str) -> Result<String, rcgen::Error> {
    let key = KeyPair::from_pem(key)?;
    CertificateParams::new(Vec::new())?.serialize_request(&key)?.pem()
}

impl Certificate {
    /// The one in the `data` of what the server said, if any.
    pub(crate) fn of_answer(said: &Value, now_unix_s: i64) -> Option<Self> {
        let pem = said.pointer("/data/certificate")?.as_str()?.to_owned();
        let not_after_unix_s = said.pointer("/data/not_after_unix_s")?.as_i64()?;
        // A third of its life is time enough for a server that is away, and for people to notice.
        let renew_at_unix_s = now_unix_s + (not_after_unix_s - now_unix_s) / 3 * 2;
        Some(Self { pem, renew_at_unix_s, not_after_unix_s })
    }

    /// Whether to ask for the next.
    pub(crate) fn is_due(&self, now_unix_s: i64) -> bool {
        now_unix_s >= self.renew_at_unix_s
    }

    /// A server breaks the connection off over one that has ended.
    pub(crate) fn is_over(&self, now_unix_s: i64) -> bool {
        now_unix_s >= self.not_after_unix_s
    }

    /// As TLS libraries read an identity from one file.
    pub(crate) fn with_key(&self, key: &str) -> String {
        format!("{}\n{key}", self.pem.trim_end())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_renewed_in_the_last_third_of_its_life() {
        let data = serde_json::json!({"certificate": "pem\n", "not_after_unix_s": 1_000 + 90});
        let said = serde_json::json!({"data": data});
        let certificate = Certificate::of_answer(&said, 1_000).unwrap();
        let at = |now| (certificate.is_due(now), certificate.is_over(now));
        assert_eq!(at(1_000), (false, false));
        assert_eq!(at(1_059), (false, false));
        assert_eq!(at(1_060), (true, false));
        assert_eq!(at(1_090), (true, true));
        assert_eq!(certificate.with_key("key"), "pem\nkey");
    }

    #[test]
    fn what_holds_no_certificate_gives_none() {
        for said in ["null", r#"{"data":{"name":"bee-1"}}"#, r#"{"data":{"certificate":"pem"}}"#] {
            let said = serde_json::from_str(said).unwrap();
            assert_eq!(Certificate::of_answer(&said, 0), None);
        }
    }

    #[test]
    fn a_request_shows_the_key_and_asks_for_no_name() {
        let key = new_key().unwrap();
        let request = request(&key).unwrap();
        let parsed = rcgen::CertificateSigningRequestParams::from_pem(&request).unwrap();
        assert!(parsed.params.subject_alt_names.is_empty());
        use rcgen::PublicKeyData as _;
        let shown = parsed.public_key.subject_public_key_info();
        assert_eq!(shown, KeyPair::from_pem(&key).unwrap().subject_public_key_info());
    }
}
