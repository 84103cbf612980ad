//! An agent asks for a capability, and tells which ones it intends to use. Neither gives it anything: a
//! manager does.

use actix_web::{HttpResponse, get, http::StatusCode, post, web};
use aim_core::{
    AgentId, CapabilityRequestId, Code, Ctx, Error, Result, Timestamp, id::AgentKind, role::permission,
};
use aim_decision::{CapabilityName, CapabilityPattern, Effect};
use aim_platform::{
    ApiError, ApiResult, Authed, AuthedOrAgent, NonceClaim, PathId, Problem, SignedAgent, extract::replayed,
};
use aim_violations::capabilities::{
    CapabilityRequestView, NewCapabilityRequest, model::REQUEST_REASON_LENGTH, model::RequestStatus,
};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};
use utoipa::ToSchema;

use crate::{
    Compat,
    wire::{Spelled, Spelling, cut},
};

/// A capability that an agent asks for.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct SdkCapabilityRequest {
    /// The actions that it would cover.
    #[serde(alias = "capability_type")]
    #[schema(example = "db:write")]
    capability_type: String,
    /// Why it is needed; at least 10 characters.
    reason: String,
    /// What helps the reviewer.
    #[serde(default)]
    #[schema(value_type = Option<Object>)]
    metadata: Option<Map<String, Value>>,
}

/// A request, as the SDKs read it.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct SdkCapabilityRequestAnswer {
    /// The request.
    id: CapabilityRequestId,
    /// The agent that would hold the capability.
    agent_id: AgentId,
    /// The actions that it would cover.
    capability_type: String,
    /// Why it is needed.
    reason: String,
    /// `pending`, `approved` or `rejected`.
    status: &'static str,
    /// When it was asked for.
    requested_at: Timestamp,
    /// When it was reviewed.
    reviewed_at: Option<Timestamp>,
    /// What the reviewer said.
    review_note: Option<String>,
}

impl From<CapabilityRequestView> for SdkCapabilityRequestAnswer {
    fn from(request: CapabilityRequestView) -> Self {
        Self {
            id: request.id,
            agent_id: request.agent_id,
            capability_type: request.capability,
            reason: request.reason,
            status: request.status.as_str(),
            requested_at: request.requested_at,
            reviewed_at: request.reviewed_at,
            review_note: request.review_note,
        }
    }
}

/// An agent's requests.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct SdkCapabilityRequests {
    /// The newest ones, at most a hundred.
    requests: Vec<SdkCapabilityRequestAnswer>,
}

/// A capability that an agent intends to use.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct SdkCapabilityRegistration {
    /// The capability.
    #[serde(alias = "capability_type")]
    #[schema(example = "db:read")]
    capability_type: String,
    /// What it is for.
    #[serde(default)]
    description: Option<String>,
    /// How dangerous the agent thinks it is; for the reviewer only.
    #[serde(default, alias = "risk_level")]
    risk_level: Option<String>,
}

/// What became of a registration.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct SdkCapabilityRegistered {
    /// The capability.
    capability_type: String,
    /// `already_exists` when a grant covers it, `pending` when a person must review it, `rejected` when one
    /// has refused it. Never `granted`.
    #[schema(example = "pending")]
    status: &'static str,
    /// The same for people.
    message: String,
    /// The request that waits, or was refused.
    #[serde(skip_serializing_if = "Option::is_none")]
    request_id: Option<CapabilityRequestId>,
}

/// Who asks: the agent with its signature, or somebody of the organisation on its behalf.
type Signed = Result<SignedAgent, ApiError>;
type Person = Result<Authed<permission::CapabilitiesRequest>, ApiError>;

/// The context of whoever asks, and what an agent's signature must claim.
fn asker(signed: Signed, person: Person) -> ApiResult<(Ctx, Option<NonceClaim>)> {
    match signed {
        Ok(agent) => Ok((agent.ctx, agent.nonce)),
        Err(_) => person.map(|person| (person.ctx, None)),
    }
}

