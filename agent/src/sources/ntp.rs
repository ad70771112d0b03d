//! What an NTP server says of this host's clock, by one question over UDP.

use std::{
    io,
    net::{SocketAddr, ToSocketAddrs as _, UdpSocket},
    time::Duration,
};

use serde::Deserialize;
use skep_proto::Clock;

use super::{Context, SourceError};
use crate::exposition::Exposition;

const PACKET_BYTES: usize = 48;
/// How long the server may take; node_exporter waits as long.
const TIMEOUT: Duration = Duration::from_secs(5);
/// 1970 as NTP counts, from 1900.
const EPOCH_SECONDS: i64 = 2_208_988_800;
/// Units of the fraction in the short format.
const SHORT_FRACTIONS: f64 = 65_536.0;
const NANOSECONDS_PER_SECOND: i64 = 1_000_000_000;
const CLIENT: u8 = 3;
const SERVER: u8 = 4;
const LEAP_UNKNOWN: u8 = 3;
/// A server that says so has no time.
const STRATUM_MAX: u8 = 16;
const KISS_OF_DEATH: u8 = 0;

#[derive(Debug, Clone, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Settings {
    server: String,
    server_port: u16,
    /// 2 to 4.
    #[serde(deserialize_with = "version")]
    protocol_version: u8,
    /// Whether a server on another host may be asked.
    server_is_local: bool,
    /// Hops from the server to this host.
    ip_ttl: u32,
    /// What the server may be off its source before it is no longer taken for sane, in seconds.
    max_distance_seconds: f64,
    /// What the clock may be off the server before it is no longer taken for sane, in seconds.
    local_offset_tolerance_seconds: f64,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            server: "127.0.0.1".to_owned(),
            server_port: 123,
            protocol_version: 4,
            server_is_local: false,
            ip_ttl: 1,
            max_distance_seconds: 3.466_256,
            local_offset_tolerance_seconds: 0.001,
        }
    }
}

pub(super) fn collect(context: &Context, out: &mut Exposition) -> Result<(), SourceError> {
    let settings = &context.settings.ntp;
    let answer = ask(settings, context.clock.as_ref()).map_err(|source| SourceError::Peer {
        peer: "the NTP server",
        at: format!("{}:{}", settings.server, settings.server_port),
        source,
    })?;
    for (name, help, value) in [
        (
            "node_ntp_stratum",
            "Hops from the server to a reference clock.",
            f64::from(answer.stratum),
        ),
        (
            "node_ntp_leap",
            "1 before a second is added, 2 before one is left out, 3 if the server has no time.",
            f64::from(answer.leap),
        ),
        ("node_ntp_rtt_seconds", "Time to the server and back, in seconds.", answer.rtt_seconds),
        (
            "node_ntp_offset_seconds",
            "What the server's clock is ahead of this host's, in seconds.",
            answer.offset_seconds,
        ),
        (
            "node_ntp_reference_timestamp_seconds",
            "When the server's clock was set, in seconds since 1970.",
            answer.reference_seconds,
        ),
        (
            "node_ntp_root_delay_seconds",
            "Time from the server to the reference clock and back, in seconds.",
            answer.root_delay_seconds,
        ),
        (
            "node_ntp_root_dispersion_seconds",
            "What the server may be off the reference clock, in seconds.",
            answer.root_dispersion_seconds,
        ),
        (
            "node_ntp_sanity",
            "1 if the server and this host's clock can be trusted, else 0.",
            f64::from(u8::from(answer.is_sane(settings))),
        ),
    ] {
        out.gauge(name, help, value);
    }
    Ok(())
}

