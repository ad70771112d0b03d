//! Matchers: which requests a directive is about.

use std::collections::HashMap;

use super::parse::Directive;

/// What a request must be; nothing for any.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Match {
    pub(super) paths: Vec<String>,
    pub(super) not_paths: Vec<String>,
    pub(super) methods: Vec<String>,
    pub(super) hosts: Vec<String>,
    pub(super) remotes: Vec<String>,
    pub(super) not_remotes: Vec<String>,
    /// The first word that has no counterpart.
    pub(super) unknown: Option<String>,
}

impl Match {
    pub(super) fn is_any(&self) -> bool {
        *self == Self::default()
    }

    fn of_path(path: &str) -> Self {
        Self { paths: vec![path.to_owned()], ..Self::default() }
    }
}

/// The `@name` matchers of a site.
pub(super) type Named = HashMap<String, Match>;

pub(super) fn named(directives: &[Directive], named: &mut Named) {
    for directive in directives.iter().filter(|it| it.name.starts_with('@')) {
        let mut found = Match::default();
        if let Some((name, args)) = directive.args.split_first() {
            condition(name, args, &mut found);
        }
        for line in directive.lines() {
            if line.name == "not" && line.args.is_empty() {
                let mut inner = line.lines().iter();
                match (inner.next(), inner.next()) {
                    (Some(it), None) => negated(&it.name, &it.args, &mut found),
                    _several => found.unknown = Some("not { … }".to_owned()),
                }
            } else {
                condition(&line.name, &line.args, &mut found);
            }
        }
        named.insert(directive.name.clone(), found);
    }
}

fn condition(name: &str, args: &[String], found: &mut Match) {
    match (name, args.split_first()) {
        ("path", _) => found.paths.extend(args.iter().cloned()),
        ("method", _) => found.methods.extend(args.iter().map(|it| it.to_ascii_uppercase())),
        ("host", _) => found.hosts.extend(args.iter().map(|it| it.to_ascii_lowercase())),
        ("remote_ip" | "client_ip", _) => found.remotes.extend(networks(args)),
        ("not", Some((name, args))) => negated(name, args, found),
        (other, _) => found.unknown = Some(other.to_owned()),
    }
}

fn negated(name: &str, args: &[String], found: &mut Match) {
    match name {
        "path" => found.not_paths.extend(args.iter().cloned()),
        "remote_ip" | "client_ip" => found.not_remotes.extend(networks(args)),
        other => found.unknown = Some(format!("not {other}")),
    }
}

/// `forwarded` is what `front.trusted_proxies` does for every rule.
fn networks(args: &[String]) -> impl Iterator<Item = String> {
    args.iter().filter(|it| *it != "forwarded").cloned()
}

/// The matcher before a directive's arguments, and the arguments without it.
pub(super) fn split<'a>(directive: &'a Directive, named: &Named) -> (Match, &'a [String]) {
    let args = directive.args.as_slice();
    match args.split_first() {
        Some((first, rest)) if first == "*" => (Match::default(), rest),
        Some((first, rest)) if first.starts_with('@') => {
            let unknown = || Match { unknown: Some(first.clone()), ..Match::default() };
            (named.get(first).cloned().unwrap_or_else(unknown), rest)
        }
        // `redir /there` has nowhere else to go; `root /srv` is a path on the disk.
        Some((first, rest))
            if first.starts_with('/')
                && !(rest.is_empty()
                    && matches!(&*directive.name, "redir" | "root" | "rewrite")) =>
        {
            (Match::of_path(first), rest)
        }
        _none => (Match::default(), args),
    }
}

/// A path as routes write it; `None` for what they cannot.
pub(super) fn route_path(path: &str) -> Option<String> {
    let is_plain = |it: &str| !it.contains(['*', '{', '?', '#', '%']) && !it.contains("//");
    match path {
        "*" | "/*" => Some("/*".to_owned()),
        path if path.starts_with('/') => {
            let inner = path.strip_suffix('*').unwrap_or(path);
            is_plain(inner).then(|| path.to_owned())
        }
        path => {
            let end = path.strip_prefix('*')?;
            (is_plain(end) && !end.is_empty()).then(|| path.to_owned())
        }
    }
}

/// Whether all that `inner` takes is taken by `outer`, as far as their spelling tells.
pub(super) fn covers(outer: &str, inner: &str) -> bool {
    if outer == "/*" || outer == inner {
        return true;
    }
    if let Some(start) = outer.strip_suffix('*') {
        return inner.starts_with(start) || inner == start.trim_end_matches('/');
    }
    match outer.strip_prefix('*') {
        Some(end) => !inner.ends_with('*') && inner.ends_with(end),
        None => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_cover_what_they_take() {
        for (outer, inner) in
            [("/*", "/x"), ("/a/*", "/a/b/*"), ("/a/*", "/a"), ("/a*", "/ab"), ("*.js", "/x.js")]
        {
            assert!(covers(outer, inner), "{outer} {inner}");
            assert!(!covers(inner, outer), "{inner} {outer}");
        }
        assert_eq!(route_path("*.php").as_deref(), Some("*.php"));
        for bad in ["/a/*/b", "*a*", "{x}", "a"] {
            assert_eq!(route_path(bad), None, "{bad}");
        }
    }
}
