//! One of `scrape_configs` as a journal or as files.

use std::collections::BTreeMap;

use serde_json::{Value as Json, json};
use skep_proto::relabel::RawRule;

use super::{
    ConvertError,
    config::{LineLimits, RawDockerSd, RawJob, RawJournalTarget, RawStatic},
    refused,
};
use crate::{
    pipeline::{RawStages, checked_stages},
    sources::{
        journal::{RawJournal, parse_matches},
        log_files::{Format, LongLines, RawFiles},
    },
};

const PATH_LABEL: &str = "__path__";
const EXCLUDE_LABEL: &str = "__path_exclude__";
/// Where Docker keeps what its json-file driver writes.
const DOCKER_FILES: &str = "/var/lib/docker/containers/*/*-json.log";
const STREAM_LABEL: &str = "__meta_docker_container_log_stream";
/// Names that Docker's discovery has and `config.v2.json` has, too.
const DOCKER_LABELS: [&str; 4] = [
    "__meta_docker_container_id",
    "__meta_docker_container_name",
    "__meta_docker_container_image",
    "__meta_docker_container_label_",
];

/// What a job becomes.
pub(super) enum Job {
    Journal(Box<RawJournal>),
    Files(Vec<RawFiles>),
}

impl RawJob {
    pub(super) fn converted(
        mut self,
        limits: &LineLimits,
        notes: &mut Vec<String>,
    ) -> Result<Job, ConvertError> {
        let at = format!("scrape_configs {:?}", self.job_name);
        if self.job_name.is_empty() {
            return Err(refused("scrape_configs", "job_name is empty"));
        }
        self.refuse_others(&at)?;
        fill_empty(&mut self.pipeline_stages);
        if let Some(rate) = &limits.rate {
            self.pipeline_stages.push(stage("limit", rate.clone()));
        }
        check_stages(&at, &self.pipeline_stages)?;
        check_rules(&at, &self.relabel_configs)?;
        let kinds = [
            self.journal.is_some(),
            !self.static_configs.is_empty(),
            self.docker_sd_configs.is_some(),
        ];
        if kinds.into_iter().filter(|it| *it).count() != 1 {
            return Err(refused(
                at,
                "a job has one of journal, static_configs and docker_sd_configs",
            ));
        }
        if let Some(target) = self.journal.take() {
            return self.journal_job(&at, target);
        }
        if let Some(discoveries) = self.docker_sd_configs.take() {
            return self.docker_job(&at, &discoveries, limits, notes);
        }
        let statics = std::mem::take(&mut self.static_configs);
        let files = statics.into_iter().map(|it| self.static_job(&at, it, limits));
        Ok(Job::Files(files.collect::<Result<_, _>>()?))
    }

    fn refuse_others(&self, at: &str) -> Result<(), ConvertError> {
        for (name, is_given, instead) in [
            ("syslog", self.syslog.is_some(), "let rsyslog or journald take it and read that"),
            ("loki_push_api", self.loki_push_api.is_some(), "let its senders push to the server"),
            ("file_sd_configs", self.file_sd_configs.is_some(), "write the paths themselves"),
            (
                "kubernetes_sd_configs",
                self.kubernetes_sd_configs.is_some(),
                "follow /var/log/containers/*.log with format = \"cri\"",
            ),
            ("consul_sd_configs", self.consul_sd_configs.is_some(), "write the paths themselves"),
            (
                "consulagent_sd_configs",
                self.consulagent_sd_configs.is_some(),
                "write the paths themselves",
            ),
            ("windows_events", self.windows_events.is_some(), "this agent runs on Linux"),
            ("gcplog", self.gcplog.is_some(), "it is not read"),
            ("azure_event_hubs", self.azure_event_hubs.is_some(), "it is not read"),
            ("kafka", self.kafka.is_some(), "it is not read"),
            ("gelf", self.gelf.is_some(), "it is not read"),
            ("cloudflare", self.cloudflare.is_some(), "it is not read"),
            ("heroku_drain", self.heroku_drain.is_some(), "it is not read"),
            ("decompression", self.decompression.is_some(), "packed files are not followed"),
            ("entry_parser", self.entry_parser.is_some(), "write pipeline_stages"),
            ("limit_config", self.limit_config.is_some(), "write a limit stage"),
        ] {
            if is_given {
                return Err(refused(at, format!("this agent has no {name}; {instead}")));
            }
        }
        Ok(())
    }

    fn journal_job(self, at: &str, target: RawJournalTarget) -> Result<Job, ConvertError> {
        let words: Vec<String> =
            target.matches.iter().flat_map(|it| it.split_whitespace()).map(str::to_owned).collect();
        parse_matches(&words).map_err(|error| refused(at, error.to_string()))?;
        let mut labels = target.labels;
        labels.entry("job".to_owned()).or_insert(self.job_name);
        Ok(Job::Journal(Box::new(RawJournal {
            directory: target.path.filter(|it| !it.is_empty()).map(Into::into),
            max_age: target.max_age.filter(|it| !it.is_empty()),
            matches: words,
            json: target.json.then_some(true),
            default_labels: Some(false),
            labels,
            relabel_configs: self.relabel_configs,
            pipeline_stages: self.pipeline_stages,
            ..RawJournal::default()
        })))
    }

