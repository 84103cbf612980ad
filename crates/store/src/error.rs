//! What goes wrong between us and a database, and how the caller sees it.

use diesel::result::{DatabaseErrorKind, Error as DieselError};

/// The result of a query.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// A refusal by a service inside a transaction, or a failure of the database.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A rule said no; the transaction is rolled back and the caller is told.
    #[error(transparent)]
    Refused(#[from] aim_core::Error),
    /// The database said no.
    #[error(transparent)]
    Database(#[from] DieselError),
    /// No connection, or the connection broke.
    #[error("database connection: {0}")]
    Connection(String),
    /// Stored data cannot be read back: a bug or tampering.
    #[error("stored data: {0}")]
    Corrupt(String),
}

impl Error {
    /// A row broke a unique key.
    #[must_use]
    pub fn is_unique_violation(&self) -> bool {
        matches!(
            self,
            Self::Database(DieselError::DatabaseError(DatabaseErrorKind::UniqueViolation, _))
        )
    }

    /// Trying the whole transaction again may succeed.
    #[must_use]
    pub fn is_retryable(&self) -> bool {
        match self {
            Self::Database(DieselError::DatabaseError(DatabaseErrorKind::SerializationFailure, _)) => true,
            Self::Database(DieselError::DatabaseError(DatabaseErrorKind::Unknown, info)) => {
                info.message().contains("deadlock detected")
            }
            _ => false,
        }
    }

    /// The connection should not be used again.
    #[must_use]
    pub fn is_broken_connection(&self) -> bool {
        match self {
            Self::Connection(_) => true,
            Self::Database(DieselError::DatabaseError(kind, info)) => {
                matches!(
                    kind,
                    DatabaseErrorKind::ClosedConnection | DatabaseErrorKind::UnableToSendCommand
                ) || (matches!(kind, DatabaseErrorKind::Unknown)
                    && [
                        "closed",
                        "terminating connection",
                        "connection",
                        "shutting down",
                        "starting up",
                    ]
                    .iter()
                    .any(|sign| info.message().contains(sign)))
            }
            Self::Database(DieselError::BrokenTransactionManager) => true,
            _ => false,
        }
    }

    /// The error as the caller of a service sees it: a refusal as it is, everything else as
    /// `server.unavailable` (nothing was done) or `server.internal`, with the cause for the log.
    #[must_use]
    pub fn into_core(self) -> aim_core::Error {
        match self {
            Self::Refused(error) => error,
            Self::Corrupt(_) => aim_core::Error::internal(self),
            Self::Database(DieselError::DeserializationError(_) | DieselError::SerializationError(_)) => {
                aim_core::Error::internal(self)
            }
            Self::Database(DieselError::DatabaseError(DatabaseErrorKind::UniqueViolation, _)) => {
                let mut error = aim_core::Error::new(
                    aim_core::Code::Conflict,
                    "this exists already, or was made at the same time",
                );
                error.source = Some(std::sync::Arc::new(self));
                error
            }
            Self::Database(_) | Self::Connection(_) => aim_core::Error::unavailable(self),
        }
    }
}

/// Names what a unique key stands for.
pub trait ResultExt<T> {
    /// Turns a unique violation into the refusal that `refusal` makes.
    ///
    /// # Errors
    /// The refusal, or the error as it was.
    fn on_unique(self, refusal: impl FnOnce() -> aim_core::Error) -> Result<T>;
}

impl<T, E: Into<Error>> ResultExt<T> for std::result::Result<T, E> {
    fn on_unique(self, refusal: impl FnOnce() -> aim_core::Error) -> Result<T> {
        self.map_err(|error| {
            let error = error.into();
            if error.is_unique_violation() {
                Error::Refused(refusal())
            } else {
                error
            }
        })
    }
}
