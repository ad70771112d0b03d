//! Which expositions are asked for, and which one an answer is.

use std::fmt;

use skep_receive::exposition::Syntax;

/// Prometheus' names for versions of the formats.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Protocol {
    OpenMetrics1_0_0,
    OpenMetrics0_0_1,
    Text1_0_0,
    Text0_0_4,
    Proto,
}

/// Name, header.
const PROTOCOLS: [(Protocol, &str, &str); 5] = [
    (
        Protocol::OpenMetrics0_0_1,
        "OpenMetricsText0.0.1",
        "application/openmetrics-text;version=0.0.1",
    ),
    (
        Protocol::OpenMetrics1_0_0,
        "OpenMetricsText1.0.0",
        "application/openmetrics-text;version=1.0.0",
    ),
    (
        Protocol::Proto,
        "PrometheusProto",
        "application/vnd.google.protobuf;proto=io.prometheus.client.MetricFamily;encoding=delimited",
    ),
    (Protocol::Text0_0_4, "PrometheusText0.0.4", "text/plain;version=0.0.4"),
    (Protocol::Text1_0_0, "PrometheusText1.0.0", "text/plain;version=1.0.0"),
];

/// How a body is read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Encoding {
    Text(Syntax),
}

impl Protocol {
    pub(crate) fn parse(text: &str) -> Result<Self, String> {
        let found = PROTOCOLS.into_iter().find(|(_, name, _)| *name == text);
        found.map(|(it, _, _)| it).ok_or_else(|| {
            let names: Vec<_> = PROTOCOLS.iter().map(|(_, name, _)| *name).collect();
            format!("unknown scrape protocol {text}, supported: [{}]", names.join(" "))
        })
    }

    pub(crate) fn list(texts: &[String]) -> Result<Vec<Self>, String> {
        if texts.is_empty() {
            return Err("scrape_protocols cannot be empty".to_owned());
        }
        let mut list = Vec::new();
        for text in texts {
            let protocol = Self::parse(text)?;
            if list.contains(&protocol) {
                return Err(format!(
                    "duplicated protocol in scrape_protocols, got [{}]",
                    texts.join(" ")
                ));
            }
            list.push(protocol);
        }
        Ok(list)
    }

    pub(crate) fn default_list() -> Vec<Self> {
        vec![Self::OpenMetrics1_0_0, Self::OpenMetrics0_0_1, Self::Text1_0_0, Self::Text0_0_4]
    }

    /// Whether its answers can be read.
    pub(crate) fn is_read(self) -> bool {
        self.encoding().is_some()
    }

    fn header(self) -> &'static str {
        PROTOCOLS.iter().find(|(it, _, _)| *it == self).map_or("", |(_, _, header)| header)
    }

    fn encoding(self) -> Option<Encoding> {
        match self {
            Self::OpenMetrics1_0_0 | Self::OpenMetrics0_0_1 => {
                Some(Encoding::Text(Syntax::OpenMetrics))
            }
            Self::Text1_0_0 | Self::Text0_0_4 => Some(Encoding::Text(Syntax::Text)),
            Self::Proto => None,
        }
    }
}

impl fmt::Display for Protocol {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = PROTOCOLS.iter().find(|(it, _, _)| it == self).map_or("", |(_, name, _)| name);
        out.write_str(name)
    }
}

/// The header `Accept`: the first protocol is the most wanted.
pub(crate) fn accept(protocols: &[Protocol], is_legacy: bool) -> String {
    let mut weight = PROTOCOLS.len() + 1;
    let mut values = Vec::new();
    for protocol in protocols {
        let takes_names = matches!(protocol, Protocol::OpenMetrics1_0_0 | Protocol::Text1_0_0);
        let escaping = match (takes_names, is_legacy) {
            (false, _) => "",
            (true, true) => ";escaping=underscores",
            (true, false) => ";escaping=allow-utf-8",
        };
        values.push(format!("{}{escaping};q=0.{weight}", protocol.header()));
        weight = weight.saturating_sub(1);
    }
    values.push(format!("*/*;q=0.{weight}"));
    values.join(",")
}

/// How to read an answer of this `Content-Type`.
///
/// # Errors
/// Prometheus' text for a type that is none of them.
pub(crate) fn encoding(content_type: &str, fallback: Option<Protocol>) -> Result<Encoding, String> {
    let media = content_type.split(';').next().unwrap_or_default().trim();
    match media.to_ascii_lowercase().as_str() {
        "application/openmetrics-text" => Ok(Encoding::Text(Syntax::OpenMetrics)),
        "text/plain" => Ok(Encoding::Text(Syntax::Text)),
        _ => fallback.and_then(Protocol::encoding).ok_or_else(|| {
            if content_type.is_empty() {
                "non-compliant scrape target sending blank Content-Type and no fallback_scrape_protocol specified for target".to_owned()
            } else {
                format!("received unsupported Content-Type {content_type:?} and no fallback_scrape_protocol specified for target")
            }
        }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_accept_header_is_prometheus() {
        expect_test::expect!["application/openmetrics-text;version=1.0.0;escaping=allow-utf-8;q=0.6,application/openmetrics-text;version=0.0.1;q=0.5,text/plain;version=1.0.0;escaping=allow-utf-8;q=0.4,text/plain;version=0.0.4;q=0.3,*/*;q=0.2"]
            .assert_eq(&accept(&Protocol::default_list(), false));
    }

    #[test]
    fn an_answer_without_a_known_type_needs_a_fallback() {
        let text = Encoding::Text(Syntax::Text);
        assert_eq!(encoding("text/plain; version=0.0.4; charset=utf-8", None), Ok(text));
        assert_eq!(encoding("", Some(Protocol::Text0_0_4)), Ok(text));
        assert!(encoding("", None).unwrap_err().contains("blank Content-Type"));
        assert!(encoding("text/html", None).unwrap_err().contains("\"text/html\""));
    }
}
