//! The path that routes are told apart by, whatever way it is spelled.

/// Decoded once, without empty, `.` and `..` segments; `None` if that is no text or leaves the root.
///
/// A service behind a route may read `/x/..%2Fadmin` as `/admin`, so a rule for `/admin` must hold.
pub(super) fn cleaned(path: &str) -> Option<String> {
    if is_clean(path) {
        return Some(path.to_owned());
    }
    let decoded = decoded(path)?;
    let mut segments: Vec<&str> = Vec::new();
    for segment in decoded.split('/') {
        match segment {
            "" | "." => {}
            ".." => {
                segments.pop()?;
            }
            segment => segments.push(segment),
        }
    }
    let ends_in_folder =
        decoded.ends_with(['/']) || decoded.ends_with("/.") || decoded.ends_with("/..");
    let mut clean = format!("/{}", segments.join("/"));
    if ends_in_folder && !segments.is_empty() {
        clean.push('/');
    }
    Some(clean)
}

/// As most are: nothing to decode, nothing to take out.
fn is_clean(path: &str) -> bool {
    path.starts_with('/')
        && !path.contains("//")
        && !path.contains("/.")
        && path.bytes().all(|byte| byte != b'%' && byte != b'\\')
}

/// Percent signs resolved; `None` for what is not UTF-8 or holds control characters.
pub(super) fn decoded(path: &str) -> Option<String> {
    let mut bytes = Vec::with_capacity(path.len());
    let mut rest = path.bytes();
    while let Some(byte) = rest.next() {
        if byte == b'%' {
            let high = char::from(rest.next()?).to_digit(16)?;
            let low = char::from(rest.next()?).to_digit(16)?;
            bytes.push(u8::try_from(high << 4 | low).ok()?);
        } else {
            bytes.push(byte);
        }
    }
    let text = String::from_utf8(bytes).ok()?;
    (!text.chars().any(char::is_control)).then_some(text)
}

/// A decoded path or segment as a URL spells it.
pub(super) fn encoded(path: &str) -> String {
    let mut text = String::with_capacity(path.len());
    for byte in path.bytes() {
        if byte.is_ascii_alphanumeric() || b"/-._~!$&'()*+,;=:@".contains(&byte) {
            text.push(char::from(byte));
        } else {
            text.push_str(&format!("%{byte:02X}"));
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_spellings_of_a_path_are_one() {
        let spellings = [
            "/admin/x",
            "//admin/x",
            "/admin//x",
            "/./admin/x",
            "/y/../admin/x",
            "/y/..%2Fadmin/x",
            "/%61dmin/x",
            "/y/%2e%2E/admin/x",
            "/y%2F../admin/x",
        ];
        for spelling in spellings {
            assert_eq!(cleaned(spelling).as_deref(), Some("/admin/x"), "{spelling}");
        }
        assert_eq!(cleaned("/").as_deref(), Some("/"));
        assert_eq!(cleaned("/a/").as_deref(), Some("/a/"));
        assert_eq!(cleaned("/a/b/..").as_deref(), Some("/a/"));
        assert_eq!(cleaned("/%C3%A4").as_deref(), Some("/ä"));
        assert_eq!(cleaned("/.well-known/x").as_deref(), Some("/.well-known/x"));
    }

    #[test]
    fn what_leaves_the_root_or_is_no_text_is_none() {
        for bad in ["/..", "/a/../..", "/%2e%2e/x", "/%", "/%4", "/%zz", "/%FF", "/%00", "/%0d%0a"]
        {
            assert_eq!(cleaned(bad), None, "{bad}");
        }
    }

    #[test]
    fn what_is_encoded_decodes_to_itself() {
        for text in ["/a b", "/ä%", "/\"<>?#", "/a:b"] {
            assert_eq!(decoded(&encoded(text)).as_deref(), Some(text));
        }
    }
}
