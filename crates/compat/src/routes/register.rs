//! Registration in one call with an organisation key, as the SDKs' API-key mode does it.

use actix_web::{HttpRequest, HttpResponse, http::StatusCode, post, web};
use aim_core::{AgentId, Code, Error, Result, role::permission};
use aim_crypto::keys::{PublicKey, signature_from_base64};
use aim_decision::{AgentStatus, CapabilityPattern};
use aim_identity::{AgentView, NewAgent, ProvenKey};
use aim_platform::{ApiResult, Authed, Problem};
use aim_violations::capabilities::NewCapabilityRequest;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::capabilities::reason_of;
use crate::{
    Compat,
    wire::{Spelled, Spelling},
};

/// The most capabilities that a registration may ask for.
const MOST_CAPABILITIES: usize = 64;

/// An agent to be registered, as the SDKs send it. Other members (`metadata`, `organizationDomain`,
/// `communityIntelligenceOptIn`) are passed over.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct SdkRegistration {
    /// 1 to 128 letters, digits, spaces, `.`, `_` or `-`; unique in the organisation.
    #[schema(example = "billing-agent")]
    name: String,
    /// The name that people read.
    #[serde(default, alias = "display_name")]
    display_name: Option<String>,
    /// What it is for.
    #[serde(default)]
    description: Option<String>,
    /// What kind of agent it is; `ai_agent` when left out.
    #[serde(default, alias = "agent_type")]
    agent_type: Option<String>,
    /// Its own version.
    #[serde(default)]
    version: Option<String>,
    /// Where its source is.
    #[serde(default, alias = "repository_url")]
    repository_url: Option<String>,
    /// Where its documentation is.
    #[serde(default, alias = "documentation_url")]
    documentation_url: Option<String>,
    /// The agents and servers that it talks to.
    #[serde(default, alias = "talks_to")]
    talks_to: Option<Vec<String>>,
    /// What it intends to do. Grants nothing: each becomes a request that a manager reviews.
    #[serde(default)]
    capabilities: Option<Vec<String>>,
    /// Tags.
    #[serde(default, alias = "tag_ids")]
    tag_ids: Option<Vec<String>>,
    /// The agent's own public key, with `challenge` and `proof`. The SDKs bring none in this mode; then the
    /// pair is made here, and the private half is in the answer and kept nowhere.
    #[serde(default, alias = "public_key")]
    public_key: Option<String>,
    /// A challenge of `POST /api/v1/agents/challenges`.
    #[serde(default)]
    challenge: Option<String>,
    /// Base64 of the key's signature over the challenge, as `POST /api/v1/agents` describes it.
    #[serde(default)]
    proof: Option<String>,
}

impl SdkRegistration {
    fn check_capabilities(&self) -> Result<()> {
        let capabilities = self.capabilities.as_deref().unwrap_or_default();
        if capabilities.len() > MOST_CAPABILITIES {
            return Err(Error::field(
                "capabilities",
                format!("name at most {MOST_CAPABILITIES}"),
            ));
        }
        for (position, capability) in capabilities.iter().enumerate() {
            CapabilityPattern::try_from(capability.clone())
                .map_err(|error| Error::field(format!("capabilities[{position}]"), error.to_string()))?;
        }
        Ok(())
    }

    /// The client's own key. It counts only with the proof that the client holds the private half.
    fn proven_key(&self) -> Result<Option<ProvenKey>> {
        let Some(text) = &self.public_key else {
            return Ok(None);
        };
        let public_key =
            PublicKey::parse(text).map_err(|error| Error::field("public_key", error.to_string()))?;
        let (Some(challenge), Some(proof)) = (&self.challenge, &self.proof) else {
            let detail =
                "a key that you bring needs a challenge and its signature as proof; or leave the key out";
            return Err(Error::new(Code::ProofInvalid, detail).at("proof"));
        };
        let proof = signature_from_base64(proof)
            .map_err(|error| Error::new(Code::ProofInvalid, error.to_string()).at("proof"))?;
        Ok(Some(ProvenKey {
            public_key,
            challenge: challenge.clone(),
            proof: proof.to_vec(),
        }))
    }

    fn new_agent(&self, key: Option<ProvenKey>) -> NewAgent {
        NewAgent {
            name: self.name.clone(),
            display_name: self.display_name.clone(),
            description: self.description.clone().unwrap_or_default(),
            agent_type: self.agent_type.clone().unwrap_or_default(),
            version: self.version.clone().unwrap_or_default(),
            tags: self.tag_ids.clone().unwrap_or_default(),
            talks_to: self.talks_to.clone().unwrap_or_default(),
            owner_id: None,
            repository_url: self.repository_url.clone(),
            documentation_url: self.documentation_url.clone(),
            key,
        }
    }
}

