//! Stages of Promtail that this agent has not, with what to do instead.

use serde_json::Value as Json;

use super::{Builder, Stage, StageError};

pub(super) fn geoip(_: &Json, _: &Builder<'_>) -> Result<Box<dyn Stage>, StageError> {
    Err(StageError::Invalid(
        "this agent reads no GeoIP database; take the stage out and look addresses up when you query",
    ))
}

pub(super) fn eventlogmessage(_: &Json, _: &Builder<'_>) -> Result<Box<dyn Stage>, StageError> {
    Err(StageError::Invalid(
        "this stage is for the event log of Windows, which this agent does not read",
    ))
}
