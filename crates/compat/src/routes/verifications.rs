//! An agent asks for its action, and what became of it.

use actix_web::{HttpRequest, HttpResponse, get, http::StatusCode, post, web};
use aim_core::{
    Actor, AgentId, Code, DecisionId, Error, Result, Timestamp, id::DecisionKind, role::permission,
};
use aim_decision::{Decider, DeciderKind};
use aim_platform::{ApiResult, AuthedOrAgent, PathId, Problem, SignedAgent};
use aim_violations::verification::{ActionRequest, DecisionView};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use utoipa::ToSchema;

use crate::{
    Compat,
    wire::{ENFORCEMENT_MODE, Spelled, Spelling},
};

/// Members of a context that ask for a person's approval, as the SDKs' decorators set them.
const APPROVAL_FLAGS: [&str; 3] = ["jit_access", "requires_approval", "require_approval"];

/// An action, as the SDKs ask for it. `signature` covers the other members but `publicKey`, under names of
/// its own, as Python's `json.dumps(…, sort_keys=True)` writes them. The older generation spells the
/// members `agent_id`, `action_type` and `public_key`, and signs the request in its headers as well.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct SdkVerificationRequest {
    /// The agent that asks.
    #[serde(alias = "agent_id")]
    agent_id: AgentId,
    /// What it wants to do.
    #[serde(alias = "action_type")]
    #[schema(example = "db:read")]
    capability: String,
    /// What it is done to.
    #[serde(default)]
    resource: Option<String>,
    /// The arguments. `jit_access`, `requires_approval` or `require_approval` set to true asks for a person's approval.
    #[serde(default)]
    #[schema(value_type = Object)]
    context: Map<String, Value>,
    /// When it was signed, in UTC; at most 30 seconds ago.
    #[serde(default)]
    #[schema(example = "2026-11-23T10:00:00.123456Z")]
    #[expect(
        dead_code,
        reason = "for the document; the authenticator has read it from the raw body"
    )]
    timestamp: Option<String>,
    /// Base64 of the agent's signature.
    #[serde(default)]
    #[expect(dead_code, reason = "as the timestamp")]
    signature: Option<String>,
    /// Base64 of the key that signed.
    #[serde(default, alias = "public_key")]
    #[expect(dead_code, reason = "as the timestamp")]
    public_key: Option<String>,
}

impl SdkVerificationRequest {
    fn into_action(self) -> ActionRequest {
        let approval_requested = APPROVAL_FLAGS
            .iter()
            .any(|flag| self.context.get(*flag) == Some(&Value::Bool(true)));
        ActionRequest {
            action: self.capability,
            resource: self.resource,
            context: self.context,
            approval_requested,
        }
    }
}

/// A decision, as the SDKs read it.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct SdkDecision {
    /// The decision's id.
    id: DecisionId,
    /// The agent that asked.
    agent_id: AgentId,
    /// What was asked.
    capability: String,
    /// What it was to be done to.
    resource: Option<String>,
    /// `approved`, `denied` or `pending`.
    status: String,
    /// Always `strict`: without an approval nothing may run.
    #[schema(example = "strict")]
    enforcement_mode: &'static str,
    /// Who approved it: the rule that did, or a person.
    approved_by: Option<String>,
    /// Until when a person may approve it.
    expires_at: Option<Timestamp>,
    /// Why it was denied, for people.
    denial_reason: Option<String>,
    /// Why, for programs.
    reason_codes: Vec<String>,
    /// How much harm the action can do.
    risk: String,
    /// When it was decided.
    created_at: Timestamp,
}

impl SdkDecision {
    fn of(decision: DecisionView) -> Self {
        let by_rule = decision.decided_by.filter(|_| decision.status == "approved");
        let approved_by = decision
            .approved_by
            .or_else(|| by_rule.map(|rule| by_rule_text(&rule)));
        Self {
            id: decision.id,
            agent_id: decision.agent_id,
            capability: decision.action,
            resource: decision.resource,
            status: decision.status,
            enforcement_mode: ENFORCEMENT_MODE,
            approved_by,
            expires_at: decision.expires_at,
            denial_reason: decision.denial_reason,
            reason_codes: decision.reason_codes,
            risk: decision.risk.as_str().to_owned(),
            created_at: decision.created_at,
        }
    }

