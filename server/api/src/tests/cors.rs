//! What pages of other origins may read.

use axum::body::Body;
use http::{Method, Request};

use super::Server;

#[tokio::test]
async fn only_who_holds_a_token_may_read_from_elsewhere() {
    let server = Server::new();
    let ask = async |method: Method, headers: &[(&str, &str)]| {
        let mut request = Request::builder().method(method).uri("/api/v1/query?query=1");
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let answer = server.send(request.body(Body::empty()).unwrap()).await;
        let allowed = answer.headers.get("access-control-allow-origin");
        (answer.status, allowed.map(|it| it.to_str().unwrap().to_owned()))
    };
    let (elsewhere, token) = (("Origin", "https://a.example"), ("Authorization", "Bearer x"));
    let any = || Some("*".to_owned());
    assert_eq!(ask(Method::GET, &[elsewhere, token]).await, (200, any()));
    assert_eq!(ask(Method::GET, &[elsewhere, ("Cookie", "skep=1")]).await, (200, None));
    assert_eq!(ask(Method::GET, &[elsewhere]).await, (200, None));
    assert_eq!(ask(Method::GET, &[token]).await, (200, None));
    assert_eq!(ask(Method::OPTIONS, &[elsewhere]).await, (204, any()));
    assert_eq!(ask(Method::OPTIONS, &[]).await, (204, None));
}
