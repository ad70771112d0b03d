//! YAML into typed values, with the path of what is wrong.

use std::path::Path;

use serde::de::DeserializeOwned;

use super::ConfigError;

/// Ways to find targets that Prometheus has and this server does not.
const OTHER_DISCOVERIES: [&str; 29] = [
    "aws_sd_configs",
    "azure_sd_configs",
    "consul_sd_configs",
    "digitalocean_sd_configs",
    "dns_sd_configs",
    "docker_sd_configs",
    "dockerswarm_sd_configs",
    "ec2_sd_configs",
    "eureka_sd_configs",
    "gce_sd_configs",
    "hetzner_sd_configs",
    "ionos_sd_configs",
    "kubernetes_sd_configs",
    "kuma_sd_configs",
    "lightsail_sd_configs",
    "linode_sd_configs",
    "marathon_sd_configs",
    "nerve_sd_configs",
    "nomad_sd_configs",
    "openstack_sd_configs",
    "ovhcloud_sd_configs",
    "puppetdb_sd_configs",
    "scaleway_sd_configs",
    "serverset_sd_configs",
    "stackit_sd_configs",
    "triton_sd_configs",
    "uyuni_sd_configs",
    "vultr_sd_configs",
    "xds_sd_configs",
];

/// What is wrong with a document.
pub(crate) struct YamlFault {
    /// `scrape_configs[0].static_configs`, a full stop at the top.
    path: String,
    error: serde_saphyr::Error,
}

/// Reads one document; an empty one has no fields.
pub(crate) fn read<T: DeserializeOwned>(text: &str) -> Result<T, String> {
    parse(text).map_err(|it| it.text())
}

pub(super) fn read_config<T: DeserializeOwned>(path: &Path, text: &str) -> Result<T, ConfigError> {
    parse(text).map_err(|fault| match fault.other_discovery() {
        Some(service) => ConfigError::Discovery {
            path: path.to_owned(),
            service: service.to_owned(),
            at: fault.path.clone(),
        },
        None => ConfigError::Yaml { path: path.to_owned(), text: fault.text() },
    })
}

fn parse<T: DeserializeOwned>(text: &str) -> Result<T, Box<YamlFault>> {
    let mut path = None;
    let read = serde_saphyr::with_deserializer_from_str(text, |deserializer| {
        serde_path_to_error::deserialize(deserializer).map_err(|error| {
            path = Some(error.path().to_string());
            error.into_inner()
        })
    });
    read.map_err(|error| {
        Box::new(YamlFault { path: path.unwrap_or_else(|| ".".to_owned()), error })
    })
}

impl YamlFault {
    fn other_discovery(&self) -> Option<&str> {
        match self.error.without_snippet() {
            serde_saphyr::Error::SerdeUnknownField { field, .. } => {
                OTHER_DISCOVERIES.contains(&field.as_str()).then_some(field)
            }
            _ => None,
        }
    }

    /// On one line: where, and what.
    fn text(&self) -> String {
        let mut text = self.error.without_snippet().to_string();
        if let serde_saphyr::Error::SerdeUnknownField { field, .. } = self.error.without_snippet() {
            let at = self.error.location().map_or(0, |it| it.line());
            text = format!("line {at}: field {field} not found");
        }
        let text = text.lines().map(str::trim).collect::<Vec<_>>().join(" ");
        if self.path == "." { text } else { format!("{}: {text}", self.path) }
    }
}
