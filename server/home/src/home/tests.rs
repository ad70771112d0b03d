//! The home page from its file to what callers see of it.

use std::time::Duration;

use async_trait::async_trait;
use skep_proto::{SampleRows, SystemClock};
use tokio::sync::mpsc;

use super::*;
use crate::{
    config::{Limits, Source},
    samples::SinkError,
};

const PATIENCE: Duration = Duration::from_secs(20);

/// Sends on what arrives, a series a line.
#[derive(Debug)]
struct Lines(mpsc::UnboundedSender<String>);

#[async_trait]
impl Sink for Lines {
    async fn append(&self, rows: &SampleRows<'_>) -> Result<(), SinkError> {
        for row in rows.series() {
            let skep_proto::SeriesKey::Labels(labels, _) = row.key else { continue };
            let values: Vec<_> = row.bits.iter().map(|it| f64::from_bits(*it)).collect();
            self.0
                .send(format!("{labels:?} {values:?}"))
                .map_err(|it| SinkError(it.to_string()))?;
        }
        Ok(())
    }
}

struct Started {
    home: Arc<Home>,
    tasks: Tasks,
    lines: mpsc::UnboundedReceiver<String>,
    shutdown: CancellationToken,
}

fn start(source: Option<Source>, visitors: Visitors) -> Started {
    let settings = Settings {
        source,
        icons_dir: None,
        visitors,
        limits: Limits { interval: Duration::from_secs(1), ..Limits::default() },
    };
    let file = HomeFile::load(&settings, &|_| None).unwrap();
    let site = |name: &str, audience| ProxiedSite {
        name: name.to_owned(),
        href: format!("https://{name}/"),
        audience,
    };
    let sites = vec![
        site("photos.lan", Caller::Anonymous),
        site("git.lan", Caller::Viewer),
        site("root.lan", Caller::Admin),
    ];
    let (sender, lines) = mpsc::unbounded_channel();
    let shutdown = CancellationToken::new();
    let clock = Arc::new(SystemClock);
    let (home, tasks) =
        Home::start(settings, file, sites, Arc::new(Lines(sender)), clock, &shutdown);
    Started { home, tasks, lines, shutdown }
}

impl Started {
    /// The view of a caller, once it is as wanted.
    async fn until(&self, caller: Caller, is_wanted: impl Fn(&View) -> bool) -> View {
        let wait = async {
            loop {
                let view = self.home.view(caller);
                if is_wanted(&view) {
                    return view;
                }
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
        };
        tokio::time::timeout(PATIENCE, wait).await.expect("it did not come to be")
    }
}

const FILE: &str = r#"
title = "</title><script>alert(1)</script>"
[[groups]]
name = "Open & \"wide\" <b>"
[[groups.services]]
name = "<img src=x onerror=alert(1)>"
href = "https://a.lan/\"onmouseover=alert(1)"
description = "'\"><script>alert(2)</script>"
check = "off"
[[groups.services]]
name = "Secret service"
check = "off"
private = true
[[groups]]
name = "Secret group"
private = true
[[groups.services]]
name = "Hidden"
check = "off"
[[bookmarks]]
name = "Secret links"
private = true
[[bookmarks.links]]
name = "Hidden link"
href = "https://hidden.lan/"
[[widgets]]
name = "Secret figure"
promql = "secret_total"
[found]
hide = ["hidden.service"]
"#;

#[tokio::test]
async fn each_caller_sees_what_is_theirs_in_data_and_html() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("home.toml");
    std::fs::write(&path, FILE).unwrap();
    let started = start(Some(Source::File(path.clone())), Visitors::Anybody);
    let index = "<html lang=\"en\"><title>Skep</title><body><!--home--></body></html>";
    let shown = |home: &Home, caller| {
        let view = home.view(caller);
        view.to_json().unwrap() + &crate::page(index, &view).unwrap()
    };
    let stranger = shown(&started.home, Caller::Anonymous);
    for secret in ["ecret", "Hidden", "hidden.", "git.lan", "root.lan", "home.toml"] {
        assert!(!stranger.contains(secret), "{secret} in {stranger}");
    }
    assert!(stranger.contains("photos.lan") && stranger.contains("Open &amp; &quot;wide&quot;"));
    let viewer = shown(&started.home, Caller::Viewer);
    for theirs in ["Secret service", "Hidden link", "git.lan", "secret_total", "hidden.service"] {
        assert!(viewer.contains(theirs), "no {theirs} in {viewer}");
    }
    assert!(!viewer.contains("root.lan"));
    assert!(shown(&started.home, Caller::Admin).contains("root.lan"));

