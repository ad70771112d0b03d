//! Sending a load over a few connections, as fast as it is taken or at its own pace.

use std::{sync::Arc, time::Duration};

use anyhow::{Context as _, ensure};
use reqwest::StatusCode;
use tokio::{
    sync::Barrier,
    task::JoinSet,
    time::{Instant, sleep, sleep_until},
};

use super::{
    lines::{LineHost, LineLoad, STREAMS_PER_HOST},
    samples::{Host, SERIES_PER_HOST, SampleLoad, put_bytes, put_varint},
};

/// Connections stay within this many scrapes of each other, as clocks would see to.
const SCRAPES_APART_MAX: u32 = 20;
/// A server that is busy is asked again.
const RETRY_DELAY: Duration = Duration::from_millis(100);
const RETRIES_MAX: u32 = 600;
const NS_PER_S: i64 = 1_000_000_000;

/// How fast.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Pace {
    /// As fast as it is acknowledged.
    Full,
    /// At the load's own times; the time stamps are those of the load all the same.
    RealTime,
}

/// Where to, and how.
#[derive(Debug, Clone)]
pub struct Sender {
    /// Of the server, without a path; plain HTTP.
    pub url: String,
    pub n_connections: usize,
    pub pace: Pace,
    /// Hosts that share a remote-write request.
    pub hosts_per_request: usize,
    /// Text that shares a push request, in bytes.
    pub bytes_per_request: usize,
}

/// What was acknowledged.
#[derive(Debug, Clone, Copy, Default)]
pub struct Sent {
    /// Samples or lines.
    pub n_items: u64,
    pub n_requests: u64,
    pub n_retries: u64,
    /// Samples at 16 bytes, lines with their newline.
    pub n_raw_bytes: u64,
}

impl Sent {
    fn add(&mut self, other: Self) {
        self.n_items += other.n_items;
        self.n_requests += other.n_requests;
        self.n_retries += other.n_retries;
        self.n_raw_bytes += other.n_raw_bytes;
    }
}

impl Sender {
    /// As fast as possible over two connections.
    pub fn full_speed(url: &str) -> Self {
        Self {
            url: url.to_owned(),
            n_connections: 2,
            pace: Pace::Full,
            hosts_per_request: 5,
            bytes_per_request: 1_000_000,
        }
    }

    /// # Errors
    /// A request is refused for good, or the server stays away.
    pub async fn samples(&self, load: &SampleLoad) -> anyhow::Result<Sent> {
        let mut shares: Vec<Vec<Host>> = (0..self.n_connections).map(|_| Vec::new()).collect();
        for (at, host) in load.hosts()?.into_iter().enumerate() {
            shares.get_mut(at % self.n_connections).context("a connection")?.push(host);
        }
        let barrier = Arc::new(Barrier::new(self.n_connections));
        let started = Instant::now();
        let mut tasks = JoinSet::new();
        for hosts in shares {
            let sample_task = self.clone().sample_task(*load, hosts, Arc::clone(&barrier), started);
            tasks.spawn(sample_task);
        }
        total(tasks).await
    }

    async fn sample_task(
        self,
        load: SampleLoad,
        mut hosts: Vec<Host>,
        barrier: Arc<Barrier>,
        started: Instant,
    ) -> anyhow::Result<Sent> {
        let connection = Connection::new(
            &format!("{}/api/v1/write", self.url),
            &[
                ("Content-Type", "application/x-protobuf"),
                ("Content-Encoding", "snappy"),
                ("X-Prometheus-Remote-Write-Version", "0.1.0"),
            ],
        )?;
        hosts.sort_by_key(Host::phase_ms);
        let n_together = if self.pace == Pace::Full { self.hosts_per_request } else { 1 };
        let mut sent = Sent::default();
        let mut plain = Vec::new();
        for scrape in 0..load.scrapes {
            if self.pace == Pace::Full && scrape % SCRAPES_APART_MAX == 0 {
                barrier.wait().await;
            }
            for group in hosts.chunks_mut(n_together.max(1)) {
                if let (Pace::RealTime, Some(host)) = (self.pace, group.first()) {
                    let ms = i64::from(scrape) * load.interval_ms + host.phase_ms();
                    sleep_until(started + Duration::from_millis(ms.unsigned_abs())).await;
                }
                plain.clear();
                for host in group.iter_mut() {
                    host.scrape(load.scrape_ms(scrape), &mut plain);
                }
                sent.n_retries += connection.post(snappy(&plain)?).await?;
                let n_samples = group.len() as u64 * SERIES_PER_HOST;
                sent.n_items += n_samples;
                sent.n_raw_bytes += n_samples * 16;
                sent.n_requests += 1;
            }
        }
        Ok(sent)
    }

