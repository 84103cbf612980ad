//! Requests that AIM makes to addresses that somebody else named: webhooks, MCP servers. The one way out.
//!
//! A name is resolved once. If any of its addresses is not of the public internet (private, loopback,
//! link-local, a cloud's metadata, carrier-grade NAT, multicast, …), nothing is sent, unless the operator
//! allows that network (`outbound.allow`). The connection goes to the very addresses that were checked, so
//! that a name cannot change its mind in between. No redirect is followed, no proxy is used, and both time
//! and the size of an answer are bounded.

use std::{
    collections::BTreeMap,
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
    sync::{Arc, OnceLock},
    time::Duration,
};

use aim_core::{Code, Error, Result};
use ipnet::IpNet;
use reqwest::{Method, Url, redirect};

/// How long a connection may take.
const CONNECTING: Duration = Duration::from_secs(5);
/// How long looking up a name may take.
const RESOLVING: Duration = Duration::from_secs(5);
/// How long the whole exchange may take.
const EXCHANGE: Duration = Duration::from_secs(15);
/// The longest address that is accepted.
const LONGEST_URL: usize = 2_000;

/// Networks that are not the public internet, as IANA's special-purpose registries list them, and what
/// clouds use for themselves.
const REFUSED_V4: &[(Ipv4Addr, u8)] = &[
    (Ipv4Addr::new(0, 0, 0, 0), 8),
    (Ipv4Addr::new(10, 0, 0, 0), 8),
    // Carrier-grade NAT (RFC 6598); Alibaba's metadata lies in it.
    (Ipv4Addr::new(100, 64, 0, 0), 10),
    (Ipv4Addr::new(127, 0, 0, 0), 8),
    // Link-local; 169.254.169.254 is the metadata of most clouds.
    (Ipv4Addr::new(169, 254, 0, 0), 16),
    (Ipv4Addr::new(172, 16, 0, 0), 12),
    // Azure's host: metadata, DHCP, DNS.
    (Ipv4Addr::new(168, 63, 129, 16), 32),
    (Ipv4Addr::new(192, 0, 0, 0), 24),
    (Ipv4Addr::new(192, 0, 2, 0), 24),
    (Ipv4Addr::new(192, 88, 99, 0), 24),
    (Ipv4Addr::new(192, 168, 0, 0), 16),
    (Ipv4Addr::new(198, 18, 0, 0), 15),
    (Ipv4Addr::new(198, 51, 100, 0), 24),
    (Ipv4Addr::new(203, 0, 113, 0), 24),
    // Multicast, and everything behind it: reserved, and the broadcast.
    (Ipv4Addr::new(224, 0, 0, 0), 4),
    (Ipv4Addr::new(240, 0, 0, 0), 4),
];

/// Parts of IPv6's global unicast (2000::/3) that are not the public internet; outside of it nothing is.
const REFUSED_V6: &[(Ipv6Addr, u8)] = &[
    // IETF protocol assignments: Teredo, benchmarking, ORCHID.
    (Ipv6Addr::new(0x2001, 0, 0, 0, 0, 0, 0, 0), 23),
    (Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 0), 32),
    // 6to4 carries an IPv4 address of anywhere.
    (Ipv6Addr::new(0x2002, 0, 0, 0, 0, 0, 0, 0), 16),
    (Ipv6Addr::new(0x3fff, 0, 0, 0, 0, 0, 0, 0), 20),
];

const fn same_v4(address: Ipv4Addr, network: Ipv4Addr, length: u8) -> bool {
    let mask = if length == 0 { 0 } else { u32::MAX << (32 - length) };
    address.to_bits() & mask == network.to_bits() & mask
}

const fn same_v6(address: Ipv6Addr, network: Ipv6Addr, length: u8) -> bool {
    let mask = if length == 0 {
        0
    } else {
        u128::MAX << (128 - length)
    };
    address.to_bits() & mask == network.to_bits() & mask
}

