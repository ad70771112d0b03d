//! Headers of packets as programs at control groups see them: from the IP header on.

use aya_ebpf::{bindings::__sk_buff, programs::SkBuffContext};

pub const UDP: u8 = 17;
/// The loopback interface, in every network namespace.
const LOOPBACK: u32 = 1;

/// What the start of an IP header says: all that most packets need, in one load.
pub struct Start {
    is_v4: bool,
    pub protocol: u8,
    /// Where the transport's header begins.
    pub payload_at: usize,
}

pub const V4_IN_V6: u32 = 0x0000_ffff_u32.to_be();
/// Bytes that tell version, lengths, fragment and protocol of either version.
const START_BYTES: usize = 12;

/// `None` for what is neither IPv4 nor IPv6, and for later fragments.
#[inline(always)]
pub fn start(ctx: &SkBuffContext) -> Option<Start> {
    let head: [u8; START_BYTES] = ctx.load(0).ok()?;
    match head[0] >> 4 {
        // The fragment's offset is 13 bits: only the first one has the ports.
        4 if head[6] & 0x1f == 0 && head[7] == 0 => Some(Start {
            is_v4: true,
            protocol: head[9],
            payload_at: usize::from(head[0] & 0xf) * 4,
        }),
        6 => Some(Start { is_v4: false, protocol: head[6], payload_at: 40 }),
        _ => None,
    }
}

/// IPv4 addresses as `::ffff:a.b.c.d`.
#[inline(always)]
pub fn source(ctx: &SkBuffContext, start: &Start) -> Option<[u32; 4]> {
    if start.is_v4 { v4(ctx, 12) } else { ctx.load(8).ok() }
}

/// As [`source`].
#[inline(always)]
pub fn destination(ctx: &SkBuffContext, start: &Start) -> Option<[u32; 4]> {
    if start.is_v4 { v4(ctx, 16) } else { ctx.load(24).ok() }
}

#[inline(always)]
fn v4(ctx: &SkBuffContext, at: usize) -> Option<[u32; 4]> {
    Some([0, 0, V4_IN_V6, ctx.load(at).ok()?])
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
