//! The request as the signature sees it: borrowed, and independent of any web framework.

use super::HttpSignatureError;

/// Access to the header fields of a request.
pub trait HeaderLookup {
    /// All values of the field in the order received, raw. `name` is always given in lower case; the
    /// comparison must ignore case. Empty when the field is absent.
    fn values(&self, name: &str) -> Vec<&[u8]>;
}

impl<N: AsRef<str>, V: AsRef<[u8]>> HeaderLookup for [(N, V)] {
    fn values(&self, name: &str) -> Vec<&[u8]> {
        self.iter()
            .filter(|(candidate, _)| candidate.as_ref().eq_ignore_ascii_case(name))
            .map(|(_, value)| value.as_ref())
            .collect()
    }
}

impl<N: AsRef<str>, V: AsRef<[u8]>, const COUNT: usize> HeaderLookup for [(N, V); COUNT] {
    fn values(&self, name: &str) -> Vec<&[u8]> {
        self.as_slice().values(name)
    }
}

impl<N: AsRef<str>, V: AsRef<[u8]>> HeaderLookup for Vec<(N, V)> {
    fn values(&self, name: &str) -> Vec<&[u8]> {
        self.as_slice().values(name)
    }
}

/// The parts of a request that a signature can cover, as they were received.
#[derive(Clone, Copy)]
pub struct RequestView<'a> {
    /// The method, in the case received (`POST`).
    pub method: &'a str,
    /// `http` or `https`, as the client used it.
    pub scheme: &'a str,
    /// The `Host` or `:authority` of the client: host and optional port.
    pub authority: &'a str,
    /// The absolute path, still percent-encoded. An empty one counts as `/`.
    pub path: &'a str,
    /// The query without its `?`, still percent-encoded; `None` when there is no `?` at all.
    pub query: Option<&'a str>,
    /// The header fields.
    pub headers: &'a dyn HeaderLookup,
}

impl RequestView<'_> {
    /// Refuses parts that could not have come in a well-formed request, and that would break the lines of the
    /// signature base.
    pub(super) fn check(&self) -> Result<(), HttpSignatureError> {
        let error = |part| Err(HttpSignatureError::Target { part });
        if self.method.is_empty() || !self.method.bytes().all(is_token_byte) {
            return error("method");
        }
        if self.scheme.is_empty() || !self.scheme.bytes().all(|byte| byte.is_ascii_alphanumeric()) {
            return error("scheme");
        }
        let is_authority_byte = |byte: u8| byte.is_ascii_graphic() && !b"/?#@\\\"".contains(&byte);
        if self.authority.is_empty() || !self.authority.bytes().all(is_authority_byte) {
            return error("authority");
        }
        let is_path_byte = |byte: u8| byte.is_ascii_graphic() && byte != b'?' && byte != b'#';
        if !(self.path.is_empty() || self.path.starts_with('/') || self.path == "*")
            || !self.path.bytes().all(is_path_byte)
        {
            return error("path");
        }
        if !self
            .query
            .unwrap_or_default()
            .bytes()
            .all(|byte| byte.is_ascii_graphic() && byte != b'#')
        {
            return error("query");
        }
        Ok(())
    }

    /// `@authority` (RFC 9421 §2.2.3): lower case, without the scheme's default port.
    pub(super) fn push_authority(&self, target: &mut String) {
        let default_port = if self.scheme.eq_ignore_ascii_case("https") {
            ":443"
        } else if self.scheme.eq_ignore_ascii_case("http") {
            ":80"
        } else {
            ":"
        };
        let authority = self
            .authority
            .strip_suffix(default_port)
            .unwrap_or(self.authority);
        // RFC 3986 §6.2.3: an empty port is no port.
        let authority = authority.strip_suffix(':').unwrap_or(authority);
        target.extend(authority.chars().map(|character| character.to_ascii_lowercase()));
    }

    /// `@scheme` (§2.2.4).
    pub(super) fn push_scheme(&self, target: &mut String) {
        target.extend(
            self.scheme
                .chars()
                .map(|character| character.to_ascii_lowercase()),
        );
    }

    /// `@path` (§2.2.6).
    pub(super) fn push_path(&self, target: &mut String) {
        target.push_str(if self.path.is_empty() { "/" } else { self.path });
    }

    /// `@request-target` (§2.2.5) in origin form: path and, if there is one, query.
    pub(super) fn push_request_target(&self, target: &mut String) {
        self.push_path(target);
        if let Some(query) = self.query {
            target.push('?');
            target.push_str(query);
        }
    }

    /// `@target-uri` (§2.2.2).
    pub(super) fn push_target_uri(&self, target: &mut String) {
        self.push_scheme(target);
        target.push_str("://");
        self.push_authority(target);
        self.push_request_target(target);
    }

    /// `@query` (§2.2.7): a lone `?` when there is none.
    pub(super) fn push_query(&self, target: &mut String) {
        target.push('?');
        target.push_str(self.query.unwrap_or_default());
    }
}

/// `tchar` of RFC 9110 §5.6.2.
pub(super) fn is_token_byte(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte)
}
