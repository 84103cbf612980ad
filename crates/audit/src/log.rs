//! Appending to the log and reading it by pages.

use aim_core::{AgentId, Id, Json, OrganizationId, Timestamp, id::uuid_at};
use aim_crypto::digest::{self, hex};
use aim_store::{
    Db, Error, Result, each, fixed,
    schema::{audit_head, audit_log},
};
use diesel::{ExpressionMethods, QueryDsl, RunQueryDsl, SelectableHelper};
use serde::{Deserialize, de::DeserializeOwned};

use crate::leaf::{Details, Entry, Kind, Leaf, LeafKind, LeafRef, commitment, leaf_hash, link};

/// A record of the log.
#[derive(Debug, Clone, diesel::Queryable, diesel::Selectable, diesel::Insertable)]
#[diesel(table_name = audit_log, treat_none_as_default_value = false)]
#[expect(
    missing_docs,
    reason = "the fields are those of Entry, and the hashes that the module names"
)]
pub struct Record {
    pub leaf_index: i64,
    pub org_id: OrganizationId,
    pub id: Id<LeafKind>,
    pub created_at: Timestamp,
    pub kind: String,
    pub action: String,
    pub actor_kind: String,
    pub actor_id: Option<String>,
    pub agent_id: Option<AgentId>,
    pub target_kind: String,
    pub target_id: Option<String>,
    pub outcome: String,
    pub leaf: String,
    pub leaf_hash: Vec<u8>,
    pub link: Vec<u8>,
    pub details: Option<Json>,
    pub salt: Option<Vec<u8>>,
}

impl Record {
    /// The facts of the leaf, as `F` has them: what it leaves out is not taken apart. `None` where they are not of that shape, as
    /// a later version may write them.
    #[must_use]
    pub fn facts<F: DeserializeOwned>(&self) -> Option<F> {
        #[derive(Deserialize)]
        struct Leaf<F> {
            facts: F,
        }

        serde_json::from_str::<Leaf<F>>(&self.leaf)
            .ok()
            .map(|leaf| leaf.facts)
    }
}

/// The log's size and the link of its last record.
///
/// # Errors
/// The database's.
pub fn head(db: &mut Db) -> Result<(i64, Vec<u8>)> {
    Ok(each!(db, c => audit_head::table.find(1).select((audit_head::size, audit_head::link)).get_result(c))?)
}

/// An entry whose leaf is written and hashed; only its place in the log is open. Sealing needs no
/// database, so it can be done before the transaction.
#[derive(Debug, Clone)]
pub struct Sealed(Record);

impl Sealed {
    /// Whether the leaf tells of a decision.
    #[must_use]
    pub fn is_decision(&self) -> bool {
        self.0.kind == Kind::Decision.as_str()
    }
}

/// Appends `entries` in their order. Call it last in the transaction: on PostgreSQL it takes the
/// lock on the log's head, which every node wants.
///
/// # Errors
/// The database's.
pub fn append(db: &mut Db, entries: Vec<Entry>) -> Result<Vec<LeafRef>> {
    let sealed = entries.into_iter().map(seal).collect::<Result<_>>()?;
    append_sealed(db, sealed)
}

/// [`append`] for entries that were sealed before.
///
/// # Errors
/// The database's.
pub fn append_sealed(db: &mut Db, entries: Vec<Sealed>) -> Result<Vec<LeafRef>> {
    if entries.is_empty() {
        return Ok(Vec::new());
    }
    let head = audit_head::table
        .find(1)
        .select((audit_head::size, audit_head::link));
    let (mut size, mut before): (i64, Vec<u8>) = match db {
        Db::Pg(c) => head.for_update().get_result(&mut **c)?,
        Db::Sqlite(c) => fixed!(head).get_result(&mut **c)?,
    };
    let mut records = Vec::with_capacity(entries.len());
    let mut places = Vec::with_capacity(entries.len());
    for Sealed(mut record) in entries {
        record.leaf_index = size;
        record.link = link(&before, &record.leaf_hash).to_vec();
        before.clone_from(&record.link);
        size += 1;
        places.push(LeafRef {
            index: record.leaf_index,
            hash: hex(&record.leaf_hash),
        });
        records.push(record);
    }
    match db {
        Db::Pg(c) => {
            diesel::insert_into(audit_log::table)
                .values(&records)
                .execute(&mut **c)?;
        }
        Db::Sqlite(c) => {
            // One prepared statement, run for each: quicker on SQLite than one statement of many rows.
            for record in &records {
                fixed!(diesel::insert_into(audit_log::table).values(record)).run(&mut **c)?;
            }
        }
    }
    each!(db, c => fixed!(diesel::update(audit_head::table.find(1))
        .set((audit_head::size.eq(size), audit_head::link.eq(&before))))
        .run(c))?;
    Ok(places)
}

