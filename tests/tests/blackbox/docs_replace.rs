//! docs/guide/replace-your-stack.md, step by step: settings are taken, files of others are
//! converted, history comes in and goes out. (That Prometheus sends and reads is in `clients`.)

use std::{fs, path::Path, process::Output};

use anyhow::{Context as _, ensure};
use skep_proto::{Clock as _, SystemClock};
use skep_tests::{Server, bin_dir};
use tokio::process::Command;

const GUIDE: &str = include_str!("../../../docs/guide/replace-your-stack.md");
/// Exit code of a wrong configuration.
const EXIT_CONFIG: i32 = 78;

const CADDYFILE: &str = "photos.home.lan {\n\treverse_proxy localhost:2283\n}\n";
const PROMTAIL: &str = "clients:\n  - url: https://skep.home.lan:8443/loki/api/v1/push\n\
                        scrape_configs:\n  - job_name: web\n    static_configs:\n      \
                        - targets: [localhost]\n        labels: { job: web, __path__: /var/log/web/*.log }\n";
const PROMETHEUS: &str = "global: { scrape_interval: 30s }\nscrape_configs:\n  - job_name: nas\n    \
                          static_configs: [{ targets: ['nas.home.lan:9100'] }]\n";
const HOMEPAGE: &str =
    "- Media:\n    - Photos:\n        href: https://photos.home.lan\n        icon: immich\n";

fn blocks(language: &str) -> Vec<&'static str> {
    let opening = format!("```{language}\n");
    GUIDE.split(&opening).skip(1).filter_map(|it| it.split("```").next()).collect()
}

/// The guide's commands that begin like this, as it has them.
fn lines_of(beginning: &str) -> Vec<&'static str> {
    let lines = blocks("sh").into_iter().flat_map(str::lines);
    lines.filter(|it| it.starts_with(beginning)).collect()
}

async fn run(dir: &Path, words: &[&str]) -> anyhow::Result<Output> {
    let (program, arguments) = words.split_first().context("no command")?;
    let mut command = Command::new(bin_dir().join(program));
    command.args(arguments).current_dir(dir).output().await.with_context(|| format!("{words:?}"))
}

fn told(output: &Output) -> String {
    let [out, err] = [&output.stdout, &output.stderr].map(|it| String::from_utf8_lossy(it));
    format!("{}\n{out}{err}", output.status)
}

#[tokio::test]
async fn the_settings_of_each_step_are_taken() -> anyhow::Result<()> {
    let dir = tempfile::tempdir()?;
    let homepage = dir.path().join("homepage");
    fs::create_dir(&homepage)?;
    fs::write(homepage.join("services.yaml"), HOMEPAGE)?;
    fs::write(dir.path().join("prometheus.yml"), PROMETHEUS)?;
    fs::write(dir.path().join("ca.pem"), "")?;
    let data_dir = format!("data_dir = {:?}\n", dir.path().join("data"));
    let servers = blocks("toml server");
    assert_eq!(servers.len(), 3);
    for block in servers {
        let block = block.replace("/srv/homepage/config", &homepage.display().to_string());
        fs::write(dir.path().join("server.toml"), format!("{data_dir}{block}"))?;
        let output = run(dir.path(), &["skep-server", "check", "server.toml"]).await?;
        assert!(output.status.success(), "{block}\n{}", told(&output));
    }
    let agents = blocks("toml agent");
    assert_eq!(agents.len(), 2);
    for block in agents {
        let server = "[server]\nurl = \"http://127.0.0.1:9\"\n";
        let server = if block.contains("[server]") { "" } else { server };
        fs::write(dir.path().join("agent.toml"), format!("{data_dir}{server}{block}"))?;
        let output = run(dir.path(), &["skep-agent", "check", "--config", "agent.toml"]).await?;
        assert_ne!(output.status.code(), Some(EXIT_CONFIG), "{block}\n{}", told(&output));
    }
    Ok(())
}

