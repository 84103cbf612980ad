//! The use cases around a verified action.

use aim_audit::Entry;
use aim_core::{Actor, AgentId, Code, Ctx, Cursor, DecisionId, Error, OrganizationId, PageRequest, Result};
use aim_crypto::digest::{self, hex};
use aim_decision::{Inputs, Outcome, Reason, Verdict, decide};
use aim_platform::{Kernel, NonceClaim};
use aim_store::{Db, Scope, Store};
use chrono::TimeDelta;
use serde_json::{Map, Value, json};

use super::{
    batch::{Decided, DecisionQueue, Item, Within},
    model::{
        ActionRequest, AuditPlace, DecisionFilter, DecisionList, DecisionView, ResultReport, ResultView,
        ReviewRequest,
    },
    snapshot,
    store::{self, DecisionRow},
};

/// What a pending action says once nobody approved it in time.
pub const APPROVAL_EXPIRED: &str = "approval.expired";
/// What a pending action says once a person rejected it.
pub const APPROVAL_REJECTED: &str = "approval.rejected";

/// Verifies actions, and lets people look at and answer them.
#[derive(Clone)]
pub struct VerificationService {
    store: Store,
    queue: DecisionQueue,
    /// How long an action waits for a person.
    approval: TimeDelta,
}

impl VerificationService {
    /// The service of this installation.
    #[must_use]
    pub fn new(kernel: &Kernel) -> Self {
        let approval = TimeDelta::minutes(kernel.config.approval_minutes);
        Self {
            store: kernel.store.clone(),
            queue: DecisionQueue::new(kernel.store.clone(), approval, kernel.refusals.clone()),
            approval,
        }
    }

    /// Decides an agent's action. When this answers, the decision is durable with its evidence.
    ///
    /// # Errors
    /// A malformed action, a replayed request, or `server.unavailable`: then nothing was allowed.
    pub async fn verify(
        &self,
        ctx: &Ctx,
        nonce: Option<NonceClaim>,
        scheme: &'static str,
        action: ActionRequest,
    ) -> Result<DecisionView> {
        self.verify_within(None, ctx, nonce, scheme, action).await
    }

    /// As [`Self::verify`], for a part of the server that acts on the decision itself: its name stands in the record of the
    /// decision, where no caller can write. If the action is approved, `look_up` runs in the transaction of the decision.
    ///
    /// # Errors
    /// As [`Self::verify`].
    pub async fn verify_within(
        &self,
        within: Option<Within>,
        ctx: &Ctx,
        nonce: Option<NonceClaim>,
        scheme: &'static str,
        action: ActionRequest,
    ) -> Result<DecisionView> {
        let Actor::Agent { id: agent, .. } = ctx.actor else {
            return Err(Error::new(
                Code::Forbidden,
                "only an agent can ask for its own action",
            ));
        };
        let name = action.check()?;
        let mut item = Item::new(ctx.clone(), agent, nonce, scheme, name);
        item.resource.clone_from(&action.resource);
        item.context = action.context;
        item.approval_requested = action.approval_requested;
        item.within = within;
        let decided = self.queue.decide(item).await?;
        Ok(view_of_new(ctx, agent, action.action, action.resource, decided))
    }

    /// A decision: an agent sees its own, people see their organisation's.
    ///
    /// # Errors
    /// `resource.not_found`.
    pub async fn get(&self, ctx: &Ctx, id: DecisionId) -> Result<DecisionView> {
        let row = self.find(ctx, id).await?;
        view(ctx, row)
    }

    /// A page of the organisation's decisions, newest first.
    ///
    /// # Errors
    /// A bad limit, cursor or status.
    pub async fn list(&self, ctx: &Ctx, filter: DecisionFilter) -> Result<DecisionList> {
        let page = PageRequest::parse(filter.limit, None, filter.cursor.as_deref())?;
        if let Some(status) = &filter.status
            && !matches!(status.as_str(), "approved" | "denied" | "pending")
        {
            return Err(Error::field("status", "status is approved, denied or pending"));
        }
        let (from, to) = crate::parameters::range(filter.from.as_deref(), filter.to.as_deref())?;
        let organization = ctx.organization;
        let wanted = store::Wanted {
            agent: filter.agent_id,
            status: filter.status,
            from,
            to,
            before: page.cursor.map(|Cursor(id)| DecisionId::from_uuid(id)),
            limit: page.fetch(),
        };
        let rows = self
            .store
            .read(organization, move |db| store::page(db, organization, &wanted))
            .await?;
        let (rows, next_cursor) = page.cut(rows, |row| row.id.uuid());
        let verifications = rows
            .into_iter()
            .map(|row| view(ctx, row))
            .collect::<Result<_>>()?;
        Ok(DecisionList {
            verifications,
            limit: page.limit,
            next_cursor,
        })
    }

