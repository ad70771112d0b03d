//! `skep-server user`: people who may log in.

#![expect(clippy::print_stdout, reason = "a command line tool")]

use clap::Subcommand;
use skep_front::{Clock as _, NewFactor, Records, Role, Source, SystemClock};

use super::{moment_or, prompt, table};
use crate::config::Config;

#[derive(Subcommand)]
pub(crate) enum Verb {
    /// Add somebody; the password is asked for, or read from standard input.
    Add {
        name: String,
        /// viewer reads, admin may do everything.
        #[arg(long, default_value = "viewer")]
        role: Role,
    },
    /// Give somebody a new password, which ends their logins.
    Passwd { name: String },
    /// Make somebody a viewer or an admin.
    Role { name: String, role: Role },
    /// Ask somebody for a code of an authenticator app, too.
    Totp {
        name: String,
        /// Ask for no code any more.
        #[arg(long)]
        off: bool,
    },
    /// Show everybody.
    List,
    /// Remove somebody, which ends their logins.
    Remove { name: String },
}

pub(super) fn run(verb: &Verb, config: &Config, records: &Records) -> anyhow::Result<()> {
    match verb {
        Verb::Add { name, role } => {
            let password = prompt::new_password(name)?;
            records.add_user(name, *role, &password, SystemClock.now())?;
            println!("{name} may log in, as {}", role.as_str());
        }
        Verb::Passwd { name } => {
            records.check_user(name)?;
            records.set_password(name, &prompt::new_password(name)?)?;
            println!("{name} has a new password; old logins have ended");
        }
        Verb::Role { name, role } => {
            records.set_role(name, *role)?;
            println!("{name} is {} now", role.as_str());
        }
        Verb::Totp { name, off: true } => {
            records.set_factor(name, None)?;
            println!("{name} is asked for no code any more");
        }
        Verb::Totp { name, off: false } => totp(name, config, records)?,
        Verb::List => list(records),
        Verb::Remove { name } => {
            records.remove_user(name)?;
            println!("{name} is removed");
        }
    }
    Ok(())
}

/// Only a code that the app shows proves that the person can log in afterwards.
fn totp(name: &str, config: &Config, records: &Records) -> anyhow::Result<()> {
    records.check_user(name)?;
    let mut factor = NewFactor::generate(name, config.front.domain.as_str())?;
    println!(
        "Add this to the authenticator app, as a QR code of the address or by typing the key:"
    );
    println!("  {}\n  {}\n", factor.url(), factor.secret_text());
    let code = prompt::visible("The code that it shows now: ")?;
    factor.confirm(&code, SystemClock.now())?;
    records.set_factor(name, Some(&factor))?;
    println!("{name} is asked for a code from now on; old logins have ended.");
    println!("Without the phone, each of these opens one login. Keep them on paper:");
    for code in factor.recovery_codes() {
        println!("  {code}");
    }
    Ok(())
}

fn list(records: &Records) {
    let rows = records.users().into_iter().map(|user| {
        let code = match (user.has_second_factor, user.source) {
            (true, Source::File) => {
                format!("yes, {} recovery codes left", user.recovery_codes_left)
            }
            (true, Source::Config) => "yes".to_owned(),
            (false, _) => "no".to_owned(),
        };
        let scopes = || user.scopes.iter().map(|it| it.as_str()).collect::<Vec<_>>().join(",");
        let role = user.role.map_or_else(scopes, |role| role.as_str().to_owned());
        vec![user.name, role, code, moment_or(user.created_unix_s, "as configured")]
    });
    let rows: Vec<_> = rows.collect();
    print!("{}", table(&["NAME", "ROLE", "CODE", "SINCE"], &rows));
}
