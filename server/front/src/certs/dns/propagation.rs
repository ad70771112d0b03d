//! Waiting until TXT records are visible where the CA will look: a CA that looks too early says no.

use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::path::Path;

use hickory_proto::op::{Message, ResponseCode};
use hickory_proto::rr::{Name, RData, RecordType};
use tokio::time::Instant;

use super::ask::{self, AskError, Recursion};
use super::{DnsError, TxtRecord};
use crate::config::{Propagation, PropagationCheck};
use crate::files;

const RESOLV_CONF: &str = "/etc/resolv.conf";
const DNS_PORT: u16 = 53;
/// CNAMEs that are followed; resolvers give up after some ten, too.
const CNAMES_MAX: usize = 8;
/// Name servers of a zone that are asked.
const SERVERS_MAX: usize = 16;

/// Where to begin: a resolver of this machine, and the port that name servers listen on.
#[derive(Debug, Clone)]
pub(crate) struct Resolver {
    servers: Vec<SocketAddr>,
    authoritative_port: u16,
}

/// Why records count as invisible.
#[derive(Debug, thiserror::Error)]
pub enum PropagationError {
    #[error(transparent)]
    Dns(#[from] DnsError),
    #[error(
        "{record} is not visible after {seconds} s: {state}; see whether the zone is served there, or raise propagation.timeout"
    )]
    NotVisible { record: String, seconds: u64, state: State },
    #[error(
        "{RESOLV_CONF} names no resolver; write some into propagation.resolvers, or propagation.check = false"
    )]
    NoResolver,
    #[error(
        "found no name server for {name}; write resolvers into propagation.resolvers, or propagation.check = false"
    )]
    NoNameServer { name: String },
    #[error("no resolver of this machine answers")]
    Resolver(#[source] AskError),
}

/// What the servers said in the last round.
#[derive(Debug, Default)]
pub struct State(Vec<(SocketAddr, Seen)>);

#[derive(Debug)]
enum Seen {
    There,
    Other(usize),
    Missing,
    NoAnswer(AskError),
}

/// Who is asked about a record, and how.
struct Panel {
    name: Name,
    servers: Vec<SocketAddr>,
    recursion: Recursion,
}

/// Returns when every record is visible.
pub(crate) async fn wait(
    records: &[TxtRecord],
    settings: &Propagation,
    resolver: &Resolver,
) -> Result<(), PropagationError> {
    tokio::time::sleep(settings.delay).await;
    let deadline = Instant::now() + settings.timeout;
    for record in records {
        let panel = match &settings.check {
            PropagationCheck::Off => return Ok(()),
            PropagationCheck::Resolvers(servers) => Panel {
                name: dns_name(&record.name)?,
                servers: servers.clone(),
                recursion: Recursion::Wanted,
            },
            PropagationCheck::Authoritative => resolver.panel(record).await?,
        };
        loop {
            let state = panel.look(&record.value).await;
            if state.is_visible() {
                break;
            }
            if Instant::now() + settings.interval > deadline {
                let (record, seconds) = (record.name.clone(), settings.timeout.as_secs());
                return Err(PropagationError::NotVisible { record, seconds, state });
            }
            tokio::time::sleep(settings.interval).await;
        }
    }
    Ok(())
}

impl Resolver {
    /// That of this machine.
    pub(crate) fn system() -> Self {
        let text = files::read(Path::new(RESOLV_CONF)).ok().flatten().unwrap_or_default();
        Self { servers: name_servers(&text), authoritative_port: DNS_PORT }
    }

    /// The name servers of the zone that a record is in after all CNAMEs.
    async fn panel(&self, record: &TxtRecord) -> Result<Panel, PropagationError> {
        let mut name = dns_name(&record.name)?;
        for _hop in 0..CNAMES_MAX {
            let answer = self.ask(&name, RecordType::CNAME).await?;
            let target = answer.answers.iter().find_map(|it| match &it.data {
                RData::CNAME(target) if it.name == name => Some(target.0.clone()),
                _other => None,
            });
            match target {
                Some(target) => name = target,
                None => break,
            }
        }
        let servers = self.name_servers_of(&name).await?;
        Ok(Panel { name, servers, recursion: Recursion::No })
    }

