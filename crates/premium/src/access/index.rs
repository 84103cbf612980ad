//! The index of accesses by secret and by agent on SQLite, which is filled behind them.
//!
//! An index of SQLite itself takes each row at once, and to a page of its own: more than half of all pages that a load of reads
//! wrote were of two indexes, and decisions wait for the same writer. So accesses are written in their own order alone. When many
//! of an organisation stand behind the index, their entries are added, sorted, in short transactions beside the next batches; then
//! [`Place::through`] moves, which says up to which id the index has all. The rows with greater ids are walked through by who asks
//! ([`super::lists`]). A row that comes late, with an id that is not greater, is written with its entries. What is removed takes
//! its entries with it, by a trigger.
//!
//! PostgreSQL has indexes, and none of this.

use std::collections::{HashMap, HashSet};

use aim_core::{AgentId, OrganizationId, Result as CoreResult};
use aim_store::{Db, Result, Scope, Store, fixed};
use diesel::{ExpressionMethods, OptionalExtension, QueryDsl, RunQueryDsl, upsert::excluded};
use futures_util::future::{try_join, try_join_all};
use uuid::Uuid;

use super::{
    model::AccessId,
    store::{AccessRow, add_accesses},
};
use crate::schema::{vault_access_index, vault_access_indexed, vault_accesses};

/// The kind of the entries whose key is a path.
pub(super) const BY_PATH: i64 = 0;
/// The kind of the entries whose key is an agent.
pub(super) const BY_AGENT: i64 = 1;

/// How the index follows the rows. Another pace than the usual one is for tests, which have few rows.
#[derive(Debug, Clone, Copy)]
pub struct Pace {
    /// So many rows of an organisation stand behind the index before the entries of as many are made. To walk through them takes
    /// 2 ms.
    pub behind: i64,
    /// The most rows of a transaction: the decisions in it wait.
    pub rows: usize,
    /// The most entries of a transaction: sorted as they are, they go to few pages.
    pub entries: usize,
    /// The most transactions beside a batch.
    pub pieces: usize,
}

impl Default for Pace {
    fn default() -> Self {
        Self {
            behind: 16_384,
            rows: 64,
            entries: 256,
            pieces: 4,
        }
    }
}

/// How far the index of an organisation goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, diesel::Queryable)]
pub(super) struct Place {
    /// It has all rows with this id or a lesser one. Never decreases, so that who reads it and then the rows needs no transaction.
    pub(super) through: AccessId,
    /// How many rows with greater ids were removed.
    trims: i64,
}

/// How far the index of an organisation goes now.
pub(super) fn place(c: &mut diesel::SqliteConnection, organization: OrganizationId) -> Result<Place> {
    let found = fixed!(
        vault_access_indexed::table
            .find(organization)
            .select((vault_access_indexed::through, vault_access_indexed::trims))
    )
    .get_result(c)
    .optional()?;
    Ok(found.unwrap_or(Place {
        through: AccessId::from_uuid(Uuid::nil()),
        trims: 0,
    }))
}

/// What entries are made of.
#[derive(Debug, Clone, diesel::Queryable)]
struct Indexed {
    id: AccessId,
    path: String,
    agent_id: Option<AgentId>,
}

/// An entry of the index, of an organisation that is told elsewhere. Ordered as the table is: thousands of them are sorted and wait for
/// their turn, so they are small.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
struct Entry {
    key: Key,
    id: AccessId,
}

/// By what an access is found; in the order of [`BY_PATH`] and [`BY_AGENT`].
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
enum Key {
    Path(Box<str>),
    Agent(Uuid),
}

impl Key {
    const fn kind(&self) -> i64 {
        match self {
            Self::Path(_) => BY_PATH,
            Self::Agent(_) => BY_AGENT,
        }
    }

    fn bytes(&self) -> &[u8] {
        match self {
            Self::Path(path) => path.as_bytes(),
            Self::Agent(agent) => agent.as_bytes(),
        }
    }
}

/// The key of an agent.
pub(super) fn key_of(agent: AgentId) -> Vec<u8> {
    agent.uuid().as_bytes().to_vec()
}

/// The entries of a row.
fn entries_of(row: Indexed) -> impl Iterator<Item = Entry> {
    let by_path = Key::Path(row.path.into_boxed_str());
    let by_agent = row.agent_id.map(|agent| Key::Agent(agent.uuid()));
    std::iter::once(by_path)
        .chain(by_agent)
        .map(move |key| Entry { key, id: row.id })
}

