//! What a TLS scanner finds out about a server, held against what earns an A: TLS 1.2 and 1.3 alone,
//! ciphers that encrypt and authenticate in one step, a new key for each connection, a sound
//! certificate.

use anyhow::{Context as _, ensure};
use tokio::process::Command;

use crate::Server;

/// One item of the scan.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    pub item: String,
    pub found: String,
    pub is_good: bool,
}

impl Finding {
    fn new(item: impl Into<String>, found: impl Into<String>, is_good: bool) -> Self {
        Self { item: item.into(), found: found.into(), is_good }
    }
}

/// Has Debian's `sslscan` look at a server.
///
/// # Errors
/// It is not installed, or does not reach the server.
pub async fn scan(server: &Server) -> anyhow::Result<Vec<Finding>> {
    let url = server.url();
    let authority = url.trim_start_matches("https://").trim_end_matches('/');
    let (name, port) = authority.rsplit_once(':').context("the server's URL has no port")?;
    let output = Command::new("sslscan")
        .args(["--xml=-", "--no-colour", &format!("--sni-name={name}")])
        .arg(format!("127.0.0.1:{port}"))
        .output()
        .await
        .context("cannot run sslscan; install Debian's package of that name")?;
    ensure!(output.status.success(), "sslscan ended with {}", output.status);
    Ok(findings(&String::from_utf8_lossy(&output.stdout)))
}

/// Of `sslscan --xml`, which writes an element a line. What it has not found is not good.
pub fn findings(xml: &str) -> Vec<Finding> {
    let elements = |name: &'static str| {
        let start = format!("<{name} ");
        xml.lines().map(str::trim).filter(move |line| line.starts_with(&start))
    };
    let mut all = Vec::new();
    for (kind, version, is_wanted) in [
        ("ssl", "2", false),
        ("ssl", "3", false),
        ("tls", "1.0", false),
        ("tls", "1.1", false),
        ("tls", "1.2", true),
        ("tls", "1.3", true),
    ] {
        let is_it = |line: &&str| {
            attribute(line, "type") == Some(kind) && attribute(line, "version") == Some(version)
        };
        let enabled = elements("protocol").find(is_it).and_then(|it| attribute(it, "enabled"));
        let found = match enabled {
            Some("1") => "spoken",
            Some("0") => "refused",
            _unknown => "not tried",
        };
        let is_good = enabled == Some(if is_wanted { "1" } else { "0" });
        all.push(Finding::new(format!("{kind} {version}"), found, is_good));
    }
    all.extend(elements("cipher").map(cipher));
    all.extend(elements("group").map(group));
    let is_secure =
        |it: &str| attribute(it, "supported") == Some("0") || attribute(it, "secure") == Some("1");
    all.push(one_of("renegotiation", elements("renegotiation").next(), is_secure));
    for line in elements("heartbleed") {
        let is_good = attribute(line, "vulnerable") == Some("0");
        all.push(Finding::new("heartbleed", attribute(line, "sslversion").unwrap_or("?"), is_good));
    }
    all.extend(certificate(xml, elements("pk").next()));
    all
}

fn one_of(item: &str, line: Option<&str>, is_good: impl Fn(&str) -> bool) -> Finding {
    match line {
        Some(line) => Finding::new(item, attributes(line), is_good(line)),
        None => Finding::new(item, "not found", false),
    }
}

/// Of TLS 1.2 only what TLS 1.3 has kept: a key exchange of its own, and AEAD.
fn cipher(line: &str) -> Finding {
    let version = attribute(line, "sslversion").unwrap_or("?");
    let name = attribute(line, "cipher").unwrap_or("?");
    let is_modern = version == "TLSv1.3"
        || (name.starts_with("ECDHE-") && (name.contains("-GCM-") || name.contains("CHACHA20")));
    let is_good = is_modern && bits(line) >= 128;
    Finding::new(format!("cipher {version}"), format!("{name}, {} bits", bits(line)), is_good)
}

fn group(line: &str) -> Finding {
    let name = attribute(line, "name").unwrap_or("?");
    let found = format!("{name}, {} bits of strength", bits(line));
    Finding::new("key exchange", found, bits(line) >= 128)
}