    let other = ProxiedSite {
        name: "new.lan".to_owned(),
        href: "https://new.lan/".to_owned(),
        audience: Caller::Anonymous,
    };
    started.home.show_sites(vec![other]);
    let stranger = shown(&started.home, Caller::Anonymous);
    assert!(stranger.contains("new.lan") && !stranger.contains("photos.lan"), "{stranger}");

    let closed = start(Some(Source::File(path)), Visitors::LoggedIn);
    let stranger = shown(&closed.home, Caller::Anonymous);
    assert!(!stranger.contains("photos.lan") && !stranger.contains("wide"), "{stranger}");
}

#[tokio::test]
async fn no_name_in_a_file_becomes_markup() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("home.toml");
    std::fs::write(&path, FILE).unwrap();
    let started = start(Some(Source::File(path)), Visitors::LoggedIn);
    let index = "<html lang=\"en\"><title>Skep</title><body><!--home--></body></html>";
    let html = crate::page(index, &started.home.view(Caller::Viewer)).unwrap();
    for tag in ["<script>", "<img src=x", "<b>"] {
        assert!(!html.contains(tag), "{tag} in {html}");
    }
    // Nor does it end an attribute.
    let (markup, _data) = html.split_once("<script type=").unwrap();
    assert!(!markup.contains("\"onmouseover"), "{html}");
    assert_eq!(html.matches("</script>").count(), 1, "{html}");
    assert_eq!(html.matches("</title>").count(), 1, "{html}");
}

#[tokio::test]
async fn results_of_checks_are_shown_and_become_samples() {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("home.toml");
    let text = format!(
        "[[groups]]\nname = \"A\"\n[[groups.services]]\nname = \"open\"\ncheck = \"tcp://127.0.0.1:{port}\"\n\
         [[groups.services]]\nname = \"shut\"\ncheck = \"tcp://127.0.0.1:1\"\n"
    );
    std::fs::write(&path, text).unwrap();
    let mut started = start(Some(Source::File(path)), Visitors::Anybody);
    let states = |view: &View| {
        let all = view.groups[0].services.iter();
        all.map(|it| (it.check.state, it.check.error.is_some())).collect::<Vec<_>>()
    };
    use crate::view::State::{Down, Up};
    started.until(Caller::Viewer, |it| states(it) == [(Up, false), (Down, true)]).await;
    // What an error says is not for strangers.
    started.until(Caller::Anonymous, |it| states(it) == [(Up, false), (Down, false)]).await;
    let mut wanted = vec![
        r#"[("__name__", "skep_service_up"), ("group", "A"), ("service", "open")] [1.0]"#,
        r#"[("__name__", "skep_service_up"), ("group", "A"), ("service", "shut")] [0.0]"#,
    ];
    while !wanted.is_empty() {
        let line = tokio::time::timeout(PATIENCE, started.lines.recv()).await.unwrap().unwrap();
        wanted.retain(|it| *it != line);
    }
    started.shutdown.cancel();
    tokio::time::timeout(PATIENCE, started.tasks.wait()).await.expect("the tasks end");
}

#[tokio::test]
async fn a_changed_file_shows_at_once_and_a_bad_one_changes_nothing_but_is_told() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("home.toml");
    std::fs::write(&path, "title = \"one\"\n").unwrap();
    let started = start(Some(Source::File(path.clone())), Visitors::LoggedIn);
    assert_eq!(started.home.view(Caller::Viewer).title, "one");
    // As most editors write: another file under the same name.
    let next = dir.path().join("home.toml.new");
    std::fs::write(&next, "title = \"two\"\n").unwrap();
    std::fs::rename(&next, &path).unwrap();
    started.until(Caller::Viewer, |it| it.title == "two").await;
    std::fs::write(&path, "title = \"three\"\ncolour = 1\n").unwrap();
    let view = started.until(Caller::Admin, |it| !it.faults.is_empty()).await;
    assert_eq!(view.title, "two");
    assert_eq!((view.faults[0].line, view.faults[0].key.as_str()), (2, "colour"));
    assert!(started.home.view(Caller::Viewer).faults.is_empty());
    std::fs::write(&path, "title = \"four\"\n").unwrap();
    started.until(Caller::Admin, |it| it.title == "four" && it.faults.is_empty()).await;
}
