//! Verbs for whoever runs the machine: how the server is, copies of all it has, and back.
//!
//! They are told nothing but the configuration. A running server is asked as its owner: with a token
//! made for the moment, which whoever may write the data folder can make.

mod backup;
mod doctor;
mod local;
mod restore;
mod status;

use std::path::PathBuf;

use clap::{Args, Subcommand};

use crate::config::Config;
use local::Local;

/// Which server is meant.
#[derive(Args)]
pub(crate) struct Which {
    #[arg(long, value_name = "PATH", default_value = "/etc/skep/server.toml")]
    config: PathBuf,
}

#[derive(Subcommand)]
pub(crate) enum Operate {
    /// Say how the running server is: what it stores, what it refused, how long it is up.
    Status {
        #[command(flatten)]
        which: Which,
    },
    /// Say what is wrong, and what soon will be: configuration, disk, certificates, damage. Exits
    /// with 1 if something is.
    Doctor {
        #[command(flatten)]
        which: Which,
    },
    /// Copy everything that this server has into a new folder, while it runs: data, CA,
    /// certificates, users, tokens, configuration. Prints the folder.
    Backup {
        /// Where the new folder goes; it is named after the time.
        #[arg(value_name = "DIR")]
        into: PathBuf,
        #[command(flatten)]
        which: Which,
    },
    /// Put a backup into the data folder, which must not be there or be empty. The server must not
    /// run.
    Restore {
        #[arg(value_name = "BACKUP")]
        backup: PathBuf,
        #[command(flatten)]
        which: Which,
    },
    /// Merge the small files of every day now, instead of when their number is up.
    Compact {
        #[command(flatten)]
        which: Which,
    },
}

/// Does what is asked; whether all is well.
///
/// # Errors
/// What could not be done, and why.
pub(crate) fn run(operate: &Operate) -> anyhow::Result<bool> {
    if let Operate::Restore { backup, which } = operate {
        return restore::run(backup, &Config::load(&which.config)?).map(|()| true);
    }
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    runtime.block_on(async {
        match operate {
            Operate::Status { which } => status::run(&Local::open(&which.config)?).await?,
            Operate::Doctor { which } => return doctor::run(&which.config).await,
            Operate::Backup { into, which } => {
                backup::run(&Local::open(&which.config)?, &which.config, into).await?;
            }
            Operate::Compact { which } => {
                Local::open(&which.config)?.post("/-/compact").await?;
            }
            Operate::Restore { .. } => {}
        }
        Ok(true)
    })
}
