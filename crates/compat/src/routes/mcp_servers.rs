//! The MCP servers that an agent uses, as the SDKs report and read them. One path takes three bodies: a list of ids or
//! names (`register_mcp`), and a server's entry in either generation's words (`register_mcp_server`, `secure(mcp_servers=…)`).

use actix_web::{HttpResponse, get, http::StatusCode, post, web};
use aim_core::{
    AgentId, Error, Result,
    id::AgentKind,
    role::permission::{McpRead, McpWrite},
};
use aim_mcp::{
    detections::Detection,
    servers::{McpServerId, NewServer, ServerStatus, ServerView},
};
use aim_platform::{ApiResult, AuthedOrAgent, PathId, Problem, Query};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use utoipa::{IntoParams, ToSchema};

use crate::{
    Compat,
    wire::{Spelled, cut},
};

/// How a server is known where the SDK does not say.
const MANUAL: &str = "manual";

/// Servers that the agent uses, or one to be registered.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct SdkMcpServers {
    /// Ids or names of servers that the agent uses. Where this stands, nothing is registered.
    #[serde(default, alias = "mcp_server_ids")]
    mcp_server_ids: Option<Vec<String>>,
    /// How they were found.
    #[serde(default, alias = "detected_method")]
    detected_method: Option<String>,
    /// How sure the agent is, 0 to 100.
    #[serde(default)]
    confidence: Option<f64>,
    /// What else it knows.
    #[serde(default)]
    #[schema(value_type = Option<Object>)]
    metadata: Option<Map<String, Value>>,
    /// The name of a server to be registered.
    #[serde(default)]
    name: Option<String>,
    /// Its address.
    #[serde(default)]
    url: Option<String>,
    /// What it is for.
    #[serde(default)]
    description: Option<String>,
    /// Its version.
    #[serde(default)]
    version: Option<String>,
    /// Its public key.
    #[serde(default, alias = "public_key")]
    public_key: Option<String>,
}

impl SdkMcpServers {
    fn using(&self, ids: &[String]) -> Vec<Detection> {
        let using = |name: &String| Detection {
            name: name.clone(),
            method: self.detected_method.clone().unwrap_or_else(|| MANUAL.to_owned()),
            confidence: self.confidence.unwrap_or(100.0),
            details: self.metadata.clone(),
            sdk_version: None,
        };
        ids.iter().map(using).collect()
    }

    fn entry(self) -> Result<NewServer> {
        let needed = |field: &str, text: Option<String>| {
            text.ok_or_else(|| Error::field(field, "send mcp_server_ids, or name and url of a server"))
        };
        Ok(NewServer {
            name: needed("name", self.name)?,
            url: needed("url", self.url)?,
            description: cut(self.description, 4096).unwrap_or_default(),
            version: self.version.unwrap_or_default(),
            owner_id: None,
            tags: Vec::new(),
            public_key: self.public_key.filter(|key| !key.is_empty()),
        })
    }
}

/// What became of servers that an agent says it uses.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct SdkMcpServersAdded {
    /// Always true; what is refused is a problem.
    success: bool,
    /// What was done, in words.
    message: String,
    /// How many were not known before.
    added: i64,
    /// The agent.
    agent_id: AgentId,
    /// What was sent.
    mcp_server_ids: Vec<String>,
    /// All that the agent talks to now.
    talks_to: Vec<String>,
}

/// A server, as the SDKs read it.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct SdkMcpServer {
    /// Its id.
    #[schema(value_type = uuid::Uuid)]
    id: McpServerId,
    /// What it is called.
    name: String,
    /// Its address, in its one spelling.
    url: String,
    /// What it is for.
    description: String,
    /// Its version.
    version: String,
    /// Where it stands.
    status: ServerStatus,
    /// Whether it answered its challenge.
    is_verified: bool,
    /// How sure one can be of its manifest, 0 to 100; 0 where nobody attested it.
    confidence_score: i64,
    /// How many agents attested it.
    attestation_count: i64,
    /// How many tools it offers.
    capabilities_count: i64,
}

