//! The front from outside: real TLS on port 0, a pinned CA, and routers that only say who called.

#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "clippy only exempts functions marked as tests, not what they call"
)]

#[path = "front/server.rs"]
mod server;

#[path = "front/browser.rs"]
mod browser;
#[path = "front/pebble.rs"]
mod pebble;
#[path = "front/provider.rs"]
mod provider;

#[path = "front/access.rs"]
mod access;
#[path = "front/acme.rs"]
mod acme;
#[path = "front/acme_providers.rs"]
mod acme_providers;
#[path = "front/agents.rs"]
mod agents;
#[path = "front/attacks.rs"]
mod attacks;
#[path = "front/certificates.rs"]
mod certificates;
#[path = "front/client_ip.rs"]
mod client_ip;
#[path = "front/connections.rs"]
mod connections;
#[path = "front/forward_auth.rs"]
mod forward_auth;
#[path = "front/handlers.rs"]
mod handlers;
#[path = "front/names.rs"]
mod names;
#[path = "front/observe.rs"]
mod observe;
#[path = "front/oidc.rs"]
mod oidc;
#[path = "front/people.rs"]
mod people;
#[path = "front/proxy.rs"]
mod proxy;
#[path = "front/proxy_failures.rs"]
mod proxy_failures;
#[path = "front/proxy_protocol.rs"]
mod proxy_protocol;
#[path = "front/proxy_streams.rs"]
mod proxy_streams;
#[path = "front/proxy_transports.rs"]
mod proxy_transports;
#[path = "front/records.rs"]
mod records;
#[path = "front/reload.rs"]
mod reload;
#[path = "front/second_factor.rs"]
mod second_factor;
#[path = "front/site_logins.rs"]
mod site_logins;
#[path = "front/upstream.rs"]
mod upstream;
