//! The gate's own doors: login, logout, and the way of a login from the apex to a site.

use axum::body::Body;
use axum::http::header::USER_AGENT;
use axum::http::request::Parts;
use axum::http::{Method, StatusCode};
use axum::response::{IntoResponse, Response};
use reqwest::Url;

use super::refusal::Refusal;
use super::{Asked, Gate, check_origin, see_other};
use crate::access::Via;
use crate::access::origin::{self, From};
use crate::access::sessions::Place;
use crate::login::handover::{AUTHORIZE_PATH, CALLBACK_PATH, comes_from_elsewhere, path_and_query};
use crate::login::{self, CookieReach, Door, oidc, pages};
use crate::observe::HandlerName;
use crate::vhost::{Sites, Target};

const LOGIN_PATH: &str = "/login";
const LOGOUT_PATH: &str = "/logout";
/// On sites of the user's, whose other paths are the service's own.
const SITE_LOGIN_PATH: &str = "/.skep/login";
const SITE_LOGOUT_PATH: &str = "/.skep/logout";

/// What is behind a path that is the gate's own.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum OwnPath {
    Login,
    Logout,
    Authorize,
    Callback,
    ToProvider,
    FromProvider,
}

impl OwnPath {
    /// On the names that show the page.
    pub(super) fn of_page(path: &str) -> Option<Self> {
        match path {
            LOGIN_PATH | SITE_LOGIN_PATH => Some(Self::Login),
            LOGOUT_PATH | SITE_LOGOUT_PATH => Some(Self::Logout),
            AUTHORIZE_PATH => Some(Self::Authorize),
            oidc::BEGIN_PATH => Some(Self::ToProvider),
            oidc::RETURN_PATH => Some(Self::FromProvider),
            _other => None,
        }
    }

    /// On a site of the user's that asks for a login.
    pub(super) fn of_site(path: &str) -> Option<Self> {
        match path {
            SITE_LOGIN_PATH => Some(Self::Login),
            SITE_LOGOUT_PATH => Some(Self::Logout),
            CALLBACK_PATH => Some(Self::Callback),
            oidc::BEGIN_PATH => Some(Self::ToProvider),
            oidc::RETURN_PATH => Some(Self::FromProvider),
            _other => None,
        }
    }
}

/// Which kind of name a request is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Name {
    Page,
    /// A site that the apex logs in for.
    BelowDomain,
    /// A site that no cookie of the apex can stand for.
    Elsewhere,
}

impl Gate {
    pub(super) async fn own(
        &self,
        own: OwnPath,
        name: Name,
        asked: &Asked<'_>,
        parts: Parts,
        body: Body,
    ) -> Response {
        asked.note.handled(HandlerName::Front);
        match own {
            OwnPath::Login => self.login(name, asked, parts, body).await,
            OwnPath::Logout => self.logout(name, asked, &parts).await,
            OwnPath::Authorize if is_read(&parts) => {
                let sites = self.sites.load();
                self.door(name, &sites, asked, &place(asked, &parts)).authorize(LOGIN_PATH, &parts)
            }
            OwnPath::Callback if is_read(&parts) => {
                let sites = self.sites.load();
                self.door(name, &sites, asked, &place(asked, &parts)).callback(&parts)
            }
            OwnPath::ToProvider | OwnPath::FromProvider if is_read(&parts) => {
                self.provider(own, name, asked, &parts).await
            }
            OwnPath::Authorize
            | OwnPath::Callback
            | OwnPath::ToProvider
            | OwnPath::FromProvider => StatusCode::METHOD_NOT_ALLOWED.into_response(),
        }
    }

    /// A login at a provider: on the way to it, or back from it.
    async fn provider(
        &self,
        own: OwnPath,
        name: Name,
        asked: &Asked<'_>,
        parts: &Parts,
    ) -> Response {
        // Below the domain the apex logs in.
        let Some(oidc) = self.oidc.load_full().filter(|_| name != Name::BelowDomain) else {
            let text = "There is no login provider here.";
            return pages::message(
                StatusCode::NOT_FOUND,
                "Not a login",
                text,
                ("/", "To the start"),
            );
        };
        let (sites, place) = (self.sites.load_full(), place(asked, parts));
        let door = self.door(name, &sites, asked, &place);
        match own {
            OwnPath::FromProvider => door.return_oidc(&oidc, parts).await,
            _to_it => door.begin_oidc(&oidc, parts).await,
        }
    }

    /// The way to a login for somebody whom a site does not know.
    pub(super) fn to_login(&self, name: Name, asked: &Asked<'_>, parts: &Parts) -> Response {
        let sites = self.sites.load();
        match name {
            Name::BelowDomain => {
                self.door(name, &sites, asked, &place(asked, parts)).send_to_apex(parts)
            }
            Name::Elsewhere | Name::Page => {
                see_other(&login::path_to(login_path(name), &parts.uri))
            }
        }
    }

