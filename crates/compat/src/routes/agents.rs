//! An agent by its id or name, as the SDK's OAuth mode looks for it before it registers.

use actix_web::{get, web};
use aim_core::{AgentId, Error, Timestamp, role::permission};
use aim_decision::AgentStatus;
use aim_identity::AgentView;
use aim_platform::{ApiResult, AuthedOrAgent, Problem};
use serde::Serialize;
use utoipa::ToSchema;

use crate::Compat;

/// An agent, as the SDKs read it.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct SdkAgent {
    /// The agent's id.
    id: AgentId,
    /// Its name.
    name: String,
    /// The name that people read.
    display_name: String,
    /// What kind of agent it is.
    agent_type: String,
    /// Its own version.
    version: String,
    /// `active` or `suspended`.
    status: AgentStatus,
    /// How far it is trusted; null until something scores it.
    trust_score: Option<i64>,
    /// When it was registered.
    created_at: Timestamp,
}

impl From<AgentView> for SdkAgent {
    fn from(agent: AgentView) -> Self {
        Self {
            id: agent.id,
            name: agent.name,
            display_name: agent.display_name,
            agent_type: agent.agent_type,
            version: agent.version,
            status: agent.status,
            trust_score: agent.trust_score,
            created_at: agent.created_at,
        }
    }
}

/// The answer with one agent.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct SdkAgentAnswer {
    /// The agent.
    agent: SdkAgent,
}

/// An agent by its id, or by its name in the caller's organisation.
#[utoipa::path(tag = "compat", params(("identifier" = String, Path, description = "The agent's id or name")), responses(
    (status = 200, description = "The agent", body = SdkAgentAnswer),
    (status = 401, description = "No credentials", body = Problem),
    (status = 403, description = "The permission is missing", body = Problem),
    (status = 404, description = "Unknown, or another's", body = Problem),
), security(("bearer" = []), ("signature" = [])))]
#[get("/api/v1/sdk-api/agents/{identifier}")]
pub(crate) async fn get_sdk_agent(
    caller: AuthedOrAgent<permission::AgentsRead>,
    identifier: web::Path<String>,
    compat: web::Data<Compat>,
) -> ApiResult<web::Json<SdkAgentAnswer>> {
    let agent = match identifier.parse() {
        Ok(id) => compat.agents.get(&caller.ctx, id).await?,
        Err(_) => compat
            .agents
            .get_by_name(&caller.ctx, &identifier)
            .await?
            .ok_or_else(Error::not_found)?,
    };
    Ok(web::Json(SdkAgentAnswer { agent: agent.into() }))
}
