//! Who is asking: a role and the credential that proved it.

use std::fmt;
use std::str::FromStr;

use sea_orm::entity::prelude::*;
use serde::{Deserialize, Serialize};

/// What someone may do. Each role may do what the ones before it may.
#[derive(
    Clone,
    Copy,
    Debug,
    PartialEq,
    Eq,
    PartialOrd,
    Ord,
    Hash,
    Serialize,
    Deserialize,
    EnumIter,
    DeriveActiveEnum,
)]
#[serde(rename_all = "snake_case")]
#[sea_orm(rs_type = "String", db_type = "Text")]
pub enum Role {
    /// Reads sessions and usage.
    #[sea_orm(string_value = "support")]
    Support,
    /// Also reads what invoices are made of.
    #[sea_orm(string_value = "billing")]
    Billing,
    /// Also changes the configuration.
    #[sea_orm(string_value = "admin")]
    Admin,
}

impl Role {
    /// The role's word in configuration, JSON and on the command line.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Support => "support",
            Self::Billing => "billing",
            Self::Admin => "admin",
        }
    }
}

impl fmt::Display for Role {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// A text that is no role.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("\"{0}\" is not a role: support, billing or admin is expected")]
pub struct UnknownRole(pub String);

impl FromStr for Role {
    type Err = UnknownRole;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        [Self::Support, Self::Billing, Self::Admin]
            .into_iter()
            .find(|role| role.as_str() == text)
            .ok_or_else(|| UnknownRole(text.to_owned()))
    }
}

/// What proved an identity; revocations name it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Credential {
    /// An API token, by its number.
    Token(i64),
    /// A staff session, by its number.
    Session(i64),
}

/// Who is asking.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Identity {
    /// The staff member's or the token's name.
    pub name: String,
    /// What they may do.
    pub role: Role,
    /// What proved it.
    pub credential: Credential,
    /// The value that forms of this staff session must carry; `None` for API tokens, which browsers do not send by
    /// themselves.
    pub csrf: Option<String>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn roles_are_ordered_by_what_they_may_do() {
        assert!(Role::Admin > Role::Billing && Role::Billing > Role::Support);
    }

    #[test]
    fn an_unknown_role_is_refused_by_its_value() {
        assert_eq!("billing".parse(), Ok(Role::Billing));
        assert!("root".parse::<Role>().is_err_and(|error| error.to_string().contains("\"root\"")));
    }
}
