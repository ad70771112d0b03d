//! TCP connections that processes of this host asked for, and what became of them.

use std::{io, time::Duration};

use skep_abi::{ConnectEvent, event_kind};

use super::{
    events::{Event, Level, comm},
    family::{EventKind, Family},
    loader::{Program, offset, traced},
    peers, raw,
};

pub(super) const FAMILY: Family = Family {
    programs: &[CONNECT],
    offsets: &[
        offset("CONNECT_PORT", "sock", &["__sk_common", "skc_dport"]),
        offset("CONNECT_ERROR", "sock", &["sk_err"]),
    ],
    events: &[EventKind {
        kind: event_kind::TCP_CONNECT,
        name: NAME,
        is_rare: false,
        describe: |record, _unit| raw::record(record).map(|it| describe(&it)),
    }],
    ..Family::EMPTY
};

const NAME: &str = "tcp_connect";
const CONNECT: Program = traced!(
    "tcp_connect",
    "TCP connections as log entries",
    "tcp_connect",
    "inet_sock_set_state",
    3,
    &["PEER_FAMILY", "PEER_ADDRESS", "PEER_ADDRESS6", "CONNECT_PORT", "CONNECT_ERROR"]
);

fn describe(event: &ConnectEvent) -> Event {
    let header = &event.header;
    let (who, address) = (comm(header), peers::address(event.address));
    let duration = Duration::from_nanos(event.duration_ns);
    let peer = std::net::SocketAddr::new(address, u16::try_from(event.port).unwrap_or_default());
    let mut metadata = vec![
        ("address", address.to_string()),
        ("comm", who.clone()),
        ("duration_seconds", duration.as_secs_f64().to_string()),
    ];
    let is_made = event.is_made == 1;
    let mut line = format!("{who} (pid {}) ", header.pid);
    if is_made {
        line.push_str(&format!("connected to {peer} in {duration:.1?}"));
    } else {
        // Without an error number the program itself gave up.
        let error = match i32::try_from(event.errno) {
            Ok(0) | Err(_) => "closed before it was made".to_owned(),
            Ok(errno) => io::Error::from_raw_os_error(errno).to_string(),
        };
        line.push_str(&format!("could not connect to {peer} for {duration:.1?}: {error}"));
        metadata.push(("error", error));
    }
    metadata.extend([
        ("pid", header.pid.to_string()),
        ("port", event.port.to_string()),
        ("uid", header.uid.to_string()),
    ]);
    let level = if is_made { Level::Info } else { Level::Warning };
    Event { name: NAME, level, line, metadata }
}

#[cfg(test)]
mod tests {
    use expect_test::{Expect, expect};
    use skep_abi::EventHeader;

    use super::*;

    #[expect(clippy::needless_pass_by_value, reason = "`expect!` makes a value")]
    fn check(is_made: u32, errno: u32, expected: Expect) {
        let mut header = EventHeader { pid: 7, uid: 1000, ..EventHeader::NONE };
        header.comm[..4].copy_from_slice(b"curl");
        let event = ConnectEvent {
            header,
            address: [0, 0, 0xffff_u32.to_be(), 0xc000_0201_u32.to_be()],
            duration_ns: 1_500_000,
            port: 443,
            is_made,
            errno,
            reserved: 0,
        };
        let event = describe(&event);
        assert!(event.metadata.is_sorted());
        expected.assert_eq(&format!("{:?}: {}\n{:?}", event.level, event.line, event.metadata));
    }

    #[test]
    fn a_connection_is_told_when_its_fate_is_known() {
        check(
            1,
            0,
            expect![[r#"
                Info: curl (pid 7) connected to 192.0.2.1:443 in 1.5ms
                [("address", "192.0.2.1"), ("comm", "curl"), ("duration_seconds", "0.0015"), ("pid", "7"), ("port", "443"), ("uid", "1000")]"#]],
        );
        check(
            0,
            111,
            expect![[r#"
                Warning: curl (pid 7) could not connect to 192.0.2.1:443 for 1.5ms: Connection refused (os error 111)
                [("address", "192.0.2.1"), ("comm", "curl"), ("duration_seconds", "0.0015"), ("error", "Connection refused (os error 111)"), ("pid", "7"), ("port", "443"), ("uid", "1000")]"#]],
        );
        check(
            0,
            0,
            expect![[r#"
                Warning: curl (pid 7) could not connect to 192.0.2.1:443 for 1.5ms: closed before it was made
                [("address", "192.0.2.1"), ("comm", "curl"), ("duration_seconds", "0.0015"), ("error", "closed before it was made"), ("pid", "7"), ("port", "443"), ("uid", "1000")]"#]],
        );
    }
}
