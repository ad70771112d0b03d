//! The functions of templates: one line of the table each.

use regex::Regex;

use super::{Context, Value, printf::printf};
use crate::units;

/// A function gets all its arguments, the piped one last.
#[derive(Debug)]
pub(super) struct Function {
    name: &'static str,
    /// Arguments at least and at most.
    n_args: (usize, usize),
    run: Run,
}

#[derive(Debug)]
enum Run {
    /// Of texts, to a text.
    Text(fn(&[String]) -> Result<String, String>),
    Values(fn(&[Value]) -> Result<Value, String>),
    Line(fn(&Context<'_>) -> Value),
}

/// What one call may repeat or pad to.
const N_REPEAT_MAX: usize = 65_536;
const ANY: usize = usize::MAX;

const fn text(
    name: &'static str,
    n_args: usize,
    run: fn(&[String]) -> Result<String, String>,
) -> Function {
    Function { name, n_args: (n_args, n_args), run: Run::Text(run) }
}

const fn values(
    name: &'static str,
    n_args: (usize, usize),
    run: fn(&[Value]) -> Result<Value, String>,
) -> Function {
    Function { name, n_args, run: Run::Values(run) }
}

const fn line(name: &'static str, run: fn(&Context<'_>) -> Value) -> Function {
    Function { name, n_args: (0, 0), run: Run::Line(run) }
}

const FUNCTIONS: &[Function] = &[
    line("__line__", |it| Value::Text(it.line.to_owned())),
    line("__timestamp__", |it| Value::Int(it.ts_ns)),
    values("unixEpoch", (1, 1), |it| {
        int(it, 0).map(|ns| Value::Text((ns / 1_000_000_000).to_string()))
    }),
    values("unixEpochMillis", (1, 1), |it| {
        int(it, 0).map(|ns| Value::Text((ns / 1_000_000).to_string()))
    }),
    values("unixEpochNanos", (1, 1), |it| int(it, 0).map(|ns| Value::Text(ns.to_string()))),
    text("lower", 1, |it| Ok(arg(it, 0).to_lowercase())),
    text("ToLower", 1, |it| Ok(arg(it, 0).to_lowercase())),
    text("upper", 1, |it| Ok(arg(it, 0).to_uppercase())),
    text("ToUpper", 1, |it| Ok(arg(it, 0).to_uppercase())),
    text("title", 1, |it| Ok(title(arg(it, 0)))),
    text("trim", 1, |it| Ok(arg(it, 0).trim().to_owned())),
    text("TrimSpace", 1, |it| Ok(arg(it, 0).trim().to_owned())),
    text("trimAll", 2, |it| Ok(trim(arg(it, 1), arg(it, 0)))),
    text("Trim", 2, |it| Ok(trim(arg(it, 0), arg(it, 1)))),
    text("TrimLeft", 2, |it| {
        Ok(arg(it, 0).trim_start_matches(|c| arg(it, 1).contains(c)).to_owned())
    }),
    text("TrimRight", 2, |it| {
        Ok(arg(it, 0).trim_end_matches(|c| arg(it, 1).contains(c)).to_owned())
    }),
    text("trimPrefix", 2, |it| Ok(without_prefix(arg(it, 1), arg(it, 0)))),
    text("TrimPrefix", 2, |it| Ok(without_prefix(arg(it, 0), arg(it, 1)))),
    text("trimSuffix", 2, |it| Ok(without_suffix(arg(it, 1), arg(it, 0)))),
    text("TrimSuffix", 2, |it| Ok(without_suffix(arg(it, 0), arg(it, 1)))),
    text("replace", 3, |it| Ok(arg(it, 2).replace(arg(it, 0), arg(it, 1)))),
    values("Replace", (4, 4), |it| {
        let [text, from, to, n] = it else { return Err("Replace needs 4 arguments".to_owned()) };
        let (text, from, to) = (text.text(), from.text(), to.text());
        Ok(Value::Text(match number(n)? {
            n if n < 0.0 => text.replace(&from, &to),
            n => text.replacen(&from, &to, index(n)),
        }))
    }),
    text("regexReplaceAll", 3, |it| {
        let regex = regex(arg(it, 0))?;
        Ok(regex.replace_all(arg(it, 1), arg(it, 2)).into_owned())
    }),
    text("regexReplaceAllLiteral", 3, |it| {
        let regex = regex(arg(it, 0))?;
        Ok(regex.replace_all(arg(it, 1), regex::NoExpand(arg(it, 2))).into_owned())
    }),
    values("count", (2, 2), |it| {
        let n = regex(&text_of(it, 0))?.find_iter(&text_of(it, 1)).count();
        Ok(Value::Int(i64::try_from(n).unwrap_or(i64::MAX)))
    }),
    values("substr", (3, 3), |it| {
        let (from, to, text) = (int(it, 0)?, int(it, 1)?, text_of(it, 2));
        if (0..from).contains(&to) {
            return Err(format!("runtime error: slice bounds out of range [{from}:{to}]"));
        }
        Ok(Value::Text(substr(&text, from, to)))
    }),
    values("trunc", (2, 2), |it| {
        let (n, text) = (int(it, 0)?, text_of(it, 1));
        let len = i64::try_from(text.len()).unwrap_or(i64::MAX);
        Ok(Value::Text(match n {
            n if n < 0 && len + n > 0 => substr(&text, len + n, len),
            n if n >= 0 && len > n => substr(&text, 0, n),
            _ => text,
        }))
    }),
    values("alignLeft", (2, 2), |it| align(it, true)),
    values("alignRight", (2, 2), |it| align(it, false)),
    values("indent", (2, 2), |it| {
        let blanks = " ".repeat(index(number_of(it, 0)?).min(N_REPEAT_MAX));
        Ok(Value::Text(format!("{blanks}{}", text_of(it, 1).replace('\n', &format!("\n{blanks}")))))
    }),
    values("repeat", (2, 2), |it| {
        let (n, text) = (index(number_of(it, 0)?), text_of(it, 1));
        if n.saturating_mul(text.len()) > N_REPEAT_MAX {
            return Err(format!("repeat makes more than {N_REPEAT_MAX} bytes"));
        }
        Ok(Value::Text(text.repeat(n)))
    }),
    values("contains", (2, 2), |it| Ok(Value::Bool(text_of(it, 1).contains(&text_of(it, 0))))),
    values("hasPrefix", (2, 2), |it| Ok(Value::Bool(text_of(it, 1).starts_with(&text_of(it, 0))))),
    values("hasSuffix", (2, 2), |it| Ok(Value::Bool(text_of(it, 1).ends_with(&text_of(it, 0))))),
    values("default", (2, 2), |it| match it {
        [default, value] => Ok(if value.is_true() { value.clone() } else { default.clone() }),
        _ => Err("default needs 2 arguments".to_owned()),
    }),
    values("len", (1, 1), |it| Ok(Value::Int(i64::try_from(text_of(it, 0).len()).unwrap_or(0)))),
    values("int", (1, 1), |it| int(it, 0).map(Value::Int)),
    values("float64", (1, 1), |it| number_of(it, 0).map(Value::Float)),
    values("add", (1, ANY), |it| fold_int(it, i64::checked_add)),
    values("sub", (2, 2), |it| fold_int(it, i64::checked_sub)),
    values("mul", (1, ANY), |it| fold_int(it, i64::checked_mul)),
    values("div", (2, 2), |it| fold_int(it, i64::checked_div)),
    values("mod", (2, 2), |it| fold_int(it, i64::checked_rem)),
    values("max", (1, ANY), |it| fold_int(it, |a, b| Some(a.max(b)))),
    values("min", (1, ANY), |it| fold_int(it, |a, b| Some(a.min(b)))),
    values("addf", (1, ANY), |it| fold_float(it, |a, b| a + b)),
    values("subf", (1, ANY), |it| fold_float(it, |a, b| a - b)),
    values("mulf", (1, ANY), |it| fold_float(it, |a, b| a * b)),
    values("divf", (1, ANY), |it| fold_float(it, |a, b| a / b)),
    values("maxf", (1, ANY), |it| fold_float(it, f64::max)),
    values("minf", (1, ANY), |it| fold_float(it, f64::min)),
    values("ceil", (1, 1), |it| number_of(it, 0).map(|it| Value::Float(it.ceil()))),
    values("floor", (1, 1), |it| number_of(it, 0).map(|it| Value::Float(it.floor()))),
    values("round", (2, 3), |it| {
        let (value, scale) = (number_of(it, 0)?, 10f64.powf(number_of(it, 1)?));
        Ok(Value::Float((value * scale + 0.5).floor() / scale))
    }),
    values("bytes", (1, 1), |it| {
        #[expect(clippy::cast_precision_loss, reason = "Loki gives a float")]
        units::bytes_or_error(&text_of(it, 0)).map(|it| Value::Float(it as f64))
    }),
    values("duration", (1, 1), duration),
    values("duration_seconds", (1, 1), duration),
    values("eq", (2, ANY), |it| match it {
        [first, rest @ ..] => Ok(Value::Bool(rest.iter().any(|it| it == first))),
        [] => Err("eq needs arguments".to_owned()),
    }),
    values("ne", (2, 2), |it| Ok(Value::Bool(it.first() != it.get(1)))),
    values("lt", (2, 2), |it| compare(it).map(|it| Value::Bool(it.is_lt()))),
    values("le", (2, 2), |it| compare(it).map(|it| Value::Bool(it.is_le()))),
    values("gt", (2, 2), |it| compare(it).map(|it| Value::Bool(it.is_gt()))),
    values("ge", (2, 2), |it| compare(it).map(|it| Value::Bool(it.is_ge()))),
    values("and", (1, ANY), |it| Ok(first_or_last(it, |it| !it.is_true()))),
    values("or", (1, ANY), |it| Ok(first_or_last(it, Value::is_true))),
    values("not", (1, 1), |it| Ok(Value::Bool(!it.iter().any(Value::is_true)))),
    values("print", (0, ANY), |it| {
        let mut out = String::new();
        for (i, value) in it.iter().enumerate() {
            let before = i.checked_sub(1).and_then(|it_before| it.get(it_before));
            let is_text = |it: &Value| matches!(it, Value::Text(_));
            // Go puts a blank between two operands where neither is a text.
            if before.is_some_and(|it| !is_text(it)) && !is_text(value) {
                out.push(' ');
            }
            out.push_str(&value.text());
        }
        Ok(Value::Text(out))
    }),
    values("printf", (1, ANY), |it| match it {
        [format, args @ ..] => Ok(Value::Text(printf(&format.text(), args))),
        [] => Err("printf needs a format".to_owned()),
    }),
];

/// Functions that Loki has and we do not.
const MISSING: &[&str] = &[
    "fromJson",
    "date",
    "toDate",
    "toDateInZone",
    "now",
    "unixToTime",
    "b64enc",
    "b64dec",
    "urlencode",
    "urldecode",
    "nindent",
    "index",
    "println",
    "call",
    "html",
    "js",
    "slice",
    "urlquery",
];

pub(super) fn find(name: &str) -> Option<&'static Function> {
    FUNCTIONS.iter().find(|it| it.name == name)
}

