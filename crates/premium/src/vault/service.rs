//! The use cases of the vault for people: writing, finding and looking at secrets, never at their values.

use std::sync::{Arc, atomic::AtomicBool};

use aim_audit::Entry;
use aim_core::{Actor, Clock, Code, Ctx, Error, Id, Json, OrganizationId, Result};
use aim_crypto::digest::hex;
use aim_platform::{Kernel, Outbound, Stopping};
use aim_store::{Db, Store};
use aim_violations::VerificationService;
use serde_json::{Value, json};
use zeroize::Zeroizing;

use super::{
    age,
    envelope::{Head, VersionPlace, value_digest},
    fail_point, key_store,
    keys::{KeyRing, OrganizationKeys, ensure, load, refuse_sealed, with_the_keys_of_now},
    kinds::{Fields, SecretKind, is_telling},
    known::KnownSecrets,
    model::{
        DEFAULT_MAX_VERSIONS, FindValue, FoundPlace, FoundValue, PutSecret, SecretId, SecretList,
        SecretQuery, SecretSummary, SecretView, VaultStatus, VersionState, Wish,
    },
    past,
    path::SecretPath,
    recent::RecentReads,
    refresh,
    root::{Keeper, Root, RootState},
    store::{self, NewVersionRow, SealedRow, SecretRow, VersionRow},
    writes::Content,
};

/// The most places that a looked up value is told of.
const MOST_PLACES: i64 = 100;

/// The use cases of the vault.
#[derive(Clone)]
pub struct VaultService {
    pub(super) store: Store,
    pub(super) keeper: Keeper,
    pub(super) ring: KeyRing,
    pub(super) verifications: VerificationService,
    pub(super) clock: Arc<dyn Clock>,
    pub(super) stopping: Stopping,
    /// Whether this node takes over what stands under retired keys.
    pub(super) taking_over: Arc<AtomicBool>,
    pub(super) outbound: Outbound,
    pub(super) recent: RecentReads,
    pub(super) known: KnownSecrets,
}

impl VaultService {
    /// The vault of this installation; reads are decided by `verifications`.
    #[must_use]
    pub fn new(kernel: &Kernel, verifications: VerificationService) -> Self {
        let ring = KeyRing::default();
        Self {
            store: kernel.store.clone(),
            keeper: Keeper::new(&kernel.config, ring.clone()),
            ring,
            verifications,
            clock: Arc::clone(&kernel.clock),
            stopping: kernel.stopping.clone(),
            taking_over: Arc::default(),
            outbound: kernel.outbound(),
            recent: RecentReads::default(),
            known: KnownSecrets::default(),
        }
    }

    /// Gives back the memory of what was kept and counts no more.
    pub(super) fn tidy(&self) {
        self.known.tidy();
        age::tidy();
    }

    /// Reads that were decided just now, for the access audit.
    pub(crate) fn recent_reads(&self) -> RecentReads {
        self.recent.clone()
    }

    /// Writes a new version of the secret at `path`.
    ///
    /// # Errors
    /// `request.field_invalid` at the field; `secret.version_conflict` when `cas` is not the current version;
    /// `vault.sealed`; `vault.integrity`.
    pub async fn put(&self, ctx: &Ctx, path: SecretPath, request: PutSecret) -> Result<SecretView> {
        refuse_agents(ctx)?;
        let content = Content::of(path, request, ctx.now)?;
        let (root, cached) = self.opened(ctx).await?;
        let ctx = ctx.clone();
        self.store
            .write(ctx.organization, move |db| {
                let keys = in_transaction(db, &ctx, &root, cached.as_ref())?;
                content.write(db, &ctx, &keys, None)
            })
            .await
            .inspect(|_| fail_point::reached("vault.write.committed"))
    }

