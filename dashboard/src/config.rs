//! Settings of the dashboard, and what it must know to help with the first steps.

use std::net::SocketAddr;

use serde::{Deserialize, Serialize};

/// The `[dashboard]` section.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct DashboardConfig {
    /// Marks cookies `Secure`: set it where browsers reach the dashboard over HTTPS. Default `false`, because the
    /// built-in server speaks plain HTTP on loopback.
    pub secure_cookies: bool,
}

/// What the page says while no NAS has sent anything.
#[derive(Clone, Debug, Default)]
pub struct FirstSteps {
    /// The addresses that accounting is received on.
    pub listen: Vec<SocketAddr>,
    /// The clients that may send, by name and source, as configured.
    pub clients: Vec<(String, String)>,
}
