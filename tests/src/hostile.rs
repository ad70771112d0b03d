//! Hostile lines into a server and out of it again, and every kind of query over them: it may refuse
//! what it cannot do, but neither panic nor die nor take more memory than it was given, and what it
//! took has to come back as it was.

mod bodies;
mod lines;
mod queries;

use std::{collections::BTreeMap, fs, path::Path};

use anyhow::{Context as _, bail, ensure};
use reqwest::StatusCode;
use serde_json::Value;
use skep_proto::{Clock as _, SystemClock, loki_push};
use tokio::time::Instant;

use crate::{Client, Server, load::Rng};

use bodies::Sent;
use lines::{KINDS, TOO_LONG_BYTES};
use queries::{RANGES, STAGES, UNWRAPS};

const PUSH: &str = "/loki/api/v1/push";
const PROTOBUF: &[(&str, &str)] = &[("Content-Type", loki_push::CONTENT_TYPE)];
const JSON: &[(&str, &str)] = &[("Content-Type", "application/json")];
/// Larger lines than usual are let in: the parsers shall see them.
const SETTINGS: &str = "[store]\nretention = \"off\"\n\
    [memory]\nlimit = \"1GiB\"\n\
    [query]\ntimeout = \"25s\"\n\
    [receive]\nline_max = \"2MiB\"";
/// What the process may have at most: its own limit, and what an allocator keeps.
const MEMORY_BYTES_MAX: usize = 1_600 << 20;
/// Of one push.
const BATCH_BYTES: usize = 4 << 20;
/// Lines come so many nanoseconds after each other.
const STEP_NS: i64 = 1_000;
/// Of the kinds that are large, one line comes for so many of each other kind.
const SMALL_PER_LARGE: u64 = 8;
const LARGE: [&str; 4] = ["megabyte", "deep_json", "deep_arrays", "many_fields"];

/// How much, and of what.
#[derive(Debug, Clone, Copy)]
pub struct Hostility {
    /// Of lines, in all.
    pub bytes: usize,
    /// Between two rounds of queries.
    pub round_bytes: usize,
    /// Of the queries, one in so many is asked in a round, others in the next ones.
    pub query_every: usize,
    pub seed: u64,
}

/// What was done.
#[derive(Debug, Default, Clone)]
pub struct Figures {
    pub n_bytes: usize,
    pub n_lines: usize,
    pub n_queries: usize,
    /// Refused with a reason, and not answered in time.
    pub n_refused: usize,
    pub n_timed_out: usize,
    /// The slowest, and how long it took.
    pub slowest: (f64, String),
    pub peak_bytes: usize,
}

/// Runs it against a server of its own below `dir`; `tell` gets a line a round.
///
/// # Errors
/// The server fell short of the above, or could not be started.
pub async fn run(
    dir: &Path,
    hostility: &Hostility,
    mut tell: impl FnMut(&str),
) -> anyhow::Result<Figures> {
    let mut server = Server::start(dir, SETTINGS).await?;
    let mut run = Run {
        client: server.client()?,
        first_ts: SystemClock.now().0 - 3_600_000_000_000,
        seed: hostility.seed,
        figures: Figures::default(),
    };
    run.refusals().await?;
    let mut rounds = Vec::new();
    while run.figures.n_bytes < hostility.bytes {
        let round = run.round(rounds.len(), hostility.round_bytes);
        rounds.push(round.n_lines);
        run.push(&round).await.with_context(|| server.log())?;
        run.read_back(&round).await?;
        run.ask(&round, hostility.query_every, &server).await?;
        run.figures.peak_bytes = peak(server.pid())?;
        let (peak_mb, n_mb) = (run.figures.peak_bytes >> 20, run.figures.n_bytes >> 20);
        ensure!(run.figures.peak_bytes <= MEMORY_BYTES_MAX, "{peak_mb} MiB of memory");
        tell(&format!("{n_mb} MiB: {} queries, peak {peak_mb} MiB", run.figures.n_queries));
    }
    run.client.flush().await?;
    server.stop().await?;
    server.restart().await?;
    run.client = server.client()?;
    run.figures.n_bytes = 0;
    run.figures.n_lines = 0;
    for i in 0..rounds.len() {
        let round = run.round(i, hostility.round_bytes);
        run.read_back(&round).await.context("from the disk")?;
    }
    ensure!(!server.log().contains("panicked"), "{}", server.log());
    server.stop().await?;
    Ok(run.figures)
}

struct Run {
    client: Client,
    first_ts: i64,
    seed: u64,
    figures: Figures,
}

/// Lines of one round, in batches of streams.
struct Round {
    index: usize,
    n_lines: usize,
    /// By kind.
    batches: Vec<BTreeMap<&'static str, Vec<Sent>>>,
    start: i64,
    end: i64,
}

