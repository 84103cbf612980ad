//! The root key: from a file that belongs to the server's user alone, of a passphrase that somebody gives after each start,
//! or decrypted by a key management service.
//!
//! The database says by its id which root key wraps the organisations' keys, and of which provider it is; where that provider
//! is found, the settings say. A node that holds another key, or none, has a sealed vault, and says why; it makes no second
//! root key beside the first.

use std::{
    path::PathBuf,
    sync::{
        Arc, PoisonError, RwLock, Weak,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use aim_core::{Code, Error, Json, Result, Timestamp};
use aim_crypto::secret::SecretString;
use aim_platform::{PlatformConfig, VaultProvider};
use aim_store::{Db, Scope, Store};
use chrono::TimeDelta;
use tokio::sync::Mutex;

use super::{
    envelope::Key,
    fail_point,
    key_store::{self, RootRow},
    keys::KeyRing,
    kms::Kms,
    passphrase::{self, Derivation},
    root_file,
};

const SEALED: &str = "the vault is sealed: ";
const WAITING: &str = "it waits for its passphrase; run aim vault unseal";
/// Why a vault is sealed that somebody sealed.
pub(super) const BY_HAND: &str = "somebody sealed it; run aim vault unseal";
/// How long a node believes what it last read of the root key's row. Whatever writes, and every read by an agent, looks at
/// the row in its own transaction besides.
const LOOKED_AT: TimeDelta = TimeDelta::seconds(1);
/// How often a node that holds keys looks whether it still may, though nobody asks it for anything.
const WATCHING: Duration = Duration::from_secs(1);

/// A root key with its id.
#[derive(Debug, Clone)]
pub struct Root {
    /// The key.
    pub key: Key,
    /// Its id.
    pub id: String,
}

impl Root {
    /// This key as a root key.
    pub(super) fn of(key: Key) -> Self {
        let id = key.id();
        Self { key, id }
    }
}

/// A root key that is to take the place of the present one, durable where its provider keeps it.
pub(super) struct Next {
    pub(super) root: Root,
    pub(super) provider: VaultProvider,
    pub(super) parameters: Json,
}

/// What is in memory.
struct Held {
    root: Arc<Root>,
    epoch: i64,
    looked: Timestamp,
}

struct Inner {
    file: Option<PathBuf>,
    preferred: VaultProvider,
    kms: Kms,
    ring: KeyRing,
    held: RwLock<Option<Held>>,
    /// Whatever changes what is held, one at a time.
    turn: Mutex<()>,
    /// Making a key of a passphrase takes memory and time: one at a time, and in nobody's turn where a key is at hand.
    deriving: Mutex<()>,
    watched: AtomicBool,
}

/// Keeps the root key once it is known.
#[derive(Clone)]
pub struct Keeper(Arc<Inner>);

impl Keeper {
    /// A keeper of the root key where the settings say it is found. `ring` is wiped with it.
    pub(super) fn new(config: &PlatformConfig, ring: KeyRing) -> Self {
        let file = config.vault_key_file.clone();
        let preferred = match config.vault.provider {
            VaultProvider::KeyFile if file.is_none() => VaultProvider::Passphrase,
            provider => provider,
        };
        Self(Arc::new(Inner {
            file,
            preferred,
            kms: Kms::new(config.vault.clone()),
            ring,
            held: RwLock::default(),
            turn: Mutex::default(),
            deriving: Mutex::default(),
            watched: AtomicBool::new(false),
        }))
    }

    /// The root key; made if the installation has none yet.
    ///
    /// # Errors
    /// `vault.sealed` with the reason.
    pub async fn open(&self, store: &Store, now: Timestamp) -> Result<Arc<Root>> {
        if let Some(root) = self.looked_at(now) {
            return Ok(root);
        }
        // Where somebody is looking already, that look is waited for: by then the vault may be sealed.
        let _turn = self.0.turn.lock().await;
        if let Some(root) = self.looked_at(now) {
            return Ok(root);
        }
        let known = store.read(Scope::Installation, key_store::root).await?;
        if let Some(root) = self.0.still(known.as_ref(), Some(now)) {
            return Ok(root);
        }
        let (root, epoch) = Box::pin(self.fetch(store, known, now)).await?;
        Ok(self.hold(store, root, epoch, now))
    }

    /// The root key by what the database says now.
    pub(super) async fn look_again(&self, store: &Store, now: Timestamp) -> Result<Arc<Root>> {
        {
            let _turn = self.0.turn.lock().await;
            let known = store.read(Scope::Installation, key_store::root).await?;
            self.0.still(known.as_ref(), Some(now));
        }
        self.open(store, now).await
    }

    /// The root key from its provider, with the epoch of its row.
    async fn fetch(&self, store: &Store, known: Option<RootRow>, now: Timestamp) -> Result<(Root, i64)> {
        if known.as_ref().is_some_and(|known| known.sealed_at.is_some()) {
            return Err(sealed(BY_HAND));
        }
        let provider = self.provider_of(known.as_ref())?;
        match (provider, known) {
            (VaultProvider::Passphrase, _) => Err(sealed(WAITING)),
            (_, Some(known)) => Ok((self.provided(provider, &known, now).await?, known.epoch)),
            (VaultProvider::KeyFile, None) => {
                let file = self.file()?;
                let set = store.write(Scope::Installation, move |db| agreed(db, &file, now));
                set.await
            }
            (provider, None) => {
                let Next { root, parameters, .. } = self.encrypted(provider, now).await?;
                let id = root.id.clone();
                let set = store.write(Scope::Installation, move |db| {
                    key_store::set_root(db, &id, provider.as_str(), &parameters, now)?;
                    key_store::root(db)
                });
                let known = set
                    .await?
                    .ok_or_else(|| Error::internal("the root key's row is not there"))?;
                if known.root_key_id == root.id {
                    return Ok((root, known.epoch));
                }
                // Another node was first.
                let provider = self.provider_of(Some(&known))?;
                Ok((self.provided(provider, &known, now).await?, known.epoch))
            }
        }
    }

    /// The root key that the database names, from a file or a key management service.
    async fn provided(&self, provider: VaultProvider, known: &RootRow, now: Timestamp) -> Result<Root> {
        let id = known.root_key_id.clone();
        if provider == VaultProvider::KeyFile {
            let file = self.file()?;
            let read = tokio::task::spawn_blocking(move || root_file::fitting(&file, &id));
            return read.await.map_err(Error::internal)?;
        }
        let root = Root::of(self.0.kms.decrypt(provider, &known.parameters, now).await?);
        if root.id != id {
            return Err(sealed(
                "what the key management service decrypted is not the root key that the database names",
            ));
        }
        Ok(root)
    }

    /// A fresh root key, encrypted by a key management service.
    async fn encrypted(&self, provider: VaultProvider, now: Timestamp) -> Result<Next> {
        let root = Root::of(Key::generate()?);
        let parameters = self.0.kms.encrypt(provider, &root.key, now).await?;
        // What cannot be decrypted again must not wrap anything.
        if Root::of(self.0.kms.decrypt(provider, &parameters, now).await?).id != root.id {
            return Err(sealed(
                "the key management service did not give back what it encrypted",
            ));
        }
        Ok(Next {
            root,
            provider,
            parameters,
        })
    }

    /// A root key to take the place of `present`: from the provider that is named, durable when this answers.
    ///
    /// # Errors
    /// `request.field_invalid` at `passphrase` or `provider`; `vault.sealed` when the provider cannot give one.
    pub(super) async fn next(
        &self,
        present: &Root,
        provider: VaultProvider,
        passphrase: Option<SecretString>,
        now: Timestamp,
    ) -> Result<Next> {
        match (provider, passphrase) {
            (VaultProvider::Passphrase, Some(passphrase)) => {
                let _alone = self.0.deriving.lock().await;
                passphrase::check_new(&passphrase)?;
                let derivation = Derivation::fresh()?;
                let parameters = Json::of(&derivation);
                Ok(Next {
                    root: derived(derivation, passphrase).await?,
                    provider,
                    parameters,
                })
            }
            (VaultProvider::Passphrase, None) => Err(passphrase::refused("give the new passphrase")),
            (_, Some(_)) => Err(passphrase::refused(
                "a passphrase belongs to the provider passphrase alone",
            )),
            (VaultProvider::KeyFile, None) => {
                let file = self.file()?;
                let id = present.id.clone();
                let made = tokio::task::spawn_blocking(move || root_file::prepare(&file, &id));
                Ok(Next {
                    root: made.await.map_err(Error::internal)??,
                    provider,
                    parameters: Json::of(&serde_json::Map::new()),
                })
            }
            (_, None) => {
                if !self.0.kms.is_configured() {
                    return Err(Error::field(
                        "provider",
                        "set vault.kms_key first, and restart the server",
                    ));
                }
                self.encrypted(provider, now).await
            }
        }
    }

    /// Holds a root key that the database names since this moment; the key file takes its place.
    pub(super) async fn exchanged(&self, store: &Store, next: Next, epoch: i64, now: Timestamp) {
        let _turn = self.0.turn.lock().await;
        fail_point::reached("vault.rekey.committed");
        if next.provider == VaultProvider::KeyFile
            && let Ok(file) = self.file()
        {
            let id = next.root.id.clone();
            let moved = tokio::task::spawn_blocking(move || root_file::fitting(&file, &id)).await;
            if !matches!(moved, Ok(Ok(_))) {
                tracing::warn!(
                    "the new root key stays in the key file that ends in .new; the server reads it there"
                );
            }
        }
        self.0.wipe();
        self.hold(store, next.root, epoch, now);
    }

    /// The root key for a vault that is being unsealed, nothing of which is held yet. Of a passphrase the first one that is
    /// given is the one that is set.
    ///
    /// # Errors
    /// `request.field_invalid` at `passphrase`; `resource.state` where there is nothing to unseal.
    pub(super) async fn unsealing(
        &self,
        store: &Store,
        passphrase: Option<SecretString>,
        now: Timestamp,
    ) -> Result<Root> {
        let known = store.read(Scope::Installation, key_store::root).await?;
        let provider = self.provider_of(known.as_ref())?;
        if provider == VaultProvider::Passphrase {
            let passphrase =
                passphrase.ok_or_else(|| passphrase::refused("give the passphrase of this vault"))?;
            let _turn = self.0.turn.lock().await;
            return self.of_a_passphrase(store, known, passphrase, now).await;
        }
        if provider == VaultProvider::KeyFile {
            self.file()?;
        }
        let Some(known) = known.filter(|known| known.sealed_at.is_some()) else {
            let source = if provider == VaultProvider::KeyFile {
                "a file"
            } else {
                "a key management service"
            };
            return Err(Error::new(
                Code::StateConflict,
                format!("the root key of this vault comes from {source}; there is nothing to unseal"),
            ));
        };
        if passphrase.is_some() {
            return Err(passphrase::refused("this vault has no passphrase; send none"));
        }
        self.0.kms.forget_failures();
        self.provided(provider, &known, now).await
    }

    async fn of_a_passphrase(
        &self,
        store: &Store,
        known: Option<RootRow>,
        passphrase: SecretString,
        now: Timestamp,
    ) -> Result<Root> {
        if passphrase.len() > passphrase::LONGEST {
            return Err(passphrase::refused(format!(
                "at most {} bytes",
                passphrase::LONGEST
            )));
        }
        let derivation = match &known {
            Some(known) => made_of_a_passphrase(known)?,
            None => {
                passphrase::check_new(&passphrase)?;
                Derivation::fresh()?
            }
        };
        let parameters = Json::of(&derivation);
        let root = {
            let _alone = self.0.deriving.lock().await;
            derived(derivation, passphrase).await?
        };
        let known = match known {
            Some(known) => known.root_key_id,
            None => {
                let id = root.id.clone();
                let set = store.write(Scope::Installation, move |db| {
                    key_store::set_root(db, &id, VaultProvider::Passphrase.as_str(), &parameters, now)?;
                    key_store::root(db)
                });
                set.await?.map(|known| known.root_key_id).unwrap_or_default()
            }
        };
        if root.id != known {
            return Err(passphrase::refused("this is not the passphrase of this vault"));
        }
        Ok(root)
    }

    /// Holds a root key that was unsealed.
    pub(super) async fn unsealed(&self, store: &Store, root: Root, epoch: i64, now: Timestamp) {
        let _turn = self.0.turn.lock().await;
        self.hold(store, root, epoch, now);
    }

    /// Drops every key from memory.
    pub(super) async fn wipe(&self) {
        let _turn = self.0.turn.lock().await;
        self.0.wipe();
    }

    fn hold(&self, store: &Store, root: Root, epoch: i64, looked: Timestamp) -> Arc<Root> {
        let root = Arc::new(root);
        *self.0.held.write().unwrap_or_else(PoisonError::into_inner) = Some(Held {
            root: Arc::clone(&root),
            epoch,
            looked,
        });
        if !self.0.watched.swap(true, Ordering::Relaxed) {
            tokio::spawn(watch(Arc::downgrade(&self.0), store.clone()));
        }
        root
    }

    /// The root key, if the row was looked at just now.
    fn looked_at(&self, now: Timestamp) -> Option<Arc<Root>> {
        let held = self.0.held.read().unwrap_or_else(PoisonError::into_inner);
        let held = held.as_ref()?;
        ((now - held.looked).abs() < LOOKED_AT).then(|| Arc::clone(&held.root))
    }

    fn file(&self) -> Result<PathBuf> {
        self.0.file.clone().ok_or_else(|| {
            sealed("its root key comes from a file by what the database says; set vault.key_file")
        })
    }

    /// The provider that the database names; before there is a root key, the one that is preferred.
    fn provider_of(&self, known: Option<&RootRow>) -> Result<VaultProvider> {
        match known {
            None => Ok(self.0.preferred),
            Some(known) => VaultProvider::parse(&known.provider).ok_or_else(|| {
                sealed("the database names a source of the root key that this release does not know")
            }),
        }
    }

    /// Why the vault is sealed, if it is, and of which provider its root key is; no root key is made by asking.
    ///
    /// # Errors
    /// The database's.
    pub async fn state(&self, store: &Store, now: Timestamp) -> Result<(RootState, VaultProvider)> {
        let known = store.read(Scope::Installation, key_store::root).await?;
        let provider = self.provider_of(known.as_ref()).unwrap_or(self.0.preferred);
        if known.is_none() {
            let waits = provider == VaultProvider::Passphrase;
            let found = match (provider, self.0.file.clone()) {
                (VaultProvider::KeyFile, Some(file)) => root_file::read(&file),
                _ => Ok(None),
            };
            return Ok((
                match found {
                    _ if waits => RootState::Sealed(WAITING.to_owned()),
                    Ok(None) => RootState::Unused,
                    Ok(Some(root)) => RootState::Open(root.id),
                    Err(error) => RootState::Sealed(reason(error)),
                },
                provider,
            ));
        }
        Ok((
            match self.open(store, now).await {
                Ok(root) => RootState::Open(root.id.clone()),
                Err(error) if error.code == Code::VaultSealed => RootState::Sealed(reason(error)),
                Err(error) => return Err(error),
            },
            provider,
        ))
    }
}

impl Inner {
    /// The root key that is held, if the row still names it and nobody sealed the vault; otherwise nothing is held any more.
    fn still(&self, known: Option<&RootRow>, looked: Option<Timestamp>) -> Option<Arc<Root>> {
        let mut held = self.held.write().unwrap_or_else(PoisonError::into_inner);
        let fits = held.as_ref().is_some_and(|held| {
            known.is_some_and(|known| known.sealed_at.is_none() && known.root_key_id == held.root.id)
        });
        let (Some(present), Some(known), true) = (held.as_mut(), known, fits) else {
            *held = None;
            self.ring.wipe();
            return None;
        };
        if present.epoch != known.epoch {
            self.ring.wipe();
            present.epoch = known.epoch;
        }
        present.looked = looked.unwrap_or(present.looked);
        Some(Arc::clone(&present.root))
    }

    fn wipe(&self) {
        *self.held.write().unwrap_or_else(PoisonError::into_inner) = None;
        self.ring.wipe();
    }

    fn holds(&self) -> bool {
        self.held.read().unwrap_or_else(PoisonError::into_inner).is_some()
    }
}

/// Looks again and again whether the keys in memory may still be there, as long as the keeper lives.
async fn watch(keeper: Weak<Inner>, store: Store) {
    let mut tick = tokio::time::interval(WATCHING);
    tick.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        tick.tick().await;
        let Some(keeper) = keeper.upgrade() else { return };
        if !keeper.holds() {
            continue;
        }
        let _turn = keeper.turn.lock().await;
        // A database that does not answer hands nothing over either.
        if let Ok(known) = store.read(Scope::Installation, key_store::root).await {
            keeper.still(known.as_ref(), None);
        }
    }
}

/// The reason alone, where it is said anyway that the vault is sealed.
fn reason(error: Error) -> String {
    match error.detail.strip_prefix(SEALED) {
        Some(reason) => reason.to_owned(),
        None => error.detail,
    }
}

/// How the vault stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RootState {
    /// No root key was made yet.
    Unused,
    /// The root key of this id is at hand.
    Open(String),
    /// It is not, for this reason.
    Sealed(String),
}

