//! CSV laid out for people: columns side by side.

/// A column wider than this is not filled up for the others.
const WIDTH_MAX: usize = 60;

/// The records with their columns aligned, and a line under the first.
pub(super) fn aligned(csv: &str) -> String {
    let records = records(csv);
    let n_columns = records.first().map_or(0, Vec::len);
    let widths: Vec<usize> = (0..n_columns)
        .map(|at| {
            let cells = records.iter().filter_map(|it| it.get(at));
            cells.map(|it| it.chars().count()).max().unwrap_or(0).min(WIDTH_MAX)
        })
        .collect();
    let mut out = String::new();
    for (n, record) in records.iter().enumerate() {
        let mut line = String::new();
        for (cell, width) in record.iter().zip(&widths) {
            let cell = cell.replace('\n', "\\n");
            line.push_str(&format!("{cell:<width$}  "));
        }
        out.push_str(line.trim_end());
        out.push('\n');
        if n == 0 {
            let rules: Vec<String> = widths.iter().map(|it| "-".repeat(*it)).collect();
            out.push_str(&rules.join("  "));
            out.push('\n');
        }
    }
    out
}

fn records(csv: &str) -> Vec<Vec<String>> {
    let mut records = Vec::new();
    let (mut record, mut cell, mut is_quoted) = (Vec::new(), String::new(), false);
    let mut chars = csv.chars().peekable();
    while let Some(it) = chars.next() {
        match it {
            '"' if is_quoted && chars.next_if_eq(&'"').is_some() => cell.push('"'),
            '"' => is_quoted = !is_quoted,
            ',' if !is_quoted => record.push(std::mem::take(&mut cell)),
            '\r' if !is_quoted => {}
            '\n' if !is_quoted => {
                record.push(std::mem::take(&mut cell));
                records.push(std::mem::take(&mut record));
            }
            it => cell.push(it),
        }
    }
    records
}

#[cfg(test)]
mod tests {
    use expect_test::expect;

    use super::*;

    #[test]
    fn columns_are_aligned_and_quotes_are_gone() {
        let table = aligned("name,labels\r\nup,\"{\"\"host\"\":\"\"ä\"\"}\"\r\nnode_load1,\r\n");
        expect![[r#"
            name        labels
            ----------  ------------
            up          {"host":"ä"}
            node_load1
        "#]]
        .assert_eq(&table);
    }
}
