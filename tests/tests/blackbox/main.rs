//! Black-box tests: the real binaries, a real journald, real clients, one process each on ports
//! of its own.

#![expect(
    clippy::panic_in_result_fn,
    reason = "a test fails by panicking, a broken machine by an error"
)]

mod admin;
mod bad_input;
mod clients;
mod crash;
mod docs_commands;
mod docs_grafana;
mod docs_replace;
mod enrol;
mod grafana;
mod histograms;
mod hostile;
mod http;
mod line;
mod logcli;
mod loki_grafana;
mod object_store;
mod observe;
mod page;
mod parquet;
mod promql;
mod pushers;
mod reload;
mod scrape;
mod space;
mod sql;
mod ssh_dashboards;
mod tail;
mod tls;
mod upgrade;
