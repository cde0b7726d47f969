//! Front-end files inside the binary: npm packages as their lock file pins them, and our own from `static/`.
//!
//! All are served under one path that holds a hash of their content, `/static/<hash>/…`: browsers keep them for a year
//! and fetch them again when any of them changes; modules import each other by relative names.

use std::sync::LazyLock;

use axum::extract::Path;
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use rust_embed::{EmbeddedFile, RustEmbed};

/// Files of npm packages; `build.rs` checks that they are there.
#[derive(RustEmbed)]
#[folder = "node_modules/"]
#[include = "@tabler/core/dist/css/tabler.min.css"]
#[include = "htmx.org/dist/htmx.min.js"]
#[include = "uplot/dist/uPlot.iife.min.js"]
#[include = "uplot/dist/uPlot.min.css"]
struct Packages;

/// Our own files.
#[derive(RustEmbed)]
#[folder = "static/"]
struct Own;

/// The path under which the files are served, with their content's hash.
static BASE: LazyLock<String> = LazyLock::new(|| {
    let files = Packages::iter().filter_map(|path| Packages::get(&path));
    let files = files.chain(Own::iter().filter_map(|path| Own::get(&path)));
    let hash = files.fold(FNV_OFFSET, |hash, file| fnv(hash, &file.metadata.sha256_hash()));
    format!("/static/{hash:016x}")
});

/// The path under which the files are served.
pub(crate) fn base() -> &'static str {
    &BASE
}

/// `GET /static/{hash}/{file}`. Another version's hash is answered with this version's file, which is not kept.
pub(crate) async fn serve(Path((hash, name)): Path<(String, String)>, headers: HeaderMap) -> Response {
    let Some(file) = find(&name) else { return StatusCode::NOT_FOUND.into_response() };
    let etag = format!("\"{:016x}\"", fnv(FNV_OFFSET, &file.metadata.sha256_hash()));
    let keep = if BASE.ends_with(&hash) { "public, max-age=31536000, immutable" } else { "no-cache" };
    let mut answer = HeaderMap::new();
    answer.insert(header::CACHE_CONTROL, HeaderValue::from_static(keep));
    if let Ok(etag) = HeaderValue::from_str(&etag) {
        answer.insert(header::ETAG, etag);
    }
    if headers.get(header::IF_NONE_MATCH).is_some_and(|known| known.as_bytes() == etag.as_bytes()) {
        return (StatusCode::NOT_MODIFIED, answer).into_response();
    }
    if let Ok(kind) = HeaderValue::from_str(file.metadata.mimetype()) {
        answer.insert(header::CONTENT_TYPE, kind);
    }
    (answer, file.data).into_response()
}

fn find(name: &str) -> Option<EmbeddedFile> {
    let package = match name {
        "tabler.min.css" => "@tabler/core/dist/css/tabler.min.css",
        "htmx.min.js" => "htmx.org/dist/htmx.min.js",
        "uPlot.iife.min.js" => "uplot/dist/uPlot.iife.min.js",
        "uPlot.min.css" => "uplot/dist/uPlot.min.css",
        own => return Own::get(own),
    };
    Packages::get(package)
}

const FNV_OFFSET: u64 = 0xcbf2_9ce4_8422_2325;

/// FNV-1a: names content, protects nothing.
fn fnv(hash: u64, bytes: &[u8]) -> u64 {
    bytes.iter().fold(hash, |hash, byte| (hash ^ u64::from(*byte)).wrapping_mul(0x0000_0100_0000_01b3))
}
