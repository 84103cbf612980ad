//! Asking for a capability, and the review. An approval names the digest of what the reviewer saw and
//! makes exactly the grant that was asked for, in the same transaction; of two reviewers one wins.

use aim_audit::Entry;
use aim_core::{AgentId, CapabilityRequestId, Code, Ctx, Error, Id, Json, Result, id::GrantKind};
use aim_store::{Error as StoreError, Result as StoreResult};
use serde_json::{Value, json};

use super::{
    model::{
        Approval, CapabilityRequestFilter, CapabilityRequestList, CapabilityRequestView, NOTE_MAX,
        NewCapabilityRequest, Rejection, RequestStatus, WantedCapability,
    },
    request_store::{self, RequestRow, Review, Wanted},
    service::{CapabilityService, give, people_only},
    store,
};
use crate::parameters;

/// How many requests [`CapabilityService::requests`] answers.
const NEWEST: i64 = 100;

impl CapabilityService {
    /// Asks for a capability.
    ///
    /// # Errors
    /// 404 for an unknown agent, 409 when the same is pending or granted already, 422 naming a field.
    pub async fn request(
        &self,
        ctx: &Ctx,
        agent: AgentId,
        new: NewCapabilityRequest,
    ) -> Result<CapabilityRequestView> {
        ctx.acts_for(agent)?;
        let wanted = WantedCapability::check(new)?;
        let (ctx, id) = (ctx.clone(), ctx.new_id());
        self.store
            .write(ctx.organization, move |db| {
                if !store::lock_agent(db, ctx.organization, agent)? {
                    return Err(Error::not_found().into());
                }
                for pending in
                    request_store::pending_for(db, ctx.organization, agent, wanted.capability.as_str())?
                {
                    if pending.scope()? == wanted.scope {
                        return Err(conflict(format!(
                            "the same request is pending already: {}",
                            pending.id
                        )));
                    }
                }
                let grant = wanted.grant();
                for held in store::active(db, ctx.organization, agent, ctx.now)? {
                    if grant.is_same_as(&held)? {
                        return Err(conflict(format!(
                            "the agent holds this capability already: {}",
                            held.id
                        )));
                    }
                }
                let row = new_row(&ctx, agent, id, &wanted);
                request_store::insert(db, &row)?;
                let entry = Entry::event(&ctx, "capability_request.created")
                    .agent(agent)
                    .target("capability_request", id)
                    .facts(json!({"capability": row.capability, "digest": row.digest}))
                    .details(json!({"scope": row.scope, "reason": row.reason}));
                aim_audit::append(db, vec![entry])?;
                CapabilityRequestView::of(row)
            })
            .await
    }

    /// The agent's newest requests, at most a hundred.
    ///
    /// # Errors
    /// 404 for an unknown agent, and for an agent that asks about another one.
    pub async fn requests(&self, ctx: &Ctx, agent: AgentId) -> Result<Vec<CapabilityRequestView>> {
        let filter = CapabilityRequestFilter {
            agent_id: Some(agent.to_string()),
            limit: Some(NEWEST.to_string()),
            ..CapabilityRequestFilter::default()
        };
        Ok(self.request_page(ctx, filter).await?.capability_requests)
    }

    /// A page of requests: of one agent, or (for people) of the organisation.
    ///
    /// # Errors
    /// 404 for an unknown agent, and for an agent that asks about another one; 422 naming a parameter.
    pub async fn request_page(
        &self,
        ctx: &Ctx,
        filter: CapabilityRequestFilter,
    ) -> Result<CapabilityRequestList> {
        let page = parameters::page(
            filter.limit.as_deref(),
            filter.offset.as_deref(),
            filter.cursor.as_deref(),
        )?;
        let status = filter.status.as_deref().map(status_of).transpose()?;
        let agent = parameters::id("agent_id", filter.agent_id.as_deref())?;
        match agent {
            Some(agent) => ctx.acts_for(agent)?,
            None => people_only(ctx)?,
        }
        let organization = ctx.organization;
        self.store
            .read(organization, move |db| {
                if let Some(agent) = agent
                    && !store::has_agent(db, organization, agent)?
                {
                    return Err(Error::not_found().into());
                }
                let wanted = Wanted { agent, status };
                let before = page.cursor.map(|cursor| Id::from_uuid(cursor.0));
                let rows = request_store::page(db, organization, wanted, before, page.fetch(), page.offset)?;
                let total = request_store::count(db, organization, wanted)?;
                let (rows, next_cursor) = page.cut(rows, |row| row.id.uuid());
                let capability_requests = rows
                    .into_iter()
                    .map(CapabilityRequestView::of)
                    .collect::<StoreResult<Vec<_>>>()?;
                let (limit, offset) = (page.limit, page.offset);
                Ok(CapabilityRequestList {
                    capability_requests,
                    total,
                    limit,
                    offset,
                    next_cursor,
                })
            })
            .await
    }

    /// One request.
    ///
    /// # Errors
    /// 404 for an unknown one, and for an agent that asks about another agent's.
    pub async fn find_request(&self, ctx: &Ctx, id: CapabilityRequestId) -> Result<CapabilityRequestView> {
        let organization = ctx.organization;
        let row = self
            .store
            .read(organization, move |db| request_store::find(db, organization, id))
            .await?;
        let row = row.ok_or_else(Error::not_found)?;
        ctx.acts_for(row.agent_id)?;
        CapabilityRequestView::of(row).map_err(StoreError::into_core)
    }

