//! Requests that the front hands on, per CPU-second of whoever hands them on, beside Caddy and nginx.

use std::{
    fs,
    path::{Path, PathBuf},
    time::Duration,
};

use anyhow::{Context as _, bail, ensure};
use skep_tests::{Deadline, Process, Server, cpu_seconds, free_port};
use tokio::{process::Command, time::Instant};

use crate::measure::{as_f64, forget_peak, memory};

/// The settings of the run.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Seconds for each case.
    #[arg(long, default_value_t = 8)]
    seconds: u32,
    /// How often all cases are run; the best of each counts.
    #[arg(long, default_value_t = 1)]
    rounds: u32,
    /// Where the servers keep their data; removed afterwards.
    #[arg(long, default_value_os_t = std::env::temp_dir())]
    dir: PathBuf,
}

const OURS: &str = "skep-server";
const UP_WITHIN: Duration = Duration::from_secs(30);
const DOWN_WITHIN: Duration = Duration::from_secs(30);
/// Where our server has the site, which need not resolve …
const SITE: &str = "bench.skep.localhost";
/// … and the others, which go by the name that wrk takes from the URL for TLS.
const PEER_SITE: &str = "localhost";
/// What is needed: program, and Debian's package of it.
const PROGRAMS: [(&str, &str); 5] = [
    ("wrk", "wrk"),
    ("h2load", "nghttp2-client"),
    ("nginx", "nginx-light"),
    ("caddy", "caddy"),
    ("openssl", "openssl"),
];

/// One way to ask, as often as possible.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Case {
    Small,
    Large,
    Http2,
    NewConnection,
}

impl Case {
    const ALL: [Self; 4] = [Self::Small, Self::Large, Self::Http2, Self::NewConnection];

    fn name(self) -> &'static str {
        match self {
            Self::Small => "HTTP/1.1, 32 connections, 1 KiB",
            Self::Large => "HTTP/1.1, 32 connections, 100 KiB",
            Self::Http2 => "HTTP/2, 4 connections × 16 streams, 1 KiB",
            Self::NewConnection => "a new TLS connection for each request, 1 KiB",
        }
    }

    fn command(self, seconds: u32, site: &str, port: u16) -> Command {
        let (program, path) = match self {
            Self::Http2 => ("h2load", "1k.txt"),
            Self::Large => ("wrk", "100k.txt"),
            Self::Small | Self::NewConnection => ("wrk", "1k.txt"),
        };
        // An address is no name in TLS, so that ours goes by `Host` alone.
        let host = if site == SITE { "127.0.0.1" } else { site };
        let mut command = Command::new(program);
        let connections = if self == Self::NewConnection { "-c8" } else { "-c32" };
        match self {
            Self::Http2 => command
                .args(["-c4", "-m16", "-t1", &format!("-D{seconds}")])
                .arg(format!("--connect-to=127.0.0.1:{port}"))
                .arg(format!("https://{site}:{port}/{path}")),
            _by_wrk => command
                .args(["-t1", connections, &format!("-d{seconds}s"), "-H"])
                .arg(format!("Host: {site}"))
                .arg(format!("https://{host}:{port}/{path}")),
        };
        if self == Self::NewConnection {
            command.args(["-H", "Connection: close"]);
        }
        command
    }
}

/// Who hands on.
struct Proxy {
    name: &'static str,
    port: u16,
    /// All its processes.
    pids: Vec<u32>,
    idle_mb: f64,
    /// The best of all rounds, in the order of [`Case::ALL`].
    per_cpu_s: Vec<f64>,
}

pub(crate) async fn run(args: &Args) -> anyhow::Result<()> {
    for (program, package) in PROGRAMS {
        let found = Command::new("which").arg(program).output().await?;
        ensure!(
            found.status.success(),
            "{program} is missing: `apt-get install {package}` on Debian"
        );
    }
    let dir = tempfile::tempdir_in(&args.dir)?;
    let dir = dir.path();
    let upstream_port = free_port()?;
    let mut upstream = start_upstream(dir, upstream_port).await?;
    let settings =
        format!("[[sites]]\nhosts = [{SITE:?}]\nto = [\"http://127.0.0.1:{upstream_port}\"]");
    let mut server = Server::start(dir, &settings).await?;
    let (mut caddy, caddy_port) = start_caddy(dir, upstream_port).await?;
    let (mut nginx, nginx_port) = start_nginx(dir, upstream_port).await?;
    let our_port =
        server.url().rsplit(':').next().and_then(|it| it.trim_end_matches('/').parse().ok());
    let mut proxies = [
        Proxy::new(OURS, our_port.context("our URL has a port")?, server.pid())?,
        Proxy::new("caddy", caddy_port, caddy.pid())?,
        Proxy::new("nginx", nginx_port, nginx.pid())?,
    ];
    for proxy in &proxies {
        proxy.answers().await?;
    }
    for _ in 0..args.rounds {
        for (place, case) in Case::ALL.into_iter().enumerate() {
            for proxy in &mut proxies {
                proxy.measure(case, place, args.seconds).await?;
            }
        }
    }
    print(&proxies)?;
    for process in [&mut nginx, &mut caddy, &mut upstream] {
        process.stop(DOWN_WITHIN).await?;
    }
    server.stop().await
}

