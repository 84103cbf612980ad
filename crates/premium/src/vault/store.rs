//! Queries on secrets and their versions. No rules here; every one names the tenant.

use std::sync::LazyLock;

use aim_core::{DecisionId, Id, Json, OrganizationId, Timestamp};
use aim_store::{Db, Result, ResultExt, each, fixed, schema::audit_log};
use diesel::{
    BoolExpressionMethods, EscapeExpressionMethods, ExpressionMethods, JoinOnDsl, NullableExpressionMethods,
    OptionalExtension, QueryDsl, RunQueryDsl, SelectableHelper, TextExpressionMethods, dsl::case_when,
    dsl::sql, sql_types::Bool,
};

use super::{
    age::CHANGES, envelope::WRAPPED_LENGTH, key_store::KeyKind, known, model::SecretId,
    service::version_conflict,
};
use crate::schema::{vault_approvals_used, vault_secrets, vault_tags, vault_value_digests, vault_versions};

/// A secret, as its row has it.
#[derive(Debug, Clone, diesel::Queryable, diesel::Selectable, diesel::Insertable, diesel::AsChangeset)]
#[diesel(table_name = vault_secrets, primary_key(org_id, id), treat_none_as_default_value = false, treat_none_as_null = true)]
pub(crate) struct SecretRow {
    pub(crate) org_id: OrganizationId,
    pub(crate) id: SecretId,
    pub(crate) path: String,
    pub(crate) kind: String,
    pub(crate) description: String,
    pub(crate) tags: Json,
    pub(crate) owner: Option<String>,
    pub(crate) expires_at: Option<Timestamp>,
    pub(crate) max_versions: i64,
    pub(crate) oldest_version: i64,
    pub(crate) current_version: i64,
    pub(crate) changes: i64,
    pub(crate) head: Vec<u8>,
    pub(crate) created_by: String,
    pub(crate) created_at: Timestamp,
    pub(crate) updated_at: Timestamp,
    pub(crate) provider: Option<String>,
}

impl SecretRow {
    /// The newest of its versions, whatever became of it.
    pub(crate) fn newest_of<'a>(&self, versions: &'a [VersionRow]) -> Option<&'a VersionRow> {
        versions
            .iter()
            .find(|version| version.version == self.current_version)
    }
}

/// A version without what is encrypted.
#[derive(Debug, Clone, diesel::Queryable, diesel::Selectable)]
#[diesel(table_name = vault_versions)]
pub(crate) struct VersionRow {
    pub(crate) version: i64,
    pub(crate) state: String,
    pub(crate) kind: String,
    pub(crate) field_names: Json,
    pub(crate) created_by: String,
    pub(crate) created_at: Timestamp,
    pub(crate) deleted_at: Option<Timestamp>,
    pub(crate) destroyed_at: Option<Timestamp>,
    pub(crate) rolled_back_from: Option<i64>,
}

/// What a secret's head authenticates, and where its versions are found: all that a read needs of its row.
#[derive(Debug, diesel::Queryable, diesel::Selectable)]
#[diesel(table_name = vault_secrets)]
pub(crate) struct HeadRow {
    pub(crate) id: SecretId,
    pub(crate) expires_at: Option<Timestamp>,
    pub(crate) max_versions: i64,
    pub(crate) current_version: i64,
    pub(crate) changes: i64,
    pub(crate) head: Vec<u8>,
}

/// A secret as a read needs it.
#[derive(Debug)]
pub(crate) struct Stored {
    pub(crate) row: HeadRow,
    /// The versions with their states, the oldest first.
    pub(crate) versions: Vec<(i64, String)>,
    /// The version that is asked for.
    pub(crate) sealed: Option<SealedRow>,
}

/// What is encrypted of a version.
#[derive(Debug, diesel::Queryable, diesel::Selectable)]
#[diesel(table_name = vault_versions)]
pub(crate) struct SealedRow {
    pub(crate) state: String,
    pub(crate) kind: String,
    pub(crate) key_id: Id<KeyKind>,
    pub(crate) wrapped_key: Vec<u8>,
    pub(crate) ciphertext: Vec<u8>,
    pub(crate) created_at: Timestamp,
}