/// Ask for a capability; a manager reviews it.
#[utoipa::path(tag = "compat", params(("id" = String, Path, description = "The agent")), request_body = SdkCapabilityRequest, responses(
    (status = 201, description = "It waits for a reviewer", body = SdkCapabilityRequestAnswer),
    (status = 400, description = "Malformed", body = Problem),
    (status = 401, description = "No valid signature, a stale one, or one that was used before", body = Problem),
    (status = 403, description = "The agent is suspended, or the permission is missing", body = Problem),
    (status = 404, description = "Unknown, or another's", body = Problem),
    (status = 409, description = "The same is pending or granted already", body = Problem),
    (status = 422, description = "A field is not accepted", body = Problem),
), security(("signature" = []), ("bearer" = [])))]
#[post("/api/v1/sdk-api/agents/{id}/capability-requests")]
pub(crate) async fn post_sdk_capability_request(
    signed: Signed,
    person: Person,
    id: PathId<AgentKind>,
    request: Spelled<SdkCapabilityRequest>,
    compat: web::Data<Compat>,
) -> ApiResult<HttpResponse> {
    let (ctx, nonce) = asker(signed, person)?;
    let Spelled { body, spelling } = request;
    if !compat.claim(nonce).await? {
        // The signature has whole seconds: a client that asks twice in one second signs the same bytes. The
        // second request has no effect in any case; where the first one's is still there, say what it is.
        return match compat.standing(&ctx, id.0, &body.capability_type).await? {
            Standing::Pending(_) | Standing::Held => Err(Error::new(
                Code::Conflict,
                "the same capability is pending or granted already",
            )
            .into()),
            _ => Err(replayed().into()),
        };
    }
    let new = NewCapabilityRequest {
        capability: body.capability_type,
        scope: None,
        reason: body.reason,
        metadata: body.metadata,
    };
    let asked = compat
        .capabilities
        .request(&ctx, id.0, new)
        .await
        .map_err(|error| named(error, spelling))?;
    Ok(spelling.answer(StatusCode::CREATED, &SdkCapabilityRequestAnswer::from(asked)))
}

/// The agent's requests, newest first.
#[utoipa::path(tag = "compat", params(("id" = String, Path, description = "The agent")), responses(
    (status = 200, description = "The newest hundred", body = SdkCapabilityRequests),
    (status = 401, description = "No valid signature, a stale one, or one that was used before", body = Problem),
    (status = 403, description = "The agent is suspended, or the permission is missing", body = Problem),
    (status = 404, description = "Unknown, or another's", body = Problem),
), security(("signature" = []), ("bearer" = [])))]
#[get("/api/v1/sdk-api/agents/{id}/capability-requests")]
pub(crate) async fn list_sdk_capability_requests(
    caller: AuthedOrAgent<permission::CapabilitiesRead>,
    id: PathId<AgentKind>,
    compat: web::Data<Compat>,
) -> ApiResult<web::Json<SdkCapabilityRequests>> {
    let requests = compat.capabilities.requests(&caller.ctx, id.0).await?;
    Ok(web::Json(SdkCapabilityRequests {
        requests: requests.into_iter().map(Into::into).collect(),
    }))
}

/// Tell which capability the agent intends to use. Grants nothing: what is not granted yet becomes a request.
#[utoipa::path(tag = "compat", params(("id" = String, Path, description = "The agent")), request_body = SdkCapabilityRegistration, responses(
    (status = 200, description = "What is known about the capability", body = SdkCapabilityRegistered),
    (status = 201, description = "It waits for a reviewer from now on", body = SdkCapabilityRegistered),
    (status = 400, description = "Malformed", body = Problem),
    (status = 401, description = "No valid signature, a stale one, or one that was used before", body = Problem),
    (status = 403, description = "The agent is suspended, or the permission is missing", body = Problem),
    (status = 404, description = "Unknown, or another's", body = Problem),
    (status = 422, description = "A field is not accepted", body = Problem),
), security(("signature" = []), ("bearer" = [])))]
#[post("/api/v1/sdk-api/agents/{id}/capabilities/register")]
pub(crate) async fn register_sdk_capability(
    signed: Signed,
    person: Person,
    id: PathId<AgentKind>,
    request: Spelled<SdkCapabilityRegistration>,
    compat: web::Data<Compat>,
) -> ApiResult<HttpResponse> {
    let (ctx, nonce) = asker(signed, person)?;
    let Spelled { body, spelling } = request;
    let fresh = compat.claim(nonce).await?;
    let capability = body.capability_type.clone();
    let standing = compat
        .standing(&ctx, id.0, &capability)
        .await
        .map_err(|error| named(error, spelling))?;
    let (status, standing) = match standing {
        Standing::Unknown if fresh => {
            let new = NewCapabilityRequest {
                capability: body.capability_type,
                scope: None,
                reason: reason_of(body.description, &capability),
                metadata: body
                    .risk_level
                    .and_then(|level| cut(Some(level), 64))
                    .map(|level| {
                        Map::from_iter([
                            ("risk_level".to_owned(), json!(level)),
                            ("source".to_owned(), json!("sdk")),
                        ])
                    }),
            };
            match compat.capabilities.request(&ctx, id.0, new).await {
                Ok(asked) => (StatusCode::CREATED, Standing::Pending(asked.id)),
                // Another process of the same agent was quicker.
                Err(error) if error.code == Code::Conflict => {
                    (StatusCode::OK, compat.standing(&ctx, id.0, &capability).await?)
                }
                Err(error) => return Err(named(error, spelling).into()),
            }
        }
        // As for a request: the second of two in one second has no effect, and is told what the first one's was.
        Standing::Unknown => return Err(replayed().into()),
        known => (StatusCode::OK, known),
    };
    Ok(spelling.answer(status, &registered(capability, standing)))
}