impl Run {
    /// The same for the same index; counts what it has made.
    fn round(&mut self, index: usize, round_bytes: usize) -> Round {
        let salt = u64::try_from(index).unwrap_or_default();
        let mut rng = Rng::new(self.seed.wrapping_add(salt.wrapping_mul(1_000_003)));
        let start = self.ts();
        let (mut n_lines, mut n_bytes) = (0, 0);
        let mut batches = Vec::new();
        while n_bytes < round_bytes {
            let mut batch: BTreeMap<&'static str, Vec<Sent>> = BTreeMap::new();
            let mut batch_bytes = 0;
            while batch_bytes < BATCH_BYTES && n_bytes < round_bytes {
                for (name, make) in KINDS {
                    if LARGE.contains(name) && rng.below(SMALL_PER_LARGE) != 0 {
                        continue;
                    }
                    let line = make(&mut rng);
                    let metadata = line.get(..line.len().min(100)).unwrap_or_default().to_vec();
                    batch_bytes += line.len();
                    n_bytes += line.len();
                    n_lines += 1;
                    self.figures.n_lines += 1;
                    batch.entry(name).or_default().push(Sent { ts: self.ts(), line, metadata });
                }
            }
            batches.push(batch);
        }
        self.figures.n_bytes += n_bytes;
        Round { index, n_lines, batches, start, end: self.ts() + STEP_NS }
    }

    fn ts(&self) -> i64 {
        self.first_ts + i64::try_from(self.figures.n_lines).unwrap_or_default() * STEP_NS
    }

    async fn push(&self, round: &Round) -> anyhow::Result<()> {
        for (i, batch) in round.batches.iter().enumerate() {
            let is_json = i % 2 == 1;
            let streams: Vec<(String, Vec<&Sent>)> = batch
                .iter()
                .map(|(kind, lines)| (format!("{{hostile=\"{kind}\"}}"), lines.iter().collect()))
                .collect();
            let (headers, body) = if is_json {
                (JSON, bodies::json(&streams))
            } else {
                (PROTOBUF, bodies::protobuf(&streams))
            };
            loop {
                let answer = self.client.post(PUSH, headers, body.clone()).await?;
                match answer.status() {
                    StatusCode::NO_CONTENT => break,
                    // It asks for time to write parts.
                    StatusCode::TOO_MANY_REQUESTS => {
                        tokio::time::sleep(std::time::Duration::from_millis(500)).await;
                    }
                    status => bail!("a push got {status}: {}", answer.text().await?),
                }
            }
        }
        Ok(())
    }

    /// Every line that was taken is there, as it was but for what was not UTF-8.
    async fn read_back(&self, round: &Round) -> anyhow::Result<()> {
        for batch in &round.batches {
            for (kind, lines) in batch {
                let (Some(first), Some(last)) = (lines.first(), lines.last()) else { continue };
                let query = format!("{{hostile=\"{kind}\"}}");
                let (start, end) = (first.ts.to_string(), (last.ts + 1).to_string());
                let params = [
                    ("query", query.as_str()),
                    ("start", start.as_str()),
                    ("end", end.as_str()),
                    ("limit", "5000"),
                    ("direction", "forward"),
                ];
                let data = self.client.data("/loki/api/v1/query_range", &params).await?;
                let found = found(&data)?;
                ensure!(found.len() == lines.len(), "{kind}: {} of {}", found.len(), lines.len());
                for sent in lines {
                    let line = String::from_utf8_lossy(&sent.line);
                    let metadata = String::from_utf8_lossy(&sent.metadata).replace('\u{fffd}', "");
                    let (got, m) = found.get(&sent.ts).with_context(|| format!("{kind}: lost"))?;
                    ensure!(*got == line, "{kind}: {:?} became {:?}", cut(&line), cut(got));
                    ensure!(*m == metadata, "{kind}: metadata {metadata:?} became {m:?}");
                }
            }
        }
        Ok(())
    }

    async fn ask(&mut self, round: &Round, every: usize, server: &Server) -> anyhow::Result<()> {
        let all = "{hostile=~`.+`}";
        let seconds = (round.end - round.start).div_euclid(1_000_000_000) + 2;
        let mut queries = Vec::new();
        for (i, stage) in STAGES.iter().enumerate() {
            let direction =
                if (i + round.index).is_multiple_of(2) { "forward" } else { "backward" };
            queries.push((format!("{all} {stage}"), direction));
            let counted = format!("count_over_time({all} {stage} | __error__=`` [{seconds}s])");
            queries.push((format!("sum by (hostile) ({counted})"), ""));
        }
        for (i, unwrap) in UNWRAPS.iter().enumerate() {
            let range = RANGES.get((i + round.index) % RANGES.len()).copied().unwrap_or_default();
            let head = if range.starts_with("quantile") { "0.9, " } else { "" };
            let of = format!("{range}({head}{all} {unwrap} | __error__=`` [{seconds}s])");
            queries.push((format!("sum by (hostile) ({of})"), ""));
        }
        let asked = queries.into_iter().skip(round.index % every.max(1)).step_by(every.max(1));
        for (query, direction) in asked {
            self.ask_one(&query, direction, round).await.with_context(|| {
                format!("{query}, after it the server's log ends so:\n{}", tail(&server.log()))
            })?;
            ensure!(!server.log().contains("panicked"), "{query}: {}", tail(&server.log()));
        }
        Ok(())
    }

