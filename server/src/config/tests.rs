//! What a file may say, and what is said about a file that is wrong.

use std::time::Duration;

use expect_test::{Expect, expect};
use skep_api::IngestionRate;
use skep_front::{Domain, Scope};
use skep_receive::loki_push::Rules;

use super::Config;

#[path = "../../../tests/shared/settings_page.rs"]
mod settings_page;

const GUIDE: &str = include_str!("../../../docs/guide/server.md");

const FRONT: &str = include_str!("../../../docs/services/front.md");

fn example() -> &'static str {
    let example = GUIDE.split("```toml\n").nth(1).and_then(|it| it.split("```").next());
    example.expect("the guide has an example")
}

#[track_caller]
fn check_refused(text: &str, expected: &Expect) {
    let error = Config::parse(text).unwrap_err();
    expected.assert_eq(format!("{error:#}").trim_end());
}

#[test]
fn the_guides_example_is_right_and_its_defaults_are_the_defaults() {
    let example = Config::parse(example()).unwrap();
    let least = Config::parse("").unwrap();
    assert_eq!(example.data_dir, least.data_dir);
    assert_eq!(format!("{:?}", example.store), format!("{:?}", least.store));
    assert_eq!(example.query, least.query);
    assert_eq!(format!("{:?}", example.api), format!("{:?}", least.api));
    assert_eq!(format!("{:?}", example.front.limits), format!("{:?}", least.front.limits));
    assert_eq!(format!("{:?}", example.home), format!("{:?}", least.home));
    assert_eq!(example.front.domain, least.front.domain);
    assert_eq!(example.front.https, least.front.https);
    assert_eq!(example.front.users.len(), 1);
    assert_eq!(example.front.tokens.len(), 1);
}

#[test]
fn the_packages_file_changes_nothing_and_its_comments_are_right() {
    const PACKAGED: &str = include_str!("../../dist/server.toml");
    let least = Config::parse("").unwrap();
    let packaged = Config::parse(PACKAGED).unwrap();
    assert_eq!(packaged.data_dir, least.data_dir);
    assert_eq!(packaged.front.https, least.front.https);
    assert_eq!(format!("{:?}", packaged.store), format!("{:?}", least.store));
    let settings = PACKAGED.lines().map(|line| match line.strip_prefix("# ") {
        Some(setting) if setting.contains(" = ") => setting,
        _other => line,
    });
    let all = Config::parse(&settings.collect::<Vec<_>>().join("\n")).unwrap();
    assert_eq!(all.front.domain, Domain::parse("skep.home.lan").unwrap());
}

#[test]
fn the_page_of_all_settings_is_right() {
    let guides = [
        GUIDE,
        include_str!("../../../docs/guide/certificates.md"),
        FRONT,
        include_str!("../../../docs/services/homepage.md"),
    ];
    let root = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
    let page = root.join("docs/guide/configuration.md");
    let settings = settings_page::settings::<super::Raw>(&guides);
    settings_page::check(&page, "server.toml", &settings);
}

#[test]
fn every_example_of_the_front_is_right() {
    // The files that examples name are read.
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join("cloudflare-token"), "secret").unwrap();
    let front = FRONT.replace("/etc/skep", &dir.path().display().to_string());
    let examples = front.split("```toml\n").skip(1).filter_map(|it| it.split("```").next());
    let mut n_examples = 0;
    for example in examples {
        let parsed = Config::parse(example);
        assert!(parsed.is_ok(), "{example}\n{:#}", parsed.unwrap_err());
        n_examples += 1;
    }
    assert!(n_examples > 5);
}

