//! Label names in paths: `U__` escapes what a URL or an old client cannot say.

/// `U__label_2e_with_2e_dots` is `label.with.dots`; other names, and wrong escapes, stay as they
/// are (as in Prometheus).
pub(crate) fn unescape(name: &str) -> String {
    name.strip_prefix("U__").and_then(decode).unwrap_or_else(|| name.to_owned())
}

fn decode(escaped: &str) -> Option<String> {
    let mut out = String::with_capacity(escaped.len());
    let mut rest = escaped;
    while let Some((plain, after)) = rest.split_once('_') {
        out.push_str(plain);
        if let Some(after) = after.strip_prefix('_') {
            out.push('_');
            rest = after;
            continue;
        }
        let (code, after) = after.split_once('_')?;
        if code.len() > 6 {
            return None;
        }
        out.push(char::from_u32(u32::from_str_radix(code, 16).ok()?)?);
        rest = after;
    }
    out.push_str(rest);
    Some(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn escapes_are_code_points_in_hex() {
        assert_eq!(unescape("U__label_2e_with_2e_dots"), "label.with.dots");
        assert_eq!(unescape("U__two__words"), "two_words");
        assert_eq!(unescape("U___1f41d_"), "\u{1f41d}");
        assert_eq!(unescape("plain_name"), "plain_name");
    }

    #[test]
    fn what_is_no_escape_stays() {
        assert_eq!(unescape("U__a_zz_"), "U__a_zz_");
        assert_eq!(unescape("U__a_2e"), "U__a_2e");
    }
}
