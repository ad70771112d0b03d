//! D-Bus against a real daemon where there is one, and a bus of our own for the collectors' tests.

use std::{
    io::{self, BufRead as _, BufReader, Read as _, Write as _},
    os::unix::net::{UnixListener, UnixStream},
    path::Path,
    process::{Command, Stdio},
    thread,
};

use proptest::prelude::*;

use super::{
    Bus, Call, Peer, Reader,
    message::{self, Message, fake},
};
pub(in crate::sources) use super::{Value, message::Writer};

/// What a bus answers to path, member and arguments; an error is its name.
pub(in crate::sources) type Respond = fn(&str, &str, &[String]) -> Result<Writer, &'static str>;

/// A bus at `socket` that answers one connection.
pub(in crate::sources) fn serve(socket: &Path, respond: Respond) {
    std::fs::create_dir_all(socket.parent().unwrap()).unwrap();
    let listener = UnixListener::bind(socket).unwrap();
    thread::spawn(move || {
        let (stream, _) = listener.accept().unwrap();
        // The connection ends when the test has what it wants.
        drop(answer_calls(stream, respond));
    });
}

fn answer_calls(mut stream: UnixStream, respond: Respond) -> io::Result<()> {
    let mut line = String::new();
    let mut reader = BufReader::new(stream.try_clone()?);
    reader.read_line(&mut line)?;
    stream.write_all(b"OK 0123456789abcdef\r\n")?;
    reader.read_line(&mut line)?;
    if !line.starts_with("\0AUTH EXTERNAL 3") || !line.ends_with("\r\nBEGIN\r\n") {
        return Err(io::Error::other(line));
    }
    loop {
        let mut bytes = vec![0; message::FIXED_BYTES];
        reader.read_exact(&mut bytes)?;
        bytes.resize(message::len(&bytes).unwrap(), 0);
        reader.read_exact(&mut bytes[message::FIXED_BYTES..])?;
        let (serial, path, member, arguments) = fake::parse_call(&bytes).unwrap();
        if member == "Hello" {
            stream.write_all(&fake::answer(serial, &Writer::default()))?;
            continue;
        }
        let answer = match respond(&path, &member, &arguments) {
            Ok(body) => fake::answer(serial, &body),
            Err(name) => fake::error(serial, name, "says the test"),
        };
        stream.write_all(&answer)?;
    }
}

fn text(value: &str) -> Result<Writer, &'static str> {
    let mut body = Writer::default();
    body.variant(&Value::Text(value.to_owned()), false);
    Ok(body)
}

fn get(property: &'static [&'static str; 2]) -> Call<'static> {
    Call::get("org.example", "/", property)
}

#[test]
fn answers_come_in_the_order_of_the_calls_and_errors_among_them() {
    let dir = tempfile::tempdir().unwrap();
    let socket = dir.path().join("bus");
    serve(&socket, |_, _, arguments| match &*arguments[1] {
        "no" => Err("org.example.Error.No"),
        name => text(&format!("is {name}")),
    });
    let mut bus = Bus::open(&socket, Peer::Bus).unwrap();
    // More than one write holds.
    let mut calls = vec![get(&["org.example", "a"]); 200];
    calls[150] = get(&["org.example", "no"]);
    calls[199] = get(&["org.example", "z"]);
    let answers = bus.ask(&calls).unwrap();
    let told: Vec<_> = answers
        .iter()
        .map(|it| {
            it.as_ref().map(|body| Reader::new(body).variant().unwrap()).map_err(Clone::clone)
        })
        .collect();
    assert_eq!(told.len(), 200);
    assert_eq!(told[0], Ok(Value::Text("is a".to_owned())));
    assert_eq!(told[150], Err("org.example.Error.No: says the test".to_owned()));
    assert_eq!(told[199], Ok(Value::Text("is z".to_owned())));
    let error = bus.ask_one(&get(&["org.example", "no"])).unwrap_err();
    assert_eq!(error.to_string(), "Get: org.example.Error.No: says the test");
}

