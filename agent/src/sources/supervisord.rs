//! Processes of supervisord and their states, by its XML-RPC over HTTP or a Unix socket.

use std::{
    fmt,
    io::{self, Read, Write},
    net::{TcpStream, ToSocketAddrs as _},
    os::unix::net::UnixStream,
    time::Duration,
};

use serde::Deserialize;
use skep_proto::{
    MetricKind,
    MetricKind::{Counter, Gauge},
};

use super::{Context, SourceError, number};
use crate::exposition::Exposition;

const FILE: &str = "supervisord's answer";
/// How long a connection, and each read, may take.
const TIMEOUT: Duration = Duration::from_secs(10);
/// About 10,000 processes.
const ANSWER_BYTES_MAX: u64 = 16 << 20;
const CALL: &str = "<?xml version=\"1.0\"?><methodCall><methodName>supervisor.getAllProcessInfo</methodName></methodCall>";
/// States in which a process runs: starting, running and stopping.
const RUNNING: [f64; 3] = [10.0, 20.0, 40.0];

#[derive(Debug, Clone, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Settings {
    /// `http://HOST:PORT/PATH` or `unix:///run/supervisor.sock`.
    url: Url,
}

impl Default for Settings {
    fn default() -> Self {
        let url = Url::Http { host: "localhost:9001".to_owned(), path: "/RPC2".to_owned() };
        Self { url }
    }
}

#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
enum Url {
    Http { host: String, path: String },
    Unix { path: String },
}

impl fmt::Display for Url {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Http { host, path } => write!(out, "http://{host}{path}"),
            Self::Unix { path } => write!(out, "unix://{path}"),
        }
    }
}

impl TryFrom<String> for Url {
    type Error = String;

    fn try_from(url: String) -> Result<Self, Self::Error> {
        if let Some(path) = url.strip_prefix("unix://") {
            return Ok(Self::Unix { path: path.to_owned() });
        }
        let Some(rest) = url.strip_prefix("http://") else {
            return Err(format!("{url:?} is neither http://HOST:PORT/PATH nor unix:///PATH"));
        };
        let (host, path) = rest.split_once('/').unwrap_or((rest, ""));
        let host = if host.contains(':') { host.to_owned() } else { format!("{host}:80") };
        Ok(Self::Http { host, path: format!("/{path}") })
    }
}

pub(super) fn collect(context: &Context, out: &mut Exposition) -> Result<(), SourceError> {
    let url = &context.settings.supervisord.url;
    let answer = ask(url).map_err(|source| SourceError::Peer {
        peer: "supervisord",
        at: url.to_string(),
        source,
    })?;
    let body = body(&answer)?;
    for process in structs(body) {
        let name = member(process, "name").unwrap_or_default();
        let group = member(process, "group").unwrap_or_default();
        let labels = [("name", &*name), ("group", &*group)];
        let value = |what| number(FILE, what, member(process, what).as_deref());
        let state = value("state")?;
        let is_up = RUNNING.contains(&state);
        let mut tell = |name, help, kind: MetricKind, value| {
            out.family(name, help, kind).point(labels, value);
        };
        tell(
            "node_supervisord_state",
            "State of the process, as supervisord numbers it.",
            Gauge,
            state,
        );
        tell(
            "node_supervisord_exit_status",
            "Status the process ended with.",
            Gauge,
            value("exitstatus")?,
        );
        tell(
            "node_supervisord_up",
            "1 if the process runs, else 0.",
            Gauge,
            f64::from(u8::from(is_up)),
        );
        if is_up {
            tell(
                "node_supervisord_start_time_seconds",
                "When the process was started, in seconds since 1970.",
                Counter,
                value("start")?,
            );
        }
    }
    Ok(())
}

