//! What NFS clients ask of this host, from `/proc/net/rpc/nfsd`.

use skep_proto::MetricKind::Counter;

use super::{Context, SourceError, nfs, rpc_stats::RpcStats};
use crate::exposition::Exposition;

const FILE: &str = "/proc/net/rpc/nfsd";

const REQUESTS: (&str, &str) =
    ("node_nfsd_requests_total", "Requests of NFS clients by version of the protocol and method.");

/// Operations of version 4 in the order of the file; those without a name are not told. The newest
/// kernels count those of 4.1 and 4.2, too.
const V4_OPS: [&str; 40] = [
    "",
    "",
    "",
    "Access",
    "Close",
    "Commit",
    "Create",
    "DelegPurge",
    "DelegReturn",
    "GetAttr",
    "GetFH",
    "Link",
    "Lock",
    "Lockt",
    "Locku",
    "Lookup",
    "LookupRoot",
    "Nverify",
    "Open",
    "OpenAttr",
    "OpenConfirm",
    "OpenDgrd",
    "PutFH",
    "",
    "",
    "Read",
    "ReadDir",
    "ReadLink",
    "Remove",
    "Rename",
    "Renew",
    "RestoreFH",
    "SaveFH",
    "SecInfo",
    "SetAttr",
    "SetClientID",
    "SetClientIDConfirm",
    "Verify",
    "Write",
    "RelLockOwner",
];

/// Lines, places in them, families and help.
const COUNTERS: [(&str, usize, &str, &str); 9] = [
    (
        "rc",
        0,
        "node_nfsd_reply_cache_hits_total",
        "Requests that were answered again: the client had lost the answer.",
    ),
    ("rc", 1, "node_nfsd_reply_cache_misses_total", "Requests whose answer had to be remembered."),
    (
        "rc",
        2,
        "node_nfsd_reply_cache_nocache_total",
        "Requests whose answer need not be remembered.",
    ),
    ("fh", 0, "node_nfsd_file_handles_stale_total", "File handles of clients whose file was gone."),
    ("io", 0, "node_nfsd_disk_bytes_read_total", "Bytes read for NFS clients."),
    ("io", 1, "node_nfsd_disk_bytes_written_total", "Bytes written for NFS clients."),
    (
        "ra",
        11,
        "node_nfsd_read_ahead_cache_not_found_total",
        "Reads for which nothing was read ahead.",
    ),
    ("net", 3, "node_nfsd_connections_total", "TCP connections of NFS clients."),
    ("rpc", 0, "node_nfsd_server_rpcs_total", "Calls of NFS clients."),
];

pub(super) fn collect(context: &Context, out: &mut Exposition) -> Result<(), SourceError> {
    let stats = RpcStats::read(context, FILE, "NFS server")?;
    for (line, idx, name, help) in COUNTERS {
        out.counter(name, help, stats.line(line)?.get(idx));
    }
    let threads = stats.line("th")?.get(0);
    out.gauge("node_nfsd_server_threads", "Threads of the NFS server.", threads);
    out.gauge(
        "node_nfsd_read_ahead_cache_size_blocks",
        "Blocks that are read ahead.",
        stats.line("ra")?.get(0),
    );
    let net = stats.line("net")?;
    out.family("node_nfsd_packets_total", "Packets from and to NFS clients by protocol.", Counter)
        .point([("proto", "udp")], net.get(1))
        .point([("proto", "tcp")], net.get(2));
    let rpc = stats.line("rpc")?;
    out.family(
        "node_nfsd_rpc_errors_total",
        "Calls of NFS clients that were refused, by what was wrong with them.",
        Counter,
    )
    .point([("error", "fmt")], rpc.get(2))
    .point([("error", "auth")], rpc.get(3))
    .point([("error", "cInt")], rpc.get(4));
    // node_exporter does not tell how often nothing was asked, of servers.
    stats.requests(out, REQUESTS, ("proc2", "2"), &without_null(nfs::V2))?;
    stats.requests(out, REQUESTS, ("proc3", "3"), &without_null(nfs::V3))?;
    stats.requests(out, REQUESTS, ("proc4ops", "4"), &V4_OPS)?;
    let count = stats.line("wdeleg_getattr")?.get(0);
    let (family, help) = REQUESTS;
    out.family(family, help, Counter).point([("proto", "4"), ("method", "WdelegGetattr")], count);
    Ok(())
}

