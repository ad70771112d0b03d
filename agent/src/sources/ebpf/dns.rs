//! Questions to DNS servers over UDP and their answers.

use aya::programs::CgroupSkbAttachType;
use skep_abi::DnsCounts;
use skep_proto::MetricKind;

use super::{
    by_unit::counters,
    family::{Collect, CollectError, Family},
    histogram::{self, labels},
    loader::{Candidate, Hook, Program},
    maps::Maps,
};
use crate::exposition::{Exposition, as_f64};

pub(super) const FAMILY: Family = Family {
    programs: &[OUT, IN],
    start: Some(|_maps| Ok(Box::new(Dns::default()))),
    ..Family::EMPTY
};

const OUT: Program = Program {
    name: "dns_out",
    gives: "questions to DNS servers",
    candidates: &[Candidate {
        function: "dns_out",
        hook: Hook::CgroupSkb(CgroupSkbAttachType::Egress),
        needs: &[],
    }],
};
const IN: Program = Program {
    name: "dns_in",
    gives: "latency and failures of DNS",
    candidates: &[Candidate {
        function: "dns_in",
        hook: Hook::CgroupSkb(CgroupSkbAttachType::Ingress),
        needs: &[],
    }],
};

/// Names of answers' codes by RFC 1035 and RFC 2136.
const CODES: &[&str] = &[
    "noerror", "formerr", "servfail", "nxdomain", "notimp", "refused", "yxdomain", "yxrrset",
    "nxrrset", "notauth", "notzone",
];

counters!(DnsCounts { questions, answers, latency });

/// First what goes over the network, then what stays on the host.
#[derive(Debug, Default)]
struct Dns(Vec<DnsCounts>);

const SCOPES: [&str; 2] = ["network", "loopback"];

impl Collect for Dns {
    fn read(&mut self, maps: &Maps) -> Result<(), CollectError> {
        self.0 = maps.summed("DNS_COUNTS")?;
        Ok(())
    }

    fn expose(&self, out: &mut Exposition) {
        let scopes = || SCOPES.into_iter().zip(&self.0);
        let questions = out.family(
            "ebpf_dns_questions_total",
            "Questions to DNS servers over UDP; without an answer are those that have no answer in \
             ebpf_dns_answers_total.",
            MetricKind::Counter,
        );
        for (scope, counts) in scopes() {
            questions.point([("scope", scope)], as_f64(counts.questions));
        }
        let answers = out.family(
            "ebpf_dns_answers_total",
            "Answers of DNS servers over UDP to questions of this host.",
            MetricKind::Counter,
        );
        for (scope, counts) in scopes() {
            for (idx, count) in counts.answers.iter().enumerate() {
                // Those that everybody watches are told from the start.
                if let Some(code) = CODES.get(idx).filter(|_| *count > 0 || idx < 4) {
                    answers.point([("code", code), ("scope", scope)], as_f64(*count));
                }
            }
        }
        let latency = out.family(
            "ebpf_dns_seconds",
            "From a question to a DNS server until its answer.",
            MetricKind::Histogram,
        );
        for (scope, counts) in scopes() {
            histogram::add(latency, &labels([("scope", scope)]), &counts.latency);
        }
    }
}
