//! The server's files change while it runs: what is open goes on, and what is wrong changes nothing.

use std::{fs, path::PathBuf, sync::Arc, time::Duration};

use anyhow::{Context as _, ensure};
use reqwest::StatusCode;
use skep_tests::{Deadline, Server};
use tempfile::TempDir;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpListener, TcpStream},
    process::Command,
    sync::Notify,
    time::timeout,
};

const SOON: Duration = Duration::from_secs(60);
const PIECE: &str = "a piece of a long download\n";

/// A service with an endless download and a WebSocket that says what it is told.
struct Service {
    address: String,
    /// Each time, a piece more.
    more: Arc<Notify>,
}

impl Service {
    async fn start() -> anyhow::Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let address = listener.local_addr()?.to_string();
        let more = Arc::new(Notify::new());
        let pieces = Arc::clone(&more);
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                tokio::spawn(answer(stream, Arc::clone(&pieces)));
            }
        });
        Ok(Self { address, more })
    }
}

async fn answer(mut stream: TcpStream, more: Arc<Notify>) -> anyhow::Result<()> {
    let head = read_head(&mut stream).await?;
    if head.starts_with("GET /socket") {
        let upgrade =
            "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: echo\r\n\r\n";
        stream.write_all(upgrade.as_bytes()).await?;
        let (mut reader, mut writer) = stream.split();
        tokio::io::copy(&mut reader, &mut writer).await?;
        return Ok(());
    }
    stream.write_all(b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n").await?;
    while head.starts_with("GET /download") {
        stream.write_all(PIECE.as_bytes()).await?;
        more.notified().await;
    }
    Ok(())
}

/// As far as the empty line.
async fn read_head(stream: &mut (impl tokio::io::AsyncRead + Unpin)) -> anyhow::Result<String> {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(timeout(SOON, stream.read_u8()).await??);
    }
    Ok(String::from_utf8(head)?)
}

/// A server with a site before a service, and what its file says.
struct Bench {
    dir: TempDir,
    server: Server,
    service: Service,
    client: reqwest::Client,
}

impl Bench {
    async fn start() -> anyhow::Result<Self> {
        let dir = tempfile::tempdir()?;
        let service = Service::start().await?;
        fs::write(dir.path().join("home.toml"), "")?;
        let site = format!(
            "[home]\nfile = \"home.toml\"\n[[sites]]\nhosts = [\"x.skep.localhost\"]\nto = [\"http://{}\"]",
            service.address
        );
        let server = Server::start(dir.path(), &site).await?;
        // Only HTTP/1.1 has upgrades.
        let mut client = reqwest::Client::builder()
            .http1_only()
            .tls_built_in_root_certs(false)
            .add_root_certificate(reqwest::Certificate::from_pem(&fs::read(server.ca_file())?)?);
        let address = ([127, 0, 0, 1], 0).into();
        for name in ["x", "new1", "new2", "new3"] {
            client = client.resolve(&format!("{name}.skep.localhost"), address);
        }
        Ok(Self { dir, server, service, client: client.build()? })
    }

    fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    fn config(&self) -> anyhow::Result<String> {
        Ok(fs::read_to_string(self.path("server.toml"))?)
    }

    /// As an editor does it: a file in its place at once.
    fn write(&self, name: &str, text: &str) -> anyhow::Result<()> {
        fs::write(self.path("unfinished"), text)?;
        Ok(fs::rename(self.path("unfinished"), self.path(name))?)
    }

    async fn hang_up(&self) -> anyhow::Result<()> {
        let pid = self.server.pid().to_string();
        ensure!(Command::new("kill").args(["-HUP", &pid]).status().await?.success());
        Ok(())
    }

    fn url(&self, site: &str, path: &str) -> String {
        let url = self.server.url();
        let port = url.trim_end_matches('/').rsplit(':').next().unwrap_or_default();
        format!("https://{site}.skep.localhost:{port}{path}")
    }

    async fn is_served(&self, site: &str) -> anyhow::Result<()> {
        Deadline::within(SOON)
            .until(site, || async {
                let answer = self.client.get(self.url(site, "/")).send().await?;
                Ok((answer.status() == StatusCode::OK).then_some(()))
            })
            .await
    }

    async fn is_said(&self, text: &str) -> anyhow::Result<()> {
        Deadline::within(SOON)
            .until(text, || async { Ok(self.server.log().contains(text).then_some(())) })
            .await
            .with_context(|| self.server.log())
    }

