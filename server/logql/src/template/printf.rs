//! Go's `printf` for the verbs that make sense of texts and numbers.

use super::Value;
use crate::print::quote;

/// Bounds what one verb may pad to.
const WIDTH_MAX: usize = 4_096;

pub(super) fn printf(format: &str, args: &[Value]) -> String {
    let mut out = String::new();
    let mut args = args.iter();
    let mut chars = format.chars().peekable();
    while let Some(c) = chars.next() {
        if c != '%' {
            out.push(c);
            continue;
        }
        let (mut left, mut zero, mut plus) = (false, false, false);
        while let Some(flag) = chars.next_if(|c| "-0+ #".contains(*c)) {
            left |= flag == '-';
            zero |= flag == '0';
            plus |= flag == '+';
        }
        let mut number = || {
            let mut digits = String::new();
            while let Some(digit) = chars.next_if(char::is_ascii_digit) {
                digits.push(digit);
            }
            digits.parse::<usize>().ok().map(|it| it.min(WIDTH_MAX))
        };
        let width = number().unwrap_or(0);
        let precision = chars.next_if_eq(&'.').map(|_| {
            let mut digits = String::new();
            while let Some(digit) = chars.next_if(char::is_ascii_digit) {
                digits.push(digit);
            }
            digits.parse::<usize>().unwrap_or(0).min(WIDTH_MAX)
        });
        match chars.next() {
            Some('%') => out.push('%'),
            None => out.push_str("%!(NOVERB)"),
            Some(verb) => {
                let mut text = match args.next() {
                    None => format!("%!{verb}(MISSING)"),
                    Some(value) => show(verb, value, precision),
                };
                if plus && matches!(verb, 'd' | 'f') && !text.starts_with('-') {
                    text.insert(0, '+');
                }
                pad(&mut out, &text, width, left, zero && verb != 's' && verb != 'q');
            }
        }
    }
    out
}

fn show(verb: char, value: &Value, precision: Option<usize>) -> String {
    match (verb, value) {
        ('v', value) => value.text(),
        ('s', Value::Text(text)) => match precision {
            Some(precision) => text.chars().take(precision).collect(),
            None => text.clone(),
        },
        ('q', Value::Text(text)) => quote(text),
        ('d', Value::Int(value)) => value.to_string(),
        ('x', Value::Int(value)) => format!("{value:x}"),
        ('x', Value::Text(text)) => text.bytes().map(|it| format!("{it:02x}")).collect(),
        ('t', Value::Bool(value)) => value.to_string(),
        ('f', Value::Float(value)) => format!("{value:.*}", precision.unwrap_or(6)),
        ('g', Value::Float(value)) => crate::units::go_float(*value),
        (verb, value) => {
            let kind = match value {
                Value::Text(_) => "string",
                Value::Int(_) => "int",
                Value::Float(_) => "float64",
                Value::Bool(_) => "bool",
            };
            format!("%!{verb}({kind}={})", value.text())
        }
    }
}

fn pad(out: &mut String, text: &str, width: usize, left: bool, zero: bool) {
    let n_missing = width.saturating_sub(text.chars().count());
    if left {
        out.push_str(text);
        out.push_str(&" ".repeat(n_missing));
    } else if zero {
        let (sign, digits) = match text.strip_prefix(['-', '+']) {
            Some(digits) => text.split_at(text.len() - digits.len()),
            None => ("", text),
        };
        out.push_str(sign);
        out.push_str(&"0".repeat(n_missing));
        out.push_str(digits);
    } else {
        out.push_str(&" ".repeat(n_missing));
        out.push_str(text);
    }
}
