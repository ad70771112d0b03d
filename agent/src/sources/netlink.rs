//! Questions over netlink, read by hand: a request of a few bytes, answers of nested records
//! (<https://docs.kernel.org/userspace-api/netlink/intro.html>).

use std::io;

use netlink_sys::{Socket, SocketAddr};

const NLMSG_ERROR: u16 = 2;
const NLMSG_DONE: u16 = 3;
const NLM_F_REQUEST: u16 = 0x1;
const NLM_F_ACK: u16 = 0x4;
const NLM_F_DUMP: u16 = 0x300;
/// Bytes of `struct nlmsghdr`.
const HEADER_BYTES: usize = 16;
/// Flags in the type of an attribute: nested, and in network byte order.
const ATTRIBUTE_FLAGS: u16 = 0xc000;
/// Datagrams of one answer: up to 32 KiB each, so about 400,000 devices or 8 million sockets.
const DATAGRAMS_MAX: usize = 20_000;

/// One connection to a netlink family of the kernel, for questions one after the other.
#[derive(Debug)]
pub(super) struct Netlink {
    socket: Socket,
}

/// What is asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Ask {
    /// One thing, or for something to be done.
    One,
    /// Everything there is.
    Dump,
}

impl Netlink {
    /// `protocol` is one of [`netlink_sys::protocols`].
    pub(super) fn open(protocol: isize) -> io::Result<Self> {
        let mut socket = Socket::new(protocol)?;
        socket.bind_auto()?;
        socket.connect(&SocketAddr::new(0, 0))?;
        Ok(Self { socket })
    }

    /// Hands type and body of each message of the answer to `each`. An error of the kernel's is an
    /// error of the operating system with its number.
    pub(super) fn ask(
        &self,
        ask: Ask,
        kind: u16,
        body: &[u8],
        mut each: impl FnMut(u16, &[u8]),
    ) -> io::Result<()> {
        self.socket.send(&request(ask, kind, body), 0)?;
        for _ in 0..DATAGRAMS_MAX {
            let (datagram, _) = self.socket.recv_from_full()?;
            if read_datagram(&datagram, &mut each)? == Progress::Done {
                return Ok(());
            }
        }
        Err(io::Error::new(io::ErrorKind::InvalidData, "the kernel's answer does not end"))
    }
}

