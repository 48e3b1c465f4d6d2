//! Variables that tell programs what of a network there is.

use std::{collections::BTreeMap, net::SocketAddr};

/// Without a network: these tools wait and retry for minutes unless they are told.
const OFFLINE: [(&str, &str); 4] =
    [("CARGO_NET_OFFLINE", "true"), ("GOPROXY", "off"), ("PIP_RETRIES", "0"), ("npm_config_offline", "true")];
/// With a proxy as the only way out. Some programs read only the names in small letters, others only those in capitals; Node.js reads none
/// unless it is told to.
const PROXY: [&str; 6] = ["http_proxy", "https_proxy", "all_proxy", "HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY"];
const NO_PROXY: [&str; 2] = ["no_proxy", "NO_PROXY"];
const PROXY_SWITCHES: [(&str, &str); 1] = [("NODE_USE_ENV_PROXY", "1")];
/// What needs no proxy: servers in the sandbox itself.
const LOOPBACK: &str = "localhost,127.0.0.1,::1";

/// For a sandbox without any network.
pub(crate) fn offline() -> BTreeMap<String, String> {
    OFFLINE.map(|(name, value)| (name.to_owned(), value.to_owned())).into()
}

/// For a sandbox in which a proxy at this address is the only way out.
pub(crate) fn proxy(address: SocketAddr) -> BTreeMap<String, String> {
    let proxy = format!("http://{address}");
    let names = PROXY.map(|name| (name, proxy.as_str())).into_iter();
    let all = names.chain(NO_PROXY.map(|name| (name, LOOPBACK))).chain(PROXY_SWITCHES);
    all.map(|(name, value)| (name.to_owned(), value.to_owned())).collect()
}