impl Proxy {
    fn new(name: &'static str, port: u16, pid: u32) -> anyhow::Result<Self> {
        let mut pids = vec![pid];
        let children = fs::read_to_string(format!("/proc/{pid}/task/{pid}/children"));
        pids.extend(
            children.unwrap_or_default().split_ascii_whitespace().flat_map(str::parse::<u32>),
        );
        let mut proxy =
            Self { name, port, pids, idle_mb: 0.0, per_cpu_s: vec![0.0; Case::ALL.len()] };
        proxy.idle_mb = proxy.memory_mb(|it| it.now_mb)?;
        proxy.pids.iter().for_each(|pid| forget_peak(*pid));
        Ok(proxy)
    }

    async fn answers(&self) -> anyhow::Result<()> {
        let client = reqwest::Client::builder()
            .danger_accept_invalid_certs(true)
            .resolve(self.site(), ([127, 0, 0, 1], self.port).into())
            .build()?;
        let answer =
            client.get(format!("https://{}:{}/1k.txt", self.site(), self.port)).send().await?;
        ensure!(answer.status().is_success(), "{} answers {}", self.name, answer.status());
        let n_bytes = answer.bytes().await?.len();
        ensure!(n_bytes == 1024, "{} answers with {n_bytes} bytes", self.name);
        Ok(())
    }

    async fn measure(&mut self, case: Case, place: usize, seconds: u32) -> anyhow::Result<()> {
        let (before, began) = (self.cpu_s()?, Instant::now());
        let output = case.command(seconds, self.site(), self.port).output().await?;
        let (cpu_s, wall_s) = (self.cpu_s()? - before, began.elapsed().as_secs_f64());
        let text = String::from_utf8_lossy(&output.stdout);
        ensure!(output.status.success(), "{}: {text}", self.name);
        let n = n_answers(case, &text).with_context(|| format!("{}: {text}", self.name))?;
        ensure!(n > 0, "{} answered nothing: {text}", self.name);
        let per_cpu_s = as_f64(n) / cpu_s;
        println!(
            "{:12} {:46} {n:>8} in {wall_s:.1} s, {cpu_s:>6.2} CPU s, {per_cpu_s:>7.0} per CPU s",
            self.name,
            case.name(),
        );
        if let Some(best) = self.per_cpu_s.get_mut(place) {
            *best = best.max(per_cpu_s);
        }
        Ok(())
    }

    fn site(&self) -> &'static str {
        if self.name == OURS { SITE } else { PEER_SITE }
    }

    fn cpu_s(&self) -> anyhow::Result<f64> {
        self.pids.iter().map(|pid| cpu_seconds(*pid)).sum()
    }

    fn memory_mb(&self, of: impl Fn(crate::measure::Memory) -> f64) -> anyhow::Result<f64> {
        self.pids.iter().map(|pid| anyhow::Ok(of(memory(*pid)?))).sum()
    }
}

/// How many answers came; any that is not the wanted one is an error.
fn n_answers(case: Case, output: &str) -> anyhow::Result<u64> {
    if output.contains("Non-2xx") {
        bail!("answers that are none");
    }
    let number_before = |mark: &str| {
        let (before, _) = output.split_once(mark)?;
        before.rsplit(|it: char| !it.is_ascii_digit()).next()?.parse().ok()
    };
    match case {
        Case::Http2 => {
            ensure!(number_before(" failed, ") == Some(0), "requests failed");
            number_before(" succeeded, ").context("no number of requests")
        }
        _by_wrk => number_before(" requests in ").context("no number of requests"),
    }
}

fn print(proxies: &[Proxy; 3]) -> anyhow::Result<()> {
    let [ours, caddy, nginx] = proxies;
    println!("\n| requests per CPU-second | {} | caddy | nginx | × caddy | × nginx |", ours.name);
    println!("| :-- | --: | --: | --: | --: | --: |");
    let figures = ours.per_cpu_s.iter().zip(&caddy.per_cpu_s).zip(&nginx.per_cpu_s);
    for (case, ((ours, caddy), nginx)) in Case::ALL.into_iter().zip(figures) {
        println!(
            "| {} | {ours:.0} | {caddy:.0} | {nginx:.0} | {:.2} | {:.2} |",
            case.name(),
            ours / caddy,
            ours / nginx
        );
    }
    for proxy in proxies {
        let now = proxy.memory_mb(|it| it.now_mb)?;
        let peak = proxy.memory_mb(|it| it.peak_mb)?;
        println!(
            "{}: {:.1} MB before, {now:.1} MB after, {peak:.1} MB at most ({:+.1} MB)",
            proxy.name,
            proxy.idle_mb,
            peak - proxy.idle_mb
        );
    }
    Ok(())
}

