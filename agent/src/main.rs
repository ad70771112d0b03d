//! Entry point of the agent: what is asked for on the command line, and the exit code.

mod check;
mod collect;
mod config;
mod doctor;
mod expose;
mod exposition;
mod log_batch;
mod own_metrics;
mod pipeline;
mod promtail;
mod run;
mod ship;
mod sources;
mod spool;
mod supervisor;
mod telemetry;
mod tick;

use std::{
    fs,
    io::{self, Write as _},
    path::{Path, PathBuf},
    process::ExitCode,
    sync::Arc,
};

use anyhow::Context as _;
use clap::{CommandFactory as _, Parser, Subcommand};
use skep_proto::SystemClock;

use crate::{
    config::{Config, DEFAULT_PATH, UNITS_MAX_DEFAULT},
    exposition::Exposition,
    sources::{Context, Roots, Settings, SourceName},
    telemetry::LogFormat,
};

/// Gives memory back that reading the kernel's types took, and is quick at the many small strings of
/// journal entries; `.cargo/config.toml` says how soon. For C too.
#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

/// As in sysexits.h: something in the configuration must be changed first.
const EXIT_CONFIG: u8 = 78;
/// Threads for the network; disk and collection have their own.
const WORKERS: usize = 2;

/// Collects a host's metrics and logs and brings them to a Skep server.
#[derive(Debug, Parser)]
#[command(name = "skep-agent", version, propagate_version = true)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
    /// How the agent's own log looks.
    #[arg(long, global = true, value_enum, default_value = "text", env = "SKEP_LOG_FORMAT")]
    log_format: LogFormat,
    /// What is logged: a level, or targets with levels ("info,skep_agent::ship=debug").
    #[arg(long, global = true, default_value = "info", env = "SKEP_LOG")]
    log: String,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Collect and deliver until told to stop.
    Run {
        /// The configuration file.
        #[arg(long, default_value = DEFAULT_PATH)]
        config: PathBuf,
    },
    /// Print a Promtail configuration as one of this agent.
    Convert {
        /// Promtail's YAML file.
        file: PathBuf,
    },
    /// Collect once and print the metrics as Prometheus' text format.
    Collect(CollectArguments),
    /// Say whether the configuration is right and what of it works on this host.
    Check {
        /// The configuration file.
        #[arg(long, default_value = DEFAULT_PATH)]
        config: PathBuf,
    },
    /// Say what this host lets the agent see: kernel programs, permissions, journal, spool, server.
    Doctor {
        /// The configuration file.
        #[arg(long, default_value = DEFAULT_PATH)]
        config: PathBuf,
    },
    /// Say whether the agent runs, what waits in its spool, and whether the server takes it.
    Status {
        /// The configuration file.
        #[arg(long, default_value = DEFAULT_PATH)]
        config: PathBuf,
    },
    /// Print what a shell needs to complete this command line.
    Completions { shell: clap_complete::Shell },
    /// Write a manual page for each verb into a folder that is there.
    #[command(hide = true)]
    ManPages { dir: PathBuf },
}

#[derive(Debug, clap::Args)]
struct CollectArguments {
    /// Where procfs is mounted.
    #[arg(long, default_value = "/proc")]
    proc: PathBuf,
    /// Where sysfs is mounted.
    #[arg(long, default_value = "/sys")]
    sys: PathBuf,
    /// Where udev keeps its data.
    #[arg(long, default_value = "/run/udev/data")]
    udev: PathBuf,
    /// Where the host's root file system is mounted.
    #[arg(long, default_value = "/")]
    root: PathBuf,
    /// Where *.prom files of other programs lie.
    #[arg(long)]
    textfile_directory: Option<PathBuf>,
    /// A file with what stands below [collectors] in the configuration.
    #[arg(long)]
    settings: Option<PathBuf>,
    /// Run these collectors and no others, whether they are switched on or not.
    #[arg(long, num_args = 1.., value_name = "NAME")]
    collector: Vec<SourceName>,
}