fn ask(settings: &Settings, clock: &dyn Clock) -> io::Result<Answer> {
    let server = address(settings)?;
    let local: SocketAddr =
        if server.is_ipv4() { ([0, 0, 0, 0], 0).into() } else { ([0_u16; 8], 0).into() };
    let socket = UdpSocket::bind(local)?;
    socket.set_read_timeout(Some(TIMEOUT))?;
    if server.is_ipv4() {
        socket.set_ttl(settings.ip_ttl)?;
    }
    // Answers of others are not received.
    socket.connect(server)?;
    let mut request = [0; PACKET_BYTES];
    let sent = clock.now().0;
    if let Some((first, rest)) = request.split_first_mut() {
        *first = settings.protocol_version << 3 | CLIENT;
        if let Some(stamp) = rest.last_chunk_mut() {
            *stamp = to_stamp(sent);
        }
    }
    socket.send(&request)?;
    let mut bytes = [0; PACKET_BYTES];
    let len = socket.recv(&mut bytes)?;
    let received = clock.now().0;
    let stamp = request.last_chunk().copied().unwrap_or_default();
    let answer = bytes.get(..len).and_then(|it| it.first_chunk());
    let answer = answer.ok_or_else(|| wrong("is too short"))?;
    Answer::parse(answer, stamp, sent, received)
}

/// As node_exporter, only this host unless told otherwise: public servers are not for monitoring.
fn address(settings: &Settings) -> io::Result<SocketAddr> {
    let address = (settings.server.as_str(), settings.server_port).to_socket_addrs()?.next();
    let address = address.ok_or_else(|| io::Error::from(io::ErrorKind::NotFound))?;
    if !address.ip().is_loopback() && !settings.server_is_local {
        let text = format!(
            "{} is no address of this host; set server_is_local if it may be asked",
            settings.server
        );
        return Err(io::Error::new(io::ErrorKind::InvalidInput, text));
    }
    Ok(address)
}

fn wrong(what: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, format!("the answer {what}"))
}

/// Of nanoseconds.
#[expect(clippy::cast_precision_loss, reason = "only differences need to be exact, and are small")]
fn seconds(nanoseconds: i64) -> f64 {
    nanoseconds as f64 / NANOSECONDS_PER_SECOND as f64
}

#[derive(Debug, PartialEq)]
struct Answer {
    stratum: u8,
    leap: u8,
    rtt_seconds: f64,
    offset_seconds: f64,
    reference_seconds: f64,
    root_delay_seconds: f64,
    root_dispersion_seconds: f64,
    /// What the clocks differ at least: an answer that left before it came.
    least_error_seconds: f64,
}

impl Answer {
    /// `stamp` is that of the request, which the server sends back. Times are nanoseconds since 1970.
    fn parse(
        bytes: &[u8; PACKET_BYTES],
        stamp: [u8; 8],
        sent: i64,
        received: i64,
    ) -> io::Result<Self> {
        let [flags, stratum, _, _, rest @ ..] = bytes;
        if flags & 7 != SERVER {
            return Err(wrong("is of no server"));
        }
        if *stratum == KISS_OF_DEATH {
            return Err(wrong("is that it must not be asked so often"));
        }
        let word = |at: usize| -> [u8; 4] {
            rest.get(at..).and_then(|it| it.first_chunk()).copied().unwrap_or_default()
        };
        let time = |at: usize| -> [u8; 8] {
            rest.get(at..).and_then(|it| it.first_chunk()).copied().unwrap_or_default()
        };
        let short = |at| f64::from(u32::from_be_bytes(word(at))) / SHORT_FRACTIONS;
        if time(20) != stamp {
            return Err(wrong("is to another question"));
        }
        let (arrived, left) = (from_stamp(time(28)), from_stamp(time(36)));
        Ok(Self {
            stratum: *stratum,
            leap: flags >> 6,
            rtt_seconds: seconds((received - sent) - (left - arrived)).max(0.0),
            offset_seconds: seconds((arrived - sent).midpoint(left - received)),
            reference_seconds: seconds(from_stamp(time(12))),
            root_delay_seconds: short(0),
            root_dispersion_seconds: short(4),
            least_error_seconds: seconds((sent - arrived).max(left - received).max(0)),
        })
    }