/// A new version.
#[derive(Debug, Clone, diesel::Insertable)]
#[diesel(table_name = vault_versions, treat_none_as_default_value = false)]
pub(crate) struct NewVersionRow {
    pub(crate) org_id: OrganizationId,
    pub(crate) secret_id: SecretId,
    pub(crate) version: i64,
    pub(crate) state: String,
    pub(crate) kind: String,
    pub(crate) field_names: Json,
    pub(crate) key_id: Id<KeyKind>,
    pub(crate) wrapped_key: Vec<u8>,
    pub(crate) created_by: String,
    pub(crate) created_at: Timestamp,
    pub(crate) deleted_at: Option<Timestamp>,
    pub(crate) destroyed_at: Option<Timestamp>,
    pub(crate) rolled_back_from: Option<i64>,
    pub(crate) ciphertext: Vec<u8>,
}

/// Which secrets are wanted.
#[derive(Debug, Clone, Default)]
pub(crate) struct Wanted {
    pub(crate) prefix: Option<String>,
    pub(crate) tag: Option<String>,
    pub(crate) search: Option<String>,
    /// Only paths behind this one.
    pub(crate) after: Option<String>,
    pub(crate) limit: i64,
}

/// A version in which a value was found.
#[derive(Debug, Clone, diesel::Queryable)]
pub(crate) struct FoundRow {
    pub(crate) path: String,
    pub(crate) version: i64,
    pub(crate) field: String,
    pub(crate) state: String,
    pub(crate) current_version: i64,
}

/// The secret at `path`, held until the transaction ends: of two that change it, one waits.
pub(crate) fn lock(db: &mut Db, organization: OrganizationId, path: &str) -> Result<Option<SecretRow>> {
    macro_rules! row {
        () => {
            vault_secrets::table
                .filter(vault_secrets::org_id.eq(organization))
                .filter(vault_secrets::path.eq(path))
                .select(SecretRow::as_select())
        };
    }
    Ok(match db {
        Db::Pg(c) => row!().for_update().get_result(&mut **c).optional()?,
        Db::Sqlite(c) => row!().get_result(&mut **c).optional()?,
    })
}

/// The secret's versions, the oldest first.
pub(crate) fn versions(
    db: &mut Db,
    organization: OrganizationId,
    secret: SecretId,
) -> Result<Vec<VersionRow>> {
    Ok(each!(db, c => vault_versions::table
        .filter(vault_versions::org_id.eq(organization))
        .filter(vault_versions::secret_id.eq(secret))
        .order(vault_versions::version)
        .select(VersionRow::as_select())
        .load(c))?)
}

/// The secret at `path` beside each of its versions, the oldest first.
macro_rules! with_versions {
    ($organization:expr, $path:expr) => {
        vault_secrets::table
            .left_join(
                vault_versions::table.on(vault_versions::org_id
                    .eq(vault_secrets::org_id)
                    .and(vault_versions::secret_id.eq(vault_secrets::id))),
            )
            .filter(vault_secrets::org_id.eq($organization))
            .filter(vault_secrets::path.eq($path))
            .order(vault_versions::version)
    };
}

/// The secret at `path` with its versions, the oldest first: one statement, so that both are of one moment.
pub(crate) fn load(
    db: &mut Db,
    organization: OrganizationId,
    path: &str,
) -> Result<Option<(SecretRow, Vec<VersionRow>)>> {
    let rows: Vec<(SecretRow, Option<VersionRow>)> = each!(db, c => with_versions!(organization, path)
        .select((SecretRow::as_select(), Option::<VersionRow>::as_select()))
        .load(c))?;
    let mut secret = None;
    let mut versions = Vec::with_capacity(rows.len());
    for (row, version) in rows {
        secret.get_or_insert(row);
        versions.extend(version);
    }
    Ok(secret.map(|secret| (secret, versions)))
}

