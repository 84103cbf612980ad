//! Backups of a SQLite installation: one file that was checked before it is called a backup, and checked
//! again before it takes the place of a database.

use std::{
    fmt::Write as _,
    fs::{self, File, OpenOptions},
    io::{self, Read, Write},
    os::unix::fs::OpenOptionsExt,
    path::{Path, PathBuf},
};

use aim_audit::Report;
use aim_core::Timestamp;
use aim_store::backup as sqlite;
use ring::digest::{Context, SHA256};
use serde::Serialize;

/// Why a backup was not made, or not put back.
#[derive(Debug, thiserror::Error)]
pub enum BackupError {
    /// The database is no SQLite file.
    #[error("this installation is on PostgreSQL; use pg_dump and pg_restore (docs/OPERATIONS.md)")]
    Postgres,
    /// The file to be written is there already.
    #[error("{0} exists already; nothing was written")]
    Exists(String),
    /// There is a database where the backup is to go.
    #[error("{0} exists already; with --force it is moved aside, and the backup takes its place")]
    DatabaseExists(String),
    /// The database is open in another process.
    #[error("{0} is in use; stop the server first")]
    InUse(String),
    /// The file is not what it was when its checksum was written.
    #[error("{file} has the SHA-256 {found}, and {expected} was expected: it was altered or cut short")]
    Checksum {
        /// The file.
        file: String,
        /// Its SHA-256.
        found: String,
        /// The one noted down.
        expected: String,
    },
    /// The copy cannot be relied upon.
    #[error("{file} is not sound: {problem}")]
    Unsound {
        /// The file.
        file: String,
        /// What is wrong with it.
        problem: String,
    },
    /// The disk said no.
    #[error("{path}: {error}")]
    Disk {
        /// The file.
        path: String,
        /// What happened.
        error: io::Error,
    },
    /// The database said no.
    #[error(transparent)]
    Database(#[from] aim_store::Error),
}

/// A file that was checked.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Checked {
    /// The file.
    pub file: PathBuf,
    /// Its length in bytes.
    pub bytes: u64,
    /// Its SHA-256, in lower-case hex.
    pub sha256: String,
    /// How many records its audit log has.
    pub records: i64,
    /// The link of the last of them, in hex: for `aim audit verify --expect`.
    pub head: String,
}

/// A backup that was put in place.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Restored {
    /// The database as it is now.
    #[serde(flatten)]
    pub database: Checked,
    /// Where the database went that was there before.
    pub moved_aside: Option<PathBuf>,
}

fn shown(path: &Path) -> String {
    path.display().to_string()
}

fn disk(path: &Path) -> impl FnOnce(io::Error) -> BackupError + '_ {
    |error| BackupError::Disk {
        path: shown(path),
        error,
    }
}

/// Where the checksum of a backup stands: `FILE.sha256`, as `sha256sum --check` reads it.
#[must_use]
pub fn checksum_file(backup: &Path) -> PathBuf {
    let mut name = backup.as_os_str().to_owned();
    name.push(".sha256");
    PathBuf::from(name)
}

/// A file beside `path` that is not there yet.
fn beside(path: &Path, mark: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(format!(".{mark}"));
    PathBuf::from(name)
}

/// A file that goes away unless it is kept.
struct Draft(Option<PathBuf>);

impl Draft {
    fn path(&self) -> &Path {
        self.0.as_deref().unwrap_or(Path::new(""))
    }

    fn keep(mut self) {
        self.0 = None;
    }
}

impl Drop for Draft {
    fn drop(&mut self) {
        if let Some(path) = &self.0 {
            // It may not have been made; a leftover is told apart by its name.
            let _ = fs::remove_file(path);
            for suffix in ["-wal", "-shm", "-journal"] {
                let mut name = path.clone().into_os_string();
                name.push(suffix);
                let _ = fs::remove_file(name);
            }
        }
    }
}

/// Copies the database at `database`, which may be in use, to the new file `to`, checks the copy, and
/// writes its checksum beside it. Both files are their owner's alone.
///
/// # Errors
/// See [`BackupError`]; then there is no file `to`.
pub fn create(database: &Path, to: &Path, now: Timestamp) -> Result<Checked, BackupError> {
    let sums = checksum_file(to);
    for file in [to, &sums] {
        if fs::symlink_metadata(file).is_ok() {
            return Err(BackupError::Exists(shown(file)));
        }
    }
    let draft = Draft(Some(beside(to, &format!("{}.part", now.timestamp_micros()))));
    sqlite::copy(database, draft.path())?;
    let mut checked = check(draft.path())?;
    // Linking refuses a name that somebody took meanwhile; renaming would not.
    match fs::hard_link(draft.path(), to) {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
            return Err(BackupError::Exists(shown(to)));
        }
        Err(_) => {
            // A disk without links.
            fs::rename(draft.path(), to).map_err(disk(to))?;
            draft.keep();
        }
        Ok(()) => drop(draft),
    }
    let name = to.file_name().map(|name| name.to_string_lossy().into_owned());
    let line = format!("{}  {}\n", checked.sha256, name.unwrap_or_default());
    write_new(&sums, &line).map_err(disk(&sums))?;
    sqlite::sync(to)?;
    to.clone_into(&mut checked.file);
    Ok(checked)
}

