//! Verbs that say who may come in: users, tokens, logins. They change files that a running
//! server reads again by itself.

mod prompt;
mod session;
mod token;
mod user;

use std::{
    path::PathBuf,
    time::{Duration, SystemTime},
};

use anyhow::Context as _;
use clap::{Args, Subcommand};
use skep_front::Records;

use crate::config::Config;

/// Which server is meant.
#[derive(Args)]
pub(crate) struct Which {
    /// Its configuration: the data folder in it is what counts.
    #[arg(long, global = true, value_name = "PATH", default_value = "/etc/skep/server.toml")]
    config: PathBuf,
}

#[derive(Subcommand)]
pub(crate) enum Access {
    /// People who may log in.
    User {
        #[command(subcommand)]
        verb: user::Verb,
        #[command(flatten)]
        which: Which,
    },
    /// Tokens for programs, and agents' credentials.
    Token {
        #[command(subcommand)]
        verb: token::Verb,
        #[command(flatten)]
        which: Which,
    },
    /// Logins of browsers.
    Session {
        #[command(subcommand)]
        verb: session::Verb,
        #[command(flatten)]
        which: Which,
    },
}

/// Does what is asked.
///
/// # Errors
/// What is wrong with the configuration, the files or the request.
pub(crate) fn run(access: &Access) -> anyhow::Result<()> {
    match access {
        Access::User { verb, which } => {
            let (config, records) = which.open()?;
            user::run(verb, &config, &records)
        }
        Access::Token { verb, which } => token::run(verb, &which.open()?.1),
        Access::Session { verb, which } => session::run(verb, &which.open()?.1),
    }
}

impl Which {
    pub(crate) fn open(&self) -> anyhow::Result<(Config, Records)> {
        let config = Config::load(&self.config)?;
        let records = Records::open(&config.front).with_context(|| {
            format!("opening the lists of users and tokens in {}", config.data_dir.display())
        })?;
        Ok((config, records))
    }
}

/// A moment as people read it.
fn moment(unix_s: i64) -> String {
    let since = Duration::from_secs(u64::try_from(unix_s).unwrap_or(0));
    humantime::format_rfc3339_seconds(SystemTime::UNIX_EPOCH + since).to_string()
}

fn moment_or(unix_s: Option<i64>, otherwise: &str) -> String {
    unix_s.map_or_else(|| otherwise.to_owned(), moment)
}

/// Columns as wide as what is in them.
fn table(head: &[&str], rows: &[Vec<String>]) -> String {
    let width = |column: usize| {
        let cells = rows.iter().filter_map(|row| row.get(column)).map(|it| it.chars().count());
        cells.chain(head.get(column).map(|it| it.len())).max().unwrap_or(0)
    };
    let widths: Vec<usize> = (0..head.len()).map(width).collect();
    let line = |cells: &[&str]| {
        let padded = cells.iter().zip(&widths).map(|(cell, width)| format!("{cell:width$}"));
        padded.collect::<Vec<_>>().join("  ").trim_end().to_owned() + "\n"
    };
    let mut out = line(head);
    for row in rows {
        out += &line(&row.iter().map(String::as_str).collect::<Vec<_>>());
    }
    out
}

/// A duration like "90d".
pub(crate) fn duration(text: &str) -> Result<Duration, String> {
    let parsed = humantime::parse_duration(text).ok().filter(|it| !it.is_zero());
    parsed.ok_or_else(|| format!("{text:?} is no duration; write one like \"90d\" or \"12h\""))
}

#[cfg(test)]
mod tests {
    use expect_test::expect;

    use super::*;

    #[test]
    fn columns_are_as_wide_as_what_is_in_them() {
        let rows =
            [vec!["ada".to_owned(), "admin".to_owned()], vec!["b".to_owned(), String::new()]];
        expect![[r"
            NAME  ROLE
            ada   admin
            b
        "]]
        .assert_eq(&table(&["NAME", "ROLE"], &rows));
    }

    #[test]
    fn a_token_lives_for_a_duration_with_a_unit() {
        assert_eq!(duration("90d"), Ok(Duration::from_secs(90 * 86_400)));
        for bad in ["90", "0d", "", "soon"] {
            assert!(duration(bad).is_err(), "{bad:?}");
        }
    }
}
