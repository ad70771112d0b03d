//! Which settings a reload cannot change: compared as they are written.

use toml::{Table, Value};

/// These and all below them count from the reload on.
const RELOADED: [&str; 26] = [
    "front.domain",
    "front.extra_names",
    "front.https",
    "front.https_port_public",
    "front.redirect",
    "front.plain",
    "front.trusted_proxies",
    "front.proxy_protocol",
    "front.connections_max",
    "front.session_lifetime",
    "front.login_burst",
    "front.login_refill",
    "front.streams_max",
    "front.header_max",
    "front.handshake_timeout",
    "front.header_timeout",
    "front.body_timeout",
    "front.drain",
    "scrape",
    "sites",
    "certificates",
    "acme",
    "users",
    "tokens",
    "oidc",
    "agents",
];

/// The keys that differ and are not taken up by a reload.
pub(super) fn only_after_restart(started: &Table, now: &Table) -> Vec<String> {
    let mut changed = Vec::new();
    compare("", started, now, &mut changed);
    changed
}

fn compare(above: &str, old: &Table, new: &Table, changed: &mut Vec<String>) {
    let added = new.keys().filter(|key| !old.contains_key(*key));
    for key in old.keys().chain(added) {
        let path = if above.is_empty() { key.clone() } else { format!("{above}.{key}") };
        if RELOADED.contains(&path.as_str()) {
            continue;
        }
        match (old.get(key), new.get(key)) {
            (Some(Value::Table(old)), Some(Value::Table(new))) => {
                compare(&path, old, new, changed);
            }
            (Some(Value::Table(old)), None) => compare(&path, old, &Table::new(), changed),
            (None, Some(Value::Table(new))) => compare(&path, &Table::new(), new, changed),
            (old, new) if old == new => {}
            _differ => changed.push(path),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_counts_after_a_restart_only_is_named_by_its_key() {
        let old: Table = "data_dir = '/a'\n[front]\ndomain = 'a.lan'\n[store]\nretention = '1d'\n\
                          flush_age = '1m'\n[[sites]]\nhosts = ['a']"
            .parse()
            .unwrap();
        let new: Table = "data_dir = '/b'\n[front]\ndomain = 'b.lan'\nconnections_max = 1\n\
                          caddy_metric_names = true\n\
                          [store]\nretention = '1d'\n[query]\nconcurrency = 2"
            .parse()
            .unwrap();
        let changed = only_after_restart(&old, &new);
        let expected =
            ["data_dir", "front.caddy_metric_names", "store.flush_age", "query.concurrency"];
        assert_eq!(changed, expected);
        assert!(only_after_restart(&old, &old).is_empty());
    }
}
