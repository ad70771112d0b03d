//! Series as Prometheus' text format writes them.

/// `name{label="value",…}`; names beyond the old alphabet are quoted, as Prometheus 3 does.
pub(super) fn push_series<'a>(
    out: &mut String,
    metric: &str,
    labels: impl Iterator<Item = (&'a str, &'a str)>,
) {
    let mut labels = labels.peekable();
    let is_plain_metric = is_plain(metric);
    if is_plain_metric {
        out.push_str(metric);
        if labels.peek().is_none() {
            return;
        }
    }
    out.push('{');
    let mut is_first = is_plain_metric;
    if !is_plain_metric {
        push_escaped(out, metric);
    }
    for (name, value) in labels {
        out.push_str(if is_first { "" } else { "," });
        is_first = false;
        if is_plain(name) {
            out.push_str(name);
        } else {
            push_escaped(out, name);
        }
        out.push('=');
        push_escaped(out, value);
    }
    out.push('}');
}

/// Whether the name needs no quotes.
pub(super) fn is_plain(name: &str) -> bool {
    name.starts_with(is_start) && name.chars().all(|it| is_start(it) || it.is_ascii_digit())
}

/// The name for readers that know the old alphabet only.
pub(super) fn with_underscores(name: &str) -> String {
    let plain = |(i, it): (usize, char)| {
        if is_start(it) || (i > 0 && it.is_ascii_digit()) { it } else { '_' }
    };
    name.chars().enumerate().map(plain).collect()
}

fn is_start(it: char) -> bool {
    it.is_ascii_alphabetic() || it == '_' || it == ':'
}

/// The format knows three escapes.
fn push_escaped(out: &mut String, text: &str) {
    out.push('"');
    for it in text.chars() {
        match it {
            '\\' => out.push_str("\\\\"),
            '"' => out.push_str("\\\""),
            '\n' => out.push_str("\\n"),
            it => out.push(it),
        }
    }
    out.push('"');
}