    /// The actions that wait for a person now, at most a hundred, the newest first.
    ///
    /// # Errors
    /// The database's.
    pub async fn waiting(&self, ctx: &Ctx) -> Result<Vec<DecisionView>> {
        let (organization, now, since) = (ctx.organization, ctx.now, ctx.now - self.approval);
        let rows = self
            .store
            .read(organization, move |db| {
                store::waiting(db, organization, since, now)
            })
            .await?;
        rows.into_iter().map(|row| view(ctx, row)).collect()
    }

    /// How many there are, up to a hundred.
    ///
    /// # Errors
    /// The database's.
    pub(crate) async fn waiting_count(&self, ctx: &Ctx) -> Result<u64> {
        let (organization, now, since) = (ctx.organization, ctx.now, ctx.now - self.approval);
        let count = self
            .store
            .read(organization, move |db| {
                store::count_waiting(db, organization, since, now)
            })
            .await?;
        Ok(u64::try_from(count).unwrap_or(0))
    }

    /// An agent's report of how its approved action ended. The first one stays.
    ///
    /// # Errors
    /// `resource.not_found`, or `resource.state` when there is a report or nothing was approved.
    pub async fn report_result(&self, ctx: &Ctx, id: DecisionId, report: ResultReport) -> Result<ResultView> {
        report.check()?;
        let ctx = ctx.clone();
        self.store
            .write(ctx.organization, move |db| {
                let row = store::find(db, ctx.organization, id)?.ok_or_else(Error::not_found)?;
                ctx.acts_for(row.agent_id)?;
                // Only the agent itself can know; a person's word is kept, and marked as what it is.
                let by_agent = matches!(ctx.actor, Actor::Agent { .. });
                keep_report(db, &ctx, &row, &report, by_agent)
            })
            .await
    }

    /// A report that carries no credential, as the published SDKs send it: kept if it is the first,
    /// marked as unauthenticated, and never used for anything but display.
    ///
    /// # Errors
    /// As [`Self::report_result`].
    pub async fn report_untrusted_result(
        &self,
        ctx: &Ctx,
        id: DecisionId,
        report: ResultReport,
    ) -> Result<ResultView> {
        report.check()?;
        let ctx = ctx.clone();
        self.store
            .write(Scope::Installation, move |db| {
                let row = store::find_anywhere(db, id)?.ok_or_else(Error::not_found)?;
                let mut ctx = ctx.clone();
                ctx.organization = row.org_id;
                keep_report(db, &ctx, &row, &report, false)
            })
            .await
    }

    /// A person's answer to a pending action. An approval repeats the digest of what the person
    /// saw, and holds only if the action would not be denied by now.
    ///
    /// # Errors
    /// `resource.not_found`; `resource.state` when it is not pending any more, when the digest is
    /// another, or when it would be denied now.
    pub async fn review(
        &self,
        ctx: &Ctx,
        id: DecisionId,
        approve: bool,
        review: ReviewRequest,
    ) -> Result<DecisionView> {
        if review
            .note
            .as_ref()
            .is_some_and(|note| note.chars().count() > 1_000)
        {
            return Err(Error::field("note", "at most 1,000 characters"));
        }
        if ctx.actor.role().is_none() {
            return Err(Error::forbidden("verifications:review"));
        }
        let ctx = ctx.clone();
        self.store
            .write(ctx.organization, move |db| settle(db, &ctx, id, approve, &review))
            .await
    }

