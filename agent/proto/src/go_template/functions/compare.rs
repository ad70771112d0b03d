//! What Go's templates compare, count and index, with their errors.

use super::Value;

/// Kinds within which values compare.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Bool,
    Int,
    Uint,
    Float,
    Text,
    Other,
}

fn kind(value: &Value<'_>) -> Kind {
    match value {
        Value::Bool(_) => Kind::Bool,
        Value::Int(_) | Value::Int64(_) => Kind::Int,
        Value::Byte(_) => Kind::Uint,
        Value::Float(_) => Kind::Float,
        Value::Text(_) => Kind::Text,
        _ => Kind::Other,
    }
}

fn whole(value: &Value<'_>) -> Option<i64> {
    match value {
        Value::Int(value) | Value::Int64(value) => Some(*value),
        Value::Byte(value) => Some((*value).into()),
        _ => None,
    }
}

/// What `default` replaces.
pub(super) fn is_empty(value: &Value<'_>) -> bool {
    match value {
        Value::Time(_) => false,
        other => !other.is_true(),
    }
}

/// Whether the first argument equals one of the others.
pub(super) fn equals_any(args: &[Value<'_>]) -> Result<bool, String> {
    let Some((first, rest)) = args.split_first() else {
        return Err("missing argument for comparison".to_owned());
    };
    if rest.is_empty() {
        return Err("missing argument for comparison".to_owned());
    }
    for it in rest {
        if equals(first, it)? {
            return Ok(true);
        }
    }
    Ok(false)
}

fn equals(left: &Value<'_>, right: &Value<'_>) -> Result<bool, String> {
    let is_nothing = |it: &Value<'_>| matches!(it, Value::None | Value::Nil);
    if let (Some(left), Some(right)) = (whole(left), whole(right)) {
        return Ok(left == right);
    }
    match (left, right) {
        (Value::Bool(left), Value::Bool(right)) => Ok(left == right),
        (Value::Float(left), Value::Float(right)) => Ok(left == right),
        (Value::Text(left), Value::Text(right)) => Ok(left == right),
        (Value::Time(left), Value::Time(right)) => Ok(left == right),
        _ if is_nothing(left) || is_nothing(right) => Ok(is_nothing(left) && is_nothing(right)),
        _ if kind(left) != kind(right) => Err("incompatible types for comparison".to_owned()),
        _ => Err(format!(
            "non-comparable types {}: {}, {}: {}",
            left.shown(),
            left.type_name(),
            right.type_name(),
            right.shown()
        )),
    }
}

pub(super) fn is_less(args: &[Value<'_>]) -> Result<bool, String> {
    let [left, right] = args else { return Err("missing argument for comparison".to_owned()) };
    if kind(left) == Kind::Other || kind(right) == Kind::Other {
        return Err("invalid type for comparison".to_owned());
    }
    if let (Some(left), Some(right)) = (whole(left), whole(right)) {
        return Ok(left < right);
    }
    match (left, right) {
        (Value::Float(left), Value::Float(right)) => Ok(left < right),
        (Value::Text(left), Value::Text(right)) => Ok(left < right),
        (Value::Bool(_), Value::Bool(_)) => Err("invalid type for comparison".to_owned()),
        _ => Err("incompatible types for comparison".to_owned()),
    }
}

pub(super) fn is_less_or_equal(args: &[Value<'_>]) -> Result<bool, String> {
    if is_less(args)? {
        return Ok(true);
    }
    equals_any(args)
}

pub(super) fn len(args: &[Value<'_>]) -> Result<i64, String> {
    let n = match args.first() {
        None | Some(Value::None | Value::Nil) => return Err("len of nil pointer".to_owned()),
        Some(Value::Text(text)) => text.len(),
        Some(Value::List(list)) => list.len(),
        Some(Value::Map(map)) => map.len(),
        Some(Value::Labels(labels)) => labels.pairs().len(),
        Some(other) => return Err(format!("len of type {}", other.type_name())),
    };
    Ok(i64::try_from(n).unwrap_or(i64::MAX))
}

/// `index .a 1 "b"`: elements of elements.
pub(super) fn index<'v>(args: &[Value<'v>]) -> Result<Value<'v>, String> {
    let Some((first, indexes)) = args.split_first() else { return Ok(Value::Nil) };
    if matches!(first, Value::None | Value::Nil) {
        return Err("index of untyped nil".to_owned());
    }
    let mut item = first.clone();
    for index in indexes {
        item = element(&item, index)?;
    }
    Ok(item)
}

fn element<'v>(item: &Value<'v>, index: &Value<'v>) -> Result<Value<'v>, String> {
    match item {
        Value::Text(text) => {
            let at = position(index, text.len(), false)?;
            Ok(Value::Byte(text.as_bytes().get(at).copied().unwrap_or(0)))
        }
        Value::List(list) => {
            let at = position(index, list.len(), false)?;
            Ok(list.get(at).cloned().unwrap_or(Value::Nil))
        }
        Value::Map(map) => Ok(map.get(&*key(index)?).cloned().unwrap_or(Value::Nil)),
        Value::Labels(labels) => {
            Ok(Value::text(labels.get(&key(index)?).unwrap_or_default().to_owned()))
        }
        Value::Nil | Value::None => Err("index of nil pointer".to_owned()),
        other => Err(format!("can't index item of type {}", other.type_name())),
    }
}

fn key<'a>(index: &'a Value<'_>) -> Result<std::borrow::Cow<'a, str>, String> {
    match index {
        Value::Text(text) => Ok(std::borrow::Cow::Borrowed(text)),
        Value::None | Value::Nil => Err("value is nil; should be of type string".to_owned()),
        other => Err(format!("value has type {}; should be string", other.type_name())),
    }
}

/// An index below `n`, or up to it.
fn position(index: &Value<'_>, n: usize, or_end: bool) -> Result<usize, String> {
    let Some(index) = whole(index) else {
        return Err(match index {
            Value::None | Value::Nil => "cannot index slice/array with nil".to_owned(),
            other => format!("cannot index slice/array with type {}", other.type_name()),
        });
    };
    usize::try_from(index)
        .ok()
        .filter(|it| *it < n || (or_end && *it == n))
        .ok_or_else(|| format!("index out of range: {index}"))
}

/// `slice .a 1 2`: bytes of a text or elements of a list.
pub(super) fn slice<'v>(args: &[Value<'v>]) -> Result<Value<'v>, String> {
    let Some((item, indexes)) = args.split_first() else { return Ok(Value::Nil) };
    if indexes.len() > 3 {
        return Err(format!("too many slice indexes: {}", indexes.len()));
    }
    let n = match item {
        Value::None | Value::Nil => return Err("slice of untyped nil".to_owned()),
        Value::Text(_) if indexes.len() == 3 => {
            return Err("cannot 3-index slice a string".to_owned());
        }
        Value::Text(text) => text.len(),
        Value::List(list) => list.len(),
        other => return Err(format!("can't slice item of type {}", other.type_name())),
    };
    let from = indexes.first().map_or(Ok(0), |it| position(it, n, true))?;
    let to = indexes.get(1).map_or(Ok(n), |it| position(it, n, true))?;
    if from > to {
        return Err(format!("invalid slice index: {from} > {to}"));
    }
    Ok(match item {
        Value::List(list) => Value::List(list.get(from..to).unwrap_or_default().into()),
        Value::Text(text) => {
            let bytes = text.as_bytes().get(from..to).unwrap_or_default();
            Value::text(String::from_utf8_lossy(bytes).into_owned())
        }
        _ => Value::Nil,
    })
}