fn ask(url: &Url) -> io::Result<String> {
    match url {
        Url::Unix { path } => {
            let stream = UnixStream::connect(path)?;
            stream.set_read_timeout(Some(TIMEOUT))?;
            stream.set_write_timeout(Some(TIMEOUT))?;
            exchange(stream, "localhost", "/RPC2")
        }
        Url::Http { host, path } => {
            let address = host.to_socket_addrs()?.next().ok_or(io::ErrorKind::NotFound)?;
            let stream = TcpStream::connect_timeout(&address, TIMEOUT)?;
            stream.set_read_timeout(Some(TIMEOUT))?;
            stream.set_write_timeout(Some(TIMEOUT))?;
            exchange(stream, host, path)
        }
    }
}

/// HTTP 1.0, so that the answer comes in one piece and the connection ends with it.
fn exchange(mut stream: impl Read + Write, host: &str, path: &str) -> io::Result<String> {
    let len = CALL.len();
    let request = format!(
        "POST {path} HTTP/1.0\r\nHost: {host}\r\nContent-Type: text/xml\r\nContent-Length: {len}\r\n\r\n{CALL}"
    );
    stream.write_all(request.as_bytes())?;
    let mut answer = String::new();
    stream.take(ANSWER_BYTES_MAX).read_to_string(&mut answer)?;
    Ok(answer)
}

fn body(answer: &str) -> Result<&str, SourceError> {
    let wrong = |what| SourceError::Missing { file: FILE, what };
    let (head, body) = answer.split_once("\r\n\r\n").ok_or(wrong("a body"))?;
    let status = head.split(' ').nth(1).unwrap_or_default();
    if status != "200" || body.contains("<fault") {
        return Err(wrong("the list of processes"));
    }
    if !body.contains("</methodResponse>") {
        return Err(wrong("its end"));
    }
    Ok(body)
}

/// Each process: the text between the tags of one structure, of which none is inside another.
fn structs(body: &str) -> impl Iterator<Item = &str> {
    body.split("<struct>").skip(1).filter_map(|it| it.split_once("</struct>")).map(|it| it.0)
}

/// `<member><name>NAME</name><value><TYPE>VALUE</TYPE></value></member>`
fn member(process: &str, name: &str) -> Option<String> {
    let (_, rest) = process.split_once(&format!("<name>{name}</name>"))?;
    let (_, rest) = rest.split_once("<value>")?;
    let (value, _) = rest.split_once("</value>")?;
    let value = match value.strip_prefix('<') {
        Some(typed) => typed.split_once('>')?.1.split_once("</")?.0,
        None => value,
    };
    let value = value.replace("&lt;", "<").replace("&gt;", ">").replace("&quot;", "\"");
    Some(value.replace("&amp;", "&"))
}

#[cfg(test)]
mod tests {
    use std::{os::unix::net::UnixListener, thread};

    use expect_test::expect;

    use super::*;
    use crate::sources::tests::Host;

    /// A supervisord that gives one answer.
    fn host(answer: &'static str) -> Host {
        let mut host = Host::default();
        let socket = host.path("supervisor.sock");
        let listener = UnixListener::bind(&socket).unwrap();
        host.settings().supervisord =
            toml::from_str(&format!("url = \"unix://{}\"", socket.display())).unwrap();
        thread::spawn(move || {
            let (mut stream, _) = listener.accept().unwrap();
            let mut request = Vec::new();
            let mut bytes = [0; 1024];
            while !request.ends_with(b"</methodCall>") {
                let len = stream.read(&mut bytes).unwrap();
                request.extend_from_slice(&bytes[..len]);
            }
            stream.write_all(answer.as_bytes()).unwrap();
        });
        host
    }

