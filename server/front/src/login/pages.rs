//! What people see at the door: pages without scripts, with our own style and nothing else.

use std::sync::LazyLock;

use axum::http::StatusCode;
use axum::http::header::{CACHE_CONTROL, CONTENT_SECURITY_POLICY, HeaderName, HeaderValue};
use axum::response::{Html, IntoResponse, Response};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use sha2::{Digest, Sha256};

const STYLE: &str = include_str!("login.css");
const PAGE: &str = include_str!("page.html");
const LOGIN: &str = include_str!("login.html");
const CODE: &str = include_str!("code.html");

/// A CSP source, for the one style that may apply.
static STYLE_SOURCE: LazyLock<String> =
    LazyLock::new(|| format!("sha256-{}", STANDARD.encode(Sha256::digest(STYLE.as_bytes()))));

/// The login form and what it is asked for.
#[derive(Debug, Clone, Default)]
pub(crate) struct LoginPage<'a> {
    /// Where the form goes.
    pub action: &'a str,
    pub next: &'a str,
    /// Typed already.
    pub user: &'a str,
    /// The site of the user's that asks for the login, as an origin.
    pub site: Option<&'a str>,
    pub error: Option<&'a str>,
    /// Another way to log in: where it begins, and what it is called.
    pub oidc: Option<(&'a str, &'a str)>,
}

impl LoginPage<'_> {
    pub(crate) fn response(&self, status: StatusCode) -> Response {
        let place = self.site.map_or(String::new(), |site| {
            let host = site.split_once("//").map_or(site, |(_, host)| host);
            format!("<p class=\"place\">to go on to <b>{}</b></p>", escaped(host))
        });
        let oidc = self.oidc.map_or(String::new(), |(href, name)| {
            format!(
                "<p class=\"or\">or</p><a class=\"button\" href=\"{}\" data-testid=\"login-oidc\">Log in with {}</a>",
                escaped(href),
                escaped(name)
            )
        });
        let (focus_user, focus_password) =
            if self.user.is_empty() { (" autofocus", "") } else { ("", " autofocus") };
        let body = filled(
            LOGIN,
            &[
                ("place", &place),
                ("error", &alert(self.error)),
                ("action", &escaped(self.action)),
                ("next", &escaped(self.next)),
                ("user", &escaped(self.user)),
                ("focus-user", focus_user),
                ("focus-password", focus_password),
                ("oidc", &oidc),
            ],
        );
        // Chromium holds the redirects after a form to the form's own policy.
        page(status, "Log in", &body, Width::Narrow, self.site.unwrap_or_default())
    }
}

/// The form for the second step.
#[derive(Debug, Clone, Default)]
pub(crate) struct CodePage<'a> {
    pub action: &'a str,
    pub next: &'a str,
    pub step: &'a str,
    pub site: Option<&'a str>,
    pub error: Option<&'a str>,
}

impl CodePage<'_> {
    pub(crate) fn response(&self, status: StatusCode) -> Response {
        let body = filled(
            CODE,
            &[
                ("error", &alert(self.error)),
                ("action", &escaped(self.action)),
                ("next", &escaped(self.next)),
                ("step", &escaped(self.step)),
            ],
        );
        page(status, "One more step", &body, Width::Narrow, self.site.unwrap_or_default())
    }
}

/// A sentence, and where to go from it.
pub(crate) fn message(
    status: StatusCode,
    title: &str,
    text: &str,
    (href, link): (&str, &str),
) -> Response {
    let body = format!(
        "<p>{}</p><p><a class=\"button\" href=\"{}\">{}</a></p>",
        escaped(text),
        escaped(href),
        escaped(link)
    );
    page(status, title, &body, Width::Narrow, "")
}

/// Asks before it logs out: a link alone must not. `then` is the origin that it goes on to.
pub(crate) fn logout_form(action: &str, then: Option<&str>) -> Response {
    let body = format!(
        "<p>This ends your login here, and on every site it has opened in this browser.</p>\
         <form method=\"post\" action=\"{}\"><button type=\"submit\" data-testid=\"logout-submit\">Log out</button></form>\
         <footer><a href=\"/\">Stay logged in</a></footer>",
        escaped(action)
    );
    page(StatusCode::OK, "Log out", &body, Width::Narrow, then.unwrap_or_default())
}

/// Has the browser ask once more, from a page of ours: it kept back the cookie because the link to
/// here was on another site.
pub(crate) fn once_more(path: &str) -> Response {
    let body = format!("<p><a href=\"{}\">Go on</a></p>", escaped(path));
    let mut response = page(StatusCode::OK, "One moment", &body, Width::Narrow, "");
    if let Ok(refresh) = HeaderValue::from_str(&format!("0; url={path}")) {
        response.headers_mut().insert(HeaderName::from_static("refresh"), refresh);
    }
    response
}

/// How much room a page takes on a wide screen.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Width {
    Narrow,
    Wide,
}

/// A page of ours; its forms may go here and to `form_target`, if that is an origin.
pub(crate) fn page(
    status: StatusCode,
    title: &str,
    body: &str,
    width: Width,
    form_target: &str,
) -> Response {
    let wide = if width == Width::Wide { " class=\"wide\"" } else { "" };
    let title = escaped(title);
    let html = filled(PAGE, &[("title", &title), ("style", STYLE), ("wide", wide), ("body", body)]);
    let mut response = (status, Html(html)).into_response();
    let headers = response.headers_mut();
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    let policy = format!(
        "default-src 'none'; style-src '{}'; form-action 'self' {form_target}; base-uri 'none'; frame-ancestors 'none'",
        *STYLE_SOURCE
    );
    let closed = HeaderValue::from_static("default-src 'none'; form-action 'self'");
    headers.insert(CONTENT_SECURITY_POLICY, HeaderValue::from_str(&policy).unwrap_or(closed));
    response
}

fn alert(error: Option<&str>) -> String {
    error.map_or(String::new(), |text| {
        format!("<p class=\"error\" role=\"alert\">{}</p>", escaped(text))
    })
}

/// Puts values into the places `{{name}}`, left to right and once: a value is not looked into.
fn filled(template: &str, values: &[(&str, &str)]) -> String {
    let mut out = String::with_capacity(template.len());
    let mut rest = template;
    while let Some((before, after)) = rest.split_once("{{") {
        out.push_str(before);
        let (name, after) = after.split_once("}}").unwrap_or((after, ""));
        let value = values.iter().find(|(known, _)| *known == name).map_or("", |(_, value)| value);
        out.push_str(value);
        rest = after;
    }
    out.push_str(rest);
    out
}

pub(crate) fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn html(response: Response) -> String {
        let html = axum::body::to_bytes(response.into_body(), usize::MAX).await.unwrap();
        String::from_utf8(html.to_vec()).unwrap()
    }

    #[tokio::test]
    async fn the_pages_carry_no_markup_of_the_caller() {
        let evil = "/\"><script>{{body}}";
        let page = LoginPage {
            next: evil,
            user: evil,
            error: Some(evil),
            site: Some(evil),
            ..LoginPage::default()
        };
        let code = CodePage { next: evil, step: evil, error: Some(evil), ..CodePage::default() };
        let all = [
            html(page.response(StatusCode::OK)).await,
            html(code.response(StatusCode::OK)).await,
            html(message(StatusCode::OK, evil, evil, (evil, evil))).await,
            html(once_more(evil)).await,
        ];
        for html in all {
            assert!(html.contains("/&quot;&gt;&lt;script&gt;{{body}}"), "{html}");
            assert!(!html.contains("<script"), "{html}");
        }
    }
}
