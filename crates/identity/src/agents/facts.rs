//! What pages show around agents: what the list can be filtered by, what an agent did lately, and the names
//! of actors. Reading only; every query names the tenant.

use std::collections::{BTreeMap, HashMap};

use aim_core::{AgentId, ApiKeyId, Ctx, DecisionId, OrganizationId, Result, Timestamp, UserId};
use aim_store::{
    Db, Result as StoreResult, each,
    schema::{agent_activity, agents, api_keys, decisions, users},
};
use chrono::TimeDelta;
use diesel::{ExpressionMethods, QueryDsl, RunQueryDsl, SelectableHelper};

use super::{AgentService, store};

/// The most choices that a filter offers.
const MOST_CHOICES: i64 = 200;

/// What the organisation's agents can be told apart by.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Facets {
    /// The types that agents have, in order.
    pub(crate) types: Vec<String>,
    /// Those who own agents.
    pub(crate) owners: Vec<UserId>,
}

/// An agent's decisions of a day (UTC), and the requests of it that were refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct DayOfDecisions {
    pub(crate) day: Timestamp,
    pub(crate) approved: i64,
    pub(crate) denied: i64,
    pub(crate) pending: i64,
    pub(crate) refused: i64,
}

/// A decision in one line.
#[derive(Debug, Clone, PartialEq, Eq, diesel::Queryable, diesel::Selectable)]
#[diesel(table_name = decisions)]
pub(crate) struct RecentDecision {
    pub(crate) id: DecisionId,
    pub(crate) action: String,
    pub(crate) resource: Option<String>,
    /// `approved`, `denied` or `pending`, as it stands.
    pub(crate) status: String,
    pub(crate) created_at: Timestamp,
    leaf_index: i64,
}

impl AgentService {
    /// Who can be given an agent: active users by name, the first few hundred.
    pub(crate) async fn possible_owners(&self, ctx: &Ctx) -> Result<Vec<(UserId, String)>> {
        let organization = ctx.organization;
        self.store()
            .read(organization, move |db| store::possible_owners(db, organization))
            .await
    }

    /// What the list can be filtered by.
    pub(crate) async fn facets(&self, ctx: &Ctx) -> Result<Facets> {
        let organization = ctx.organization;
        self.store()
            .read(organization, move |db| {
                let types = each!(db, c => agents::table
                    .filter(agents::org_id.eq(organization))
                    .select(agents::agent_type)
                    .distinct()
                    .order(agents::agent_type)
                    .limit(MOST_CHOICES)
                    .load(c))?;
                let owners: Vec<Option<UserId>> = each!(db, c => agents::table
                    .filter(agents::org_id.eq(organization))
                    .filter(agents::owner_id.is_not_null())
                    .select(agents::owner_id)
                    .distinct()
                    .limit(MOST_CHOICES)
                    .load(c))?;
                Ok(Facets {
                    types,
                    owners: owners.into_iter().flatten().collect(),
                })
            })
            .await
    }

    /// The agent's decisions of the last `days` days, today included, a row each.
    pub(crate) async fn decisions_by_day(
        &self,
        ctx: &Ctx,
        agent: AgentId,
        days: i64,
    ) -> Result<Vec<DayOfDecisions>> {
        const DAY: i64 = 24 * 60 * 60 * 1_000_000;
        let organization = ctx.organization;
        let today = ctx.now.timestamp_micros().div_euclid(DAY) * DAY;
        let moment =
            |micros: i64| chrono::DateTime::from_timestamp_micros(micros).map_or(ctx.now, Timestamp::new);
        let mut found: BTreeMap<i64, DayOfDecisions> = (0..days)
            .map(|back| today - back * DAY)
            .map(|start| {
                let empty = DayOfDecisions {
                    day: moment(start),
                    approved: 0,
                    denied: 0,
                    pending: 0,
                    refused: 0,
                };
                (start, empty)
            })
            .collect();
        let since = moment(today) - TimeDelta::days(days - 1);
        let hours: Vec<(Timestamp, i64, i64, i64, i64)> = self
            .store()
            .read(organization, move |db| {
                Ok(each!(db, c => agent_activity::table
                    .filter(agent_activity::org_id.eq(organization))
                    .filter(agent_activity::agent_id.eq(agent))
                    .filter(agent_activity::hour.ge(since))
                    .select((
                        agent_activity::hour,
                        agent_activity::approved,
                        agent_activity::denied,
                        agent_activity::pending,
                        agent_activity::refused,
                    ))
                    .load(c))?)
            })
            .await?;
        for (hour, approved, denied, pending, refused) in hours {
            let start = hour.timestamp_micros().div_euclid(DAY) * DAY;
            if let Some(day) = found.get_mut(&start) {
                day.approved += approved;
                day.denied += denied;
                day.pending += pending;
                day.refused += refused;
            }
        }
        Ok(found.into_values().collect())
    }

