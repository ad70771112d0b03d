//! Go's `print`, `println` and `printf`, wrong verbs and all.

mod number;

use super::Value;
use crate::go_text::quote;

/// Bounds what one verb may pad to.
const WIDTH_MAX: usize = 4_096;

/// Operands side by side; a blank stands between two of which neither is a text.
pub(super) fn print(args: &[Value<'_>]) -> String {
    let mut out = String::new();
    let is_text = |it: &Value<'_>| matches!(it, Value::Text(_));
    let mut before_is_text = true;
    for (i, value) in args.iter().enumerate() {
        if i > 0 && !before_is_text && !is_text(value) {
            out.push(' ');
        }
        value.write(&mut out);
        before_is_text = is_text(value);
    }
    out
}

/// Operands with blanks between, and a line break.
pub(super) fn println(args: &[Value<'_>]) -> String {
    let shown: Vec<String> = args.iter().map(Value::shown).collect();
    shown.join(" ") + "\n"
}

/// What stands between `%` and the verb.
#[derive(Debug, Clone, Copy, Default)]
struct Spec {
    minus: bool,
    plus: bool,
    sharp: bool,
    space: bool,
    zero: bool,
    width: Option<usize>,
    precision: Option<usize>,
}

struct Printer<'a, 'v> {
    rest: &'a str,
    args: &'a [Value<'v>],
    next_arg: usize,
    is_reordered: bool,
    out: String,
}

pub(super) fn printf(format: &str, args: &[Value<'_>]) -> String {
    let mut printer =
        Printer { rest: format, args, next_arg: 0, is_reordered: false, out: String::new() };
    printer.run();
    printer.out
}

impl Printer<'_, '_> {
    fn take(&mut self) -> Option<char> {
        let c = self.rest.chars().next()?;
        self.rest = self.rest.get(c.len_utf8()..).unwrap_or_default();
        Some(c)
    }

    fn run(&mut self) {
        while let Some((before, after)) = self.rest.split_once('%') {
            self.out.push_str(before);
            self.rest = after;
            self.verb();
        }
        self.out.push_str(self.rest);
        let extra = self.args.get(self.next_arg..).unwrap_or_default();
        if !self.is_reordered && !extra.is_empty() {
            let shown: Vec<String> = extra.iter().map(typed).collect();
            self.out.push_str(&format!("%!(EXTRA {})", shown.join(", ")));
        }
    }

    fn verb(&mut self) {
        let mut spec = Spec::default();
        while let Some(flag) = self.rest.chars().next().filter(|c| "-+# 0".contains(*c)) {
            self.take();
            match flag {
                '-' => spec.minus = true,
                '+' => spec.plus = true,
                '#' => spec.sharp = true,
                ' ' => spec.space = true,
                _ => spec.zero = true,
            }
        }
        self.arg_index();
        let width = self.length("%!(BADWIDTH)");
        if let Some(width) = width {
            spec.minus |= width < 0;
            spec.width = Some(clamped(width.saturating_abs()));
        }
        if let Some(after) = self.rest.strip_prefix('.') {
            self.rest = after;
            self.arg_index();
            let precision = self.length("%!(BADPREC)").unwrap_or(0);
            spec.precision = (precision >= 0).then(|| clamped(precision));
        }
        self.arg_index();
        // Zeros cannot stand to the right.
        spec.zero &= !spec.minus;
        let Some(verb) = self.take() else {
            self.out.push_str("%!(NOVERB)");
            return;
        };
        if verb == '%' {
            self.out.push('%');
            return;
        }
        match self.args.get(self.next_arg) {
            None => self.out.push_str(&format!("%!{verb}(MISSING)")),
            Some(arg) => {
                self.next_arg += 1;
                show(&mut self.out, verb, arg, spec);
            }
        }
    }

    /// `[2]`: which argument is next.
    fn arg_index(&mut self) {
        let Some(inner) = self.rest.strip_prefix('[') else { return };
        let Some((digits, after)) = inner.split_once(']') else { return };
        if let Some(index) = digits.parse::<usize>().ok().and_then(|it| it.checked_sub(1)) {
            self.next_arg = index.min(self.args.len());
            self.is_reordered = true;
            self.rest = after;
        }
    }

    /// A width or a precision: digits, or `*` for the next argument.
    fn length(&mut self, bad: &str) -> Option<i64> {
        if let Some(after) = self.rest.strip_prefix('*') {
            self.rest = after;
            let arg = self.args.get(self.next_arg);
            self.next_arg += 1;
            let Some(Value::Int(value) | Value::Int64(value)) = arg else {
                self.out.push_str(bad);
                return None;
            };
            return Some(*value);
        }
        let n = self.rest.bytes().take_while(u8::is_ascii_digit).count();
        let (digits, after) = self.rest.split_at(n);
        self.rest = after;
        (n > 0).then(|| digits.parse().unwrap_or(i64::MAX))
    }
}

fn clamped(value: i64) -> usize {
    usize::try_from(value).unwrap_or(0).min(WIDTH_MAX)
}

/// `string=abc`
fn typed(value: &Value<'_>) -> String {
    match value {
        Value::None | Value::Nil => "<nil>".to_owned(),
        value => format!("{}={}", value.type_name(), value.shown()),
    }
}

fn show(out: &mut String, verb: char, value: &Value<'_>, spec: Spec) {
    let shown = match (verb, value) {
        ('T', value) => value.type_name().to_owned(),
        (_, Value::List(list)) => {
            out.push('[');
            for (i, item) in list.iter().enumerate() {
                if i > 0 {
                    out.push(' ');
                }
                show(out, verb, item, spec);
            }
            out.push(']');
            return;
        }
        (_, Value::Map(map)) => {
            out.push_str("map[");
            for (i, (key, item)) in map.iter().enumerate() {
                if i > 0 {
                    out.push(' ');
                }
                show(out, verb, &Value::text(key.as_str()), spec);
                out.push(':');
                show(out, verb, item, spec);
            }
            out.push(']');
            return;
        }
        ('v', Value::None | Value::Nil) => "<nil>".to_owned(),
        ('v' | 't', Value::Bool(value)) => value.to_string(),
        (verb, Value::Int(n) | Value::Int64(n)) => match number::int(verb, *n, spec) {
            Some(shown) => shown,
            None => bad_verb(verb, value),
        },
        (verb, Value::Byte(n)) => match number::int(verb, i64::from(*n), spec) {
            Some(shown) => shown,
            None => bad_verb(verb, value),
        },
        (verb, Value::Float(n)) => match number::float(verb, *n, spec) {
            Some(shown) => shown,
            None => bad_verb(verb, value),
        },
        (verb, Value::Text(text)) => match text_verb(verb, text, spec) {
            Some(shown) => shown,
            None => bad_verb(verb, value),
        },
        (verb, Value::Time(time)) => match text_verb(verb, &time.to_string(), spec) {
            Some(shown) => shown,
            None => bad_verb(verb, value),
        },
        ('v', Value::Labels(_)) => value.shown(),
        (verb, value) => bad_verb(verb, value),
    };
    if shown.starts_with("%!") {
        out.push_str(&shown);
    } else {
        pad(out, &shown, spec);
    }
}

fn text_verb(verb: char, text: &str, spec: Spec) -> Option<String> {
    let cut = || match spec.precision {
        Some(precision) => text.chars().take(precision).collect(),
        None => text.to_owned(),
    };
    Some(match verb {
        'v' if spec.sharp => quote(&cut()),
        'v' | 's' => cut(),
        'q' if spec.sharp && !text.contains('`') && !text.contains(char::is_control) => {
            format!("`{}`", cut())
        }
        'q' => quote(&cut()),
        'x' | 'X' => {
            let n_max = spec.precision.unwrap_or(usize::MAX);
            let bytes = text.bytes().take(n_max);
            let hex: Vec<String> = bytes
                .map(|it| if verb == 'x' { format!("{it:02x}") } else { format!("{it:02X}") })
                .collect();
            let prefix = match (spec.sharp, verb) {
                (false, _) => "",
                (true, 'x') => "0x",
                (true, _) => "0X",
            };
            format!("{prefix}{}", hex.join(if spec.space { " " } else { "" }))
        }
        _ => return None,
    })
}

/// `%!d(string=abc)`
fn bad_verb(verb: char, value: &Value<'_>) -> String {
    format!("%!{verb}({})", typed(value))
}

fn pad(out: &mut String, text: &str, spec: Spec) {
    let n_missing = spec.width.unwrap_or(0).saturating_sub(text.chars().count());
    if spec.minus {
        out.push_str(text);
        out.push_str(&" ".repeat(n_missing));
    } else {
        out.push_str(&if spec.zero { "0" } else { " " }.repeat(n_missing));
        out.push_str(text);
    }
}