fn without_null<const N: usize>(methods: [&'static str; N]) -> [&'static str; N] {
    methods.map(|it| if it == "Null" { "" } else { it })
}

#[cfg(test)]
mod tests {
    use expect_test::expect;

    use super::collect;
    use crate::sources::tests::Host;

    #[test]
    #[expect(clippy::too_many_lines, reason = "the golden is long")]
    fn what_the_server_did_is_read() {
        let host = Host::default();
        host.file(
            "proc/net/rpc/nfsd",
            "rc 1 2 3\n\
             fh 4 0 0 0 0\n\
             io 1000 2000\n\
             th 8 0 0.000 0.000 0.000 0.000 0.000 0.000 0.000 0.000 0.000 0.000\n\
             ra 32 0 0 0 0 0 0 0 0 0 0 5\n\
             net 9 1 8 6\n\
             rpc 20 3 1 1 1\n\
             proc3 22 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 19 20 21 22\n\
             proc4 2 2 10853\n\
             proc4ops 10 91 92 93 4 5 6 7 8 9 10\n\
             wdeleg_getattr 15\n\
             something_new 1 2\n",
        );
        host.check(collect, &expect![[r##"
            # HELP node_nfsd_connections_total TCP connections of NFS clients.
            # TYPE node_nfsd_connections_total counter
            node_nfsd_connections_total 6
            # HELP node_nfsd_disk_bytes_read_total Bytes read for NFS clients.
            # TYPE node_nfsd_disk_bytes_read_total counter
            node_nfsd_disk_bytes_read_total 1000
            # HELP node_nfsd_disk_bytes_written_total Bytes written for NFS clients.
            # TYPE node_nfsd_disk_bytes_written_total counter
            node_nfsd_disk_bytes_written_total 2000
            # HELP node_nfsd_file_handles_stale_total File handles of clients whose file was gone.
            # TYPE node_nfsd_file_handles_stale_total counter
            node_nfsd_file_handles_stale_total 4
            # HELP node_nfsd_packets_total Packets from and to NFS clients by protocol.
            # TYPE node_nfsd_packets_total counter
            node_nfsd_packets_total{proto="udp"} 1
            node_nfsd_packets_total{proto="tcp"} 8
            # HELP node_nfsd_read_ahead_cache_not_found_total Reads for which nothing was read ahead.
            # TYPE node_nfsd_read_ahead_cache_not_found_total counter
            node_nfsd_read_ahead_cache_not_found_total 5
            # HELP node_nfsd_read_ahead_cache_size_blocks Blocks that are read ahead.
            # TYPE node_nfsd_read_ahead_cache_size_blocks gauge
            node_nfsd_read_ahead_cache_size_blocks 32
            # HELP node_nfsd_reply_cache_hits_total Requests that were answered again: the client had lost the answer.
            # TYPE node_nfsd_reply_cache_hits_total counter
            node_nfsd_reply_cache_hits_total 1
            # HELP node_nfsd_reply_cache_misses_total Requests whose answer had to be remembered.
            # TYPE node_nfsd_reply_cache_misses_total counter
            node_nfsd_reply_cache_misses_total 2
            # HELP node_nfsd_reply_cache_nocache_total Requests whose answer need not be remembered.
            # TYPE node_nfsd_reply_cache_nocache_total counter
            node_nfsd_reply_cache_nocache_total 3
            # HELP node_nfsd_requests_total Requests of NFS clients by version of the protocol and method.
            # TYPE node_nfsd_requests_total counter
            node_nfsd_requests_total{proto="2",method="GetAttr"} 0
            node_nfsd_requests_total{proto="2",method="SetAttr"} 0
            node_nfsd_requests_total{proto="2",method="Root"} 0
            node_nfsd_requests_total{proto="2",method="Lookup"} 0
            node_nfsd_requests_total{proto="2",method="ReadLink"} 0
            node_nfsd_requests_total{proto="2",method="Read"} 0
            node_nfsd_requests_total{proto="2",method="WrCache"} 0
            node_nfsd_requests_total{proto="2",method="Write"} 0
            node_nfsd_requests_total{proto="2",method="Create"} 0
            node_nfsd_requests_total{proto="2",method="Remove"} 0
            node_nfsd_requests_total{proto="2",method="Rename"} 0
            node_nfsd_requests_total{proto="2",method="Link"} 0
            node_nfsd_requests_total{proto="2",method="SymLink"} 0
            node_nfsd_requests_total{proto="2",method="MkDir"} 0
            node_nfsd_requests_total{proto="2",method="RmDir"} 0
            node_nfsd_requests_total{proto="2",method="ReadDir"} 0
            node_nfsd_requests_total{proto="2",method="FsStat"} 0
            node_nfsd_requests_total{proto="3",method="GetAttr"} 2
            node_nfsd_requests_total{proto="3",method="SetAttr"} 3
            node_nfsd_requests_total{proto="3",method="Lookup"} 4
            node_nfsd_requests_total{proto="3",method="Access"} 5
            node_nfsd_requests_total{proto="3",method="ReadLink"} 6
            node_nfsd_requests_total{proto="3",method="Read"} 7
            node_nfsd_requests_total{proto="3",method="Write"} 8
            node_nfsd_requests_total{proto="3",method="Create"} 9
            node_nfsd_requests_total{proto="3",method="MkDir"} 10
            node_nfsd_requests_total{proto="3",method="SymLink"} 11
            node_nfsd_requests_total{proto="3",method="MkNod"} 12
            node_nfsd_requests_total{proto="3",method="Remove"} 13
            node_nfsd_requests_total{proto="3",method="RmDir"} 14
            node_nfsd_requests_total{proto="3",method="Rename"} 15
            node_nfsd_requests_total{proto="3",method="Link"} 16
            node_nfsd_requests_total{proto="3",method="ReadDir"} 17
            node_nfsd_requests_total{proto="3",method="ReadDirPlus"} 18
            node_nfsd_requests_total{proto="3",method="FsStat"} 19
            node_nfsd_requests_total{proto="3",method="FsInfo"} 20
            node_nfsd_requests_total{proto="3",method="PathConf"} 21
            node_nfsd_requests_total{proto="3",method="Commit"} 22
            node_nfsd_requests_total{proto="4",method="Access"} 4
            node_nfsd_requests_total{proto="4",method="Close"} 5
            node_nfsd_requests_total{proto="4",method="Commit"} 6
            node_nfsd_requests_total{proto="4",method="Create"} 7
            node_nfsd_requests_total{proto="4",method="DelegPurge"} 8
            node_nfsd_requests_total{proto="4",method="DelegReturn"} 9
            node_nfsd_requests_total{proto="4",method="GetAttr"} 10
            node_nfsd_requests_total{proto="4",method="GetFH"} 0
            node_nfsd_requests_total{proto="4",method="Link"} 0
            node_nfsd_requests_total{proto="4",method="Lock"} 0
            node_nfsd_requests_total{proto="4",method="Lockt"} 0
            node_nfsd_requests_total{proto="4",method="Locku"} 0
            node_nfsd_requests_total{proto="4",method="Lookup"} 0
            node_nfsd_requests_total{proto="4",method="LookupRoot"} 0
            node_nfsd_requests_total{proto="4",method="Nverify"} 0
            node_nfsd_requests_total{proto="4",method="Open"} 0
            node_nfsd_requests_total{proto="4",method="OpenAttr"} 0
            node_nfsd_requests_total{proto="4",method="OpenConfirm"} 0
            node_nfsd_requests_total{proto="4",method="OpenDgrd"} 0
            node_nfsd_requests_total{proto="4",method="PutFH"} 0
            node_nfsd_requests_total{proto="4",method="Read"} 0
            node_nfsd_requests_total{proto="4",method="ReadDir"} 0
            node_nfsd_requests_total{proto="4",method="ReadLink"} 0
            node_nfsd_requests_total{proto="4",method="Remove"} 0
            node_nfsd_requests_total{proto="4",method="Rename"} 0
            node_nfsd_requests_total{proto="4",method="Renew"} 0
            node_nfsd_requests_total{proto="4",method="RestoreFH"} 0
            node_nfsd_requests_total{proto="4",method="SaveFH"} 0
            node_nfsd_requests_total{proto="4",method="SecInfo"} 0
            node_nfsd_requests_total{proto="4",method="SetAttr"} 0
            node_nfsd_requests_total{proto="4",method="SetClientID"} 0
            node_nfsd_requests_total{proto="4",method="SetClientIDConfirm"} 0
            node_nfsd_requests_total{proto="4",method="Verify"} 0
            node_nfsd_requests_total{proto="4",method="Write"} 0
            node_nfsd_requests_total{proto="4",method="RelLockOwner"} 0
            node_nfsd_requests_total{proto="4",method="WdelegGetattr"} 15
            # HELP node_nfsd_rpc_errors_total Calls of NFS clients that were refused, by what was wrong with them.
            # TYPE node_nfsd_rpc_errors_total counter
            node_nfsd_rpc_errors_total{error="fmt"} 1
            node_nfsd_rpc_errors_total{error="auth"} 1
            node_nfsd_rpc_errors_total{error="cInt"} 1
            # HELP node_nfsd_server_rpcs_total Calls of NFS clients.
            # TYPE node_nfsd_server_rpcs_total counter
            node_nfsd_server_rpcs_total 20
            # HELP node_nfsd_server_threads Threads of the NFS server.
            # TYPE node_nfsd_server_threads gauge
            node_nfsd_server_threads 8
        "##]]);
    }

    #[test]
    fn a_line_that_is_damaged_is_told_and_a_host_without_a_server_has_none() {
        let host = Host::default();
        host.check(
            collect,
            &expect![[r#"
            error: this host has no NFS server
        "#]],
        );
        host.file("proc/net/rpc/nfsd", "proc4ops 40 1 2\n").check(
            collect,
            &expect![[r#"
            error: /proc/net/rpc/nfsd: a procedure's count is missing
        "#]],
        );
        host.file("proc/net/rpc/nfsd", "io 1000 -\n").check(
            collect,
            &expect![[r#"
            error: /proc/net/rpc/nfsd: a count is not a number: "-"
        "#]],
        );
    }
}
