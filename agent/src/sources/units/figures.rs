//! What the files of a control group say, of both versions of control groups.

use std::collections::BTreeMap;

use skep_proto::MetricKind::{self, Counter, Gauge};

use super::devices;

/// A series that a unit may have, once.
#[derive(Debug)]
pub(crate) struct Definition {
    pub(crate) name: &'static str,
    pub(crate) help: &'static str,
    pub(crate) kind: MetricKind,
    pub(crate) label: Option<(&'static str, &'static str)>,
}

/// Lists the series, so that a figure is an index into [`DEFINITIONS`].
macro_rules! figures {
    ($($figure:ident: $name:literal, $help:expr, $kind:ident, $label:expr;)+) => {
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        pub(crate) enum Figure { $($figure),+ }

        pub(crate) const DEFINITIONS: &[Definition] = &[
            $(Definition { name: $name, help: $help, kind: $kind, label: $label }),+
        ];
    };
}

const CPU_MODE: &str = "CPU time of a unit by mode, as its control group counts it.";
const EVENTS: &str = "How often a unit's memory came up against what its control group permits.";
const WAITING: &str = "Seconds in which at least one task of a unit waited for a resource.";
const STALLED: &str = "Seconds in which all tasks of a unit that were not idle waited for it.";

figures! {
    CpuUser: "unit_cpu_mode_seconds_total", CPU_MODE, Counter, Some(("mode", "user"));
    CpuSystem: "unit_cpu_mode_seconds_total", CPU_MODE, Counter, Some(("mode", "system"));
    CpuPeriods: "unit_cpu_periods_total",
        "Periods of a unit's CPU quota in which it could run.", Counter, None;
    CpuThrottledPeriods: "unit_cpu_throttled_periods_total",
        "Periods of a unit's CPU quota that were used up before their end.", Counter, None;
    CpuThrottled: "unit_cpu_throttled_seconds_total",
        "Time that a unit's CPU quota kept it from running, added up over CPUs.", Counter, None;
    MemoryCurrent: "unit_memory_current_bytes",
        "Memory that is charged to a unit, its part of the page cache too.", Gauge, None;
    MemoryPeak: "unit_memory_peak_bytes",
        "The most memory that was charged to a unit.", Gauge, None;
    MemoryAnon: "unit_memory_anon_bytes",
        "Memory of a unit's processes that no file is behind.", Gauge, None;
    MemoryFile: "unit_memory_file_bytes",
        "Page cache that is charged to a unit, shared memory too.", Gauge, None;
    MemorySwap: "unit_memory_swap_bytes", "Memory of a unit that is swapped out.", Gauge, None;
    MemoryLimit: "unit_memory_limit_bytes",
        "The most memory that a unit may be charged; not there without a limit.", Gauge, None;
    EventLow: "unit_memory_events_total", EVENTS, Counter, Some(("event", "low"));
    EventHigh: "unit_memory_events_total", EVENTS, Counter, Some(("event", "high"));
    EventMax: "unit_memory_events_total", EVENTS, Counter, Some(("event", "max"));
    EventOom: "unit_memory_events_total", EVENTS, Counter, Some(("event", "oom"));
    EventOomKill: "unit_memory_events_total", EVENTS, Counter, Some(("event", "oom_kill"));
    CpuWaiting: "unit_pressure_waiting_seconds_total", WAITING, Counter, Some(("resource", "cpu"));
    CpuStalled: "unit_pressure_stalled_seconds_total", STALLED, Counter, Some(("resource", "cpu"));
    IoWaiting: "unit_pressure_waiting_seconds_total", WAITING, Counter, Some(("resource", "io"));
    IoStalled: "unit_pressure_stalled_seconds_total", STALLED, Counter, Some(("resource", "io"));
    MemoryWaiting: "unit_pressure_waiting_seconds_total", WAITING, Counter,
        Some(("resource", "memory"));
    MemoryStalled: "unit_pressure_stalled_seconds_total", STALLED, Counter,
        Some(("resource", "memory"));
    Tasks: "unit_tasks", "Threads of a unit.", Gauge, None;
    TasksLimit: "unit_tasks_limit",
        "The most threads that a unit may have; not there without a limit.", Gauge, None;
}

const N_FIGURES: usize = DEFINITIONS.len();

/// A file of a control group.
#[derive(Debug)]
pub(crate) struct GroupFile {
    pub(crate) name: &'static str,
    /// Of version 1, below this controller's tree; else of version 2.
    pub(crate) controller: Option<&'static str>,
    content: Content,
}

