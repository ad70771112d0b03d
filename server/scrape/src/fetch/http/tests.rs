//! The client against a small server in this process.

use std::{collections::VecDeque, path::Path};

use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpListener,
};

use super::*;
use crate::config::Config;

/// Answers one request after the other as told; each connection is closed behind its answer.
struct Server {
    address: String,
    requests: Arc<Mutex<Vec<String>>>,
}

impl Server {
    async fn start(answers: &[&'static str]) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let requests = Arc::new(Mutex::new(Vec::new()));
        let got = Arc::clone(&requests);
        let mut answers = VecDeque::from(answers.to_vec());
        tokio::spawn(async move {
            while let Some(answer) = answers.pop_front() {
                let (mut stream, _) = listener.accept().await.unwrap();
                let mut request = vec![0; 4096];
                let n_bytes = stream.read(&mut request).await.unwrap();
                request.truncate(n_bytes);
                got.lock().unwrap().push(String::from_utf8(request).unwrap());
                let head = answer.split_once("\n\n").map_or("", |it| it.0);
                let body = answer.split_once("\n\n").map_or("", |it| it.1);
                let head = head.replace('\n', "\r\n");
                let n = body.len();
                let answer = format!(
                    "HTTP/1.1 {head}\r\nContent-Length: {n}\r\nConnection: close\r\n\r\n{body}"
                );
                stream.write_all(answer.as_bytes()).await.unwrap();
            }
        });
        Self { address, requests }
    }

    fn url(&self) -> String {
        format!("http://{}/metrics", self.address)
    }

    /// A header of the last request; its name in lower case.
    fn header(&self, name: &str) -> Option<String> {
        let requests = self.requests.lock().unwrap();
        let lines = requests.last()?.lines();
        lines.filter_map(|it| it.split_once(": ")).find(|it| it.0 == name).map(|it| it.1.to_owned())
    }
}

fn client(dir: &Path, settings: &str) -> Arc<dyn Client> {
    let path = dir.join("prometheus.yml");
    std::fs::write(&path, format!("scrape_configs:\n- job_name: j\n{settings}")).unwrap();
    let config = Config::load(&path).unwrap();
    HttpFetch.client(&config.jobs[0].http, config.jobs[0].enable_compression)
}

async fn get(client: &dyn Client, url: &str) -> Result<String, String> {
    let headers = vec![("Accept", "text/plain".to_owned())];
    let response = client.get(&Request { url, headers, body_bytes_max: 8 }).await;
    response.map(|it| String::from_utf8(it.body).unwrap()).map_err(|it| it.to_string())
}

#[tokio::test]
async fn credentials_are_read_from_their_files_for_each_request() {
    let dir = tempfile::tempdir().unwrap();
    let server = Server::start(&["200 OK\n\nup 1\n", "200 OK\n\nup 2\n"]).await;
    let settings = "  authorization: {credentials_file: token}\n  http_headers: {X-Org: {values: [me]}}\n  enable_compression: false";
    let client = client(dir.path(), settings);
    let missing = get(&*client, &server.url()).await.unwrap_err();
    assert!(missing.contains("unable to read file"), "{missing}");
    for token in ["one", "two"] {
        std::fs::write(dir.path().join("token"), format!("{token}\n")).unwrap();
        assert!(get(&*client, &server.url()).await.is_ok());
        assert_eq!(server.header("authorization"), Some(format!("Bearer {token}")));
    }
    assert_eq!(server.header("accept").as_deref(), Some("text/plain"));
    assert_eq!(server.header("x-org").as_deref(), Some("me"));
    assert_eq!(server.header("accept-encoding"), None);
}

#[tokio::test]
async fn what_is_no_good_answer_is_told_in_prometheus_words() {
    let dir = tempfile::tempdir().unwrap();
    let server =
        Server::start(&["404 Not Found\n\n", "200 OK\n\nmore than eight", "200 OK\n\nup 1\n"])
            .await;
    let client = client(dir.path(), "");
    let url = server.url();
    assert_eq!(
        get(&*client, &url).await,
        Err("server returned HTTP status 404 Not Found".to_owned())
    );
    assert_eq!(get(&*client, &url).await, Err("body size limit exceeded".to_owned()));
    assert_eq!(get(&*client, &url).await, Ok("up 1\n".to_owned()));
    assert_eq!(server.header("accept-encoding").as_deref(), Some("gzip"));
    // Nobody listens any more.
    let error = get(&*client, &url).await.unwrap_err();
    assert!(error.starts_with(&format!("Get \"{url}\": ")), "{error}");
    assert!(error.contains("onnection"), "{error}");
}

#[tokio::test]
async fn redirects_are_followed_unless_told_otherwise() {
    let dir = tempfile::tempdir().unwrap();
    for (settings, expected) in [
        ("", Ok("up 1\n".to_owned())),
        ("  follow_redirects: false", Err("server returned HTTP status 302 Found".to_owned())),
    ] {
        let server =
            Server::start(&["302 Found\nLocation: /elsewhere\n\n", "200 OK\n\nup 1\n"]).await;
        assert_eq!(get(&*client(dir.path(), settings), &server.url()).await, expected);
    }
}
