//! Use cases of threat detection, one transaction each.

use std::collections::BTreeMap;

use aim_audit::Entry;
use aim_core::{Ctx, Error, Result, Timestamp};
use aim_platform::{Kernel, ThreatLimits};
use aim_store::{Result as StoreResult, Store};
use chrono::TimeDelta;
use serde_json::json;

use crate::{
    detector::{AddedDetector, AnyDetector, Response},
    model::{
        DetectorPolicy, FindingFilter, FindingId, FindingList, FindingStatus, FindingView, HoneytokenList,
        HoneytokenView, PolicyList, PutHoneytokens, PutPolicies, ReviewFinding,
    },
    respond,
    store::{self, HoneytokenRow, PolicyRow},
};

/// Findings, what they lead to, and honeytokens. Cloning is cheap.
#[derive(Clone)]
pub struct ThreatService {
    store: Store,
    limits: ThreatLimits,
    added: &'static [AddedDetector],
}

impl ThreatService {
    /// The service of this installation.
    #[must_use]
    pub fn new(kernel: &Kernel) -> Self {
        Self::with(kernel, &[])
    }

    /// The same, with the detectors that an edition adds.
    #[must_use]
    pub fn with(kernel: &Kernel, added: &'static [AddedDetector]) -> Self {
        Self {
            store: kernel.store.clone(),
            limits: kernel.config.threats,
            added,
        }
    }

