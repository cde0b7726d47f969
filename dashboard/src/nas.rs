//! `GET /nas`: every NAS that has reported.

use askama::Template;
use axum::extract::State;
use axum::response::Html;
use schema::UnixTime;

use crate::error::PageError;
use crate::session::Staff;
use crate::shell::Shell;
use crate::{App, format, next};

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
}

/// `GET /nas`.
pub(crate) async fn show(Staff(staff): Staff, State(app): State<App>) -> Result<Html<String>, PageError> {
    let nases = app.deps.api.online.nases(UnixTime::now());
    let row = |nas: collector::NasSummary| NasRow {
        nas_query: next::encoded(nas.nas.as_str()),
        nas: nas.nas.to_string(),
        client: nas.client.to_string(),
        source: nas.source.to_canonical().to_string(),
        online: format::grouped(nas.online),
        records: format::grouped(nas.records),
        last_seen: format::local(nas.last_seen_at, app.calendar().zone()),
    };
    let rows = nases.into_iter().map(row).collect();
    Ok(Html(NasPage { shell: Shell::new(&app, staff, "nas"), rows }.render()?))
}
