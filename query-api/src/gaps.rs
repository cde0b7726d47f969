//! Known gaps of every collector, beside the usage that they may touch.

use std::collections::BTreeSet;

use clickhouse::Client;
use collector::ledger::{Gap, GapKind, Touched};
use schema::{CollectorId, GapRow, NasId, UnixTime};
use serde::Serialize;

use crate::ApiError;
use crate::query::{fetch, seconds, time};

/// Most gaps shown beside usage, the newest; a period with more is not to be trusted anyway.
const MOST: u32 = 200;

/// A time in which packets, or records, were lost.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct KnownGap {
    /// The collector that knows of it.
    pub collector: CollectorId,
    /// What made it.
    pub kind: GapKind,
    /// Its first second.
    pub from: UnixTime,
    /// The first second after it.
    pub to: UnixTime,
    /// Packets lost, by those listed in `touched` where there are any; of a `hole`, records.
    pub packets: u64,
    /// Who lost them; empty where that is not known, so that it may be anyone.
    pub touched: Vec<Touched>,
}

impl KnownGap {
    /// A gap that `collector` knows of.
    #[must_use]
    pub fn new(collector: CollectorId, gap: Gap) -> Self {
        let Gap { kind, from, to, packets, touched, .. } = gap;
        Self { collector, kind, from, to, packets, touched }
    }

    /// The gap as far as it may touch sessions of `nases`; `None` where it does not.
    #[must_use]
    pub fn of_nases(mut self, nases: &BTreeSet<NasId>) -> Option<Self> {
        if self.touched.is_empty() {
            return Some(self);
        }
        let client_of = |nas: &NasId| nas.as_str().split('/').next().map(str::to_owned);
        let clients: BTreeSet<String> = nases.iter().filter_map(client_of).collect();
        self.touched.retain(|touched| match &touched.nas {
            Some(nas) => nases.contains(nas),
            None => clients.contains(touched.client.as_str()),
        });
        self.packets = self.touched.iter().map(|touched| touched.packets).sum();
        (!self.touched.is_empty()).then_some(self)
    }

    /// Whether it may touch usage of `[from, to)`.
    #[must_use]
    pub fn overlaps(&self, from: UnixTime, to: UnixTime) -> bool {
        self.from < to && from < self.to
    }
}

/// The gaps of all collectors that overlap `[from, to)`, newest first.
pub(crate) async fn within(client: &Client, from: UnixTime, to: UnixTime) -> Result<Vec<KnownGap>, ApiError> {
    let sql = "SELECT g.collector AS collector, g.id AS id, g.version AS version, g.kind AS kind, g.from_at AS from_at, \
               g.to_at AS to_at, g.packets AS packets, g.clients AS clients, g.nases AS nases, g.counts AS counts \
               FROM (SELECT * FROM known_gaps AS k WHERE k.from_at < toDateTime(?) AND k.to_at > toDateTime(?) \
               ORDER BY k.version DESC LIMIT 1 BY k.collector, k.id) AS g ORDER BY from_at DESC LIMIT ?";
    let rows = client.query(sql).bind(seconds(to)).bind(seconds(from)).bind(MOST);
    Ok(fetch::<GapRow>(rows).await?.into_iter().filter_map(known).collect())
}

/// `None` for a kind that only a later version knows.
fn known(row: GapRow) -> Option<KnownGap> {
    let touched = row.clients.into_iter().zip(row.nases).zip(row.counts);
    let touched = touched.map(|((client, nas), packets)| Touched {
        client: client.into(),
        nas: Some(nas).filter(|nas| !nas.is_empty()).map(Into::into),
        packets,
    });
    Some(KnownGap {
        collector: row.collector.into(),
        kind: GapKind::named(&row.kind)?,
        from: time(row.from_at),
        to: time(row.to_at),
        packets: row.packets,
        touched: touched.collect(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn gap(touched: &[(&str, Option<&str>, u64)]) -> KnownGap {
        let touched = touched.iter().map(|(client, nas, packets)| Touched {
            client: (*client).into(),
            nas: nas.map(Into::into),
            packets: *packets,
        });
        let (from, to) = (UnixTime(100), UnixTime(200));
        let kind = GapKind::Overload;
        KnownGap { collector: "c".into(), kind, from, to, packets: 60, touched: touched.collect() }
    }

    #[test]
    fn only_what_the_nases_of_a_login_lost_stands_beside_its_usage() {
        let nases: BTreeSet<NasId> = ["bng/a".into()].into();
        let all = gap(&[("bng", Some("bng/a"), 10), ("bng", Some("bng/b"), 20), ("bng", None, 30)]);
        let own = all.of_nases(&nases).unwrap();
        assert_eq!((own.packets, own.touched.len()), (40, 2), "any of the client's NASes may be this one");
        assert_eq!(gap(&[("bng", Some("bng/b"), 20), ("other", None, 30)]).of_nases(&nases), None);
        assert_eq!(
            gap(&[]).of_nases(&nases).map(|gap| gap.packets),
            Some(60),
            "nobody knows whose they were"
        );
    }

    #[test]
    fn a_gap_ends_before_its_end() {
        let gap = gap(&[]);
        assert!(gap.overlaps(UnixTime(199), UnixTime(300)) && gap.overlaps(UnixTime(0), UnixTime(101)));
        assert!(!gap.overlaps(UnixTime(200), UnixTime(300)) && !gap.overlaps(UnixTime(0), UnixTime(100)));
    }
}