fn registered(capability_type: String, standing: Standing) -> SdkCapabilityRegistered {
    let (status, message, request_id) = match standing {
        Standing::Held => (
            "already_exists",
            "a grant of the agent covers it".to_owned(),
            None,
        ),
        Standing::Pending(id) => (
            "pending",
            "a manager must approve it before it is granted".to_owned(),
            Some(id),
        ),
        Standing::Rejected(id, note) => {
            let message = format!("a manager rejected it ({note}); ask again with request_capability()");
            ("rejected", message, Some(id))
        }
        Standing::Unknown => ("pending", "a manager must grant it".to_owned(), None),
    };
    SdkCapabilityRegistered {
        capability_type,
        status,
        message,
        request_id,
    }
}

/// A reason of the length that a request needs.
pub(super) fn reason_of(description: Option<String>, capability: &str) -> String {
    let (least, most) = REQUEST_REASON_LENGTH;
    let described = description.filter(|text| text.chars().count() >= least);
    let reason = described.unwrap_or_else(|| format!("registered by the agent: {capability}"));
    cut(Some(reason), most).unwrap_or_default()
}

/// Names a field as these routes do.
pub(super) fn named(mut error: Error, spelling: Spelling) -> Error {
    if error.field.as_deref() == Some("capability") {
        error.field = Some("capability_type".to_owned());
    }
    spelling.error(error)
}

/// What is known of an agent's wish for a capability.
pub(crate) enum Standing {
    /// A grant covers it.
    Held,
    /// A request for exactly it waits.
    Pending(CapabilityRequestId),
    /// The last request for exactly it was rejected, with this note.
    Rejected(CapabilityRequestId, String),
    /// None of these.
    Unknown,
}

impl Compat {
    /// What is known of `agent`'s wish for `capability`.
    ///
    /// # Errors
    /// 404 for an unknown agent, 422 for what is no capability.
    pub(crate) async fn standing(&self, ctx: &Ctx, agent: AgentId, capability: &str) -> Result<Standing> {
        let wanted = CapabilityPattern::try_from(capability.to_owned())
            .map_err(|error| Error::field("capability", error.to_string()))?;
        let grants = self.capabilities.list(ctx, agent).await?.capabilities;
        // An action's name is covered by a wider pattern too; a pattern only by itself.
        let name = CapabilityName::try_from(capability.to_owned()).ok();
        let covers = |granted: &str| {
            let pattern = CapabilityPattern::try_from(granted.to_owned()).ok();
            granted == wanted.as_str()
                || name
                    .as_ref()
                    .zip(pattern)
                    .is_some_and(|(name, pattern)| pattern.matches(name))
        };
        if grants
            .iter()
            .any(|grant| grant.effect != Effect::Deny && covers(&grant.capability))
        {
            return Ok(Standing::Held);
        }
        let requests = self.capabilities.requests(ctx, agent).await?;
        let latest = requests
            .into_iter()
            .find(|request| request.capability == wanted.as_str());
        Ok(match latest {
            Some(CapabilityRequestView {
                id,
                status: RequestStatus::Pending,
                ..
            }) => Standing::Pending(id),
            Some(CapabilityRequestView {
                id,
                status: RequestStatus::Rejected,
                review_note,
                ..
            }) => Standing::Rejected(
                id,
                review_note.unwrap_or_else(|| "no reason was given".to_owned()),
            ),
            // Approved once, and the grant is gone: it may be asked for again.
            _ => Standing::Unknown,
        })
    }
}
