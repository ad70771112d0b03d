//! `basic_auth` and `forward_auth` of a site or a route.

use std::path::PathBuf;

use anyhow::{Context as _, bail};
use serde::Deserialize;
use skep_front::{BasicUser, ForwardAuth, Guard, PasswordHash};

use crate::config::values::{authorities, positive_duration};

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RawBasicUser {
    name: String,
    password_hash: String,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RawForwardAuth {
    url: String,
    #[serde(default)]
    copy_headers: Vec<String>,
    timeout: Option<String>,
    ca_file: Option<PathBuf>,
}

pub(super) fn guard(
    basic_auth: &[RawBasicUser],
    forward_auth: Option<&RawForwardAuth>,
) -> anyhow::Result<Guard> {
    Ok(Guard {
        basic_auth: basic_auth.iter().map(basic_user).collect::<anyhow::Result<_>>()?,
        forward_auth: forward_auth.map(auth_server).transpose().context("forward_auth")?,
    })
}

fn basic_user(raw: &RawBasicUser) -> anyhow::Result<BasicUser> {
    if raw.name.is_empty() || raw.name.contains(':') {
        bail!("basic_auth name {:?} is empty or has a colon; write another", raw.name);
    }
    // The value is not shown: it may be the password itself.
    let password = PasswordHash::parse(&raw.password_hash).with_context(|| {
        format!("basic_auth password_hash of {:?}; `skep-server hash-password` makes one", raw.name)
    })?;
    Ok(BasicUser { name: raw.name.clone(), password })
}

fn auth_server(raw: &RawForwardAuth) -> anyhow::Result<ForwardAuth> {
    let mut server = ForwardAuth::new(&raw.url, &raw.copy_headers)?;
    if let Some(text) = &raw.timeout {
        server.timeout = positive_duration("timeout", text)?;
    }
    if let Some(path) = &raw.ca_file {
        server.authorities = authorities("ca_file", path)?;
    }
    Ok(server)
}
