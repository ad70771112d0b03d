//! Rare events: one ring buffer for all of them, and how many found it full.

use aya_ebpf::{
    Global,
    helpers::bpf_ktime_get_boot_ns,
    macros::map,
    maps::{Array, RingBuf},
};
use skep_abi::{COMM_BYTES, EVENT_KINDS, EventHeader};

use crate::groups;

#[map]
static EVENTS: RingBuf = RingBuf::with_byte_size(512 * 1024, 0);

/// Records that found the ring full, by [`skep_abi::event_kind`].
#[map]
static EVENTS_LOST: Array<u64> = Array::with_max_entries(EVENT_KINDS, 0);

/// Kinds of records that somebody wants, as bits.
#[unsafe(no_mangle)]
static EVENTS_ON: Global<u32> = Global::new(u32::MAX);

#[inline(always)]
pub fn is_on(kind: u32) -> bool {
    EVENTS_ON.load() >> kind & 1 == 1
}

/// Hands out room for a record of this kind, or counts that there is none.
#[inline(always)]
pub fn reserve<T: 'static>(kind: u32) -> Option<aya_ebpf::maps::ring_buf::RingBufEntry<T>> {
    if !is_on(kind) {
        return None;
    }
    let entry = EVENTS.reserve::<T>(0);
    if entry.is_none()
        && let Some(lost) = EVENTS_LOST.get_ptr_mut(kind)
    {
        unsafe { groups::add(lost, 1) };
    }
    entry
}

/// Field by field: a struct built first would need most of a program's stack of 512 bytes.
#[inline(always)]
pub unsafe fn start(header: *mut EventHeader, kind: u32, group: u64, comm: [u8; COMM_BYTES]) {
    unsafe {
        (*header).boot_ns = bpf_ktime_get_boot_ns();
        (*header).group = group;
        (*header).kind = kind;
        (*header).comm = comm;
    }
}
