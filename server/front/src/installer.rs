//! The script that installs an agent on a host and enrols it, and the line that fetches it. Pure.
//!
//! The line trusts nothing it has not been told: with the local CA it checks the CA's fingerprint
//! before it uses it, with a certificate of a public authority it leaves that to curl.

use std::net::IpAddr;

use sha2::{Digest, Sha256};

use crate::access::error::{AccessError, check_name};

const SCRIPT: &str = include_str!("installer/install.sh");
/// What a package installs, too.
const UNIT: &str = include_str!("../../../agent/dist/skep-agent.service");
const CONFIG: &str = include_str!("../../../agent/dist/agent.toml");
/// A package's program, and ours, which must not be in its way.
const PACKAGED: &str = "/usr/bin/skep-agent";
const PROGRAM: &str = "/usr/local/bin/skep-agent";
const CA_FILE: &str = "/etc/skep/ca.pem";
const TOKEN_FILE: &str = "/etc/skep/enrolment-token";
/// Asks for a script that trusts the local CA and nobody else.
pub(crate) const LOCAL_CA_QUERY: &str = "ca=local";
pub(crate) const SCRIPT_PATH: &str = "/-/skep/v1/enrol/install.sh";

/// Who vouches for the server's name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ServerTrust {
    /// The server's own CA: its root, in PEM.
    LocalCa(String),
    /// An authority that hosts know already.
    System,
}

/// What the host fetches with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fetcher {
    Curl,
    /// GNU's.
    Wget,
}

/// One host and the server that it shall send to.
#[derive(Debug, Clone)]
pub struct Installer {
    host: String,
    url: String,
    token: String,
    trust: ServerTrust,
}

impl Installer {
    /// `url` is without a slash at its end; `token` is one for enrolling, and may be empty where
    /// nothing is to be enrolled.
    ///
    /// # Errors
    /// No name for a host.
    pub fn new(
        host: &str,
        url: &str,
        token: &str,
        trust: ServerTrust,
    ) -> Result<Self, AccessError> {
        check_name(host)?;
        Ok(Self { host: host.to_owned(), url: url.to_owned(), token: token.to_owned(), trust })
    }

    /// To be run by `sh` on the host, as root.
    pub fn script(&self) -> String {
        let ca = match &self.trust {
            ServerTrust::LocalCa(pem) => pem.trim(),
            ServerTrust::System => "",
        };
        SCRIPT
            .replace("@UNIT@", UNIT.replace(PACKAGED, PROGRAM).trim_end())
            .replace("@CONFIG@", self.config().trim_end())
            .replace("@HOST@", &shell_word(&self.host))
            .replace("@URL@", &shell_word(&self.url))
            .replace("@TOKEN@", &shell_word(&self.token))
            .replace("@CA@", &shell_word(ca))
    }

    /// The packaged configuration, but for this server and with enrolment.
    fn config(&self) -> String {
        let mut config = String::new();
        for line in CONFIG.lines() {
            let key = line.trim_start_matches("# ").split(" =").next().unwrap_or_default();
            match (key, &self.trust) {
                ("host", _) => config += &format!("host = \"{}\"", self.host),
                ("url", _) => config += &format!("url = \"{}\"", self.url),
                ("ca_file", ServerTrust::LocalCa(_)) => {
                    config += &format!("ca_file = \"{CA_FILE}\"");
                }
                ("ca_file", ServerTrust::System) => config += "# ca_file = \"/etc/skep/ca.pem\"",
                ("token_file", _) => {
                    config +=
                        "# Traded once for a credential in /var/lib/skep-agent; gone after that.\n";
                    config += &format!("enrolment_token_file = \"{TOKEN_FILE}\"");
                }
                _ => config += line,
            }
            config.push('\n');
        }
        config
    }

    /// To be pasted into a shell on the host. What it runs comes from this server or not at all.
    pub fn line(&self, fetcher: Fetcher) -> String {
        let Self { url, token, .. } = self;
        let fetch = |ca: &str, query: &str| {
            let header = shell_word(&format!("Authorization: Bearer {token}"));
            let from = shell_word(&format!("{url}{SCRIPT_PATH}{query}"));
            match fetcher {
                Fetcher::Curl => {
                    let ca = with(" --cacert", ca);
                    format!("curl -fsS{ca} -H {header} -o \"$d/i\" {from}")
                }
                Fetcher::Wget => {
                    let ca = with(" --ca-certificate", ca);
                    format!("wget -q{ca} --header={header} -O \"$d/i\" {from}")
                }
            }
        };
        let steps = match &self.trust {
            ServerTrust::LocalCa(pem) => {
                let from = shell_word(&format!("{url}/ca.pem"));
                let get_ca = match fetcher {
                    Fetcher::Curl => format!("curl -fsSk -o \"$d/ca\" {from}"),
                    Fetcher::Wget => format!("wget -q --no-check-certificate -O \"$d/ca\" {from}"),
                };
                let fingerprint = fingerprint(pem);
                let fetch = fetch("\"$d/ca\"", &format!("?{LOCAL_CA_QUERY}"));
                format!(
                    "{get_ca} && echo \"{fingerprint}  $d/ca\" | sha256sum -c - >/dev/null && {fetch}"
                )
            }
            ServerTrust::System => fetch("", ""),
        };
        format!(
            "(d=$(mktemp -d) && {steps} && $([ \"$(id -u)\" = 0 ] || echo sudo) sh \"$d/i\"; s=$?; rm -rf \"$d\"; exit $s)"
        )
    }
}

