//! `skep-server`: the command line.

#![expect(clippy::print_stdout, clippy::print_stderr, reason = "a command line tool")]

use std::{
    io::{self, Read as _, Write as _},
    path::PathBuf,
    process::ExitCode,
};

use anyhow::Context as _;
use clap::{CommandFactory as _, Parser, Subcommand, ValueEnum};
use skep_front::{PasswordHash, TokenHash};

mod access;
mod access_log;
mod acme;
mod catalog;
mod check;
mod config;
mod convert;
mod data_version;
mod deploy;
mod enrol;
mod home;
mod operate;
mod own_metrics;
mod ready;
mod reload;
mod run;
mod scrape;
mod supervisor;
mod telemetry;
mod tool;
mod web;

use config::{Config, Faults};

/// Gives memory back that a flush or merge took; `.cargo/config.toml` says how soon. For C too.
#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

/// Bad configuration, as in sysexits.h.
const EXIT_CONFIG: u8 = 78;

/// Stores metrics and logs of a small fleet, answers PromQL and LogQL, and serves a page.
#[derive(Parser)]
#[command(name = "skep-server", version)]
struct Cli {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Subcommand)]
enum Verb {
    /// Serve until SIGTERM or SIGINT.
    Run {
        /// The configuration, in TOML.
        #[arg(long, value_name = "PATH", default_value = "/etc/skep/server.toml")]
        config: PathBuf,
        /// Once all listeners are open, write their addresses here as JSON.
        #[arg(long, value_name = "PATH")]
        ready_file: Option<PathBuf>,
        /// How log lines look.
        #[arg(long, value_enum, default_value_t = LogFormat::Text)]
        log_format: LogFormat,
    },
    /// Read a configuration and the files it names, try its object storage, and say what is wrong.
    ///
    /// Warnings, each with its line and key: names that no certificate covers but the local CA's,
    /// certificates that end soon, folders that are not there.
    Check {
        /// Also connect to the servers behind the sites, and warn of those that do not answer.
        #[arg(long)]
        connect: bool,
        #[arg(value_name = "PATH", default_value = "/etc/skep/server.toml")]
        config: PathBuf,
    },
    /// Print a Caddyfile as this server's configuration; exits with 3 if something was left out.
    Convert {
        #[arg(value_name = "CADDYFILE")]
        file: PathBuf,
        /// Write it here instead of to standard output.
        #[arg(short, long, value_name = "PATH")]
        output: Option<PathBuf>,
    },
    /// Read a password from standard input and print the `password_hash` for a `[[users]]` entry.
    HashPassword,
    /// Read a token from standard input and print the `sha256` for a `[[tokens]]` entry.
    HashToken,
    /// Make a token: prints it once, and the `sha256` for a `[[tokens]]` entry.
    NewToken,
    /// Certificates from ACME servers.
    Acme(acme::Acme),
    #[command(flatten)]
    Access(access::Access),
    /// Print one line that installs an agent on a host and lets it in.
    Enrol(enrol::Enrol),
    /// Install, upgrade or remove an agent over SSH.
    Deploy(deploy::Deploy),
    #[command(flatten)]
    Tool(tool::Tool),
    #[command(flatten)]
    Operate(operate::Operate),
    /// Print what a shell needs to complete this command line.
    Completions { shell: clap_complete::Shell },
    /// Write a manual page for each verb into a folder that is there.
    #[command(hide = true)]
    ManPages { dir: PathBuf },
}

#[derive(Clone, Copy, ValueEnum)]
pub(crate) enum LogFormat {
    Text,
    Json,
}

fn main() -> ExitCode {
    let result = match Cli::parse().verb {
        Verb::Run { config, ready_file, log_format } => {
            let read = Config::load(&config).and_then(|it| Ok((it.home_file()?, it)));
            let (home_file, loaded) = match read {
                Ok(read) => read,
                Err(error) => return bad_config(&error),
            };
            telemetry::start(log_format);
            run::run(&config, loaded, home_file, ready_file.as_deref())
        }
        Verb::Check { config, connect } => match check::run(&config, reach(connect)) {
            Ok(()) => {
                println!("{} is good", config.display());
                Ok(())
            }
            Err(error) => return bad_config(&error),
        },
        Verb::Tool(tool) => {
            telemetry::start_quiet();
            tool::run(&tool)
        }
        Verb::Acme(acme) => {
            telemetry::start_quiet();
            acme.run()
        }
        Verb::Access(access) => {
            telemetry::start_quiet();
            access::run(&access)
        }
        Verb::Enrol(enrol) => {
            telemetry::start_quiet();
            enrol.run()
        }
        Verb::Deploy(deploy) => {
            telemetry::start_quiet();
            deploy.run()
        }
        Verb::Convert { file, output } => match convert::run(&file, output.as_deref()) {
            Ok(code) => return code,
            Err(error) => Err(error),
        },
        Verb::Operate(verb) => {
            telemetry::start_quiet();
            match operate::run(&verb) {
                Ok(false) => return ExitCode::FAILURE,
                done => done.map(drop),
            }
        }
        Verb::Completions { shell } => completions(shell),
        Verb::ManPages { dir } => clap_mangen::generate_to(Cli::command(), &dir)
            .with_context(|| format!("writing manual pages to {}", dir.display())),
        Verb::HashPassword => hash_password(),
        Verb::HashToken => hash_token(),
        Verb::NewToken => {
            let (token, hash) = TokenHash::generate();
            println!("token:  {token}\nsha256: {}", hash.to_hex());
            Ok(())
        }
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error:#}");
            // Trying again would not help.
            let is_final = error.is::<data_version::VersionError>();
            if is_final { ExitCode::from(EXIT_CONFIG) } else { ExitCode::FAILURE }
        }
    }
}

fn reach(connect: bool) -> check::Reach {
    if connect { check::Reach::Upstreams } else { check::Reach::Needed }
}

fn bad_config(error: &anyhow::Error) -> ExitCode {
    match error.downcast_ref::<Faults>() {
        Some(faults) => faults.lines().for_each(|fault| eprintln!("error: {fault}")),
        None => eprintln!("error: {error:#}"),
    }
    if format!("{error:#}").contains("unknown field") {
        let version = env!("CARGO_PKG_VERSION");
        eprintln!("note: this is skep-server {version}; a setting of a newer one needs that one");
    }
    ExitCode::from(EXIT_CONFIG)
}

fn completions(shell: clap_complete::Shell) -> anyhow::Result<()> {
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut Cli::command(), "skep-server", &mut script);
    io::stdout().write_all(&script).context("writing to standard output")
}

fn hash_password() -> anyhow::Result<()> {
    println!("{}", PasswordHash::of(&secret()?)?.as_str());
    Ok(())
}

fn hash_token() -> anyhow::Result<()> {
    println!("{}", TokenHash::of(&secret()?).to_hex());
    Ok(())
}

/// Standard input without its line end.
fn secret() -> anyhow::Result<String> {
    let mut text = String::new();
    io::stdin().read_to_string(&mut text).context("reading standard input")?;
    let secret = text.trim_end_matches(['\r', '\n']);
    anyhow::ensure!(!secret.is_empty(), "standard input is empty; pipe the secret into it");
    Ok(secret.to_owned())
}