fn add_entries(
    c: &mut diesel::SqliteConnection,
    organization: OrganizationId,
    entries: &[Entry],
) -> Result<()> {
    for entry in entries {
        fixed!(
            diesel::insert_into(vault_access_index::table)
                .values((
                    vault_access_index::org_id.eq(organization),
                    vault_access_index::kind.eq(entry.key.kind()),
                    vault_access_index::key.eq(entry.key.bytes()),
                    vault_access_index::id.eq(entry.id),
                ))
                .on_conflict_do_nothing()
        )
        .run(c)?;
    }
    Ok(())
}

/// Entries that are being added: those of all rows of an organisation from a place up to an id.
struct Merge {
    organization: OrganizationId,
    from: Place,
    upto: AccessId,
    /// Sorted, the next ones last.
    entries: Vec<Entry>,
}

impl Merge {
    /// The entries of at most `rows` rows behind the index.
    fn begin(
        c: &mut diesel::SqliteConnection,
        organization: OrganizationId,
        rows: i64,
    ) -> Result<Option<(i64, Self)>> {
        let from = place(c, organization)?;
        let rows: Vec<Indexed> = vault_accesses::table
            .filter(vault_accesses::org_id.eq(organization))
            .filter(vault_accesses::id.gt(from.through))
            .order(vault_accesses::id)
            .limit(rows)
            .select((vault_accesses::id, vault_accesses::path, vault_accesses::agent_id))
            .load(c)?;
        let Some(last) = rows.last() else {
            return Ok(None);
        };
        let (upto, count) = (last.id, i64::try_from(rows.len()).unwrap_or(i64::MAX));
        let mut entries: Vec<Entry> = rows.into_iter().flat_map(entries_of).collect();
        entries.sort_unstable_by(|one, other| other.cmp(one));
        let merge = Self {
            organization,
            from,
            upto,
            entries,
        };
        Ok(Some((count, merge)))
    }

    fn next_piece(&mut self, most: usize) -> Option<Piece> {
        let rest = self.entries.len().saturating_sub(most);
        let mut entries = self.entries.split_off(rest);
        entries.reverse();
        // What is left may wait for as long as nothing happens.
        if self.entries.capacity() > self.entries.len().saturating_mul(2) {
            self.entries.shrink_to_fit();
        }
        (!entries.is_empty()).then_some(Piece {
            organization: self.organization,
            from: self.from,
            entries,
        })
    }
}

/// What one transaction adds.
struct Piece {
    organization: OrganizationId,
    from: Place,
    entries: Vec<Entry>,
}

impl Piece {
    /// Adds it, unless the index has changed since the merge began.
    fn write(&self, db: &mut Db) -> Result<bool> {
        let Db::Sqlite(c) = db else { return Ok(false) };
        let unchanged = place(c, self.organization)? == self.from;
        if unchanged {
            add_entries(c, self.organization, &self.entries)?;
        }
        Ok(unchanged)
    }
}

/// A merge whose entries are all there. It takes effect with the batch, by whoever still has the follower's lease.
#[derive(Debug, Clone, Copy)]
pub(super) struct Merged {
    organization: OrganizationId,
    upto: AccessId,
}

impl Merged {
    /// The index now has all rows up to the last one of the merge.
    pub(super) fn take_effect(&self, db: &mut Db) -> Result<()> {
        let Db::Sqlite(c) = db else { return Ok(()) };
        let through = place(c, self.organization)?.through;
        diesel::insert_into(vault_access_indexed::table)
            .values((
                vault_access_indexed::org_id.eq(self.organization),
                vault_access_indexed::through.eq(through.max(self.upto)),
                vault_access_indexed::trims.eq(0),
            ))
            .on_conflict(vault_access_indexed::org_id)
            .do_update()
            .set(vault_access_indexed::through.eq(excluded(vault_access_indexed::through)))
            .execute(&mut **c)?;
        Ok(())
    }
}

/// The organisation of the merge that is under way, and the last id that it read: a row that is written now and whose id is not
/// greater needs entries of its own.
type Merging = Option<(OrganizationId, AccessId)>;

/// Adds accesses, and the entries of those that the index would miss.
fn add(db: &mut Db, rows: &[AccessRow], merging: Merging) -> Result<()> {
    add_accesses(db, rows)?;
    let Db::Sqlite(c) = db else { return Ok(()) };
    let mut through: HashMap<OrganizationId, AccessId> = HashMap::new();
    for row in rows {
        let indexed = match through.get(&row.org_id) {
            Some(known) => *known,
            None => {
                let read = merging.filter(|(merged, _)| *merged == row.org_id);
                let there = place(c, row.org_id)?.through;
                let indexed = read.map_or(there, |(_, upto)| there.max(upto));
                through.insert(row.org_id, indexed);
                indexed
            }
        };
        if row.id <= indexed {
            let late = Indexed {
                id: row.id,
                path: row.path.clone(),
                agent_id: row.agent_id,
            };
            add_entries(c, row.org_id, &entries_of(late).collect::<Vec<_>>())?;
        }
    }
    Ok(())
}