/// The refusal of whatever needs the root key.
pub(super) fn sealed(reason: &str) -> Error {
    Error::new(Code::VaultSealed, format!("{SEALED}{reason}"))
}

/// The key in the file, once file and database agree. Runs in a transaction, so that two nodes agree on one key.
fn agreed(db: &mut Db, file: &std::path::Path, now: Timestamp) -> aim_store::Result<(Root, i64)> {
    if let Some(known) = key_store::root(db)? {
        return Ok((root_file::fitting(file, &known.root_key_id)?, known.epoch));
    }
    let root = match root_file::read(file)? {
        Some(root) => root,
        None => root_file::make(file)?,
    };
    let parameters = Json::of(&serde_json::Map::new());
    key_store::set_root(db, &root.id, VaultProvider::KeyFile.as_str(), &parameters, now)?;
    // Another node may have been first.
    match key_store::root(db)? {
        Some(known) => Ok((root_file::fitting(file, &known.root_key_id)?, known.epoch)),
        None => Err(aim_store::Error::Corrupt(
            "the root key's row is not there".to_owned(),
        )),
    }
}

/// How the key is made of its passphrase, by what the database says.
fn made_of_a_passphrase(known: &RootRow) -> Result<Derivation> {
    Derivation::read(&known.parameters)
        .ok_or_else(|| sealed("how its root key is made of the passphrase cannot be read from the database"))
}

async fn derived(derivation: Derivation, passphrase: SecretString) -> Result<Root> {
    let making = tokio::task::spawn_blocking(move || derivation.key(&passphrase));
    Ok(Root::of(making.await.map_err(Error::internal)??))
}
