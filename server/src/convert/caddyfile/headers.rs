//! Placeholders and header rules.

use super::out::Headers;

/// A text with Caddy's placeholders in ours; the first that has no counterpart is the error.
pub(super) fn template(text: &str) -> Result<String, String> {
    let mut out = String::new();
    let mut rest = text;
    while let Some((before, after)) = rest.split_once('{') {
        out.push_str(before);
        let name = after.split_once('}').filter(|(name, _)| is_placeholder(name));
        let Some((name, behind)) = name else {
            out.push_str("{{");
            rest = after;
            continue;
        };
        let ours = match name {
            "host" | "http.request.host" => "host",
            "path" | "http.request.uri.path" | "http.request.orig_uri.path" => "path",
            "query" | "http.request.uri.query" => "query",
            "uri" | "http.request.uri" | "http.request.orig_uri" => "uri",
            "remote_host" | "client_ip" | "http.request.remote.host" | "http.vars.client_ip" => {
                "remote_ip"
            }
            "scheme" | "http.request.scheme" => "scheme",
            "method" | "http.request.method" => "method",
            other => return Err(format!("{{{other}}}")),
        };
        out.push_str(&format!("{{{ours}}}"));
        rest = behind;
    }
    Ok(out + rest)
}

/// What is in braces and no JSON.
fn is_placeholder(name: &str) -> bool {
    !name.is_empty() && name.chars().all(|c| c.is_ascii_alphanumeric() || "._-$>?:".contains(c))
}

/// One rule of `header`, `request_header`, `header_up` and `header_down`: a name with a sign, and a
/// value.
pub(super) fn rule(field: &str, values: &[String], headers: &mut Headers) -> Result<(), String> {
    let sign = field.chars().next().unwrap_or_default();
    let name = field.trim_start_matches(['+', '-', '>', '?', '=']).trim_end_matches(':').to_owned();
    match (sign, values) {
        ('-', []) => headers.remove.push(name),
        ('-', _) => return Err("a header that is removed has no value".to_owned()),
        ('?', [value]) => {
            headers.set.insert(name, template(value).map_err(|it| unknown(&it))?);
            return Err("is set even if the service sets it".to_owned());
        }
        ('+', [value]) => {
            if headers.add.contains_key(&name) {
                return Err("one more value of the same header cannot be written".to_owned());
            }
            headers.add.insert(name, template(value).map_err(|it| unknown(&it))?);
        }
        (_set, [value]) => {
            headers.set.insert(name, template(value).map_err(|it| unknown(&it))?);
        }
        (_set, []) => {
            headers.set.insert(name, String::new());
        }
        (_replace, _) => return Err("replacing within a header has no counterpart".to_owned()),
    }
    Ok(())
}

pub(super) fn unknown(placeholder: &str) -> String {
    format!("the placeholder {placeholder} has no counterpart")
}
