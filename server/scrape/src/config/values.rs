//! Values as Prometheus' configuration spells them: durations, sizes, secrets.

use std::{fmt, time::Duration};

use serde::{Deserialize, Deserializer, de::Error as _};

/// `1h30m`, `15s`, `500ms`, `0`: units from years down to milliseconds, each at most once.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub(crate) struct Span(pub(crate) Duration);

/// A unit and its milliseconds, in the order they must come.
const UNITS: [(&str, u64); 7] = [
    ("y", 365 * 86_400_000),
    ("w", 7 * 86_400_000),
    ("d", 86_400_000),
    ("h", 3_600_000),
    ("m", 60_000),
    ("s", 1_000),
    ("ms", 1),
];

impl Span {
    /// # Errors
    /// Prometheus' words for what is no duration.
    pub(crate) fn parse(text: &str) -> Result<Self, String> {
        match text {
            "" => return Err("empty duration string".to_owned()),
            "0" => return Ok(Self::default()),
            _ => {}
        }
        let bad = || format!("not a valid duration string: {text:?}");
        let (mut rest, mut ms, mut n_used) = (text, 0_u64, 0);
        while !rest.is_empty() {
            let n_digits = rest.bytes().take_while(u8::is_ascii_digit).count();
            let (digits, behind) = rest.split_at(n_digits);
            let n_letters = behind.bytes().take_while(u8::is_ascii_lowercase).count();
            let (unit, behind) = behind.split_at(n_letters);
            let found = UNITS.iter().enumerate().skip(n_used).find(|(_, (name, _))| *name == unit);
            let (unit_idx, (_, unit_ms)) = found.ok_or_else(bad)?;
            let n: u64 = digits.parse().map_err(|_no_number: std::num::ParseIntError| bad())?;
            let sum = n.checked_mul(*unit_ms).and_then(|it| ms.checked_add(it));
            // What 63 bits of nanoseconds hold, as there.
            ms = sum
                .filter(|it| *it <= i64::MAX.unsigned_abs() / 1_000_000)
                .ok_or_else(|| "duration out of range".to_owned())?;
            (rest, n_used) = (behind, unit_idx + 1);
        }
        Ok(Self(Duration::from_millis(ms)))
    }
}

impl fmt::Display for Span {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut ms = u64::try_from(self.0.as_millis()).unwrap_or(u64::MAX);
        if ms == 0 {
            return out.write_str("0s");
        }
        for (unit, unit_ms) in UNITS {
            // Years and weeks only where nothing is left over.
            let n = if matches!(unit, "y" | "w") && ms % unit_ms != 0 { 0 } else { ms / unit_ms };
            if n > 0 {
                write!(out, "{n}{unit}")?;
                ms -= n * unit_ms;
            }
        }
        Ok(())
    }
}

impl<'de> Deserialize<'de> for Span {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Self::parse(&String::deserialize(deserializer)?).map_err(D::Error::custom)
    }
}

/// Bytes: `0`, `10MB`, `10MiB`; each unit is 1024 times the one below, as there.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Size(pub(crate) u64);

impl Size {
    fn parse(text: &str) -> Option<Self> {
        let end = text.find(|it: char| !it.is_ascii_digit()).unwrap_or(text.len());
        let (digits, unit) = text.split_at(end);
        let power = match unit {
            "" if digits == "0" => 0,
            "B" => 0,
            "KB" | "KiB" => 10,
            "MB" | "MiB" => 20,
            "GB" | "GiB" => 30,
            "TB" | "TiB" => 40,
            "PB" | "PiB" => 50,
            "EB" | "EiB" => 60,
            _ => return None,
        };
        digits.parse::<u64>().ok()?.checked_mul(1 << power).map(Self)
    }
}

impl<'de> Deserialize<'de> for Size {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        Self::parse(&text).ok_or_else(|| {
            D::Error::custom(format!("{text:?} is not a size; write a number and B, KB, MB or GB"))
        })
    }
}

/// What must not be shown.
#[derive(Clone, PartialEq, Eq, Deserialize)]
#[serde(transparent)]
pub struct Secret(pub(crate) String);

impl fmt::Debug for Secret {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str("<secret>")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_read_and_written_as_prometheus_does() {
        for (text, ms, printed) in [
            ("0", 0, "0s"),
            ("15s", 15_000, "15s"),
            ("1h30m", 5_400_000, "1h30m"),
            ("90m", 5_400_000, "1h30m"),
            ("324ms", 324, "324ms"),
            ("14d", 14 * 86_400_000, "2w"),
            ("10d", 10 * 86_400_000, "10d"),
            ("1y", 365 * 86_400_000, "1y"),
        ] {
            let span = Span::parse(text).unwrap();
            assert_eq!(span.0.as_millis(), ms, "{text}");
            assert_eq!(span.to_string(), printed);
        }
        for text in ["", "1", "1.5h", "-1s", "1s1m", "1s1s", "s", "1ü", "99999999y"] {
            assert!(Span::parse(text).is_err(), "{text}");
        }
    }

    #[test]
    fn sizes_count_in_powers_of_two() {
        for (text, bytes) in [("0", Some(0)), ("10MB", Some(10 << 20)), ("1KiB", Some(1024))] {
            assert_eq!(Size::parse(text).map(|it| it.0), bytes);
        }
        for text in ["", "10", "1 KB", "KB", "1kb", "99999EB"] {
            assert_eq!(Size::parse(text), None, "{text}");
        }
    }
}
