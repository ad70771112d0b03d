//! One boot under qemu: what the guest says, until it is off or too long in coming.

use std::{
    fs,
    io::{BufRead as _, BufReader},
    path::Path,
    process::{Child, ChildStdout, Command, Stdio},
    sync::mpsc,
    time::Duration,
};

use anyhow::{Context as _, bail};

use super::{guest::MARK, kernels::Kernel};

/// A quiet machine needs a fifth of it.
const TIMEOUT: Duration = Duration::from_secs(420);
/// What a guest that comes up at all has said something by, also on a busy machine.
const UP_TIMEOUT: Duration = Duration::from_secs(120);
const MEMORY_MB: &str = "1024";
const DISK_BYTES: u64 = 16 << 20;

/// Emulation, which works everywhere: /dev/kvm may be there and still not boot a stock kernel.
pub(crate) const EMULATION: &str = "tcg,thread=multi";
pub(crate) const MACHINE: &[&str] = &[
    "-cpu",
    "max",
    "-smp",
    "2",
    "-m",
    MEMORY_MB,
    "-nographic",
    "-nodefaults",
    "-no-reboot",
    "-serial",
    "stdio",
];
const KERNEL_WORDS: &str =
    "console=ttyS0 panic=-1 loglevel=1 mitigations=off no_timer_check psi=1 rdinit=/init";

/// How far a guest came.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Outcome {
    /// It never came to the agent: a boot under heavy load now and then says nothing at all.
    NotUp,
    /// The tests ended with this exit code; `None` if they did not end.
    Tested(Option<i32>),
}

/// Boots, once more if the guest does not come up, and prints what it says.
pub(super) fn run(kernel: &Kernel, initrd: &Path) -> anyhow::Result<()> {
    let disk = initrd.with_extension("disk");
    let made = fs::File::create(&disk).and_then(|it| it.set_len(DISK_BYTES));
    made.with_context(|| format!("making {}", disk.display()))?;
    for is_last in [false, true] {
        eprintln!("booting {}", kernel.package);
        match boot(kernel, initrd, &disk)? {
            Outcome::Tested(Some(0)) => return Ok(()),
            Outcome::Tested(Some(code)) => bail!("tests in the guest failed (exit code {code})"),
            Outcome::Tested(None) => bail!("the guest stopped before its tests ended"),
            Outcome::NotUp if is_last => bail!("the guest did not come up, twice"),
            Outcome::NotUp => eprintln!("the guest did not come up; once more"),
        }
    }
    Ok(())
}

fn boot(kernel: &Kernel, initrd: &Path, disk: &Path) -> anyhow::Result<Outcome> {
    let mut qemu = Command::new("qemu-system-x86_64")
        .args(["-accel", EMULATION])
        .args(MACHINE)
        .arg("-kernel")
        .arg(&kernel.image)
        .arg("-initrd")
        .arg(initrd)
        .arg("-drive")
        .arg(format!("file={},format=raw,if=virtio", disk.display()))
        .args(["-append", KERNEL_WORDS])
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .spawn()
        .context("cannot run qemu-system-x86_64")?;
    let console = qemu.stdout.take().context("qemu has no output")?;
    let outcome = listen(console);
    stop(&mut qemu)?;
    Ok(outcome)
}

#[expect(clippy::disallowed_methods, reason = "bounds how long a guest may take")]
fn listen(console: ChildStdout) -> Outcome {
    let started = std::time::Instant::now();
    let (lines_tx, lines) = mpsc::channel();
    // Ends with qemu's output.
    std::thread::spawn(move || {
        for line in BufReader::new(console).split(b'\n').map_while(Result::ok) {
            if lines_tx.send(String::from_utf8_lossy(&line).trim_end().to_owned()).is_err() {
                return;
            }
        }
    });
    let mut outcome = Outcome::NotUp;
    loop {
        let limit = if outcome == Outcome::NotUp { UP_TIMEOUT } else { TIMEOUT };
        let Ok(line) = lines.recv_timeout(limit.saturating_sub(started.elapsed())) else {
            return outcome;
        };
        println!("  {line}");
        outcome = after(outcome, &line);
    }
}

/// What a line of the console says about how far the guest is.
fn after(outcome: Outcome, line: &str) -> Outcome {
    // The firmware's and the kernel's own words may stand before it on the line.
    let Some((_, said)) = line.split_once(MARK) else { return outcome };
    let mut words = said.split_ascii_whitespace();
    match (words.next(), words.next()) {
        (Some("up"), _) => Outcome::Tested(None),
        (Some("tests"), Some(code)) => Outcome::Tested(code.parse().ok()),
        _ => outcome,
    }
}

fn stop(qemu: &mut Child) -> anyhow::Result<()> {
    // One that is off already cannot be killed, which is well.
    drop(qemu.kill());
    qemu.wait().context("waiting for qemu")?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_console_tells_how_the_tests_ended() {
        let read = |lines: &[&str]| lines.iter().fold(Outcome::NotUp, |it, line| after(it, line));
        assert_eq!(read(&["[    0.1] Linux version"]), Outcome::NotUp);
        assert_eq!(read(&["c\u{1b}[2Jskep-vm: up 6.1.0"]), Outcome::Tested(None));
        let lines = ["skep-vm: up 6.1.0", "skep-vm: doctor 1", "skep-vm: tests 101"];
        assert_eq!(read(&lines), Outcome::Tested(Some(101)));
    }
}
