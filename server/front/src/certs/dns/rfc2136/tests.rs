//! Against a small DNS server that checks signatures as BIND does.

use std::net::SocketAddr;
use std::path::Path;
use std::sync::Mutex;

use hickory_proto::rr::TSigResponseContext;
use hickory_proto::rr::rdata::SOA;
use hickory_proto::rr::rdata::tsig::{TsigAlgorithm, TsigError};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, UdpSocket};

use super::*;
use crate::clock::SystemClock;
use crate::config::{DnsTransport, SecretFile};

const SECRET: &[u8] = b"a secret of thirty-two bytes ...";

/// A primary server of lan.test that takes updates signed with the key `acme`.
#[derive(Clone)]
struct Primary {
    records: Arc<Mutex<Vec<(String, String)>>>,
    signer: TSigner,
}

fn name(text: &str) -> Name {
    Name::from_ascii(text).unwrap()
}

impl Primary {
    fn new() -> Self {
        let signer = TSigner::new(SECRET.to_vec(), TsigAlgorithm::HmacSha256, name("acme."), 300);
        Self { records: Arc::default(), signer: signer.unwrap() }
    }

    fn records(&self) -> Vec<(String, String)> {
        self.records.lock().unwrap().clone()
    }

    /// Serves one address over both transports.
    async fn start(&self) -> SocketAddr {
        let udp = UdpSocket::bind("127.0.0.1:0").await.unwrap();
        let addr = udp.local_addr().unwrap();
        let tcp = TcpListener::bind(addr).await.unwrap();
        let primary = self.clone();
        tokio::spawn(async move {
            let mut bytes = vec![0; 4096];
            loop {
                let (length, peer) = udp.recv_from(&mut bytes).await.unwrap();
                let answer = primary.answer(&bytes[..length]);
                udp.send_to(&answer, peer).await.unwrap();
            }
        });
        let primary = self.clone();
        tokio::spawn(async move {
            loop {
                let (mut stream, _peer) = tcp.accept().await.unwrap();
                let mut bytes = vec![0; usize::from(stream.read_u16().await.unwrap())];
                stream.read_exact(&mut bytes).await.unwrap();
                let answer = primary.answer(&bytes);
                stream.write_u16(answer.len().try_into().unwrap()).await.unwrap();
                stream.write_all(&answer).await.unwrap();
            }
        });
        addr
    }

    fn answer(&self, bytes: &[u8]) -> Vec<u8> {
        let message = Message::from_vec(bytes).unwrap();
        let mut answer = Message::response(message.id, message.op_code);
        if message.op_code == OpCode::Query {
            let soa = SOA::new(name("ns.lan.test."), name("root.lan.test."), 1, 60, 60, 60, 60);
            let record = Record::from_rdata(name("lan.test."), 60, RData::SOA(soa));
            answer.add_authority(record);
            return answer.to_vec().unwrap();
        }
        let now = u64::try_from(SystemClock.now().unix_timestamp()).unwrap();
        let signed = self.signer.verify_message_byte(bytes, None, true);
        let Ok((mac, _time, range)) = signed else {
            answer.metadata.response_code = ResponseCode::NotAuth;
            return answer.to_vec().unwrap();
        };
        assert!(range.contains(&now));
        assert_eq!(message.queries[0].name(), &name("lan.test."));
        assert_eq!(message.queries[0].query_type(), RecordType::SOA);
        for update in &message.authorities {
            let RData::TXT(text) = &update.data else { panic!("not a TXT: {update:?}") };
            let value = String::from_utf8(text.txt_data.concat()).unwrap();
            let entry = (update.name.to_ascii(), value);
            let mut records = self.records.lock().unwrap();
            match update.dns_class {
                DNSClass::IN => records.push(entry),
                DNSClass::NONE => records.retain(|it| *it != entry),
                other => panic!("class {other}"),
            }
        }
        let unsigned = answer.to_vec().unwrap();
        let no_error: Option<TsigError> = None;
        let context = TSigResponseContext::new(message.id, now, self.signer.clone(), mac, no_error);
        answer.set_signature(context.sign(&unsigned).unwrap());
        answer.to_vec().unwrap()
    }
}

fn provider(dir: &Path, server: SocketAddr, transport: DnsTransport, secret: &[u8]) -> Provider {
    use base64::Engine;
    let path = dir.join("tsig");
    std::fs::write(&path, base64::engine::general_purpose::STANDARD.encode(secret)).unwrap();
    let config = Rfc2136 {
        server,
        transport,
        zone: None,
        key_name: name("acme."),
        algorithm: TsigAlgorithm::HmacSha256,
        key_file: SecretFile::open_base64(&path).unwrap(),
        ttl: 60,
    };
    Provider::new(config, Arc::new(SystemClock))
}

#[tokio::test]
async fn two_values_of_one_name_are_set_and_each_removed_alone_over_both_transports() {
    let dir = tempfile::tempdir().unwrap();
    for transport in [DnsTransport::Tcp, DnsTransport::Udp] {
        let primary = Primary::new();
        let server = primary.start().await;
        let provider = provider(dir.path(), server, transport, SECRET);
        let record = |value: &str| TxtRecord::for_challenge("nas.lan.test", value.to_owned());
        provider.present(&record("one")).await.unwrap();
        provider.present(&record("two")).await.unwrap();
        let entry = |value: &str| ("_acme-challenge.nas.lan.test.".to_owned(), value.to_owned());
        assert_eq!(primary.records(), [entry("one"), entry("two")]);
        provider.clean_up(&record("one")).await.unwrap();
        assert_eq!(primary.records(), [entry("two")]);
    }
}

#[tokio::test]
async fn a_wrong_secret_changes_nothing_and_the_error_says_what_to_look_at() {
    let dir = tempfile::tempdir().unwrap();
    let primary = Primary::new();
    let server = primary.start().await;
    let provider =
        provider(dir.path(), server, DnsTransport::Tcp, b"another secret of the same length");
    let record = TxtRecord::for_challenge("nas.lan.test", "one".to_owned());
    let error = provider.present(&record).await.unwrap_err();
    assert!(error.to_string().contains("the name of the key and its secret"), "{error}");
    assert!(primary.records().is_empty());
}

#[tokio::test]
async fn a_yes_that_is_not_signed_is_no_yes() {
    let dir = tempfile::tempdir().unwrap();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let server = listener.local_addr().unwrap();
    tokio::spawn(async move {
        let (mut stream, _peer) = listener.accept().await.unwrap();
        let mut bytes = vec![0; usize::from(stream.read_u16().await.unwrap())];
        stream.read_exact(&mut bytes).await.unwrap();
        let id = Message::from_vec(&bytes).unwrap().id;
        let answer = Message::response(id, OpCode::Update).to_vec().unwrap();
        stream.write_u16(answer.len().try_into().unwrap()).await.unwrap();
        stream.write_all(&answer).await.unwrap();
    });
    let mut provider = provider(dir.path(), server, DnsTransport::Tcp, SECRET);
    provider.config.zone = Some(name("lan.test."));
    let record = TxtRecord::for_challenge("nas.lan.test", "one".to_owned());
    let error = provider.present(&record).await.unwrap_err();
    assert!(matches!(error, DnsError::Signature(_)), "{error}");
}
