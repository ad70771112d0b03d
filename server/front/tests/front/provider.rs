//! A small OpenID Connect provider that is real but for its people: HTTP, PKCE, codes that are good
//! once, tokens signed by its keys. Its tokens can be made wrong.

use std::collections::HashMap;
use std::future::ready;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use axum::extract::{Form, Query, State};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Redirect, Response};
use axum::routing::{get, post};
use axum::{Json, Router};
use base64::Engine;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use ring::rand::SystemRandom;
use ring::signature::{
    ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair, RSA_PKCS1_SHA256, RsaKeyPair,
    RsaPublicKeyComponents,
};
use rustls::pki_types::PrivatePkcs8KeyDer;
use rustls::pki_types::pem::PemObject;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use time::OffsetDateTime;

/// Made for these tests, and known to everybody.
const RSA_KEY: &str = include_str!("provider-rsa.pem");
pub(crate) const SECRET: &str = "provider's secret/with+signs";

type Params = HashMap<String, String>;

/// What the provider does, and may do wrong.
pub(crate) struct Behaviour {
    pub(crate) issuer: String,
    pub(crate) alg: &'static str,
    /// What is in a token's header.
    pub(crate) kid: String,
    /// What the published keys are called.
    pub(crate) published_kid: String,
    /// What is different in the token.
    pub(crate) claims: Value,
    /// What is done to a token after it was signed.
    pub(crate) tamper: fn(String) -> String,
    pub(crate) userinfo: Value,
    pub(crate) now: OffsetDateTime,
}

struct Inner {
    ec: EcdsaKeyPair,
    rsa: RsaKeyPair,
    behaviour: Mutex<Behaviour>,
    /// By code; one is gone once it is used.
    codes: Mutex<HashMap<String, Params>>,
}

#[derive(Clone)]
pub(crate) struct Provider {
    pub(crate) addr: SocketAddr,
    inner: Arc<Inner>,
}

impl Provider {
    pub(crate) async fn start() -> Self {
        let (rng, algorithm) = (SystemRandom::new(), &ECDSA_P256_SHA256_FIXED_SIGNING);
        let ec = EcdsaKeyPair::generate_pkcs8(algorithm, &rng).unwrap();
        let rsa = PrivatePkcs8KeyDer::from_pem_slice(RSA_KEY.as_bytes()).unwrap();
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let addr = listener.local_addr().unwrap();
        let behaviour = Behaviour {
            issuer: format!("http://{addr}"),
            alg: "ES256",
            kid: "k1".to_owned(),
            published_kid: "k1".to_owned(),
            claims: json!({"preferred_username": "eva", "groups": ["family"]}),
            tamper: |token| token,
            userinfo: json!({"sub": "1"}),
            now: OffsetDateTime::now_utc(),
        };
        let inner = Arc::new(Inner {
            ec: EcdsaKeyPair::from_pkcs8(algorithm, ec.as_ref(), &rng).unwrap(),
            rsa: RsaKeyPair::from_pkcs8(rsa.secret_pkcs8_der()).unwrap(),
            behaviour: Mutex::new(behaviour),
            codes: Mutex::default(),
        });
        let router = Router::new()
            .route(
                "/.well-known/openid-configuration",
                get(|State(it): State<Arc<Inner>>, headers: HeaderMap| {
                    ready(document(&it, &headers))
                }),
            )
            .route("/keys", get(|State(it): State<Arc<Inner>>| ready(keys(&it))))
            .route(
                "/authorize",
                get(|State(it): State<Arc<Inner>>, Query(asked): Query<Params>| {
                    ready(authorize(&it, asked))
                }),
            )
            .route(
                "/token",
                post(
                    |State(it): State<Arc<Inner>>, headers: HeaderMap, Form(sent): Form<Params>| {
                        ready(token(&it, &headers, &sent))
                    },
                ),
            )
            .route(
                "/userinfo",
                get(|State(it): State<Arc<Inner>>, headers: HeaderMap| {
                    ready(userinfo(&it, &headers))
                }),
            )
            .with_state(Arc::clone(&inner));
        tokio::spawn(async move { axum::serve(listener, router).await.unwrap() });
        Self { addr, inner }
    }

    pub(crate) fn issuer(&self) -> String {
        format!("http://{}", self.addr)
    }

    pub(crate) fn behave(&self, change: impl FnOnce(&mut Behaviour)) {
        change(&mut self.inner.behaviour.lock().unwrap());
    }
}