fn request(ask: Ask, kind: u16, body: &[u8]) -> Vec<u8> {
    let flags = match ask {
        Ask::One => NLM_F_REQUEST | NLM_F_ACK,
        Ask::Dump => NLM_F_REQUEST | NLM_F_DUMP,
    };
    let len = u32::try_from(HEADER_BYTES + body.len()).expect("requests are short");
    let mut request = Vec::with_capacity(HEADER_BYTES + body.len());
    request.extend_from_slice(&len.to_ne_bytes());
    request.extend_from_slice(&kind.to_ne_bytes());
    request.extend_from_slice(&flags.to_ne_bytes());
    // Sequence number and sender: there is one question at a time.
    request.extend_from_slice(&[0; 8]);
    request.extend_from_slice(body);
    request
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Progress {
    More,
    Done,
}

/// The messages of one datagram; says whether the answer ends with it.
pub(super) fn read_datagram(
    mut datagram: &[u8],
    each: &mut impl FnMut(u16, &[u8]),
) -> io::Result<Progress> {
    while let Some((header, _)) = datagram.split_first_chunk::<HEADER_BYTES>() {
        let [l0, l1, l2, l3, k0, k1, ..] = *header;
        let len = usize::try_from(u32::from_ne_bytes([l0, l1, l2, l3])).unwrap_or(usize::MAX);
        let body = datagram.get(HEADER_BYTES..len).ok_or_else(truncated)?;
        match u16::from_ne_bytes([k0, k1]) {
            NLMSG_DONE => return Ok(Progress::Done),
            NLMSG_ERROR => {
                let (code, _) = body.split_first_chunk::<4>().ok_or_else(truncated)?;
                return match i32::from_ne_bytes(*code) {
                    0 => Ok(Progress::Done),
                    code => Err(io::Error::from_raw_os_error(code.saturating_neg())),
                };
            }
            kind => each(kind, body),
        }
        datagram = datagram.get(len.next_multiple_of(4)..).unwrap_or_default();
    }
    Ok(Progress::More)
}

/// Type and value of each attribute, until the first that is cut off.
pub(super) fn attributes(mut bytes: &[u8]) -> impl Iterator<Item = (u16, &[u8])> {
    std::iter::from_fn(move || {
        let ([l0, l1, k0, k1], _) = bytes.split_first_chunk::<4>()?;
        let len = usize::from(u16::from_ne_bytes([*l0, *l1]));
        let value = bytes.get(4..len)?;
        let kind = u16::from_ne_bytes([*k0, *k1]) & !ATTRIBUTE_FLAGS;
        bytes = bytes.get(len.next_multiple_of(4)..).unwrap_or_default();
        Some((kind, value))
    })
}

/// An attribute of a request.
pub(super) fn attribute(kind: u16, value: &[u8]) -> Vec<u8> {
    let len = u16::try_from(4 + value.len()).expect("attributes of requests are short");
    let mut attribute = [len.to_ne_bytes(), kind.to_ne_bytes()].concat();
    attribute.extend_from_slice(value);
    attribute.resize(attribute.len().next_multiple_of(4), 0);
    attribute
}

/// Text that ends at its first zero byte.
pub(super) fn text(value: &[u8]) -> String {
    let text = value.split(|it| *it == 0).next().unwrap_or_default();
    String::from_utf8_lossy(text).into_owned()
}

/// A number of 32 bits that begins at `at`.
pub(super) fn u32_at(bytes: &[u8], at: usize) -> Option<u32> {
    bytes.get(at..)?.first_chunk().map(|it| u32::from_ne_bytes(*it))
}

fn truncated() -> io::Error {
    io::Error::new(io::ErrorKind::UnexpectedEof, "netlink message is cut off")
}

#[cfg(test)]
pub(super) mod tests {
    use proptest::prelude::*;

    use super::*;

    /// A message as the kernel writes it.
    pub(in crate::sources) fn message(kind: u16, body: &[u8]) -> Vec<u8> {
        let mut message = request(Ask::Dump, kind, body);
        message.resize(message.len().next_multiple_of(4), 0);
        message
    }

    type Messages = Vec<(u16, Vec<u8>)>;

    fn read(datagram: &[u8]) -> io::Result<(Messages, Progress)> {
        let mut messages = Messages::new();
        let progress =
            read_datagram(datagram, &mut |kind, body| messages.push((kind, body.to_vec())))?;
        Ok((messages, progress))
    }

    #[test]
    fn messages_are_read_until_the_answer_is_done() {
        let one = [message(16, b"abcde"), message(17, b"")].concat();
        let messages = vec![(16, b"abcde".to_vec()), (17, Vec::new())];
        assert_eq!(read(&one).unwrap(), (messages, Progress::More));
        let two = [message(16, b"x"), message(NLMSG_DONE, &[0; 4]), message(18, b"y")].concat();
        assert_eq!(read(&two).unwrap(), (vec![(16, b"x".to_vec())], Progress::Done));
        let ack = message(NLMSG_ERROR, &[0; 20]);
        assert_eq!(read(&ack).unwrap(), (Vec::new(), Progress::Done));
    }

    #[test]
    fn the_kernels_error_is_passed_on() {
        let error = read(&message(NLMSG_ERROR, &(-1_i32).to_ne_bytes())).unwrap_err();
        assert_eq!(error.raw_os_error(), Some(1));
        let error = read(&message(NLMSG_ERROR, &[])).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::UnexpectedEof);
    }

    #[test]
    fn attributes_are_read_with_their_padding_and_without_their_flags() {
        let bytes = [attribute(3, b"lo\0"), attribute(0x8004, b"abcd")].concat();
        let read: Vec<_> = attributes(&bytes).collect();
        assert_eq!(read, [(3, &b"lo\0"[..]), (4, b"abcd")]);
        assert_eq!(text(read[0].1), "lo");
        assert_eq!(attributes(&bytes[..bytes.len() - 1]).count(), 1);
    }

    proptest! {
        #[test]
        fn damage_never_panics(
            flips in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..6),
            cut in any::<prop::sample::Index>(),
        ) {
            let body = [attribute(3, b"lo\0"), attribute(4, &[7; 9])].concat();
            let mut datagram = [message(16, &body), message(NLMSG_DONE, &[0; 4])].concat();
            for (at, byte) in flips {
                let at = at.index(datagram.len());
                datagram[at] = byte;
            }
            let end = cut.index(datagram.len() + 1);
            let mut n_attributes = 0;
            let each = &mut |_: u16, body: &[u8]| n_attributes += attributes(body).count();
            drop(read_datagram(&datagram[..end], each));
            prop_assert!(n_attributes <= body.len() / 4);
        }
    }
}
