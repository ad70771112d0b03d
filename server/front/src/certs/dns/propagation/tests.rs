//! Against small DNS servers: a resolver, and the name servers it knows of.

use std::collections::HashMap;
use std::net::Ipv4Addr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use hickory_proto::op::{MessageType, OpCode};
use hickory_proto::rr::Record;
use hickory_proto::rr::rdata::{A, CNAME, NS, TXT};
use tokio::net::UdpSocket;

use super::*;

type Records = HashMap<(String, RecordType), Vec<RData>>;

/// Answers what it is told to, and counts how often it is asked for TXT.
#[derive(Clone, Default)]
struct Server {
    records: Arc<Mutex<Records>>,
    n_asked: Arc<Mutex<usize>>,
}

impl Server {
    fn set(&self, name: &str, data: RData) {
        let key = (name.to_owned(), data.record_type());
        self.records.lock().unwrap().entry(key).or_default().push(data);
    }

    fn set_text(&self, value: &str) {
        let half = value.len() / 2;
        // Values may come in pieces.
        let pieces = vec![value[..half].to_owned(), value[half..].to_owned()];
        self.set("_acme-challenge.nas.lan.test.", RData::TXT(TXT::new(pieces)));
    }

    async fn start(&self, addr: SocketAddr) -> SocketAddr {
        let socket = UdpSocket::bind(addr).await.unwrap();
        let addr = socket.local_addr().unwrap();
        let server = self.clone();
        tokio::spawn(async move {
            let mut bytes = vec![0; 4096];
            loop {
                let (length, peer) = socket.recv_from(&mut bytes).await.unwrap();
                let answer = server.answer(&Message::from_vec(&bytes[..length]).unwrap());
                socket.send_to(&answer.to_vec().unwrap(), peer).await.unwrap();
            }
        });
        addr
    }

    fn answer(&self, question: &Message) -> Message {
        let query = &question.queries[0];
        let mut answer = Message::new(question.id, MessageType::Response, OpCode::Query);
        answer.add_query(query.clone());
        if query.query_type() == RecordType::TXT {
            *self.n_asked.lock().unwrap() += 1;
        }
        let key = (query.name().to_ascii(), query.query_type());
        for data in self.records.lock().unwrap().get(&key).into_iter().flatten() {
            answer.add_answer(Record::from_rdata(query.name().clone(), 60, data.clone()));
        }
        answer
    }
}

fn name(text: &str) -> Name {
    Name::from_ascii(text).unwrap()
}

fn settings(check: PropagationCheck, timeout: Duration) -> Propagation {
    let interval = Duration::from_millis(10);
    Propagation { check, delay: Duration::ZERO, timeout, interval }
}

fn record() -> TxtRecord {
    TxtRecord::for_challenge("nas.lan.test", "the value".to_owned())
}

/// lan.test with two name servers, on addresses of their own and one port.
async fn zone() -> (Resolver, Server, [Server; 2]) {
    let servers = [Server::default(), Server::default()];
    let first = servers[0].start("127.0.0.1:0".parse().unwrap()).await;
    let second = SocketAddr::new(Ipv4Addr::new(127, 0, 0, 2).into(), first.port());
    servers[1].start(second).await;
    let resolver = Server::default();
    for (server, ip) in [("ns1.lan.test.", [127, 0, 0, 1]), ("ns2.lan.test.", [127, 0, 0, 2])] {
        resolver.set("lan.test.", RData::NS(NS(name(server))));
        resolver.set(server, RData::A(A(ip.into())));
    }
    let addr = resolver.start("127.0.0.1:0".parse().unwrap()).await;
    let start = Resolver { servers: vec![addr], authoritative_port: first.port() };
    (start, resolver, servers)
}

#[tokio::test]
async fn a_record_is_visible_when_every_name_server_of_the_zone_has_it() {
    let (resolver, _records, [first, second]) = zone().await;
    first.set_text("the value");
    second.set_text("an older one");
    let settings = settings(PropagationCheck::Authoritative, Duration::from_secs(20));
    let records = [record()];
    let mut waiting = std::pin::pin!(wait(&records, &settings, &resolver));
    tokio::select! {
        outcome = &mut waiting => panic!("{outcome:?} before the second server had it"),
        () = async { while *second.n_asked.lock().unwrap() < 3 { tokio::task::yield_now().await } } => {}
    }
    second.set_text("the value");
    waiting.await.unwrap();
}

#[tokio::test]
async fn a_record_that_stays_away_is_an_error_that_names_the_server_without_it() {
    let (resolver, _records, [first, _second]) = zone().await;
    first.set_text("the value");
    let settings = settings(PropagationCheck::Authoritative, Duration::from_millis(50));
    let error = wait(&[record()], &settings, &resolver).await.unwrap_err().to_string();
    assert!(error.contains("127.0.0.1:") && error.contains(" has it"), "{error}");
    assert!(error.contains("127.0.0.2:") && error.contains(" has no TXT there"), "{error}");
}

#[tokio::test]
async fn a_challenge_that_lives_elsewhere_is_looked_for_there() {
    let (resolver, records, servers) = zone().await;
    let elsewhere = "x7.auth.lan.test.";
    records.set("_acme-challenge.nas.lan.test.", RData::CNAME(CNAME(name(elsewhere))));
    for server in &servers {
        server.set(elsewhere, RData::TXT(TXT::new(vec!["the value".to_owned()])));
    }
    let settings = settings(PropagationCheck::Authoritative, Duration::from_secs(20));
    wait(&[record()], &settings, &resolver).await.unwrap();
}

#[tokio::test]
async fn resolvers_of_ones_own_are_asked_instead() {
    let server = Server::default();
    server.set_text("the value");
    let addr = server.start("127.0.0.1:0".parse().unwrap()).await;
    let nobody = Resolver { servers: Vec::new(), authoritative_port: 53 };
    let asked = settings(PropagationCheck::Resolvers(vec![addr]), Duration::from_secs(20));
    wait(&[record()], &asked, &nobody).await.unwrap();
    let authoritative = settings(PropagationCheck::Authoritative, Duration::from_secs(20));
    let error = wait(&[record()], &authoritative, &nobody).await.unwrap_err();
    assert!(matches!(error, PropagationError::NoResolver), "{error}");
    let off = settings(PropagationCheck::Off, Duration::from_secs(20));
    wait(&[record()], &off, &nobody).await.unwrap();
}

#[test]
fn resolvers_are_read_from_resolv_conf() {
    let text = "# x\nnameserver 10.0.0.1\nsearch lan\nnameserver fe80::1%eth0\nnameserver x\n";
    let expected: [SocketAddr; 2] =
        ["10.0.0.1:53".parse().unwrap(), "[fe80::1]:53".parse().unwrap()];
    assert_eq!(name_servers(text), expected);
}
