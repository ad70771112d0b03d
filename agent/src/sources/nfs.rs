//! What this host asks of NFS servers, from `/proc/net/rpc/nfs`.

use skep_proto::MetricKind::Counter;

use super::{Context, SourceError, rpc_stats::RpcStats};
use crate::exposition::Exposition;

const FILE: &str = "/proc/net/rpc/nfs";

const REQUESTS: (&str, &str) =
    ("node_nfs_requests_total", "Requests to NFS servers by version of the protocol and method.");

/// Methods of version 2 in the order of the file, here and on the server.
pub(super) const V2: [&str; 18] = [
    "Null", "GetAttr", "SetAttr", "Root", "Lookup", "ReadLink", "Read", "WrCache", "Write",
    "Create", "Remove", "Rename", "Link", "SymLink", "MkDir", "RmDir", "ReadDir", "FsStat",
];

/// Methods of version 3 in the order of the file, here and on the server.
pub(super) const V3: [&str; 22] = [
    "Null",
    "GetAttr",
    "SetAttr",
    "Lookup",
    "Access",
    "ReadLink",
    "Read",
    "Write",
    "Create",
    "MkDir",
    "SymLink",
    "MkNod",
    "Remove",
    "RmDir",
    "Rename",
    "Link",
    "ReadDir",
    "ReadDirPlus",
    "FsStat",
    "FsInfo",
    "PathConf",
    "Commit",
];

/// Methods of version 4 in the order of the file; the newest kernels count a few more.
const V4: [&str; 59] = [
    "Null",
    "Read",
    "Write",
    "Commit",
    "Open",
    "OpenConfirm",
    "OpenNoattr",
    "OpenDowngrade",
    "Close",
    "Setattr",
    "FsInfo",
    "Renew",
    "SetClientID",
    "SetClientIDConfirm",
    "Lock",
    "Lockt",
    "Locku",
    "Access",
    "Getattr",
    "Lookup",
    "LookupRoot",
    "Remove",
    "Rename",
    "Link",
    "Symlink",
    "Create",
    "Pathconf",
    "StatFs",
    "ReadLink",
    "ReadDir",
    "ServerCaps",
    "DelegReturn",
    "GetACL",
    "SetACL",
    "FsLocations",
    "ReleaseLockowner",
    "Secinfo",
    "FsidPresent",
    "ExchangeID",
    "CreateSession",
    "DestroySession",
    "Sequence",
    "GetLeaseTime",
    "ReclaimComplete",
    "GetDeviceInfo",
    "LayoutGet",
    "LayoutCommit",
    "LayoutReturn",
    "SecinfoNoName",
    "TestStateID",
    "FreeStateID",
    "GetDeviceList",
    "BindConnToSession",
    "DestroyClientID",
    "Seek",
    "Allocate",
    "DeAllocate",
    "LayoutStats",
    "Clone",
];

pub(super) fn collect(context: &Context, out: &mut Exposition) -> Result<(), SourceError> {
    let stats = RpcStats::read(context, FILE, "NFS client")?;
    let net = stats.line("net")?;
    out.family("node_nfs_packets_total", "Packets from and to NFS servers by protocol.", Counter)
        .point([("protocol", "udp")], net.get(1))
        .point([("protocol", "tcp")], net.get(2));
    out.counter("node_nfs_connections_total", "TCP connections to NFS servers.", net.get(3));
    let rpc = stats.line("rpc")?;
    out.counter("node_nfs_rpcs_total", "Calls to NFS servers.", rpc.get(0));
    out.counter(
        "node_nfs_rpc_retransmissions_total",
        "Calls to NFS servers that were sent again.",
        rpc.get(1),
    );
    out.counter(
        "node_nfs_rpc_authentication_refreshes_total",
        "Times a call's credentials were renewed.",
        rpc.get(2),
    );
    stats.requests(out, REQUESTS, ("proc2", "2"), &V2)?;
    stats.requests(out, REQUESTS, ("proc3", "3"), &V3)?;
    stats.requests(out, REQUESTS, ("proc4", "4"), &V4)
}

#[cfg(test)]
mod tests {
    use expect_test::expect;

    use super::collect;
    use crate::sources::tests::Host;

