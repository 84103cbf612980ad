//! What callers send and are answered about grants and requests, and the rules for both.

use aim_core::{AgentId, CapabilityRequestId, Ctx, Error, GrantId, Json, Result, Timestamp};
use aim_decision::{CapabilityPattern, Effect, Scope, check_context, record};
use aim_store::Result as StoreResult;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use utoipa::{IntoParams, ToSchema};

use super::{request_store::RequestRow, store::GrantRow, words::scope_in_words};
use crate::parameters;

/// The most live grants of one agent: every decision looks at all of them.
pub const GRANTS_MAX: usize = 1_000;
/// The most rows that a list of grants holds; its `total` says how many there are.
pub const LISTED_MAX: i64 = 1_000;
/// The fewest and the most characters of the reason for a request.
pub const REQUEST_REASON_LENGTH: (usize, usize) = (10, 1_000);
/// The most characters of a note or of a grant's reason.
pub const NOTE_MAX: usize = 1_000;
/// The most bytes of a request's metadata.
pub const METADATA_MAX_BYTES: usize = 16 * 1024;

/// A grant to be made.
#[derive(Debug, Clone, Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct NewGrant {
    /// The actions it covers: `namespace:action`, or a prefix with a wildcard as its whole last segment.
    #[schema(example = "db:read", max_length = 128)]
    pub capability: String,
    /// What it does; `allow` if left out.
    #[serde(default)]
    pub effect: Option<Effect>,
    /// What narrows it; nothing if left out.
    #[serde(default)]
    #[schema(value_type = Option<Scope>)]
    pub scope: Option<Value>,
    /// The first moment at which it no longer holds; never if left out.
    #[serde(default)]
    pub expires_at: Option<Timestamp>,
    /// Why it is given, for people.
    #[serde(default)]
    #[schema(max_length = 1000)]
    pub reason: Option<String>,
}

/// Whether a grant holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum GrantStatus {
    /// It holds.
    Active,
    /// Its time is over.
    Expired,
    /// It was withdrawn.
    Revoked,
}

/// A grant.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct GrantView {
    /// The grant.
    pub id: GrantId,
    /// The agent that holds it.
    pub agent_id: AgentId,
    /// The actions it covers.
    pub capability: String,
    /// What it does.
    pub effect: Effect,
    /// What narrows it.
    pub scope: Scope,
    /// The grant in one plain sentence.
    pub scope_in_words: String,
    /// Why it was given.
    pub reason: String,
    /// Who gave it, as `kind:id`.
    pub granted_by: String,
    /// When it was given.
    pub granted_at: Timestamp,
    /// The first moment at which it no longer holds.
    pub expires_at: Option<Timestamp>,
    /// When it last permitted an action, to the minute.
    pub last_used_at: Option<Timestamp>,
    /// Whole days since it last permitted an action, or since it was given if it never did; null unless it
    /// holds now, and for one that denies: that is not there to be used.
    pub unused_days: Option<i64>,
    /// Whether it holds now.
    pub status: GrantStatus,
}

impl GrantView {
    /// The grant as it is at `now`.
    ///
    /// # Errors
    /// When the row cannot be read as a grant.
    pub fn of(row: &GrantRow, now: Timestamp) -> StoreResult<Self> {
        let grant = row.to_grant()?;
        let status = if row.revoked_at.is_some() {
            GrantStatus::Revoked
        } else if row.expires_at.is_some_and(|end| now >= end) {
            GrantStatus::Expired
        } else {
            GrantStatus::Active
        };
        Ok(Self {
            id: row.id,
            agent_id: row.agent_id,
            scope_in_words: scope_in_words(&grant.capability, grant.effect, &grant.scope, row.expires_at),
            capability: row.capability.clone(),
            effect: grant.effect,
            scope: grant.scope,
            reason: row.reason.clone(),
            granted_by: row.granted_by.clone(),
            granted_at: row.granted_at,
            expires_at: row.expires_at,
            last_used_at: row.last_used_at,
            unused_days: (status == GrantStatus::Active && grant.effect != Effect::Deny).then(|| {
                let since = row.last_used_at.unwrap_or(row.granted_at);
                (now - since).num_days().max(0)
            }),
            status,
        })
    }
}

