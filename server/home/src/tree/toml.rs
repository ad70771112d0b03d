//! TOML into a tree.

use toml::{
    Spanned,
    de::{DeTable, DeValue},
};

use super::{Key, Node, SyntaxFault, Value};

pub(crate) fn parse(text: &str) -> Result<Node, SyntaxFault> {
    let lines = Lines::of(text);
    let table = DeTable::parse(text).map_err(|error| SyntaxFault {
        line: error.span().map_or(1, |span| lines.of_offset(span.start)),
        text: error.message().to_owned(),
    })?;
    Ok(Node { line: 1, value: map(table.get_ref(), &lines) })
}

fn node(value: &Spanned<DeValue<'_>>, lines: &Lines) -> Node {
    let line = lines.of_offset(value.span().start);
    let value = match value.get_ref() {
        DeValue::String(text) => Value::Text(text.to_string()),
        DeValue::Integer(number) => Value::Number(number.to_string()),
        DeValue::Float(number) => Value::Number(number.to_string()),
        DeValue::Boolean(flag) => Value::Flag(*flag),
        DeValue::Datetime(time) => Value::Text(time.to_string()),
        DeValue::Array(items) => Value::List(items.iter().map(|it| node(it, lines)).collect()),
        DeValue::Table(table) => map(table, lines),
    };
    Node { line, value }
}

/// The parser sorts keys by name; people expect the order of the file.
fn map(table: &DeTable<'_>, lines: &Lines) -> Value {
    let mut pairs: Vec<_> = table.iter().collect();
    pairs.sort_by_key(|(key, _value)| key.span().start);
    let pairs = pairs.into_iter().map(|(key, value)| {
        let line = lines.of_offset(key.span().start);
        (Key { line, name: key.get_ref().to_string() }, node(value, lines))
    });
    Value::Map(pairs.collect())
}

/// Where lines begin.
struct Lines(Vec<usize>);

impl Lines {
    fn of(text: &str) -> Self {
        Self(text.match_indices('\n').map(|(offset, _newline)| offset + 1).collect())
    }

    fn of_offset(&self, offset: usize) -> usize {
        self.0.partition_point(|start| *start <= offset) + 1
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_know_their_line_and_keep_their_order() {
        let tree = parse("zebra = 1\napple = [\n  true,\n  \"x\",\n]\n").unwrap();
        let Value::Map(pairs) = tree.value else { panic!("no table") };
        let names: Vec<_> = pairs.iter().map(|(key, _)| (key.name.as_str(), key.line)).collect();
        assert_eq!(names, [("zebra", 1), ("apple", 2)]);
        let Value::List(items) = &pairs[1].1.value else { panic!("no list") };
        assert_eq!(items[1], Node { line: 4, value: Value::Text("x".to_owned()) });
    }

    #[test]
    fn broken_toml_is_told_with_its_line() {
        assert_eq!(parse("a = 1\nb = ]\n").unwrap_err().line, 2);
        assert_eq!(parse("a = 1\na = 2\n").unwrap_err().line, 2);
    }
}
