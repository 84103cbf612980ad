//! What callers send and what they are answered.

use std::fmt;

use aim_core::{AgentId, Error, Id, OrganizationId, Result, Timestamp};
use aim_crypto::token::TokenKind;
use aim_violations::verification::DecisionView;
use chrono::TimeDelta;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use utoipa::{IntoParams, ToSchema};

use super::store::WrapRow;
use crate::vault::{
    kinds::{SecretKind, SecretValue},
    path::SecretPath,
    reads::SealedSecret,
};

/// What a wrap token looks like: `aim_wrap_`, 43 random characters, and six of a checksum.
pub(crate) const TOKEN_KIND: TokenKind = TokenKind::Long("aim_wrap_");
/// How long a token is good when nothing else is asked for.
const DEFAULT_TTL: i64 = 300;
/// The longest that a token is good, in seconds.
const MAX_TTL: i64 = 3600;
/// How long a reason is, in characters.
pub(super) const REASON: std::ops::RangeInclusive<usize> = 10..=500;

/// Marks the ids of wraps.
#[derive(Debug, Clone, Copy)]
pub enum WrapKind {}
/// The id of a wrap. Callers know it by its token.
pub type WrapId = Id<WrapKind>;

/// A token that is wanted.
#[derive(Debug, Clone, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct WrapRequest {
    /// The secret's path.
    #[schema(example = "payments/stripe/live")]
    pub path: String,
    /// The version; absent: the one that is newest now. A later write does not change what the token hands over.
    #[serde(default)]
    pub version: Option<i64>,
    /// How long the token is good, in seconds: 1 to 3600; 300 if absent.
    #[serde(default)]
    #[schema(minimum = 1, maximum = 3600)]
    pub ttl_seconds: Option<i64>,
    /// The agent that it is for: nobody else can use it. Absent: whoever brings it, where the organisation shows values for a
    /// reason or an agent makes it.
    #[serde(default)]
    #[schema(value_type = Option<uuid::Uuid>)]
    pub for_agent: Option<AgentId>,
    /// Why; people have to say it, 10 to 500 characters.
    #[serde(default)]
    pub reason: Option<String>,
    /// The arguments, for the constraints of an agent's grants.
    #[serde(default)]
    #[schema(value_type = Object)]
    pub context: Map<String, Value>,
}

impl WrapRequest {
    /// The path, and how long it shall be good.
    pub(super) fn check(&self) -> Result<(SecretPath, TimeDelta)> {
        let path = SecretPath::parse(&self.path)?;
        if self.version.is_some_and(|version| version < 1) {
            return Err(Error::field("version", "versions are counted from 1"));
        }
        let ttl = self.ttl_seconds.unwrap_or(DEFAULT_TTL);
        if !(1..=MAX_TTL).contains(&ttl) {
            return Err(Error::field("ttl_seconds", format!("1 to {MAX_TTL} seconds")));
        }
        Ok((path, TimeDelta::seconds(ttl)))
    }

    /// What a person gives as the reason.
    pub(super) fn reason_of_person(&self) -> Result<String> {
        let reason = self.reason.as_deref().unwrap_or_default().trim();
        if REASON.contains(&reason.chars().count()) {
            return Ok(reason.to_owned());
        }
        Err(Error::field(
            "reason",
            "say in 10 to 500 characters why the secret shall be handed over",
        ))
    }
}

/// A token, shown once.
#[derive(Clone, Serialize, ToSchema)]
pub struct WrapView {
    /// The token.
    #[schema(example = "aim_wrap_…")]
    pub token: String,
    /// What it is.
    #[serde(flatten)]
    pub wrap: WrapLookup,
}

impl fmt::Debug for WrapView {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.wrap.fmt(formatter)
    }
}

/// What is known of a token without using it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct WrapLookup {
    /// The wrap's id, as the audit log names it.
    pub wrap_id: String,
    /// The organisation: a part of what the secret is sealed for.
    pub organization_id: OrganizationId,
    /// The path that it was made for: compare it with the one that you expect before you use the token.
    #[schema(example = "payments/stripe/live")]
    pub creation_path: String,
    /// The version that it hands over.
    pub version: i64,
    /// The agent that it is for; null: whoever brings it.
    pub for_agent: Option<AgentId>,
    /// Who made it, as `kind:id`.
    pub created_by: String,
    /// When.
    pub created_at: Timestamp,
    /// Until when it is good.
    pub expires_at: Timestamp,
}