    async fn name_servers_of(&self, name: &Name) -> Result<Vec<SocketAddr>, PropagationError> {
        let mut apex = name.clone();
        while !apex.is_root() {
            let answer = self.ask(&apex, RecordType::NS).await?;
            let servers = answer.answers.iter().filter_map(|it| match &it.data {
                RData::NS(server) if it.name == apex => Some(server.0.clone()),
                _other => None,
            });
            let servers: Vec<Name> = servers.take(SERVERS_MAX).collect();
            if !servers.is_empty() {
                return self.addresses(name, &servers).await;
            }
            apex = apex.base_name();
        }
        Err(PropagationError::NoNameServer { name: name.to_ascii() })
    }

    async fn addresses(
        &self,
        name: &Name,
        servers: &[Name],
    ) -> Result<Vec<SocketAddr>, PropagationError> {
        let mut addresses = Vec::new();
        for server in servers {
            for record_type in [RecordType::A, RecordType::AAAA] {
                let answer = self.ask(server, record_type).await?;
                let ips = answer.answers.iter().filter_map(|it| match &it.data {
                    RData::A(ip) => Some(IpAddr::from(ip.0)),
                    RData::AAAA(ip) => Some(IpAddr::from(ip.0)),
                    _other => None,
                });
                addresses.extend(ips.map(|ip| SocketAddr::new(ip, self.authoritative_port)));
            }
        }
        addresses.truncate(SERVERS_MAX);
        match addresses.is_empty() {
            true => Err(PropagationError::NoNameServer { name: name.to_ascii() }),
            false => Ok(addresses),
        }
    }

    /// The first resolver that answers.
    async fn ask(&self, name: &Name, record_type: RecordType) -> Result<Message, PropagationError> {
        let mut last = None;
        for server in &self.servers {
            match ask::ask(*server, name, record_type, Recursion::Wanted).await {
                Ok(answer) => return Ok(answer),
                Err(error) => last = Some(error),
            }
        }
        Err(last.map_or(PropagationError::NoResolver, PropagationError::Resolver))
    }
}

impl Panel {
    async fn look(&self, value: &str) -> State {
        let mut state = State::default();
        for server in &self.servers {
            let answer = ask::ask(*server, &self.name, RecordType::TXT, self.recursion).await;
            state.0.push((*server, seen(answer, value)));
        }
        state
    }
}

impl State {
    /// A server that does not answer us, by a way that is not there, does not count if others do.
    fn is_visible(&self) -> bool {
        let mut answered = self.0.iter().filter(|(_, seen)| !matches!(seen, Seen::NoAnswer(_)));
        let is_there = |seen: &Seen| matches!(seen, Seen::There);
        answered.next().is_some_and(|(_, first)| is_there(first))
            && answered.all(|(_, seen)| is_there(seen))
    }
}

impl fmt::Display for State {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, (server, seen)) in self.0.iter().enumerate() {
            let comma = if index == 0 { "" } else { ", " };
            match seen {
                Seen::There => write!(f, "{comma}{server} has it")?,
                Seen::Other(n) => write!(f, "{comma}{server} has {n} other values")?,
                Seen::Missing => write!(f, "{comma}{server} has no TXT there")?,
                Seen::NoAnswer(error) => write!(f, "{comma}{error}")?,
            }
        }
        Ok(())
    }
}

fn seen(answer: Result<Message, AskError>, value: &str) -> Seen {
    let answer = match answer {
        Ok(answer) => answer,
        Err(error) => return Seen::NoAnswer(error),
    };
    let values = answer.answers.iter().filter_map(|it| match &it.data {
        RData::TXT(text) => Some(text.txt_data.concat()),
        _other => None,
    });
    let values: Vec<Vec<u8>> = values.collect();
    match values.len() {
        _any if values.iter().any(|it| it == value.as_bytes()) => Seen::There,
        0 => Seen::Missing,
        _any if answer.response_code != ResponseCode::NoError => Seen::Missing,
        n => Seen::Other(n),
    }
}

fn dns_name(name: &str) -> Result<Name, DnsError> {
    Name::from_ascii(format!("{}.", name.trim_end_matches('.')))
        .map_err(|source| DnsError::Name { name: name.to_owned(), source })
}

/// As resolv.conf(5) lists them; a link's index is of no use to us.
fn name_servers(text: &str) -> Vec<SocketAddr> {
    let servers = text.lines().filter_map(|line| {
        let mut words = line.split_whitespace();
        let address = words.next().filter(|it| *it == "nameserver").and(words.next())?;
        address.split('%').next()?.parse::<IpAddr>().ok()
    });
    servers.map(|ip| SocketAddr::new(ip, DNS_PORT)).collect()
}

#[cfg(test)]
#[path = "propagation/tests.rs"]
mod tests;
