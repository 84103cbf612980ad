//! The root key: read from a file that belongs to the server's user alone, made at the first use, and never printed; or,
//! where no file is set, made of a passphrase that somebody gives after each start.
//!
//! The database says by its id which root key wraps the organisations' keys. A node that holds another one, or none, has a
//! sealed vault, and says why; it makes no second root key beside the first.

use std::{
    fs::{self, File, OpenOptions},
    io::{self, Read as _, Write as _},
    os::unix::fs::{OpenOptionsExt as _, PermissionsExt as _},
    path::{Path, PathBuf},
    sync::{Arc, PoisonError, RwLock},
};

use aim_core::{Code, Error, Json, Result, Timestamp};
use aim_crypto::secret::SecretString;
use aim_store::{Db, Scope, Store};
use base64::{Engine as _, engine::general_purpose::STANDARD};
use tokio::sync::Mutex;
use zeroize::Zeroizing;

use super::{
    envelope::Key,
    key_store::{self, RootRow},
    passphrase::{self, Derivation, PASSPHRASE},
};

/// The name of the provider that reads the key from a file.
pub const KEY_FILE: &str = "key_file";
const SEALED: &str = "the vault is sealed: ";
const WAITING: &str = "it waits for its passphrase; run aim vault unseal";
/// No key file is longer.
const LARGEST_FILE: u64 = 1024;

/// A root key with its id.
#[derive(Debug)]
pub struct Root {
    /// The key.
    pub key: Key,
    /// Its id.
    pub id: String,
}

impl Root {
    fn of(key: Key) -> Self {
        let id = key.id();
        Self { key, id }
    }
}

/// Keeps the root key once it is known.
#[derive(Clone)]
pub struct Keeper {
    /// None: a passphrase.
    file: Option<Arc<Path>>,
    held: Arc<RwLock<Option<Arc<Root>>>>,
    /// Making a key of a passphrase takes memory: one at a time.
    turn: Arc<Mutex<()>>,
}

impl Keeper {
    /// A keeper of the key in `file`, or of one that a passphrase makes.
    #[must_use]
    pub fn new(file: Option<PathBuf>) -> Self {
        Self {
            file: file.map(Arc::from),
            held: Arc::default(),
            turn: Arc::default(),
        }
    }

