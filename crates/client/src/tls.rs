//! TLS to the server: rustls on ring, with the trust roots of the operating system.

use std::sync::Arc;

use crate::error::{Error, Result};

/// TLS that trusts what the operating system trusts. Without any roots every `https` server is
/// refused, and `http` still works: where that is all (`needed` is false) the roots are not read,
/// which would be most of the time that a short command takes.
pub(crate) fn configuration(needed: bool) -> Result<rustls::ClientConfig> {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    // Other parts of the process may ask for the default; the first to install one wins.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let mut roots = rustls::RootCertStore::empty();
    if needed {
        roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
    }
    Ok(rustls::ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|error| Error::SetUp(error.to_string()))?
        .with_root_certificates(roots)
        .with_no_client_auth())
}
