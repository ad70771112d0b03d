//! Codes of an authenticator app (RFC 6238), each good once, and recovery codes for a lost phone.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use rand::{Rng, RngCore};
use serde::{Deserialize, Serialize};
use time::OffsetDateTime;
use totp_rs::{Algorithm, Secret, TOTP};

use super::error::{AccessError, check_name};
use crate::config::{ConfigError, TokenHash};

/// What every authenticator app assumes.
const STEP_S: u64 = 30;
const DIGITS: usize = 6;
/// Codes of the step before and after count, too: clocks differ, and typing takes time.
const SKEW: u64 = 1;
/// As RFC 4226 recommends for the secret.
const SECRET_BYTES: usize = 20;
const N_RECOVERY: usize = 8;
/// Without letters and digits that look alike; 32 of them, so 60 bits in twelve.
const ALPHABET: &[u8; 32] = b"abcdefghjkmnpqrstuvwxyz023456789";
const RECOVERY_CHARS: usize = 12;

/// What TOTP asks for at least.
const SECRET_BYTES_MIN: usize = 16;

/// The secret of a user of the configuration.
#[derive(Clone, PartialEq, Eq)]
pub struct CodeSecret(Vec<u8>);

impl CodeSecret {
    /// Base32, as authenticator apps take it; spaces and case do not count.
    pub fn parse(text: &str) -> Result<Self, ConfigError> {
        let plain = |it: &char| !it.is_whitespace() && *it != '=' && *it != '-';
        let text: String = text.chars().filter(plain).map(|it| it.to_ascii_uppercase()).collect();
        let secret =
            Secret::Encoded(text).to_bytes().map_err(|_no_base32| ConfigError::CodeSecret)?;
        if secret.len() < SECRET_BYTES_MIN {
            return Err(ConfigError::CodeSecret);
        }
        Ok(Self(secret))
    }

    /// The step whose code this is, if it is newer than the last that was used.
    pub(crate) fn step_of(&self, code: &str, last_step: u64, now: OffsetDateTime) -> Option<u64> {
        step_of(self.0.clone(), &plain(code), now).filter(|step| *step > last_step)
    }

    pub(crate) fn as_bytes(&self) -> &[u8] {
        &self.0
    }
}

impl std::fmt::Debug for CodeSecret {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("CodeSecret(…)")
    }
}

/// What is kept of a factor.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct SecondFactor {
    /// Base64, without padding.
    secret: String,
    /// The newest step whose code was used: nothing up to it is good again.
    last_step: u64,
    /// Hashes of those that were not used yet. A plain hash is enough for 60 random bits.
    recovery_sha256: Vec<String>,
}

/// Whether a code lets in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Answer {
    Right,
    Wrong,
}

impl SecondFactor {
    /// Takes a code of the app or a recovery code; the right one is used up.
    pub(crate) fn take(&mut self, code: &str, now: OffsetDateTime) -> Answer {
        let code = plain(code);
        if let Some(step) = self.step_of(&code, now) {
            self.last_step = step;
            return Answer::Right;
        }
        let sha256 = TokenHash::of(&code).to_hex();
        let n_before = self.recovery_sha256.len();
        self.recovery_sha256.retain(|it| *it != sha256);
        if self.recovery_sha256.len() < n_before { Answer::Right } else { Answer::Wrong }
    }

    pub(crate) fn n_recovery(&self) -> usize {
        self.recovery_sha256.len()
    }

    fn step_of(&self, code: &str, now: OffsetDateTime) -> Option<u64> {
        let secret = URL_SAFE_NO_PAD.decode(&self.secret).ok()?;
        step_of(secret, code, now).filter(|step| *step > self.last_step)
    }
}

/// A factor that nobody has confirmed yet.
#[derive(Debug, Clone)]
pub struct NewFactor {
    secret: Vec<u8>,
    url: String,
    text: String,
    recovery: Vec<String>,
    last_step: u64,
}

impl NewFactor {
    /// For a user of the site `domain`, whose name the app shows.
    pub fn generate(name: &str, domain: &str) -> Result<Self, AccessError> {
        check_name(name)?;
        let mut secret = vec![0u8; SECRET_BYTES];
        rand::rng().fill_bytes(&mut secret);
        let issuer = format!("Skep {domain}").replace(':', " ");
        let totp = TOTP::new(
            Algorithm::SHA1,
            DIGITS,
            1,
            STEP_S,
            secret.clone(),
            Some(issuer),
            name.to_owned(),
        );
        let url = totp.map_err(|_colon| AccessError::Name(name.to_owned()))?.get_url();
        let text = Secret::Raw(secret.clone()).to_encoded().to_string();
        let recovery = (0..N_RECOVERY).map(|_| recovery_code()).collect();
        Ok(Self { secret, url, text, recovery, last_step: 0 })
    }

    /// `otpauth://…`: what a QR code for the app holds.
    pub fn url(&self) -> &str {
        &self.url
    }

    /// The secret for typing in.
    pub fn secret_text(&self) -> &str {
        &self.text
    }

