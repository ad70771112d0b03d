//! `basic_auth` and `forward_auth`.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use super::Remarks;
use super::address::upstream_url;
use super::out::{BasicUser, ForwardAuth};
use super::parse::Directive;

pub(super) fn basic_users(directive: &Directive, remarks: &mut Remarks) -> Vec<BasicUser> {
    let mut users = Vec::new();
    for line in directive.lines() {
        match line.arg(0).map(hash) {
            Some(Some(password_hash)) => {
                users.push(BasicUser { name: line.name.clone(), password_hash });
            }
            _none => remarks.lose(line, "there is no bcrypt or argon2 hash of a password"),
        }
    }
    users
}

/// Older Caddies wrote base64 of the hash.
fn hash(text: &str) -> Option<String> {
    if text.starts_with('$') {
        return Some(text.to_owned());
    }
    let decoded = STANDARD.decode(text).ok().and_then(|it| String::from_utf8(it).ok())?;
    decoded.starts_with('$').then_some(decoded)
}

pub(super) fn auth_server(
    directive: &Directive,
    args: &[String],
    remarks: &mut Remarks,
) -> Option<ForwardAuth> {
    let mut uri = None;
    let mut copy_headers = Vec::new();
    for line in directive.lines() {
        match (&*line.name, line.arg(0)) {
            ("uri", Some(it)) => uri = Some(it.to_owned()),
            ("copy_headers", _) => {
                copy_headers.extend(line.args.iter().cloned());
                copy_headers.extend(line.lines().iter().map(|it| it.name.clone()));
            }
            ("header_up", Some("X-Real-IP" | "X-Forwarded-For" | "X-Forwarded-Proto")) => {}
            _other => remarks.lose(line, "has no counterpart"),
        }
    }
    let server =
        args.first().and_then(|it| upstream_url(it, false)).filter(|it| it.starts_with("http"));
    match (server, uri) {
        (Some(server), Some(uri)) => {
            if args.len() > 1 {
                remarks.lose(directive, "only the first of several auth servers is asked");
            }
            Some(ForwardAuth { url: format!("{server}{uri}"), copy_headers })
        }
        _none => {
            remarks.lose(directive, "an auth server needs an HTTP address and `uri`");
            None
        }
    }
}
