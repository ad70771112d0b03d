//! One question to one DNS server, over UDP or TCP.

use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::Duration;

use hickory_proto::op::{Edns, Message, Query};
use hickory_proto::rr::{Name, RecordType};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpStream, UdpSocket};

use crate::config::DnsTransport;

/// For one try; lost datagrams are asked for again.
const TIMEOUT: Duration = Duration::from_secs(3);
const UDP_TRIES: u32 = 3;
/// What passes every network unfragmented (DNS Flag Day 2020).
const UDP_BYTES_MAX: u16 = 1232;

/// Why there was no answer.
#[derive(Debug, thiserror::Error)]
pub enum AskError {
    #[error("no answer from {server}")]
    Io { server: SocketAddr, source: std::io::Error },
    #[error("no answer from {server} in time")]
    Silent { server: SocketAddr },
    #[error("{server} sent something that is no DNS message")]
    Unreadable { server: SocketAddr, source: hickory_proto::serialize::binary::DecodeError },
    #[error("the question cannot be written")]
    Question(#[source] hickory_proto::ProtoError),
}

/// Whether the server is to find the answer elsewhere.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Recursion {
    Wanted,
    No,
}

pub(super) async fn ask(
    server: SocketAddr,
    name: &Name,
    record_type: RecordType,
    recursion: Recursion,
) -> Result<Message, AskError> {
    let mut question = Message::query();
    question.metadata.recursion_desired = recursion == Recursion::Wanted;
    question.add_query(Query::query(name.clone(), record_type));
    let mut edns = Edns::new();
    edns.set_max_payload(UDP_BYTES_MAX);
    question.set_edns(edns);
    let bytes = question.to_vec().map_err(AskError::Question)?;
    let over_udp = read(server, &exchange(server, &bytes, DnsTransport::Udp).await?)?;
    if over_udp.truncation {
        return read(server, &exchange(server, &bytes, DnsTransport::Tcp).await?);
    }
    Ok(over_udp)
}

/// Sends a message and returns the answer to it, both as bytes.
pub(super) async fn exchange(
    server: SocketAddr,
    message: &[u8],
    transport: DnsTransport,
) -> Result<Vec<u8>, AskError> {
    let failed = |source| AskError::Io { server, source };
    match transport {
        DnsTransport::Tcp => match tokio::time::timeout(TIMEOUT, over_tcp(server, message)).await {
            Ok(answer) => answer.map_err(failed),
            Err(_elapsed) => Err(AskError::Silent { server }),
        },
        DnsTransport::Udp => {
            for _try in 0..UDP_TRIES {
                match tokio::time::timeout(TIMEOUT, over_udp(server, message)).await {
                    Ok(answer) => return answer.map_err(failed),
                    Err(_elapsed) => {}
                }
            }
            Err(AskError::Silent { server })
        }
    }
}

pub(super) fn read(server: SocketAddr, bytes: &[u8]) -> Result<Message, AskError> {
    Message::from_vec(bytes).map_err(|source| AskError::Unreadable { server, source })
}

async fn over_udp(server: SocketAddr, message: &[u8]) -> std::io::Result<Vec<u8>> {
    let any: SocketAddr = match server {
        SocketAddr::V4(_) => (Ipv4Addr::UNSPECIFIED, 0).into(),
        SocketAddr::V6(_) => (Ipv6Addr::UNSPECIFIED, 0).into(),
    };
    let socket = UdpSocket::bind(any).await?;
    // A connected socket takes datagrams of this server only.
    socket.connect(server).await?;
    socket.send(message).await?;
    let mut answer = vec![0; usize::from(u16::MAX)];
    loop {
        let length = socket.recv(&mut answer).await?;
        if length >= 2 && answer.get(..2) == message.get(..2) {
            answer.truncate(length);
            return Ok(answer);
        }
    }
}

async fn over_tcp(server: SocketAddr, message: &[u8]) -> std::io::Result<Vec<u8>> {
    let mut stream = TcpStream::connect(server).await?;
    let length = u16::try_from(message.len()).map_err(std::io::Error::other)?;
    let framed = [&length.to_be_bytes()[..], message].concat();
    stream.write_all(&framed).await?;
    let length = stream.read_u16().await?;
    let mut answer = vec![0; usize::from(length)];
    stream.read_exact(&mut answer).await?;
    Ok(answer)
}
