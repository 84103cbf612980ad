//! How callers prove who they are: agents by a signature, programs by an API key, people by a session.

mod csrf;
mod signature;
mod tokens;

use std::sync::Arc;

use aim_platform::Authenticator;

use crate::Identity;

pub use signature::SignatureAuthenticator;
pub(crate) use tokens::SESSION_COOKIE;

/// In the order in which they look at a request: a signature counts before a token, a token before a
/// cookie. What none of them recognises is left to other capabilities.
pub(crate) fn authenticators(identity: &Identity) -> Vec<Arc<dyn Authenticator>> {
    vec![
        Arc::new(SignatureAuthenticator::new(identity)),
        Arc::new(tokens::BearerAuthenticator::new(identity)),
        Arc::new(tokens::CookieAuthenticator::new(identity)),
    ]
}