    /// An action that waited for a person, taken up by its agent. If it is approved, by a person and not longer ago than
    /// an approval may take, and would not be denied by now, then `take` runs in the same transaction as the claim of the
    /// nonce; it sees to it that one approval is taken up once, and is given the recorded arguments. Otherwise the decision is
    /// answered as it stands, and `take` does not run.
    ///
    /// # Errors
    /// `resource.not_found` for another's decision; `resource.state` when the approval is used up, too old, or would be a
    /// denial by now; a replayed request; what `take` refuses.
    pub async fn take_up<F>(
        &self,
        ctx: &Ctx,
        nonce: Option<NonceClaim>,
        id: DecisionId,
        take: F,
    ) -> Result<DecisionView>
    where
        F: Fn(&mut Db, &DecisionView, &Map<String, Value>) -> aim_store::Result<()> + Send + 'static,
    {
        let (ctx, approval) = (ctx.clone(), self.approval);
        self.store
            .write(ctx.organization, move |db| {
                aim_platform::standing::check(db, ctx.organization, &ctx.actor, ctx.now)?;
                if let Some(nonce) = &nonce
                    && !aim_store::nonces::claim(db, nonce.organization, &nonce.digest, nonce.expires_at)?
                {
                    return Err(aim_platform::extract::replayed().into());
                }
                let row = store::find(db, ctx.organization, id)?.ok_or_else(Error::not_found)?;
                ctx.acts_for(row.agent_id)?;
                let decision = view(&ctx, row.clone())?;
                if decision.status != "approved" {
                    return Ok(decision);
                }
                let Some(approved_at) = row.resolved_at else {
                    let detail = "this action was approved when it was decided, and nobody had to approve it";
                    return Err(Error::new(Code::StateConflict, detail).into());
                };
                if ctx.now >= approved_at + approval {
                    let detail = "the approval is too old by now; ask anew";
                    return Err(Error::new(Code::StateConflict, detail).into());
                }
                let (verdict, inputs) = decided_now(db, ctx.now, &row, |_, _| Ok(0))?;
                refuse_denied(&verdict)?;
                take(db, &decision, &inputs.call.context)?;
                Ok(decision)
            })
            .await
    }

    /// The three records of a decision, for a replay: snapshot, inputs and verdict.
    ///
    /// # Errors
    /// `resource.not_found`.
    pub async fn evidence(&self, ctx: &Ctx, id: DecisionId) -> Result<Evidence> {
        let row = self.find(ctx, id).await?;
        if row.inputs.is_empty() {
            let detail = "the inputs of this decision were erased, as the organisation's retention has it; its verdict stays";
            return Err(Error::new(Code::StateConflict, detail));
        }
        let (organization, digest) = (row.org_id, row.snapshot_digest.clone());
        let snapshot = self
            .store
            .read(organization, move |db| {
                store::snapshot_body(db, organization, &digest)
            })
            .await?
            .ok_or_else(Error::not_found)?;
        Ok(Evidence {
            snapshot,
            inputs: row.inputs,
            verdict: row.verdict,
        })
    }

    /// Forgets rate counters of windows that ended more than two days ago.
    ///
    /// # Errors
    /// The database's.
    pub async fn tidy(&self, now: aim_core::Timestamp) -> Result<()> {
        let before = now - TimeDelta::days(2);
        self.store
            .write(Scope::Installation, move |db| {
                store::forget_uses(db, before).map(|_| ())
            })
            .await
    }

    async fn find(&self, ctx: &Ctx, id: DecisionId) -> Result<DecisionRow> {
        let organization = ctx.organization;
        let row = self
            .store
            .read(organization, move |db| store::find(db, organization, id))
            .await?;
        let row = row.ok_or_else(Error::not_found)?;
        ctx.acts_for(row.agent_id)?;
        Ok(row)
    }
}

/// What [`aim_decision::replay`] needs.
#[derive(Debug, Clone, serde::Serialize, serde::Deserialize, utoipa::ToSchema)]
pub struct Evidence {
    /// The canonical bytes of the snapshot.
    pub snapshot: String,
    /// The canonical bytes of the inputs.
    pub inputs: String,
    /// The canonical bytes of the verdict.
    pub verdict: String,
}

fn keep_report(
    db: &mut Db,
    ctx: &Ctx,
    row: &DecisionRow,
    report: &ResultReport,
    authenticated: bool,
) -> aim_store::Result<ResultView> {
    if row.status != "approved" {
        return Err(Error::new(
            Code::StateConflict,
            "this action was not approved, so it has no result",
        )
        .into());
    }
    if !store::keep_result(db, row, report, authenticated, ctx.now)? {
        return Err(Error::new(
            Code::StateConflict,
            "a result was reported already; the first one stays",
        )
        .into());
    }
    let entry = Entry::event(ctx, "action.result_reported")
        .agent(row.agent_id)
        .target("decision", row.id)
        .facts(json!({"outcome": report.outcome, "authenticated": authenticated}));
    aim_audit::append(db, vec![entry])?;
    Ok(ResultView {
        decision_id: row.id,
        outcome: report.outcome.clone(),
        authenticated,
        reported_at: ctx.now,
    })
}

