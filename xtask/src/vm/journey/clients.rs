//! Debian's own Prometheus and promtool beside the installed pair: nothing of ours is in between.
//! They are this machine's, which the guest sees.

use anyhow::ensure;

use super::{PASSWORD, USER, instant, result, until};
use crate::vm::guest::Guest;

/// Where node_exporter would be.
const METRICS: &str = "127.0.0.1:9100";

const PROMETHEUS: &str = "global: { scrape_interval: 1s }
scrape_configs:
  - job_name: skep-agent
    static_configs: [{ targets: ['127.0.0.1:9100'] }]
remote_write:
  - url: https://localhost:8443/api/v1/write
    authorization: { credentials_file: /etc/prometheus/skep-token }
    tls_config: { ca_file: /etc/prometheus/skep-ca.pem }
    queue_config: { batch_send_deadline: 1s }
";

/// Prometheus scrapes the agent and sends on what it found; promtool asks for it.
pub(super) fn ask_and_send(guest: &dyn Guest) -> anyhow::Result<()> {
    guest.sh(&format!(
        "printf '[expose]\\nlisten = \"{METRICS}\"\\n' >>/etc/skep/agent.toml
        systemctl restart skep-agent"
    ))?;
    until("the agent's /metrics", || Ok(guest.sh(&metrics("")).is_ok()))?;
    let complaints = guest.sh(&metrics(" | promtool check metrics 2>&1 || true"))?;
    let ours: Vec<&str> = complaints.lines().filter(|it| !is_node_exporters_own(it)).collect();
    ensure!(ours.is_empty(), "promtool does not like {ours:#?}");

    guest.write("/etc/prometheus/prometheus.yml", PROMETHEUS)?;
    guest.sh("set -eu
        cd /etc/prometheus
        skep-server token new prometheus --scopes ingest >skep-token
        cp /var/lib/skep/ca/root.pem skep-ca.pem
        chown prometheus skep-token skep-ca.pem prometheus.yml
        systemctl start prometheus")?;
    for query in [
        "up{job=\"skep-agent\"} == 1",
        "node_uname_info{job=\"skep-agent\"}",
        "sum(rate(node_cpu_seconds_total{job=\"skep-agent\"}[30s])) > 0",
    ] {
        until(query, || Ok(!result(&instant(guest, query)?)?.is_empty()))?;
    }
    let login = format!("{USER}:{}", PASSWORD.replace(' ', "%20"));
    let told = guest.sh(&format!(
        "SSL_CERT_FILE=/var/lib/skep/ca/root.pem promtool query instant \
         'https://{login}@localhost:8443' 'sum(up{{job=\"skep-agent\"}})'"
    ))?;
    ensure!(told.starts_with("{} => 1 @["), "promtool says {told:?}");
    guest.run(&["systemctl", "stop", "prometheus"]).map(drop)
}

fn metrics(then: &str) -> String {
    format!("curl -sS --fail http://{METRICS}/metrics{then}")
}

/// node_exporter's names stay what dashboards know, whatever promtool thinks of them.
fn is_node_exporters_own(complaint: &str) -> bool {
    complaint.starts_with("node_")
}
