//! The functions of templates: one line of the table each, with the types Go would check.

mod cast;
mod compare;
mod decimal;
mod encode;
mod text;

use std::{
    collections::HashMap,
    sync::{Mutex, PoisonError},
};

use regex::Regex;

use self::cast::{to_float, to_int};
use super::Fields;
use super::{
    Value,
    printf::{print, printf, println},
    value::{Type, from_json},
};
use crate::{
    go_regex,
    go_time::{Time, Zone},
    go_units as units,
};

/// What one call may repeat or pad to.
const N_REPEAT_MAX: i64 = 65_536;
/// Patterns a template keeps compiled; with more, each use compiles anew.
const N_REGEXES_MAX: usize = 32;

/// What a template sees of a line.
#[derive(Debug, Clone)]
pub(super) struct Context<'v> {
    pub(super) ts_ns: i64,
    pub(super) line: &'v str,
    pub(super) labels: &'v dyn Fields,
    /// When the query was compiled.
    pub(super) now_ns: i64,
    pub(super) regexes: &'v Regexes,
}

/// The patterns a template has used so far.
#[derive(Debug, Default)]
pub(super) struct Regexes(Mutex<HashMap<String, Regex>>);

impl Regexes {
    fn get(&self, pattern: &str) -> Result<Regex, String> {
        let mut regexes = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(regex) = regexes.get(pattern) {
            return Ok(regex.clone());
        }
        let regex = go_regex::compile_or_say(pattern)?;
        if regexes.len() < N_REGEXES_MAX {
            regexes.insert(pattern.to_owned(), regex.clone());
        }
        Ok(regex)
    }
}

/// A function gets all its arguments, the piped one last, of the types it names.
#[derive(Debug)]
pub(super) struct Function {
    pub(super) name: &'static str,
    pub(super) params: &'static [Type],
    /// Takes any number of further values.
    pub(super) is_variadic: bool,
    pub(super) run: Run,
}

#[derive(Debug)]
pub(super) enum Run {
    Pure(for<'v> fn(&[Value<'v>]) -> Result<Value<'v>, String>),
    InContext(for<'v> fn(&Context<'v>, &[Value<'v>]) -> Result<Value<'v>, String>),
    /// `and` and `or` stop at the first argument that decides.
    UntilTrue(bool),
}

