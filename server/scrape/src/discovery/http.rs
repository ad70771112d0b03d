//! Targets that an HTTP server lists.

use super::{Slot, warn_of};
use crate::{
    config::{Group, HttpSd, RawGroup},
    fetch::{Fetch, Request, Response},
    timer::Timer,
};

/// A line of JSON a target, for a hundred thousand targets.
const BODY_BYTES_MAX: u64 = 64 << 20;
const URL_LABEL: &str = "__meta_url";

pub(super) async fn run(config: &HttpSd, slot: &Slot, fetch: &dyn Fetch, timer: &dyn Timer) {
    let client = fetch.client(&config.http, true);
    loop {
        let started = timer.elapsed();
        let headers = vec![
            ("Accept", "application/json".to_owned()),
            ("X-Prometheus-Refresh-Interval-Seconds", config.refresh.as_secs_f64().to_string()),
        ];
        let request = Request { url: &config.url, headers, body_bytes_max: BODY_BYTES_MAX };
        let listed = tokio::select! {
            response = client.get(&request) => {
                response.map_err(|it| it.to_string()).and_then(|it| groups(&it, &config.url))
            }
            () = timer.sleep_until(started + config.refresh) => Err("no answer in time".to_owned()),
        };
        match listed {
            Ok(groups) => slot.put(groups),
            Err(error) => warn_of(&config.url, &error),
        }
        timer.sleep_until(started + config.refresh).await;
    }
}

fn groups(response: &Response, url: &str) -> Result<Vec<Group>, String> {
    let media = response.content_type.split(';').next().unwrap_or_default().trim();
    if !media.eq_ignore_ascii_case("application/json") {
        return Err(format!("unsupported content type {:?}", response.content_type));
    }
    let raw: Vec<RawGroup> =
        serde_json::from_slice(&response.body).map_err(|error| error.to_string())?;
    let groups = raw.into_iter().map(|it| {
        let mut group = it.group()?;
        group.labels.insert(URL_LABEL.to_owned(), url.to_owned());
        Ok(group)
    });
    groups.collect()
}
