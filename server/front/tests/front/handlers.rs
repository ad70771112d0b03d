//! What a site can answer by itself, and what it asks before: over real TLS, from files on disk.

use std::fs;
use std::net::SocketAddr;
use std::os::unix::fs::symlink;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use axum::http::StatusCode;
use reqwest::Response;
use skep_front::{
    Action, BasicUser, Browse, Compress, FilesConfig, HeaderRules, HostPattern, Links, Networks,
    PasswordHash, PathPattern, Precompressed, RedirectConfig, Respond, Rewrite, Route, RouteGuard,
    SiteConfig,
};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::sync::Notify;

use crate::server::Server;
use crate::upstream::{LONG, Upstream, proxy, read_head, say};

pub(crate) const HOST: &str = "x.home.lan";

pub(crate) fn site(routes: Vec<Route>) -> SiteConfig {
    SiteConfig::new(vec![HostPattern::parse(HOST).unwrap()], routes)
}

pub(crate) fn route(path: &str, action: Action) -> Route {
    Route::new(PathPattern::parse(path).unwrap(), action)
}

pub(crate) fn respond(body: &str) -> Action {
    Action::Respond(Respond { status: StatusCode::OK, body: body.to_owned() })
}

async fn serve(site: SiteConfig) -> Server {
    Server::start_with(|config| config.sites = vec![site]).await
}

async fn get(server: &Server, path: &str) -> Response {
    server.client.get(server.url(HOST, path)).send().await.unwrap()
}

async fn status(server: &Server, path: &str) -> u16 {
    get(server, path).await.status().as_u16()
}

/// Sends the path as it is: clients tidy it up.
pub(crate) async fn raw(server: &Server, request_line: &str, headers: &str) -> String {
    let mut tls = crate::connections::connect_to(server, HOST).await;
    let request =
        format!("{request_line} HTTP/1.1\r\nhost: {HOST}\r\nconnection: close\r\n{headers}\r\n");
    tls.write_all(request.as_bytes()).await.unwrap();
    let mut answer = Vec::new();
    // Its end may come without a goodbye.
    drop(tls.read_to_end(&mut answer).await);
    String::from_utf8_lossy(&answer).into_owned()
}

/// Of our own making, with a secret beside the root.
fn folder() -> tempfile::TempDir {
    let dir = tempfile::tempdir().unwrap();
    let root = dir.path().join("www");
    fs::create_dir_all(root.join("docs/empty")).unwrap();
    fs::create_dir_all(root.join(".git")).unwrap();
    fs::create_dir_all(root.join(".well-known")).unwrap();
    for (name, text) in [
        ("index.html", "<h1>home</h1>"),
        ("docs/index.html", "docs"),
        ("a b.txt", "a b"),
        ("style.css", "body {}"),
        ("style.css.br", "packed"),
        (".env", "SECRET"),
        (".git/config", "SECRET"),
        (".well-known/security.txt", "mail us"),
        ("docs/empty/<img src=x>.txt", "odd"),
        ("../secret.txt", "SECRET"),
    ] {
        fs::write(root.join(name), text).unwrap();
    }
    fs::write(
        root.join("big.bin"),
        (0..200_000_u32).flat_map(u32::to_le_bytes).collect::<Vec<_>>(),
    )
    .unwrap();
    symlink("../secret.txt", root.join("out.txt")).unwrap();
    symlink("/etc", root.join("etc")).unwrap();
    symlink("style.css", root.join("in.css")).unwrap();
    dir
}

fn files(dir: &Path) -> FilesConfig {
    FilesConfig::new(dir.join("www")).unwrap()
}

async fn file_server(config: FilesConfig) -> Server {
    serve(site(vec![route("/*", Action::Files(config))])).await
}