fn write_new(path: &Path, text: &str) -> io::Result<()> {
    let mut file = OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(path)?;
    file.write_all(text.as_bytes())?;
    file.sync_all()
}

/// Checks that the file is a database of ours whose pages, rows and audit log are sound.
///
/// # Errors
/// [`BackupError::Unsound`], or the disk's.
pub fn check(file: &Path) -> Result<Checked, BackupError> {
    let unsound = |problem: String| BackupError::Unsound {
        file: shown(file),
        problem,
    };
    let (bytes, sha256) = sha256_of(file).map_err(disk(file))?;
    let mut db = sqlite::open(file).map_err(|error| unsound(error.to_string()))?;
    let damage = sqlite::damage(&mut db).map_err(|error| unsound(error.to_string()))?;
    if let Some(first) = damage.first() {
        return Err(unsound(format!("SQLite finds it damaged: {first}")));
    }
    let report: Report = aim_audit::verify(&mut db, None)
        .map_err(|error| unsound(format!("it is no database of AIM: {error}")))?;
    if let Some(finding) = report.findings.first() {
        return Err(unsound(format!(
            "its audit log is not intact: record {}: {}",
            finding.leaf_index, finding.problem
        )));
    }
    Ok(Checked {
        file: file.to_owned(),
        bytes,
        sha256,
        records: report.records,
        head: report.head,
    })
}

fn sha256_of(path: &Path) -> io::Result<(u64, String)> {
    let mut file = File::open(path)?;
    let mut context = Context::new(&SHA256);
    let mut buffer = vec![0_u8; 1 << 16];
    let mut length = 0_u64;
    loop {
        let count = file.read(&mut buffer)?;
        let Some(piece) = buffer.get(..count).filter(|piece| !piece.is_empty()) else {
            break;
        };
        context.update(piece);
        length += count as u64;
    }
    let mut text = String::with_capacity(64);
    for byte in context.finish().as_ref() {
        let _ = write!(text, "{byte:02x}");
    }
    Ok((length, text))
}

/// The checksum noted beside the backup, if there is one.
fn noted_checksum(backup: &Path) -> Result<Option<String>, BackupError> {
    let file = checksum_file(backup);
    match fs::read_to_string(&file) {
        Ok(text) => Ok(text.split_whitespace().next().map(str::to_ascii_lowercase)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(disk(&file)(error)),
    }
}

/// Puts the backup `from` in the place of `database`, after it was checked: its checksum, if one is beside
/// it, its pages and rows, and its audit log. A database that is there stays, unless `force` moves it aside.
///
/// # Errors
/// See [`BackupError`]; then the database is as it was.
pub fn restore(from: &Path, database: &Path, force: bool, now: Timestamp) -> Result<Restored, BackupError> {
    let exists = fs::symlink_metadata(database).is_ok();
    if exists && !force {
        return Err(BackupError::DatabaseExists(shown(database)));
    }
    let (_, found) = sha256_of(from).map_err(disk(from))?;
    if let Some(expected) = noted_checksum(from)?
        && expected != found
    {
        return Err(BackupError::Checksum {
            file: shown(from),
            found,
            expected,
        });
    }
    // The copy is checked, not the file that it is made from: that one may be on a poor medium.
    let mark = now.timestamp_micros();
    let draft = Draft(Some(beside(database, &format!("{mark}.part"))));
    copy_private(from, draft.path()).map_err(disk(draft.path()))?;
    let mut checked = check(draft.path())?;
    let mut moved_aside = None;
    // Held until the backup is in place, so that no server can start on the one that is moved aside.
    let mut taken = None;
    if exists {
        let exclusive = sqlite::take(database)?.ok_or_else(|| BackupError::InUse(shown(database)))?;
        let aside = beside(database, &format!("before-{mark}"));
        exclusive.move_to(&aside)?;
        taken = Some(exclusive);
        moved_aside = Some(aside);
    }
    fs::rename(draft.path(), database).map_err(disk(database))?;
    draft.keep();
    sqlite::sync(database)?;
    drop(taken);
    database.clone_into(&mut checked.file);
    Ok(Restored {
        database: checked,
        moved_aside,
    })
}

fn copy_private(from: &Path, to: &Path) -> io::Result<()> {
    let mut source = File::open(from)?;
    let mut target = OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(to)?;
    io::copy(&mut source, &mut target)?;
    target.sync_all()
}
