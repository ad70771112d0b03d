//! Values as a file writes them: durations, sizes, counts, addresses.

use std::{net::SocketAddr, ops::RangeInclusive, path::Path, time::Duration};

use anyhow::{Context as _, bail};
use rustls::pki_types::{CertificateDer, pem::PemObject as _};

/// Beyond it, sums with a point in time would no longer fit.
const DURATION_MAX: Duration = Duration::from_hours(24 * 365 * 100);

/// "90s", "5m", "30d": a number and a unit, as in Prometheus' flags; several may follow each other.
pub(super) fn duration(key: &str, text: &str) -> anyhow::Result<Duration> {
    let duration = humantime::parse_duration(text).with_context(|| {
        format!(
            "{key} {text:?} is not a duration; write a number and a unit, like \"30d\" or \"15s\""
        )
    })?;
    if duration > DURATION_MAX {
        bail!("{key} {text:?} is too long; write at most \"36500d\"");
    }
    Ok(duration)
}

/// A duration where none at all would stop the server's work.
pub(super) fn positive_duration(key: &str, text: &str) -> anyhow::Result<Duration> {
    let duration = duration(key, text)?;
    if duration.is_zero() {
        bail!("{key} {text:?} is no time at all; write one like \"15s\"");
    }
    Ok(duration)
}

/// "200MB", "1GiB"; more than none.
pub(super) fn bytes(key: &str, text: &str) -> anyhow::Result<usize> {
    let size: bytesize::ByteSize = text.parse().map_err(|why: String| {
        anyhow::anyhow!("{key} {text:?} is not a size ({why}); write one like \"512MiB\"")
    })?;
    match usize::try_from(size.as_u64()) {
        Ok(0) => bail!("{key} {text:?} lets nothing through; write one like \"512MiB\""),
        Ok(size) => Ok(size),
        Err(_above) => bail!("{key} {text:?} is too large; write one like \"512MiB\""),
    }
}

/// A number of things that must be within `range`.
pub(super) fn count<N: PartialOrd + std::fmt::Display>(
    key: &str,
    n: N,
    range: RangeInclusive<N>,
) -> anyhow::Result<N> {
    if range.contains(&n) {
        return Ok(n);
    }
    bail!("{key} {n} is out of range; write a number from {} to {}", range.start(), range.end());
}

/// A number of things where none at all would refuse everything.
pub(super) fn positive<N: PartialEq + From<u8>>(key: &str, n: N) -> anyhow::Result<N> {
    if n == N::from(0) {
        bail!("{key} 0 lets nothing through; write a number from 1");
    }
    Ok(n)
}

/// The certificates in a PEM file; none at all would trust nobody.
pub(super) fn authorities(key: &str, path: &Path) -> anyhow::Result<Vec<CertificateDer<'static>>> {
    let name = path.display().to_string();
    let pem = std::fs::read(path).with_context(|| format!("{key} {name:?} cannot be read"))?;
    let certificates = CertificateDer::pem_slice_iter(&pem).collect::<Result<Vec<_>, _>>();
    let certificates = certificates.with_context(|| format!("{key} {name:?} is not PEM"))?;
    if certificates.is_empty() {
        bail!("{key} {name:?} holds no certificate in PEM");
    }
    Ok(certificates)
}

/// An IP address with its port.
pub(super) fn address(key: &str, text: &str) -> anyhow::Result<SocketAddr> {
    text.parse().with_context(|| {
        format!(
            "{key} {text:?} is not an address; write IP and port, like \"127.0.0.1:8443\" or \
             \"[::]:443\""
        )
    })
}
