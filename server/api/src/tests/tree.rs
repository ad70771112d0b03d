//! `/api/v1/parse_query`.

use expect_test::{Expect, expect};

use super::Server;

async fn check(query: &str, expect: Expect) {
    let answer = Server::new().post_form("/api/v1/parse_query", &format!("query={query}")).await;
    let body: serde_json::Value = serde_json::from_str(&answer.body).unwrap();
    expect.assert_eq(&body["data"].to_string());
}

#[tokio::test]
async fn literals_keep_their_text() {
    check("1e3", expect![[r#"{"type":"numberLiteral","val":"1000"}"#]]).await;
    check("-Inf", expect![[r#"{"type":"numberLiteral","val":"-Inf"}"#]]).await;
    check("%22a\\n%22", expect![[r#"{"type":"stringLiteral","val":"a\n"}"#]]).await;
}

#[tokio::test]
async fn selectors_have_their_matchers_and_times() {
    check("foo{a!=%22b%22,c=~%22.%2B%22} offset -1h30m", expect![[r#"{"anchored":false,"matchers":[{"name":"a","type":"!=","value":"b"},{"name":"c","type":"=~","value":".+"},{"name":"__name__","type":"=","value":"foo"}],"name":"foo","offset":-5400000,"offsetExpr":null,"smoothed":false,"startOrEnd":null,"timestamp":null,"type":"vectorSelector"}"#]]).await;
    check("{%22a.b%22} @ 12.5", expect![[r#"{"anchored":false,"matchers":[{"name":"__name__","type":"=","value":"a.b"}],"name":"","offset":0,"offsetExpr":null,"smoothed":false,"startOrEnd":null,"timestamp":12500,"type":"vectorSelector"}"#]]).await;
    check("foo[1h30m] @ start()", expect![[r#"{"anchored":false,"matchers":[{"name":"__name__","type":"=","value":"foo"}],"name":"foo","offset":0,"offsetExpr":null,"range":5400000,"rangeExpr":null,"smoothed":false,"startOrEnd":"start","timestamp":null,"type":"matrixSelector"}"#]]).await;
    check("foo[5m:1m] @ end() offset 1s", expect![[r#"{"expr":{"anchored":false,"matchers":[{"name":"__name__","type":"=","value":"foo"}],"name":"foo","offset":0,"offsetExpr":null,"smoothed":false,"startOrEnd":null,"timestamp":null,"type":"vectorSelector"},"offset":1000,"offsetExpr":null,"range":300000,"rangeExpr":null,"startOrEnd":"end","step":60000,"stepExpr":null,"timestamp":null,"type":"subquery"}"#]]).await;
    check("foo[5m:]", expect![[r#"{"expr":{"anchored":false,"matchers":[{"name":"__name__","type":"=","value":"foo"}],"name":"foo","offset":0,"offsetExpr":null,"smoothed":false,"startOrEnd":null,"timestamp":null,"type":"vectorSelector"},"offset":0,"offsetExpr":null,"range":300000,"rangeExpr":null,"startOrEnd":null,"step":0,"stepExpr":null,"timestamp":null,"type":"subquery"}"#]]).await;
}

#[tokio::test]
async fn operators_have_their_matching() {
    check("sum without(x)(foo)%2Bon(a)group_left(b)bar", expect![[r#"{"bool":false,"lhs":{"expr":{"anchored":false,"matchers":[{"name":"__name__","type":"=","value":"foo"}],"name":"foo","offset":0,"offsetExpr":null,"smoothed":false,"startOrEnd":null,"timestamp":null,"type":"vectorSelector"},"grouping":["x"],"op":"sum","param":null,"type":"aggregation","without":true},"matching":{"card":"many-to-one","fillValues":{"lhs":null,"rhs":null},"include":["b"],"labels":["a"],"on":true},"op":"+","rhs":{"anchored":false,"matchers":[{"name":"__name__","type":"=","value":"bar"}],"name":"bar","offset":0,"offsetExpr":null,"smoothed":false,"startOrEnd":null,"timestamp":null,"type":"vectorSelector"},"type":"binaryExpr"}"#]]).await;
    check("a and b", expect![[r#"{"bool":false,"lhs":{"anchored":false,"matchers":[{"name":"__name__","type":"=","value":"a"}],"name":"a","offset":0,"offsetExpr":null,"smoothed":false,"startOrEnd":null,"timestamp":null,"type":"vectorSelector"},"matching":{"card":"many-to-many","fillValues":{"lhs":null,"rhs":null},"include":[],"labels":[],"on":false},"op":"and","rhs":{"anchored":false,"matchers":[{"name":"__name__","type":"=","value":"b"}],"name":"b","offset":0,"offsetExpr":null,"smoothed":false,"startOrEnd":null,"timestamp":null,"type":"vectorSelector"},"type":"binaryExpr"}"#]]).await;
    check("1 %3C bool (2)", expect![[r#"{"bool":true,"lhs":{"type":"numberLiteral","val":"1"},"matching":null,"op":"<","rhs":{"expr":{"type":"numberLiteral","val":"2"},"type":"parenExpr"},"type":"binaryExpr"}"#]]).await;
    check("-foo^2", expect![[r#"{"expr":{"bool":false,"lhs":{"anchored":false,"matchers":[{"name":"__name__","type":"=","value":"foo"}],"name":"foo","offset":0,"offsetExpr":null,"smoothed":false,"startOrEnd":null,"timestamp":null,"type":"vectorSelector"},"matching":null,"op":"^","rhs":{"type":"numberLiteral","val":"2"},"type":"binaryExpr"},"op":"-","type":"unaryExpr"}"#]]).await;
}

#[tokio::test]
async fn calls_have_what_the_function_takes() {
    check("quantile(0.9,foo)", expect![[r#"{"expr":{"anchored":false,"matchers":[{"name":"__name__","type":"=","value":"foo"}],"name":"foo","offset":0,"offsetExpr":null,"smoothed":false,"startOrEnd":null,"timestamp":null,"type":"vectorSelector"},"grouping":[],"op":"quantile","param":{"type":"numberLiteral","val":"0.9"},"type":"aggregation","without":false}"#]]).await;
    check("round(foo,5)", expect![[r#"{"args":[{"anchored":false,"matchers":[{"name":"__name__","type":"=","value":"foo"}],"name":"foo","offset":0,"offsetExpr":null,"smoothed":false,"startOrEnd":null,"timestamp":null,"type":"vectorSelector"},{"type":"numberLiteral","val":"5"}],"func":{"argTypes":["vector","scalar"],"name":"round","returnType":"vector","variadic":1},"type":"call"}"#]]).await;
    check("time()", expect![[r#"{"args":[],"func":{"argTypes":[],"name":"time","returnType":"scalar","variadic":0},"type":"call"}"#]]).await;
}

#[tokio::test]
async fn the_deepest_tree_is_answered() {
    let deep = format!("{}1{}", "(".repeat(70), ")".repeat(70));
    let answer = Server::new().get(&format!("/api/v1/parse_query?query={deep}")).await;
    assert_eq!(answer.status, 200, "{}", answer.body);
    let long = vec!["a"; 190].join("%2B");
    let answer = Server::new().get(&format!("/api/v1/parse_query?query={long}")).await;
    assert_eq!(answer.status, 200, "{}", answer.body);
}
