//! What callers send and what they are answered.

use std::fmt;

use aim_core::{AgentId, Error, Id, OrganizationId, Result, Timestamp};
use aim_crypto::token::TokenKind;
use aim_violations::verification::DecisionView;
use chrono::TimeDelta;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use utoipa::ToSchema;

use super::store::WrapRow;
use crate::vault::{
    kinds::{SecretKind, SecretValue},
    path::SecretPath,
    reads::SealedSecret,
};

/// What a wrap token looks like: `aim_wrap_`, 43 random characters, and six of a checksum.
pub(super) const TOKEN_KIND: TokenKind = TokenKind::Long("aim_wrap_");
/// How long a token is good when nothing else is asked for.
const DEFAULT_TTL: i64 = 300;
/// The longest that a token is good, in seconds.
const MAX_TTL: i64 = 3600;
/// How long a reason is, in characters.
const REASON: std::ops::RangeInclusive<usize> = 10..=500;

/// Marks the ids of wraps.
#[derive(Debug, Clone, Copy)]
pub(super) enum WrapKind {}
/// The id of a wrap. Callers know it by its token.
pub(super) type WrapId = Id<WrapKind>;

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
