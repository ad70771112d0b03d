//! systemd's units and their states, over D-Bus.

use std::path::PathBuf;

use serde::Deserialize;
use skep_proto::{
    MetricKind,
    MetricKind::{Counter, Gauge},
};

use super::{
    Context, SourceError,
    dbus::{Bus, Call, Peer, Reader, Value, broken},
    settings::Pattern,
};
use crate::exposition::{Exposition, as_f64};

const SYSTEMD: &str = "org.freedesktop.systemd1";
const MANAGER_PATH: &str = "/org/freedesktop/systemd1";
const MANAGER: &str = "org.freedesktop.systemd1.Manager";
const STATES: [&str; 5] = ["active", "activating", "deactivating", "inactive", "failed"];
/// systemd's word for "no limit" and "not known".
const NOT_SET: u64 = u64::MAX;
const SECONDS_PER_MICROSECOND: f64 = 1e-6;

#[derive(Debug, Clone, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Settings {
    /// Units must match it as a whole, and must not match the next one.
    #[serde(deserialize_with = "whole")]
    unit_include: Pattern,
    #[serde(deserialize_with = "whole")]
    unit_exclude: Pattern,
    /// Whether `node_systemd_unit_tasks_current` and `_max` are collected.
    enable_task_metrics: bool,
    /// Whether `node_systemd_service_restart_total` is collected.
    enable_restarts_metrics: bool,
    /// Whether `node_systemd_unit_start_time_seconds` is collected.
    enable_start_time_metrics: bool,
    /// Whether systemd is asked through its own socket, which only root may use, and not over the
    /// system bus.
    private: bool,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            unit_include: Pattern::known("^(?:.+)$"),
            unit_exclude: Pattern::known(r"^(?:.+\.(automount|device|mount|scope|slice))$"),
            enable_task_metrics: false,
            enable_restarts_metrics: false,
            enable_start_time_metrics: false,
            private: false,
        }
    }
}

pub(super) fn collect(context: &Context, out: &mut Exposition) -> Result<(), SourceError> {
    let settings = &context.settings.systemd;
    let (socket, peer) = if settings.private {
        ("run/systemd/private", Peer::Program)
    } else {
        ("run/dbus/system_bus_socket", Peer::Bus)
    };
    let socket: PathBuf = context.roots.root.join(socket);
    let asked = Bus::open(&socket, peer).and_then(|mut bus| {
        let list = ask_manager(&mut bus, out)?;
        let units = parse_units(&list).ok_or_else(|| broken("the list of units is damaged"))?;
        summarize(&units, out);
        let units: Vec<Unit<'_>> = units.into_iter().filter(|it| settings.takes(it)).collect();
        ask_units(&mut bus, &units, settings, out)
    });
    asked.map_err(|source| SourceError::Peer {
        peer: "systemd",
        at: socket.display().to_string(),
        source,
    })
}

/// Tells what belongs to no unit, and returns the list of units.
fn ask_manager(bus: &mut Bus, out: &mut Exposition) -> std::io::Result<Vec<u8>> {
    let property = |name| [MANAGER, name];
    let names = ["Version", "Virtualization", "SystemState"].map(property);
    let mut calls: Vec<Call<'_>> =
        names.iter().map(|it| Call::get(SYSTEMD, MANAGER_PATH, it)).collect();
    calls.push(Call {
        destination: SYSTEMD,
        path: MANAGER_PATH,
        interface: MANAGER,
        member: "ListUnits",
        arguments: &[],
    });
    let mut answers = bus.ask(&calls)?;
    let units = answers.pop().unwrap_or_else(|| Err("no answer".to_owned()));
    let mut texts = answers.into_iter().map(|it| match Reader::new(&it.ok()?).variant()? {
        Value::Text(text) => Some(text),
        _ => None,
    });
    let version = texts.next().flatten().unwrap_or_default();
    let (number, version) = match version_number(&version) {
        Some(number) => (number, &*version),
        None => (0.0, ""),
    };
    out.family("node_systemd_version", "Version of systemd; the label has the whole of it.", Gauge)
        .point([("version", version)], number);
    let virtualization = match texts.next().flatten() {
        Some(text) if text.is_empty() => "none".to_owned(),
        Some(text) => text,
        None => "unknown".to_owned(),
    };
    out.family(
        "node_systemd_virtualization_info",
        "Always 1; the label tells what this host runs in, as systemd sees it.",
        Gauge,
    )
    .point([("virtualization_type", &virtualization)], 1.0);
    if let Some(state) = texts.next().flatten() {
        out.gauge(
            "node_systemd_system_running",
            "1 if the system is up and no unit has failed, else 0.",
            flag(state == "running"),
        );
    }
    units.map_err(|error| std::io::Error::other(format!("ListUnits: {error}")))
}