    /// Approves a request and makes the grant that it asks for.
    ///
    /// # Errors
    /// 404 for an unknown one; 409 when the digest is not that of what is asked, when somebody was first,
    /// or when the agent has come to hold the same grant.
    pub async fn approve(
        &self,
        ctx: &Ctx,
        id: CapabilityRequestId,
        approval: Approval,
    ) -> Result<CapabilityRequestView> {
        people_only(ctx)?;
        let note = approval.note.filter(|note| !note.is_empty());
        if let Some(note) = &note {
            parameters::prose("note", note, 0, NOTE_MAX)?;
        }
        let (ctx, digest) = (ctx.clone(), approval.digest);
        let grant_id = ctx.new_id::<GrantKind>();
        self.store
            .write(ctx.organization, move |db| {
                let asked = request_store::find(db, ctx.organization, id)?.ok_or_else(Error::not_found)?;
                if asked.digest != digest {
                    let detail =
                        "what you saw is not what is asked: read the request again and repeat its digest";
                    return Err(Error::new(Code::Conflict, detail).at("digest").into());
                }
                if !store::lock_agent(db, ctx.organization, asked.agent_id)? {
                    return Err(
                        Error::new(Code::StateConflict, "the agent was deleted; reject the request").into(),
                    );
                }
                let by = ctx.actor_text();
                let review = Review {
                    status: RequestStatus::Approved,
                    by: &by,
                    at: ctx.now,
                    note: note.as_deref(),
                    grant: Some(grant_id),
                };
                let row = request_store::review(db, ctx.organization, id, &review)?
                    .ok_or_else(no_longer_pending)?;
                let wanted = wanted_of(&row)?;
                let grant = give(db, &ctx, row.agent_id, grant_id, &wanted.grant())?;
                let granted = Entry::event(&ctx, "capability.granted")
                    .agent(row.agent_id)
                    .target("capability", grant_id)
                    .facts(json!({"capability": grant.capability, "effect": grant.effect, "request_id": id}))
                    .details(json!({"scope": grant.scope, "reason": grant.reason}));
                aim_audit::append(
                    db,
                    vec![reviewed(&ctx, "capability_request.approved", &row), granted],
                )?;
                CapabilityRequestView::of(row)
            })
            .await
    }

    /// Rejects a request.
    ///
    /// # Errors
    /// 404 for an unknown one, 409 when somebody was first, 422 without a note.
    pub async fn reject(
        &self,
        ctx: &Ctx,
        id: CapabilityRequestId,
        rejection: Rejection,
    ) -> Result<CapabilityRequestView> {
        people_only(ctx)?;
        parameters::prose("note", &rejection.note, 1, NOTE_MAX)?;
        let ctx = ctx.clone();
        self.store
            .write(ctx.organization, move |db| {
                request_store::find(db, ctx.organization, id)?.ok_or_else(Error::not_found)?;
                let by = ctx.actor_text();
                let review = Review {
                    status: RequestStatus::Rejected,
                    by: &by,
                    at: ctx.now,
                    note: Some(&rejection.note),
                    grant: None,
                };
                let row = request_store::review(db, ctx.organization, id, &review)?
                    .ok_or_else(no_longer_pending)?;
                aim_audit::append(db, vec![reviewed(&ctx, "capability_request.rejected", &row)])?;
                CapabilityRequestView::of(row)
            })
            .await
    }
}

fn status_of(name: &str) -> Result<RequestStatus> {
    RequestStatus::parse(name)
        .ok_or_else(|| Error::field("status", "status is pending, approved or rejected"))
}

fn conflict(detail: String) -> StoreError {
    Error::new(Code::Conflict, detail).at("capability").into()
}

fn no_longer_pending() -> Error {
    Error::new(
        Code::StateConflict,
        "the request is no longer pending: somebody reviewed it already",
    )
}

fn new_row(ctx: &Ctx, agent: AgentId, id: CapabilityRequestId, wanted: &WantedCapability) -> RequestRow {
    RequestRow {
        org_id: ctx.organization,
        id,
        agent_id: agent,
        capability: wanted.capability.to_string(),
        scope: Json::of(&wanted.scope),
        reason: wanted.reason.clone(),
        metadata: Json(Value::Object(wanted.metadata.clone())),
        status: RequestStatus::Pending.as_str().to_owned(),
        digest: wanted.digest(agent),
        requested_by: ctx.actor_text(),
        requested_at: ctx.now,
        reviewed_by: None,
        reviewed_at: None,
        review_note: None,
        grant_id: None,
    }
}

/// What the stored request asks for.
fn wanted_of(row: &RequestRow) -> StoreResult<WantedCapability> {
    let capability = row
        .capability
        .parse()
        .map_err(|error| StoreError::Corrupt(format!("request {}: {error}", row.id)))?;
    Ok(WantedCapability {
        capability,
        scope: row.scope()?,
        reason: row.reason.clone(),
        metadata: serde_json::Map::new(),
    })
}

fn reviewed(ctx: &Ctx, action: &'static str, row: &RequestRow) -> Entry {
    Entry::event(ctx, action)
        .agent(row.agent_id)
        .target("capability_request", row.id)
        .facts(json!({"capability": row.capability, "digest": row.digest, "grant_id": row.grant_id}))
        .details(json!({"note": row.review_note}))
}