#[derive(Debug)]
enum Content {
    /// One number, or `max`.
    Value(Figure, f64),
    /// Lines of a key and a number.
    Keyed(&'static [(&'static str, Figure, f64)]),
    /// `some … total=MICROSECONDS` and `full …`.
    Pressure { some: Figure, full: Figure },
    /// `8:0 rbytes=1 wbytes=2 rios=3 wios=4 dbytes=5 dios=6`.
    Io,
    /// `8:0 Read 1`.
    IoV1(IoWhat),
}

#[derive(Debug, Clone, Copy)]
enum IoWhat {
    Bytes,
    Operations,
}

const MICROSECONDS: f64 = 1e-6;
const NANOSECONDS: f64 = 1e-9;
/// Version 1 has no word for no limit, but the number of pages that is.
const UNLIMITED: f64 = 9.2e18;

/// What is read, in this order: what an earlier file says stands.
pub(crate) const FILES: &[GroupFile] = &[
    v2(
        "cpu.stat",
        Content::Keyed(&[
            ("user_usec", Figure::CpuUser, MICROSECONDS),
            ("system_usec", Figure::CpuSystem, MICROSECONDS),
            ("nr_periods", Figure::CpuPeriods, 1.0),
            ("nr_throttled", Figure::CpuThrottledPeriods, 1.0),
            ("throttled_usec", Figure::CpuThrottled, MICROSECONDS),
        ]),
    ),
    v2("memory.current", Content::Value(Figure::MemoryCurrent, 1.0)),
    v2("memory.peak", Content::Value(Figure::MemoryPeak, 1.0)),
    v2("memory.max", Content::Value(Figure::MemoryLimit, 1.0)),
    v2("memory.swap.current", Content::Value(Figure::MemorySwap, 1.0)),
    v2(
        "memory.stat",
        Content::Keyed(&[("anon", Figure::MemoryAnon, 1.0), ("file", Figure::MemoryFile, 1.0)]),
    ),
    v2(
        "memory.events",
        Content::Keyed(&[
            ("low", Figure::EventLow, 1.0),
            ("high", Figure::EventHigh, 1.0),
            ("max", Figure::EventMax, 1.0),
            ("oom", Figure::EventOom, 1.0),
            ("oom_kill", Figure::EventOomKill, 1.0),
        ]),
    ),
    v2("cpu.pressure", pressure(Figure::CpuWaiting, Figure::CpuStalled)),
    v2("io.pressure", pressure(Figure::IoWaiting, Figure::IoStalled)),
    v2("memory.pressure", pressure(Figure::MemoryWaiting, Figure::MemoryStalled)),
    v2("pids.current", Content::Value(Figure::Tasks, 1.0)),
    v2("pids.max", Content::Value(Figure::TasksLimit, 1.0)),
    v2("io.stat", Content::Io),
    v1("cpuacct", "cpuacct.usage_user", Content::Value(Figure::CpuUser, NANOSECONDS)),
    v1("cpuacct", "cpuacct.usage_sys", Content::Value(Figure::CpuSystem, NANOSECONDS)),
    v1(
        "cpu",
        "cpu.stat",
        Content::Keyed(&[
            ("nr_periods", Figure::CpuPeriods, 1.0),
            ("nr_throttled", Figure::CpuThrottledPeriods, 1.0),
            ("throttled_time", Figure::CpuThrottled, NANOSECONDS),
        ]),
    ),
    v1("memory", "memory.usage_in_bytes", Content::Value(Figure::MemoryCurrent, 1.0)),
    v1("memory", "memory.max_usage_in_bytes", Content::Value(Figure::MemoryPeak, 1.0)),
    v1("memory", "memory.limit_in_bytes", Content::Value(Figure::MemoryLimit, 1.0)),
    v1(
        "memory",
        "memory.stat",
        Content::Keyed(&[
            ("total_rss", Figure::MemoryAnon, 1.0),
            ("total_cache", Figure::MemoryFile, 1.0),
            ("total_swap", Figure::MemorySwap, 1.0),
        ]),
    ),
    v1("memory", "memory.failcnt", Content::Value(Figure::EventMax, 1.0)),
    v1("memory", "memory.oom_control", Content::Keyed(&[("oom_kill", Figure::EventOomKill, 1.0)])),
    v1("pids", "pids.current", Content::Value(Figure::Tasks, 1.0)),
    v1("pids", "pids.max", Content::Value(Figure::TasksLimit, 1.0)),
    v1("blkio", "blkio.throttle.io_service_bytes_recursive", Content::IoV1(IoWhat::Bytes)),
    v1("blkio", "blkio.throttle.io_serviced_recursive", Content::IoV1(IoWhat::Operations)),
];