pub(super) fn is_known(name: &str) -> bool {
    MISSING.contains(&name)
}

pub(super) fn call(
    function: &Function,
    args: &[Value],
    context: &Context<'_>,
) -> Result<Value, String> {
    let (min, max) = function.n_args;
    if args.len() < min || args.len() > max {
        return Err(format!(
            "wrong number of args for {}: want {min} got {}",
            function.name,
            args.len()
        ));
    }
    match &function.run {
        Run::Text(run) => {
            let texts: Vec<String> = args.iter().map(Value::text).collect();
            run(&texts).map(Value::Text)
        }
        Run::Values(run) => run(args),
        Run::Line(run) => Ok(run(context)),
    }
    .map_err(|error| format!("error calling {}: {error}", function.name))
}

fn arg(args: &[String], i: usize) -> &str {
    args.get(i).map_or("", String::as_str)
}

fn text_of(args: &[Value], i: usize) -> String {
    args.get(i).map(Value::text).unwrap_or_default()
}

/// A text that is no number counts as 0, as in sprig's casts.
#[expect(clippy::cast_precision_loss, reason = "as Go converts")]
fn number(value: &Value) -> Result<f64, String> {
    Ok(match value {
        Value::Int(value) => *value as f64,
        Value::Float(value) => *value,
        Value::Bool(value) => f64::from(u8::from(*value)),
        Value::Text(text) => text.parse().unwrap_or(0.0),
    })
}

