//! Settings of the HTTP server.

use std::net::{Ipv4Addr, SocketAddr};

use serde::{Deserialize, Serialize};

/// The `[http]` section.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct HttpConfig {
    /// Address of API and dashboard. Default `127.0.0.1:8080`.
    pub listen: SocketAddr,
    /// Origins, as `https://usage.example.net`, whose pages may open the live feed besides those served under the name
    /// that the request was sent to. Needed where a proxy in front changes `Host`. Default none.
    pub origins: Vec<String>,
}

impl Default for HttpConfig {
    fn default() -> Self {
        Self { listen: (Ipv4Addr::LOCALHOST, 8080).into(), origins: Vec::new() }
    }
}
