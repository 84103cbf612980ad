//! Migrations: embedded, one folder per database, safe when several nodes start at once.

use diesel::migration::{Migration, MigrationSource};
use diesel_migrations::{EmbeddedMigrations, MigrationHarness, embed_migrations};

use crate::{Db, Error, Result, each};

/// The migrations of one edition, for either database.
#[derive(Clone, Copy)]
pub struct MigrationSet {
    /// For SQLite.
    pub sqlite: EmbeddedMigrationsRef,
    /// For PostgreSQL.
    pub postgres: EmbeddedMigrationsRef,
}

/// Migrations that live as long as the program.
pub type EmbeddedMigrationsRef = &'static EmbeddedMigrations;

static SQLITE: EmbeddedMigrations = embed_migrations!("../../migrations/community/sqlite");
static POSTGRES: EmbeddedMigrations = embed_migrations!("../../migrations/community/postgres");

/// The community edition's tables.
pub const COMMUNITY_MIGRATIONS: MigrationSet = MigrationSet {
    sqlite: &SQLITE,
    postgres: &POSTGRES,
};

/// How often a node tries again when another one migrates at the same moment.
const ATTEMPTS: usize = 40;

/// Brings the database up to date with `sets`. Rows of sets that this edition lacks stay untouched.
pub(crate) fn migrate(db: &mut Db, sets: &[MigrationSet]) -> Result<usize> {
    let mut applied = 0;
    for attempt in 1.. {
        match try_migrate(db, sets) {
            Ok(count) => return Ok(applied + count),
            Err(error) if attempt < ATTEMPTS && may_pass(&error) => {
                // Another node won the race for this migration: look again at what is left.
                tracing::debug!(%error, attempt, "a migration is run by another node; looking again");
                applied = 0;
                pause(attempt);
            }
            Err(error) => return Err(error),
        }
    }
    Ok(applied)
}

/// What no other node's migration can be the cause of, in the words of both databases.
const LASTING: &[&str] = &[
    "permission denied",
    "must be owner",
    "syntax error",
    "readonly database",
    "read-only transaction",
    "disk is full",
    "could not extend file",
    "not a database",
    "malformed",
];

/// Whether the failure may be another node's doing, so that it is worth looking again.
fn may_pass(error: &Error) -> bool {
    let text = error.to_string();
    !LASTING.iter().any(|sign| text.contains(sign))
}

#[expect(
    clippy::disallowed_methods,
    reason = "backing off from another process; there is nothing to wait on"
)]
fn pause(attempt: usize) {
    std::thread::sleep(std::time::Duration::from_millis(
        20 * u64::try_from(attempt).unwrap_or(1),
    ));
}

fn try_migrate(db: &mut Db, sets: &[MigrationSet]) -> Result<usize> {
    let mut count = 0;
    for set in sets {
        let lost = |error: Box<dyn std::error::Error + Send + Sync>| {
            Error::Connection(format!("migration: {error}"))
        };
        if db.is_postgres() {
            // An accelerator where it exists; correctness rests on trying again.
            let _ = db.execute("SELECT pg_advisory_lock(4704212026)");
        }
        let source = if db.is_postgres() {
            set.postgres
        } else {
            set.sqlite
        };
        let result = each!(db, c => {
            c.applied_migrations().map_err(lost).and_then(|applied| {
                let pending = MigrationSource::<_>::migrations(source).map_err(lost)?;
                let mut pending: Vec<Box<dyn Migration<_>>> = pending
                    .into_iter()
                    .filter(|migration| !applied.contains(&migration.name().version().as_owned()))
                    .collect();
                pending.sort_by(|a, b| a.name().version().cmp(&b.name().version()));
                for migration in &pending {
                    c.run_migration(migration).map_err(lost)?;
                }
                Ok(pending.len())
            })
        });
        if db.is_postgres() {
            let _ = db.execute("SELECT pg_advisory_unlock(4704212026)");
        }
        count += result?;
    }
    Ok(count)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_another_node_may_have_caused_is_tried_again() {
        let failure = |text: &str| Error::Connection(format!("migration: Failed to run 9_x with: {text}"));
        for text in [
            "relation \"users\" already exists",
            "duplicate key value violates unique constraint \"pg_type_typname_nsp_index\"",
            "database is locked",
            "canceling statement due to lock timeout",
        ] {
            assert!(may_pass(&failure(text)), "{text}");
        }
        for text in [
            "permission denied for schema public",
            "must be owner of table users",
            "attempt to write a readonly database",
            "database or disk is full",
        ] {
            assert!(!may_pass(&failure(text)), "{text}");
        }
    }
}
