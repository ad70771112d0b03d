//! What an ID token must say to be for this login, and what it makes of whom it is about.

use serde_json::{Map, Value};
use time::OffsetDateTime;

use crate::access::Scopes;
use crate::access::error::check_name;
use crate::access::people::Role;
use crate::config::{OidcConfig, OidcRoles};

pub(super) type Claims = Map<String, Value>;

/// How far the provider's clock may be from ours.
const LEEWAY_S: i64 = 60;
/// Shown beside a name that has no role.
const SHOWN_GROUPS_MAX: usize = 10;

/// What this login's token must say.
#[derive(Debug, Clone, Copy)]
pub(super) struct Expected<'a> {
    pub issuer: &'a str,
    pub client_id: &'a str,
    pub nonce: &'a str,
    pub now: OffsetDateTime,
}

/// Whom a provider let through.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Person {
    pub name: String,
    pub scopes: Scopes,
}

/// Why what a provider says does not let anybody in.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub(crate) enum ClaimsError {
    #[error("the provider's token is no object with claims")]
    NoClaims,
    #[error("the provider's token lacks {0:?}, or it is of another kind than it should be")]
    Missing(&'static str),
    #[error(
        "the token is from {found:?}, not from {expected:?}; write `oidc.issuer` as the provider does"
    )]
    Issuer { found: String, expected: String },
    #[error("the token is for another client than {0:?}; compare `oidc.client_id`")]
    Audience(String),
    #[error("the token is from another login than this one")]
    Nonce,
    #[error("the token ended {0} s ago; is the clock right, here and at the provider?")]
    Expired(i64),
    #[error("the token begins in {0} s; is the clock right, here and at the provider?")]
    Early(i64),
    #[error("the provider tells about somebody else than it has let in")]
    Subject,
    #[error(
        "the provider does not tell a name: there is no {0:?}, nor \"email\"; ask it for the scope \"profile\", or write another `oidc.name_claim`"
    )]
    NoName(String),
    #[error(
        "{0:?} cannot be a name here; it is 1 to 64 letters, digits and . _ @ -; write another `oidc.name_claim`"
    )]
    Name(String),
    #[error(
        "{name:?} has no role here: {claim:?} says {groups}; an admin can add one of them to `oidc.viewer_groups` or `admin_groups`"
    )]
    NoRole { name: String, claim: String, groups: String },
}

/// Checks the claims of a token whose signature is right; OpenID Connect Core 3.1.3.7.
pub(super) fn check(claims: &Claims, expected: Expected<'_>) -> Result<(), ClaimsError> {
    let issuer = text(claims, "iss").ok_or(ClaimsError::Missing("iss"))?;
    if issuer != expected.issuer {
        let (found, expected) = (issuer.to_owned(), expected.issuer.to_owned());
        return Err(ClaimsError::Issuer { found, expected });
    }
    let audience = texts(claims.get("aud").ok_or(ClaimsError::Missing("aud"))?);
    let authorized = claims.get("azp").is_none_or(|it| it == expected.client_id);
    // Of several, the token must say that it was made for us.
    let is_ours = audience.iter().any(|it| it == expected.client_id)
        && authorized
        && (audience.len() == 1 || claims.contains_key("azp"));
    if !is_ours {
        return Err(ClaimsError::Audience(expected.client_id.to_owned()));
    }
    text(claims, "sub").filter(|it| !it.is_empty()).ok_or(ClaimsError::Missing("sub"))?;
    let now = expected.now.unix_timestamp();
    let ends = seconds(claims, "exp").ok_or(ClaimsError::Missing("exp"))?;
    if ends.saturating_add(LEEWAY_S) <= now {
        return Err(ClaimsError::Expired(now.saturating_sub(ends)));
    }
    let issued = seconds(claims, "iat").ok_or(ClaimsError::Missing("iat"))?;
    let begins = seconds(claims, "nbf").map_or(issued, |nbf| nbf.max(issued));
    if begins > now.saturating_add(LEEWAY_S) {
        return Err(ClaimsError::Early(begins.saturating_sub(now)));
    }
    match text(claims, "nonce") {
        Some(nonce) if nonce == expected.nonce => Ok(()),
        _another_or_none => Err(ClaimsError::Nonce),
    }
}

