//! What went wrong, as a status and a body: JSON for Prometheus' API, text for Loki's and for
//! writes. The only place that maps errors to HTTP.

use std::error::Error;

use axum::{
    extract::rejection::BytesRejection,
    response::{IntoResponse, Response},
};
use http::{
    HeaderValue, StatusCode,
    header::{CONTENT_TYPE, RETRY_AFTER},
};
use skep_proto::TimestampMs;
use skep_receive::{Reason, Refused};
use skep_store::{AppendError, Appended, Rejection};

use crate::{Api, json};

/// Seconds a sender is told to wait when the store is busy, and when the disk is full.
const RETRY_AFTER_SECONDS: u16 = 1;
const RETRY_AFTER_FULL_SECONDS: u16 = 10;

/// An error of any endpoint; alone it answers in Prometheus' JSON.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct ApiError {
    kind: Kind,
    /// What the client reads; causes are only logged.
    message: String,
    /// Of a write that was refused, whole or in part.
    reasons: Vec<Reason>,
}

/// What goes with the answer to [`crate::watch::count`].
#[derive(Debug, Clone)]
pub(crate) struct RefusedFor(pub(crate) Vec<Reason>);

/// Prometheus' `errorType`, and the classes only writes have.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    BadData,
    Execution,
    Canceled,
    Timeout,
    Internal,
    TooLarge,
    UnsupportedMedia,
    Unprocessable,
    Busy,
    Full,
    NotFound,
    Unavailable,
}

impl Kind {
    fn prometheus(self) -> (StatusCode, &'static str) {
        match self {
            Self::BadData => (StatusCode::BAD_REQUEST, "bad_data"),
            Self::Execution | Self::Unprocessable => {
                (StatusCode::UNPROCESSABLE_ENTITY, "execution")
            }
            Self::Canceled => (client_closed(), "canceled"),
            Self::Timeout => (StatusCode::SERVICE_UNAVAILABLE, "timeout"),
            Self::Internal => (StatusCode::INTERNAL_SERVER_ERROR, "internal"),
            Self::TooLarge => (StatusCode::PAYLOAD_TOO_LARGE, "bad_data"),
            Self::UnsupportedMedia => (StatusCode::UNSUPPORTED_MEDIA_TYPE, "bad_data"),
            Self::Busy => (StatusCode::TOO_MANY_REQUESTS, "unavailable"),
            Self::Full => (StatusCode::INSUFFICIENT_STORAGE, "unavailable"),
            Self::Unavailable => (StatusCode::SERVICE_UNAVAILABLE, "unavailable"),
            Self::NotFound => (StatusCode::NOT_FOUND, "not_found"),
        }
    }

    /// Loki answers what cannot be executed as a bad request, and a timeout as a gateway's.
    fn loki(self) -> StatusCode {
        match self {
            Self::Execution | Self::UnsupportedMedia => StatusCode::BAD_REQUEST,
            Self::Timeout => StatusCode::GATEWAY_TIMEOUT,
            other => other.prometheus().0,
        }
    }
}

/// nginx' code for a client that went away, which Prometheus and Loki use.
fn client_closed() -> StatusCode {
    StatusCode::from_u16(499).unwrap_or(StatusCode::BAD_REQUEST)
}

impl ApiError {
    fn new(kind: Kind, message: impl Into<String>) -> Self {
        Self { kind, message: message.into(), reasons: Vec::new() }
    }

    /// It is a write that was refused.
    pub(crate) fn because(mut self, reason: Reason) -> Self {
        self.reasons.push(reason);
        self
    }

    /// With a message that ends its line.
    fn line(mut self) -> Self {
        if !self.message.ends_with('\n') {
            self.message.push('\n');
        }
        self
    }

    /// With what the answer is to be counted by.
    fn marked(self, mut response: Response) -> Response {
        if !self.reasons.is_empty() {
            response.extensions_mut().insert(RefusedFor(self.reasons));
        }
        response
    }

    pub(crate) fn bad_data(message: impl Into<String>) -> Self {
        Self::new(Kind::BadData, message)
    }

    /// `invalid parameter "name": …`.
    pub(crate) fn invalid(parameter: &str, fault: impl std::fmt::Display) -> Self {
        Self::bad_data(format!("invalid parameter {parameter:?}: {fault}"))
    }

