//! The files of a run: each 0600 in a folder of this run alone, in memory where the system has a place for
//! that, and gone when the run ends. A path that the child expects is a link into the folder.
//!
//! Each folder holds a lock that its run keeps. A run that was killed leaves folder and links behind; the
//! next run of the same user finds the lock free and removes the folder. The links lead nowhere then; a run that
//! writes at such a path replaces them.

use std::{
    env, fs,
    io::{self, Write},
    os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt, symlink},
    path::{Path, PathBuf},
};

use aim_crypto::digest::random_bytes;

/// How each folder of a run is called.
const PREFIX: &str = "aim-run-";
const LOCK: &str = ".lock";
/// What a lock file holds: a folder without it is not ours to remove.
const EDITION_MARKER: &str = "AIM-PREMIUM-RUN-MARKER-2c81";

/// The files of one run. Dropping it removes them.
#[derive(Debug)]
pub struct PrivateFiles {
    folder: PathBuf,
    /// Held until the folder is gone.
    _lock: fs::File,
    links: Vec<PathBuf>,
    count: usize,
}

impl PrivateFiles {
    /// Makes the folder in the first place of [`places`] that takes it.
    ///
    /// # Errors
    /// When no place takes it.
    pub fn new() -> Result<Self, String> {
        let mut failure = "there is no place for files".to_owned();
        for place in places() {
            match Self::within(&place) {
                Ok(files) => return Ok(files),
                Err(error) => failure = format!("no folder can be made in {}: {error}", place.display()),
            }
        }
        Err(failure)
    }

    fn within(place: &Path) -> io::Result<Self> {
        let random = random_bytes::<8>().map_err(io::Error::other)?;
        let suffix: String = random.iter().map(|byte| format!("{byte:02x}")).collect();
        let folder = place.join(format!("{PREFIX}{suffix}"));
        // It fails when something is there already, a link of somebody else's included.
        fs::DirBuilder::new().mode(0o700).create(&folder)?;
        let locked: io::Result<fs::File> = (|| {
            let mut lock = create(&folder.join(LOCK))?;
            // Marked once it is locked: an unlocked folder with the mark is abandoned.
            lock.try_lock()?;
            lock.write_all(EDITION_MARKER.as_bytes())?;
            Ok(lock)
        })();
        match locked {
            Ok(lock) => Ok(Self {
                folder,
                _lock: lock,
                links: Vec::new(),
                count: 0,
            }),
            Err(error) => {
                let _ = fs::remove_dir_all(&folder);
                Err(error)
            }
        }
    }

    /// Whether the folder lies in memory and not on a disk.
    #[must_use]
    pub fn in_memory(&self) -> bool {
        is_memory(&self.folder)
    }

    /// Writes a file and answers its path.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn write(&mut self, content: &[u8]) -> Result<PathBuf, String> {
        self.count += 1;
        let path = self.folder.join(self.count.to_string());
        create(&path)
            .and_then(|mut file| file.write_all(content))
            .map_err(|error| format!("{}: {error}", path.display()))?;
        Ok(path)
    }

    /// Replaces the file that was written as the `number`th, counted from 1: whoever opens it finds the one or the other, and
    /// nothing between.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn replace(&mut self, number: usize, content: &[u8]) -> Result<(), String> {
        let path = self.folder.join(number.to_string());
        let new = self.folder.join(format!("{number}.new"));
        let _ = fs::remove_file(&new);
        create(&new)
            .and_then(|mut file| file.write_all(content))
            .and_then(|()| fs::rename(&new, &path))
            .map_err(|error| format!("{}: {error}", path.display()))
    }

    /// Writes a file that the child finds at `path`. Nothing that is there is replaced, but the link of a
    /// run that was killed.
    ///
    /// # Errors
    /// When something is there, or its folder is not.
    pub fn write_at(&mut self, path: &Path, content: &[u8]) -> Result<(), String> {
        let failed = |reason: &str| format!("{}: {reason}", path.display());
        let target = self.write(content)?;
        if is_left_over(path) {
            fs::remove_file(path).map_err(|error| failed(&error.to_string()))?;
        }
        symlink(target, path).map_err(|error| match error.kind() {
            io::ErrorKind::AlreadyExists => failed("something is there already; it is not replaced"),
            io::ErrorKind::NotFound => failed("its folder is not there; make it first"),
            _ => failed(&error.to_string()),
        })?;
        self.links.push(path.to_owned());
        Ok(())
    }
}

impl Drop for PrivateFiles {
    fn drop(&mut self) {
        for link in &self.links {
            // Only what is still ours: the child may have put something of its own there.
            if fs::read_link(link).is_ok_and(|target| target.starts_with(&self.folder)) {
                let _ = fs::remove_file(link);
            }
        }
        let _ = fs::remove_dir_all(&self.folder);
    }
}

/// Removes what this user's runs that were killed left, wherever a run may lay it.
pub fn remove_left_over() {
    for place in places() {
        sweep(&place);
    }
}

fn create(path: &Path) -> io::Result<fs::File> {
    fs::OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(path)
}

/// Where a run's folder may lie, the best first.
fn places() -> Vec<PathBuf> {
    let of_user = env::var_os("XDG_RUNTIME_DIR").map(PathBuf::from);
    let in_memory = of_user.into_iter().chain([PathBuf::from("/dev/shm")]);
    in_memory
        .filter(|place| place.is_absolute() && is_memory(place))
        .chain([env::temp_dir()])
        .collect()
}

