//! Whom a request counts for when a proxy stands before the front.

use skep_front::Networks;

use crate::server::Server;

async fn wrong_login(server: &Server, forwarded_for: &str) -> u16 {
    let request = server.post("/login").header("x-forwarded-for", forwarded_for);
    let request = request.header("sec-fetch-site", "same-origin");
    request.body("user=ada&password=wrong&next=%2F").send().await.unwrap().status().as_u16()
}

#[tokio::test(flavor = "multi_thread")]
async fn wrong_passwords_count_for_the_client_that_a_trusted_proxy_names() {
    let server = Server::start_with(|config| {
        config.trusted_proxies = Networks::parse(["127.0.0.1"]).unwrap();
    })
    .await;
    for _ in 0..3 {
        assert_eq!(wrong_login(&server, "6.6.6.6, 192.0.2.1").await, 401);
    }
    // What the client itself wrote further left changes nothing.
    assert_eq!(wrong_login(&server, "7.7.7.7, 192.0.2.1").await, 429);
    assert_eq!(wrong_login(&server, "192.0.2.2").await, 401);
}

#[tokio::test(flavor = "multi_thread")]
async fn nobody_else_can_choose_the_address_that_counts() {
    let server = Server::start().await;
    for i in 0..3 {
        assert_eq!(wrong_login(&server, &format!("192.0.2.{i}")).await, 401);
    }
    assert_eq!(wrong_login(&server, "192.0.2.99").await, 429);
}
