//! Errors of IPsec, from `/proc/net/xfrm_stat`.

use super::{Context, SourceError, number};
use crate::exposition::Exposition;

const FILE: &str = "/proc/net/xfrm_stat";

/// Key, metric, help.
const METRICS: [(&str, &str, &str); 28] = [
    (
        "XfrmInError",
        "node_xfrm_in_error_packets_total",
        "Incoming packets lost for reasons that are not told apart.",
    ),
    (
        "XfrmInBufferError",
        "node_xfrm_in_buffer_error_packets_total",
        "Incoming packets lost for want of memory.",
    ),
    (
        "XfrmInHdrError",
        "node_xfrm_in_hdr_error_packets_total",
        "Incoming packets with a bad header.",
    ),
    (
        "XfrmInNoStates",
        "node_xfrm_in_no_states_packets_total",
        "Incoming packets no state was found for: SPI, address or protocol is wrong.",
    ),
    (
        "XfrmInStateProtoError",
        "node_xfrm_in_state_proto_error_packets_total",
        "Incoming packets with an error of the protocol, such as a wrong key.",
    ),
    (
        "XfrmInStateModeError",
        "node_xfrm_in_state_mode_error_packets_total",
        "Incoming packets with an error of the mode.",
    ),
    (
        "XfrmInStateSeqError",
        "node_xfrm_in_state_seq_error_packets_total",
        "Incoming packets whose sequence number is outside the window.",
    ),
    (
        "XfrmInStateExpired",
        "node_xfrm_in_state_expired_packets_total",
        "Incoming packets whose state has expired.",
    ),
    (
        "XfrmInStateMismatch",
        "node_xfrm_in_state_mismatch_packets_total",
        "Incoming packets whose state does not match their encapsulation.",
    ),
    (
        "XfrmInStateInvalid",
        "node_xfrm_in_state_invalid_packets_total",
        "Incoming packets whose state is invalid.",
    ),
    (
        "XfrmInTmplMismatch",
        "node_xfrm_in_tmpl_mismatch_packets_total",
        "Incoming packets whose states do not match the policy's template.",
    ),
    (
        "XfrmInNoPols",
        "node_xfrm_in_no_pols_packets_total",
        "Incoming packets no policy was found for.",
    ),
    (
        "XfrmInPolBlock",
        "node_xfrm_in_pol_block_packets_total",
        "Incoming packets that a policy discards.",
    ),
    (
        "XfrmInPolError",
        "node_xfrm_in_pol_error_packets_total",
        "Incoming packets with an error of the policy.",
    ),
    (
        "XfrmOutError",
        "node_xfrm_out_error_packets_total",
        "Outgoing packets lost for reasons that are not told apart.",
    ),
    (
        "XfrmOutBundleGenError",
        "node_xfrm_out_bundle_gen_error_packets_total",
        "Outgoing packets whose bundle could not be made.",
    ),
    (
        "XfrmOutBundleCheckError",
        "node_xfrm_out_bundle_check_error_packets_total",
        "Outgoing packets whose bundle did not pass its check.",
    ),
    (
        "XfrmOutNoStates",
        "node_xfrm_out_no_states_packets_total",
        "Outgoing packets no state was found for.",
    ),
    (
        "XfrmOutStateProtoError",
        "node_xfrm_out_state_proto_error_packets_total",
        "Outgoing packets with an error of the protocol.",
    ),
    (
        "XfrmOutStateModeError",
        "node_xfrm_out_state_mode_error_packets_total",
        "Outgoing packets with an error of the mode.",
    ),
    (
        "XfrmOutStateSeqError",
        "node_xfrm_out_state_seq_error_packets_total",
        "Outgoing packets for which the sequence numbers are used up.",
    ),
    (
        "XfrmOutStateExpired",
        "node_xfrm_out_state_expired_packets_total",
        "Outgoing packets whose state has expired.",
    ),
    (
        "XfrmOutPolBlock",
        "node_xfrm_out_pol_block_packets_total",
        "Outgoing packets that a policy discards.",
    ),
    (
        "XfrmOutPolDead",
        "node_xfrm_out_pol_dead_packets_total",
        "Outgoing packets whose policy is dead.",
    ),
    (
        "XfrmOutPolError",
        "node_xfrm_out_pol_error_packets_total",
        "Outgoing packets with an error of the policy.",
    ),
    (
        "XfrmFwdHdrError",
        "node_xfrm_fwd_hdr_error_packets_total",
        "Forwarded packets with a bad header.",
    ),
    (
        "XfrmOutStateInvalid",
        "node_xfrm_out_state_invalid_packets_total",
        "Outgoing packets whose state is invalid.",
    ),
    (
        "XfrmAcquireError",
        "node_xfrm_acquire_error_packets_total",
        "Packets whose state could not be acquired.",
    ),
];