/// What the head at `path` authenticates, with the versions and their states, and what is encrypted of the newest of them, or of
/// `version`: as [`load`], for reads, of which there are many. One statement, so that all is of one moment.
pub(crate) fn stored(
    db: &mut Db,
    organization: OrganizationId,
    path: &str,
    version: Option<i64>,
) -> Result<Option<Stored>> {
    type Encrypted = (
        Option<String>,
        Option<Id<KeyKind>>,
        Option<Vec<u8>>,
        Option<Vec<u8>>,
        Option<Timestamp>,
    );
    type Row = (HeadRow, Option<(i64, String)>, Encrypted);
    // Of the other versions no ciphertext is read: it may be large.
    macro_rules! rows {
        ($wanted:expr) => {{
            let is_wanted = vault_versions::version.nullable().eq($wanted);
            with_versions!(organization, path).select((
                HeadRow::as_select(),
                (vault_versions::version, vault_versions::state).nullable(),
                (
                    case_when(is_wanted, vault_versions::kind.nullable()),
                    case_when(is_wanted, vault_versions::key_id.nullable()),
                    case_when(is_wanted, vault_versions::wrapped_key.nullable()),
                    case_when(is_wanted, vault_versions::ciphertext.nullable()),
                    case_when(is_wanted, vault_versions::created_at.nullable()),
                ),
            ))
        }};
    }
    let rows: Vec<Row> = match version {
        None => each!(db, c => fixed!(rows!(vault_secrets::current_version.nullable())).load(c))?,
        Some(version) => each!(db, c => fixed!(rows!(Some(version))).load(c))?,
    };
    let mut stored: Option<Stored> = None;
    for (row, version, encrypted) in rows {
        let stored = stored.get_or_insert_with(|| Stored {
            row,
            versions: Vec::new(),
            sealed: None,
        });
        let Some((version, state)) = version else {
            continue;
        };
        if let (Some(kind), Some(key_id), Some(wrapped_key), Some(ciphertext), Some(created_at)) = encrypted {
            stored.sealed = Some(SealedRow {
                state: state.clone(),
                kind,
                key_id,
                wrapped_key,
                ciphertext,
                created_at,
            });
        }
        stored.versions.push((version, state));
    }
    Ok(stored)
}

/// The leaf of the log's latest record of a change of the secret.
pub(crate) fn last_change(
    db: &mut Db,
    organization: OrganizationId,
    secret: SecretId,
) -> Result<Option<String>> {
    // The actions are of this code: they become part of the statement, which SQLite needs for the partial index.
    static IS_CHANGE: LazyLock<String> = LazyLock::new(|| {
        format!(
            "audit_log.kind = 'event' AND audit_log.action IN ('{}')",
            CHANGES.join("', '")
        )
    });
    macro_rules! changes {
        () => {
            audit_log::table
                .filter(audit_log::org_id.eq(organization))
                .filter(audit_log::target_id.eq(Some(secret.to_string())))
                .filter(sql::<Bool>(&IS_CHANGE))
                .order(audit_log::leaf_index.desc())
                .select(audit_log::leaf)
        };
    }
    Ok(match db {
        Db::Pg(c) => changes!().first(&mut **c).optional()?,
        // The first row is all that is taken. A bound LIMIT would have it prepared anew each time.
        Db::Sqlite(c) => fixed!(changes!()).get_result(&mut **c).optional()?,
    })
}

/// How often the secret was changed, by its row.
pub(crate) fn changes(db: &mut Db, organization: OrganizationId, secret: SecretId) -> Result<Option<i64>> {
    Ok(each!(db, c => vault_secrets::table
        .find((organization, secret))
        .select(vault_secrets::changes)
        .get_result(c)
        .optional())?)
}

/// What is encrypted of a version.
pub(crate) fn sealed(
    db: &mut Db,
    organization: OrganizationId,
    secret: SecretId,
    version: i64,
) -> Result<Option<SealedRow>> {
    Ok(each!(db, c => fixed!(vault_versions::table
        .find((organization, secret, version))
        .select(SealedRow::as_select()))
        .get_result(c)
        .optional())?)
}

/// Adds a secret.
pub(crate) fn insert(db: &mut Db, row: &SecretRow) -> Result<()> {
    each!(db, c => fixed!(diesel::insert_into(vault_secrets::table).values(row)).run(c))
        .on_unique(|| version_conflict("somebody else wrote the first version at the same time"))?;
    known::changed(row.id);
    Ok(())
}

/// Writes the row back.
pub(crate) fn save(db: &mut Db, row: &SecretRow) -> Result<()> {
    let mine = vault_secrets::table
        .filter(vault_secrets::org_id.eq(row.org_id))
        .filter(vault_secrets::id.eq(row.id));
    each!(db, c => fixed!(diesel::update(mine).set(row)).run(c))?;
    known::changed(row.id);
    Ok(())
}

/// Adds a version.
pub(crate) fn add_version(db: &mut Db, row: &NewVersionRow) -> Result<()> {
    each!(db, c => fixed!(diesel::insert_into(vault_versions::table).values(row)).run(c))
        .on_unique(|| version_conflict("somebody else wrote this version at the same time"))?;
    known::changed(row.secret_id);
    Ok(())
}