    /// Where the root key comes from.
    #[must_use]
    pub fn provider(&self) -> &'static str {
        if self.file.is_some() { KEY_FILE } else { PASSPHRASE }
    }

    /// The root key, if it was opened before.
    #[must_use]
    pub fn held(&self) -> Option<Arc<Root>> {
        self.held.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// The root key; made if the installation has none yet.
    ///
    /// # Errors
    /// `vault.sealed` with the reason.
    pub async fn open(&self, store: &Store, now: Timestamp) -> Result<Arc<Root>> {
        if let Some(root) = self.held() {
            return Ok(root);
        }
        let Some(file) = self.file.clone() else {
            return Err(sealed(WAITING));
        };
        let root = store
            .write(Scope::Installation, move |db| agreed(db, &file, now))
            .await?;
        Ok(self.hold(root))
    }

    /// Opens the vault with its passphrase; the first one that is given is the one that is set.
    ///
    /// # Errors
    /// `request.field_invalid` at `passphrase`; `resource.state` where the root key comes from a file.
    pub async fn unseal(&self, store: &Store, passphrase: SecretString, now: Timestamp) -> Result<Arc<Root>> {
        if self.file.is_some() {
            return Err(Error::new(
                Code::StateConflict,
                "the root key of this vault comes from a file; there is nothing to unseal",
            ));
        }
        if passphrase.len() > passphrase::LONGEST {
            return Err(passphrase::refused(format!(
                "at most {} bytes",
                passphrase::LONGEST
            )));
        }
        let _turn = self.turn.lock().await;
        let known = store.read(Scope::Installation, key_store::root).await?;
        let derivation = match &known {
            Some(known) => made_of_a_passphrase(known)?,
            None => {
                passphrase::check_new(&passphrase)?;
                Derivation::fresh()?
            }
        };
        let making = derivation.clone();
        let key = tokio::task::spawn_blocking(move || making.key(&passphrase))
            .await
            .map_err(Error::internal)??;
        let root = Root::of(key);
        let known = match known {
            Some(known) => known.root_key_id,
            None => {
                let (id, parameters) = (root.id.clone(), Json::of(&derivation));
                let set = store.write(Scope::Installation, move |db| {
                    key_store::set_root(db, &id, PASSPHRASE, &parameters, now)?;
                    key_store::root(db)
                });
                set.await?.map(|known| known.root_key_id).unwrap_or_default()
            }
        };
        if root.id != known {
            return Err(passphrase::refused("this is not the passphrase of this vault"));
        }
        Ok(self.hold(root))
    }

    fn hold(&self, root: Root) -> Arc<Root> {
        let root = Arc::new(root);
        *self.held.write().unwrap_or_else(PoisonError::into_inner) = Some(Arc::clone(&root));
        root
    }

    /// Why the vault is sealed, if it is; nothing is made by asking.
    ///
    /// # Errors
    /// The database's.
    pub async fn state(&self, store: &Store) -> Result<RootState> {
        if let Some(root) = self.held() {
            return Ok(RootState::Open(root.id.clone()));
        }
        let file = self.file.clone();
        store
            .read(Scope::Installation, move |db| {
                let known = key_store::root(db)?;
                let Some(file) = file else {
                    return Ok(RootState::Sealed(WAITING.to_owned()));
                };
                Ok(match (read(&file), known) {
                    (Err(error), _) => RootState::Sealed(reason(error)),
                    (Ok(None), None) => RootState::Unused,
                    (Ok(Some(root)), None) => RootState::Open(root.id),
                    (Ok(found), Some(known)) => match fitting(found, &known) {
                        Ok(root) => RootState::Open(root.id),
                        Err(error) => RootState::Sealed(reason(error)),
                    },
                })
            })
            .await
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
fn agreed(db: &mut Db, file: &Path, now: Timestamp) -> aim_store::Result<Root> {
    let found = read(file)?;
    if let Some(known) = key_store::root(db)? {
        return Ok(fitting(found, &known)?);
    }
    let root = match found {
        Some(root) => root,
        None => make(file)?,
    };
    key_store::set_root(db, &root.id, KEY_FILE, &Json::of(&serde_json::Map::new()), now)?;
    // Another node may have been first.
    match key_store::root(db)? {
        Some(known) => Ok(fitting(Some(root), &known)?),
        None => Err(aim_store::Error::Corrupt(
            "the root key's row is not there".to_owned(),
        )),
    }
}

/// How the key is made of its passphrase, by what the database says.
fn made_of_a_passphrase(known: &RootRow) -> Result<Derivation> {
    Derivation::read(&known.parameters)
        .filter(|_| known.provider == PASSPHRASE)
        .ok_or_else(|| sealed("its root key comes from a file by what the database says; set vault.key_file"))
}

fn fitting(found: Option<Root>, known: &RootRow) -> Result<Root> {
    if known.provider != KEY_FILE {
        return Err(sealed(
            "its root key is made of a passphrase by what the database says; set vault.key_file to \"\"",
        ));
    }
    let known = &known.root_key_id;
    match found {
        None => Err(sealed(&format!(
            "the database's keys are wrapped by the root key {known}, and the key file is not there; put it back from where it is kept"
        ))),
        Some(root) if root.id != *known => Err(sealed(&format!(
            "the key file holds the root key {}, and the database's keys are wrapped by {known}; put the right file there",
            root.id
        ))),
        Some(root) => Ok(root),
    }
}

/// The key in the file; nothing if there is no file.
fn read(path: &Path) -> Result<Option<Root>> {
    let mut file = match File::open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(unreadable(path, &error)),
    };
    // The permissions are those of the file that is open, whatever the path names by now.
    let facts = file.metadata().map_err(|error| unreadable(path, &error))?;
    let mode = facts.permissions().mode() & 0o777;
    if mode & 0o077 != 0 {
        return Err(sealed(&format!(
            "others than its owner may use the key file {} (mode {mode:04o}); run chmod 600, and make a new root key if others may have read it",
            path.display()
        )));
    }
    if !facts.is_file() || facts.len() > LARGEST_FILE {
        return Err(sealed(&format!("{} is no key file", path.display())));
    }
    // Sized in advance: a growing text would leave copies behind.
    let mut text = Zeroizing::new(String::with_capacity(usize::try_from(LARGEST_FILE).unwrap_or(0)));
    file.read_to_string(&mut text)
        .map_err(|error| unreadable(path, &error))?;
    let bytes = STANDARD.decode(text.trim()).map(Zeroizing::new).ok();
    bytes
        .and_then(|bytes| Key::from_bytes(&bytes))
        .map(|key| Some(Root::of(key)))
        .ok_or_else(|| sealed(&format!("{} does not hold 32 bytes in base64", path.display())))
}

fn unreadable(path: &Path, error: &io::Error) -> Error {
    sealed(&format!(
        "the key file {} cannot be read: {error}",
        path.display()
    ))
}

/// Makes the file, durable before anything is wrapped by it. An existing file is never touched.
fn make(path: &Path) -> Result<Root> {
    let root = Root::of(Key::generate()?);
    let text = Zeroizing::new(STANDARD.encode(root.key.expose()));
    let written = OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(path)
        .and_then(|mut file| {
            file.write_all(text.as_bytes())?;
            file.write_all(b"\n")?;
            file.sync_all()
        })
        .and_then(|()| match path.parent() {
            Some(folder) => File::open(folder)?.sync_all(),
            None => Ok(()),
        });
    match written {
        Ok(()) => Ok(root),
        // Another process of this machine made it just now.
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
            read(path)?.ok_or_else(|| sealed("the key file came and went"))
        }
        Err(error) => {
            // A half-written key would seal the vault at the next start.
            let _ = fs::remove_file(path);
            Err(sealed(&format!(
                "the key file {} cannot be written: {error}",
                path.display()
            )))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_file_is_made_once_for_its_owner_alone_and_read_again() {
        let home = tempfile::tempdir().unwrap();
        let path = home.path().join("vault.key");
        assert!(read(&path).unwrap().is_none());
        let made = make(&path).unwrap();
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        assert_eq!(read(&path).unwrap().unwrap().id, made.id);
        assert_eq!(make(&path).unwrap().id, made.id, "an existing file is kept");
    }

    #[test]
    fn a_key_file_that_others_may_read_or_that_holds_no_key_seals_the_vault() {
        let home = tempfile::tempdir().unwrap();
        let path = home.path().join("vault.key");
        make(&path).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o640)).unwrap();
        let error = read(&path).unwrap_err();
        assert_eq!(error.code, Code::VaultSealed);
        assert!(error.detail.contains("0640"), "{error}");
        fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
        for text in ["", "AAAA", "not base64", &"A".repeat(2_000)] {
            fs::write(&path, text).unwrap();
            let error = read(&path).unwrap_err();
            assert_eq!(error.code, Code::VaultSealed, "{text}");
            assert!(text.is_empty() || !error.detail.contains(text), "{error}");
        }
    }
}
