//! NASes as the collector knows them: learned when first heard; what is configured about some of them.
//!
//! A NAS that reappears under another address or identifier is one NAS where its section lists that as an alias: its
//! records then bear the name from the journal on, in the session state and in ClickHouse ([`NasSettings::decode`]).

use std::collections::{BTreeMap, HashMap};
use std::net::IpAddr;
use std::sync::Arc;

use schema::{BitsPerSecond, ClientName, Lsn, NasId, UnixTime};
use serde::{Deserialize, Serialize};
use usage::NasPolicy;

use crate::config::NasConfig;
use crate::journal::Entry;
use crate::record::{AccountingRecord, NasIdentity};

/// A NAS that has reported.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Nas {
    /// Its identity, `client/identifier`.
    pub id: NasId,
    /// The client its packets come from.
    pub client: ClientName,
    /// The source address of its newest packet.
    pub source: IpAddr,
    /// Records it sent.
    pub records: u64,
    /// When its newest packet arrived.
    pub last_seen_at: UnixTime,
    /// Its newest Accounting-On or -Off: sessions that began before it and have not reported since are over.
    pub restarted: Option<Restart>,
    /// By how many seconds its clock was ahead of ours in its newest record that tells; no part of a checkpoint.
    #[serde(skip)]
    pub clock_ahead: Option<i64>,
}

/// An Accounting-On or Accounting-Off.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Restart {
    /// Its event time.
    pub at: UnixTime,
    /// Its place in the journal.
    pub lsn: Lsn,
    /// Whether it was an Accounting-On.
    pub on: bool,
}

/// What is configured about NASes. Cloning shares it.
#[derive(Clone, Debug, Default)]
pub struct NasSettings(Arc<Settings>);

#[derive(Debug, Default)]
struct Settings {
    policies: BTreeMap<NasId, NasPolicy>,
    aliases: HashMap<ClientName, Vec<Alias>>,
}

/// Another identity that a NAS has within its client.
#[derive(Debug)]
struct Alias {
    heard: Box<str>,
    /// `heard`, where it is an address.
    address: Option<IpAddr>,
    name: Box<str>,
}

/// Why a list of NASes is refused.
#[derive(Debug, thiserror::Error)]
pub enum NasError {
    /// A name or alias that no NAS can have.
    #[error("nas \"{0}\" is not of the form \"client/identifier\"")]
    BadName(String),
    /// Two sections have one name.
    #[error("two [[nas]] sections are named \"{0}\"")]
    SameName(String),
    /// An alias is another section's name, or its own.
    #[error("nas \"{name}\": its alias \"{alias}\" is the name of a [[nas]] section")]
    AliasIsName {
        /// The section.
        name: String,
        /// The alias.
        alias: String,
    },
    /// An alias is claimed twice.
    #[error("nas \"{second}\": its alias \"{alias}\" is one of \"{first}\" already")]
    AliasTwice {
        /// The section listed first.
        first: String,
        /// The section listed later.
        second: String,
        /// The alias.
        alias: String,
    },
    /// An alias is of another client: who sends is what the shared secret proves, and no alias overrules that.
    #[error("nas \"{name}\": its alias \"{alias}\" is of another client")]
    OtherClient {
        /// The section.
        name: String,
        /// The alias.
        alias: String,
    },
    /// A port carries something.
    #[error("nas \"{0}\": port_speed is 0; leave it out where it is not known")]
    NoPortSpeed(String),
}

impl NasSettings {
    /// Checks the sections and shares them.
    ///
    /// # Errors
    /// [`NasError`] names the section and what is wrong with it.
    pub fn new(configs: &[NasConfig]) -> Result<Self, NasError> {
        let mut settings = Settings::default();
        for config in configs {
            parts(&config.name)?;
            let policy = policy(config)?;
            if settings.policies.insert(NasId::from(config.name.as_str()), policy).is_some() {
                return Err(NasError::SameName(config.name.clone()));
            }
        }
        let mut claimed = HashMap::new();
        for config in configs {
            for alias in &config.aliases {
                settings.claim(config, alias, &mut claimed)?;
            }
        }
        Ok(Self(Arc::new(settings)))
    }

    /// What a journal entry says, under the name that its NAS is configured by. The one place where records get their NAS.
    #[must_use]
    pub fn decode<'a>(&'a self, lsn: Lsn, entry: &Entry<'a>) -> AccountingRecord<'a> {
        let mut record = AccountingRecord::decode(lsn, entry);
        record.nas = self.named(record.client, record.nas);
        record
    }

    /// The identity that a client's NAS is configured by; its own where no section lists that as an alias.
    #[must_use]
    pub fn named<'a>(&'a self, client: &str, identity: NasIdentity<'a>) -> NasIdentity<'a> {
        let aliases = self.0.aliases.get(client).map(Vec::as_slice).unwrap_or_default();
        let alias = aliases.iter().find(|alias| alias.is(&identity));
        alias.map_or(identity, |alias| NasIdentity::Identifier(alias.name.as_bytes()))
    }

    /// What the counters of a NAS mean.
    #[must_use]
    pub fn policy(&self, nas: &str) -> NasPolicy {
        self.0.policies.get(nas).copied().unwrap_or_default()
    }

    /// The policies of every NAS that has a section.
    #[must_use]
    pub fn policies(&self) -> &BTreeMap<NasId, NasPolicy> {
        &self.0.policies
    }
}

impl Settings {
    fn claim<'c>(
        &mut self,
        config: &'c NasConfig,
        alias: &'c str,
        claimed: &mut HashMap<&'c str, &'c str>,
    ) -> Result<(), NasError> {
        let (name, alias_text) = (config.name.clone(), alias.to_owned());
        let (client, identity) = parts(&config.name)?;
        let (alias_client, heard) = parts(alias)?;
        if alias_client != client {
            return Err(NasError::OtherClient { name, alias: alias_text });
        }
        if self.policies.contains_key(alias) {
            return Err(NasError::AliasIsName { name, alias: alias_text });
        }
        if let Some(first) = claimed.insert(alias, &config.name) {
            return Err(NasError::AliasTwice { first: first.to_owned(), second: name, alias: alias_text });
        }
        self.aliases.entry(ClientName::from(client)).or_default().push(Alias {
            heard: heard.into(),
            address: heard.parse().ok(),
            name: identity.into(),
        });
        Ok(())
    }
}

impl Alias {
    fn is(&self, identity: &NasIdentity<'_>) -> bool {
        match identity {
            NasIdentity::Identifier(identifier) => *identifier == self.heard.as_bytes(),
            NasIdentity::Address(address) => self.address == Some(*address),
        }
    }
}

fn policy(config: &NasConfig) -> Result<NasPolicy, NasError> {
    if config.port_speed == Some(0) {
        return Err(NasError::NoPortSpeed(config.name.clone()));
    }
    Ok(NasPolicy {
        direction: config.direction,
        ipv6_counters: config.ipv6_counters,
        port_speed: config.port_speed.map(BitsPerSecond),
    })
}

/// Client and identity. A client's name holds no `/`.
fn parts(name: &str) -> Result<(&str, &str), NasError> {
    let parts = name.split_once('/').filter(|(client, identity)| !client.is_empty() && !identity.is_empty());
    parts.ok_or_else(|| NasError::BadName(name.to_owned()))
}

#[cfg(test)]
pub(crate) mod tests;