#[test]
fn the_guide_knows_every_setting() {
    for (table, head) in [
        ("front", "[front]\n"),
        ("front.plain", "[front.plain]\n"),
        ("front.access_log", "[front.access_log]\n"),
        ("self", "[self]\n"),
        ("memory", "[memory]\n"),
        ("store", "[store]\n"),
        ("object_store", "[object_store]\n"),
        ("query", "[query]\n"),
        ("scrape", "[scrape]\n"),
        ("home", "[home]\n"),
        ("receive", "[receive]\n"),
        ("users", "[[users]]\n"),
        ("tokens", "[[tokens]]\n"),
        ("agents", "[agents]\n"),
        ("sites", "[[sites]]\n"),
        ("sites.routes", "[[sites.routes]]\n"),
        ("sites.upstream", "[sites.upstream]\n"),
    ] {
        let parent =
            if table.starts_with("sites.") { "[[sites]]\nhosts = ['a.lan']\n" } else { "" };
        // The refusal lists what may be written.
        let error = Config::parse(&format!("{parent}{head}nosuch = 1")).unwrap_err().to_string();
        let (_, keys) = error.split_once("expected ").expect("the keys are listed");
        let section = example().split_once(head).expect("the guide has the table").1;
        let section = section.split("\n[").next().unwrap();
        let n_found = keys
            .split('`')
            .skip(1)
            .step_by(2)
            .filter(|key| !matches!(*key, "plain" | "routes" | "upstream" | "access_log"))
            .inspect(|key| {
                let is_there = section
                    .lines()
                    .any(|line| line.trim_start_matches("# ").starts_with(&format!("{key} = ")));
                assert!(is_there, "{table}.{key} is not in docs/guide/server.md");
            })
            .count();
        assert!(n_found > 0, "{error}");
    }
}

#[test]
fn what_is_written_is_what_is_set() {
    let config = Config::parse(
        "[front]\nconnections_max = 7\ndrain = '0s'\nheader_max = '16KiB'\n\
         [store]\nretention = 'off'\ndurability = 'interval'\nparts_per_day_max = 3\n\
         [query]\nconcurrency = 2\nlog_series_max = 9\nhistory = 7\n\
         [receive]\nconcurrency = 3\nbody_max = '1MiB'\nline_max = '2KiB'\nlabels_max = 5",
    )
    .unwrap();
    assert_eq!(config.front.limits.connections_max, 7);
    assert!(config.front.limits.drain_deadline.is_zero());
    assert_eq!(config.front.limits.header_bytes_max, 16 << 10);
    assert_eq!(config.store.retention, None);
    expect!["Interval(1s)"].assert_eq(&format!("{:?}", config.store.durability));
    assert_eq!(config.store.parts_per_day_max, 3);
    assert_eq!((config.api.n_queries_max, config.api.n_writes_max), (2, 3));
    assert_eq!(config.api.n_queries_kept, 7);
    assert_eq!(config.query.n_log_series_max, 9);
    assert_eq!(config.api.receive.body_bytes_max, 1 << 20);
    assert_eq!(config.api.receive.line_bytes_max, 2 << 10);
    assert_eq!(config.api.receive.labels_max, 5);
}

#[test]
fn what_loki_calls_its_limits_can_be_written_under_its_names() {
    let config = Config::parse(
        "[receive]\nmax_line_size = '2KiB'\nmax_label_names_per_series = 15\n\
         max_line_size_truncate = true\nmax_line_size_truncate_identifier = '[…]'\n\
         discover_service_name = ['app']\ndiscover_log_levels = false\n\
         reject_old_samples = true\ncreation_grace_period = '10m'\n\
         ingestion_rate = '4MB'",
    )
    .unwrap();
    let (limits, rules) = (&config.api.receive, &config.api.push);
    assert_eq!((limits.line_bytes_max, limits.labels_max), (2 << 10, 15));
    assert_eq!(rules.truncate.as_deref(), Some("[…]"));
    assert_eq!(rules.service_name_labels, ["app"]);
    assert_eq!(rules.levels, None);
    let (day, minute) = (Duration::from_hours(24), Duration::from_mins(1));
    assert_eq!((rules.age_max, rules.ahead_max), (Some(7 * day), Some(10 * minute)));
    let rate = IngestionRate { bytes_per_second: 4_000_000, burst_bytes: 6_000_000 };
    assert_eq!(config.api.ingestion_rate, Some(rate));
    let default = Config::parse("").unwrap();
    assert_eq!(default.api.push, Rules::default());
    assert_eq!(default.api.ingestion_rate, None);
}