const fn v2(name: &'static str, content: Content) -> GroupFile {
    GroupFile { name, controller: None, content }
}

const fn v1(controller: &'static str, name: &'static str, content: Content) -> GroupFile {
    GroupFile { name, controller: Some(controller), content }
}

const fn pressure(some: Figure, full: Figure) -> Content {
    Content::Pressure { some, full }
}

/// Bytes and operations of a device.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub(crate) struct Io {
    pub(crate) bytes: [f64; OPERATIONS.len()],
    pub(crate) operations: [f64; OPERATIONS.len()],
}

/// The label `operation`, by the index in [`Io`].
pub(crate) const OPERATIONS: [&str; 3] = ["read", "write", "discard"];

/// What one group's files say, or several groups' together.
#[derive(Debug, Clone)]
pub(crate) struct Figures {
    values: [Option<f64>; N_FIGURES],
    /// By the device's number.
    pub(crate) io: BTreeMap<u64, Io>,
}

impl Default for Figures {
    fn default() -> Self {
        Self { values: [None; N_FIGURES], io: BTreeMap::new() }
    }
}

impl Figures {
    /// In the order of [`DEFINITIONS`].
    pub(crate) fn values(&self) -> impl Iterator<Item = Option<f64>> {
        self.values.iter().copied()
    }

    /// Adds another group of the same unit.
    pub(crate) fn plus(&mut self, other: &Self) {
        for (sum, value) in self.values.iter_mut().zip(&other.values) {
            if let Some(value) = value {
                *sum = Some(sum.unwrap_or(0.0) + value);
            }
        }
        for (device, io) in &other.io {
            let sum = self.io.entry(*device).or_default();
            sum.bytes.iter_mut().zip(io.bytes).for_each(|(sum, it)| *sum += it);
            sum.operations.iter_mut().zip(io.operations).for_each(|(sum, it)| *sum += it);
        }
    }

    /// Takes what a file says. Lines that make no sense are passed over: kernels come with new ones.
    pub(crate) fn read(&mut self, file: &GroupFile, text: &str) {
        match file.content {
            Content::Value(figure, scale) => self.set(figure, text.trim(), scale),
            Content::Keyed(keys) => {
                for (key, value) in text.lines().filter_map(|it| it.split_once(' ')) {
                    if let Some((_, figure, scale)) = keys.iter().find(|(it, ..)| *it == key) {
                        self.set(*figure, value, *scale);
                    }
                }
            }
            Content::Pressure { some, full } => {
                for line in text.lines() {
                    let figure = if line.starts_with("some") { some } else { full };
                    if let Some((_, total)) = line.rsplit_once("total=") {
                        self.set(figure, total, MICROSECONDS);
                    }
                }
            }
            Content::Io => text.lines().for_each(|line| self.read_io(line)),
            Content::IoV1(what) => text.lines().for_each(|line| self.read_io_v1(what, line)),
        }
    }

    fn set(&mut self, figure: Figure, text: &str, scale: f64) {
        let number = text.parse::<f64>().ok().filter(|it| it.is_finite() && *it < UNLIMITED);
        if let Some(value) = self.values.get_mut(figure as usize) {
            *value = value.or(number.map(|it| it * scale));
        }
    }

    fn read_io(&mut self, line: &str) {
        let mut fields = line.split(' ');
        let Some(device) = fields.next().and_then(devices::number) else { return };
        // A device that the group did not use yet has a line of its number only.
        for (key, value) in fields.filter_map(|it| it.split_once('=')) {
            let io = self.io.entry(device).or_default();
            let [bytes_read, bytes_written, bytes_discarded] = &mut io.bytes;
            let [reads, writes, discards] = &mut io.operations;
            let place = match key {
                "rbytes" => bytes_read,
                "wbytes" => bytes_written,
                "dbytes" => bytes_discarded,
                "rios" => reads,
                "wios" => writes,
                "dios" => discards,
                _ => continue,
            };
            *place = value.parse().unwrap_or(0.0);
        }
    }

    fn read_io_v1(&mut self, what: IoWhat, line: &str) {
        let mut fields = line.split(' ');
        let Some(device) = fields.next().and_then(devices::number) else { return };
        let operation = match fields.next() {
            Some("Read") => 0,
            Some("Write") => 1,
            Some("Discard") => 2,
            _ => return,
        };
        let io = self.io.entry(device).or_default();
        let places = match what {
            IoWhat::Bytes => &mut io.bytes,
            IoWhat::Operations => &mut io.operations,
        };
        if let (Some(place), Some(value)) = (places.get_mut(operation), fields.next()) {
            *place = value.parse().unwrap_or(0.0);
        }
    }
}
