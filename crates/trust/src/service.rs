//! What can be asked and done about trust: one transaction a use case.

use aim_audit::Entry;
use aim_core::{AgentId, Code, Ctx, Error, Id, PageRequest, Result, id::uuid_at};
use aim_platform::Kernel;
use aim_store::Db;
use chrono::TimeDelta;
use serde_json::json;

use crate::{
    gather::day_of,
    model::{
        AdjustmentList, AdjustmentView, DayScore, FactorView, HistoryEntry, MOST_IN_FORCE, Marker,
        NewAdjustment, TrustBreakdown, TrustHistory, TrustScoreView,
    },
    policy::Level,
    recompute,
    score::{AdjustmentId, Inputs, Outcome, compute},
    store::{self, AdjustmentRow, ScoreRow},
    trends::Spreads,
    words,
};

/// How many days a history goes back in days and markers.
pub const HISTORY_DAYS: i64 = 90;
/// How many markers a history has at most.
const MARKERS: i64 = 100;

/// The use cases of trust.
#[derive(Clone)]
pub struct TrustService {
    pub(crate) kernel: Kernel,
    pub(crate) spreads: Spreads,
}

/// An agent's score, what it was computed from, and what that comes to.
type Standing = (String, Option<ScoreRow>, Option<(Inputs, Outcome)>);

impl TrustService {
    /// The use cases on this kernel's store and settings.
    #[must_use]
    pub fn new(kernel: &Kernel) -> Self {
        Self {
            kernel: kernel.clone(),
            spreads: Spreads::new(),
        }
    }

    async fn standing(&self, ctx: &Ctx, agent: AgentId) -> Result<Standing> {
        ctx.acts_for(agent)?;
        let organization = ctx.organization;
        self.kernel
            .store
            .read(organization, move |db| {
                let name = store::agent_name(db, organization, agent)?.ok_or_else(Error::not_found)?;
                let row = store::score(db, organization, agent)?;
                let known = match row.as_ref().and_then(|row| row.inputs.as_ref()) {
                    Some(stored) => {
                        let inputs: Inputs = serde_json::from_value(stored.0.clone()).map_err(|error| {
                            aim_store::Error::Corrupt(format!("trust inputs of {agent}: {error}"))
                        })?;
                        let outcome = compute(&inputs);
                        Some((inputs, outcome))
                    }
                    None => None,
                };
                Ok((name, row, known))
            })
            .await
    }

    /// An agent's score as it stands.
    ///
    /// # Errors
    /// `resource.not_found` for an agent that is unknown, deleted, of another tenant, or not the caller
    /// itself when that is an agent.
    pub async fn score(&self, ctx: &Ctx, agent: AgentId) -> Result<TrustScoreView> {
        let (agent_name, row, known) = self.standing(ctx, agent).await?;
        let rules = self.kernel.config.trust;
        let (events, minimum_events) = known.as_ref().map_or((0, rules.minimum_events), |(inputs, _)| {
            (inputs.decisions.total(), inputs.minimum_events)
        });
        let trust_score = row.as_ref().and_then(|row| row.score);
        let reason = match (&known, trust_score) {
            (_, Some(_)) => None,
            (None, None) => Some("not computed yet; it is within seconds".to_owned()),
            (Some(_), None) => Some(format!(
                "too little is recorded: {events} of {minimum_events} decided actions"
            )),
        };
        Ok(TrustScoreView {
            agent_id: agent,
            agent_name,
            trust_score,
            computed_score: known.as_ref().and_then(|(_, outcome)| outcome.computed),
            status: if trust_score.is_some() {
                "scored"
            } else {
                "unscored"
            }
            .to_owned(),
            reason,
            level: row.as_ref().map_or(Level::None, |row| Level::parse(&row.level)),
            events,
            minimum_events,
            adjustment: known.as_ref().map_or(0, |(inputs, _)| {
                inputs.adjustments.iter().map(|adjustment| adjustment.delta).sum()
            }),
            calculated_at: row.as_ref().and_then(|row| row.computed_at),
            changed_at: row.as_ref().and_then(|row| row.changed_at),
        })
    }

