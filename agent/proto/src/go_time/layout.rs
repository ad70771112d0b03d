//! Go's reference layouts, `Mon Jan 2 15:04:05 MST 2006`: printing and reading.

use chrono::{Datelike as _, NaiveTime, Timelike as _};

use super::{Time, Zone, date, offset_text};

const MONTHS: [&str; 12] = [
    "January",
    "February",
    "March",
    "April",
    "May",
    "June",
    "July",
    "August",
    "September",
    "October",
    "November",
    "December",
];
const DAYS: [&str; 7] =
    ["Sunday", "Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday"];

/// One element of a layout.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Part {
    LongMonth,
    Month,
    NumMonth,
    ZeroMonth,
    LongWeekday,
    Weekday,
    Day,
    UnderDay,
    ZeroDay,
    UnderYearDay,
    ZeroYearDay,
    Hour,
    Hour12,
    ZeroHour12,
    Minute,
    ZeroMinute,
    Second,
    ZeroSecond,
    LongYear,
    Year,
    UpperPm,
    LowerPm,
    ZoneName,
    /// `Z07:00` (UTC is `Z`) or `-07:00`.
    Offset {
        z_for_utc: bool,
        form: OffsetForm,
    },
    /// `.000` or `.999`: digits, and whether trailing zeros are cut.
    Fraction {
        n_digits: usize,
        trims: bool,
        comma: bool,
    },
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum OffsetForm {
    Hours,
    Minutes,
    MinutesColon,
    Seconds,
    SecondsColon,
}

/// Elements by their text; the first that fits counts, so longer ones come first.
const PARTS: &[(&str, Part)] = &[
    ("January", Part::LongMonth),
    ("Jan", Part::Month),
    ("Monday", Part::LongWeekday),
    ("Mon", Part::Weekday),
    ("MST", Part::ZoneName),
    ("002", Part::ZeroYearDay),
    ("01", Part::ZeroMonth),
    ("02", Part::ZeroDay),
    ("03", Part::ZeroHour12),
    ("04", Part::ZeroMinute),
    ("05", Part::ZeroSecond),
    ("06", Part::Year),
    ("15", Part::Hour),
    ("1", Part::NumMonth),
    ("2006", Part::LongYear),
    ("2", Part::Day),
    ("__2", Part::UnderYearDay),
    ("_2", Part::UnderDay),
    ("3", Part::Hour12),
    ("4", Part::Minute),
    ("5", Part::Second),
    ("PM", Part::UpperPm),
    ("pm", Part::LowerPm),
    ("-070000", offset(false, OffsetForm::Seconds)),
    ("-07:00:00", offset(false, OffsetForm::SecondsColon)),
    ("-0700", offset(false, OffsetForm::Minutes)),
    ("-07:00", offset(false, OffsetForm::MinutesColon)),
    ("-07", offset(false, OffsetForm::Hours)),
    ("Z070000", offset(true, OffsetForm::Seconds)),
    ("Z07:00:00", offset(true, OffsetForm::SecondsColon)),
    ("Z0700", offset(true, OffsetForm::Minutes)),
    ("Z07:00", offset(true, OffsetForm::MinutesColon)),
    ("Z07", offset(true, OffsetForm::Hours)),
];

const fn offset(z_for_utc: bool, form: OffsetForm) -> Part {
    Part::Offset { z_for_utc, form }
}

/// The literal before the next element, the element, and the rest.
fn next_part(layout: &str) -> (&str, Option<Part>, &str) {
    for (at, _) in layout.char_indices() {
        let rest = layout.get(at..).unwrap_or_default();
        let found = PARTS.iter().find(|(text, part)| {
            let Some(after) = rest.strip_prefix(text) else { return false };
            // `Jan` and `Mon` inside of a word are none, and `_2006` is a year behind a `_`.
            match part {
                Part::Month | Part::Weekday => !after.starts_with(|c: char| c.is_ascii_lowercase()),
                Part::UnderDay => !after.starts_with("006"),
                _ => true,
            }
        });
        let before = layout.get(..at).unwrap_or_default();
        if let Some((text, part)) = found {
            return (before, Some(*part), rest.get(text.len()..).unwrap_or_default());
        }
        if let Some((part, after)) = fraction(rest) {
            return (before, Some(part), after);
        }
    }
    (layout, None, "")
}