    /// A secret with its versions.
    ///
    /// # Errors
    /// `resource.not_found`, `vault.sealed`, `vault.integrity`.
    pub async fn get(&self, ctx: &Ctx, path: SecretPath) -> Result<SecretView> {
        refuse_agents(ctx)?;
        let (root, keys) = self.opened(ctx).await?;
        let ctx = ctx.clone();
        self.store
            .read(ctx.organization, move |db| {
                let keys = keys.ok_or_else(Error::not_found)?;
                with_the_keys_of_now(db, &ctx, &root, &keys, |db, keys| {
                    let found = store::load(db, ctx.organization, path.as_str());
                    let (row, versions) = found
                        .map_err(aim_store::Error::into_core)?
                        .ok_or_else(Error::not_found)?;
                    check_head(keys, &row, &path, &versions)?;
                    age::refuse_turned_back(db, ctx.organization, row.id, row.changes)
                        .map_err(aim_store::Error::into_core)?;
                    let refresh = refresh::view(db, &row).map_err(aim_store::Error::into_core)?;
                    Ok(SecretView {
                        refresh,
                        ..SecretView::of(row, versions)
                    })
                })
            })
            .await
    }

    /// A page of secrets by their paths.
    ///
    /// # Errors
    /// `request.field_invalid` at a parameter.
    pub async fn list(&self, ctx: &Ctx, query: SecretQuery) -> Result<SecretList> {
        refuse_agents(ctx)?;
        let (mut wanted, page) = query.check()?;
        let organization = ctx.organization;
        self.store
            .read(organization, move |db| {
                if let Some(cursor) = page.cursor {
                    let after = store::path_of(db, organization, SecretId::from_uuid(cursor.0))?;
                    wanted.after = Some(after.ok_or_else(|| {
                        Error::field(
                            "cursor",
                            "not a cursor of this list; leave it out to start at the top",
                        )
                    })?);
                }
                let (rows, next_cursor) =
                    page.cut(store::page(db, organization, &wanted)?, |row| row.id.uuid());
                Ok(SecretList {
                    secrets: rows.into_iter().map(SecretSummary::of).collect(),
                    limit: page.limit,
                    next_cursor,
                })
            })
            .await
    }

    /// Whether a value is one of the organisation's, and where it stands. Nothing is decrypted.
    ///
    /// # Errors
    /// `vault.sealed`.
    pub async fn find_value(&self, ctx: &Ctx, wanted: FindValue) -> Result<FoundValue> {
        refuse_agents(ctx)?;
        let (_, keys) = self.opened_now(ctx).await?;
        let value = wanted.value.0.expose().as_bytes();
        let digests: Vec<[u8; 32]> = keys
            .iter()
            .flat_map(|keys| keys.indexes())
            .map(|index| value_digest(index, ctx.organization, value))
            .collect();
        let ctx = ctx.clone();
        self.store
            .write(ctx.organization, move |db| {
                refuse_sealed(db)?;
                let mut rows = Vec::new();
                for digest in &digests {
                    rows.extend(store::find_digest(db, ctx.organization, digest, MOST_PLACES)?);
                }
                rows.truncate(usize::try_from(MOST_PLACES).unwrap_or(usize::MAX));
                let places: Vec<FoundPlace> = rows
                    .into_iter()
                    .map(|row| FoundPlace {
                        is_current: row.version == row.current_version,
                        state: VersionState::parse(&row.state),
                        path: row.path,
                        version: row.version,
                        field: row.field,
                    })
                    .collect();
                // Asking is an act of its own: who guesses values shall be seen.
                let entry = Entry::event(&ctx, "secret.value_sought")
                    .outcome(if places.is_empty() { "not_found" } else { "found" })
                    .facts(json!({"places": places.len()}));
                aim_audit::append(db, vec![entry])?;
                Ok(FoundValue {
                    found: !places.is_empty(),
                    places,
                })
            })
            .await
    }

    /// How the vault stands.
    ///
    /// # Errors
    /// The database's.
    pub async fn status(&self, ctx: &Ctx) -> Result<VaultStatus> {
        refuse_agents(ctx)?;
        let organization = ctx.organization;
        let secrets = self
            .store
            .read(organization, move |db| store::count(db, organization))
            .await?;
        let (root, provider) = self.keeper.state(&self.store, ctx.now).await?;
        let (state, reason, root_key_id) = match root {
            RootState::Unused => ("unused", None, None),
            RootState::Open(id) => ("open", None, Some(id)),
            RootState::Sealed(reason) => ("sealed", Some(reason), None),
        };
        Ok(VaultStatus {
            state: state.to_owned(),
            reason,
            provider: provider.as_str().to_owned(),
            root_key_id,
            secrets,
        })
    }

