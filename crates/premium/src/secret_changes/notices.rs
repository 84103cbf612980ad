//! What a record of the log means to somebody who keeps secrets. Pure.

use aim_audit::Record;
use aim_core::{AgentId, OrganizationId};
use aim_decision::{CapabilityName, CapabilityPattern};
use serde_json::Value;

use crate::vault::reads::READ_ACTION;

/// What a record means.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Notice {
    /// A secret was changed: for whoever read it.
    Changed {
        path: String,
        version: Option<i64>,
        change: String,
    },
    /// What one agent may read has changed; `ends`: it may not even listen any more.
    Agent {
        agent: AgentId,
        reason: &'static str,
        ends: bool,
    },
    /// What all agents may read has changed.
    Everybody { reason: &'static str },
    /// Nobody reads anything, in whichever organisation.
    Sealed,
    /// An agent was allowed to read: the decision tells what.
    Read { agent: AgentId, decision: String },
    /// An agent took up a read that a person approved.
    TookUp { agent: AgentId, path: String },
}

/// What seals the vault, on all nodes and for all organisations; on record in that of the operator alone.
const SEALED: &str = "vault.sealed";

/// Whether a record is about the agents of all organisations, not of its own alone.
pub(super) fn is_for_all(record: &Record) -> bool {
    record.action == SEALED
}

/// What the record means, and in which organisation; `None`: nothing.
pub(super) fn notice(record: &Record) -> Option<(OrganizationId, Notice)> {
    meaning(record).map(|notice| (record.org_id, notice))
}

fn meaning(record: &Record) -> Option<Notice> {
    let facts = || record.facts::<Value>().unwrap_or_default();
    let path = || {
        let details = record.details.as_ref()?;
        details.0.get("path").and_then(Value::as_str).map(str::to_owned)
    };
    let of_agent = |reason, ends| {
        let agent = record.agent_id?;
        Some(Notice::Agent { agent, reason, ends })
    };
    match record.action.as_str() {
        "action.decided" => {
            let is_read = record.outcome == "approved"
                && facts().get("capability").and_then(Value::as_str) == Some(READ_ACTION);
            let (agent, decision) = (record.agent_id?, record.target_id.clone()?);
            is_read.then_some(Notice::Read { agent, decision })
        }
        "secret.approval_used" => Some(Notice::TookUp {
            agent: record.agent_id?,
            path: path()?,
        }),
        "agent.suspended" => of_agent("agent", true),
        "agent.deleted" => of_agent("agent", true),
        // Its type may be another, and policies name types.
        "agent.restricted" | "agent.updated" => of_agent("agent", false),
        "trust.threshold_crossed" => {
            let restricts = !matches!(facts().get("level").and_then(Value::as_str), Some("ok" | "alert"));
            restricts.then(|| of_agent("trust", false)).flatten()
        }
        "agent_key.revoked" | "agent_key.replaced" => of_agent("key", true),
        "agent_key.rotated" => of_agent("key", false),
        "capability.granted" | "capability.revoked" => {
            let facts = facts();
            let pattern = facts.get("capability").and_then(Value::as_str)?;
            covers_reads(pattern).then(|| of_agent("grant", false)).flatten()
        }
        // The restriction below a score is a policy too, made or removed without a record of its own.
        "policy.created" | "policy.updated" | "policy.deleted" | "trust_policy.updated" => {
            Some(Notice::Everybody { reason: "policy" })
        }
        SEALED => Some(Notice::Sealed),
        // Whatever changes a secret notes how often it was changed.
        action if record.target_kind == "secret" => {
            let facts = facts();
            facts.get("changes")?;
            let several = facts.get("versions").and_then(|versions| versions.get(0));
            let version = facts.get("version").or(several).and_then(Value::as_i64);
            let change = action.strip_prefix("secret.").unwrap_or(action).to_owned();
            Some(Notice::Changed {
                path: path()?,
                version,
                change,
            })
        }
        _ => None,
    }
}

/// Whether a grant of this pattern is about reading secrets. What cannot be understood is taken to be.
fn covers_reads(pattern: &str) -> bool {
    let read = CapabilityName::try_from(READ_ACTION.to_owned());
    match (CapabilityPattern::try_from(pattern.to_owned()), read) {
        (Ok(pattern), Ok(read)) => pattern.matches(&read),
        _ => true,
    }
}

#[cfg(test)]
mod tests {
    use super::covers_reads;

    #[test]
    fn a_grant_counts_when_it_covers_reads() {
        for pattern in ["secret:read", "secret:*", "*"] {
            assert!(covers_reads(pattern), "{pattern}");
        }
        for pattern in ["secret:write", "db:*", "secrets:read"] {
            assert!(!covers_reads(pattern), "{pattern}");
        }
    }
}
