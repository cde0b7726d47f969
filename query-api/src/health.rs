//! `GET /health`: whether packets can be acknowledged, and how each part does. The one resource that needs no log-in.

use std::collections::BTreeMap;

use axum::Json;
use axum::extract::State;
use axum::http::{StatusCode, Uri};
use schema::health::{HealthBoard, PartHealth, PartStatus};
use serde::Serialize;

use crate::params::Params;
use crate::{ApiError, Deps};

/// How radtally does.
#[derive(Clone, Debug, Serialize)]
pub struct Health {
    /// `up` when every part is, `down` when packets cannot be acknowledged, else `degraded`.
    pub status: PartStatus,
    /// Whether packets can be acknowledged.
    pub acknowledging: bool,
    /// Each part's state, and why it is not up.
    pub parts: BTreeMap<&'static str, PartHealth>,
}

/// How radtally does now.
#[must_use]
pub fn health(board: &HealthBoard) -> Health {
    let (parts, acknowledging) = (board.parts(), board.acknowledging());
    let all_up = parts.values().all(|part| part.status == PartStatus::Up);
    let status = match (acknowledging, all_up) {
        (false, _) => PartStatus::Down,
        (true, true) => PartStatus::Up,
        (true, false) => PartStatus::Degraded,
    };
    Health { status, acknowledging, parts }
}

pub(crate) async fn get(State(deps): State<Deps>, uri: Uri) -> Result<(StatusCode, Json<Health>), ApiError> {
    Params::of(&uri, &[])?;
    let health = health(&deps.health);
    let status = if health.acknowledging { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    Ok((status, Json(health)))
}
