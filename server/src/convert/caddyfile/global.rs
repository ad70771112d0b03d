//! The global options, and what sites take over from them.

use super::Remarks;
use super::out::{Acme, Config, Dns, ExternalAccount};
use super::parse::{Block, Directive};
use super::site;

/// Who signs the certificates of public names.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Issuer {
    Internal,
    Acme(Box<Acme>),
}

/// Caddy's defaults, unless something else is said.
#[derive(Debug)]
pub(super) struct Options {
    pub(super) issuer: Issuer,
    https_port: u16,
    http_port: u16,
    has_redirect: bool,
    binds: Vec<String>,
    trusted_proxies: Vec<String>,
    proxy_protocol: Vec<String>,
    drain: Option<String>,
}

impl Default for Options {
    fn default() -> Self {
        let acme = Acme { terms_agreed: true, ..Acme::default() };
        Self {
            issuer: Issuer::Acme(Box::new(acme)),
            https_port: 443,
            http_port: 80,
            has_redirect: true,
            binds: Vec::new(),
            trusted_proxies: Vec::new(),
            proxy_protocol: Vec::new(),
            drain: None,
        }
    }
}

const CLOUDFLARE_TOKEN: &str =
    "Put the token for Cloudflare into /etc/skep/cloudflare-token, readable by the server only.";
const STAGING: &str = "https://acme-staging-v02.api.letsencrypt.org/directory";

impl Issuer {
    fn acme(&mut self) -> Option<&mut Acme> {
        match self {
            Self::Acme(acme) => Some(&mut **acme),
            Self::Internal => None,
        }
    }

    pub(super) fn set_email(&mut self, email: &str) {
        if let Some(acme) = self.acme() {
            acme.email = Some(email.to_owned());
        }
    }

    pub(super) fn set_directory(&mut self, url: &str) {
        let name = if url == STAGING { "letsencrypt-staging" } else { url };
        if let Some(acme) = self.acme() {
            acme.directory = Some(name.to_owned());
        }
    }

    pub(super) fn set_ca_file(&mut self, file: &str) {
        if let Some(acme) = self.acme() {
            acme.ca_file = Some(file.to_owned());
        }
    }

    pub(super) fn set_dns(&mut self, dns: Dns, remarks: &mut Remarks) {
        remarks.note_overall(CLOUDFLARE_TOKEN);
        if let Some(acme) = self.acme() {
            acme.dns = Some(dns);
        }
    }
}

pub(super) fn options(block: &Block, remarks: &mut Remarks) -> Options {
    let mut options = Options::default();
    for directive in &block.directives {
        option(directive, &mut options, remarks);
    }
    options
}

fn option(directive: &Directive, options: &mut Options, remarks: &mut Remarks) {
    let port = || directive.arg(0).and_then(|it| it.parse().ok());
    match (&*directive.name, directive.arg(0)) {
        ("email", Some(email)) => options.issuer.set_email(email),
        ("acme_ca", Some(url)) => options.issuer.set_directory(url),
        ("acme_ca_root", Some(file)) => options.issuer.set_ca_file(file),
        ("acme_dns", Some(provider)) => match site::dns(provider) {
            Some(dns) => options.issuer.set_dns(dns, remarks),
            None => {
                remarks.lose(directive, format_args!("the DNS provider {provider} is not known"));
            }
        },
        ("acme_eab", _) => external_account(directive, options, remarks),
        ("local_certs", _) => options.issuer = Issuer::Internal,
        ("https_port", Some(_)) => options.https_port = port().unwrap_or(443),
        ("http_port", Some(_)) => options.http_port = port().unwrap_or(80),
        ("auto_https", Some("disable_redirects")) => options.has_redirect = false,
        ("auto_https", Some("disable_certs")) => options.issuer = Issuer::Internal,
        ("auto_https", _) => {
            remarks.lose(directive, "sites are served by HTTPS, always");
        }
        ("default_bind", Some(_)) => options.binds.extend(directive.args.iter().cloned()),
        ("grace_period", Some(time)) => options.drain = Some(time.to_owned()),
        ("servers", _) => {
            for line in directive.lines() {
                server(line, options, remarks);
            }
        }
        // Nothing here, or nothing that needs to be said.
        (
            "admin"
            | "log"
            | "debug"
            | "order"
            | "persist_config"
            | "skip_install_trust"
            | "metrics"
            | "ocsp_stapling"
            | "storage_clean_interval"
            | "shutdown_delay",
            _,
        ) => remarks.note(directive, format!("`{}` is not needed here.", directive.written())),
        _other => remarks.lose(directive, "has no counterpart"),
    }
}

