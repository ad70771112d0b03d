//! The counters that ports of InfiniBand adapters can have.

use skep_proto::MetricKind::{self, Counter, Gauge};

/// Data is counted per lane, and a port has four, says the manufacturer of most of them.
const LANES: f64 = 4.0;
const MILLISECOND: f64 = 1e-3;

/// Files, sorted, with their families, kinds, units and help.
pub(super) type Counters = [(&'static str, &'static str, MetricKind, f64, &'static str)];

/// By folder of the port.
pub(super) const FOLDERS: [(&str, &Counters); 3] =
    [("counters", COUNTERS), ("counters_ext", EXTENDED), ("hw_counters", HARDWARE)];

/// Those that the architecture knows.
const COUNTERS: &Counters = &[
    (
        "VL15_dropped",
        "node_infiniband_vl15_dropped_total",
        Counter,
        1.0,
        "Packets of the subnet manager dropped for want of buffers.",
    ),
    (
        "excessive_buffer_overrun_errors",
        "node_infiniband_excessive_buffer_overrun_errors_total",
        Counter,
        1.0,
        "Times in a row that buffers overran.",
    ),
    (
        "link_downed",
        "node_infiniband_link_downed_total",
        Counter,
        1.0,
        "Times the link failed and could not be trained again.",
    ),
    (
        "link_error_recovery",
        "node_infiniband_link_error_recovery_total",
        Counter,
        1.0,
        "Times the link failed and was trained again.",
    ),
    (
        "local_link_integrity_errors",
        "node_infiniband_local_link_integrity_errors_total",
        Counter,
        1.0,
        "Times that errors of the link went over their threshold.",
    ),
    (
        "multicast_rcv_packets",
        "node_infiniband_multicast_packets_received_total",
        Counter,
        1.0,
        "Multicast packets received, those with errors too.",
    ),
    (
        "multicast_xmit_packets",
        "node_infiniband_multicast_packets_transmitted_total",
        Counter,
        1.0,
        "Multicast packets sent, those with errors too.",
    ),
    (
        "port_rcv_constraint_errors",
        "node_infiniband_port_constraint_errors_received_total",
        Counter,
        1.0,
        "Packets that a switch's port received and dropped by rule.",
    ),
    (
        "port_rcv_data",
        "node_infiniband_port_data_received_bytes_total",
        Counter,
        LANES,
        "Bytes received.",
    ),
    (
        "port_rcv_discards",
        "node_infiniband_port_discards_received_total",
        Counter,
        1.0,
        "Packets received and dropped because the port was down or congested.",
    ),
    (
        "port_rcv_errors",
        "node_infiniband_port_errors_received_total",
        Counter,
        1.0,
        "Packets received with an error.",
    ),
    (
        "port_rcv_packets",
        "node_infiniband_port_packets_received_total",
        Counter,
        1.0,
        "Packets received, those with errors too.",
    ),
    (
        "port_rcv_remote_physical_errors",
        "node_infiniband_port_receive_remote_physical_errors_total",
        Counter,
        1.0,
        "Packets received that their sender had marked as bad.",
    ),
    (
        "port_rcv_switch_relay_errors",
        "node_infiniband_port_receive_switch_relay_errors_total",
        Counter,
        1.0,
        "Packets received that the switch could not pass on.",
    ),
    (
        "port_xmit_constraint_errors",
        "node_infiniband_port_constraint_errors_transmitted_total",
        Counter,
        1.0,
        "Packets that a switch's port did not send by rule.",
    ),
    (
        "port_xmit_data",
        "node_infiniband_port_data_transmitted_bytes_total",
        Counter,
        LANES,
        "Bytes sent.",
    ),
    (
        "port_xmit_discards",
        "node_infiniband_port_discards_transmitted_total",
        Counter,
        1.0,
        "Packets not sent because the port was down or congested.",
    ),
    (
        "port_xmit_packets",
        "node_infiniband_port_packets_transmitted_total",
        Counter,
        1.0,
        "Packets sent, those with errors too.",
    ),
    (
        "port_xmit_wait",
        "node_infiniband_port_transmit_wait_total",
        Counter,
        1.0,
        "Ticks in which the port had something to send and could not.",
    ),
    (
        "symbol_error",
        "node_infiniband_symbol_error_total",
        Counter,
        1.0,
        "Minor errors of the link.",
    ),
    (
        "unicast_rcv_packets",
        "node_infiniband_unicast_packets_received_total",
        Counter,
        1.0,
        "Unicast packets received, those with errors too.",
    ),
    (
        "unicast_xmit_packets",
        "node_infiniband_unicast_packets_transmitted_total",
        Counter,
        1.0,
        "Unicast packets sent, those with errors too.",
    ),
];

/// Those of 64 bits on kernels before 4.5.
const EXTENDED: &Counters = &[
    (
        "port_multicast_rcv_packets",
        "node_infiniband_legacy_multicast_packets_received_total",
        Counter,
        1.0,
        "Multicast packets received, as kernels before 4.5 count them.",
    ),
    (
        "port_multicast_xmit_packets",
        "node_infiniband_legacy_multicast_packets_transmitted_total",
        Counter,
        1.0,
        "Multicast packets sent, as kernels before 4.5 count them.",
    ),
    (
        "port_rcv_data_64",
        "node_infiniband_legacy_data_received_bytes_total",
        Counter,
        LANES,
        "Bytes received, as kernels before 4.5 count them.",
    ),
    (
        "port_rcv_packets_64",
        "node_infiniband_legacy_packets_received_total",
        Counter,
        1.0,
        "Packets received, as kernels before 4.5 count them.",
    ),
    (
        "port_unicast_rcv_packets",
        "node_infiniband_legacy_unicast_packets_received_total",
        Counter,
        1.0,
        "Unicast packets received, as kernels before 4.5 count them.",
    ),
    (
        "port_unicast_xmit_packets",
        "node_infiniband_legacy_unicast_packets_transmitted_total",
        Counter,
        1.0,
        "Unicast packets sent, as kernels before 4.5 count them.",
    ),
    (
        "port_xmit_data_64",
        "node_infiniband_legacy_data_transmitted_bytes_total",
        Counter,
        LANES,
        "Bytes sent, as kernels before 4.5 count them.",
    ),
    (
        "port_xmit_packets_64",
        "node_infiniband_legacy_packets_transmitted_total",
        Counter,
        1.0,
        "Packets sent, as kernels before 4.5 count them.",
    ),
];

/// Those of the adapter itself.
const HARDWARE: &Counters = &[
    (
        "duplicate_request",
        "node_infiniband_duplicate_requests_packets_total",
        Counter,
        1.0,
        "Requests received that had been done already.",
    ),
    (
        "implied_nak_seq_err",
        "node_infiniband_implied_nak_seq_errors_total",
        Counter,
        1.0,
        "Acknowledgements that came too early: answers before them were lost.",
    ),
    (
        "lifespan",
        "node_infiniband_lifespan_seconds",
        Gauge,
        MILLISECOND,
        "Seconds for which these counters may be kept before they are read anew.",
    ),
    (
        "local_ack_timeout_err",
        "node_infiniband_local_ack_timeout_errors_total",
        Counter,
        1.0,
        "Times that no acknowledgement came in time.",
    ),
    (
        "np_cnp_sent",
        "node_infiniband_np_cnp_packets_sent_total",
        Counter,
        1.0,
        "Packets sent to tell a sender of congestion.",
    ),
    (
        "np_ecn_marked_roce_packets",
        "node_infiniband_np_ecn_marked_roce_packets_received_total",
        Counter,
        1.0,
        "Packets received that told of congestion.",
    ),
    (
        "out_of_buffer",
        "node_infiniband_out_of_buffer_drops_total",
        Counter,
        1.0,
        "Packets dropped because the receive queue had no buffer for them.",
    ),
    (
        "out_of_sequence",
        "node_infiniband_out_of_sequence_packets_received_total",
        Counter,
        1.0,
        "Packets received out of order.",
    ),
    (
        "packet_seq_err",
        "node_infiniband_packet_sequence_errors_total",
        Counter,
        1.0,
        "Times the other side said that a packet was missing.",
    ),
    (
        "req_cqe_error",
        "node_infiniband_req_cqes_errors_total",
        Counter,
        1.0,
        "Requests of this side that ended with an error.",
    ),
    (
        "req_cqe_flush_error",
        "node_infiniband_req_cqes_flush_errors_total",
        Counter,
        1.0,
        "Requests of this side that were flushed.",
    ),
    (
        "req_remote_access_errors",
        "node_infiniband_req_remote_access_errors_total",
        Counter,
        1.0,
        "Requests of this side that the other did not let through.",
    ),
    (
        "req_remote_invalid_request",
        "node_infiniband_req_remote_invalid_request_errors_total",
        Counter,
        1.0,
        "Requests of this side that the other did not understand.",
    ),
    (
        "resp_cqe_error",
        "node_infiniband_resp_cqes_errors_total",
        Counter,
        1.0,
        "Requests of the other side that ended with an error.",
    ),
    (
        "resp_cqe_flush_error",
        "node_infiniband_resp_cqes_flush_errors_total",
        Counter,
        1.0,
        "Requests of the other side that were flushed.",
    ),
    (
        "resp_local_length_error",
        "node_infiniband_resp_local_length_errors_total",
        Counter,
        1.0,
        "Requests of the other side of a wrong length.",
    ),
    (
        "resp_remote_access_errors",
        "node_infiniband_resp_remote_access_errors_total",
        Counter,
        1.0,
        "Requests of the other side that were not let through.",
    ),
    (
        "rnr_nak_retry_err",
        "node_infiniband_rnr_nak_retry_packets_received_total",
        Counter,
        1.0,
        "Times the other side was not ready to receive.",
    ),
    (
        "roce_adp_retrans",
        "node_infiniband_roce_adp_retransmits_total",
        Counter,
        1.0,
        "Packets sent again adaptively.",
    ),
    (
        "roce_adp_retrans_to",
        "node_infiniband_roce_adp_retransmits_timeout_total",
        Counter,
        1.0,
        "Timeouts after which packets were sent again adaptively.",
    ),
    (
        "roce_slow_restart",
        "node_infiniband_roce_slow_restart_used_total",
        Counter,
        1.0,
        "Times that sending began again slowly.",
    ),
    (
        "roce_slow_restart_cnps",
        "node_infiniband_roce_slow_restart_cnps_total",
        Counter,
        1.0,
        "Packets telling of congestion that slow starts caused.",
    ),
    (
        "roce_slow_restart_trans",
        "node_infiniband_roce_slow_restart_total",
        Counter,
        1.0,
        "Times that sending changed to a slow start.",
    ),
    (
        "rp_cnp_handled",
        "node_infiniband_rp_cnp_packets_handled_total",
        Counter,
        1.0,
        "Packets telling of congestion that made this side send slower.",
    ),
    (
        "rp_cnp_ignored",
        "node_infiniband_rp_cnp_ignored_packets_received_total",
        Counter,
        1.0,
        "Packets telling of congestion that were ignored.",
    ),
    (
        "rx_atomic_requests",
        "node_infiniband_rx_atomic_requests_total",
        Counter,
        1.0,
        "Atomic operations received.",
    ),
    (
        "rx_dct_connect",
        "node_infiniband_rx_dct_connect_requests_total",
        Counter,
        1.0,
        "Requests for dynamic connections received.",
    ),
    (
        "rx_icrc_encapsulated",
        "node_infiniband_rx_icrc_encapsulated_errors_total",
        Counter,
        1.0,
        "Packets received whose inner checksum was wrong.",
    ),
    ("rx_read_requests", "node_infiniband_rx_read_requests_total", Counter, 1.0, "Reads received."),
    (
        "rx_write_requests",
        "node_infiniband_rx_write_requests_total",
        Counter,
        1.0,
        "Writes received.",
    ),
];

#[cfg(test)]
mod tests {
    use super::FOLDERS;

    #[test]
    fn the_tables_are_sorted() {
        for (folder, counters) in FOLDERS {
            assert!(counters.is_sorted_by_key(|it| it.0), "{folder}");
        }
    }
}
