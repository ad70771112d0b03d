//! Names as certificates carry them: which of them a certificate covers, and what one order asks for.

use crate::config::{AcmeConfig, CertificatesConfigError, HostPattern, Proof};

/// Lower case, without the dot of the root.
pub(crate) fn normal(name: &str) -> String {
    name.strip_suffix('.').unwrap_or(name).to_ascii_lowercase()
}

/// Whether `pattern` is a wildcard for `name`: `*` stands for exactly one label.
pub(crate) fn covers(pattern: &str, name: &str) -> bool {
    let rest = name.split_once('.').map(|(label, rest)| (label != "*", rest));
    rest.is_some_and(|(is_host, rest)| is_host && pattern.strip_prefix("*.") == Some(rest))
}

/// The wildcard that would cover `name`.
pub(crate) fn wildcard_of(name: &str) -> Option<String> {
    name.split_once('.').map(|(_label, rest)| format!("*.{rest}"))
}

/// The certificates that ACME servers are asked for, each with its names and the server that is
/// asked; `served` is what the front answers to.
///
/// A served name in the zones of several servers is asked of the first.
pub(crate) fn orders<'a>(
    acme: &'a [AcmeConfig],
    served: &[String],
) -> Vec<(&'a AcmeConfig, Vec<String>)> {
    let written = acme.iter().flat_map(|it| &it.names);
    let mut taken: Vec<String> = written.map(|it| it.as_str().to_owned()).collect();
    let mut orders = Vec::new();
    for config in acme {
        let mut names: Vec<String> = config.names.iter().map(|it| it.as_str().to_owned()).collect();
        for name in served.iter().filter(|it| may_ask(config, it)) {
            if !taken.iter().any(|it| it == name || covers(it, name)) {
                taken.push(name.clone());
                names.push(name.clone());
            }
        }
        orders.extend(grouped(names).into_iter().map(|names| (config, names)));
    }
    orders
}

/// Whether a name is in a zone of this server, and can be proved to it.
fn may_ask(config: &AcmeConfig, name: &str) -> bool {
    let is_provable = !name.starts_with("*.") || matches!(config.proof, Proof::Dns01(_));
    is_provable && config.zones.iter().any(|zone| is_below(name, zone.as_str()))
}

/// A name and the wildcard below it together, every other alone.
fn grouped(mut names: Vec<String>) -> Vec<Vec<String>> {
    names.sort();
    names.dedup();
    let mut orders = Vec::new();
    for name in &names {
        let base = name.strip_prefix("*.");
        // Both are proved by the same TXT record, so one cannot fail without the other.
        if base.is_some_and(|base| names.iter().any(|it| it == base)) {
            continue;
        }
        let wildcard = format!("*.{name}");
        let mut order = vec![name.clone()];
        order.extend(names.contains(&wildcard).then_some(wildcard));
        orders.push(order);
    }
    orders
}

/// A name that two ACME servers would be asked for.
pub(crate) fn check_unique(acme: &[AcmeConfig]) -> Result<(), CertificatesConfigError> {
    let mut seen: Vec<&HostPattern> = Vec::new();
    for name in acme.iter().flat_map(|it| &it.names) {
        if seen.contains(&name) {
            return Err(CertificatesConfigError::NameTwice(name.to_string()));
        }
        seen.push(name);
    }
    Ok(())
}

fn is_below(name: &str, zone: &str) -> bool {
    let base = name.strip_prefix("*.").unwrap_or(name);
    base.strip_suffix(zone).is_some_and(|head| head.is_empty() || head.ends_with('.'))
}

#[cfg(test)]
mod tests {
    use expect_test::{Expect, expect};

    use super::*;
    use crate::config::{Directory, Domain, Retry};

    fn acme(names: &[&str], zones: &[&str]) -> AcmeConfig {
        AcmeConfig {
            directory: Directory::parse("letsencrypt").unwrap(),
            email: None,
            names: names.iter().map(|it| HostPattern::parse(it).unwrap()).collect(),
            zones: zones.iter().map(|it| Domain::parse(it).unwrap()).collect(),
            proof: Proof::TlsAlpn01,
            external_account: None,
            ca_file: None,
            profile: None,
            retry: Retry::default(),
        }
    }

    #[track_caller]
    fn check(names: &[&str], zones: &[&str], served: &[&str], expected: &Expect) {
        let served: Vec<String> = served.iter().map(|it| (*it).to_owned()).collect();
        let acme = [acme(names, zones)];
        let orders: Vec<_> = orders(&acme, &served).into_iter().map(|(_, names)| names).collect();
        expected.assert_eq(&format!("{orders:?}"));
    }

    #[test]
    fn a_wildcard_stands_for_one_label() {
        assert!(covers("*.home.lan", "nas.home.lan"));
        for name in ["home.lan", "a.b.home.lan", "*.home.lan", "nas.home.lan.evil"] {
            assert!(!covers("*.home.lan", name), "{name}");
        }
    }

    #[test]
    fn every_name_has_an_order_of_its_own_but_a_name_with_its_wildcard() {
        check(
            &["b.lan", "*.a.lan", "a.lan", "*.c.lan"],
            &[],
            &["x.lan"],
            &expect![[r#"[["*.c.lan"], ["a.lan", "*.a.lan"], ["b.lan"]]"#]],
        );
    }

    #[test]
    fn a_zone_brings_the_names_served_in_it_that_nothing_covers() {
        check(
            &["*.home.example"],
            &["home.example"],
            &["home.example", "nas.home.example", "a.b.home.example", "xhome.example", "localhost"],
            &expect![[r#"[["a.b.home.example"], ["home.example", "*.home.example"]]"#]],
        );
    }

    #[test]
    fn a_name_in_the_zones_of_two_cas_is_asked_of_the_first_unless_it_is_written_out() {
        let acme = [acme(&[], &["lan"]), acme(&["b.lan"], &["lan"])];
        let served = ["a.lan", "b.lan", "*.c.lan"].map(str::to_owned);
        let orders = orders(&acme, &served);
        let of = |config: &AcmeConfig| {
            let mine = orders.iter().filter(|(it, _)| std::ptr::eq(*it, config));
            mine.map(|(_, names)| names.join(" ")).collect::<Vec<_>>()
        };
        assert_eq!(of(&acme[0]), ["a.lan"]);
        assert_eq!(of(&acme[1]), ["b.lan"]);
    }

    #[test]
    fn one_name_at_two_cas_is_refused() {
        let both = [acme(&["a.lan"], &[]), acme(&["a.lan"], &[])];
        assert!(check_unique(&both).is_err());
        assert!(check_unique(&both[..1]).is_ok());
    }
}