/// Each line is a file, `;` for a new line.
const REFUSED: &str = "data_dir = 'x'
    [front];domain = 'a b'
    [front];https = ['8443']
    [front];redirect = 'all:80'
    [front.plain];listen = '0.0.0.0:80'
    [front];connections_max = 0
    [front];session_lifetime = '0s'
    [front];header_max = '5GiB'
    [store];retention = 'forever'
    [store];retention = '200000d'
    [store];sync_interval = '1s'
    [store];flush_bytes = '1GiB'
    [store];parts_per_day_max = 0
    [store];max_bytes = '1MiB'
    [memory];limit = '1MiB'
    [memory];limit = '256MiB';[store];memory_max = '512MiB'
    [query];concurrency = 0
    [query];history = 10001
    [query];log_series_max = 0
    [query];memory_max = 'lots'
    [receive];concurrency = 9000000000000000000
    [receive];body_max = '0MB'
    [receive];labels_max = 0
    [receive];ingestion_rate = '5GiB'
    [receive];ingestion_burst_size = '5MB'
    [receive];line_max = '2B';max_line_size_truncate_identifier = '...'";

/// The same for what lists hold.
const REFUSED_ITEMS: &str = "    [[sites]];hosts = []
    [[sites]];hosts = ['a.lan'];allow = ['lan']
    [[sites]];hosts = ['a.lan'];basic_auth = [{ name = 'a', password_hash = 'secret' }]
    [[sites]];hosts = ['a.lan'];forward_auth = { url = 'authelia:9091' }
    [[sites]];hosts = ['a.lan'];response_headers = { set = { X-A = '{hots}' } }
    [[sites]];hosts = ['a.lan'];[[sites.routes]];path = '/'
    [[sites]];hosts = ['a.lan'];[[sites.routes]];methods = ['get'];respond.status = 200
    [[sites]];hosts = ['a.lan'];[[sites.routes]];respond.status = 99
    [[sites]];hosts = ['a.lan'];[[sites.routes]];respond.status = 200;files.root = '/srv'
    [[sites]];hosts = ['a.lan'];[[sites.routes]];files.root = 'www'
    [[sites]];hosts = ['a.lan'];[[sites.routes]];redirect.to = '//evil.example'
    [[sites]];hosts = ['a.lan'];[[sites.routes]];redirect = { to = '/x', status = 200 }
    [[sites]];hosts = ['a.lan'];[[sites.routes]];open = true;forward_auth.url = 'http://a/';respond.status = 200
    [[tokens]];name = 'a';sha256 = '00';scopes = ['ingest']
    [[users]];name = 'a';password_hash = 'secret'
    [[users]];name = 'a';password_hash = '$argon2id$v=19$m=64,t=1,p=1$c2tlcC1leGFtcGxl';scopes = ['root']
    [[users]];name = 'a';password_hash = '$argon2id$v=19$m=64,t=1,p=1$c2tlcC1leGFtcGxl';role = 'root'
    [[users]];name = 'a';password_hash = '$argon2id$v=19$m=64,t=1,p=1$c2tlcC1leGFtcGxl';role = 'admin';scopes = ['query']
    [[users]];name = 'a';password_hash = '$argon2id$v=19$m=64,t=1,p=1$c2tlcC1leGFtcGxl';totp_secret_file = '/nosuch'";

/// Each file with what is said about it.
fn refusals(files: &str) -> String {
    files.lines().map(str::trim).fold(String::new(), |all, file| {
        let error = Config::parse(&file.replace(';', "\n")).unwrap_err();
        format!("{all}{file}\n  {error:#}\n")
    })
}

