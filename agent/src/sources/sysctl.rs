//! Chosen kernel settings, from `/proc/sys`.

use std::borrow::Cow;

use serde::Deserialize;
use skep_proto::MetricKind;

use super::{Context, SourceError, number};
use crate::exposition::Exposition;

const FILE: &str = "/proc/sys";

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Settings {
    /// Whose numbers become `node_sysctl_NAME`.
    include: Vec<Sysctl>,
    /// Whose words become `node_sysctl_info`.
    include_info: Vec<SysctlName>,
}

pub(super) fn collect(context: &Context, out: &mut Exposition) -> Result<(), SourceError> {
    for sysctl in &context.settings.sysctl.include {
        let text = read(context, &sysctl.name)?;
        let values: Vec<&str> = text.split_ascii_whitespace().collect();
        numbers(sysctl, &values, out)?;
    }
    for name in &context.settings.sysctl.include_info {
        let text = read(context, name)?;
        let family = out.family(
            "node_sysctl_info",
            "Always 1; the label value is one word of the kernel setting.",
            MetricKind::Gauge,
        );
        for (index, value) in text.split_ascii_whitespace().enumerate() {
            let labels = [("name", &*name.0), ("value", value), ("index", &index.to_string())];
            family.point(labels, 1.0);
        }
    }
    Ok(())
}

fn read(context: &Context, name: &SysctlName) -> Result<String, SourceError> {
    context.roots.read_proc(&format!("sys/{}", name.0.replace('.', "/")))
}

fn numbers(sysctl: &Sysctl, values: &[&str], out: &mut Exposition) -> Result<(), SourceError> {
    let Sysctl { name: SysctlName(name), keys } = sysctl;
    let metric = format!("node_sysctl_{}", metric_name(name));
    let help = format!("The kernel setting {name}.");
    if !keys.is_empty() {
        if keys.len() != values.len() {
            return Err(SourceError::Missing {
                file: FILE,
                what: "a value for each key, or a key",
            });
        }
        for (key, value) in keys.iter().zip(values) {
            let value = number(FILE, "a value", Some(value))?;
            out.family(format!("{metric}_{key}"), help.clone(), MetricKind::Unknown)
                .point([], value);
        }
        return Ok(());
    }
    let family = out.family(metric, help, MetricKind::Unknown);
    match values {
        [] => return Err(SourceError::Missing { file: FILE, what: "a value" }),
        [value] => {
            family.point([], number(FILE, "a value", Some(value))?);
        }
        values => {
            for (index, value) in values.iter().enumerate() {
                let value = number(FILE, "a value", Some(value))?;
                family.point([("index", &*index.to_string())], value);
            }
        }
    }
    Ok(())
}

/// What is no letter or digit becomes one `_`, with those around it.
pub(super) fn metric_name(text: &str) -> Cow<'_, str> {
    if text.bytes().all(|it| it.is_ascii_alphanumeric() || it == b'_') {
        return text.into();
    }
    let mut name = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(start) = rest.find(|it: char| !(it.is_ascii_alphanumeric() || it == '_')) {
        let (head, tail) = rest.split_at(start);
        name.push_str(head.trim_end_matches('_'));
        name.push('_');
        let tail = tail.trim_start_matches(|it: char| !(it.is_ascii_alphanumeric() || it == '_'));
        rest = tail.trim_start_matches('_');
    }
    name.push_str(rest);
    name.into()
}

/// A setting and the names of its values, if they shall have some: `fs.file-nr:total,current,max`.
#[derive(Debug, Clone, Deserialize)]
#[serde(try_from = "String")]
struct Sysctl {
    name: SysctlName,
    keys: Vec<String>,
}

/// `net.ipv4.tcp_mem`; cannot lead out of `/proc/sys`, since dots become slashes.
#[derive(Debug, Clone, Deserialize)]
#[serde(try_from = "String")]
struct SysctlName(String);

impl TryFrom<String> for Sysctl {
    type Error = String;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        let (name, keys) = text.split_once(':').unwrap_or((&text, ""));
        let keys: Vec<String> =
            keys.split(',').filter(|it| !it.is_empty()).map(str::to_owned).collect();
        let is_label = |it: &String| it.bytes().all(|it| it.is_ascii_alphanumeric() || it == b'_');
        match keys.iter().find(|it| !is_label(it)) {
            Some(key) => Err(format!("{key:?} cannot be part of a metric's name")),
            None => Ok(Self { name: name.to_owned().try_into()?, keys }),
        }
    }
}

impl TryFrom<String> for SysctlName {
    type Error = String;

    fn try_from(name: String) -> Result<Self, Self::Error> {
        let is_known = |it: u8| it.is_ascii_alphanumeric() || b"._-/@".contains(&it);
        if name.is_empty() || name.contains("//") || !name.bytes().all(is_known) {
            return Err(format!("{name:?} is no name of a kernel setting, such as fs.file-nr"));
        }
        Ok(Self(name))
    }
}

