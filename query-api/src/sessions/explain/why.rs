//! Verdicts and flags in plain words: what a record was found to say, and which habit of NASes the rule answers.

use std::cmp::Ordering;

use schema::{Octets, RecordFlags, StatusType};
use usage::{Finding, Record, Verdict};

/// Download and upload.
pub(super) type Counted = (Octets, Octets);

/// A record in its place in the session.
pub(super) struct Place<'a> {
    pub(super) record: &'a Record,
    pub(super) finding: &'a Finding,
    /// Its counters by the NAS's policy.
    pub(super) now: Option<Counted>,
    /// What was last reported and believed.
    pub(super) before: Option<Counted>,
    /// Nothing of the session comes before it.
    pub(super) first: bool,
}

impl Place<'_> {
    /// Why the record was found to be what it is.
    pub(super) fn why(&self) -> String {
        match self.finding.verdict {
            Verdict::Ok => self.ok().to_owned(),
            Verdict::Late => "arrived after a later report (a packet overtaken or sent again, a NAS's backlog, another \
                              collector): it takes its place by its own time, and its neighbours' difference is split anew"
                .to_owned(),
            Verdict::Duplicate => self.duplicate(),
            Verdict::IdReused => "another session had this Acct-Session-Id before: NASes count them anew after a reboot. \
                                  Its counters begin at zero and are added to none of the earlier session's"
                .to_owned(),
            Verdict::WrapInferred => format!(
                "a 32-bit counter wrapped: the NAS sends no Gigawords (RFC 2869 5.1), only {} fell, and 4,294,967,296 \
                 octets more are what the port can carry in the time",
                self.fell()
            ),
            Verdict::Reset => format!(
                "{} fell while the session went on, and {}: the NAS began to count anew, and what it shows since is usage",
                self.fell(),
                self.no_wrap()
            ),
            Verdict::StopWithoutOctets => "the Stop says zero octets though more were reported before (NASes do so after \
                                           Lost-Carrier): the counters stay as last reported"
                .to_owned(),
            Verdict::WithoutOctets => self.without_octets(),
            Verdict::Implausible => "more octets than the NAS's port can carry in the time: stored and flagged, never added"
                .to_owned(),
        }
    }

    const fn ok(&self) -> &'static str {
        let adds_nothing = self.finding.added.0.0 == 0 && self.finding.added.1.0 == 0;
        match (self.record.status, self.first, adds_nothing) {
            (StatusType::START, ..) => "the session begins",
            (_, true, _) => {
                "no Start was received: the first report opens the session, which began its session time earlier"
            }
            (_, false, true) => "the counters stand where they stood: nothing is added",
            (_, false, false) => "the counters rose: the difference to the report before is usage",
        }
    }

    fn duplicate(&self) -> String {
        let original = self.finding.repeats.as_ref();
        let name = original.map_or_else(String::new, |name| format!(" {} of {}", name.lsn, name.collector));
        format!(
            "says the same as record{name} in all but its times: sent again under a new identifier, by another way, or \
             replayed. It adds nothing"
        )
    }

    fn without_octets(&self) -> String {
        if self.now.is_none() {
            return "no octet counters are in it: the counters stay as last reported".to_owned();
        }
        format!(
            "zero alone for {}, which is a counter that was not sent: it stays as last reported",
            self.fell()
        )
    }

    /// The direction whose counter fell.
    fn fell(&self) -> &'static str {
        let (Some(now), Some(before)) = (self.now, self.before) else { return "a counter" };
        match (now.0.cmp(&before.0), now.1.cmp(&before.1)) {
            (Ordering::Less, Ordering::Less) => "both counters",
            (Ordering::Less, _) => "the download counter",
            (_, Ordering::Less) => "the upload counter",
            _ => "a counter",
        }
    }

    /// Why a fall is no wrap of a 32-bit counter.
    fn no_wrap(&self) -> &'static str {
        match self.fell() {
            "both counters" => "two counters do not wrap at once",
            _ if self.record.gigawords => "a counter with Gigawords does not wrap",
            _ => "the session sends Gigawords, or a wrap would be more than the port can carry in the time",
        }
    }
}

/// What was noticed about a record when it arrived, in words.
pub(super) fn noticed(flags: RecordFlags) -> Vec<&'static str> {
    const WORDS: [(RecordFlags, &str); 6] = [
        (RecordFlags::TIME_IN_FUTURE, "the NAS's time lies in the future: the arrival counts instead"),
        (
            RecordFlags::TIME_TOO_OLD,
            "the NAS's time lies more than seven days before the arrival: the arrival counts instead",
        ),
        (RecordFlags::OCTETS_MISSING, "it came without octet counters"),
        (RecordFlags::SESSION_TIME_MISSING, "it came without Acct-Session-Time"),
        (RecordFlags::NOT_UTF8, "a text in it is not UTF-8"),
        (
            RecordFlags::BAD_ATTRIBUTE,
            "an attribute has a length that its type does not allow: it was kept but not read",
        ),
    ];
    WORDS.iter().filter(|(flag, _)| flags.has(*flag)).map(|(_, words)| *words).collect()
}
