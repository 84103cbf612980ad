//! What callers send and are answered about policies, and the rules for them.

use aim_core::{Ctx, Error, Json, PolicyId, Result, Timestamp};
use aim_decision::{CapabilityPattern, Invalid, PolicyEffect, ResourcePattern, SCOPE_RESOURCES_MAX};
use aim_store::Result as StoreResult;
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use super::store::{PolicyRow, effect_name};
use crate::parameters;

/// The most policies of an organisation: every decision looks at all of them.
pub const POLICIES_MAX: i64 = 200;
/// The most characters of a policy's name.
pub const NAME_MAX: usize = 128;
/// The most agent types that a policy names.
pub const AGENT_TYPES_MAX: usize = 64;

/// A policy to be made.
#[derive(Debug, Clone, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct NewPolicy {
    /// What people call it; unique in the organisation. It stands in the reasons of decisions.
    #[schema(min_length = 1, max_length = 128)]
    pub name: String,
    /// What it does to the actions it covers.
    pub effect: PolicyEffect,
    /// The actions it covers: `namespace:action`, or a prefix with a wildcard as its whole last segment.
    #[schema(example = "payments:*", max_length = 128)]
    pub capability: String,
    /// The resources it covers; all if left out or empty.
    #[serde(default)]
    #[schema(max_items = 64)]
    pub resources: Vec<String>,
    /// The agent types it covers; all if left out or empty.
    #[serde(default)]
    #[schema(max_items = 64)]
    pub agent_types: Vec<String>,
    /// If given, it applies to agents whose trust score is below this, and to agents without one.
    #[serde(default)]
    #[schema(minimum = 1, maximum = 100)]
    pub trust_below: Option<i64>,
}

impl NewPolicy {
    /// The row of the policy that was asked for.
    ///
    /// # Errors
    /// Names the field that is not accepted.
    pub fn row(&self, ctx: &Ctx, id: PolicyId) -> Result<PolicyRow> {
        parameters::prose("name", &self.name, 1, NAME_MAX)?;
        if self.name.chars().any(char::is_control) {
            return Err(Error::field(
                "name",
                "name contains a control character; remove it",
            ));
        }
        let capability = CapabilityPattern::try_from(self.capability.as_str())
            .map_err(|invalid| refusal(invalid.at("capability")))?;
        at_most("resources", self.resources.len(), SCOPE_RESOURCES_MAX)?;
        for (place, pattern) in self.resources.iter().enumerate() {
            ResourcePattern::try_from(pattern.as_str())
                .map_err(|invalid| refusal(invalid.at(format!("resources[{place}]"))))?;
        }
        at_most("agent_types", self.agent_types.len(), AGENT_TYPES_MAX)?;
        for (place, agent_type) in self.agent_types.iter().enumerate() {
            parameters::word(&format!("agent_types[{place}]"), Some(agent_type))?;
        }
        if self.trust_below.is_some_and(|score| !(1..=100).contains(&score)) {
            return Err(Error::field(
                "trust_below",
                "trust_below is 1 to 100; leave it out to cover every score",
            ));
        }
        Ok(PolicyRow {
            org_id: ctx.organization,
            id,
            name: self.name.clone(),
            effect: effect_name(self.effect).to_owned(),
            capability: capability.to_string(),
            resources: Json::of(&self.resources),
            agent_types: Json::of(&self.agent_types),
            trust_below: self.trust_below,
            created_by: ctx.actor_text(),
            created_at: ctx.now,
        })
    }
}

fn at_most(field: &str, count: usize, most: usize) -> Result<()> {
    if count <= most {
        Ok(())
    } else {
        Err(Error::field(
            field,
            format!("{field} has {count} entries; use at most {most}"),
        ))
    }
}

fn refusal(invalid: Invalid) -> Error {
    Error::field(invalid.field, invalid.problem)
}

/// A policy.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct PolicyView {
    /// The policy.
    pub id: PolicyId,
    /// What people call it.
    pub name: String,
    /// What it does.
    pub effect: PolicyEffect,
    /// The actions it covers.
    pub capability: String,
    /// The resources it covers; empty means all.
    pub resources: Vec<String>,
    /// The agent types it covers; empty means all.
    pub agent_types: Vec<String>,
    /// If set, it applies to agents whose trust score is below this, and to agents without one.
    pub trust_below: Option<i64>,
    /// Who made it, as `kind:id`.
    pub created_by: String,
    /// When it was made.
    pub created_at: Timestamp,
}

impl PolicyView {
    /// The policy as it is stored.
    ///
    /// # Errors
    /// When the row cannot be read as a policy.
    pub fn of(row: PolicyRow) -> StoreResult<Self> {
        let policy = row.to_policy()?;
        Ok(Self {
            id: row.id,
            name: row.name,
            effect: policy.effect,
            capability: row.capability,
            resources: policy
                .resources
                .iter()
                .map(|pattern| pattern.as_str().to_owned())
                .collect(),
            agent_types: policy.agent_types,
            trust_below: row.trust_below,
            created_by: row.created_by,
            created_at: row.created_at,
        })
    }
}

/// A page of policies, newest first.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct PolicyList {
    /// The policies.
    pub policies: Vec<PolicyView>,
    /// How many there are on all pages.
    pub total: i64,
    /// The size of the page.
    pub limit: i64,
    /// How many were skipped.
    pub offset: i64,
    /// Where the next page starts; absent on the last one.
    pub next_cursor: Option<String>,
}

/// Which policies to list.
#[derive(Debug, Clone, Default, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct PolicyFilter {
    /// The size of the page, 1 to 100; 20 if left out.
    #[serde(default)]
    #[param(value_type = Option<i64>, minimum = 1, maximum = 100)]
    pub limit: Option<String>,
    /// How many to skip.
    #[serde(default)]
    #[param(value_type = Option<i64>, minimum = 0)]
    pub offset: Option<String>,
    /// The `next_cursor` of the page before.
    #[serde(default)]
    pub cursor: Option<String>,
}
