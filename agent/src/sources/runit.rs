//! Services of runit and their states, from their `supervise` folders.

use std::{
    fs,
    path::{Path, PathBuf},
};

use serde::Deserialize;
use skep_proto::MetricKind;

use super::{Context, SourceError, sorted_dir};
use crate::exposition::{Exposition, as_f64};

/// `supervise/status` is
///
/// ```text
/// u64 big-endian: seconds since 1970 in TAI64   u32 big-endian: nanoseconds
/// u32 little-endian: process   u8 paused   u8 wanted (u or d)   u8 terminating   u8 state
/// ```
const STATUS_BYTES: usize = 20;
/// 1970 in TAI64, which runit takes as ten seconds ahead.
const EPOCH: u64 = (1 << 62) + 10;

#[derive(Debug, Clone, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Settings {
    /// Where the services lie.
    servicedir: PathBuf,
}

impl Default for Settings {
    fn default() -> Self {
        Self { servicedir: "/etc/service".into() }
    }
}

/// A service that has no status or a damaged one is not told.
pub(super) fn collect(context: &Context, out: &mut Exposition) -> Result<(), SourceError> {
    let dir = &context.settings.runit.servicedir;
    let dir = context.roots.root.join(dir.strip_prefix("/").unwrap_or(dir));
    fs::metadata(&dir).map_err(|source| SourceError::Read { path: dir.clone(), source })?;
    for service in sorted_dir(&dir) {
        let Some(status) = Status::read(&dir.join(&service)) else { continue };
        for (name, help, value) in [
            (
                "node_service_state",
                "State of the service: 0 down, 1 up, 2 finishing.",
                status.state,
            ),
            ("node_service_desired_state", "State the service shall have.", status.wanted),
            ("node_service_normal_state", "State the service has after a boot.", status.normal),
            (
                "node_service_state_last_change_timestamp_seconds",
                "When the service's state changed, in seconds since 1970.",
                status.changed_seconds,
            ),
        ] {
            out.family(name, help, MetricKind::Gauge)
                .point([("service", &service), ("supervisor", "runit")], as_f64(value));
        }
    }
    Ok(())
}

#[derive(Debug)]
struct Status {
    changed_seconds: u64,
    state: u64,
    wanted: u64,
    normal: u64,
}

impl Status {
    fn read(service: &Path) -> Option<Self> {
        let bytes = fs::read(service.join("supervise/status")).ok()?;
        Self::parse(&bytes, !service.join("down").exists())
    }

    fn parse(bytes: &[u8], is_normally_up: bool) -> Option<Self> {
        let bytes: &[u8; STATUS_BYTES] = bytes.try_into().ok()?;
        let seconds = u64::from_be_bytes(*bytes.first_chunk()?);
        let [.., _paused, wanted, _terminating, state] = *bytes;
        Some(Self {
            changed_seconds: seconds.checked_sub(EPOCH)?,
            state: state.into(),
            wanted: u64::from(wanted == b'u'),
            normal: is_normally_up.into(),
        })
    }
}

#[cfg(test)]
mod tests {
    use expect_test::expect;

    use super::{EPOCH, collect};
    use crate::sources::tests::Host;

    fn status(seconds: u64, wanted: u8, state: u8) -> Vec<u8> {
        let mut bytes = (EPOCH + seconds).to_be_bytes().to_vec();
        bytes.extend([0, 0, 0, 9, 0xd2, 4, 0, 0, 0, wanted, 0, state]);
        bytes
    }

    #[test]
    fn services_are_told_with_what_they_are_and_shall_be() {
        let host = Host::default();
        host.bytes("etc/service/web/supervise/status", &status(1_700_000_000, b'u', 1))
            .bytes("etc/service/mail/supervise/status", &status(1_600_000_000, b'd', 2))
            .file("etc/service/mail/down", "")
            .bytes("etc/service/cut/supervise/status", &[0; 19])
            .bytes("etc/service/early/supervise/status", &[0; 20])
            .file("etc/service/new/run", "");
        host.check(collect, &expect![[r##"
            # HELP node_service_desired_state State the service shall have.
            # TYPE node_service_desired_state gauge
            node_service_desired_state{service="mail",supervisor="runit"} 0
            node_service_desired_state{service="web",supervisor="runit"} 1
            # HELP node_service_normal_state State the service has after a boot.
            # TYPE node_service_normal_state gauge
            node_service_normal_state{service="mail",supervisor="runit"} 0
            node_service_normal_state{service="web",supervisor="runit"} 1
            # HELP node_service_state State of the service: 0 down, 1 up, 2 finishing.
            # TYPE node_service_state gauge
            node_service_state{service="mail",supervisor="runit"} 2
            node_service_state{service="web",supervisor="runit"} 1
            # HELP node_service_state_last_change_timestamp_seconds When the service's state changed, in seconds since 1970.
            # TYPE node_service_state_last_change_timestamp_seconds gauge
            node_service_state_last_change_timestamp_seconds{service="mail",supervisor="runit"} 1.6e+09
            node_service_state_last_change_timestamp_seconds{service="web",supervisor="runit"} 1.7e+09
        "##]]);
    }

    #[test]
    fn a_folder_that_is_not_there_is_named() {
        let mut host = Host::default();
        host.check(
            collect,
            &expect![[r#"
            error: cannot read /etc/service: No such file or directory (os error 2)
        "#]],
        );
        host.settings().runit = toml::from_str("servicedir = \"/srv/service\"").unwrap();
        host.check(
            collect,
            &expect![[r#"
            error: cannot read /srv/service: No such file or directory (os error 2)
        "#]],
        );
    }
}