    #[test]
    fn processes_are_told_with_their_state() {
        host(
            "HTTP/1.0 200 OK\r\nContent-Type: text/xml\r\n\r\n<?xml version='1.0'?>\n\
             <methodResponse><params><param>\n<value><array><data>\n<value><struct>\n\
             <member>\n<name>name</name>\n<value><string>a&amp;b</string></value>\n</member>\n\
             <member>\n<name>group</name>\n<value>web</value>\n</member>\n\
             <member>\n<name>start</name>\n<value><int>1700000000</int></value>\n</member>\n\
             <member>\n<name>state</name>\n<value><int>20</int></value>\n</member>\n\
             <member>\n<name>statename</name>\n<value><string>RUNNING</string></value>\n</member>\n\
             <member>\n<name>exitstatus</name>\n<value><int>0</int></value>\n</member>\n\
             </struct></value>\n<value><struct>\n\
             <member><name>name</name><value><string>job</string></value></member>\n\
             <member><name>group</name><value><string>job</string></value></member>\n\
             <member><name>start</name><value><int>1</int></value></member>\n\
             <member><name>state</name><value><int>100</int></value></member>\n\
             <member><name>exitstatus</name><value><int>-3</int></value></member>\n\
             </struct></value>\n</data></array></value></param></params></methodResponse>\n",
        )
        .check(collect, &expect![[r##"
            # HELP node_supervisord_exit_status Status the process ended with.
            # TYPE node_supervisord_exit_status gauge
            node_supervisord_exit_status{name="a&b",group="web"} 0
            node_supervisord_exit_status{name="job",group="job"} -3
            # HELP node_supervisord_start_time_seconds When the process was started, in seconds since 1970.
            # TYPE node_supervisord_start_time_seconds counter
            node_supervisord_start_time_seconds{name="a&b",group="web"} 1.7e+09
            # HELP node_supervisord_state State of the process, as supervisord numbers it.
            # TYPE node_supervisord_state gauge
            node_supervisord_state{name="a&b",group="web"} 20
            node_supervisord_state{name="job",group="job"} 100
            # HELP node_supervisord_up 1 if the process runs, else 0.
            # TYPE node_supervisord_up gauge
            node_supervisord_up{name="a&b",group="web"} 1
            node_supervisord_up{name="job",group="job"} 0
        "##]]);
    }

    #[test]
    fn answers_that_are_none_are_told() {
        host("HTTP/1.0 401 Unauthorized\r\n\r\n").check(
            collect,
            &expect![[r#"
                error: supervisord's answer: the list of processes is missing
            "#]],
        );
        host("HTTP/1.0 200 OK\r\n\r\n<methodResponse><fault/></methodResponse>").check(
            collect,
            &expect![[r#"
                error: supervisord's answer: the list of processes is missing
            "#]],
        );
        host("HTTP/1.0 200 OK\r\n\r\n<methodResponse><params>").check(
            collect,
            &expect![[r#"
            error: supervisord's answer: its end is missing
        "#]],
        );
        host("SSH-2.0-x\r\n").check(
            collect,
            &expect![[r#"
            error: supervisord's answer: a body is missing
        "#]],
        );
        let one = "HTTP/1.0 200 OK\r\n\r\n<struct><name>name</name></struct></methodResponse>";
        host(one).check(
            collect,
            &expect![[r#"
            error: supervisord's answer: state is missing
        "#]],
        );
    }

    #[test]
    fn a_supervisord_that_is_not_there_is_named() {
        let mut host = Host::default();
        host.settings().supervisord = toml::from_str("url = \"unix:///no/such/socket\"").unwrap();
        host.check(collect, &expect![[r#"
            error: cannot ask supervisord at unix:///no/such/socket: No such file or directory (os error 2)
        "#]]);
    }

    #[test]
    fn addresses_are_of_two_kinds() {
        let url = |text: &str| Url::try_from(text.to_owned());
        let http =
            |host: &str, path: &str| Url::Http { host: host.to_owned(), path: path.to_owned() };
        assert_eq!(url("http://localhost:9001/RPC2"), Ok(http("localhost:9001", "/RPC2")));
        assert_eq!(url("http://[::1]:9"), Ok(http("[::1]:9", "/")));
        assert_eq!(url("unix:///run/s"), Ok(Url::Unix { path: "/run/s".to_owned() }));
        assert!(url("https://x").unwrap_err().contains("neither"));
    }
}