/// An agent's grants.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct GrantList {
    /// The grants, oldest first; at most 1,000.
    pub capabilities: Vec<GrantView>,
    /// How many there are.
    pub total: i64,
}

impl GrantList {
    /// Keeps those that hold and were not used for so many days or more.
    pub fn keep_unused(&mut self, days: i64) {
        self.capabilities
            .retain(|grant| grant.unused_days.is_some_and(|unused| unused >= days));
        self.total = i64::try_from(self.capabilities.len()).unwrap_or(i64::MAX);
    }
}

/// Which of an agent's grants to list.
#[derive(Debug, Clone, Default, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct GrantFilter {
    /// `active` (if left out) or `all`, which adds those that expired or were revoked.
    #[serde(default)]
    pub include: Option<String>,
    /// Only those that hold and were not used for so many days or more.
    #[serde(default)]
    #[param(value_type = Option<i64>, minimum = 1, maximum = 3650)]
    pub unused_days: Option<String>,
}

impl GrantFilter {
    /// For how many days a grant must have been unused to be listed.
    ///
    /// # Errors
    /// Names `unused_days` when it is no whole number from 1 to 3650.
    pub fn unused_days(&self) -> Result<Option<i64>> {
        match parameters::integer("unused_days", self.unused_days.as_deref())? {
            Some(days) if !(1..=3650).contains(&days) => {
                Err(Error::field("unused_days", "unused_days is 1 to 3650"))
            }
            days => Ok(days),
        }
    }

    /// Whether ended grants are wanted too.
    ///
    /// # Errors
    /// Names `include` when it is neither `active` nor `all`.
    pub fn ended_too(&self) -> Result<bool> {
        match self.include.as_deref() {
            None | Some("active") => Ok(false),
            Some("all") => Ok(true),
            Some(_) => Err(Error::field("include", "include is active or all")),
        }
    }
}

/// A grant that was checked: what [`NewGrant`] asks for, as a decision understands it.
#[derive(Debug, Clone)]
pub struct WantedGrant {
    /// The actions it covers.
    pub capability: CapabilityPattern,
    /// What it does.
    pub effect: Effect,
    /// What narrows it.
    pub scope: Scope,
    /// The first moment at which it no longer holds.
    pub expires_at: Option<Timestamp>,
    /// Why.
    pub reason: String,
}

impl WantedGrant {
    /// Checks what was sent.
    ///
    /// # Errors
    /// Names the field that is not accepted.
    pub fn check(new: NewGrant, now: Timestamp) -> Result<Self> {
        let effect = new.effect.unwrap_or(Effect::Allow);
        let scope = scope_of(new.scope.as_ref())?;
        scope.check_for(effect).map_err(refusal)?;
        if new.expires_at.is_some_and(|end| end <= now) {
            return Err(Error::field(
                "expires_at",
                "expires_at lies in the past; name a later moment",
            ));
        }
        let reason = new.reason.unwrap_or_default();
        parameters::prose("reason", &reason, 0, NOTE_MAX)?;
        Ok(Self {
            capability: capability_of(&new.capability)?,
            effect,
            scope,
            expires_at: new.expires_at,
            reason,
        })
    }

    /// Whether the row grants the same, whenever it ends.
    ///
    /// # Errors
    /// When the row cannot be read as a grant.
    pub fn is_same_as(&self, row: &GrantRow) -> StoreResult<bool> {
        Ok(row.capability == self.capability.as_str()
            && row.effect()? == self.effect
            && row.scope()? == self.scope)
    }

    /// The row of a new grant to `agent`.
    #[must_use]
    pub fn row(&self, ctx: &Ctx, agent: AgentId, id: GrantId) -> GrantRow {
        GrantRow {
            org_id: ctx.organization,
            id,
            agent_id: agent,
            capability: self.capability.to_string(),
            effect: self.effect.as_str().to_owned(),
            scope: Json::of(&self.scope),
            reason: self.reason.clone(),
            granted_by: ctx.actor_text(),
            granted_at: ctx.now,
            expires_at: self.expires_at,
            revoked_at: None,
            revoked_by: None,
            last_used_at: None,
        }
    }
}

