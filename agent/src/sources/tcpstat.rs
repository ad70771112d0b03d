//! TCP sockets by state, and what waits in their queues, from the kernel's socket diagnosis or, where
//! it has none, from `/proc/net/tcp`.

use std::{collections::BTreeMap, io};

use netlink_sys::protocols::NETLINK_SOCK_DIAG;
use skep_proto::MetricKind;

use super::{
    Context, SourceError,
    netlink::{Ask, Netlink, u32_at},
};
use crate::exposition::{Exposition, as_f64};

/// The older of the kernel's two questions for TCP sockets, which both IP versions answer at once;
/// the newer one walks its table of connections for each of them.
const TCPDIAG_GETSOCK: u16 = 18;
/// Bytes of `struct inet_diag_req` before the wanted states and in all, and of `struct inet_diag_msg`.
const STATES_AT: usize = 52;
const REQUEST_BYTES: usize = 60;
const SOCKET_BYTES: usize = 72;
const ALL_STATES: u32 = u32::MAX;
/// Where `struct inet_diag_msg` has the bytes to be read and the bytes to be sent.
const RECEIVE_QUEUE_AT: usize = 56;
const SEND_QUEUE_AT: usize = 60;

/// By the kernel's number of the state, from 1 on.
const STATES: [&str; 11] = [
    "established",
    "syn_sent",
    "syn_recv",
    "fin_wait1",
    "fin_wait2",
    "time_wait",
    "close",
    "close_wait",
    "last_ack",
    "listen",
    "closing",
];
const FILE: &str = "/proc/net/tcp";

pub(super) fn collect(context: &Context, out: &mut Exposition) -> Result<(), SourceError> {
    let counts = match diagnose() {
        Ok(counts) => counts,
        // No such file: a kernel without socket diagnosis.
        Err(error) if error.kind() == io::ErrorKind::NotFound => from_files(context)?,
        Err(source) => return Err(SourceError::Kernel { what: "TCP sockets", source }),
    };
    let family = out.family(
        "node_tcp_connection_states",
        "TCP sockets by state; rx_queued_bytes and tx_queued_bytes are what waits to be read and sent.",
        MetricKind::Gauge,
    );
    for (state, count) in counts {
        family.point([("state", state)], as_f64(count));
    }
    Ok(())
}

/// Only the states there are.
type Counts = BTreeMap<&'static str, u64>;

fn diagnose() -> io::Result<Counts> {
    let netlink = Netlink::open(NETLINK_SOCK_DIAG)?;
    let mut counts = Counts::new();
    let mut request = vec![0; STATES_AT];
    request.extend_from_slice(&ALL_STATES.to_ne_bytes());
    request.resize(REQUEST_BYTES, 0);
    netlink.ask(Ask::Dump, TCPDIAG_GETSOCK, &request, |_, socket| {
        count_socket(socket, &mut counts);
    })?;
    Ok(counts)
}

fn count_socket(socket: &[u8], counts: &mut Counts) {
    let (Some(socket), Some(state)) = (socket.get(..SOCKET_BYTES), socket.get(1)) else { return };
    count(*state, u32_at(socket, RECEIVE_QUEUE_AT), u32_at(socket, SEND_QUEUE_AT), counts);
}

fn count(state: u8, receive_queue: Option<u32>, send_queue: Option<u32>, counts: &mut Counts) {
    let name = usize::from(state).checked_sub(1).and_then(|it| STATES.get(it));
    *counts.entry(name.unwrap_or(&"unknown")).or_default() += 1;
    *counts.entry("rx_queued_bytes").or_default() += u64::from(receive_queue.unwrap_or_default());
    *counts.entry("tx_queued_bytes").or_default() += u64::from(send_queue.unwrap_or_default());
}

fn from_files(context: &Context) -> Result<Counts, SourceError> {
    let mut counts = Counts::new();
    parse(&context.roots.read_proc("net/tcp")?, &mut counts)?;
    // There is none where IPv6 is switched off.
    if let Ok(text) = context.roots.read_proc("net/tcp6") {
        parse(&text, &mut counts)?;
    }
    Ok(counts)
}

