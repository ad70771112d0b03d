//! What a file may say, and what is said about a file that is wrong.

use expect_test::{Expect, expect};

use super::*;

fn config(text: &str) -> Result<Config, String> {
    let raw: RawConfig = toml::from_str(text).map_err(|error| error.message().to_owned())?;
    Config::from_raw(raw, "lab1").map_err(|error| error.to_string())
}

#[track_caller]
#[expect(clippy::needless_pass_by_value, reason = "`expect!` makes a value")]
fn check_refused(text: &str, expected: Expect) {
    expected.assert_eq(&config(text).expect_err("should be refused"));
}

const SERVER: &str = "server.url = \"http://127.0.0.1:9090\"\n";

#[test]
fn little_is_needed() {
    let config = config(SERVER).unwrap();
    assert_eq!(config.host, "lab1");
    assert_eq!(config.interval, Duration::from_secs(15));
    assert_eq!(config.server.url, "http://127.0.0.1:9090");
    assert_eq!(config.remote_write, RemoteWriteVersion::Auto);
    assert_eq!(config.journal.max_age, Duration::from_secs(25_200));
    assert_eq!(
        config.labels,
        [("instance", "lab1"), ("job", "node")].map(|(a, b)| (a.to_owned(), b.to_owned()))
    );
    assert_eq!(config.expose, None);
}

#[test]
fn every_key_is_taken() {
    let config = config(
        r#"
        host = "h"
        data_dir = "/d"
        interval = "500s"
        [server]
        url = "https://skep.example/"
        token_file = "/t"
        ca_file = "/c"
        [remote_write]
        version = "1"
        [journal]
        enabled = false
        directory = "/j"
        max_age = "1d"
        [spool]
        max_bytes = 20000000
        max_age = "90m"
        [collectors.textfile]
        directories = ["/x"]
        [expose]
        listen = "[::1]:9100"
        [ebpf]
        enabled = false
        units_max = 50
        [roots]
        proc = "/h/proc"
        sys = "/h/sys"
        udev = "/h/udev"
        root = "/h"
        [labels]
        job = "lab"
        site = "attic"
        "#,
    )
    .unwrap();
    assert_eq!(config.server.url, "https://skep.example");
    assert_eq!(config.server.credential, CredentialConfig::TokenFile("/t".into()));
    assert_eq!(config.remote_write, RemoteWriteVersion::V1);
    assert_eq!(config.spool_age_max, Duration::from_secs(5400));
    assert_eq!(config.roots.root, PathBuf::from("/h"));
    assert_eq!(config.collectors.textfile.directories, [PathBuf::from("/x")]);
    assert!(!config.journal.is_enabled && !config.is_ebpf_enabled);
    assert_eq!(config.units_max, 50);
    let pair = |name: &str, value: &str| (name.to_owned(), value.to_owned());
    assert_eq!(config.labels, [pair("instance", "h"), pair("job", "lab"), pair("site", "attic")]);
    assert_eq!(config.stream_labels, [pair("site", "attic")]);
}

#[test]
fn the_guides_example_is_right() {
    let guide = include_str!("../../../docs/guide/agent.md");
    let example = guide.split("```toml\n").nth(1).and_then(|it| it.split("```").next());
    let config = config(example.expect("the guide has an example")).unwrap();
    assert_eq!(config.host, "bee-1");
    // What is written as an example of a default is the default.
    let least = Config::from_raw(toml::from_str(SERVER).unwrap(), "bee-1").unwrap();
    assert_eq!(config.data_dir, least.data_dir);
    assert_eq!(config.interval, least.interval);
    assert_eq!(config.remote_write, least.remote_write);
    assert_eq!(config.journal.max_age, least.journal.max_age);
    assert_eq!(config.spool_bytes_max, least.spool_bytes_max);
    assert_eq!(config.spool_age_max, least.spool_age_max);
    assert_eq!(config.roots.udev, least.roots.udev);
}

