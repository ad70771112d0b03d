//! Changes a path before a route's action sees it.

use axum::http::Uri;
use axum::http::uri::PathAndQuery;

use super::path;
use super::values::Values;
use crate::config::Rewrite;

/// What came out is no path; the service must not get the one before either.
#[derive(Debug)]
pub(super) struct NotAPath;

/// The new URI, if the route has another for the path; `clean` is the path it was told apart by.
pub(super) fn rewritten(
    rewrite: &Rewrite,
    clean: &str,
    values: &Values<'_>,
) -> Result<Option<Uri>, NotAPath> {
    let stripped = rewrite.strip_prefix().map(|it| stripped(it, clean, values.uri.path()));
    if stripped.is_none() && rewrite.to().is_none() {
        return Ok(None);
    }
    let mut uri = match stripped {
        Some(path) => with_path(&values.uri, &path, values.uri.query())?,
        None => values.uri.clone(),
    };
    if let Some(to) = rewrite.to() {
        let values =
            Values { visit: values.visit, method: values.method.clone(), uri: uri.clone() };
        let filled = values.fill(to);
        uri = match (filled.split_once('?'), to.has_query()) {
            (Some((path, query)), _) => with_path(&uri, path, Some(query))?,
            (None, true) => with_path(&uri, &filled, None)?,
            (None, false) => with_path(&uri, &filled, uri.query())?,
        };
    }
    Ok(Some(uri))
}

/// As it was sent where that begins with the prefix as written, else anew from the clean path.
fn stripped(prefix: &str, clean: &str, sent: &str) -> String {
    let rest = |path: &str| {
        path.strip_prefix(prefix)
            .filter(|it| it.is_empty() || it.starts_with('/'))
            .map(str::to_owned)
    };
    let rest = rest(sent).or_else(|| rest(clean).map(|it| path::encoded(&it)));
    match rest {
        Some(rest) if rest.is_empty() => "/".to_owned(),
        Some(rest) => rest,
        None => sent.to_owned(),
    }
}

fn with_path(uri: &Uri, path: &str, query: Option<&str>) -> Result<Uri, NotAPath> {
    let path = match query.filter(|it| !it.is_empty()) {
        Some(query) => format!("{path}?{query}"),
        None => path.to_owned(),
    };
    let mut parts = uri.clone().into_parts();
    parts.path_and_query = Some(PathAndQuery::try_from(path).map_err(|_error| NotAPath)?);
    Uri::from_parts(parts).map_err(|_error| NotAPath)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_prefix_goes_however_it_is_spelled() {
        for (sent, clean, expected) in [
            ("/api/x", "/api/x", "/x"),
            ("/api", "/api", "/"),
            ("/api/", "/api/", "/"),
            ("/api/a%2Fb", "/api/a/b", "/a%2Fb"),
            ("/%61pi/x%20y", "/api/x y", "/x%20y"),
            ("//api/x", "/api/x", "/x"),
            ("/apix", "/apix", "/apix"),
        ] {
            assert_eq!(stripped("/api", clean, sent), expected, "{sent}");
        }
    }
}
