//! Log lines as a fleet's journals, nginx, a JSON API and a logfmt worker would write them.

use std::fmt::Write as _;

use super::{
    rng::{Rng, floor},
    words::{
        CRON_COMMANDS, DOMAINS, JOBS, KERNEL_WARNINGS, MONTHS, PATHS, SHIM_EVENTS, TASKS,
        USER_AGENTS, USERS,
    },
};

const NS_PER_S: i64 = 1_000_000_000;

/// In three lines of the last host's `api.service`.
pub const NEEDLE_ONE_HOST: &str = "needle-6f1c2a9e-41d7-4c0b-9a55-70d2c7be11f3";
/// In one line of every host's `worker.service`.
pub const NEEDLE_ALL_HOSTS: &str = "needle-b7e0d3c4-9f62-4d8e-8a17-2c5f90aa6e42";

/// What to send; the same seed and end give the same lines.
#[derive(Debug, Clone, Copy)]
pub struct LineLoad {
    pub hosts: u32,
    /// Of all hosts together.
    pub lines: u64,
    /// From the first to the last line, in nanoseconds.
    pub span_ns: i64,
    /// Of the last line, in nanoseconds.
    pub end_ns: i64,
    pub seed: u64,
}

/// A systemd unit that logs.
struct Unit {
    name: &'static str,
    /// Of a thousand lines of a host.
    share: u64,
    /// Of a thousand of its lines, how many are of the worse level.
    worse_share: u64,
    level: &'static str,
    worse_level: &'static str,
    write: fn(&mut Line<'_>),
}

const UNITS: [Unit; 10] = [
    unit("nginx.service", 300, 0, "info", "info", nginx),
    unit("api.service", 250, 40, "info", "err", api),
    unit("worker.service", 150, 60, "info", "warning", worker),
    unit("ssh.service", 80, 0, "info", "info", ssh),
    unit("dnsmasq.service", 80, 0, "info", "info", dnsmasq),
    unit("systemd", 40, 20, "info", "err", systemd),
    unit("kernel", 30, 150, "info", "warning", kernel),
    unit("containerd.service", 30, 0, "info", "info", containerd),
    unit("cron.service", 20, 0, "info", "info", cron),
    unit("postgresql.service", 20, 0, "info", "info", postgresql),
];
const API: usize = 1;
const WORKER: usize = 2;

const fn unit(
    name: &'static str,
    share: u64,
    worse_share: u64,
    level: &'static str,
    worse_level: &'static str,
    write: fn(&mut Line<'_>),
) -> Unit {
    Unit { name, share, worse_share, level, worse_level, write }
}

/// The streams of a host: one a unit and level.
pub const STREAMS_PER_HOST: usize = UNITS.len() * 2;

/// One sender of the load.
#[derive(Debug)]
pub struct LineHost {
    index: u32,
    is_last: bool,
    rng: Rng,
    ts_ns: i64,
    end_ns: i64,
    n_written: u64,
    n_lines: u64,
    uptime_s: f64,
}

/// Where a line belongs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LineOf {
    /// Below [`STREAMS_PER_HOST`].
    pub stream: usize,
    pub ts_ns: i64,
}

/// A line on its way into text.
struct Line<'a> {
    rng: &'a mut Rng,
    out: &'a mut String,
    ts_ns: i64,
    is_worse: bool,
    host: u32,
    uptime_s: f64,
}

impl LineLoad {
    pub fn hosts(&self) -> Vec<LineHost> {
        let n_lines = self.lines / u64::from(self.hosts.max(1));
        (0..self.hosts)
            .map(|index| LineHost {
                index,
                is_last: index + 1 == self.hosts,
                rng: Rng::new(self.seed.wrapping_mul(7_777_777).wrapping_add(u64::from(index) + 1)),
                ts_ns: self.end_ns - self.span_ns,
                end_ns: self.end_ns,
                n_written: 0,
                n_lines,
                uptime_s: 100_000.0 + f64::from(index) * 5_000.0,
            })
            .collect()
    }
}