/// Fills the index behind the one follower that writes the rows.
pub(super) struct Indexer {
    pace: Pace,
    /// How many rows stand behind the index, as far as it was looked at.
    behind: HashMap<OrganizationId, i64>,
    merge: Option<Merge>,
}

impl Indexer {
    pub(super) fn new(pace: Pace) -> Self {
        Self {
            pace,
            behind: HashMap::new(),
            merge: None,
        }
    }

    /// Somebody else may have written rows since.
    pub(super) fn forget(&mut self) {
        self.behind.clear();
        self.merge = None;
    }

    /// Writes the rows of a batch a little at a time, and goes on with the index; answers a merge that came to its end. The pieces
    /// queue up together, and each transaction takes one: waiting for each would let transactions go by without any, and under load
    /// the log would grow faster than it is followed.
    ///
    /// # Errors
    /// The database's. Some rows may have been written: the batch comes again, and changes nothing about them.
    pub(super) async fn write(&mut self, store: &Store, rows: &[AccessRow]) -> CoreResult<Option<Merged>> {
        let done = self.merge.take_if(|merge| merge.entries.is_empty());
        if let Some(done) = done {
            // Whether it took effect is in the table.
            self.behind.remove(&done.organization);
        }
        let merging = self.merge.as_ref().map(|merge| (merge.organization, merge.upto));
        let pieces = rows.chunks(self.pace.rows).map(|part| {
            let part = part.to_vec();
            store.write_behind(Scope::Installation, move |db| add(db, &part, merging))
        });
        let (_, merged) = try_join(try_join_all(pieces), self.go_on(store)).await?;
        self.added(store, rows).await?;
        Ok(merged)
    }

    /// Goes on with a merge; one that fails is given up, and begun anew later.
    async fn go_on(&mut self, store: &Store) -> CoreResult<Option<Merged>> {
        let Some(mut merge) = self.merge.take() else {
            return Ok(None);
        };
        // If this fails, it is looked again how many rows there are.
        let behind = self.behind.remove_entry(&merge.organization);
        let pieces: Vec<Piece> = (0..self.pace.pieces)
            .map_while(|_| merge.next_piece(self.pace.entries))
            .collect();
        let pieces = pieces
            .into_iter()
            .map(|piece| store.write_behind(Scope::Installation, move |db| piece.write(db)));
        if try_join_all(pieces).await?.contains(&false) {
            return Ok(None);
        }
        self.behind.extend(behind);
        let merged = merge.entries.is_empty().then_some(Merged {
            organization: merge.organization,
            upto: merge.upto,
        });
        self.merge = Some(merge);
        Ok(merged)
    }

    /// Counts rows that were added, and begins a merge where enough stand behind the index.
    async fn added(&mut self, store: &Store, rows: &[AccessRow]) -> CoreResult<()> {
        let mut unknown: HashSet<OrganizationId> = HashSet::new();
        for row in rows {
            match self.behind.get_mut(&row.org_id) {
                Some(behind) => *behind += 1,
                None => {
                    unknown.insert(row.org_id);
                }
            }
        }
        if !unknown.is_empty() {
            let counted = store.read(Scope::Installation, move |db| count_behind(db, &unknown));
            self.behind.extend(counted.await?);
        }
        if self.merge.is_some() {
            return Ok(());
        }
        let due = self
            .behind
            .iter_mut()
            .find(|(_, behind)| **behind >= self.pace.behind);
        let Some((organization, behind)) = due else {
            return Ok(());
        };
        let (organization, most) = (*organization, self.pace.behind);
        let begun = store
            .read(Scope::Installation, move |db| match db {
                Db::Sqlite(c) => Merge::begin(c, organization, most),
                Db::Pg(_) => Ok(None),
            })
            .await?;
        // Fewer than asked for are all of them: others that were counted came late, or are gone.
        let read = begun.as_ref().map_or(0, |(rows, _)| *rows);
        *behind = if read < most { 0 } else { *behind - read };
        self.merge = begun.map(|(_, merge)| merge);
        Ok(())
    }
}

/// How many rows of each stand behind the index.
fn count_behind(db: &mut Db, organizations: &HashSet<OrganizationId>) -> Result<Vec<(OrganizationId, i64)>> {
    let Db::Sqlite(c) = db else {
        return Ok(Vec::new());
    };
    organizations
        .iter()
        .map(|organization| {
            let Place { through, .. } = place(c, *organization)?;
            let behind = vault_accesses::table
                .filter(vault_accesses::org_id.eq(organization))
                .filter(vault_accesses::id.gt(through))
                .count()
                .get_result(&mut **c)?;
            Ok((*organization, behind))
        })
        .collect()
}

#[cfg(test)]
mod tests;
