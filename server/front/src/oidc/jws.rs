//! Signed tokens (RFC 7515) and the public keys they are checked with (RFC 7517).
//!
//! ```text
//! base64url(header) "." base64url(payload) "." base64url(signature)
//! {"alg":"ES256","kid":"k1"}
//! ```
//! Only signatures by a private key: `none` and the HMACs are no algorithms here, so that a token
//! cannot choose them.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use ring::signature::{self, RsaPublicKeyComponents, UnparsedPublicKey, VerificationAlgorithm};
use serde::Deserialize;

/// A provider has a handful; each may be tried.
const KEYS_MAX: usize = 64;

/// The keys of a provider, as its `jwks_uri` tells them.
#[derive(Debug, Deserialize)]
pub(super) struct Keys {
    keys: Vec<Key>,
}

/// Fields of kinds of keys that are of no use here are left out.
#[derive(Debug, Deserialize)]
struct Key {
    kty: String,
    kid: Option<String>,
    alg: Option<String>,
    #[serde(rename = "use")]
    purpose: Option<String>,
    crv: Option<String>,
    n: Option<String>,
    e: Option<String>,
    x: Option<String>,
    y: Option<String>,
}

#[derive(Debug, Deserialize)]
struct Header {
    alg: String,
    kid: Option<String>,
    /// Extensions that must be understood: none is.
    crit: Option<serde_json::Value>,
}

/// Why a token is not believed.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub(crate) enum JwsError {
    #[error("the provider's token is not a signed token")]
    Malformed,
    #[error("the provider signs with {0:?}, which is not taken; let it sign with RS256 or ES256")]
    Algorithm(String),
    #[error("the provider's token asks for an extension that is not known here")]
    Critical,
    #[error("the provider's keys have none that is called {0:?}")]
    UnknownKey(String),
    #[error("the provider's token is not signed by a key of the provider")]
    Signature,
}