fn main() -> ExitCode {
    match run(Arguments::parse()) {
        Ok(code) => code,
        Err(error) => {
            // Nobody is left to tell if this fails, too.
            drop(writeln!(io::stderr(), "skep-agent: {error:#}"));
            if error.is::<config::ConfigError>() {
                if format!("{error:#}").contains("unknown field") {
                    let version = env!("CARGO_PKG_VERSION");
                    let note = "a setting of a newer one needs that one";
                    drop(writeln!(io::stderr(), "note: this is skep-agent {version}; {note}"));
                }
                ExitCode::from(EXIT_CONFIG)
            } else {
                ExitCode::FAILURE
            }
        }
    }
}

fn run(arguments: Arguments) -> anyhow::Result<ExitCode> {
    telemetry::start(arguments.log_format, &arguments.log)?;
    match arguments.command {
        Command::Run { config } => {
            let config = Config::read(&config)?;
            runtime()?.block_on(run::run(config))?;
            Ok(ExitCode::SUCCESS)
        }
        Command::Convert { file } => {
            let yaml =
                fs::read_to_string(&file).with_context(|| format!("reading {}", file.display()))?;
            let toml = promtail::convert(&file, &yaml)
                .with_context(|| format!("converting {}", file.display()))?;
            print(&toml)?;
            Ok(ExitCode::SUCCESS)
        }
        Command::Collect(arguments) => collect(arguments),
        Command::Completions { shell } => {
            let mut script = Vec::new();
            let command = &mut Arguments::command();
            clap_complete::generate(shell, command, "skep-agent", &mut script);
            print(&String::from_utf8_lossy(&script))?;
            Ok(ExitCode::SUCCESS)
        }
        Command::ManPages { dir } => {
            clap_mangen::generate_to(Arguments::command(), &dir)
                .with_context(|| format!("writing manual pages to {}", dir.display()))?;
            Ok(ExitCode::SUCCESS)
        }
        Command::Check { config } => {
            let config = Config::read(&config)?;
            let findings = runtime()?.block_on(check::check(&config));
            print(&findings.iter().map(ToString::to_string).collect::<String>())?;
            Ok(verdict(&findings))
        }
        Command::Status { config } => {
            let config = Config::read(&config)?;
            let findings = runtime()?.block_on(doctor::status(&config));
            print(&doctor::table(&findings))?;
            Ok(verdict(&findings))
        }
        Command::Doctor { config } => {
            let config = Config::read(&config);
            let findings = runtime()?.block_on(doctor::examine(config.as_ref()));
            print(&doctor::table(&findings))?;
            Ok(verdict(&findings))
        }
    }
}

fn verdict(findings: &[check::Finding]) -> ExitCode {
    if findings.iter().all(|it| it.is_well) { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

fn collect(arguments: CollectArguments) -> anyhow::Result<ExitCode> {
    let CollectArguments { proc, sys, udev, root, textfile_directory, settings, collector } =
        arguments;
    let roots = Roots { proc, sys, udev, root };
    let mut settings = match settings {
        Some(path) => read_settings(&path)?,
        None => Settings::default(),
    };
    settings.textfile.directories.extend(textfile_directory);
    if !collector.is_empty() {
        settings.only(collector);
    }
    let context = Context::new(roots, settings, Arc::new(SystemClock), UNITS_MAX_DEFAULT);
    let mut out = Exposition::default();
    let errors = sources::collect_all(&context, &mut out);
    print(&out.to_text())?;
    for (source, error) in errors {
        let error = format!("{:#}", anyhow::Error::new(error));
        tracing::warn!(source, error, "A collector failed.");
    }
    Ok(ExitCode::SUCCESS)
}

fn read_settings(path: &Path) -> anyhow::Result<Settings> {
    let text = fs::read_to_string(path).with_context(|| format!("reading {}", path.display()))?;
    toml::from_str(&text).with_context(|| format!("reading {}", path.display()))
}

/// A reader that has seen enough (`| head`) is no error.
fn print(text: &str) -> anyhow::Result<()> {
    match io::stdout().write_all(text.as_bytes()) {
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
        written => written.context("writing to standard output"),
    }
}

fn runtime() -> anyhow::Result<tokio::runtime::Runtime> {
    tokio::runtime::Builder::new_multi_thread()
        .worker_threads(WORKERS)
        .enable_all()
        .build()
        .context("starting the runtime")
}
