//! Caddyfiles as people have them, and what becomes of each.

use expect_test::{ExpectFile, expect_file};

use super::*;

struct Nothing;

impl Outside for Nothing {
    fn variable(&self, _name: &str) -> Option<String> {
        None
    }

    fn files(&self, _from: &str, _pattern: &str) -> std::io::Result<Vec<(String, String)>> {
        Err(std::io::ErrorKind::NotFound.into())
    }
}

/// The whole output is kept; losses are counted, so that none goes unseen.
#[track_caller]
fn check(name: &str, text: &str, n_losses: usize, expected: &ExpectFile) {
    let converted = convert(&format!("{name}.caddyfile"), text, &Nothing).unwrap();
    expected.assert_eq(&converted.toml);
    let losses: Vec<String> = converted.losses.iter().map(ToString::to_string).collect();
    assert_eq!(losses.len(), n_losses, "{losses:#?}");
}

macro_rules! case {
    ($test:ident, $name:literal, $n_losses:literal) => {
        #[test]
        fn $test() {
            let text = include_str!(concat!("cases/", $name, ".caddyfile"));
            check($name, text, $n_losses, &expect_file![concat!("cases/", $name, ".toml")]);
        }
    };
}

case!(a_homelab_of_one_line_sites, "homelab", 0);
case!(a_wildcard_with_a_host_for_each_service, "wildcard", 0);
case!(a_login_by_authelia_for_all_but_an_api, "authelia", 0);
case!(a_single_page_app_with_its_api, "spa", 0);
case!(files_and_a_listing_behind_a_password, "static", 0);
case!(services_for_the_lan_only, "lan", 0);
case!(several_upstreams_with_health_checks, "balanced", 0);
case!(routes_by_method_and_rewritten_paths, "methods", 0);
case!(a_file_of_one_site_needs_no_braces, "onesite", 0);
case!(what_has_no_counterpart_is_named_with_its_line, "leftout", 11);

#[test]
fn a_file_cut_off_anywhere_is_an_error_or_a_configuration() {
    for text in [
        include_str!("cases/leftout.caddyfile"),
        include_str!("cases/spa.caddyfile"),
        include_str!("cases/wildcard.caddyfile"),
    ] {
        for end in (0..text.len()).filter(|end| text.is_char_boundary(*end)) {
            if let Ok(converted) = convert("cut", text.get(..end).unwrap(), &Nothing) {
                toml::from_str::<toml::Table>(&converted.toml).unwrap();
            }
        }
    }
}