#[cfg(target_os = "linux")]
fn is_memory(path: &Path) -> bool {
    const TMPFS: u64 = 0x0102_1994;
    rustix::fs::statfs(path).is_ok_and(|facts| u64::try_from(facts.f_type) == Ok(TMPFS))
}

#[cfg(not(target_os = "linux"))]
fn is_memory(_: &Path) -> bool {
    false
}

/// Whether this is the link of a run whose folder is gone.
fn is_left_over(path: &Path) -> bool {
    let ours = |target: &PathBuf| {
        let folder = target.parent().and_then(Path::file_name);
        folder.is_some_and(|name| name.to_string_lossy().starts_with(PREFIX))
    };
    fs::read_link(path).is_ok_and(|target| ours(&target) && !target.exists())
}

/// Removes the folders of this user's runs that were killed. Never fails: it is no part of this run's work.
fn sweep(place: &Path) {
    let me = rustix::process::geteuid().as_raw();
    for entry in fs::read_dir(place).into_iter().flatten().flatten() {
        let folder = entry.path();
        let named = entry.file_name().to_string_lossy().starts_with(PREFIX);
        let mine = named
            && entry
                .metadata()
                .is_ok_and(|facts| facts.is_dir() && facts.uid() == me);
        if mine && is_abandoned(&folder.join(LOCK)) {
            let _ = fs::remove_dir_all(&folder);
        }
    }
}

/// A lock that its run does not hold any more. One that is only being made is no such: it has no mark yet.
fn is_abandoned(lock: &Path) -> bool {
    let ours = fs::read(lock).is_ok_and(|text| text == EDITION_MARKER.as_bytes());
    ours && fs::File::open(lock).is_ok_and(|file| file.try_lock().is_ok())
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    fn folders(place: &Path) -> usize {
        let entries = fs::read_dir(place).unwrap().flatten();
        entries
            .filter(|entry| entry.file_name().to_string_lossy().starts_with(PREFIX))
            .count()
    }

    #[test]
    fn files_belong_to_the_owner_alone_and_go_with_the_run() {
        let place = tempfile::tempdir().unwrap();
        let wanted = place.path().join("key.pem");
        let mut files = PrivateFiles::within(place.path()).unwrap();
        files.write_at(&wanted, b"first").unwrap();
        let other = files.write(b"second").unwrap();
        assert_eq!(fs::read(&wanted).unwrap(), b"first");
        assert_eq!(fs::read(&other).unwrap(), b"second");
        files.replace(1, b"first anew").unwrap();
        assert_eq!(fs::read(&wanted).unwrap(), b"first anew");
        let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
        assert_eq!((mode(&wanted), mode(&other)), (0o600, 0o600));
        assert_eq!(mode(other.parent().unwrap()), 0o700);
        drop(files);
        assert!(fs::symlink_metadata(&wanted).is_err());
        assert_eq!(folders(place.path()), 0);
    }

    #[test]
    fn nothing_that_is_there_is_replaced_or_removed() {
        let place = tempfile::tempdir().unwrap();
        let taken = place.path().join("taken");
        fs::write(&taken, "precious").unwrap();
        let mut files = PrivateFiles::within(place.path()).unwrap();
        let refusal = files.write_at(&taken, b"x").unwrap_err();
        assert!(
            refusal.contains("taken") && refusal.contains("already"),
            "{refusal}"
        );
        let refusal = files.write_at(&place.path().join("no/folder"), b"x").unwrap_err();
        assert!(refusal.contains("folder is not there"), "{refusal}");
        // The child puts a file of its own in the link's place.
        let link = place.path().join("link");
        files.write_at(&link, b"x").unwrap();
        fs::remove_file(&link).unwrap();
        fs::write(&link, "the child's").unwrap();
        drop(files);
        assert_eq!(fs::read_to_string(&taken).unwrap(), "precious");
        assert_eq!(fs::read_to_string(&link).unwrap(), "the child's");
    }

    #[test]
    fn what_a_killed_run_left_is_removed_and_a_living_runs_is_not() {
        let place = tempfile::tempdir().unwrap();
        let link = place.path().join("key.pem");
        let living = PrivateFiles::within(place.path()).unwrap();
        // What SIGKILL leaves: the files, and a lock that nobody holds.
        let killed = place.path().join(format!("{PREFIX}killed"));
        fs::create_dir(&killed).unwrap();
        fs::write(killed.join(LOCK), EDITION_MARKER).unwrap();
        fs::write(killed.join("1"), "x").unwrap();
        symlink(killed.join("1"), &link).unwrap();
        // One that is being made at this moment has no mark yet.
        let stranger = place.path().join(format!("{PREFIX}of-somebody"));
        fs::create_dir(&stranger).unwrap();
        fs::write(stranger.join(LOCK), "").unwrap();

        sweep(place.path());
        assert!(living.folder.exists() && stranger.exists() && !killed.exists());
        let mut next = PrivateFiles::within(place.path()).unwrap();
        next.write_at(&link, b"new").unwrap();
        assert_eq!(fs::read(&link).unwrap(), b"new");
    }

    #[test]
    fn the_folder_is_in_memory_where_the_system_has_a_place_for_that() {
        let files = PrivateFiles::new().unwrap();
        assert_eq!(files.in_memory(), is_memory(files.folder.parent().unwrap()));
        if is_memory(Path::new("/dev/shm")) {
            assert!(files.in_memory());
        }
    }
}