/// The first three digits and what follows: `252.22` of `252.22-1~deb12u1`.
fn version_number(version: &str) -> Option<f64> {
    let is_digit = |it: u8| it.is_ascii_digit();
    let run = |text: &str| text.bytes().take_while(|it| is_digit(*it)).count();
    let mut rest = version;
    loop {
        let start = rest.bytes().position(is_digit)?;
        rest = rest.get(start..)?;
        let n_digits = run(rest);
        if n_digits >= 3 {
            let fraction = rest.get(n_digits..)?.strip_prefix('.').map_or(0, run);
            let len = if fraction == 0 { n_digits } else { n_digits + 1 + fraction };
            return rest.get(..len)?.parse().ok();
        }
        rest = rest.get(n_digits..)?;
    }
}

/// What the list tells of a unit that we need.
#[derive(Debug)]
struct Unit<'a> {
    name: &'a str,
    load_state: &'a str,
    active_state: &'a str,
    path: &'a str,
}

fn parse_units(body: &[u8]) -> Option<Vec<Unit<'_>>> {
    Reader::new(body).structs(|it| {
        let (name, _description, load_state) = (it.string()?, it.string()?, it.string()?);
        let (active_state, _sub_state, _followed) = (it.string()?, it.string()?, it.string()?);
        let path = it.string()?;
        // A queued job: its number, type and path.
        it.u32()?;
        it.string()?;
        it.string()?;
        Some(Unit { name, load_state, active_state, path })
    })
}

fn summarize(units: &[Unit<'_>], out: &mut Exposition) {
    let mut counts: Vec<(&str, u64)> = STATES.map(|it| (it, 0)).to_vec();
    for unit in units {
        match counts.iter_mut().find(|it| it.0 == unit.active_state) {
            Some((_, count)) => *count += 1,
            None => counts.push((unit.active_state, 1)),
        }
    }
    let family = out.family("node_systemd_units", "Units of systemd, by state.", Gauge);
    for (state, count) in counts {
        family.point([("state", state)], as_f64(count));
    }
}

impl Settings {
    fn takes(&self, unit: &Unit<'_>) -> bool {
        let Self { unit_include, unit_exclude, .. } = self;
        unit.load_state == "loaded"
            && unit_include.matches(unit.name)
            && !unit_exclude.matches(unit.name)
    }

    /// What is asked of a unit with the suffix `kind`, besides the states that the list tells.
    fn questions(&self, kind: &str) -> impl Iterator<Item = &'static Question> {
        let Self {
            enable_task_metrics, enable_restarts_metrics, enable_start_time_metrics, ..
        } = *self;
        let kind = match kind {
            "service" => "Service",
            "mount" => "Mount",
            "timer" => "Timer",
            "socket" => "Socket",
            _ => "",
        };
        QUESTIONS.iter().filter(move |it| {
            let is_of_kind =
                it.property[0] == UNIT || it.property[0].rsplit('.').next() == Some(kind);
            is_of_kind
                && match it.group {
                    Group::Always => true,
                    Group::Tasks => enable_task_metrics,
                    Group::Restarts => enable_restarts_metrics,
                    Group::StartTime => enable_start_time_metrics,
                }
        })
    }
}

const UNIT: &str = "org.freedesktop.systemd1.Unit";