#[tokio::test(flavor = "multi_thread")]
async fn files_come_with_their_type_and_folders_with_their_index() {
    let dir = folder();
    let server = file_server(files(dir.path())).await;
    let home = get(&server, "/").await;
    assert_eq!(home.status(), 200);
    assert_eq!(home.headers()["content-type"], "text/html; charset=utf-8");
    assert!(!home.headers().contains_key("x-frame-options"), "a site's answers are its own");
    assert_eq!(home.text().await.unwrap(), "<h1>home</h1>");
    let folder = get(&server, "/docs?x=1").await;
    assert_eq!(folder.status(), 308);
    assert_eq!(folder.headers()["location"], "./docs/?x=1");
    assert_eq!(get(&server, "/docs/").await.text().await.unwrap(), "docs");
    assert_eq!(get(&server, "/a%20b.txt").await.text().await.unwrap(), "a b");
    assert_eq!(status(&server, "/style.css/").await, 404);
    assert_eq!(status(&server, "/docs/empty/").await, 404);
    assert_eq!(status(&server, "/.well-known/security.txt").await, 200);
    let post = server.client.post(server.url(HOST, "/")).body("x").send().await.unwrap();
    assert_eq!(
        (post.status().as_u16(), &post.headers()["allow"]),
        (405, &"GET, HEAD".parse().unwrap())
    );
    let head = server.client.head(server.url(HOST, "/big.bin")).send().await.unwrap();
    assert_eq!(head.headers()["content-length"], "800000");
    let big = get(&server, "/big.bin").await.bytes().await.unwrap();
    assert_eq!(big, fs::read(dir.path().join("www/big.bin")).unwrap());
}

#[tokio::test(flavor = "multi_thread")]
async fn no_path_leads_out_of_the_root_or_to_hidden_files() {
    let dir = folder();
    let server = file_server(files(dir.path())).await;
    for path in [
        "/../secret.txt",
        "/..%2fsecret.txt",
        "/%2e%2e/secret.txt",
        "/%2e%2e%2fsecret.txt",
        "/docs/../../secret.txt",
        "/docs/..%2f..%2fsecret.txt",
        "/./../secret.txt",
        "//secret.txt",
        "/..\\secret.txt",
        "/..%5csecret.txt",
        "/%252e%252e/secret.txt",
        "/..%00/secret.txt",
        "/secret.txt%00.html",
        "/..;/secret.txt",
        "/..%c0%afsecret.txt",
        "/%uff0e%uff0e/secret.txt",
        "/out.txt",
        "/etc/passwd",
        "/etc/",
        "/.env",
        "/%2eenv",
        "/.git/config",
        "/docs/../.env",
        "/x/../.git/config",
        "/proc/self/root/etc/passwd",
    ] {
        let answer = raw(&server, &format!("GET {path}"), "").await;
        let is_refused = answer.starts_with("HTTP/1.1 404") || answer.starts_with("HTTP/1.1 400");
        assert!(is_refused, "{path}: {answer}");
        assert!(!answer.contains("SECRET") && !answer.contains("root:"), "{path}: {answer}");
    }
    assert_eq!(status(&server, "/in.css").await, 200, "a link that stays inside");
}

