//! What can be done with connections: one transaction a use case, an audit record for each change.

use aim_audit::Entry;
use aim_core::{
    Actor, AgentId, Ctx, Error, PageRequest, RequiredPermission, Result, role::permission::McpWrite,
};
use aim_platform::Kernel;
use aim_store::Db;
use serde_json::json;

use super::{
    model::{
        Added, AgentServers, ConnectedAgent, ConnectedAgents, ConnectedServer, Removed, ServerIds, Source,
    },
    store::{self, AgentPart, ConnectionRow},
    talks_to,
};
use crate::servers::{
    McpServerId, NewServer, ServerView, new_row, registration,
    store::{self as servers, ServerRow},
    view::{view, views},
};

/// Connects agents to servers, and shows who uses what.
#[derive(Clone)]
pub struct ConnectionService {
    kernel: Kernel,
}

impl ConnectionService {
    /// The use cases on this kernel's store.
    #[must_use]
    pub fn new(kernel: &Kernel) -> Self {
        Self {
            kernel: kernel.clone(),
        }
    }

    /// Connects an agent to servers: to all of them, or to none. Those that it was connected to stay as they are.
    ///
    /// # Errors
    /// `resource.not_found` for the agent; `request.field_invalid` at `mcp_server_ids` or the id that is unknown.
    pub async fn connect(&self, ctx: &Ctx, agent: AgentId, wanted: ServerIds) -> Result<Added> {
        ctx.acts_for(agent)?;
        let ids = wanted.distinct()?;
        let ctx = ctx.clone();
        self.kernel
            .store
            .write(ctx.organization, move |db| {
                // Whose agent it is comes before what is wrong with the rest.
                store::agent(db, ctx.organization, agent, false)?;
                let found = servers::find_all(db, ctx.organization, &ids, true)?;
                if let Some(place) = ids.iter().position(|id| found.iter().all(|row| row.id != *id)) {
                    return Err(unknown(
                        &wanted,
                        ids.get(place).copied(),
                        "your organisation has no such MCP server",
                    )
                    .into());
                }
                let part = store::agent(db, ctx.organization, agent, true)?;
                let source = match ctx.actor {
                    Actor::Agent { .. } => Source::Reported,
                    _ => Source::Declared,
                };
                let (names, added, entry) = connect(db, &ctx, &part, &found, &[], source)?;
                aim_audit::append(db, entry.into_iter().collect())?;
                Ok(Added {
                    message: match added.len() {
                        0 => format!("{} was connected to all of them already", part.name),
                        1 => format!("{} is connected to 1 more MCP server", part.name),
                        count => format!("{} is connected to {count} more MCP servers", part.name),
                    },
                    total_count: count(names.len()),
                    talks_to: names,
                    added_servers: ids.iter().copied().filter(|id| added.contains(id)).collect(),
                })
            })
            .await
    }

    /// Connects an agent to the server at an address, which is registered if nobody has yet. The flag tells whether it was.
    /// What is registered already stays as it is.
    ///
    /// # Errors
    /// `resource.not_found` for the agent; `request.field_invalid` by field of the server.
    pub async fn connect_at(&self, ctx: &Ctx, agent: AgentId, new: NewServer) -> Result<(ServerView, bool)> {
        ctx.acts_for(agent)?;
        let (mut new, key) = new.checked()?;
        // Who answers for a server is for people to say.
        new.owner_id = None;
        let ctx = ctx.clone();
        self.kernel
            .store
            .write(ctx.organization, move |db| {
                store::agent(db, ctx.organization, agent, false)?;
                let mut entries = Vec::new();
                let present = servers::find_by_url(db, ctx.organization, &new.url)?;
                let is_new = present.is_none();
                let row = match present {
                    Some(row) => servers::find(db, ctx.organization, row.id, true)?,
                    None => {
                        let row = new_row(&ctx, &new, key.as_ref());
                        servers::insert(db, &row)?;
                        entries.push(registration(&ctx, &row).agent(agent));
                        row
                    }
                };
                let part = store::agent(db, ctx.organization, agent, true)?;
                let (_, _, entry) =
                    connect(db, &ctx, &part, std::slice::from_ref(&row), &[], Source::Reported)?;
                entries.extend(entry);
                let seen = view(db, row, ctx.now)?;
                aim_audit::append(db, entries)?;
                Ok((seen, is_new))
            })
            .await
    }