/// Sets the state of versions between deleted and active.
pub(crate) fn set_deleted(
    db: &mut Db,
    organization: OrganizationId,
    secret: SecretId,
    versions: &[i64],
    state: &str,
    deleted_at: Option<Timestamp>,
) -> Result<()> {
    each!(db, c => diesel::update(
            vault_versions::table
                .filter(vault_versions::org_id.eq(organization))
                .filter(vault_versions::secret_id.eq(secret))
                .filter(vault_versions::version.eq_any(versions.to_vec())),
        )
        .set((vault_versions::state.eq(state), vault_versions::deleted_at.eq(deleted_at)))
        .execute(c))?;
    known::changed(secret);
    Ok(())
}

/// Overwrites the wrapped keys of versions with zeroes of the same length. A statement of its own that changes nothing
/// else, so that SQLite overwrites the bytes where they stand. Older copies may be left in pages that it has moved rows
/// out of, until it uses them again; a backup is written anew and has none.
pub(crate) fn shred(
    db: &mut Db,
    organization: OrganizationId,
    secret: SecretId,
    versions: &[i64],
) -> Result<()> {
    each!(db, c => diesel::update(
            vault_versions::table
                .filter(vault_versions::org_id.eq(organization))
                .filter(vault_versions::secret_id.eq(secret))
                .filter(vault_versions::version.eq_any(versions.to_vec())),
        )
        .set(vault_versions::wrapped_key.eq(vec![0_u8; WRAPPED_LENGTH]))
        .execute(c))?;
    known::changed(secret);
    forget_digests(db, organization, secret, versions)
}

/// Marks versions as destroyed.
pub(crate) fn set_destroyed(
    db: &mut Db,
    organization: OrganizationId,
    secret: SecretId,
    versions: &[i64],
    state: &str,
    now: Timestamp,
) -> Result<()> {
    each!(db, c => diesel::update(
            vault_versions::table
                .filter(vault_versions::org_id.eq(organization))
                .filter(vault_versions::secret_id.eq(secret))
                .filter(vault_versions::version.eq_any(versions.to_vec())),
        )
        .set((
            vault_versions::state.eq(state),
            vault_versions::destroyed_at.eq(Some(now)),
            vault_versions::ciphertext.eq(Vec::new()),
        ))
        .execute(c))?;
    known::changed(secret);
    Ok(())
}

/// Removes the rows of versions.
pub(crate) fn remove_versions(
    db: &mut Db,
    organization: OrganizationId,
    secret: SecretId,
    versions: &[i64],
) -> Result<()> {
    each!(db, c => diesel::delete(
            vault_versions::table
                .filter(vault_versions::org_id.eq(organization))
                .filter(vault_versions::secret_id.eq(secret))
                .filter(vault_versions::version.eq_any(versions.to_vec())),
        )
        .execute(c))?;
    known::changed(secret);
    Ok(())
}

/// Notes the digests of a version's values.
pub(crate) fn add_digests(
    db: &mut Db,
    organization: OrganizationId,
    secret: SecretId,
    version: i64,
    digests: &[(String, [u8; 32])],
) -> Result<()> {
    for (field, digest) in digests {
        each!(db, c => fixed!(diesel::insert_into(vault_value_digests::table)
            .values((
                vault_value_digests::org_id.eq(organization),
                vault_value_digests::digest.eq(digest.as_slice()),
                vault_value_digests::secret_id.eq(secret),
                vault_value_digests::version.eq(version),
                vault_value_digests::field.eq(field),
            )))
            .run(c))?;
    }
    Ok(())
}

fn forget_digests(
    db: &mut Db,
    organization: OrganizationId,
    secret: SecretId,
    versions: &[i64],
) -> Result<()> {
    each!(db, c => diesel::delete(
            vault_value_digests::table
                .filter(vault_value_digests::org_id.eq(organization))
                .filter(vault_value_digests::secret_id.eq(secret))
                .filter(vault_value_digests::version.eq_any(versions.to_vec())),
        )
        .execute(c))?;
    Ok(())
}

