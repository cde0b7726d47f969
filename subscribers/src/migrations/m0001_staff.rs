//! Staff, their browser sessions, and API tokens.

use sea_orm_migration::prelude::*;
use sea_orm_migration::schema::{big_integer, big_integer_null, big_pk_auto, boolean, text, text_uniq};

pub(super) struct Migration;

impl MigrationName for Migration {
    fn name(&self) -> &str {
        "m0001_staff"
    }
}

#[async_trait::async_trait]
impl MigrationTrait for Migration {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        manager.create_table(staff()).await?;
        manager.create_table(staff_session()).await?;
        manager.create_table(api_token()).await?;
        manager.get_connection().execute_unprepared(ONE_TOKEN_PER_NAME).await?;
        Ok(())
    }
}

/// A revoked token's name is free again.
const ONE_TOKEN_PER_NAME: &str =
    "CREATE UNIQUE INDEX IF NOT EXISTS api_token_name ON api_token (name) WHERE revoked_at IS NULL";

fn staff() -> TableCreateStatement {
    Table::create()
        .table("staff")
        .if_not_exists()
        .col(big_pk_auto("id"))
        .col(text_uniq("name"))
        .col(text("role"))
        .col(text("password_hash"))
        .col(boolean("disabled").default(false))
        .col(big_integer("created_at"))
        .take()
}

fn staff_session() -> TableCreateStatement {
    Table::create()
        .table("staff_session")
        .if_not_exists()
        .col(big_pk_auto("id"))
        .col(big_integer("staff_id"))
        .col(text_uniq("cookie_hash"))
        .col(big_integer("created_at"))
        .col(big_integer("expires_at"))
        .foreign_key(
            ForeignKey::create()
                .from("staff_session", "staff_id")
                .to("staff", "id")
                .on_delete(ForeignKeyAction::Cascade),
        )
        .take()
}

fn api_token() -> TableCreateStatement {
    Table::create()
        .table("api_token")
        .if_not_exists()
        .col(big_pk_auto("id"))
        .col(text("name"))
        .col(text("role"))
        .col(text_uniq("token_hash"))
        .col(big_integer("created_at"))
        .col(big_integer_null("last_used_at"))
        .col(big_integer_null("revoked_at"))
        .take()
}
