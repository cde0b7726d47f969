//! `GET /ledger`: where every packet went, per client and in total.

use axum::Json;
use axum::extract::State;
use axum::http::Uri;
use collector::LedgerReport;

use crate::params::Params;
use crate::{ApiError, Deps};

pub(crate) async fn get(State(deps): State<Deps>, uri: Uri) -> Result<Json<LedgerReport>, ApiError> {
    Params::of(&uri, &[])?;
    Ok(Json(deps.ledger.report()))
}
