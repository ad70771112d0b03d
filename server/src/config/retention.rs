//! `[[retention]]`: how long rows of a table are kept, by selector.

use anyhow::{Context as _, bail};
use serde::Deserialize;
use skep_store::{LabelsOf, RetentionRule};

use super::{store::KEEP_ALL, values::positive_duration};

/// Each is asked for every new series.
const RULES_MAX: usize = 1_000;

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RawRule {
    table: RawTable,
    /// In PromQL's or LogQL's words; all of the table if left out.
    selector: Option<String>,
    /// A duration, or "off": for ever.
    period: String,
}

#[derive(Debug, Clone, Copy, Deserialize)]
#[serde(rename_all = "lowercase")]
enum RawTable {
    Samples,
    Logs,
}

pub(super) fn rules(raw: &[RawRule]) -> anyhow::Result<Vec<RetentionRule>> {
    if raw.len() > RULES_MAX {
        bail!("there are {} [[retention]] entries; write at most {RULES_MAX}", raw.len());
    }
    raw.iter().map(rule).collect()
}

fn rule(raw: &RawRule) -> anyhow::Result<RetentionRule> {
    let of = match raw.table {
        RawTable::Samples => LabelsOf::Series,
        RawTable::Logs => LabelsOf::Streams,
    };
    let matchers = match &raw.selector {
        // A stream selector is a series selector without a name.
        Some(text) => skep_promql::parse_selector(text)
            .with_context(|| format!("retention.selector {text:?} is not a selector"))?,
        None => Vec::new(),
    };
    let period = match raw.period.as_str() {
        KEEP_ALL => None,
        text => Some(positive_duration("retention.period", text)?),
    };
    Ok(RetentionRule { of, matchers, period })
}

#[cfg(test)]
mod tests {
    use crate::config::Config;

    fn check(text: &str, expected: &expect_test::Expect) {
        let found = match Config::parse(text) {
            Ok(config) => {
                let rules = config.store.retention_rules.iter();
                let text = |it: &skep_store::RetentionRule| {
                    let matchers: Vec<_> = it.matchers.iter().map(ToString::to_string).collect();
                    format!("{:?} {{{}}} {:?}\n", it.of, matchers.join(", "), it.period)
                };
                rules.map(text).collect()
            }
            Err(error) => format!("{error:#}\n"),
        };
        expected.assert_eq(&found);
    }

    #[test]
    fn rules_are_read_in_order_and_mistakes_are_named() {
        check(
            "[[retention]]\ntable = 'samples'\nselector = 'up{job=~\"a|b\"}'\nperiod = '7d'\n\
             [[retention]]\ntable = 'logs'\nperiod = 'off'",
            &expect_test::expect![[r#"
                Series {job=~"a|b", __name__="up"} Some(604800s)
                Streams {} None
            "#]],
        );
        check(
            "[[retention]]\ntable = 'logs'\nselector = '{a=}'\nperiod = '7d'",
            &expect_test::expect![[r#"
                retention.selector "{a=}" is not a selector: 1:4: parse error: unexpected "}" in label matching, expected string
            "#]],
        );
        check(
            "[[retention]]\ntable = 'logs'\nperiod = '7'",
            &expect_test::expect![[r#"
            retention.period "7" is not a duration; write a number and a unit, like "30d" or "15s": time unit needed, for example 7sec or 7ms
        "#]],
        );
    }
}