fn settle(
    db: &mut Db,
    ctx: &Ctx,
    id: DecisionId,
    approve: bool,
    review: &ReviewRequest,
) -> aim_store::Result<DecisionView> {
    let mut row = store::find(db, ctx.organization, id)?.ok_or_else(Error::not_found)?;
    let expired = row.expires_at.is_some_and(|end| ctx.now >= end);
    if row.status != "pending" || expired {
        return Err(Error::new(Code::StateConflict, "this action is not pending any more").into());
    }
    let seen = hex(&digest::sha256(row.inputs.as_bytes()));
    let repeated = review.digest.as_deref();
    if (approve && repeated.is_none()) || repeated.is_some_and(|digest| digest != seen) {
        let detail = "digest is not the request_digest of this action; look at it again and repeat that one";
        return Err(Error::new(Code::StateConflict, detail).at("digest").into());
    }
    if approve {
        still_permitted(db, ctx, &row)?;
    }
    let status = if approve { "approved" } else { "denied" };
    let by = ctx.actor_text();
    if !store::settle(
        db,
        ctx.organization,
        id,
        status,
        &by,
        review.note.as_deref(),
        ctx.now,
    )? {
        return Err(Error::new(Code::StateConflict, "somebody else answered first").into());
    }
    status.clone_into(&mut row.status);
    row.resolved_at = Some(ctx.now);
    row.resolved_by = Some(by);
    row.resolution_note.clone_from(&review.note);
    let entry = Entry::event(
        ctx,
        if approve {
            "action.approved"
        } else {
            "action.rejected"
        },
    )
    .agent(row.agent_id)
    .target("decision", id)
    .outcome(if approve { "approved" } else { "denied" })
    .details(json!({"note": review.note, "request_sha256": seen}));
    aim_audit::append(db, vec![entry])?;
    Ok(view(ctx, row)?)
}

/// Decides the call again as of now: what was suspended, revoked or withdrawn meanwhile stays so. `uses` says how often a
/// rate-limited grant was used in its window.
fn decided_now(
    db: &mut Db,
    now: aim_core::Timestamp,
    row: &DecisionRow,
    mut uses: impl FnMut(&mut Db, store::UseKey) -> aim_store::Result<i64>,
) -> aim_store::Result<(Verdict, Inputs)> {
    if row.inputs.is_empty() {
        let detail = "the inputs of this decision were erased, so it cannot be looked at again";
        return Err(Error::new(Code::StateConflict, detail).into());
    }
    let mut inputs: Inputs =
        serde_json::from_str(&row.inputs).map_err(|error| aim_store::Error::Corrupt(error.to_string()))?;
    let live = snapshot::fresh(db, row.org_id, row.agent_id, now)?;
    let call = &mut inputs.call;
    call.now = now.into();
    call.uses.clear();
    for (grant, limit) in &live.rated {
        let window = aim_core::Timestamp::new(limit.window_start(call.now));
        let used = uses(db, (row.org_id, snapshot::grant_id(*grant), window))?;
        call.uses.insert(*grant, u32::try_from(used).unwrap_or(u32::MAX));
    }
    Ok((decide(&live.snapshot, call), inputs))
}

/// Whether what was approved then would be by now, by the same key and with the same arguments, before any use of a rate. For
/// what a decision stands for longer than its own request; it permits nothing by itself.
///
/// # Errors
/// The database's.
pub fn still_approved(
    db: &mut Db,
    organization: OrganizationId,
    id: DecisionId,
    now: aim_core::Timestamp,
) -> aim_store::Result<bool> {
    let row = store::find(db, organization, id)?;
    let Some(row) = row.filter(|row| !row.inputs.is_empty()) else {
        return Ok(false);
    };
    let (verdict, _) = decided_now(db, now, &row, |_, _| Ok(0))?;
    Ok(verdict.outcome == Outcome::Approved)
}