fn fraction(rest: &str) -> Option<(Part, &str)> {
    let digits = rest.strip_prefix(['.', ','])?;
    let first = digits.chars().next().filter(|it| matches!(it, '0' | '9'))?;
    let after = digits.trim_start_matches(first);
    if after.starts_with(|c: char| c.is_ascii_digit()) {
        return None;
    }
    let n_digits = digits.len() - after.len();
    Some((Part::Fraction { n_digits, trims: first == '9', comma: rest.starts_with(',') }, after))
}

pub(super) fn format(time: &Time, layout: &str) -> String {
    let mut out = String::with_capacity(layout.len() + 8);
    let mut rest = layout;
    loop {
        let (before, part, after) = next_part(rest);
        out.push_str(before);
        let Some(part) = part else { return out };
        out.push_str(&shown(time, part));
        rest = after;
    }
}

fn shown(time: &Time, part: Part) -> String {
    let local = time.local();
    let hour12 = local.hour12().1;
    match part {
        Part::LongMonth => name(&MONTHS, local.month0()).to_owned(),
        Part::Month => short(name(&MONTHS, local.month0())).to_owned(),
        Part::NumMonth => local.month().to_string(),
        Part::ZeroMonth => format!("{:02}", local.month()),
        Part::LongWeekday => name(&DAYS, local.weekday().num_days_from_sunday()).to_owned(),
        Part::Weekday => short(name(&DAYS, local.weekday().num_days_from_sunday())).to_owned(),
        Part::Day => local.day().to_string(),
        Part::UnderDay => format!("{:2}", local.day()),
        Part::ZeroDay => format!("{:02}", local.day()),
        Part::UnderYearDay => format!("{:3}", local.ordinal()),
        Part::ZeroYearDay => format!("{:03}", local.ordinal()),
        Part::Hour => format!("{:02}", local.hour()),
        Part::Hour12 => hour12.to_string(),
        Part::ZeroHour12 => format!("{hour12:02}"),
        Part::Minute => local.minute().to_string(),
        Part::ZeroMinute => format!("{:02}", local.minute()),
        Part::Second => local.second().to_string(),
        Part::ZeroSecond => format!("{:02}", local.second()),
        Part::LongYear => format!("{:04}", local.year()),
        Part::Year => format!("{:02}", local.year().rem_euclid(100)),
        Part::UpperPm => if local.hour12().0 { "PM" } else { "AM" }.to_owned(),
        Part::LowerPm => if local.hour12().0 { "pm" } else { "am" }.to_owned(),
        Part::ZoneName => time.zone_name(),
        Part::Offset { z_for_utc: true, .. } if time.offset_s() == 0 => "Z".to_owned(),
        Part::Offset { form, .. } => shown_offset(time.offset_s(), form),
        Part::Fraction { n_digits, trims, comma } => {
            let digits = format!("{:09}", time.nanos());
            let mut digits = digits.get(..n_digits.min(9)).unwrap_or_default().to_owned();
            while !trims && digits.len() < n_digits.min(32) {
                digits.push('0');
            }
            if trims {
                digits.truncate(digits.trim_end_matches('0').len());
            }
            match (digits.is_empty(), comma) {
                (true, _) => digits,
                (false, true) => format!(",{digits}"),
                (false, false) => format!(".{digits}"),
            }
        }
    }
}

fn shown_offset(offset_s: i32, form: OffsetForm) -> String {
    match form {
        OffsetForm::Hours => {
            let text = offset_text(offset_s, "", false);
            text.get(..3).unwrap_or_default().to_owned()
        }
        OffsetForm::Minutes => offset_text(offset_s, "", false),
        OffsetForm::MinutesColon => offset_text(offset_s, ":", false),
        OffsetForm::Seconds => offset_text(offset_s, "", true),
        OffsetForm::SecondsColon => offset_text(offset_s, ":", true),
    }
}