/// Newer kernels count more, which has no name yet.
pub(super) fn collect(context: &Context, out: &mut Exposition) -> Result<(), SourceError> {
    let Ok(text) = context.roots.read_proc("net/xfrm_stat") else {
        return Err(SourceError::NoData { what: "figures of IPsec" });
    };
    for line in text.lines() {
        let mut words = line.split_ascii_whitespace();
        let key = words.next();
        if let Some((.., name, help)) = METRICS.iter().find(|it| Some(it.0) == key) {
            out.counter(name, help, number(FILE, "a counter", words.next())?);
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use expect_test::expect;

    use super::{METRICS, collect};
    use crate::sources::tests::Host;

    #[test]
    fn each_counter_is_a_metric() {
        let lines = (1..).zip(METRICS).map(|(value, (key, ..))| format!("{key:24}\t{value}\n"));
        let text: String = lines.chain(["XfrmOutNewKind 9\n".to_owned()]).collect();
        let host = Host::default();
        let text = host.file("proc/net/xfrm_stat", &text).text(collect);
        let series: Vec<&str> = text.lines().filter(|it| !it.starts_with('#')).collect();
        expect![[r#"
            node_xfrm_acquire_error_packets_total 28
            node_xfrm_fwd_hdr_error_packets_total 26
            node_xfrm_in_buffer_error_packets_total 2
            node_xfrm_in_error_packets_total 1
            node_xfrm_in_hdr_error_packets_total 3
            node_xfrm_in_no_pols_packets_total 12
            node_xfrm_in_no_states_packets_total 4
            node_xfrm_in_pol_block_packets_total 13
            node_xfrm_in_pol_error_packets_total 14
            node_xfrm_in_state_expired_packets_total 8
            node_xfrm_in_state_invalid_packets_total 10
            node_xfrm_in_state_mismatch_packets_total 9
            node_xfrm_in_state_mode_error_packets_total 6
            node_xfrm_in_state_proto_error_packets_total 5
            node_xfrm_in_state_seq_error_packets_total 7
            node_xfrm_in_tmpl_mismatch_packets_total 11
            node_xfrm_out_bundle_check_error_packets_total 17
            node_xfrm_out_bundle_gen_error_packets_total 16
            node_xfrm_out_error_packets_total 15
            node_xfrm_out_no_states_packets_total 18
            node_xfrm_out_pol_block_packets_total 23
            node_xfrm_out_pol_dead_packets_total 24
            node_xfrm_out_pol_error_packets_total 25
            node_xfrm_out_state_expired_packets_total 22
            node_xfrm_out_state_invalid_packets_total 27
            node_xfrm_out_state_mode_error_packets_total 20
            node_xfrm_out_state_proto_error_packets_total 19
            node_xfrm_out_state_seq_error_packets_total 21"#]]
        .assert_eq(&series.join("\n"));
    }

    #[test]
    fn a_host_without_ipsec_has_no_data_and_what_is_no_number_is_named() {
        let host = Host::default();
        host.check(
            collect,
            &expect![[r#"
            error: this host has no figures of IPsec
        "#]],
        );
        host.file("proc/net/xfrm_stat", "XfrmInError x\n").check(
            collect,
            &expect![[r#"
            error: /proc/net/xfrm_stat: a counter is not a number: "x"
        "#]],
        );
        host.file("proc/net/xfrm_stat", "XfrmInError\n").check(
            collect,
            &expect![[r#"
            error: /proc/net/xfrm_stat: a counter is missing
        "#]],
        );
    }
}
