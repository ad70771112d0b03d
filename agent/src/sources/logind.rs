//! Sessions of users, from logind over D-Bus.

use std::{collections::BTreeMap, io};

use skep_proto::MetricKind;

use super::{
    Context, SourceError,
    dbus::{Bus, Call, Peer, Reader, Value, broken},
};
use crate::exposition::{Exposition, as_f64};

const LOGIND: &str = "org.freedesktop.login1";
const MANAGER_PATH: &str = "/org/freedesktop/login1";
const MANAGER: &str = "org.freedesktop.login1.Manager";
const SESSION: &str = "org.freedesktop.login1.Session";

const REMOTE: [&str; 2] = ["true", "false"];
/// What is not among them is told as `other`.
const TYPES: [&str; 7] = ["other", "unspecified", "tty", "x11", "wayland", "mir", "web"];
const CLASSES: [&str; 5] = ["other", "user", "greeter", "lock-screen", "background"];

const PROPERTIES: [[&str; 2]; 3] = [[SESSION, "Remote"], [SESSION, "Type"], [SESSION, "Class"]];

pub(super) fn collect(context: &Context, out: &mut Exposition) -> Result<(), SourceError> {
    let socket = context.roots.root.join("run/dbus/system_bus_socket");
    let asked = Bus::open(&socket, Peer::Bus).and_then(|mut bus| {
        let [seats, sessions] = ask_manager(&mut bus)?;
        let seats = parse_seats(&seats).ok_or_else(|| broken("the list of seats is damaged"))?;
        let sessions =
            parse_sessions(&sessions).ok_or_else(|| broken("the list of sessions is damaged"))?;
        Ok((count(&mut bus, &sessions)?, seats))
    });
    let (counts, seats) = asked.map_err(|source| SourceError::Peer {
        peer: "logind",
        at: socket.display().to_string(),
        source,
    })?;
    let family = out.family(
        "node_logind_sessions",
        "Sessions by seat (empty for those without one), origin, type and class.",
        MetricKind::Gauge,
    );
    for remote in REMOTE {
        for kind in TYPES {
            for class in CLASSES {
                for seat in &seats {
                    let key = (seat.clone(), remote, kind, class);
                    let count = counts.get(&key).copied().unwrap_or_default();
                    let labels =
                        [("seat", &**seat), ("remote", remote), ("type", kind), ("class", class)];
                    family.point(labels, as_f64(count));
                }
            }
        }
    }
    Ok(())
}

fn ask_manager(bus: &mut Bus) -> io::Result<[Vec<u8>; 2]> {
    let list = |member| Call {
        destination: LOGIND,
        path: MANAGER_PATH,
        interface: MANAGER,
        member,
        arguments: &[],
    };
    Ok([bus.ask_one(&list("ListSeats"))?, bus.ask_one(&list("ListSessions"))?])
}

/// The seats and, at the end, the empty one of sessions over the network.
fn parse_seats(body: &[u8]) -> Option<Vec<String>> {
    let mut seats = Reader::new(body).structs(|it| {
        let seat = it.string()?;
        it.string()?;
        Some(seat.to_owned())
    })?;
    seats.push(String::new());
    Some(seats)
}

/// Seat and path of each session.
fn parse_sessions(body: &[u8]) -> Option<Vec<(&str, &str)>> {
    Reader::new(body).structs(|it| {
        let (_id, _uid, _user) = (it.string()?, it.u32()?, it.string()?);
        Some((it.string()?, it.string()?))
    })
}

