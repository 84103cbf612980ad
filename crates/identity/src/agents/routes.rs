//! HTTP of agents.

use actix_web::{HttpResponse, delete, get, post, put, web};
use aim_core::{
    AgentId, Code, Error, PageRequest, Result, UserId,
    id::AgentKind,
    role::permission::{AgentsDelete, AgentsRead, AgentsSuspend, AgentsWrite},
};
use aim_crypto::keys::{PublicKey, signature_from_base64};
use aim_decision::AgentStatus;
use aim_key_vault::challenge::ChallengeView;
use aim_platform::{ApiResult, Authed, AuthedOrAgent, Body, PathId, Problem, Query, ServiceConfig};
use serde::Deserialize;
use utoipa::{IntoParams, ToSchema};

use super::{
    model::{
        AgentFilter, AgentList, AgentSort, AgentView, NewAgent, ProvenKey, SuspendedAgents, UpdateAgent,
    },
    service::AgentService,
};

/// Registers the routes.
pub(crate) fn register(config: &mut ServiceConfig<'_>, service: &AgentService) {
    config.app_data(web::Data::new(service.clone()));
    config.service(create_challenge);
    config.service(list_agents);
    config.service(create_agent);
    config.service(bulk_suspend_agents);
    config.service(get_agent);
    config.service(update_agent);
    config.service(delete_agent);
    config.service(suspend_agent);
    config.service(reactivate_agent);
}

/// An agent to be registered with its own key.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct RegisterAgent {
    /// 1 to 128 letters, digits, spaces, `.`, `_` or `-`; unique in the organisation.
    #[schema(example = "billing-agent", min_length = 1, max_length = 128)]
    name: String,
    /// The name that people read; the name itself when left out.
    display_name: Option<String>,
    /// What it is for.
    #[serde(default)]
    description: String,
    /// What kind of agent: a slug, `ai_agent` when left out.
    #[serde(default)]
    agent_type: String,
    /// Its own version.
    #[serde(default)]
    version: String,
    /// At most 32 tags of at most 64 characters.
    #[serde(default)]
    tags: Vec<String>,
    /// The agents and servers that it talks to.
    #[serde(default)]
    talks_to: Vec<String>,
    /// The user who answers for it; whoever registers it when left out.
    owner_id: Option<UserId>,
    /// Where its source is.
    repository_url: Option<String>,
    /// Where its documentation is.
    documentation_url: Option<String>,
    /// The agent's Ed25519 public key: base64 (raw or SPKI), PEM or JWK.
    public_key: String,
    /// A challenge of `POST /api/v1/agents/challenges`.
    challenge: String,
    /// Base64 of the key's signature over the lines `AIM-PROOF-OF-POSSESSION-V1`, `register`, the challenge and
    /// the key's fingerprint, joined by line feeds.
    proof: String,
}

impl RegisterAgent {
    fn into_new_agent(self) -> Result<NewAgent> {
        let public_key = PublicKey::parse(&self.public_key)
            .map_err(|error| Error::field("public_key", error.to_string()))?;
        let proof = signature_from_base64(&self.proof)
            .map_err(|error| Error::new(Code::ProofInvalid, error.to_string()).at("proof"))?;
        Ok(NewAgent {
            name: self.name,
            display_name: self.display_name,
            description: self.description,
            agent_type: self.agent_type,
            version: self.version,
            tags: self.tags,
            talks_to: self.talks_to,
            owner_id: self.owner_id,
            repository_url: self.repository_url,
            documentation_url: self.documentation_url,
            key: Some(ProvenKey {
                public_key,
                challenge: self.challenge,
                proof: proof.to_vec(),
            }),
        })
    }
}

/// Why an agent is suspended.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct SuspendAgent {
    /// The reason, for those who read the audit log.
    #[schema(example = "unexpected calls at night", min_length = 1, max_length = 1024)]
    reason: String,
}

/// Which agents are suspended, and why.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct BulkSuspend {
    /// The agents, 1 to 100.
    #[schema(min_items = 1, max_items = 100)]
    ids: Vec<AgentId>,
    /// The reason, for those who read the audit log.
    #[schema(example = "their host was broken into", min_length = 1, max_length = 1024)]
    reason: String,
}

