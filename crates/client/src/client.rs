//! The client itself: one server, one credential, one way of sending.

use std::{fmt, time::Duration};

use aim_crypto::secret::SecretString;
use reqwest::{Method, StatusCode, Url, redirect};
use serde::{Serialize, de::DeserializeOwned};

use crate::{
    error::{Error, Problem, Result},
    identity::AgentIdentity,
    signing::{Clock, PreparedRequest},
    tls,
};

/// The server that is asked when none is named.
pub const DEFAULT_SERVER: &str = "http://127.0.0.1:8700";

/// How long a request may take altogether.
const PATIENCE: Duration = Duration::from_secs(30);
/// How long connecting may take.
const CONNECT_PATIENCE: Duration = Duration::from_secs(5);

/// Longer than any connection lasts.
#[cfg(feature = "secrets")]
const ENDLESS: Duration = Duration::from_secs(30 * 24 * 3600);

/// By what the client proves who it is.
#[derive(Clone)]
pub(crate) enum Credential {
    None,
    /// An access token or an organisation API key: both go as a bearer.
    Bearer(SecretString),
    Agent(Box<AgentIdentity>),
}

/// A client of one AIM server. Cloning is cheap and shares connections.
#[derive(Clone)]
pub struct Client {
    http: reqwest::Client,
    server: Url,
    pub(crate) credential: Credential,
    clock: Clock,
}

/// Makes a [`Client`].
#[must_use]
pub struct ClientBuilder {
    server: Option<String>,
    credential: Credential,
    clock: Clock,
    timeout: Duration,
}

/// What the server answered, before it is read as anything.
#[derive(Debug, Clone)]
pub struct Reply {
    /// The HTTP status.
    pub status: u16,
    /// The id of the request in the server's log.
    pub request_id: Option<String>,
    /// `Retry-After` in seconds.
    pub retry_after: Option<u64>,
    /// The body.
    pub body: Vec<u8>,
}

impl Reply {
    /// Reads the body as JSON; an error status becomes the server's problem.
    ///
    /// # Errors
    /// [`Error::Refused`] with the problem, or [`Error::UnexpectedAnswer`].
    pub fn json<T: DeserializeOwned>(&self) -> Result<T> {
        self.checked()?;
        // 204 has no content: done, and nothing to say of it.
        let body = if self.status == 204 {
            b"null"
        } else {
            self.body.as_slice()
        };
        serde_json::from_slice(body).map_err(|error| Error::UnexpectedAnswer {
            status: self.status,
            reason: error.to_string(),
        })
    }

    /// Whether the server did what was asked.
    ///
    /// # Errors
    /// [`Error::Refused`] with the problem, or [`Error::UnexpectedAnswer`].
    pub fn checked(&self) -> Result<()> {
        if (200..300).contains(&self.status) {
            return Ok(());
        }
        let mut problem: Problem =
            serde_json::from_slice(&self.body).map_err(|_| Error::UnexpectedAnswer {
                status: self.status,
                reason: "the body holds no problem details; is a proxy in between?".to_owned(),
            })?;
        problem.request_id = problem.request_id.or_else(|| self.request_id.clone());
        problem.retry_after = self.retry_after;
        Err(Error::Refused(Box::new(problem)))
    }
}

impl Default for ClientBuilder {
    fn default() -> Self {
        Self {
            server: None,
            credential: Credential::None,
            clock: Clock::system(),
            timeout: PATIENCE,
        }
    }
}

impl ClientBuilder {
    /// The server's address: scheme, host and port, no path. Left out: that of the agent's key file,
    /// else [`DEFAULT_SERVER`].
    pub fn server(mut self, url: impl Into<String>) -> Self {
        self.server = Some(url.into());
        self
    }

    /// Speaks for an organisation, by one of its API keys.
    pub fn api_key(self, key: impl Into<SecretString>) -> Self {
        self.bearer(key)
    }

    /// Speaks for a person, by the access token of a sign-in.
    pub fn bearer(mut self, token: impl Into<SecretString>) -> Self {
        self.credential = Credential::Bearer(token.into());
        self
    }

    /// Speaks for an agent: every request is signed with its key.
    pub fn agent(mut self, identity: AgentIdentity) -> Self {
        self.credential = Credential::Agent(Box::new(identity));
        self
    }

    /// Takes the time of signatures from another clock than the system's.
    pub fn clock(mut self, clock: Clock) -> Self {
        self.clock = clock;
        self
    }

