//! The relational schema's history. Append only: a migration that was released never changes.

mod m0001_staff;
mod m0002_lease;

use sea_orm_migration::prelude::*;

/// Brings a database to this version's schema.
pub(crate) struct Migrator;

#[async_trait::async_trait]
impl MigratorTrait for Migrator {
    fn migrations() -> Vec<Box<dyn MigrationTrait>> {
        vec![Box::new(m0001_staff::Migration), Box::new(m0002_lease::Migration)]
    }
}
