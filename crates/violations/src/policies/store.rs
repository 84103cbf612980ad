//! Queries for policies and for the epoch that tells every node of a change to them. No rule stands here.

use aim_core::{AgentId, Json, OrganizationId, PolicyId, Timestamp};
use aim_decision::{CapabilityPattern, Policy, PolicyEffect, ResourcePattern};
use aim_store::{
    Db, Error, Result, each,
    schema::{agent_restrictions, organizations, policies},
};
use diesel::{ExpressionMethods, OptionalExtension, QueryDsl, RunQueryDsl, SelectableHelper};

/// A policy as it is stored.
#[derive(Debug, Clone, PartialEq, diesel::Queryable, diesel::Selectable, diesel::Insertable)]
#[diesel(table_name = policies, treat_none_as_default_value = false)]
pub struct PolicyRow {
    /// The tenant.
    pub org_id: OrganizationId,
    /// The policy.
    pub id: PolicyId,
    /// What people call it; unique in the organisation.
    pub name: String,
    /// `deny` or `require_approval`.
    pub effect: String,
    /// The pattern of the actions it covers.
    pub capability: String,
    /// The resource patterns it covers, as a list of texts; none means all.
    pub resources: Json,
    /// The agent types it covers, as a list of texts; none means all.
    pub agent_types: Json,
    /// If set, it applies to agents whose score is below this, and to those without one.
    pub trust_below: Option<i64>,
    /// Who made it, as `kind:id`.
    pub created_by: String,
    /// When it was made.
    pub created_at: Timestamp,
}

impl PolicyRow {
    /// The policy as a decision reads it.
    ///
    /// # Errors
    /// [`Error::Corrupt`] when the row holds what no service of this crate would have written. A policy
    /// that cannot be read refuses the action: leaving it out would permit what it forbids.
    pub fn to_policy(&self) -> Result<Policy> {
        let resources =
            list(&self.resources).ok_or_else(|| self.corrupt(&"resources is not a list of texts"))?;
        let resources = resources
            .into_iter()
            .map(|text| ResourcePattern::try_from(text).map_err(|error| self.corrupt(&error)))
            .collect::<Result<Vec<_>>>()?;
        let trust_below = self
            .trust_below
            .map(u8::try_from)
            .transpose()
            .map_err(|error| self.corrupt(&error))?;
        Ok(Policy {
            id: self.id.uuid(),
            name: self.name.clone(),
            effect: effect_of(&self.effect).ok_or_else(|| self.corrupt(&"unknown effect"))?,
            capability: CapabilityPattern::try_from(self.capability.as_str())
                .map_err(|error| self.corrupt(&error))?,
            resources,
            agent_types: list(&self.agent_types)
                .ok_or_else(|| self.corrupt(&"agent_types is not a list of texts"))?,
            trust_below,
        })
    }

    fn corrupt(&self, problem: &dyn std::fmt::Display) -> Error {
        Error::Corrupt(format!("policy {}: {problem}", self.id))
    }
}

/// The list of texts in a column; nothing when it holds anything else.
fn list(column: &Json) -> Option<Vec<String>> {
    serde_json::from_value(column.0.clone()).ok()
}

/// The effect of that name.
#[must_use]
pub fn effect_of(name: &str) -> Option<PolicyEffect> {
    [PolicyEffect::Deny, PolicyEffect::RequireApproval]
        .into_iter()
        .find(|effect| effect_name(*effect) == name)
}

/// The name of an effect, as it is stored and sent.
#[must_use]
pub const fn effect_name(effect: PolicyEffect) -> &'static str {
    match effect {
        PolicyEffect::Deny => "deny",
        PolicyEffect::RequireApproval => "require_approval",
    }
}

/// All policies of the organisation, oldest first.
///
/// # Errors
/// The database's.
pub fn all(db: &mut Db, organization: OrganizationId) -> Result<Vec<PolicyRow>> {
    Ok(each!(db, c => policies::table
        .filter(policies::org_id.eq(organization))
        .order(policies::id)
        .select(PolicyRow::as_select())
        .load(c))?)
}

/// The restrictions of one agent that hold at `now`, each as the policy that it is for this agent: a person
/// approves whatever it does. Whoever adds or lifts one bumps the agent's epoch.
///
/// # Errors
/// The database's.
pub fn restrictions(
    db: &mut Db,
    organization: OrganizationId,
    agent: AgentId,
    now: Timestamp,
) -> Result<Vec<Policy>> {
    let rows: Vec<(PolicyId, String)> = each!(db, c => agent_restrictions::table
        .filter(agent_restrictions::org_id.eq(organization))
        .filter(agent_restrictions::agent_id.eq(agent))
        .filter(agent_restrictions::expires_at.gt(now))
        .order(agent_restrictions::id)
        .select((agent_restrictions::id, agent_restrictions::reason))
        .load(c))?;
    let everything =
        CapabilityPattern::try_from("*").map_err(|invalid| Error::Corrupt(invalid.problem.clone()))?;
    Ok(rows
        .into_iter()
        .map(|(id, name)| Policy {
            id: id.uuid(),
            name,
            effect: PolicyEffect::RequireApproval,
            capability: everything.clone(),
            resources: Vec::new(),
            agent_types: Vec::new(),
            trust_below: None,
        })
        .collect())
}

/// Tells every node that the organisation's policies changed. It locks the organisation's row, so that
/// whoever changes policies does so one after the other. `false`: there is no such organisation.
///
/// # Errors
/// The database's.
pub fn bump_epoch(db: &mut Db, organization: OrganizationId) -> Result<bool> {
    let changed = each!(db, c => diesel::update(organizations::table.find(organization))
        .set(organizations::policy_epoch.eq(organizations::policy_epoch + 1))
        .execute(c))?;
    Ok(changed == 1)
}

/// Stores a new policy.
///
/// # Errors
/// The database's; a unique violation when the name is taken.
pub fn insert(db: &mut Db, row: &PolicyRow) -> Result<()> {
    each!(db, c => diesel::insert_into(policies::table).values(row).execute(c))?;
    Ok(())
}

/// How many policies the organisation has.
///
/// # Errors
/// The database's.
pub fn count(db: &mut Db, organization: OrganizationId) -> Result<i64> {
    Ok(each!(db, c => policies::table.filter(policies::org_id.eq(organization)).count().get_result(c))?)
}

/// A page of policies, newest first.
///
/// # Errors
/// The database's.
pub fn page(
    db: &mut Db,
    organization: OrganizationId,
    before: Option<PolicyId>,
    limit: i64,
    offset: i64,
) -> Result<Vec<PolicyRow>> {
    Ok(each!(db, c => {
        let mut query = policies::table.filter(policies::org_id.eq(organization)).into_boxed();
        if let Some(before) = before {
            query = query.filter(policies::id.lt(before));
        }
        query.order(policies::id.desc()).limit(limit).offset(offset).select(PolicyRow::as_select()).load(c)
    })?)
}

/// Removes a policy, and answers what it was.
///
/// # Errors
/// The database's.
pub fn remove(db: &mut Db, organization: OrganizationId, id: PolicyId) -> Result<Option<PolicyRow>> {
    let found = each!(db, c => policies::table
        .find((organization, id))
        .select(PolicyRow::as_select())
        .get_result(c)
        .optional())?;
    if found.is_some() {
        each!(db, c => diesel::delete(policies::table.find((organization, id))).execute(c))?;
    }
    Ok(found)
}
