//! Known gaps as people read them: beside usage, at NASes and on the ledger's page.

use chrono_tz::Tz;
use collector::ledger::{GapKind, Touched};
use query_api::gaps::KnownGap;
use schema::UnixTime;

use crate::format;

/// NASes named in a row; further ones are counted.
const NAMED: usize = 4;
/// Gaps written out beside usage; further ones are counted.
const BESIDE: usize = 3;

/// A row of the table of gaps.
pub(crate) struct GapRow {
    pub(crate) from: String,
    pub(crate) to: String,
    pub(crate) lasted: String,
    pub(crate) badge: &'static str,
    pub(crate) class: &'static str,
    pub(crate) what: &'static str,
    /// A dash where nobody can count them.
    pub(crate) packets: String,
    pub(crate) touched: String,
}

/// A gap's badge, its class, and what happened.
const fn words(kind: GapKind) -> (&'static str, &'static str, &'static str) {
    match kind {
        GapKind::Overload => (
            "overload",
            "rt-slow-badge",
            "packets came faster than the disk took them; they were not acknowledged",
        ),
        GapKind::JournalStopped => {
            ("journal stopped", "rt-down-badge", "the journal could not be written; nothing was acknowledged")
        }
        GapKind::Kernel => {
            ("kernel", "rt-slow-badge", "the kernel dropped datagrams before they could be received")
        }
        GapKind::Hole => {
            ("damage", "rt-down-badge", "damage to the journal took records that were acknowledged")
        }
        GapKind::NotRunning => ("not running", "rt-down-badge", "the collector was not running"),
    }
}

impl GapRow {
    pub(crate) fn new(gap: &KnownGap, zone: Tz) -> Self {
        let (badge, class, what) = words(gap.kind);
        let counted = gap.kind != GapKind::NotRunning;
        Self {
            from: format::local(gap.from, zone),
            to: format::local(gap.to, zone),
            lasted: format::duration(u64::try_from(gap.to.since(gap.from)).unwrap_or(0)),
            badge,
            class,
            what,
            packets: if counted { format::grouped(gap.packets) } else { "–".to_owned() },
            touched: touched(&gap.touched),
        }
    }
}

/// `bng-1/a (300), bng-1/b (112)`.
fn touched(touched: &[Touched]) -> String {
    if touched.is_empty() {
        return "anyone: it is not known whose they were".to_owned();
    }
    let name = |touched: &Touched| match &touched.nas {
        Some(nas) => nas.to_string(),
        None => format!("others of {}", touched.client),
    };
    let named = touched.iter().take(NAMED);
    let mut texts: Vec<_> =
        named.map(|touched| format!("{} ({})", name(touched), format::grouped(touched.packets))).collect();
    if let Some(more) = touched.len().checked_sub(NAMED).filter(|more| *more > 0) {
        texts.push(format!("and {more} more"));
    }
    texts.join(", ")
}

/// What stands beside usage: a sentence for each of the newest gaps.
pub(crate) fn beside(gaps: &[KnownGap], zone: Tz) -> Vec<String> {
    let mut sentences: Vec<_> = gaps.iter().take(BESIDE).map(|gap| sentence(gap, zone)).collect();
    if let Some(more) = gaps.len().checked_sub(BESIDE).filter(|more| *more > 0) {
        sentences.push(format!("{more} earlier ones in this period"));
    }
    sentences
}

/// What the badge of a day says, where it has gaps.
pub(crate) fn of_step(gaps: &[KnownGap], from: UnixTime, to: UnixTime, zone: Tz) -> Option<String> {
    let within: Vec<_> = gaps.iter().filter(|gap| gap.overlaps(from, to)).cloned().collect();
    (!within.is_empty()).then(|| beside(&within, zone).join("; "))
}

/// `2026-01-31 14:02:11 to 14:09:03: packets came faster …: 412 packets, of bng-1/a (412)`.
fn sentence(gap: &KnownGap, zone: Tz) -> String {
    let (from, to) = (format::local(gap.from, zone), format::local(gap.to, zone));
    // The day is not said twice.
    let to = match (from.split_once(' '), to.split_once(' ')) {
        (Some((day, _)), Some((same, time))) if day == same => time.to_owned(),
        _ => to,
    };
    let noun = if gap.kind == GapKind::Hole { "records" } else { "packets" };
    let count = match (gap.kind, gap.touched.is_empty()) {
        (GapKind::NotRunning, _) => String::new(),
        (_, true) => format!(": {} {noun}, not known whose", format::grouped(gap.packets)),
        (_, false) => format!(": {} {noun}, of {}", format::grouped(gap.packets), touched(&gap.touched)),
    };
    format!("{from} to {to}: {}{count}", words(gap.kind).2)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn gap(kind: GapKind, touched: Vec<Touched>) -> KnownGap {
        let packets = 1_412;
        let (from, to) = (UnixTime(1_700_000_000), UnixTime(1_700_000_400));
        KnownGap { collector: "c".into(), kind, from, to, packets, touched }
    }

    #[test]
    fn a_gap_reads_as_a_sentence_that_says_the_day_once() {
        let nas = Touched { client: "bng".into(), nas: Some("bng/a".into()), packets: 1_412 };
        let zone = chrono_tz::Africa::Lagos;
        assert_eq!(
            beside(&[gap(GapKind::Overload, vec![nas])], zone),
            ["2023-11-14 23:13:20 to 23:20:00: packets came faster than the disk took them; they were not \
              acknowledged: 1,412 packets, of bng/a (1,412)"]
        );
        let nobody = GapRow::new(&gap(GapKind::NotRunning, Vec::new()), zone);
        assert_eq!((nobody.packets.as_str(), nobody.lasted.as_str()), ("–", "00:06:40"));
    }

    #[test]
    fn many_gaps_and_many_nases_are_counted_instead_of_listed() {
        let gaps = vec![gap(GapKind::Kernel, Vec::new()); 5];
        assert_eq!(beside(&gaps, chrono_tz::UTC).last().unwrap(), "2 earlier ones in this period");
        let nas =
            |n: u64| Touched { client: "c".into(), nas: Some(format!("c/{n}").as_str().into()), packets: n };
        assert!(touched(&(1..=9).map(nas).collect::<Vec<_>>()).ends_with("c/4 (4), and 5 more"));
    }
}
