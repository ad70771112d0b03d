//! How the kernel's clock is kept right, from `adjtimex`.

use std::io;

use libc::{c_long, timex};
use skep_proto::MetricKind::{self, Counter, Gauge};

use super::{Context, SourceError, syscalls};
use crate::exposition::Exposition;

/// `TIME_ERROR`: nobody keeps the clock right.
const TIME_ERROR: libc::c_int = 5;
/// `STA_NANO` of the status: offset and jitter are in nanoseconds.
const IN_NANOSECONDS: libc::c_int = 0x2000;
const MICROSECONDS_PER_SECOND: f64 = 1e6;
const NANOSECONDS_PER_SECOND: f64 = 1e9;
/// Frequencies are in parts per million, of which each is 2^16.
const FREQUENCY_UNITS: f64 = 1e6 * 65_536.0;

type Value = fn(&timex, f64) -> f64;

/// Families, kinds, help and values; offset and jitter are in the unit that goes in.
const FIELDS: [(&str, MetricKind, &str, Value); 16] = [
    (
        "node_timex_offset_seconds",
        Gauge,
        "How far the clock is from the right time, in seconds.",
        |it, unit| float(it.offset) / unit,
    ),
    (
        "node_timex_frequency_adjustment_ratio",
        Gauge,
        "How much faster than by itself the clock is made to run.",
        |it, _| 1.0 + float(it.freq) / FREQUENCY_UNITS,
    ),
    (
        "node_timex_maxerror_seconds",
        Gauge,
        "How wrong the clock can be at most, in seconds.",
        |it, _| float(it.maxerror) / MICROSECONDS_PER_SECOND,
    ),
    (
        "node_timex_estimated_error_seconds",
        Gauge,
        "How wrong the clock is thought to be, in seconds.",
        |it, _| float(it.esterror) / MICROSECONDS_PER_SECOND,
    ),
    ("node_timex_status", Gauge, "The clock's STA_* flags as one number.", |it, _| {
        f64::from(it.status)
    }),
    (
        "node_timex_loop_time_constant",
        Gauge,
        "How slowly the clock follows corrections.",
        |it, _| float(it.constant),
    ),
    ("node_timex_tick_seconds", Gauge, "Seconds between two ticks of the clock.", |it, _| {
        float(it.tick) / MICROSECONDS_PER_SECOND
    }),
    (
        "node_timex_pps_frequency_hertz",
        Gauge,
        "Frequency by a signal that comes each second.",
        |it, _| float(it.ppsfreq) / FREQUENCY_UNITS,
    ),
    (
        "node_timex_pps_jitter_seconds",
        Gauge,
        "How much the signal's distances differ, in seconds.",
        |it, unit| float(it.jitter) / unit,
    ),
    (
        "node_timex_pps_shift_seconds",
        Gauge,
        "For how long the signal is watched, as a power of two.",
        |it, _| f64::from(it.shift),
    ),
    (
        "node_timex_pps_stability_hertz",
        Gauge,
        "How much the signal's frequency changes.",
        |it, _| float(it.stabil) / FREQUENCY_UNITS,
    ),
    (
        "node_timex_pps_jitter_total",
        Counter,
        "Times the signal came too early or too late.",
        |it, _| float(it.jitcnt),
    ),
    (
        "node_timex_pps_calibration_total",
        Counter,
        "Times the signal's frequency was measured.",
        |it, _| float(it.calcnt),
    ),
    (
        "node_timex_pps_error_total",
        Counter,
        "Times the signal's frequency could not be measured.",
        |it, _| float(it.errcnt),
    ),
    (
        "node_timex_pps_stability_exceeded_total",
        Counter,
        "Times the signal's frequency changed too much.",
        |it, _| float(it.stbcnt),
    ),
    (
        "node_timex_tai_offset_seconds",
        Gauge,
        "Seconds that atomic time is ahead of UTC.",
        |it, _| f64::from(it.tai),
    ),
];

