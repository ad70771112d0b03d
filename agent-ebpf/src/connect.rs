//! TCP connections that processes of this host ask for, and what becomes of them.

use aya_ebpf::{
    helpers::{
        bpf_get_current_cgroup_id, bpf_get_current_comm, bpf_get_current_pid_tgid,
        bpf_get_current_uid_gid, bpf_ktime_get_ns,
    },
    macros::map,
    maps::LruHashMap,
};
use skep_abi::{Connect, ConnectEvent, event_kind};

use crate::{
    events,
    networks::{AF_INET6, PEER_ADDRESS, PEER_ADDRESS6, PEER_FAMILY},
    packet::V4_IN_V6,
    task::{Memory, Probe, offsets},
    traced::traced,
};

offsets! {
    CONNECT_PORT,
    CONNECT_ERROR,
}

/// Connections on their way, by the socket's address.
#[map]
static CONNECTS: LruHashMap<u64, Connect> = LruHashMap::with_max_entries(4096, 0);

/// States of `include/net/tcp_states.h`.
const TCP_ESTABLISHED: u32 = 1;
const TCP_SYN_SENT: u32 = 2;

traced! {
    "inet_sock_set_state" tcp_connect tcp_connect_raw |ctx| {
        let (before, now): (u64, u64) = (ctx.arg(1), ctx.arg(2));
        unsafe { state(ctx.arg(0), before as u32, now as u32) };
    };
}

#[inline(always)]
unsafe fn state(sock: *const u8, before: u32, now: u32) {
    if !events::is_on(event_kind::TCP_CONNECT) {
        return;
    }
    let key = sock as u64;
    if now == TCP_SYN_SENT {
        // The one time that the process that asks is the current one.
        let connect = Connect {
            started_ns: unsafe { bpf_ktime_get_ns() },
            group: unsafe { bpf_get_current_cgroup_id() },
            pid: (bpf_get_current_pid_tgid() >> 32) as u32,
            uid: bpf_get_current_uid_gid() as u32,
            comm: bpf_get_current_comm().unwrap_or_default(),
        };
        let _ = CONNECTS.insert(&key, &connect, 0);
    } else if before == TCP_SYN_SENT
        && let Some(connect) = CONNECTS.get_ptr(&key)
    {
        unsafe { tell(sock, connect, now == TCP_ESTABLISHED) };
        let _ = CONNECTS.remove(&key);
    }
}

#[inline(always)]
unsafe fn tell(sock: *const u8, connect: *const Connect, is_made: bool) {
    let Some(mut entry) = events::reserve::<ConnectEvent>(event_kind::TCP_CONNECT) else { return };
    let event = entry.as_mut_ptr();
    unsafe {
        let header = &raw mut (*event).header;
        events::start(header, event_kind::TCP_CONNECT, (*connect).group, (*connect).comm);
        (*header).pid = (*connect).pid;
        (*header).parent_pid = 0;
        (*header).uid = (*connect).uid;
        (*event).duration_ns = bpf_ktime_get_ns().saturating_sub((*connect).started_ns);
        let port: u16 = Probe::load(sock, CONNECT_PORT.load());
        (*event).port = u32::from(u16::from_be(port));
        (*event).is_made = u32::from(is_made);
        (*event).errno = Probe::load(sock, CONNECT_ERROR.load());
        (*event).reserved = 0;
        let family: u16 = Probe::load(sock, PEER_FAMILY.load());
        if family == AF_INET6 {
            (*event).address = Probe::load(sock, PEER_ADDRESS6.load());
        } else {
            (*event).address = [0, 0, V4_IN_V6, Probe::load(sock, PEER_ADDRESS.load())];
        }
    }
    entry.submit(0);
}