/// Where a value stands, at most `limit` places.
pub(crate) fn find_digest(
    db: &mut Db,
    organization: OrganizationId,
    digest: &[u8],
    limit: i64,
) -> Result<Vec<FoundRow>> {
    Ok(each!(db, c => vault_value_digests::table
        .inner_join(
            vault_secrets::table.on(vault_secrets::org_id
                .eq(vault_value_digests::org_id)
                .and(vault_secrets::id.eq(vault_value_digests::secret_id))),
        )
        .inner_join(
            vault_versions::table.on(vault_versions::org_id
                .eq(vault_value_digests::org_id)
                .and(vault_versions::secret_id.eq(vault_value_digests::secret_id))
                .and(vault_versions::version.eq(vault_value_digests::version))),
        )
        .filter(vault_value_digests::org_id.eq(organization))
        .filter(vault_value_digests::digest.eq(digest))
        .order((vault_secrets::path, vault_value_digests::version, vault_value_digests::field))
        .limit(limit)
        .select((
            vault_secrets::path,
            vault_value_digests::version,
            vault_value_digests::field,
            vault_versions::state,
            vault_secrets::current_version,
        ))
        .load(c))?)
}

/// Replaces the tags by which the secret is found.
pub(crate) fn set_tags(
    db: &mut Db,
    organization: OrganizationId,
    secret: SecretId,
    tags: &[String],
) -> Result<()> {
    each!(db, c => fixed!(diesel::delete(
            vault_tags::table
                .filter(vault_tags::org_id.eq(organization))
                .filter(vault_tags::secret_id.eq(secret)),
        ))
        .run(c))?;
    for tag in tags {
        each!(db, c => fixed!(diesel::insert_into(vault_tags::table)
            .values((
                vault_tags::org_id.eq(organization),
                vault_tags::tag.eq(tag),
                vault_tags::secret_id.eq(secret),
            )))
            .run(c))?;
    }
    Ok(())
}

/// The path of a secret: where a list goes on.
pub(crate) fn path_of(db: &mut Db, organization: OrganizationId, secret: SecretId) -> Result<Option<String>> {
    Ok(each!(db, c => vault_secrets::table
        .find((organization, secret))
        .select(vault_secrets::path)
        .get_result(c)
        .optional())?)
}

/// Secrets by their paths.
pub(crate) fn page(db: &mut Db, organization: OrganizationId, wanted: &Wanted) -> Result<Vec<SecretRow>> {
    Ok(each!(db, c => {
        let mut query = vault_secrets::table
            .filter(vault_secrets::org_id.eq(organization))
            .order(vault_secrets::path)
            .limit(wanted.limit)
            .select(SecretRow::as_select())
            .into_boxed();
        if let Some(prefix) = &wanted.prefix {
            // No character of a path is as great as '~'.
            query = query
                .filter(vault_secrets::path.ge(prefix.clone()))
                .filter(vault_secrets::path.lt(format!("{prefix}~")));
        }
        if let Some(after) = &wanted.after {
            query = query.filter(vault_secrets::path.gt(after.clone()));
        }
        if let Some(tag) = &wanted.tag {
            let tagged = vault_tags::table
                .filter(vault_tags::org_id.eq(organization))
                .filter(vault_tags::tag.eq(tag.clone()))
                .select(vault_tags::secret_id);
            query = query.filter(vault_secrets::id.eq_any(tagged));
        }
        if let Some(search) = &wanted.search {
            query = query.filter(vault_secrets::path.like(contains(search)).escape('\\'));
        }
        query.load(c)
    })?)
}

/// Uses up a person's approval. `false`: it was used before.
pub(crate) fn use_approval(
    db: &mut Db,
    organization: OrganizationId,
    decision: DecisionId,
    now: Timestamp,
) -> Result<bool> {
    let count = each!(db, c => diesel::insert_into(vault_approvals_used::table)
        .values((
            vault_approvals_used::org_id.eq(organization),
            vault_approvals_used::decision_id.eq(decision),
            vault_approvals_used::created_at.eq(now),
        ))
        .on_conflict_do_nothing()
        .execute(c))?;
    Ok(count == 1)
}

/// How many secrets the organisation has.
pub(crate) fn count(db: &mut Db, organization: OrganizationId) -> Result<i64> {
    Ok(each!(db, c => vault_secrets::table
        .filter(vault_secrets::org_id.eq(organization))
        .count()
        .get_result(c))?)
}

fn contains(text: &str) -> String {
    let mut pattern = String::with_capacity(text.len() + 2);
    pattern.push('%');
    for character in text.to_lowercase().chars() {
        if matches!(character, '%' | '_' | '\\') {
            pattern.push('\\');
        }
        pattern.push(character);
    }
    pattern.push('%');
    pattern
}
