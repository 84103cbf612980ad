//! The one error that leaves a service, and the table of its codes (RFC 9457 problem details).

use std::{error::Error as StdError, fmt, sync::Arc};

/// What a service answers.
pub type Result<T, E = Error> = std::result::Result<T, E>;

macro_rules! codes {
    ($($variant:ident = $slug:literal, $status:literal, $title:literal, $remedy:literal;)*) => {
        /// A stable code of refusal. One line a code: slug, HTTP status, title, remedy.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
        pub enum Code {
            $(#[doc = $title] $variant,)*
        }
        impl Code {
            /// Every code, in the order of the table.
            pub const ALL: &'static [Self] = &[$(Self::$variant),*];
            /// The code on the wire. It never changes its meaning.
            #[must_use]
            pub const fn slug(self) -> &'static str {
                match self { $(Self::$variant => $slug,)* }
            }
            /// The HTTP status.
            #[must_use]
            pub const fn status(self) -> u16 {
                match self { $(Self::$variant => $status,)* }
            }
            /// A short title, the same for each occurrence.
            #[must_use]
            pub const fn title(self) -> &'static str {
                match self { $(Self::$variant => $title,)* }
            }
            /// What the caller can do about it.
            #[must_use]
            pub const fn remedy(self) -> &'static str {
                match self { $(Self::$variant => $remedy,)* }
            }
        }
    };
}

codes! {
    RequestInvalid = "request.invalid", 400, "The request is malformed", "Correct the field that is named and send the request again.";
    FieldInvalid = "request.field_invalid", 422, "A field has a value that is not accepted", "Correct the field that is named and send the request again.";
    BodyTooLarge = "request.too_large", 413, "The body is too large", "Send at most 1 MiB.";
    MediaType = "request.media_type", 415, "The media type is not supported", "Send application/json.";
    MethodNotAllowed = "request.method_not_allowed", 405, "The method is not allowed here", "See the OpenAPI document for the methods of this path.";
    NotFound = "resource.not_found", 404, "There is no such thing here", "Check the id and the organisation of your credentials.";
    Conflict = "resource.conflict", 409, "The request conflicts with what is there", "Read the present state and decide anew.";
    NameTaken = "resource.name_taken", 409, "The name is taken", "Choose another name.";
    StateConflict = "resource.state", 409, "The present state does not allow this", "Read the present state and decide anew.";
    CredentialsMissing = "auth.credentials_missing", 401, "Credentials are required", "Send a bearer token, an API key, or a signed request.";
    CredentialsInvalid = "auth.credentials_invalid", 401, "The credentials are not valid", "Sign in again, or use a key that is active.";
    SignInRefused = "auth.sign_in_refused", 401, "E-mail or password is wrong, or the account is locked", "Try again later, or ask an administrator.";
    SignatureInvalid = "auth.signature_invalid", 401, "The signature was not accepted", "Sign the request as docs/API.md describes.";
    SignatureReplayed = "auth.signature_replayed", 401, "This signed request was used before", "Sign each request anew, with a nonce of its own.";
    SignatureStale = "auth.signature_stale", 401, "The signature is not fresh", "Check the clock and sign again; the window is 30 seconds.";
    ProofInvalid = "auth.proof_invalid", 422, "The proof of possession was not accepted", "Sign the challenge with the private half of the key that you register.";
    ChallengeInvalid = "auth.challenge_invalid", 422, "The challenge is unknown, used or expired", "Ask for a new challenge and sign that.";
    Forbidden = "auth.forbidden", 403, "The permission is missing", "Ask an administrator for a role that has the permission that is named.";
    CrossSite = "auth.cross_site", 403, "The request came from another site", "Send it from the console itself, or use a bearer token.";
    RateLimited = "limit.requests", 429, "Too many requests", "Wait as Retry-After says.";
    VersionConflict = "secret.version_conflict", 409, "The secret has another version by now", "Read the present version and decide anew.";
    VaultSealed = "vault.sealed", 503, "The vault is sealed", "Ask the operator to give the server its root key; GET /api/v1/vault/status has the reason.";
    VaultIntegrity = "vault.integrity", 409, "What is stored was changed outside AIM", "Restore the database from a backup, or destroy the secret and write it anew.";
    WrapUsed = "secret.wrap_used", 410, "The wrap token was used before", "If it was not you who used it, rotate the secret: somebody else has it. Ask for a new token.";
    Unavailable = "server.unavailable", 503, "The database cannot be reached or written", "Try again; nothing was done.";
    Internal = "server.internal", 500, "Something went wrong here", "Report the request id.";
}