    #[test]
    #[expect(clippy::too_many_lines, reason = "the golden is long")]
    fn requests_are_told_by_version_and_method() {
        let host = Host::default();
        host.file(
            "proc/net/rpc/nfs",
            "net 7 1 6 2\n\
             rpc 100 3 5\n\
             proc3 22 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 19 20 21 22\n\
             proc4 3 30 31 32\n",
        );
        host.check(collect, &expect![[r##"
            # HELP node_nfs_connections_total TCP connections to NFS servers.
            # TYPE node_nfs_connections_total counter
            node_nfs_connections_total 2
            # HELP node_nfs_packets_total Packets from and to NFS servers by protocol.
            # TYPE node_nfs_packets_total counter
            node_nfs_packets_total{protocol="udp"} 1
            node_nfs_packets_total{protocol="tcp"} 6
            # HELP node_nfs_requests_total Requests to NFS servers by version of the protocol and method.
            # TYPE node_nfs_requests_total counter
            node_nfs_requests_total{proto="2",method="Null"} 0
            node_nfs_requests_total{proto="2",method="GetAttr"} 0
            node_nfs_requests_total{proto="2",method="SetAttr"} 0
            node_nfs_requests_total{proto="2",method="Root"} 0
            node_nfs_requests_total{proto="2",method="Lookup"} 0
            node_nfs_requests_total{proto="2",method="ReadLink"} 0
            node_nfs_requests_total{proto="2",method="Read"} 0
            node_nfs_requests_total{proto="2",method="WrCache"} 0
            node_nfs_requests_total{proto="2",method="Write"} 0
            node_nfs_requests_total{proto="2",method="Create"} 0
            node_nfs_requests_total{proto="2",method="Remove"} 0
            node_nfs_requests_total{proto="2",method="Rename"} 0
            node_nfs_requests_total{proto="2",method="Link"} 0
            node_nfs_requests_total{proto="2",method="SymLink"} 0
            node_nfs_requests_total{proto="2",method="MkDir"} 0
            node_nfs_requests_total{proto="2",method="RmDir"} 0
            node_nfs_requests_total{proto="2",method="ReadDir"} 0
            node_nfs_requests_total{proto="2",method="FsStat"} 0
            node_nfs_requests_total{proto="3",method="Null"} 1
            node_nfs_requests_total{proto="3",method="GetAttr"} 2
            node_nfs_requests_total{proto="3",method="SetAttr"} 3
            node_nfs_requests_total{proto="3",method="Lookup"} 4
            node_nfs_requests_total{proto="3",method="Access"} 5
            node_nfs_requests_total{proto="3",method="ReadLink"} 6
            node_nfs_requests_total{proto="3",method="Read"} 7
            node_nfs_requests_total{proto="3",method="Write"} 8
            node_nfs_requests_total{proto="3",method="Create"} 9
            node_nfs_requests_total{proto="3",method="MkDir"} 10
            node_nfs_requests_total{proto="3",method="SymLink"} 11
            node_nfs_requests_total{proto="3",method="MkNod"} 12
            node_nfs_requests_total{proto="3",method="Remove"} 13
            node_nfs_requests_total{proto="3",method="RmDir"} 14
            node_nfs_requests_total{proto="3",method="Rename"} 15
            node_nfs_requests_total{proto="3",method="Link"} 16
            node_nfs_requests_total{proto="3",method="ReadDir"} 17
            node_nfs_requests_total{proto="3",method="ReadDirPlus"} 18
            node_nfs_requests_total{proto="3",method="FsStat"} 19
            node_nfs_requests_total{proto="3",method="FsInfo"} 20
            node_nfs_requests_total{proto="3",method="PathConf"} 21
            node_nfs_requests_total{proto="3",method="Commit"} 22
            node_nfs_requests_total{proto="4",method="Null"} 30
            node_nfs_requests_total{proto="4",method="Read"} 31
            node_nfs_requests_total{proto="4",method="Write"} 32
            node_nfs_requests_total{proto="4",method="Commit"} 0
            node_nfs_requests_total{proto="4",method="Open"} 0
            node_nfs_requests_total{proto="4",method="OpenConfirm"} 0
            node_nfs_requests_total{proto="4",method="OpenNoattr"} 0
            node_nfs_requests_total{proto="4",method="OpenDowngrade"} 0
            node_nfs_requests_total{proto="4",method="Close"} 0
            node_nfs_requests_total{proto="4",method="Setattr"} 0
            node_nfs_requests_total{proto="4",method="FsInfo"} 0
            node_nfs_requests_total{proto="4",method="Renew"} 0
            node_nfs_requests_total{proto="4",method="SetClientID"} 0
            node_nfs_requests_total{proto="4",method="SetClientIDConfirm"} 0
            node_nfs_requests_total{proto="4",method="Lock"} 0
            node_nfs_requests_total{proto="4",method="Lockt"} 0
            node_nfs_requests_total{proto="4",method="Locku"} 0
            node_nfs_requests_total{proto="4",method="Access"} 0
            node_nfs_requests_total{proto="4",method="Getattr"} 0
            node_nfs_requests_total{proto="4",method="Lookup"} 0
            node_nfs_requests_total{proto="4",method="LookupRoot"} 0
            node_nfs_requests_total{proto="4",method="Remove"} 0
            node_nfs_requests_total{proto="4",method="Rename"} 0
            node_nfs_requests_total{proto="4",method="Link"} 0
            node_nfs_requests_total{proto="4",method="Symlink"} 0
            node_nfs_requests_total{proto="4",method="Create"} 0
            node_nfs_requests_total{proto="4",method="Pathconf"} 0
            node_nfs_requests_total{proto="4",method="StatFs"} 0
            node_nfs_requests_total{proto="4",method="ReadLink"} 0
            node_nfs_requests_total{proto="4",method="ReadDir"} 0
            node_nfs_requests_total{proto="4",method="ServerCaps"} 0
            node_nfs_requests_total{proto="4",method="DelegReturn"} 0
            node_nfs_requests_total{proto="4",method="GetACL"} 0
            node_nfs_requests_total{proto="4",method="SetACL"} 0
            node_nfs_requests_total{proto="4",method="FsLocations"} 0
            node_nfs_requests_total{proto="4",method="ReleaseLockowner"} 0
            node_nfs_requests_total{proto="4",method="Secinfo"} 0
            node_nfs_requests_total{proto="4",method="FsidPresent"} 0
            node_nfs_requests_total{proto="4",method="ExchangeID"} 0
            node_nfs_requests_total{proto="4",method="CreateSession"} 0
            node_nfs_requests_total{proto="4",method="DestroySession"} 0
            node_nfs_requests_total{proto="4",method="Sequence"} 0
            node_nfs_requests_total{proto="4",method="GetLeaseTime"} 0
            node_nfs_requests_total{proto="4",method="ReclaimComplete"} 0
            node_nfs_requests_total{proto="4",method="GetDeviceInfo"} 0
            node_nfs_requests_total{proto="4",method="LayoutGet"} 0
            node_nfs_requests_total{proto="4",method="LayoutCommit"} 0
            node_nfs_requests_total{proto="4",method="LayoutReturn"} 0
            node_nfs_requests_total{proto="4",method="SecinfoNoName"} 0
            node_nfs_requests_total{proto="4",method="TestStateID"} 0
            node_nfs_requests_total{proto="4",method="FreeStateID"} 0
            node_nfs_requests_total{proto="4",method="GetDeviceList"} 0
            node_nfs_requests_total{proto="4",method="BindConnToSession"} 0
            node_nfs_requests_total{proto="4",method="DestroyClientID"} 0
            node_nfs_requests_total{proto="4",method="Seek"} 0
            node_nfs_requests_total{proto="4",method="Allocate"} 0
            node_nfs_requests_total{proto="4",method="DeAllocate"} 0
            node_nfs_requests_total{proto="4",method="LayoutStats"} 0
            node_nfs_requests_total{proto="4",method="Clone"} 0
            # HELP node_nfs_rpc_authentication_refreshes_total Times a call's credentials were renewed.
            # TYPE node_nfs_rpc_authentication_refreshes_total counter
            node_nfs_rpc_authentication_refreshes_total 5
            # HELP node_nfs_rpc_retransmissions_total Calls to NFS servers that were sent again.
            # TYPE node_nfs_rpc_retransmissions_total counter
            node_nfs_rpc_retransmissions_total 3
            # HELP node_nfs_rpcs_total Calls to NFS servers.
            # TYPE node_nfs_rpcs_total counter
            node_nfs_rpcs_total 100
        "##]]);
    }

    #[test]
    fn a_line_that_is_cut_off_is_told_and_a_host_without_a_client_has_none() {
        let host = Host::default();
        host.check(
            collect,
            &expect![[r#"
            error: this host has no NFS client
        "#]],
        );
        host.file("proc/net/rpc/nfs", "proc3 22 1 2 3\n").check(
            collect,
            &expect![[r#"
            error: /proc/net/rpc/nfs: a procedure's count is missing
        "#]],
        );
        host.file("proc/net/rpc/nfs", "net 7 one 6 2\n").check(
            collect,
            &expect![[r#"
            error: /proc/net/rpc/nfs: a count is not a number: "one"
        "#]],
        );
    }
}