/// Filters of the list.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
struct AgentQuery {
    /// Part of the name, display name or description, in whatever case.
    q: Option<String>,
    /// `active`, `suspended` or `revoked`; may stand more than once. Deleted agents are shown only for `revoked`.
    #[serde(default)]
    status: Vec<AgentStatus>,
    /// Of this type.
    agent_type: Option<String>,
    /// With this tag.
    tag: Option<String>,
    /// Of this owner.
    owner_id: Option<UserId>,
    /// `name`, `-name`, `created_at` or `-created_at` (the default).
    sort: Option<String>,
    /// How many, 1 to 100; 20 when left out.
    limit: Option<i64>,
    /// How many to skip.
    offset: Option<i64>,
    /// Where to go on, as `next_cursor` said.
    cursor: Option<String>,
}

/// A challenge for a new agent's key.
#[utoipa::path(
    tag = "agents",
    responses(
        (status = 201, description = "A challenge, good once within five minutes", body = ChallengeView),
        (status = 401, description = "No credentials", body = Problem),
        (status = 403, description = "The permission agents:write is missing", body = Problem),
    ),
    security(("bearer" = [])),
)]
#[post("/api/v1/agents/challenges")]
async fn create_challenge(
    authed: Authed<AgentsWrite>,
    service: web::Data<AgentService>,
) -> ApiResult<HttpResponse> {
    Ok(HttpResponse::Created().json(service.challenge(&authed.ctx).await?))
}

/// The organisation's agents.
#[utoipa::path(
    tag = "agents",
    params(AgentQuery),
    responses(
        (status = 200, description = "A page of agents", body = AgentList),
        (status = 400, description = "The query string is malformed", body = Problem),
        (status = 401, description = "No credentials", body = Problem),
        (status = 403, description = "The permission agents:read is missing", body = Problem),
        (status = 422, description = "A parameter is out of range", body = Problem),
    ),
    security(("bearer" = [])),
)]
#[get("/api/v1/agents")]
async fn list_agents(
    authed: Authed<AgentsRead>,
    query: Query<AgentQuery>,
    service: web::Data<AgentService>,
) -> ApiResult<web::Json<AgentList>> {
    let query = query.0;
    let filter = AgentFilter {
        text: query.q.filter(|text| !text.is_empty()),
        statuses: query.status,
        agent_type: query.agent_type,
        tag: query.tag,
        owner: query.owner_id,
        sort: query
            .sort
            .as_deref()
            .map_or(Ok(AgentSort::default()), AgentSort::parse)?,
        page: PageRequest::parse(query.limit, query.offset, query.cursor.as_deref())?,
    };
    Ok(web::Json(service.list(&authed.ctx, filter).await?))
}

/// Registers an agent with its own key.
#[utoipa::path(
    tag = "agents",
    request_body = RegisterAgent,
    responses(
        (status = 201, description = "The agent", body = AgentView),
        (status = 400, description = "The body is not valid JSON", body = Problem),
        (status = 401, description = "No credentials", body = Problem),
        (status = 403, description = "The permission agents:write is missing", body = Problem),
        (status = 409, description = "The name is taken, or the key was registered before", body = Problem),
        (status = 422, description = "A field, the challenge or the proof is not accepted", body = Problem),
    ),
    security(("bearer" = [])),
)]
#[post("/api/v1/agents")]
async fn create_agent(
    authed: Authed<AgentsWrite>,
    body: Body<RegisterAgent>,
    service: web::Data<AgentService>,
) -> ApiResult<HttpResponse> {
    let new = body.0.into_new_agent()?;
    Ok(HttpResponse::Created().json(service.register(&authed.ctx, new).await?))
}

/// One agent. An agent may ask for itself.
#[utoipa::path(
    tag = "agents",
    params(("id" = String, Path, description = "The agent", format = Uuid)),
    responses(
        (status = 200, description = "The agent", body = AgentView),
        (status = 401, description = "No credentials", body = Problem),
        (status = 403, description = "The permission agents:read is missing", body = Problem),
        (status = 404, description = "No such agent in your organisation", body = Problem),
    ),
    security(("bearer" = [])),
)]
#[get("/api/v1/agents/{id}")]
async fn get_agent(
    authed: AuthedOrAgent<AgentsRead>,
    id: PathId<AgentKind>,
    service: web::Data<AgentService>,
) -> ApiResult<web::Json<AgentView>> {
    Ok(web::Json(service.get(&authed.ctx, id.0).await?))
}

