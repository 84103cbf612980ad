//! What no record tells of: time that passes. Keys that expired, and an audit log that nobody verifies.

use std::time::Duration;

use aim_core::{AgentId, OrganizationId, Result, Timestamp};
use aim_decision::Severity;
use aim_platform::{Job, Kernel};
use aim_store::{
    Db, Scope, Store, each,
    schema::{agent_keys, agents, organizations},
};
use chrono::TimeDelta;
use diesel::{BoolExpressionMethods, ExpressionMethods, JoinOnDsl, OptionalExtension, QueryDsl, RunQueryDsl};
use serde_json::json;

use super::{
    model::{AlertKind, NewAlert},
    raise, rules,
};

/// The columns of compliance's table that are read here: one log for the whole installation.
mod theirs {
    diesel::table! {
        use aim_core::sql::{DbTime, DbUuid};
        use diesel::sql_types::Bool;

        audit_verifications (id) {
            id -> DbUuid,
            verified_at -> DbTime,
            intact -> Bool,
        }
    }
}

/// How often it is looked.
const EVERY: Duration = Duration::from_secs(10 * 60);
/// How many organisations one look takes at once, and how many keys of each.
const BATCH: i64 = 200;
/// How far back an expiry is news; older ones were told of, or the agent is long gone.
const NEWS_DAYS: i64 = 2;

/// The jobs.
pub(crate) fn all(kernel: &Kernel) -> Vec<Job> {
    let store = kernel.store.clone();
    vec![Job::new("monitoring.overdue", EVERY, move |now| {
        let store = store.clone();
        async move { look(&store, now).await }
    })]
}

/// Raises what is overdue in every organisation. It does no harm to run it twice at once.
///
/// # Errors
/// The database's.
pub(crate) async fn look(store: &Store, now: Timestamp) -> Result<()> {
    let mut after: Option<OrganizationId> = None;
    loop {
        let found = store
            .read(Scope::Installation, move |db| organizations_after(db, after))
            .await?;
        let Some(last) = found.last() else {
            return Ok(());
        };
        after = Some(last.0);
        for (organization, since) in found {
            expired_keys(store, organization, now).await?;
            unverified_log(store, organization, since, now).await?;
        }
    }
}

fn organizations_after(
    db: &mut Db,
    after: Option<OrganizationId>,
) -> aim_store::Result<Vec<(OrganizationId, Timestamp)>> {
    Ok(each!(db, c => {
        let mut query = organizations::table
            .select((organizations::id, organizations::created_at))
            .order(organizations::id)
            .limit(BATCH)
            .into_boxed();
        if let Some(after) = after {
            query = query.filter(organizations::id.gt(after));
        }
        query.load(c)
    })?)
}

type ExpiredKey = (AgentId, String, String, Timestamp);

async fn expired_keys(store: &Store, organization: OrganizationId, now: Timestamp) -> Result<()> {
    let keys: Vec<ExpiredKey> = store
        .read(organization, move |db| {
            Ok(each!(db, c => agent_keys::table
                .inner_join(agents::table.on(agents::org_id.eq(agent_keys::org_id).and(agents::id.eq(agent_keys::agent_id))))
                .filter(agent_keys::org_id.eq(organization))
                .filter(agent_keys::expires_at.le(now))
                .filter(agent_keys::expires_at.gt(now - TimeDelta::days(NEWS_DAYS)))
                .filter(agent_keys::replaced_at.is_null())
                .filter(agent_keys::revoked_at.is_null())
                .filter(agents::deleted_at.is_null())
                .filter(agents::status.eq("active"))
                .order(agent_keys::expires_at)
                .limit(BATCH)
                .select((agent_keys::agent_id, agents::name, agent_keys::fingerprint, agent_keys::expires_at))
                .load(c))?)
        })
        .await?;
    let alerts: Vec<NewAlert> = keys
        .into_iter()
        .map(|(agent, name, fingerprint, expires_at)| NewAlert {
            organization,
            agent: Some(agent),
            kind: AlertKind::KeyExpired,
            severity: Severity::High,
            title: format!("The key of {name} has expired: its requests are refused"),
            detail: json!({"fingerprint": fingerprint, "expires_at": expires_at}),
            dedupe_key: format!("key_expired:{fingerprint}"),
            at: now,
        })
        .collect();
    raise_new(store, organization, alerts).await
}

async fn unverified_log(
    store: &Store,
    organization: OrganizationId,
    since: Timestamp,
    now: Timestamp,
) -> Result<()> {
    let alert = store
        .read(organization, move |db| {
            let rule = rules::of(db, organization, AlertKind::AuditUnverified)?;
            let latest: Option<(Timestamp, bool)> = each!(db, c => theirs::audit_verifications::table
                .order(theirs::audit_verifications::verified_at.desc())
                .select((
                    theirs::audit_verifications::verified_at,
                    theirs::audit_verifications::intact,
                ))
                .first(c)
                .optional())?;
            Ok(audit_alert(organization, latest, since, rule.threshold, now))
        })
        .await?;
    raise_new(store, organization, alert.into_iter().collect()).await
}

/// What is to be said about the latest verification.
fn audit_alert(
    organization: OrganizationId,
    latest: Option<(Timestamp, bool)>,
    since: Timestamp,
    days: i64,
    now: Timestamp,
) -> Option<NewAlert> {
    let alert = |severity, title, detail| NewAlert {
        organization,
        agent: None,
        kind: AlertKind::AuditUnverified,
        severity,
        title,
        detail,
        dedupe_key: "audit_unverified".to_owned(),
        at: now,
    };
    let overdue = TimeDelta::days(days);
    match latest {
        Some((at, false)) => Some(alert(
            Severity::Critical,
            "The audit log did not pass its verification".to_owned(),
            json!({"verified_at": at, "intact": false}),
        )),
        Some((at, true)) if now - at > overdue => Some(alert(
            Severity::Medium,
            format!("The audit log was not verified for {days} days"),
            json!({"verified_at": at, "threshold_days": days}),
        )),
        None if now - since > overdue => Some(alert(
            Severity::Medium,
            format!("The audit log was never verified in {days} days"),
            json!({"verified_at": null, "threshold_days": days}),
        )),
        _ => None,
    }
}

/// Raises those that are not open yet: what is still overdue at the next look is no repeat.
async fn raise_new(store: &Store, organization: OrganizationId, alerts: Vec<NewAlert>) -> Result<()> {
    if alerts.is_empty() {
        return Ok(());
    }
    store
        .write(organization, move |db| {
            let mut entries = Vec::new();
            for alert in &alerts {
                let known = super::store::latest_under_key(db, organization, &alert.dedupe_key)?;
                let told =
                    known.is_some_and(|row| row.open_key.is_some() || alert.kind == AlertKind::KeyExpired);
                if !told {
                    entries.extend(raise(db, alert)?.entries);
                }
            }
            aim_audit::append(db, entries).map(|_| ())
        })
        .await
}