fn certificate(xml: &str, key: Option<&str>) -> Vec<Finding> {
    let text = |name: &str| {
        let (_, rest) = xml.split_once(&format!("<{name}>"))?;
        Some(rest.split_once("</")?.0)
    };
    let signature = text("signature-algorithm").unwrap_or("not found");
    let is_sound = ["256", "384", "512"].iter().any(|it| signature.contains(it));
    let is_strong = |it: &str| match attribute(it, "type") {
        Some("EC") => bits(it) >= 128,
        Some("RSA") => bits(it) >= 2048,
        _other => false,
    };
    let no = |item: &str, name: &str| {
        Finding::new(item, text(name).unwrap_or("not found"), text(name) == Some("false"))
    };
    vec![
        Finding::new("certificate signed by", signature, is_sound),
        one_of("certificate's key", key, is_strong),
        no("certificate has expired", "expired"),
        no("certificate is its own issuer", "self-signed"),
    ]
}

fn bits(line: &str) -> u32 {
    attribute(line, "bits").and_then(|it| it.parse().ok()).unwrap_or(0)
}

fn attribute<'l>(line: &'l str, name: &str) -> Option<&'l str> {
    let (_, rest) = line.split_once(&format!(" {name}=\""))?;
    Some(rest.split_once('"')?.0)
}

fn attributes(line: &str) -> &str {
    let line = line.trim_end_matches("/>").trim_end();
    line.split_once(' ').map_or(line, |(_, rest)| rest)
}

#[cfg(test)]
mod tests {
    use super::*;

    const GOOD: &str = r#"
  <protocol type="ssl" version="2" enabled="0" />
  <protocol type="ssl" version="3" enabled="0" />
  <protocol type="tls" version="1.0" enabled="0" />
  <protocol type="tls" version="1.1" enabled="0" />
  <protocol type="tls" version="1.2" enabled="1" />
  <protocol type="tls" version="1.3" enabled="1" />
  <renegotiation supported="0" secure="0" />
  <heartbleed sslversion="TLSv1.2" vulnerable="0" />
  <cipher status="preferred" sslversion="TLSv1.3" bits="128" cipher="TLS_AES_128_GCM_SHA256" />
  <cipher status="accepted" sslversion="TLSv1.2" bits="256" cipher="ECDHE-RSA-CHACHA20-POLY1305" />
  <group sslversion="TLSv1.3" bits="128" name="x25519" id="0x001d" />
   <signature-algorithm>ecdsa-with-SHA256</signature-algorithm>
   <pk error="false" type="EC" curve_name="prime256v1" bits="128" />
   <self-signed>false</self-signed>
   <expired>false</expired>
"#;

    fn weak(xml: &str) -> Vec<String> {
        findings(xml).into_iter().filter(|it| !it.is_good).map(|it| it.item).collect()
    }

    #[test]
    fn what_is_sound_passes_and_each_weakness_is_named() {
        assert_eq!(weak(GOOD), Vec::<String>::new());
        for (good, bad, item) in [
            ("version=\"1.0\" enabled=\"0\"", "version=\"1.0\" enabled=\"1\"", "tls 1.0"),
            ("version=\"1.3\" enabled=\"1\"", "version=\"1.3\" enabled=\"0\"", "tls 1.3"),
            ("ECDHE-RSA-CHACHA20-POLY1305", "AES256-GCM-SHA384", "cipher TLSv1.2"),
            ("ECDHE-RSA-CHACHA20-POLY1305", "ECDHE-RSA-AES256-SHA384", "cipher TLSv1.2"),
            ("bits=\"128\" name=\"x25519\"", "bits=\"80\" name=\"secp160r1\"", "key exchange"),
            ("supported=\"0\" secure=\"0\"", "supported=\"1\" secure=\"0\"", "renegotiation"),
            ("vulnerable=\"0\"", "vulnerable=\"1\"", "heartbleed"),
            ("ecdsa-with-SHA256", "sha1WithRSAEncryption", "certificate signed by"),
            ("type=\"EC\"", "type=\"RSA\"", "certificate's key"),
            ("<expired>false", "<expired>true", "certificate has expired"),
            ("<self-signed>false", "<self-signed>true", "certificate is its own issuer"),
        ] {
            assert_eq!(weak(&GOOD.replace(good, bad)), [item]);
        }
        assert!(weak("").len() > 10, "a scan that found nothing");
    }
}