    /// How long a request may take altogether; 30 seconds unless set.
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.timeout = timeout;
        self
    }

    /// The client.
    ///
    /// # Errors
    /// An address that is none, or TLS that cannot be set up.
    pub fn build(self) -> Result<Client> {
        let of_agent = match &self.credential {
            Credential::Agent(identity) if !identity.server.is_empty() => Some(identity.server.clone()),
            _ => None,
        };
        let server = parse_server(
            &self
                .server
                .or(of_agent)
                .unwrap_or_else(|| DEFAULT_SERVER.to_owned()),
        )?;
        let mut http = reqwest::Client::builder()
            // A server elsewhere may be reached through a proxy that speaks TLS itself.
            .tls_backend_preconfigured(tls::configuration(
                server.scheme() == "https" || !is_local(&server),
            )?)
            .user_agent(concat!("aim-client/", env!("CARGO_PKG_VERSION")))
            .connect_timeout(CONNECT_PATIENCE)
            .timeout(self.timeout)
            // A signature is for one address; credentials are not carried to another one.
            .redirect(redirect::Policy::none());
        if is_local(&server) {
            // What runs on this machine is not reached through a proxy.
            http = http.no_proxy();
        }
        let http = http.build().map_err(|error| Error::SetUp(error.to_string()))?;
        Ok(Client {
            http,
            server,
            credential: self.credential,
            clock: self.clock,
        })
    }
}

impl Client {
    /// A builder without credentials.
    pub fn builder() -> ClientBuilder {
        ClientBuilder::default()
    }

    /// The server's address, without a trailing slash.
    #[must_use]
    pub fn server(&self) -> &str {
        self.server.as_str().trim_end_matches('/')
    }

    /// The agent that this client speaks for.
    #[must_use]
    pub fn identity(&self) -> Option<&AgentIdentity> {
        match &self.credential {
            Credential::Agent(identity) => Some(identity),
            _ => None,
        }
    }

    /// The same server and connections, for another caller.
    #[must_use]
    pub fn as_agent(&self, identity: AgentIdentity) -> Self {
        Self {
            credential: Credential::Agent(Box::new(identity)),
            ..self.clone()
        }
    }

    /// The same server and connections, with an access token or an API key.
    #[must_use]
    pub fn as_bearer(&self, token: impl Into<SecretString>) -> Self {
        Self {
            credential: Credential::Bearer(token.into()),
            ..self.clone()
        }
    }

    /// The same client with another clock.
    #[must_use]
    pub fn with_clock(&self, clock: Clock) -> Self {
        Self {
            clock,
            ..self.clone()
        }
    }

    /// A request with this client's credentials, ready to be sent once. `path` starts with a slash
    /// and holds the query, percent-encoded.
    ///
    /// # Errors
    /// When the path is none, or the request cannot be signed.
    pub fn prepare(
        &self,
        method: Method,
        path: &str,
        body: Option<&impl Serialize>,
    ) -> Result<PreparedRequest> {
        let url = self
            .server
            .join(path)
            .ok()
            .filter(|url| url.origin() == self.server.origin());
        let url = url
            .filter(|_| path.starts_with('/'))
            .ok_or_else(|| Error::Address {
                address: path.to_owned(),
                reason: "it is not a path on the server",
            })?;
        let mut request = PreparedRequest {
            method,
            url,
            headers: Vec::new(),
            body: Vec::new(),
        };
        request.set_header("accept", "application/json");
        if let Some(body) = body {
            request.body = serde_json::to_vec(body).map_err(|error| Error::SetUp(error.to_string()))?;
            request.set_header("content-type", "application/json");
        }
        match &self.credential {
            Credential::None => {}
            Credential::Bearer(token) => {
                request.set_header("authorization", format!("Bearer {}", token.expose()))
            }
            Credential::Agent(identity) => request.sign(identity.key(), self.clock.seconds())?,
        }
        Ok(request)
    }

    /// Sends a prepared request. Nothing is tried again by itself, since a signature is good for one use; but a request that the
    /// server has not read is sent once more, on another connection.
    ///
    /// # Errors
    /// [`Error::Unreachable`]. An error status is no error here; see [`Reply::json`].
    pub async fn send(&self, request: PreparedRequest) -> Result<Reply> {
        let unreachable = |error: reqwest::Error| Error::Unreachable {
            server: self.server().to_owned(),
            reason: cause(&error),
        };
        let mut sending = self.http.request(request.method, request.url).body(request.body);
        for (name, value) in request.headers {
            sending = sending.header(name, value);
        }
        let response = self.exchange(sending).await.map_err(unreachable)?;
        let header = |name: &str| response.headers().get(name).and_then(|value| value.to_str().ok());
        let status = response.status().as_u16();
        let request_id = header("x-request-id").map(str::to_owned);
        let retry_after = header("retry-after").and_then(|value| value.parse().ok());
        let body = response.bytes().await.map_err(unreachable)?.to_vec();
        Ok(Reply {
            status,
            request_id,
            retry_after,
            body,
        })
    }

