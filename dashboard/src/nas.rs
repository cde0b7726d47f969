//! `GET /nas`: every NAS that has reported, and when it lost packets.

use std::collections::{BTreeSet, HashMap};

use askama::Template;
use axum::extract::State;
use axum::response::Html;
use query_api::gaps::KnownGap;
use query_api::usage::quality::{NasQuality, quality};
use schema::{NasId, UnixTime};

use crate::archive::{Archive, SHORT};
use crate::error::PageError;
use crate::explain::rows::{Count, counts};
use crate::session::Staff;
use crate::shell::Shell;
use crate::{App, format, gaps, next};

#[derive(Template)]
#[template(path = "nas.html")]
struct NasPage {
    shell: Shell,
    rows: Vec<NasRow>,
}

struct NasRow {
    nas: String,
    nas_query: String,
    client: String,
    source: String,
    online: String,
    records: String,
    last_seen: String,
    /// Sessions of a day whose usage is computed from every record; `None` while that is not known.
    irregular: Option<String>,
    /// What was found in their records.
    counts: Vec<Count>,
    /// How many known gaps may have touched it within a week.
    gaps: usize,
    /// The newest of them.
    gaps_told: String,
}

/// Seconds looked back for gaps.
const GAPS_WITHIN: i64 = 7 * 86_400;

/// `GET /nas`.
pub(crate) async fn show(Staff(staff): Staff, State(app): State<App>) -> Result<Html<String>, PageError> {
    let nases = app.deps.api.online.nases(UnixTime::now());
    let archive = Archive { deps: &app.deps.api, patience: SHORT };
    // What is online is shown also while ClickHouse is down.
    let quality = archive.told(quality(&app.deps.api)).await.ok();
    let quality: Option<HashMap<NasId, NasQuality>> =
        quality.map(|quality| quality.items.into_iter().map(|nas| (nas.nas.clone(), nas)).collect());
    let now = UnixTime::now();
    let zone = app.calendar().zone();
    let gaps = query_api::ledger::gaps(&app.deps.api, now.plus(-GAPS_WITHIN), now.plus(1));
    let row = |nas: collector::NasSummary| {
        let quality = quality.as_ref().map(|quality| quality.get(&nas.nas).cloned().unwrap_or_default());
        let gaps = of_nas(&gaps, &nas.nas);
        NasRow {
            gaps: gaps.len(),
            gaps_told: gaps::beside(&gaps, zone).join("; "),
            nas_query: next::encoded(nas.nas.as_str()),
            nas: nas.nas.to_string(),
            client: nas.client.to_string(),
            source: nas.source.to_canonical().to_string(),
            online: format::grouped(nas.online),
            records: format::grouped(nas.records),
            last_seen: format::local(nas.last_seen_at, zone),
            irregular: quality.as_ref().map(irregular),
            counts: quality.map(|quality| counts(&quality.verdicts)).unwrap_or_default(),
        }
    };
    let rows = nases.into_iter().map(row).collect();
    Ok(Html(NasPage { shell: Shell::new(&app, staff, "nas"), rows }.render()?))
}

fn of_nas(gaps: &[KnownGap], nas: &NasId) -> Vec<KnownGap> {
    let nas = BTreeSet::from([nas.clone()]);
    gaps.iter().filter_map(|gap| gap.clone().of_nases(&nas)).collect()
}

fn irregular(nas: &NasQuality) -> String {
    let percent = (nas.dirty_sessions * 100).checked_div(nas.sessions).unwrap_or(0);
    format!("{} of {} ({percent} %)", format::grouped(nas.dirty_sessions), format::grouped(nas.sessions))
}
