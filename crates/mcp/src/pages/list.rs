//! `/mcp-servers`: search, filters in the URL, sort, pages; registration in a dialog.

use actix_web::web;
use aim_core::role::permission::{McpRead, McpWrite};
use aim_platform::{
    Query,
    console::{Frame, PageResult, Viewing, ui},
};
use askama::Template;
use serde::Deserialize;

use super::words;
use crate::servers::{ServerQuery, ServerService, ServerView};

/// How many servers a page shows.
const PAGE: i64 = 50;

/// The parameters of the page: texts, since a form sends the empty ones too.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct ListQuery {
    q: String,
    status: String,
    tag: String,
    sort: String,
    cursor: Option<String>,
    /// The name of a server to be registered, which an agent found: the dialog's form begins with it.
    register: String,
}

impl ListQuery {
    fn filter(&self) -> aim_core::Result<crate::servers::ServerFilter> {
        let text = |text: &str| Some(text.trim().to_owned()).filter(|text| !text.is_empty());
        ServerQuery {
            q: text(&self.q),
            status: text(&self.status).into_iter().collect(),
            tag: text(&self.tag),
            sort: text(&self.sort),
            limit: Some(PAGE),
            offset: None,
            cursor: self.cursor.clone(),
        }
        .filter()
    }

    fn is_filtered(&self) -> bool {
        [&self.q, &self.status, &self.tag]
            .iter()
            .any(|text| !text.trim().is_empty())
    }
}

#[derive(Template)]
#[template(path = "mcp/list.html")]
struct ServersPage<'a> {
    frame: &'a Frame,
    query: &'a ListQuery,
    servers: Vec<ServerView>,
    total: i64,
    next: Option<String>,
    filtered: bool,
}

/// The page.
pub(super) async fn servers_page(
    viewing: Viewing<McpRead>,
    query: Query<ListQuery>,
    service: web::Data<ServerService>,
) -> PageResult {
    let list = service.list(&viewing.ctx, query.0.filter()?).await?;
    let page = ServersPage {
        frame: &viewing.frame,
        filtered: query.0.is_filtered(),
        query: &query.0,
        servers: list.mcp_servers,
        total: list.total,
        next: list.next_cursor,
    };
    viewing.page("MCP servers", &page)
}
