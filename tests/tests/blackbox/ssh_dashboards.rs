//! What dashboards of SSH logs ask, over lines of an sshd: pushed as syslog writes them, and brought
//! from a real journal by the agent. Every panel, and every query of the guide, must have something
//! to show.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::Path,
    time::Duration,
};

use anyhow::{Context as _, ensure};
use serde_json::Value;
use skep_proto::{Clock as _, Labels, LogEntry, SystemClock, TimestampNs};
use skep_tests::{Agent, Client, Deadline, Journald, Server, skipped};

const GUIDE: &str = include_str!("../../../docs/services/ssh.md");

/// Names the JSON file with the dashboards themselves, if it is at hand.
const DASHBOARDS: &str = "SKEP_DASHBOARDS";

const SOON: Duration = Duration::from_secs(60);

/// Programs and what they say; `%` is a number that grows.
const LINES: [(&str, &str); 12] = [
    ("sshd", "Accepted publickey for ada from 192.0.2.7 port 40% ssh2: ED25519 SHA256:x"),
    ("sshd", "pam_unix(sshd:session): session opened for user ada(uid=1000) by (uid=0)"),
    ("sshd", "pam_unix(sshd:session): session opened for user grace by (uid=0)"),
    ("sshd", "Failed password for root from 198.51.100.9 port 22% ssh2"),
    ("sshd", "Failed password for invalid user admin from 198.51.100.9 port 22% ssh2"),
    ("sshd", "Invalid user oracle from 203.0.113.5 port 22%"),
    ("sshd", "Connection closed by authenticating user root 203.0.113.5 port 22% [preauth]"),
    ("sshd", "pam_unix(sshd:session): session closed for user ada"),
    ("systemd", "Started session %."),
    ("sudo", "     ada : TTY=pts/0 ; PWD=/home/ada ; USER=root ; COMMAND=/usr/bin/apt update"),
    ("sudo", "   grace : user NOT in sudoers ; TTY=pts/1 ; PWD=/ ; USER=root ; COMMAND=/bin/sh"),
    ("sshd-session", "Accepted password for grace from 2001:db8::7 port 41% ssh2"),
];
/// Fifteen of each.
const N_LINES: i64 = 180;

/// The streams that the dashboards' variables select.
const PUSHED: &str = r#"{host=~"bee|hive", job=~"auth.*", instance=~".+"}"#;
const SHIPPED: &str = r#"{app=~"sshd", job=~"systemd-journal", instance=~"bee-1"}"#;
const REFUSED: &str = r#"|~": Failed|: Invalid|: Connection closed by authenticating user""#;

/// A panel's expression with its window, and whether it shows lines.
fn panels(streams: &str) -> Vec<String> {
    let sshd = format!("{streams} |=\"sshd[\" ");
    let over = |stages: &str| format!("count_over_time({sshd}{stages} | __error__=\"\" [5m])");
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
        format!("bytes_over_time({sshd} | __error__=\"\" [5m])"),
        format!("topk(5, sum by (username) ({}))", over(&tried)),
        format!("sum by (username) ({})", over(&by_name)),
        format!("count by (ip) ({not_from})"),
        sshd.clone(),
        format!("{sshd}{accepted} | __error__=\"\""),
        format!("{sshd}{by_uid} | __error__=\"\""),
        format!(
            "{sshd}|~\": Invalid|: Failed .* user\" | pattern `<_> user <username> from <ip> port <_>` | __error__=\"\""
        ),
    ]
}

fn lines() -> impl Iterator<Item = (&'static str, String, i64)> {
    (0..N_LINES)
        .zip(LINES.iter().cycle())
        .map(|(it, (program, message))| (*program, message.replace('%', &it.to_string()), it))
}