    /// The agent's last decisions, newest first.
    pub(crate) async fn recent_decisions(
        &self,
        ctx: &Ctx,
        agent: AgentId,
        limit: i64,
    ) -> Result<Vec<RecentDecision>> {
        let organization = ctx.organization;
        self.store()
            .read(organization, move |db| {
                // An agent's decisions are indexed by their leaves.
                let filter = aim_audit::Filter {
                    agent_id: Some(agent),
                    kind: Some("decision".to_owned()),
                    ..aim_audit::Filter::default()
                };
                let leaves = aim_audit::page(db, organization, &filter, limit)?;
                let ids: Vec<DecisionId> = leaves
                    .iter()
                    .filter_map(|leaf| leaf.target_id.as_deref()?.parse().ok())
                    .collect();
                let mut recent: Vec<RecentDecision> = each!(db, c => decisions::table
                    .filter(decisions::org_id.eq(organization))
                    .filter(decisions::id.eq_any(&ids))
                    .select(RecentDecision::as_select())
                    .load(c))?;
                recent.sort_unstable_by_key(|decision| std::cmp::Reverse(decision.leaf_index));
                Ok(recent)
            })
            .await
    }

    /// The names of these actors (`kind:id`); those that have none, or none here, are left out.
    pub(crate) async fn names(&self, ctx: &Ctx, actors: Vec<String>) -> Result<HashMap<String, String>> {
        let organization = ctx.organization;
        self.store()
            .read(organization, move |db| names(db, organization, &actors))
            .await
    }
}

fn names(
    db: &mut Db,
    organization: OrganizationId,
    actors: &[String],
) -> StoreResult<HashMap<String, String>> {
    let mut found = HashMap::new();
    let people: Vec<UserId> = ids(actors, "user:");
    if !people.is_empty() {
        let rows: Vec<(UserId, String, String)> = each!(db, c => users::table
            .filter(users::org_id.eq(organization))
            .filter(users::id.eq_any(&people))
            .select((users::id, users::name, users::email))
            .load(c))?;
        found.extend(rows.into_iter().map(|(id, name, email)| {
            let shown = if name.trim().is_empty() { email } else { name };
            (format!("user:{id}"), shown)
        }));
    }
    let keys: Vec<ApiKeyId> = ids(actors, "api_key:");
    if !keys.is_empty() {
        let rows: Vec<(ApiKeyId, String)> = each!(db, c => api_keys::table
            .filter(api_keys::org_id.eq(organization))
            .filter(api_keys::id.eq_any(&keys))
            .select((api_keys::id, api_keys::name))
            .load(c))?;
        found.extend(
            rows.into_iter()
                .map(|(id, name)| (format!("api_key:{id}"), format!("API key {name}"))),
        );
    }
    let machines: Vec<AgentId> = ids(actors, "agent:");
    if !machines.is_empty() {
        let rows: Vec<(AgentId, String)> = each!(db, c => agents::table
            .filter(agents::org_id.eq(organization))
            .filter(agents::id.eq_any(&machines))
            .select((agents::id, agents::display_name))
            .load(c))?;
        found.extend(rows.into_iter().map(|(id, name)| (format!("agent:{id}"), name)));
    }
    Ok(found)
}

/// The ids of those actors that are of this kind.
fn ids<Id: std::str::FromStr>(actors: &[String], kind: &str) -> Vec<Id> {
    actors
        .iter()
        .filter_map(|actor| actor.strip_prefix(kind)?.parse().ok())
        .collect()
}