#[test]
fn the_packages_file_is_right() {
    let packaged = config(include_str!("../../dist/agent.toml")).unwrap();
    let token = CredentialConfig::TokenFile("/etc/skep/agent-token".into());
    assert_eq!(packaged.server.credential, token);
    // The folder that the unit may write.
    assert_eq!(packaged.data_dir, PathBuf::from("/var/lib/skep-agent"));
}

#[test]
fn the_page_of_all_settings_is_right() {
    let guides = [
        include_str!("../../../docs/guide/agent.md"),
        include_str!("../../../docs/guide/collectors.md"),
    ];
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
    let settings = settings_page::settings::<RawConfig>(&guides);
    settings_page::check(&root.join("docs/guide/configuration.md"), "agent.toml", &settings);
}

#[test]
fn the_example_of_logs_is_right() {
    let guide = include_str!("../../../docs/guide/logs.md");
    let example = guide.split("```toml\n").nth(1).and_then(|it| it.split("```").next());
    let config = config(example.expect("the guide has an example")).unwrap();
    assert_eq!(config.files.len(), 3);
    assert_eq!(config.journal.select.matches.len(), 2);
    assert_eq!(config.journal.boot, Boot::Current);
}

#[test]
fn what_is_wrong_is_named_with_what_to_write() {
    check_refused(
        &format!("interval = \"15\"\n{SERVER}"),
        expect![[
            r#"interval "15" is no duration; write a number with ms, s, m, h or d, as in "15s""#
        ]],
    );
    check_refused(
        &format!("interval = \"10ms\"\n{SERVER}"),
        expect![[r#"interval "10ms" is out of range; it must be 1s to 3600s"#]],
    );
    check_refused(
        &format!("{SERVER}\n[ebpf]\nunits_max = 0"),
        expect![[r#"ebpf.units_max "0" is out of range; it must be 1 to 2048"#]],
    );
    check_refused(
        "server.url = \"skep:9090\"",
        expect![[r#"server.url "skep:9090" is no address; write "https://HOST[:PORT]""#]],
    );
    check_refused(
        &format!("intervall = \"15s\"\n{SERVER}"),
        expect![[
            r#"unknown field `intervall`, expected one of `host`, `data_dir`, `interval`, `server`, `remote_write`, `journal`, `files`, `spool`, `collectors`, `expose`, `ebpf`, `roots`, `labels`"#
        ]],
    );
    check_refused(
        &format!("{SERVER}labels.\"a-b\" = \"c\""),
        expect![[r#"label name "a-b" is not allowed; use letters, digits and _, not __name__"#]],
    );
    check_refused(
        &format!("{SERVER}expose.listen = \"0.0.0.0:9100\""),
        expect![[
            r#"expose.listen 0.0.0.0:9100 is reachable from outside; set expose.public = true if that is meant"#
        ]],
    );
    check_refused(
        &format!("{SERVER}spool.max_bytes = 5"),
        expect![[r#"spool.max_bytes "5" is out of range; it must be at least 16777216"#]],
    );
    check_refused(
        &format!("{SERVER}server.token_file = \"/t\"\nserver.enrolment_token_file = \"/e\""),
        expect![[
            r#"server.token_file and server.enrolment_token_file are both there; the agent has one credential, so leave one out"#
        ]],
    );
    check_refused("host = \"a\"", expect![[r#"missing field `server`"#]]);
}

#[test]
fn durations_have_a_number_and_a_unit() {
    for (text, seconds) in [("15s", 15), ("2m", 120), ("7h", 25_200), ("7d", 604_800)] {
        assert_eq!(parse_duration(text), Some(Duration::from_secs(seconds)));
    }
    assert_eq!(parse_duration("500ms"), Some(Duration::from_millis(500)));
    for text in ["", "s", "15", "-1s", "1.5s", "1w", "99999999999999999999s"] {
        assert_eq!(parse_duration(text), None, "{text}");
    }
}
