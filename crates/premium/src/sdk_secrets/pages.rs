//! The page "SDK namespaces": which agent resolves which credential by which name, where it stands in the vault, and the
//! forms that make a namespace, write its credential and delete it.

use std::collections::HashMap;

use actix_web::web;
use aim_core::{AgentId, Error};
use aim_platform::{
    Query,
    console::{ConsoleRegistry, Fragment, Frame, Names, PageResult, Viewing, ui},
};
use askama::Template;
use serde::Deserialize;

use super::{
    model::{NamespaceQuery, NamespaceView},
    service::SdkSecretsService,
};
use crate::{
    agent_choice::AgentChoice,
    vault::{
        permission::{SecretsRead, SecretsWrite},
        sections,
    },
};

/// How many namespaces a page shows.
const PAGE: i64 = 50;

pub(super) fn register(console: &mut ConsoleRegistry) {
    console.page("/secrets/namespaces", namespaces_page);
}

/// The parameters of the page: texts, since a form sends the empty ones too.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct PageQuery {
    agent_id: String,
    cursor: Option<String>,
}

#[derive(Template)]
#[template(path = "sdk_secrets/list.html")]
struct NamespacesPage<'a> {
    frame: &'a Frame,
    query: &'a PageQuery,
    namespaces: Vec<NamespaceView>,
    /// The newest version of each credential by its path.
    versions: HashMap<String, i64>,
    next: Option<String>,
    names: Names,
    agents: AgentChoice,
}

impl NamespacesPage<'_> {
    fn agent(&self, agent: &AgentId) -> Fragment {
        self.names.show(&format!("agent:{agent}"))
    }

    fn version(&self, namespace: &NamespaceView) -> Option<i64> {
        self.versions.get(&namespace.path).copied()
    }

    fn agent_choice(&self) -> ui::Field {
        let field = ui::select("agentId", "Agent").within("new-namespace").required();
        let field = self.agents.options(field);
        if self.agents.is_cut() {
            return field
                .hint("Only a part of your agents stands here: make the others' namespaces by the API.");
        }
        field
    }

    /// A first credential is stored, and one that is there is rotated.
    fn route(&self, namespace: &NamespaceView) -> String {
        let act = match self.version(namespace) {
            Some(_) => "rotate",
            None => "credentials",
        };
        format!("POST /api/v1/secrets/namespaces/{}/{act}", namespace.id)
    }
}

async fn namespaces_page(
    viewing: Viewing<SecretsRead>,
    query: Query<PageQuery>,
    service: web::Data<SdkSecretsService>,
) -> PageResult {
    let agent_id = match query.0.agent_id.trim() {
        "" => None,
        text => Some(
            text.parse()
                .map_err(|_| Error::field("agent_id", "an agent's id"))?,
        ),
    };
    let wanted = NamespaceQuery {
        agent_id,
        limit: Some(PAGE),
        cursor: query.0.cursor.clone(),
    };
    let list = service.list(&viewing.ctx, wanted).await?;
    let paths = list.namespaces.iter().map(|one| one.path.clone()).collect();
    let mut actors: Vec<String> = list
        .namespaces
        .iter()
        .map(|one| format!("agent:{}", one.agent_id))
        .collect();
    actors.extend(list.namespaces.iter().map(|one| one.created_by.clone()));
    let page = NamespacesPage {
        frame: &viewing.frame,
        versions: service.versions(&viewing.ctx, paths).await?,
        names: viewing.names(actors).await,
        agents: service.agents_to_choose(&viewing.ctx).await?,
        namespaces: list.namespaces,
        next: list.next_cursor,
        query: &query.0,
    };
    viewing.page("SDK namespaces", &page)
}