async fn push(client: &Client) -> anyhow::Result<()> {
    let now = SystemClock.now().0;
    let entries = lines().map(|(program, message, it)| LogEntry {
        ts: TimestampNs(now - (N_LINES - it) * 1_000_000_000),
        line: format!("bee {program}[{it}]: {message}"),
        metadata: Vec::new(),
    });
    let labels = [("host", "bee"), ("job", "authlog"), ("instance", "bee:22")];
    let stream = (Labels::from_pairs(labels)?, entries.collect());
    ensure!(client.push(&[stream]).await?.is_success(), "the push was refused");
    Ok(())
}

/// What a query shows: `or on() vector(0)` is a zero where a panel finds nothing, which is no data.
async fn has_data(client: &Client, query: &str) -> anyhow::Result<bool> {
    let range = [("query", query), ("since", "10m"), ("step", "60000ms")];
    let data = client.data("/loki/api/v1/query_range", &range).await?;
    let result = data.get("result").and_then(Value::as_array).with_context(|| query.to_owned())?;
    let is_seen = |it: &Value| {
        let values = it["values"].as_array().into_iter().flatten();
        values.into_iter().any(|it| it[1].as_str().is_some_and(|it| it != "0"))
    };
    Ok(result.iter().any(is_seen))
}

async fn check_panels(client: &Client, streams: &str, instance: &str) -> anyhow::Result<()> {
    let panels = panels(streams);
    for panel in &panels {
        assert!(has_data(client, panel).await?, "{panel}");
    }
    // The count of addresses is right, not only there.
    let counted = client.logql(panels.get(1).context("no second panel")?).await?;
    let [(metric, n)] = &counted[..] else { anyhow::bail!("{counted:?}") };
    assert_eq!((metric["instance"].as_str(), *n), (Some(instance), 2.0));
    Ok(())
}

#[tokio::test]
async fn every_panel_answers_with_data() -> anyhow::Result<()> {
    let dir = tempfile::tempdir()?;
    let server = Server::start(dir.path(), "").await?;
    let client = server.client()?;
    push(&client).await?;
    check_panels(&client, PUSHED, "bee:22").await
}

/// A host whose programs logged, and whose agent has brought it all.
struct Host {
    _agent: Agent,
    _server: Server,
    _journald: Journald,
    client: Client,
}

impl Host {
    /// `settings` stand below `[journal]` in the agent's configuration.
    async fn start(dir: &Path, settings: &str) -> anyhow::Result<Self> {
        let journald = Journald::start(dir).await?;
        for (program, _) in LINES.into_iter().collect::<BTreeMap<_, _>>() {
            let said = lines().filter(|(it, ..)| *it == program).map(|(_, line, _)| line);
            journald.log(&format!("{program}.service"), &said.collect::<Vec<_>>()).await?;
        }
        let server = Server::start(dir, "").await?;
        let agent = Agent::start(dir, &server, Some(journald.directory()), settings).await?;
        let client = server.client()?;
        let all = r#"sum(count_over_time({host="bee-1", unit!=""}[1h]))"#;
        Deadline::within(SOON)
            .until("all lines", || async {
                let seen = client.logql(all).await?;
                let wanted = f64::from(i32::try_from(N_LINES)?);
                Ok(seen.first().is_some_and(|(_, n)| *n >= wanted).then_some(()))
            })
            .await?;
        Ok(Self { _agent: agent, _server: server, _journald: journald, client })
    }
}

/// The blocks of the guide in one language.
fn blocks(language: &str) -> Vec<&'static str> {
    let opening = format!("```{language}\n");
    GUIDE.split(&opening).skip(1).filter_map(|it| it.split("```").next()).map(str::trim).collect()
}