/// Writes and hashes the leaf of `entry`.
///
/// # Errors
/// When there is no randomness for a salt.
pub fn seal(entry: Entry) -> Result<Sealed> {
    let id = Id::<LeafKind>::from_uuid(uuid_at(entry.at));
    let (commit, details, salt) = match entry.details {
        Details::None => (None, None, None),
        Details::Elsewhere(commit) => (Some(commit), None, None),
        Details::Inline(details) => {
            let salt: [u8; 16] = digest::random_bytes().map_err(|error| Error::Corrupt(error.to_string()))?;
            let bytes = canonical(&details)?;
            (
                Some(commitment(&salt, &[&bytes])),
                Some(Json(details)),
                Some(salt.to_vec()),
            )
        }
    };
    let leaf = Leaf {
        v: 1,
        organization_id: entry.organization,
        id,
        at: entry.at,
        kind: entry.kind.as_str().into(),
        action: entry.action.into(),
        actor: entry.actor.clone(),
        agent_id: entry.agent,
        target_kind: entry.target_kind.into(),
        target_id: entry.target_id.clone(),
        outcome: entry.outcome.into(),
        facts: entry.facts,
        commitment: commit.map(|commit| hex(&commit)),
    };
    let leaf = serde_json::to_string(&leaf).map_err(|error| Error::Corrupt(error.to_string()))?;
    let hash = leaf_hash(leaf.as_bytes());
    Ok(Sealed(Record {
        leaf_index: 0,
        org_id: entry.organization,
        id,
        created_at: entry.at,
        kind: entry.kind.as_str().to_owned(),
        action: entry.action.to_owned(),
        actor_kind: entry.actor.kind,
        actor_id: entry.actor.id,
        agent_id: entry.agent,
        target_kind: entry.target_kind.to_owned(),
        target_id: entry.target_id,
        outcome: entry.outcome.to_owned(),
        leaf,
        leaf_hash: hash.to_vec(),
        link: Vec::new(),
        details,
        salt,
    }))
}

/// The bytes that a commitment covers: compact JSON with sorted keys, so that `jsonb` gives them back.
pub(crate) fn canonical(details: &serde_json::Value) -> Result<Vec<u8>> {
    Ok(Json::canonical(details))
}

/// Which records a reader wants. Newest first; `before` is the index to go on under.
#[derive(Debug, Clone, Default)]
#[expect(missing_docs, reason = "each narrows the column of that name")]
pub struct Filter {
    pub action: Option<String>,
    pub actor_kind: Option<String>,
    pub actor_id: Option<String>,
    pub agent_id: Option<AgentId>,
    pub target_id: Option<String>,
    pub outcome: Option<String>,
    pub kind: Option<String>,
    pub from: Option<Timestamp>,
    pub to: Option<Timestamp>,
    pub before: Option<i64>,
}

/// A page of a tenant's records, newest first.
///
/// # Errors
/// The database's.
pub fn page(db: &mut Db, organization: OrganizationId, filter: &Filter, limit: i64) -> Result<Vec<Record>> {
    let rows = each!(db, c => {
        let mut query = audit_log::table
            .filter(audit_log::org_id.eq(organization))
            .order(audit_log::leaf_index.desc())
            .limit(limit)
            .select(Record::as_select())
            .into_boxed();
        if let Some(before) = filter.before { query = query.filter(audit_log::leaf_index.lt(before)); }
        if let Some(action) = &filter.action { query = query.filter(audit_log::action.eq(action)); }
        if let Some(kind) = &filter.kind { query = query.filter(audit_log::kind.eq(kind)); }
        if let Some(kind) = &filter.actor_kind { query = query.filter(audit_log::actor_kind.eq(kind)); }
        if let Some(id) = &filter.actor_id { query = query.filter(audit_log::actor_id.eq(Some(id))); }
        if let Some(id) = filter.agent_id { query = query.filter(audit_log::agent_id.eq(Some(id))); }
        if let Some(id) = &filter.target_id { query = query.filter(audit_log::target_id.eq(Some(id))); }
        if let Some(outcome) = &filter.outcome { query = query.filter(audit_log::outcome.eq(outcome)); }
        if let Some(from) = filter.from { query = query.filter(audit_log::created_at.ge(from)); }
        if let Some(to) = filter.to { query = query.filter(audit_log::created_at.lt(to)); }
        query.load(c)
    })?;
    Ok(rows)
}
