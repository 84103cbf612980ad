//! Queries on MCP servers. No rules here; every one names the tenant.

use std::collections::HashMap;

use aim_core::{Code, Json, OrganizationId, PageRequest, Timestamp, UserId};
use aim_store::{Db, Error, Result, ResultExt, each, schema::users};
use diesel::{
    BoolExpressionMethods, EscapeExpressionMethods, ExpressionMethods, JoinOnDsl, OptionalExtension,
    QueryDsl, RunQueryDsl, SelectableHelper, TextExpressionMethods,
    dsl::sql,
    sql_types::{Bool, Text},
};

use super::model::{McpServerId, ServerFilter, ServerSort, ServerStatus};
use crate::{
    agent_table::agents,
    schema::{mcp_connections, mcp_servers},
};

diesel::define_sql_function! {
    /// The text in lower case; SQLite knows the case of ASCII letters only.
    fn lower(text: Text) -> Text;
}

/// A server, as its row has it.
#[derive(Debug, Clone, diesel::Queryable, diesel::Selectable, diesel::Insertable, diesel::AsChangeset)]
#[diesel(table_name = mcp_servers, primary_key(org_id, id), treat_none_as_default_value = false, treat_none_as_null = true)]
pub(crate) struct ServerRow {
    pub(crate) org_id: OrganizationId,
    pub(crate) id: McpServerId,
    pub(crate) name: String,
    pub(crate) url: String,
    pub(crate) description: String,
    pub(crate) version: String,
    pub(crate) owner_id: Option<UserId>,
    pub(crate) tags: Json,
    pub(crate) status: String,
    pub(crate) status_reason: Option<String>,
    pub(crate) public_key: Option<Vec<u8>>,
    pub(crate) verified_at: Option<Timestamp>,
    pub(crate) last_check_at: Option<Timestamp>,
    pub(crate) last_check_problem: Option<String>,
    pub(crate) manifest_version: i64,
    pub(crate) manifest_digest: Option<String>,
    pub(crate) manifest_at: Option<Timestamp>,
    pub(crate) tool_count: i64,
    pub(crate) resource_count: i64,
    pub(crate) prompt_count: i64,
    pub(crate) created_by: String,
    pub(crate) created_at: Timestamp,
    pub(crate) updated_at: Timestamp,
    pub(crate) deleted_at: Option<Timestamp>,
}

impl ServerRow {
    /// Where the server stands.
    pub(crate) fn status(&self) -> Result<ServerStatus> {
        ServerStatus::parse(&self.status)
            .ok_or_else(|| Error::Corrupt(format!("MCP server {}: unknown status {}", self.id, self.status)))
    }
}

/// Adds a server.
pub(crate) fn insert(db: &mut Db, row: &ServerRow) -> Result<()> {
    each!(db, c => diesel::insert_into(mcp_servers::table).values(row).execute(c)).on_unique(url_taken)?;
    Ok(())
}

/// Writes the row back.
pub(crate) fn save(db: &mut Db, row: &ServerRow) -> Result<()> {
    let mine = mcp_servers::table
        .filter(mcp_servers::org_id.eq(row.org_id))
        .filter(mcp_servers::id.eq(row.id));
    each!(db, c => diesel::update(mine).set(row).execute(c)).on_unique(url_taken)?;
    Ok(())
}

fn url_taken() -> aim_core::Error {
    aim_core::Error::new(
        Code::Conflict,
        "another MCP server of your organisation has this address",
    )
    .at("url")
}

/// The server, unless it was deleted. Where it is about to change, PostgreSQL locks the row.
pub(crate) fn find(
    db: &mut Db,
    organization: OrganizationId,
    server: McpServerId,
    to_change: bool,
) -> Result<ServerRow> {
    let row: Option<ServerRow> = one_row!(
        db,
        to_change,
        mcp_servers::table
            .filter(mcp_servers::org_id.eq(organization))
            .filter(mcp_servers::id.eq(server))
            .filter(mcp_servers::deleted_at.is_null())
            .select(ServerRow::as_select())
    )?;
    row.ok_or_else(|| aim_core::Error::not_found().into())
}

/// Those of `servers` that are there, by their ids. Where they are about to be connected, PostgreSQL locks the rows,
/// in one order, so that two who want the same ones do not wait for each other.
pub(crate) fn find_all(
    db: &mut Db,
    organization: OrganizationId,
    servers: &[McpServerId],
    to_change: bool,
) -> Result<Vec<ServerRow>> {
    macro_rules! query {
        () => {
            mcp_servers::table
                .filter(mcp_servers::org_id.eq(organization))
                .filter(mcp_servers::id.eq_any(servers))
                .filter(mcp_servers::deleted_at.is_null())
                .order(mcp_servers::id)
                .select(ServerRow::as_select())
        };
    }
    Ok(match db {
        Db::Pg(c) if to_change => query!().for_update().load(&mut **c)?,
        Db::Pg(c) => query!().load(&mut **c)?,
        Db::Sqlite(c) => query!().load(&mut **c)?,
    })
}

/// The server at this address, unless it was deleted.
pub(crate) fn find_by_url(db: &mut Db, organization: OrganizationId, url: &str) -> Result<Option<ServerRow>> {
    Ok(each!(db, c => mcp_servers::table
        .filter(mcp_servers::org_id.eq(organization))
        .filter(mcp_servers::url.eq(url))
        .filter(mcp_servers::deleted_at.is_null())
        .select(ServerRow::as_select())
        .get_result(c)
        .optional())?)
}