    async fn ask_one(&mut self, query: &str, direction: &str, round: &Round) -> anyhow::Result<()> {
        let (start, end) = (round.start.to_string(), round.end.to_string());
        let lines =
            [("start", start.as_str()), ("limit", "20"), ("end", &end), ("direction", direction)];
        let metric = [("time", end.as_str())];
        let (path, rest) = if direction.is_empty() {
            ("/loki/api/v1/query", &metric[..])
        } else {
            ("/loki/api/v1/query_range", &lines[..])
        };
        let params: Vec<(&str, &str)> =
            std::iter::once(("query", query)).chain(rest.iter().copied()).collect();
        let started = Instant::now();
        let answer = self.client.get(path, &params).await?;
        let status = answer.status().as_u16();
        let text = answer.text().await.context("the answer was cut off")?;
        let took_s = started.elapsed().as_secs_f64();
        let figures = &mut self.figures;
        figures.n_queries += 1;
        if took_s > figures.slowest.0 {
            figures.slowest = (took_s, query.to_owned());
        }
        match status {
            200 => {
                drop(serde_json::from_str::<Value>(&text).context("the answer is no JSON")?);
            }
            400 | 422 => {
                ensure!(!text.starts_with("parse error"), "{text}");
                figures.n_refused += 1;
            }
            503 | 504 => figures.n_timed_out += 1,
            _ => bail!("{status}: {}", cut(&text)),
        }
        Ok(())
    }

    /// What can only be refused is, in Loki's words, and what is merely odd is not.
    async fn refusals(&self) -> anyhow::Result<()> {
        let labels = "{hostile=\"refused\"}";
        let name = "{hostile=\"refused\", service_name=\"unknown_service\"}";
        let now = SystemClock.now().0;
        let sent = |ts: i64, line: &[u8]| Sent { ts, line: line.to_vec(), metadata: b"x".to_vec() };
        let too_long = format!(
            "400 max entry size '2097152' bytes exceeded for stream '{name}' while adding an entry \
             with length '{TOO_LONG_BYTES}' bytes\n"
        );
        let many: Vec<String> = (0..100_000).map(|it| format!("l{it}=\"v\"")).collect();
        let many = format!("{{{}}}", many.join(", "));
        for (labels, sent, expected) in [
            (labels, sent(now, &vec![b'x'; TOO_LONG_BYTES]), too_long.as_str()),
            (labels, sent(i64::MAX, b"x"), "400 entry for stream '"),
            (labels, sent(i64::MIN, b"x"), "400 entry for stream '"),
            (labels, sent(-1, b"before 1970"), "204 "),
            (labels, sent(0, b"1970"), "204 "),
            (many.as_str(), sent(now, b"x"), "400 entry for stream '"),
            ("{hostile=", sent(now, b"x"), "400 couldn't parse labels: 1:10: parse error: "),
            ("{a-b=\"c\"}", sent(now, b"x"), "400 couldn't parse labels: 1:3: parse error: "),
        ] {
            let body = bodies::protobuf(&[(labels.to_owned(), vec![&sent])]);
            let answer = self.client.post(PUSH, PROTOBUF, body).await?;
            let text = format!("{} {}", answer.status().as_u16(), answer.text().await?);
            ensure!(text.starts_with(expected), "{:?} instead of {expected:?}", cut(&text));
        }
        Ok(())
    }
}

/// Lines and their metadata `m` by time stamp.
fn found(data: &Value) -> anyhow::Result<BTreeMap<i64, (String, String)>> {
    let mut found = BTreeMap::new();
    for stream in data.get("result").and_then(Value::as_array).context("no result")? {
        let m = stream.pointer("/stream/m").and_then(Value::as_str).unwrap_or_default();
        for value in stream.get("values").and_then(Value::as_array).context("no values")? {
            let ts = value.get(0).and_then(Value::as_str).context("no time stamp")?;
            let line = value.get(1).and_then(Value::as_str).context("no line")?;
            found.insert(ts.parse()?, (line.to_owned(), m.to_owned()));
        }
    }
    Ok(found)
}

fn cut(text: &str) -> &str {
    text.get(..text.floor_char_boundary(300)).unwrap_or_default()
}

fn tail(log: &str) -> &str {
    log.get(log.floor_char_boundary(log.len().saturating_sub(3_000))..).unwrap_or_default()
}

/// The most memory the process ever had.
fn peak(pid: u32) -> anyhow::Result<usize> {
    let status = fs::read_to_string(format!("/proc/{pid}/status"))?;
    let line = status.lines().find_map(|it| it.strip_prefix("VmHWM:")).context("no VmHWM")?;
    let kib: usize = line.trim().trim_end_matches(" kB").parse()?;
    Ok(kib << 10)
}
