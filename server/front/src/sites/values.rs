//! Fills in what a template leaves open, from the request.

use axum::http::{Method, Uri};

use super::Visit;
use crate::config::{Piece, Placeholder, Template};

/// What a request was when it came, before anything changed it.
#[derive(Debug)]
pub(super) struct Values<'a> {
    pub visit: &'a Visit<'a>,
    pub method: Method,
    pub uri: Uri,
}

impl Values<'_> {
    pub(super) fn fill(&self, template: &Template) -> String {
        let mut text = String::new();
        for piece in template.pieces() {
            match piece {
                Piece::Text(it) => text.push_str(it),
                Piece::Value(it) => self.push(*it, &mut text),
            }
        }
        text
    }

    fn push(&self, value: Placeholder, text: &mut String) {
        match value {
            Placeholder::Host => text.push_str(&self.visit.host.name),
            Placeholder::Path => text.push_str(self.path()),
            Placeholder::Query => text.push_str(self.uri.query().unwrap_or_default()),
            Placeholder::Uri => {
                text.push_str(self.path());
                if let Some(query) = self.uri.query() {
                    text.push('?');
                    text.push_str(query);
                }
            }
            Placeholder::RemoteIp => text.push_str(&self.visit.client.to_string()),
            Placeholder::Scheme => text.push_str(self.visit.connection.transport.scheme()),
            Placeholder::Method => text.push_str(self.method.as_str()),
        }
    }

    /// `*`, and what HTTP/2 lets through: behind a host it could become part of the host.
    fn path(&self) -> &str {
        let path = self.uri.path();
        if path.starts_with('/') { path } else { "/" }
    }
}
