//! Queries on agents. No rules here; every one names the tenant.

use aim_core::{AgentId, Code, Json, OrganizationId, PageRequest, Timestamp, UserId};
use aim_decision::AgentStatus;
use aim_key_vault::store::KeyRow;
use aim_store::{
    Db, Error, Result, ResultExt, each,
    schema::{agent_keys, agents, users},
};
use diesel::{
    BoolExpressionMethods, EscapeExpressionMethods, ExpressionMethods, OptionalExtension, QueryDsl,
    RunQueryDsl, SelectableHelper, TextExpressionMethods,
    dsl::sql,
    sql_types::{Bool, Text},
};

use super::model::{AgentFilter, AgentSort, AgentView, parse_status, status_text};

diesel::define_sql_function! {
    /// The text in lower case; SQLite knows the case of ASCII letters only.
    fn lower(text: Text) -> Text;
}

/// An agent, as its row has it.
#[derive(Debug, Clone, diesel::Queryable, diesel::Selectable, diesel::Insertable, diesel::AsChangeset)]
#[diesel(table_name = agents, primary_key(org_id, id), treat_none_as_default_value = false, treat_none_as_null = true)]
pub(crate) struct AgentRow {
    pub(crate) org_id: OrganizationId,
    pub(crate) id: AgentId,
    pub(crate) name: String,
    pub(crate) display_name: String,
    pub(crate) description: String,
    pub(crate) agent_type: String,
    pub(crate) version: String,
    pub(crate) status: String,
    pub(crate) owner_id: Option<UserId>,
    pub(crate) tags: Json,
    pub(crate) talks_to: Json,
    pub(crate) repository_url: Option<String>,
    pub(crate) documentation_url: Option<String>,
    pub(crate) trust_score: Option<i64>,
    pub(crate) epoch: i64,
    pub(crate) created_by: String,
    pub(crate) created_at: Timestamp,
    pub(crate) updated_at: Timestamp,
    pub(crate) deleted_at: Option<Timestamp>,
}

impl AgentRow {
    /// The agent's status.
    pub(crate) fn status(&self) -> Result<AgentStatus> {
        parse_status(&self.status)
            .ok_or_else(|| Error::Corrupt(format!("agent {}: unknown status {}", self.id, self.status)))
    }

    /// The agent with its current key, as callers see it.
    pub(crate) fn view(self, key: Option<&KeyRow>) -> Result<AgentView> {
        Ok(AgentView {
            status: self.status()?,
            public_key: key
                .map(|key| key.public_key().map(|key| key.spki_base64()))
                .transpose()?,
            fingerprint: key.map(|key| key.fingerprint.clone()),
            key_expires_at: key.map(|key| key.expires_at),
            tags: self.tags.strings(),
            talks_to: self.talks_to.strings(),
            id: self.id,
            organization_id: self.org_id,
            name: self.name,
            display_name: self.display_name,
            description: self.description,
            agent_type: self.agent_type,
            version: self.version,
            owner_id: self.owner_id,
            repository_url: self.repository_url,
            documentation_url: self.documentation_url,
            trust_score: self.trust_score,
            created_at: self.created_at,
            updated_at: self.updated_at,
            created_by: self.created_by,
        })
    }
}

/// Adds an agent.
pub(crate) fn insert(db: &mut Db, row: &AgentRow) -> Result<()> {
    each!(db, c => diesel::insert_into(agents::table).values(row).execute(c)).on_unique(name_taken)?;
    Ok(())
}

/// Writes the row back, with an epoch of its own so that every node looks again.
pub(crate) fn save(db: &mut Db, row: &AgentRow) -> Result<()> {
    let mine = agents::table
        .filter(agents::org_id.eq(row.org_id))
        .filter(agents::id.eq(row.id));
    each!(db, c => diesel::update(mine).set(row).execute(c)).on_unique(name_taken)?;
    Ok(())
}

fn name_taken() -> aim_core::Error {
    aim_core::Error::new(
        Code::NameTaken,
        "another agent of your organisation has this name",
    )
    .at("name")
}

/// The agent, unless it was deleted. Where it is about to change, PostgreSQL locks the row.
pub(crate) fn find(
    db: &mut Db,
    organization: OrganizationId,
    agent: AgentId,
    to_change: bool,
) -> Result<AgentRow> {
    let row: Option<AgentRow> = one_row!(
        db,
        to_change,
        agents::table
            .filter(agents::org_id.eq(organization))
            .filter(agents::id.eq(agent))
            .filter(agents::deleted_at.is_null())
            .select(AgentRow::as_select())
    )?;
    row.ok_or_else(|| aim_core::Error::not_found().into())
}

/// The agent of that name, unless it was deleted.
pub(crate) fn find_by_name(
    db: &mut Db,
    organization: OrganizationId,
    name: &str,
) -> Result<Option<AgentRow>> {
    Ok(each!(db, c => agents::table
        .filter(agents::org_id.eq(organization))
        .filter(agents::name.eq(name))
        .filter(agents::deleted_at.is_null())
        .select(AgentRow::as_select())
        .get_result(c)
        .optional())?)
}