    async fn login(&self, name: Name, asked: &Asked<'_>, parts: Parts, body: Body) -> Response {
        let sites = self.sites.load_full();
        let place = place(asked, &parts);
        let door = self.door(name, &sites, asked, &place);
        let next = login::next_of(&parts.uri);
        match parts.method {
            Method::GET | Method::HEAD => match self.principal(asked, &parts).await {
                Ok(Some(_already)) => see_other(&next),
                _nobody if comes_from_elsewhere(&parts) => {
                    pages::once_more(&path_and_query(&parts))
                }
                // The apex is where passwords belong; it comes back to `next` by itself.
                _nobody if name == Name::BelowDomain => {
                    let mut parts = parts.clone();
                    parts.uri = next.parse().unwrap_or_default();
                    door.send_to_apex(&parts)
                }
                _nobody => door.form(StatusCode::OK, &next, None),
            },
            Method::POST if name == Name::BelowDomain => {
                StatusCode::METHOD_NOT_ALLOWED.into_response()
            }
            Method::POST => {
                let scheme = asked.connection.transport.scheme();
                if origin::of(&parts.headers, scheme, &asked.host) == From::OtherSite {
                    return Refusal::OtherSite.response(&parts, Target::Page);
                }
                door.submit(&parts.headers, body).await
            }
            _other => StatusCode::METHOD_NOT_ALLOWED.into_response(),
        }
    }

    async fn logout(&self, name: Name, asked: &Asked<'_>, parts: &Parts) -> Response {
        let path = parts.uri.path();
        let scheme = asked.connection.transport.scheme();
        match &parts.method {
            &Method::GET | &Method::HEAD => {
                let then = self.logout_of_provider(name, asked, parts).await;
                let origin = then.map(|it| it.origin().ascii_serialization());
                pages::logout_form(path, origin.as_deref())
            }
            &Method::POST => {
                let from = origin::of(&parts.headers, scheme, &asked.host);
                match check_origin(from, Via::Session) {
                    Ok(()) => {
                        let then = self.logout_of_provider(name, asked, parts).await;
                        let then = then.map_or_else(|| login_path(name).to_owned(), String::from);
                        login::end(&self.access, &parts.headers, &then)
                    }
                    Err(refusal) => refusal.response(parts, Target::Page),
                }
            }
            _other => StatusCode::METHOD_NOT_ALLOWED.into_response(),
        }
    }

    /// Where the logout of who logged in at the provider goes on.
    async fn logout_of_provider(
        &self,
        name: Name,
        asked: &Asked<'_>,
        parts: &Parts,
    ) -> Option<Url> {
        let now = self.clock.now();
        let (_, account) = self.access.session(asked.shown(parts), now)?;
        account.provider?;
        let oidc = self.oidc.load_full()?;
        let (sites, place) = (self.sites.load_full(), place(asked, parts));
        let origin = self.door(name, &sites, asked, &place).origin();
        oidc.logout_url(&format!("{origin}{}", login_path(name)), now).await
    }

    fn door<'a>(
        &'a self,
        name: Name,
        sites: &'a Sites,
        asked: &'a Asked<'_>,
        place: &'a Place<'a>,
    ) -> Door<'a> {
        Door {
            access: &self.access,
            path: login_path(name),
            place,
            cookie: match name {
                Name::Page => CookieReach::OwnPages,
                Name::BelowDomain | Name::Elsewhere => CookieReach::AndLinks,
            },
            now: self.clock.now(),
            sites,
            scheme: asked.connection.transport.scheme(),
            host: &asked.host,
            provider: self.oidc.load().as_ref().map(|it| it.config().name.clone()),
        }
    }
}

fn login_path(name: Name) -> &'static str {
    match name {
        Name::Page => LOGIN_PATH,
        Name::BelowDomain | Name::Elsewhere => SITE_LOGIN_PATH,
    }
}

fn place<'a>(asked: &'a Asked<'_>, parts: &'a Parts) -> Place<'a> {
    let browser = parts.headers.get(USER_AGENT).and_then(|it| it.to_str().ok());
    Place { host: &asked.host.name, peer: asked.client, browser: browser.unwrap_or_default() }
}

fn is_read(parts: &Parts) -> bool {
    matches!(parts.method, Method::GET | Method::HEAD)
}

/// Whether a person waits for the answer: a script cannot follow to another origin.
pub(crate) fn is_navigation(parts: &Parts) -> bool {
    let mode = parts.headers.get("sec-fetch-mode");
    is_read(parts) && mode.is_none_or(|mode| mode == "navigate")
}