    /// Sends, and sends once more what came to a connection that the server was giving up: it answers 408 to a connection on which
    /// nothing came, and a request that is written at that moment takes that for its answer (RFC 9110 §15.5.9 has it repeated).
    async fn exchange(&self, sending: reqwest::RequestBuilder) -> reqwest::Result<reqwest::Response> {
        let request = sending.build()?;
        let again = request.try_clone();
        let response = self.http.execute(request).await?;
        // The id is given to each request that is read.
        let was_read = response.status() != StatusCode::REQUEST_TIMEOUT
            || response.headers().contains_key("x-request-id");
        match again {
            Some(again) if !was_read => self.http.execute(again).await,
            _ => Ok(response),
        }
    }

    /// The present second of this client's clock.
    #[cfg(feature = "secrets")]
    pub(crate) fn seconds(&self) -> i64 {
        self.clock.seconds()
    }

    /// Sends a request whose answer has no end, and answers as soon as it begins, within `patience`.
    #[cfg(feature = "secrets")]
    pub(crate) async fn open(
        &self,
        request: PreparedRequest,
        patience: Duration,
    ) -> Result<reqwest::Response> {
        let unreachable = |reason: String| Error::Unreachable {
            server: self.server().to_owned(),
            reason,
        };
        let mut sending = self
            .http
            .request(request.method, request.url)
            // The client's own limit is for a whole answer.
            .timeout(ENDLESS)
            .body(request.body);
        for (name, value) in request.headers {
            sending = sending.header(name, value);
        }
        let response = match tokio::time::timeout(patience, self.exchange(sending)).await {
            Ok(Ok(response)) => response,
            Ok(Err(error)) => return Err(unreachable(cause(&error))),
            Err(_) => return Err(unreachable("it does not answer".to_owned())),
        };
        let status = response.status().as_u16();
        if status == 200 {
            return Ok(response);
        }
        let body = match tokio::time::timeout(patience, response.bytes()).await {
            Ok(Ok(body)) => body.to_vec(),
            _ => Vec::new(),
        };
        let reply = Reply {
            status,
            request_id: None,
            retry_after: None,
            body,
        };
        reply.checked()?;
        Err(Error::UnexpectedAnswer {
            status,
            reason: "this answer was to have no end".to_owned(),
        })
    }

    /// Sends a request and reads the JSON of the answer: for paths that have no method of their own here.
    ///
    /// # Errors
    /// As [`Self::send`] and [`Reply::json`].
    pub async fn call<T: DeserializeOwned>(
        &self,
        method: Method,
        path: &str,
        body: Option<&impl Serialize>,
    ) -> Result<T> {
        self.send(self.prepare(method, path, body)?).await?.json()
    }
}

impl fmt::Debug for Client {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Client")
            .field("server", &self.server())
            .field("agent", &self.identity())
            .finish_non_exhaustive()
    }
}

fn parse_server(address: &str) -> Result<Url> {
    let refuse = |reason| {
        Err(Error::Address {
            address: address.to_owned(),
            reason,
        })
    };
    let Ok(url) = Url::parse(address) else {
        return refuse("write it as http://HOST:PORT or https://HOST");
    };
    if !matches!(url.scheme(), "http" | "https") || url.host_str().is_none() {
        return refuse("write it as http://HOST:PORT or https://HOST");
    }
    if url.path() != "/" || url.query().is_some() || url.fragment().is_some() {
        return refuse("leave out the path: signatures cover the path as the server sees it");
    }
    if !url.username().is_empty() || url.password().is_some() {
        return refuse("leave out user and password");
    }
    Ok(url)
}

fn is_local(url: &Url) -> bool {
    let host = url.host_str().unwrap_or_default().trim_matches(['[', ']']);
    host == "localhost"
        || host
            .parse::<std::net::IpAddr>()
            .is_ok_and(|address| address.is_loopback())
}