    /// A second more than the greatest distance is let through, for servers that smear leap seconds.
    fn is_sane(&self, settings: &Settings) -> bool {
        let distance_seconds =
            f64::midpoint(self.rtt_seconds, self.root_delay_seconds) + self.root_dispersion_seconds;
        self.leap != LEAP_UNKNOWN
            && self.stratum < STRATUM_MAX
            && distance_seconds <= settings.max_distance_seconds + 1.0
            && self.least_error_seconds <= settings.local_offset_tolerance_seconds
    }
}

/// Seconds and fractions of a second since 1900, as nanoseconds since 1970.
fn from_stamp(stamp: [u8; 8]) -> i64 {
    let [a, b, c, d, e, f, g, h] = stamp;
    let seconds = i64::from(u32::from_be_bytes([a, b, c, d])) - EPOCH_SECONDS;
    let fraction = u64::from(u32::from_be_bytes([e, f, g, h]));
    let nanoseconds = (fraction * NANOSECONDS_PER_SECOND.unsigned_abs() + (1 << 31)) >> 32;
    seconds * NANOSECONDS_PER_SECOND + nanoseconds.cast_signed()
}

/// The seconds wrap in 2036; the server only sends them back.
fn to_stamp(nanoseconds: i64) -> [u8; 8] {
    let seconds = nanoseconds.div_euclid(NANOSECONDS_PER_SECOND) + EPOCH_SECONDS;
    let rest = nanoseconds.rem_euclid(NANOSECONDS_PER_SECOND).unsigned_abs();
    let fraction = (rest << 32) / NANOSECONDS_PER_SECOND.unsigned_abs();
    ((seconds.cast_unsigned() << 32) | fraction).to_be_bytes()
}

fn version<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<u8, D::Error> {
    let version = u8::deserialize(deserializer)?;
    if (2..=4).contains(&version) {
        return Ok(version);
    }
    let text = format!("invalid NTP protocol version {version}; must be 2, 3, or 4");
    Err(serde::de::Error::custom(text))
}

#[cfg(test)]
mod tests {
    use std::thread;

    use expect_test::expect;

    use super::*;
    use crate::sources::tests::Host;

    /// A server that answers one question; `change` makes the answer from a good one.
    fn serve(change: fn(&mut [u8; 48])) -> u16 {
        let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
        let port = socket.local_addr().unwrap().port();
        thread::spawn(move || {
            let mut request = [0; 48];
            let (_, client) = socket.recv_from(&mut request).unwrap();
            let mut answer = [0; 48];
            answer[0] = request[0] & 0x38 | SERVER;
            answer[1] = 2;
            answer[4..8].copy_from_slice(&[0, 0, 0x80, 0]);
            answer[8..12].copy_from_slice(&[0, 1, 0, 0]);
            answer[16..24].copy_from_slice(&to_stamp(1_700_000_000_000_000_000));
            answer[24..32].copy_from_slice(&request[40..48]);
            answer[32..40].copy_from_slice(&to_stamp(1_700_000_000_250_000_000));
            answer[40..48].copy_from_slice(&to_stamp(1_700_000_000_250_000_000));
            change(&mut answer);
            socket.send_to(&answer, client).unwrap();
        });
        port
    }

    fn host(port: u16, settings: &str) -> Host {
        let mut host = Host::default();
        host.settings().ntp = toml::from_str(&format!("server_port = {port}\n{settings}")).unwrap();
        host
    }