    fn static_job(
        &self,
        at: &str,
        target: RawStatic,
        limits: &LineLimits,
    ) -> Result<RawFiles, ConvertError> {
        let mut labels = target.labels;
        let Some(path) = labels.remove(PATH_LABEL) else {
            return Err(refused(at, "its labels have no __path__: there is nothing to read"));
        };
        let exclude = labels.remove(EXCLUDE_LABEL);
        let job = labels.remove("job").unwrap_or_else(|| self.job_name.clone());
        Ok(RawFiles {
            job,
            paths: vec![path],
            exclude: exclude.into_iter().collect(),
            encoding: self.encoding.clone(),
            labels,
            ..self.files(limits)
        })
    }

    fn docker_job(
        &self,
        at: &str,
        discoveries: &[RawDockerSd],
        limits: &LineLimits,
        notes: &mut Vec<String>,
    ) -> Result<Job, ConvertError> {
        for discovery in discoveries {
            if !discovery.host.is_empty() && !discovery.host.starts_with("unix:") {
                return Err(refused(at, "docker_sd_configs: only the host's own Docker is read"));
            }
            if discovery.filters.is_some() {
                return Err(refused(
                    at,
                    "docker_sd_configs: filters are not known; write a relabel rule with action keep",
                ));
            }
        }
        // The stream of a line is known line by line here, as the label `stream`.
        let (stream_rules, rules): (Vec<RawRule>, Vec<RawRule>) = self
            .relabel_configs
            .iter()
            .cloned()
            .partition(|it| it.source_labels().eq([STREAM_LABEL]));
        let stream_stage = stream_rules.first().map(RawRule::target_label).map(|it| match it {
            "stream" => Vec::new(),
            name => vec![
                stage("labels", json!({ name: "stream" })),
                stage("labeldrop", json!(["stream"])),
            ],
        });
        for name in rules.iter().flat_map(RawRule::source_labels) {
            let is_known = !name.starts_with("__meta_docker_")
                || DOCKER_LABELS
                    .iter()
                    .any(|it| if it.ends_with('_') { name.starts_with(it) } else { name == *it });
            if !is_known {
                return Err(refused(
                    at,
                    format!("the label {name} is not known of Docker's files; take the rule out"),
                ));
            }
        }
        let stages = [stream_stage.unwrap_or_default(), self.pipeline_stages.clone()].concat();
        notes.push(format!(
            "{at}: Docker's files are read instead of its API; its containers need the json-file driver."
        ));
        Ok(Job::Files(vec![RawFiles {
            job: self.job_name.clone(),
            paths: vec![DOCKER_FILES.to_owned()],
            format: Some(Format::Docker),
            default_labels: Some(false),
            relabel_configs: rules,
            pipeline_stages: stages,
            ..self.files(limits)
        }]))
    }

    fn files(&self, limits: &LineLimits) -> RawFiles {
        let long_lines = match (limits.max_line_bytes, limits.is_truncated) {
            (Some(_), false) => Some(LongLines::Drop),
            _ => None,
        };
        RawFiles {
            max_line_bytes: limits.max_line_bytes,
            long_lines,
            relabel_configs: self.relabel_configs.clone(),
            pipeline_stages: self.pipeline_stages.clone(),
            ..RawFiles::default()
        }
    }
}

/// A stage without settings, written as a key alone, has empty ones: TOML cannot say nothing.
fn fill_empty(stages: &mut RawStages) {
    for settings in stages.iter_mut().flat_map(BTreeMap::values_mut) {
        if settings.is_null() {
            *settings = json!({});
        }
        let nested = settings.get_mut("stages").and_then(Json::as_array_mut);
        for settings in nested.into_iter().flatten().filter_map(Json::as_object_mut) {
            for (_, settings) in settings.iter_mut().filter(|(_, it)| it.is_null()) {
                *settings = json!({});
            }
        }
    }
}

fn stage(name: &str, settings: Json) -> BTreeMap<String, Json> {
    BTreeMap::from([(name.to_owned(), settings)])
}

fn check_stages(at: &str, stages: &RawStages) -> Result<(), ConvertError> {
    checked_stages(stages).map_err(|error| refused(at, format!("{:#}", anyhow::Error::new(error))))
}

fn check_rules(at: &str, rules: &[RawRule]) -> Result<(), ConvertError> {
    for (idx, rule) in rules.iter().enumerate() {
        let made = rule.clone().rule(true);
        made.map_err(|error| {
            let error = anyhow::Error::new(error);
            refused(at, format!("relabel_configs[{idx}]: {error:#}"))
        })?;
    }
    Ok(())
}