    /// # Errors
    /// As [`Self::samples`].
    pub async fn lines(&self, load: &LineLoad) -> anyhow::Result<Sent> {
        let mut shares: Vec<Vec<LineHost>> = (0..self.n_connections).map(|_| Vec::new()).collect();
        for (at, host) in load.hosts().into_iter().enumerate() {
            shares.get_mut(at % self.n_connections).context("a connection")?.push(host);
        }
        let started = Instant::now();
        let mut tasks = JoinSet::new();
        for hosts in shares {
            tasks.spawn(self.clone().line_task(*load, hosts, started));
        }
        total(tasks).await
    }

    async fn line_task(
        self,
        load: LineLoad,
        hosts: Vec<LineHost>,
        started: Instant,
    ) -> anyhow::Result<Sent> {
        let connection = Connection::new(
            &format!("{}/loki/api/v1/push", self.url),
            &[("Content-Type", "application/x-protobuf")],
        )?;
        let mut batches: Vec<Batch> = hosts.into_iter().map(Batch::new).collect();
        // Every host fills its share in turn: about the same span of time in each.
        let share = match self.pace {
            Pace::Full => (self.bytes_per_request / batches.len().max(1)).max(1_000),
            Pace::RealTime => usize::MAX,
        };
        let mut until_ns = match self.pace {
            Pace::Full => i64::MAX,
            Pace::RealTime => load.end_ns - load.span_ns,
        };
        let mut sent = Sent::default();
        let mut plain = Vec::new();
        loop {
            if self.pace == Pace::RealTime {
                until_ns += NS_PER_S;
                let so_far = (until_ns - (load.end_ns - load.span_ns)).unsigned_abs();
                sleep_until(started + Duration::from_nanos(so_far)).await;
            }
            plain.clear();
            let mut filled = Sent::default();
            let mut is_over = true;
            for batch in &mut batches {
                filled.add(batch.fill(share, until_ns));
                is_over &= batch.is_over;
                batch.drain_into(&mut plain);
            }
            if filled.n_items > 0 {
                filled.n_retries = connection.post(snappy(&plain)?).await?;
                filled.n_requests = 1;
                sent.add(filled);
            }
            if is_over {
                return Ok(sent);
            }
        }
    }
}

async fn total(mut tasks: JoinSet<anyhow::Result<Sent>>) -> anyhow::Result<Sent> {
    let mut sum = Sent::default();
    while let Some(sent) = tasks.join_next().await {
        sum.add(sent??);
    }
    Ok(sum)
}

/// One host's lines on their way into a push request.
struct Batch {
    host: LineHost,
    /// Labels and encoded entries of each stream.
    streams: Vec<(String, Vec<u8>)>,
    /// Belongs to the next request.
    pending: Option<(usize, i64)>,
    line: String,
    is_over: bool,
}

impl Batch {
    fn new(host: LineHost) -> Self {
        let streams =
            (0..STREAMS_PER_HOST).map(|it| (host.stream_labels(it), Vec::new())).collect();
        Self { host, streams, pending: None, line: String::new(), is_over: false }
    }