/// Adds what a provider tells about the same person elsewhere; the token counts where both do.
pub(super) fn add(claims: &mut Claims, more: Claims) -> Result<(), ClaimsError> {
    if more.get("sub") != claims.get("sub") {
        return Err(ClaimsError::Subject);
    }
    for (name, value) in more {
        claims.entry(name).or_insert(value);
    }
    Ok(())
}

/// Whether the claims tell all that the configuration asks for.
pub(super) fn is_enough(config: &OidcConfig, claims: &Claims) -> bool {
    let wants_emails =
        !(config.roles.admin_emails.is_empty() && config.roles.viewer_emails.is_empty());
    text(claims, &config.name_claim).is_some()
        && at(claims, &config.roles.claim).is_some()
        && (!wants_emails || claims.contains_key("email"))
}

/// Who it is, and what they may do.
pub(super) fn person(config: &OidcConfig, claims: &Claims) -> Result<Person, ClaimsError> {
    let name = text(claims, &config.name_claim).or_else(|| text(claims, "email"));
    let name = name.ok_or_else(|| ClaimsError::NoName(config.name_claim.clone()))?;
    check_name(name).map_err(|_odd| ClaimsError::Name(name.to_owned()))?;
    let groups = at(claims, &config.roles.claim).map(texts).unwrap_or_default();
    match role(&config.roles, &groups, verified_email(claims)) {
        Some(role) => Ok(Person { name: name.to_owned(), scopes: role.scopes() }),
        None => Err(ClaimsError::NoRole {
            name: name.to_owned(),
            claim: config.roles.claim.clone(),
            groups: shown(&groups),
        }),
    }
}

fn role(roles: &OidcRoles, groups: &[String], email: Option<&str>) -> Option<Role> {
    let is_in = |wanted: &[String]| wanted.iter().any(|it| groups.contains(it));
    let has = |wanted: &[String]| {
        email.is_some_and(|email| wanted.iter().any(|it| it.eq_ignore_ascii_case(email)))
    };
    let is_anybody = || roles.viewer_groups.iter().any(|it| it == "*");
    if is_in(&roles.admin_groups) || has(&roles.admin_emails) {
        Some(Role::Admin)
    } else if is_in(&roles.viewer_groups) || has(&roles.viewer_emails) || is_anybody() {
        Some(Role::Viewer)
    } else {
        None
    }
}

/// Anybody can write any address into their profile.
fn verified_email(claims: &Claims) -> Option<&str> {
    let is_verified = matches!(claims.get("email_verified"), Some(Value::Bool(true)))
        || text(claims, "email_verified") == Some("true");
    text(claims, "email").filter(|_| is_verified)
}

fn shown(groups: &[String]) -> String {
    match groups {
        [] => "nothing".to_owned(),
        some => some
            .iter()
            .take(SHOWN_GROUPS_MAX)
            .map(|it| format!("{it:?}"))
            .collect::<Vec<_>>()
            .join(", "),
    }
}

/// By name, or by a path of names with dots.
fn at<'a>(claims: &'a Claims, path: &str) -> Option<&'a Value> {
    if let Some(value) = claims.get(path) {
        return Some(value);
    }
    let mut names = path.split('.');
    let first = claims.get(names.next()?)?;
    names.try_fold(first, |value, name| value.get(name))
}

fn text<'a>(claims: &'a Claims, name: &str) -> Option<&'a str> {
    claims.get(name).and_then(Value::as_str)
}

