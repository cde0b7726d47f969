//! Leases.

use sea_orm_migration::prelude::*;
use sea_orm_migration::schema::{big_integer, text};

pub(super) struct Migration;

impl MigrationName for Migration {
    fn name(&self) -> &str {
        "m0002_lease"
    }
}

#[async_trait::async_trait]
impl MigrationTrait for Migration {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        let table = Table::create()
            .table("lease")
            .if_not_exists()
            .col(text("name").primary_key())
            .col(text("holder"))
            .col(big_integer("held_until"))
            .take();
        manager.create_table(table).await
    }
}
