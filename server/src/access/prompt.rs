//! Asks for a secret: from a terminal without showing it, or from a pipe.

use std::io::{self, BufRead as _, IsTerminal as _, Write as _};

use anyhow::Context as _;
use rustix::termios::{LocalModes, OptionalActions, Termios, tcgetattr, tcsetattr};

/// A new password: typed twice in a terminal, else one line of standard input.
pub(super) fn new_password(name: &str) -> anyhow::Result<String> {
    if !io::stdin().is_terminal() {
        return line();
    }
    let first = hidden(&format!("Password for {name}: "))?;
    let second = hidden("Once more: ")?;
    anyhow::ensure!(first == second, "these are two different passwords; nothing was changed");
    Ok(first)
}

/// A line that is shown while it is typed.
pub(super) fn visible(prompt: &str) -> anyhow::Result<String> {
    if io::stdin().is_terminal() {
        show(prompt)?;
    }
    line()
}

fn hidden(prompt: &str) -> anyhow::Result<String> {
    show(prompt)?;
    let before = tcgetattr(io::stdin()).context("asking the terminal how it is set")?;
    let mut quiet = before.clone();
    quiet.local_modes.remove(LocalModes::ECHO);
    tcsetattr(io::stdin(), OptionalActions::Now, &quiet).context("making the terminal quiet")?;
    let _loud = Loud(before);
    let typed = line();
    show("\n")?;
    typed
}

/// Makes the terminal show what is typed again, whatever happens.
struct Loud(Termios);

impl Drop for Loud {
    fn drop(&mut self) {
        if let Err(error) = tcsetattr(io::stdin(), OptionalActions::Now, &self.0) {
            tracing::warn!(%error, "Could not set the terminal back; `stty echo` does.");
        }
    }
}

fn show(text: &str) -> anyhow::Result<()> {
    let mut out = io::stderr();
    out.write_all(text.as_bytes()).and_then(|()| out.flush()).context("writing to the terminal")
}

fn line() -> anyhow::Result<String> {
    let mut text = String::new();
    io::stdin().lock().read_line(&mut text).context("reading standard input")?;
    let text = text.trim_end_matches(['\r', '\n']);
    anyhow::ensure!(!text.is_empty(), "nothing was typed; nothing was changed");
    Ok(text.to_owned())
}
