//! A folder of agents' key files: one JSON file an agent, readable by its owner alone.

use std::{
    fs,
    path::{Path, PathBuf},
};

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, percent_decode_str, utf8_percent_encode};

use crate::{
    error::{Error, Result},
    identity::AgentIdentity,
    private_file::{read_private, standard_folder, write_private},
};

/// What of a name may stand in a file name as it is. A dot is encoded, so that no name is hidden or climbs.
const PLAIN: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'_');

/// Where a client keeps its agents' keys.
#[derive(Debug, Clone)]
pub struct KeyFolder(PathBuf);

impl KeyFolder {
    /// `$XDG_CONFIG_HOME/aim/agents`, else `~/.config/aim/agents`.
    ///
    /// # Errors
    /// When neither variable is set.
    pub fn standard() -> Result<Self> {
        Ok(Self(standard_folder()?.join("agents")))
    }

    /// A folder of one's own choice. It is made when the first key is saved.
    #[must_use]
    pub fn at(folder: impl Into<PathBuf>) -> Self {
        Self(folder.into())
    }

    /// The file of the agent with this name.
    #[must_use]
    pub fn path_of(&self, name: &str) -> PathBuf {
        self.0.join(format!("{}.json", utf8_percent_encode(name, PLAIN)))
    }

    /// The file of a key that is about to replace the agent's present one.
    fn path_of_next(&self, name: &str) -> PathBuf {
        self.0.join(format!("{}.next", utf8_percent_encode(name, PLAIN)))
    }

    /// Saves an agent's key, replacing what was there.
    ///
    /// # Errors
    /// [`Error::File`] naming the file.
    pub fn save(&self, identity: &AgentIdentity) -> Result<()> {
        write_private(&self.path_of(&identity.name), identity.to_file_text().expose())
    }

    /// The agent with this name.
    ///
    /// # Errors
    /// [`Error::File`] when there is no such file, others may read it, or it is no key file.
    pub fn load(&self, name: &str) -> Result<AgentIdentity> {
        load_file(&self.path_of(name))
    }

    /// The names of the agents whose keys are here, in order.
    ///
    /// # Errors
    /// [`Error::File`] when the folder cannot be read. A folder that is not there is empty.
    pub fn names(&self) -> Result<Vec<String>> {
        let failed = |error: std::io::Error| Error::File {
            path: self.0.clone(),
            reason: error.to_string(),
        };
        let entries = match fs::read_dir(&self.0) {
            Ok(entries) => entries,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
            Err(error) => return Err(failed(error)),
        };
        let mut names = Vec::new();
        for entry in entries {
            let file = entry.map_err(failed)?.file_name();
            let stem = file
                .to_str()
                .and_then(|file| file.strip_suffix(".json"))
                .filter(|stem| !stem.starts_with('.'));
            let name = stem.and_then(|stem| percent_decode_str(stem).decode_utf8().ok());
            names.extend(name.map(|name| name.into_owned()));
        }
        names.sort_unstable();
        Ok(names)
    }

    /// Forgets the agent's key.
    ///
    /// # Errors
    /// [`Error::File`] when the file cannot be removed.
    pub fn remove(&self, name: &str) -> Result<()> {
        remove_file(&self.path_of(name))
    }

    /// Keeps the key that is about to replace the present one. Written before the server is asked, so
    /// that an answer that gets lost does not lose the only key the server accepts.
    ///
    /// # Errors
    /// [`Error::File`] naming the file.
    pub fn save_next(&self, identity: &AgentIdentity) -> Result<()> {
        write_private(
            &self.path_of_next(&identity.name),
            identity.to_file_text().expose(),
        )
    }

    /// The key that was about to replace the present one when a rotation was cut short.
    ///
    /// # Errors
    /// [`Error::File`] when there is one and it cannot be used.
    pub fn load_next(&self, name: &str) -> Result<Option<AgentIdentity>> {
        let path = self.path_of_next(name);
        if path.exists() {
            load_file(&path).map(Some)
        } else {
            Ok(None)
        }
    }

    /// Makes the next key the present one.
    ///
    /// # Errors
    /// [`Error::File`] naming the file.
    pub fn promote_next(&self, identity: &AgentIdentity) -> Result<()> {
        self.save(identity)?;
        self.discard_next(&identity.name)
    }

    /// Forgets the next key: the server refused it.
    ///
    /// # Errors
    /// [`Error::File`] when the file cannot be removed.
    pub fn discard_next(&self, name: &str) -> Result<()> {
        remove_file(&self.path_of_next(name))
    }
}

fn load_file(path: &Path) -> Result<AgentIdentity> {
    let text = aim_crypto::secret::SecretString::new(read_private(path)?);
    AgentIdentity::from_file_text(text.expose()).map_err(|reason| Error::File {
        path: path.to_owned(),
        reason,
    })
}

fn remove_file(path: &Path) -> Result<()> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(Error::File {
            path: path.to_owned(),
            reason: format!("the file cannot be removed: {error}"),
        }),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use aim_crypto::keys::SigningKey;
    use uuid::Uuid;

    use super::*;

    fn identity(name: &str, seed: u8) -> AgentIdentity {
        AgentIdentity::new(
            name,
            Uuid::from_u128(7),
            "http://127.0.0.1:8700",
            SigningKey::from_seed(&[seed; 32]),
        )
    }

    #[test]
    fn agents_are_saved_found_by_name_and_forgotten() {
        let home = tempfile::tempdir().unwrap();
        let folder = KeyFolder::at(home.path().join("agents"));
        assert!(folder.names().unwrap().is_empty());
        for name in ["reader", "Größe & co", "../../climber", ".hidden"] {
            folder.save(&identity(name, 1)).unwrap();
            assert_eq!(folder.load(name).unwrap().name, name);
        }
        assert_eq!(folder.names().unwrap().len(), 4);
        assert_eq!(
            fs::read_dir(home.path()).unwrap().count(),
            1,
            "a name climbed out of its folder"
        );
        folder.remove("reader").unwrap();
        assert!(folder.load("reader").is_err());
    }

    #[test]
    fn a_key_file_that_others_may_read_is_not_loaded() {
        let home = tempfile::tempdir().unwrap();
        let folder = KeyFolder::at(home.path());
        folder.save(&identity("reader", 1)).unwrap();
        fs::set_permissions(folder.path_of("reader"), fs::Permissions::from_mode(0o644)).unwrap();
        assert!(
            folder
                .load("reader")
                .unwrap_err()
                .to_string()
                .contains("chmod 600")
        );
    }

    #[test]
    fn the_next_key_waits_beside_the_present_one_until_it_is_promoted() {
        let home = tempfile::tempdir().unwrap();
        let folder = KeyFolder::at(home.path());
        let (present, next) = (identity("reader", 1), identity("reader", 2));
        folder.save(&present).unwrap();
        folder.save_next(&next).unwrap();
        assert_eq!(
            folder.load("reader").unwrap().fingerprint(),
            present.fingerprint()
        );
        assert_eq!(folder.names().unwrap(), ["reader"]);
        let waiting = folder.load_next("reader").unwrap().unwrap();
        folder.promote_next(&waiting).unwrap();
        assert_eq!(folder.load("reader").unwrap().fingerprint(), next.fingerprint());
        assert!(folder.load_next("reader").unwrap().is_none());
    }
}
