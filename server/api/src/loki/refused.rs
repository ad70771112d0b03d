//! Endpoints of Loki that are not answered yet; each says so by name.

use crate::error::{ApiError, LokiError};

fn not_yet(endpoint: &str) -> LokiError {
    LokiError(ApiError::not_implemented(format!("{endpoint} is not supported yet")))
}

pub(super) async fn tail() -> LokiError {
    not_yet("tail: live tailing over a WebSocket")
}

pub(super) async fn volume_range() -> LokiError {
    not_yet("index/volume_range")
}

pub(super) async fn detected_fields() -> LokiError {
    not_yet("detected_fields")
}

pub(super) async fn patterns() -> LokiError {
    not_yet("patterns")
}