    /// Removes an agent's connections: all that are named, or none. Only people may: an agent does not hide what it uses.
    ///
    /// # Errors
    /// `resource.not_found` for the agent; `request.field_invalid` at `mcp_server_ids`, or at the id that the agent is not
    /// connected to.
    pub async fn disconnect(&self, ctx: &Ctx, agent: AgentId, unwanted: ServerIds) -> Result<Removed> {
        refuse_agents(ctx)?;
        let ids = unwanted.distinct()?;
        self.remove(ctx, agent, ids, move |id| {
            unknown(
                &unwanted,
                Some(id),
                "the agent is not connected to such an MCP server",
            )
        })
        .await
    }

    /// Removes one connection.
    ///
    /// # Errors
    /// `resource.not_found` for the agent, and where it is not connected to the server.
    pub async fn disconnect_one(&self, ctx: &Ctx, agent: AgentId, server: McpServerId) -> Result<Removed> {
        refuse_agents(ctx)?;
        self.remove(ctx, agent, vec![server], |_| Error::not_found())
            .await
    }

    async fn remove(
        &self,
        ctx: &Ctx,
        agent: AgentId,
        ids: Vec<McpServerId>,
        missing: impl Fn(McpServerId) -> Error + Send + 'static,
    ) -> Result<Removed> {
        let ctx = ctx.clone();
        self.kernel
            .store
            .write(ctx.organization, move |db| {
                let part = store::agent(db, ctx.organization, agent, true)?;
                let connected = store::of_agent(db, ctx.organization, agent)?;
                if let Some(id) = ids
                    .iter()
                    .find(|id| connected.iter().all(|(_, server)| server.id != **id))
                {
                    return Err(missing(*id).into());
                }
                let (gone, left): (Vec<_>, Vec<_>) = connected
                    .into_iter()
                    .map(|(_, server)| server)
                    .partition(|server| ids.contains(&server.id));
                store::delete(db, ctx.organization, agent, &ids)?;
                let names = talks_to::updated(&part.talks_to, &names_of(&gone), &names_of(&left))?;
                store::save_talks_to(db, &ctx, &part, &names)?;
                let entry = Entry::event(&ctx, "mcp_connection.removed")
                    .agent(agent)
                    .target("agent", agent)
                    .facts(json!({ "server_ids": ids }))
                    .details(json!({ "agent_name": part.name, "servers": names_of(&gone) }));
                aim_audit::append(db, vec![entry])?;
                Ok(Removed {
                    message: match ids.len() {
                        1 => format!("1 MCP server was removed from {}", part.name),
                        count => format!("{count} MCP servers were removed from {}", part.name),
                    },
                    total_count: count(names.len()),
                    talks_to: names,
                    removed_servers: ids.clone(),
                })
            })
            .await
    }

    /// The servers that an agent is connected to, by name.
    ///
    /// # Errors
    /// `resource.not_found`.
    pub async fn of_agent(&self, ctx: &Ctx, agent: AgentId) -> Result<AgentServers> {
        ctx.acts_for(agent)?;
        let (organization, now) = (ctx.organization, ctx.now);
        self.kernel
            .store
            .read(organization, move |db| {
                let part = store::agent(db, organization, agent, false)?;
                let (connections, rows): (Vec<_>, Vec<_>) =
                    store::of_agent(db, organization, agent)?.into_iter().unzip();
                let ids: Vec<McpServerId> = rows.iter().map(|row: &ServerRow| row.id).collect();
                let attested = store::attested_by_agent(db, organization, agent, &ids)?;
                let versions: Vec<i64> = rows.iter().map(|row| row.manifest_version).collect();
                let mut mcp_servers = Vec::with_capacity(rows.len());
                let seen = views(db, organization, rows, now)?;
                for ((connection, server), version) in connections.iter().zip(seen).zip(versions) {
                    mcp_servers.push(ConnectedServer {
                        attested_at: attested.get(&(server.id, version)).copied(),
                        source: connection.source()?,
                        connected_at: connection.created_at,
                        server,
                    });
                }
                Ok(AgentServers {
                    total: count(mcp_servers.len()),
                    talks_to: part.talks_to,
                    mcp_servers,
                })
            })
            .await
    }