/// A registered agent, as the SDKs read it.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct SdkRegistered {
    /// The agent's id.
    agent_id: AgentId,
    /// The same.
    id: AgentId,
    /// Its name.
    name: String,
    /// The name that people read.
    display_name: String,
    /// Base64 of the raw public key.
    public_key: String,
    /// Base64 of seed and public key, where the pair was made here: shown now and never again.
    #[serde(skip_serializing_if = "Option::is_none")]
    private_key: Option<String>,
    /// Where the agent finds AIM. Only in the older spelling, whose SDK cannot do without: aim-sdk 2.x would
    /// take it for the address to use for ever.
    #[serde(skip_serializing_if = "Option::is_none")]
    aim_url: Option<String>,
    /// `active`.
    status: AgentStatus,
    /// How far it is trusted; null until something scores it.
    trust_score: Option<i64>,
    /// The capabilities that wait for a reviewer.
    pending_capabilities: Vec<String>,
    /// For people.
    message: String,
}

/// Register an agent with an organisation key, in either spelling.
#[utoipa::path(tag = "compat", request_body = SdkRegistration, responses(
    (status = 201, description = "Registered; a private key is shown this once", body = SdkRegistered),
    (status = 400, description = "Malformed", body = Problem),
    (status = 401, description = "No valid organisation key", body = Problem),
    (status = 403, description = "The permission is missing", body = Problem),
    (status = 409, description = "The name is taken, or the key was registered before", body = Problem),
    (status = 422, description = "A field is not accepted", body = Problem),
), security(("bearer" = [])))]
#[post("/api/v1/public/agents/register")]
pub(crate) async fn register_agent(
    authed: Authed<permission::AgentsWrite>,
    registration: Spelled<SdkRegistration>,
    request: HttpRequest,
    compat: web::Data<Compat>,
) -> ApiResult<HttpResponse> {
    let Spelled { body, spelling } = registration;
    let mut registered = compat
        .register(&authed.ctx, &body)
        .await
        .map_err(|error| spelling.error(error))?;
    if spelling == Spelling::Snake {
        registered.aim_url = Some(compat.address(&request));
    }
    Ok(spelling.answer(StatusCode::CREATED, &registered))
}

impl Compat {
    async fn register(&self, ctx: &aim_core::Ctx, registration: &SdkRegistration) -> Result<SdkRegistered> {
        registration.check_capabilities()?;
        let (agent, public_key, private_key) = match registration.proven_key()? {
            Some(key) => {
                let public_key = key.public_key.clone();
                (
                    self.agents
                        .register(ctx, registration.new_agent(Some(key)))
                        .await?,
                    public_key,
                    None,
                )
            }
            None => {
                let made = self
                    .agents
                    .register_with_generated_key(ctx, registration.new_agent(None))
                    .await?;
                (made.agent, made.public_key, Some(made.private_key))
            }
        };
        let pending_capabilities = self.ask_for(ctx, &agent, registration).await;
        let message = match (private_key.is_some(), pending_capabilities.len()) {
            (true, 0) => "registered; the private key is kept nowhere else".to_owned(),
            (true, count) => {
                format!(
                    "registered; the private key is kept nowhere else; {count} capabilities wait for a manager's approval"
                )
            }
            (false, 0) => "registered".to_owned(),
            (false, count) => format!("registered; {count} capabilities wait for a manager's approval"),
        };
        Ok(SdkRegistered {
            agent_id: agent.id,
            id: agent.id,
            name: agent.name,
            display_name: agent.display_name,
            public_key: public_key.raw_base64(),
            private_key: private_key.map(|secret| secret.expose().to_owned()),
            aim_url: None,
            status: agent.status,
            trust_score: agent.trust_score,
            pending_capabilities,
            message,
        })
    }

    /// Asks for the capabilities that the agent declares; answers those that wait now. The agent is
    /// registered by then: what cannot be asked for is left to the agent to ask for again.
    async fn ask_for(
        &self,
        ctx: &aim_core::Ctx,
        agent: &AgentView,
        registration: &SdkRegistration,
    ) -> Vec<String> {
        let mut waiting = Vec::new();
        for capability in registration.capabilities.iter().flatten() {
            let new = NewCapabilityRequest {
                capability: capability.clone(),
                scope: None,
                reason: reason_of(Some("declared at registration".to_owned()), capability),
                metadata: None,
            };
            match self.capabilities.request(ctx, agent.id, new).await {
                Ok(_) => waiting.push(capability.clone()),
                Err(error) => {
                    tracing::warn!(?error, agent = %agent.id, "a declared capability could not be asked for")
                }
            }
        }
        waiting
    }

    /// The configured address, or the one under which this client reached AIM.
    fn address(&self, request: &HttpRequest) -> String {
        if !self.public_url.is_empty() {
            return self.public_url.clone();
        }
        let scheme = if request.app_config().secure() {
            "https"
        } else {
            "http"
        };
        let host = request.headers().get("host").and_then(|host| host.to_str().ok());
        let authority = host.or_else(|| request.uri().authority().map(|authority| authority.as_str()));
        format!("{scheme}://{}", authority.unwrap_or("localhost"))
    }
}