    /// Whether the last reload was good, by the metric.
    async fn is_good(&self) -> anyhow::Result<bool> {
        let url = format!("{}/metrics", self.server.plain_url());
        let text = self.client.get(url).send().await?.text().await?;
        Ok(text.contains("\nskep_config_last_reload_successful 1"))
    }
}

fn site(name: &str) -> String {
    format!(
        "\n[[sites]]\nhosts = [\"{name}.skep.localhost\"]\n\
         routes = [{{ respond = {{ status = 200, body = \"{name}\" }} }}]\n"
    )
}

#[tokio::test]
async fn a_download_and_a_websocket_go_on_while_files_change() -> anyhow::Result<()> {
    let bench = Bench::start().await?;
    let mut download = bench.client.get(bench.url("x", "/download")).send().await?;
    assert_eq!(download.chunk().await?.context("a first piece")?, PIECE);
    let request = bench.client.get(bench.url("x", "/socket"));
    let request = request.header("connection", "upgrade").header("upgrade", "echo");
    let mut socket = request.send().await?.upgrade().await?;
    let mut go_on = async || -> anyhow::Result<()> {
        bench.service.more.notify_one();
        let piece = timeout(SOON, download.chunk()).await??.context("another piece")?;
        assert_eq!(piece, PIECE);
        socket.write_all(b"hello").await?;
        let mut echo = [0; 5];
        timeout(SOON, socket.read_exact(&mut echo)).await??;
        assert_eq!(&echo, b"hello");
        Ok(())
    };
    go_on().await?;

    // By itself.
    let config = bench.config()?;
    bench.write("server.toml", &format!("{config}{}", site("new1")))?;
    bench.is_served("new1").await?;
    go_on().await?;

    // As told; the service is gone from the file, but not from who uses it.
    let (without, _) = config.split_once("[[sites]]").context("a site")?;
    bench.write("server.toml", &format!("{without}{}", site("new2")))?;
    bench.hang_up().await?;
    bench.is_served("new2").await?;
    assert!(bench.is_good().await?);
    let gone = bench.client.get(bench.url("x", "/")).send().await?;
    assert_eq!(gone.status(), StatusCode::MISDIRECTED_REQUEST);
    go_on().await
}

#[tokio::test]
async fn what_is_wrong_is_named_by_line_and_key_and_changes_nothing() -> anyhow::Result<()> {
    let bench = Bench::start().await?;
    let good = bench.config()?;
    let n_lines = good.lines().count();
    let name = bench.path("server.toml").display().to_string();
    let missing = bench.path("missing.pem").display().to_string();
    for (wrong, line, said) in [
        ("\n[[sites]]\nhosts = [\"a b\"]\n", 3, "sites[2].hosts: host"),
        ("\n[[sites]]\nhosts = [\"y.lan\"]\nto = [\"ftp://y\"]\n", 4, "sites[2].to"),
        (
            format!(
                "\n[[sites]]\nhosts = [\"y.lan\"]\nto = [\"https://y\"]\n\
                 upstream = {{ tls = {{ ca_file = {missing:?} }} }}\n"
            )
            .as_str(),
            5,
            "sites[2].upstream.tls.ca_file",
        ),
        (
            format!("\n[[certificates]]\ncert_file = {missing:?}\nkey_file = {missing:?}\n")
                .as_str(),
            2,
            "certificates[0]",
        ),
        ("\n[front.nosuch]\n", 2, "front.nosuch: unknown field `nosuch`"),
    ] {
        bench.write("server.toml", &format!("{good}{}{wrong}", site("new1").trim_start()))?;
        bench.hang_up().await?;
        let line = n_lines + 3 + line;
        bench.is_said(&format!("{name}:{line}:")).await.with_context(|| wrong.to_owned())?;
        bench.is_said(said).await?;
        assert!(!bench.is_good().await?, "{wrong}");
        bench.is_served("x").await?;
        let unknown = bench.client.get(bench.url("new1", "/")).send().await?;
        assert_eq!(unknown.status(), StatusCode::MISDIRECTED_REQUEST, "{wrong}");
    }
    Ok(())
}

#[tokio::test]
async fn what_is_wrong_with_the_home_page_costs_nothing_else() -> anyhow::Result<()> {
    let bench = Bench::start().await?;
    let good = bench.config()?;
    bench.write("home.toml", "title = \"mine\"\nnosuch = 1\n")?;
    bench.is_said("Could not read the home page's files; the old ones count.").await?;
    bench.is_said("home.toml:2").await?;
    bench.write("server.toml", &format!("{good}{}", site("new3")))?;
    bench.hang_up().await?;
    bench.is_served("new3").await?;
    assert!(bench.is_good().await?);
    bench.is_served("x").await
}