#[cfg(test)]
mod tests {
    use expect_test::expect;

    use super::{Settings, collect, metric_name};
    use crate::sources::tests::Host;

    fn host(settings: &str) -> Host {
        let mut host = Host::default();
        host.settings().sysctl = toml::from_str(settings).unwrap();
        host.file("proc/sys/fs/file-nr", "1024\t0\t1631329\n")
            .file("proc/sys/kernel/threads-max", "7801\n")
            .file("proc/sys/kernel/seccomp/actions_avail", "kill_process trap\n")
            .file("proc/sys/kernel/empty", "\n");
        host
    }

    #[test]
    fn numbers_are_plain_indexed_or_named() {
        let include =
            r#"include = ["kernel.threads-max", "fs.file-nr", "fs.file-nr:total,current,max"]"#;
        host(include).check(
            collect,
            &expect![[r##"
            # HELP node_sysctl_fs_file_nr The kernel setting fs.file-nr.
            # TYPE node_sysctl_fs_file_nr untyped
            node_sysctl_fs_file_nr{index="0"} 1024
            node_sysctl_fs_file_nr{index="1"} 0
            node_sysctl_fs_file_nr{index="2"} 1.631329e+06
            # HELP node_sysctl_fs_file_nr_current The kernel setting fs.file-nr.
            # TYPE node_sysctl_fs_file_nr_current untyped
            node_sysctl_fs_file_nr_current 0
            # HELP node_sysctl_fs_file_nr_max The kernel setting fs.file-nr.
            # TYPE node_sysctl_fs_file_nr_max untyped
            node_sysctl_fs_file_nr_max 1.631329e+06
            # HELP node_sysctl_fs_file_nr_total The kernel setting fs.file-nr.
            # TYPE node_sysctl_fs_file_nr_total untyped
            node_sysctl_fs_file_nr_total 1024
            # HELP node_sysctl_kernel_threads_max The kernel setting kernel.threads-max.
            # TYPE node_sysctl_kernel_threads_max untyped
            node_sysctl_kernel_threads_max 7801
        "##]],
        );
    }

    #[test]
    fn words_become_labels() {
        let include = r#"include_info = ["kernel.seccomp.actions_avail", "kernel.threads-max"]"#;
        host(include).check(
            collect,
            &expect![[r##"
            # HELP node_sysctl_info Always 1; the label value is one word of the kernel setting.
            # TYPE node_sysctl_info gauge
            node_sysctl_info{name="kernel.seccomp.actions_avail",value="kill_process",index="0"} 1
            node_sysctl_info{name="kernel.seccomp.actions_avail",value="trap",index="1"} 1
            node_sysctl_info{name="kernel.threads-max",value="7801",index="0"} 1
        "##]],
        );
    }

    #[test]
    fn nothing_is_told_that_was_not_asked_for() {
        host("").check(collect, &expect![[""]]);
    }

    #[test]
    fn what_is_missing_or_no_number_is_named() {
        host(r#"include = ["kernel.nope"]"#).check(
            collect,
            &expect![[r#"
            error: cannot read /proc/sys/kernel/nope: No such file or directory (os error 2)
        "#]],
        );
        host(r#"include = ["kernel.empty"]"#).check(
            collect,
            &expect![[r#"
            error: /proc/sys: a value is missing
        "#]],
        );
        host(r#"include = ["kernel.seccomp.actions_avail"]"#).check(
            collect,
            &expect![[r#"
            error: /proc/sys: a value is not a number: "kill_process"
        "#]],
        );
        host(r#"include = ["fs.file-nr:total,max"]"#).check(
            collect,
            &expect![[r#"
            error: /proc/sys: a value for each key, or a key is missing
        "#]],
        );
    }

    #[test]
    fn names_that_are_none_are_refused() {
        let error = |text| toml::from_str::<Settings>(text).unwrap_err().message().to_owned();
        assert!(error("include = [\"../../etc/shadow x\"]").contains("is no name of"));
        assert!(error("include = [\"\"]").contains("is no name of"));
        assert!(error("include = [\"fs.file-nr:a-b\"]").contains("\"a-b\" cannot be"));
        // Dots become slashes: nothing leads upwards.
        assert!(toml::from_str::<Settings>("include = [\"..etc\"]").is_ok());
    }

    #[test]
    fn metric_names_have_one_underscore_for_what_does_not_fit() {
        assert_eq!(metric_name("fs.file-nr"), "fs_file_nr");
        assert_eq!(metric_name("a_.-_b"), "a_b");
        assert_eq!(metric_name("a._.b"), "a__b");
        assert_eq!(metric_name("rx[0]: bytes"), "rx_0_bytes");
        assert_eq!(metric_name("plain_name__"), "plain_name__");
    }
}
