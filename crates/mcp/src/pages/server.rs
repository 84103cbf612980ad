//! `/mcp-servers/{id}`: where a server stands, what it offers and what changed, who vouches for it, who uses it.

use actix_web::web;
use aim_core::{
    PageRequest, Result,
    role::permission::{McpRead, McpVerify, McpWrite},
};
use aim_platform::{
    PathId, Query,
    console::{Frame, Names, PageResult, Panel, Viewing, ui},
};
use askama::Template;
use serde::Deserialize;
use serde_json::{Map, Value};

use super::{
    lines::{self, Line},
    words,
};
use crate::{
    AttestationService, ConnectionService, ManifestService, ServerService,
    attestations::{AttestationList, AttestationView},
    connections::ConnectedAgents,
    manifests::{Change, ManifestOutline, ManifestVersion},
    servers::{McpServerId, McpServerKind, ServerStatus, ServerView, challenge_message},
};

/// How many versions the page lists.
const VERSIONS: i64 = 50;
/// How many attestations and agents the page lists.
const PEOPLE: i64 = 50;

/// Which version is looked at, and compared with which.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct VersionQuery {
    version: Option<i64>,
    against: Option<i64>,
}

/// The versions of a server, and the one that is looked at.
struct Manifests {
    versions: Vec<ManifestOutline>,
    total: i64,
    seen: Option<ManifestVersion>,
}

#[derive(Template)]
#[template(path = "mcp/server.html")]
struct ServerPage<'a> {
    frame: &'a Frame,
    server: &'a ServerView,
    names: Names,
    manifests: Panel<Manifests>,
    attestations: Panel<AttestationList>,
    agents: Panel<ConnectedAgents>,
}

impl ServerPage<'_> {
    fn is_live(&self) -> bool {
        self.server.status.is_live()
    }

    fn can_be_verified(&self) -> bool {
        self.is_live() && self.server.public_key.is_some() && self.has_web_address()
    }

    fn has_web_address(&self) -> bool {
        self.server.url.starts_with("http")
    }

    fn is_suspended(&self) -> bool {
        self.server.status == ServerStatus::Suspended
    }

    fn is_revoked(&self) -> bool {
        self.server.status == ServerStatus::Revoked
    }

    fn tags(&self) -> String {
        self.server.tags.join(", ")
    }

    /// What the server has to sign, with the challenge left open.
    fn message(&self) -> String {
        challenge_message(self.server.id, &self.server.url, "CHALLENGE")
    }

    /// How a manifest is reported.
    fn curl(&self) -> String {
        format!(
            "curl -X POST \"$AIM_SERVER/api/v1/mcp-servers/{}/manifests\" -H \"Authorization: Bearer $AIM_API_KEY\" \\\n  \
             -H 'Content-Type: application/json' -d @tools.json",
            self.server.id
        )
    }

    fn owner(&self) -> Option<String> {
        Some(format!("user:{}", self.server.owner_id?))
    }

    /// What changed of a member, line by line: words as they are, everything else as JSON.
    fn lines(&self, change: &Change, member: &str) -> Vec<Line> {
        let text = |members: &Map<String, Value>| match members.get(member) {
            None | Some(Value::Null) => String::new(),
            Some(Value::String(text)) => text.clone(),
            Some(value) => serde_json::to_string_pretty(value).unwrap_or_default(),
        };
        lines::between(&text(&change.before), &text(&change.after))
    }

    /// How many agents had attested the version before the one that counts, where that one is looked at.
    fn drifted_from(&self, manifests: &Manifests) -> Option<(i64, i64)> {
        let seen = manifests.seen.as_ref()?;
        let before = seen
            .compared_with
            .filter(|_| seen.outline.version == manifests.total)?;
        let outline = manifests
            .versions
            .iter()
            .find(|version| version.version == before)?;
        (outline.attested_by > 0).then_some((before, outline.attested_by))
    }

    /// The names of a tool's arguments.
    fn arguments(&self, schema: &Value) -> String {
        let properties = schema.get("properties").and_then(Value::as_object);
        properties.map_or_else(String::new, |properties| {
            properties
                .keys()
                .map(String::as_str)
                .collect::<Vec<_>>()
                .join(", ")
        })
    }

    /// A word that does not count is not shown as a good one, however fresh it is.
    fn tone_of(&self, attestation: &AttestationView) -> &'static str {
        if attestation.counts {
            words::tone(attestation.freshness)
        } else {
            "neutral"
        }
    }

    fn members(&self, change: &Change) -> String {
        change
            .members
            .iter()
            .map(|member| ui::in_words(member).to_lowercase())
            .collect::<Vec<_>>()
            .join(", ")
    }
}

/// The page.
pub(super) async fn server_page(
    viewing: Viewing<McpRead>,
    id: PathId<McpServerKind>,
    query: Query<VersionQuery>,
    servers: web::Data<ServerService>,
    manifests: web::Data<ManifestService>,
    attestations: web::Data<AttestationService>,
    connections: web::Data<ConnectionService>,
) -> PageResult {
    let ctx = &viewing.ctx;
    let server = servers.get(ctx, id.0).await?;
    let people = PageRequest {
        limit: PEOPLE,
        ..PageRequest::default()
    };
    let seen = match (&server.manifest, query.0.version) {
        (None, None) => None,
        (present, wanted) => wanted.or_else(|| present.as_ref().map(|manifest| manifest.version)),
    };
    // A version that is not there is a page that is not there; whatever else fails is a part of this page.
    let of_version = match seen {
        Some(version) => match manifests.get(ctx, id.0, version, query.0.against).await {
            Err(error) if error.code.status() < 500 => return Err(error.into()),
            other => other.map(Some),
        },
        None => Ok(None),
    };
    let manifests = Panel::load(
        "The manifests",
        &viewing,
        versions(&manifests, ctx, id.0, of_version),
    )
    .await;
    let attestations = Panel::load("The attestations", &viewing, attestations.list(ctx, id.0, people)).await;
    let agents = Panel::load("The agents", &viewing, connections.of_server(ctx, id.0, people)).await;
    let mut actors = vec![server.created_by.clone()];
    actors.extend(server.owner_id.map(|owner| format!("user:{owner}")));
    if let Panel::Ready(manifests) = &manifests {
        actors.extend(
            manifests
                .versions
                .iter()
                .map(|version| version.recorded_by.clone()),
        );
    }
    let page = ServerPage {
        frame: &viewing.frame,
        names: viewing.names(actors).await,
        server: &server,
        manifests,
        attestations,
        agents,
    };
    viewing.page(format!("{} · MCP server", server.name), &page)
}

async fn versions(
    service: &ManifestService,
    ctx: &aim_core::Ctx,
    server: McpServerId,
    seen: Result<Option<ManifestVersion>>,
) -> Result<Manifests> {
    let page = PageRequest {
        limit: VERSIONS,
        ..PageRequest::default()
    };
    let list = service.list(ctx, server, page).await?;
    Ok(Manifests {
        versions: list.manifests,
        total: list.total,
        seen: seen?,
    })
}