    /// As [`Self::internal`], but for what comes right by itself: that is told.
    fn from_storage(error: &(dyn Error + 'static)) -> Self {
        let mut cause = Some(error);
        while let Some(it) = cause {
            if let Some(part) = it.downcast_ref::<skep_store::PartUnavailable>() {
                let text = chain(part);
                tracing::warn!(error = text, "A query could not read a part.");
                return Self::unavailable(text);
            }
            cause = it.source();
        }
        Self::internal(error)
    }

    /// The client reads that it is our fault, the log why.
    pub(crate) fn internal(error: &dyn Error) -> Self {
        let chain = chain(error);
        tracing::error!(error = chain, "Request failed.");
        Self::new(Kind::Internal, "internal error; the server's log has the cause")
    }
}

fn chain(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(it) = source {
        text.push_str(": ");
        text.push_str(&it.to_string());
        source = it.source();
    }
    text
}

fn is_disk_full(error: &(dyn Error + 'static)) -> bool {
    let mut cause = Some(error);
    while let Some(it) = cause {
        let io = it.downcast_ref::<std::io::Error>();
        if io.is_some_and(|it| it.kind() == std::io::ErrorKind::StorageFull) {
            return true;
        }
        cause = it.source();
    }
    false
}

impl IntoResponse for ApiError {
    fn into_response(self) -> Response {
        let (status, error_type) = self.kind.prometheus();
        let mut body = String::from("{\"status\":\"error\",\"errorType\":");
        json::push_string(&mut body, error_type);
        body.push_str(",\"error\":");
        json::push_string(&mut body, &self.message);
        body.push('}');
        let response = (status, [(CONTENT_TYPE, "application/json")], body).into_response();
        self.marked(response)
    }
}

/// An error of Loki's API: its message as text, and nothing behind it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct LokiError(pub(crate) ApiError);

impl From<ApiError> for LokiError {
    fn from(error: ApiError) -> Self {
        Self(error)
    }
}

impl IntoResponse for LokiError {
    fn into_response(self) -> Response {
        let status = self.0.kind.loki();
        text(status, self.0)
    }
}

/// An error of a push, which Loki ends with a line break.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct LokiPushError(pub(crate) ApiError);

impl From<ApiError> for LokiPushError {
    fn from(error: ApiError) -> Self {
        Self(error)
    }
}

impl IntoResponse for LokiPushError {
    fn into_response(self) -> Response {
        let status = self.0.kind.loki();
        text(status, self.0.line())
    }
}

/// An error of a write, of a federation or of a remote read: its message as text, and when to
/// come again.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct WriteError(pub(crate) ApiError);

impl From<ApiError> for WriteError {
    fn from(error: ApiError) -> Self {
        Self(error)
    }
}

impl IntoResponse for WriteError {
    fn into_response(self) -> Response {
        let (status, _) = self.0.kind.prometheus();
        text(status, self.0.line())
    }
}

fn text(status: StatusCode, mut error: ApiError) -> Response {
    let headers = [(CONTENT_TYPE, "text/plain; charset=utf-8")];
    let message = std::mem::take(&mut error.message);
    let mut response = (status, headers, message).into_response();
    let retry_after = match error.kind {
        Kind::Busy => Some(RETRY_AFTER_SECONDS),
        Kind::Full => Some(RETRY_AFTER_FULL_SECONDS),
        _ => None,
    };
    if let Some(seconds) = retry_after {
        response.headers_mut().insert(RETRY_AFTER, HeaderValue::from(seconds));
    }
    error.marked(response)
}

impl From<skep_receive::Error> for ApiError {
    fn from(error: skep_receive::Error) -> Self {
        let kind = match &error {
            skep_receive::Error::TooLarge(_) => Kind::TooLarge,
            skep_receive::Error::UnsupportedMedia(_) => Kind::UnsupportedMedia,
            skep_receive::Error::BadData(skep_receive::BadData::NoStreams) => Kind::Unprocessable,
            skep_receive::Error::BadData(_) => Kind::BadData,
        };
        Self::new(kind, error.to_string()).because(error.reason())
    }
}

impl From<skep_receive::UnsupportedMedia> for ApiError {
    fn from(error: skep_receive::UnsupportedMedia) -> Self {
        Self::new(Kind::UnsupportedMedia, error.to_string()).because(error.reason())
    }
}

impl From<skep_promql::StorageError> for ApiError {
    fn from(error: skep_promql::StorageError) -> Self {
        use skep_promql::StorageError;
        match error {
            StorageError::Limit(message) => Self::new(Kind::Execution, message),
            StorageError::Timeout => {
                Self::new(Kind::Timeout, "query timed out in expression evaluation")
            }
            StorageError::Canceled => {
                Self::new(Kind::Canceled, "query was canceled in expression evaluation")
            }
            StorageError::Internal(source) => Self::from_storage(source.as_ref()),
        }
    }
}

impl From<skep_promql::EvalError> for ApiError {
    fn from(error: skep_promql::EvalError) -> Self {
        use skep_promql::EvalError;
        match error {
            EvalError::BadQuery(message) => Self::invalid("query", message),
            EvalError::Vector(_) | EvalError::Execution(_) | EvalError::Samples { .. } => {
                Self::new(Kind::Execution, error.to_string())
            }
            EvalError::Timeout => Self::from(skep_promql::StorageError::Timeout),
            EvalError::Storage(error) => Self::from(error),
        }
    }
}

impl From<skep_query::PromqlError> for ApiError {
    fn from(error: skep_query::PromqlError) -> Self {
        match error {
            skep_query::PromqlError::Parse(error) => Self::invalid("query", error),
            skep_query::PromqlError::Eval(error) => Self::from(error),
        }
    }
}

impl From<skep_query::SqlError> for ApiError {
    fn from(error: skep_query::SqlError) -> Self {
        match error {
            skep_query::SqlError::Bad(fault) => Self::invalid("query", fault),
            skep_query::SqlError::Execution(fault) => Self::new(Kind::Execution, fault),
            skep_query::SqlError::Storage(error) => Self::from(error),
        }
    }
}

impl std::fmt::Display for ApiError {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        out.write_str(&self.message)
    }
}

impl From<skep_logql::QueryError> for ApiError {
    fn from(error: skep_logql::QueryError) -> Self {
        match error {
            skep_logql::QueryError::Storage(error) => Self::from(error),
            // Loki does not count these as the client's fault: 500, with the reason.
            skep_logql::QueryError::Matching(message) => Self::new(Kind::Internal, message),
            other => Self::bad_data(other.to_string()),
        }
    }
}

impl From<skep_logql::ParseError> for ApiError {
    fn from(error: skep_logql::ParseError) -> Self {
        Self::bad_data(error.to_string())
    }
}

impl From<BytesRejection> for ApiError {
    fn from(error: BytesRejection) -> Self {
        if error.status() == StatusCode::PAYLOAD_TOO_LARGE {
            return Self::too_large("request body too large; send smaller batches")
                .because(Reason::BodyTooLarge);
        }
        Self::bad_data(error.body_text())
    }
}

impl ApiError {
    pub(crate) fn timeout(message: impl Into<String>) -> Self {
        Self::new(Kind::Timeout, message)
    }

