//! Login at an OpenID Connect provider: authorization code with PKCE, and an ID token that is
//! checked against the provider's published keys.
//!
//! ```text
//! browser ─▶ begin ─▶ provider's login ─▶ browser ─▶ return (code) ─▶ token endpoint ─▶ ID token
//! ```

mod claims;
pub(crate) mod flow;
mod jws;

use std::str::FromStr;
use std::sync::Arc;
use std::time::Duration;

use reqwest::{Client, RequestBuilder, Url};
use serde::Deserialize;
use time::OffsetDateTime;
use tokio::sync::{Mutex, Semaphore};

use self::claims::{Claims, Expected};
pub(crate) use self::claims::{ClaimsError, Person};
use self::flow::Flow;
use self::jws::{JwsError, Keys};
use crate::certs::http::{self, HttpError, Roots};
use crate::config::{CertificatesConfigError, OidcConfig, OidcLogout, TokenAuth, is_safe};
use crate::login::encoded;

/// For one question to the provider: a person waits.
const TIMEOUT: Duration = Duration::from_secs(10);
/// How long the provider's word about itself counts.
const DOCUMENT_LIFETIME: Duration = Duration::from_secs(3600);
/// A token by a key that is not known may be by a new one; asking again costs the provider.
const KEYS_AGE_MIN: Duration = Duration::from_secs(10);
/// Logins that wait for the provider at once; more wait here.
const EXCHANGES_MAX: usize = 8;

/// A provider as it is configured, and what it told about itself.
#[derive(Debug)]
pub(crate) struct Oidc {
    config: OidcConfig,
    http: Client,
    /// Held while the provider is asked, so that it is asked once.
    known: Mutex<Option<Arc<Known>>>,
    exchanges: Semaphore,
}

#[derive(Debug)]
struct Known {
    document: Document,
    keys: Keys,
    asked_at: OffsetDateTime,
}

/// OpenID Connect Discovery 1.0, what is used of it.
#[derive(Debug, Deserialize)]
struct Document {
    issuer: String,
    authorization_endpoint: Endpoint,
    token_endpoint: Endpoint,
    jwks_uri: Endpoint,
    userinfo_endpoint: Option<Endpoint>,
    end_session_endpoint: Option<Endpoint>,
    #[serde(default)]
    token_endpoint_auth_methods_supported: Vec<String>,
}

/// An address in a document: the url crate's own serde would be another feature for everybody.
#[derive(Debug, Deserialize)]
#[serde(try_from = "String")]
struct Endpoint(Url);

impl TryFrom<String> for Endpoint {
    type Error = <Url as FromStr>::Err;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        text.parse().map(Self)
    }
}

#[derive(Debug, Deserialize)]
struct Tokens {
    id_token: Option<String>,
    access_token: Option<String>,
}

#[derive(Debug, Default, Deserialize)]
struct TokenError {
    #[serde(default)]
    error: String,
    #[serde(default)]
    error_description: String,
}

/// How old what the provider told may be.
#[derive(Debug, Clone, Copy)]
enum Age {
    Usual,
    Newest,
}