pub(super) fn collect(_: &Context, out: &mut Exposition) -> Result<(), SourceError> {
    match syscalls::adjtimex() {
        Ok((timex, state)) => {
            emit(&timex, state, out);
            Ok(())
        }
        Err(error) if error.kind() == io::ErrorKind::PermissionDenied => {
            Err(SourceError::NoData { what: "clock it lets us ask" })
        }
        Err(source) => Err(SourceError::Kernel { what: "its clock", source }),
    }
}

fn emit(timex: &timex, state: libc::c_int, out: &mut Exposition) {
    out.gauge(
        "node_timex_sync_status",
        "1 if somebody keeps the clock right, else 0.",
        f64::from(u8::from(state != TIME_ERROR)),
    );
    let is_nano = timex.status & IN_NANOSECONDS != 0;
    let unit = if is_nano { NANOSECONDS_PER_SECOND } else { MICROSECONDS_PER_SECOND };
    for (name, kind, help, value) in FIELDS {
        out.family(name, help, kind).point([], value(timex, unit));
    }
}

#[expect(clippy::cast_precision_loss, reason = "samples are floats; 2^53 bounds what is exact")]
fn float(value: c_long) -> f64 {
    value as f64
}

#[cfg(test)]
mod tests {
    use expect_test::expect;

    use super::{TIME_ERROR, collect, emit};
    use crate::{
        exposition::Exposition,
        sources::{syscalls, tests::Host},
    };

    fn text(change: impl FnOnce(&mut libc::timex), state: libc::c_int) -> String {
        let (mut timex, _) = syscalls::adjtimex().unwrap();
        for field in [
            &mut timex.offset,
            &mut timex.freq,
            &mut timex.maxerror,
            &mut timex.esterror,
            &mut timex.constant,
            &mut timex.tick,
            &mut timex.ppsfreq,
            &mut timex.jitter,
            &mut timex.stabil,
            &mut timex.jitcnt,
            &mut timex.calcnt,
            &mut timex.errcnt,
            &mut timex.stbcnt,
        ] {
            *field = 0;
        }
        (timex.status, timex.shift, timex.tai) = (0, 0, 0);
        change(&mut timex);
        let mut out = Exposition::default();
        emit(&timex, state, &mut out);
        let text = out.to_text();
        let values = text.lines().filter(|it| !it.starts_with('#') && !it.ends_with(" 0"));
        values.collect::<Vec<_>>().join("\n")
    }

    #[test]
    fn units_follow_the_clocks_status() {
        let change = |timex: &mut libc::timex| {
            timex.offset = -3_500;
            timex.jitter = 2_000;
            timex.freq = 6_553_600;
            timex.maxerror = 16_000_000;
            timex.tick = 10_000;
            timex.shift = 8;
            timex.stbcnt = 5;
            timex.tai = 37;
        };
        expect![[r#"
            node_timex_frequency_adjustment_ratio 1.0001
            node_timex_maxerror_seconds 16
            node_timex_offset_seconds -0.0035
            node_timex_pps_jitter_seconds 0.002
            node_timex_pps_shift_seconds 8
            node_timex_pps_stability_exceeded_total 5
            node_timex_tai_offset_seconds 37
            node_timex_tick_seconds 0.01"#]]
        .assert_eq(&text(change, TIME_ERROR));
        let nano = |timex: &mut libc::timex| {
            change(timex);
            timex.status = 0x2001;
        };
        expect![[r#"
            node_timex_frequency_adjustment_ratio 1.0001
            node_timex_maxerror_seconds 16
            node_timex_offset_seconds -3.5e-06
            node_timex_pps_jitter_seconds 2e-06
            node_timex_pps_shift_seconds 8
            node_timex_pps_stability_exceeded_total 5
            node_timex_status 8193
            node_timex_sync_status 1
            node_timex_tai_offset_seconds 37
            node_timex_tick_seconds 0.01"#]]
        .assert_eq(&text(nano, 0));
    }

    #[test]
    fn the_running_kernel_answers() {
        let text = Host::default().text(collect);
        assert_eq!(text.lines().filter(|it| it.starts_with("# TYPE")).count(), 17, "{text}");
    }
}
