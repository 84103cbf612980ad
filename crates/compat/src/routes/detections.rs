//! What an agent's SDK found by itself: MCP servers in the configuration of its host, and the SDK's own presence.

use actix_web::{get, http::StatusCode, post, web};
use aim_core::{
    AgentId, Timestamp,
    id::AgentKind,
    role::permission::{McpRead, McpWrite},
};
use aim_mcp::detections::{DetectedServer, Detection, DetectionStatus};
use aim_platform::{ApiResult, AuthedOrAgent, PathId, Problem};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use utoipa::ToSchema;

use crate::{
    Compat,
    wire::{Spelled, cut},
};

/// A report.
#[derive(Debug, Deserialize, ToSchema)]
pub(crate) struct SdkDetections {
    /// 1 to 100 detections.
    detections: Vec<SdkDetection>,
}

/// A server that was found.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct SdkDetection {
    /// What it is called where it was found.
    #[serde(alias = "mcp_server")]
    mcp_server: String,
    /// How it was found.
    #[serde(alias = "detection_method")]
    #[schema(example = "claude_config")]
    detection_method: String,
    /// How sure the SDK is, 0 to 100.
    #[serde(default)]
    confidence: f64,
    /// What else it knows.
    #[serde(default)]
    #[schema(value_type = Option<Object>)]
    details: Option<Map<String, Value>>,
    /// The SDK that reports it.
    #[serde(default, alias = "sdk_version")]
    sdk_version: Option<String>,
}

impl From<SdkDetection> for Detection {
    fn from(detection: SdkDetection) -> Self {
        Self {
            name: detection.mcp_server,
            method: detection.detection_method,
            confidence: detection.confidence,
            details: detection.details,
            sdk_version: cut(detection.sdk_version, 64),
        }
    }
}

/// What became of a report.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct SdkDetectionsKept {
    /// Always true; what is refused is a problem.
    success: bool,
    /// How many detections there were.
    detections_processed: usize,
    /// Names that this agent had not reported before.
    #[serde(rename = "newMCPs")]
    new: Vec<String>,
    /// Names that it had.
    #[serde(rename = "existingMCPs")]
    existing: Vec<String>,
    /// The same in words.
    message: String,
}

/// What an agent's reports come to.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct SdkDetectionStatus {
    /// The agent.
    agent_id: AgentId,
    /// The version of its SDK, where it said so.
    sdk_version: Option<String>,
    /// Whether an SDK reported itself.
    sdk_installed: bool,
    /// Whether it reported servers that it found.
    auto_detect_enabled: bool,
    /// The servers that it found, by name.
    #[serde(rename = "detectedMCPs")]
    detected: Vec<SdkDetectedServer>,
    /// When it last reported anything.
    last_reported_at: Option<Timestamp>,
}

/// A server as an agent's reports have it.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct SdkDetectedServer {
    /// What it is called where it was found.
    name: String,
    /// How sure the surest report is, 0 to 100.
    confidence_score: i64,
    /// How it was found.
    detected_by: Vec<String>,
    /// When it was first reported.
    first_detected: Timestamp,
    /// When it was last reported.
    last_seen: Timestamp,
}

impl From<DetectedServer> for SdkDetectedServer {
    fn from(server: DetectedServer) -> Self {
        Self {
            name: server.name,
            confidence_score: server.confidence,
            detected_by: server.methods,
            first_detected: server.first_seen_at,
            last_seen: server.last_seen_at,
        }
    }
}

impl From<DetectionStatus> for SdkDetectionStatus {
    fn from(status: DetectionStatus) -> Self {
        Self {
            agent_id: status.agent,
            sdk_version: status.sdk_version,
            sdk_installed: status.sdk_installed,
            auto_detect_enabled: !status.servers.is_empty(),
            detected: status.servers.into_iter().map(Into::into).collect(),
            last_reported_at: status.last_reported_at,
        }
    }
}

