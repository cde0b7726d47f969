//! Where libchdb lies.

use std::env;
use std::path::PathBuf;

/// Names the library's file; for an installation outside the source tree.
pub const LIBRARY_VARIABLE: &str = "RADTALLY_LIBCHDB";

const IN_NODE_MODULES: &str = "node_modules/@chdb/lib-linux-x64-gnu/libchdb.so";

/// There is no library.
#[derive(Debug, thiserror::Error)]
#[error(
    "the embedded ClickHouse needs libchdb.so, which is in none of these places: {}. Get it with `npm ci` in radtally's \
     engine/ folder (or `npm install @chdb/lib-linux-x64-gnu@26.7.3-stable.1` in the working folder), or name it with \
     clickhouse.library in the configuration or {LIBRARY_VARIABLE} in the environment; or use a ClickHouse server \
     (clickhouse.url)",
    list(.0)
)]
pub struct NoLibrary(Vec<PathBuf>);

/// Finds the library: the configured path, else the environment's, else where npm puts it.
///
/// # Errors
/// [`NoLibrary`] lists where it was looked for.
pub fn find(configured: Option<PathBuf>) -> Result<PathBuf, NoLibrary> {
    let named = configured.or_else(|| env::var_os(LIBRARY_VARIABLE).map(PathBuf::from));
    let places = named.map_or_else(usual_places, |path| vec![path]);
    match places.iter().find(|path| path.is_file()) {
        Some(path) => Ok(path.clone()),
        None => Err(NoLibrary(places)),
    }
}

fn usual_places() -> Vec<PathBuf> {
    let here = env::current_dir().unwrap_or_default();
    let mut folders = vec![here.clone(), here.join("engine")];
    // Beside the program, and for target/debug/radtally in the source tree.
    if let Some(program) = env::current_exe().ok().and_then(|program| program.canonicalize().ok()) {
        for ancestor in program.ancestors().skip(1).take(4) {
            folders.extend([ancestor.to_owned(), ancestor.join("engine")]);
        }
    }
    folders.into_iter().map(|folder| folder.join(IN_NODE_MODULES)).collect()
}

fn list(places: &[PathBuf]) -> String {
    places.iter().map(|path| path.display().to_string()).collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_missing_library_tells_how_to_get_it() {
        let error = find(Some("/nonexistent/libchdb.so".into())).unwrap_err().to_string();
        assert!(error.contains("/nonexistent/libchdb.so") && error.contains("npm ci"), "{error}");
    }
}