impl From<ServerView> for SdkMcpServer {
    fn from(server: ServerView) -> Self {
        Self {
            id: server.id,
            name: server.name,
            url: server.url,
            description: server.description,
            version: server.version,
            is_verified: server.status == ServerStatus::Verified,
            status: server.status,
            confidence_score: server.confidence.unwrap_or(0),
            attestation_count: server.attesting_agents,
            capabilities_count: server.manifest.map_or(0, |manifest| manifest.tools),
        }
    }
}

/// An agent's servers, under both names that SDKs look for.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct SdkMcpServerList {
    /// All of them, by name.
    servers: Vec<SdkMcpServer>,
    /// The same ones.
    mcp_servers: Vec<SdkMcpServer>,
    /// How many there are.
    total: i64,
}

/// Which part of a list is wanted. An agent has few enough servers for one page.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub(crate) struct SdkPage {
    /// How many.
    limit: Option<u32>,
    /// How many to skip.
    offset: Option<u32>,
}

/// Which server is meant.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub(crate) struct SdkServerName {
    /// Its name.
    name: Option<String>,
}

/// What is known of a server by its name.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct SdkMcpCapabilities {
    /// The server.
    #[schema(value_type = uuid::Uuid)]
    id: McpServerId,
    /// Its name.
    name: String,
    /// Whether a manifest of it is known.
    has_cached_capabilities: bool,
    /// The names of its tools.
    capabilities: Vec<String>,
}

/// Tell which MCP servers the agent uses, or register one that it uses. A registered server is pending.
#[utoipa::path(tag = "compat", params(("id" = String, Path, description = "The agent")), request_body = SdkMcpServers, responses(
    (status = 200, description = "The servers are known to be used by the agent", body = SdkMcpServersAdded),
    (status = 201, description = "The server is registered, and the agent connected to it", body = SdkMcpServer),
    (status = 400, description = "Malformed", body = Problem),
    (status = 401, description = "No valid signature, a stale one, or one that was used before", body = Problem),
    (status = 403, description = "The agent is suspended, or the permission is missing", body = Problem),
    (status = 404, description = "Unknown, or another's", body = Problem),
    (status = 409, description = "The agent has reported too many", body = Problem),
    (status = 422, description = "A field is not accepted", body = Problem),
), security(("signature" = []), ("bearer" = [])))]
#[post("/api/v1/sdk-api/agents/{id}/mcp-servers")]
pub(crate) async fn post_sdk_mcp_servers(
    caller: AuthedOrAgent<McpWrite>,
    id: PathId<AgentKind>,
    request: Spelled<SdkMcpServers>,
    compat: web::Data<Compat>,
) -> ApiResult<HttpResponse> {
    let Spelled { body, spelling } = request;
    if let Some(ids) = &body.mcp_server_ids {
        let before = compat
            .mcp
            .connections()
            .of_agent(&caller.ctx, id.0)
            .await?
            .talks_to;
        let using = compat
            .mcp
            .detections()
            .report_use(&caller.ctx, id.0, body.using(ids))
            .await
            .map_err(|error| spelling.error(error))?;
        let new = using
            .talks_to
            .iter()
            .filter(|name| !before.contains(name))
            .count();
        let answer = SdkMcpServersAdded {
            success: true,
            message: using.message,
            added: i64::try_from(new.max(using.added_servers.len())).unwrap_or(i64::MAX),
            agent_id: id.0,
            mcp_server_ids: ids.clone(),
            talks_to: using.talks_to,
        };
        return Ok(spelling.answer(StatusCode::OK, &answer));
    }
    let entry = body.entry().map_err(|error| spelling.error(error))?;
    let (server, is_new) = compat
        .mcp
        .connections()
        .connect_at(&caller.ctx, id.0, entry)
        .await
        .map_err(|error| spelling.error(error))?;
    let status = if is_new {
        StatusCode::CREATED
    } else {
        StatusCode::OK
    };
    Ok(spelling.answer(status, &SdkMcpServer::from(server)))
}

