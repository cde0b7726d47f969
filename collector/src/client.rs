//! Clients: who may send. A packet's source address picks its client by the longest prefix.

use std::collections::{BTreeMap, HashMap};
use std::io;
use std::net::{IpAddr, Ipv6Addr};
use std::path::PathBuf;
use std::sync::Arc;

use arc_swap::ArcSwap;
use ipnet::IpNet;
use schema::ClientName;

use crate::config::{ClientConfig, MessageAuthenticator, Secret};
use crate::ledger::{Ledger, Tally};

/// A NAS or proxy that may send.
#[derive(Debug)]
pub struct Client {
    /// Its configured name.
    pub name: ClientName,
    /// The shared secret.
    pub secret: Secret,
    /// When its Message-Authenticators are checked.
    pub message_authenticator: MessageAuthenticator,
    /// Where it sends from.
    pub source: IpNet,
    /// What became of its packets that belong to none of its NASes.
    pub tally: Arc<Tally>,
}

/// Why a list of clients is refused.
#[derive(Debug, thiserror::Error)]
pub enum ClientError {
    /// Two clients claim the same prefix.
    #[error("clients \"{first}\" and \"{second}\" have the same source {source_net}")]
    SameSource {
        /// The one listed first.
        first: ClientName,
        /// The one listed later.
        second: ClientName,
        /// The prefix.
        source_net: IpNet,
    },
    /// Two clients have one name.
    #[error("two clients are named \"{0}\"")]
    SameName(ClientName),
    /// A name that cannot stand in a NAS identity.
    #[error("client name \"{0}\" is empty or holds '/' or a control character")]
    BadName(String),
    /// No secret, or two.
    #[error("client \"{0}\" needs either secret or secret_file")]
    OneSecret(String),
    /// The secret is empty.
    #[error("client \"{0}\" has an empty secret")]
    EmptySecret(String),
    /// The secret's file cannot be read.
    #[error("client \"{name}\": secret_file {}: {error}", path.display())]
    SecretFile {
        /// The client.
        name: String,
        /// The file.
        path: PathBuf,
        /// What the system says.
        error: io::Error,
    },
}

/// All clients, by prefix.
#[derive(Debug, Default)]
pub struct ClientTable {
    /// By prefix length, longest first; lengths are those of IPv6, IPv4 being mapped.
    by_length: Vec<(u8, HashMap<u128, Arc<Client>>)>,
}

impl ClientTable {
    /// Builds the table.
    ///
    /// # Errors
    /// [`ClientError`] names the client and what is wrong with it.
    pub fn new(configs: &[ClientConfig], ledger: &Ledger) -> Result<Self, ClientError> {
        let mut names: HashMap<ClientName, ()> = HashMap::new();
        let mut lengths: BTreeMap<std::cmp::Reverse<u8>, HashMap<u128, Arc<Client>>> = BTreeMap::new();
        for config in configs {
            let client = Arc::new(Client::new(config, ledger)?);
            if names.insert(client.name.clone(), ()).is_some() {
                return Err(ClientError::SameName(client.name.clone()));
            }
            let (length, bits) = mapped(config.source);
            if let Some(first) =
                lengths.entry(std::cmp::Reverse(length)).or_default().insert(bits, Arc::clone(&client))
            {
                return Err(ClientError::SameSource {
                    first: first.name.clone(),
                    second: client.name.clone(),
                    source_net: config.source.trunc(),
                });
            }
        }
        Ok(Self { by_length: lengths.into_iter().map(|(length, clients)| (length.0, clients)).collect() })
    }

    /// The client that sends from `source`.
    #[must_use]
    pub fn of(&self, source: IpAddr) -> Option<&Arc<Client>> {
        let bits = address_bits(source);
        self.by_length.iter().find_map(|(length, clients)| clients.get(&(bits & mask(*length))))
    }

    /// Every client.
    pub fn iter(&self) -> impl Iterator<Item = &Arc<Client>> {
        self.by_length.iter().flat_map(|(_, clients)| clients.values())
    }
}

/// The clients in force; replaced whole while packets arrive.
#[derive(Clone, Debug)]
pub struct Clients(Arc<ArcSwap<ClientTable>>);