fn document(inner: &Inner, headers: &HeaderMap) -> Json<Value> {
    let base = format!("http://{}", headers["host"].to_str().unwrap());
    Json(json!({
        "issuer": inner.behaviour.lock().unwrap().issuer,
        "authorization_endpoint": format!("{base}/authorize"),
        "token_endpoint": format!("{base}/token"),
        "jwks_uri": format!("{base}/keys"),
        "userinfo_endpoint": format!("{base}/userinfo"),
        "end_session_endpoint": format!("{base}/logout?x=1"),
    }))
}

fn keys(inner: &Inner) -> Json<Value> {
    let kid = inner.behaviour.lock().unwrap().published_kid.clone();
    let point = inner.ec.public_key().as_ref();
    let (x, y) = (base64(&point[1..33]), base64(&point[33..]));
    let rsa = RsaPublicKeyComponents::<Vec<u8>>::from(inner.rsa.public_key());
    Json(json!({"keys": [
        {"kty": "EC", "crv": "P-256", "kid": kid, "alg": "ES256", "x": x, "y": y},
        {"kty": "RSA", "kid": kid, "alg": "RS256", "use": "sig", "n": base64(rsa.n),
         "e": base64(rsa.e)},
        {"kty": "oct", "kid": "secret", "k": "c2VjcmV0"},
    ]}))
}

/// Everybody is logged in already.
fn authorize(inner: &Inner, asked: Params) -> Response {
    let is_whole = asked["response_type"] == "code"
        && asked["client_id"] == "skep"
        && asked["scope"].split(' ').any(|it| it == "openid")
        && asked["code_challenge_method"] == "S256";
    if !is_whole {
        return StatusCode::BAD_REQUEST.into_response();
    }
    let mut codes = inner.codes.lock().unwrap();
    let code = format!("code{}", codes.len());
    let to = format!("{}?code={code}&state={}", asked["redirect_uri"], asked["state"]);
    codes.insert(code, asked);
    Redirect::to(&to).into_response()
}

fn token(inner: &Inner, headers: &HeaderMap, sent: &Params) -> Response {
    let refused = |error: &str| (StatusCode::BAD_REQUEST, Json(json!({"error": error})));
    let secret = "provider%27s%20secret/with%2Bsigns";
    let expected = format!("Basic {}", STANDARD.encode(format!("skep:{secret}")));
    let is_post = sent.get("client_secret").is_some_and(|it| it == SECRET);
    if !is_post && headers.get("authorization").is_none_or(|it| *it != expected) {
        return refused("invalid_client").into_response();
    }
    let asked = inner.codes.lock().unwrap().get_mut(&sent["code"]).map(std::mem::take);
    let challenge = base64(Sha256::digest(&sent["code_verifier"]));
    let is_its = |asked: &Params| {
        asked.get("code_challenge") == Some(&challenge)
            && asked.get("redirect_uri") == sent.get("redirect_uri")
    };
    let Some(asked) = asked.filter(is_its) else {
        return refused("invalid_grant").into_response();
    };
    let token = id_token(inner, &asked["nonce"]);
    Json(json!({"id_token": token, "access_token": "a", "token_type": "Bearer"})).into_response()
}

fn userinfo(inner: &Inner, headers: &HeaderMap) -> Response {
    if headers["authorization"] != "Bearer a" {
        return StatusCode::UNAUTHORIZED.into_response();
    }
    Json(inner.behaviour.lock().unwrap().userinfo.clone()).into_response()
}

fn id_token(inner: &Inner, nonce: &str) -> String {
    let behaviour = inner.behaviour.lock().unwrap();
    let now = behaviour.now.unix_timestamp();
    let mut claims = json!({
        "iss": behaviour.issuer, "sub": "1", "aud": "skep", "nonce": nonce,
        "iat": now, "exp": now + 300,
    });
    for (name, value) in behaviour.claims.as_object().unwrap() {
        claims[name] = value.clone();
    }
    let header = json!({"alg": behaviour.alg, "kid": behaviour.kid}).to_string();
    let message = format!("{}.{}", base64(header), base64(claims.to_string()));
    let rng = SystemRandom::new();
    let signature = match behaviour.alg {
        "none" => Vec::new(),
        "RS256" => {
            let mut signature = vec![0; inner.rsa.public_key().modulus_len()];
            let text = message.as_bytes();
            inner.rsa.sign(&RSA_PKCS1_SHA256, &rng, text, &mut signature).unwrap();
            signature
        }
        _curve => inner.ec.sign(&rng, message.as_bytes()).unwrap().as_ref().to_vec(),
    };
    (behaviour.tamper)(format!("{message}.{}", base64(signature)))
}

fn base64(bytes: impl AsRef<[u8]>) -> String {
    URL_SAFE_NO_PAD.encode(bytes)
}
