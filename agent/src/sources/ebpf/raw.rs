//! What needs `unsafe`: system calls that no crate offers, and plain bytes as records.

#![expect(unsafe_code, reason = "raw system calls, and records of the kernel's programs")]

use std::{
    io,
    os::fd::{AsFd as _, AsRawFd as _},
};

use aya::{
    Pod,
    maps::{MapData, RingBuf},
};
use tokio::io::{Interest, unix::AsyncFd};

/// `BPF_MAP_LOOKUP_BATCH` of `enum bpf_cmd`.
const LOOKUP_BATCH: libc::c_int = 24;
/// `BPF_MAP_DELETE_ELEM`.
const DELETE_ELEM: libc::c_int = 3;

/// The part of `union bpf_attr` for batches.
#[repr(C)]
#[derive(Default)]
struct BatchAttr {
    in_batch: u64,
    out_batch: u64,
    keys: u64,
    values: u64,
    count: u32,
    map_fd: u32,
    elem_flags: u64,
    flags: u64,
}

/// The part of `union bpf_attr` for one element.
#[repr(C)]
struct ElementAttr {
    map_fd: u32,
    reserved: u32,
    key: u64,
    value: u64,
    flags: u64,
}

/// Entries read by one call: bounds the buffer where there are many CPUs.
const BATCH_ENTRIES: usize = 256;

/// Hands out every entry of a map in a few system calls: ten times cheaper than one call an entry.
/// Each key comes with `n_values` values, one a CPU for per-CPU maps.
///
/// # Errors
/// Another size of keys or values than the map's, or the kernel's refusal: per-CPU arrays have no
/// batches before 5.13.
pub(super) fn for_each_entry<K: Pod + Default, V: Pod + Default>(
    map: &MapData,
    n_values: usize,
    mut take: impl FnMut(K, &[V]),
) -> io::Result<()> {
    // The kernel rounds a per-CPU value up to 8 bytes, so others would not lie where we look.
    const { assert!(size_of::<V>().is_multiple_of(8)) };
    let info = map.info().map_err(io::Error::other)?;
    let sizes = [info.key_size(), info.value_size()].map(usize::try_from);
    if sizes != [Ok(size_of::<K>()), Ok(size_of::<V>())] || n_values == 0 {
        return Err(io::Error::other("its entries have another size in the object"));
    }
    let mut keys = vec![K::default(); BATCH_ENTRIES];
    let mut values = vec![V::default(); BATCH_ENTRIES * n_values];
    let (mut position, mut next_position) = (0_u64, 0_u64);
    let mut is_first = true;
    loop {
        let mut attr = BatchAttr {
            in_batch: if is_first { 0 } else { &raw mut position as u64 },
            out_batch: &raw mut next_position as u64,
            keys: keys.as_mut_ptr() as u64,
            values: values.as_mut_ptr() as u64,
            count: u32::try_from(BATCH_ENTRIES).unwrap_or(u32::MAX),
            map_fd: u32::try_from(map.fd().as_fd().as_raw_fd()).unwrap_or(u32::MAX),
            ..BatchAttr::default()
        };
        // SAFETY: `attr` and what it points to outlive the call, and have room for `count` keys
        // and `count` times `n_values` values of the sizes that the map has; any bytes are valid
        // ones, since both are `Pod`.
        let result = unsafe {
            libc::syscall(libc::SYS_bpf, LOOKUP_BATCH, &raw mut attr, size_of::<BatchAttr>())
        };
        let error = io::Error::last_os_error();
        let is_last = result < 0;
        if is_last && error.raw_os_error() != Some(libc::ENOENT) {
            return Err(error);
        }
        let n_read = usize::try_from(attr.count).unwrap_or(0);
        for (key, values) in keys.iter().zip(values.chunks_exact(n_values)).take(n_read) {
            take(*key, values);
        }
        if is_last {
            return Ok(());
        }
        (position, is_first) = (next_position, false);
    }
}

/// Removes an entry of a hash map.
///
/// # Errors
/// Another size of key than the map's, or the kernel's refusal, as for an entry that is not there.
pub(super) fn delete<K: Pod>(map: &MapData, key: &K) -> io::Result<()> {
    let info = map.info().map_err(io::Error::other)?;
    if usize::try_from(info.key_size()) != Ok(size_of::<K>()) {
        return Err(io::Error::other("its keys have another size in the object"));
    }
    let attr = ElementAttr {
        map_fd: u32::try_from(map.fd().as_fd().as_raw_fd()).unwrap_or(u32::MAX),
        reserved: 0,
        key: std::ptr::from_ref(key) as u64,
        value: 0,
        flags: 0,
    };
    // SAFETY: `attr` and the key outlive the call, and the key has the size that the map has.
    let result =
        unsafe { libc::syscall(libc::SYS_bpf, DELETE_ELEM, &raw const attr, size_of_val(&attr)) };
    if result == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

/// The record that starts a ring buffer's item; `None` if the item is shorter.
pub(super) fn record<T: Pod>(item: &[u8]) -> Option<T> {
    if item.len() < size_of::<T>() {
        return None;
    }
    // SAFETY: there are enough bytes, any of them are a valid `T`, and no alignment is asked for.
    Some(unsafe { item.as_ptr().cast::<T>().read_unaligned() })
}

/// A ring buffer that a task can wait for.
///
/// # Errors
/// Too many open files, or no runtime with I/O.
pub(super) fn watch(ring: RingBuf<MapData>) -> io::Result<AsyncFd<RingBuf<MapData>>> {
    // SAFETY: the ring owns its descriptor and keeps it open and the same as long as it lives.
    Ok(unsafe { AsyncFd::register_with_interest(ring, Interest::READABLE) }?)
}

/// As [`watch`], for the log lines of kernel programs.
///
/// # Errors
/// As [`watch`].
pub(super) fn watch_log<T: log::Log>(
    logger: aya_log::EbpfLogger<T>,
) -> io::Result<AsyncFd<aya_log::EbpfLogger<T>>> {
    // SAFETY: the logger owns its ring's descriptor and keeps it open and the same as long as it
    // lives.
    Ok(unsafe { AsyncFd::register_with_interest(logger, Interest::READABLE) }?)
}

/// Mounts tracefs, which classic tracepoints are found through.
///
/// # Errors
/// Not root, or a kernel without it.
pub(super) fn mount_tracefs() -> io::Result<()> {
    let (kind, at) = (c"tracefs", c"/sys/kernel/tracing");
    // SAFETY: all strings end in NUL, and tracefs takes no data.
    let result =
        unsafe { libc::mount(kind.as_ptr(), at.as_ptr(), kind.as_ptr(), 0, std::ptr::null()) };
    if result == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

/// The size of a page of memory.
pub(super) fn page_bytes() -> u32 {
    // SAFETY: reads a constant of the system.
    let bytes = unsafe { libc::sysconf(libc::_SC_PAGESIZE) };
    u32::try_from(bytes).unwrap_or(4096)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_item_that_is_too_short_is_no_record() {
        assert_eq!(record::<u32>(&[1, 0, 0]), None);
        assert_eq!(record::<u32>(&7_u32.to_ne_bytes()), Some(7));
    }
}
