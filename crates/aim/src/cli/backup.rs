//! `aim backup` and `aim restore`: the database of a SQLite installation as one checked file, and back.

use std::{path::PathBuf, process::ExitCode};

use aim_core::{Clock, SystemClock};
use clap::Args;

use super::{Outcome, StorageArguments};
use crate::{
    backup::{self, BackupError},
    installation, terminal,
};

#[derive(Debug, Args)]
pub(crate) struct BackupArguments {
    #[command(flatten)]
    storage: StorageArguments,
    /// The file to write. It must not be there; its checksum goes beside it, as FILE.sha256.
    #[arg(long, value_name = "FILE")]
    to: PathBuf,
}

#[derive(Debug, Args)]
pub(crate) struct RestoreArguments {
    #[command(flatten)]
    storage: StorageArguments,
    /// The backup.
    #[arg(long, value_name = "FILE")]
    from: PathBuf,
    /// Move a database that is there aside.
    #[arg(long)]
    force: bool,
}

impl StorageArguments {
    fn sqlite_file(&self) -> Result<PathBuf, super::Failure> {
        let url = self.settings()?.database(&self.data).url;
        let path = url.strip_prefix("sqlite:").map(PathBuf::from);
        Ok(path.ok_or(BackupError::Postgres)?)
    }
}

impl BackupArguments {
    pub(crate) fn run(self, json: bool) -> Outcome {
        let database = self.storage.sqlite_file()?;
        let made = backup::create(&database, &self.to, SystemClock.now())?;
        if json {
            terminal::json(&made);
        } else {
            terminal::line(format!(
                "backed up to {}: {} bytes, {} records, audit log intact\nsha256 {}\nhead   {}:{}",
                made.file.display(),
                made.bytes,
                made.records,
                made.sha256,
                made.records,
                made.head
            ));
        }
        Ok(ExitCode::SUCCESS)
    }
}

impl RestoreArguments {
    pub(crate) fn run(self, json: bool) -> Outcome {
        let database = self.storage.sqlite_file()?;
        if let Some(folder) = database.parent().filter(|folder| !folder.as_os_str().is_empty()) {
            installation::make_data_folder(folder)?;
        }
        let restored = backup::restore(&self.from, &database, self.force, SystemClock.now())?;
        if json {
            terminal::json(&restored);
        } else {
            let made = &restored.database;
            terminal::line(format!(
                "restored {}: {} records, audit log intact, head {}:{}",
                made.file.display(),
                made.records,
                made.records,
                made.head
            ));
            if let Some(aside) = &restored.moved_aside {
                terminal::line(format!("the database that was there is {}", aside.display()));
            }
            terminal::line(
                "Signatures used since the backup are not in it: wait a minute before agents are let in.",
            );
        }
        Ok(ExitCode::SUCCESS)
    }
}