fn capability_of(text: &str) -> Result<CapabilityPattern> {
    CapabilityPattern::try_from(text).map_err(|invalid| refusal(invalid.at("capability")))
}

fn scope_of(value: Option<&Value>) -> Result<Scope> {
    let Some(value) = value else {
        return Ok(Scope::default());
    };
    parameters::refuse_nul("scope", value)?;
    Scope::from_json(value).map_err(refusal)
}

fn refusal(invalid: aim_decision::Invalid) -> Error {
    Error::field(invalid.field, invalid.problem)
}

/// A capability that is asked for.
#[derive(Debug, Clone, Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct NewCapabilityRequest {
    /// The actions it would cover.
    #[schema(example = "db:read", max_length = 128)]
    pub capability: String,
    /// What would narrow it; nothing if left out.
    #[serde(default)]
    #[schema(value_type = Option<Scope>)]
    pub scope: Option<Value>,
    /// Why it is needed, for the reviewer.
    #[schema(min_length = 10, max_length = 1000)]
    pub reason: String,
    /// Anything else that helps the reviewer; at most 16 KiB. It is not part of what is approved.
    #[serde(default)]
    #[schema(value_type = Option<Object>)]
    pub metadata: Option<Map<String, Value>>,
}

/// What a request asks for, exactly: its digest is what a reviewer approves.
#[derive(Serialize)]
struct Asked<'a> {
    v: u8,
    agent_id: AgentId,
    capability: &'a CapabilityPattern,
    scope: &'a Scope,
    reason: &'a str,
}

/// A request that was checked.
#[derive(Debug, Clone)]
pub struct WantedCapability {
    /// The actions it would cover.
    pub capability: CapabilityPattern,
    /// What would narrow it.
    pub scope: Scope,
    /// Why it is needed.
    pub reason: String,
    /// What helps the reviewer.
    pub metadata: Map<String, Value>,
}

impl WantedCapability {
    /// Checks what was sent.
    ///
    /// # Errors
    /// Names the field that is not accepted.
    pub fn check(new: NewCapabilityRequest) -> Result<Self> {
        let capability = capability_of(&new.capability)?;
        let scope = scope_of(new.scope.as_ref())?;
        let (least, most) = REQUEST_REASON_LENGTH;
        parameters::prose("reason", &new.reason, least, most)?;
        let metadata = new.metadata.unwrap_or_default();
        check_context(&metadata).map_err(|invalid| refusal(invalid.at("metadata")))?;
        let value = Value::Object(metadata);
        parameters::refuse_nul("metadata", &value)?;
        if value.to_string().len() > METADATA_MAX_BYTES {
            return Err(Error::field(
                "metadata",
                "metadata is larger than 16 KiB; leave out what the reviewer can do without",
            ));
        }
        let Value::Object(metadata) = value else {
            return Err(Error::internal("an object is no object"));
        };
        Ok(Self {
            capability,
            scope,
            reason: new.reason,
            metadata,
        })
    }

    /// SHA-256, in lower-case hex, over the compact JSON of agent, capability, scope and reason in this
    /// order, the scope's parts in the order of its type.
    #[must_use]
    pub fn digest(&self, agent: AgentId) -> String {
        let asked = Asked {
            v: 1,
            agent_id: agent,
            capability: &self.capability,
            scope: &self.scope,
            reason: &self.reason,
        };
        // Texts, numbers and lists alone: this cannot fail, and if it did, no digest would be accepted.
        let bytes = serde_json::to_vec(&asked).unwrap_or_default();
        record::hexadecimal(&record::sha256(&bytes))
    }

    /// The grant that an approval makes.
    #[must_use]
    pub fn grant(&self) -> WantedGrant {
        WantedGrant {
            capability: self.capability.clone(),
            effect: Effect::Allow,
            scope: self.scope.clone(),
            expires_at: None,
            reason: self.reason.clone(),
        }
    }
}