    /// What an agent's score is made of.
    ///
    /// # Errors
    /// As [`Self::score`].
    pub async fn breakdown(&self, ctx: &Ctx, agent: AgentId) -> Result<TrustBreakdown> {
        let (agent_name, row, known) = self.standing(ctx, agent).await?;
        let details = known
            .as_ref()
            .map(|(inputs, outcome)| FactorView::all(inputs, outcome))
            .unwrap_or_default();
        let name = |factor: &FactorView| factor.factor.name().to_owned();
        let confidence = known.as_ref().map_or(0.0, |(_, outcome)| {
            outcome.weight_with_data() as f64 / outcome.weight().max(1) as f64
        });
        Ok(TrustBreakdown {
            agent_id: agent,
            agent_name,
            overall: row.as_ref().and_then(|row| row.score),
            factors: details
                .iter()
                .map(|factor| (name(factor), factor.value))
                .collect(),
            weights: details
                .iter()
                .map(|factor| (name(factor), factor.weight))
                .collect(),
            contributions: details
                .iter()
                .map(|factor| (name(factor), factor.contribution))
                .collect(),
            confidence: (confidence * 100.0).round() / 100.0,
            calculated_at: row.and_then(|row| row.computed_at),
            details,
            inputs: known.map(|(inputs, _)| inputs),
        })
    }

    /// How an agent's score came to be what it is.
    ///
    /// # Errors
    /// As [`Self::score`].
    pub async fn history(&self, ctx: &Ctx, agent: AgentId, page: PageRequest) -> Result<TrustHistory> {
        ctx.acts_for(agent)?;
        let organization = ctx.organization;
        let from = day_of(ctx.now) - TimeDelta::days(HISTORY_DAYS);
        self.kernel
            .store
            .read(organization, move |db| {
                let agent_name = store::agent_name(db, organization, agent)?.ok_or_else(Error::not_found)?;
                let before = page.cursor.map(|cursor| Id::from_uuid(cursor.0));
                let rows = store::history(db, organization, agent, before, page.fetch(), page.offset)?;
                let (rows, next_cursor) = page.cut(rows, |row| row.id.uuid());
                let days = store::days_of(db, organization, agent, from)?;
                let events = store::events_of(db, organization, agent, from, MARKERS)?;
                Ok(TrustHistory {
                    agent_id: agent,
                    agent_name,
                    history: rows.into_iter().map(HistoryEntry::of).collect(),
                    total: store::count_history(db, organization, agent)?,
                    limit: page.limit,
                    offset: page.offset,
                    next_cursor,
                    days: days
                        .into_iter()
                        .map(|(day, trust_score)| DayScore { day, trust_score })
                        .collect(),
                    markers: events
                        .into_iter()
                        .map(|event| Marker {
                            leaf_index: event.leaf_index,
                            words: words::of_action(&event.action).to_owned(),
                            action: event.action,
                            timestamp: event.created_at,
                        })
                        .collect(),
                })
            })
            .await
    }

    /// An agent's adjustments, newest first.
    ///
    /// # Errors
    /// As [`Self::score`].
    pub async fn adjustments(&self, ctx: &Ctx, agent: AgentId, page: PageRequest) -> Result<AdjustmentList> {
        ctx.acts_for(agent)?;
        let (organization, now) = (ctx.organization, ctx.now);
        self.kernel
            .store
            .read(organization, move |db| {
                store::agent_name(db, organization, agent)?.ok_or_else(Error::not_found)?;
                let before = page.cursor.map(|cursor| Id::from_uuid(cursor.0));
                let rows = store::adjustments(db, organization, agent, before, page.fetch(), page.offset)?;
                let (rows, next_cursor) = page.cut(rows, |row| row.id.uuid());
                Ok(AdjustmentList {
                    adjustments: rows.into_iter().map(|row| AdjustmentView::of(row, now)).collect(),
                    total: store::count_adjustments(db, organization, agent, None)?,
                    limit: page.limit,
                    offset: page.offset,
                    next_cursor,
                })
            })
            .await
    }