/// Changes an agent; what is left out stays as it is.
#[utoipa::path(
    tag = "agents",
    params(("id" = String, Path, description = "The agent", format = Uuid)),
    request_body = UpdateAgent,
    responses(
        (status = 200, description = "The agent as it is now", body = AgentView),
        (status = 400, description = "The body is not valid JSON", body = Problem),
        (status = 401, description = "No credentials", body = Problem),
        (status = 403, description = "The permission agents:write is missing", body = Problem),
        (status = 404, description = "No such agent in your organisation", body = Problem),
        (status = 409, description = "The name is taken", body = Problem),
        (status = 422, description = "A field is not accepted", body = Problem),
    ),
    security(("bearer" = [])),
)]
#[put("/api/v1/agents/{id}")]
async fn update_agent(
    authed: Authed<AgentsWrite>,
    id: PathId<AgentKind>,
    body: Body<UpdateAgent>,
    service: web::Data<AgentService>,
) -> ApiResult<web::Json<AgentView>> {
    Ok(web::Json(service.update(&authed.ctx, id.0, body.0).await?))
}

/// Deletes an agent: its keys end and its name is free again.
#[utoipa::path(
    tag = "agents",
    params(("id" = String, Path, description = "The agent", format = Uuid)),
    responses(
        (status = 204, description = "Deleted"),
        (status = 401, description = "No credentials", body = Problem),
        (status = 403, description = "The permission agents:delete is missing", body = Problem),
        (status = 404, description = "No such agent in your organisation", body = Problem),
    ),
    security(("bearer" = [])),
)]
#[delete("/api/v1/agents/{id}")]
async fn delete_agent(
    authed: Authed<AgentsDelete>,
    id: PathId<AgentKind>,
    service: web::Data<AgentService>,
) -> ApiResult<HttpResponse> {
    service.delete(&authed.ctx, id.0).await?;
    Ok(HttpResponse::NoContent().finish())
}

/// Suspends an agent: it is refused from its next request on.
#[utoipa::path(
    tag = "agents",
    params(("id" = String, Path, description = "The agent", format = Uuid)),
    request_body = SuspendAgent,
    responses(
        (status = 200, description = "The agent as it is now", body = AgentView),
        (status = 400, description = "The body is not valid JSON", body = Problem),
        (status = 401, description = "No credentials", body = Problem),
        (status = 403, description = "The permission agents:suspend is missing", body = Problem),
        (status = 404, description = "No such agent in your organisation", body = Problem),
        (status = 409, description = "The agent is not active", body = Problem),
        (status = 422, description = "The reason is not accepted", body = Problem),
    ),
    security(("bearer" = [])),
)]
#[post("/api/v1/agents/{id}/suspend")]
async fn suspend_agent(
    authed: Authed<AgentsSuspend>,
    id: PathId<AgentKind>,
    body: Body<SuspendAgent>,
    service: web::Data<AgentService>,
) -> ApiResult<web::Json<AgentView>> {
    Ok(web::Json(
        service.suspend(&authed.ctx, id.0, &body.0.reason).await?,
    ))
}

/// Suspends several agents at once, all or none; each is refused from its next request on.
#[utoipa::path(
    tag = "agents",
    request_body = BulkSuspend,
    responses(
        (status = 200, description = "Which were suspended, and which were already", body = SuspendedAgents),
        (status = 400, description = "The body is not valid JSON", body = Problem),
        (status = 401, description = "No credentials", body = Problem),
        (status = 403, description = "The permission agents:suspend is missing", body = Problem),
        (status = 404, description = "One of them is no agent of your organisation; none was suspended", body = Problem),
        (status = 422, description = "The ids or the reason are not accepted", body = Problem),
    ),
    security(("bearer" = [])),
)]
#[post("/api/v1/agents/bulk-suspend")]
async fn bulk_suspend_agents(
    authed: Authed<AgentsSuspend>,
    body: Body<BulkSuspend>,
    service: web::Data<AgentService>,
) -> ApiResult<web::Json<SuspendedAgents>> {
    Ok(web::Json(
        service
            .suspend_all(&authed.ctx, &body.0.ids, &body.0.reason)
            .await?,
    ))
}

/// Lets a suspended agent act again.
#[utoipa::path(
    tag = "agents",
    params(("id" = String, Path, description = "The agent", format = Uuid)),
    responses(
        (status = 200, description = "The agent as it is now", body = AgentView),
        (status = 401, description = "No credentials", body = Problem),
        (status = 403, description = "The permission agents:suspend is missing", body = Problem),
        (status = 404, description = "No such agent in your organisation", body = Problem),
        (status = 409, description = "The agent is not suspended", body = Problem),
    ),
    security(("bearer" = [])),
)]
#[post("/api/v1/agents/{id}/reactivate")]
async fn reactivate_agent(
    authed: Authed<AgentsSuspend>,
    id: PathId<AgentKind>,
    service: web::Data<AgentService>,
) -> ApiResult<web::Json<AgentView>> {
    Ok(web::Json(service.reactivate(&authed.ctx, id.0).await?))
}