fn number_of(args: &[Value], i: usize) -> Result<f64, String> {
    args.get(i).map_or(Ok(0.0), number)
}

fn int(args: &[Value], i: usize) -> Result<i64, String> {
    match args.get(i) {
        Some(Value::Int(value)) => Ok(*value),
        Some(Value::Text(text)) => Ok(text.parse().unwrap_or(0)),
        #[expect(clippy::cast_possible_truncation, reason = "saturates, as Go does nearly")]
        Some(value) => number(value).map(|it| it as i64),
        None => Ok(0),
    }
}

#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "saturates at zero")]
fn index(value: f64) -> usize {
    value as usize
}

fn fold_int(args: &[Value], op: fn(i64, i64) -> Option<i64>) -> Result<Value, String> {
    let mut total = int(args, 0)?;
    for i in 1..args.len() {
        let value = int(args, i)?;
        total = op(total, value).ok_or_else(|| {
            if value == 0 { "integer divide by zero" } else { "integer overflow" }.to_owned()
        })?;
    }
    Ok(Value::Int(total))
}

fn fold_float(args: &[Value], op: fn(f64, f64) -> f64) -> Result<Value, String> {
    let mut total = number_of(args, 0)?;
    for i in 1..args.len() {
        total = op(total, number_of(args, i)?);
    }
    Ok(Value::Float(total))
}

