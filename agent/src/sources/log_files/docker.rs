//! What Docker says about the container a log file is of: `config.v2.json` beside it.

use std::{collections::BTreeMap, fs::File, io::Read as _, path::Path};

use serde::Deserialize;

/// Docker's own are some 10 KB.
const CONFIG_BYTES_MAX: u64 = 4 << 20;
/// Labels of one container.
const LABELS_MAX: usize = 200;

#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "PascalCase")]
struct ContainerConfig {
    #[serde(rename = "ID")]
    id: String,
    name: String,
    config: ImageConfig,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "PascalCase")]
struct ImageConfig {
    image: String,
    labels: BTreeMap<String, String>,
}

/// Labels for relabelling, named as Prometheus' Docker discovery names them, and `container`, the
/// name. None where the file cannot be read.
pub(super) fn labels(log_file: &Path) -> Vec<(String, String)> {
    let mut text = String::new();
    let read = File::open(log_file.with_file_name("config.v2.json"))
        .and_then(|it| it.take(CONFIG_BYTES_MAX).read_to_string(&mut text));
    match read {
        Ok(_) => parse(&text),
        Err(_) => Vec::new(),
    }
}

fn parse(text: &str) -> Vec<(String, String)> {
    let Ok(container) = serde_json::from_str::<ContainerConfig>(text) else { return Vec::new() };
    let ContainerConfig { id, name, config } = container;
    let mut labels = vec![
        ("container".to_owned(), name.trim_start_matches('/').to_owned()),
        ("__meta_docker_container_id".to_owned(), id),
        ("__meta_docker_container_name".to_owned(), name),
        ("__meta_docker_container_image".to_owned(), config.image),
    ];
    for (key, value) in config.labels.into_iter().take(LABELS_MAX) {
        let key = key.replace(|c: char| !c.is_ascii_alphanumeric() && c != '_', "_");
        labels.push((format!("__meta_docker_container_label_{key}"), value));
    }
    labels
}

#[cfg(test)]
mod tests {
    use expect_test::expect;

    use super::*;

    #[test]
    fn a_container_has_its_name_and_its_labels() {
        let config = r#"{"ID":"f00","Name":"/web-1","State":{"Running":true},"Config":{
            "Image":"nginx:1","Labels":{"com.docker.compose.service":"web"}}}"#;
        let labels: Vec<String> =
            parse(config).into_iter().map(|(name, value)| format!("{name}={value}")).collect();
        expect![[r"
            container=web-1
            __meta_docker_container_id=f00
            __meta_docker_container_name=/web-1
            __meta_docker_container_image=nginx:1
            __meta_docker_container_label_com_docker_compose_service=web"]]
        .assert_eq(&labels.join("\n"));
        assert_eq!(parse("{"), Vec::new());
    }
}