impl LineHost {
    pub fn index(&self) -> u32 {
        self.index
    }

    /// The labels of one of its streams, as Loki's push message spells them.
    pub fn stream_labels(&self, stream: usize) -> String {
        let host = self.index;
        let Some(unit) = UNITS.get(stream / 2) else { return String::new() };
        let level = if stream % 2 == 1 { unit.worse_level } else { unit.level };
        format!("{{host=\"h{host}\", level=\"{level}\", unit=\"{}\"}}", unit.name)
    }

    /// Writes the next line into `out`; none at the end.
    pub fn next(&mut self, out: &mut String) -> Option<LineOf> {
        if self.n_written == self.n_lines {
            return None;
        }
        self.n_written += 1;
        let gap_ns = self.mean_gap_ns();
        self.ts_ns += i64::try_from(floor(gap_ns * (0.1 + 1.8 * self.rng.unit()))).unwrap_or(0) + 1;
        out.clear();
        if let Some(unit) = self.needle(out) {
            return Some(LineOf { stream: unit * 2, ts_ns: self.ts_ns });
        }
        let mut share = self.rng.below(1_000);
        let mut at = 0;
        while let Some(unit) = UNITS.get(at)
            && share >= unit.share
        {
            share -= unit.share;
            at += 1;
        }
        let unit = UNITS.get(at)?;
        let is_worse = self.rng.below(1_000) < unit.worse_share;
        #[expect(clippy::cast_precision_loss, reason = "an uptime needs no exactness")]
        let uptime_s = self.uptime_s + self.n_written as f64 * gap_ns / 1e9;
        let (ts_ns, host) = (self.ts_ns, self.index);
        (unit.write)(&mut Line { rng: &mut self.rng, out, ts_ns, is_worse, host, uptime_s });
        Some(LineOf { stream: at * 2 + usize::from(is_worse), ts_ns })
    }

    /// Such that the last line comes at the end.
    #[expect(clippy::cast_precision_loss, reason = "a mean needs no exactness")]
    fn mean_gap_ns(&self) -> f64 {
        (self.end_ns - self.ts_ns) as f64 / (self.n_lines - self.n_written + 2) as f64
    }

    /// A few lines that can be searched for; the unit that wrote it.
    fn needle(&self, out: &mut String) -> Option<usize> {
        let (seconds, millis) = (self.ts_ns / NS_PER_S, self.ts_ns / 1_000_000 % 1_000);
        let (n, of) = (self.n_written, self.n_lines);
        if self.is_last && [of / 5, of / 2, of / 10 * 9].contains(&n) {
            put(
                out,
                format_args!(
                    "{{\"ts\":{seconds}.{millis:03},\"level\":\"info\",\"method\":\"GET\",\"path\":\"/api/v1/trace\",\"status\":200,\"request_id\":\"{NEEDLE_ONE_HOST}\"}}"
                ),
            );
            return Some(API);
        }
        if n == of / 3 {
            put(
                out,
                format_args!(
                    "level=info msg=\"trace marker\" trace={NEEDLE_ALL_HOSTS} duration=12ms"
                ),
            );
            return Some(WORKER);
        }
        None
    }
}

fn put(out: &mut String, text: std::fmt::Arguments<'_>) {
    out.write_fmt(text).expect("writing into a string cannot fail");
}

