//! `skep-server token`: what programs and agents show instead of a password.

#![expect(clippy::print_stdout, reason = "a command line tool")]

use std::time::Duration;

use clap::Subcommand;
use skep_front::{Clock as _, Records, Scope, SystemClock, TokenKind};

use super::{moment_or, table};

#[derive(Subcommand)]
pub(crate) enum Verb {
    /// Make a token and print it, once.
    New {
        name: String,
        /// What it may do: ingest, query, admin.
        #[arg(long, value_delimiter = ',', required = true)]
        scopes: Vec<Scope>,
        /// After which it is worth nothing, like 90d; never, if left out.
        #[arg(long, value_parser = super::duration)]
        expires: Option<Duration>,
    },
    /// Show all, with when each was last used.
    List,
    /// End a token, or an agent's credential and certificate.
    Revoke { name: String },
}

pub(super) fn run(verb: &Verb, records: &Records) -> anyhow::Result<()> {
    match verb {
        Verb::New { name, scopes, expires } => {
            println!("{}", records.new_token(name, scopes, *expires, SystemClock.now())?);
        }
        Verb::List => list(records),
        Verb::Revoke { name } => {
            records.revoke(name)?;
            println!("{name} is revoked");
        }
    }
    Ok(())
}

fn list(records: &Records) {
    let rows = records.tokens().into_iter().map(|token| {
        let kind = match token.kind {
            TokenKind::Token => "token",
            TokenKind::Agent => "agent",
        };
        let scopes: Vec<&str> = token.scopes.iter().map(|it| it.as_str()).collect();
        vec![
            token.name,
            kind.to_owned(),
            scopes.join(","),
            moment_or(token.created_unix_s, "as configured"),
            moment_or(token.expires_unix_s, "never"),
            moment_or(token.last_used_unix_s, "not yet"),
        ]
    });
    let rows: Vec<_> = rows.collect();
    print!("{}", table(&["NAME", "KIND", "SCOPES", "SINCE", "EXPIRES", "LAST USED"], &rows));
}
