//! `GET /ledger`: where every packet went, per NAS, per client and in total; and when packets were lost.

use axum::Json;
use axum::extract::State;
use axum::http::Uri;
use collector::LedgerReport;
use schema::UnixTime;
use serde::Serialize;

use crate::gaps::KnownGap;
use crate::params::Params;
use crate::usage::check_order;
use crate::{ApiError, Deps};

/// The ledger and the known gaps of this collector.
#[derive(Clone, Debug, Serialize)]
pub struct LedgerAnswer {
    /// Where every packet went.
    #[serde(flatten)]
    pub report: LedgerReport,
    /// When packets were lost, newest first; those of the period where one is asked for.
    pub gaps: Vec<KnownGap>,
}

/// The gaps that this collector knows of in `[from, to)`, newest first. From memory: it does not need ClickHouse.
#[must_use]
pub fn gaps(deps: &Deps, from: UnixTime, to: UnixTime) -> Vec<KnownGap> {
    let gaps = deps.ledger.gaps().within(from, to).into_iter();
    gaps.map(|gap| KnownGap::new(deps.online.collector().clone(), gap)).collect()
}

pub(crate) async fn get(State(deps): State<Deps>, uri: Uri) -> Result<Json<LedgerAnswer>, ApiError> {
    let params = Params::of(&uri, &["from", "to"])?;
    let (from, to) = (params.time("from", deps.calendar)?, params.time("to", deps.calendar)?);
    check_order(&params, from, to)?;
    let gaps = gaps(&deps, from.unwrap_or(UnixTime(0)), to.unwrap_or(UnixTime(i64::MAX)));
    Ok(Json(LedgerAnswer { report: deps.ledger.report(), gaps }))
}
