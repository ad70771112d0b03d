//! Pages of other origins: who holds a token may read from anywhere, as with Prometheus. What a
//! browser sends by itself, or a listener that asks for nothing, opens no door.

use axum::{
    extract::Request,
    middleware::Next,
    response::{IntoResponse, Response},
};
use http::{
    HeaderName, HeaderValue, Method, StatusCode,
    header::{
        ACCESS_CONTROL_ALLOW_HEADERS, ACCESS_CONTROL_ALLOW_METHODS, ACCESS_CONTROL_ALLOW_ORIGIN,
        ACCESS_CONTROL_EXPOSE_HEADERS, AUTHORIZATION, ORIGIN,
    },
};

/// Prometheus' own. With `*` a browser leaves out its cookies.
const HEADERS: [(HeaderName, &str); 4] = [
    (ACCESS_CONTROL_ALLOW_HEADERS, "Accept, Authorization, Content-Type, Origin"),
    (ACCESS_CONTROL_ALLOW_METHODS, "GET, POST, OPTIONS"),
    (ACCESS_CONTROL_ALLOW_ORIGIN, "*"),
    (ACCESS_CONTROL_EXPOSE_HEADERS, "Date"),
];

/// Answers a browser's question whether it may ask, and lets pages read what they had the
/// credentials for.
pub(crate) async fn cors(request: Request, next: Next) -> Response {
    let is_question = request.method() == Method::OPTIONS;
    let headers = request.headers();
    let is_allowed =
        headers.contains_key(ORIGIN) && (is_question || headers.contains_key(AUTHORIZATION));
    let mut response =
        if is_question { StatusCode::NO_CONTENT.into_response() } else { next.run(request).await };
    if is_allowed {
        let headers = HEADERS.map(|(name, value)| (name, HeaderValue::from_static(value)));
        response.headers_mut().extend(headers);
    }
    response
}