/// A property of a unit and the metric it becomes.
#[derive(Debug)]
struct Question {
    property: [&'static str; 2],
    group: Group,
    /// Without a name, it is the label `type` of the unit's states.
    metric: &'static str,
    help: &'static str,
    kind: MetricKind,
    unit: f64,
}

#[derive(Debug, Clone, Copy)]
enum Group {
    Always,
    Tasks,
    Restarts,
    StartTime,
}

const fn type_of(interface: &'static str) -> Question {
    let property = [interface, "Type"];
    Question { property, group: Group::Always, metric: "", help: "", kind: Gauge, unit: 1.0 }
}

const QUESTIONS: [Question; 10] = [
    type_of("org.freedesktop.systemd1.Service"),
    type_of("org.freedesktop.systemd1.Mount"),
    Question {
        property: ["org.freedesktop.systemd1.Service", "NRestarts"],
        group: Group::Restarts,
        metric: "node_systemd_service_restart_total",
        help: "How often systemd restarted the service because of its Restart=.",
        kind: Counter,
        unit: 1.0,
    },
    Question {
        property: [UNIT, "ActiveEnterTimestamp"],
        group: Group::StartTime,
        metric: "node_systemd_unit_start_time_seconds",
        help: "When the unit became active, in seconds since 1970; 0 if it is not.",
        kind: Gauge,
        unit: SECONDS_PER_MICROSECOND,
    },
    Question {
        property: ["org.freedesktop.systemd1.Service", "TasksCurrent"],
        group: Group::Tasks,
        metric: "node_systemd_unit_tasks_current",
        help: "Processes and threads of the unit.",
        kind: Gauge,
        unit: 1.0,
    },
    Question {
        property: ["org.freedesktop.systemd1.Service", "TasksMax"],
        group: Group::Tasks,
        metric: "node_systemd_unit_tasks_max",
        help: "Processes and threads the unit may have; none if there is no limit.",
        kind: Gauge,
        unit: 1.0,
    },
    Question {
        property: ["org.freedesktop.systemd1.Timer", "LastTriggerUSec"],
        group: Group::Always,
        metric: "node_systemd_timer_last_trigger_seconds",
        help: "When the timer went off the last time, in seconds since 1970.",
        kind: Gauge,
        unit: SECONDS_PER_MICROSECOND,
    },
    Question {
        property: ["org.freedesktop.systemd1.Socket", "NAccepted"],
        group: Group::Always,
        metric: "node_systemd_socket_accepted_connections_total",
        help: "Connections that systemd accepted on the socket.",
        kind: Counter,
        unit: 1.0,
    },
    Question {
        property: ["org.freedesktop.systemd1.Socket", "NConnections"],
        group: Group::Always,
        metric: "node_systemd_socket_current_connections",
        help: "Connections of the socket that are open.",
        kind: Gauge,
        unit: 1.0,
    },
    Question {
        property: ["org.freedesktop.systemd1.Socket", "NRefused"],
        group: Group::Always,
        metric: "node_systemd_socket_refused_connections_total",
        help: "Connections that systemd refused on the socket.",
        // As node_exporter has it.
        kind: Gauge,
        unit: 1.0,
    },
];

/// A unit that went away meanwhile, or a systemd too old for a property, has no answer to it.
fn ask_units(
    bus: &mut Bus,
    units: &[Unit<'_>],
    settings: &Settings,
    out: &mut Exposition,
) -> std::io::Result<()> {
    let mut asked = Vec::new();
    let mut calls = Vec::new();
    for unit in units {
        let suffix = unit.name.rsplit('.').next().unwrap_or_default();
        for question in settings.questions(suffix) {
            asked.push((unit.name, question));
            calls.push(Call::get(SYSTEMD, unit.path, &question.property));
        }
    }
    let answers = bus.ask(&calls)?;
    let mut answers = asked.into_iter().zip(answers).peekable();
    for unit in units {
        let mut kind = String::new();
        while let Some(((_, question), answer)) = answers.next_if(|it| it.0.0 == unit.name) {
            let value = answer.ok().and_then(|it| Reader::new(&it).variant());
            match value {
                Some(Value::Text(text)) if question.metric.is_empty() => kind = text,
                Some(Value::Number(number)) => tell(question, unit, number, out),
                _ => {}
            }
        }
        let family = out.family(
            "node_systemd_unit_state",
            "1 for the state the unit is in, 0 for the others.",
            Gauge,
        );
        for state in STATES {
            let labels = [("name", unit.name), ("state", state), ("type", &*kind)];
            family.point(labels, flag(state == unit.active_state));
        }
    }
    Ok(())
}

fn tell(question: &Question, unit: &Unit<'_>, number: u64, out: &mut Exposition) {
    let Question { group, metric, help, kind, unit: factor, .. } = *question;
    let number = match group {
        Group::Tasks if number == NOT_SET => return,
        Group::StartTime if unit.active_state != "active" => 0,
        _ => number,
    };
    // Through micro-seconds, so that the float is the nearest one.
    let value = if factor == 1.0 { as_f64(number) } else { as_f64(number) / factor.recip() };
    out.family(metric, help, kind).point([("name", unit.name)], value);
}

fn flag(is_set: bool) -> f64 {
    f64::from(u8::from(is_set))
}

fn whole<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<Pattern, D::Error> {
    let pattern = String::deserialize(deserializer)?;
    format!("^(?:{pattern})$").try_into().map_err(serde::de::Error::custom)
}

#[cfg(test)]
mod tests {
    use expect_test::expect;

    use super::{collect, version_number};
    use crate::sources::{
        dbus::tests::{Value, Writer, serve},
        tests::Host,
    };

    const SOCKET: &str = "run/dbus/system_bus_socket";

    /// A systemd of seven units. A row of the list: name, description, load state, active state,
    /// sub-state, followed unit, path, job, its type and path.
    fn respond(path: &str, member: &str, arguments: &[String]) -> Result<Writer, &'static str> {
        let mut body = Writer::default();
        if member == "ListUnits" {
            body.structs(&[
                "ssh.service - loaded active running - /ssh 0 - -",
                "gone.service - not-found inactive dead - /gone 0 - -",
                "web.service - loaded failed failed - /web 5 restart /job",
                "ssh.socket - loaded active listening - /ssh_2esocket 0 - -",
                "backup.timer - loaded inactive dead - /timer 0 - -",
                "old.target - loaded reloading active - /old 0 - -",
                "data.mount - loaded active mounted - /mount 0 - -",
            ]);
            return Ok(body);
        }
        let value = match (path, arguments.get(1).map_or(member, |it| it)) {
            (_, "Version") => Value::Text("252.22-1~deb12u1".to_owned()),
            (_, "Virtualization") => Value::Text(String::new()),
            (_, "SystemState") => Value::Text("degraded".to_owned()),
            ("/ssh", "Type") => Value::Text("notify".to_owned()),
            ("/mount", "Type") => Value::Text("ext4".to_owned()),
            ("/ssh", "NRestarts") => Value::Number(3),
            (_, "NRestarts") => Value::Number(0),
            ("/ssh", "TasksCurrent") => Value::Number(17),
            (_, "TasksCurrent" | "TasksMax") => Value::Number(u64::MAX),
            (_, "ActiveEnterTimestamp" | "LastTriggerUSec") => Value::Number(1_700_000_000_123_456),
            (_, "NAccepted") => Value::Number(12),
            (_, "NConnections") => Value::Number(2),
            _ => return Err("org.freedesktop.DBus.Error.UnknownProperty"),
        };
        let is_long = ["Tasks", "Timestamp", "USec"].iter().any(|it| arguments[1].contains(it));
        body.variant(&value, is_long);
        Ok(body)
    }

    #[test]
    fn units_are_told_with_their_states() {
        let host = Host::default();
        serve(&host.path(SOCKET), respond);
        host.check(collect, &expect![[r##"
            # HELP node_systemd_socket_accepted_connections_total Connections that systemd accepted on the socket.
            # TYPE node_systemd_socket_accepted_connections_total counter
            node_systemd_socket_accepted_connections_total{name="ssh.socket"} 12
            # HELP node_systemd_socket_current_connections Connections of the socket that are open.
            # TYPE node_systemd_socket_current_connections gauge
            node_systemd_socket_current_connections{name="ssh.socket"} 2
            # HELP node_systemd_system_running 1 if the system is up and no unit has failed, else 0.
            # TYPE node_systemd_system_running gauge
            node_systemd_system_running 0
            # HELP node_systemd_timer_last_trigger_seconds When the timer went off the last time, in seconds since 1970.
            # TYPE node_systemd_timer_last_trigger_seconds gauge
            node_systemd_timer_last_trigger_seconds{name="backup.timer"} 1.700000000123456e+09
            # HELP node_systemd_unit_state 1 for the state the unit is in, 0 for the others.
            # TYPE node_systemd_unit_state gauge
            node_systemd_unit_state{name="ssh.service",state="active",type="notify"} 1
            node_systemd_unit_state{name="ssh.service",state="activating",type="notify"} 0
            node_systemd_unit_state{name="ssh.service",state="deactivating",type="notify"} 0
            node_systemd_unit_state{name="ssh.service",state="inactive",type="notify"} 0
            node_systemd_unit_state{name="ssh.service",state="failed",type="notify"} 0
            node_systemd_unit_state{name="web.service",state="active",type=""} 0
            node_systemd_unit_state{name="web.service",state="activating",type=""} 0
            node_systemd_unit_state{name="web.service",state="deactivating",type=""} 0
            node_systemd_unit_state{name="web.service",state="inactive",type=""} 0
            node_systemd_unit_state{name="web.service",state="failed",type=""} 1
            node_systemd_unit_state{name="ssh.socket",state="active",type=""} 1
            node_systemd_unit_state{name="ssh.socket",state="activating",type=""} 0
            node_systemd_unit_state{name="ssh.socket",state="deactivating",type=""} 0
            node_systemd_unit_state{name="ssh.socket",state="inactive",type=""} 0
            node_systemd_unit_state{name="ssh.socket",state="failed",type=""} 0
            node_systemd_unit_state{name="backup.timer",state="active",type=""} 0
            node_systemd_unit_state{name="backup.timer",state="activating",type=""} 0
            node_systemd_unit_state{name="backup.timer",state="deactivating",type=""} 0
            node_systemd_unit_state{name="backup.timer",state="inactive",type=""} 1
            node_systemd_unit_state{name="backup.timer",state="failed",type=""} 0
            node_systemd_unit_state{name="old.target",state="active",type=""} 0
            node_systemd_unit_state{name="old.target",state="activating",type=""} 0
            node_systemd_unit_state{name="old.target",state="deactivating",type=""} 0
            node_systemd_unit_state{name="old.target",state="inactive",type=""} 0
            node_systemd_unit_state{name="old.target",state="failed",type=""} 0
            # HELP node_systemd_units Units of systemd, by state.
            # TYPE node_systemd_units gauge
            node_systemd_units{state="active"} 3
            node_systemd_units{state="activating"} 0
            node_systemd_units{state="deactivating"} 0
            node_systemd_units{state="inactive"} 2
            node_systemd_units{state="failed"} 1
            node_systemd_units{state="reloading"} 1
            # HELP node_systemd_version Version of systemd; the label has the whole of it.
            # TYPE node_systemd_version gauge
            node_systemd_version{version="252.22-1~deb12u1"} 252.22
            # HELP node_systemd_virtualization_info Always 1; the label tells what this host runs in, as systemd sees it.
            # TYPE node_systemd_virtualization_info gauge
            node_systemd_virtualization_info{virtualization_type="none"} 1
        "##]]);
    }

    #[test]
    fn tasks_restarts_start_times_and_other_units_are_told_where_they_are_asked_for() {
        let mut host = Host::default();
        host.settings().systemd = toml::from_str(
            "enable_task_metrics = true\nenable_restarts_metrics = true\n\
             enable_start_time_metrics = true\nprivate = true\n\
             unit_include = \"(ssh|web).service|data.*\"\nunit_exclude = \"no\"",
        )
        .unwrap();
        serve(&host.path("run/systemd/private"), respond);
        host.check(collect, &expect![[r##"
            # HELP node_systemd_service_restart_total How often systemd restarted the service because of its Restart=.
            # TYPE node_systemd_service_restart_total counter
            node_systemd_service_restart_total{name="ssh.service"} 3
            node_systemd_service_restart_total{name="web.service"} 0
            # HELP node_systemd_system_running 1 if the system is up and no unit has failed, else 0.
            # TYPE node_systemd_system_running gauge
            node_systemd_system_running 0
            # HELP node_systemd_unit_start_time_seconds When the unit became active, in seconds since 1970; 0 if it is not.
            # TYPE node_systemd_unit_start_time_seconds gauge
            node_systemd_unit_start_time_seconds{name="ssh.service"} 1.700000000123456e+09
            node_systemd_unit_start_time_seconds{name="web.service"} 0
            node_systemd_unit_start_time_seconds{name="data.mount"} 1.700000000123456e+09
            # HELP node_systemd_unit_state 1 for the state the unit is in, 0 for the others.
            # TYPE node_systemd_unit_state gauge
            node_systemd_unit_state{name="ssh.service",state="active",type="notify"} 1
            node_systemd_unit_state{name="ssh.service",state="activating",type="notify"} 0
            node_systemd_unit_state{name="ssh.service",state="deactivating",type="notify"} 0
            node_systemd_unit_state{name="ssh.service",state="inactive",type="notify"} 0
            node_systemd_unit_state{name="ssh.service",state="failed",type="notify"} 0
            node_systemd_unit_state{name="web.service",state="active",type=""} 0
            node_systemd_unit_state{name="web.service",state="activating",type=""} 0
            node_systemd_unit_state{name="web.service",state="deactivating",type=""} 0
            node_systemd_unit_state{name="web.service",state="inactive",type=""} 0
            node_systemd_unit_state{name="web.service",state="failed",type=""} 1
            node_systemd_unit_state{name="data.mount",state="active",type="ext4"} 1
            node_systemd_unit_state{name="data.mount",state="activating",type="ext4"} 0
            node_systemd_unit_state{name="data.mount",state="deactivating",type="ext4"} 0
            node_systemd_unit_state{name="data.mount",state="inactive",type="ext4"} 0
            node_systemd_unit_state{name="data.mount",state="failed",type="ext4"} 0
            # HELP node_systemd_unit_tasks_current Processes and threads of the unit.
            # TYPE node_systemd_unit_tasks_current gauge
            node_systemd_unit_tasks_current{name="ssh.service"} 17
            # HELP node_systemd_units Units of systemd, by state.
            # TYPE node_systemd_units gauge
            node_systemd_units{state="active"} 3
            node_systemd_units{state="activating"} 0
            node_systemd_units{state="deactivating"} 0
            node_systemd_units{state="inactive"} 2
            node_systemd_units{state="failed"} 1
            node_systemd_units{state="reloading"} 1
            # HELP node_systemd_version Version of systemd; the label has the whole of it.
            # TYPE node_systemd_version gauge
            node_systemd_version{version="252.22-1~deb12u1"} 252.22
            # HELP node_systemd_virtualization_info Always 1; the label tells what this host runs in, as systemd sees it.
            # TYPE node_systemd_virtualization_info gauge
            node_systemd_virtualization_info{virtualization_type="none"} 1
        "##]]);
    }

    #[test]
    fn a_host_without_systemd_and_an_answer_that_is_none_are_told() {
        let host = Host::default();
        host.check(collect, &expect![[r#"
            error: cannot ask systemd at /run/dbus/system_bus_socket: No such file or directory (os error 2)
        "#]]);
        serve(&host.path(SOCKET), |_, _, _| Err("org.freedesktop.DBus.Error.ServiceUnknown"));
        host.check(collect, &expect![[r#"
            error: cannot ask systemd at /run/dbus/system_bus_socket: ListUnits: org.freedesktop.DBus.Error.ServiceUnknown: says the test
        "#]]);
        let host = Host::default();
        serve(&host.path(SOCKET), |_, _, _| {
            let mut body = Writer::default();
            body.structs(&["ssh.service"]);
            Ok(body)
        });
        host.check(
            collect,
            &expect![[r#"
            error: cannot ask systemd at /run/dbus/system_bus_socket: the list of units is damaged
        "#]],
        );
    }

    #[test]
    fn the_number_of_a_version_is_its_first_of_three_digits() {
        assert_eq!(version_number("252.22-1~deb12u1"), Some(252.22));
        assert_eq!(version_number("systemd 12 v249.11"), Some(249.11));
        assert_eq!(version_number("257~rc1"), Some(257.0));
        assert_eq!(version_number("252."), Some(252.0));
        assert_eq!(version_number("12"), None);
        assert_eq!(version_number(""), None);
    }
}
