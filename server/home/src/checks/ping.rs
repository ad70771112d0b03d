//! An echo request over a datagram socket of ICMP, which Linux allows to the groups in
//! `net.ipv4.ping_group_range` without any capability.

use std::{
    io,
    net::{IpAddr, SocketAddr},
};

use socket2::{Domain, Protocol, Socket, Type};
use tokio::{net::UdpSocket, time::Instant};

use super::Finding;

const ECHO_REQUEST_V4: u8 = 8;
const ECHO_REQUEST_V6: u8 = 128;
const PAYLOAD: &[u8; 8] = b"skepping";

pub(super) async fn check(host: &str) -> Finding {
    match echo(host).await {
        Ok(seconds) => Finding::up(seconds),
        Err(error) if error.kind() == io::ErrorKind::PermissionDenied => Finding::down(
            "this system lets the server not ping; widen net.ipv4.ping_group_range, or check \
             another way",
        ),
        Err(error) => Finding::down(error.to_string()),
    }
}

async fn echo(host: &str) -> io::Result<f64> {
    let addr = tokio::net::lookup_host((host, 0)).await?.next();
    let addr = addr.ok_or_else(|| io::Error::new(io::ErrorKind::NotFound, "no address"))?;
    let socket = open(addr)?;
    let started = Instant::now();
    socket.send(&request(addr.ip())).await?;
    let mut answer = [0; 64];
    loop {
        let n_read = socket.recv(&mut answer).await?;
        // The kernel hands over only what answers this socket; the payload tells echo from error.
        if answer.get(..n_read).is_some_and(|it| it.ends_with(PAYLOAD)) {
            return Ok(started.elapsed().as_secs_f64());
        }
    }
}

fn open(addr: SocketAddr) -> io::Result<UdpSocket> {
    let (domain, protocol) = match addr {
        SocketAddr::V4(_) => (Domain::IPV4, Protocol::ICMPV4),
        SocketAddr::V6(_) => (Domain::IPV6, Protocol::ICMPV6),
    };
    let socket = Socket::new(domain, Type::DGRAM, Some(protocol))?;
    socket.set_nonblocking(true)?;
    socket.connect(&addr.into())?;
    UdpSocket::from_std(socket.into())
}

/// Type, code, checksum, identifier (the kernel's), sequence, payload.
fn request(to: IpAddr) -> Vec<u8> {
    let kind = if to.is_ipv4() { ECHO_REQUEST_V4 } else { ECHO_REQUEST_V6 };
    let mut packet = vec![kind, 0, 0, 0, 0, 0, 0, 1];
    packet.extend_from_slice(PAYLOAD);
    if to.is_ipv4() {
        let sum = checksum(&packet).to_be_bytes();
        packet.splice(2..4, sum);
    }
    packet
}

/// RFC 1071.
fn checksum(packet: &[u8]) -> u16 {
    let words = packet.chunks(2).map(|it| match it {
        [high, low] => u32::from(u16::from_be_bytes([*high, *low])),
        [high] => u32::from(*high) << 8,
        _none => 0,
    });
    let mut sum: u32 = words.sum();
    while sum > 0xffff {
        sum = (sum & 0xffff) + (sum >> 16);
    }
    !u16::try_from(sum).unwrap_or(u16::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_packet_with_its_checksum_sums_up_to_nothing() {
        let packet = request(IpAddr::from([127, 0, 0, 1]));
        assert_eq!(checksum(&packet), 0);
    }
}
