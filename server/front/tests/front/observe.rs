//! Requests as telemetry: what is counted, and what the access log is told.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use serde_json::Value;
use skep_front::{
    AccessLog, AccessRecord, CertificateStatus, Figures, HostPattern, RequestLog, SiteConfig,
};

use crate::server::{READER, Server};

#[derive(Debug, Default)]
pub(crate) struct Kept(Mutex<Vec<AccessRecord>>);

impl AccessLog for Kept {
    fn record(&self, record: AccessRecord) {
        self.0.lock().unwrap().push(record);
    }
}

impl Kept {
    /// Waits until there are so many: a request ends after its client has the answer.
    async fn lines(&self, n_lines: usize) -> Vec<Value> {
        for _ in 0..500 {
            let lines: Vec<_> = self.0.lock().unwrap().iter().map(AccessRecord::to_json).collect();
            if lines.len() >= n_lines {
                return lines.iter().map(|it| serde_json::from_str(it).unwrap()).collect();
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        panic!("there are not {n_lines} records but {:?}", self.0.lock().unwrap());
    }
}

fn sample(figures: &Figures, series: &str) -> Option<f64> {
    let text = figures.to_text();
    let line = text.lines().find(|it| it.rsplit_once(' ').is_some_and(|(it, _)| it == series))?;
    line.rsplit_once(' ')?.1.parse().ok()
}

#[tokio::test(flavor = "multi_thread")]
async fn every_request_is_counted_and_told() {
    let kept = Arc::new(Kept::default());
    let server = Server::start_logging(Arc::clone(&kept) as Arc<dyn AccessLog>, |_config| {}).await;
    let url = server.url("metrics.home.lan", "/api/v1/write?token=hush&x=1");
    let answer = server.client.post(url).bearer_auth(READER).body("abc").send().await.unwrap();
    assert_eq!(answer.status(), 403);
    let url = server.url("home.lan", "/explore");
    let request = server.client.get(url).bearer_auth(READER).header("user-agent", "a test");
    let answer = request.send().await.unwrap();
    assert_eq!(answer.status(), 200);
    let n_bytes = answer.bytes().await.unwrap().len();
    let other = server.client.get(server.url("x.home.lan", "/")).send().await.unwrap();
    assert_eq!(other.status(), 421);

    let lines = kept.lines(3).await;
    let [refused, answered, unknown] = &lines[..] else { panic!("{lines:?}") };
    assert_eq!(refused["request"]["uri"], "/api/v1/write?token=REDACTED&x=1");
    assert_eq!(refused["request"]["method"], "POST");
    assert_eq!(refused["status"], 403);
    assert_eq!(refused["user_id"], "reader");
    assert!(!refused.to_string().contains("hush"));
    assert!(!refused.to_string().contains(READER), "{refused}");
    assert_eq!(answered["msg"], "handled request");
    assert_eq!(answered["logger"], "http.log.access");
    assert_eq!(answered["status"], 200);
    assert_eq!(answered["size"], n_bytes);
    assert_eq!(answered["request"]["client_ip"], "127.0.0.1");
    assert_eq!(answered["request"]["proto"], "HTTP/1.1");
    assert_eq!(answered["request"]["headers"]["User-Agent"][0], "a test");
    let host = answered["request"]["host"].as_str().unwrap();
    assert!(host.starts_with("home.lan:"), "{host}");
    assert_eq!(unknown["status"], 421);

    let figures = server.figures.clone();
    let labels = |handler: &str, host: &str| format!("handler=\"{handler}\",host=\"{host}\"");
    let total = |handler: &str, host: &str| {
        let labels = labels(handler, host);
        sample(&figures, &format!("skep_http_requests_total{{{labels},server=\"https\"}}"))
    };
    assert_eq!(total("refused", "metrics.home.lan"), Some(1.0));
    assert_eq!(total("page", "home.lan"), Some(1.0));
    assert_eq!(total("refused", "_other"), Some(1.0));
    let size = "skep_http_response_size_bytes_sum{code=\"200\",handler=\"page\",host=\"home.lan\",\
                method=\"GET\",server=\"https\"}";
    assert_eq!(sample(&figures, size).map(|it| it.to_string()), Some(n_bytes.to_string()));
    assert_eq!(sample(&figures, "skep_front_connections_total{server=\"https\"}"), Some(3.0));
    assert_eq!(sample(&figures, "skep_front_tls_handshakes_total"), Some(3.0));
    let in_flight =
        "skep_http_requests_in_flight{handler=\"page\",host=\"home.lan\",server=\"https\"}";
    assert_eq!(sample(&figures, in_flight), Some(0.0));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_does_not_wait_is_told_as_499() {
    let kept = Arc::new(Kept::default());
    let server = Server::start_logging(Arc::clone(&kept) as Arc<dyn AccessLog>, |_config| {}).await;
    let url = server.url("home.lan", "/never");
    let request = server.client.get(url).bearer_auth(READER).timeout(Duration::from_millis(300));
    assert!(request.send().await.unwrap_err().is_timeout());
    let lines = kept.lines(1).await;
    assert_eq!(lines[0]["status"], 499);
    let errors =
        "skep_http_request_errors_total{handler=\"page\",host=\"home.lan\",server=\"https\"}";
    assert_eq!(sample(&server.figures, errors), Some(1.0));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_site_can_be_left_out_of_the_log_and_is_counted_all_the_same() {
    let kept = Arc::new(Kept::default());
    let server = Server::start_logging(Arc::clone(&kept) as Arc<dyn AccessLog>, |config| {
        let hosts = vec![HostPattern::parse("photos.home.lan").unwrap()];
        config.sites =
            vec![SiteConfig { log: RequestLog::Off, ..SiteConfig::new(hosts, Vec::new()) }];
    })
    .await;
    for host in ["photos.home.lan", "x.home.lan"] {
        server.client.get(server.url(host, "/")).send().await.unwrap();
    }
    let lines = kept.lines(1).await;
    assert!(lines[0]["request"]["host"].as_str().unwrap().starts_with("x.home.lan"), "{lines:?}");
    assert_eq!(lines.len(), 1);
    let series =
        "skep_http_requests_total{handler=\"refused\",host=\"photos.home.lan\",server=\"https\"}";
    assert_eq!(sample(&server.figures, series), Some(1.0));
}

#[tokio::test(flavor = "multi_thread")]
async fn the_end_of_each_certificate_is_a_figure() {
    let server = Server::start().await;
    let series =
        "skep_front_certificate_expiry_timestamp_seconds{name=\"home.lan\",source=\"local\"}";
    let expiry = sample(&server.figures, series).expect("the local CA's leaf is there");
    let status = server.certificates.status();
    let of_name = |it: &&CertificateStatus| it.names.iter().any(|name| name == "home.lan");
    let ends = status.iter().find(of_name).unwrap().not_after.unwrap();
    assert_eq!(expiry.to_string(), ends.unix_timestamp().to_string());
}