    pub(crate) fn too_large(message: impl Into<String>) -> Self {
        Self::new(Kind::TooLarge, message)
    }

    pub(crate) fn unsupported_media(message: impl Into<String>) -> Self {
        Self::new(Kind::UnsupportedMedia, message)
    }

    pub(crate) fn canceled() -> Self {
        Self::new(Kind::Canceled, "the client is gone")
    }

    /// A query that an administrator has ended.
    pub(crate) fn ended() -> Self {
        Self::new(Kind::Canceled, "an administrator has canceled this query")
    }

    pub(crate) fn unavailable(message: impl Into<String>) -> Self {
        Self::new(Kind::Unavailable, message)
    }

    pub(crate) fn not_found(message: impl Into<String>) -> Self {
        Self::new(Kind::NotFound, message)
    }

    /// Why nothing was deleted.
    pub(crate) fn from_delete(error: &skep_store::DeleteError) -> Self {
        match error {
            skep_store::DeleteError::TooMany => Self::new(Kind::Busy, error.to_string()),
            _ if is_disk_full(error) => Self::new(Kind::Full, "the disk is full; make room first"),
            _ => Self::internal(error),
        }
    }

    /// Why there is no snapshot.
    pub(crate) fn from_snapshot(error: &skep_store::SnapshotError) -> Self {
        if is_disk_full(error) {
            return Self::new(Kind::Full, "the disk is full; make room first");
        }
        Self::internal(error)
    }

