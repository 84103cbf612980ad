//! Files that only their owner may read: agents' keys and saved sign-ins. Unix permissions are set
//! when a file is made, not afterwards, and checked whenever it is read.

use std::{
    env, fs,
    io::{self, Read, Write},
    os::unix::fs::{DirBuilderExt, OpenOptionsExt, PermissionsExt},
    path::{Path, PathBuf},
};

use aim_crypto::digest::random_bytes;

use crate::error::{Error, Result};

/// Group and others: none of these bits may be set.
const OTHERS: u32 = 0o077;
/// A key file is small; whatever is larger is none.
const LARGEST: u64 = 1024 * 1024;

fn failed(path: &Path, what: &str, error: &io::Error) -> Error {
    Error::File {
        path: path.to_owned(),
        reason: format!("{what}: {error}"),
    }
}

/// The folder of this user's AIM files: `$XDG_CONFIG_HOME/aim`, else `~/.config/aim`.
///
/// # Errors
/// When neither variable is set.
pub fn standard_folder() -> Result<PathBuf> {
    let set = |name: &str| {
        env::var_os(name)
            .filter(|value| !value.is_empty())
            .map(PathBuf::from)
    };
    set("XDG_CONFIG_HOME")
        .filter(|folder| folder.is_absolute())
        .or_else(|| set("HOME").map(|home| home.join(".config")))
        .map(|base| base.join("aim"))
        .ok_or_else(|| Error::File {
            path: PathBuf::from("~/.config/aim"),
            reason: "neither XDG_CONFIG_HOME nor HOME is set; set one of them".to_owned(),
        })
}

/// Writes `text` to `path` so that only the owner may read it (0600, its folder 0700 when it is made
/// here). Whoever reads meanwhile sees the old file or the new one, never a part; when this answers,
/// the file survives a power failure.
///
/// # Errors
/// [`Error::File`] naming the file.
pub fn write_private(path: &Path, text: &str) -> Result<()> {
    let folder = path
        .parent()
        .filter(|folder| !folder.as_os_str().is_empty())
        .unwrap_or(Path::new("."));
    fs::DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(folder)
        .map_err(|error| failed(folder, "the folder cannot be made", &error))?;
    let suffix = random_bytes::<8>()?
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect::<String>();
    let name = path
        .file_name()
        .map(|name| name.to_string_lossy().into_owned())
        .unwrap_or_default();
    let draft = folder.join(format!(".{name}.{suffix}"));
    let written = (|| {
        let mut file = fs::OpenOptions::new()
            .write(true)
            .create_new(true)
            .mode(0o600)
            .open(&draft)?;
        file.write_all(text.as_bytes())?;
        file.sync_all()?;
        fs::rename(&draft, path)?;
        fs::File::open(folder)?.sync_all()
    })();
    written.map_err(|error| {
        // A draft that is left over would hold a secret.
        let _ = fs::remove_file(&draft);
        failed(path, "the file cannot be written", &error)
    })
}

/// Reads a file that only its owner may read.
///
/// # Errors
/// [`Error::File`] when it is not there, is no plain file, or its group or others may read or write it.
pub fn read_private(path: &Path) -> Result<String> {
    let mut file = fs::File::open(path).map_err(|error| failed(path, "the file cannot be read", &error))?;
    // The permissions are those of the file that is open, whatever the path names by now.
    let facts = file
        .metadata()
        .map_err(|error| failed(path, "the file cannot be read", &error))?;
    let refuse = |reason: String| {
        Err(Error::File {
            path: path.to_owned(),
            reason,
        })
    };
    if !facts.is_file() {
        return refuse("this is not a plain file".to_owned());
    }
    let mode = facts.permissions().mode() & 0o777;
    if mode & OTHERS != 0 {
        return refuse(format!(
            "others than its owner may use this file (mode {mode:04o}); run `chmod 600 {}`, and replace the secret if others may have seen it",
            path.display()
        ));
    }
    if facts.len() > LARGEST {
        return refuse("this file is too large to be one of ours".to_owned());
    }
    let mut text = String::new();
    file.read_to_string(&mut text)
        .map_err(|error| failed(path, "the file cannot be read", &error))?;
    Ok(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_private_file_and_its_folder_belong_to_the_owner_alone() {
        let home = tempfile::tempdir().unwrap();
        let path = home.path().join("deep/er/secret.json");
        write_private(&path, "first").unwrap();
        write_private(&path, "second").unwrap();
        assert_eq!(read_private(&path).unwrap(), "second");
        let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
        assert_eq!((mode(&path), mode(path.parent().unwrap())), (0o600, 0o700));
        assert_eq!(
            fs::read_dir(path.parent().unwrap()).unwrap().count(),
            1,
            "a draft was left over"
        );
    }

    #[test]
    fn a_file_that_group_or_others_may_read_is_refused_with_the_remedy() {
        let home = tempfile::tempdir().unwrap();
        let path = home.path().join("secret.json");
        write_private(&path, "text").unwrap();
        for mode in [0o640, 0o604, 0o620, 0o601] {
            fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
            let refusal = read_private(&path).unwrap_err().to_string();
            assert!(
                refusal.contains("chmod 600") && refusal.contains("secret.json"),
                "{refusal}"
            );
        }
        fs::set_permissions(&path, fs::Permissions::from_mode(0o400)).unwrap();
        assert_eq!(read_private(&path).unwrap(), "text");
    }

    #[test]
    fn a_file_that_is_not_there_is_named() {
        let missing = Path::new("/nowhere/at/all.json");
        assert!(
            read_private(missing)
                .unwrap_err()
                .to_string()
                .starts_with("/nowhere/at/all.json")
        );
    }
}