/// By seat, remote, type and class.
type Counts = BTreeMap<(String, &'static str, &'static str, &'static str), u64>;

/// Sessions that end meanwhile have no answer.
fn count(bus: &mut Bus, sessions: &[(&str, &str)]) -> io::Result<Counts> {
    let mut calls = Vec::with_capacity(sessions.len() * PROPERTIES.len());
    for (_, path) in sessions {
        calls.extend(PROPERTIES.iter().map(|it| Call::get(LOGIND, path, it)));
    }
    let mut values = bus.ask(&calls)?.into_iter().map(|it| Reader::new(&it.ok()?).variant());
    let mut counts = Counts::new();
    for (seat, _) in sessions {
        let [remote, kind, class] = [(); 3].map(|()| values.next().flatten());
        if let (Some(Value::Bool(remote)), Some(Value::Text(kind)), Some(Value::Text(class))) =
            (remote, kind, class)
        {
            let remote = if remote { "true" } else { "false" };
            let key = ((*seat).to_owned(), remote, known(&kind, &TYPES), known(&class, &CLASSES));
            *counts.entry(key).or_default() += 1;
        }
    }
    Ok(counts)
}

fn known(text: &str, values: &[&'static str]) -> &'static str {
    values.iter().find(|it| **it == text).unwrap_or(&"other")
}

#[cfg(test)]
mod tests {
    use expect_test::expect;

    use super::collect;
    use crate::sources::{
        dbus::tests::{Value, Writer, serve},
        tests::Host,
    };

    const SOCKET: &str = "run/dbus/system_bus_socket";

    fn respond(path: &str, member: &str, arguments: &[String]) -> Result<Writer, &'static str> {
        let mut body = Writer::default();
        match member {
            "ListSeats" => body.structs(&["seat0 /seat0"]),
            "ListSessions" => body.structs(&[
                "c1 1000 ann seat0 /c1",
                "c2 1000 ann - /c2",
                "c3 0 root - /c3",
                "c4 7 gone - /c4",
            ]),
            _ => {
                let value = match (path, &*arguments[1]) {
                    ("/c4", _) => return Err("org.freedesktop.DBus.Error.UnknownObject"),
                    (_, "Remote") => Value::Bool(path != "/c1"),
                    ("/c1", "Type") => Value::Text("wayland".to_owned()),
                    (_, "Type") => Value::Text("tty".to_owned()),
                    ("/c3", _) => Value::Text("manager".to_owned()),
                    _ => Value::Text("user".to_owned()),
                };
                body.variant(&value, false);
            }
        }
        Ok(body)
    }

    #[test]
    fn sessions_are_counted_and_each_combination_is_told() {
        let host = Host::default();
        serve(&host.path(SOCKET), respond);
        let text = host.text(collect);
        assert_eq!(text.lines().count(), 2 + 2 * 7 * 5 * 2);
        let some: Vec<&str> = text.lines().filter(|it| !it.ends_with(" 0")).collect();
        expect![[r##"
            # HELP node_logind_sessions Sessions by seat (empty for those without one), origin, type and class.
            # TYPE node_logind_sessions gauge
            node_logind_sessions{seat="",remote="true",type="tty",class="other"} 1
            node_logind_sessions{seat="",remote="true",type="tty",class="user"} 1
            node_logind_sessions{seat="seat0",remote="false",type="wayland",class="user"} 1"##]].assert_eq(&some.join("\n"));
    }

    #[test]
    fn a_host_without_logind_and_an_answer_that_is_none_are_told() {
        let host = Host::default();
        host.check(collect, &expect![[r#"
            error: cannot ask logind at /run/dbus/system_bus_socket: No such file or directory (os error 2)
        "#]]);
        serve(&host.path(SOCKET), |_, _, _| Err("org.freedesktop.DBus.Error.ServiceUnknown"));
        host.check(collect, &expect![[r#"
            error: cannot ask logind at /run/dbus/system_bus_socket: ListSeats: org.freedesktop.DBus.Error.ServiceUnknown: says the test
        "#]]);
        let host = Host::default();
        serve(&host.path(SOCKET), |_, member, _| {
            let mut body = Writer::default();
            body.structs(if member == "ListSeats" { &[] } else { &["c1 x"] });
            Ok(body)
        });
        host.check(
            collect,
            &expect![[r#"
            error: cannot ask logind at /run/dbus/system_bus_socket: the list of sessions is damaged
        "#]],
        );
    }
}
