//! One site: its names, its certificates, and what its routes have in common.

use super::Remarks;
use super::address::SiteAddress;
use super::global::{Issuer, Options};
use super::matcher::covers;
use super::out::{Acme, Certificate, Config, Dns, Guard, Headers, Route, Site};
use super::parse::{Block, Directive};
use super::routes::{self, Draft, Scope};

pub(super) fn convert(
    block: &Block,
    options: &Options,
    config: &mut Config,
    remarks: &mut Remarks,
) {
    let head = Directive {
        at: block.at.clone(),
        name: block.keys.join(", "),
        args: Vec::new(),
        block: Some(Vec::new()),
    };
    let addresses: Vec<SiteAddress> = block.keys.iter().map(|it| SiteAddress::parse(it)).collect();
    let named = addresses.iter().filter(|it| is_usable(it, &head, remarks));
    let mut hosts: Vec<String> = Vec::new();
    let mut public: Vec<String> = Vec::new();
    for address in named {
        if !hosts.contains(&address.host) {
            hosts.push(address.host.clone());
            if address.is_public() && !address.is_http {
                public.push(address.host.clone());
            }
        }
        options.listens(address.port.filter(|_| !address.is_http), config);
    }
    if hosts.is_empty() {
        return;
    }
    binds(block, options, config, remarks);
    certificates(block, options, &public, config, remarks);
    let drafts = routes::of_block(&block.directives, &Scope::default(), true, remarks);
    let mut inner: Vec<String> = Vec::new();
    for host in drafts.iter().flat_map(|it| &it.hosts) {
        let is_ours = hosts.iter().any(|it| takes_host(it, host));
        if is_ours && !inner.contains(host) {
            inner.push(host.clone());
        }
    }
    for host in &inner {
        let of_host = drafts.iter().filter(|it| it.hosts.is_empty() || it.hosts.contains(host));
        config.sites.push(site(vec![host.clone()], of_host.cloned().collect()));
    }
    hosts.retain(|it| !inner.contains(it));
    let rest: Vec<Draft> = drafts.into_iter().filter(|it| it.hosts.is_empty()).collect();
    if hosts.is_empty() || (rest.is_empty() && !inner.is_empty()) {
        return;
    }
    if rest.is_empty() {
        remarks.note(&head, "Nothing of this site answers: every path is 404.");
    }
    config.sites.push(site(hosts, rest));
}

fn is_usable(address: &SiteAddress, head: &Directive, remarks: &mut Remarks) -> bool {
    let host = address.host.as_str();
    let is_ip = host.trim_matches(['[', ']']).parse::<std::net::IpAddr>().is_ok();
    if host.is_empty() || host == "*" {
        remarks.lose(head, "a site needs a name: a host that nobody named is answered 421");
        return false;
    }
    if host == "localhost" || is_ip {
        remarks.lose(head, format_args!("{host} is the page of this server itself; choose a name"));
        return false;
    }
    if host.contains(['{', '$']) || host.trim_start_matches("*.").contains('*') {
        remarks.lose(head, format_args!("{host} is no name, nor * and a name"));
        return false;
    }
    if address.is_http {
        remarks.note(head, format!("{host} is served by HTTPS here; HTTP only leads there."));
    }
    if !matches!(&*address.path, "" | "/") {
        remarks.lose(head, "a path in an address has no counterpart; it counts for all paths");
    }
    true
}

fn takes_host(pattern: &str, host: &str) -> bool {
    pattern == host
        || pattern
            .strip_prefix("*.")
            .is_some_and(|base| host.split_once('.').is_some_and(|(_label, rest)| rest == base))
}

fn binds(block: &Block, options: &Options, config: &mut Config, remarks: &mut Remarks) {
    for directive in block.directives.iter().filter(|it| it.name == "bind") {
        remarks.note(directive, "All sites answer on all addresses of front.https.");
        for address in &directive.args {
            options.binds(address, config);
        }
    }
}

