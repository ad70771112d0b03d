//! Addresses: links a browser may follow, and what is checked.

use reqwest::Url;

/// What a check connects to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Target {
    /// `http://…` or `https://…`.
    Http(String),
    /// `tcp://host:port`.
    Tcp { host: String, port: u16 },
    /// `ping://host`.
    Ping { host: String },
}

/// Schemes that a link may have: none of them runs a script in the page.
const LINK_SCHEMES: [&str; 8] = ["http", "https", "ftp", "ssh", "sftp", "smb", "rdp", "mailto"];

/// A link: an absolute URL, or a path on this server.
pub(crate) fn href(text: &str) -> Result<String, String> {
    let is_path = text.starts_with('/') && !text.starts_with("//") && !text.contains('\\');
    if is_path {
        return Ok(text.to_owned());
    }
    match Url::parse(text) {
        Ok(url) if LINK_SCHEMES.contains(&url.scheme()) => Ok(text.trim().to_owned()),
        _other => Err(format!(
            "{text:?} is no address that a page may link to; write one like \
             \"https://photos.home.lan\""
        )),
    }
}

/// An address of HTTP without a user and password in it.
pub(super) fn http(text: &str) -> Result<String, String> {
    match Url::parse(text) {
        Ok(url) if matches!(url.scheme(), "http" | "https") && url.host_str().is_some() => {
            Ok(url.to_string())
        }
        _other => {
            Err(format!("{text:?} is no address of HTTP; write one like \"http://nas:8080/\""))
        }
    }
}

impl Target {
    /// `off` is none; `ping` pings the host of the link.
    pub(super) fn parse(text: &str, link: Option<&str>) -> Result<Option<Self>, String> {
        if text == "off" {
            return Ok(None);
        }
        if text == "ping" {
            let host = link.and_then(|it| Url::parse(it).ok()?.host_str().map(str::to_owned));
            let host = host.ok_or("\"ping\" needs a link with a host; write \"ping://HOST\"")?;
            return Ok(Some(Self::ping(&host)));
        }
        if let Some(host) = text.strip_prefix("ping://") {
            let host = host.trim_end_matches('/');
            let is_host = !host.is_empty() && !host.contains(['/', '?', '#', '@', ' ']);
            return is_host
                .then(|| Some(Self::ping(host)))
                .ok_or_else(|| format!("{text:?} names no host; write one like \"ping://nas\""));
        }
        if text.starts_with("tcp://") {
            let found = Url::parse(text)
                .ok()
                .and_then(|url| Some((url.host_str()?.to_owned(), url.port()?)));
            let (host, port) = found.ok_or_else(|| {
                format!("{text:?} has no host and port; write one like \"tcp://nas:22\"")
            })?;
            return Ok(Some(Self::Tcp { host: bare(&host), port }));
        }
        http(text).map(|url| Some(Self::Http(url))).map_err(|_http| {
            format!(
                "{text:?} cannot be checked; write an address of http, https, tcp or ping, or \
                 \"off\""
            )
        })
    }

    /// What a link stands for by itself.
    pub(super) fn of_link(link: &str) -> Option<Self> {
        http(link).ok().map(Self::Http)
    }

    fn ping(host: &str) -> Self {
        Self::Ping { host: bare(host) }
    }
}

/// An IPv6 address without its brackets.
fn bare(host: &str) -> String {
    host.strip_prefix('[').and_then(|it| it.strip_suffix(']')).unwrap_or(host).to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_link_runs_a_script() {
        for bad in [
            "javascript:alert(1)",
            " javascript:alert(1)",
            "data:text/html,x",
            "//evil/",
            "x",
            "",
            "/\\evil",
            "vbscript:x",
            "blob:x",
        ] {
            assert!(href(bad).is_err(), "{bad:?} was taken");
        }
        for good in ["https://a.lan/x?y=1", "/explore", "mailto:me@home.lan", "http://[::1]:80/"] {
            assert_eq!(href(good).unwrap(), good);
        }
    }

    #[test]
    fn checks_are_addresses_or_off() {
        let parse = |text| Target::parse(text, Some("http://nas.lan:8080/x"));
        assert_eq!(parse("off"), Ok(None));
        assert_eq!(parse("ping"), Ok(Some(Target::Ping { host: "nas.lan".to_owned() })));
        assert_eq!(parse("ping://[::1]"), Ok(Some(Target::Ping { host: "::1".to_owned() })));
        assert_eq!(parse("tcp://h:22"), Ok(Some(Target::Tcp { host: "h".to_owned(), port: 22 })));
        for bad in ["tcp://h", "ping://", "ping://a b", "file:///etc/passwd", "nas", ""] {
            assert!(parse(bad).is_err(), "{bad:?} was taken");
        }
        assert!(Target::parse("ping", None).is_err());
    }
}