    /// Adjusts an agent's score by hand, until a moment. It counts from this transaction on.
    ///
    /// # Errors
    /// `request.field_invalid` by field, `resource.not_found`, `resource.state` when too many are in force.
    pub async fn adjust(&self, ctx: &Ctx, agent: AgentId, new: NewAdjustment) -> Result<AdjustmentView> {
        new.check(ctx.now)?;
        let (ctx, rules) = (ctx.clone(), self.kernel.config.trust);
        self.kernel
            .store
            .write(ctx.organization, move |db| {
                let name = locked(db, &ctx, agent)?;
                let in_force = store::count_adjustments(db, ctx.organization, agent, Some(ctx.now))?;
                if in_force >= MOST_IN_FORCE {
                    let help = format!(
                        "{MOST_IN_FORCE} adjustments of this agent are in force; withdraw some first"
                    );
                    return Err(Error::new(Code::StateConflict, help).into());
                }
                let row = AdjustmentRow {
                    org_id: ctx.organization,
                    id: AdjustmentId::from_uuid(uuid_at(ctx.now)),
                    agent_id: agent,
                    delta: new.delta,
                    reason: new.reason.trim().to_owned(),
                    created_by: ctx.actor_text(),
                    created_at: ctx.now,
                    expires_at: new.expires_at,
                    withdrawn_at: None,
                    withdrawn_by: None,
                };
                store::add_adjustment(db, &row)?;
                let mut entries = vec![
                    Entry::event(&ctx, "trust.adjusted")
                        .agent(agent)
                        .target("trust_adjustment", row.id)
                        .facts(json!({"delta": row.delta, "expires_at": row.expires_at}))
                        .details(json!({"agent_name": name, "reason": row.reason})),
                ];
                entries.extend(recompute::at_once(db, &ctx, &[agent], &rules)?);
                let view = AdjustmentView::of(row, ctx.now);
                aim_audit::append(db, entries)?;
                Ok(view)
            })
            .await
    }

    /// Withdraws an adjustment before it ends by itself.
    ///
    /// # Errors
    /// `resource.not_found`, `resource.state` when it has ended.
    pub async fn withdraw(&self, ctx: &Ctx, agent: AgentId, adjustment: AdjustmentId) -> Result<()> {
        let (ctx, rules) = (ctx.clone(), self.kernel.config.trust);
        self.kernel
            .store
            .write(ctx.organization, move |db| {
                let name = locked(db, &ctx, agent)?;
                let by = ctx.actor_text();
                match store::withdraw(db, ctx.organization, agent, adjustment, ctx.now, &by)? {
                    None => return Err(Error::not_found().into()),
                    Some(false) => {
                        return Err(
                            Error::new(Code::StateConflict, "the adjustment has ended already").into(),
                        );
                    }
                    Some(true) => {}
                }
                let mut entries = vec![
                    Entry::event(&ctx, "trust.adjustment_withdrawn")
                        .agent(agent)
                        .target("trust_adjustment", adjustment)
                        .details(json!({"agent_name": name})),
                ];
                entries.extend(recompute::at_once(db, &ctx, &[agent], &rules)?);
                aim_audit::append(db, entries)?;
                Ok(())
            })
            .await
    }
}

/// The agent's name; whoever else computes its score waits until this transaction ends.
fn locked(db: &mut Db, ctx: &Ctx, agent: AgentId) -> aim_store::Result<String> {
    let name = store::agent_name(db, ctx.organization, agent)?.ok_or_else(Error::not_found)?;
    store::lock_scores(db, ctx.organization, &[agent])?;
    Ok(name)
}