    /// aim-sdk 2.x takes 403 for a denial; the generation before takes it for bad credentials, and reads the
    /// denial in a 201.
    fn status(&self, spelling: Spelling) -> StatusCode {
        match (self.status.as_str(), spelling) {
            ("approved" | "pending", _) | (_, Spelling::Snake) => StatusCode::CREATED,
            (_, Spelling::Camel) => StatusCode::FORBIDDEN,
        }
    }
}

fn by_rule_text(rule: &Decider) -> String {
    match rule.kind {
        DeciderKind::Grant => format!("grant:{}", rule.id),
        DeciderKind::Policy => format!("policy:{}", rule.id),
    }
}

/// Ask whether an action may happen, as the published SDKs do: signed in the body.
#[utoipa::path(tag = "compat", request_body = SdkVerificationRequest, responses(
    (status = 201, description = "Approved or pending; denied too where the request is in the older spelling", body = SdkDecision),
    (status = 400, description = "Malformed", body = Problem),
    (status = 401, description = "No valid signature, a stale one, or one that was used before", body = Problem),
    (status = 403, description = "Denied; or the caller is no agent", body = SdkDecision),
    (status = 413, description = "Too large", body = Problem),
    (status = 422, description = "A field is not accepted", body = Problem),
    (status = 503, description = "Not durable, so nothing was allowed", body = Problem),
), security(("signature" = [])))]
#[post("/api/v1/sdk-api/verifications")]
pub(crate) async fn post_sdk_verification(
    agent: SignedAgent,
    request: Spelled<SdkVerificationRequest>,
    compat: web::Data<Compat>,
) -> ApiResult<HttpResponse> {
    let Spelled { body, spelling } = request;
    its_own(&agent.ctx.actor, body.agent_id)?;
    let decided = compat
        .verifications
        .verify(&agent.ctx, agent.nonce, agent.scheme, body.into_action())
        .await;
    let answer = SdkDecision::of(decided.map_err(|error| spelling.error(error))?);
    Ok(spelling.answer(answer.status(spelling), &answer))
}

/// An agent asks for itself only. A signature names its agent; another credential might not.
fn its_own(actor: &Actor, named: AgentId) -> Result<()> {
    match actor {
        Actor::Agent { id, .. } if *id == named => Ok(()),
        _ => Err(Error::new(
            Code::Forbidden,
            "the credential acts for another agent than agentId names",
        )
        .at("agentId")),
    }
}

/// What became of an action: for the agent that asked, and for people of its organisation.
#[utoipa::path(tag = "compat", params(("id" = String, Path, description = "The decision")), responses(
    (status = 200, description = "The decision as it stands", body = SdkDecision),
    (status = 401, description = "No valid signature, a stale one, or one that was used before", body = Problem),
    (status = 403, description = "The agent is suspended, or the permission is missing", body = Problem),
    (status = 404, description = "Unknown, or another's", body = Problem),
), security(("signature" = []), ("bearer" = [])))]
#[get("/api/v1/sdk-api/verifications/{id}")]
pub(crate) async fn get_sdk_verification(
    caller: AuthedOrAgent<permission::VerificationsRead>,
    id: PathId<DecisionKind>,
    request: HttpRequest,
    compat: web::Data<Compat>,
) -> ApiResult<HttpResponse> {
    let decision = compat.verifications.get(&caller.ctx, id.0).await?;
    // Only the generation before polls with its header signature.
    let older = request.headers().contains_key("x-signature");
    let spelling = if older { Spelling::Snake } else { Spelling::Camel };
    Ok(spelling.answer(StatusCode::OK, &SdkDecision::of(decision)))
}
