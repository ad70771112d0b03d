//! Paths that lead nowhere.

use expect_test::expect;

use super::Server;

#[tokio::test]
async fn a_slash_too_many_is_a_redirect_and_the_rest_not_found() {
    let server = Server::new();
    let mut out = String::new();
    for path in [
        "/api/v1/query/?query=1",
        "/api/v1/label//values?limit=1",
        "/api//v1/nosuch",
        "/api/v1/nosuch",
        "//elsewhere.example/",
        "/",
    ] {
        let answer = server.get(path).await;
        let location = answer.headers.get("location").map(|it| it.to_str().unwrap());
        out.push_str(&format!("{path}\n  {} {}\n", answer.text(), location.unwrap_or("-")));
    }
    expect![[r#"
        /api/v1/query/?query=1
          301  /api/v1/query?query=1
        /api/v1/label//values?limit=1
          307  /api/v1/label/values?limit=1
        /api//v1/nosuch
          307  /api/v1/nosuch
        /api/v1/nosuch
          404 404 page not found -
        //elsewhere.example/
          404 404 page not found -
        /
          404 404 page not found -
    "#]]
    .assert_eq(&out);
}
