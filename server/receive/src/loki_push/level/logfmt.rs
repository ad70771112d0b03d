//! The best value of a logfmt line: the one whose key ranks first, and of equal ones the first.

/// Keys that `rank` knows count; rank 0 ends the search, as does damage.
pub(super) fn best_value(line: &[u8], rank: impl Fn(&[u8]) -> Option<usize>) -> Option<&[u8]> {
    let mut best: Option<(usize, &[u8])> = None;
    let mut rest = line;
    while let Some((key, value)) = next_pair(&mut rest) {
        if let Some(found) = rank(key)
            && best.is_none_or(|(it, _)| found < it)
        {
            best = Some((found, value));
            if found == 0 {
                break;
            }
        }
    }
    best.map(|(_, value)| value)
}

/// A key and its value, which is empty where there is none; escapes are left as they are. None at
/// the end and at what is no pair.
fn next_pair<'a>(rest: &mut &'a [u8]) -> Option<(&'a [u8], &'a [u8])> {
    let start = rest.iter().position(|it| *it > b' ')?;
    let line = rest.get(start..)?;
    let is_end = |it: &u8| *it == b'=' || *it == b'"' || *it <= b' ';
    let key_len = line.iter().position(is_end).unwrap_or(line.len());
    let (key, tail) = line.split_at_checked(key_len)?;
    match tail {
        [b'"', ..] => None,
        [b'=', ..] if key.is_empty() => None,
        [b'=', b'"', inside @ ..] => {
            let len = quoted_len(inside)?;
            *rest = inside.get(len + 1..)?;
            Some((key, inside.get(..len)?))
        }
        [b'=', after @ ..] => {
            let len = after.iter().position(is_end).unwrap_or(after.len());
            let (value, tail) = after.split_at_checked(len)?;
            *rest = tail;
            if matches!(tail, [b'=' | b'"', ..]) { None } else { Some((key, value)) }
        }
        _ => {
            *rest = tail;
            Some((key, &[]))
        }
    }
}

/// Bytes up to the closing quote.
fn quoted_len(inside: &[u8]) -> Option<usize> {
    let mut from = 0;
    loop {
        let at = from + memchr::memchr2(b'"', b'\\', inside.get(from..)?)?;
        if inside.get(at) == Some(&b'"') {
            return Some(at);
        }
        from = at + 2;
    }
}
