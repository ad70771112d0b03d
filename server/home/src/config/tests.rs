//! Files as users write them, read whole.

use expect_test::{Expect, expect};

use super::*;

fn limits() -> Limits {
    Limits::default()
}

fn parse(text: &str) -> Result<HomeFile, Fault> {
    own::parse(Path::new("/etc/skep/home.toml"), text, &limits())
}

/// A file in a few words a line.
fn outline(file: &HomeFile) -> String {
    let mut lines = vec![format!("{:?} {:?}", file.title, file.theme)];
    for group in &file.groups {
        lines.push(format!("group {:?}{}", group.name, private(group.is_private)));
        for it in &group.services {
            let check = it.check.as_ref().map(|it| {
                let (every, within) = (it.interval.as_secs(), it.timeout.as_secs());
                format!(
                    "{:?} every {every} s within {within} s {:?} {:?}",
                    it.target, it.expected, it.trust
                )
            });
            lines.push(format!(
                "  {:?}{} {:?} {:?} {:?}",
                it.name,
                private(it.is_private),
                it.href,
                it.icon,
                it.description
            ));
            lines.extend(check.map(|it| format!("    {it}")));
            lines.extend(it.json.as_ref().map(json));
        }
    }
    for group in &file.bookmarks {
        lines.push(format!("bookmarks {:?}{}", group.name, private(group.is_private)));
        for it in &group.bookmarks {
            lines.push(format!(
                "  {:?} {:?} {:?} {:?} {:?}",
                it.name, it.href, it.abbr, it.icon, it.description
            ));
        }
    }
    lines.extend(file.search.iter().map(|it| format!("search {:?} {:?}", it.name, it.url)));
    for it in &file.widgets {
        let kind = match &it.kind {
            WidgetKind::Promql { query, has_curve, format } => {
                format!("{query:?} curve {has_curve} {format:?}")
            }
            WidgetKind::Json(source) => json(source),
        };
        lines.push(format!("widget {:?}{} {kind}", it.name, private(it.is_private)));
    }
    lines.push(format!("{:?}", file.found));
    for it in &file.warnings {
        let name = it.file.file_name().unwrap_or_default().display();
        lines.push(format!("warning {name}:{} {}: {}", it.line, it.key, it.text));
    }
    lines.join("\n") + "\n"
}

fn private(is_private: bool) -> &'static str {
    if is_private { " private" } else { "" }
}

fn json(source: &JsonSource) -> String {
    let fields: Vec<_> = source
        .fields
        .iter()
        .map(|it| format!("{:?}={} {:?}", it.label, it.path, it.format))
        .collect();
    format!("    {} every {} s: {}", source.url, source.interval.as_secs(), fields.join("; "))
}

