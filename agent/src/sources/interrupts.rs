//! Interrupts by CPU and line, from `/proc/interrupts`.

use serde::Deserialize;
use skep_proto::MetricKind;

use super::{
    Context, SourceError, number,
    settings::{Pattern, takes},
};
use crate::exposition::Exposition;

const FILE: &str = "/proc/interrupts";

#[derive(Debug, Clone, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Settings {
    /// Matched against `type;info;devices`, as the next one.
    name_exclude: Option<Pattern>,
    /// Decides alone where it is set.
    name_include: Option<Pattern>,
    /// Whether interrupts that a CPU never served are told.
    include_zeros: bool,
}

impl Default for Settings {
    fn default() -> Self {
        Self { name_exclude: None, name_include: None, include_zeros: true }
    }
}

pub(super) fn collect(context: &Context, out: &mut Exposition) -> Result<(), SourceError> {
    let text = context.roots.read_proc("interrupts")?;
    let settings = &context.settings.interrupts;
    let mut lines = text.lines();
    let header = lines.next().unwrap_or_default();
    let cpus: Vec<&str> = header.split_ascii_whitespace().filter_map(cpu_number).collect();
    if cpus.is_empty() {
        return Err(SourceError::Missing { file: FILE, what: "a CPU" });
    }
    let family = out.family(
        "node_interrupts_total",
        "Interrupts served since boot, by CPU and line.",
        MetricKind::Counter,
    );
    for line in lines {
        let Some(interrupt) = Interrupt::parse(line, cpus.len()) else { continue };
        if !settings.takes(&interrupt) {
            continue;
        }
        let Interrupt { kind, info, devices, counts } = interrupt;
        for (cpu, count) in cpus.iter().zip(counts.split_ascii_whitespace()) {
            let count = number(FILE, "a count", Some(count))?;
            if count != 0.0 || settings.include_zeros {
                let labels =
                    [("cpu", *cpu), ("type", kind), ("info", &info), ("devices", &devices)];
                family.point(labels, count);
            }
        }
    }
    Ok(())
}

/// CPUs that are off have no column: the heading tells which are there.
pub(super) fn cpu_number(heading: &str) -> Option<&str> {
    heading.strip_prefix("CPU")
}

impl Settings {
    fn takes(&self, interrupt: &Interrupt<'_>) -> bool {
        let Self { name_exclude, name_include, .. } = self;
        if name_exclude.is_none() && name_include.is_none() {
            return true;
        }
        let Interrupt { kind, info, devices, .. } = interrupt;
        let name = format!("{kind};{info};{devices}");
        takes(&name, name_exclude.as_ref(), name_include.as_ref())
    }
}

#[derive(Debug)]
struct Interrupt<'a> {
    kind: &'a str,
    info: String,
    devices: String,
    /// One a CPU, and more words behind.
    counts: &'a str,
}

impl<'a> Interrupt<'a> {
    /// None for the lines without a column for each CPU (`ERR`, `MIS`). Kernels for arm64 leave no
    /// space between the colon and a long count.
    fn parse(line: &'a str, n_cpus: usize) -> Option<Self> {
        let (kind, counts) = line.split_once(':')?;
        let kind = kind.trim_start();
        let mut words = counts.split_ascii_whitespace().skip(n_cpus);
        let first = words.next()?;
        let rest = words.collect::<Vec<_>>().join(" ");
        let is_numbered = kind.bytes().all(|it| it.is_ascii_digit());
        let (info, devices) = match (is_numbered, rest.is_empty()) {
            (true, _) => (first.to_owned(), rest),
            (false, true) => (first.to_owned(), String::new()),
            (false, false) => (format!("{first} {rest}"), String::new()),
        };
        Some(Self { kind, info, devices, counts })
    }
}

#[cfg(test)]
mod tests {
    use expect_test::expect;

    use super::collect;
    use crate::sources::tests::Host;

    const TEXT: &str = "           CPU0       CPU2       \n\
        \x20 1:         18          0  IR-IO-APIC   1-edge      i8042\n\
        \x2043:    7434032    8092205  PCI-MSI 1048576-edge      ahci0, virtio1\n\
        NMI:         47          0   Non-maskable interrupts\n\
        IPI0:1234567890          5       Rescheduling interrupts\n\
        ERR:          3\n";

    #[test]
    fn each_line_and_cpu_is_a_series() {
        Host::default().file("proc/interrupts", TEXT).check(collect, &expect![[r##"
            # HELP node_interrupts_total Interrupts served since boot, by CPU and line.
            # TYPE node_interrupts_total counter
            node_interrupts_total{cpu="0",type="1",info="IR-IO-APIC",devices="1-edge i8042"} 18
            node_interrupts_total{cpu="2",type="1",info="IR-IO-APIC",devices="1-edge i8042"} 0
            node_interrupts_total{cpu="0",type="43",info="PCI-MSI",devices="1048576-edge ahci0, virtio1"} 7.434032e+06
            node_interrupts_total{cpu="2",type="43",info="PCI-MSI",devices="1048576-edge ahci0, virtio1"} 8.092205e+06
            node_interrupts_total{cpu="0",type="NMI",info="Non-maskable interrupts",devices=""} 47
            node_interrupts_total{cpu="2",type="NMI",info="Non-maskable interrupts",devices=""} 0
            node_interrupts_total{cpu="0",type="IPI0",info="Rescheduling interrupts",devices=""} 1.23456789e+09
            node_interrupts_total{cpu="2",type="IPI0",info="Rescheduling interrupts",devices=""} 5
        "##]]);
    }

    #[test]
    fn lines_can_be_chosen_and_zeros_left_out() {
        let mut host = Host::default();
        host.settings().interrupts =
            toml::from_str("include_zeros = false\nname_include = \"^(1|NMI);\"").unwrap();
        host.file("proc/interrupts", TEXT).check(
            collect,
            &expect![[r##"
            # HELP node_interrupts_total Interrupts served since boot, by CPU and line.
            # TYPE node_interrupts_total counter
            node_interrupts_total{cpu="0",type="1",info="IR-IO-APIC",devices="1-edge i8042"} 18
            node_interrupts_total{cpu="0",type="NMI",info="Non-maskable interrupts",devices=""} 47
        "##]],
        );
        host.settings().interrupts =
            toml::from_str("name_exclude = \"virtio|Resched|i8042\"").unwrap();
        host.check(
            collect,
            &expect![[r##"
            # HELP node_interrupts_total Interrupts served since boot, by CPU and line.
            # TYPE node_interrupts_total counter
            node_interrupts_total{cpu="0",type="NMI",info="Non-maskable interrupts",devices=""} 47
            node_interrupts_total{cpu="2",type="NMI",info="Non-maskable interrupts",devices=""} 0
        "##]],
        );
    }

    #[test]
    fn what_is_missing_or_no_number_is_named() {
        let host = Host::default();
        host.check(
            collect,
            &expect![[r#"
            error: cannot read /proc/interrupts: No such file or directory (os error 2)
        "#]],
        );
        host.file("proc/interrupts", "").check(
            collect,
            &expect![[r#"
            error: /proc/interrupts: a CPU is missing
        "#]],
        );
        host.file("proc/interrupts", "CPU0\nNMI: x Non-maskable interrupts\n").check(
            collect,
            &expect![[r#"
                error: /proc/interrupts: a count is not a number: "x"
            "#]],
        );
    }
}