/// Whether an address is of the public internet. IPv4 inside IPv6 counts as the IPv4 address that it is.
#[must_use]
pub fn is_public(address: IpAddr) -> bool {
    match address.to_canonical() {
        IpAddr::V4(address) => !REFUSED_V4
            .iter()
            .any(|(network, length)| same_v4(address, *network, *length)),
        IpAddr::V6(address) => {
            same_v6(address, Ipv6Addr::new(0x2000, 0, 0, 0, 0, 0, 0, 0), 3)
                && !REFUSED_V6
                    .iter()
                    .any(|(network, length)| same_v6(address, *network, *length))
        }
    }
}

/// Why nothing came back. The text is fit for whoever named the address; it quotes no answer.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum OutboundError {
    /// The address is no address that can be called.
    #[error("{0}")]
    Address(String),
    /// The guard said no.
    #[error(
        "{host} is at an address that is not of the public internet; an operator can allow its network with outbound.allow"
    )]
    Refused {
        /// The host that was named.
        host: String,
    },
    /// The name has no address.
    #[error("the name {host} could not be resolved")]
    Unresolved {
        /// The host that was named.
        host: String,
    },
    /// It took too long.
    #[error("no answer within {} seconds", EXCHANGE.as_secs())]
    TimedOut,
    /// No connection, or it broke.
    #[error("the connection failed: {0}")]
    Connection(String),
}

impl OutboundError {
    /// Whether trying again can help.
    #[must_use]
    pub const fn is_passing(&self) -> bool {
        matches!(
            self,
            Self::TimedOut | Self::Connection(_) | Self::Unresolved { .. }
        )
    }
}

/// What came back.
#[derive(Debug, Clone)]
pub struct Answer {
    /// The status.
    pub status: u16,
    /// The media type, as the answer says.
    pub content_type: Option<String>,
    /// The body, up to the limit.
    pub body: Vec<u8>,
    /// Whether there was more than the limit.
    pub cut: bool,
}

impl Answer {
    /// Whether the status is of the 200s.
    #[must_use]
    pub const fn is_success(&self) -> bool {
        self.status >= 200 && self.status < 300
    }
}

/// What is to be sent.
#[derive(Debug, Clone)]
pub struct Call {
    /// The method.
    pub method: Method,
    /// Where to.
    pub url: Url,
    /// Header fields.
    pub headers: BTreeMap<&'static str, String>,
    /// The body.
    pub body: Vec<u8>,
    /// The most bytes of the answer's body that are read.
    pub limit: usize,
}

impl Call {
    /// A GET that reads at most `limit` bytes.
    #[must_use]
    pub const fn get(url: Url, limit: usize) -> Self {
        Self {
            method: Method::GET,
            url,
            headers: BTreeMap::new(),
            body: Vec::new(),
            limit,
        }
    }

    /// A POST of JSON that reads at most `limit` bytes.
    #[must_use]
    pub fn post_json(url: Url, body: Vec<u8>, limit: usize) -> Self {
        Self {
            method: Method::POST,
            url,
            headers: BTreeMap::from([("content-type", "application/json".to_owned())]),
            body,
            limit,
        }
    }

    /// With a header field.
    #[must_use]
    pub fn header(mut self, name: &'static str, value: impl Into<String>) -> Self {
        self.headers.insert(name, value.into());
        self
    }
}

/// The way out, with the networks that the operator allows besides the public internet.
#[derive(Debug, Clone, Default)]
pub struct Outbound {
    allowed: Arc<[IpNet]>,
}

impl Outbound {
    /// A way out that also leads to `allowed`.
    #[must_use]
    pub fn new(allowed: &[IpNet]) -> Self {
        Self {
            allowed: allowed.into(),
        }
    }

    /// Whether an address may be called.
    #[must_use]
    pub fn permits(&self, address: IpAddr) -> bool {
        let address = address.to_canonical();
        is_public(address) || self.allowed.iter().any(|network| network.contains(&address))
    }