    /// As [`Self::opened`], with the keys as the database has them now: for what is rare and would not notice a key that another
    /// node has rotated.
    pub(super) async fn opened_now(&self, ctx: &Ctx) -> Result<(Arc<Root>, Option<Arc<OrganizationKeys>>)> {
        let (root, _) = self.opened(ctx).await?;
        let (organization, of) = (ctx.organization, Arc::clone(&root));
        let keys = self
            .store
            .read(organization, move |db| load(db, organization, &of))
            .await?;
        Ok((root, keys.map(Arc::new)))
    }

    /// The root key, and the organisation's keys if it has any.
    pub(super) async fn opened(&self, ctx: &Ctx) -> Result<(Arc<Root>, Option<Arc<OrganizationKeys>>)> {
        let root = self.keeper.open(&self.store, ctx.now).await?;
        match self.ring.get(&self.store, ctx.organization, &root).await {
            // Another node replaced the root key within the second.
            Err(error) if error.code == Code::VaultSealed => {
                let root = self.keeper.look_again(&self.store, ctx.now).await?;
                let keys = self.ring.get(&self.store, ctx.organization, &root).await?;
                Ok((root, keys))
            }
            keys => Ok((root, keys?)),
        }
    }
}

/// The keys inside of a transaction: those in memory, or those of the database, made if there are none.
pub(super) fn in_transaction(
    db: &mut Db,
    ctx: &Ctx,
    root: &Root,
    cached: Option<&Arc<OrganizationKeys>>,
) -> aim_store::Result<Arc<OrganizationKeys>> {
    refuse_sealed(db)?;
    // Twice: where another node retires a key at this moment, the first look finds neither that one nor the next.
    for _ in 0..2 {
        let current = key_store::hold_current(db, ctx.organization)?;
        if let Some(keys) = cached.filter(|keys| keys.are(&current)) {
            return Ok(Arc::clone(keys));
        }
        let keys = load(db, ctx.organization, root)?;
        if let Some(keys) = keys.filter(|keys| keys.are(&current)) {
            return Ok(Arc::new(keys));
        }
    }
    ensure(db, ctx, root).map(Arc::new)
}

/// The plaintext of a version.
///
/// # Errors
/// `vault.integrity` when it is not the one that was written at this place.
pub(super) fn open_version(
    keys: &OrganizationKeys,
    organization: OrganizationId,
    secret: SecretId,
    path: &SecretPath,
    version: i64,
    sealed: &SealedRow,
) -> Result<Zeroizing<Vec<u8>>> {
    let place = VersionPlace {
        organization,
        secret: secret.uuid(),
        path,
        version,
        key_id: sealed.key_id.uuid(),
    };
    place.open(
        keys.wrapping(place.key_id)?,
        &sealed.wrapped_key,
        &sealed.ciphertext,
    )
}

/// Refuses rows that were not written together.
pub(super) fn check_head(
    keys: &OrganizationKeys,
    row: &SecretRow,
    path: &SecretPath,
    versions: &[VersionRow],
) -> Result<()> {
    let versions = states(versions);
    fits(keys, &head_of(row, path, &versions), &row.head)
}

/// Whether a head is the one that is stored.
///
/// # Errors
/// `vault.integrity`.
pub(super) fn fits(keys: &OrganizationKeys, head: &Head<'_>, stored: &[u8]) -> Result<()> {
    let found = head.check(&keys.index, stored);
    // A head that is not made anew yet since that key was rotated.
    let by_an_old_one = |index| head.check(index, stored).is_ok();
    if found.is_err() && keys.indexes().skip(1).any(by_an_old_one) {
        return Ok(());
    }
    found
}

pub(super) fn states(versions: &[VersionRow]) -> Vec<(i64, String)> {
    versions
        .iter()
        .map(|version| (version.version, version.state.clone()))
        .collect()
}

pub(super) fn head_of<'a>(
    row: &'a SecretRow,
    path: &'a SecretPath,
    versions: &'a [(i64, String)],
) -> Head<'a> {
    Head {
        organization: row.org_id,
        secret: row.id.uuid(),
        path,
        changes: row.changes,
        current_version: row.current_version,
        max_versions: row.max_versions,
        expires_at: row.expires_at,
        versions,
    }
}

/// The digests by which the values are looked up, with their fields.
pub(super) fn digests_of(
    keys: &OrganizationKeys,
    organization: OrganizationId,
    fields: &Fields,
) -> Vec<(String, [u8; 32])> {
    let telling = fields.iter().filter(|(name, _)| is_telling(name));
    telling
        .map(|(name, value)| {
            let digest = value_digest(&keys.index, organization, value.expose().as_bytes());
            (name.to_owned(), digest)
        })
        .collect()
}

