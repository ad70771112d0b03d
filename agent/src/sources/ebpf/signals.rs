//! Processes that were killed by a signal, and who sent it.

use skep_abi::{SignalEvent, event_kind};

use super::{
    events::{Event, Level, comm, text},
    exec,
    family::{EventKind, Family},
    loader::{Program, offset, traced},
    raw,
};

pub(super) const FAMILY: Family = Family {
    programs: &[SENT],
    offsets: &[offset("SIGINFO_CODE", "kernel_siginfo", &["si_code"])],
    events: &[EventKind {
        kind: event_kind::SIGNAL,
        name: NAME,
        is_rare: false,
        describe: |record, unit| raw::record(record).map(|it| describe(&it, unit)),
    }],
    ..Family::EMPTY
};

const NAME: &str = "signal";
const SENT: Program = traced!(
    "signal_sender",
    "senders of fatal signals",
    "signal_sent",
    "signal_generate",
    5,
    &["TASK_TGID", "SIGINFO_CODE"]
);

/// `SIGSEGV`; the bare number for real-time signals.
fn name(signal: u32) -> String {
    let name = exec::signal_name(u64::from(signal));
    let is_number = name.starts_with(|it: char| it.is_ascii_digit());
    format!("{}{name}", if is_number { "signal " } else { "SIG" })
}

/// A fault of the program's own is an error, being killed without a chance is worth a look.
fn level(signal: u32) -> Level {
    match name(signal).as_str() {
        "SIGQUIT" | "SIGILL" | "SIGTRAP" | "SIGABRT" | "SIGBUS" | "SIGFPE" | "SIGSEGV"
        | "SIGXCPU" | "SIGXFSZ" | "SIGSYS" => Level::Error,
        "SIGKILL" => Level::Warning,
        _ => Level::Info,
    }
}

fn describe(event: &SignalEvent, unit: &str) -> Event {
    let (header, sender) = (&event.header, &event.sender);
    let (victim, signal) = (comm(header), name(event.signal));
    let mut line = format!("{victim} (pid {}) of {unit} was killed by {signal}", header.pid);
    let mut metadata = vec![
        ("comm", victim),
        ("core_dumped", (event.is_core_dumped == 1).to_string()),
        ("pid", header.pid.to_string()),
        ("ppid", header.parent_pid.to_string()),
    ];
    match (sender.signal, sender.pid) {
        (0, _) => {}
        (_, 0) => {
            line.push_str(" from the kernel");
            metadata.push(("sender_comm", "kernel".to_owned()));
        }
        (_, pid) => {
            let by = text(&sender.comm);
            line.push_str(&format!(" from {by} (pid {pid})"));
            metadata.push(("sender_comm", by));
            metadata.push(("sender_pid", pid.to_string()));
            metadata.push(("sender_uid", sender.uid.to_string()));
        }
    }
    if event.is_core_dumped == 1 {
        line.push_str(", core dumped");
    }
    metadata.push(("signal", event.signal.to_string()));
    metadata.push(("signal_name", signal));
    metadata.push(("uid", header.uid.to_string()));
    Event { name: NAME, level: level(event.signal), line, metadata }
}

#[cfg(test)]
mod tests {
    use expect_test::{Expect, expect};
    use skep_abi::{EventHeader, Sender};

    use super::*;

    #[expect(clippy::needless_pass_by_value, reason = "`expect!` makes a value")]
    fn check(signal: u32, is_core_dumped: u32, sender: (u32, u32), expected: Expect) {
        let bytes = |text: &str| {
            let mut bytes = [0; 16];
            bytes[..text.len()].copy_from_slice(text.as_bytes());
            bytes
        };
        let header = EventHeader {
            pid: 42,
            parent_pid: 1,
            uid: 33,
            comm: bytes("nginx"),
            ..EventHeader::NONE
        };
        let (of, pid) = sender;
        let sender = Sender { signal: of, pid, uid: 0, code: 0, comm: bytes("kill") };
        let event =
            describe(&SignalEvent { header, signal, is_core_dumped, sender }, "web.service");
        assert!(event.metadata.is_sorted());
        expected.assert_eq(&format!("{:?}: {}\n{:?}", event.level, event.line, event.metadata));
    }

    #[test]
    fn a_killed_process_is_told_with_its_killer() {
        check(
            9,
            0,
            (9, 812),
            expect![[r#"
                Warning: nginx (pid 42) of web.service was killed by SIGKILL from kill (pid 812)
                [("comm", "nginx"), ("core_dumped", "false"), ("pid", "42"), ("ppid", "1"), ("sender_comm", "kill"), ("sender_pid", "812"), ("sender_uid", "0"), ("signal", "9"), ("signal_name", "SIGKILL"), ("uid", "33")]"#]],
        );
        check(
            11,
            1,
            (11, 0),
            expect![[r#"
                Error: nginx (pid 42) of web.service was killed by SIGSEGV from the kernel, core dumped
                [("comm", "nginx"), ("core_dumped", "true"), ("pid", "42"), ("ppid", "1"), ("sender_comm", "kernel"), ("signal", "11"), ("signal_name", "SIGSEGV"), ("uid", "33")]"#]],
        );
        check(
            34,
            0,
            (0, 0),
            expect![[r#"
                Info: nginx (pid 42) of web.service was killed by signal 34
                [("comm", "nginx"), ("core_dumped", "false"), ("pid", "42"), ("ppid", "1"), ("signal", "34"), ("signal_name", "signal 34"), ("uid", "33")]"#]],
        );
    }
}