/// How a signature is checked.
enum Scheme {
    Rsa(&'static signature::RsaParameters),
    Curve(&'static str, &'static str, &'static dyn VerificationAlgorithm),
}

impl Scheme {
    /// What a provider may sign with.
    fn named(name: &str) -> Option<Self> {
        Some(match name {
            "RS256" => Self::Rsa(&signature::RSA_PKCS1_2048_8192_SHA256),
            "RS384" => Self::Rsa(&signature::RSA_PKCS1_2048_8192_SHA384),
            "RS512" => Self::Rsa(&signature::RSA_PKCS1_2048_8192_SHA512),
            "PS256" => Self::Rsa(&signature::RSA_PSS_2048_8192_SHA256),
            "PS384" => Self::Rsa(&signature::RSA_PSS_2048_8192_SHA384),
            "PS512" => Self::Rsa(&signature::RSA_PSS_2048_8192_SHA512),
            "ES256" => Self::Curve("EC", "P-256", &signature::ECDSA_P256_SHA256_FIXED),
            "ES384" => Self::Curve("EC", "P-384", &signature::ECDSA_P384_SHA384_FIXED),
            "EdDSA" | "Ed25519" => Self::Curve("OKP", "Ed25519", &signature::ED25519),
            _none_or_unknown => return None,
        })
    }

    /// Whether a key is of the kind that the scheme takes.
    fn takes(&self, key: &Key) -> bool {
        match self {
            Self::Rsa(_) => key.kty == "RSA",
            Self::Curve(kty, crv, _) => key.kty == *kty && key.crv.as_deref() == Some(*crv),
        }
    }

    fn is_signed_by(&self, key: &Key, message: &[u8], signature: &[u8]) -> bool {
        let checked = match self {
            Self::Rsa(parameters) => {
                number(key.n.as_ref()).zip(number(key.e.as_ref())).map(|(n, e)| {
                    RsaPublicKeyComponents { n, e }.verify(parameters, message, signature)
                })
            }
            Self::Curve(_, _, algorithm) => point(key)
                .map(|point| UnparsedPublicKey::new(*algorithm, point).verify(message, signature)),
        };
        checked.is_some_and(|it| it.is_ok())
    }
}

impl Keys {
    pub(super) fn parse(text: &str) -> Result<Self, serde_json::Error> {
        let mut keys: Self = serde_json::from_str(text)?;
        keys.keys.truncate(KEYS_MAX);
        Ok(keys)
    }

    /// The payload of a token that one of the keys has signed.
    pub(super) fn payload(&self, token: &str) -> Result<Vec<u8>, JwsError> {
        let (message, signature) = token.rsplit_once('.').ok_or(JwsError::Malformed)?;
        let (header, payload) = message.split_once('.').ok_or(JwsError::Malformed)?;
        let header: Header =
            serde_json::from_slice(&decoded(header)?).map_err(|_no_json| JwsError::Malformed)?;
        let (signature, payload) = (decoded(signature)?, decoded(payload)?);
        let scheme = Scheme::named(&header.alg).ok_or(JwsError::Algorithm(header.alg.clone()))?;
        if header.crit.is_some() {
            return Err(JwsError::Critical);
        }
        let is_meant = |key: &&Key| {
            let is_named = header.kid.is_none() || key.kid == header.kid;
            let is_for_it = key.alg.as_ref().is_none_or(|alg| *alg == header.alg)
                && key.purpose.as_ref().is_none_or(|it| it == "sig");
            is_named && is_for_it && scheme.takes(key)
        };
        let mut candidates = self.keys.iter().filter(is_meant).peekable();
        if let (None, Some(kid)) = (candidates.peek(), &header.kid) {
            return Err(JwsError::UnknownKey(kid.clone()));
        }
        match candidates.any(|key| scheme.is_signed_by(key, message.as_bytes(), &signature)) {
            true => Ok(payload),
            false => Err(JwsError::Signature),
        }
    }
}

fn decoded(text: &str) -> Result<Vec<u8>, JwsError> {
    URL_SAFE_NO_PAD.decode(text).map_err(|_no_base64| JwsError::Malformed)
}

/// Without zeros in front, which some providers write.
fn number(text: Option<&String>) -> Option<Vec<u8>> {
    let bytes = URL_SAFE_NO_PAD.decode(text?).ok()?;
    Some(bytes.into_iter().skip_while(|byte| *byte == 0).collect())
}

/// As ring takes public keys: uncompressed (`4 x y`), for Ed25519 `x` alone.
fn point(key: &Key) -> Option<Vec<u8>> {
    let x = URL_SAFE_NO_PAD.decode(key.x.as_ref()?).ok()?;
    if key.kty == "OKP" {
        return Some(x);
    }
    let y = URL_SAFE_NO_PAD.decode(key.y.as_ref()?).ok()?;
    Some([&[4], x.as_slice(), &y].concat())
}

#[cfg(test)]
mod tests {
    use ring::rand::SystemRandom;
    use ring::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, Ed25519KeyPair, KeyPair};

    use super::*;

    fn base64(bytes: impl AsRef<[u8]>) -> String {
        URL_SAFE_NO_PAD.encode(bytes)
    }

    struct Signer {
        key: EcdsaKeyPair,
    }

    impl Signer {
        fn new() -> Self {
            let (rng, algorithm) = (SystemRandom::new(), &ECDSA_P256_SHA256_FIXED_SIGNING);
            let pkcs8 = EcdsaKeyPair::generate_pkcs8(algorithm, &rng).unwrap();
            Self { key: EcdsaKeyPair::from_pkcs8(algorithm, pkcs8.as_ref(), &rng).unwrap() }
        }

        fn jwk(&self, kid: &str) -> String {
            let point = self.key.public_key().as_ref();
            let (x, y) = (base64(&point[1..33]), base64(&point[33..]));
            format!(r#"{{"kty":"EC","crv":"P-256","kid":"{kid}","use":"sig","x":"{x}","y":"{y}"}}"#)
        }

        fn token(&self, header: &str, payload: &str) -> String {
            let message = format!("{}.{}", base64(header), base64(payload));
            let signature = self.key.sign(&SystemRandom::new(), message.as_bytes()).unwrap();
            format!("{message}.{}", base64(signature))
        }
    }

    fn keys(jwks: &[&str]) -> Keys {
        Keys::parse(&format!(r#"{{"keys":[{}]}}"#, jwks.join(","))).unwrap()
    }

    #[test]
    fn only_what_a_key_of_the_provider_signed_is_believed() {
        let (signer, other) = (Signer::new(), Signer::new());
        let known = keys(&[&other.jwk("k0"), &signer.jwk("k1"), r#"{"kty":"oct","k":"c2VjcmV0"}"#]);
        let token = signer.token(r#"{"alg":"ES256","kid":"k1"}"#, "{}");
        assert_eq!(known.payload(&token).unwrap(), b"{}");
        // A provider with one key need not name it.
        let unnamed = signer.token(r#"{"alg":"ES256"}"#, "{}");
        assert_eq!(known.payload(&unnamed).unwrap(), b"{}");

        let tampered = token.replace(&base64("{}"), &base64("[]"));
        assert_eq!(known.payload(&tampered), Err(JwsError::Signature));
        let stolen_name = other.token(r#"{"alg":"ES256","kid":"k1"}"#, "{}");
        assert_eq!(known.payload(&stolen_name), Err(JwsError::Signature));
        let unknown = signer.token(r#"{"alg":"ES256","kid":"k2"}"#, "{}");
        assert_eq!(known.payload(&unknown), Err(JwsError::UnknownKey("k2".to_owned())));
        let critical = signer.token(r#"{"alg":"ES256","kid":"k1","crit":["b64"]}"#, "{}");
        assert_eq!(known.payload(&critical), Err(JwsError::Critical));
        // The key is of another kind than the header says.
        let confused = signer.token(r#"{"alg":"RS256","kid":"k1"}"#, "{}");
        assert_eq!(known.payload(&confused), Err(JwsError::UnknownKey("k1".to_owned())));
    }

    #[test]
    fn a_token_cannot_choose_to_be_unsigned() {
        let signer = Signer::new();
        let known = keys(&[&signer.jwk("k1")]);
        for alg in ["none", "None", "HS256", ""] {
            let token = signer.token(&format!(r#"{{"alg":"{alg}","kid":"k1"}}"#), "{}");
            assert_eq!(known.payload(&token), Err(JwsError::Algorithm(alg.to_owned())));
        }
        let header = base64(r#"{"alg":"none"}"#);
        let unsigned = format!("{header}.{}.", base64("{}"));
        assert_eq!(known.payload(&unsigned), Err(JwsError::Algorithm("none".to_owned())));
        for text in ["", ".", "..", "a.b", "a.b.c", "e30.e30", &"x".repeat(9999)] {
            assert_eq!(known.payload(text), Err(JwsError::Malformed), "{text}");
        }
    }

    #[test]
    fn a_key_for_something_else_signs_nothing() {
        let signer = Signer::new();
        let token = signer.token(r#"{"alg":"ES256","kid":"k1"}"#, "{}");
        for (from, to) in [("\"sig\"", "\"enc\""), ("\"use\"", "\"alg\""), ("P-256", "P-384")] {
            let known = keys(&[&signer.jwk("k1").replace(from, to)]);
            assert_eq!(known.payload(&token), Err(JwsError::UnknownKey("k1".to_owned())), "{to}");
        }
    }

    #[test]
    fn ed25519_is_taken_too() {
        let pkcs8 = Ed25519KeyPair::generate_pkcs8(&SystemRandom::new()).unwrap();
        let key = Ed25519KeyPair::from_pkcs8(pkcs8.as_ref()).unwrap();
        let x = base64(key.public_key());
        let known = keys(&[&format!(r#"{{"kty":"OKP","crv":"Ed25519","x":"{x}"}}"#)]);
        let message = format!("{}.{}", base64(r#"{"alg":"EdDSA"}"#), base64("{}"));
        let token = format!("{message}.{}", base64(key.sign(message.as_bytes())));
        assert_eq!(known.payload(&token).unwrap(), b"{}");
    }
}