#[tokio::test(flavor = "multi_thread")]
async fn links_are_followed_as_far_as_told() {
    let dir = folder();
    for (links, inside, outside) in [(Links::Refused, 404, 404), (Links::Anywhere, 200, 200)] {
        let mut config = files(dir.path());
        config.links = links;
        let server = file_server(config).await;
        assert_eq!(status(&server, "/in.css").await, inside, "{links:?}");
        assert_eq!(status(&server, "/out.txt").await, outside, "{links:?}");
        assert_eq!(status(&server, "/style.css").await, 200, "{links:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_gets_the_part_it_lacks_and_nothing_twice() {
    let dir = folder();
    let server = file_server(files(dir.path())).await;
    let url = server.url(HOST, "/big.bin");
    let part = server.client.get(&url).header("range", "bytes=400000-400003").send().await.unwrap();
    assert_eq!(part.status(), 206);
    assert_eq!(part.headers()["content-range"], "bytes 400000-400003/800000");
    assert_eq!(part.bytes().await.unwrap(), 100_000_u32.to_le_bytes().as_slice());
    let beyond = server.client.get(&url).header("range", "bytes=800000-").send().await.unwrap();
    assert_eq!(beyond.status(), 416);
    assert_eq!(beyond.headers()["content-range"], "bytes */800000");
    let etag = get(&server, "/big.bin").await.headers()["etag"].clone();
    let again = server.client.get(&url).header("if-none-match", etag).send().await.unwrap();
    assert_eq!(again.status(), 304);
    assert!(again.bytes().await.unwrap().is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_single_page_app_answers_paths_that_are_no_files() {
    let dir = folder();
    let server = file_server(files(dir.path()).with_fallback("/index.html").unwrap()).await;
    assert_eq!(get(&server, "/settings/profile").await.text().await.unwrap(), "<h1>home</h1>");
    assert_eq!(get(&server, "/style.css").await.text().await.unwrap(), "body {}");
    let hidden = get(&server, "/.env").await;
    assert_eq!(hidden.status(), 404);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_packed_file_beside_the_wanted_one_is_sent_to_who_takes_it() {
    let dir = folder();
    let mut config = files(dir.path());
    config.precompressed = Precompressed::Used;
    let server = file_server(config).await;
    let url = server.url(HOST, "/style.css");
    let packed =
        server.client.get(&url).header("accept-encoding", "gzip, br").send().await.unwrap();
    assert_eq!(packed.headers()["content-encoding"], "br");
    assert_eq!(packed.headers()["content-type"], "text/css; charset=utf-8");
    assert_eq!(packed.headers()["vary"], "accept-encoding");
    assert_eq!(packed.text().await.unwrap(), "packed");
    for refused in ["gzip", "br;q=0", "identity"] {
        let plain =
            server.client.get(&url).header("accept-encoding", refused).send().await.unwrap();
        assert_eq!(plain.text().await.unwrap(), "body {}", "{refused}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_listing_shows_what_could_be_opened_and_runs_nothing() {
    let dir = folder();
    let mut config = files(dir.path()).with_index(&[]).unwrap();
    config.browse = Browse::List;
    let server = file_server(config).await;
    let page = get(&server, "/").await.text().await.unwrap();
    for shown in ["./docs/", "./a%20b.txt", "./in.css"] {
        assert!(page.contains(shown), "{shown}: {page}");
    }
    for hidden in [".env", ".git", "out.txt", "etc"] {
        assert!(!page.contains(&format!("./{hidden}")), "{hidden}: {page}");
    }
    let odd = get(&server, "/docs/empty/").await;
    assert!(
        odd.headers()["content-security-policy"].to_str().unwrap().contains("default-src 'none'")
    );
    let odd = odd.text().await.unwrap();
    assert!(!odd.contains("<img"), "{odd}");
    assert!(odd.contains("%3Cimg%20src=x%3E.txt"), "{odd}");
    let request =
        server.client.get(server.url(HOST, "/docs/")).header("accept", "application/json");
    let json: serde_json::Value = request.send().await.unwrap().json().await.unwrap();
    assert_eq!(json[0]["name"], "empty");
    assert_eq!(json[0]["is_dir"], true);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_redirect_keeps_path_and_query_and_never_names_another_host() {
    let to = |to| Action::Redirect(RedirectConfig::new(to, 308).unwrap());
    let server = serve(site(vec![
        route("/old/*", to("https://new.home.lan{uri}")),
        route("/*", to("{path}/")),
    ]))
    .await;
    let moved = get(&server, "/old/x?y=1").await;
    assert_eq!(moved.status(), 308);
    assert_eq!(moved.headers()["location"], "https://new.home.lan/old/x?y=1");
    for path in ["//evil.example/x", "/\\evil.example", "///evil.example"] {
        let answer = raw(&server, &format!("GET {path}"), "").await;
        let location = answer.lines().find_map(|it| it.strip_prefix("location: "));
        let is_here = location
            .is_none_or(|it| it.starts_with('/') && !it.starts_with("//") && !it.contains('\\'));
        assert!(is_here, "{path}: {answer}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn header_rules_are_filled_in_and_nothing_can_be_put_between_the_lines() {
    let mut rules = HeaderRules::default();
    rules.set("X-Where", "{scheme}://{host}{uri} {method} {remote_ip}").unwrap();
    rules.add("X-Twice", "a").unwrap();
    rules.add("X-Twice", "b").unwrap();
    rules.remove("Content-Type").unwrap();
    let site =
        SiteConfig { response_headers: rules, ..site(vec![route("/x/*", respond("hello"))]) };
    let server = serve(site).await;
    let answer = get(&server, "/x/%0d%0aSet-Cookie:%20a=b?q=%0d%0a").await;
    assert_eq!(answer.status(), 400);
    let headers = answer.headers();
    assert!(!headers.contains_key("set-cookie"));
    assert_eq!(
        headers["x-where"],
        "https://x.home.lan/x/%0d%0aSet-Cookie:%20a=b?q=%0d%0a GET 127.0.0.1"
    );
    let answer = get(&server, "/x/").await;
    assert_eq!(answer.headers().get_all("x-twice").iter().count(), 2);
    assert!(!answer.headers().contains_key("content-type"));
}

#[tokio::test(flavor = "multi_thread")]
async fn an_address_off_the_list_sees_nothing_not_even_a_login() {
    let only = |network| Networks::parse([network]).unwrap();
    let closed = Route { allow: only("10.0.0.0/8"), ..route("/closed/*", respond("closed")) };
    let config = site(vec![closed, route("/*", respond("hello"))]);
    let server = serve(SiteConfig { allow: only("127.0.0.0/8"), ..config.clone() }).await;
    assert_eq!(status(&server, "/").await, 200);
    for path in ["/closed/x", "/closed", "//closed/x", "/y/..%2fclosed/x", "/%63losed/"] {
        let answer = raw(&server, &format!("GET {path}"), "").await;
        assert!(answer.starts_with("HTTP/1.1 403"), "{path}: {answer}");
    }
    let server = serve(SiteConfig { allow: only("10.0.0.0/8"), ..config }).await;
    assert_eq!(status(&server, "/").await, 403);
    let forged = server.client.get(server.url(HOST, "/")).header("x-forwarded-for", "10.0.0.1");
    assert_eq!(forged.send().await.unwrap().status(), 403);
}

#[tokio::test(flavor = "multi_thread")]
async fn methods_choose_a_route_and_others_are_told_which() {
    let post = Route { methods: vec!["POST".parse().unwrap()], ..route("/form", respond("sent")) };
    let rewritten = Route {
        rewrite: Rewrite::default().with_strip_prefix("/files").unwrap(),
        ..route("/files/*", Action::Files(files(folder().keep().as_path())))
    };
    let server = serve(site(vec![post, rewritten])).await;
    let sent = server.client.post(server.url(HOST, "/form")).send().await.unwrap();
    assert_eq!(sent.text().await.unwrap(), "sent");
    let got = get(&server, "/form").await;
    assert_eq!((got.status().as_u16(), &got.headers()["allow"]), (405, &"POST".parse().unwrap()));
    assert_eq!(get(&server, "/files/style.css").await.text().await.unwrap(), "body {}");
    assert_eq!(status(&server, "/none").await, 404);
}

#[tokio::test(flavor = "multi_thread")]
async fn basic_auth_takes_both_kinds_of_hashes_and_makes_who_guesses_wait() {
    // Of "secret", by htpasswd.
    let bcrypt = PasswordHash::parse(&bcrypt::hash("secret", 4).unwrap()).unwrap();
    let argon2 = PasswordHash::cheap("horse").unwrap();
    let user = |name: &str, password| BasicUser { name: name.to_owned(), password };
    let mut config = site(vec![
        Route { guard: RouteGuard::Open, ..route("/open/*", respond("open")) },
        route("/*", respond("inside")),
    ]);
    config.guard.basic_auth = vec![user("bob", bcrypt), user("eve", argon2)];
    let server = serve(config).await;
    let anonymous = get(&server, "/").await;
    assert_eq!(anonymous.status(), 401);
    assert!(anonymous.headers()["www-authenticate"].to_str().unwrap().starts_with("Basic "));
    assert_eq!(status(&server, "/open/x").await, 200);
    let login = async |name: &str, password: &str| {
        let request = server.client.get(server.url(HOST, "/"));
        request.basic_auth(name, Some(password)).send().await.unwrap().status().as_u16()
    };
    assert_eq!(login("bob", "secret").await, 200);
    assert_eq!(login("eve", "horse").await, 200);
    assert_eq!(login("eve", "secret").await, 401);
    // A user of the front is nobody here.
    assert_eq!(login("ada", crate::server::PASSWORD).await, 401);
    let mut statuses = Vec::new();
    // The tests' limit is three, and two were wrong already.
    for i in 0..2 {
        statuses.push(login("bob", &format!("guess {i}")).await);
    }
    assert_eq!(statuses.last(), Some(&429), "{statuses:?}");
    assert_eq!(login("bob", "secret").await, 200, "one that was right lately is remembered");
}

#[tokio::test(flavor = "multi_thread")]
async fn only_what_is_text_is_compressed_and_only_for_who_takes_it() {
    let dir = tempfile::tempdir().unwrap();
    let root = dir.path().join("www");
    fs::create_dir(&root).unwrap();
    let text = "the same words again and again ".repeat(200);
    for name in ["a.txt", "a.html", "a.json", "a.js", "a.svg", "a.wasm", "a.png", "a.zip", "a.mp4"]
    {
        fs::write(root.join(name), &text).unwrap();
    }
    fs::write(root.join("small.txt"), "small").unwrap();
    let config = site(vec![route("/*", Action::Files(files(dir.path())))]);
    let server = serve(SiteConfig { compress: Compress::On, ..config }).await;
    // The client would unpack it and say nothing of it.
    let encoding = async |path: &str, accepted: &str| {
        let header = format!("accept-encoding: {accepted}\r\n");
        let answer = raw(&server, &format!("GET {path}"), &header).await;
        let encoding = answer.lines().find_map(|it| it.strip_prefix("content-encoding: "));
        encoding.unwrap_or("none").to_owned()
    };
    for name in ["/a.txt", "/a.html", "/a.json", "/a.js", "/a.svg", "/a.wasm"] {
        assert_eq!(encoding(name, "gzip, br, zstd").await, "zstd", "{name}");
    }
    for name in ["/a.png", "/a.zip", "/a.mp4", "/small.txt"] {
        assert_eq!(encoding(name, "gzip, br, zstd").await, "none", "{name}");
    }
    for (accepted, expected) in
        [("gzip", "gzip"), ("br;q=1, gzip;q=0.5", "br"), ("gzip;q=0", "none"), ("identity", "none")]
    {
        assert_eq!(encoding("/a.txt", accepted).await, expected, "{accepted}");
    }
    let url = server.url(HOST, "/a.txt");
    let packed = server.client.get(&url).header("accept-encoding", "br").send().await.unwrap();
    assert_eq!(packed.headers()["vary"], "accept-encoding");
    let etag = packed.headers()["etag"].clone();
    assert!(etag.to_str().unwrap().starts_with("W/"), "{etag:?}");
    assert!(packed.bytes().await.unwrap().len() < text.len() / 4);
    let again = server.client.get(&url).header("if-none-match", etag).send().await.unwrap();
    assert_eq!(again.status(), 304);
    let part =
        server.client.get(&url).header("accept-encoding", "br").header("range", "bytes=0-2000");
    let part = part.send().await.unwrap();
    assert_eq!((part.status().as_u16(), part.headers().get("content-encoding")), (206, None));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_compressed_answer_comes_as_it_is_made_and_events_stay_as_they_are() {
    let go_on = Arc::new(Notify::new());
    let told = Arc::clone(&go_on);
    let upstream = Upstream::talk(move |mut stream, _n| {
        let told = Arc::clone(&told);
        async move {
            let head = read_head(&mut stream).await;
            let is_events = head.starts_with("GET /events");
            let media_type = if is_events { "text/event-stream" } else { "text/plain" };
            let part = "data: one\n\n".repeat(100);
            say(&mut stream, &format!("HTTP/1.1 200 OK\r\ncontent-type: {media_type}\r\ntransfer-encoding: chunked\r\n\r\n")).await;
            say(&mut stream, &format!("{:x}\r\n{part}\r\n", part.len())).await;
            told.notified().await;
            say(&mut stream, "0\r\n\r\n").await;
        }
    })
    .await;
    let to = Action::Proxy(Box::new(proxy(&[&upstream.url()])));
    let config = SiteConfig { compress: Compress::On, ..site(vec![route("/*", to)]) };
    let server = serve(config).await;
    for (path, encoding) in [("/text", Some("zstd")), ("/events", None)] {
        let request = server.client.get(server.url(HOST, path)).header("accept-encoding", "zstd");
        let mut response = request.send().await.unwrap();
        let found = response.headers().get("content-encoding").map(|it| it.to_str().unwrap());
        assert_eq!(found, encoding, "{path}");
        // The rest is not even made yet.
        let first = tokio::time::timeout(LONG, response.chunk()).await.unwrap().unwrap().unwrap();
        assert!(!first.is_empty());
        go_on.notify_one();
        while response.chunk().await.unwrap().is_some() {}
    }
}

/// So that a listener can be named before anything answers there.
pub(crate) async fn silent_server() -> (SocketAddr, tokio::net::TcpListener) {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    (listener.local_addr().unwrap(), listener)
}

pub(crate) const SHORT: Duration = Duration::from_millis(300);
