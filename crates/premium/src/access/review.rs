//! What could be taken away: secrets that nobody reads, and grants that cover far more than is read by them.

use std::collections::BTreeSet;

use aim_core::{AgentId, Ctx, Cursor, Error, GrantId, OrganizationId, Result, Timestamp};
use aim_decision::{CanonicalResource, CapabilityName, CapabilityPattern, ResourcePattern};
use aim_store::Db;
use chrono::TimeDelta;
use serde::Deserialize;

use super::{
    model::{BroadGrant, BroadList, BroadQuery, UnusedList, UnusedQuery, UnusedSecret, days_and_limit},
    service::{AccessService, thresholds_of},
    settings::Thresholds,
    store::{self, GrantPart},
};
use crate::vault::{model::SecretId, reads::READ_ACTION, service::refuse_agents};

/// How many secrets one request looks at for unused ones.
const LOOKED_AT: i64 = 2_000;
/// How many secrets are counted for one pattern.
const COUNTED: i64 = 2_000;
/// How many grants one request looks at.
const GRANTS: i64 = 500;
/// How many paths are named that would be enough.
const NAMED: usize = 20;
/// How many days of reads a grant is compared with.
const USUAL_DAYS: i64 = 30;

fn unknown_cursor() -> Error {
    Error::field(
        "cursor",
        "not a cursor of this list; leave it out to start at the top",
    )
}

impl AccessService {
    /// Secrets that nobody has read for so many days; honeytokens are left out, and what nobody could read.
    ///
    /// # Errors
    /// `request.field_invalid` at a parameter.
    pub async fn unused(&self, ctx: &Ctx, query: &UnusedQuery) -> Result<UnusedList> {
        refuse_agents(ctx)?;
        let (days, limit) = days_and_limit(query.days.as_deref(), query.limit.as_deref())?;
        let cursor = query.cursor.as_deref().map(Cursor::parse).transpose()?;
        let (organization, now) = (ctx.organization, ctx.now);
        self.store
            .read(organization, move |db| {
                let days = match days {
                    Some(days) => days,
                    None => thresholds_of(db, organization)?.unused_days,
                };
                let after = match cursor {
                    None => String::new(),
                    Some(cursor) => store::path_of(db, organization, SecretId::from_uuid(cursor.0))?
                        .ok_or_else(unknown_cursor)?,
                };
                unused(
                    db,
                    organization,
                    (now, now - TimeDelta::days(days)),
                    &after,
                    limit,
                )
                .map(|(secrets, next_cursor)| UnusedList {
                    secrets,
                    days,
                    limit,
                    next_cursor,
                })
            })
            .await
    }

    /// Grants of `secret:read` that cover far more secrets than the agent read in so many days.
    ///
    /// # Errors
    /// `request.field_invalid` at a parameter.
    pub async fn broad(&self, ctx: &Ctx, query: &BroadQuery) -> Result<BroadList> {
        refuse_agents(ctx)?;
        let (days, limit) = days_and_limit(query.days.as_deref(), query.limit.as_deref())?;
        let days = days.unwrap_or(USUAL_DAYS);
        let agent = query.agent()?;
        let cursor = query.cursor.as_deref().map(Cursor::parse).transpose()?;
        let (organization, now) = (ctx.organization, ctx.now);
        self.store
            .read(organization, move |db| {
                let search = Search {
                    organization,
                    since: now - TimeDelta::days(days),
                    thresholds: thresholds_of(db, organization)?,
                };
                let after = cursor.map(|cursor| GrantId::from_uuid(cursor.0));
                let rows = store::grants_now(db, organization, agent, now, after, GRANTS)?;
                let all = i64::try_from(rows.len()).is_ok_and(|count| count < GRANTS);
                let (mut grants, mut next) = (Vec::new(), None);
                let mut rest = rows.into_iter();
                for row in rest.by_ref() {
                    let id = row.0;
                    grants.extend(search.broad(db, row)?);
                    next = Some(id);
                    if i64::try_from(grants.len()).is_ok_and(|count| count >= limit) {
                        break;
                    }
                }
                let ended = all && rest.next().is_none();
                Ok(BroadList {
                    grants,
                    days,
                    limit,
                    next_cursor: next.filter(|_| !ended).map(|id| Cursor(id.uuid()).encode()),
                })
            })
            .await
    }
}