/// Why nobody logs in this way at the moment.
#[derive(Debug, thiserror::Error)]
pub(crate) enum OidcError {
    #[error(
        "the login provider {issuer} cannot be asked; does it run, and is its certificate one that this server trusts (`oidc.ca_file`)?"
    )]
    Away { issuer: String, source: HttpError },
    #[error("the login provider answered {status} at {url}: {quote}")]
    Refused { url: String, status: u16, quote: String },
    #[error("what the login provider says at {url} is not what it should be: {why}")]
    Odd { url: String, why: String },
    #[error(
        "the login provider calls itself {found:?}, not {expected:?}; write `oidc.issuer` as it does"
    )]
    OtherIssuer { found: String, expected: String },
    #[error(
        "the login provider sends secrets over plain http, to {0}; give it an https:// address"
    )]
    Plain(Url),
    #[error(
        "the login provider does not know this server or its secret ({0}); compare `oidc.client_id` and `client_secret_file` with what it has, and `token_auth` with how it wants them"
    )]
    Client(String),
    #[error("the login provider does not take this login any more ({0}); try again")]
    Grant(String),
    #[error(transparent)]
    Signature(#[from] JwsError),
    #[error(transparent)]
    Claims(#[from] ClaimsError),
    #[error("the secret for the login provider cannot be read")]
    Secret(#[source] CertificatesConfigError),
}

impl Oidc {
    /// Asks nobody yet: the provider may be a site of this very server.
    pub(crate) fn new(config: OidcConfig, local_ca: &str) -> Result<Self, HttpError> {
        let roots = match &config.ca_file {
            Some(path) => Roots::of_file(path)?,
            None => Roots::system().and(local_ca),
        };
        Ok(Self {
            config,
            http: http::client(&roots)?,
            known: Mutex::new(None),
            exchanges: Semaphore::new(EXCHANGES_MAX),
        })
    }

    pub(crate) fn config(&self) -> &OidcConfig {
        &self.config
    }

    /// Where the browser goes to log in.
    pub(crate) async fn begin(
        &self,
        flow: &Flow,
        redirect_uri: &str,
        now: OffsetDateTime,
    ) -> Result<String, OidcError> {
        let known = self.known(Age::Usual, now).await?;
        let mut url = known.document.authorization_endpoint.0.clone();
        url.query_pairs_mut()
            .append_pair("response_type", "code")
            .append_pair("client_id", &self.config.client_id)
            .append_pair("redirect_uri", redirect_uri)
            .append_pair("scope", &self.config.scopes.join(" "))
            .append_pair("state", &flow.state())
            .append_pair("nonce", &flow.nonce())
            .append_pair("code_challenge", &flow.challenge())
            .append_pair("code_challenge_method", "S256");
        Ok(url.into())
    }

    /// Whom the provider has let in, for the code that the browser brings back.
    pub(crate) async fn finish(
        &self,
        flow: &Flow,
        code: &str,
        redirect_uri: &str,
        now: OffsetDateTime,
    ) -> Result<Person, OidcError> {
        let _turn = self.exchanges.acquire().await;
        let known = self.known(Age::Usual, now).await?;
        let tokens = self.exchange(&known.document, flow, code, redirect_uri).await?;
        let url = known.document.token_endpoint.0.as_str();
        let odd = |why: &str| OidcError::Odd { url: url.to_owned(), why: why.to_owned() };
        let token = tokens
            .id_token
            .ok_or_else(|| odd("there is no id_token; is the scope \"openid\" asked for?"))?;
        let mut claims = self.claims(&known, &token, flow, now).await?;
        if !claims::is_enough(&self.config, &claims)
            && let Some((url, access)) =
                known.document.userinfo_endpoint.as_ref().zip(tokens.access_token)
        {
            claims::add(&mut claims, self.ask_about(&url.0, &access).await?)?;
        }
        Ok(claims::person(&self.config, &claims)?)
    }

    /// Where a browser goes to log out of the provider, if it is to and there is such a place.
    pub(crate) async fn logout_url(&self, then: &str, now: OffsetDateTime) -> Option<Url> {
        if self.config.logout == OidcLogout::Here {
            return None;
        }
        let known = self.known(Age::Usual, now).await.ok()?;
        let mut url = known.document.end_session_endpoint.as_ref()?.0.clone();
        url.query_pairs_mut()
            .append_pair("client_id", &self.config.client_id)
            .append_pair("post_logout_redirect_uri", then);
        Some(url)
    }

    async fn claims(
        &self,
        known: &Known,
        token: &str,
        flow: &Flow,
        now: OffsetDateTime,
    ) -> Result<Claims, OidcError> {
        let payload = match known.keys.payload(token) {
            Err(JwsError::UnknownKey(_)) => {
                self.known(Age::Newest, now).await?.keys.payload(token)?
            }
            known => known?,
        };
        let claims: Claims =
            serde_json::from_slice(&payload).map_err(|_no_object| ClaimsError::NoClaims)?;
        let expected = Expected {
            issuer: self.config.issuer.as_str(),
            client_id: &self.config.client_id,
            nonce: &flow.nonce(),
            now,
        };
        claims::check(&claims, expected)?;
        Ok(claims)
    }

    async fn exchange(
        &self,
        document: &Document,
        flow: &Flow,
        code: &str,
        redirect_uri: &str,
    ) -> Result<Tokens, OidcError> {
        let verifier = flow.verifier();
        let mut form = vec![
            ("grant_type", "authorization_code"),
            ("code", code),
            ("redirect_uri", redirect_uri),
            ("code_verifier", verifier.as_str()),
        ];
        let secret = self.config.client_secret_file.as_ref().map(|it| it.read());
        let secret = secret.transpose().map_err(OidcError::Secret)?;
        let client_id = self.config.client_id.as_str();
        let mut request = self.http.post(document.token_endpoint.0.clone());
        match (&secret, self.token_auth(document)) {
            (None, _) => form.push(("client_id", client_id)),
            (Some(secret), TokenAuth::Post) => {
                form.extend([("client_id", client_id), ("client_secret", secret)]);
            }
            (Some(secret), TokenAuth::Basic) => {
                request = request.basic_auth(encoded(client_id), Some(encoded(secret)));
            }
        }
        let url = document.token_endpoint.0.as_str();
        let answer = self.ask(request.form(&form), url).await?;
        if answer.is_success() {
            return self.read(url, &answer.text);
        }
        let told: TokenError = serde_json::from_str(&answer.text).unwrap_or_default();
        let quote = http::quote(&format!("{} {}", told.error, told.error_description));
        Err(match told.error.as_str() {
            "invalid_client" | "unauthorized_client" => OidcError::Client(quote),
            "invalid_grant" => OidcError::Grant(quote),
            _other => refused(url, &answer),
        })
    }

    fn token_auth(&self, document: &Document) -> TokenAuth {
        let methods = &document.token_endpoint_auth_methods_supported;
        let takes_basic =
            methods.is_empty() || methods.iter().any(|it| it == "client_secret_basic");
        let told = if takes_basic { TokenAuth::Basic } else { TokenAuth::Post };
        self.config.token_auth.unwrap_or(told)
    }

    async fn ask_about(&self, url: &Url, access_token: &str) -> Result<Claims, OidcError> {
        safe(url)?;
        let request = self.http.get(url.clone()).bearer_auth(access_token);
        let answer = self.ask(request, url.as_str()).await?;
        match answer.is_success() {
            true => self.read(url.as_str(), &answer.text),
            false => Err(refused(url.as_str(), &answer)),
        }
    }

    async fn known(&self, age: Age, now: OffsetDateTime) -> Result<Arc<Known>, OidcError> {
        let mut slot = self.known.lock().await;
        let age_max = match age {
            Age::Usual => DOCUMENT_LIFETIME,
            Age::Newest => KEYS_AGE_MIN,
        };
        if let Some(known) = &*slot
            && now < known.asked_at + age_max
        {
            return Ok(Arc::clone(known));
        }
        let document = self.document().await?;
        let keys = self.fetch(document.jwks_uri.0.as_str()).await?;
        let keys = Keys::parse(&keys).map_err(|error| odd(document.jwks_uri.0.as_str(), &error))?;
        let known = Arc::new(Known { document, keys, asked_at: now });
        *slot = Some(Arc::clone(&known));
        Ok(known)
    }

    async fn document(&self) -> Result<Document, OidcError> {
        let url = self.config.issuer.discovery();
        let document: Document = self.read(&url, &self.fetch(&url).await?)?;
        let expected = self.config.issuer.as_str();
        if document.issuer != expected {
            let (found, expected) = (document.issuer, expected.to_owned());
            return Err(OidcError::OtherIssuer { found, expected });
        }
        for url in [&document.authorization_endpoint, &document.token_endpoint, &document.jwks_uri]
        {
            safe(&url.0)?;
        }
        Ok(document)
    }

    async fn fetch(&self, url: &str) -> Result<String, OidcError> {
        let answer = self.ask(self.http.get(url), url).await?;
        if answer.is_success() { Ok(answer.text) } else { Err(refused(url, &answer)) }
    }

    async fn ask(&self, request: RequestBuilder, url: &str) -> Result<http::Answer, OidcError> {
        let request = request.header("accept", "application/json").timeout(TIMEOUT);
        let issuer = || self.config.issuer.to_string();
        http::send(request, url)
            .await
            .map_err(|source| OidcError::Away { issuer: issuer(), source })
    }

    fn read<T: for<'a> Deserialize<'a>>(&self, url: &str, text: &str) -> Result<T, OidcError> {
        serde_json::from_str(text).map_err(|error| odd(url, &error))
    }
}

fn odd(url: &str, error: &serde_json::Error) -> OidcError {
    OidcError::Odd { url: url.to_owned(), why: error.to_string() }
}

fn refused(url: &str, answer: &http::Answer) -> OidcError {
    OidcError::Refused { url: url.to_owned(), status: answer.status, quote: answer.quote() }
}

fn safe(url: &Url) -> Result<(), OidcError> {
    if is_safe(url) { Ok(()) } else { Err(OidcError::Plain(url.clone())) }
}
