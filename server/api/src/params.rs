//! Parameters of a request, from its URL and its form body, and how Go reads numbers in them.

use axum::{
    Form,
    extract::{FromRequest, Query, Request},
};
use http::{HeaderMap, Method, header::CONTENT_TYPE};
use time::{OffsetDateTime, format_description::well_known::Rfc3339};

use crate::error::ApiError;

/// All parameters in order; those of a form body come first, as Go's `FormValue` prefers them.
#[derive(Debug, Clone, Default)]
pub(crate) struct Params(Vec<(String, String)>);

impl Params {
    /// The first value; empty where there is none.
    pub(crate) fn get(&self, name: &str) -> &str {
        self.all(name).next().unwrap_or_default()
    }

    /// The first value unless it is empty.
    pub(crate) fn given(&self, name: &str) -> Option<&str> {
        Some(self.get(name)).filter(|it| !it.is_empty())
    }

    pub(crate) fn all(&self, name: &str) -> impl Iterator<Item = &str> {
        self.0.iter().filter(move |(it, _)| it == name).map(|(_, value)| value.as_str())
    }

    /// Those of the URL alone.
    ///
    /// # Errors
    /// Escapes that are none.
    pub(crate) fn of_url(url: &http::Uri) -> Result<Self, ApiError> {
        let Query(pairs) = Query::<Vec<(String, String)>>::try_from_uri(url)
            .map_err(|error| ApiError::bad_data(format!("error parsing form values: {error}")))?;
        Ok(Self(pairs))
    }

    /// Puts a value before those there are.
    pub(crate) fn put(&mut self, name: &str, value: Option<String>) {
        if let Some(value) = value {
            self.0.insert(0, (name.to_owned(), value));
        }
    }

    /// Puts the pairs of a form body before those there are.
    ///
    /// # Errors
    /// As [`Self::of_url`].
    pub(crate) fn add_form(&mut self, body: &str) -> Result<(), ApiError> {
        // A form is written as a URL's query is; only `+` and escapes of a URL may be in it.
        let url = http::Uri::builder().path_and_query(format!("/?{body}")).build();
        let url =
            url.map_err(|error| ApiError::bad_data(format!("error parsing form values: {error}")))?;
        let Self(mut pairs) = Self::of_url(&url)?;
        pairs.append(&mut self.0);
        self.0 = pairs;
        Ok(())
    }

    #[cfg(test)]
    pub(crate) fn from_pairs(pairs: &[(&str, &str)]) -> Self {
        Self(pairs.iter().map(|&(name, value)| (name.to_owned(), value.to_owned())).collect())
    }
}

impl<S: Send + Sync> FromRequest<S> for Params {
    type Rejection = ApiError;

    async fn from_request(request: Request, state: &S) -> Result<Self, ApiError> {
        let Query(query) = Query::<Vec<(String, String)>>::try_from_uri(request.uri())
            .map_err(|error| ApiError::bad_data(format!("error parsing form values: {error}")))?;
        let mut pairs = Vec::new();
        if request.method() == Method::POST && is_form(request.headers()) {
            let form = Form::<Vec<(String, String)>>::from_request(request, state).await;
            Form(pairs) = form.map_err(|error| {
                ApiError::bad_data(format!("error parsing form values: {error}"))
            })?;
        }
        pairs.extend(query);
        Ok(Self(pairs))
    }
}

fn is_form(headers: &HeaderMap) -> bool {
    headers
        .get(CONTENT_TYPE)
        .and_then(|it| it.to_str().ok())
        .is_some_and(|it| it.starts_with("application/x-www-form-urlencoded"))
}

/// Go's `strconv.Atoi`, with its words.
pub(crate) fn integer(text: &str) -> Result<i64, String> {
    text.parse().map_err(|_said_below: std::num::ParseIntError| {
        format!("strconv.Atoi: parsing {text:?}: {}", integer_fault(text))
    })
}

fn integer_fault(text: &str) -> &'static str {
    let digits = text.strip_prefix(['+', '-']).unwrap_or(text);
    if !digits.is_empty() && digits.bytes().all(|it| it.is_ascii_digit()) {
        return "value out of range";
    }
    "invalid syntax"
}

/// Nanoseconds since the epoch of an RFC 3339 time.
pub(crate) fn rfc3339_ns(text: &str) -> Option<i64> {
    let at = OffsetDateTime::parse(text, &Rfc3339).ok()?;
    i64::try_from(at.unix_timestamp_nanos()).ok()
}

/// Milliseconds of a number of seconds, rounded; `None` beyond what an `i64` holds.
pub(crate) fn ms_of_seconds(seconds: f64) -> Option<i64> {
    let ms = (seconds * 1000.0).round();
    #[expect(clippy::cast_possible_truncation, reason = "the bound is checked in the same line")]
    (ms.abs() < 9.2e18).then_some(ms as i64)
}

/// A duration as Prometheus writes it (`1h30m`, `500ms`), in milliseconds.
pub(crate) fn go_duration_ms(text: &str) -> Option<i64> {
    const UNITS: [(&str, i64); 7] = [
        ("y", 365 * 24 * 3_600_000),
        ("w", 7 * 24 * 3_600_000),
        ("d", 24 * 3_600_000),
        ("h", 3_600_000),
        ("m", 60_000),
        ("s", 1_000),
        ("ms", 1),
    ];
    if text == "0" {
        return Some(0);
    }
    let mut rest = text;
    let mut units = UNITS.iter();
    let mut total: i64 = 0;
    while !rest.is_empty() {
        let digits_end = rest.find(|it: char| !it.is_ascii_digit())?;
        let (digits, after) = rest.split_at(digits_end);
        let unit_end = after.find(|it: char| it.is_ascii_digit()).unwrap_or(after.len());
        let (unit, after) = after.split_at(unit_end);
        // Units come in order of size, each once.
        let (_, ms) = units.find(|(name, _)| *name == unit)?;
        total = total.checked_add(digits.parse::<i64>().ok()?.checked_mul(*ms)?)?;
        rest = after;
    }
    (!text.is_empty()).then_some(total)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_have_units_in_order() {
        assert_eq!(go_duration_ms("1h30m"), Some(5_400_000));
        assert_eq!(go_duration_ms("1s500ms"), Some(1_500));
        assert_eq!(go_duration_ms("0"), Some(0));
        for bad in ["", "1", "m", "1m1h", "-5m", "1.5h", "5m5m", "99999999999y"] {
            assert_eq!(go_duration_ms(bad), None, "{bad}");
        }
    }

    #[test]
    fn integers_fail_in_gos_words() {
        assert_eq!(integer("12"), Ok(12));
        assert_eq!(integer("x").unwrap_err(), "strconv.Atoi: parsing \"x\": invalid syntax");
        assert_eq!(
            integer("99999999999999999999").unwrap_err(),
            "strconv.Atoi: parsing \"99999999999999999999\": value out of range"
        );
    }

    #[test]
    fn times_are_rfc3339_in_any_zone() {
        assert_eq!(rfc3339_ns("2024-06-03T01:35:00.5Z"), Some(1_717_378_500_500_000_000));
        assert_eq!(rfc3339_ns("2024-06-03T03:35:00+02:00"), Some(1_717_378_500_000_000_000));
        assert_eq!(rfc3339_ns("2024-13-01T00:00:00Z"), None);
    }
}