fn external_account(directive: &Directive, options: &mut Options, remarks: &mut Remarks) {
    let line = |name| directive.lines().iter().find(|it| it.name == name).and_then(|it| it.arg(0));
    let kid = line("key_id").or_else(|| directive.arg(0));
    match (kid, options.issuer.acme()) {
        (Some(kid), Some(acme)) => {
            remarks.note(
                directive,
                "Put the account's MAC key into /etc/skep/eab-key, readable by the server only.",
            );
            let hmac_key_file = "/etc/skep/eab-key".to_owned();
            acme.external_account = Some(ExternalAccount { kid: kid.to_owned(), hmac_key_file });
        }
        _none => remarks.lose(directive, "there is no key_id, or no ACME server"),
    }
}

fn server(line: &Directive, options: &mut Options, remarks: &mut Remarks) {
    match (&*line.name, line.arg(0)) {
        ("trusted_proxies", Some("static")) => {
            options.trusted_proxies.extend(line.args.iter().skip(1).cloned());
        }
        ("listener_wrappers", _) => {
            for wrapper in line.lines() {
                let allow = wrapper.lines().iter().filter(|it| it.name == "allow");
                match &*wrapper.name {
                    "proxy_protocol" => {
                        options.proxy_protocol.extend(allow.flat_map(|it| it.args.clone()));
                    }
                    "tls" => {}
                    _other => remarks.lose(wrapper, "has no counterpart"),
                }
            }
        }
        ("protocols" | "metrics" | "strict_sni_host" | "trusted_proxies_strict", _) => {
            remarks.note(line, format!("`{}` is not needed here.", line.written()));
        }
        _other => remarks.lose(line, "has no counterpart"),
    }
}

fn bracketed(ip: &str) -> String {
    if ip.contains(':') && !ip.starts_with('[') { format!("[{ip}]") } else { ip.to_owned() }
}

impl Options {
    /// Another port than the usual one is listened on, too.
    pub(super) fn listens(&self, port: Option<u16>, config: &mut Config) {
        let address = format!("[::]:{}", port.unwrap_or(self.https_port));
        if self.binds.is_empty() && !config.front.https.contains(&address) {
            config.front.https.push(address);
        }
    }

    pub(super) fn binds(&self, address: &str, config: &mut Config) {
        let address = format!("{}:{}", bracketed(address), self.https_port);
        let is_ip = address.parse::<std::net::SocketAddr>().is_ok();
        if is_ip && !config.front.https.contains(&address) {
            config.front.https.retain(|it| !it.starts_with("[::]:"));
            config.front.https.push(address);
        }
    }

    pub(super) fn finish(self, config: &mut Config, remarks: &mut Remarks) {
        for address in &self.binds {
            self.binds(address, config);
        }
        if config.front.https.is_empty() {
            self.listens(None, config);
        }
        config.front.https.sort();
        if self.has_redirect {
            let bind = self.binds.first().map_or("[::]".to_owned(), |it| bracketed(it));
            config.front.redirect = Some(format!("{bind}:{}", self.http_port));
        }
        remarks.note_overall(
            "The page of this server itself is at front.domain: set it to a name that is no site's.",
        );
        if config.front.https.len() > 1 {
            remarks.note_overall("Every site answers on every address of front.https.");
        }
        if !config.acme.is_empty() {
            remarks.note_overall(
                "Caddy agreed to the terms of the certificate authority for you: read them, and keep terms_agreed if you do.",
            );
        }
        config.front.trusted_proxies = self.trusted_proxies;
        config.front.proxy_protocol = self.proxy_protocol;
        config.front.drain = self.drain;
    }
}
