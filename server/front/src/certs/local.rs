//! Leaves of the local CA: one for each name the front serves, made when it is first asked for.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use rustls::sign::CertifiedKey;
use time::OffsetDateTime;

use super::ca::{Leaf, LocalCa};
use super::names::wildcard_of;
use crate::error::Error;

/// Served names with their leaves; a wildcard has one leaf for all that it covers, so the number of
/// leaves is bounded by that of the names configured.
#[derive(Debug)]
pub(crate) struct Leaves {
    /// For clients that name nobody or somebody else: what the machine is always called.
    default_names: Vec<String>,
    default: Mutex<Leaf>,
    by_name: HashMap<String, Mutex<Option<Leaf>>>,
}

impl Leaves {
    pub(crate) fn new(
        ca: &LocalCa,
        default_names: Vec<String>,
        served: &[String],
        now: OffsetDateTime,
    ) -> Result<Self, Error> {
        let default = Mutex::new(ca.issue(&default_names, now)?);
        let by_name = served.iter().map(|it| (it.clone(), Mutex::new(None))).collect();
        Ok(Self { default_names, default, by_name })
    }

    /// The certificate for a TLS name; of an unknown one the default, so that a 421 can be read.
    pub(crate) fn find(
        &self,
        ca: &LocalCa,
        name: Option<&str>,
        now: OffsetDateTime,
    ) -> Option<Arc<CertifiedKey>> {
        let entry = name.and_then(|name| {
            let exact = self.by_name.get_key_value(name);
            exact.or_else(|| self.by_name.get_key_value(wildcard_of(name)?.as_str()))
        });
        let Some((name, leaf)) = entry else {
            let mut leaf = self.default.lock().unwrap_or_else(PoisonError::into_inner);
            renew(ca, &self.default_names, &mut leaf, now);
            return Some(Arc::clone(&leaf.key));
        };
        let mut leaf = leaf.lock().unwrap_or_else(PoisonError::into_inner);
        let names = std::slice::from_ref(name);
        match &mut *leaf {
            Some(leaf) => renew(ca, names, leaf, now),
            None => match ca.issue(names, now) {
                Ok(issued) => *leaf = Some(issued),
                Err(error) => {
                    tracing::error!(%error, name, "Could not make a certificate.");
                    return None;
                }
            },
        }
        leaf.as_ref().map(|it| Arc::clone(&it.key))
    }

    /// The leaves there are at the moment, with their names.
    pub(crate) fn issued(&self) -> Vec<(Vec<String>, OffsetDateTime)> {
        let end = |leaf: &Leaf| leaf.not_after;
        let default = self.default.lock().unwrap_or_else(PoisonError::into_inner);
        let mut issued = vec![(self.default_names.clone(), end(&default))];
        let mut names: Vec<&String> = self.by_name.keys().collect();
        names.sort();
        for name in names {
            let leaf =
                self.by_name.get(name).map(|it| it.lock().unwrap_or_else(PoisonError::into_inner));
            if let Some(leaf) = leaf.as_deref().and_then(Option::as_ref) {
                issued.push((vec![name.clone()], end(leaf)));
            }
        }
        issued
    }
}

/// In the last third of its life.
fn renew(ca: &LocalCa, names: &[String], leaf: &mut Leaf, now: OffsetDateTime) {
    if now < leaf.renew_at {
        return;
    }
    match ca.issue(names, now) {
        Ok(issued) => *leaf = issued,
        Err(error) => tracing::error!(%error, ?names, "Could not renew a certificate."),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const START: OffsetDateTime = time::macros::datetime!(2026-11-22 12:00 UTC);

    fn leaves(dir: &std::path::Path) -> (LocalCa, Leaves) {
        let ca = LocalCa::open(dir, "lab1", START).unwrap();
        let served = ["nas.lan", "*.apps.lan"].map(str::to_owned);
        let leaves = Leaves::new(&ca, vec!["localhost".to_owned()], &served, START).unwrap();
        (ca, leaves)
    }

    fn names_of(key: &CertifiedKey) -> Vec<String> {
        use x509_parser::prelude::{FromDer, GeneralName, X509Certificate};
        let (_, leaf) = X509Certificate::from_der(&key.cert[0]).unwrap();
        let names = leaf.subject_alternative_name().unwrap().unwrap();
        let names = names.value.general_names.iter();
        names
            .map(|it| match it {
                GeneralName::DNSName(it) => (*it).to_owned(),
                _ => panic!(),
            })
            .collect()
    }

    #[test]
    fn each_name_has_a_leaf_of_its_own_and_a_wildcard_one_for_all() {
        let dir = tempfile::tempdir().unwrap();
        let (ca, leaves) = leaves(dir.path());
        let find = |name| leaves.find(&ca, name, START).unwrap();
        assert_eq!(names_of(&find(Some("nas.lan"))), ["nas.lan"]);
        assert_eq!(names_of(&find(Some("a.apps.lan"))), ["*.apps.lan"]);
        assert!(Arc::ptr_eq(&find(Some("a.apps.lan")), &find(Some("b.apps.lan"))));
        for other in [None, Some("evil.example"), Some("apps.lan")] {
            assert_eq!(names_of(&find(other)), ["localhost"], "{other:?}");
        }
        let issued: Vec<_> = leaves.issued().into_iter().map(|(names, _)| names).collect();
        assert_eq!(issued, [["localhost"], ["*.apps.lan"], ["nas.lan"]]);
    }

    #[test]
    fn a_leaf_is_renewed_with_a_third_of_its_life_left() {
        let dir = tempfile::tempdir().unwrap();
        let (ca, leaves) = leaves(dir.path());
        for name in [None, Some("nas.lan")] {
            let at = |days| leaves.find(&ca, name, START + time::Duration::days(days)).unwrap();
            let first = at(0);
            assert!(Arc::ptr_eq(&first, &at(39)));
            assert!(!Arc::ptr_eq(&first, &at(41)));
        }
    }
}
