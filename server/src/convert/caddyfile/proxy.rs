//! `reverse_proxy`.

use toml::Value;

use super::Remarks;
use super::address::upstream_url;
use super::headers;
use super::out::{Headers, Proxy};
use super::parse::Directive;

/// The upstreams, with the headers to change on the way there and back.
pub(super) fn convert(
    directive: &Directive,
    args: &[String],
    remarks: &mut Remarks,
) -> Option<(Proxy, Headers, Headers)> {
    let mut proxy = Proxy::default();
    let (mut up, mut down) = (Headers::default(), Headers::default());
    let mut upstreams: Vec<String> = args.to_vec();
    let mut is_tls = false;
    for line in directive.lines() {
        match &*line.name {
            "to" => upstreams.extend(line.args.iter().cloned()),
            "header_up" => header_up(line, &mut proxy, &mut up, remarks),
            "header_down" => header(line, &mut down, remarks),
            "transport" => transport(line, &mut proxy, &mut is_tls, remarks),
            // Answers go on as they come, always.
            "flush_interval" | "response_buffers" => {}
            _option => option(line, &mut proxy, remarks),
        }
    }
    for upstream in &upstreams {
        match upstream_url(upstream, is_tls) {
            Some(url) => proxy.to.push(url),
            None => {
                remarks.lose(directive, format_args!("the upstream {upstream} has no counterpart"));
            }
        }
    }
    if proxy.to.is_empty() {
        remarks.lose(directive, "there is no upstream left");
        return None;
    }
    if proxy.upstream.health.contains_key("path") {
        return Some((proxy, up, down));
    }
    if !std::mem::take(&mut proxy.upstream.health).is_empty() {
        remarks.lose(directive, "health checks need health_uri");
    }
    Some((proxy, up, down))
}

fn header(line: &Directive, headers: &mut Headers, remarks: &mut Remarks) {
    let Some((field, values)) = line.args.split_first() else { return };
    if let Err(why) = headers::rule(field, values, headers) {
        remarks.lose(line, why);
    }
}

/// Some are what this server does anyway.
fn header_up(line: &Directive, proxy: &mut Proxy, up: &mut Headers, remarks: &mut Remarks) {
    const KNOWN: [&str; 4] =
        ["x-forwarded-for", "x-forwarded-proto", "x-forwarded-host", "x-forwarded-port"];
    let field = line.arg(0).unwrap_or_default();
    let name = field.to_ascii_lowercase();
    let value = line.arg(1).unwrap_or_default();
    match (&*name, value) {
        ("host", "{host}" | "{http.request.host}" | "{hostport}") => {}
        ("host", "{upstream_hostport}" | "{http.reverse_proxy.upstream.hostport}") => {
            proxy.upstream.host = Some("upstream".to_owned());
        }
        ("host", value) if !value.contains('{') => proxy.upstream.host = Some(value.to_owned()),
        (name, value) if KNOWN.contains(&name) && value.starts_with('{') => {}
        _rule => header(line, up, remarks),
    }
}

fn option(line: &Directive, proxy: &mut Proxy, remarks: &mut Remarks) {
    let upstream = &mut proxy.upstream;
    let Some(value) = line.arg(0).map(str::to_owned) else {
        return remarks.lose(line, "has no counterpart");
    };
    let text = || Value::String(value.clone());
    let number = || value.parse::<i64>().ok().filter(|it| *it > 0).map(Value::Integer);
    match &*line.name {
        "lb_policy" => match &*value {
            "least_conn" | "round_robin" | "random" | "first" | "ip_hash" => {
                upstream.balance = Some(value);
            }
            "client_ip_hash" => upstream.balance = Some("ip_hash".to_owned()),
            _other => remarks.lose(line, "is no way to choose that is known; least_conn it is"),
        },
        "health_uri" | "health_path" => {
            upstream.health.insert("path", text());
        }
        "health_interval" => {
            upstream.health.insert("interval", text());
        }
        "health_timeout" => {
            upstream.health.insert("timeout", text());
        }
        "health_status" => {
            upstream.health.insert("status", text());
        }
        "health_fails" => insert_number(&mut upstream.health, "failures", number()),
        "health_passes" => insert_number(&mut upstream.health, "successes", number()),
        // One more than the retries.
        "lb_retries" => {
            let tries = value.parse::<i64>().ok().map(|it| Value::Integer((it + 1).clamp(1, 10)));
            insert_number(&mut upstream.retries, "tries", tries);
        }
        "lb_try_duration" => {
            upstream.retries.insert("within", text());
        }
        "fail_duration" => {
            upstream.retries.insert("shun", text());
        }
        "trusted_proxies" => {
            remarks.lose(line, "is set for all sites: write front.trusted_proxies");
        }
        "lb_try_interval" | "max_fails" | "stream_close_delay" => {
            remarks.note(line, format!("`{}` is not needed here.", line.written()));
        }
        _other => remarks.lose(line, "has no counterpart"),
    }
}

fn insert_number(
    table: &mut std::collections::BTreeMap<&'static str, Value>,
    key: &'static str,
    number: Option<Value>,
) {
    if let Some(number) = number {
        table.insert(key, number);
    }
}

fn transport(line: &Directive, proxy: &mut Proxy, is_tls: &mut bool, remarks: &mut Remarks) {
    if line.arg(0) != Some("http") {
        return remarks.lose(line, "only HTTP is spoken to upstreams");
    }
    for option in line.lines() {
        let value = option.arg(0).map(|it| Value::String(it.to_owned()));
        let (tls, timeouts) = (&mut proxy.upstream.tls, &mut proxy.upstream.timeouts);
        match (&*option.name, value) {
            ("tls", _) => *is_tls = true,
            ("tls_insecure_skip_verify", _) => {
                *is_tls = true;
                tls.insert("insecure", Value::Boolean(true));
            }
            ("tls_server_name", Some(value)) => {
                *is_tls = true;
                tls.insert("server_name", value);
            }
            ("tls_trusted_ca_certs" | "tls_trust_pool", Some(value)) if option.args.len() == 1 => {
                *is_tls = true;
                tls.insert("ca_file", value);
            }
            ("tls_trust_pool", _) if option.arg(0) == Some("file") && option.args.len() == 2 => {
                *is_tls = true;
                let file = option.arg(1).unwrap_or_default().to_owned();
                tls.insert("ca_file", Value::String(file));
            }
            ("dial_timeout", Some(value)) => {
                timeouts.insert("connect", value);
            }
            ("response_header_timeout", Some(value)) => {
                timeouts.insert("response", value);
            }
            ("read_timeout", Some(value)) => {
                timeouts.insert("idle", value);
            }
            ("keepalive", Some(value)) if value.as_str() != Some("off") => {
                timeouts.insert("pool_idle", value);
            }
            ("compression" | "read_buffer" | "write_buffer" | "keepalive_idle_conns", _) => {}
            ("versions", _) if !option.args.iter().any(|it| it == "h2c") => {}
            _other => remarks.lose(option, "has no counterpart"),
        }
    }
}