impl Clients {
    /// Shares `table`.
    #[must_use]
    pub fn new(table: ClientTable) -> Self {
        Self(Arc::new(ArcSwap::from_pointee(table)))
    }

    /// The table of this moment.
    #[must_use]
    pub fn load(&self) -> arc_swap::Guard<Arc<ClientTable>> {
        self.0.load()
    }
}

impl Client {
    fn new(config: &ClientConfig, ledger: &Ledger) -> Result<Self, ClientError> {
        let name = &config.name;
        if name.is_empty() || name.contains(|c: char| c == '/' || c.is_control()) {
            return Err(ClientError::BadName(name.clone()));
        }
        let secret = match (&config.secret, &config.secret_file) {
            (Some(secret), None) => secret.clone(),
            (None, Some(path)) => {
                let text = std::fs::read_to_string(path).map_err(|error| ClientError::SecretFile {
                    name: name.clone(),
                    path: path.clone(),
                    error,
                })?;
                Secret::new(text.lines().next().unwrap_or_default().to_owned())
            }
            _ => return Err(ClientError::OneSecret(name.clone())),
        };
        if secret.octets().is_empty() {
            return Err(ClientError::EmptySecret(name.clone()));
        }
        let name = ClientName::from(name.as_str());
        let tally = ledger.client(&name);
        let message_authenticator = config.message_authenticator;
        Ok(Self { name, secret, message_authenticator, source: config.source.trunc(), tally })
    }
}

fn mapped(net: IpNet) -> (u8, u128) {
    let length = match net {
        IpNet::V4(net) => net.prefix_len() + 96,
        IpNet::V6(net) => net.prefix_len(),
    };
    (length, address_bits(net.addr()) & mask(length))
}

fn address_bits(address: IpAddr) -> u128 {
    match address {
        IpAddr::V4(v4) => u128::from(v4.to_ipv6_mapped()),
        IpAddr::V6(v6) => u128::from(Ipv6Addr::from(v6.octets())),
    }
}

fn mask(length: u8) -> u128 {
    u128::MAX.checked_shl(128 - u32::from(length)).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn table(configs: &[ClientConfig]) -> Result<ClientTable, ClientError> {
        ClientTable::new(configs, &Ledger::default())
    }

    fn config(name: &str, source: &str) -> ClientConfig {
        ClientConfig {
            name: name.into(),
            source: source.parse().unwrap(),
            secret: Some(Secret::new("s3cret".into())),
            secret_file: None,
            message_authenticator: MessageAuthenticator::default(),
        }
    }

    #[test]
    fn the_longest_prefix_wins() {
        let table = table(&[
            config("all", "0.0.0.0/0"),
            config("net", "10.0.0.0/8"),
            config("host", "10.1.2.3/32"),
            config("six", "2001:db8::/32"),
        ])
        .unwrap();
        let name = |ip: &str| table.of(ip.parse().unwrap()).map(|client| client.name.to_string());
        assert_eq!(name("10.1.2.3").as_deref(), Some("host"));
        assert_eq!(name("10.1.2.4").as_deref(), Some("net"));
        assert_eq!(name("192.0.2.1").as_deref(), Some("all"));
        assert_eq!(name("2001:db8::1").as_deref(), Some("six"));
        assert_eq!(name("2001:db9::1"), None);
    }

    #[test]
    fn identical_sources_are_refused_and_named() {
        let error = table(&[config("a", "10.0.0.1/24"), config("b", "10.0.0.0/24")]).unwrap_err();
        assert_eq!(error.to_string(), "clients \"a\" and \"b\" have the same source 10.0.0.0/24");
    }

    #[test]
    fn a_client_needs_exactly_one_secret() {
        let mut both = config("a", "10.0.0.1/32");
        both.secret_file = Some("/nonexistent".into());
        assert_eq!(
            table(&[both]).unwrap_err().to_string(),
            "client \"a\" needs either secret or secret_file"
        );
    }

    #[test]
    fn secrets_do_not_show() {
        assert!(!format!("{:?}", config("a", "10.0.0.1/32")).contains("s3cret"));
    }
}
