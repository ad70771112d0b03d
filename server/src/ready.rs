//! The ready file: where this server can be reached, for scripts and tests.

use std::{fs, io, net::SocketAddr, path::Path};

use serde_json::json;
use skep_front::Bound;

/// Writes the addresses as one JSON object, whole or not at all.
pub(crate) fn write(path: &Path, bound: &Bound, data_dir: &Path) -> io::Result<()> {
    let https = bound.https.first().map(|it| url("https", *it));
    let object = json!({
        "url": https,
        "redirect_url": bound.http_redirect.map(|it| url("http", it)),
        "http_url": bound.plain.map(|it| url("http", it)),
        "ca_file": bound.ca_file,
        "data_dir": data_dir,
        "server_pid": std::process::id(),
    });
    let partial = path.with_extension("partial");
    fs::write(&partial, format!("{object:#}\n"))?;
    fs::rename(&partial, path)
}

/// A loopback address by the name that is in the certificate and that browsers trust.
fn url(scheme: &str, address: SocketAddr) -> String {
    let port = address.port();
    if address.ip().is_loopback() || address.ip().is_unspecified() {
        format!("{scheme}://localhost:{port}")
    } else {
        format!("{scheme}://{address}")
    }
}
