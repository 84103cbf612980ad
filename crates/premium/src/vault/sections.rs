//! The bar of links between the pages about secrets. It shows a page to whoever may see it.

use aim_core::RequiredPermission;
use aim_platform::console::{Fragment, Frame};
use askama::Template;

use super::permission::{SecretsRead, SecretsReveal};
use crate::{access::permission::HoneytokensWrite, secret_wraps::permission::SecretsWrap};

/// Where the navigation leads, and where the number of those who wait for an answer stands.
pub(super) const SECRETS: &str = "/secrets";
/// Where they are answered.
const REVEALS: &str = "/secrets/reveals";

struct Link {
    label: &'static str,
    path: &'static str,
    current: bool,
    /// How many wait there for the viewer.
    waiting: u64,
}

#[derive(Template)]
#[template(path = "vault/sections.html")]
struct Sections {
    links: Vec<Link>,
}

/// The bar, as this viewer has it.
pub(crate) fn bar(frame: &Frame) -> Fragment {
    let pages = [
        ("Secrets", SECRETS, SecretsRead::PERMISSION),
        ("Reveals", REVEALS, SecretsReveal::PERMISSION),
        ("Wrap tokens", "/secrets/wraps", SecretsWrap::PERMISSION),
        ("SDK namespaces", "/secrets/namespaces", SecretsRead::PERMISSION),
        ("Point in time", "/secrets/at", SecretsRead::PERMISSION),
        (
            "Honeytokens",
            "/secrets/honeytokens",
            HoneytokensWrite::PERMISSION,
        ),
        ("Vault", "/secrets/vault", SecretsRead::PERMISSION),
    ];
    let mut links = frame.navigation.iter().flat_map(|group| &group.links);
    // The navigation has counted them already.
    let waiting = links
        .find(|link| link.path == SECRETS)
        .and_then(|link| link.badge)
        .unwrap_or(0);
    let links = pages
        .into_iter()
        .filter(|(_, _, permission)| frame.allows(*permission))
        .map(|(label, path, _)| Link {
            label,
            path,
            current: frame.path == path,
            waiting: if path == REVEALS { waiting } else { 0 },
        });
    let bar = Sections {
        links: links.collect(),
    };
    // Nothing in it can refuse to be shown; without the bar the page still stands.
    Fragment::of(&bar).unwrap_or_default()
}