/// The innermost cause: "connection refused" says more than "error sending request".
fn cause(error: &reqwest::Error) -> String {
    let mut innermost: &dyn std::error::Error = error;
    while let Some(source) = innermost.source() {
        innermost = source;
    }
    innermost.to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_that_cannot_work_is_refused_with_the_reason() {
        for (address, expected) in [
            ("127.0.0.1:8700", "http://HOST:PORT"),
            ("ftp://host", "http://HOST:PORT"),
            ("http://host/aim", "leave out the path"),
            ("http://me:pw@host", "leave out user"),
        ] {
            let refusal = Client::builder().server(address).build().unwrap_err().to_string();
            assert!(refusal.contains(expected), "{address}: {refusal}");
        }
    }

    /// Answers each connection with the next of these, and tells how many requests came.
    async fn stub(answers: &'static [&'static str]) -> (Client, tokio::task::JoinHandle<usize>) {
        use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let server = format!("http://{}", listener.local_addr().unwrap());
        let serving = tokio::spawn(async move {
            let mut requests = 0;
            for answer in answers {
                let (mut stream, _) = listener.accept().await.unwrap();
                requests += usize::from(stream.read(&mut [0; 4096]).await.unwrap() > 0);
                stream.write_all(answer.as_bytes()).await.unwrap();
            }
            requests
        });
        (Client::builder().server(server).build().unwrap(), serving)
    }

    #[tokio::test]
    async fn only_a_request_that_the_server_has_not_read_is_sent_again() {
        const NOT_READ: &str =
            "HTTP/1.1 408 Request Timeout\r\ncontent-length: 0\r\nconnection: close\r\n\r\n";
        const READ: &str = "HTTP/1.1 408 Request Timeout\r\nx-request-id: 7\r\ncontent-length: 0\r\nconnection: close\r\n\r\n";
        const FINE: &str = "HTTP/1.1 204 No Content\r\nx-request-id: 8\r\nconnection: close\r\n\r\n";
        for (answers, status) in [
            (&[NOT_READ, FINE] as &[&str], 204),
            (&[NOT_READ, NOT_READ], 408),
            (&[READ], 408),
        ] {
            let (client, serving) = stub(answers).await;
            let request = client
                .prepare(Method::POST, "/api/v1/agents", Some(&"body"))
                .unwrap();
            assert_eq!(client.send(request).await.unwrap().status, status, "{answers:?}");
            assert_eq!(serving.await.unwrap(), answers.len());
        }
    }

    #[test]
    fn credentials_never_show_in_debug() {
        let client = Client::builder().api_key("aim_live_verysecret").build().unwrap();
        let request = client
            .prepare(Method::GET, "/api/v1/agents", None::<&()>)
            .unwrap();
        assert_eq!(
            request.header("authorization"),
            Some("Bearer aim_live_verysecret")
        );
        assert!(!format!("{client:?} {request:?}").contains("verysecret"));
    }

    #[test]
    fn a_path_cannot_lead_to_another_server() {
        let client = Client::builder().api_key("aim_live_verysecret").build().unwrap();
        for path in ["//evil.example/x", "http://evil.example/", "agents"] {
            assert!(client.prepare(Method::GET, path, None::<&()>).is_err(), "{path}");
        }
    }

    #[test]
    fn a_refusal_carries_the_servers_problem() {
        let reply = Reply {
            status: 403,
            request_id: Some("r-1".to_owned()),
            retry_after: None,
            body: br#"{"type":"urn:x","title":"T","status":403,"detail":"d","code":"auth.forbidden","field":"agents:write","remedy":"r"}"#.to_vec(),
        };
        let error = reply.json::<serde_json::Value>().unwrap_err();
        let problem = error.problem().unwrap();
        assert_eq!(
            (problem.code.as_str(), problem.field.as_deref()),
            ("auth.forbidden", Some("agents:write"))
        );
        assert_eq!(problem.request_id.as_deref(), Some("r-1"));
        assert!(!error.is_uncertain());
        let proxy = Reply {
            status: 502,
            body: b"<html>".to_vec(),
            ..reply
        };
        assert!(proxy.json::<serde_json::Value>().unwrap_err().is_uncertain());
    }

    #[tokio::test]
    async fn a_server_that_is_not_there_is_named() {
        let client = Client::builder().server("http://127.0.0.1:9").build().unwrap();
        let error = client
            .call::<serde_json::Value>(Method::GET, "/x", None::<&()>)
            .await
            .unwrap_err();
        assert!(
            error.to_string().contains("http://127.0.0.1:9") && error.is_uncertain(),
            "{error}"
        );
    }
}
