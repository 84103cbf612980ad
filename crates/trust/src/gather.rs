//! Reading what the score is made of: for many agents of one tenant at once, so that computing a hundred
//! costs few queries. Nothing is judged here but how an event's age weighs.

use std::collections::{HashMap, HashSet};

use aim_core::{
    AgentId, GrantId, Id, OrganizationId, Timestamp, UserId, ViolationId, id::UserKind, sql::DbUuid,
};
use aim_platform::TrustRules;
use aim_store::{
    Db, Result, each,
    schema::{agent_activity, agent_keys, agents, grants, users, violation_counts, violation_groups},
};
use chrono::{DurationRound, TimeDelta};
use diesel::{BoolExpressionMethods, ExpressionMethods, QueryDsl, RunQueryDsl, dsl::sql, sql_types::BigInt};

use crate::{
    elsewhere,
    schema::{trust_adjustments, trust_events},
    score::{
        CITED, Cited, Decisions, FORMULA, Factor, GRANT_REST_DAYS, Grants, InForce, Incidents, Inputs, Key,
        Mcp, OnFile, Violations, WINDOW_HALF_LIVES, count, decay,
    },
    words,
};

/// The granularity of days, and the sign for all capabilities, in `violation_counts`.
const DAYS: &str = "d";
const EVERY_CAPABILITY: &str = "";

/// The inputs of one agent, and what goes along with them.
#[derive(Debug, Clone)]
pub struct Gathered {
    /// The agent.
    pub agent: AgentId,
    /// What its score is computed from.
    pub inputs: Inputs,
    /// When something is known to change by itself: the key's or an adjustment's end.
    pub next_at: Option<Timestamp>,
}

#[derive(diesel::Queryable, diesel::Selectable)]
#[diesel(table_name = agents)]
struct AgentRow {
    id: AgentId,
    description: String,
    owner_id: Option<UserId>,
    repository_url: Option<String>,
    documentation_url: Option<String>,
    created_at: Timestamp,
}

/// What one agent's events came to.
#[derive(Default)]
struct Sums {
    decisions: Decisions,
    violations: Violations,
    key: Option<Key>,
    grants: Grants,
    mcp: Option<Mcp>,
    incidents: Incidents,
    adjustments: Vec<InForce>,
    cited: Vec<Cited>,
}

/// The start of the moment's day in UTC.
#[must_use]
pub fn day_of(moment: Timestamp) -> Timestamp {
    Timestamp::new(moment.duration_trunc(TimeDelta::days(1)).unwrap_or(*moment))
}

/// The inputs of these agents at `now`, without those that were deleted.
///
/// # Errors
/// The database's.
pub fn gather(
    db: &mut Db,
    organization: OrganizationId,
    of: &[AgentId],
    rules: &TrustRules,
    now: Timestamp,
) -> Result<Vec<Gathered>> {
    let found: Vec<AgentRow> = each!(db, c => agents::table
        .filter(agents::org_id.eq(organization))
        .filter(agents::id.eq_any(of))
        .filter(agents::deleted_at.is_null())
        .select(<AgentRow as diesel::SelectableHelper<_>>::as_select())
        .load(c))?;
    let window = Window {
        organization,
        now,
        from: day_of(now) - TimeDelta::days(rules.half_life_days * WINDOW_HALF_LIVES),
        half_life_days: rules.half_life_days,
    };
    let ids: Vec<AgentId> = found.iter().map(|row| row.id).collect();
    let mut sums: HashMap<AgentId, Sums> = ids.iter().map(|id| (*id, Sums::default())).collect();
    window.decisions(db, &ids, &mut sums)?;
    window.violations(db, &ids, &mut sums)?;
    window.keys(db, &ids, &mut sums)?;
    window.grants(db, &ids, &mut sums)?;
    window.incidents(db, &ids, &mut sums)?;
    window.adjustments(db, &ids, &mut sums)?;
    for (agent, servers) in elsewhere::connected(db, organization, &ids, now)? {
        if let Some(sum) = sums.get_mut(&agent) {
            sum.mcp = Some(servers.counts());
            sum.cited.extend(servers.cited(CITED));
        }
    }
    let owners = window.owners(db, &found)?;
    Ok(found
        .into_iter()
        .map(|row| {
            let sums = sums.remove(&row.id).unwrap_or_default();
            assemble(row, sums, &owners, rules, now)
        })
        .collect())
}