async fn keep(
    caller: &AuthedOrAgent<McpWrite>,
    agent: AgentId,
    report: Spelled<SdkDetections>,
    compat: &Compat,
) -> ApiResult<actix_web::HttpResponse> {
    let Spelled { body, spelling } = report;
    let detections = body.detections.into_iter().map(Into::into).collect();
    let told = compat
        .mcp
        .detections()
        .report(&caller.ctx, agent, detections)
        .await
        .map_err(|error| spelling.error(error))?;
    let kept = SdkDetectionsKept {
        success: true,
        detections_processed: told.processed,
        message: format!("{} reported, {} of them new", told.processed, told.new.len()),
        new: told.new,
        existing: told.known,
    };
    // Both generations read these names.
    Ok(actix_web::HttpResponse::build(StatusCode::OK).json(kept))
}

/// Report what the agent's SDK found: servers, or its own presence.
#[utoipa::path(tag = "compat", params(("id" = String, Path, description = "The agent")), request_body = SdkDetections, responses(
    (status = 200, description = "Kept", body = SdkDetectionsKept),
    (status = 400, description = "Malformed", body = Problem),
    (status = 401, description = "No valid signature, a stale one, or one that was used before", body = Problem),
    (status = 403, description = "The agent is suspended, or the permission is missing", body = Problem),
    (status = 404, description = "Unknown, or another's", body = Problem),
    (status = 409, description = "The agent has reported too many", body = Problem),
    (status = 422, description = "A field is not accepted", body = Problem),
), security(("signature" = []), ("bearer" = [])))]
#[post("/api/v1/sdk-api/agents/{id}/detection/report")]
pub(crate) async fn report_sdk_detections(
    caller: AuthedOrAgent<McpWrite>,
    id: PathId<AgentKind>,
    report: Spelled<SdkDetections>,
    compat: web::Data<Compat>,
) -> ApiResult<actix_web::HttpResponse> {
    keep(&caller, id.0, report, &compat).await
}

/// Report the MCP servers that the agent found. Those that are registered get connected.
#[utoipa::path(tag = "compat", params(("id" = String, Path, description = "The agent")), request_body = SdkDetections, responses(
    (status = 200, description = "Kept", body = SdkDetectionsKept),
    (status = 400, description = "Malformed", body = Problem),
    (status = 401, description = "No valid signature, a stale one, or one that was used before", body = Problem),
    (status = 403, description = "The agent is suspended, or the permission is missing", body = Problem),
    (status = 404, description = "Unknown, or another's", body = Problem),
    (status = 409, description = "The agent has reported too many", body = Problem),
    (status = 422, description = "A field is not accepted", body = Problem),
), security(("signature" = []), ("bearer" = [])))]
#[post("/api/v1/detection/agents/{id}/report")]
pub(crate) async fn report_detections(
    caller: AuthedOrAgent<McpWrite>,
    id: PathId<AgentKind>,
    report: Spelled<SdkDetections>,
    compat: web::Data<Compat>,
) -> ApiResult<actix_web::HttpResponse> {
    keep(&caller, id.0, report, &compat).await
}

/// What the agent's reports come to.
#[utoipa::path(tag = "compat", params(("id" = String, Path, description = "The agent")), responses(
    (status = 200, description = "The servers that it found, and its SDK", body = SdkDetectionStatus),
    (status = 401, description = "No valid credentials", body = Problem),
    (status = 403, description = "The permission is missing", body = Problem),
    (status = 404, description = "Unknown, or another's", body = Problem),
), security(("signature" = []), ("bearer" = [])))]
#[get("/api/v1/detection/agents/{id}/status")]
pub(crate) async fn get_detection_status(
    caller: AuthedOrAgent<McpRead>,
    id: PathId<AgentKind>,
    compat: web::Data<Compat>,
) -> ApiResult<web::Json<SdkDetectionStatus>> {
    Ok(web::Json(
        compat.mcp.detections().status(&caller.ctx, id.0).await?.into(),
    ))
}
