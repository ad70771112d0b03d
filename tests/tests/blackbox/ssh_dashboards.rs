//! What dashboards of SSH logs ask, over lines of an sshd as syslog writes them: every panel must
//! have something to show.

use anyhow::{Context as _, ensure};
use skep_proto::{Clock as _, Labels, LogEntry, SystemClock, TimestampNs};
use skep_tests::{Client, Server};

/// `%` is a number that grows.
const LINES: [&str; 9] = [
    "bee sshd[%]: Accepted publickey for ada from 192.0.2.7 port 40% ssh2: ED25519 SHA256:x",
    "bee sshd[%]: pam_unix(sshd:session): session opened for user ada(uid=1000) by (uid=0)",
    "bee sshd[%]: pam_unix(sshd:session): session opened for user grace by (uid=0)",
    "bee sshd[%]: Failed password for root from 198.51.100.9 port 22% ssh2",
    "bee sshd[%]: Failed password for invalid user admin from 198.51.100.9 port 22% ssh2",
    "bee sshd[%]: Invalid user oracle from 203.0.113.5 port 22%",
    "bee sshd[%]: Connection closed by authenticating user root 203.0.113.5 port 22% [preauth]",
    "bee sshd[%]: pam_unix(sshd:session): session closed for user ada",
    "bee systemd[1]: Started session %.",
];

/// The stream that the dashboards' variables select.
const SSHD: &str = r#"{host=~"bee|hive", job=~"auth.*", instance=~".+"} |="sshd[" "#;
const REFUSED: &str = r#"|~": Failed|: Invalid|: Connection closed by authenticating user""#;

/// A panel's expression with its window, and whether it shows lines.
fn panels() -> Vec<String> {
    let over = |stages: &str| format!("count_over_time({SSHD}{stages} | __error__=\"\" [5m])");
    let from = over(&format!("{REFUSED} |~\".* from .*\" | pattern `<_> from <ip> port`"));
    let not_from = over(&format!("{REFUSED} !~\".* from .*\" | pattern `<_> user <_> <ip> port`"));
    let opened = "|=\": session opened for\"";
    let by_uid = format!(
        "{opened} | pattern `<_> session opened for user <username>(` | username !~\".* by \""
    );
    let by_name = format!(
        "{opened} | pattern `<_> session opened for user <username> <_>` \
         | username !~\".*(uid=.*)\""
    );
    let tried = format!("{REFUSED} | pattern `<_> user <username> <_> port`");
    let failed = "|=\": Failed\" !~\"invalid user\" | pattern `<_> for <username> from <_> port`";
    let accepted =
        "|=\": Accepted\" | pattern `<_> Accepted <_> for <username> from <ip> port <_>`";
    vec![
        over(REFUSED),
        format!(
            "sum by (instance) (count by (ip, instance) ({from}) or count by (ip, instance) ({not_from})) or on() vector(0)"
        ),
        format!(
            "sum by (instance) (count by (username, instance) ({}) or count by (username, instance) ({})) or on() vector(0)",
            over(&tried),
            over(failed)
        ),
        format!("sum by(instance) ({}) or on() vector(0)", over(opened)),
        format!("count by (ip, instance) ({}) or on() vector(0)", over(accepted)),
        format!(
            "sum by (instance) (count by (username, instance) ({}) or count by (username, instance) ({})) or on() vector(0)",
            over(&by_uid),
            over(&by_name)
        ),
        format!("bytes_over_time({SSHD} | __error__=\"\" [5m])"),
        format!("topk(5, sum by (username) ({}))", over(&tried)),
        format!("sum by (username) ({})", over(&by_name)),
        format!("count by (ip) ({not_from})"),
        SSHD.to_owned(),
        format!("{SSHD}{accepted} | __error__=\"\""),
        format!("{SSHD}{by_uid} | __error__=\"\""),
        format!(
            "{SSHD}|~\": Invalid|: Failed .* user\" | pattern `<_> user <username> from <ip> port <_>` | __error__=\"\""
        ),
    ]
}

async fn push(client: &Client) -> anyhow::Result<()> {
    let now = SystemClock.now().0;
    let entries = (0..180i64).zip(LINES.iter().cycle()).map(|(it, line)| LogEntry {
        ts: TimestampNs(now - (180 - it) * 1_000_000_000),
        line: line.replace('%', &it.to_string()),
        metadata: Vec::new(),
    });
    let labels = [("host", "bee"), ("job", "authlog"), ("instance", "bee:22")];
    let stream = (Labels::from_pairs(labels)?, entries.collect());
    ensure!(client.push(&[stream]).await?.is_success(), "the push was refused");
    Ok(())
}

#[tokio::test]
async fn every_panel_answers_with_data() -> anyhow::Result<()> {
    let dir = tempfile::tempdir()?;
    let server = Server::start(dir.path(), "").await?;
    let client = server.client()?;
    push(&client).await?;
    for panel in panels() {
        let range = [("query", panel.as_str()), ("since", "10m"), ("step", "60000ms")];
        let data = client.data("/loki/api/v1/query_range", &range).await?;
        let result = data["result"].as_array().with_context(|| panel.clone())?;
        // `or on() vector(0)` shows a zero where a panel finds nothing: that is no data.
        let is_seen = |it: &serde_json::Value| {
            let values = it["values"].as_array().into_iter().flatten();
            values.into_iter().any(|it| it[1].as_str().is_some_and(|it| it != "0"))
        };
        assert!(result.iter().any(is_seen), "{panel}\n{data}");
        if data["resultType"] == "matrix" {
            let vector = client.logql(&panel).await?;
            assert!(vector.iter().any(|(_, value)| *value > 0.0), "{panel}");
        }
    }
    // The count of addresses is right, not only there.
    let of_addresses = panels().swap_remove(1);
    let counted = client.logql(&of_addresses).await?;
    let [(metric, n)] = &counted[..] else { anyhow::bail!("{counted:?}") };
    assert_eq!((metric["instance"].as_str(), *n), (Some("bee:22"), 2.0));
    Ok(())
}
