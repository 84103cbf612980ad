//! What a session is to its user.

use aim_core::{OrganizationId, Role, SessionId, Timestamp, UserId};
use aim_crypto::secret::SecretString;
use serde::Serialize;
use utoipa::ToSchema;

use crate::users::UserView;

/// A fresh session with its token, which is shown once.
#[derive(Debug, Clone)]
pub struct SignedIn {
    /// The session.
    pub session: SessionId,
    /// What the client presents from now on.
    pub access_token: SecretString,
    /// The first instant at which the token is refused for its age.
    pub expires_at: Timestamp,
    /// Who signed in.
    pub user: SignedInUser,
}

/// The user of a session.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct SignedInUser {
    /// The user's id.
    pub id: UserId,
    /// The e-mail address.
    #[schema(example = "ada@example.com")]
    pub email: String,
    /// The name.
    pub name: String,
    /// What the user may do.
    pub role: Role,
    /// The user's organisation.
    pub organization_id: OrganizationId,
}

impl From<UserView> for SignedInUser {
    fn from(user: UserView) -> Self {
        Self {
            id: user.id,
            email: user.email,
            name: user.name,
            role: user.role,
            organization_id: user.organization_id,
        }
    }
}

/// A live session of the caller's.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct SessionView {
    /// The session's id.
    pub id: SessionId,
    /// When its user signed in.
    pub created_at: Timestamp,
    /// The first instant at which it is refused.
    pub expires_at: Timestamp,
    /// When it was last used, to the minute.
    pub last_seen_at: Timestamp,
    /// From where its user signed in.
    pub source_ip: Option<String>,
    /// With what its user signed in.
    pub user_agent: Option<String>,
    /// Whether this is the session of this very request.
    pub current: bool,
}

/// A page of sessions.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct SessionList {
    /// The live sessions, newest first.
    pub sessions: Vec<SessionView>,
    /// How many there are in all.
    pub total: i64,
    /// The page's size.
    pub limit: i64,
    /// How many were skipped.
    pub offset: i64,
    /// Where the next page starts; null on the last one.
    pub next_cursor: Option<String>,
}
