//! Headers of packets as programs at control groups see them: from the IP header on.

use aya_ebpf::{bindings::__sk_buff, programs::SkBuffContext};

pub const UDP: u8 = 17;
/// The loopback interface, in every network namespace.
const LOOPBACK: u32 = 1;

/// What an IP header says.
pub struct Packet {
    /// IPv4 addresses as `::ffff:a.b.c.d`.
    pub source: [u32; 4],
    pub destination: [u32; 4],
    pub protocol: u8,
    /// Where the transport's header begins.
    pub payload_at: usize,
}

const V4_IN_V6: u32 = 0x0000_ffff_u32.to_be();

/// Parses a header; `None` for what is neither IPv4 nor IPv6, and for later fragments.
#[inline(always)]
pub fn parse(ctx: &SkBuffContext) -> Option<Packet> {
    let first: u8 = ctx.load(0).ok()?;
    if first >> 4 == 4 {
        // The offset is the low 13 bits: only the first fragment has the ports.
        let fragment: u16 = ctx.load(6).ok()?;
        if u16::from_be(fragment) & 0x1fff != 0 {
            return None;
        }
        return Some(Packet {
            source: [0, 0, V4_IN_V6, ctx.load(12).ok()?],
            destination: [0, 0, V4_IN_V6, ctx.load(16).ok()?],
            protocol: ctx.load(9).ok()?,
            payload_at: usize::from(first & 0xf) * 4,
        });
    }
    if first >> 4 != 6 {
        return None;
    }
    Some(Packet {
        source: ctx.load(8).ok()?,
        destination: ctx.load(24).ok()?,
        protocol: ctx.load(6).ok()?,
        payload_at: 40,
    })
}

#[inline(always)]
pub fn is_loopback(ctx: &SkBuffContext) -> bool {
    let skb: *const __sk_buff = ctx.skb.skb;
    unsafe { (*skb).ifindex == LOOPBACK }
}

/// The packet's length with its IP header.
#[inline(always)]
pub fn n_bytes(ctx: &SkBuffContext) -> u64 {
    u64::from(ctx.len())
}