    /// A page of the agents that are connected to a server.
    ///
    /// # Errors
    /// `resource.not_found`, for agents too: an agent does not see who else uses a server.
    pub async fn of_server(
        &self,
        ctx: &Ctx,
        server: McpServerId,
        page: PageRequest,
    ) -> Result<ConnectedAgents> {
        let organization = ctx.organization;
        self.kernel
            .store
            .read(organization, move |db| {
                let row = servers::find(db, organization, server, false)?;
                let total = servers::connected(db, organization, &[server])?
                    .get(&server)
                    .copied()
                    .unwrap_or(0);
                let found = store::page_of_server(db, organization, server, &page)?;
                let (found, next_cursor) = page.cut(found, |(connection, _, _)| connection.agent_id.uuid());
                let ids: Vec<AgentId> = found
                    .iter()
                    .map(|(connection, _, _)| connection.agent_id)
                    .collect();
                let attested =
                    store::attested_by_agents(db, organization, (server, row.manifest_version), &ids)?;
                let agents = found
                    .into_iter()
                    .map(|(connection, name, status)| {
                        Ok(ConnectedAgent {
                            id: connection.agent_id,
                            name,
                            status,
                            source: connection.source()?,
                            connected_at: connection.created_at,
                            attested_at: attested.get(&connection.agent_id).copied(),
                        })
                    })
                    .collect::<aim_store::Result<_>>()?;
                Ok(ConnectedAgents {
                    agents,
                    total,
                    limit: page.limit,
                    offset: page.offset,
                    next_cursor,
                })
            })
            .await
    }
}

/// Connects an agent, whose row is locked, to servers that are there; `others` are names that it talks to as well.
/// Answers what it talks to now, which servers are new, and the audit record where there are any.
pub(crate) fn connect(
    db: &mut Db,
    ctx: &Ctx,
    agent: &AgentPart,
    to: &[ServerRow],
    others: &[String],
    source: Source,
) -> aim_store::Result<(Vec<String>, Vec<McpServerId>, Option<Entry>)> {
    let mut added = Vec::new();
    for server in to {
        let row = ConnectionRow {
            org_id: ctx.organization,
            agent_id: agent.id,
            server_id: server.id,
            source: source.as_str().to_owned(),
            created_by: ctx.actor_text(),
            created_at: ctx.now,
        };
        if store::insert(db, &row)? {
            added.push(server.id);
        }
    }
    let mut connected = store::server_names(db, ctx.organization, agent.id)?;
    connected.extend_from_slice(others);
    let names = talks_to::updated(&agent.talks_to, &[], &connected)?;
    store::save_talks_to(db, ctx, agent, &names)?;
    let new: Vec<String> = to
        .iter()
        .filter(|server| added.contains(&server.id))
        .map(|server| server.name.clone())
        .collect();
    let entry = (!added.is_empty()).then(|| {
        Entry::event(ctx, "mcp_connection.added")
            .agent(agent.id)
            .target("agent", agent.id)
            .facts(json!({ "server_ids": added, "source": source.as_str() }))
            .details(json!({ "agent_name": agent.name, "servers": new }))
    });
    Ok((names, added, entry))
}

fn names_of(rows: &[ServerRow]) -> Vec<String> {
    rows.iter().map(|row| row.name.clone()).collect()
}

fn count(length: usize) -> i64 {
    i64::try_from(length).unwrap_or(i64::MAX)
}

/// The refusal of an id that stands in the list, at its place. The same for what is unknown and what is another tenant's.
fn unknown(list: &ServerIds, id: Option<McpServerId>, problem: &str) -> Error {
    let place = list
        .mcp_server_ids
        .iter()
        .position(|listed| Some(*listed) == id)
        .unwrap_or(0);
    Error::field(
        format!("mcp_server_ids[{place}]"),
        format!("{problem}; nothing was changed"),
    )
}

fn refuse_agents(ctx: &Ctx) -> Result<()> {
    match &ctx.actor {
        Actor::Agent { .. } | Actor::Anonymous => Err(Error::forbidden(McpWrite::PERMISSION.name)),
        Actor::User { .. } | Actor::ApiKey { .. } | Actor::System(_) => Ok(()),
    }
}