/// The current keys of `of`: those neither replaced nor revoked.
pub(crate) fn current_keys(db: &mut Db, organization: OrganizationId, of: &[AgentId]) -> Result<Vec<KeyRow>> {
    Ok(each!(db, c => agent_keys::table
        .filter(agent_keys::org_id.eq(organization))
        .filter(agent_keys::agent_id.eq_any(of))
        .filter(agent_keys::replaced_at.is_null())
        .filter(agent_keys::revoked_at.is_null())
        .select(KeyRow::as_select())
        .load(c))?)
}

/// The agent with its current key.
pub(crate) fn view(db: &mut Db, row: AgentRow) -> Result<AgentView> {
    let keys = current_keys(db, row.org_id, &[row.id])?;
    row.view(keys.first())
}

/// Whether the organisation has such an active user.
pub(crate) fn has_user(db: &mut Db, organization: OrganizationId, user: UserId) -> Result<bool> {
    let found = users::table
        .filter(users::org_id.eq(organization))
        .filter(users::id.eq(user))
        .filter(users::status.eq("active"));
    Ok(each!(db, c => diesel::select(diesel::dsl::exists(found)).get_result(c))?)
}

/// The most people who are offered as owners.
const MOST_OWNERS: i64 = 500;

/// Who can own an agent: the active users, by name.
pub(crate) fn possible_owners(db: &mut Db, organization: OrganizationId) -> Result<Vec<(UserId, String)>> {
    Ok(each!(db, c => users::table
        .filter(users::org_id.eq(organization))
        .filter(users::status.eq("active"))
        .order((users::name, users::id))
        .limit(MOST_OWNERS)
        .select((users::id, users::name))
        .load(c))?)
}

/// A page of the organisation's agents, one more than the page holds, and how many there are in all.
pub(crate) fn page(
    db: &mut Db,
    organization: OrganizationId,
    filter: &AgentFilter,
) -> Result<(Vec<AgentRow>, i64)> {
    let PageRequest { offset, cursor, .. } = filter.page;
    let start: Option<(AgentId, String)> = match cursor {
        None => None,
        Some(cursor) => Some(
            each!(db, c => agents::table
                .filter(agents::org_id.eq(organization))
                .filter(agents::id.eq(AgentId::from_uuid(cursor.0)))
                .select((agents::id, agents::name))
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
        ("agents.tags @> jsonb_build_array(", "::text)")
    } else {
        (
            "EXISTS (SELECT 1 FROM json_each(agents.tags) WHERE json_each.value = ",
            ")",
        )
    };
    let pattern = filter.text.as_deref().map(contains_pattern);
    let statuses: Vec<&str> = filter.statuses.iter().copied().map(status_text).collect();
    macro_rules! filtered {
        ($query:expr) => {{
            let mut query = $query.filter(agents::org_id.eq(organization)).into_boxed();
            if statuses.is_empty() {
                query = query.filter(agents::deleted_at.is_null());
            } else {
                query = query.filter(agents::status.eq_any(statuses.clone()));
            }
            if let Some(agent_type) = &filter.agent_type {
                query = query.filter(agents::agent_type.eq(agent_type));
            }
            if let Some(owner) = filter.owner {
                query = query.filter(agents::owner_id.eq(Some(owner)));
            }
            if let Some(tag) = &filter.tag {
                query = query.filter(sql::<Bool>(has_tag.0).bind::<Text, _>(tag.clone()).sql(has_tag.1));
            }
            if let Some(pattern) = &pattern {
                let like = || lower(pattern.clone());
                query = query.filter(
                    lower(agents::name)
                        .like(like())
                        .escape('\\')
                        .or(lower(agents::display_name).like(like()).escape('\\'))
                        .or(lower(agents::description).like(like()).escape('\\')),
                );
            }
            query
        }};
    }
    let total: i64 = each!(db, c => filtered!(agents::table).count().get_result(c))?;
    let rows = each!(db, c => {
        let mut query =
            filtered!(agents::table).select(AgentRow::as_select()).limit(filter.page.fetch()).offset(offset);
        query = match filter.sort {
            AgentSort::Name => query.order((agents::name, agents::id)),
            AgentSort::NameDescending => query.order((agents::name.desc(), agents::id.desc())),
            AgentSort::Created => query.order(agents::id),
            AgentSort::CreatedDescending => query.order(agents::id.desc()),
        };
        if let Some((id, name)) = &start {
            query = match filter.sort {
                AgentSort::Name => query.filter(
                    agents::name.gt(name).or(agents::name.eq(name).and(agents::id.gt(*id)))),
                AgentSort::NameDescending => query.filter(
                    agents::name.lt(name).or(agents::name.eq(name).and(agents::id.lt(*id)))),
                AgentSort::Created => query.filter(agents::id.gt(*id)),
                AgentSort::CreatedDescending => query.filter(agents::id.lt(*id)),
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
