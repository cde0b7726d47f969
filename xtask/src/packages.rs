//! Debian packages: which programs are needed, which package brings each, and how to get those that are missing.

use std::fs::File;
use std::io::{ErrorKind, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;
use std::process::Command;

use anyhow::{Context as _, bail};

use crate::step;

/// A program, or a file, that a package brings.
pub struct Need {
    /// The Debian package.
    pub package: &'static str,
    /// A program's name, or a file's path.
    pub brings: &'static str,
    /// What it is needed for.
    pub purpose: &'static str,
}

/// Needed to build at all.
pub const BUILD: &[Need] = &[
    Need { package: "build-essential", brings: "cc", purpose: "linking" },
    Need { package: "npm", brings: "npm", purpose: "front-end packages and the embedded ClickHouse" },
    Need {
        package: "ca-certificates",
        brings: "/etc/ssl/certs/ca-certificates.crt",
        purpose: "fetching packages",
    },
];

/// Who is measured beside radtally.
pub const PEERS: &[Need] = &[
    Need { package: "freeradius", brings: "freeradius", purpose: "the server that is compared with" },
    Need {
        package: "freeradius-postgresql",
        brings: "/usr/lib/freeradius/rlm_sql_postgresql.so",
        purpose: "its records in a database",
    },
    Need { package: "postgresql", brings: "/usr/lib/postgresql", purpose: "that database" },
];

/// Needed by the tests: real NASes, a real browser, a real PostgreSQL.
pub const TESTS: &[Need] = &[
    Need { package: "freeradius-utils", brings: "radclient", purpose: "a RADIUS client nobody here wrote" },
    Need { package: "hostapd", brings: "hostapd", purpose: "a NAS nobody here wrote" },
    Need { package: "ocserv", brings: "ocserv", purpose: "a NAS that reports octets" },
    Need { package: "openconnect", brings: "openconnect", purpose: "whoever logs in at ocserv" },
    Need {
        package: "openvpn",
        brings: "openvpn",
        purpose: "another NAS that reports octets, and who logs in",
    },
    Need {
        package: "openvpn-auth-radius",
        brings: "/usr/lib/openvpn/radiusplugin.so",
        purpose: "OpenVPN's accounting",
    },
    Need { package: "freeradius", brings: "freeradius", purpose: "letting OpenVPN's user in" },
    Need { package: "openssl", brings: "openssl", purpose: "certificates of both" },
    Need { package: "wpasupplicant", brings: "wpa_supplicant", purpose: "whoever logs in at hostapd" },
    Need { package: "iproute2", brings: "ip", purpose: "the wire between them" },
    Need { package: "strace", brings: "strace", purpose: "the order of fdatasync and reply" },
    Need { package: "faketime", brings: "faketime", purpose: "a clock that is set while the service runs" },
    Need { package: "chromium", brings: "chromium", purpose: "the dashboard in a browser" },
    Need { package: "chromium-driver", brings: "chromedriver", purpose: "driving that browser" },
    Need {
        package: "postgresql",
        brings: "/usr/lib/postgresql",
        purpose: "relational tests on both databases",
    },
    Need {
        package: "util-linux",
        brings: "setpriv",
        purpose: "running PostgreSQL as another user than root",
    },
];

/// Makes sure that all of `needs` are there: installs what is missing where that is allowed, or says how to.
///
/// # Errors
/// Something is missing and cannot be installed from here.
pub fn ensure(needs: &[&Need]) -> anyhow::Result<()> {
    let missing: Vec<_> = needs.iter().filter(|need| !is_there(need)).collect();
    if missing.is_empty() {
        return Ok(());
    }
    for need in &missing {
        eprintln!("missing: {} ({}), for {}", need.brings, need.package, need.purpose);
    }
    let packages: Vec<_> = missing.iter().map(|need| need.package).collect();
    if !(is_root() && step::exists("apt-get")) {
        bail!("install what is missing, then run this again: sudo apt-get install {}", packages.join(" "));
    }
    let apt = |what: &str, args: &[&str]| {
        step::run_command(what, Command::new("apt-get").env("DEBIAN_FRONTEND", "noninteractive").args(args))
    };
    let _no_services = NoServices::for_now()?;
    apt("Updating the package lists", &["update", "-qq"])?;
    let mut install = vec!["install", "-y", "-qq", "--no-install-recommends"];
    install.extend(&packages);
    apt(&format!("Installing {}", packages.join(", ")), &install)?;
    match missing.iter().find(|need| !is_there(need)) {
        Some(need) => bail!("{} was installed, but {} is still missing", need.package, need.brings),
        None => Ok(()),
    }
}

/// Keeps packages from starting their services while it lives: tests start what they need by themselves.
struct NoServices {
    /// Whether the policy is ours to remove.
    ours: bool,
}

impl NoServices {
    const POLICY: &str = "/usr/sbin/policy-rc.d";

    /// Denies starting services, unless a policy is there already.
    fn for_now() -> anyhow::Result<Self> {
        let file = File::options().write(true).create_new(true).mode(0o755).open(Self::POLICY);
        match file {
            Ok(mut file) => {
                let ours = Self { ours: true };
                file.write_all(b"#!/bin/sh\nexit 101\n").context(Self::POLICY)?;
                Ok(ours)
            }
            Err(error) if error.kind() == ErrorKind::AlreadyExists => Ok(Self { ours: false }),
            Err(error) => Err(error).context(Self::POLICY),
        }
    }
}

impl Drop for NoServices {
    fn drop(&mut self) {
        if self.ours {
            _ = std::fs::remove_file(Self::POLICY);
        }
    }
}

fn is_there(need: &Need) -> bool {
    if need.brings.starts_with('/') { Path::new(need.brings).exists() } else { step::exists(need.brings) }
}

fn is_root() -> bool {
    std::os::unix::fs::MetadataExt::uid(&match std::fs::metadata("/proc/self") {
        Ok(metadata) => metadata,
        Err(_) => return false,
    }) == 0
}