async fn check_guide(client: &Client) -> anyhow::Result<()> {
    let queries = blocks("logql");
    assert!(queries.len() >= 7, "the guide's queries were not found");
    for query in &queries {
        assert!(has_data(client, query).await?, "{query}");
    }
    let [who_came_in, who_was_refused, ..] = &queries[..] else { anyhow::bail!("{queries:?}") };
    // Who came in, by name and address.
    let came_in = client.logql(who_came_in).await?;
    let of_ada = came_in.iter().filter(|(it, _)| it["user"] == "ada");
    let of_ada: Vec<_> = of_ada.map(|(it, n)| (it["ip"].as_str(), *n)).collect();
    assert_eq!(of_ada, [(Some("192.0.2.7"), 15.0)]);
    assert!(came_in.iter().any(|(it, _)| it["user"] == "grace" && it["ip"] == "2001:db8::7"));
    let refused = client.logql(who_was_refused).await?;
    let users: BTreeSet<_> = refused.iter().filter_map(|(it, _)| it["user"].as_str()).collect();
    assert_eq!(users.into_iter().collect::<Vec<_>>(), ["admin", "root"]);
    Ok(())
}

#[tokio::test]
async fn the_guides_queries_find_what_the_journal_has() -> anyhow::Result<()> {
    if let Some(why) = Journald::unavailable() {
        skipped("the_guides_queries_find_what_the_journal_has", why);
        return Ok(());
    }
    let dir = tempfile::tempdir()?;
    let host = Host::start(dir.path(), "").await?;
    check_guide(&host.client).await?;
    let lines = host.client.lines(blocks("logql")[4], 100).await?;
    // Not what was refused.
    assert_eq!(lines.len(), 15);
    assert!(lines.iter().all(|(_, it)| it == "ada as root: /usr/bin/apt update"), "{lines:?}");
    Ok(())
}

#[tokio::test]
async fn dashboards_for_syslog_have_data_of_the_journal() -> anyhow::Result<()> {
    let name = "dashboards_for_syslog_have_data_of_the_journal";
    if let Some(why) = Journald::unavailable() {
        skipped(name, why);
        return Ok(());
    }
    let settings = blocks("toml agent").first().copied().context("the guide has no settings")?;
    let settings = settings.strip_prefix("[journal]\n").context("they begin with [journal]")?;
    let dir = tempfile::tempdir()?;
    let host = Host::start(dir.path(), settings).await?;
    check_panels(&host.client, SHIPPED, "bee-1").await?;
    check_guide(&host.client).await?;
    // The process is in the line and not a label, and lines of others are as they were.
    let lines = host
        .client
        .lines(r#"{app="sshd", pid=""} |~ "^bee-1 sshd\\[\\d+\\]: Accepted""#, 9)
        .await?;
    assert_eq!(lines.len(), 9);
    let others = host.client.lines(r#"{unit="systemd.service"} |~ "^Started session""#, 9).await?;
    assert_eq!(others.len(), 9);
    match std::env::var_os(DASHBOARDS) {
        Some(file) => check_dashboards(&host.client, Path::new(&file)).await,
        None => {
            skipped(name, &format!("{DASHBOARDS} names no file; the panels above are theirs, too"));
            Ok(())
        }
    }
}

/// All expressions of the SSH dashboards in a file, with their variables filled in.
async fn check_dashboards(client: &Client, file: &Path) -> anyhow::Result<()> {
    let file: Value = serde_json::from_str(&fs::read_to_string(file)?)?;
    let sources =
        file.get("sources").and_then(Value::as_object).context("the file has no sources")?;
    let mut n = 0;
    let mut empty = Vec::new();
    for (_, source) in sources {
        if !source["title"].as_str().is_some_and(|it| it.contains("SSH")) {
            continue;
        }
        for expression in source["logql"].as_array().into_iter().flatten().filter_map(Value::as_str)
        {
            let mut query = expression.to_owned();
            for (variable, value) in [
                ("$label_name", "app"),
                ("$label_value", "sshd"),
                ("$job", "systemd-journal"),
                ("$instance", "bee-1"),
                ("$__auto", "5m"),
                ("$__interval", "5m"),
            ] {
                query = query.replace(variable, value);
            }
            n += 1;
            if !has_data(client, &query).await? {
                empty.push(query);
            }
        }
    }
    assert!(n > 0 && empty.is_empty(), "{} of {n} show nothing: {empty:#?}", empty.len());
    Ok(())
}