impl Line<'_> {
    fn put(&mut self, text: std::fmt::Arguments<'_>) {
        put(self.out, text);
    }

    /// One of a few thousand addresses, some much more often.
    fn put_address(&mut self) {
        let mut of = Rng::new(self.rng.skewed(4_000));
        let bytes = [11 + of.below(200), of.below(256), of.below(256), 1 + of.below(254)];
        let [a, b, c, d] = bytes;
        self.put(format_args!("{a}.{b}.{c}.{d}"));
    }

    fn put_uuid(&mut self) {
        let (a, b) = (self.rng.next(), self.rng.next());
        let (low, mid, high) = (a & 0xffff_ffff, a >> 32 & 0xffff, a >> 48 & 0xfff);
        let (variant, node) = (b & 0x3fff | 0x8000, b >> 16);
        self.put(format_args!("{low:08x}-{mid:04x}-4{high:03x}-{variant:04x}-{node:012x}"));
    }

    fn status(&mut self) -> u32 {
        match self.rng.below(1_000) {
            0..=849 => 200,
            850..=889 => 304,
            890..=919 => 302,
            920..=969 => 404,
            970..=979 => 401,
            980..=989 => 500,
            990..=995 => 502,
            _ => 503,
        }
    }

    fn seconds_millis(&self) -> (i64, i64) {
        (self.ts_ns / NS_PER_S, self.ts_ns / 1_000_000 % 1_000)
    }
}

fn nginx(line: &mut Line<'_>) {
    let at = civil(line.ts_ns / NS_PER_S);
    line.put_address();
    let user = if line.rng.below(20) == 0 { line.rng.pick(&USERS) } else { "-" };
    let method = if line.rng.below(8) == 0 { "POST" } else { "GET" };
    let path = line.rng.pick_skewed(&PATHS);
    let Civil { year, month, day, hour, minute, second } = at;
    let month = MONTHS.get(month - 1).copied().unwrap_or_default();
    line.put(format_args!(
        " - {user} [{day:02}/{month}/{year}:{hour:02}:{minute:02}:{second:02} +0000] \"{method} {path}"
    ));
    if line.rng.below(3) == 0 {
        let id = line.rng.below(100_000);
        line.put(format_args!("/{id}"));
    }
    let status = line.status();
    let n_bytes = if status == 304 { 0 } else { floor(line.rng.log_normal(3_000.0, 1.2)) };
    let agent = line.rng.pick_skewed(&USER_AGENTS);
    line.put(format_args!(" HTTP/1.1\" {status} {n_bytes} \"-\" \"{agent}\""));
}

fn api(line: &mut Line<'_>) {
    let is_worse = line.is_worse;
    let status = if is_worse {
        line.rng.pick(&[500, 502, 503])
    } else {
        Some(line.status()).filter(|it| *it < 500).unwrap_or(200)
    };
    let duration = line.rng.log_normal(if is_worse { 400.0 } else { 12.0 }, 0.9);
    let (seconds, millis) = line.seconds_millis();
    let level = if is_worse { "error" } else { "info" };
    let method = if line.rng.below(5) == 0 { "POST" } else { "GET" };
    let path = line.rng.pick_skewed(&PATHS);
    let n_bytes = floor(line.rng.log_normal(1_500.0, 1.0));
    let user = line.rng.skewed(50_000);
    line.put(format_args!("{{\"ts\":{seconds}.{millis:03},\"level\":\"{level}\",\"logger\":\"http.access\",\"method\":\"{method}\",\"path\":\"{path}\",\"status\":{status},\"duration_ms\":{duration:.3},\"bytes\":{n_bytes},\"user_id\":{user},\"remote\":\""));
    line.put_address();
    line.out.push_str("\",\"request_id\":\"");
    line.put_uuid();
    line.out.push('"');
    if is_worse {
        let (domain, ms) = (line.rng.pick(&DOMAINS), 100 * (1 + line.rng.below(50)));
        line.put(format_args!(",\"error\":\"upstream {domain} timed out after {ms}ms\""));
    }
    line.out.push('}');
}

