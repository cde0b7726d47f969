//! Staff sessions: a browser that is logged in. The cookie is 256 random bits, of which only the SHA-256 is stored; a
//! session ends 12 hours after it was last used, at log-out, on revocation, and with the member's password.

use schema::UnixTime;
use sea_orm::{
    ActiveModelTrait, ActiveValue::Set, ColumnTrait, EntityTrait, IntoActiveModel, ModelTrait, QueryFilter,
    QueryOrder,
};
use serde::Serialize;

use crate::entities::{api_token, staff, staff_session};
use crate::{Credential, Directory, DirectoryError, Identity, StaffMember, secrets};

/// The cookie's name.
pub const SESSION_COOKIE: &str = "radtally_session";

/// A session ends this many seconds after its last use.
const LIFETIME: i64 = 12 * 3600;
/// Its end is moved at most this often, in seconds.
const RENEW_STEP: i64 = 60;

/// A session that was just opened.
#[derive(Clone, PartialEq, Eq)]
pub struct NewSession {
    /// The cookie's value; it cannot be shown again.
    pub cookie: String,
    /// The value that forms must carry.
    pub csrf: String,
    /// When it ends if it is not used.
    pub expires_at: UnixTime,
}

/// A session, without its cookie.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct StaffSession {
    /// Number in the database.
    pub id: i64,
    /// Whose it is.
    pub staff: String,
    /// When it was opened.
    pub created_at: UnixTime,
    /// When it ends if it is not used.
    pub expires_at: UnixTime,
}

impl Directory {
    /// Opens a session for a member whose password was accepted.
    pub async fn open_session(&self, member: &StaffMember) -> Result<NewSession, DirectoryError> {
        let now = UnixTime::now();
        self.drop_expired_sessions(now).await?;
        let cookie = secrets::random()?;
        let expires_at = now.plus(LIFETIME);
        let row = staff_session::ActiveModel {
            staff_id: Set(member.id),
            cookie_hash: Set(secrets::digest(&cookie)),
            created_at: Set(now.0),
            expires_at: Set(expires_at.0),
            ..Default::default()
        };
        row.insert(&self.db).await?;
        Ok(NewSession { csrf: secrets::csrf(&cookie), cookie, expires_at })
    }

    /// Who a session cookie belongs to; `None` where it is unknown, expired or revoked. Moves the session's end.
    pub async fn authenticate_session(&self, cookie: &str) -> Result<Option<Identity>, DirectoryError> {
        if !secrets::well_formed(cookie) {
            return Ok(None);
        }
        let digest = secrets::digest(cookie);
        let generation = match self.cache.get(&digest) {
            Ok(identity) => return Ok(Some(identity)),
            Err(generation) => generation,
        };
        let Some((session, member)) = self.live_session(&digest, UnixTime::now()).await? else {
            return Ok(None);
        };
        let identity = Identity {
            name: member.name,
            role: member.role,
            credential: Credential::Session(session.id),
            csrf: Some(secrets::csrf(cookie)),
        };
        self.renew(session, UnixTime::now()).await;
        self.cache.put(digest, identity.clone(), generation);
        Ok(Some(identity))
    }

    /// Ends the session with this cookie; an unknown cookie is no error.
    pub async fn close_session(&self, cookie: &str) -> Result<(), DirectoryError> {
        let digest = secrets::digest(cookie);
        let found =
            staff_session::Entity::find().filter(staff_session::Column::CookieHash.eq(digest)).one(&self.db);
        match found.await? {
            Some(row) => self.revoke_session(row.id).await,
            None => Ok(()),
        }
    }

    /// Ends a session by its number.
    pub async fn revoke_session(&self, id: i64) -> Result<(), DirectoryError> {
        let deleted = staff_session::Entity::delete_by_id(id).exec(&self.db).await?;
        if deleted.rows_affected == 0 {
            return Err(DirectoryError::Missing { what: "session", name: id.to_string() });
        }
        self.announce([Credential::Session(id)]);
        Ok(())
    }

    /// The sessions that are open, newest first.
    pub async fn staff_sessions(&self) -> Result<Vec<StaffSession>, DirectoryError> {
        let rows = staff_session::Entity::find()
            .filter(staff_session::Column::ExpiresAt.gt(UnixTime::now().0))
            .order_by_desc(staff_session::Column::Id)
            .find_also_related(staff::Entity)
            .all(&self.db)
            .await?;
        Ok(rows.into_iter().filter_map(|(session, member)| Some(shown(session, member?))).collect())
    }

    /// Whether a credential still counts; asks the database, so that revocations by other processes are seen.
    pub async fn is_valid(&self, credential: Credential) -> Result<bool, DirectoryError> {
        Ok(match credential {
            Credential::Token(id) => {
                let row = api_token::Entity::find_by_id(id).one(&self.db).await?;
                row.is_some_and(|row| row.revoked_at.is_none())
            }
            Credential::Session(id) => {
                let row = staff_session::Entity::find_by_id(id).one(&self.db).await?;
                row.is_some_and(|row| row.expires_at > UnixTime::now().0)
            }
        })
    }

    async fn live_session(
        &self,
        digest: &str,
        now: UnixTime,
    ) -> Result<Option<(staff_session::Model, staff::Model)>, DirectoryError> {
        let found = staff_session::Entity::find()
            .filter(staff_session::Column::CookieHash.eq(digest))
            .filter(staff_session::Column::ExpiresAt.gt(now.0))
            .one(&self.db)
            .await?;
        let Some(session) = found else { return Ok(None) };
        let member = session.find_related(staff::Entity).one(&self.db).await?;
        Ok(member.filter(|member| !member.disabled).map(|member| (session, member)))
    }

    /// Moves a session's end, now and then. A failure does not end it early.
    async fn renew(&self, session: staff_session::Model, now: UnixTime) {
        let expires_at = now.plus(LIFETIME).0;
        if expires_at - session.expires_at < RENEW_STEP {
            return;
        }
        let mut row = session.into_active_model();
        row.expires_at = Set(expires_at);
        if let Err(error) = row.update(&self.db).await {
            tracing::warn!(%error, "the end of a staff session could not be moved");
        }
    }

    async fn drop_expired_sessions(&self, now: UnixTime) -> Result<(), DirectoryError> {
        let expired =
            staff_session::Entity::delete_many().filter(staff_session::Column::ExpiresAt.lte(now.0));
        expired.exec(&self.db).await?;
        Ok(())
    }
}

fn shown(session: staff_session::Model, member: staff::Model) -> StaffSession {
    StaffSession {
        id: session.id,
        staff: member.name,
        created_at: UnixTime(session.created_at),
        expires_at: UnixTime(session.expires_at),
    }
}