    /// Too many bytes in too little time; the same request can be sent again.
    pub(crate) fn rate_limited(message: impl Into<String>) -> Self {
        Self::busy(message).because(Reason::RateLimited)
    }

    pub(crate) fn busy(message: impl Into<String>) -> Self {
        Self::new(Kind::Busy, message)
    }

    /// What of a write was left out, by the decoder and by the store; none if nothing was.
    pub(crate) fn from_left_out(refused: &Refused, appended: &Appended) -> Option<Self> {
        let rejected = appended.first_rejection.as_ref();
        let reasons = refused.reasons().chain(rejected.map(reason_of)).collect();
        let refused = (!refused.is_empty()).then(|| refused.to_string());
        let faults: Vec<String> =
            refused.into_iter().chain(rejected.map(ToString::to_string)).collect();
        (!faults.is_empty()).then(|| Self { reasons, ..Self::bad_data(faults.join("\n")) })
    }

    /// As [`Self::from_left_out`], of log lines and in Loki's words.
    pub(crate) fn from_left_out_lines(refused: &Refused, appended: &Appended) -> Option<Self> {
        let rejected = appended.first_rejection.as_ref();
        let reasons = refused.reasons().chain(rejected.map(reason_of)).collect();
        let mut groups = Vec::new();
        if !refused.is_empty() {
            groups.push(refused.grouped());
        }
        if let Some(rejection) = rejected {
            let text = line_rejection(rejection);
            groups.push(match appended.n_rejected {
                1 if groups.is_empty() => text,
                n => format!("{n} errors like: {text}"),
            });
        }
        (!groups.is_empty()).then(|| Self { reasons, ..Self::bad_data(groups.join("; ")) })
    }

    /// Whether nothing but labels that no series can have was wrong with a write.
    pub(crate) fn is_about_labels(&self) -> bool {
        self.reasons.iter().all(|it| matches!(it, Reason::InvalidLabels | Reason::DuplicateLabels))
    }

    /// Good to the sender and counted and logged here: what Prometheus does with such series of
    /// remote-write 1.0, whose senders do not read answers.
    pub(crate) fn dropped(self) -> Response {
        tracing::warn!(error = self.message, "Left out series with unusable labels.");
        self.marked(StatusCode::NO_CONTENT.into_response())
    }

    /// Why nothing of a write was stored.
    pub(crate) fn from_append(api: &Api, error: &AppendError) -> Self {
        let kind = match error {
            AppendError::Busy { .. } => Kind::Busy,
            AppendError::Full => Kind::Full,
            AppendError::TooLarge { .. } => Kind::TooLarge,
            AppendError::Closed => Kind::Unavailable,
            AppendError::Internal(_) => return Self::internal(error),
        };
        if matches!(kind, Kind::Busy | Kind::Full) {
            api.telemetry.writes_deferred.add(1);
        }
        let refused = Self::new(kind, error.to_string());
        if kind == Kind::TooLarge { refused.because(Reason::TooManyRows) } else { refused }
    }
}

/// What Loki says of an entry that is out of its time.
fn line_rejection(rejection: &Rejection) -> String {
    match rejection {
        Rejection::TooOld { what, ts, oldest } => format!(
            "{what} has timestamp too old: {}, oldest acceptable timestamp is: {}",
            rfc3339(*ts),
            rfc3339(*oldest)
        ),
        Rejection::TooNew { what, ts, .. } => {
            format!("{what} has timestamp too new: {}", rfc3339(*ts))
        }
        Rejection::Labels(error) => error.to_string(),
    }
}

/// To the second, in UTC.
fn rfc3339(ts: TimestampMs) -> String {
    let at = time::OffsetDateTime::from_unix_timestamp(ts.0.div_euclid(1_000)).ok();
    let format = &time::format_description::well_known::Rfc3339;
    at.and_then(|it| it.format(format).ok()).unwrap_or_else(|| format!("{} ms", ts.0))
}

fn reason_of(rejection: &Rejection) -> Reason {
    match rejection {
        Rejection::TooOld { .. } => Reason::TooOld,
        Rejection::TooNew { .. } => Reason::TooNew,
        Rejection::Labels(_) => Reason::InvalidLabels,
    }
}