/// From files, from the local CA, or from an ACME server that Caddy would have asked.
fn certificates(
    block: &Block,
    options: &Options,
    public: &[String],
    config: &mut Config,
    remarks: &mut Remarks,
) {
    let mut issuer = options.issuer.clone();
    for tls in block.directives.iter().filter(|it| it.name == "tls") {
        match tls.args.as_slice() {
            [one] if one == "internal" => issuer = Issuer::Internal,
            [email] if email.contains('@') => issuer.set_email(email),
            [cert, key] => {
                let files = Certificate { cert_file: cert.clone(), key_file: key.clone() };
                if !config.certificates.contains(&files) {
                    config.certificates.push(files);
                }
                issuer = Issuer::Internal;
            }
            [] => {}
            _other => remarks.lose(tls, "has no counterpart"),
        }
        for line in tls.lines() {
            tls_line(line, &mut issuer, remarks);
        }
    }
    let Issuer::Acme(mut acme) = issuer else { return };
    if acme.dns.is_none() {
        let wildcards: Vec<&str> =
            public.iter().filter(|it| it.starts_with('*')).map(String::as_str).collect();
        if !wildcards.is_empty() {
            remarks.note_overall(format!(
                "Without a DNS provider nobody certifies {}: the local CA does.",
                wildcards.join(", ")
            ));
        }
    }
    let names = public.iter().filter(|it| acme.dns.is_some() || !it.starts_with('*')).cloned();
    let names: Vec<String> = names.collect();
    if names.is_empty() {
        return;
    }
    match config.acme.iter_mut().find(|it| Acme { names: Vec::new(), ..(**it).clone() } == *acme) {
        Some(same) => same.names.extend(names),
        None => {
            acme.names = names;
            config.acme.push(*acme);
        }
    }
}

fn tls_line(line: &Directive, issuer: &mut Issuer, remarks: &mut Remarks) {
    match (&*line.name, line.args.as_slice()) {
        ("dns", [provider, ..]) => match dns(provider) {
            Some(dns) => issuer.set_dns(dns, remarks),
            None => remarks.lose(
                line,
                format_args!(
                    "the DNS provider {provider} is not known; there are cloudflare, rfc2136, acme-dns, exec and webhook"
                ),
            ),
        },
        ("issuer", [kind, ..]) if kind == "internal" => *issuer = Issuer::Internal,
        ("issuer", [kind]) if kind == "acme" => {
            for line in line.lines() {
                tls_line(line, issuer, remarks);
            }
        }
        ("ca" | "dir", [url]) => issuer.set_directory(url),
        ("ca_root" | "trusted_roots", [file]) => issuer.set_ca_file(file),
        ("email", [email]) => issuer.set_email(email),
        ("protocols", _) => remarks.note(line, "TLS 1.2 and 1.3 are spoken, always."),
        ("resolvers" | "propagation_delay" | "propagation_timeout", _) => {
            remarks.lose(line, "is written as acme.propagation");
        }
        _other => remarks.lose(line, "has no counterpart"),
    }
}

pub(super) fn dns(provider: &str) -> Option<Dns> {
    (provider == "cloudflare").then(|| Dns {
        provider: "cloudflare".to_owned(),
        token_file: "/etc/skep/cloudflare-token".to_owned(),
    })
}

/// What all routes have in common is the site's.
fn site(hosts: Vec<String>, drafts: Vec<Draft>) -> Site {
    let mut site = Site {
        hosts,
        compress: drafts.iter().any(|it| it.compress),
        body_max: drafts.last().and_then(|it| it.body_max.clone()),
        routes: reachable(drafts.into_iter().map(|it| it.route)),
        ..Site::default()
    };
    site.allow = common(&site.routes, |it| &it.allow);
    site.request_headers = common(&site.routes, |it| &it.request_headers);
    site.response_headers = common(&site.routes, |it| &it.response_headers);
    for route in &mut site.routes {
        if !site.allow.is_empty() {
            route.allow.clear();
        }
        if !site.request_headers.is_empty() {
            route.request_headers = Headers::default();
        }
        if !site.response_headers.is_empty() {
            route.response_headers = Headers::default();
        }
    }
    // The last takes what is left: what it asks is what the site asks.
    site.guard = site.routes.last().map(|it| it.guard.clone()).unwrap_or_default();
    if site.guard != Guard::default() {
        for route in &mut site.routes {
            if route.guard == site.guard {
                route.guard = Guard::default();
            } else if route.guard == Guard::default() {
                route.open = true;
            }
        }
    }
    site
}

/// Without those that an earlier one leaves nothing for.
fn reachable(routes: impl Iterator<Item = Route>) -> Vec<Route> {
    let mut kept: Vec<Route> = Vec::new();
    for route in routes {
        let is_taken = |it: &Route| {
            covers(&it.path, &route.path) && (it.methods.is_empty() || it.methods == route.methods)
        };
        if !kept.iter().any(is_taken) {
            kept.push(route);
        }
    }
    kept
}

fn common<T: Clone + Default + PartialEq>(routes: &[Route], of: impl Fn(&Route) -> &T) -> T {
    match routes.first() {
        Some(first) if routes.iter().all(|it| of(it) == of(first)) => of(first).clone(),
        _differ => T::default(),
    }
}