fn compare(args: &[Value]) -> Result<std::cmp::Ordering, String> {
    match args {
        [Value::Int(left), Value::Int(right)] => Ok(left.cmp(right)),
        [Value::Text(left), Value::Text(right)] => Ok(left.cmp(right)),
        [Value::Float(left), Value::Float(right)] => Ok(left.total_cmp(right)),
        _ => Err("incompatible types for comparison".to_owned()),
    }
}

fn first_or_last(args: &[Value], stop: impl Fn(&Value) -> bool) -> Value {
    let found = args.iter().find(|it| stop(it)).or(args.last());
    found.cloned().unwrap_or(Value::Bool(false))
}

fn duration(args: &[Value]) -> Result<Value, String> {
    #[expect(clippy::cast_precision_loss, reason = "seconds are a float")]
    units::go_duration_or_error(&text_of(args, 0)).map(|ns| Value::Float(ns as f64 / 1e9))
}

fn regex(pattern: &str) -> Result<Regex, String> {
    Regex::new(pattern).map_err(|error| error.to_string())
}

fn title(text: &str) -> String {
    let mut at_start = true;
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        if at_start {
            out.extend(c.to_uppercase());
        } else {
            out.push(c);
        }
        at_start = !(c.is_alphanumeric() || c == '_' || c == '\'');
    }
    out
}

fn trim(text: &str, cut: &str) -> String {
    text.trim_matches(|c| cut.contains(c)).to_owned()
}

fn without_prefix(text: &str, prefix: &str) -> String {
    text.strip_prefix(prefix).unwrap_or(text).to_owned()
}

fn without_suffix(text: &str, suffix: &str) -> String {
    text.strip_suffix(suffix).unwrap_or(text).to_owned()
}

/// Bytes `from..to`; a negative end is the end of the text. A cut character becomes U+FFFD.
fn substr(text: &str, from: i64, to: i64) -> String {
    let bytes = text.as_bytes();
    let from = usize::try_from(from).unwrap_or(0);
    let to = usize::try_from(to).unwrap_or(bytes.len()).min(bytes.len());
    String::from_utf8_lossy(bytes.get(from..to).unwrap_or_default()).into_owned()
}

fn align(args: &[Value], left: bool) -> Result<Value, String> {
    let (width, text) = (index(number_of(args, 0)?).min(N_REPEAT_MAX), text_of(args, 1));
    let n_chars = text.chars().count();
    let blanks = " ".repeat(width.saturating_sub(n_chars));
    Ok(Value::Text(match (n_chars > width, left) {
        (true, true) => text.chars().take(width).collect(),
        (true, false) => text.chars().skip(n_chars - width).collect(),
        (false, true) => format!("{text}{blanks}"),
        (false, false) => format!("{blanks}{text}"),
    }))
}