fn worker(line: &mut Line<'_>) {
    let (level, message) =
        if line.is_worse { ("warn", "task retried") } else { ("info", "task finished") };
    let task = line.rng.pick_skewed(&TASKS);
    let queue = line.rng.pick_skewed(&["default", "mail", "bulk"]);
    let attempt = 1 + line.rng.skewed(5);
    let duration = line.rng.log_normal(80.0, 1.1);
    line.put(format_args!("level={level} msg=\"{message}\" task={task} queue={queue} attempt={attempt} duration={duration:.2}ms job_id="));
    line.put_uuid();
    let worker = line.rng.below(16);
    line.put(format_args!(" worker={worker}"));
}

fn ssh(line: &mut Line<'_>) {
    let pid = 1_000 + line.rng.below(60_000);
    match line.rng.below(10) {
        0..=3 => {
            let invalid = if line.rng.below(3) == 0 { "" } else { "invalid user " };
            let user = line.rng.pick_skewed(&USERS);
            line.put(format_args!("Failed password for {invalid}{user} from "));
            line.put_address();
            let port = 1_024 + line.rng.below(64_000);
            line.put(format_args!(" port {port} ssh2"));
        }
        4..=6 => {
            let user = line.rng.pick_skewed(&USERS);
            line.put(format_args!("Disconnected from authenticating user {user} "));
            line.put_address();
            let port = 1_024 + line.rng.below(64_000);
            line.put(format_args!(" port {port} [preauth]"));
        }
        7 => {
            let user = line.rng.pick_skewed(&USERS);
            let (host, port) = (line.rng.below(255), 1_024 + line.rng.below(64_000));
            let key = [Rng::new(line.rng.below(20)).next(), Rng::new(pid % 20).next()];
            let [left, right] = key;
            line.put(format_args!("Accepted publickey for {user} from 192.168.1.{host} port {port} ssh2: ED25519 SHA256:{left:016x}{right:016x}"));
        }
        8 => {
            let (user, uid) = (line.rng.pick_skewed(&USERS), 1_000 + line.rng.below(12));
            line.put(format_args!(
                "pam_unix(sshd:session): session opened for user {user}(uid={uid}) by (uid=0)"
            ));
        }
        _ => {
            line.out.push_str("Received disconnect from ");
            line.put_address();
            let port = 1_024 + line.rng.below(64_000);
            line.put(format_args!(" port {port}:11: Bye Bye [preauth]"));
        }
    }
}

fn dnsmasq(line: &mut Line<'_>) {
    let domain = line.rng.pick_skewed(&DOMAINS);
    match line.rng.below(3) {
        0 => {
            let kind = if line.rng.below(3) == 0 { "AAAA" } else { "A" };
            let client = line.rng.below(60);
            line.put(format_args!("query[{kind}] {domain} from 192.168.1.{client}"));
        }
        1 => line.put(format_args!("forwarded {domain} to 1.1.1.1")),
        _ => {
            line.put(format_args!("reply {domain} is "));
            line.put_address();
        }
    }
}

fn systemd(line: &mut Line<'_>) {
    let job = line.rng.pick_skewed(&JOBS);
    if line.is_worse {
        let status = 1 + line.rng.below(3);
        line.put(format_args!(
            "{job}.service: Main process exited, code=exited, status={status}/FAILURE"
        ));
        return;
    }
    match line.rng.below(4) {
        0 => line.put(format_args!("Starting {job}.service - {job} run...")),
        1 => line.put(format_args!("Finished {job}.service - {job} run.")),
        2 => line.put(format_args!("{job}.service: Deactivated successfully.")),
        _ => {
            let (seconds, millis) = (line.rng.skewed(90), line.rng.below(1_000));
            line.put(format_args!("{job}.service: Consumed {seconds}.{millis:03}s CPU time."));
        }
    }
}

