//! A cookie is sent by the browser on its own; what changes something must come from our own pages.

use aim_core::{Code, Error, Result};
use aim_platform::RequestHead;

/// Refuses what another site made the browser send.
///
/// # Errors
/// `auth.cross_site` for an unsafe method unless the browser says that the request comes from this
/// very origin.
pub(super) fn check(head: &RequestHead<'_>) -> Result<()> {
    if head.method.is_safe() {
        return Ok(());
    }
    let is_ours = match head.header("sec-fetch-site") {
        Some(site) => matches!(site, "same-origin" | "none"),
        None => head
            .header("origin")
            .is_some_and(|origin| is_own_origin(head, origin)),
    };
    if is_ours {
        Ok(())
    } else {
        Err(Error::new(
            Code::CrossSite,
            "a request with a cookie that changes something needs Sec-Fetch-Site: same-origin, or an Origin that is ours",
        ))
    }
}

/// Whether `origin` (RFC 6454 §6.2) is the one that the request was sent to.
fn is_own_origin(head: &RequestHead<'_>, origin: &str) -> bool {
    let default_port = if head.scheme == "https" { ":443" } else { ":80" };
    let authority = head
        .authority
        .strip_suffix(default_port)
        .unwrap_or(head.authority);
    origin
        .split_once("://")
        .is_some_and(|(scheme, host)| scheme == head.scheme && host.eq_ignore_ascii_case(authority))
}

#[cfg(test)]
mod tests {
    use actix_web::http::{
        Method, Uri,
        header::{HeaderMap, HeaderName, HeaderValue},
    };
    use aim_core::Timestamp;

    use super::*;

    fn verdict(
        method: &Method,
        scheme: &str,
        authority: &str,
        headers: &[(&'static str, &'static str)],
    ) -> Result<()> {
        let map: HeaderMap = headers
            .iter()
            .map(|(name, value)| (HeaderName::from_static(name), HeaderValue::from_static(value)))
            .collect();
        let head = RequestHead {
            method,
            uri: &Uri::from_static("/api/v1/agents"),
            scheme,
            authority,
            headers: &map,
            now: Timestamp::parse("2026-01-01T00:00:00Z").unwrap(),
            source_ip: None,
        };
        check(&head)
    }

    #[test]
    fn reading_needs_no_proof_of_origin() {
        assert!(
            verdict(
                &Method::GET,
                "https",
                "aim.example",
                &[("sec-fetch-site", "cross-site")]
            )
            .is_ok()
        );
    }

    #[test]
    fn our_own_pages_may_change_things() {
        let post = |authority, headers: &[(&'static str, &'static str)]| {
            verdict(&Method::POST, "https", authority, headers)
        };
        assert!(post("aim.example", &[("sec-fetch-site", "same-origin")]).is_ok());
        assert!(post("aim.example", &[("sec-fetch-site", "none")]).is_ok());
        assert!(post("aim.example", &[("origin", "https://aim.example")]).is_ok());
        assert!(post("AIM.example:443", &[("origin", "https://aim.example")]).is_ok());
        assert!(post("aim.example:8443", &[("origin", "https://aim.example:8443")]).is_ok());
    }

    #[test]
    fn other_sites_may_not() {
        for headers in [
            &[][..],
            &[("sec-fetch-site", "cross-site")],
            &[("sec-fetch-site", "same-site")],
            &[
                ("sec-fetch-site", "cross-site"),
                ("origin", "https://aim.example"),
            ],
            &[("origin", "null")],
            &[("origin", "http://aim.example")],
            &[("origin", "https://aim.example.evil.example")],
            &[("origin", "https://aim.example:8443")],
        ] {
            let error = verdict(&Method::POST, "https", "aim.example", headers).unwrap_err();
            assert_eq!(error.code, Code::CrossSite, "{headers:?}");
        }
    }
}