    #[test]
    fn a_server_that_agrees_is_sane() {
        host(serve(|_| {}), "").check(collect, &expect![[r#"
            # HELP node_ntp_leap 1 before a second is added, 2 before one is left out, 3 if the server has no time.
            # TYPE node_ntp_leap gauge
            node_ntp_leap 0
            # HELP node_ntp_offset_seconds What the server's clock is ahead of this host's, in seconds.
            # TYPE node_ntp_offset_seconds gauge
            node_ntp_offset_seconds 0
            # HELP node_ntp_reference_timestamp_seconds When the server's clock was set, in seconds since 1970.
            # TYPE node_ntp_reference_timestamp_seconds gauge
            node_ntp_reference_timestamp_seconds 1.7e+09
            # HELP node_ntp_root_delay_seconds Time from the server to the reference clock and back, in seconds.
            # TYPE node_ntp_root_delay_seconds gauge
            node_ntp_root_delay_seconds 0.5
            # HELP node_ntp_root_dispersion_seconds What the server may be off the reference clock, in seconds.
            # TYPE node_ntp_root_dispersion_seconds gauge
            node_ntp_root_dispersion_seconds 1
            # HELP node_ntp_rtt_seconds Time to the server and back, in seconds.
            # TYPE node_ntp_rtt_seconds gauge
            node_ntp_rtt_seconds 0
            # HELP node_ntp_sanity 1 if the server and this host's clock can be trusted, else 0.
            # TYPE node_ntp_sanity gauge
            node_ntp_sanity 1
            # HELP node_ntp_stratum Hops from the server to a reference clock.
            # TYPE node_ntp_stratum gauge
            node_ntp_stratum 2
        "#]]);
    }

    #[test]
    fn a_server_that_disagrees_or_has_no_time_is_not() {
        let sanity = |change| {
            let text = host(serve(change), "").text(collect);
            let is_series = |it: &&str| {
                it.starts_with("node_ntp_sanity ") || it.starts_with("node_ntp_offset_seconds ")
            };
            text.lines().filter(is_series).collect::<Vec<_>>().join(", ")
        };
        let late: fn(&mut [u8; 48]) = |answer| {
            answer[32..40].copy_from_slice(&to_stamp(1_700_000_002_250_000_000));
            answer[40..48].copy_from_slice(&to_stamp(1_700_000_002_250_000_000));
        };
        assert_eq!(sanity(late), "node_ntp_offset_seconds 2, node_ntp_sanity 0");
        assert_eq!(sanity(|it| it[0] |= 0xc0), "node_ntp_offset_seconds 0, node_ntp_sanity 0");
        assert_eq!(sanity(|it| it[1] = 16), "node_ntp_offset_seconds 0, node_ntp_sanity 0");
        assert_eq!(sanity(|it| it[9] = 9), "node_ntp_offset_seconds 0, node_ntp_sanity 0");
    }

    #[test]
    fn answers_that_are_none_and_servers_elsewhere_are_refused() {
        let check = |port: u16, settings: &str, expected: &expect_test::Expect| {
            let text = host(port, settings).text(collect);
            expected.assert_eq(&text.replace(&format!(":{port}"), ":PORT"));
        };
        check(
            serve(|it| it[24] ^= 1),
            "",
            &expect![[r#"
                error: cannot ask the NTP server at 127.0.0.1:PORT: the answer is to another question
            "#]],
        );
        check(
            serve(|it| it[1] = 0),
            "",
            &expect![[r#"
                error: cannot ask the NTP server at 127.0.0.1:PORT: the answer is that it must not be asked so often
            "#]],
        );
        check(
            serve(|it| it[0] = 0x23),
            "",
            &expect![[r#"
                error: cannot ask the NTP server at 127.0.0.1:PORT: the answer is of no server
            "#]],
        );
        check(
            1,
            "server = \"192.0.2.1\"",
            &expect![[r#"
                error: cannot ask the NTP server at 192.0.2.1:PORT: 192.0.2.1 is no address of this host; set server_is_local if it may be asked
            "#]],
        );
        let error = toml::from_str::<Settings>("protocol_version = 5").unwrap_err();
        assert!(error.message().contains("must be 2, 3, or 4"), "{error}");
    }
}
