//! How far from a step its value looks: what tells whether values computed before still hold.

use crate::{
    Expr,
    ast::{Extended, Length, Modifiers},
};

/// The value at step `t` depends on samples in `(t - back_ms, t + ahead_ms]` and on nothing else.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Reach {
    pub back_ms: i64,
    pub ahead_ms: i64,
}

impl Reach {
    fn union(self, other: Self) -> Self {
        Self {
            back_ms: self.back_ms.max(other.back_ms),
            ahead_ms: self.ahead_ms.max(other.ahead_ms),
        }
    }

    /// Of what looks through a window at what has this reach.
    fn through(self, window_ms: i64, modifiers: &Modifiers, lookback_ms: i64) -> Option<Self> {
        let offset_ms = match (&modifiers.offset, modifiers.at) {
            (Length::Millis(it), None) => *it,
            _ => return None,
        };
        let after_ms = match modifiers.extended {
            None | Some(Extended::Anchored) => 0,
            Some(Extended::Smoothed) => lookback_ms,
        };
        // Of native histograms what lies a look-back before tells of resets.
        let back_ms = self.back_ms.saturating_add(window_ms).saturating_add(lookback_ms);
        let ahead_ms = self.ahead_ms.saturating_add(after_ms);
        Some(Self {
            back_ms: back_ms.saturating_add(offset_ms).max(0),
            ahead_ms: ahead_ms.saturating_sub(offset_ms).max(0),
        })
    }
}

/// `None` where a value depends on more than its step: on the query's first, last or number of
/// steps, or on a time that is fixed by `@`.
pub fn reach(expr: &Expr, lookback_ms: i64) -> Option<Reach> {
    match expr {
        Expr::Number(_) | Expr::String(_) => Some(Reach::default()),
        Expr::Paren(it) => reach(&it.expr, lookback_ms),
        Expr::Unary(it) => reach(&it.expr, lookback_ms),
        Expr::Binary(it) => Some(reach(&it.lhs, lookback_ms)?.union(reach(&it.rhs, lookback_ms)?)),
        Expr::Aggregate(it) => {
            let of_param = match &it.param {
                Some(param) => reach(param, lookback_ms)?,
                None => Reach::default(),
            };
            Some(reach(&it.expr, lookback_ms)?.union(of_param))
        }
        Expr::Call(it) => {
            // They tell of the whole query.
            if ["start", "end", "step", "range"].contains(&it.function.name) {
                return None;
            }
            // `info()` looks at series that its arguments do not name, as an instant selector does.
            let own = Reach { back_ms: lookback_ms, ahead_ms: 0 };
            let own = if it.function.name == "info" { own } else { Reach::default() };
            it.args.iter().try_fold(own, |all, it| Some(all.union(reach(it, lookback_ms)?)))
        }
        Expr::Vector(it) => Reach::default().through(lookback_ms, &it.modifiers, lookback_ms),
        Expr::Matrix(it) => {
            let window_ms = fixed_ms(&it.range)?;
            Reach::default().through(window_ms, &it.selector.modifiers, lookback_ms)
        }
        Expr::Subquery(it) => {
            let window_ms = fixed_ms(&it.range)?;
            it.step.as_ref().map_or(Some(0), fixed_ms)?;
            reach(&it.expr, lookback_ms)?.through(window_ms, &it.modifiers, lookback_ms)
        }
    }
}

fn fixed_ms(length: &Length) -> Option<i64> {
    match length {
        Length::Millis(it) => Some(*it),
        Length::Expr(_) => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{ParseOptions, parse_with};

    fn of(query: &str) -> Option<(i64, i64)> {
        let options = ParseOptions { experimental: true };
        let expr = parse_with(query, options).unwrap();
        reach(&expr, 300_000).map(|it| (it.back_ms / 1000, it.ahead_ms / 1000))
    }

    #[test]
    fn a_value_looks_as_far_as_its_widest_window() {
        assert_eq!(of("1 + time()"), Some((0, 0)));
        assert_eq!(of("up"), Some((600, 0)));
        assert_eq!(of("sum(rate(a[10m])) / (b offset 1h)"), Some((4200, 0)));
        assert_eq!(of("a offset -7m"), Some((180, 420)));
        assert_eq!(of("topk(scalar(c offset 10m), a)"), Some((1200, 0)));
        assert_eq!(of("max_over_time(rate(a[5m])[1h:30s] offset 1m)"), Some((4560, 0)));
        assert_eq!(of("max_over_time((a offset -1h)[10m:])"), Some((900, 3600)));
    }

    #[test]
    fn what_depends_on_the_whole_query_has_no_reach() {
        for query in [
            "a @ 17",
            "rate(a[5m] @ end())",
            "a + (b @ start())",
            "max_over_time(a[1h:1m] @ 5)",
            "rate(a[step()])",
            "a offset step()",
        ] {
            assert_eq!(of(query), None, "{query}");
        }
    }
}
