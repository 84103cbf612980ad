//! What a user is, and the rules for e-mail addresses and names.

use aim_core::{Error, OrganizationId, Result, Role, Timestamp, UserId};
use aim_crypto::secret::SecretString;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// The longest e-mail address (RFC 5321 §4.5.3.1.3, less the brackets).
const LONGEST_EMAIL: usize = 254;

/// Whether a user may sign in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum UserStatus {
    /// May sign in.
    Active,
    /// May not, and every session has ended.
    Deactivated,
}

impl UserStatus {
    /// The status's name on the wire and in the database.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Active => "active",
            Self::Deactivated => "deactivated",
        }
    }

    /// The status of that name.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        [Self::Active, Self::Deactivated]
            .into_iter()
            .find(|status| status.as_str() == text)
    }
}

/// A user, as the people of the organisation see them.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct UserView {
    /// The user's id.
    pub id: UserId,
    /// The user's organisation.
    pub organization_id: OrganizationId,
    /// The e-mail address, in lower case; unique in the installation.
    #[schema(example = "ada@example.com")]
    pub email: String,
    /// The name.
    pub name: String,
    /// What the user may do.
    pub role: Role,
    /// Whether the user may sign in.
    pub status: UserStatus,
    /// When the account was made.
    pub created_at: Timestamp,
    /// When anything of this last changed.
    pub updated_at: Timestamp,
    /// When the user last signed in.
    pub last_login_at: Option<Timestamp>,
}

/// A page of users.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct UserList {
    /// The users, newest first.
    pub users: Vec<UserView>,
    /// How many there are in all.
    pub total: i64,
    /// The page's size.
    pub limit: i64,
    /// How many were skipped.
    pub offset: i64,
    /// Where the next page starts; null on the last one.
    pub next_cursor: Option<String>,
}

/// A user to be made.
#[derive(Debug, Clone, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct NewUser {
    /// The e-mail address to sign in with.
    #[schema(example = "ada@example.com", max_length = 254)]
    pub email: String,
    /// The name.
    #[schema(example = "Ada Lovelace", max_length = 128)]
    pub name: String,
    /// What the user may do.
    pub role: Role,
    /// The first password: 12 to 256 characters.
    #[schema(value_type = String, format = Password, min_length = 12, max_length = 256)]
    pub password: SecretString,
}

/// Changes to a user; what is left out stays as it is.
#[derive(Debug, Clone, Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields, default)]
pub struct UpdateUser {
    /// What the user may do.
    pub role: Option<Role>,
    /// The name.
    pub name: Option<String>,
    /// `active` or `deactivated`; deactivation ends every session.
    pub status: Option<UserStatus>,
}

/// The address as it is stored and compared: trimmed and in lower case.
///
/// # Errors
/// `request.field_invalid` at `email`.
pub(crate) fn check_email(email: &str) -> Result<String> {
    let email = email.trim().to_lowercase();
    let accepted = email.len() <= LONGEST_EMAIL
        && email
            .split_once('@')
            .is_some_and(|(local, domain)| !local.is_empty() && !domain.is_empty() && !domain.contains('@'))
        && !email
            .chars()
            .any(|character| character.is_whitespace() || character.is_control());
    if accepted {
        Ok(email)
    } else {
        Err(Error::field(
            "email",
            "an e-mail address looks like name@example.com and has at most 254 characters",
        ))
    }
}

/// A name of 1 to 128 characters.
///
/// # Errors
/// `request.field_invalid` at `field`.
pub(crate) fn check_user_name(field: &'static str, name: &str) -> Result<String> {
    let name = name.trim();
    if (1..=128).contains(&name.chars().count()) && !name.chars().any(char::is_control) {
        Ok(name.to_owned())
    } else {
        Err(Error::field(
            field,
            "a name has 1 to 128 characters, none of them a control character",
        ))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_compared_without_case_and_outer_spaces() {
        assert_eq!(check_email(" Ada@Example.COM ").unwrap(), "ada@example.com");
    }

    #[test]
    fn what_is_no_address_is_refused_by_field() {
        let long = format!("{}@example.com", "a".repeat(250));
        for email in [
            "",
            "ada",
            "@example.com",
            "ada@",
            "a@b@c",
            "a b@c",
            "a\n@c",
            &long,
        ] {
            assert_eq!(
                check_email(email).unwrap_err().field.as_deref(),
                Some("email"),
                "{email:?}"
            );
        }
    }

    #[test]
    fn a_new_password_is_not_printed() {
        let json = r#"{"email":"a@b","name":"A","role":"viewer","password":"quiet harbour lantern"}"#;
        let user: NewUser = serde_json::from_str(json).unwrap();
        assert!(!format!("{user:?}").contains("harbour"));
    }
}