/// Secrets after `after` that could be read at `now`, were made before `since` and not read from then on, and where to go on.
fn unused(
    db: &mut Db,
    organization: OrganizationId,
    (now, since): (Timestamp, Timestamp),
    after: &str,
    limit: i64,
) -> aim_store::Result<(Vec<UnusedSecret>, Option<String>)> {
    let candidates = store::candidates(db, organization, after, now, LOOKED_AT)?;
    let Some((_, last, ..)) = candidates.last() else {
        return Ok((Vec::new(), None));
    };
    let used = store::used_since(db, organization, (after, last), since)?;
    let marked: Vec<String> = store::honeytokens(db, &[organization])?
        .into_iter()
        .map(|row| row.path)
        .collect();
    let is_all = i64::try_from(candidates.len()).is_ok_and(|count| count < LOOKED_AT);
    let (mut secrets, mut next) = (Vec::new(), None);
    let mut rest = candidates.into_iter();
    for (id, path, owner, created_at) in rest.by_ref() {
        next = Some(id);
        let is_quiet = created_at < since && !used.contains(&path);
        if is_quiet && marked.binary_search(&path).is_err() {
            secrets.push(UnusedSecret {
                path,
                owner,
                created_at,
                last_read_at: None,
            });
            if i64::try_from(secrets.len()).is_ok_and(|count| count >= limit) {
                break;
            }
        }
    }
    let ended = is_all && rest.next().is_none();
    let paths: Vec<String> = secrets.iter().map(|secret| secret.path.clone()).collect();
    let reads = store::last_reads(db, organization, &paths)?;
    for secret in &mut secrets {
        secret.last_read_at = reads.get(&secret.path).copied();
    }
    Ok((
        secrets,
        next.filter(|_| !ended).map(|id| Cursor(id.uuid()).encode()),
    ))
}

/// The part of a grant's scope that names resources.
#[derive(Default, Deserialize)]
struct Scope {
    #[serde(default)]
    resources: Vec<String>,
}

struct Search {
    organization: OrganizationId,
    since: Timestamp,
    thresholds: Thresholds,
}

impl Search {
    /// The grant, if it is broad.
    fn broad(&self, db: &mut Db, row: GrantPart) -> aim_store::Result<Option<BroadGrant>> {
        let (grant_id, agent_id, capability, scope, granted_at) = row;
        if !covers_reads(&capability) {
            return Ok(None);
        }
        let resources = serde_json::from_value::<Scope>(scope.0)
            .unwrap_or_default()
            .resources;
        let written = if resources.is_empty() {
            vec!["**".to_owned()]
        } else {
            resources.clone()
        };
        // What no service of ours would have written covers nothing.
        let patterns: Vec<ResourcePattern> = written
            .iter()
            .filter_map(|text| ResourcePattern::try_from(text.as_str()).ok())
            .collect();
        let (covered, covered_or_more) = self.covered(db, &patterns)?;
        let paths = self.read(db, agent_id, &patterns)?;
        let read = i64::try_from(paths.len()).unwrap_or(i64::MAX);
        let is_broad = covered >= self.thresholds.broad_secrets
            && covered >= read.saturating_mul(self.thresholds.broad_factor);
        if !is_broad {
            return Ok(None);
        }
        Ok(Some(BroadGrant {
            grant_id,
            agent_id,
            capability,
            resources,
            granted_at,
            covered,
            covered_or_more,
            read,
            enough_and_more: paths.len() > NAMED,
            enough: paths.into_iter().take(NAMED).collect(),
        }))
    }

    /// How many secrets the patterns cover, and whether there may be more.
    fn covered(&self, db: &mut Db, patterns: &[ResourcePattern]) -> aim_store::Result<(i64, bool)> {
        let mut covered = BTreeSet::new();
        let mut or_more = false;
        for pattern in patterns {
            let paths = store::paths_below(db, self.organization, literal_prefix(pattern), COUNTED)?;
            or_more |= i64::try_from(paths.len()).is_ok_and(|count| count >= COUNTED);
            covered.extend(paths.into_iter().filter(|path| matches(pattern, path)));
        }
        Ok((i64::try_from(covered.len()).unwrap_or(i64::MAX), or_more))
    }

    /// What the agent read of it.
    fn read(
        &self,
        db: &mut Db,
        agent: AgentId,
        patterns: &[ResourcePattern],
    ) -> aim_store::Result<BTreeSet<String>> {
        let mut read = BTreeSet::new();
        for pattern in patterns {
            let prefix = literal_prefix(pattern);
            let paths = store::read_since(db, self.organization, agent, self.since, prefix, COUNTED)?;
            read.extend(paths.into_iter().filter(|path| matches(pattern, path)));
        }
        Ok(read)
    }
}

/// What every path begins with that the pattern covers.
fn literal_prefix(pattern: &ResourcePattern) -> &str {
    pattern.as_str().split('*').next().unwrap_or_default()
}

fn matches(pattern: &ResourcePattern, path: &str) -> bool {
    CanonicalResource::parse(path).is_some_and(|resource| pattern.matches(resource))
}

/// Whether a grant's capability covers `secret:read`.
fn covers_reads(capability: &str) -> bool {
    let action = CapabilityName::try_from(READ_ACTION.to_owned());
    let pattern = CapabilityPattern::try_from(capability);
    match (action, pattern) {
        (Ok(action), Ok(pattern)) => pattern.matches(&action),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_of_capabilities_cover_reads_as_they_do_in_decisions() {
        for (capability, covers) in [
            ("secret:read", true),
            ("secret:*", true),
            ("*", true),
            ("secret:write", false),
            ("db:read", false),
        ] {
            assert_eq!(covers_reads(capability), covers, "{capability}");
        }
    }
}