fn parse(text: &str, counts: &mut Counts) -> Result<(), SourceError> {
    for line in text.lines().skip(1) {
        let mut fields = line.split_ascii_whitespace().skip(3);
        let state = hex("a state", fields.next())?;
        let queues = fields.next().and_then(|it| it.split_once(':'));
        let send_queue = hex("a queue to send", queues.map(|it| it.0))?;
        let receive_queue = hex("a queue to read", queues.map(|it| it.1))?;
        count(state.try_into().unwrap_or_default(), Some(receive_queue), Some(send_queue), counts);
    }
    Ok(())
}

fn hex(what: &'static str, text: Option<&str>) -> Result<u32, SourceError> {
    let text = text.ok_or(SourceError::Missing { file: FILE, what })?;
    u32::from_str_radix(text, 16).map_err(|std::num::ParseIntError { .. }| SourceError::Number {
        file: FILE,
        what,
        text: text.to_owned(),
    })
}

#[cfg(test)]
mod tests {
    use std::net::TcpListener;

    use expect_test::expect;

    use super::*;
    use crate::sources::tests::Host;

    fn text(counts: &Counts) -> String {
        counts.iter().map(|(state, count)| format!("{state} {count}\n")).collect()
    }

    #[test]
    fn sockets_are_counted_by_state_with_their_queues() {
        let mut counts = Counts::new();
        for (state, receive_queue, send_queue) in [(1_u8, 5_u32, 7_u32), (1, 0, 3), (10, 128, 0)] {
            let mut socket = vec![0, state];
            socket.resize(SOCKET_BYTES, 0);
            socket[RECEIVE_QUEUE_AT..SEND_QUEUE_AT].copy_from_slice(&receive_queue.to_ne_bytes());
            socket[SEND_QUEUE_AT..64].copy_from_slice(&send_queue.to_ne_bytes());
            count_socket(&socket, &mut counts);
        }
        count_socket(&[0, 6], &mut counts);
        let mut strange = [0; SOCKET_BYTES];
        strange[1] = 99;
        count_socket(&strange, &mut counts);
        expect![[r#"
            established 2
            listen 1
            rx_queued_bytes 133
            tx_queued_bytes 10
            unknown 1
        "#]]
        .assert_eq(&text(&counts));
    }

    #[test]
    fn files_tell_the_same() {
        let line = |state: &str, queues: &str| {
            format!(
                " 0: 0100007F:0CEA 00000000:0000 {state} {queues} 00:00000000 00000000 0 0 1 1\n"
            )
        };
        let heading = "  sl  local_address rem_address   st tx_queue rx_queue\n";
        let host = Host::default();
        host.file("proc/net/tcp", &[heading, &line("0A", "00000000:00000080")].concat())
            .file("proc/net/tcp6", &[heading, &line("01", "0000000a:00000002")].concat());
        expect![[r#"
            established 1
            listen 1
            rx_queued_bytes 130
            tx_queued_bytes 10
        "#]]
        .assert_eq(&text(&from_files(host.context()).unwrap()));
        host.file("proc/net/tcp6", &[heading, &line("zz", "0:0")].concat());
        let error = |host: &Host| from_files(host.context()).unwrap_err().to_string();
        assert_eq!(error(&host), "/proc/net/tcp: a state is not a number: \"zz\"");
        host.file("proc/net/tcp6", &[heading, &line("01", "0")].concat());
        assert_eq!(error(&host), "/proc/net/tcp: a queue to send is missing");
    }

    #[test]
    fn listening_sockets_of_both_ip_versions_are_among_those_the_kernel_tells() {
        let n_listening = || {
            let text = Host::default().text(collect);
            let line = text
                .lines()
                .find_map(|it| it.strip_prefix("node_tcp_connection_states{state=\"listen\"} "));
            line.map_or(0.0, |it| it.parse::<f64>().unwrap())
        };
        let addresses = ["127.0.0.1:0", "[::1]:0"].iter().cycle().take(50);
        let listeners: Vec<_> = addresses.map(|it| TcpListener::bind(it).unwrap()).collect();
        assert!(n_listening() >= 50.0);
        drop(listeners);
    }
}
