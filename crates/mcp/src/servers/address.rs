//! The address of an MCP server in one spelling, so that one server is registered once.

use aim_core::{Error, Result};
use url::Url;

/// The longest address, in bytes: it stands in an index.
const LONGEST: usize = 2048;
/// A server that its client starts as a process, and talks to over standard input and output.
const STDIO: &str = "stdio:";

/// Reads an address: `https://…` or `http://…` without credentials, query and fragment; or `stdio:` and a command line.
/// Host and scheme become lower case, a default port and a final slash go, white space in a command is one space.
///
/// # Errors
/// `request.field_invalid` at `url`.
pub(crate) fn normalised(text: &str) -> Result<String> {
    let text = text.trim();
    if text.len() > LONGEST {
        return Err(refused(format!("use at most {LONGEST} bytes")));
    }
    let address = match text.get(..STDIO.len()) {
        Some(scheme) if scheme.eq_ignore_ascii_case(STDIO) => command(text.split_at(STDIO.len()).1)?,
        _ => web_address(text)?,
    };
    if address.len() > LONGEST {
        return Err(refused(format!("use at most {LONGEST} bytes")));
    }
    Ok(address)
}

/// Where the challenge of a server at `address` is answered; none for a server without a web address.
pub(crate) fn origin(address: &str) -> Option<String> {
    let url = Url::parse(address).ok()?;
    matches!(url.scheme(), "http" | "https").then(|| url.origin().ascii_serialization())
}

fn web_address(text: &str) -> Result<String> {
    let mut url = Url::parse(text).map_err(|error| {
        refused(format!(
            "write it as https://HOST/PATH, or stdio: and a command ({error})"
        ))
    })?;
    if !matches!(url.scheme(), "http" | "https") {
        return Err(refused("the scheme is https, http or stdio"));
    }
    if !url.username().is_empty() || url.password().is_some() {
        return Err(refused(
            "leave the credentials out; addresses are shown and logged",
        ));
    }
    if url.query().is_some() {
        return Err(refused(
            "leave the query out; keys stand there all too often, and addresses are shown and logged",
        ));
    }
    url.set_fragment(None);
    if let Some(host) = url
        .host_str()
        .and_then(|host| host.strip_suffix('.'))
        .map(str::to_owned)
    {
        url.set_host(Some(&host))
            .map_err(|_| refused("the host has no name"))?;
    }
    Ok(url.as_str().trim_end_matches('/').to_owned())
}

/// A command line in one spelling. What looks like credentials in an address within it is taken out.
fn command(text: &str) -> Result<String> {
    if text
        .chars()
        .any(|character| character.is_control() && !character.is_whitespace())
    {
        return Err(refused("control characters are not accepted; leave them out"));
    }
    let words: Vec<String> = text
        .trim_start_matches('/')
        .split_whitespace()
        .map(without_credentials)
        .collect();
    if words.is_empty() {
        return Err(refused("name the command after stdio://"));
    }
    Ok(format!("stdio://{}", words.join(" ")))
}

fn without_credentials(word: &str) -> String {
    let Some((scheme, rest)) = word.split_once("://") else {
        return word.to_owned();
    };
    let end = rest.find(['/', '?', '#']).unwrap_or(rest.len());
    let (authority, path) = rest.split_at(end);
    match authority.rsplit_once('@') {
        Some((_, host)) => format!("{scheme}://{host}{path}"),
        None => word.to_owned(),
    }
}

fn refused(detail: impl Into<String>) -> Error {
    Error::field("url", detail)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_server_has_one_address() {
        for (text, address) in [
            ("https://Mcp.Example.COM:443/", "https://mcp.example.com"),
            (
                " HTTPS://mcp.example.com./tools/ ",
                "https://mcp.example.com/tools",
            ),
            ("https://mcp.example.com/a/../b#top", "https://mcp.example.com/b"),
            ("http://mcp.example.com:80/x", "http://mcp.example.com/x"),
            ("http://mcp.example.com:8080", "http://mcp.example.com:8080"),
            ("http://[::1]:3000/", "http://[::1]:3000"),
            ("https://bücher.example/mcp", "https://xn--bcher-kva.example/mcp"),
            (
                "stdio://npx  -y\tserver-files /tmp",
                "stdio://npx -y server-files /tmp",
            ),
            ("STDIO:uvx server", "stdio://uvx server"),
            (
                "stdio://npx server-postgres postgres://me:secret@db:5432/sales",
                "stdio://npx server-postgres postgres://db:5432/sales",
            ),
        ] {
            assert_eq!(normalised(text).unwrap(), address, "{text}");
            assert_eq!(normalised(address).unwrap(), address, "a second time");
        }
    }

    #[test]
    fn an_address_that_would_carry_a_secret_or_lead_nowhere_is_refused_by_name() {
        let long = format!("https://a.example/{}", "x".repeat(2100));
        for text in [
            "",
            "mcp.example.com",
            "https://",
            "ftp://a.example",
            "javascript:alert(1)",
            "file:///etc/passwd",
            "https://me:secret@a.example",
            "https://token@a.example",
            "https://a.example/sse?key=1",
            "stdio://",
            "stdio:// ",
            "stdio://a\u{0}b",
            &long,
        ] {
            let error = normalised(text).unwrap_err();
            assert_eq!(error.field.as_deref(), Some("url"), "{text}");
            assert!(!error.detail.contains("secret"), "{error:?}");
        }
    }

    #[test]
    fn the_challenge_is_answered_at_the_origin_of_a_web_address() {
        assert_eq!(
            origin("https://a.example:8443/mcp/x").as_deref(),
            Some("https://a.example:8443")
        );
        assert_eq!(origin("stdio://npx server"), None);
    }
}