#[test]
fn whoever_refuses_or_speaks_no_dbus_is_an_error() {
    let error = |greeting: &'static [u8]| {
        let dir = tempfile::tempdir().unwrap();
        let socket = dir.path().join("bus");
        let listener = UnixListener::bind(&socket).unwrap();
        let peer = thread::spawn(move || {
            let (mut stream, _) = listener.accept().unwrap();
            stream.write_all(greeting).unwrap();
            // Until the other side has gone.
            drop(io::copy(&mut stream, &mut io::sink()));
        });
        let error = Bus::open(&socket, Peer::Bus).unwrap_err().to_string();
        peer.join().unwrap();
        error
    };
    assert_eq!(error(b"REJECTED EXTERNAL\r\n"), "refused: REJECTED EXTERNAL");
    assert_eq!(error(&[b'x'; 600]), "the greeting does not end");
    let wrong = b"OK 1\r\nHTTP/1.1 400 Bad Request\r\n";
    assert_eq!(error(wrong), "a message is too long or in the wrong byte order");
    let huge = b"OK 1\r\nl\x02\x00\x01\xff\xff\xff\x7f\x01\x00\x00\x00\x00\x00\x00\x00";
    assert_eq!(error(huge), "a message is too long or in the wrong byte order");
}

#[test]
fn a_real_daemon_is_understood() {
    let dir = tempfile::tempdir().unwrap();
    let socket = dir.path().join("bus");
    let daemon = Command::new("dbus-daemon")
        .args(["--session", "--nofork", "--nopidfile", "--print-address=1"])
        .arg(format!("--address=unix:path={}", socket.display()))
        .stdout(Stdio::piped())
        .spawn();
    let Ok(mut daemon) = daemon else {
        println!("skipped: this machine has no dbus-daemon");
        return;
    };
    let mut address = String::new();
    BufReader::new(daemon.stdout.as_mut().unwrap()).read_line(&mut address).unwrap();
    let mut bus = Bus::open(&socket, Peer::Bus).unwrap();
    let name = "org.freedesktop.DBus";
    let property = &[name, "Interfaces"];
    let call =
        Call { destination: name, path: "/", interface: name, member: "GetId", arguments: &[] };
    let owner = Call { member: "GetNameOwner", arguments: &[name], ..call };
    let nobody = Call { member: "GetNameOwner", arguments: &["org.example.Nobody"], ..call };
    let user = Call { member: "GetConnectionUnixUser", arguments: &[name], ..call };
    let interfaces = Call::get(name, "/org/freedesktop/DBus", property);
    let answers = bus.ask(&[call, owner, nobody, user, interfaces]).unwrap();
    daemon.kill().unwrap();
    daemon.wait().unwrap();
    let body = |idx: usize| answers[idx].as_deref().unwrap();
    assert_eq!(Reader::new(body(0)).string().unwrap().len(), 32);
    assert_eq!(Reader::new(body(1)).string(), Some(name));
    let error = answers[2].as_ref().unwrap_err();
    assert!(error.starts_with("org.freedesktop.DBus.Error.NameHasNoOwner: "), "{error}");
    assert_eq!(Reader::new(body(3)).u32(), Some(rustix::process::getuid().as_raw()));
    // An array of strings: no simple value.
    assert_eq!(Reader::new(body(4)).variant(), None);
}

proptest! {
    #[test]
    fn damage_never_panics(
        flips in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..6),
        cut in any::<prop::sample::Index>(),
    ) {
        let mut body = Writer::default();
        body.structs(&["ssh.service loaded 5 /path", "cron.service loaded 6 /path"]);
        for mut bytes in [fake::answer(3, &body), fake::error(4, "org.example.No", "text")] {
            for (at, byte) in &flips {
                let at = at.index(bytes.len());
                bytes[at] = *byte;
            }
            let end = cut.index(bytes.len() + 1);
            prop_assert!(message::len(&bytes[..end]).is_none_or(|it| it >= message::FIXED_BYTES));
            if let Some(message) = Message::parse(&bytes[..end]) {
                let mut reader = Reader::new(&message.body);
                let rows = reader.structs(|it| Some((it.string()?, it.string()?, it.u32()?)));
                prop_assert!(rows.is_none_or(|it| it.len() <= message.body.len()));
                drop(reader.variant());
            }
        }
    }
}
