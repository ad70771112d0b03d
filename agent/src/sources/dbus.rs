//! Questions over D-Bus, many at a time: one write holds up to [`WAITING_MAX`] calls, so that a
//! thousand properties cost no thousand round trips.

mod message;
#[cfg(test)]
pub(super) mod tests;

use std::{
    collections::HashMap,
    io::{self, Read as _, Write as _},
    os::unix::net::UnixStream,
    path::Path,
    time::Duration,
};

pub(super) use self::message::{Call, Reader, Value};
use self::message::{Kind, Message};

/// dbus-daemon lets a connection of the system bus wait for 128 answers.
const WAITING_MAX: usize = 64;
/// How long one answer may take.
const TIMEOUT: Duration = Duration::from_secs(5);
/// A list of 50,000 units; D-Bus itself allows 128 MiB.
const MESSAGE_BYTES_MAX: usize = 16 << 20;
/// Lines of the greeting are short.
const LINE_BYTES_MAX: usize = 512;
/// What else may come before an answer: signals that were not asked for.
const STRAY_MESSAGES_MAX: usize = 1000;

/// A connection to a bus, or to a program directly.
#[derive(Debug)]
pub(super) struct Bus {
    stream: UnixStream,
    serial: u32,
}

/// What is at the other end of the socket.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Peer {
    Bus,
    /// One program, such as systemd behind its private socket.
    Program,
}

/// An answer: the body, or what the other side calls the error.
pub(super) type Answer = Result<Vec<u8>, String>;

impl Bus {
    pub(super) fn open(socket: &Path, peer: Peer) -> io::Result<Self> {
        let stream = UnixStream::connect(socket)?;
        stream.set_read_timeout(Some(TIMEOUT))?;
        stream.set_write_timeout(Some(TIMEOUT))?;
        let mut bus = Self { stream, serial: 0 };
        bus.greet()?;
        if peer == Peer::Bus {
            let hello = Call {
                destination: "org.freedesktop.DBus",
                path: "/org/freedesktop/DBus",
                interface: "org.freedesktop.DBus",
                member: "Hello",
                arguments: &[],
            };
            bus.ask_one(&hello)?;
        }
        Ok(bus)
    }

    /// Says who we are, as the kernel confirms to the other side.
    fn greet(&mut self) -> io::Result<()> {
        let uid = rustix::process::getuid().as_raw().to_string();
        let hex: String = uid.bytes().map(|it| format!("{it:02x}")).collect();
        self.stream.write_all(format!("\0AUTH EXTERNAL {hex}\r\n").as_bytes())?;
        let mut line = Vec::new();
        while !line.ends_with(b"\r\n") {
            if line.len() == LINE_BYTES_MAX {
                return Err(broken("the greeting does not end"));
            }
            let mut byte = [0];
            self.stream.read_exact(&mut byte)?;
            line.extend_from_slice(&byte);
        }
        if !line.starts_with(b"OK ") {
            return Err(io::Error::new(
                io::ErrorKind::PermissionDenied,
                format!("refused: {}", String::from_utf8_lossy(&line).trim_end()),
            ));
        }
        self.stream.write_all(b"BEGIN\r\n")
    }

    /// One call whose error is ours.
    pub(super) fn ask_one(&mut self, call: &Call<'_>) -> io::Result<Vec<u8>> {
        let answers = self.ask(std::slice::from_ref(call))?;
        let answer = answers.into_iter().next().ok_or_else(|| broken("there is no answer"))?;
        answer.map_err(|error| io::Error::other(format!("{}: {error}", call.member)))
    }

    /// The answers in the order of the calls.
    pub(super) fn ask(&mut self, calls: &[Call<'_>]) -> io::Result<Vec<Answer>> {
        let mut answers = Vec::with_capacity(calls.len());
        for calls in calls.chunks(WAITING_MAX) {
            let mut bytes = Vec::new();
            let first = self.serial.wrapping_add(1);
            for call in calls {
                // 0 is no serial number; this connection makes no four billion calls.
                self.serial = self.serial.wrapping_add(1);
                call.write(self.serial, &mut bytes);
            }
            self.stream.write_all(&bytes)?;
            let mut by_serial = self.read_answers(calls.len())?;
            for serial in (first..).take(calls.len()) {
                let answer = by_serial.remove(&serial);
                answers.push(answer.ok_or_else(|| broken("an answer was to another call"))?);
            }
        }
        Ok(answers)
    }

    fn read_answers(&mut self, n_answers: usize) -> io::Result<HashMap<u32, Answer>> {
        let mut answers = HashMap::with_capacity(n_answers);
        for _ in 0..n_answers + STRAY_MESSAGES_MAX {
            if answers.len() == n_answers {
                return Ok(answers);
            }
            let Message { kind, reply_to, error, body } = self.read_message()?;
            match kind {
                Kind::Answer => answers.insert(reply_to, Ok(body)),
                Kind::Error => answers.insert(reply_to, Err(error)),
                Kind::Other => None,
            };
        }
        Err(broken("answers do not come"))
    }

    fn read_message(&mut self) -> io::Result<Message> {
        let mut bytes = vec![0; message::FIXED_BYTES];
        self.stream.read_exact(&mut bytes)?;
        let len = message::len(&bytes).filter(|it| *it <= MESSAGE_BYTES_MAX);
        let len = len.ok_or_else(|| broken("a message is too long or in the wrong byte order"))?;
        bytes.resize(len, 0);
        let rest = bytes.get_mut(message::FIXED_BYTES..).unwrap_or_default();
        self.stream.read_exact(rest)?;
        Message::parse(&bytes).ok_or_else(|| broken("a message is damaged"))
    }
}

/// The other side does not speak D-Bus as it should.
pub(super) fn broken(what: &'static str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, what)
}
