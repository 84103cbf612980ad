//! The calls over HTTP: with a bound on their time, their number and what is answered, and never in the clear over a network.

use std::{
    sync::{Arc, OnceLock},
    time::Duration,
};

use reqwest::{Client, RequestBuilder, StatusCode, Url};
use serde::de::DeserializeOwned;
use zeroize::Zeroizing;

use super::Failure;

/// How long a connection may take.
pub(super) const CONNECTING: Duration = Duration::from_secs(3);
/// How long one try may take.
pub(super) const EXCHANGE: Duration = Duration::from_secs(5);
/// How often something is tried.
pub(super) const TRIES: u32 = 3;
/// How long after the first try the second comes; the third after twice that.
const BETWEEN: Duration = Duration::from_millis(200);
/// No answer is longer.
const LARGEST: usize = 64 * 1024;

/// The client for all calls of this process.
pub(super) fn client() -> Result<Client, Failure> {
    static CLIENT: OnceLock<Result<Client, String>> = OnceLock::new();
    CLIENT
        .get_or_init(|| {
            let mut roots = rustls::RootCertStore::empty();
            roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
            let tls = rustls::ClientConfig::builder_with_provider(Arc::new(
                rustls::crypto::ring::default_provider(),
            ))
            .with_safe_default_protocol_versions()
            .map_err(|error| error.to_string())?
            .with_root_certificates(roots)
            .with_no_client_auth();
            Client::builder()
                .tls_backend_preconfigured(tls)
                .redirect(reqwest::redirect::Policy::none())
                .referer(false)
                .user_agent(concat!("AIM/", env!("CARGO_PKG_VERSION")))
                .connect_timeout(CONNECTING)
                .timeout(EXCHANGE)
                .build()
                .map_err(|error| error.to_string())
        })
        .clone()
        .map_err(Failure)
}

/// The address, if what is sent there is protected: over TLS, or to this machine.
pub(super) fn address(text: &str) -> Result<Url, Failure> {
    let url = Url::parse(text).map_err(|_| Failure("its address in the settings is none".to_owned()))?;
    let here = match url.host_str() {
        Some("localhost" | "[::1]") => true,
        Some(host) => host
            .parse()
            .is_ok_and(|host: std::net::Ipv4Addr| host.is_loopback()),
        None => false,
    };
    if url.scheme() == "https" || (url.scheme() == "http" && here) {
        return Ok(url);
    }
    Err(Failure("its address must begin with https://".to_owned()))
}

/// Asks until there is an answer, or it makes no sense to ask again.
pub(super) async fn answer<T: DeserializeOwned>(
    what: &str,
    request: impl Fn(&Client) -> RequestBuilder,
) -> Result<T, Failure> {
    let client = client()?;
    let mut pause = BETWEEN;
    let mut left = TRIES;
    loop {
        left -= 1;
        let (problem, passing) = match once(request(&client)).await {
            Ok(body) => {
                return serde_json::from_slice(&body)
                    .map_err(|_| Failure(format!("{what}: the answer is not the one that was expected")));
            }
            Err(problem) => problem,
        };
        if !passing || left == 0 {
            return Err(Failure(format!("{what}: {problem}")));
        }
        tokio::time::sleep(pause).await;
        pause *= 2;
    }
}

/// The body of a successful answer; or what went wrong, and whether that may pass.
async fn once(request: RequestBuilder) -> Result<Zeroizing<Vec<u8>>, (String, bool)> {
    let said = |error: &reqwest::Error| {
        let problem = if error.is_timeout() {
            "no answer in time"
        } else if error.is_connect() {
            "it cannot be reached"
        } else {
            "the connection broke"
        };
        (problem.to_owned(), !error.is_builder())
    };
    let mut response = request.send().await.map_err(|error| said(&error))?;
    let status = response.status();
    if !status.is_success() {
        // What it says besides may repeat what was sent.
        let passing = status.is_server_error()
            || matches!(
                status,
                StatusCode::TOO_MANY_REQUESTS | StatusCode::REQUEST_TIMEOUT
            );
        return Err((format!("it answered {}", status.as_u16()), passing));
    }
    // Sized in advance: a growing buffer would leave copies behind.
    let mut body = Zeroizing::new(Vec::with_capacity(LARGEST));
    while let Some(chunk) = response.chunk().await.map_err(|error| said(&error))? {
        if body.len() + chunk.len() > LARGEST {
            return Err(("its answer is too long".to_owned(), false));
        }
        body.extend_from_slice(&chunk);
    }
    Ok(body)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_goes_over_a_network_in_the_clear() {
        for good in [
            "https://vault.internal:8200",
            "http://127.0.0.1:8200",
            "http://localhost",
            "http://[::1]:1",
        ] {
            assert!(address(good).is_ok(), "{good}");
        }
        for bad in [
            "http://vault.internal",
            "ftp://127.0.0.1",
            "vault.internal",
            "http://10.0.0.1",
            "file:///x",
            "",
        ] {
            assert!(address(bad).is_err(), "{bad}");
        }
    }
}
