//! Processes and threads by state, and how many of them there may be, from `/proc/*/stat`.

use std::{
    collections::BTreeMap,
    fs::{self, File},
    io::{self, Read as _},
    path::Path,
};

use skep_proto::MetricKind;

use super::{Context, SourceError, number};
use crate::exposition::{Exposition, as_f64};

/// Longer than any `stat` line: 52 numbers and a name of 64 bytes.
const STAT_BYTES_MAX: usize = 1536;

pub(super) fn collect(context: &Context, out: &mut Exposition) -> Result<(), SourceError> {
    let roots = &context.roots;
    let counts = count(&roots.proc)
        .map_err(|source| SourceError::Read { path: roots.proc.clone(), source })?;
    out.gauge("node_processes_threads", "Threads of all processes.", as_f64(counts.threads));
    by_state(
        out,
        ("node_processes_state", "Processes, by the state of their first thread.", "state"),
        &counts.states,
    );
    by_state(
        out,
        ("node_processes_threads_state", "Threads, by their state.", "thread_state"),
        &counts.thread_states,
    );
    out.gauge("node_processes_pids", "Processes there are.", as_f64(counts.processes));
    for (file, name, help) in [
        (
            "sys/kernel/threads-max",
            "node_processes_max_threads",
            "Threads there may be at most on this host.",
        ),
        (
            "sys/kernel/pid_max",
            "node_processes_max_processes",
            "Process ids are below this number.",
        ),
    ] {
        let text = roots.read_proc(file)?;
        out.gauge(name, help, number("/proc/sys/kernel", "a limit", Some(text.trim()))?);
    }
    Ok(())
}

fn by_state(
    out: &mut Exposition,
    (name, help, label): (&'static str, &'static str, &'static str),
    states: &BTreeMap<char, u64>,
) {
    let family = out.family(name, help, MetricKind::Gauge);
    for (state, count) in states {
        family.point([(label, state.encode_utf8(&mut [0; 4]))], as_f64(*count));
    }
}

#[derive(Debug, Default)]
struct Counts {
    processes: u64,
    threads: u64,
    states: BTreeMap<char, u64>,
    thread_states: BTreeMap<char, u64>,
}

/// Processes and threads come and go meanwhile: one that is gone is not counted.
fn count(proc: &Path) -> io::Result<Counts> {
    let mut counts = Counts::default();
    for entry in fs::read_dir(proc)?.flatten() {
        let pid = entry.file_name();
        let Some(pid) = pid.to_str().filter(|it| is_id(it)) else { continue };
        let process = entry.path();
        let Some((state, n_threads)) = read_stat(&process.join("stat")) else { continue };
        counts.processes += 1;
        counts.threads += n_threads;
        *counts.states.entry(state).or_default() += 1;
        // The folder of a process with one thread would tell the same again.
        *counts.thread_states.entry(state).or_default() += 1;
        if n_threads > 1 {
            for task in fs::read_dir(process.join("task")).into_iter().flatten().flatten() {
                if task.file_name().to_str().is_none_or(|it| it == pid) {
                    continue;
                }
                if let Some((state, _)) = read_stat(&task.path().join("stat")) {
                    *counts.thread_states.entry(state).or_default() += 1;
                }
            }
        }
    }
    Ok(counts)
}

fn is_id(name: &str) -> bool {
    name.bytes().all(|it| it.is_ascii_digit())
}

fn read_stat(path: &Path) -> Option<(char, u64)> {
    let mut line = [0; STAT_BYTES_MAX];
    let len = File::open(path).ok()?.read(&mut line).ok()?;
    parse(line.get(..len)?)
}

/// State and number of threads. The name before them may hold anything, parentheses as well.
fn parse(line: &[u8]) -> Option<(char, u64)> {
    let end = line.iter().rposition(|it| *it == b')')?;
    let rest = str::from_utf8(line.get(end + 1..)?).ok()?;
    let mut fields = rest.split_ascii_whitespace();
    let state = fields.next()?.chars().next()?;
    let n_threads = fields.nth(16)?.parse().ok()?;
    Some((state, n_threads))
}

#[cfg(test)]
mod tests {
    use expect_test::expect;

    use super::{collect, parse};
    use crate::sources::tests::Host;

    fn stat(pid: u32, name: &str, state: char, n_threads: u32) -> String {
        format!(
            "{pid} ({name}) {state} 1 1 1 0 -1 4194560 9 9 0 0 7 8 0 0 20 0 {n_threads} 0 5 6\n"
        )
    }

    #[test]
    fn processes_and_threads_are_counted_by_state() {
        let host = Host::default();
        host.file("proc/sys/kernel/threads-max", "7801\n")
            .file("proc/sys/kernel/pid_max", "4194304\n")
            .file("proc/loadavg", "0 0 0 1/1 1\n")
            .file("proc/self/stat", &stat(3, "self", 'R', 1))
            .file("proc/1/stat", &stat(1, "init", 'S', 1))
            .file("proc/20/stat", &stat(20, "odd) R (name", 'S', 3))
            .file("proc/20/task/20/stat", &stat(20, "odd", 'S', 3))
            .file("proc/20/task/21/stat", &stat(21, "odd", 'D', 3))
            .file("proc/20/task/22/stat", &stat(22, "odd", 'R', 3))
            .file("proc/30/stat", &stat(30, "zombie", 'Z', 1))
            // Went away between the listing and the reading.
            .file("proc/40/status", "");
        host.check(
            collect,
            &expect![[r##"
            # HELP node_processes_max_processes Process ids are below this number.
            # TYPE node_processes_max_processes gauge
            node_processes_max_processes 4.194304e+06
            # HELP node_processes_max_threads Threads there may be at most on this host.
            # TYPE node_processes_max_threads gauge
            node_processes_max_threads 7801
            # HELP node_processes_pids Processes there are.
            # TYPE node_processes_pids gauge
            node_processes_pids 3
            # HELP node_processes_state Processes, by the state of their first thread.
            # TYPE node_processes_state gauge
            node_processes_state{state="S"} 2
            node_processes_state{state="Z"} 1
            # HELP node_processes_threads Threads of all processes.
            # TYPE node_processes_threads gauge
            node_processes_threads 5
            # HELP node_processes_threads_state Threads, by their state.
            # TYPE node_processes_threads_state gauge
            node_processes_threads_state{thread_state="D"} 1
            node_processes_threads_state{thread_state="R"} 1
            node_processes_threads_state{thread_state="S"} 2
            node_processes_threads_state{thread_state="Z"} 1
        "##]],
        );
    }

    #[test]
    fn limits_that_are_missing_or_no_number_are_named() {
        let host = Host::default();
        host.file("proc/1/stat", "1 (init");
        host.check(
            collect,
            &expect![[r#"
            error: cannot read /proc/sys/kernel/threads-max: No such file or directory (os error 2)
        "#]],
        );
        host.file("proc/sys/kernel/threads-max", "many\n");
        host.check(
            collect,
            &expect![[r#"
            error: /proc/sys/kernel: a limit is not a number: "many"
        "#]],
        );
    }

    #[test]
    fn a_cut_line_tells_nothing() {
        let line = stat(1, "init", 'S', 12);
        assert_eq!(parse(line.as_bytes()), Some(('S', 12)));
        assert_eq!(parse(&line.as_bytes()[..line.find(" 12").unwrap()]), None);
        assert_eq!(parse(b"1 (init"), None);
        assert_eq!(parse(b"1 (init) S \xff"), None);
    }
}
