//! Leases: work that one process at a time may do, among all that share the database.
//!
//! A lease is held until a time and renewed by taking it again. Times are those of the processes' own clocks, which must
//! agree to a few seconds; what is done under a lease must do no harm when two overlap for a moment.

use schema::UnixTime;
use sea_orm::sea_query::{Expr, ExprTrait, OnConflict};
use sea_orm::{ActiveValue::Set, ColumnTrait, EntityTrait, QueryFilter, TryInsertResult};

use crate::entities::lease::{ActiveModel, Column, Entity};
use crate::{Directory, DirectoryError};

impl Directory {
    /// Takes or renews the lease `name` for `seconds`; `false` where another holds it.
    pub async fn acquire_lease(
        &self,
        name: &str,
        holder: &str,
        seconds: i64,
    ) -> Result<bool, DirectoryError> {
        let now = UnixTime::now();
        let row = ActiveModel {
            name: Set(name.to_owned()),
            holder: Set(holder.to_owned()),
            held_until: Set(now.plus(seconds).0),
        };
        let ours = Expr::col((Entity, Column::Holder)).eq(holder);
        let over = Expr::col((Entity, Column::HeldUntil)).lte(now.0);
        let take_over = OnConflict::column(Column::Name)
            .update_columns([Column::Holder, Column::HeldUntil])
            .action_and_where(ours.or(over))
            .to_owned();
        // One statement, so that of two who try at once one gets it.
        let taken =
            Entity::insert(row).on_conflict(take_over).try_insert().exec_without_returning(&self.db).await?;
        Ok(matches!(taken, TryInsertResult::Inserted(1..)))
    }

    /// Gives the lease `name` back, where `holder` has it.
    pub async fn release_lease(&self, name: &str, holder: &str) -> Result<(), DirectoryError> {
        let held = Entity::delete_many().filter(Column::Name.eq(name)).filter(Column::Holder.eq(holder));
        held.exec(&self.db).await?;
        Ok(())
    }

    /// Who holds the lease `name`, and until when.
    pub async fn lease_holder(&self, name: &str) -> Result<Option<(String, UnixTime)>, DirectoryError> {
        let held =
            Entity::find_by_id(name).filter(Column::HeldUntil.gt(UnixTime::now().0)).one(&self.db).await?;
        Ok(held.map(|lease| (lease.holder, UnixTime(lease.held_until))))
    }
}
