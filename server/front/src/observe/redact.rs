//! Takes secrets out of addresses before they are written down.

/// In the place of a secret; Caddy's word.
const REDACTED: &str = "REDACTED";
/// A parameter whose name has one of these in it, in any case, is a secret.
const SECRET_WORDS: [&str; 10] = [
    "token",
    "password",
    "passwd",
    "secret",
    "apikey",
    "api_key",
    "api-key",
    "signature",
    "credential",
    "session",
];
/// How deep addresses are looked for in addresses.
const NESTED_MAX: usize = 3;
/// A parameter of this very name is one.
const SECRET_NAMES: [&str; 9] =
    ["code", "key", "auth", "sig", "pass", "pwd", "jwt", "state", "sid"];

/// The address without the values of its secret parameters.
pub(super) fn url(text: &str) -> String {
    let (rest, fragment) = match text.split_once('#') {
        Some((rest, fragment)) => (rest, Some(fragment)),
        None => (text, None),
    };
    let Some((path, query)) = rest.split_once('?') else { return text.to_owned() };
    let mut out = format!("{path}?");
    for (idx, pair) in query.split('&').enumerate() {
        if idx > 0 {
            out.push('&');
        }
        match pair.split_once('=') {
            Some((name, value)) if is_secret(name) || leads_to_secret(value) => {
                out.push_str(name);
                out.push('=');
                out.push_str(REDACTED);
            }
            _plain => out.push_str(pair),
        }
    }
    // Providers hand tokens over in it.
    if fragment.is_some() {
        out.push('#');
        out.push_str(REDACTED);
    }
    out
}

fn is_secret(name: &str) -> bool {
    let name = decoded(name).to_ascii_lowercase();
    SECRET_NAMES.contains(&name.as_str()) || SECRET_WORDS.iter().any(|word| name.contains(word))
}

/// An address inside the address, like the `next` of a login, may have a secret of its own.
fn leads_to_secret(value: &str) -> bool {
    let mut text = decoded(value);
    for _ in 0..NESTED_MAX {
        let Some((_, query)) = text.split_once('?') else { return false };
        if query.split(['&', '#']).any(|it| is_secret(it.split('=').next().unwrap_or_default())) {
            return true;
        }
        text = decoded(query);
    }
    false
}

/// `%74oken` is `token` to the service behind.
fn decoded(name: &str) -> String {
    let mut bytes = name.bytes();
    let mut out = Vec::with_capacity(name.len());
    while let Some(byte) = bytes.next() {
        let mut ahead = bytes.clone();
        let digit = |it: Option<u8>| it.and_then(|it| char::from(it).to_digit(16));
        match (byte, digit(ahead.next()), digit(ahead.next())) {
            (b'%', Some(high), Some(low)) => {
                out.push(u8::try_from(high * 16 + low).unwrap_or(b'%'));
                bytes = ahead;
            }
            _other => out.push(byte),
        }
    }
    String::from_utf8_lossy(&out).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_of_secret_parameters_are_not_written_down() {
        for (text, expected) in [
            ("/a", "/a"),
            ("/a?q=1&page=2", "/a?q=1&page=2"),
            ("/cb?code=abc&state=x&ok=1", "/cb?code=REDACTED&state=REDACTED&ok=1"),
            ("/a?access_token=abc", "/a?access_token=REDACTED"),
            ("/a?X-Amz-Signature=abc&b", "/a?X-Amz-Signature=REDACTED&b"),
            ("/a?%74oken=abc", "/a?%74oken=REDACTED"),
            ("/a?API_KEY=a=b", "/a?API_KEY=REDACTED"),
            ("/a?token", "/a?token"),
            ("/a?%zz%4=1", "/a?%zz%4=1"),
            ("/.skep/callback?code=skep_abc", "/.skep/callback?code=REDACTED"),
            ("/.skep/oidc/callback?iss=x&code=a", "/.skep/oidc/callback?iss=x&code=REDACTED"),
            ("/login?next=/cb%3Fcode%3Dabc", "/login?next=REDACTED"),
            ("/login?next=/x%3Fnext%3D/cb%253Fa%253D1%2526code%253Dabc", "/login?next=REDACTED"),
            ("/login?next=/explore%3Fq%3Dcode", "/login?next=/explore%3Fq%3Dcode"),
            ("https://x/?q=1#id_token=abc", "https://x/?q=1#REDACTED"),
        ] {
            assert_eq!(url(text), expected);
        }
    }
}
