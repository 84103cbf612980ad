//! Use cases of the access audit, one transaction each.

use std::collections::BTreeMap;

use aim_audit::Entry;
use aim_core::{AgentId, Ctx, Json, OrganizationId, Result, Timestamp};
use aim_platform::Kernel;
use aim_store::{Db, Store};
use aim_threats::model::FindingView;
use aim_violations::export::{CHUNK, Piece};
use serde_json::json;

use super::{
    lists,
    model::{
        AccessCounts, AccessFilter, AccessId, AccessList, AccessPoint, AccessQuery, AccessSummary,
        AccessView, SummaryQuery,
    },
    settings::{Thresholds, ThresholdsView},
    store::{self, AccessRow, SettingsRow},
};
use crate::{
    agent_choice::AgentChoice,
    vault::{VaultService, service::refuse_agents},
};

/// How many pairs a summary names.
const PAIRS: i64 = 100;

/// Accesses, numbers, what is unused or broad, thresholds and honeytokens. Cloning is cheap.
#[derive(Clone)]
pub struct AccessService {
    pub(super) store: Store,
    pub(super) vault: VaultService,
}

impl From<AccessRow> for AccessView {
    fn from(row: AccessRow) -> Self {
        Self {
            id: row.id,
            decision_id: row.decision_id,
            path: row.path,
            agent_id: row.agent_id,
            actor: row.actor,
            at: row.at,
            outcome: row.outcome,
            version: row.version,
            delivery: row.delivery,
            decided_by: row.decided_by,
            reason_codes: serde_json::from_value(row.reasons.0).unwrap_or_default(),
            source_ip: row.source_ip,
            leaf_index: row.leaf_index,
        }
    }
}

impl AccessService {
    /// The agents to filter by.
    pub(super) async fn agents_to_choose(&self, ctx: &Ctx) -> Result<AgentChoice> {
        AgentChoice::load(&self.store, ctx).await
    }

    /// The use cases on this kernel's store; honeytokens are written into `vault`.
    #[must_use]
    pub fn new(kernel: &Kernel, vault: VaultService) -> Self {
        Self {
            store: kernel.store.clone(),
            vault,
        }
    }

    /// A page of accesses, newest first.
    ///
    /// # Errors
    /// `request.field_invalid` at a parameter.
    pub async fn list(&self, ctx: &Ctx, query: &AccessQuery) -> Result<AccessList> {
        refuse_agents(ctx)?;
        let filter = query.parse()?;
        let organization = ctx.organization;
        self.store
            .read(organization, move |db| {
                let before = filter.page.cursor.map(|cursor| AccessId::from_uuid(cursor.0));
                let rows = lists::accesses(db, organization, &filter, before, filter.page.fetch())?;
                let (rows, next_cursor) = filter.page.cut(rows, |row| row.id.uuid());
                Ok(AccessList {
                    accesses: rows.into_iter().map(AccessView::from).collect(),
                    limit: filter.page.limit,
                    next_cursor,
                })
            })
            .await
    }

    /// A piece of a file of accesses, and where the next one starts.
    pub(super) async fn piece(
        &self,
        ctx: &Ctx,
        filter: AccessFilter,
        before: Option<AccessId>,
    ) -> Result<Piece<AccessId>> {
        refuse_agents(ctx)?;
        let organization = ctx.organization;
        let rows = self
            .store
            .read(organization, move |db| {
                lists::accesses(db, organization, &filter, before, CHUNK)
            })
            .await?;
        let is_full = i64::try_from(rows.len()).is_ok_and(|count| count == CHUNK);
        let last = rows.last().map(|row| row.id).filter(|_| is_full);
        let mut text = if before.is_none() {
            aim_violations::export::csv([AccessView::CSV_HEADER])?
        } else {
            Vec::new()
        };
        let records = rows.into_iter().map(|row| AccessView::from(row).csv_record());
        text.append(&mut aim_violations::export::csv(records)?);
        Ok((text, last))
    }