#[test]
fn a_wrong_value_is_named_with_its_key_and_what_to_write() {
    expect![[r#"
        data_dir = 'x'
          data_dir "x" is relative; write an absolute path, like "/var/lib/skep"
        [front];domain = 'a b'
          front.domain: domain "a b" is not a DNS name; write one like "home.lan" or "skep.localhost"
        [front];https = ['8443']
          front.https "8443" is not an address; write IP and port, like "127.0.0.1:8443" or "[::]:443": invalid socket address syntax
        [front];redirect = 'all:80'
          front.redirect "all:80" is not an address; write IP and port, like "127.0.0.1:8443" or "[::]:443": invalid socket address syntax
        [front.plain];listen = '0.0.0.0:80'
          front.plain.listen: plain HTTP on 0.0.0.0:80 would send passwords over the network; use an address like 127.0.0.1:8080
        [front];connections_max = 0
          front.connections_max 0 is out of range; write a number from 1 to 1000000
        [front];session_lifetime = '0s'
          front.session_lifetime "0s" is no time at all; write one like "15s"
        [front];header_max = '5GiB'
          front.header_max "5GiB" is too large; write one like "32KiB"
        [store];retention = 'forever'
          store.retention "forever" is not a duration; write a number and a unit, like "30d" or "15s": expected number at 0
        [store];retention = '200000d'
          store.retention "200000d" is too long; write at most "36500d"
        [store];sync_interval = '1s'
          store.sync_interval "1s" does nothing unless store.durability is "interval"; write that too or leave it out
        [store];flush_bytes = '1GiB'
          store.flush_bytes is 1073741824 bytes, not below store.memory_max, 268435456: every write would be refused before the first flush; write a quarter of it
        [store];parts_per_day_max = 0
          store.parts_per_day_max 0 is out of range; write a number from 1 to 1000
        [store];max_bytes = '1MiB'
          store.max_bytes "1MiB" is too small to work in; write at least "16MiB"
        [memory];limit = '1MiB'
          memory.limit "1MiB" is too small to work in; write at least "64MiB"
        [memory];limit = '256MiB';[store];memory_max = '512MiB'
          store.memory_max is 536870912 bytes and query.memory_total 67108864, together more than memory.limit, 268435456; lower them, leave them out, or raise the limit
        [query];concurrency = 0
          query.concurrency 0 is out of range; write a number from 1 to 10000
        [query];history = 10001
          query.history 10001 is out of range; write a number from 0 to 10000
        [query];log_series_max = 0
          query.log_series_max 0 lets nothing through; write a number from 1
        [query];memory_max = 'lots'
          query.memory_max "lots" is not a size (couldn't parse "lots" into a ByteSize, cannot parse float from empty string); write one like "512MiB"
        [receive];concurrency = 9000000000000000000
          receive.concurrency 9000000000000000000 is out of range; write a number from 1 to 10000
        [receive];body_max = '0MB'
          receive.body_max "0MB" lets nothing through; write one like "512MiB"
        [receive];labels_max = 0
          receive.labels_max 0 lets nothing through; write a number from 1
        [receive];ingestion_rate = '5GiB'
          receive.ingestion_rate "5GiB" is too large; write "4GB" at most
        [receive];ingestion_burst_size = '5MB'
          receive.ingestion_burst_size is of no use without receive.ingestion_rate
        [receive];line_max = '2B';max_line_size_truncate_identifier = '...'
          receive.max_line_size_truncate_identifier "..." is longer than a line may be; write a shorter one or raise receive.line_max
    "#]].assert_eq(&refusals(REFUSED));
}

#[test]
fn a_wrong_value_in_a_list_is_named_with_its_place() {
    expect![[r#"
        [[sites]];hosts = []
          sites[0].hosts is empty; write the names of the site, like ["photos.home.lan"]
        [[sites]];hosts = ['a.lan'];allow = ['lan']
          sites[0].allow: "lan" is no network; write one like "10.0.0.0/8", "192.168.1.7" or "private_ranges"
        [[sites]];hosts = ['a.lan'];basic_auth = [{ name = 'a', password_hash = 'secret' }]
          sites[0].basic_auth password_hash of "a"; `skep-server hash-password` makes one: password hash is neither an argon2 PHC string ("$argon2id$v=19$…") nor bcrypt ("$2b$…"): password hash string missing field
        [[sites]];hosts = ['a.lan'];forward_auth = { url = 'authelia:9091' }
          sites[0].forward_auth: "authelia:9091" is no auth server; write the URL it is asked at, like "http://127.0.0.1:9091/api/authz/forward-auth"
        [[sites]];hosts = ['a.lan'];response_headers = { set = { X-A = '{hots}' } }
          sites[0].response_headers: "{hots}" has a placeholder that is not known; there are {host}, {path}, {query}, {uri}, {remote_ip}, {scheme} and {method}, and "{{" is a brace
        [[sites]];hosts = ['a.lan'];[[sites.routes]];path = '/'
          sites[0].routes[0]: nothing answers here; write `to`, `files`, `redirect` or `respond`
        [[sites]];hosts = ['a.lan'];[[sites.routes]];methods = ['get'];respond.status = 200
          sites[0].routes[0].methods: "get" is no method; write one like "GET"
        [[sites]];hosts = ['a.lan'];[[sites.routes]];respond.status = 99
          sites[0].routes[0].respond.status 99 is no final one; write one from 200 to 599
        [[sites]];hosts = ['a.lan'];[[sites.routes]];respond.status = 200;files.root = '/srv'
          sites[0].routes[0]: only one of `to`, `files`, `redirect` and `respond` can answer
        [[sites]];hosts = ['a.lan'];[[sites.routes]];files.root = 'www'
          sites[0].routes[0].files.root www is relative; write an absolute path, like "/srv/www"
        [[sites]];hosts = ['a.lan'];[[sites.routes]];redirect.to = '//evil.example'
          sites[0].routes[0].redirect: "//evil.example" is no place to send a browser; write a URL like "https://{host}/new{path}", or a path
        [[sites]];hosts = ['a.lan'];[[sites.routes]];redirect = { to = '/x', status = 200 }
          sites[0].routes[0].redirect.status 200 sends nobody elsewhere; write 301, 302, 303, 307 or 308
        [[sites]];hosts = ['a.lan'];[[sites.routes]];open = true;forward_auth.url = 'http://a/';respond.status = 200
          sites[0].routes[0].open = true asks nobody; take out basic_auth and forward_auth, or open
        [[tokens]];name = 'a';sha256 = '00';scopes = ['ingest']
          tokens[0].sha256 of token "a"; `skep-server hash-token` makes one: token hash "00" is not 64 hexadecimal digits
        [[users]];name = 'a';password_hash = 'secret'
          users[0].password_hash of user "a"; `skep-server hash-password` makes one: password hash is neither an argon2 PHC string ("$argon2id$v=19$…") nor bcrypt ("$2b$…"): password hash string missing field
        [[users]];name = 'a';password_hash = '$argon2id$v=19$m=64,t=1,p=1$c2tlcC1leGFtcGxl';scopes = ['root']
          users[0].scopes of user "a": there is no scope "root"; write ingest, query or admin
        [[users]];name = 'a';password_hash = '$argon2id$v=19$m=64,t=1,p=1$c2tlcC1leGFtcGxl';role = 'root'
          users[0].role of user "a": there is no role "root"; write viewer or admin
        [[users]];name = 'a';password_hash = '$argon2id$v=19$m=64,t=1,p=1$c2tlcC1leGFtcGxl';role = 'admin';scopes = ['query']
          users[0].role and scopes of user "a" are both there; leave one of them out
        [[users]];name = 'a';password_hash = '$argon2id$v=19$m=64,t=1,p=1$c2tlcC1leGFtcGxl';totp_secret_file = '/nosuch'
          users[0].totp_secret_file of user "a": cannot read /nosuch: No such file or directory (os error 2)
    "#]].assert_eq(&refusals(REFUSED_ITEMS));
}

#[test]
fn a_wrong_type_or_word_is_shown_in_its_line() {
    check_refused(
        "[query]\nlines_max = '5000'",
        &expect![[r#"query.lines_max: invalid type: string "5000", expected usize"#]],
    );
    check_refused(
        "[store]\ndurability = 'none'",
        &expect!["store.durability: unknown variant `none`, expected `fsync` or `interval`"],
    );
    check_refused(
        "[receive]\nline_size = '1MiB'",
        &expect![
            "receive.line_size: unknown field `line_size`, expected one of `concurrency`, `body_max`, `plain_max`, `series_max`, `values_max`, `pairs_max`, `labels_max`, `max_label_names_per_series`, `label_name_max`, `max_label_name_length`, `label_value_max`, `max_label_value_length`, `buckets_max`, `line_max`, `max_line_size`, `max_structured_metadata_entries_count`, `metadata_fields_max`, `max_structured_metadata_size`, `metadata_max`, `max_line_size_truncate`, `max_line_size_truncate_identifier`, `allow_structured_metadata`, `increment_duplicate_timestamp`, `reject_old_samples`, `reject_old_samples_max_age`, `creation_grace_period`, `discover_log_levels`, `log_level_fields`, `log_level_from_json_max_depth`, `discover_service_name`, `ingestion_rate`, `ingestion_burst_size`"
        ],
    );
}

#[test]
fn a_name_is_there_once() {
    let token = "[[tokens]]\nname = 'bee'\nscopes = []\nsha256 = ''\n";
    check_refused(
        &token.repeat(2),
        &expect![[r#"token "bee" is there twice; give each a name of its own"#]],
    );
}

#[test]
fn object_storage_is_refused_by_what_is_missing_or_too_much() {
    let check = |settings: &str, expected: &Expect| {
        check_refused(&format!("[object_store]\n{settings}"), expected);
    };
    check(
        "endpoint = \"http://127.0.0.1:9000\"",
        &expect![[
            r#"object_store.endpoint does nothing without object_store.url; write that too, like "s3://bucket/skep", or leave it out"#
        ]],
    );
    check(
        "url = \"/srv/parts\"",
        &expect![[
            r#"object_store.url "/srv/parts" is not of S3; write one like "s3://bucket/skep""#
        ]],
    );
    check(
        "url = \"s3://key:secret@bucket/skep\"",
        &expect![
            "object_store.url holds more than bucket and prefix; credentials belong into files, see object_store.access_key_file"
        ],
    );
    check(
        "url = \"s3:///skep\"",
        &expect![[
            r#"object_store.url "s3:///skep" names no bucket; write one like "s3://bucket/skep""#
        ]],
    );
    check(
        "url = \"s3://bucket/skep\"",
        &expect![[
            r#"object_store.region is missing; write the bucket's, like "eu-central-1", or an object_store.endpoint if it is not Amazon's"#
        ]],
    );
    let url = "url = \"s3://bucket/skep\"\nregion = \"eu-central-1\"\n";
    check(
        &format!("{url}endpoint = \"127.0.0.1:9000\""),
        &expect![[
            r#"object_store.endpoint "127.0.0.1:9000" is not a URL; write one like "https://s3.example.org" or "http://127.0.0.1:9000""#
        ]],
    );
    check(
        &format!("{url}access_key_file = \"/etc/skep/key\""),
        &expect![
            "object_store.access_key_file and object_store.secret_key_file go together; write both or neither"
        ],
    );
    check(
        &format!("{url}cache_bytes = \"1MB\""),
        &expect![[
            r#"object_store.cache_bytes "1MB" is less than a query over a day may need; write at least "16MiB""#
        ]],
    );
}

#[test]
fn object_storage_is_told_where_and_how() {
    let text = "[object_store]\nurl = \"s3://bucket/a/b/\"\nendpoint = \"http://127.0.0.1:9000/\"\n\
                access_key_file = \"/k\"\nsecret_key_file = \"/s\"\ncache_bytes = \"1GiB\"";
    let config = Config::parse(text).unwrap().store.object_store.unwrap();
    assert_eq!(config.url(), "s3://bucket/a/b");
    assert_eq!(config.endpoint.as_deref(), Some("http://127.0.0.1:9000"));
    assert_eq!(config.cache_bytes, 1 << 30);
    assert!(Config::parse("").unwrap().store.object_store.is_none());
}

#[test]
fn a_user_has_a_role_or_scopes_and_may_be_asked_for_a_code() {
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join("ada.totp"), "JBSWY3DPEHPK3PXPJBSWY3DPEHPK3PXP\n").unwrap();
    let hash =
        "password_hash = '$argon2id$v=19$m=64,t=1,p=1$c2tlcC1leGFtcGxl$AAAAAAAAAAAAAAAAAAAAAA'";
    let text = format!(
        "[[users]]\nname = 'ada'\nrole = 'viewer'\ntotp_secret_file = 'ada.totp'\n{hash}\n\
         [[users]]\nname = 'bob'\nscopes = ['ingest']\n{hash}\n[[users]]\nname = 'eve'\n{hash}"
    );
    let users = Config::parse_in(dir.path(), &text).unwrap().front.users;
    let scopes: Vec<Vec<_>> = users.iter().map(|it| it.scopes.iter().collect()).collect();
    assert_eq!(scopes, [vec![Scope::Query], vec![Scope::Ingest], Scope::ALL.to_vec()]);
    let asked: Vec<_> = users.iter().map(|it| it.code_secret.is_some()).collect();
    assert_eq!(asked, [true, false, false]);
}
