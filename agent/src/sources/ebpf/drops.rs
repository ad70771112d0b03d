//! Packets that the kernel threw away, by its reason.

use skep_proto::MetricKind;

use super::{
    btf::Btf,
    family::{Collect, CollectError, Family},
    loader::{Program, traced},
    maps::Maps,
};
use crate::exposition::{Exposition, as_f64};

pub(super) const FAMILY: Family = Family {
    programs: &[DROP],
    globals,
    start: Some(|maps| {
        Ok(Box::new(Drops { counts: Vec::new(), reasons: maps.drop_reasons.clone() }))
    }),
    ..Family::EMPTY
};

const DROP: Program = traced!(
    "drops",
    "packets that the kernel threw away, by reason",
    "packet_drop",
    "kfree_skb",
    2,
    &[]
);

/// Before 5.17 no reason is given: all are `not_specified`.
fn globals(btf: &Btf<'_>) -> Vec<(&'static str, u32)> {
    let has_reason = btf.tracepoint_args("kfree_skb").is_some_and(|it| it >= 3);
    vec![("DROP_REASON_ARG", u32::from(has_reason))]
}

/// The label `reason` by the kernel's number, from its BTF: the numbers change with each release.
pub(super) fn reasons(btf: &Btf<'_>) -> Vec<(u32, String)> {
    let values = btf.enum_values("skb_drop_reason").unwrap_or_default();
    let name = |text: &str| {
        let text = text.strip_prefix("SKB_DROP_REASON_").unwrap_or(text);
        text.strip_prefix("SKB_").unwrap_or(text).to_ascii_lowercase()
    };
    values.into_iter().map(|(text, value)| (value, name(text))).collect()
}

#[derive(Debug)]
struct Drops {
    /// By the kernel's number; the last one is all that are beyond.
    counts: Vec<u64>,
    reasons: Vec<(u32, String)>,
}

impl Collect for Drops {
    fn read(&mut self, maps: &Maps) -> Result<(), CollectError> {
        self.counts = maps.summed("DROPS")?;
        Ok(())
    }

    fn expose(&self, out: &mut Exposition) {
        let family = out.family(
            "ebpf_packet_drops_total",
            "Packets that the kernel threw away, by its own reason (skb_drop_reason).",
            MetricKind::Counter,
        );
        let counts = (0_u32..).zip(&self.counts).filter(|(_, count)| **count > 0);
        for (number, count) in counts {
            let name = self.reasons.iter().find(|(it, _)| *it == number).map(|(_, name)| name);
            let reason = name.map_or_else(|| unnamed(number), Clone::clone);
            family.point([("reason", &reason)], as_f64(*count));
        }
    }
}

/// Reasons of subsystems that have numbers of their own are counted together.
fn unnamed(number: u32) -> String {
    match number {
        0 => "not_specified".to_owned(),
        _ if number + 1 == skep_abi::DROP_REASONS_MAX => "other".to_owned(),
        _ => format!("reason_{number}"),
    }
}
