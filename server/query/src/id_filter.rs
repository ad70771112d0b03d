//! A set of ids as an expression that a table can prune by.

use datafusion::logical_expr::{Expr, col, lit};

/// Longer lists cost more to plan than they save: the walk drops what a range lets through. One
/// metric of 500 hosts is shorter, and lies in pages that hold a hundred times as much.
const LIST_MAX: usize = 50_000;

/// `BETWEEN` where the ids (ascending, each once) are neighbours or too many to list, else `IN`;
/// `None` where there is no id.
pub(crate) fn id_filter(column: &str, ids: &[i64]) -> Option<Expr> {
    let (&first, &last) = ids.first().zip(ids.last())?;
    let are_neighbours = usize::try_from(last.abs_diff(first)).is_ok_and(|it| it + 1 == ids.len());
    if are_neighbours || ids.len() > LIST_MAX {
        return Some(col(column).between(lit(first), lit(last)));
    }
    Some(col(column).in_list(ids.iter().map(|it| lit(*it)).collect(), false))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn neighbours_are_a_range_and_others_a_list() {
        let print = |ids: &[i64]| id_filter("id", ids).map(|it| it.to_string());
        assert_eq!(print(&[4, 5, 6]).unwrap(), "id BETWEEN Int64(4) AND Int64(6)");
        assert_eq!(print(&[4, 6]).unwrap(), "id IN ([Int64(4), Int64(6)])");
        assert_eq!(print(&[]), None);
        let many: Vec<i64> = (0..=50_000).map(|it| it * 2).collect();
        assert_eq!(print(&many).unwrap(), "id BETWEEN Int64(0) AND Int64(100000)");
    }
}
