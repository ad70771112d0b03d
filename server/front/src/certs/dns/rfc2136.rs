//! DNS UPDATE (RFC 2136), signed with TSIG: BIND, Knot, PowerDNS and other servers of one's own.

use std::sync::Arc;

use async_trait::async_trait;
use hickory_proto::op::{Message, MessageType, OpCode, Query, ResponseCode};
use hickory_proto::rr::rdata::TXT;
use hickory_proto::rr::{DNSClass, Name, RData, Record, RecordType, TSigner};

use super::ask::{self, Recursion};
use super::{DnsError, DnsProvider, TxtRecord};
use crate::clock::Clock;
use crate::config::Rfc2136;

/// Seconds that clocks may differ, as RFC 8945 recommends.
const FUDGE: u16 = 300;

#[derive(Debug)]
pub(super) struct Provider {
    config: Rfc2136,
    clock: Arc<dyn Clock>,
}

/// What is to happen to a record.
#[derive(Debug, Clone, Copy)]
enum Change {
    Add,
    Remove,
}

impl Provider {
    pub(super) fn new(config: Rfc2136, clock: Arc<dyn Clock>) -> Self {
        Self { config, clock }
    }

    async fn update(&self, record: &TxtRecord, change: Change) -> Result<(), DnsError> {
        let name = Name::from_ascii(record.fqdn())
            .map_err(|source| DnsError::Name { name: record.name.clone(), source })?;
        let zone = match &self.config.zone {
            Some(zone) => zone.clone(),
            None => self.zone_of(&name).await?,
        };
        let id = rand::random();
        let message = update(id, &zone, name, record, self.ttl(change), change);
        self.send(message, &zone).await
    }

    fn ttl(&self, change: Change) -> u32 {
        match change {
            Change::Add => self.config.ttl,
            // RFC 2136 §2.5.4: a record to delete has none.
            Change::Remove => 0,
        }
    }

    /// The apex of the zone that has the name: the server's SOA record says.
    async fn zone_of(&self, name: &Name) -> Result<Name, DnsError> {
        let mut apex = name.clone();
        while !apex.is_root() {
            let answer =
                ask::ask(self.config.server, &apex, RecordType::SOA, Recursion::No).await?;
            let mut records = answer.answers.iter().chain(&answer.authorities);
            let soa = records.find(|it| it.record_type() == RecordType::SOA);
            if let Some(soa) = soa.filter(|it| it.name.zone_of(name)) {
                return Ok(soa.name.clone());
            }
            apex = apex.base_name();
        }
        Err(DnsError::NoZone { name: name.to_ascii() })
    }

    async fn send(&self, mut message: Message, zone: &Name) -> Result<(), DnsError> {
        let server = self.config.server;
        let key = self.config.key_file.read_base64()?;
        let (algorithm, key_name) = (self.config.algorithm.clone(), self.config.key_name.clone());
        let signer = TSigner::new(key, algorithm, key_name, FUDGE).map_err(DnsError::Key)?;
        let now = u64::try_from(self.clock.now().unix_timestamp()).unwrap_or(0);
        let verifier = message.finalize(&signer, now).map_err(DnsError::Signing)?;
        let bytes = message.to_vec().map_err(DnsError::Signing)?;
        let answer = ask::exchange(server, &bytes, self.config.transport).await?;
        let code = ask::read(server, &answer)?.response_code;
        if code != ResponseCode::NoError {
            // A server that does not know the key cannot sign its refusal.
            return Err(DnsError::Update {
                zone: zone.to_ascii(),
                code: code.to_str().to_owned(),
                advice: advice(code),
            });
        }
        match verifier {
            Some(mut verifier) => {
                verifier.verify(&answer).map(|_answer| ()).map_err(DnsError::Signature)
            }
            None => Ok(()),
        }
    }
}

#[async_trait]
impl DnsProvider for Provider {
    async fn present(&self, record: &TxtRecord) -> Result<(), DnsError> {
        self.update(record, Change::Add).await
    }

    async fn clean_up(&self, record: &TxtRecord) -> Result<(), DnsError> {
        self.update(record, Change::Remove).await
    }
}

fn update(
    id: u16,
    zone: &Name,
    name: Name,
    record: &TxtRecord,
    ttl: u32,
    change: Change,
) -> Message {
    let mut message = Message::new(id, MessageType::Query, OpCode::Update);
    // The question section of an update names the zone.
    message.add_query(Query::query(zone.clone(), RecordType::SOA));
    let text = RData::TXT(TXT::new(vec![record.value.clone()]));
    let mut record = Record::from_rdata(name, ttl, text);
    record.dns_class = match change {
        Change::Add => DNSClass::IN,
        Change::Remove => DNSClass::NONE,
    };
    // And the authority section what to change.
    message.add_authority(record);
    message
}

fn advice(code: ResponseCode) -> &'static str {
    match code {
        ResponseCode::NotAuth | ResponseCode::BADSIG | ResponseCode::BADKEY => {
            "are the zone, the name of the key and its secret those of the server?"
        }
        ResponseCode::BADTIME => "are both clocks right?",
        ResponseCode::Refused => "may the key update TXT records of this zone?",
        ResponseCode::NotZone => "is the name in this zone?",
        _other => "see the server's log",
    }
}

#[cfg(test)]
#[path = "rfc2136/tests.rs"]
mod tests;