/// A refusal or a failure: its code, what exactly is wrong, and where.
#[derive(Clone)]
pub struct Error {
    /// The code, which also fixes the HTTP status.
    pub code: Code,
    /// What is wrong with this request, fit for the caller's eyes.
    pub detail: String,
    /// The field at fault, as a path into the body or the name of a parameter.
    pub field: Option<String>,
    /// When to try again, in seconds.
    pub retry_after: Option<u64>,
    /// What happened inside; for the log only, never for the caller.
    pub source: Option<Arc<dyn StdError + Send + Sync>>,
}

impl Error {
    /// An error with this code and detail.
    #[must_use]
    pub fn new(code: Code, detail: impl Into<String>) -> Self {
        Self {
            code,
            detail: detail.into(),
            field: None,
            retry_after: None,
            source: None,
        }
    }

    /// A field whose value is not accepted.
    #[must_use]
    pub fn field(field: impl Into<String>, detail: impl Into<String>) -> Self {
        let mut error = Self::new(Code::FieldInvalid, detail);
        error.field = Some(field.into());
        error
    }

    /// The same answer for what does not exist and for what belongs to another tenant.
    #[must_use]
    pub fn not_found() -> Self {
        Self::new(Code::NotFound, "nothing with that id exists in your organisation")
    }

    /// An internal failure; the cause goes to the log.
    #[must_use]
    pub fn internal(source: impl Into<Box<dyn StdError + Send + Sync>>) -> Self {
        let mut error = Self::new(Code::Internal, "");
        error.source = Some(Arc::from(source.into()));
        error
    }

    /// The database cannot be reached or written; the cause goes to the log.
    #[must_use]
    pub fn unavailable(source: impl Into<Box<dyn StdError + Send + Sync>>) -> Self {
        let mut error = Self::new(
            Code::Unavailable,
            "the database did not answer; nothing was changed",
        );
        error.source = Some(Arc::from(source.into()));
        error
    }

    /// The permission that is missing.
    #[must_use]
    pub fn forbidden(permission: &str) -> Self {
        let mut error = Self::new(Code::Forbidden, format!("this needs the permission {permission}"));
        error.field = Some(permission.to_owned());
        error
    }

    /// Names the field at fault.
    #[must_use]
    pub fn at(mut self, field: impl Into<String>) -> Self {
        self.field = Some(field.into());
        self
    }

    /// Says when to try again.
    #[must_use]
    pub fn retry_after(mut self, seconds: u64) -> Self {
        self.retry_after = Some(seconds);
        self
    }
}

impl fmt::Debug for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.code.slug(), self.detail)?;
        if let Some(field) = &self.field {
            write!(f, " (field {field})")?;
        }
        if let Some(source) = &self.source {
            write!(f, " [{source}]")?;
        }
        Ok(())
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{}",
            if self.detail.is_empty() {
                self.code.title()
            } else {
                &self.detail
            }
        )
    }
}

impl StdError for Error {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        self.source
            .as_ref()
            .map(|source| &**source as &(dyn StdError + 'static))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_code_has_a_slug_of_its_own_and_a_status_of_an_error() {
        let mut slugs: Vec<_> = Code::ALL.iter().map(|code| code.slug()).collect();
        slugs.sort_unstable();
        slugs.dedup();
        assert_eq!(slugs.len(), Code::ALL.len());
        assert!(Code::ALL.iter().all(|code| (400..600).contains(&code.status())));
    }
}
