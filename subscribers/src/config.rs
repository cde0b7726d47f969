//! Where the relational database is: the `[database]` section of the configuration.

use std::fmt;
use std::path::Path;

use serde::{Deserialize, Serialize};

use crate::DirectoryError;

/// The `[database]` section.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct DatabaseConfig {
    /// `sqlite` (the default): a file in the data directory. `postgres://user:password@host/database`: a server.
    pub url: String,
}

impl Default for DatabaseConfig {
    fn default() -> Self {
        Self { url: "sqlite".to_owned() }
    }
}

impl fmt::Debug for DatabaseConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("DatabaseConfig").field("url", &redacted(&self.url)).finish()
    }
}

/// The file's name in the data directory.
const SQLITE_FILE: &str = "directory.sqlite";

impl DatabaseConfig {
    /// What the URL asks for.
    pub(crate) fn target(&self, data_dir: &Path) -> Result<Target, DirectoryError> {
        if self.url == "sqlite" {
            return Ok(Target::Sqlite(data_dir.join(SQLITE_FILE)));
        }
        if self.url.starts_with("postgres://") || self.url.starts_with("postgresql://") {
            return Ok(Target::Postgres(self.url.clone()));
        }
        Err(DirectoryError::UnsupportedUrl { url: redacted(&self.url) })
    }
}

/// A database to open.
pub(crate) enum Target {
    /// A file.
    Sqlite(std::path::PathBuf),
    /// A server.
    Postgres(String),
}

/// `url` without its password and its parameters, which can hold one too.
fn redacted(url: &str) -> String {
    let url = url.split('?').next().unwrap_or_default();
    let Some((scheme, rest)) = url.split_once("://") else { return url.to_owned() };
    match rest.rsplit_once('@') {
        Some((credentials, host)) => {
            let user = credentials.split(':').next().unwrap_or_default();
            format!("{scheme}://{user}:***@{host}")
        }
        None => url.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn debug_output_hides_the_password_even_one_with_an_at_sign() {
        let config = DatabaseConfig { url: "postgres://ada:pa@ss@db:5432/radtally?password=x".to_owned() };
        let shown = format!("{config:?}");
        assert!(shown.contains("postgres://ada:***@db:5432/radtally"), "{shown}");
        assert!(!shown.contains("ss@") && !shown.contains("password"), "{shown}");
    }

    #[test]
    fn an_unknown_scheme_is_refused_by_its_value() {
        let config = DatabaseConfig { url: "mysql://root:secret@db/x".to_owned() };
        let error = config.target(Path::new("data")).err().map(|e| e.to_string()).unwrap_or_default();
        assert!(error.contains("mysql://root:***@db/x"), "{error}");
    }
}