#[test]
fn our_own_file_with_every_key() {
    let file = parse(include_str!("testdata/home.toml")).unwrap();
    expect![[r#"
        Some("The lab") Dark
        group "Media"
          "Jellyfin" Some("https://jellyfin.home.lan/") Some("jellyfin") "Films and series"
            Http("https://jellyfin.home.lan/health") every 30 s within 5 s Among([200..=200, 204..=299]) Also("/etc/skep/ca.pem")
          "NAS" private Some("ssh://nas.home.lan") None ""
            Tcp { host: "nas.home.lan", port: 22 } every 60 s within 10 s Usual System
        group "Network" private
          "Router" Some("http://192.168.1.1/") None ""
            Ping { host: "192.168.1.1" } every 60 s within 10 s Usual System
          "Switch" Some("https://192.168.1.2/") None ""
            Http("https://192.168.1.2/") every 60 s within 10 s Usual Anything
          "Manual" Some("/explore") None ""
        bookmarks "Developer"
          "GitHub" "https://github.com/" "GH" None ""
        search "DuckDuckGo" "https://duckduckgo.com/?q={query}"
        widget "Power" "sum(power_watts)" curve true Format { kind: Number, scale: 1.0, prefix: "", suffix: " W" }
        widget "Solar" private     http://inverter.home.lan/status every 120 s: ""=now.watts Format { kind: Text, scale: 0.001, prefix: "", suffix: " kW" }
        widget "Downloads"     http://nas.home.lan:8080/stats every 60 s: "Speed"=speed Format { kind: BytesPerSecond, scale: 1.0, prefix: "", suffix: "" }; "Active"=active Format { kind: Text, scale: 1.0, prefix: "", suffix: "" }
        Found { sites: true, units: true, hide: ["dnsmasq.service"] }
    "#]].assert_eq(&outline(&file));
}

#[test]
fn gethomepages_files_are_taken_as_they_are() {
    let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/config/testdata/gethomepage");
    let settings = Settings {
        source: Some(Source::Gethomepage(dir)),
        icons_dir: None,
        visitors: Visitors::LoggedIn,
        limits: limits(),
    };
    let variables =
        |name: &str| (name == "HOMEPAGE_VAR_SENSOR").then(|| "http://sensor.home.lan".to_owned());
    let file = HomeFile::load(&settings, &variables).unwrap();
    expect![[r#"
        Some("The lab") Dark
        group "Infrastructure"
          "Router" None Some("si-mikrotik") "RB5009"
            Ping { host: "192.168.88.1" } every 60 s within 10 s Usual System
          "Evil" None None "<script>alert(1)</script>"
          "Sensor" Some("http://sensor.home.lan/ui") Some("mdi-thermometer") ""
            Http("http://sensor.home.lan/ui") every 60 s within 10 s Usual System
            http://sensor.home.lan/state every 30 s: "Room"=room.temperature Format { kind: Number, scale: 1.0, prefix: "", suffix: " °C" }; "Free"=disk.free.bytes Format { kind: Bytes, scale: 1.0, prefix: "", suffix: "" }; "Age"=items.0.age Format { kind: Text, scale: 1.0, prefix: "", suffix: "" }
        group "Media"
          "Jellyfin" Some("https://jellyfin.home.lan/") Some("jellyfin.png") "Films & series"
            Http("https://jellyfin.home.lan/") every 60 s within 10 s Usual System
          "Sonarr" Some("http://nas.home.lan:8989") None ""
            Http("http://nas.home.lan:8989/ping") every 60 s within 10 s Usual System
        group "Media / Downloads"
          "qBittorrent" Some("http://nas.home.lan:8080") Some("mdi-download-#f0d453") ""
            Ping { host: "nas.home.lan" } every 60 s within 10 s Usual System
        bookmarks "Developer"
          "Github" "https://github.com/" "GH" None ""
          "Docs" "https://docs.example.org/" "" Some("mdi-book") "read me"
        bookmarks "Social"
          "Reddit" "https://reddit.com/" "" Some("reddit.png") ""
        search "Brave" "https://search.brave.com/search?q={query}"
        search "DuckDuckGo" "https://duckduckgo.com/?q={query}"
        Found { sites: true, units: true, hide: [] }
        warning services.yaml:13 Media.Jellyfin.widget.type: there is no widget "jellyfin" here; customapi is taken
        warning services.yaml:10 Media.Jellyfin.server: there is nothing like it here
        warning services.yaml:11 Media.Jellyfin.container: there is nothing like it here
        warning services.yaml:17 Media.Sonarr.icon: "https://cdn.example.org/sonarr.png" is on another host, which the page does not ask; put the picture into home.icons_dir and write its name
        warning services.yaml:33 Infrastructure.Evil.href: "javascript:alert(1)" is no address that a page may link to; write one like "https://photos.home.lan"
        warning services.yaml:56 Infrastructure.Sensor.widget.mappings[2].format: there is no format "relativeDate"; the value is shown as it is
        warning services.yaml:42 Infrastructure.Sensor.widget.headers: a widget's address is asked without it
        warning bookmarks.yaml:15 Social.Nowhere.href: has no address and is left out
        warning settings.yaml:10 layout.Infrastructure.style: groups are laid out by the width of the window
        warning settings.yaml:11 layout.Infrastructure.columns: groups are laid out by the width of the window
        warning settings.yaml:14 quicklaunch.searchDescriptions: the search of this page cannot be changed by it
        warning settings.yaml:4 color: there is nothing like it here
        warning settings.yaml:5 headerStyle: there is nothing like it here
        warning settings.yaml:6 background: there is nothing like it here
        warning widgets.yaml:9 openmeteo: there is no widget "openmeteo" here
    "#]].assert_eq(&outline(&file));
}

#[track_caller]
fn refused(text: &str, expected: &Expect) {
    expected.assert_eq(&parse(text).unwrap_err().to_string());
}

#[test]
fn what_is_wrong_is_told_with_file_line_and_key() {
    refused(
        "title = \"x\"\ngroups = 3\n",
        &expect!["/etc/skep/home.toml:2: groups: is a number; write [[groups]]"],
    );
    refused(
        "[[groups]]\nname = \"A\"\nservice = []\n",
        &expect![
            "/etc/skep/home.toml:3: groups[0].service: there is no such key; there are name, private, services"
        ],
    );
    refused(
        "[[groups]]\n[[groups.services]]\nname = \"x\"\n",
        &expect!["/etc/skep/home.toml:1: groups[0].name: is missing; write a text"],
    );
    refused(
        "[[widgets]]\nname = \"x\"\n",
        &expect!["/etc/skep/home.toml:1: widgets[0].promql: is missing; write promql or json"],
    );
    refused(
        "[[search]]\nname = \"x\"\nurl = \"https://x/\"\n",
        &expect![[
            r#"/etc/skep/home.toml:3: search[0].url: "https://x/" says not where the words go; write one like "https://duckduckgo.com/?q={query}""#
        ]],
    );
    refused(
        "theme = \"pink\"\n",
        &expect![[
            r#"/etc/skep/home.toml:1: theme: there is no theme "pink"; write system, light or dark"#
        ]],
    );
    refused("a = [\n", &expect!["/etc/skep/home.toml:1: unclosed array, expected `]`"]);
}

#[test]
fn what_is_wrong_with_a_service_is_told() {
    let service = |lines: &str| {
        format!("[[groups]]\nname = \"A\"\n[[groups.services]]\nname = \"x\"\n{lines}\n")
    };
    refused(
        &service("href = \"javascript:alert(1)\""),
        &expect![[
            r#"/etc/skep/home.toml:5: groups[0].services[0].href: "javascript:alert(1)" is no address that a page may link to; write one like "https://photos.home.lan""#
        ]],
    );
    refused(
        &service("check = \"nas\""),
        &expect![[
            r#"/etc/skep/home.toml:5: groups[0].services[0].check: "nas" cannot be checked; write an address of http, https, tcp or ping, or "off""#
        ]],
    );
    refused(
        &service("interval = \"soon\""),
        &expect![[
            r#"/etc/skep/home.toml:5: groups[0].services[0].interval: "soon" is not a duration; write a number and a unit, like "30s""#
        ]],
    );
    refused(
        &service("interval = \"1ms\""),
        &expect![[
            r#"/etc/skep/home.toml:5: groups[0].services[0].interval: "1ms" is out of range; write 1s to 1day"#
        ]],
    );
    refused(
        &service("status = [99]"),
        &expect![[
            r#"/etc/skep/home.toml:5: groups[0].services[0].status: "99" is no status; write 204 or "200-299""#
        ]],
    );
    refused(
        &service("private = \"yes\""),
        &expect![
            "/etc/skep/home.toml:5: groups[0].services[0].private: is a text; write true or false"
        ],
    );
    refused(
        &service("ca_file = \"a\"\ninsecure = true"),
        &expect![
            "/etc/skep/home.toml:6: groups[0].services[0].insecure: trusts any certificate; leave out ca_file or this"
        ],
    );
    refused(
        &service("[[groups.services]]\nname = \"x\""),
        &expect![[
            r#"/etc/skep/home.toml:6: groups[0].services[1].name: "x" is there twice in its group"#
        ]],
    );
}

#[test]
fn a_missing_or_oversized_file_is_told() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("home.toml");
    let load = |limits| {
        let settings = Settings {
            source: Some(Source::File(path.clone())),
            icons_dir: None,
            visitors: Visitors::LoggedIn,
            limits,
        };
        HomeFile::load(&settings, &|_| None).map_err(|fault| fault.0.text)
    };
    assert!(load(limits()).unwrap_err().starts_with("cannot be read: No such file"));
    std::fs::write(&path, "title = \"a title\"\n").unwrap();
    assert_eq!(load(limits()).unwrap().title.as_deref(), Some("a title"));
    let small = Limits { file_bytes_max: 5, ..limits() };
    assert_eq!(load(small).unwrap_err(), "has 18 bytes, more than home.file_max, 5");
    std::fs::write(
        &path,
        "[[bookmarks]]\nname = \"x\"\n".to_owned()
            + &"[[bookmarks.links]]\nname = \"y\"\nhref = \"/\"\n".repeat(3),
    )
    .unwrap();
    let few = Limits { entries_max: 2, ..limits() };
    assert!(load(few).unwrap_err().contains("more than home.entries_max, 2"));
}

#[test]
fn broken_files_of_gethomepage_are_faults_with_their_line() {
    let dir = tempfile::tempdir().unwrap();
    let load = |text: &str| {
        std::fs::write(dir.path().join("services.yaml"), text).unwrap();
        let loaded = gethomepage::load(dir.path(), &limits(), &|_| None);
        loaded.map_err(|fault| (fault.0.line, fault.0.key, fault.0.text))
    };
    assert_eq!(load("- A:\n    - B:\n        href: http://b/\n").unwrap().groups.len(), 1);
    let (line, key, text) = load("- A:\n    - just a text\n").unwrap_err();
    assert_eq!((line, key.as_str(), text.as_str()), (2, "A", "has a text in it; write `- Name:`"));
    let (line, _, text) =
        load("- A:\n    - B:\n        href: {{HOMEPAGE_VAR_GONE}}\n").unwrap_err();
    assert_eq!((line, text.as_str()), (3, "the environment has no variable HOMEPAGE_VAR_GONE"));
}

#[test]
fn the_guides_example_is_right() {
    let guide = include_str!("../../../../docs/services/homepage.md");
    let example = guide.split("```toml home\n").nth(1).and_then(|it| it.split("```").next());
    let file = parse(example.unwrap()).unwrap();
    assert_eq!(file.groups.len(), 2);
    assert_eq!(file.widgets.len(), 2);
}