/// The servers with these names, the oldest first; a name may be had by more than one.
pub(crate) fn find_by_names(
    db: &mut Db,
    organization: OrganizationId,
    names: &[&str],
) -> Result<Vec<ServerRow>> {
    Ok(each!(db, c => mcp_servers::table
        .filter(mcp_servers::org_id.eq(organization))
        .filter(mcp_servers::name.eq_any(names))
        .filter(mcp_servers::deleted_at.is_null())
        .order(mcp_servers::id)
        .select(ServerRow::as_select())
        .load(c))?)
}

/// Whether the organisation has such an active user.
pub(crate) fn has_user(db: &mut Db, organization: OrganizationId, user: UserId) -> Result<bool> {
    let found = users::table
        .filter(users::org_id.eq(organization))
        .filter(users::id.eq(user))
        .filter(users::status.eq("active"));
    Ok(each!(db, c => diesel::select(diesel::dsl::exists(found)).get_result(c))?)
}

/// How many agents are connected to each of `servers`; none where a server is missing.
pub(crate) fn connected(
    db: &mut Db,
    organization: OrganizationId,
    servers: &[McpServerId],
) -> Result<HashMap<McpServerId, i64>> {
    let rows: Vec<(McpServerId, i64)> = each!(db, c => mcp_connections::table
        .inner_join(agents::table.on(agents::org_id
            .eq(mcp_connections::org_id)
            .and(agents::id.eq(mcp_connections::agent_id))))
        .filter(mcp_connections::org_id.eq(organization))
        .filter(mcp_connections::server_id.eq_any(servers))
        .filter(agents::deleted_at.is_null())
        .group_by(mcp_connections::server_id)
        .select((mcp_connections::server_id, diesel::dsl::count_star()))
        .load(c))?;
    Ok(rows.into_iter().collect())
}

/// A page of the organisation's servers, one more than the page holds, and how many there are in all.
pub(crate) fn page(
    db: &mut Db,
    organization: OrganizationId,
    filter: &ServerFilter,
) -> Result<(Vec<ServerRow>, i64)> {
    let PageRequest { offset, cursor, .. } = filter.page;
    let start: Option<(McpServerId, String)> = match cursor {
        None => None,
        Some(cursor) => Some(
            each!(db, c => mcp_servers::table
                .filter(mcp_servers::org_id.eq(organization))
                .filter(mcp_servers::id.eq(McpServerId::from_uuid(cursor.0)))
                .select((mcp_servers::id, mcp_servers::name))
                .get_result(c)
                .optional())?
            .ok_or_else(|| {
                aim_core::Error::field(
                    "cursor",
                    "not a cursor of this list; leave it out to start at the top",
                )
            })?,
        ),
    };
    let has_tag = if db.is_postgres() {
        ("mcp_servers.tags @> jsonb_build_array(", "::text)")
    } else {
        (
            "EXISTS (SELECT 1 FROM json_each(mcp_servers.tags) WHERE json_each.value = ",
            ")",
        )
    };
    let pattern = filter.text.as_deref().map(contains_pattern);
    let statuses: Vec<&str> = filter.statuses.iter().map(|status| status.as_str()).collect();
    macro_rules! filtered {
        ($query:expr) => {{
            let mut query = $query
                .filter(mcp_servers::org_id.eq(organization))
                .filter(mcp_servers::deleted_at.is_null())
                .into_boxed();
            if !statuses.is_empty() {
                query = query.filter(mcp_servers::status.eq_any(statuses.clone()));
            }
            if let Some(tag) = &filter.tag {
                query = query.filter(sql::<Bool>(has_tag.0).bind::<Text, _>(tag.clone()).sql(has_tag.1));
            }
            if let Some(pattern) = &pattern {
                let like = || lower(pattern.clone());
                query = query.filter(
                    lower(mcp_servers::name)
                        .like(like())
                        .escape('\\')
                        .or(lower(mcp_servers::url).like(like()).escape('\\'))
                        .or(lower(mcp_servers::description).like(like()).escape('\\')),
                );
            }
            query
        }};
    }
    let total: i64 = each!(db, c => filtered!(mcp_servers::table).count().get_result(c))?;
    let rows = each!(db, c => {
        let mut query = filtered!(mcp_servers::table)
            .select(ServerRow::as_select())
            .limit(filter.page.fetch())
            .offset(offset);
        query = match filter.sort {
            ServerSort::Name => query.order((mcp_servers::name, mcp_servers::id)),
            ServerSort::NameDescending => query.order((mcp_servers::name.desc(), mcp_servers::id.desc())),
            ServerSort::Created => query.order(mcp_servers::id),
            ServerSort::CreatedDescending => query.order(mcp_servers::id.desc()),
        };
        if let Some((id, name)) = &start {
            query = match filter.sort {
                ServerSort::Name => query.filter(
                    mcp_servers::name.gt(name).or(mcp_servers::name.eq(name).and(mcp_servers::id.gt(*id)))),
                ServerSort::NameDescending => query.filter(
                    mcp_servers::name.lt(name).or(mcp_servers::name.eq(name).and(mcp_servers::id.lt(*id)))),
                ServerSort::Created => query.filter(mcp_servers::id.gt(*id)),
                ServerSort::CreatedDescending => query.filter(mcp_servers::id.lt(*id)),
            };
        }
        query.load(c)
    })?;
    Ok((rows, total))
}

/// The pattern of `LIKE` for what contains `text`; a backslash takes the wildcards' meaning away.
fn contains_pattern(text: &str) -> String {
    let mut pattern = String::with_capacity(text.len() + 2);
    pattern.push('%');
    for character in text.chars() {
        if matches!(character, '%' | '_' | '\\') {
            pattern.push('\\');
        }
        pattern.push(character);
    }
    pattern.push('%');
    pattern
}