    /// Takes lines of `share` bytes or before `until_ns`, whichever comes first.
    fn fill(&mut self, share: usize, until_ns: i64) -> Sent {
        let mut filled = Sent::default();
        let mut n_bytes = 0;
        while n_bytes < share {
            let (stream, ts_ns) = match self.pending.take() {
                Some(pending) => pending,
                None => match self.host.next(&mut self.line) {
                    Some(line) => (line.stream, line.ts_ns),
                    None => {
                        self.is_over = true;
                        break;
                    }
                },
            };
            if ts_ns >= until_ns {
                self.pending = Some((stream, ts_ns));
                break;
            }
            if let Some((_, entries)) = self.streams.get_mut(stream) {
                put_entry(entries, ts_ns, &self.line);
            }
            n_bytes += self.line.len();
            filled.n_items += 1;
            filled.n_raw_bytes += self.line.len() as u64 + 1;
        }
        filled
    }

    /// Appends the streams that have entries to a `PushRequest`.
    fn drain_into(&mut self, out: &mut Vec<u8>) {
        for (labels, entries) in self.streams.iter_mut().filter(|(_, it)| !it.is_empty()) {
            let mut head = Vec::new();
            put_bytes(&mut head, 1, labels.as_bytes());
            out.push(0x0a);
            put_varint(out, (head.len() + entries.len()) as u64);
            out.extend_from_slice(&head);
            out.append(entries);
        }
    }
}

/// `EntryAdapter` as field 2 of `StreamAdapter`.
fn put_entry(out: &mut Vec<u8>, ts_ns: i64, line: &str) {
    let mut ts = vec![0x08];
    put_varint(&mut ts, (ts_ns / NS_PER_S).cast_unsigned());
    ts.push(0x10);
    put_varint(&mut ts, (ts_ns % NS_PER_S).cast_unsigned());
    let mut entry = Vec::with_capacity(line.len() + 24);
    put_bytes(&mut entry, 1, &ts);
    put_bytes(&mut entry, 2, line.as_bytes());
    put_bytes(out, 2, &entry);
}

fn snappy(plain: &[u8]) -> anyhow::Result<Vec<u8>> {
    Ok(snap::raw::Encoder::new().compress_vec(plain)?)
}

/// One keep-alive connection.
struct Connection {
    http: reqwest::Client,
    url: String,
}

impl Connection {
    fn new(url: &str, headers: &[(&'static str, &'static str)]) -> anyhow::Result<Self> {
        let headers = headers.iter().map(|(name, value)| {
            let name = reqwest::header::HeaderName::from_bytes(name.as_bytes())?;
            anyhow::Ok((name, reqwest::header::HeaderValue::from_static(value)))
        });
        // Fails if somebody before us has done it.
        drop(rustls::crypto::ring::default_provider().install_default());
        let http = reqwest::Client::builder()
            .default_headers(headers.collect::<anyhow::Result<_>>()?)
            .pool_max_idle_per_host(1)
            .timeout(Duration::from_mins(2))
            .build()?;
        Ok(Self { http, url: url.to_owned() })
    }

    /// How often it had to be asked again.
    async fn post(&self, body: Vec<u8>) -> anyhow::Result<u64> {
        let body = bytes::Bytes::from(body);
        let mut n_retries = 0;
        loop {
            let answer = self.http.post(&self.url).body(body.clone()).send().await;
            let answer = answer.with_context(|| format!("POST {}", self.url))?;
            let status = answer.status();
            if status.is_success() {
                return Ok(n_retries);
            }
            let is_busy = status == StatusCode::TOO_MANY_REQUESTS || status.is_server_error();
            let text = answer.text().await.unwrap_or_default();
            ensure!(
                is_busy && n_retries < u64::from(RETRIES_MAX),
                "{}: {status}: {text}",
                self.url
            );
            n_retries += 1;
            sleep(RETRY_DELAY).await;
        }
    }
}