fn with(option: &str, value: &str) -> String {
    if value.is_empty() { String::new() } else { format!("{option} {value}") }
}

/// Of the file as `/ca.pem` hands it out, for `sha256sum`.
fn fingerprint(pem: &str) -> String {
    format!("{:x}", Sha256::digest(pem.as_bytes()))
}

/// Whether a name, or an address as a URL has it, leads every machine to itself.
pub fn is_of_this_machine(name: &str) -> bool {
    let address = name.trim_start_matches('[').trim_end_matches(']').parse::<IpAddr>();
    name == "localhost" || name.ends_with(".localhost") || address.is_ok_and(|it| it.is_loopback())
}

/// One word for a shell, whatever is in it.
pub fn shell_word(text: &str) -> String {
    format!("'{}'", text.replace('\'', r"'\''"))
}

#[cfg(test)]
mod tests {
    use std::process::Command;

    use expect_test::expect;

    use super::*;

    const PEM: &str = "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n";

    fn installer(trust: ServerTrust) -> Installer {
        Installer::new("bee-1", "https://skep.lan", "skep_t", trust).unwrap()
    }

    #[test]
    fn the_line_checks_the_local_ca_before_it_trusts_it() {
        expect![[r#"(d=$(mktemp -d) && curl -fsSk -o "$d/ca" 'https://skep.lan/ca.pem' && echo "7cc358aa45100f42d57b76e9b235253bfc6fc830b3e45858d2bc473657aae3f7  $d/ca" | sha256sum -c - >/dev/null && curl -fsS --cacert "$d/ca" -H 'Authorization: Bearer skep_t' -o "$d/i" 'https://skep.lan/-/skep/v1/enrol/install.sh?ca=local' && $([ "$(id -u)" = 0 ] || echo sudo) sh "$d/i"; s=$?; rm -rf "$d"; exit $s)"#]]
            .assert_eq(&installer(ServerTrust::LocalCa(PEM.to_owned())).line(Fetcher::Curl));
        expect![[r#"(d=$(mktemp -d) && curl -fsS -H 'Authorization: Bearer skep_t' -o "$d/i" 'https://skep.lan/-/skep/v1/enrol/install.sh' && $([ "$(id -u)" = 0 ] || echo sudo) sh "$d/i"; s=$?; rm -rf "$d"; exit $s)"#]]
            .assert_eq(&installer(ServerTrust::System).line(Fetcher::Curl));
        let wget = installer(ServerTrust::System).line(Fetcher::Wget);
        assert!(wget.contains("wget -q --header='Authorization: Bearer skep_t'"), "{wget}");
    }

    #[test]
    fn the_packages_unit_and_configuration_are_for_this_host() {
        let script = installer(ServerTrust::LocalCa(PEM.to_owned())).script();
        assert!(script.contains("ExecStart=/usr/local/bin/skep-agent run"), "{script}");
        for place in ["@HOST@", "@URL@", "@TOKEN@", "@CA@", "@UNIT@", "@CONFIG@"] {
            assert!(!script.contains(place), "{place}");
        }
        for line in [
            "host='bee-1'",
            "\nhost = \"bee-1\"\n",
            "\nurl = \"https://skep.lan\"\n",
            "\nca_file = \"/etc/skep/ca.pem\"\n",
            "\nenrolment_token_file = \"/etc/skep/enrolment-token\"\n",
        ] {
            assert!(script.contains(line), "{line} is not in\n{script}");
        }
        assert!(!script.contains("\ntoken_file = "), "{script}");
        let public = installer(ServerTrust::System).script();
        assert!(public.contains("\nca=''\n") && !public.contains("\nca_file = "), "{public}");
    }

    #[test]
    fn the_script_is_one_for_sh() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("install.sh");
        std::fs::write(&file, installer(ServerTrust::System).script()).unwrap();
        let checked = Command::new("sh").arg("-n").arg(&file).output().unwrap();
        assert!(checked.status.success(), "{}", String::from_utf8_lossy(&checked.stderr));
    }

    #[test]
    fn a_host_has_a_name_and_a_value_is_one_word() {
        assert!(Installer::new("a b", "https://x", "", ServerTrust::System).is_err());
        let own = ["localhost", "skep.localhost", "127.0.0.2", "[::1]"];
        assert!(own.into_iter().all(is_of_this_machine));
        assert!(!["nas.lan", "192.168.1.4", "localhost.lan"].into_iter().any(is_of_this_machine));
        assert_eq!(shell_word("it's"), r"'it'\''s'");
    }
}
