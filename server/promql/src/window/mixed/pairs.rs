//! `changes` and `resets` over floats and histograms in the order of time.

use super::{Look, Point};

enum Sample<'a> {
    Float(f64),
    Histogram(&'a Point),
}

/// Neighbours in time that `is_counted`; a change of kind always is.
fn count(
    look: &Look<'_>,
    of_floats: impl Fn(f64, f64) -> bool,
    of_points: impl Fn(&Point, &Point) -> bool,
) -> f64 {
    let mut floats = look.ts.iter().zip(look.values).peekable();
    let mut points = look.points.iter().peekable();
    let mut before: Option<Sample<'_>> = None;
    let mut n: u32 = 0;
    loop {
        let now = match (floats.peek(), points.peek()) {
            (Some((ts, value)), point) if point.is_none_or(|it| **ts < it.at) => {
                let value = **value;
                floats.next();
                Sample::Float(value)
            }
            (_, Some(point)) => {
                let point = *point;
                points.next();
                Sample::Histogram(point)
            }
            _ => break,
        };
        n += u32::from(match (&before, &now) {
            (None, _) => false,
            (Some(Sample::Float(a)), Sample::Float(b)) => of_floats(*a, *b),
            (Some(Sample::Histogram(a)), Sample::Histogram(b)) => of_points(a, b),
            _ => true,
        });
        before = Some(now);
    }
    f64::from(n)
}

pub(in crate::window) fn count_changes(look: &Look<'_>) -> f64 {
    count(
        look,
        |a, b| a != b && !(a.is_nan() && b.is_nan()),
        |a, b| !b.histogram.is_same(&a.histogram),
    )
}

pub(in crate::window) fn count_resets(look: &Look<'_>) -> f64 {
    count(look, |a, b| b < a, |_, b| b.is_reset)
}
