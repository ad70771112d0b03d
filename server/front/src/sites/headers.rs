//! Applies header rules.

use axum::http::{HeaderMap, HeaderName, HeaderValue};

use super::values::Values;
use crate::config::{HeaderRules, Removed, Template};

pub(super) fn apply(rules: &HeaderRules, headers: &mut HeaderMap, values: &Values<'_>) {
    for removed in rules.removed() {
        match removed {
            Removed::Name(name) => {
                headers.remove(name);
            }
            Removed::StartingWith(start) => remove_starting_with(start, headers),
        }
    }
    for (name, template) in rules.to_set() {
        if let Some(value) = value(template, values) {
            headers.insert(name, value);
        }
    }
    for (name, template) in rules.to_add() {
        if let Some(value) = value(template, values) {
            headers.append(name, value);
        }
    }
}

fn remove_starting_with(start: &str, headers: &mut HeaderMap) {
    let names: Vec<HeaderName> =
        headers.keys().filter(|name| name.as_str().starts_with(start)).cloned().collect();
    for name in names {
        headers.remove(name);
    }
}

/// Nothing of a request that got this far is no header value; were it, it had better not be sent.
fn value(template: &Template, values: &Values<'_>) -> Option<HeaderValue> {
    HeaderValue::from_str(&values.fill(template)).ok()
}
