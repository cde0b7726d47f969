//! The customer directory over SQLite or PostgreSQL: for now the staff, their browser sessions, and API tokens.
//!
//! One code path serves both databases. Passwords are kept as argon2id hashes, tokens and cookies only as SHA-256, so
//! whoever reads the database can log in as nobody.

mod cache;
mod config;
mod directory;
mod entities;
mod error;
mod identity;
mod leases;
mod migrations;
mod names;
mod passwords;
mod secrets;
mod sessions;
mod staff;
mod throttle;
mod tokens;

#[cfg(test)]
mod tests;

pub use config::DatabaseConfig;
pub use directory::Directory;
pub use error::DirectoryError;
pub use identity::{Credential, Identity, Role, UnknownRole};
pub use secrets::{TOKEN_PREFIX, random as random_secret};
pub use sessions::{NewSession, SESSION_COOKIE, StaffSession};
pub use staff::{PasswordCheck, StaffMember};
pub use tokens::ApiToken;
