//! Opens a connection and closes it again.

use tokio::{net::TcpStream, time::Instant};

use super::Finding;

pub(super) async fn check(host: &str, port: u16) -> Finding {
    let started = Instant::now();
    match TcpStream::connect((host, port)).await {
        Ok(_stream) => Finding::up(started.elapsed().as_secs_f64()),
        Err(error) => Finding::down(error.to_string()),
    }
}