fn name(names: &[&'static str], at: u32) -> &'static str {
    usize::try_from(at).ok().and_then(|at| names.get(at)).copied().unwrap_or_default()
}

fn short(name: &str) -> &str {
    name.get(..3).unwrap_or(name)
}

/// What was read of a time.
#[derive(Default)]
struct Read {
    year: i32,
    month: Option<u32>,
    day: Option<u32>,
    year_day: Option<u32>,
    hour: u32,
    minute: u32,
    second: u32,
    nanos: u32,
    is_pm: Option<bool>,
    offset_s: Option<i32>,
    zone_name: String,
}

/// A text that does not fit the layout to the last byte is no time.
pub(super) fn parse(layout: &str, text: &str, zone: &Zone) -> Option<Time> {
    let mut read = Read::default();
    let (mut layout, mut text) = (layout, text);
    loop {
        let (before, part, after) = next_part(layout);
        text = skip(text, before)?;
        let Some(part) = part else { break };
        text = read.part(part, text)?;
        if matches!(part, Part::Second | Part::ZeroSecond)
            && !matches!(next_part(after), ("", Some(Part::Fraction { .. }), _))
        {
            text = read.free_fraction(text);
        }
        layout = after;
    }
    if !text.is_empty() {
        return None;
    }
    read.time(zone)
}

/// Takes a literal off a text; a blank in it stands for any number of blanks.
fn skip<'t>(mut text: &'t str, literal: &str) -> Option<&'t str> {
    let mut literal = literal;
    while let Some(c) = literal.chars().next() {
        if c == ' ' {
            if !text.is_empty() && !text.starts_with(' ') {
                return None;
            }
            literal = literal.trim_start_matches(' ');
            text = text.trim_start_matches(' ');
            continue;
        }
        text = text.strip_prefix(c)?;
        literal = literal.get(c.len_utf8()..)?;
    }
    Some(text)
}

/// One or two digits, or exactly two.
fn digits2(text: &str, fixed: bool) -> Option<(u32, &str)> {
    let n = text.bytes().take(2).take_while(u8::is_ascii_digit).count();
    if n == 0 || (fixed && n < 2) {
        return None;
    }
    let (digits, rest) = text.split_at(n);
    Some((digits.parse().ok()?, rest))
}

fn digits(text: &str, n: usize) -> Option<(u32, &str)> {
    let digits = text.get(..n).filter(|it| it.bytes().all(|c| c.is_ascii_digit()))?;
    Some((digits.parse().ok()?, text.get(n..)?))
}

/// The number of a name, in full or by its first three letters; case does not matter.
fn name_of<'t>(names: &[&'static str], text: &'t str, is_long: bool) -> Option<(u32, &'t str)> {
    let found = names.iter().position(|it| {
        let name = if is_long { it } else { short(it) };
        text.get(..name.len()).is_some_and(|head| head.eq_ignore_ascii_case(name))
    })?;
    let name = names.get(found)?;
    let n = if is_long { name.len() } else { 3 };
    Some((u32::try_from(found).ok()?, text.get(n..)?))
}