fn kernel(line: &mut Line<'_>) {
    let uptime = line.uptime_s;
    if line.is_worse {
        let warning = line.rng.pick_skewed(&KERNEL_WARNINGS);
        return line.put(format_args!("[{uptime:.6}] {warning}"));
    }
    let [a, b, c] = [line.rng.below(4), line.rng.below(4), line.rng.below(8)];
    line.put(format_args!(
        "[{uptime:.6}] [UFW BLOCK] IN=eth0 OUT= MAC=52:54:00:{a:02x}:{b:02x}:{c:02x} SRC="
    ));
    line.put_address();
    let host = 2 + line.host;
    let (n_bytes, ttl) = (40 + 4 * line.rng.below(6), 40 + line.rng.below(200));
    let (id, from) = (line.rng.below(65_536), 1_024 + line.rng.below(64_000));
    let to = line.rng.pick(&[22, 23, 80, 443, 445, 3_389, 8_080]);
    line.put(format_args!(" DST=192.168.1.{host} LEN={n_bytes} TTL={ttl} ID={id} PROTO=TCP SPT={from} DPT={to} WINDOW=1024 SYN"));
}

fn containerd(line: &mut Line<'_>) {
    let Civil { year, month, day, hour, minute, second } = civil(line.ts_ns / NS_PER_S);
    let nanos = line.ts_ns % NS_PER_S;
    let event = line.rng.pick(&SHIM_EVENTS);
    let (left, right) = (line.rng.next(), line.rng.next());
    line.put(format_args!("time=\"{year}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}.{nanos:09}Z\" level=info msg=\"{event}\" id={left:016x}{right:016x} namespace=moby"));
}

fn cron(line: &mut Line<'_>) {
    let user = line.rng.skewed(4);
    let user = usize::try_from(user).ok().and_then(|it| USERS.get(it)).copied().unwrap_or("root");
    let command = line.rng.pick_skewed(&CRON_COMMANDS);
    line.put(format_args!("({user}) CMD ({command})"));
}

fn postgresql(line: &mut Line<'_>) {
    let (pid, n) = (1_000 + line.rng.below(64), 1 + line.rng.below(9));
    let duration = line.rng.log_normal(6.0, 1.0);
    let table = line.rng.pick_skewed(&["users", "orders", "items", "sessions"]);
    let (id, limit) = (line.rng.below(1_000_000), 10 * (1 + line.rng.below(10)));
    line.put(format_args!("[{pid}-{n}] LOG:  duration: {duration:.3} ms  statement: SELECT * FROM {table} WHERE id = {id} LIMIT {limit}"));
}

struct Civil {
    year: i32,
    month: usize,
    day: u8,
    hour: u8,
    minute: u8,
    second: u8,
}

fn civil(unix_s: i64) -> Civil {
    let at = time::OffsetDateTime::from_unix_timestamp(unix_s)
        .unwrap_or(time::OffsetDateTime::UNIX_EPOCH);
    Civil {
        year: at.year(),
        month: usize::from(u8::from(at.month())),
        day: at.day(),
        hour: at.hour(),
        minute: at.minute(),
        second: at.second(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LOAD: LineLoad = LineLoad {
        hosts: 2,
        lines: 20_000,
        span_ns: 3_600 * NS_PER_S,
        end_ns: 1_795_000_000 * NS_PER_S,
        seed: 1,
    };

    #[test]
    fn needles_are_where_they_are_said_to_be_and_time_moves_on() {
        let (mut one, mut all, mut out) = (0, 0, String::new());
        for mut host in LOAD.hosts() {
            let mut last_ns = LOAD.end_ns - LOAD.span_ns;
            while let Some(line) = host.next(&mut out) {
                assert!(line.ts_ns > last_ns && line.ts_ns <= LOAD.end_ns, "{line:?}");
                last_ns = line.ts_ns;
                one += usize::from(out.contains(NEEDLE_ONE_HOST) && line.stream == API * 2);
                all += usize::from(out.contains(NEEDLE_ALL_HOSTS) && line.stream == WORKER * 2);
            }
        }
        assert_eq!((one, all), (3, 2));
    }

    #[test]
    fn the_shares_of_the_units_make_a_whole() {
        assert_eq!(UNITS.iter().map(|it| it.share).sum::<u64>(), 1_000);
    }
}
