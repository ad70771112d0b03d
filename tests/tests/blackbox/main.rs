//! Black-box tests: the real binaries, a real journald, real clients, one process each on ports
//! of its own.

#![expect(
    clippy::panic_in_result_fn,
    reason = "a test fails by panicking, a broken machine by an error"
)]

mod admin;
mod bad_input;
mod check;
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
mod oidc;
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

// One provider and one browser for the front door's tests and these.
#[path = "../../../server/front/tests/front/browser.rs"]
#[expect(dead_code, clippy::unwrap_used, reason = "made for tests that ask more of it")]
mod login_browser;
#[path = "../../../server/front/tests/front/provider.rs"]
#[expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "made for tests that ask more of it"
)]
mod provider;
