//! A child process whose lines are shown with its name, and stopped politely.

use std::{
    io::{BufRead as _, BufReader, Read},
    os::unix::process::CommandExt as _,
    path::Path,
    process::{self, Command, ExitStatus, Stdio},
    sync::mpsc,
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context as _, bail};

use super::unit::{Scribe, Unit};
use crate::shell;

/// Where a child's lines go besides the terminal.
pub(crate) struct Echo {
    journal: Option<Scribe>,
}

impl Echo {
    pub(crate) fn new(unit: &Unit, stdout_socket: Option<&Path>) -> Self {
        let journal = stdout_socket.and_then(|socket| match Scribe::start(unit, socket) {
            Ok(scribe) => Some(scribe),
            Err(error) => {
                eprintln!("its lines will not be in the journal: {error}");
                None
            }
        });
        Self { journal }
    }

    fn line(&mut self, name: &str, line: &str) {
        eprintln!("{name:>7} │ {line}");
        if let Some(scribe) = &mut self.journal
            && scribe.line(line).is_err()
        {
            self.journal = None;
        }
    }
}

pub(crate) struct Child {
    name: &'static str,
    process: process::Child,
    lines: mpsc::Receiver<String>,
    /// Ends when the process has closed its output.
    echo: Option<thread::JoinHandle<()>>,
}

impl Child {
    /// Starts it in its own process group: Ctrl-C reaches us alone, and we stop it in order.
    pub(crate) fn start(
        name: &'static str,
        program: &Path,
        args: &[&str],
        unit: &Unit,
        mut echo: Echo,
    ) -> anyhow::Result<Self> {
        let mut process = shell::tied(program)
            .args(args)
            .env("NO_COLOR", "1")
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .process_group(0)
            .spawn()
            .with_context(|| format!("starting {}", program.display()))?;
        unit.adopt(process.id());
        let (lines_tx, lines) = mpsc::channel();
        for pipe in [
            process.stdout.take().map(|it| Box::new(it) as Box<dyn Read + Send>),
            process.stderr.take().map(|it| Box::new(it) as Box<dyn Read + Send>),
        ]
        .into_iter()
        .flatten()
        {
            let lines_tx = lines_tx.clone();
            thread::spawn(move || {
                for line in BufReader::new(pipe).lines().map_while(Result::ok) {
                    if lines_tx.send(line).is_err() {
                        return;
                    }
                }
            });
        }
        let (seen_tx, seen) = mpsc::channel();
        let echo = thread::spawn(move || {
            for line in lines {
                echo.line(name, &line);
                // Nobody may be waiting for a line any more; the terminal has it all the same.
                drop(seen_tx.send(line));
            }
        });
        Ok(Self { name, process, lines: seen, echo: Some(echo) })
    }

    pub(crate) fn pid(&self) -> u32 {
        self.process.id()
    }

    pub(crate) fn ended(&mut self) -> anyhow::Result<Option<ExitStatus>> {
        self.process.try_wait().with_context(|| format!("waiting for the {}", self.name))
    }

    /// Waits until it prints a line that contains `text`.
    #[expect(clippy::disallowed_methods, reason = "a deadline for a process of our own")]
    pub(crate) fn wait_for_line(&mut self, text: &str, within: Duration) -> anyhow::Result<()> {
        let deadline = Instant::now() + within;
        loop {
            match self.lines.recv_timeout(deadline.saturating_duration_since(Instant::now())) {
                Ok(line) if line.contains(text) => return Ok(()),
                Ok(_) => {}
                Err(_) => {
                    self.stop(Duration::ZERO);
                    bail!("the {} did not say `{text}` in time; its last lines say why", self.name);
                }
            }
        }
    }

    /// SIGTERM, then SIGKILL after `within`.
    #[expect(clippy::disallowed_methods, reason = "a deadline for a process of our own")]
    pub(crate) fn stop(&mut self, within: Duration) {
        let deadline = Instant::now() + within;
        let pid = self.process.id().to_string();
        if within > Duration::ZERO && matches!(self.process.try_wait(), Ok(None)) {
            shell::succeeds(Command::new("kill").args(["-TERM", &pid]));
            while matches!(self.process.try_wait(), Ok(None)) && Instant::now() < deadline {
                thread::sleep(Duration::from_millis(20));
            }
        }
        if matches!(self.process.try_wait(), Ok(None)) {
            if within > Duration::ZERO {
                eprintln!("the {} did not stop within {within:?} and is killed", self.name);
            }
            // Both fail only if it has ended in between.
            drop(self.process.kill());
            drop(self.process.wait());
        }
        if let Some(echo) = self.echo.take() {
            // It has panicked if it cannot be joined, and there is nothing left to show.
            drop(echo.join());
        }
    }
}
