//! The values of templates: Go's types, their names, and how Go prints them.

use std::{borrow::Cow, collections::BTreeMap, fmt::Write as _, sync::Arc};

use chrono::{Datelike as _, Timelike as _};

use super::Fields;
use crate::{go_time::Time, go_units as units};

/// What a template computes with. Texts of the line and of labels are borrowed.
#[derive(Debug, Clone)]
pub(super) enum Value<'v> {
    /// Nothing at all: prints as `<no value>`.
    None,
    /// An empty interface, such as a member that a decoded JSON object lacks.
    Nil,
    Bool(bool),
    /// `int`
    Int(i64),
    Int64(i64),
    /// `uint8`: one byte of a text.
    Byte(u8),
    Float(f64),
    Text(Cow<'v, str>),
    Time(Time),
    List(Arc<[Value<'static>]>),
    Map(Arc<BTreeMap<String, Value<'static>>>),
    /// `.` outside of blocks: the labels.
    Labels(&'v dyn Fields),
}

/// What a function takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Type {
    Any,
    Text,
    Int,
    Time,
}

impl Type {
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Any => "interface {}",
            Self::Text => "string",
            Self::Int => "int",
            Self::Time => "time.Time",
        }
    }
}

impl<'v> Value<'v> {
    pub(super) fn text(text: impl Into<Cow<'v, str>>) -> Self {
        Self::Text(text.into())
    }

    pub(super) fn type_name(&self) -> &'static str {
        match self {
            Self::None => "<nil>",
            Self::Nil => "interface {}",
            Self::Bool(_) => "bool",
            Self::Int(_) => "int",
            Self::Int64(_) => "int64",
            Self::Byte(_) => "uint8",
            Self::Float(_) => "float64",
            Self::Text(_) => "string",
            Self::Time(_) => "time.Time",
            Self::List(_) => "[]interface {}",
            Self::Map(_) => "map[string]interface {}",
            Self::Labels(_) => "map[string]string",
        }
    }

    pub(super) fn is(&self, wanted: Type) -> bool {
        match wanted {
            Type::Any => true,
            Type::Text => matches!(self, Self::Text(_)),
            Type::Int => matches!(self, Self::Int(_)),
            Type::Time => matches!(self, Self::Time(_)),
        }
    }

    pub(super) fn is_true(&self) -> bool {
        match self {
            Self::None | Self::Nil => false,
            Self::Bool(value) => *value,
            Self::Int(value) | Self::Int64(value) => *value != 0,
            Self::Byte(value) => *value != 0,
            Self::Float(value) => *value != 0.0,
            Self::Text(text) => !text.is_empty(),
            // A struct is always true.
            Self::Time(_) => true,
            Self::List(list) => !list.is_empty(),
            Self::Map(map) => !map.is_empty(),
            Self::Labels(labels) => !labels.pairs().is_empty(),
        }
    }

    /// Appends the value as `%v` prints it.
    pub(super) fn write(&self, out: &mut String) {
        match self {
            Self::None | Self::Nil => out.push_str("<nil>"),
            Self::Bool(value) => out.push_str(if *value { "true" } else { "false" }),
            // Writing to a string cannot fail.
            Self::Int(value) | Self::Int64(value) => write!(out, "{value}").unwrap_or_default(),
            Self::Byte(value) => write!(out, "{value}").unwrap_or_default(),
            Self::Float(value) => out.push_str(&units::go_float_g(*value)),
            Self::Text(text) => out.push_str(text),
            Self::Time(time) => out.push_str(&time.to_string()),
            Self::List(list) => {
                out.push('[');
                for (i, value) in list.iter().enumerate() {
                    if i > 0 {
                        out.push(' ');
                    }
                    value.write(out);
                }
                out.push(']');
            }
            Self::Map(map) => {
                out.push_str("map[");
                for (i, (key, value)) in map.iter().enumerate() {
                    if i > 0 {
                        out.push(' ');
                    }
                    out.push_str(key);
                    out.push(':');
                    value.write(out);
                }
                out.push(']');
            }
            Self::Labels(labels) => {
                out.push_str("map[");
                for (i, (name, value)) in labels.pairs().into_iter().enumerate() {
                    let blank = if i > 0 { " " } else { "" };
                    write!(out, "{blank}{name}:{value}").unwrap_or_default();
                }
                out.push(']');
            }
        }
    }

    pub(super) fn shown(&self) -> String {
        let mut out = String::new();
        self.write(&mut out);
        out
    }
}

/// A decoded JSON document; Go reads every number as a float.
pub(super) fn from_json(json: serde_json::Value) -> Value<'static> {
    match json {
        serde_json::Value::Null => Value::Nil,
        serde_json::Value::Bool(value) => Value::Bool(value),
        serde_json::Value::Number(number) => Value::Float(number.as_f64().unwrap_or(f64::NAN)),
        serde_json::Value::String(text) => Value::text(text),
        serde_json::Value::Array(list) => Value::List(list.into_iter().map(from_json).collect()),
        serde_json::Value::Object(map) => {
            let pairs = map.into_iter().map(|(key, value)| (key, from_json(value)));
            Value::Map(Arc::new(pairs.collect()))
        }
    }
}

/// The values of methods without arguments, which templates may call.
pub(super) fn time_field(time: &Time, name: &str) -> Option<Value<'static>> {
    use Value::{Bool, Int, Int64, Text, Time};
    let local = time.local();
    let int = |it: u32| Int(it.into());
    Some(match name {
        "Unix" => Int64(time.unix_s()),
        "UnixMilli" => Int64(time.unix_ms()),
        "UnixMicro" => Int64(time.unix_us()),
        "UnixNano" => Int64(time.to_ns()),
        "Year" => Int(local.year().into()),
        "Month" => Text(time.format("January").into()),
        "Day" => int(local.day()),
        "Hour" => int(local.hour()),
        "Minute" => int(local.minute()),
        "Second" => int(local.second()),
        "Nanosecond" => int(time.nanos()),
        "YearDay" => int(local.ordinal()),
        "Weekday" => Text(time.format("Monday").into()),
        "IsZero" => Bool(time.is_zero()),
        "UTC" | "Local" => Time(time.in_zone(crate::go_time::Zone::Utc)),
        "String" => Text(time.to_string().into()),
        _ => return None,
    })
}