fn assemble(
    row: AgentRow,
    sums: Sums,
    owners: &HashSet<UserId>,
    rules: &TrustRules,
    now: Timestamp,
) -> Gathered {
    let ends = sums.adjustments.iter().map(|adjustment| adjustment.expires_at);
    let next_at = sums
        .key
        .iter()
        .map(|key| key.expires_at)
        .chain(ends)
        .filter(|end| *end > now)
        .min();
    let has = |text: &Option<String>| text.as_ref().is_some_and(|text| !text.is_empty());
    Gathered {
        agent: row.id,
        next_at,
        inputs: Inputs {
            formula: FORMULA,
            at: now,
            half_life_days: rules.half_life_days,
            minimum_events: rules.minimum_events,
            weights: rules.weights,
            decisions: sums.decisions,
            violations: sums.violations,
            key: sums.key,
            grants: sums.grants,
            mcp: sums.mcp,
            on_file: OnFile {
                owner: row.owner_id.is_some_and(|owner| owners.contains(&owner)),
                description: !row.description.is_empty(),
                documentation: has(&row.documentation_url),
                repository: has(&row.repository_url),
                registered_at: row.created_at,
            },
            incidents: sums.incidents,
            adjustments: sums.adjustments,
            citations: sums.cited,
        },
    }
}

/// The tenant and the span of time that is looked at.
struct Window {
    organization: OrganizationId,
    now: Timestamp,
    from: Timestamp,
    half_life_days: i64,
}

impl Window {
    /// What an event of that day still weighs, in millionths.
    fn weight(&self, day: Timestamp) -> i64 {
        decay((day_of(self.now) - day_of(day)).num_days(), self.half_life_days)
    }

    fn decisions(&self, db: &mut Db, ids: &[AgentId], sums: &mut HashMap<AgentId, Sums>) -> Result<()> {
        // Whole days are added up by the database: up to 24 times fewer rows. Both dialects cut at midnight UTC.
        let (day, grouped) = if db.is_postgres() {
            (
                "(extract(epoch from hour)::bigint / 86400)",
                "agent_id, (extract(epoch from hour)::bigint / 86400)",
            )
        } else {
            ("(hour / 86400000000)", "agent_id, (hour / 86400000000)")
        };
        type Row = (AgentId, i64, i64, i64);
        let rows: Vec<Row> = each!(db, c => agent_activity::table
            .filter(agent_activity::org_id.eq(self.organization))
            .filter(agent_activity::agent_id.eq_any(ids))
            .filter(agent_activity::hour.ge(self.from))
            .group_by(sql::<BigInt>(grouped))
            .select((
                sql::<DbUuid>("agent_id"),
                sql::<BigInt>(day),
                sql::<BigInt>("CAST(sum(approved) AS bigint)"),
                sql::<BigInt>("CAST(sum(denied) AS bigint)"),
            ))
            .load(c))?;
        let today = day_of(self.now).timestamp() / 86_400;
        for (agent, day, approved, denied) in rows {
            let Some(sum) = sums.get_mut(&agent) else { continue };
            let weight = decay(today - day, self.half_life_days);
            sum.decisions.approved += approved;
            sum.decisions.denied += denied;
            sum.decisions.approved_weighted += approved.saturating_mul(weight);
            sum.decisions.denied_weighted += denied.saturating_mul(weight);
        }
        Ok(())
    }

