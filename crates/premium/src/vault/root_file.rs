//! The file that holds the root key: for its owner alone, made once, and exchanged so that at every moment one of two files
//! holds the key that the database names.

use std::{
    ffi::OsString,
    fs::{self, File, OpenOptions},
    io::{self, Read as _, Write as _},
    os::unix::fs::{OpenOptionsExt as _, PermissionsExt as _},
    path::{Path, PathBuf},
};

use aim_core::{Error, Result};
use base64::{Engine as _, engine::general_purpose::STANDARD};
use zeroize::Zeroizing;

use super::{
    envelope::Key,
    fail_point,
    root::{Root, sealed},
};

/// No key file is longer.
const LARGEST_FILE: u64 = 1024;

/// The key in the file, if it is the one that the database names. A key that was made to take its place, and that the
/// database names by now, takes it: whoever exchanged the root key was interrupted, or did it on another node.
pub(super) fn fitting(path: &Path, known: &str) -> Result<Root> {
    let found = read(path)?;
    if let Some(root) = found.as_ref().filter(|root| root.id == known) {
        return Ok(root.clone());
    }
    if let Some(next) = read(&next_to(path))?.filter(|next| next.id == known) {
        exchange(path, found.as_ref())?;
        return Ok(next);
    }
    // Whoever exchanges the files at this moment may have done so between the two looks.
    match read(path)? {
        None => Err(sealed(&format!(
            "the database's keys are wrapped by the root key {known}, and the key file is not there; put it back from where it is kept"
        ))),
        Some(root) if root.id != known => Err(sealed(&format!(
            "the key file holds the root key {}, and the database's keys are wrapped by {known}; put the right file there",
            root.id
        ))),
        Some(root) => Ok(root),
    }
}

/// A key beside the file, to take its place: one that is there already, on purpose or because somebody was interrupted, or a
/// new one. It is durable when this answers.
pub(super) fn prepare(path: &Path, present: &str) -> Result<Root> {
    let next = next_to(path);
    let root = match read(&next)? {
        Some(root) => root,
        None => make(&next)?,
    };
    if root.id == present {
        return Err(sealed(&format!(
            "{} holds the present root key; remove it, and a new one is made",
            next.display()
        )));
    }
    Ok(root)
}

/// Puts the prepared key in the place of the one that the file holds, which is kept under its id: older backups need it.
pub(super) fn exchange(path: &Path, present: Option<&Root>) -> Result<()> {
    let failed = |error: io::Error| unreadable(path, &error);
    if let Some(present) = present {
        let kept = beside(path, &present.id);
        match fs::hard_link(path, &kept) {
            Err(error) if error.kind() != io::ErrorKind::AlreadyExists => return Err(failed(error)),
            _ => {}
        }
        fail_point::reached("vault.rekey.old_file_kept");
    }
    match fs::rename(next_to(path), path) {
        // Somebody else did it at this moment.
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        other => other.map_err(failed)?,
    }
    sync_folder(path).map_err(failed)
}

fn next_to(path: &Path) -> PathBuf {
    beside(path, "new")
}

fn beside(path: &Path, ending: &str) -> PathBuf {
    let mut name = OsString::from(path.as_os_str());
    name.push(".");
    name.push(ending);
    PathBuf::from(name)
}

fn sync_folder(path: &Path) -> io::Result<()> {
    match path.parent() {
        Some(folder) => File::open(folder)?.sync_all(),
        None => Ok(()),
    }
}

/// The key in the file; nothing if there is no file.
pub(super) fn read(path: &Path) -> Result<Option<Root>> {
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
pub(super) fn make(path: &Path) -> Result<Root> {
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
        .and_then(|()| sync_folder(path));
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
    use aim_core::Code;

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

    #[test]
    fn an_exchange_that_was_interrupted_is_ended_by_whoever_reads_next() {
        let home = tempfile::tempdir().unwrap();
        let path = home.path().join("vault.key");
        let old = make(&path).unwrap();
        let new = prepare(&path, &old.id).unwrap();
        assert_eq!(
            prepare(&path, &old.id).unwrap().id,
            new.id,
            "a prepared key is used"
        );
        // Before the database names the new one, the old one is read, and nothing moves.
        assert_eq!(fitting(&path, &old.id).unwrap().id, old.id);
        assert_eq!(read(&path).unwrap().unwrap().id, old.id);
        assert_eq!(fitting(&path, &new.id).unwrap().id, new.id);
        assert_eq!(read(&path).unwrap().unwrap().id, new.id);
        let kept = beside(&path, &old.id);
        assert_eq!(read(&kept).unwrap().unwrap().id, old.id, "older backups need it");
        assert!(!next_to(&path).exists());
        assert_eq!(fitting(&path, &new.id).unwrap().id, new.id);
        assert_eq!(fitting(&path, &old.id).unwrap_err().code, Code::VaultSealed);
    }

    #[test]
    fn the_present_key_is_no_new_one() {
        let home = tempfile::tempdir().unwrap();
        let path = home.path().join("vault.key");
        let old = make(&path).unwrap();
        fs::copy(&path, next_to(&path)).unwrap();
        assert_eq!(prepare(&path, &old.id).unwrap_err().code, Code::VaultSealed);
    }
}