/// One text or a list of them.
fn texts(value: &Value) -> Vec<String> {
    match value {
        Value::String(text) => vec![text.clone()],
        Value::Array(all) => all.iter().filter_map(Value::as_str).map(str::to_owned).collect(),
        _none => Vec::new(),
    }
}

/// Some providers write fractions.
fn seconds(claims: &Claims, name: &str) -> Option<i64> {
    let value = claims.get(name)?;
    let whole = value.as_f64().filter(|it| it.is_finite() && it.abs() < 1e15);
    #[expect(clippy::cast_possible_truncation, reason = "it was bounded, and whole seconds do")]
    value.as_i64().or_else(|| whole.map(|it| it as i64))
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use expect_test::{Expect, expect};
    use serde_json::json;

    use super::*;
    use crate::config::{Issuer, OidcLogout};

    const NOW: OffsetDateTime = time::macros::datetime!(2026-11-22 12:00 UTC);

    fn claims(change: impl FnOnce(&mut Value)) -> Claims {
        let now = NOW.unix_timestamp();
        let mut claims = json!({
            "iss": "https://id.lan", "sub": "1", "aud": "skep", "nonce": "n", "iat": now,
            "exp": now + 300, "preferred_username": "ada", "groups": ["family"],
        });
        change(&mut claims);
        serde_json::from_value(claims).unwrap()
    }

    fn config() -> OidcConfig {
        let list = |text: &str| vec![text.to_owned()];
        OidcConfig {
            name: "Home".to_owned(),
            issuer: Issuer::parse("https://id.lan").unwrap(),
            client_id: "skep".to_owned(),
            client_secret_file: None,
            token_auth: None,
            scopes: list("openid"),
            name_claim: "preferred_username".to_owned(),
            roles: OidcRoles {
                claim: "groups".to_owned(),
                admin_groups: list("admins"),
                viewer_groups: list("family"),
                admin_emails: list("Root@lan"),
                viewer_emails: Vec::new(),
            },
            ca_file: None,
            session_lifetime: Duration::from_secs(60),
            logout: OidcLogout::Here,
        }
    }

    #[track_caller]
    fn check_token(change: impl FnOnce(&mut Value), expected: &Expect) {
        let (issuer, client_id, nonce) = ("https://id.lan", "skep", "n");
        let checked = check(&claims(change), Expected { issuer, client_id, nonce, now: NOW });
        expected.assert_eq(&checked.map_or_else(|error| error.to_string(), |()| "good".to_owned()));
    }

    #[test]
    fn a_token_is_for_this_client_this_login_and_this_moment() {
        let now = NOW.unix_timestamp();
        check_token(|_| {}, &expect!["good"]);
        check_token(|it| it["aud"] = json!(["skep"]), &expect!["good"]);
        check_token(|it| it["exp"] = json!(now - 59), &expect!["good"]);
        check_token(|it| it["exp"] = json!(1_795_350_000.5), &expect!["good"]);
        check_token(
            |it| {
                it["aud"] = json!(["skep", "other"]);
                it["azp"] = json!("skep");
            },
            &expect!["good"],
        );
        check_token(
            |it| it["aud"] = json!(["skep", "other"]),
            &expect![[r#"the token is for another client than "skep"; compare `oidc.client_id`"#]],
        );
        check_token(
            |it| it["azp"] = json!("other"),
            &expect![[r#"the token is for another client than "skep"; compare `oidc.client_id`"#]],
        );
        check_token(
            |it| it["aud"] = json!("other"),
            &expect![[r#"the token is for another client than "skep"; compare `oidc.client_id`"#]],
        );
        check_token(
            |it| it["iss"] = json!("https://id.lan/"),
            &expect![[
                r#"the token is from "https://id.lan/", not from "https://id.lan"; write `oidc.issuer` as the provider does"#
            ]],
        );
        check_token(
            |it| it["exp"] = json!(now - 60),
            &expect!["the token ended 60 s ago; is the clock right, here and at the provider?"],
        );
        for name in ["iat", "nbf"] {
            check_token(
                |it| it[name] = json!(now + 61),
                &expect!["the token begins in 61 s; is the clock right, here and at the provider?"],
            );
        }
        check_token(
            |it| it["nonce"] = json!("other"),
            &expect!["the token is from another login than this one"],
        );
        check_token(
            |it| it["nonce"] = Value::Null,
            &expect!["the token is from another login than this one"],
        );
        check_token(
            |it| it["exp"] = json!("soon"),
            &expect![[
                r#"the provider's token lacks "exp", or it is of another kind than it should be"#
            ]],
        );
        check_token(
            |it| it["sub"] = json!(""),
            &expect![[
                r#"the provider's token lacks "sub", or it is of another kind than it should be"#
            ]],
        );
    }

    #[track_caller]
    fn check_person(change: impl FnOnce(&mut Value), expected: &Expect) {
        let person = person(&config(), &claims(change));
        let shown = match person {
            Ok(it) => format!("{} {:?}", it.name, Role::of(it.scopes)),
            Err(error) => error.to_string(),
        };
        expected.assert_eq(&shown);
    }

    #[test]
    fn groups_and_verified_addresses_make_viewers_and_admins() {
        check_person(|_| {}, &expect!["ada Some(Viewer)"]);
        check_person(|it| it["groups"] = json!("admins"), &expect!["ada Some(Admin)"]);
        check_person(
            |it| {
                it["email"] = json!("root@LAN");
                it["email_verified"] = json!(true);
            },
            &expect!["ada Some(Admin)"],
        );
        check_person(|it| it["email"] = json!("root@lan"), &expect!["ada Some(Viewer)"]);
        check_person(
            |it| it["groups"] = json!(["guests", "*"]),
            &expect![[
                r#""ada" has no role here: "groups" says "guests", "*"; an admin can add one of them to `oidc.viewer_groups` or `admin_groups`"#
            ]],
        );
        check_person(
            |it| it["groups"] = Value::Null,
            &expect![[
                r#""ada" has no role here: "groups" says nothing; an admin can add one of them to `oidc.viewer_groups` or `admin_groups`"#
            ]],
        );
        check_person(
            |it| it["preferred_username"] = json!("ada <x>"),
            &expect![[
                r#""ada <x>" cannot be a name here; it is 1 to 64 letters, digits and . _ @ -; write another `oidc.name_claim`"#
            ]],
        );
        check_person(
            |it| it["preferred_username"] = json!(7),
            &expect![[
                r#"the provider does not tell a name: there is no "preferred_username", nor "email"; ask it for the scope "profile", or write another `oidc.name_claim`"#
            ]],
        );
    }

    #[test]
    fn groups_may_lie_deeper_and_everybody_may_be_a_viewer() {
        let mut config = config();
        config.roles.claim = "realm_access.roles".to_owned();
        let deep = claims(|it| it["realm_access"] = json!({"roles": ["admins"]}));
        assert_eq!(person(&config, &deep).unwrap().scopes, Scopes::ALL);
        assert!(person(&config, &claims(|_| {})).is_err());
        config.roles.viewer_groups = vec!["*".to_owned()];
        let anybody = person(&config, &claims(|_| {})).unwrap();
        assert_eq!(anybody.scopes, Role::Viewer.scopes());
    }

    #[test]
    fn what_the_provider_tells_elsewhere_is_about_the_same_person_and_changes_nothing() {
        let mut known = claims(|_| {});
        let more = json!({"sub": "1", "groups": ["admins"], "email": "a@lan"});
        add(&mut known, serde_json::from_value(more).unwrap()).unwrap();
        assert_eq!(known["groups"], json!(["family"]));
        assert_eq!(known["email"], "a@lan");
        let other = serde_json::from_value(json!({"sub": "2"})).unwrap();
        assert_eq!(add(&mut known, other), Err(ClaimsError::Subject));
    }
}