/// Lets nginx keep everything it writes below `dir`.
fn nginx_head(dir: &Path, name: &str) -> String {
    let path = |what: &str| dir.join(format!("{name}-{what}")).display().to_string();
    format!(
        "worker_processes 1; daemon off; pid {}; error_log {};\n\
         events {{ worker_connections 1024; }}\n\
         http {{ access_log off; keepalive_requests 10000000; keepalive_timeout 60s;\n\
         client_body_temp_path {}; proxy_temp_path {}; fastcgi_temp_path {}; \
         uwsgi_temp_path {}; scgi_temp_path {};\n\
         sendfile on; tcp_nopush on; default_type text/plain;\n",
        path("pid"),
        path("err"),
        path("body"),
        path("proxy"),
        path("fastcgi"),
        path("uwsgi"),
        path("scgi"),
    )
}

/// Serves two files from memory.
async fn start_upstream(dir: &Path, port: u16) -> anyhow::Result<Process> {
    let root = dir.join("www");
    fs::create_dir(&root)?;
    fs::write(root.join("1k.txt"), "x".repeat(1024))?;
    fs::write(root.join("100k.txt"), "x".repeat(100 * 1024))?;
    readable(dir)?;
    let config = format!(
        "{}server {{ listen 127.0.0.1:{port}; root {}; open_file_cache max=100; }} }}",
        nginx_head(dir, "upstream"),
        root.display()
    );
    start_server(dir, "upstream", config, port).await
}

/// With one worker and connections to the upstream that are kept, as ours are.
async fn start_nginx(dir: &Path, upstream: u16) -> anyhow::Result<(Process, u16)> {
    let (port, certificate, key) = (free_port()?, dir.join("nginx.pem"), dir.join("nginx.key"));
    let made = Command::new("openssl")
        .args(["req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes"])
        .args(["-days", "1", "-subj", "/CN=bench", "-addext"])
        .arg(format!("subjectAltName=DNS:{PEER_SITE}"))
        .arg("-out")
        .arg(&certificate)
        .arg("-keyout")
        .arg(&key)
        .output()
        .await?;
    ensure!(made.status.success(), "openssl: {}", String::from_utf8_lossy(&made.stderr));
    let config = format!(
        "{}upstream behind {{ server 127.0.0.1:{upstream}; keepalive 64; }}\n\
         server {{ listen 127.0.0.1:{port} ssl http2; ssl_certificate {}; ssl_certificate_key {};\n\
         location / {{ proxy_pass http://behind; proxy_http_version 1.1; \
         proxy_set_header Connection \"\"; proxy_set_header Host $host; }} }} }}",
        nginx_head(dir, "nginx"),
        certificate.display(),
        key.display()
    );
    Ok((start_server(dir, "nginx", config, port).await?, port))
}

/// nginx with this configuration, once it listens.
async fn start_server(
    dir: &Path,
    name: &str,
    config: String,
    port: u16,
) -> anyhow::Result<Process> {
    let path = dir.join(format!("{name}.conf"));
    fs::write(&path, config)?;
    let process = Process::start("nginx", Command::new("nginx").arg("-c").arg(path))?;
    listening(port).await.with_context(|| process.log())?;
    Ok(process)
}

async fn start_caddy(dir: &Path, upstream: u16) -> anyhow::Result<(Process, u16)> {
    let port = free_port()?;
    let config = format!(
        "{{\n admin off\n auto_https disable_redirects\n skip_install_trust\n \
         storage file_system {}\n}}\n\
         https://{PEER_SITE}:{port} {{\n tls internal\n reverse_proxy 127.0.0.1:{upstream}\n}}\n",
        dir.join("caddy").display()
    );
    let path = dir.join("Caddyfile");
    fs::write(&path, config)?;
    let mut command = Command::new("caddy");
    command.args(["run", "--adapter", "caddyfile", "--config"]).arg(path);
    // Else it writes to the home folder.
    command.env("HOME", dir);
    let process = Process::start("caddy", &mut command)?;
    listening(port).await.with_context(|| process.log())?;
    Ok((process, port))
}

async fn listening(port: u16) -> anyhow::Result<()> {
    Deadline::within(UP_WITHIN)
        .until("a listener", || async move {
            Ok(tokio::net::TcpStream::connect(("127.0.0.1", port)).await.is_ok().then_some(()))
        })
        .await
}

/// nginx's workers are not root, and temporary folders are closed to others.
fn readable(dir: &Path) -> anyhow::Result<()> {
    use std::os::unix::fs::PermissionsExt as _;
    Ok(fs::set_permissions(dir, fs::Permissions::from_mode(0o755))?)
}
