//! `sort` and its kin: the order of an instant result.

use std::cmp::Ordering;

use super::{Eval, EvalError, call::without_histograms};
use crate::{Grid, Matrix, Row, ast::Call, functions::Special};

impl Eval<'_> {
    pub(super) async fn sort(
        &self,
        call: &Call,
        special: Special,
        grid: Grid,
    ) -> Result<Matrix, EvalError> {
        let mut matrix = self.argument(call, 0, grid).await?;
        if matches!(special, Special::Sort | Special::SortDesc) {
            // Histograms have no place among values.
            matrix = without_histograms(matrix);
        }
        if !self.options.is_instant {
            self.annotate(|it, query| it.ineffective_sort(query, call.span));
            return Ok(matrix);
        }
        if grid.n_steps() != 1 {
            return Ok(matrix);
        }
        let mut names = Vec::new();
        for idx in 1..call.args.len() {
            names.push(self.string_argument(call, idx, grid).await?);
        }
        match special {
            Special::Sort => matrix.rows.sort_by(|a, b| by_value(a, b, false)),
            Special::SortDesc => matrix.rows.sort_by(|a, b| by_value(a, b, true)),
            Special::SortByLabel => matrix.rows.sort_by(|a, b| by_labels(a, b, &names)),
            _ => matrix.rows.sort_by(|a, b| by_labels(b, a, &names)),
        }
        Ok(matrix)
    }
}

/// NaN comes last in either direction.
fn by_value(a: &Row, b: &Row, is_descending: bool) -> Ordering {
    let value = |row: &Row| row.values.first().copied().unwrap_or(f64::NAN);
    let (a, b) = (value(a), value(b));
    match (a.is_nan(), b.is_nan()) {
        (true, true) => Ordering::Equal,
        (true, false) => Ordering::Greater,
        (false, true) => Ordering::Less,
        (false, false) => {
            let order = a.partial_cmp(&b).unwrap_or(Ordering::Equal);
            if is_descending { order.reverse() } else { order }
        }
    }
}

fn by_labels(a: &Row, b: &Row, names: &[String]) -> Ordering {
    names
        .iter()
        .map(|name| natural(a.labels.get(name), b.labels.get(name)))
        .find(|it| it.is_ne())
        .unwrap_or_else(|| a.labels.cmp(&b.labels))
}

/// Runs of digits compare as numbers: `node2` before `node10`.
fn natural(a: &str, b: &str) -> Ordering {
    let (mut a, mut b) = (a, b);
    loop {
        let (a_text, a_rest) = split(a, |it| !it.is_ascii_digit());
        let (b_text, b_rest) = split(b, |it| !it.is_ascii_digit());
        if a_text != b_text {
            return a.cmp(b);
        }
        let (a_digits, a_after) = split(a_rest, |it| it.is_ascii_digit());
        let (b_digits, b_after) = split(b_rest, |it| it.is_ascii_digit());
        let number = |it: &str| it.trim_start_matches('0').to_owned();
        let (a_number, b_number) = (number(a_digits), number(b_digits));
        let order = a_digits
            .is_empty()
            .cmp(&b_digits.is_empty())
            .reverse()
            .then(a_number.len().cmp(&b_number.len()))
            .then(a_number.cmp(&b_number));
        if order.is_ne() || a_digits.is_empty() {
            return order.then_with(|| a_rest.cmp(b_rest));
        }
        (a, b) = (a_after, b_after);
    }
}

fn split(text: &str, is_part: impl Fn(char) -> bool) -> (&str, &str) {
    text.split_at(text.find(|it| !is_part(it)).unwrap_or(text.len()))
}