    /// The numbers of a secret, an agent, both together, or the organisation.
    ///
    /// # Errors
    /// `request.field_invalid` at a parameter. What was never asked for has zeros: whether there is such a secret or agent
    /// is not told here.
    pub async fn summary(&self, ctx: &Ctx, query: &SummaryQuery) -> Result<AccessSummary> {
        refuse_agents(ctx)?;
        let (path, agent) = query.wanted()?;
        let span = query.span(ctx.now)?;
        let organization = ctx.organization;
        self.store
            .read(organization, move |db| {
                let about = (path.as_deref(), agent);
                let hours = store::hours(db, organization, about, span.from, span.to)?;
                let pairs = match about {
                    (None, None) => Vec::new(),
                    about => store::pairs(db, organization, about, PAIRS)?,
                };
                let mut points: BTreeMap<Timestamp, AccessCounts> = BTreeMap::new();
                let mut totals = AccessCounts::default();
                for row in &hours {
                    let point = points.entry(span.granularity.start_of(row.hour)).or_default();
                    for counts in [point, &mut totals] {
                        counts.approved += row.approved;
                        counts.denied += row.denied;
                        counts.pending += row.pending;
                    }
                }
                let series = span
                    .series(std::iter::empty())
                    .into_iter()
                    .map(|point| AccessPoint {
                        at: point.at,
                        counts: points.get(&point.at).copied().unwrap_or_default(),
                    });
                Ok(AccessSummary {
                    series: series.collect(),
                    first_read_at: pairs.iter().filter_map(|pair| pair.first_read_at).min(),
                    last_read_at: pairs.iter().filter_map(|pair| pair.last_read_at).max(),
                    pairs: pairs.into_iter().map(Into::into).collect(),
                    path,
                    agent_id: agent,
                    granularity: span.granularity,
                    from: span.from,
                    to: span.to,
                    totals,
                })
            })
            .await
    }

    /// What was found about accesses, of a secret or an agent if one is named; the latest first.
    pub(super) async fn findings(
        &self,
        ctx: &Ctx,
        path: Option<&str>,
        agent: Option<AgentId>,
        limit: i64,
    ) -> Result<Vec<FindingView>> {
        let (organization, path) = (ctx.organization, path.map(str::to_owned));
        self.store
            .read(organization, move |db| {
                store::findings(db, organization, path.as_deref(), agent, limit)?
                    .into_iter()
                    .map(FindingView::of)
                    .collect()
            })
            .await
    }

    /// The thresholds that hold.
    ///
    /// # Errors
    /// The database's.
    pub async fn thresholds(&self, ctx: &Ctx) -> Result<ThresholdsView> {
        refuse_agents(ctx)?;
        let organization = ctx.organization;
        let row = self
            .store
            .read(organization, move |db| {
                Ok(store::settings(db, &[organization])?.into_iter().next())
            })
            .await?;
        Ok(view_of(row))
    }

    /// Sets the thresholds, from the next access on. What is left out is the usual again.
    ///
    /// # Errors
    /// `request.field_invalid` at the threshold.
    pub async fn put_thresholds(&self, ctx: &Ctx, thresholds: Thresholds) -> Result<ThresholdsView> {
        refuse_agents(ctx)?;
        thresholds.check()?;
        let ctx = ctx.clone();
        self.store
            .write(ctx.organization, move |db| {
                let row = SettingsRow {
                    org_id: ctx.organization,
                    settings: Json::of(&thresholds),
                    updated_by: ctx.actor_text(),
                    updated_at: ctx.now,
                };
                store::put_settings(db, &row)?;
                let entry = Entry::event(&ctx, "vault_access.thresholds_changed")
                    .facts(json!({"thresholds": thresholds}));
                aim_audit::append(db, vec![entry])?;
                Ok(view_of(Some(row)))
            })
            .await
    }
}

/// The thresholds of an organisation.
pub(super) fn thresholds_of(db: &mut Db, organization: OrganizationId) -> aim_store::Result<Thresholds> {
    let row = store::settings(db, &[organization])?.into_iter().next();
    Ok(view_of(row).thresholds)
}

fn view_of(row: Option<SettingsRow>) -> ThresholdsView {
    // What another version of AIM wrote and this one does not understand is the usual.
    let set = row.and_then(|row| {
        let thresholds: Thresholds = serde_json::from_value(row.settings.0).ok()?;
        Some((thresholds, row.updated_by, row.updated_at))
    });
    match set {
        Some((thresholds, by, at)) => ThresholdsView {
            thresholds,
            updated_by: Some(by),
            updated_at: Some(at),
        },
        None => ThresholdsView {
            thresholds: Thresholds::default(),
            updated_by: None,
            updated_at: None,
        },
    }
}
