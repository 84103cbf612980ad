//! An installation on this machine: its data folder and its database.

use std::{fs, io, os::unix::fs::DirBuilderExt, path::Path, sync::Arc};

use aim_core::{Clock, SystemClock, id::uuid_at};
use aim_crypto::token::TokenPepper;
use aim_platform::Kernel;
use aim_store::Store;

use crate::{
    composition,
    configuration::{ConfigurationError, Settings},
};

/// Why an installation cannot be opened.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// A setting is refused.
    #[error(transparent)]
    Configuration(#[from] ConfigurationError),
    /// The data folder cannot be made.
    #[error("the data folder {folder} cannot be made: {error}")]
    Folder {
        /// The folder.
        folder: String,
        /// What happened.
        error: io::Error,
    },
    /// The database cannot be opened or brought up to date.
    #[error("the database cannot be opened: {0}")]
    Database(String),
    /// There is no database to look at.
    #[error("{0} does not exist; name the data folder with --data, or the database with --database-url")]
    Missing(String),
}

/// Makes the data folder, for its owner alone, unless it is there.
///
/// # Errors
/// [`OpenError::Folder`].
pub fn make_data_folder(folder: &Path) -> Result<(), OpenError> {
    let made = fs::DirBuilder::new().recursive(true).mode(0o700).create(folder);
    made.map_err(|error| OpenError::Folder {
        folder: folder.display().to_string(),
        error,
    })
}

/// Opens the database, brings it up to date and gives the capabilities what they stand on.
///
/// # Errors
/// See [`OpenError`].
pub async fn open(settings: &Settings, data: &Path) -> Result<Kernel, OpenError> {
    let configured = settings.token_key()?;
    make_data_folder(data)?;
    let store = Store::connect(&settings.database(data), composition::migrations())
        .await
        .map_err(|error| OpenError::Database(error.to_string()))?;
    let clock = SystemClock;
    let pepper = aim_identity::pepper::load_or_create(&store, clock.now(), configured.map(|key| *key))
        .await
        .map_err(|error| OpenError::Database(format!("{error:?}")))?;
    let mail = settings.mail()?;
    let mut kernel = kernel(store, settings, pepper);
    let config = Arc::make_mut(&mut kernel.config);
    config.mail = mail.map(Arc::new);
    config.vault_key_file = settings.vault_key_file(data);
    Ok(kernel)
}

/// Opens the database as it is, to look at it: nothing is made and nothing is migrated.
///
/// # Errors
/// See [`OpenError`].
pub async fn inspect(settings: &Settings, data: &Path) -> Result<Store, OpenError> {
    let database = settings.database(data);
    if let Some(path) = database.url.strip_prefix("sqlite:")
        && !Path::new(path).is_file()
    {
        return Err(OpenError::Missing(path.to_owned()));
    }
    Store::connect(&database, Vec::new())
        .await
        .map_err(|error| OpenError::Database(error.to_string()))
}

/// What the capabilities stand on, with a name for this node that is new at each start.
#[must_use]
pub fn kernel(store: Store, settings: &Settings, pepper: TokenPepper) -> Kernel {
    let clock = SystemClock;
    let node = Arc::from(uuid_at(clock.now()).to_string());
    Kernel {
        store,
        clock: Arc::new(clock),
        config: Arc::new(settings.platform()),
        pepper: Arc::new(pepper),
        node,
        stopping: aim_platform::Stopping::default(),
        refusals: aim_platform::Refusals::default(),
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn the_data_folder_belongs_to_its_owner_alone() {
        let home = tempfile::tempdir().unwrap();
        let folder = home.path().join("data");
        make_data_folder(&folder).unwrap();
        assert_eq!(fs::metadata(&folder).unwrap().permissions().mode() & 0o777, 0o700);
        make_data_folder(&folder).unwrap();
    }

    #[actix_web::test]
    async fn looking_at_an_installation_that_is_not_there_makes_none() {
        let home = tempfile::tempdir().unwrap();
        let error = inspect(&Settings::default(), home.path()).await.err().unwrap();
        assert!(matches!(error, OpenError::Missing(_)), "{error}");
        assert_eq!(fs::read_dir(home.path()).unwrap().count(), 0);
    }
}
