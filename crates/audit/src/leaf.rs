//! A leaf: the canonical bytes of one record, and their hash.

use aim_core::{AgentId, Ctx, OrganizationId, Timestamp, ctx::ActorRef};
use aim_crypto::digest;
use serde::{Deserialize, Serialize};
use serde_json::Value;

/// What sort of record.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Something changed, or was tried.
    Event,
    /// A verified action was decided.
    Decision,
}

impl Kind {
    /// The kind's name in the leaf and the column.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Event => "event",
            Self::Decision => "decision",
        }
    }
}

/// What stands beside the leaf and can be erased.
#[derive(Debug, Clone, Default)]
pub enum Details {
    /// Nothing.
    #[default]
    None,
    /// Kept in the record; the leaf commits to it under a fresh salt.
    Inline(Value),
    /// Kept in another table, whose row holds the salt.
    Elsewhere([u8; 32]),
}

/// A record to be appended.
#[derive(Debug, Clone)]
pub struct Entry {
    /// The tenant.
    pub organization: OrganizationId,
    /// When it happened.
    pub at: Timestamp,
    /// What sort of record.
    pub kind: Kind,
    /// What happened, as `noun.verb` (`agent.suspended`).
    pub action: &'static str,
    /// Who did it.
    pub actor: ActorRef,
    /// The agent it is about, if any.
    pub agent: Option<AgentId>,
    /// The kind of thing it was done to.
    pub target_kind: &'static str,
    /// The id of that thing.
    pub target_id: Option<String>,
    /// How it ended: `ok`, `approved`, `denied`, `pending`, `refused`.
    pub outcome: &'static str,
    /// Facts that are no personal data and stay in the leaf for good.
    pub facts: Value,
    /// What can be erased.
    pub details: Details,
}

impl Entry {
    /// An event in the context of a request.
    #[must_use]
    pub fn event(ctx: &Ctx, action: &'static str) -> Self {
        Self {
            organization: ctx.organization,
            at: ctx.now,
            kind: Kind::Event,
            action,
            actor: ActorRef::from(&ctx.actor),
            agent: None,
            target_kind: "organization",
            target_id: None,
            outcome: "ok",
            facts: Value::Null,
            details: Details::None,
        }
    }

    /// Names the agent it is about.
    #[must_use]
    pub const fn agent(mut self, agent: AgentId) -> Self {
        self.agent = Some(agent);
        self
    }

    /// Names what it was done to.
    #[must_use]
    pub fn target(mut self, kind: &'static str, id: impl ToString) -> Self {
        self.target_kind = kind;
        self.target_id = Some(id.to_string());
        self
    }

    /// Says how it ended, where that is not `ok`.
    #[must_use]
    pub const fn outcome(mut self, outcome: &'static str) -> Self {
        self.outcome = outcome;
        self
    }

    /// Facts that stay in the leaf: no personal data.
    #[must_use]
    pub fn facts(mut self, facts: Value) -> Self {
        self.facts = facts;
        self
    }

    /// Details that can be erased: names, addresses, reasons.
    #[must_use]
    pub fn details(mut self, details: Value) -> Self {
        self.details = Details::Inline(details);
        self
    }
}

/// Where a record landed in the log.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LeafRef {
    /// Its index, from 0, without gaps.
    pub index: i64,
    /// SHA-256 of the leaf as RFC 6962 §2.1 takes it, in lower-case hex.
    pub hash: String,
}

/// The leaf's fields in their fixed order. Adding one means a new `v`.
#[derive(Serialize, Deserialize)]
pub(crate) struct Leaf<'a> {
    pub(crate) v: u8,
    pub(crate) organization_id: OrganizationId,
    pub(crate) id: aim_core::Id<LeafKind>,
    pub(crate) at: Timestamp,
    pub(crate) kind: std::borrow::Cow<'a, str>,
    pub(crate) action: std::borrow::Cow<'a, str>,
    pub(crate) actor: ActorRef,
    pub(crate) agent_id: Option<AgentId>,
    pub(crate) target_kind: std::borrow::Cow<'a, str>,
    pub(crate) target_id: Option<String>,
    pub(crate) outcome: std::borrow::Cow<'a, str>,
    pub(crate) facts: Value,
    pub(crate) commitment: Option<String>,
}

/// Marks the ids of audit records.
pub enum LeafKind {}

/// RFC 6962 §2.1: `SHA-256(0x00 || leaf)`.
#[must_use]
pub fn leaf_hash(leaf: &[u8]) -> [u8; 32] {
    digest::sha256_parts(&[&[0], leaf])
}

/// The link of a record: `SHA-256("AIM-LINK-V1" || link of the one before || leaf hash)`.
pub(crate) fn link(before: &[u8], leaf_hash: &[u8]) -> [u8; 32] {
    digest::sha256_parts(&[b"AIM-LINK-V1", before, leaf_hash])
}

/// A salted commitment to parts that may be erased: `SHA-256(salt || SHA-256(part) …)`.
#[must_use]
pub fn commitment(salt: &[u8], parts: &[&[u8]]) -> [u8; 32] {
    let hashes: Vec<[u8; 32]> = parts.iter().map(|part| digest::sha256(part)).collect();
    let mut pieces: Vec<&[u8]> = vec![salt];
    pieces.extend(hashes.iter().map(<[u8; 32]>::as_slice));
    digest::sha256_parts(&pieces)
}
