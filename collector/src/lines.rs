//! The line of the ledger that a packet counts in: its NAS's, found without a lock or an allocation once the NAS was heard.

use std::net::IpAddr;
use std::sync::Arc;

use foldhash::{HashMap, HashMapExt as _};
use schema::ClientName;

use crate::ledger::{Ledger, Tally};
use crate::nas::NasSettings;
use crate::record::NasIdentity;

/// Most identities remembered; then all are asked for again.
const KNOWN: usize = 65_536;

/// The lines that one listener's packets count in.
#[derive(Debug)]
pub struct Lines {
    ledger: Ledger,
    settings: NasSettings,
    /// By client and identity as it is heard.
    known: HashMap<Box<[u8]>, Arc<Tally>>,
    key: Vec<u8>,
}

impl Lines {
    /// The lines of `ledger`, under the names that `settings` give to NASes.
    #[must_use]
    pub fn new(ledger: Ledger, settings: NasSettings) -> Self {
        Self { ledger, settings, known: HashMap::new(), key: Vec::new() }
    }

    /// The line of the NAS that a client's packet names.
    pub fn of(&mut self, client: &ClientName, nas: &NasIdentity<'_>) -> Arc<Tally> {
        self.write_key(client, nas);
        if let Some(tally) = self.known.get(self.key.as_slice()) {
            return Arc::clone(tally);
        }
        let mut name = String::new();
        self.settings.named(client.as_str(), *nas).write(client.as_str(), &mut name);
        let tally = self.ledger.nas(client.as_str(), &name);
        if self.known.len() >= KNOWN {
            self.known.clear();
        }
        self.known.insert(self.key.as_slice().into(), Arc::clone(&tally));
        tally
    }

    fn write_key(&mut self, client: &ClientName, nas: &NasIdentity<'_>) {
        let key = &mut self.key;
        key.clear();
        key.extend_from_slice(client.as_str().as_bytes());
        // No client's name holds a control character.
        match nas {
            NasIdentity::Identifier(identifier) => {
                key.push(0);
                key.extend_from_slice(identifier);
            }
            NasIdentity::Address(IpAddr::V4(address)) => {
                key.push(1);
                key.extend(address.octets());
            }
            NasIdentity::Address(IpAddr::V6(address)) => {
                key.push(2);
                key.extend(address.octets());
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ledger::Outcome;
    use crate::nas::tests::section;

    #[test]
    fn an_alias_counts_in_the_line_of_its_nas_and_an_address_is_no_identifier() {
        let section = section("c/bng", &["c/10.0.0.1"]);
        let ledger = Ledger::default();
        let mut lines = Lines::new(ledger.clone(), NasSettings::new(&[section]).unwrap());
        let client = ClientName::from("c");
        let address = NasIdentity::Address("10.0.0.1".parse().unwrap());
        for nas in
            [address, address, NasIdentity::Identifier(b"bng"), NasIdentity::Identifier(&[10, 0, 0, 1])]
        {
            lines.of(&client, &nas).count(Outcome::Duplicate);
        }
        let report = ledger.report();
        let counted = report
            .lines
            .iter()
            .map(|line| (line.nas.as_ref().map(|nas| nas.as_str()), line.counts.duplicates));
        let expected = [(Some("c/\n\0\0\u{1}"), 1), (Some("c/bng"), 3), (None, 0), (None, 0)];
        assert_eq!(counted.collect::<Vec<_>>(), expected);
    }
}
