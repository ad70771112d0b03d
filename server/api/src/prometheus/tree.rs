//! A query's tree as JSON, for the tree views of Prometheus' clients (`translateAST` there).

use serde_json::{Value, json};
use skep_promql::{
    Expr, Grouping,
    ast::{
        At, Binary, BinaryOp, Call, Cardinality, DurationExpr, Extended, Length, Matching,
        Modifiers, NumberLiteral, VectorSelector,
    },
    number::format_float,
};
use skep_proto::Matcher;

/// One node with all below it. The parser bounds how deep that is.
pub(super) fn tree(expr: &Expr) -> Value {
    match expr {
        Expr::Number(it) => json!({"type": "numberLiteral", "val": format_float(it.value)}),
        Expr::String(it) => json!({"type": "stringLiteral", "val": it.value}),
        Expr::Paren(it) => json!({"type": "parenExpr", "expr": tree(&it.expr)}),
        Expr::Unary(it) => {
            let op = if it.is_negative { "-" } else { "+" };
            json!({"type": "unaryExpr", "op": op, "expr": tree(&it.expr)})
        }
        Expr::Vector(it) => selector("vectorSelector", it),
        Expr::Matrix(it) => {
            let mut node = selector("matrixSelector", &it.selector);
            put_length(&mut node, "range", &it.range);
            node
        }
        Expr::Subquery(it) => {
            let mut node = json!({"type": "subquery", "expr": tree(&it.expr)});
            put_length(&mut node, "range", &it.range);
            // Without a step it is the server's, which Prometheus writes as 0.
            put_length(&mut node, "step", &it.step.clone().unwrap_or_default());
            put_time(&mut node, &it.modifiers);
            node
        }
        Expr::Call(it) => call(it),
        Expr::Aggregate(it) => {
            let (names, without) = match &it.grouping {
                Grouping::By(names) => (names, false),
                Grouping::Without(names) => (names, true),
            };
            json!({
                "type": "aggregation",
                "op": it.op.name(),
                "expr": tree(&it.expr),
                "param": it.param.as_deref().map(tree),
                "grouping": names,
                "without": without,
            })
        }
        Expr::Binary(it) => binary(it),
    }
}

fn call(Call { function, args, .. }: &Call) -> Value {
    json!({
        "type": "call",
        "func": {
            "name": function.name,
            "argTypes": function.args.iter().map(|it| it.name()).collect::<Vec<_>>(),
            "variadic": function.variadic,
            "returnType": function.returns.name(),
        },
        "args": args.iter().map(tree).collect::<Vec<_>>(),
    })
}

fn binary(it: &Binary) -> Value {
    use skep_promql::ast::ValueType::Vector;
    let are_vectors = [&it.lhs, &it.rhs].iter().all(|side| side.value_type() == Vector);
    json!({
        "type": "binaryExpr",
        "op": it.op.name(),
        "lhs": tree(&it.lhs),
        "rhs": tree(&it.rhs),
        "matching": are_vectors.then(|| matching(it.op, &it.matching)),
        "bool": it.return_bool,
    })
}

fn matching(op: BinaryOp, Matching { on, labels, card, include, fill }: &Matching) -> Value {
    let card = match card {
        _ if op.is_set() => "many-to-many",
        Cardinality::OneToOne => "one-to-one",
        Cardinality::ManyToOne => "many-to-one",
        Cardinality::OneToMany => "one-to-many",
    };
    json!({
        "card": card,
        "labels": labels,
        "on": on,
        "include": include,
        "fillValues": {"lhs": fill.0, "rhs": fill.1},
    })
}

fn selector(kind: &str, it: &VectorSelector) -> Value {
    let extended = it.modifiers.extended;
    let mut node = json!({
        "type": kind,
        "name": it.name.as_deref().unwrap_or_default(),
        "matchers": it.matchers.iter().map(matcher).collect::<Vec<_>>(),
        "anchored": extended == Some(Extended::Anchored),
        "smoothed": extended == Some(Extended::Smoothed),
    });
    put_time(&mut node, &it.modifiers);
    node
}

fn matcher(it: &Matcher) -> Value {
    json!({"name": it.name(), "value": it.value(), "type": it.op().to_string()})
}

/// `offset` and `@`.
fn put_time(node: &mut Value, Modifiers { offset, at, .. }: &Modifiers) {
    put_length(node, "offset", offset);
    let (time, end) = match at {
        None => (Value::Null, Value::Null),
        Some(At::Time(at)) => (json!(at.0), Value::Null),
        Some(At::Start) => (Value::Null, json!("start")),
        Some(At::End) => (Value::Null, json!("end")),
    };
    put(node, "timestamp", time);
    put(node, "startOrEnd", end);
}

/// Milliseconds, and the expression they come from where it needs the query to be known.
fn put_length(node: &mut Value, name: &str, length: &Length) {
    let (ms, expr) = match length {
        Length::Millis(ms) => (*ms, Value::Null),
        Length::Expr(expr) => (0, duration(expr)),
    };
    put(node, name, json!(ms));
    put(node, &format!("{name}Expr"), expr);
}

fn put(node: &mut Value, name: &str, value: Value) {
    if let Some(node) = node.as_object_mut() {
        node.insert(name.to_owned(), value);
    }
}

fn duration(expr: &DurationExpr) -> Value {
    match expr {
        DurationExpr::Literal(NumberLiteral { value, is_duration, .. }) => json!({
            "type": "numberLiteral",
            "val": format_float(*value),
            "duration": is_duration,
        }),
        DurationExpr::Negative(it, _) => operation("-", None, Some(it)),
        DurationExpr::Binary { op, lhs, rhs } => operation(op.name(), Some(lhs), Some(rhs)),
        DurationExpr::Step(_) => operation("step", None, None),
        DurationExpr::Range(_) => operation("range", None, None),
        DurationExpr::MinOf(lhs, rhs, _) => operation("min_of", Some(lhs), Some(rhs)),
        DurationExpr::MaxOf(lhs, rhs, _) => operation("max_of", Some(lhs), Some(rhs)),
        DurationExpr::Paren(it, _) => {
            let mut node = duration(it);
            if node.get("wrapped").is_some() {
                put(&mut node, "wrapped", json!(true));
            }
            node
        }
    }
}

fn operation(op: &str, lhs: Option<&DurationExpr>, rhs: Option<&DurationExpr>) -> Value {
    json!({
        "type": "durationExpr",
        "op": op,
        "lhs": lhs.map(duration),
        "rhs": rhs.map(duration),
        "wrapped": false,
    })
}
