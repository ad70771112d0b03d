//! Questions to DNS servers over UDP and their answers; only headers are read.

use aya_ebpf::{
    helpers::bpf_ktime_get_ns,
    macros::{cgroup_skb, map},
    maps::{LruHashMap, PerCpuArray},
    programs::SkBuffContext,
};
use skep_abi::{DNS_CODES, DnsCounts, DnsQuestion};

use crate::{
    histogram,
    packet::{self, Start, UDP},
};

const PORT: u16 = 53;
const UDP_HEADER_BYTES: usize = 8;
/// The bit that tells an answer from a question, and the answer's code.
const IS_ANSWER: u16 = 0x8000;
const CODE_MASK: u16 = 0xf;

/// When questions without an answer were asked.
#[map]
static DNS_QUESTIONS: LruHashMap<DnsQuestion, u64> = LruHashMap::with_max_entries(4096, 0);

/// 0: over the network, 1: within this host.
#[map]
static DNS_COUNTS: PerCpuArray<DnsCounts> = PerCpuArray::with_max_entries(2, 0);

#[cgroup_skb]
pub fn dns_out(ctx: SkBuffContext) -> i32 {
    let _ = ask(&ctx);
    1
}

#[cgroup_skb]
pub fn dns_in(ctx: SkBuffContext) -> i32 {
    let _ = answer(&ctx);
    1
}

#[inline(always)]
fn ask(ctx: &SkBuffContext) -> Option<()> {
    let start = packet::start(ctx).filter(|it| it.protocol == UDP)?;
    let (client, _) = ports(ctx, &start).filter(|(_, server)| *server == PORT)?;
    let (id, flags) = header(ctx, &start)?;
    if flags & IS_ANSWER != 0 {
        return None;
    }
    let counts = DNS_COUNTS.get_ptr_mut(u32::from(packet::is_loopback(ctx)))?;
    unsafe { (*counts).questions += 1 };
    let question = question(packet::destination(ctx, &start)?, client, id);
    let now = unsafe { bpf_ktime_get_ns() };
    DNS_QUESTIONS.insert(&question, &now, 0).ok()
}

#[inline(always)]
fn answer(ctx: &SkBuffContext) -> Option<()> {
    let start = packet::start(ctx).filter(|it| it.protocol == UDP)?;
    let (_, client) = ports(ctx, &start).filter(|(server, _)| *server == PORT)?;
    let (id, flags) = header(ctx, &start)?;
    if flags & IS_ANSWER == 0 {
        return None;
    }
    let question = question(packet::source(ctx, &start)?, client, id);
    // An answer that nobody asked for, or the second one.
    let asked = unsafe { *DNS_QUESTIONS.get_ptr(&question)? };
    DNS_QUESTIONS.remove(&question).ok()?;
    let counts = DNS_COUNTS.get_ptr_mut(u32::from(packet::is_loopback(ctx)))?;
    let ns = unsafe { bpf_ktime_get_ns() }.saturating_sub(asked);
    let code = usize::from(flags & CODE_MASK);
    unsafe {
        histogram::add(&raw mut (*counts).latency, ns);
        if code < DNS_CODES {
            let answers = (&raw mut (*counts).answers).cast::<u64>().add(code);
            *answers += 1;
        }
    }
    Some(())
}

/// Source and destination.
#[inline(always)]
fn ports(ctx: &SkBuffContext, start: &Start) -> Option<(u16, u16)> {
    let ports: [u16; 2] = ctx.load(start.payload_at).ok()?;
    Some((u16::from_be(ports[0]), u16::from_be(ports[1])))
}

/// A message's id and flags.
#[inline(always)]
fn header(ctx: &SkBuffContext, start: &Start) -> Option<(u16, u16)> {
    let words: [u16; 2] = ctx.load(start.payload_at + UDP_HEADER_BYTES).ok()?;
    Some((words[0], u16::from_be(words[1])))
}

#[inline(always)]
fn question(server: [u32; 4], client: u16, id: u16) -> DnsQuestion {
    DnsQuestion { server, client_port: u32::from(client), id: u32::from(id) }
}