/// The MCP servers that the agent is connected to.
#[utoipa::path(tag = "compat", params(("id" = String, Path, description = "The agent"), SdkPage), responses(
    (status = 200, description = "All of them", body = SdkMcpServerList),
    (status = 400, description = "The query string is malformed", body = Problem),
    (status = 401, description = "No valid signature, a stale one, or one that was used before", body = Problem),
    (status = 403, description = "The agent is suspended, or the permission is missing", body = Problem),
    (status = 404, description = "Unknown, or another's", body = Problem),
), security(("signature" = []), ("bearer" = [])))]
#[get("/api/v1/sdk-api/agents/{id}/mcp-servers")]
pub(crate) async fn list_sdk_mcp_servers(
    caller: AuthedOrAgent<McpRead>,
    id: PathId<AgentKind>,
    page: Query<SdkPage>,
    compat: web::Data<Compat>,
) -> ApiResult<web::Json<SdkMcpServerList>> {
    let found = compat.mcp.connections().of_agent(&caller.ctx, id.0).await?;
    let (skip, take) = (page.0.offset.unwrap_or(0), page.0.limit.unwrap_or(u32::MAX));
    let wanted = found
        .mcp_servers
        .into_iter()
        .skip(usize::try_from(skip).unwrap_or(usize::MAX))
        .take(usize::try_from(take).unwrap_or(usize::MAX));
    let servers: Vec<ServerView> = wanted.map(|connected| connected.server).collect();
    Ok(web::Json(SdkMcpServerList {
        servers: servers.iter().cloned().map(Into::into).collect(),
        mcp_servers: servers.into_iter().map(Into::into).collect(),
        total: found.total,
    }))
}

/// What is known of a server that the agent is connected to, by its name.
#[utoipa::path(tag = "compat", params(("id" = String, Path, description = "The agent"), SdkServerName), responses(
    (status = 200, description = "The server, and the names of its tools", body = SdkMcpCapabilities),
    (status = 400, description = "The query string is malformed", body = Problem),
    (status = 401, description = "No valid signature, a stale one, or one that was used before", body = Problem),
    (status = 403, description = "The agent is suspended, or the permission is missing", body = Problem),
    (status = 404, description = "Unknown, or another's, or the agent uses no server of that name", body = Problem),
    (status = 422, description = "The name is missing", body = Problem),
), security(("signature" = []), ("bearer" = [])))]
#[get("/api/v1/sdk-api/agents/{id}/mcp-servers/by-name")]
pub(crate) async fn get_sdk_mcp_server_by_name(
    caller: AuthedOrAgent<McpRead>,
    id: PathId<AgentKind>,
    query: Query<SdkServerName>,
    compat: web::Data<Compat>,
) -> ApiResult<web::Json<SdkMcpCapabilities>> {
    let found = compat.mcp.connections().of_agent(&caller.ctx, id.0).await?;
    let name = query
        .0
        .name
        .ok_or_else(|| Error::field("name", "say which server"))?;
    let server = found
        .mcp_servers
        .into_iter()
        .map(|connected| connected.server)
        .find(|server| server.name == name)
        .ok_or_else(Error::not_found)?;
    let capabilities = match &server.manifest {
        None => Vec::new(),
        Some(manifest) => {
            let manifests = compat.mcp.manifests();
            let version = manifests
                .get(&caller.ctx, server.id, manifest.version, None)
                .await?;
            version.manifest.tools.into_iter().map(|tool| tool.name).collect()
        }
    };
    Ok(web::Json(SdkMcpCapabilities {
        id: server.id,
        name: server.name,
        has_cached_capabilities: !capabilities.is_empty(),
        capabilities,
    }))
}
