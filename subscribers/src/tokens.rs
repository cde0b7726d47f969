//! API tokens: `radtally_` and 256 random bits, shown once, of which only the SHA-256 is stored.

use schema::UnixTime;
use sea_orm::{
    ActiveModelTrait, ActiveValue::Set, ColumnTrait, EntityTrait, IntoActiveModel, QueryFilter, QueryOrder,
    SqlErr,
};
use serde::Serialize;

use crate::entities::api_token;
use crate::{Credential, Directory, DirectoryError, Identity, Role, TOKEN_PREFIX, names, secrets};

/// The time of last use is written at most this often, in seconds.
const LAST_USED_STEP: i64 = 60;

/// A token, without its secret.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct ApiToken {
    /// Number in the database.
    pub id: i64,
    /// Its name; unique among the tokens in force.
    pub name: String,
    /// What it may do.
    pub role: Role,
    /// When it was made.
    pub created_at: UnixTime,
    /// When it was last used, to the minute.
    pub last_used_at: Option<UnixTime>,
    /// When it was revoked.
    pub revoked_at: Option<UnixTime>,
}

impl From<api_token::Model> for ApiToken {
    fn from(row: api_token::Model) -> Self {
        Self {
            id: row.id,
            name: row.name,
            role: row.role,
            created_at: UnixTime(row.created_at),
            last_used_at: row.last_used_at.map(UnixTime),
            revoked_at: row.revoked_at.map(UnixTime),
        }
    }
}

impl Directory {
    /// Makes a token and returns it; it cannot be shown again.
    pub async fn create_token(&self, name: &str, role: Role) -> Result<String, DirectoryError> {
        names::check(name)?;
        let secret = secrets::random()?;
        let row = api_token::ActiveModel {
            name: Set(name.to_owned()),
            role: Set(role),
            token_hash: Set(secrets::digest(&secret)),
            created_at: Set(UnixTime::now().0),
            ..Default::default()
        };
        match row.insert(&self.db).await {
            Ok(_) => Ok(format!("{TOKEN_PREFIX}{secret}")),
            Err(error) if matches!(error.sql_err(), Some(SqlErr::UniqueConstraintViolation(_))) => {
                Err(DirectoryError::Exists { what: "token", name: name.to_owned() })
            }
            Err(error) => Err(error.into()),
        }
    }

    /// Who a token belongs to; `None` where it is unknown or revoked.
    pub async fn authenticate_token(&self, token: &str) -> Result<Option<Identity>, DirectoryError> {
        let Some(secret) = token.strip_prefix(TOKEN_PREFIX).filter(|secret| secrets::well_formed(secret))
        else {
            return Ok(None);
        };
        let digest = secrets::digest(secret);
        let generation = match self.cache.get(&digest) {
            Ok(identity) => return Ok(Some(identity)),
            Err(generation) => generation,
        };
        let found = api_token::Entity::find().filter(api_token::Column::TokenHash.eq(&digest)).one(&self.db);
        let Some(row) = found.await?.filter(|row| row.revoked_at.is_none()) else { return Ok(None) };
        let identity = Identity {
            name: row.name.clone(),
            role: row.role,
            credential: Credential::Token(row.id),
            csrf: None,
        };
        self.note_use(row).await;
        self.cache.put(digest, identity.clone(), generation);
        Ok(Some(identity))
    }

    /// All tokens, newest first, revoked ones too.
    pub async fn tokens(&self) -> Result<Vec<ApiToken>, DirectoryError> {
        let rows = api_token::Entity::find().order_by_desc(api_token::Column::Id).all(&self.db).await?;
        Ok(rows.into_iter().map(Into::into).collect())
    }

    /// Revokes the token in force that has this name.
    pub async fn revoke_token(&self, name: &str) -> Result<(), DirectoryError> {
        let row = api_token::Entity::find()
            .filter(api_token::Column::Name.eq(name))
            .filter(api_token::Column::RevokedAt.is_null())
            .one(&self.db)
            .await?
            .ok_or_else(|| DirectoryError::Missing { what: "token", name: name.to_owned() })?;
        let id = row.id;
        let mut row = row.into_active_model();
        row.revoked_at = Set(Some(UnixTime::now().0));
        row.update(&self.db).await?;
        self.announce([Credential::Token(id)]);
        Ok(())
    }

    /// Writes the time of use, now and then. A failure does not keep the token from working.
    async fn note_use(&self, row: api_token::Model) {
        let now = UnixTime::now().0;
        if row.last_used_at.is_some_and(|last| now - last < LAST_USED_STEP) {
            return;
        }
        let mut row = row.into_active_model();
        row.last_used_at = Set(Some(now));
        if let Err(error) = row.update(&self.db).await {
            tracing::warn!(%error, "the time of a token's last use could not be written");
        }
    }
}