    fn violations(&self, db: &mut Db, ids: &[AgentId], sums: &mut HashMap<AgentId, Sums>) -> Result<()> {
        type Row = (AgentId, Timestamp, String, i64);
        let rows: Vec<Row> = each!(db, c => violation_counts::table
            .filter(violation_counts::org_id.eq(self.organization))
            .filter(violation_counts::agent_id.eq_any(ids))
            .filter(violation_counts::granularity.eq(DAYS))
            .filter(violation_counts::attempted_capability.eq(EVERY_CAPABILITY))
            .filter(violation_counts::bucket.ge(self.from))
            .select((
                violation_counts::agent_id,
                violation_counts::bucket,
                violation_counts::severity,
                violation_counts::count,
            ))
            .load(c))?;
        for (agent, day, severity, count) in rows {
            let Some(sum) = sums.get_mut(&agent) else { continue };
            let violations = &mut sum.violations;
            let of_severity = match severity.as_str() {
                "critical" => &mut violations.critical,
                "high" => &mut violations.high,
                "medium" => &mut violations.medium,
                _ => &mut violations.low,
            };
            *of_severity += count;
            violations.points_weighted = violations.points_weighted.saturating_add(
                count
                    .saturating_mul(impact(&severity))
                    .saturating_mul(self.weight(day)),
            );
        }
        type Group = (AgentId, ViolationId, String, String, String, i64, Timestamp);
        let groups: Vec<Group> = each!(db, c => violation_groups::table
            .filter(violation_groups::org_id.eq(self.organization))
            .filter(violation_groups::agent_id.eq_any(ids))
            .filter(violation_groups::last_seen_at.ge(self.from))
            .order(violation_groups::last_violation_id.desc())
            .select((
                violation_groups::agent_id,
                violation_groups::last_violation_id,
                violation_groups::attempted_capability,
                violation_groups::reason_code,
                violation_groups::severity,
                violation_groups::count,
                violation_groups::last_seen_at,
            ))
            .load(c))?;
        for (agent, id, capability, reason, severity, times, at) in groups {
            let Some(sum) = sums.get_mut(&agent) else { continue };
            if sum
                .cited
                .iter()
                .filter(|cited| cited.factor == Factor::Violations)
                .count()
                < CITED
            {
                let note = format!(
                    "{capability} denied {}: {severity}, {reason}",
                    count(times, "time")
                );
                sum.cited
                    .push(cited(Factor::Violations, "violation", id.to_string(), at, note));
            }
        }
        Ok(())
    }

    fn keys(&self, db: &mut Db, ids: &[AgentId], sums: &mut HashMap<AgentId, Sums>) -> Result<()> {
        type Row = (AgentId, String, Timestamp, Timestamp, i64);
        let rows: Vec<Row> = each!(db, c => agent_keys::table
            .filter(agent_keys::org_id.eq(self.organization))
            .filter(agent_keys::agent_id.eq_any(ids))
            .filter(agent_keys::replaced_at.is_null())
            .filter(agent_keys::revoked_at.is_null())
            .order(agent_keys::sequence)
            .select((
                agent_keys::agent_id,
                agent_keys::fingerprint,
                agent_keys::created_at,
                agent_keys::expires_at,
                agent_keys::sequence,
            ))
            .load(c))?;
        for (agent, fingerprint, created_at, expires_at, sequence) in rows {
            let Some(sum) = sums.get_mut(&agent) else { continue };
            let note = match sequence {
                1 => "the first key was brought".to_owned(),
                _ => format!("key {sequence} took the place of the one before"),
            };
            sum.cited.retain(|cited| cited.factor != Factor::KeyHygiene);
            sum.cited.push(cited(
                Factor::KeyHygiene,
                "agent_key",
                fingerprint.clone(),
                created_at,
                note,
            ));
            sum.key = Some(Key {
                fingerprint,
                created_at,
                expires_at,
            });
        }
        Ok(())
    }

    fn grants(&self, db: &mut Db, ids: &[AgentId], sums: &mut HashMap<AgentId, Sums>) -> Result<()> {
        type Row = (AgentId, GrantId, String, Timestamp, Option<Timestamp>);
        let rows: Vec<Row> = each!(db, c => grants::table
            .filter(grants::org_id.eq(self.organization))
            .filter(grants::agent_id.eq_any(ids))
            .filter(grants::revoked_at.is_null())
            .filter(grants::expires_at.is_null().or(grants::expires_at.gt(self.now)))
            .filter(grants::effect.ne("deny"))
            .order(grants::id.desc())
            .select((
                grants::agent_id,
                grants::id,
                grants::capability,
                grants::granted_at,
                grants::last_used_at,
            ))
            .load(c))?;
        let since = self.now - TimeDelta::days(GRANT_REST_DAYS);
        for (agent, id, capability, granted_at, last_used_at) in rows {
            let Some(sum) = sums.get_mut(&agent) else { continue };
            if last_used_at.is_some_and(|used| used >= since) {
                sum.grants.used += 1;
            } else if granted_at < since {
                sum.grants.unused += 1;
                if sum.grants.unused <= i64::try_from(CITED).unwrap_or(i64::MAX) {
                    let note = format!("{capability} is granted and was not used for {GRANT_REST_DAYS} days");
                    sum.cited.push(cited(
                        Factor::CapabilityUse,
                        "grant",
                        id.to_string(),
                        last_used_at.unwrap_or(granted_at),
                        note,
                    ));
                }
            }
        }
        Ok(())
    }

