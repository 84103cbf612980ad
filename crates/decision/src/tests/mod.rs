//! Tests of the decision as a whole; those of one type stand beside it or in a file of its name.

mod arbitrary;
mod constraints;
mod decisions;
mod properties;
mod replays;
mod resources;
mod windows;

use crate::*;
use serde_json::{Map, Value};
use std::collections::BTreeMap;
use uuid::Uuid;

/// 2026-03-04 is a Wednesday.
const NOW: &str = "2026-03-04T12:00:00Z";

fn at(text: &str) -> Timestamp {
    text.parse().unwrap()
}

fn id(number: u128) -> Uuid {
    Uuid::from_u128(number)
}

fn key() -> KeyFact {
    KeyFact {
        fingerprint: "key-1".to_owned(),
        created_at: at("2026-01-01T00:00:00Z"),
        expires_at: at("2027-01-01T00:00:00Z"),
        grace_until: None,
        revoked_at: None,
    }
}

/// An active agent with one good key and nothing granted.
fn agent() -> Snapshot {
    let mut snapshot = Snapshot::new(id(1), id(2), "ai_agent");
    snapshot.trust_score = Some(80);
    snapshot.keys.push(key());
    snapshot
}

fn agent_with(grants: impl IntoIterator<Item = Grant>) -> Snapshot {
    let mut snapshot = agent();
    snapshot.grants.extend(grants);
    snapshot
}

fn grant(number: u128, capability: &str, effect: Effect) -> Grant {
    Grant {
        id: id(number),
        capability: capability.try_into().unwrap(),
        effect,
        scope: Scope::default(),
        granted_at: at("2026-02-01T00:00:00Z"),
        expires_at: None,
    }
}

fn scoped(number: u128, capability: &str, effect: Effect, scope: Value) -> Grant {
    Grant {
        scope: Scope::from_json(&scope).unwrap(),
        ..grant(number, capability, effect)
    }
}

fn policy(number: u128, capability: &str, effect: PolicyEffect) -> Policy {
    Policy {
        id: id(number),
        name: "freeze".to_owned(),
        effect,
        capability: capability.try_into().unwrap(),
        resources: Vec::new(),
        agent_types: Vec::new(),
        trust_below: None,
    }
}

fn call(action: &str) -> Call {
    Call {
        action: action.try_into().unwrap(),
        resource: None,
        context: Map::new(),
        credential: Credential::AgentKey {
            fingerprint: "key-1".to_owned(),
        },
        uses: BTreeMap::new(),
        approval_requested: false,
        now: at(NOW),
    }
}

fn call_on(action: &str, resource: &str) -> Call {
    Call {
        resource: Some(resource.to_owned()),
        ..call(action)
    }
}

fn call_with(action: &str, context: Value) -> Call {
    let Value::Object(context) = context else {
        panic!("a context is an object")
    };
    Call {
        context,
        ..call(action)
    }
}

fn codes(verdict: &Verdict) -> Vec<&'static str> {
    slugs(&verdict.reasons)
}
