//! Queries on connections. Every one names the tenant; what holds `talks_to` to the connections stands here too,
//! since servers that are renamed or deleted need it as well.

use std::collections::HashMap;

use aim_core::{AgentId, Code, Ctx, Json, OrganizationId, PageRequest, Timestamp};
use aim_store::{Db, Error, Result, each};
use diesel::{
    BoolExpressionMethods, ExpressionMethods, JoinOnDsl, OptionalExtension, QueryDsl, RunQueryDsl,
    SelectableHelper,
};

use super::{model::Source, talks_to};
use crate::{
    agent_table::agents,
    schema::{mcp_attestations, mcp_connections, mcp_servers},
    servers::{McpServerId, store::ServerRow},
};

/// A connection, as its row has it.
#[derive(Debug, Clone, diesel::Queryable, diesel::Selectable, diesel::Insertable)]
#[diesel(table_name = mcp_connections)]
pub(crate) struct ConnectionRow {
    pub(crate) org_id: OrganizationId,
    pub(crate) agent_id: AgentId,
    pub(crate) server_id: McpServerId,
    pub(crate) source: String,
    pub(crate) created_by: String,
    pub(crate) created_at: Timestamp,
}

impl ConnectionRow {
    pub(crate) fn source(&self) -> Result<Source> {
        source(&self.source)
    }
}

fn source(text: &str) -> Result<Source> {
    Source::parse(text).ok_or_else(|| Error::Corrupt(format!("unknown source of a connection: {text}")))
}

/// What of an agent is needed here.
#[derive(Debug, Clone)]
pub(crate) struct AgentPart {
    pub(crate) id: AgentId,
    pub(crate) name: String,
    pub(crate) talks_to: Vec<String>,
}

/// The agent, unless it was deleted. Where its `talks_to` is about to change, PostgreSQL locks the row.
pub(crate) fn agent(
    db: &mut Db,
    organization: OrganizationId,
    agent: AgentId,
    to_change: bool,
) -> Result<AgentPart> {
    let row: Option<(AgentId, String, Json)> = one_row!(
        db,
        to_change,
        agents::table
            .filter(agents::org_id.eq(organization))
            .filter(agents::id.eq(agent))
            .filter(agents::deleted_at.is_null())
            .select((agents::id, agents::name, agents::talks_to))
    )?;
    let (id, name, names) = row.ok_or_else(aim_core::Error::not_found)?;
    Ok(AgentPart {
        id,
        name,
        talks_to: names.strings(),
    })
}

/// Whether the agent is connected to the server, and the server is there.
pub(crate) fn is_connected(
    db: &mut Db,
    organization: OrganizationId,
    agent: AgentId,
    server: McpServerId,
) -> Result<bool> {
    let found = mcp_connections::table.find((organization, agent, server));
    Ok(each!(db, c => diesel::select(diesel::dsl::exists(found)).get_result(c))?)
}

/// The agent's connections to servers that are there, with the servers, by name.
pub(crate) fn of_agent(
    db: &mut Db,
    organization: OrganizationId,
    agent: AgentId,
) -> Result<Vec<(ConnectionRow, ServerRow)>> {
    Ok(each!(db, c => mcp_connections::table
        .inner_join(mcp_servers::table.on(mcp_servers::org_id
            .eq(mcp_connections::org_id)
            .and(mcp_servers::id.eq(mcp_connections::server_id))))
        .filter(mcp_connections::org_id.eq(organization))
        .filter(mcp_connections::agent_id.eq(agent))
        .filter(mcp_servers::deleted_at.is_null())
        .order((mcp_servers::name, mcp_servers::id))
        .select((ConnectionRow::as_select(), ServerRow::as_select()))
        .load(c))?)
}

/// Adds a connection. `false`: it was there.
pub(crate) fn insert(db: &mut Db, row: &ConnectionRow) -> Result<bool> {
    let count = each!(db, c => diesel::insert_into(mcp_connections::table)
        .values(row)
        .on_conflict_do_nothing()
        .execute(c))?;
    Ok(count == 1)
}

/// Removes connections of an agent.
pub(crate) fn delete(
    db: &mut Db,
    organization: OrganizationId,
    agent: AgentId,
    servers: &[McpServerId],
) -> Result<()> {
    each!(db, c => diesel::delete(mcp_connections::table
        .filter(mcp_connections::org_id.eq(organization))
        .filter(mcp_connections::agent_id.eq(agent))
        .filter(mcp_connections::server_id.eq_any(servers)))
        .execute(c))?;
    Ok(())
}

/// Writes what an agent talks to, where that changed.
pub(crate) fn save_talks_to(db: &mut Db, ctx: &Ctx, agent: &AgentPart, names: &[String]) -> Result<()> {
    if agent.talks_to == names {
        return Ok(());
    }
    // decide() does not see this list, so the epoch stays.
    each!(db, c => diesel::update(agents::table
            .filter(agents::org_id.eq(ctx.organization))
            .filter(agents::id.eq(agent.id)))
        .set((agents::talks_to.eq(Json::of(&names)), agents::updated_at.eq(ctx.now)))
        .execute(c))?;
    Ok(())
}