impl Read {
    fn part<'t>(&mut self, part: Part, text: &'t str) -> Option<&'t str> {
        let value;
        let rest;
        match part {
            Part::LongMonth | Part::Month => {
                (value, rest) = name_of(&MONTHS, text, part == Part::LongMonth)?;
                self.month = Some(value + 1);
            }
            Part::NumMonth | Part::ZeroMonth => {
                (value, rest) = digits2(text, part == Part::ZeroMonth)?;
                self.month = Some(value);
            }
            Part::LongWeekday | Part::Weekday => {
                (_, rest) = name_of(&DAYS, text, part == Part::LongWeekday)?;
            }
            Part::Day | Part::UnderDay | Part::ZeroDay => {
                let text = if part == Part::UnderDay { text.trim_start_matches(' ') } else { text };
                (value, rest) = digits2(text, part == Part::ZeroDay)?;
                self.day = Some(value);
            }
            Part::UnderYearDay | Part::ZeroYearDay => {
                let text = text.trim_start_matches(' ');
                let n = text.bytes().take(3).take_while(u8::is_ascii_digit).count();
                (value, rest) = digits(text, n.max(1))?;
                self.year_day = Some(value);
            }
            Part::Hour | Part::Hour12 | Part::ZeroHour12 => {
                (value, rest) = digits2(text, part == Part::ZeroHour12)?;
                let max = if part == Part::Hour { 23 } else { 12 };
                self.hour = Some(value).filter(|it| *it <= max)?;
            }
            Part::Minute | Part::ZeroMinute => {
                (value, rest) = digits2(text, part == Part::ZeroMinute)?;
                self.minute = value;
            }
            Part::Second | Part::ZeroSecond => {
                (value, rest) = digits2(text, part == Part::ZeroSecond)?;
                self.second = value;
            }
            Part::LongYear => {
                (value, rest) = digits(text, 4)?;
                self.year = i32::try_from(value).ok()?;
            }
            Part::Year => {
                (value, rest) = digits(text, 2)?;
                // Two digits reach from 1969 to 2068.
                self.year = i32::try_from(value).ok()? + if value >= 69 { 1900 } else { 2000 };
            }
            Part::UpperPm | Part::LowerPm => {
                let (head, after) = text.split_at_checked(2)?;
                self.is_pm = Some(match head {
                    "PM" | "pm" => true,
                    "AM" | "am" => false,
                    _ => return None,
                });
                rest = after;
            }
            Part::ZoneName => rest = self.zone_name(text)?,
            Part::Offset { z_for_utc: true, .. } if text.starts_with('Z') => {
                self.offset_s = Some(0);
                rest = text.get(1..)?;
            }
            Part::Offset { form, .. } => rest = self.offset(form, text)?,
            Part::Fraction { n_digits, trims, .. } => {
                rest = self.fraction(text, n_digits, trims)?;
            }
        }
        Some(rest)
    }

    fn zone_name<'t>(&mut self, text: &'t str) -> Option<&'t str> {
        let n = text.bytes().take_while(u8::is_ascii_uppercase).count();
        let mut n_name = n;
        let name = text.get(..n)?;
        if name == "GMT" {
            let after = text.get(3..)?;
            if after.starts_with(['+', '-']) {
                let n_digits = after.bytes().skip(1).take(2).take_while(u8::is_ascii_digit).count();
                let hours: i32 = after.get(..=n_digits)?.parse().ok()?;
                self.offset_s = Some(hours * 3600);
                n_name += 1 + n_digits;
            }
        }
        if !(3..=5).contains(&n) {
            return None;
        }
        if name == "UTC" {
            self.offset_s = Some(0);
        }
        text.get(..n_name)?.clone_into(&mut self.zone_name);
        text.get(n_name..)
    }

    fn offset<'t>(&mut self, form: OffsetForm, text: &'t str) -> Option<&'t str> {
        let sign = match text.bytes().next()? {
            b'+' => 1,
            b'-' => -1,
            _ => return None,
        };
        let (hours, mut rest) = digits(text.get(1..)?, 2)?;
        let mut offset = hours * 3600;
        let has_colon = matches!(form, OffsetForm::MinutesColon | OffsetForm::SecondsColon);
        let n_more = match form {
            OffsetForm::Hours => 0,
            OffsetForm::Minutes | OffsetForm::MinutesColon => 1,
            OffsetForm::Seconds | OffsetForm::SecondsColon => 2,
        };
        for unit in [60, 1].into_iter().take(n_more) {
            let value;
            (value, rest) = digits(if has_colon { rest.strip_prefix(':')? } else { rest }, 2)?;
            offset += value * unit;
        }
        self.offset_s = Some(sign * i32::try_from(offset).ok()?);
        Some(rest)
    }

    fn fraction<'t>(&mut self, text: &'t str, n_digits: usize, trims: bool) -> Option<&'t str> {
        if !trims {
            let digits = text.strip_prefix(['.', ','])?;
            return self.nanos(digits, n_digits);
        }
        // `.999` may be missing altogether.
        Some(self.free_fraction(text))
    }

    /// A fraction that stands in the text although the layout has none.
    fn free_fraction<'t>(&mut self, text: &'t str) -> &'t str {
        let Some(after) = text.strip_prefix(['.', ',']) else { return text };
        let n = after.bytes().take_while(u8::is_ascii_digit).count();
        if n == 0 {
            return text;
        }
        self.nanos(after, n).unwrap_or(text)
    }

    fn nanos<'t>(&mut self, text: &'t str, n: usize) -> Option<&'t str> {
        let (digits, rest) = text.split_at_checked(n)?;
        if !digits.bytes().all(|it| it.is_ascii_digit()) {
            return None;
        }
        let nine: String = digits.chars().chain(std::iter::repeat('0')).take(9).collect();
        self.nanos = nine.parse().ok()?;
        Some(rest)
    }

    fn time(self, zone: &Zone) -> Option<Time> {
        let hour = match self.is_pm {
            Some(true) if self.hour < 12 => self.hour + 12,
            Some(false) if self.hour == 12 => 0,
            _ => self.hour,
        };
        let day = match self.year_day {
            Some(day) => chrono::NaiveDate::from_yo_opt(self.year, day)?,
            None => date(self.year, self.month.unwrap_or(1), self.day.unwrap_or(1))?,
        };
        let time = NaiveTime::from_hms_nano_opt(hour, self.minute, self.second, self.nanos)?;
        let zone = match self.offset_s {
            Some(0) if self.zone_name.is_empty() || self.zone_name == "UTC" => Zone::Utc,
            Some(offset_s) => Zone::Fixed(offset_s, self.zone_name),
            // A name without an offset says nothing but its name.
            None if !self.zone_name.is_empty() => Zone::Fixed(0, self.zone_name),
            None => zone.clone(),
        };
        Some(Time::from_local(day.and_time(time), zone))
    }
}