/// What became of a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum RequestStatus {
    /// It waits for a reviewer.
    Pending,
    /// It was approved, and the grant made.
    Approved,
    /// It was rejected.
    Rejected,
}

impl RequestStatus {
    /// Every status.
    pub const ALL: [Self; 3] = [Self::Pending, Self::Approved, Self::Rejected];

    /// The name in the column and on the wire.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Pending => "pending",
            Self::Approved => "approved",
            Self::Rejected => "rejected",
        }
    }

    /// The status of that name.
    #[must_use]
    pub fn parse(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|status| status.as_str() == name)
    }
}

/// A request for a capability.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct CapabilityRequestView {
    /// The request.
    pub id: CapabilityRequestId,
    /// The agent that would hold the capability.
    pub agent_id: AgentId,
    /// The actions it would cover.
    pub capability: String,
    /// What would narrow it.
    pub scope: Scope,
    /// Why it is needed.
    pub reason: String,
    /// What helps the reviewer.
    #[schema(value_type = Object)]
    pub metadata: Value,
    /// What became of it.
    pub status: RequestStatus,
    /// SHA-256 in hex of exactly what is asked; an approval repeats it.
    pub digest: String,
    /// Who asked, as `kind:id`.
    pub requested_by: String,
    /// When.
    pub requested_at: Timestamp,
    /// Who reviewed it, as `kind:id`.
    pub reviewed_by: Option<String>,
    /// When.
    pub reviewed_at: Option<Timestamp>,
    /// What the reviewer said.
    pub review_note: Option<String>,
    /// The grant that the approval made.
    pub grant_id: Option<GrantId>,
}

impl CapabilityRequestView {
    /// The request as it is stored.
    ///
    /// # Errors
    /// When the row cannot be read as a request.
    pub fn of(row: RequestRow) -> StoreResult<Self> {
        Ok(Self {
            scope: row.scope()?,
            status: row.status()?,
            id: row.id,
            agent_id: row.agent_id,
            capability: row.capability,
            reason: row.reason,
            metadata: row.metadata.0,
            digest: row.digest,
            requested_by: row.requested_by,
            requested_at: row.requested_at,
            reviewed_by: row.reviewed_by,
            reviewed_at: row.reviewed_at,
            review_note: row.review_note,
            grant_id: row.grant_id,
        })
    }
}

/// A page of requests, newest first.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct CapabilityRequestList {
    /// The requests.
    pub capability_requests: Vec<CapabilityRequestView>,
    /// How many there are on all pages.
    pub total: i64,
    /// The size of the page.
    pub limit: i64,
    /// How many were skipped.
    pub offset: i64,
    /// Where the next page starts; absent on the last one.
    pub next_cursor: Option<String>,
}

/// Which requests to list.
#[derive(Debug, Clone, Default, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct CapabilityRequestFilter {
    /// Only those with this status: `pending`, `approved` or `rejected`.
    #[serde(default)]
    pub status: Option<String>,
    /// Only those of this agent.
    #[serde(default)]
    #[param(value_type = Option<uuid::Uuid>)]
    pub agent_id: Option<String>,
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

/// Which of an agent's requests to list.
#[derive(Debug, Clone, Default, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct AgentRequestFilter {
    /// Only those with this status: `pending`, `approved` or `rejected`.
    #[serde(default)]
    pub status: Option<String>,
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

impl AgentRequestFilter {
    /// The same filter for this agent.
    #[must_use]
    pub fn of_agent(self, agent: AgentId) -> CapabilityRequestFilter {
        CapabilityRequestFilter {
            status: self.status,
            agent_id: Some(agent.to_string()),
            limit: self.limit,
            offset: self.offset,
            cursor: self.cursor,
        }
    }
}

/// The approval of a request.
#[derive(Debug, Clone, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Approval {
    /// The digest of the request that the reviewer saw.
    pub digest: String,
    /// What the reviewer says.
    #[serde(default)]
    #[schema(max_length = 1000)]
    pub note: Option<String>,
}

/// The rejection of a request.
#[derive(Debug, Clone, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Rejection {
    /// Why, for whoever asked.
    #[schema(min_length = 1, max_length = 1000)]
    pub note: String,
}