    /// Looks a URL's host up, once, and holds every address of it against the rules.
    ///
    /// # Errors
    /// Why it cannot be called.
    pub async fn resolve(&self, url: &Url) -> Result<Vec<SocketAddr>, OutboundError> {
        let port = url.port_or_known_default().unwrap_or(443);
        let host = url.host_str().unwrap_or_default().to_owned();
        let literal = host.trim_start_matches('[').trim_end_matches(']');
        let addresses: Vec<SocketAddr> = match literal.parse::<IpAddr>() {
            Ok(address) => vec![SocketAddr::new(address, port)],
            Err(_) => {
                let looking = tokio::net::lookup_host((host.as_str(), port));
                let found = tokio::time::timeout(RESOLVING, looking).await;
                match found {
                    Ok(Ok(found)) => found.collect(),
                    _ => Vec::new(),
                }
            }
        };
        if addresses.is_empty() {
            return Err(OutboundError::Unresolved { host });
        }
        // One that is refused among good ones is no accident.
        if addresses.iter().all(|address| self.permits(address.ip())) {
            Ok(addresses)
        } else {
            Err(OutboundError::Refused { host })
        }
    }

    /// Makes the call.
    ///
    /// # Errors
    /// Why nothing came back. A status that is no success is an answer all the same.
    pub async fn send(&self, call: Call) -> Result<Answer, OutboundError> {
        let addresses = self.resolve(&call.url).await?;
        let host = call.url.host_str().unwrap_or_default().to_owned();
        let client = reqwest::Client::builder()
            .tls_backend_preconfigured(tls()?)
            .redirect(redirect::Policy::none())
            .no_proxy()
            .referer(false)
            .user_agent(concat!("AIM/", env!("CARGO_PKG_VERSION")))
            .connect_timeout(CONNECTING)
            .timeout(EXCHANGE)
            .pool_max_idle_per_host(0)
            .resolve_to_addrs(&host, &addresses)
            .build()
            .map_err(|error| OutboundError::Connection(error.without_url().to_string()))?;
        let mut request = client.request(call.method, call.url);
        for (name, value) in &call.headers {
            request = request.header(*name, value);
        }
        if !call.body.is_empty() {
            request = request.body(call.body);
        }
        let mut response = request.send().await.map_err(|error| failure(&error))?;
        let status = response.status().as_u16();
        let content_type = response
            .headers()
            .get("content-type")
            .and_then(|value| value.to_str().ok())
            .map(str::to_owned);
        let (mut body, mut cut) = (Vec::new(), false);
        while let Some(chunk) = response.chunk().await.map_err(|error| failure(&error))? {
            let room = call.limit.saturating_sub(body.len());
            cut = chunk.len() > room;
            body.extend(chunk.iter().take(room));
            if cut {
                break;
            }
        }
        Ok(Answer {
            status,
            content_type,
            body,
            cut,
        })
    }
}

/// The text of a URL as one that can be called: `http` or `https`, with a host, without a password.
///
/// # Errors
/// `request.field_invalid` at `field`.
pub fn parse_url(field: &str, text: &str) -> Result<Url> {
    let refuse = |problem: &str| Err(Error::new(Code::FieldInvalid, problem).at(field));
    if text.len() > LONGEST_URL {
        return refuse("the address is longer than 2000 characters");
    }
    let Ok(url) = Url::parse(text) else {
        return refuse("this is no address; write it as https://HOST/PATH");
    };
    if !matches!(url.scheme(), "http" | "https") {
        return refuse("the address must start with https:// or http://");
    }
    if url.host_str().is_none_or(str::is_empty) {
        return refuse("the address names no host");
    }
    if !url.username().is_empty() || url.password().is_some() {
        return refuse("leave user and password out of the address: addresses are shown and logged");
    }
    if url.fragment().is_some() {
        return refuse("leave out the part from # on; it is never sent");
    }
    Ok(url)
}

/// TLS that trusts what the operating system trusts; made once.
fn tls() -> Result<rustls::ClientConfig, OutboundError> {
    static TLS: OnceLock<std::result::Result<rustls::ClientConfig, String>> = OnceLock::new();
    TLS.get_or_init(|| {
        let mut roots = rustls::RootCertStore::empty();
        roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
        Ok(
            rustls::ClientConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
                .with_safe_default_protocol_versions()
                .map_err(|error| error.to_string())?
                .with_root_certificates(roots)
                .with_no_client_auth(),
        )
    })
    .clone()
    .map_err(OutboundError::Connection)
}