#[tokio::test]
async fn what_others_read_is_converted() -> anyhow::Result<()> {
    let dir = tempfile::tempdir()?;
    for (file, text) in [("Caddyfile", CADDYFILE), ("promtail.yaml", PROMTAIL)] {
        fs::write(dir.path().join(file), text)?;
    }
    let typed = lines_of("skep-server convert");
    assert_eq!(typed, ["skep-server convert /etc/caddy/Caddyfile -o sites.toml"]);
    let words = ["skep-server", "convert", "Caddyfile", "-o", "sites.toml"];
    let output = run(dir.path(), &words).await?;
    assert!(output.status.success(), "{}", told(&output));
    let sites = fs::read_to_string(dir.path().join("sites.toml"))?;
    assert!(sites.contains("photos.home.lan"), "{sites}");
    let output = run(dir.path(), &["skep-server", "check", "sites.toml"]).await?;
    assert!(output.status.success(), "{sites}\n{}", told(&output));

    let typed = lines_of("skep-agent convert");
    assert_eq!(typed, ["skep-agent convert /etc/promtail/promtail.yaml > agent.toml"]);
    let output = run(dir.path(), &["skep-agent", "convert", "promtail.yaml"]).await?;
    assert!(output.status.success(), "{}", told(&output));
    fs::write(dir.path().join("agent.toml"), &output.stdout)?;
    let output = run(dir.path(), &["skep-agent", "check", "--config", "agent.toml"]).await?;
    assert_ne!(output.status.code(), Some(EXIT_CONFIG), "{}", told(&output));
    Ok(())
}

/// Runs a command of the guide in a folder with its files, against this server.
async fn run_typed(dir: &Path, server: &Server, line: &str) -> anyhow::Result<()> {
    let url = server.url();
    let words: Vec<&str> = line
        .split_whitespace()
        .map(|it| if it == "https://localhost:8443" { url.as_str() } else { it })
        .collect();
    let output = run(dir, &words).await?;
    ensure!(output.status.success(), "{line}\n{}", told(&output));
    Ok(())
}

#[tokio::test]
async fn the_past_comes_in_and_goes_out() -> anyhow::Result<()> {
    let dir = tempfile::tempdir()?;
    let server = Server::start(dir.path(), "").await?;
    let client = server.client()?;
    fs::write(dir.path().join("token"), server.token())?;
    fs::copy(server.ca_file(), dir.path().join("ca.pem"))?;
    let at_s = SystemClock.now().to_ms().0 / 1_000 - 60;
    let write = |file: &str, text: String| fs::write(dir.path().join(file), text);
    // As VictoriaMetrics' export, promtool's dump and a line that jq made of Loki's answer have it.
    write(
        "samples.jsonl",
        format!(
            "{{\"metric\":{{\"__name__\":\"of_vm\",\"job\":\"a\"}},\"values\":[1.5],\"timestamps\":[{at_s}000]}}\n"
        ),
    )?;
    write("samples.om", format!("of_prometheus{{job=\"a\"}} 2.5 {at_s}.0\n# EOF\n"))?;
    write(
        "lines.jsonl",
        format!(
            "{{\"stream\":{{\"job\":\"a\"}},\"values\":[[\"{at_s}000000000\",\"of loki\"]]}}\n"
        ),
    )?;
    let imports = lines_of("skep-server import");
    assert_eq!(imports.len(), 3);
    // Twice is as once.
    for line in imports.iter().chain(&imports) {
        run_typed(dir.path(), &server, line).await?;
    }
    let value = async |query: &str| {
        let found = client.promql(query).await?;
        anyhow::Ok(found.iter().map(|(_, it)| *it).collect::<Vec<_>>())
    };
    assert_eq!(value("of_vm").await?, [1.5]);
    assert_eq!(value("of_prometheus").await?, [2.5]);
    assert_eq!(value("count_over_time(of_vm[10m])").await?, [1.0]);
    let lines = client.lines(r#"{job="a"}"#, 10).await?;
    assert_eq!(lines.iter().map(|(_, it)| it.as_str()).collect::<Vec<_>>(), ["of loki"]);

    let exports = lines_of("skep-server export");
    assert_eq!(exports.len(), 2);
    for line in exports {
        run_typed(dir.path(), &server, line).await?;
    }
    let samples = fs::read_to_string(dir.path().join("samples.jsonl"))?;
    assert!(samples.contains("of_vm") && samples.contains("of_prometheus"), "{samples}");
    assert!(fs::read_to_string(dir.path().join("lines.jsonl"))?.contains("of loki"));
    Ok(())
}