type Pure = for<'v> fn(&[Value<'v>]) -> Result<Value<'v>, String>;
type InContext = for<'v> fn(&Context<'v>, &[Value<'v>]) -> Result<Value<'v>, String>;

const fn pure(name: &'static str, params: &'static [Type], run: Pure) -> Function {
    Function { name, params, is_variadic: false, run: Run::Pure(run) }
}

const fn variadic(name: &'static str, params: &'static [Type], run: Pure) -> Function {
    Function { name, params, is_variadic: true, run: Run::Pure(run) }
}

const fn context(name: &'static str, params: &'static [Type], run: InContext) -> Function {
    Function { name, params, is_variadic: false, run: Run::InContext(run) }
}

const fn until(name: &'static str, truth: bool) -> Function {
    Function { name, params: ANY1, is_variadic: true, run: Run::UntilTrue(truth) }
}

const T1: &[Type] = &[Type::Text];
const T2: &[Type] = &[Type::Text, Type::Text];
const T3: &[Type] = &[Type::Text, Type::Text, Type::Text];
const INT_TEXT: &[Type] = &[Type::Int, Type::Text];
const ANY1: &[Type] = &[Type::Any];
const ANY2: &[Type] = &[Type::Any, Type::Any];
const TIME: &[Type] = &[Type::Time];

/// Loki's functions and those that Go's templates have built in, by group.
pub(super) const FUNCTIONS: &[Function] = &[
    // The line.
    context("__line__", &[], |it, _| Ok(Value::text(it.line))),
    context("__timestamp__", &[], |it, _| Ok(Value::Time(Time::unix_ns(it.ts_ns)))),
    // Texts.
    pure("lower", T1, |it| Ok(Value::text(text_of(it, 0).to_lowercase()))),
    pure("upper", T1, |it| Ok(Value::text(text_of(it, 0).to_uppercase()))),
    pure("title", T1, |it| Ok(Value::text(text::title(text_of(it, 0))))),
    pure("trim", T1, |it| Ok(Value::text(text_of(it, 0).trim().to_owned()))),
    pure("trimAll", T2, |it| Ok(text::trim(text_of(it, 1), text_of(it, 0)))),
    pure("trimPrefix", T2, |it| Ok(text::trim_prefix(text_of(it, 1), text_of(it, 0)))),
    pure("trimSuffix", T2, |it| Ok(text::trim_suffix(text_of(it, 1), text_of(it, 0)))),
    pure("trunc", INT_TEXT, |it| Ok(text::trunc(int_of(it, 0), text_of(it, 1)))),
    pure("substr", &[Type::Int, Type::Int, Type::Text], |it| {
        text::substr(int_of(it, 0), int_of(it, 1), text_of(it, 2))
    }),
    pure("replace", T3, |it| {
        Ok(Value::text(text_of(it, 2).replace(text_of(it, 0), text_of(it, 1))))
    }),
    pure("repeat", INT_TEXT, |it| text::repeat(int_of(it, 0), text_of(it, 1)).map(Value::text)),
    pure("indent", INT_TEXT, |it| text::indent("", int_of(it, 0), text_of(it, 1))),
    pure("nindent", INT_TEXT, |it| text::indent("\n", int_of(it, 0), text_of(it, 1))),
    pure("alignLeft", INT_TEXT, |it| Ok(text::align_left(int_of(it, 0), text_of(it, 1)))),
    pure("alignRight", INT_TEXT, |it| Ok(text::align_right(int_of(it, 0), text_of(it, 1)))),
    pure("contains", T2, |it| Ok(Value::Bool(text_of(it, 1).contains(text_of(it, 0))))),
    pure("hasPrefix", T2, |it| Ok(Value::Bool(text_of(it, 1).starts_with(text_of(it, 0))))),
    pure("hasSuffix", T2, |it| Ok(Value::Bool(text_of(it, 1).ends_with(text_of(it, 0))))),
    context("regexReplaceAll", T3, |context, it| {
        let regex = context.regexes.get(text_of(it, 0))?;
        Ok(Value::text(regex.replace_all(text_of(it, 1), text_of(it, 2)).into_owned()))
    }),
    context("regexReplaceAllLiteral", T3, |context, it| {
        let regex = context.regexes.get(text_of(it, 0))?;
        let replacement = regex::NoExpand(text_of(it, 2));
        Ok(Value::text(regex.replace_all(text_of(it, 1), replacement).into_owned()))
    }),
    context("count", T2, |context, it| {
        let n = context.regexes.get(text_of(it, 0))?.find_iter(text_of(it, 1)).count();
        Ok(Value::Int(i64::try_from(n).unwrap_or(i64::MAX)))
    }),
    // Texts, by their older names.
    pure("ToLower", T1, |it| Ok(Value::text(text_of(it, 0).to_lowercase()))),
    pure("ToUpper", T1, |it| Ok(Value::text(text_of(it, 0).to_uppercase()))),
    pure("Replace", &[Type::Text, Type::Text, Type::Text, Type::Int], |it| {
        let (text, from, to) = (text_of(it, 0), text_of(it, 1), text_of(it, 2));
        Ok(Value::text(match usize::try_from(int_of(it, 3)) {
            Ok(n) => text.replacen(from, to, n),
            Err(_negative_is_all) => text.replace(from, to),
        }))
    }),
    pure("Trim", T2, |it| Ok(text::trim(text_of(it, 0), text_of(it, 1)))),
    pure("TrimLeft", T2, |it| {
        Ok(Value::text(
            text_of(it, 0).trim_start_matches(|c| text_of(it, 1).contains(c)).to_owned(),
        ))
    }),
    pure("TrimRight", T2, |it| {
        Ok(Value::text(text_of(it, 0).trim_end_matches(|c| text_of(it, 1).contains(c)).to_owned()))
    }),
    pure("TrimPrefix", T2, |it| Ok(text::trim_prefix(text_of(it, 0), text_of(it, 1)))),
    pure("TrimSuffix", T2, |it| Ok(text::trim_suffix(text_of(it, 0), text_of(it, 1)))),
    pure("TrimSpace", T1, |it| Ok(Value::text(text_of(it, 0).trim().to_owned()))),
    // Encodings.
    pure("b64enc", T1, |it| Ok(Value::text(encode::b64enc(text_of(it, 0))))),
    pure("b64dec", T1, |it| Ok(Value::text(encode::b64dec(text_of(it, 0))))),
    pure("urlencode", T1, |it| Ok(Value::text(encode::urlencode(text_of(it, 0))))),
    pure("urldecode", T1, |it| encode::urldecode(text_of(it, 0)).map(Value::text)),
    pure("fromJson", T1, |it| {
        Ok(serde_json::from_str(text_of(it, 0)).map_or(Value::Nil, from_json))
    }),
    // Numbers.
    pure("int", ANY1, |it| Ok(Value::Int(to_int(it.first())))),
    pure("float64", ANY1, |it| Ok(Value::Float(to_float(it.first())))),
    variadic("add", &[], |it| {
        Ok(Value::Int64(it.iter().fold(0, |sum: i64, it| sum.wrapping_add(to_int(Some(it))))))
    }),
    pure("sub", ANY2, |it| Ok(Value::Int64(to_int(it.first()).wrapping_sub(to_int(it.get(1)))))),
    variadic("mul", ANY1, |it| {
        Ok(Value::Int64(it.iter().fold(1, |all: i64, it| all.wrapping_mul(to_int(Some(it))))))
    }),
    pure("div", ANY2, |it| match to_int(it.get(1)) {
        0 => Err("runtime error: integer divide by zero".to_owned()),
        by => Ok(Value::Int64(to_int(it.first()).wrapping_div(by))),
    }),
    pure("mod", ANY2, |it| match to_int(it.get(1)) {
        0 => Err("runtime error: integer divide by zero".to_owned()),
        by => Ok(Value::Int64(to_int(it.first()).wrapping_rem(by))),
    }),
    variadic("max", ANY1, |it| {
        Ok(Value::Int64(it.iter().map(|it| to_int(Some(it))).max().unwrap_or(0)))
    }),
    variadic("min", ANY1, |it| {
        Ok(Value::Int64(it.iter().map(|it| to_int(Some(it))).min().unwrap_or(0)))
    }),
    variadic("addf", &[], |it| decimal::fold(0.0, it, decimal::Op::Add)),
    variadic("subf", ANY1, |it| decimal::fold_rest(it, decimal::Op::Sub)),
    variadic("mulf", ANY1, |it| decimal::fold_rest(it, decimal::Op::Mul)),
    variadic("divf", ANY1, |it| decimal::fold_rest(it, decimal::Op::Div)),
    variadic("maxf", ANY1, |it| Ok(cast::fold_float(it, cast::go_max))),
    variadic("minf", ANY1, |it| Ok(cast::fold_float(it, cast::go_min))),
    pure("ceil", ANY1, |it| Ok(Value::Float(to_float(it.first()).ceil()))),
    pure("floor", ANY1, |it| Ok(Value::Float(to_float(it.first()).floor()))),
    variadic("round", &[Type::Any, Type::Int], |it| {
        let round_on = it.get(2).map_or(0.5, |it| to_float(Some(it)));
        Ok(Value::Float(cast::round(to_float(it.first()), int_of(it, 1), round_on)))
    }),
    pure("bytes", T1, |it| {
        #[expect(clippy::cast_precision_loss, reason = "Loki gives a float")]
        units::bytes_or_error(text_of(it, 0)).map(|it| Value::Float(it as f64))
    }),
    pure("duration", T1, |it| duration(text_of(it, 0))),
    pure("duration_seconds", T1, |it| duration(text_of(it, 0))),
    // Times.
    context("now", &[], |it, _| Ok(Value::Time(Time::unix_ns(it.now_ns)))),
    pure("toDate", T2, |it| {
        Ok(Value::Time(Time::parse(text_of(it, 0), text_of(it, 1), &Zone::Utc)))
    }),
    pure("toDateInZone", T3, |it| {
        let zone = Zone::named(text_of(it, 1));
        Ok(Value::Time(Time::parse(text_of(it, 0), text_of(it, 2), &zone)))
    }),
    pure("unixToTime", T1, |it| text::unix_to_time(text_of(it, 0)).map(Value::Time)),
    context("date", &[Type::Text, Type::Any], |context, it| {
        let time = match it.get(1) {
            Some(Value::Time(time)) => time.in_zone(Zone::Utc),
            Some(Value::Int(s) | Value::Int64(s)) => Time::unix(*s, 0),
            _ => Time::unix_ns(context.now_ns),
        };
        Ok(Value::text(time.format(text_of(it, 0))))
    }),
    pure("unixEpoch", TIME, |it| Ok(Value::text(time_of(it).unix_s().to_string()))),
    pure("unixEpochMillis", TIME, |it| Ok(Value::text(time_of(it).unix_ms().to_string()))),
    pure("unixEpochNanos", TIME, |it| Ok(Value::text(time_of(it).to_ns().to_string()))),
    // Logic.
    variadic("default", ANY1, |it| {
        let given = it.get(1).filter(|it| !compare::is_empty(it));
        Ok(given.or(it.first()).cloned().unwrap_or(Value::Nil))
    }),
    until("and", false),
    until("or", true),
    pure("not", ANY1, |it| Ok(Value::Bool(!it.iter().any(Value::is_true)))),
    variadic("eq", ANY1, |it| compare::equals_any(it).map(Value::Bool)),
    pure("ne", ANY2, |it| compare::equals_any(it).map(|it| Value::Bool(!it))),
    pure("lt", ANY2, |it| compare::is_less(it).map(Value::Bool)),
    pure("le", ANY2, |it| compare::is_less_or_equal(it).map(Value::Bool)),
    pure("gt", ANY2, |it| compare::is_less_or_equal(it).map(|it| Value::Bool(!it))),
    pure("ge", ANY2, |it| compare::is_less(it).map(|it| Value::Bool(!it))),
    // What Go's templates have built in.
    pure("len", ANY1, |it| compare::len(it).map(Value::Int)),
    variadic("index", ANY1, compare::index),
    variadic("slice", ANY1, compare::slice),
    variadic("print", &[], |it| Ok(Value::text(print(it)))),
    variadic("println", &[], |it| Ok(Value::text(println(it)))),
    variadic("printf", T1, |it| {
        Ok(Value::text(printf(text_of(it, 0), it.get(1..).unwrap_or_default())))
    }),
    variadic("html", &[], |it| Ok(Value::text(encode::html(&print(it))))),
    variadic("js", &[], |it| Ok(Value::text(encode::js(&print(it))))),
    variadic("urlquery", &[], |it| Ok(Value::text(encode::urlencode(&print(it))))),
    variadic("call", ANY1, |it| match it.first() {
        None | Some(Value::None | Value::Nil) => Err("call of nil".to_owned()),
        Some(value) => Err(format!("non-function of type {}", value.type_name())),
    }),
];

pub(super) fn find(name: &str) -> Option<&'static Function> {
    FUNCTIONS.iter().find(|it| it.name == name)
}

/// A text argument, whose type has been checked.
fn text_of<'a>(args: &'a [Value<'_>], i: usize) -> &'a str {
    match args.get(i) {
        Some(Value::Text(text)) => text,
        _ => "",
    }
}

fn int_of(args: &[Value<'_>], i: usize) -> i64 {
    match args.get(i) {
        Some(Value::Int(value)) => *value,
        _ => 0,
    }
}

fn time_of(args: &[Value<'_>]) -> Time {
    match args.first() {
        Some(Value::Time(time)) => time.clone(),
        _ => Time::zero(),
    }
}

fn duration<'v>(text: &str) -> Result<Value<'v>, String> {
    #[expect(clippy::cast_precision_loss, reason = "seconds are a float")]
    units::go_duration_or_error(text).map(|ns| Value::Float(ns as f64 / 1e9))
}