    /// Shown once; each opens one login when the phone is lost.
    pub fn recovery_codes(&self) -> &[String] {
        &self.recovery
    }

    /// Proves that the app has the secret. The code cannot be used again for a login.
    pub fn confirm(&mut self, code: &str, now: OffsetDateTime) -> Result<(), AccessError> {
        let step = step_of(self.secret.clone(), &plain(code), now);
        self.last_step = step.ok_or(AccessError::WrongCode)?;
        Ok(())
    }

    pub(crate) fn stored(&self) -> SecondFactor {
        let recovery = self.recovery.iter().map(|code| TokenHash::of(&plain(code)).to_hex());
        SecondFactor {
            secret: URL_SAFE_NO_PAD.encode(&self.secret),
            last_step: self.last_step,
            recovery_sha256: recovery.collect(),
        }
    }
}

/// The newest step near `now` whose code this is.
fn step_of(secret: Vec<u8>, code: &str, now: OffsetDateTime) -> Option<u64> {
    let totp = TOTP::new(Algorithm::SHA1, DIGITS, 1, STEP_S, secret, None, String::new()).ok()?;
    let step = u64::try_from(now.unix_timestamp()).ok()? / STEP_S;
    let steps = step.saturating_sub(SKEW)..=step.saturating_add(SKEW);
    steps.rev().find(|step| totp.generate(step.saturating_mul(STEP_S)) == code)
}

/// As people copy them: with spaces, dashes and capitals.
fn plain(code: &str) -> String {
    code.chars().filter(char::is_ascii_alphanumeric).map(|it| it.to_ascii_lowercase()).collect()
}

fn recovery_code() -> String {
    let mut rng = rand::rng();
    let mut code = String::new();
    for i in 0..RECOVERY_CHARS {
        if i > 0 && i % 4 == 0 {
            code.push('-');
        }
        let letter = ALPHABET.get(rng.random_range(0..ALPHABET.len())).copied().unwrap_or(b'a');
        code.push(char::from(letter));
    }
    code
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: OffsetDateTime = time::macros::datetime!(2026-11-22 12:00 UTC);
    const STEP: std::time::Duration = std::time::Duration::from_secs(STEP_S);

    fn code(factor: &NewFactor, at: OffsetDateTime) -> String {
        let totp = TOTP::new(
            Algorithm::SHA1,
            DIGITS,
            1,
            STEP_S,
            factor.secret.clone(),
            None,
            String::new(),
        );
        totp.unwrap().generate(at.unix_timestamp().try_into().unwrap())
    }

    #[test]
    fn a_code_is_good_once_and_only_near_its_time() {
        let mut new = NewFactor::generate("ada", "home.lan").unwrap();
        assert!(new.confirm("000 00", NOW).is_err());
        new.confirm(&code(&new, NOW), NOW).unwrap();
        let mut factor = new.stored();
        // The one that confirmed, and what came before it.
        assert_eq!(factor.take(&code(&new, NOW), NOW), Answer::Wrong);
        assert_eq!(factor.take(&code(&new, NOW - STEP), NOW), Answer::Wrong);
        let (soon, later) = (NOW + STEP, NOW + STEP * 4);
        assert_eq!(factor.take(&code(&new, soon), NOW), Answer::Right);
        assert_eq!(factor.take(&code(&new, soon), NOW), Answer::Wrong);
        assert_eq!(factor.take(&code(&new, later), NOW), Answer::Wrong);
        assert_eq!(factor.take(&code(&new, later), later), Answer::Right);
    }

    #[test]
    fn a_secret_of_the_configuration_is_base32_however_it_is_written() {
        let new = NewFactor::generate("ada", "home.lan").unwrap();
        let text = new.secret_text();
        let secret = CodeSecret::parse(&format!("{}\n", text.to_lowercase())).unwrap();
        let step = secret.step_of(&code(&new, NOW), 0, NOW).unwrap();
        assert_eq!(secret.step_of(&code(&new, NOW), step, NOW), None);
        for bad in ["", "not base32!", "ABCDEFGH", &text[..20]] {
            assert!(CodeSecret::parse(bad).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn a_recovery_code_opens_one_login_however_it_is_typed() {
        let new = NewFactor::generate("ada", "home.lan").unwrap();
        let mut factor = new.stored();
        let typed = new.recovery_codes()[3].to_uppercase().replace('-', " ");
        assert_eq!(factor.take(&typed, NOW), Answer::Right);
        assert_eq!(factor.take(&typed, NOW), Answer::Wrong);
        assert_eq!(factor.n_recovery(), N_RECOVERY - 1);
        assert_eq!(factor.take("", NOW), Answer::Wrong);
    }

    #[test]
    fn an_app_is_told_whose_code_it_is() {
        let new = NewFactor::generate("ada", "home.lan").unwrap();
        let expected = format!(
            "otpauth://totp/Skep%20home.lan:ada?secret={}&issuer=Skep%20home.lan",
            new.secret_text()
        );
        assert_eq!(new.url(), expected);
    }
}