    fn incidents(&self, db: &mut Db, ids: &[AgentId], sums: &mut HashMap<AgentId, Sums>) -> Result<()> {
        type Row = (AgentId, i64, String, i64, Timestamp);
        let rows: Vec<Row> = each!(db, c => trust_events::table
            .filter(trust_events::org_id.eq(self.organization))
            .filter(trust_events::agent_id.eq_any(ids))
            .filter(trust_events::points.gt(0))
            .filter(trust_events::created_at.ge(self.from))
            .order((trust_events::agent_id, trust_events::leaf_index.desc()))
            .select((
                trust_events::agent_id,
                trust_events::leaf_index,
                trust_events::action,
                trust_events::points,
                trust_events::created_at,
            ))
            .load(c))?;
        let mut before = None;
        for (agent, leaf, action, points, at) in rows {
            let Some(sum) = sums.get_mut(&agent) else { continue };
            // All keys revoked at once are one incident.
            let this = Some((agent, action.clone(), at));
            if before == this {
                continue;
            }
            before = this;
            sum.incidents.count += 1;
            sum.incidents.points_weighted += points.saturating_mul(self.weight(at));
            if sum.incidents.count <= i64::try_from(CITED).unwrap_or(i64::MAX) {
                let note = words::of_action(&action).to_owned();
                sum.cited.push(cited(
                    Factor::Incidents,
                    "audit_record",
                    leaf.to_string(),
                    at,
                    note,
                ));
            }
        }
        for finding in elsewhere::findings(db, self.organization, ids, self.from)? {
            let Some(sum) = sums.get_mut(&finding.agent) else {
                continue;
            };
            sum.incidents.count += 1;
            sum.incidents.points_weighted += finding.points().saturating_mul(self.weight(finding.at));
            sum.cited.push(finding.cited());
        }
        Ok(())
    }

    fn adjustments(&self, db: &mut Db, ids: &[AgentId], sums: &mut HashMap<AgentId, Sums>) -> Result<()> {
        type Row = (AgentId, crate::score::AdjustmentId, i64, Timestamp);
        let rows: Vec<Row> = each!(db, c => trust_adjustments::table
            .filter(trust_adjustments::org_id.eq(self.organization))
            .filter(trust_adjustments::agent_id.eq_any(ids))
            .filter(trust_adjustments::withdrawn_at.is_null())
            .filter(trust_adjustments::expires_at.gt(self.now))
            .order(trust_adjustments::id)
            .select((
                trust_adjustments::agent_id,
                trust_adjustments::id,
                trust_adjustments::delta,
                trust_adjustments::expires_at,
            ))
            .load(c))?;
        for (agent, id, delta, expires_at) in rows {
            if let Some(sum) = sums.get_mut(&agent) {
                sum.adjustments.push(InForce {
                    id,
                    delta,
                    expires_at,
                });
            }
        }
        Ok(())
    }

    /// Those of the owners that are active users.
    fn owners(&self, db: &mut Db, found: &[AgentRow]) -> Result<HashSet<UserId>> {
        let mut wanted: Vec<UserId> = found.iter().filter_map(|row| row.owner_id).collect();
        wanted.sort_unstable();
        wanted.dedup();
        let active: Vec<Id<UserKind>> = each!(db, c => users::table
            .filter(users::org_id.eq(self.organization))
            .filter(users::id.eq_any(&wanted))
            .filter(users::status.eq("active"))
            .select(users::id)
            .load(c))?;
        Ok(active.into_iter().collect())
    }
}

/// What a violation takes from the factor: its `trust_score_impact`, without the sign.
fn impact(severity: &str) -> i64 {
    match severity {
        "critical" => 15,
        "high" => 7,
        "medium" => 3,
        _ => 1,
    }
}

/// A citation.
pub(crate) fn cited(factor: Factor, kind: &str, id: String, at: Timestamp, note: String) -> Cited {
    Cited {
        factor,
        kind: kind.to_owned(),
        id,
        at,
        note,
    }
}