impl WrapLookup {
    pub(super) fn of(row: WrapRow) -> Self {
        Self {
            wrap_id: row.id.to_string(),
            organization_id: row.org_id,
            creation_path: row.path,
            version: row.version,
            for_agent: row.for_agent,
            created_by: row.created_by,
            created_at: row.created_at,
            expires_at: row.expires_at,
        }
    }
}

/// How a wrap stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum WrapState {
    /// Its token hands the secret over to the next who brings it.
    Active,
    /// It handed the secret over.
    Used,
    /// Somebody took it back before it was used.
    Revoked,
    /// Its time is over, and nobody used it.
    Expired,
}

impl WrapState {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::Active, Self::Used, Self::Revoked, Self::Expired];

    /// Its name on the wire.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Active => "active",
            Self::Used => "used",
            Self::Revoked => "revoked",
            Self::Expired => "expired",
        }
    }
}

/// A wrap as those see it who may make them. The token is not in it: it is shown once.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct WrapListed {
    /// What it is.
    #[serde(flatten)]
    pub wrap: WrapLookup,
    /// How it stands.
    pub state: WrapState,
    /// Why it was made; null where an agent did not say.
    pub reason: Option<String>,
    /// When it handed the secret over.
    pub used_at: Option<Timestamp>,
    /// When it was revoked.
    pub revoked_at: Option<Timestamp>,
    /// Who revoked it, as `kind:id`.
    pub revoked_by: Option<String>,
}

impl WrapListed {
    pub(super) fn of(row: WrapRow, now: Timestamp) -> Self {
        Self {
            state: row.state_at(now),
            reason: row.reason.clone(),
            used_at: row.used_at,
            revoked_at: row.revoked_at,
            revoked_by: row.revoked_by.clone(),
            wrap: WrapLookup::of(row),
        }
    }
}

/// Wraps.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct WrapList {
    /// The newest first. What ended more than a day ago is forgotten.
    pub wraps: Vec<WrapListed>,
    /// How many a page has at most.
    pub limit: i64,
    /// Where the next page starts.
    pub next_cursor: Option<String>,
}

/// Which wraps are wanted.
#[derive(Debug, Clone, Default, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct WrapQuery {
    /// Only those in this state.
    pub state: Option<WrapState>,
    /// Only those of this secret.
    pub path: Option<String>,
    /// How many, 1 to 100; 20 if absent.
    pub limit: Option<i64>,
    /// `next_cursor` of the page before.
    pub cursor: Option<String>,
}

/// A decision that made no token.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub(crate) struct NoWrap {
    /// The decision, as the verified action answers it.
    pub(crate) decision: DecisionView,
}

/// A token to be looked at.
#[derive(Clone, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct WrapTokenRequest {
    /// The token.
    #[schema(value_type = String)]
    pub token: SecretValue,
}

impl fmt::Debug for WrapTokenRequest {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("WrapTokenRequest([redacted])")
    }
}

/// A token to be used.
#[derive(Clone, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct UnwrapRequest {
    /// The token.
    #[schema(value_type = String)]
    pub token: SecretValue,
    /// A fresh X25519 public key, 32 bytes in base64url without padding: whom it is sealed to.
    #[schema(example = "N_2jVnvb1ijohmjDyNfpfR0SU7bU6m1EwVD3QfG_RDE")]
    pub seal_to: String,
}

impl fmt::Debug for UnwrapRequest {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("UnwrapRequest([redacted])")
    }
}

/// What a token handed over.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct UnwrapReply {
    /// The token, which is used up by now.
    pub wrap: WrapLookup,
    /// The kind of the secret.
    pub kind: SecretKind,
    /// `{"kind":…,"fields":{…}}`, sealed. `info` is the UTF-8 text of `AIM-WRAP-V1`, the ids of organisation and wrap, the
    /// path and the version, a line each.
    pub sealed: SealedSecret,
}
