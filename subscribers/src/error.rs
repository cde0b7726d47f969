//! What can go wrong in the directory.

use std::path::PathBuf;

/// An error of the directory.
#[derive(Debug, thiserror::Error)]
pub enum DirectoryError {
    /// The configured URL names no supported database.
    #[error("database url \"{url}\" is not supported: \"sqlite\" or \"postgres://…\" is expected")]
    UnsupportedUrl {
        /// As configured, without its password.
        url: String,
    },
    /// The database cannot be opened.
    #[error("cannot open the database {database}: {source}")]
    Open {
        /// File or server, without its password.
        database: String,
        /// Why.
        source: sea_orm::DbErr,
    },
    /// The database file cannot be created.
    #[error("cannot create {}: {source}", path.display())]
    Create {
        /// The file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// The schema cannot be brought to this version.
    #[error("cannot migrate the database: {0}")]
    Migrate(#[source] sea_orm::DbErr),
    /// A query failed.
    #[error("the database failed: {0}")]
    Database(#[from] sea_orm::DbErr),
    /// A name cannot be used.
    #[error("name \"{name}\" is not usable: {reason}")]
    BadName {
        /// As given.
        name: String,
        /// What is wrong with it.
        reason: &'static str,
    },
    /// A name is taken.
    #[error("{what} \"{name}\" exists already")]
    Exists {
        /// Staff or token.
        what: &'static str,
        /// The name.
        name: String,
    },
    /// Nothing has this name.
    #[error("there is no {what} \"{name}\"")]
    Missing {
        /// Staff, token or session.
        what: &'static str,
        /// The name or number.
        name: String,
    },
    /// A password cannot be accepted; the password itself is not repeated.
    #[error("the password has {length} characters; between {min} and {max} are expected", min = crate::passwords::MIN, max = crate::passwords::MAX)]
    BadPassword {
        /// Its length in characters.
        length: usize,
    },
    /// Hashing failed, or a stored hash cannot be read.
    #[error("password hash: {0}")]
    Hash(String),
    /// The operating system gives no random numbers.
    #[error("no random numbers: {0}")]
    Random(#[from] getrandom::Error),
}
