//! The PROXY protocol, versions 1 and 2: a load balancer says whose connection it passes on.
//!
//! Version 1 is one line of text, `PROXY TCP4 192.0.2.1 10.0.0.1 5000 443\r\n`. Version 2:
//!
//! ```text
//! signature 12 | version, command 1 | family, protocol 1 | length 2 | addresses, then TLVs
//! ```

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use ppp::{v1, v2};
use tokio::io::{AsyncRead, AsyncReadExt};

/// What is always there: the signature of version 2, or most of the shortest line.
const START_BYTES: usize = 12;
/// Of a line with its end, by the specification.
const LINE_BYTES_MAX: usize = 107;
/// Of version 2 beyond its first 16: addresses take 216 at most, the rest are TLVs that nobody reads.
const REST_BYTES_MAX: usize = 2048;

/// Why a trusted sender's connection is cut.
#[derive(Debug, thiserror::Error)]
pub(super) enum HeaderError {
    #[error("it does not begin with a PROXY header; does the sender send one?")]
    Absent,
    #[error("its PROXY header is malformed")]
    Malformed,
    #[error("its PROXY header is longer than {0} bytes")]
    TooLong(usize),
    #[error("its PROXY header did not come in time")]
    Late,
    #[error("it broke off within its PROXY header")]
    Io(#[from] std::io::Error),
}

/// Reads the header, not a byte beyond it, and tells the client; health checks of the sender itself
/// name nobody, so `peer` it is.
pub(super) async fn client_of(
    stream: &mut (impl AsyncRead + Unpin),
    peer: SocketAddr,
    limit: Duration,
) -> Result<SocketAddr, HeaderError> {
    match tokio::time::timeout(limit, header(stream)).await {
        Ok(header) => named(&header?, peer),
        Err(_elapsed) => Err(HeaderError::Late),
    }
}

async fn header(stream: &mut (impl AsyncRead + Unpin)) -> Result<Vec<u8>, HeaderError> {
    let mut header = vec![0; START_BYTES];
    stream.read_exact(&mut header).await?;
    if header == v2::PROTOCOL_PREFIX {
        let mut fixed = [0; 4];
        stream.read_exact(&mut fixed).await?;
        let [_version, _family, high, low] = fixed;
        let n_rest = usize::from(u16::from_be_bytes([high, low]));
        if n_rest > REST_BYTES_MAX {
            return Err(HeaderError::TooLong(REST_BYTES_MAX));
        }
        header.extend(fixed);
        let mut rest = vec![0; n_rest];
        stream.read_exact(&mut rest).await?;
        header.extend(rest);
        return Ok(header);
    }
    if !header.starts_with(b"PROXY ") {
        return Err(HeaderError::Absent);
    }
    // Byte by byte: what follows the line is the client's.
    while !header.ends_with(b"\r\n") {
        if header.len() == LINE_BYTES_MAX {
            return Err(HeaderError::TooLong(LINE_BYTES_MAX));
        }
        header.push(stream.read_u8().await?);
    }
    Ok(header)
}

fn named(header: &[u8], peer: SocketAddr) -> Result<SocketAddr, HeaderError> {
    let client = |ip: IpAddr, port| SocketAddr::new(ip.to_canonical(), port);
    if header.starts_with(v2::PROTOCOL_PREFIX) {
        let parsed = v2::Header::try_from(header).map_err(|_error| HeaderError::Malformed)?;
        return match (parsed.command, parsed.protocol, parsed.addresses) {
            (v2::Command::Local, _, _)
            | (_, _, v2::Addresses::Unspecified | v2::Addresses::Unix(_)) => Ok(peer),
            (_, v2::Protocol::Datagram, _) => Err(HeaderError::Malformed),
            (_, _, v2::Addresses::IPv4(it)) => Ok(client(it.source_address.into(), it.source_port)),
            (_, _, v2::Addresses::IPv6(it)) => Ok(client(it.source_address.into(), it.source_port)),
        };
    }
    let parsed = v1::Header::try_from(header).map_err(|_error| HeaderError::Malformed)?;
    Ok(match parsed.addresses {
        v1::Addresses::Unknown => peer,
        v1::Addresses::Tcp4(it) => client(it.source_address.into(), it.source_port),
        v1::Addresses::Tcp6(it) => client(it.source_address.into(), it.source_port),
    })
}

#[cfg(test)]
mod tests {
    use expect_test::{Expect, expect};

    use super::*;

    #[track_caller]
    fn check(bytes: &[u8], expected: &Expect) {
        let peer: SocketAddr = "10.0.0.1:9".parse().unwrap();
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
        let mut sent = bytes;
        let found = runtime.block_on(client_of(&mut sent, peer, Duration::from_secs(5)));
        let left = String::from_utf8_lossy(sent).into_owned();
        let shown = match found {
            Ok(client) => format!("{client}, then {left:?}"),
            Err(error) => format!("error: {error}"),
        };
        expected.assert_eq(&shown);
    }

    fn binary(command: u8, family: u8, addresses: &[u8]) -> Vec<u8> {
        let mut header = v2::PROTOCOL_PREFIX.to_vec();
        header.extend([0x20 | command, family]);
        header.extend(u16::try_from(addresses.len()).unwrap().to_be_bytes());
        header.extend(addresses);
        header.extend(b"GET /");
        header
    }

    #[test]
    fn a_line_names_the_client() {
        check(
            b"PROXY TCP4 192.0.2.1 10.0.0.1 5000 443\r\nGET /",
            &expect![[r#"192.0.2.1:5000, then "GET /""#]],
        );
        check(
            b"PROXY TCP6 2001:db8::1 fd00::1 5000 443\r\n",
            &expect![[r#"[2001:db8::1]:5000, then """#]],
        );
        check(b"PROXY UNKNOWN\r\nGET /", &expect![[r#"10.0.0.1:9, then "GET /""#]]);
    }

    #[test]
    fn the_binary_header_names_the_client_or_a_check_of_the_sender() {
        let addresses = [192, 0, 2, 1, 10, 0, 0, 1, 0x13, 0x88, 1, 0xbb];
        check(&binary(1, 0x11, &addresses), &expect![[r#"192.0.2.1:5000, then "GET /""#]]);
        let with_tlv = [&addresses[..], &[4, 0, 1, 42]].concat();
        check(&binary(1, 0x11, &with_tlv), &expect![[r#"192.0.2.1:5000, then "GET /""#]]);
        check(&binary(0, 0x00, &[]), &expect![[r#"10.0.0.1:9, then "GET /""#]]);
        check(&binary(1, 0x00, &[]), &expect![[r#"10.0.0.1:9, then "GET /""#]]);
    }

    #[test]
    fn what_is_no_header_is_an_error() {
        check(
            b"GET / HTTP/1.1\r\nhost: x\r\n\r\n",
            &expect!["error: it does not begin with a PROXY header; does the sender send one?"],
        );
        check(b"PROXY TCP4 x y 1 2\r\n", &expect!["error: its PROXY header is malformed"]);
        check(b"PROXY TCP4 192.0.2.1", &expect!["error: it broke off within its PROXY header"]);
        check(
            format!("PROXY UNKNOWN {}", "x".repeat(200)).as_bytes(),
            &expect!["error: its PROXY header is longer than 107 bytes"],
        );
        check(&binary(1, 0x11, &[1, 2]), &expect!["error: its PROXY header is malformed"]);
        check(&binary(1, 0x12, &[0; 12]), &expect!["error: its PROXY header is malformed"]);
        check(
            &binary(1, 0x11, &[0; 3000]),
            &expect!["error: its PROXY header is longer than 2048 bytes"],
        );
    }
}
