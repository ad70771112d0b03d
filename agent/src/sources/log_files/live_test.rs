//! Log files followed by the real thread, woken by the real kernel.

use std::{
    collections::BTreeMap,
    fs::{self, OpenOptions},
    io::Write as _,
    path::PathBuf,
    sync::Arc,
    time::Duration,
};

use expect_test::expect;
use prost::Message as _;
use skep_proto::{Clock, SystemClock, loki_push::PushRequest, snappy};
use tokio::runtime::Handle;

use super::{FilesJob, RawFiles, start};
use crate::{
    own_metrics::OwnMetrics,
    sources::feed::FeedThread,
    spool::{Spool, SpoolLimits, disk::Directory},
};

struct Lab {
    dir: tempfile::TempDir,
}

impl Lab {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        fs::create_dir(dir.path().join("log")).unwrap();
        Self { dir }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join("log").join(name)
    }

    fn write(&self, name: &str, text: &str) {
        let path = self.path(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        let mut file = OpenOptions::new().create(true).append(true).open(path).unwrap();
        file.write_all(text.as_bytes()).unwrap();
    }

    fn spool(&self) -> Arc<Spool> {
        let directory = Directory::open(&self.dir.path().join("spool")).unwrap();
        let limits = SpoolLimits { bytes_max: 1 << 30, age_max: Duration::from_secs(1 << 40) };
        Arc::new(Spool::open(Box::new(directory), limits, Arc::new(SystemClock)).unwrap())
    }

    /// With what stands in `[[files]]`, `LOG` being the folder.
    fn start(&self, spool: &Arc<Spool>, toml: &str) -> FeedThread {
        let toml = toml.replace("LOG", self.dir.path().join("log").to_str().unwrap());
        let raw: RawFiles = toml::from_str(&toml).unwrap();
        let own = Arc::new(OwnMetrics::default());
        let host = [("host".to_owned(), "lab1".to_owned())];
        let jobs = FilesJob::all(vec![raw], &host, &own.pipeline).unwrap();
        let clock: Arc<dyn Clock> = Arc::new(SystemClock);
        start(jobs, Arc::clone(spool), own, clock, &Handle::current()).unwrap()
    }

    /// Streams and lines of what a server that takes everything has got, once there are `n`.
    async fn deliver(&self, spool: &Spool, n: usize) -> String {
        let mut got: BTreeMap<String, Vec<String>> = BTreeMap::new();
        let all = async {
            while got.values().map(Vec::len).sum::<usize>() < n {
                let Some(record) = spool.front().unwrap() else {
                    spool.arrived().await;
                    continue;
                };
                let plain = snappy::decompress(&record.batch.body, 64 << 20).unwrap();
                for stream in PushRequest::decode(plain.as_slice()).unwrap().streams {
                    let lines = stream.entries.into_iter().map(|it| it.line);
                    got.entry(stream.labels).or_default().extend(lines);
                }
                spool.ack(&record).unwrap();
            }
        };
        let in_time = tokio::time::timeout(Duration::from_secs(60), all).await;
        assert!(in_time.is_ok(), "only {got:?} came");
        let root = self.dir.path().to_str().unwrap();
        let shown: Vec<String> = got
            .into_iter()
            .map(|(labels, lines)| format!("{labels} {}", lines.join(",")))
            .collect();
        shown.join("\n").replace(root, "")
    }

    async fn stop(source: FeedThread) {
        tokio::task::spawn_blocking(|| source.stop()).await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn files_are_found_and_followed_over_a_rotation_and_a_restart() {
    let lab = Lab::new();
    lab.write("a.log", "a1\na2\n");
    lab.write("debug.log", "not this\n");
    lab.write("old.log.gz", "nor this\n");
    let settings = r#"paths = ["LOG/**/*.log*"]
        exclude = ["LOG/debug*", "LOG/a.log.1"]"#;
    let spool = lab.spool();
    let source = lab.start(&spool, settings);
    expect![[r#"{filename="/log/a.log", host="lab1", job="files"} a1,a2"#]]
        .assert_eq(&lab.deliver(&spool, 2).await);
    lab.write("new/b.log", "b1\n");
    fs::rename(lab.path("a.log"), lab.path("a.log.1")).unwrap();
    lab.write("a.log.1", "a3\n");
    lab.write("a.log", "a4\nunfinished");
    let got = lab.deliver(&spool, 3).await;
    assert!(got.contains("a3") && got.contains("a4") && got.contains("b1"), "{got}");
    Lab::stop(source).await;
    drop(spool);

    lab.write("a.log", " no more\n");
    let spool = lab.spool();
    let source = lab.start(&spool, settings);
    expect![[r#"{filename="/log/a.log", host="lab1", job="files"} unfinished no more"#]]
        .assert_eq(&lab.deliver(&spool, 1).await);
    Lab::stop(source).await;
    assert_eq!(spool.front().unwrap(), None, "nothing comes twice");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_may_be_followed_from_its_end_and_cut_to_length() {
    let lab = Lab::new();
    lab.write("a.log", "old\nolder\nbegun");
    let settings = r#"job = "j"
        paths = ["LOG/a.log", "LOG/late.log"]
        start = "end"
        max_line_bytes = 8
        labels = { kind = "x" }"#;
    let spool = lab.spool();
    let source = lab.start(&spool, settings);
    // Until the file is open its end is not known: nothing is sent, so its position tells.
    let deadline = tokio::time::Instant::now() + Duration::from_secs(60);
    while fs::read_dir(lab.dir.path().join("spool")).unwrap().count() == 0 {
        assert!(tokio::time::Instant::now() < deadline, "the file was not opened");
        tokio::task::yield_now().await;
    }
    lab.write("a.log", " here and long\n");
    expect![[r#"{filename="/log/a.log", host="lab1", job="j", kind="x"} begun he"#]]
        .assert_eq(&lab.deliver(&spool, 1).await);
    lab.write("late.log", "l1\n");
    expect![[r#"{filename="/log/late.log", host="lab1", job="j", kind="x"} l1"#]]
        .assert_eq(&lab.deliver(&spool, 1).await);
    Lab::stop(source).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn containers_of_docker_have_names_and_rules() {
    let lab = Lab::new();
    let line = |text: &str| {
        format!(
            "{{\"log\":\"{text}\\n\",\"stream\":\"stdout\",\"time\":\"2026-01-15T12:00:00Z\"}}\n"
        )
    };
    for (id, name, project) in [("f00", "web", "site"), ("ba4", "db", "other")] {
        let config = format!(
            r#"{{"ID":"{id}","Name":"/{name}","Config":{{"Labels":{{"com.docker.compose.project":"{project}"}}}}}}"#
        );
        lab.write(&format!("{id}/config.v2.json"), &config);
        lab.write(&format!("{id}/{id}-json.log"), &line(name));
    }
    let settings = r#"job = "docker"
        paths = ["LOG/*/*-json.log"]
        format = "docker"
        relabel_configs = [
            { source_labels = ["__meta_docker_container_label_com_docker_compose_project"], regex = "other", action = "drop" },
            { source_labels = ["__meta_docker_container_id"], target_label = "id" },
        ]
        pipeline_stages = [{ static_labels = { kind = "x" } }]"#;
    let spool = lab.spool();
    let source = lab.start(&spool, settings);
    expect![[
        r#"{container="web", host="lab1", id="f00", job="docker", kind="x", stream="stdout"} web"#
    ]]
    .assert_eq(&lab.deliver(&spool, 1).await);
    Lab::stop(source).await;
    assert_eq!(spool.front().unwrap(), None);
}