/// A version to be written.
pub(super) struct NewVersion<'a> {
    pub(super) kind: &'a str,
    pub(super) fields: &'a Fields,
    pub(super) plaintext: &'a Zeroizing<Vec<u8>>,
    pub(super) rolled_back_from: Option<i64>,
}

/// A secret in the transaction that changes it: what is there was checked, and what is written gets its head at the end.
pub(super) struct Draft {
    pub(super) row: SecretRow,
    pub(super) versions: Vec<VersionRow>,
    is_new: bool,
}

impl Draft {
    /// The secret at `path`, or a new one.
    pub(super) fn take(
        db: &mut Db,
        ctx: &Ctx,
        keys: &OrganizationKeys,
        path: &SecretPath,
    ) -> aim_store::Result<Self> {
        if let Some(draft) = Self::existing(db, ctx, keys, path)? {
            return Ok(draft);
        }
        let row = SecretRow {
            org_id: ctx.organization,
            id: ctx.new_id(),
            path: path.as_str().to_owned(),
            kind: String::new(),
            description: String::new(),
            tags: Json::of(&Vec::<String>::new()),
            owner: None,
            expires_at: None,
            max_versions: DEFAULT_MAX_VERSIONS,
            oldest_version: 1,
            current_version: 0,
            changes: 0,
            head: Vec::new(),
            created_by: ctx.actor_text(),
            created_at: ctx.now,
            updated_at: ctx.now,
            provider: None,
        };
        Ok(Self {
            row,
            versions: Vec::new(),
            is_new: true,
        })
    }

    /// The secret at `path`, if there is one.
    pub(super) fn existing(
        db: &mut Db,
        ctx: &Ctx,
        keys: &OrganizationKeys,
        path: &SecretPath,
    ) -> aim_store::Result<Option<Self>> {
        let Some(row) = store::lock(db, ctx.organization, path.as_str())? else {
            return Ok(None);
        };
        let versions = store::versions(db, ctx.organization, row.id)?;
        check_head(keys, &row, path, &versions)?;
        age::refuse_turned_back(db, ctx.organization, row.id, row.changes)?;
        Ok(Some(Self {
            row,
            versions,
            is_new: false,
        }))
    }

    pub(super) fn check_cas(&self, cas: Option<i64>) -> Result<()> {
        let current = self.row.current_version;
        match cas {
            Some(seen) if seen != current => Err(version_conflict(&if current == 0 {
                "there is no secret at this path yet; send cas 0".to_owned()
            } else {
                format!("the current version is {current}")
            })),
            _ => Ok(()),
        }
    }

    pub(super) fn describe(&mut self, wish: &Wish) {
        let row = &mut self.row;
        wish.kind.as_str().clone_into(&mut row.kind);
        row.expires_at = wish.expires_at;
        if let Some(description) = &wish.description {
            row.description.clone_from(description);
        }
        if let Some(tags) = &wish.tags {
            row.tags = Json::of(tags);
        }
        if let Some(owner) = &wish.owner {
            row.owner = Some(owner.clone()).filter(|owner| !owner.is_empty());
        }
        if let Some(most) = wish.max_versions {
            row.max_versions = most;
        }
        if wish.kind != SecretKind::ApiKey {
            row.provider = None;
        } else if let Some(provider) = wish.provider {
            row.provider = Some(provider.as_str().to_owned());
        }
    }