/// What went wrong, in words that hold no address and no answer.
fn failure(error: &reqwest::Error) -> OutboundError {
    if error.is_timeout() {
        return OutboundError::TimedOut;
    }
    let mut deepest: &dyn std::error::Error = error;
    while let Some(source) = deepest.source() {
        deepest = source;
    }
    OutboundError::Connection(deepest.to_string().chars().take(200).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn url(text: &str) -> Url {
        Url::parse(text).unwrap()
    }

    #[test]
    fn only_addresses_of_the_public_internet_count_as_such() {
        let table = [
            ("0.0.0.0", false),
            ("0.1.2.3", false),
            ("1.1.1.1", true),
            ("8.8.8.8", true),
            ("9.255.255.255", true),
            ("10.0.0.1", false),
            ("10.255.255.255", false),
            ("11.0.0.0", true),
            ("100.63.255.255", true),
            ("100.64.0.1", false),
            ("100.100.100.200", false),
            ("100.127.255.255", false),
            ("100.128.0.0", true),
            ("127.0.0.1", false),
            ("127.255.255.254", false),
            ("168.63.129.16", false),
            ("168.63.129.17", true),
            ("169.253.255.255", true),
            ("169.254.169.254", false),
            ("169.255.0.0", true),
            ("172.15.255.255", true),
            ("172.16.0.1", false),
            ("172.31.255.255", false),
            ("172.32.0.0", true),
            ("192.0.0.1", false),
            ("192.0.2.1", false),
            ("192.88.99.1", false),
            ("192.167.255.255", true),
            ("192.168.1.1", false),
            ("192.169.0.0", true),
            ("198.17.255.255", true),
            ("198.18.0.1", false),
            ("198.19.255.255", false),
            ("198.51.100.7", false),
            ("203.0.113.7", false),
            ("223.255.255.255", true),
            ("224.0.0.1", false),
            ("239.255.255.255", false),
            ("240.0.0.1", false),
            ("255.255.255.255", false),
            ("::", false),
            ("::1", false),
            ("::ffff:127.0.0.1", false),
            ("::ffff:169.254.169.254", false),
            ("::ffff:8.8.8.8", true),
            ("::127.0.0.1", false),
            ("64:ff9b::7f00:1", false),
            ("64:ff9b:1::1", false),
            ("100::1", false),
            ("fc00::1", false),
            ("fd00:ec2::254", false),
            ("fe80::1", false),
            ("fec0::1", false),
            ("ff02::1", false),
            ("2001::1", false),
            ("2001:20::1", false),
            ("2001:db8::1", false),
            ("2002:7f00:1::1", false),
            ("2001:4860:4860::8888", true),
            ("2606:4700:4700::1111", true),
            ("3fff::1", false),
            ("4000::1", false),
        ];
        for (address, public) in table {
            assert_eq!(is_public(address.parse().unwrap()), public, "{address}");
        }
    }

    #[tokio::test]
    async fn however_a_private_address_is_written_it_is_refused() {
        for text in [
            "http://127.0.0.1/",
            "http://127.1/",
            "http://2130706433/",
            "http://0x7f000001/",
            "http://0177.0.0.1/",
            "http://127.0.0.1./",
            "http://[::1]:8700/",
            "http://[::ffff:7f00:1]/",
            "http://[::ffff:169.254.169.254]/latest/meta-data/",
            "http://169.254.169.254/latest/meta-data/",
            "http://localhost:8700/",
            "https://10.1.2.3/hook",
            "http://１２７.0.0.1/",
        ] {
            let refused = Outbound::default().resolve(&url(text)).await;
            assert!(
                matches!(refused, Err(OutboundError::Refused { .. })),
                "{text}: {refused:?}"
            );
        }
        let public = Outbound::default().resolve(&url("https://8.8.8.8/")).await;
        assert_eq!(public, Ok(vec!["8.8.8.8:443".parse().unwrap()]));
    }

    #[tokio::test]
    async fn an_operator_can_allow_a_network_and_only_that() {
        let guard = Outbound::new(&["127.0.0.0/8".parse().unwrap(), "fd00::/8".parse().unwrap()]);
        assert!(guard.permits("127.0.0.1".parse().unwrap()));
        assert!(guard.permits("::ffff:127.0.0.1".parse().unwrap()));
        assert!(guard.permits("fd12::1".parse().unwrap()));
        assert!(!guard.permits("::1".parse().unwrap()));
        assert!(!guard.permits("10.0.0.1".parse().unwrap()));
        assert!(guard.resolve(&url("http://127.0.0.1:9/")).await.is_ok());
        assert!(guard.resolve(&url("http://10.0.0.1:9/")).await.is_err());
    }

    #[test]
    fn an_address_is_held_to_its_form_and_the_field_is_named() {
        for text in [
            "",
            "example.com",
            "ftp://example.com/",
            "file:///etc/passwd",
            "javascript:alert(1)",
            "https://user:secret@example.com/",
            "https://user@example.com/",
            "https://example.com/#part",
            "https://",
        ] {
            let error = parse_url("url", text).unwrap_err();
            assert_eq!(error.code, Code::FieldInvalid, "{text}");
            assert_eq!(error.field.as_deref(), Some("url"), "{text}");
            assert!(!error.detail.contains("secret"));
        }
        assert!(parse_url("url", &format!("https://example.com/{}", "a".repeat(2_000))).is_err());
        assert!(parse_url("url", "https://hooks.example.com/T1/B2?x=1").is_ok());
    }

    /// A server that answers once, and tells what it was asked.
    async fn answering(answer: String) -> (SocketAddr, tokio::task::JoinHandle<String>) {
        use tokio::io::{AsyncReadExt, AsyncWriteExt};
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let asked = tokio::spawn(async move {
            let (mut stream, _) = listener.accept().await.unwrap();
            let mut bytes = vec![0; 65_536];
            let read = stream.read(&mut bytes).await.unwrap();
            stream.write_all(answer.as_bytes()).await.unwrap();
            String::from_utf8_lossy(bytes.get(..read).unwrap()).into_owned()
        });
        (address, asked)
    }

    fn local() -> Outbound {
        Outbound::new(&["127.0.0.1/32".parse().unwrap()])
    }

    #[tokio::test]
    async fn a_redirect_is_an_answer_and_is_not_followed() {
        let (address, asked) = answering(
            "HTTP/1.1 302 Found\r\nlocation: http://169.254.169.254/\r\ncontent-length: 0\r\n\r\n".to_owned(),
        )
        .await;
        let call = Call::post_json(url(&format!("http://{address}/hook")), b"{}".to_vec(), 100)
            .header("x-aim-event", "test");
        let answer = local().send(call).await.unwrap();
        assert_eq!(answer.status, 302);
        assert!(!answer.is_success());
        let asked = asked.await.unwrap().to_lowercase();
        assert!(asked.starts_with("post /hook http/1.1") && asked.contains("x-aim-event: test"));
    }

    #[tokio::test]
    async fn no_more_of_an_answer_is_read_than_the_limit() {
        let body = "x".repeat(5_000);
        let (address, _asked) =
            answering(format!("HTTP/1.1 200 OK\r\ncontent-length: 5000\r\n\r\n{body}")).await;
        let answer = local()
            .send(Call::get(url(&format!("http://{address}/")), 64))
            .await
            .unwrap();
        assert_eq!((answer.status, answer.body.len(), answer.cut), (200, 64, true));
    }

    #[tokio::test]
    async fn nobody_at_home_is_a_failure_that_may_pass() {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        drop(listener);
        let error = local()
            .send(Call::get(url(&format!("http://{address}/")), 64))
            .await
            .unwrap_err();
        assert!(error.is_passing(), "{error:?}");
    }
}
