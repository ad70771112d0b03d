//! The kernel's text about mounts: one block each, with sub-blocks for NFS.

use std::array;

use super::super::SourceError;

const FILE: &str = "/proc/self/mountstats";

/// One mount; `stats` only where it is of NFS.
#[derive(Debug)]
pub(super) struct Mount<'a> {
    pub(super) device: &'a str,
    pub(super) mountpoint: &'a str,
    pub(super) stats: Option<Nfs<'a>>,
}

/// In the order of the tables in `metrics.rs`.
#[derive(Debug)]
pub(super) struct Nfs<'a> {
    pub(super) age_seconds: u64,
    pub(super) bytes: [u64; 8],
    pub(super) events: [u64; 27],
    pub(super) transports: Vec<Transport<'a>>,
    pub(super) operations: Vec<Operation<'a>>,
}

#[derive(Debug)]
pub(super) struct Transport<'a> {
    pub(super) protocol: &'a str,
    pub(super) values: [u64; 10],
}

#[derive(Debug)]
pub(super) struct Operation<'a> {
    pub(super) name: &'a str,
    pub(super) values: [u64; 8],
}

pub(super) fn mounts(text: &str) -> impl Iterator<Item = Result<Mount<'_>, SourceError>> {
    let mut lines = text.lines().peekable();
    std::iter::from_fn(move || {
        let heading = lines.find(|it| it.starts_with("device "))?;
        let mut block = Vec::new();
        while let Some(line) = lines.next_if(|it| !it.starts_with("device ")) {
            block.push(line);
        }
        Some(mount(heading, &block))
    })
}

/// The server's address: the option `addr` of a line of mountinfo.
pub(super) fn address(line: &str) -> Option<&str> {
    let options = line.split_once(" - ")?.1.split(' ').nth(2)?;
    options.split(',').find_map(|it| it.strip_prefix("addr="))
}

/// `device DEVICE mounted on MOUNTPOINT with fstype TYPE[ statvers=VERSION]`
fn mount<'a>(heading: &'a str, block: &[&'a str]) -> Result<Mount<'a>, SourceError> {
    let words: Vec<&str> = heading.split_ascii_whitespace().collect();
    let ["device", device, "mounted", "on", mountpoint, "with", "fstype", kind, rest @ ..] =
        &words[..]
    else {
        return Err(SourceError::Missing { file: FILE, what: "a part of a mount's heading" });
    };
    let version = rest.first().and_then(|it| it.strip_prefix("statvers="));
    let stats = match (*kind, version) {
        ("nfs" | "nfs4", Some(version)) => Some(nfs(block, version != "1.0")?),
        _ => None,
    };
    Ok(Mount { device, mountpoint, stats })
}

fn nfs<'a>(block: &[&'a str], has_slots: bool) -> Result<Nfs<'a>, SourceError> {
    let mut stats = Nfs {
        age_seconds: 0,
        bytes: [0; 8],
        events: [0; 27],
        transports: Vec::new(),
        operations: Vec::new(),
    };
    let mut lines = block.iter();
    for line in lines.by_ref() {
        let (key, rest) = line.trim_start().split_once(['\t', ' ']).unwrap_or((line.trim(), ""));
        match key {
            "age:" => [stats.age_seconds] = numbers("an age", rest.split_ascii_whitespace())?,
            "bytes:" => stats.bytes = numbers("a number of bytes", rest.split_ascii_whitespace())?,
            "events:" => stats.events = numbers("an event", rest.split_ascii_whitespace())?,
            "xprt:" => stats.transports.push(transport(rest, has_slots)?),
            "per-op" => break,
            _ => {}
        }
    }
    for line in lines.filter(|it| !it.trim().is_empty()) {
        stats.operations.push(operation(line)?);
    }
    Ok(stats)
}

/// UDP has no connections; version 1.0 has no slots and no queues but the backlog.
fn transport(line: &str, has_slots: bool) -> Result<Transport<'_>, SourceError> {
    let mut words = line.split_ascii_whitespace();
    let protocol = words.next().unwrap_or_default();
    let n_values = match (protocol, has_slots) {
        ("udp", false) => 7,
        // RDMA has counters of its own where TCP has slots and queues.
        ("udp", true) | ("tcp", false) | ("rdma", _) => 10,
        ("tcp", true) => 13,
        _ => return Err(SourceError::Missing { file: FILE, what: "a transport that is known" }),
    };
    let mut given: Vec<u64> = Vec::with_capacity(13);
    for word in words.take(n_values) {
        given.push(number("a number of a transport", Some(word))?);
    }
    if given.len() < n_values {
        return Err(SourceError::Missing { file: FILE, what: "a number of a transport" });
    }
    if protocol == "udp" {
        // Connections, their idle time, and the time since the last traffic.
        given.splice(2..2, [0; 3]);
    }
    given.resize(13, 0);
    let at = |idx: usize| given.get(idx).copied().unwrap_or_default();
    // Port, connect time and the sum of waiting requests are not told.
    let values = [1, 2, 4, 5, 6, 7, 9, 10, 11, 12].map(at);
    Ok(Transport { protocol, values })
}

/// Newer kernels count errors as well, which is not told.
fn operation(line: &str) -> Result<Operation<'_>, SourceError> {
    let mut words = line.split_ascii_whitespace();
    let name = words.next().unwrap_or_default().trim_end_matches(':');
    Ok(Operation { name, values: numbers("a number of an operation", words)? })
}

fn numbers<'a, const N: usize>(
    what: &'static str,
    mut words: impl Iterator<Item = &'a str>,
) -> Result<[u64; N], SourceError> {
    let mut error = None;
    let values = array::from_fn(|_| {
        number(what, words.next()).unwrap_or_else(|it| {
            error.get_or_insert(it);
            0
        })
    });
    error.map_or(Ok(values), Err)
}

fn number(what: &'static str, word: Option<&str>) -> Result<u64, SourceError> {
    let word = word.ok_or(SourceError::Missing { file: FILE, what })?;
    word.parse().map_err(|std::num::ParseIntError { .. }| SourceError::Number {
        file: FILE,
        what,
        text: word.to_owned(),
    })
}