    /// Adds a version, and destroys those beyond the number that is kept; answers these.
    pub(super) fn add(
        &mut self,
        db: &mut Db,
        ctx: &Ctx,
        keys: &OrganizationKeys,
        path: &SecretPath,
        new: &NewVersion<'_>,
    ) -> aim_store::Result<Vec<i64>> {
        let row = &mut self.row;
        let version = row.current_version + 1;
        let place = VersionPlace {
            organization: ctx.organization,
            secret: row.id.uuid(),
            path,
            version,
            key_id: keys.wrap_id,
        };
        let (wrapped_key, ciphertext) = place.seal(keys.wrapping(keys.wrap_id)?, new.plaintext)?;
        let digests = digests_of(keys, ctx.organization, new.fields);
        store::add_version(
            db,
            &NewVersionRow {
                org_id: ctx.organization,
                secret_id: row.id,
                version,
                state: VersionState::Active.as_str().to_owned(),
                kind: new.kind.to_owned(),
                field_names: Json::of(&new.fields.names()),
                key_id: Id::from_uuid(keys.wrap_id),
                wrapped_key,
                created_by: ctx.actor_text(),
                created_at: ctx.now.max(row.updated_at),
                deleted_at: None,
                destroyed_at: None,
                rolled_back_from: new.rolled_back_from,
                ciphertext,
            },
        )?;
        fail_point::reached("vault.write.version_added");
        store::add_digests(db, ctx.organization, row.id, version, &digests)?;
        new.kind.clone_into(&mut row.kind);
        row.current_version = version;
        let oldest = (version - row.max_versions + 1).max(row.oldest_version);
        let beyond: Vec<i64> = self
            .versions
            .iter()
            .map(|known| known.version)
            .filter(|known| *known < oldest)
            .collect();
        row.oldest_version = oldest;
        if !beyond.is_empty() {
            store::shred(db, ctx.organization, row.id, &beyond)?;
            fail_point::reached("vault.write.shredded");
            store::remove_versions(db, ctx.organization, row.id, &beyond)?;
        }
        Ok(beyond)
    }

    /// Writes the row with its new head, and the record of it.
    pub(super) fn finish(
        self,
        db: &mut Db,
        ctx: &Ctx,
        keys: &OrganizationKeys,
        path: &SecretPath,
        event: &'static str,
        facts: Value,
    ) -> aim_store::Result<SecretView> {
        let (view, entry) = self.save(db, ctx, keys, path, event, facts)?;
        aim_audit::append(db, vec![entry])?;
        fail_point::reached("vault.write.recorded");
        Ok(view)
    }

    /// Writes the row with its new head; the record of it is for the caller to append, last.
    pub(super) fn save(
        mut self,
        db: &mut Db,
        ctx: &Ctx,
        keys: &OrganizationKeys,
        path: &SecretPath,
        event: &'static str,
        mut facts: Value,
    ) -> aim_store::Result<(SecretView, Entry)> {
        debug_assert!(
            age::CHANGES.contains(&event),
            "{event} is a change that age.rs does not know"
        );
        self.row.changes += 1;
        // Whoever came first may come here last, and nodes' clocks differ: the past is told in the order of the changes.
        self.row.updated_at = ctx.now.max(self.row.updated_at);
        let versions = store::versions(db, ctx.organization, self.row.id)?;
        let digest = head_of(&self.row, path, &states(&versions)).digest(&keys.index);
        self.row.head = digest.to_vec();
        if self.is_new {
            store::insert(db, &self.row)?;
        } else {
            store::save(db, &self.row)?;
        }
        if let Some(facts) = facts.as_object_mut() {
            // With these a database that was turned back as a whole can be told from the log.
            facts.insert("changes".to_owned(), json!(self.row.changes));
            facts.insert("head".to_owned(), json!(hex(&digest)));
        }
        // Of one that is new nothing was confirmed. On SQLite the log is quickly asked, and many new ones may be written.
        if !self.is_new || db.is_postgres() {
            age::note(self.row.id, self.row.changes);
        }
        past::note(db, ctx, &self.row, &versions, event)?;
        refresh::watch(db, ctx, &self.row, &versions)?;
        let mut entry = Entry::event(ctx, event)
            .target("secret", self.row.id)
            .facts(facts)
            .details(json!({"path": self.row.path}));
        if let Actor::Agent { id, .. } = &ctx.actor {
            entry = entry.agent(*id);
        }
        fail_point::reached("vault.write.head_saved");
        Ok((SecretView::of(self.row, versions), entry))
    }
}

/// The refusal of a write on another version than the caller saw.
pub(super) fn version_conflict(detail: &str) -> Error {
    Error::new(Code::VersionConflict, detail).at("cas")
}

/// Agents read by the verified action, and nothing else.
pub(crate) fn refuse_agents(ctx: &Ctx) -> Result<()> {
    match &ctx.actor {
        Actor::Agent { .. } | Actor::Anonymous => Err(Error::forbidden("secrets:read")),
        Actor::User { .. } | Actor::ApiKey { .. } | Actor::System(_) => Ok(()),
    }
}
