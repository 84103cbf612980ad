//! One call: what an agent asks, with which credential, and when.

use crate::Timestamp;
use crate::address::AddressLimit;
use crate::capability::{CapabilityName, CapabilityPattern};
use crate::invalid::Invalid;
use crate::record::sorted_map;
use crate::resource::ResourcePattern;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use std::collections::BTreeMap;
use uuid::Uuid;

/// The deepest nesting of objects and lists in a context, the context itself included.
pub const CONTEXT_MAX_DEPTH: usize = 32;

/// What the names of the actions on secrets begin with; the secret's path is their resource.
pub const SECRET_ACTIONS: &str = "secret:";

/// Refuses a context that is nested too deeply to be recorded and read again: JSON readers stop at a depth,
/// and a decision that cannot be replayed is no evidence.
///
/// # Errors
/// If objects and lists are nested more than [`CONTEXT_MAX_DEPTH`] deep.
pub fn check_context(context: &Map<String, Value>) -> Result<(), Invalid> {
    let mut depth = 1;
    let mut level: Vec<&Value> = context.values().filter(|value| is_compound(value)).collect();
    while !level.is_empty() {
        depth += 1;
        if depth > CONTEXT_MAX_DEPTH {
            let problem = format!("is nested too deeply; use at most {CONTEXT_MAX_DEPTH} levels");
            return Err(Invalid::value(problem).at("context"));
        }
        level = level
            .into_iter()
            .flat_map(parts_of)
            .filter(|value| is_compound(value))
            .collect();
    }
    Ok(())
}

fn parts_of(value: &Value) -> Vec<&Value> {
    match value {
        Value::Object(members) => members.values().collect(),
        Value::Array(elements) => elements.iter().collect(),
        _ => Vec::new(),
    }
}

fn is_compound(value: &Value) -> bool {
    value.is_object() || value.is_array()
}

/// With what the caller proved who it is. It has been verified before: a decision judges its state.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum Credential {
    /// A signature by one of the agent's own keys.
    AgentKey {
        /// The key that verified.
        fingerprint: String,
    },
    /// A credential that acts for the agent with a part of its capabilities; whoever authenticated it has
    /// checked that it is neither disabled nor expired.
    Limited {
        /// Identifies the credential.
        id: Uuid,
        /// The part of the agent's capabilities that it may use. It grants nothing by itself.
        capabilities: Vec<CapabilityPattern>,
        /// The secrets that it may reach: an action on secrets ([`SECRET_ACTIONS`]) needs a resource that one of these
        /// covers. None: those that the agent may. Left out of the record then, as it was before there was such a limit.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        secret_paths: Option<Vec<ResourcePattern>>,
        /// From where it may be used. None: from anywhere; left out of the record then.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        addresses: Option<AddressLimit>,
    },
}

/// One question to the decision.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Call {
    /// What the agent wants to do.
    pub action: CapabilityName,
    /// What it wants to do it to, if it says so.
    pub resource: Option<String>,
    /// The arguments that constraints look at. Whoever takes them from outside asks [`check_context`]
    /// first, or the record of the call may be too deep to be read again.
    #[serde(serialize_with = "sorted_map")]
    pub context: Map<String, Value>,
    /// With what it was authenticated.
    pub credential: Credential,
    /// The uses so far of each rate-limited grant in its current window
    /// ([`crate::RateLimit::window_start`] of `now`); a missing entry means none.
    pub uses: BTreeMap<Uuid, u32>,
    /// Whether the caller asks that a person approve the action first.
    pub approval_requested: bool,
    /// The instant of the decision.
    pub now: Timestamp,
}
