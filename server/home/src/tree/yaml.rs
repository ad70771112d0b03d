//! YAML into a tree.

use std::fmt;

use serde::{
    Deserialize, Deserializer,
    de::{MapAccess, SeqAccess, Visitor},
};
use serde_saphyr::Spanned;

use super::{Key, Node, SyntaxFault, Value};

pub(crate) fn parse(text: &str) -> Result<Node, SyntaxFault> {
    // A file of comments alone is an empty one.
    let is_empty = text.lines().all(|line| {
        let line = line.trim();
        line.is_empty() || line.starts_with('#') || line == "---"
    });
    if is_empty {
        return Ok(Node { line: 1, value: Value::Null });
    }
    let read: Result<Spanned<Raw>, _> = serde_saphyr::from_str(text);
    read.map(node).map_err(|error| {
        let line = error.location().and_then(|it| usize::try_from(it.line()).ok()).unwrap_or(1);
        let text = error.without_snippet().to_string();
        let text = text.lines().map(str::trim).collect::<Vec<_>>().join(" ");
        SyntaxFault { line, text }
    })
}

/// What serde hands over, before it becomes a tree.
enum Raw {
    Scalar(Value),
    List(Vec<Spanned<Self>>),
    Map(Vec<(Spanned<String>, Spanned<Self>)>),
}

fn node(raw: Spanned<Raw>) -> Node {
    let line = line_of(&raw);
    let value = match raw.value {
        Raw::Scalar(value) => value,
        Raw::List(items) => Value::List(items.into_iter().map(node).collect()),
        Raw::Map(pairs) => Value::Map(
            pairs
                .into_iter()
                .map(|(key, value)| {
                    let line = line_of(&key);
                    (Key { line, name: key.value }, node(value))
                })
                .collect(),
        ),
    };
    Node { line, value }
}

fn line_of<T>(spanned: &Spanned<T>) -> usize {
    usize::try_from(spanned.referenced.line()).unwrap_or(1)
}

impl<'de> Deserialize<'de> for Raw {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(RawVisitor)
    }
}

struct RawVisitor;

impl<'de> Visitor<'de> for RawVisitor {
    type Value = Raw;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("any YAML value")
    }

    fn visit_bool<E>(self, flag: bool) -> Result<Raw, E> {
        Ok(Raw::Scalar(Value::Flag(flag)))
    }

    fn visit_i64<E>(self, number: i64) -> Result<Raw, E> {
        Ok(Raw::Scalar(Value::Number(number.to_string())))
    }

    fn visit_u64<E>(self, number: u64) -> Result<Raw, E> {
        Ok(Raw::Scalar(Value::Number(number.to_string())))
    }

    fn visit_f64<E>(self, number: f64) -> Result<Raw, E> {
        Ok(Raw::Scalar(Value::Number(number.to_string())))
    }

    fn visit_str<E>(self, text: &str) -> Result<Raw, E> {
        Ok(Raw::Scalar(Value::Text(text.to_owned())))
    }

    fn visit_unit<E>(self) -> Result<Raw, E> {
        Ok(Raw::Scalar(Value::Null))
    }

    fn visit_none<E>(self) -> Result<Raw, E> {
        Ok(Raw::Scalar(Value::Null))
    }

    fn visit_some<D: Deserializer<'de>>(self, deserializer: D) -> Result<Raw, D::Error> {
        Raw::deserialize(deserializer)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Raw, A::Error> {
        let mut items = Vec::new();
        while let Some(item) = seq.next_element()? {
            items.push(item);
        }
        Ok(Raw::List(items))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Raw, A::Error> {
        let mut pairs = Vec::new();
        while let Some(pair) = map.next_entry()? {
            pairs.push(pair);
        }
        Ok(Raw::Map(pairs))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_know_their_line_and_keep_their_order() {
        let tree = parse(
            "# head\n- Media:\n    - Jellyfin:\n        href: http://a/\n        weight: 3\n",
        )
        .unwrap();
        let Value::List(groups) = tree.value else { panic!("no list") };
        let Value::Map(pairs) = &groups[0].value else { panic!("no map") };
        assert_eq!(pairs[0].0, Key { line: 2, name: "Media".to_owned() });
        let Value::List(services) = &pairs[0].1.value else { panic!("no services") };
        let Value::Map(service) = &services[0].value else { panic!("no service") };
        let Value::Map(fields) = &service[0].1.value else { panic!("no fields") };
        assert_eq!(fields[1].0, Key { line: 5, name: "weight".to_owned() });
        assert_eq!(fields[1].1.value, Value::Number("3".to_owned()));
    }

    #[test]
    fn nothing_but_comments_is_nothing() {
        assert_eq!(parse("---\n# For more, see the docs\n").unwrap().value, Value::Null);
    }

    #[test]
    fn broken_yaml_is_told_with_its_line() {
        let fault = parse("- a:\n    - b: [1\n").unwrap_err();
        assert!(fault.line >= 2, "{fault:?}");
    }
}