    /// The detectors that an edition adds.
    #[must_use]
    pub const fn added(&self) -> &'static [AddedDetector] {
        self.added
    }

    /// A page of findings, newest first.
    ///
    /// # Errors
    /// The database's.
    pub async fn list(&self, ctx: &Ctx, filter: FindingFilter) -> Result<FindingList> {
        let organization = ctx.organization;
        self.store
            .read(organization, move |db| {
                let rows = store::page(db, organization, &filter)?;
                let (rows, next_cursor) = filter.page.cut(rows, |row| row.id.uuid());
                let threats = rows
                    .into_iter()
                    .map(FindingView::of)
                    .collect::<StoreResult<Vec<_>>>()?;
                Ok(FindingList {
                    threats,
                    limit: filter.page.limit,
                    next_cursor,
                })
            })
            .await
    }

    /// One finding.
    ///
    /// # Errors
    /// 404 for an unknown one.
    pub async fn get(&self, ctx: &Ctx, id: FindingId) -> Result<FindingView> {
        let organization = ctx.organization;
        self.store
            .read(organization, move |db| {
                let row = store::find(db, organization, id, false)?.ok_or_else(Error::not_found)?;
                FindingView::of(row)
            })
            .await
    }

    /// Marks a finding as false or handled. Either lifts the restriction that it led to; a suspended agent
    /// stays suspended until somebody reactivates it. A false one keeps the same subject quiet for a while.
    ///
    /// # Errors
    /// 404 for an unknown one, 422 naming a field.
    pub async fn review(&self, ctx: &Ctx, id: FindingId, review: ReviewFinding) -> Result<FindingView> {
        let status = review.check()?;
        let note = review.note.trim().to_owned();
        let quiet = TimeDelta::days(self.limits.false_positive_days);
        let ctx = ctx.clone();
        self.store
            .write(ctx.organization, move |db| {
                let mut row = store::find(db, ctx.organization, id, true)?.ok_or_else(Error::not_found)?;
                status.as_str().clone_into(&mut row.status);
                row.quiet_until = (status == FindingStatus::FalsePositive).then(|| ctx.now + quiet);
                row.reviewed_by = Some(ctx.actor_text());
                row.reviewed_at = Some(ctx.now);
                row.review_note = Some(note.clone());
                store::save(db, &row)?;
                let reviewed = Entry::event(&ctx, "threat.reviewed")
                    .target("threat_finding", row.id)
                    .facts(json!({
                        "detector": row.detector,
                        "status": status.as_str(),
                        "quiet_until": row.quiet_until,
                    }))
                    .details(json!({ "subject": row.subject, "note": note }));
                let mut entries = Vec::new();
                if let Some(agent) = row.agent_id {
                    let by = respond::created_by(row.id);
                    for restriction in store::restrictions(db, ctx.organization, agent, &by)? {
                        entries.extend(respond::lift(db, &ctx, &restriction, "the finding was reviewed")?);
                    }
                    entries.push(reviewed.agent(agent));
                } else {
                    entries.push(reviewed);
                }
                let view = FindingView::of(row)?;
                aim_audit::append(db, entries)?;
                Ok(view)
            })
            .await
    }

    /// What every detector's findings lead to.
    ///
    /// # Errors
    /// The database's.
    pub async fn policies(&self, ctx: &Ctx) -> Result<PolicyList> {
        let organization = ctx.organization;
        let rows = self
            .store
            .read(organization, move |db| store::policies(db, &[organization]))
            .await?;
        Ok(policy_list(&rows, self.added))
    }

    /// Changes what findings lead to, from the next one on. What was restricted or suspended before stays so.
    ///
    /// # Errors
    /// 422 naming the detector.
    pub async fn put_policies(&self, ctx: &Ctx, put: PutPolicies) -> Result<PolicyList> {
        let responses = put.check(self.added)?;
        let ctx = ctx.clone();
        let rows = self
            .store
            .write(ctx.organization, move |db| {
                for (detector, response) in &responses {
                    store::put_policy(
                        db,
                        &PolicyRow {
                            org_id: ctx.organization,
                            detector: (*detector).to_owned(),
                            response: response.as_str().to_owned(),
                            updated_by: ctx.actor_text(),
                            updated_at: ctx.now,
                        },
                    )?;
                }
                let rows = store::policies(db, &[ctx.organization])?;
                let named: BTreeMap<&str, &str> = responses
                    .iter()
                    .map(|(detector, response)| (*detector, response.as_str()))
                    .collect();
                let entry =
                    Entry::event(&ctx, "threat_policies.changed").facts(json!({ "responses": named }));
                aim_audit::append(db, vec![entry])?;
                Ok(rows)
            })
            .await?;
        Ok(policy_list(&rows, self.added))
    }

    /// The organisation's honeytokens.
    ///
    /// # Errors
    /// The database's.
    pub async fn honeytokens(&self, ctx: &Ctx) -> Result<HoneytokenList> {
        let organization = ctx.organization;
        let rows = self
            .store
            .read(organization, move |db| store::honeytokens(db, &[organization]))
            .await?;
        Ok(honeytoken_list(rows))
    }

    /// Makes these the organisation's honeytokens, and no others.
    ///
    /// # Errors
    /// 422 naming the entry.
    pub async fn put_honeytokens(&self, ctx: &Ctx, put: PutHoneytokens) -> Result<HoneytokenList> {
        let wanted = put.check()?;
        let ctx = ctx.clone();
        let rows = self
            .store
            .write(ctx.organization, move |db| {
                let there = store::honeytokens(db, &[ctx.organization])?;
                for row in there.iter().filter(|row| !wanted.contains_key(&row.capability)) {
                    store::remove_honeytoken(db, ctx.organization, &row.capability)?;
                }
                for (capability, note) in &wanted {
                    let before = there.iter().find(|row| row.capability == *capability);
                    let kept = before.map(|row| row.note.clone()).unwrap_or_default();
                    store::put_honeytoken(
                        db,
                        &HoneytokenRow {
                            org_id: ctx.organization,
                            capability: capability.clone(),
                            note: note.clone().unwrap_or(kept),
                            created_by: ctx.actor_text(),
                            created_at: ctx.now,
                        },
                    )?;
                }
                let rows = store::honeytokens(db, &[ctx.organization])?;
                // Which capabilities they are is for those who may see them, not for every reader of the log.
                let names: Vec<&String> = wanted.keys().collect();
                let entry = Entry::event(&ctx, "threat_honeytokens.changed")
                    .facts(json!({ "count": wanted.len() }))
                    .details(json!({ "capabilities": names }));
                aim_audit::append(db, vec![entry])?;
                Ok(rows)
            })
            .await?;
        Ok(honeytoken_list(rows))
    }
}

fn policy_list(rows: &[PolicyRow], added: &'static [AddedDetector]) -> PolicyList {
    let policies = AnyDetector::all(added).map(|detector| {
        let row = rows.iter().find(|row| row.detector == detector.as_str());
        let set: Option<(Response, &String, Timestamp)> =
            row.and_then(|row| Some((Response::parse(&row.response)?, &row.updated_by, row.updated_at)));
        DetectorPolicy {
            detector: detector.as_str().to_owned(),
            title: detector.title().to_owned(),
            rule: detector.rule().to_owned(),
            owasp: detector.owasp().to_owned(),
            mitre: detector.mitre().to_owned(),
            response: set.map_or(Response::Alert, |(response, ..)| response),
            strongest: detector.strongest(),
            updated_by: set.map(|(_, by, _)| by.clone()),
            updated_at: set.map(|(.., at)| at),
        }
    });
    PolicyList {
        policies: policies.collect(),
    }
}

fn honeytoken_list(rows: Vec<HoneytokenRow>) -> HoneytokenList {
    let honeytokens = rows.into_iter().map(|row| HoneytokenView {
        capability: row.capability,
        note: row.note,
        created_by: row.created_by,
        created_at: row.created_at,
    });
    HoneytokenList {
        honeytokens: honeytokens.collect(),
    }
}
