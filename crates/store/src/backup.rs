//! Copies of a SQLite database: taken while it is in use, and put back where nobody uses it.
//! PostgreSQL has tools of its own for this.

use std::{
    fs::{self, File, OpenOptions},
    io,
    os::unix::fs::OpenOptionsExt,
    path::{Path, PathBuf},
};

use diesel::{
    RunQueryDsl,
    sql_types::{BigInt, Text},
};

use crate::{Db, Error, Result, each};

#[derive(diesel::QueryableByName)]
struct Line {
    #[diesel(sql_type = Text)]
    line: String,
}

#[derive(diesel::QueryableByName)]
struct Number {
    #[diesel(sql_type = BigInt)]
    number: i64,
}

fn failed(path: &Path, error: &io::Error) -> Error {
    Error::Connection(format!("{}: {error}", path.display()))
}

fn text(path: &Path) -> Result<&str> {
    path.to_str().ok_or_else(|| {
        Error::Connection(format!(
            "{} is no path that SQLite can take: it is not UTF-8",
            path.display()
        ))
    })
}

/// Makes an empty file that only its owner may read; `false` if there is one already.
pub(crate) fn make_private(path: &Path) -> Result<bool> {
    match OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(path)
    {
        Ok(_) => Ok(true),
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(false),
        Err(error) => Err(failed(path, &error)),
    }
}

/// Copies the database at `from`, which others may be writing to, into the new file `to`: all that was
/// committed at one moment, compacted, readable by its owner alone, and on the disk when this answers.
///
/// # Errors
/// When `from` is not there, `to` is, or the disk or SQLite says no.
pub fn copy(from: &Path, to: &Path) -> Result<()> {
    if !from.is_file() {
        return Err(failed(from, &io::Error::from(io::ErrorKind::NotFound)));
    }
    if !make_private(to)? {
        return Err(failed(to, &io::Error::from(io::ErrorKind::AlreadyExists)));
    }
    let mut db = Db::open_sqlite(text(from)?, "PRAGMA busy_timeout = 10000;")?;
    // One read transaction: writers go on, and what they commit meanwhile is not in the copy.
    each!(&mut db, c => diesel::sql_query("VACUUM INTO ?").bind::<Text, _>(text(to)?).execute(c))?;
    sync(to)
}

/// Makes sure that the file and its name survive a power failure.
///
/// # Errors
/// The disk's.
pub fn sync(path: &Path) -> Result<()> {
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty());
    File::open(path)
        .and_then(|file| file.sync_all())
        .and_then(|()| File::open(folder.unwrap_or(Path::new("."))))
        .and_then(|folder| folder.sync_all())
        .map_err(|error| failed(path, &error))
}

/// Opens the database at `path` to look at it; nothing is migrated, and nothing can be changed through it.
///
/// # Errors
/// When it is not there, or is no database.
pub fn open(path: &Path) -> Result<Db> {
    if !path.is_file() {
        return Err(failed(path, &io::Error::from(io::ErrorKind::NotFound)));
    }
    Db::open_sqlite(
        text(path)?,
        "PRAGMA busy_timeout = 10000; PRAGMA query_only = ON; PRAGMA cache_size = -16000;",
    )
}

/// What SQLite itself finds wrong with the pages and rows of the database.
///
/// # Errors
/// The database's, if it cannot even be read that far.
pub fn damage(db: &mut Db) -> Result<Vec<String>> {
    let lines: Vec<Line> = each!(db, c => diesel::sql_query("SELECT integrity_check AS line FROM pragma_integrity_check").load(c))?;
    Ok(lines
        .into_iter()
        .map(|line| line.line)
        .filter(|line| line != "ok")
        .collect())
}

/// A database that nobody else has open, for as long as this lives.
pub struct Exclusive {
    path: PathBuf,
    _db: Db,
}

/// Takes the database at `path` for oneself and folds its log into it; none if somebody has it open.
///
/// # Errors
/// When it is not there, or cannot be read.
pub fn take(path: &Path) -> Result<Option<Exclusive>> {
    let mut db = match open_exclusively(path) {
        Ok(db) => db,
        Err(error) if is_busy(&error) => return Ok(None),
        Err(error) => return Err(error),
    };
    let counted: Result<Number> =
        each!(&mut db, c => diesel::sql_query("SELECT COUNT(*) AS number FROM sqlite_master").get_result(c))
            .map_err(Error::from);
    // Out of the log, so that nothing of it can be applied to the file that comes next.
    let folded = counted.and_then(|rows| {
        tracing::debug!(tables = rows.number, "the database is taken");
        db.execute("PRAGMA journal_mode = DELETE; BEGIN EXCLUSIVE; COMMIT;")
    });
    match folded {
        Ok(()) => Ok(Some(Exclusive {
            path: path.to_owned(),
            _db: db,
        })),
        Err(error) if is_busy(&error) => Ok(None),
        Err(error) => Err(error),
    }
}

fn open_exclusively(path: &Path) -> Result<Db> {
    if !path.is_file() {
        return Err(failed(path, &io::Error::from(io::ErrorKind::NotFound)));
    }
    // Set before the first access, SQLite asks for the lock that every other connection shares.
    Db::open_sqlite(text(path)?, "PRAGMA locking_mode = EXCLUSIVE;")
}

fn is_busy(error: &Error) -> bool {
    error.to_string().contains("locked")
}

impl Exclusive {
    /// Moves the database away to `to`, on the same disk.
    ///
    /// # Errors
    /// The disk's.
    pub fn move_to(&self, to: &Path) -> Result<()> {
        for suffix in ["-wal", "-shm", "-journal"] {
            let mut name = self.path.clone().into_os_string();
            name.push(suffix);
            match fs::remove_file(&name) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => {
                    return Err(failed(Path::new(&name), &error));
                }
                _ => {}
            }
        }
        fs::rename(&self.path, to).map_err(|error| failed(&self.path, &error))
    }
}