/// The names of the servers that the agent is connected to.
pub(crate) fn server_names(db: &mut Db, organization: OrganizationId, agent: AgentId) -> Result<Vec<String>> {
    Ok(of_agent(db, organization, agent)?
        .into_iter()
        .map(|(_, server)| server.name)
        .collect())
}

/// Brings `talks_to` of every agent that is connected to a server up to date after the server's name changed.
pub(crate) fn rename_server(db: &mut Db, ctx: &Ctx, server: McpServerId, old_name: &str) -> Result<()> {
    for id in agents_of(db, ctx.organization, server)? {
        refresh(db, ctx, id, old_name)?;
    }
    Ok(())
}

/// Removes every connection to a server that is being deleted; answers how many there were.
pub(crate) fn remove_server(db: &mut Db, ctx: &Ctx, server: McpServerId, name: &str) -> Result<usize> {
    let connected = agents_of(db, ctx.organization, server)?;
    each!(db, c => diesel::delete(mcp_connections::table
        .filter(mcp_connections::org_id.eq(ctx.organization))
        .filter(mcp_connections::server_id.eq(server)))
        .execute(c))?;
    for id in &connected {
        refresh(db, ctx, *id, name)?;
    }
    Ok(connected.len())
}

fn refresh(db: &mut Db, ctx: &Ctx, id: AgentId, old_name: &str) -> Result<()> {
    let agent = match agent(db, ctx.organization, id, true) {
        Ok(agent) => agent,
        // A deleted agent's list stays as it was.
        Err(Error::Refused(error)) if error.code == Code::NotFound => return Ok(()),
        Err(error) => return Err(error),
    };
    let connected = server_names(db, ctx.organization, id)?;
    let names = talks_to::updated(&agent.talks_to, &[old_name.to_owned()], &connected)?;
    save_talks_to(db, ctx, &agent, &names)
}

/// The agents that are connected to a server, in the order in which they are locked.
fn agents_of(db: &mut Db, organization: OrganizationId, server: McpServerId) -> Result<Vec<AgentId>> {
    Ok(each!(db, c => mcp_connections::table
        .filter(mcp_connections::org_id.eq(organization))
        .filter(mcp_connections::server_id.eq(server))
        .order(mcp_connections::agent_id)
        .select(mcp_connections::agent_id)
        .load(c))?)
}

/// A connection of a server with its agent's name and status.
pub(crate) type Named = (ConnectionRow, String, String);

/// A page of the agents that are connected to a server with one more, those registered last first.
pub(crate) fn page_of_server(
    db: &mut Db,
    organization: OrganizationId,
    server: McpServerId,
    page: &PageRequest,
) -> Result<Vec<Named>> {
    Ok(each!(db, c => {
        let mut query = mcp_connections::table
            .inner_join(agents::table.on(agents::org_id
                .eq(mcp_connections::org_id)
                .and(agents::id.eq(mcp_connections::agent_id))))
            .filter(mcp_connections::org_id.eq(organization))
            .filter(mcp_connections::server_id.eq(server))
            .filter(agents::deleted_at.is_null())
            .order(mcp_connections::agent_id.desc())
            .limit(page.fetch())
            .offset(page.offset)
            .select((ConnectionRow::as_select(), agents::name, agents::status))
            .into_boxed();
        if let Some(cursor) = page.cursor {
            query = query.filter(mcp_connections::agent_id.lt(AgentId::from_uuid(cursor.0)));
        }
        query.load(c)
    })?)
}

/// When each of `of` attested this version of a server.
pub(crate) fn attested_by_agents(
    db: &mut Db,
    organization: OrganizationId,
    (server, version): (McpServerId, i64),
    of: &[AgentId],
) -> Result<HashMap<AgentId, Timestamp>> {
    let rows: Vec<(AgentId, Timestamp)> = each!(db, c => mcp_attestations::table
        .filter(mcp_attestations::org_id.eq(organization))
        .filter(mcp_attestations::server_id.eq(server))
        .filter(mcp_attestations::manifest_version.eq(version))
        .filter(mcp_attestations::agent_id.eq_any(of))
        .select((mcp_attestations::agent_id, mcp_attestations::attested_at))
        .load(c))?;
    Ok(rows.into_iter().collect())
}

/// When the agent attested which version of which server.
pub(crate) fn attested_by_agent(
    db: &mut Db,
    organization: OrganizationId,
    agent: AgentId,
    servers: &[McpServerId],
) -> Result<HashMap<(McpServerId, i64), Timestamp>> {
    let rows: Vec<(McpServerId, i64, Timestamp)> = each!(db, c => mcp_attestations::table
        .filter(mcp_attestations::org_id.eq(organization))
        .filter(mcp_attestations::agent_id.eq(agent))
        .filter(mcp_attestations::server_id.eq_any(servers))
        .select((
            mcp_attestations::server_id,
            mcp_attestations::manifest_version,
            mcp_attestations::attested_at,
        ))
        .load(c))?;
    Ok(rows
        .into_iter()
        .map(|(server, version, at)| ((server, version), at))
        .collect())
}
