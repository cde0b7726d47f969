//! Staff: people who log in to the dashboard.

use std::net::IpAddr;
use std::time::{Duration, Instant};

use schema::UnixTime;
use sea_orm::{
    ActiveModelTrait, ActiveValue::Set, ColumnTrait, EntityTrait, IntoActiveModel, ModelTrait, QueryFilter,
    QueryOrder, SqlErr, TransactionTrait,
};
use serde::Serialize;

use crate::entities::{staff, staff_session};
use crate::{Credential, Directory, DirectoryError, Role, names};

/// A member of staff.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct StaffMember {
    /// Number in the database.
    pub id: i64,
    /// The name to log in with.
    pub name: String,
    /// What they may do.
    pub role: Role,
    /// May not log in.
    pub disabled: bool,
    /// When they were added.
    pub created_at: UnixTime,
}

impl From<staff::Model> for StaffMember {
    fn from(row: staff::Model) -> Self {
        Self {
            id: row.id,
            name: row.name,
            role: row.role,
            disabled: row.disabled,
            created_at: UnixTime(row.created_at),
        }
    }
}

/// The answer to a name and a password.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PasswordCheck {
    /// They belong together.
    Accepted(StaffMember),
    /// They do not, or the name is unknown or disabled; it is not said which.
    Refused,
    /// Too many attempts for this name from this address.
    Throttled {
        /// When the next attempt is free.
        retry_after: Duration,
    },
}

impl Directory {
    /// Adds a member of staff.
    pub async fn add_staff(
        &self,
        name: &str,
        role: Role,
        password: &str,
    ) -> Result<StaffMember, DirectoryError> {
        names::check(name)?;
        let row = staff::ActiveModel {
            name: Set(name.to_owned()),
            role: Set(role),
            password_hash: Set(self.passwords.hash(password).await?),
            disabled: Set(false),
            created_at: Set(UnixTime::now().0),
            ..Default::default()
        };
        match row.insert(&self.db).await {
            Ok(row) => Ok(row.into()),
            Err(error) if matches!(error.sql_err(), Some(SqlErr::UniqueConstraintViolation(_))) => {
                Err(DirectoryError::Exists { what: "staff member", name: name.to_owned() })
            }
            Err(error) => Err(error.into()),
        }
    }

    /// Checks a log-in from `address`: five attempts per name and address at once, then one a minute.
    pub async fn verify_password(
        &self,
        name: &str,
        password: &str,
        address: IpAddr,
    ) -> Result<PasswordCheck, DirectoryError> {
        if let Err(retry_after) = self.throttle.attempt(name, address, Instant::now()) {
            return Ok(PasswordCheck::Throttled { retry_after });
        }
        let known = self.staff_row(name).await?.filter(|row| !row.disabled);
        let stored = known.as_ref().map(|row| row.password_hash.as_str());
        if !self.passwords.verify(stored, password).await? {
            return Ok(PasswordCheck::Refused);
        }
        self.throttle.clear(name, address);
        Ok(known.map_or(PasswordCheck::Refused, |row| PasswordCheck::Accepted(row.into())))
    }

    /// Sets a new password and ends the member's sessions.
    pub async fn set_password(&self, name: &str, password: &str) -> Result<(), DirectoryError> {
        let mut row = self.known_staff(name).await?.into_active_model();
        row.password_hash = Set(self.passwords.hash(password).await?);
        self.update_and_log_out(row).await
    }

    /// Lets a member log in or not; ends their sessions.
    pub async fn set_disabled(&self, name: &str, disabled: bool) -> Result<(), DirectoryError> {
        let mut row = self.known_staff(name).await?.into_active_model();
        row.disabled = Set(disabled);
        self.update_and_log_out(row).await
    }

    /// All staff, by name.
    pub async fn staff(&self) -> Result<Vec<StaffMember>, DirectoryError> {
        let rows = staff::Entity::find().order_by_asc(staff::Column::Name).all(&self.db).await?;
        Ok(rows.into_iter().map(Into::into).collect())
    }

    async fn staff_row(&self, name: &str) -> Result<Option<staff::Model>, DirectoryError> {
        Ok(staff::Entity::find().filter(staff::Column::Name.eq(name)).one(&self.db).await?)
    }

    async fn known_staff(&self, name: &str) -> Result<staff::Model, DirectoryError> {
        let missing = || DirectoryError::Missing { what: "staff member", name: name.to_owned() };
        self.staff_row(name).await?.ok_or_else(missing)
    }

    async fn update_and_log_out(&self, row: staff::ActiveModel) -> Result<(), DirectoryError> {
        let work = self.db.begin().await?;
        let row = row.update(&work).await?;
        let sessions = row.find_related(staff_session::Entity).all(&work).await?;
        staff_session::Entity::delete_many()
            .filter(staff_session::Column::StaffId.eq(row.id))
            .exec(&work)
            .await?;
        work.commit().await?;
        self.announce(sessions.into_iter().map(|session| Credential::Session(session.id)));
        Ok(())
    }
}