fn refuse_denied(verdict: &Verdict) -> Result<()> {
    if verdict.outcome == Outcome::Denied {
        let reasons = sentence(&verdict.reasons);
        return Err(Error::new(
            Code::StateConflict,
            format!("by now it would be denied: {reasons}"),
        ));
    }
    Ok(())
}

/// Refuses what would be denied by now, and counts the use that the approval makes of a rate-limited grant.
fn still_permitted(db: &mut Db, ctx: &Ctx, row: &DecisionRow) -> aim_store::Result<()> {
    let mut counters = std::collections::BTreeMap::new();
    let (verdict, _) = decided_now(db, ctx.now, row, |db, key| {
        let uses = store::lock_uses(db, key)?;
        counters.insert(key, uses);
        Ok(uses)
    })?;
    refuse_denied(&verdict)?;
    if let Some(counted) = verdict.counted_grant {
        counters.retain(|(_, grant, _), _| grant.uuid() == counted);
        counters.values_mut().for_each(|uses| *uses += 1);
        store::set_uses(db, &counters)?;
    }
    Ok(())
}

fn sentence(reasons: &[Reason]) -> String {
    let messages: Vec<&str> = reasons.iter().map(|reason| reason.message.as_str()).collect();
    messages.join("; ")
}

fn view_of_new(
    ctx: &Ctx,
    agent_id: AgentId,
    action: String,
    resource: Option<String>,
    decided: Decided,
) -> DecisionView {
    let verdict = decided.verdict;
    DecisionView {
        id: decided.id,
        agent_id,
        status: verdict.outcome.as_str().to_owned(),
        action,
        resource,
        reason_codes: aim_decision::slugs(&verdict.reasons)
            .into_iter()
            .map(str::to_owned)
            .collect(),
        denial_reason: (verdict.outcome == Outcome::Denied).then(|| sentence(&verdict.reasons)),
        reasons: verdict.reasons,
        decided_by: verdict.decided_by,
        risk: verdict.risk,
        severity: verdict.severity,
        request_digest: hex(&decided.request_digest),
        created_at: ctx.now,
        expires_at: decided.expires_at,
        approved_by: None,
        review_note: None,
        audit: AuditPlace {
            leaf_index: decided.leaf.index,
            leaf_hash: Some(decided.leaf.hash),
        },
    }
}

/// The digest of the recorded inputs; empty once they are erased. The leaf keeps it.
fn request_digest(inputs: &str) -> String {
    if inputs.is_empty() {
        String::new()
    } else {
        hex(&digest::sha256(inputs.as_bytes()))
    }
}

fn view(ctx: &Ctx, row: DecisionRow) -> Result<DecisionView> {
    let verdict: Verdict = serde_json::from_str(&row.verdict).map_err(Error::internal)?;
    let mut reason_codes: Vec<String> = aim_decision::slugs(&verdict.reasons)
        .into_iter()
        .map(str::to_owned)
        .collect();
    let mut status = row.status;
    let mut denial_reason = (verdict.outcome == Outcome::Denied).then(|| sentence(&verdict.reasons));
    if verdict.outcome == Outcome::Pending && status == "denied" {
        reason_codes.insert(0, APPROVAL_REJECTED.to_owned());
        let note = row.resolution_note.as_deref().unwrap_or("no reason was given");
        denial_reason = Some(format!("a person rejected the action: {note}"));
    }
    if status == "pending" && row.expires_at.is_some_and(|end| ctx.now >= end) {
        "denied".clone_into(&mut status);
        reason_codes.insert(0, APPROVAL_EXPIRED.to_owned());
        denial_reason = Some("nobody approved the action in time".to_owned());
    }
    Ok(DecisionView {
        id: row.id,
        agent_id: row.agent_id,
        approved_by: row.resolved_by.filter(|_| status == "approved"),
        status,
        action: row.action,
        resource: row.resource,
        reason_codes,
        denial_reason,
        reasons: verdict.reasons,
        decided_by: verdict.decided_by,
        risk: verdict.risk,
        severity: verdict.severity,
        request_digest: request_digest(&row.inputs),
        created_at: row.created_at,
        expires_at: row.expires_at,
        review_note: row.resolution_note,
        audit: AuditPlace {
            leaf_index: row.leaf_index,
            leaf_hash: None,
        },
    })
}
