//! The facts of one agent at one moment: everything a decision may know that is not in the call itself.
//! Read in one transaction, recorded by digest, and replayed from its bytes. It holds no secret.

use crate::Timestamp;
use crate::capability::CapabilityPattern;
use crate::record::{Record, canonical_bytes, sha256};
use crate::resource::ResourcePattern;
use crate::scope::{Effect, Scope};
use serde::{Deserialize, Serialize, Serializer};
use std::cmp::Ordering;
use utoipa::ToSchema;
use uuid::Uuid;

/// The version of the snapshot's form that this crate writes and reads.
pub const SNAPSHOT_VERSION: u16 = 1;

/// Whether an agent may act.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum AgentStatus {
    /// May act as far as its grants go.
    Active,
    /// Stopped until somebody reactivates it.
    Suspended,
    /// Deleted; will never act again.
    Revoked,
}

/// What can be said of a key at an instant.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum KeyState {
    /// Usable; the agent's current key.
    Active,
    /// Replaced, and usable until its grace period ends.
    InGrace,
    /// Past its expiry; refused.
    Expired,
    /// Replaced, and its grace period has ended; refused.
    Retired,
    /// Withdrawn; refused from that moment on.
    Revoked,
}

impl KeyState {
    /// Whether a signature of the key counts.
    #[must_use]
    pub fn is_usable(self) -> bool {
        matches!(self, Self::Active | Self::InGrace)
    }
}

/// One public key of the agent and how far it is trusted.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct KeyFact {
    /// Identifies the key.
    pub fingerprint: String,
    /// When it was registered.
    pub created_at: Timestamp,
    /// The first instant at which it is refused for its age.
    pub expires_at: Timestamp,
    /// Set when the key was replaced: the first instant at which it is refused for that.
    pub grace_until: Option<Timestamp>,
    /// Set when the key was revoked.
    pub revoked_at: Option<Timestamp>,
}

impl KeyFact {
    /// The state at `now`: revocation before the end of grace, before expiry, before grace.
    ///
    /// A revocation counts even if its time lies ahead of `now`: a node whose clock runs behind must
    /// not go on trusting the key. Both ends are exclusive: at `expires_at` and at `grace_until` the
    /// key is refused, an instant before it is not.
    #[must_use]
    pub fn state(&self, now: Timestamp) -> KeyState {
        if self.revoked_at.is_some() {
            return KeyState::Revoked;
        }
        match self.grace_until {
            Some(end) if now >= end => KeyState::Retired,
            _ if now >= self.expires_at => KeyState::Expired,
            Some(_) => KeyState::InGrace,
            None => KeyState::Active,
        }
    }
}

/// What somebody granted (or denied) to the agent.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Grant {
    /// Identifies the grant.
    pub id: Uuid,
    /// The actions it covers.
    pub capability: CapabilityPattern,
    /// What it does.
    pub effect: Effect,
    /// What narrows it.
    pub scope: Scope,
    /// When it was given.
    pub granted_at: Timestamp,
    /// The first instant at which it no longer holds; never if absent.
    pub expires_at: Option<Timestamp>,
}

/// What a matching policy does. A policy never permits: it only restricts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum PolicyEffect {
    /// Refuse the action.
    Deny,
    /// Let a person approve the action first.
    RequireApproval,
}

/// A guard rail of the whole organisation.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Policy {
    /// Identifies the policy.
    pub id: Uuid,
    /// What people call it; it stands in the reasons.
    pub name: String,
    /// What it does.
    pub effect: PolicyEffect,
    /// The actions it covers.
    pub capability: CapabilityPattern,
    /// The resources it covers; none means all, and a call that names no resource is covered too.
    pub resources: Vec<ResourcePattern>,
    /// The agent types it covers; none means all.
    pub agent_types: Vec<String>,
    /// If set, it applies to agents whose score is below this, and to agents without a score.
    pub trust_below: Option<u8>,
}

/// Everything a decision knows about the agent. Fields are public to be filled from rows in any order:
/// its serialised form, and so its digest, orders keys, grants and policies itself.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Snapshot {
    /// The version of this form: [`SNAPSHOT_VERSION`].
    pub v: u16,
    /// The organisation.
    pub organization_id: Uuid,
    /// The agent.
    pub agent_id: Uuid,
    /// Whether it may act.
    pub agent_status: AgentStatus,
    /// Its type, as policies name it.
    pub agent_type: String,
    /// Its trust score, if it has one.
    pub trust_score: Option<u8>,
    /// All its public keys.
    #[serde(serialize_with = "ordered_keys")]
    pub keys: Vec<KeyFact>,
    /// All its grants, denials and expired ones included.
    #[serde(serialize_with = "ordered_grants")]
    pub grants: Vec<Grant>,
    /// The guard rails of the organisation.
    #[serde(serialize_with = "ordered_policies")]
    pub policies: Vec<Policy>,
}

impl Snapshot {
    /// An active agent without keys, grants and policies, and without a trust score.
    #[must_use]
    pub fn new(organization_id: Uuid, agent_id: Uuid, agent_type: impl Into<String>) -> Self {
        Self {
            v: SNAPSHOT_VERSION,
            organization_id,
            agent_id,
            agent_status: AgentStatus::Active,
            agent_type: agent_type.into(),
            trust_score: None,
            keys: Vec::new(),
            grants: Vec::new(),
            policies: Vec::new(),
        }
    }

    /// The same facts in their canonical order, in which equal facts are equal values.
    #[must_use]
    pub fn canonical(mut self) -> Self {
        self.keys.sort_by(compare_keys);
        self.grants.sort_by(compare_grants);
        self.policies.sort_by(compare_policies);
        self
    }

    /// SHA-256 of the canonical bytes: the same for the same facts, in whatever order they were read.
    #[must_use]
    pub fn digest(&self) -> [u8; 32] {
        sha256(&canonical_bytes(self))
    }
}

fn compare_keys(left: &KeyFact, right: &KeyFact) -> Ordering {
    left.fingerprint
        .cmp(&right.fingerprint)
        .then_with(|| compare_bytes(left, right))
}

fn compare_grants(left: &Grant, right: &Grant) -> Ordering {
    left.id.cmp(&right.id).then_with(|| compare_bytes(left, right))
}

fn compare_policies(left: &Policy, right: &Policy) -> Ordering {
    left.id.cmp(&right.id).then_with(|| compare_bytes(left, right))
}

/// Ids are unique in any real snapshot; this makes the order total for those that are not.
pub(crate) fn compare_bytes<T: Record>(left: &T, right: &T) -> Ordering {
    canonical_bytes(left).cmp(&canonical_bytes(right))
}

fn ordered<T: Serialize, S: Serializer>(
    items: &[T],
    compare: impl Fn(&T, &T) -> Ordering,
    serializer: S,
) -> Result<S::Ok, S::Error> {
    if items.is_sorted_by(|left, right| compare(left, right).is_le()) {
        return serializer.collect_seq(items);
    }
    let mut references: Vec<&T> = items.iter().collect();
    references.sort_by(|left, right| compare(left, right));
    serializer.collect_seq(references)
}

fn ordered_keys<S: Serializer>(keys: &[KeyFact], serializer: S) -> Result<S::Ok, S::Error> {
    ordered(keys, compare_keys, serializer)
}

fn ordered_grants<S: Serializer>(grants: &[Grant], serializer: S) -> Result<S::Ok, S::Error> {
    ordered(grants, compare_grants, serializer)
}

fn ordered_policies<S: Serializer>(policies: &[Policy], serializer: S) -> Result<S::Ok, S::Error> {
    ordered(policies, compare_policies, serializer)
}
