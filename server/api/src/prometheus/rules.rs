//! Rules and alerts: this server evaluates none, which clients must be able to see.

use axum::response::Response;
use skep_promql::parse_selector;

use super::answer;
use crate::{error::ApiError, params::Params};

pub(super) async fn rules(params: Params) -> Result<Response, ApiError> {
    let kind = params.get("type").to_ascii_lowercase();
    if !["", "alert", "record"].contains(&kind.as_str()) {
        return Err(ApiError::invalid("type", format_args!("not supported value {kind:?}")));
    }
    for text in params.all("match[]") {
        parse_selector(text).map_err(|error| ApiError::bad_data(error.to_string()))?;
    }
    if let Some(text) = params.given("group_limit")
        && text.parse::<i64>().is_err()
    {
        let fault = format!(
            "group_limit needs to be a valid number: strconv.ParseInt: parsing {text:?}: invalid syntax"
        );
        return Err(ApiError::invalid("group_limit", fault));
    }
    Ok(answer::data("{\"groups\":[]}"))
}

pub(super) async fn alerts() -> Response {
    answer::data("{\"alerts\":[]}")
}

pub(super) async fn alertmanagers() -> Response {
    answer::data("{\"activeAlertmanagers\":[],\"droppedAlertmanagers\":[]}")
}
