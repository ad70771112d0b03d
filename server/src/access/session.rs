//! `skep-server session`: logins of browsers.

#![expect(clippy::print_stdout, reason = "a command line tool")]

use clap::Subcommand;
use skep_front::{Clock as _, Records, SystemClock};

use super::{moment, table};

#[derive(Subcommand)]
pub(crate) enum Verb {
    /// Show all, the newest first.
    List {
        /// Of this user only.
        #[arg(long)]
        user: Option<String>,
    },
    /// End a login with all that it has opened, or all of a user, or all.
    #[command(arg_required_else_help = true)]
    End {
        /// As `list` shows it.
        #[arg(conflicts_with_all = ["user", "all"])]
        id: Option<String>,
        /// All of this user: log out everywhere.
        #[arg(long, conflicts_with = "all")]
        user: Option<String>,
        /// All of everybody.
        #[arg(long)]
        all: bool,
    },
}

pub(super) fn run(verb: &Verb, records: &Records) -> anyhow::Result<()> {
    match verb {
        Verb::List { user } => list(user.as_deref(), records),
        Verb::End { id: Some(id), .. } => {
            records.end_session(id, None)?;
            println!("{id} has ended");
        }
        Verb::End { id: None, user, all } => {
            anyhow::ensure!(user.is_some() || *all, "say which: an id, --user NAME or --all");
            println!("{} logins have ended", records.end_sessions(user.as_deref())?);
        }
    }
    Ok(())
}

fn list(user: Option<&str>, records: &Records) {
    let rows = records.sessions(user, SystemClock.now()).into_iter().map(|session| {
        vec![
            session.id,
            session.user,
            session.host.unwrap_or_default(),
            session.peer.map_or_else(String::new, |it| it.to_string()),
            moment(session.created_unix_s),
            moment(session.expires_unix_s),
            session.browser,
        ]
    });
    let rows: Vec<_> = rows.collect();
    let head = ["ID", "USER", "SITE", "FROM", "SINCE", "UNTIL", "BROWSER"];
    print!("{}", table(&head, &rows));
}
