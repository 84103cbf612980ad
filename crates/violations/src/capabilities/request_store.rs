//! Queries for capability requests. No rule stands here.

use aim_core::{AgentId, CapabilityRequestId, GrantId, Json, OrganizationId, Timestamp};
use aim_decision::Scope;
use aim_store::{Db, Error, Result, each, schema::capability_requests};
use diesel::{ExpressionMethods, OptionalExtension, QueryDsl, RunQueryDsl, SelectableHelper};

use super::model::RequestStatus;

/// A request as it is stored.
#[derive(Debug, Clone, PartialEq, diesel::Queryable, diesel::Selectable, diesel::Insertable)]
#[diesel(table_name = capability_requests, treat_none_as_default_value = false)]
#[expect(missing_docs, reason = "the columns are the fields of CapabilityRequestView")]
pub struct RequestRow {
    pub org_id: OrganizationId,
    pub id: CapabilityRequestId,
    pub agent_id: AgentId,
    pub capability: String,
    pub scope: Json,
    pub reason: String,
    pub metadata: Json,
    pub status: String,
    pub digest: String,
    pub requested_by: String,
    pub requested_at: Timestamp,
    pub reviewed_by: Option<String>,
    pub reviewed_at: Option<Timestamp>,
    pub review_note: Option<String>,
    pub grant_id: Option<GrantId>,
}

impl RequestRow {
    /// What would narrow the grant.
    ///
    /// # Errors
    /// [`Error::Corrupt`] when the column holds no scope.
    pub fn scope(&self) -> Result<Scope> {
        Scope::from_json(&self.scope).map_err(|error| Error::Corrupt(format!("request {}: {error}", self.id)))
    }

    /// What became of it.
    ///
    /// # Errors
    /// [`Error::Corrupt`] when the column holds no status.
    pub fn status(&self) -> Result<RequestStatus> {
        RequestStatus::parse(&self.status)
            .ok_or_else(|| Error::Corrupt(format!("request {}: unknown status", self.id)))
    }
}

/// Which requests are wanted.
#[derive(Debug, Clone, Copy, Default)]
pub struct Wanted {
    /// Of this agent.
    pub agent: Option<AgentId>,
    /// With this status.
    pub status: Option<RequestStatus>,
}

macro_rules! wanted {
    ($organization:expr, $wanted:expr) => {{
        let mut query = capability_requests::table
            .filter(capability_requests::org_id.eq($organization))
            .into_boxed();
        if let Some(agent) = $wanted.agent {
            query = query.filter(capability_requests::agent_id.eq(agent));
        }
        if let Some(status) = $wanted.status {
            query = query.filter(capability_requests::status.eq(status.as_str()));
        }
        query
    }};
}

/// A page of requests, newest first.
///
/// # Errors
/// The database's.
pub fn page(
    db: &mut Db,
    organization: OrganizationId,
    wanted: Wanted,
    before: Option<CapabilityRequestId>,
    limit: i64,
    offset: i64,
) -> Result<Vec<RequestRow>> {
    Ok(each!(db, c => {
        let mut query = wanted!(organization, wanted);
        if let Some(before) = before {
            query = query.filter(capability_requests::id.lt(before));
        }
        query
            .order(capability_requests::id.desc())
            .limit(limit)
            .offset(offset)
            .select(RequestRow::as_select())
            .load(c)
    })?)
}

/// How many requests there are.
///
/// # Errors
/// The database's.
pub fn count(db: &mut Db, organization: OrganizationId, wanted: Wanted) -> Result<i64> {
    Ok(each!(db, c => wanted!(organization, wanted).count().get_result(c))?)
}

/// The agent's pending requests for this capability.
///
/// # Errors
/// The database's.
pub fn pending_for(
    db: &mut Db,
    organization: OrganizationId,
    agent: AgentId,
    capability: &str,
) -> Result<Vec<RequestRow>> {
    Ok(each!(db, c => capability_requests::table
        .filter(capability_requests::org_id.eq(organization))
        .filter(capability_requests::agent_id.eq(agent))
        .filter(capability_requests::status.eq(RequestStatus::Pending.as_str()))
        .filter(capability_requests::capability.eq(capability))
        .select(RequestRow::as_select())
        .load(c))?)
}

/// A request.
///
/// # Errors
/// The database's.
pub fn find(
    db: &mut Db,
    organization: OrganizationId,
    id: CapabilityRequestId,
) -> Result<Option<RequestRow>> {
    Ok(each!(db, c => capability_requests::table
        .find((organization, id))
        .select(RequestRow::as_select())
        .get_result(c)
        .optional())?)
}

/// Stores a new request.
///
/// # Errors
/// The database's.
pub fn insert(db: &mut Db, row: &RequestRow) -> Result<()> {
    each!(db, c => diesel::insert_into(capability_requests::table).values(row).execute(c))?;
    Ok(())
}

/// What a review decides.
#[derive(Debug, Clone, Copy)]
pub struct Review<'a> {
    /// What becomes of the request.
    pub status: RequestStatus,
    /// Who decided.
    pub by: &'a str,
    /// When.
    pub at: Timestamp,
    /// What the reviewer said.
    pub note: Option<&'a str>,
    /// The grant that was made.
    pub grant: Option<GrantId>,
}

/// Ends a pending request, and answers it. Nothing: it is no longer pending, because somebody was first.
///
/// # Errors
/// The database's.
pub fn review(
    db: &mut Db,
    organization: OrganizationId,
    id: CapabilityRequestId,
    review: &Review<'_>,
) -> Result<Option<RequestRow>> {
    Ok(each!(db, c => diesel::update(capability_requests::table
            .filter(capability_requests::org_id.eq(organization))
            .filter(capability_requests::id.eq(id))
            .filter(capability_requests::status.eq(RequestStatus::Pending.as_str())))
        .set((
            capability_requests::status.eq(review.status.as_str()),
            capability_requests::reviewed_by.eq(Some(review.by)),
            capability_requests::reviewed_at.eq(Some(review.at)),
            capability_requests::review_note.eq(review.note),
            capability_requests::grant_id.eq(review.grant),
        ))
        .returning(RequestRow::as_returning())
        .get_result(c)
        .optional())?)
}
