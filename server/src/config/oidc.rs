//! `[oidc]`: a provider that people may log in at instead of with a password here.

use std::path::{Path, PathBuf};

use anyhow::Context as _;
use serde::Deserialize;
use skep_front::{Issuer, OidcConfig, OidcLogout, OidcRoles, SecretFile, TokenAuth};

use super::values::positive_duration;

/// What most providers have.
const SCOPES: [&str; 4] = ["openid", "profile", "email", "groups"];
const NAME_CLAIM: &str = "preferred_username";
const ROLE_CLAIM: &str = "groups";
/// Who loses a role at the provider loses it here by then.
const SESSION_LIFETIME: &str = "1d";

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RawOidc {
    #[serde(default = "single_sign_on")]
    name: String,
    issuer: String,
    client_id: String,
    client_secret_file: Option<PathBuf>,
    token_auth: Option<RawTokenAuth>,
    scopes: Option<Vec<String>>,
    name_claim: Option<String>,
    role_claim: Option<String>,
    #[serde(default)]
    admin_groups: Vec<String>,
    #[serde(default)]
    viewer_groups: Vec<String>,
    #[serde(default)]
    admin_emails: Vec<String>,
    #[serde(default)]
    viewer_emails: Vec<String>,
    ca_file: Option<PathBuf>,
    session_lifetime: Option<String>,
    #[serde(default)]
    logout: RawLogout,
}

fn single_sign_on() -> String {
    "single sign-on".to_owned()
}

#[derive(Debug, Clone, Copy, Deserialize)]
#[serde(rename_all = "lowercase")]
enum RawTokenAuth {
    Basic,
    Post,
}

#[derive(Debug, Clone, Copy, Default, Deserialize)]
#[serde(rename_all = "lowercase")]
enum RawLogout {
    #[default]
    Here,
    Provider,
}

impl RawOidc {
    /// `dir`: where relative paths are meant from.
    pub(super) fn config(&self, dir: &Path) -> anyhow::Result<OidcConfig> {
        self.valid(dir).context("oidc")
    }

    fn valid(&self, dir: &Path) -> anyhow::Result<OidcConfig> {
        let secret = self.client_secret_file.as_ref().map(|it| SecretFile::open(&dir.join(it)));
        let or = |text: &Option<String>, default: &str| {
            text.clone().unwrap_or_else(|| default.to_owned())
        };
        let lifetime = or(&self.session_lifetime, SESSION_LIFETIME);
        let oidc = OidcConfig {
            name: self.name.clone(),
            issuer: Issuer::parse(&self.issuer)?,
            client_id: self.client_id.clone(),
            client_secret_file: secret.transpose().context("client_secret_file")?,
            token_auth: self.token_auth.map(|it| match it {
                RawTokenAuth::Basic => TokenAuth::Basic,
                RawTokenAuth::Post => TokenAuth::Post,
            }),
            scopes: self.scopes.clone().unwrap_or_else(|| SCOPES.map(str::to_owned).to_vec()),
            name_claim: or(&self.name_claim, NAME_CLAIM),
            roles: OidcRoles {
                claim: or(&self.role_claim, ROLE_CLAIM),
                admin_groups: self.admin_groups.clone(),
                viewer_groups: self.viewer_groups.clone(),
                admin_emails: self.admin_emails.clone(),
                viewer_emails: self.viewer_emails.clone(),
            },
            ca_file: self.ca_file.as_ref().map(|it| dir.join(it)),
            session_lifetime: positive_duration("session_lifetime", &lifetime)?,
            logout: match self.logout {
                RawLogout::Here => OidcLogout::Here,
                RawLogout::Provider => OidcLogout::AtProvider,
            },
        };
        oidc.check()?;
        Ok(oidc)
    }
}

#[cfg(test)]
mod tests {
    use super::super::Config;

    const GUIDE: &str = include_str!("../../../docs/guide/access.md");

    fn example() -> &'static str {
        let example = GUIDE.split("```toml\n").find(|it| it.starts_with("[oidc]"));
        example.and_then(|it| it.split("```").next()).expect("the guide has an example")
    }

    fn parse(text: &str) -> anyhow::Result<Config> {
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join("oidc-secret"), "s3cret\n").unwrap();
        let text = text.replace("/etc/skep", &dir.path().display().to_string());
        Config::parse_in(dir.path(), &text).map_err(|it| crate::config::Faults::new("", it).into())
    }

    #[test]
    fn the_guides_example_is_right_and_knows_every_setting() {
        let oidc = parse(example()).unwrap().front.oidc.unwrap();
        assert_eq!(oidc.issuer.as_str(), "https://auth.home.lan");
        let error = Config::parse("[oidc]\nissuer = 'https://a'\nclient_id = 'a'\nnosuch = 1");
        let error = error.unwrap_err().to_string();
        let (_, keys) = error.split_once("expected ").expect("the keys are listed");
        for key in keys.split('`').skip(1).step_by(2) {
            let is_key =
                |line: &str| line.trim_start_matches("# ").starts_with(&format!("{key} = "));
            assert!(example().lines().any(is_key), "oidc.{key} is not in docs/guide/access.md");
        }
    }

    #[test]
    fn what_would_let_nobody_in_is_refused() {
        let least = "[oidc]\nissuer = 'https://auth.lan'\nclient_id = 'skep'\n";
        for (more, expected) in [
            ("", "oidc: nobody could log in; write whose role is what"),
            ("admin_emails = ['ada']", "oidc: \"ada\" is no mail address"),
            ("viewer_groups = ['*']\nscopes = ['groups']", "oidc.scopes lack \"openid\""),
            (
                "viewer_groups = ['*']\nclient_secret_file = 'nosuch'",
                "oidc.client_secret_file: cannot read",
            ),
            ("viewer_groups = ['*']\nsession_lifetime = '0s'", "oidc.session_lifetime \"0s\""),
            ("viewer_groups = ['*']\nlogout = 'all'", "unknown variant `all`"),
        ] {
            let error = format!("{:#}", parse(&format!("{least}{more}")).unwrap_err());
            assert!(error.contains(expected), "{error}");
        }
        let plain = least.replace("https:", "http:") + "viewer_groups = ['*']";
        let error = format!("{:#}", parse(&plain).unwrap_err());
        assert!(error.contains("oidc.issuer \"http://auth.lan\" is not one"), "{error}");
    }
}
