//! `skep-server acme`: where certificates stand, and whether they could be had.

use std::path::PathBuf;
use std::sync::Arc;

use anyhow::{Context as _, bail};
use clap::{Args, Subcommand};
use skep_front::{
    CertificateSource, CertificateStatus, Clock as _, Directory, HostPattern, SystemClock, Trial,
};

use crate::config::Config;

#[derive(Args)]
pub(crate) struct Acme {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Subcommand)]
enum Verb {
    /// Tell of every certificate its names, source and end, and why the last try failed.
    Status {
        #[arg(long, value_name = "PATH", default_value = "/etc/skep/server.toml")]
        config: PathBuf,
    },
    /// Go through a whole order and keep nothing: at Let's Encrypt's staging server for Let's
    /// Encrypt, else at the CA itself.
    Try {
        /// All that are configured, if left out.
        #[arg(value_name = "NAME")]
        names: Vec<String>,
        #[arg(long, value_name = "PATH", default_value = "/etc/skep/server.toml")]
        config: PathBuf,
        /// Another directory: "letsencrypt", "letsencrypt-staging", or an address.
        #[arg(long, value_name = "URL")]
        directory: Option<String>,
    },
}

impl Acme {
    /// # Errors
    /// A bad configuration, or an order of a trial that failed.
    pub(crate) fn run(&self) -> anyhow::Result<()> {
        match &self.verb {
            Verb::Status { config } => status(&Config::load(config)?),
            Verb::Try { names, config, directory } => {
                trial(&Config::load(config)?, names, directory.as_deref())
            }
        }
    }
}

fn status(config: &Config) -> anyhow::Result<()> {
    let all = skep_front::stored_certificates(&config.front)?;
    if all.is_empty() {
        println!("no [[certificates]] and no [[acme]]: every name has the local CA's");
    }
    for it in &all {
        println!("{}", line(it));
        if let Some(error) = &it.last_error {
            println!("  last try failed: {error}");
        }
    }
    Ok(())
}

fn line(it: &CertificateStatus) -> String {
    let now = SystemClock.now();
    let until = match it.not_after {
        None => "none yet; the local CA's is served".to_owned(),
        Some(end) if end <= now => format!("EXPIRED on {}", end.date()),
        Some(end) => format!("until {} ({} days)", end.date(), (end - now).whole_days()),
    };
    let next = match (it.source, it.next_attempt) {
        (CertificateSource::Acme, Some(at)) if at <= now => ", order due".to_owned(),
        (CertificateSource::Acme, Some(at)) if (at - now).whole_days() < 1 => {
            format!(", next order in {} minutes", (at - now).whole_minutes() + 1)
        }
        (CertificateSource::Acme, Some(at)) => format!(", next order {}", at.date()),
        (CertificateSource::Acme, None) => ", order due".to_owned(),
        (CertificateSource::File | CertificateSource::LocalCa, _) => String::new(),
    };
    let issuer = it.issuer.as_ref().map_or_else(String::new, |it| format!(", by {it}"));
    format!("{} [{}] {until}{issuer}{next}", it.names.join(" "), it.source.as_str())
}

fn trial(config: &Config, names: &[String], directory: Option<&str>) -> anyhow::Result<()> {
    let names: Vec<HostPattern> =
        names.iter().map(|it| HostPattern::parse(it)).collect::<Result<_, _>>()?;
    let directory = directory.map(Directory::parse).transpose().context("--directory")?;
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    let trials = runtime.block_on(skep_front::try_orders(
        &config.front,
        &names,
        directory.as_ref(),
        Arc::new(SystemClock),
    ))?;
    let (n, mut n_failed) = (trials.len(), 0);
    for Trial { names, directory, outcome } in trials {
        let names = names.join(" ");
        match outcome {
            Ok(end) => println!("{names}: good; {directory} gave one until {}", end.date()),
            Err(error) => {
                n_failed += 1;
                println!("{names}: {:#}", anyhow::Error::from(error).context(directory));
            }
        }
    }
    if n_failed > 0 {
        bail!("{n_failed} of {n} orders failed");
    }
    Ok(())
}
