//! OAuth 2 access tokens that AIM refreshes before they end (RFC 6749 §6).
//!
//! That a call goes out is durable before it goes out, and its answer is a new version before anybody uses it. An answer that
//! is lost in between is named as such: the endpoint may have exchanged the refresh token, and then only a person can help.
//! No token stands in an error, and the calls take the guarded way out.

mod exchange;
mod model;
pub(super) mod routes;
mod service;
mod store;

use std::time::Duration;

use aim_core::Ctx;
use aim_platform::Job;
use aim_store::Db;

pub(super) use exchange::check_fields;
pub use model::{RefreshOutcome, RefreshReply, RefreshRequest, RefreshState, RefreshView};

use super::{
    kinds::SecretKind,
    model::VersionState,
    service::VaultService,
    store::{SecretRow, VersionRow},
};

/// How often it is looked for what is due.
const EVERY: Duration = Duration::from_secs(10);

/// The job that refreshes what is due; a lease lets one node do it.
pub(super) fn job(service: &VaultService) -> Job {
    let service = service.clone();
    Job::new("vault.refresh", EVERY, move |now| {
        let service = service.clone();
        async move { service.refresh_due(now).await.map(|_| ()) }
    })
}

/// Whether a version names what a refresh needs.
fn is_refreshable(version: &VersionRow) -> bool {
    let names = version.field_names.strings();
    let has = |name: &str| names.iter().any(|known| known == name);
    version.kind == SecretKind::Oauth.as_str()
        && version.state == VersionState::Active.as_str()
        && has("token_url")
        && has("refresh_token")
}

/// Notes, inside of a change, whether and when the secret is to be refreshed.
pub(super) fn watch(
    db: &mut Db,
    ctx: &Ctx,
    row: &SecretRow,
    versions: &[VersionRow],
) -> aim_store::Result<()> {
    if !versions
        .iter()
        .any(|version| version.kind == SecretKind::Oauth.as_str())
    {
        return Ok(());
    }
    let Some(newest) = row.newest_of(versions).filter(|newest| is_refreshable(newest)) else {
        return store::forget(db, row.org_id, row.id);
    };
    let watched = store::find(db, row.org_id, row.id)?;
    if watched.is_some_and(|watched| watched.version == row.current_version) {
        return Ok(());
    }
    // An access token whose end nobody told is refreshed at once: then it is known.
    let has_token = newest
        .field_names
        .strings()
        .iter()
        .any(|name| name == "access_token");
    let next_at = match row.expires_at {
        Some(end) if has_token => model::before(ctx.now, end),
        _ => ctx.now,
    };
    store::schedule(db, row.org_id, row.id, row.current_version, next_at)
}

/// How the secret is refreshed, if it is.
pub(super) fn view(db: &mut Db, row: &SecretRow) -> aim_store::Result<Option<RefreshView>> {
    if row.kind != SecretKind::Oauth.as_str() {
        return Ok(None);
    }
    Ok(store::find(db, row.org_id, row.id)?.map(RefreshView::of))
}

/// A context of the job.
fn context(organization: aim_core::OrganizationId, now: aim_core::Timestamp) -> Ctx {
    Ctx::system("vault.refresh", organization, now)
}
