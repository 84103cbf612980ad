//! Refreshing: the intent, the call, and what comes of it.

use aim_audit::Entry;
use aim_core::{Code, Ctx, Error, Id, OrganizationId, Result, Timestamp};
use aim_store::{Db, Scope};
use chrono::TimeDelta;
use futures_util::{StreamExt as _, stream};
use serde_json::json;

use super::{
    context,
    exchange::{self, Failure, Granted},
    is_refreshable,
    model::{RefreshOutcome, RefreshReply, RefreshRequest, RefreshView, UNTOLD, before, pause_after},
    store::{self, AttemptKind, RefreshRow},
};
use crate::vault::{
    kinds::{Fields, SecretKind},
    lifecycle::values_of,
    path::SecretPath,
    service::{Draft, NewVersion, VaultService, in_transaction, refuse_agents},
};

/// How many secrets are refreshed in one run of the job: what is left is due in the next one.
const MOST: i64 = 32;
/// How many endpoints are asked at once.
const AT_ONCE: usize = 8;
/// From when on an attempt that has not ended is over: longer than any call takes.
const ABANDONED: TimeDelta = TimeDelta::seconds(60);

/// A call that is about to go out.
#[derive(Clone)]
struct Attempt {
    id: Id<AttemptKind>,
    version: i64,
    fields: Fields,
    /// When an earlier call went out whose answer never came.
    lost_at: Option<Timestamp>,
}

impl VaultService {
    /// Refreshes what is due. Answers how many were tried.
    ///
    /// # Errors
    /// The database's.
    pub async fn refresh_due(&self, now: Timestamp) -> Result<usize> {
        let due = self
            .store
            .read(Scope::Installation, move |db| store::due(db, now, MOST))
            .await?;
        let tried = stream::iter(due)
            .map(|(organization, path)| self.refresh_one(organization, path, now))
            .buffer_unordered(AT_ONCE)
            .collect::<Vec<Result<()>>>()
            .await;
        let count = tried.len();
        // The others were tried all the same.
        tried.into_iter().collect::<Result<()>>()?;
        Ok(count)
    }

    async fn refresh_one(&self, organization: OrganizationId, path: String, now: Timestamp) -> Result<()> {
        let ctx = context(organization, now);
        match self.refresh_at(&ctx, SecretPath::parse(&path)?).await {
            Ok(_) => Ok(()),
            // Sealed: as soon as it is open. In use or changed meanwhile: somebody else does it.
            Err(error)
                if matches!(
                    error.code,
                    Code::VaultSealed | Code::StateConflict | Code::NotFound
                ) =>
            {
                Ok(())
            }
            Err(error) => Err(error),
        }
    }

    /// Refreshes a secret now.
    ///
    /// # Errors
    /// `resource.not_found`; `resource.state` for one that is no refreshable OAuth secret, or is being refreshed;
    /// `vault.sealed`, `vault.integrity`.
    pub async fn refresh(&self, ctx: &Ctx, request: RefreshRequest) -> Result<RefreshReply> {
        refuse_agents(ctx)?;
        self.refresh_at(ctx, SecretPath::parse(&request.path)?).await
    }

    async fn refresh_at(&self, ctx: &Ctx, path: SecretPath) -> Result<RefreshReply> {
        let attempt = match self.begin(ctx, path.clone()).await {
            Err(error) if error.code == Code::VaultIntegrity => {
                self.put_off(ctx, path, error.to_string()).await?;
                return Err(error);
            }
            other => other?,
        };
        let outcome = match exchange::call(&attempt.fields) {
            Ok(call) => exchange::outcome(self.outbound.send(call).await),
            Err(error) => Err(Failure {
                reason: error.to_string(),
                is_passing: false,
                is_uncertain: false,
            }),
        };
        self.end(ctx, path, attempt, outcome).await
    }

    /// Makes the intent durable: from here on it is known that a call may have gone out.
    async fn begin(&self, ctx: &Ctx, path: SecretPath) -> Result<Attempt> {
        let (root, cached) = self.opened(ctx).await?;
        let ctx = ctx.clone();
        self.store
            .write(ctx.organization, move |db| {
                let keys = in_transaction(db, &ctx, &root, cached.as_ref())?;
                let draft = Draft::existing(db, &ctx, &keys, &path)?.ok_or_else(Error::not_found)?;
                let newest = draft.row.newest_of(&draft.versions);
                let watched = store::find(db, ctx.organization, draft.row.id)?;
                let Some(mut watched) = watched.filter(|_| newest.is_some_and(is_refreshable)) else {
                    return Err(not_refreshable().into());
                };
                if let Some(since) = watched.attempt_at {
                    if ctx.now - since < ABANDONED {
                        let detail = "this secret is being refreshed just now";
                        return Err(Error::new(Code::StateConflict, detail).at("path").into());
                    }
                    watched.lost_at = Some(since);
                }
                let id = ctx.new_id();
                watched.attempt_at = Some(ctx.now);
                watched.attempt_id = Some(id);
                // Whoever dies from here on leaves a refresh that is due as soon as it counts as lost, also one that somebody
                // asked for long before its time.
                watched.next_at = Some(ctx.now + ABANDONED);
                store::save(db, &watched)?;
                let version = draft.row.current_version;
                let (_, fields, _) = values_of(db, &ctx, draft.row.id, &keys, &path, version)?;
                Ok(Attempt {
                    id,
                    version,
                    fields,
                    lost_at: watched.lost_at,
                })
            })
            .await
    }

    /// Stores what came: a new version, or why there is none.
    async fn end(
        &self,
        ctx: &Ctx,
        path: SecretPath,
        attempt: Attempt,
        outcome: std::result::Result<Granted, Failure>,
    ) -> Result<RefreshReply> {
        let (root, cached) = self.opened(ctx).await?;
        let ctx = ctx.clone();
        let outcome = outcome.map(|granted| taken_over(&attempt.fields, granted));
        let plaintext = match &outcome {
            Ok((fields, _, _)) => Some(fields.plaintext(SecretKind::Oauth)?),
            Err(_) => None,
        };
        self.store
            .write(ctx.organization, move |db| {
                let keys = in_transaction(db, &ctx, &root, cached.as_ref())?;
                let mut draft = Draft::existing(db, &ctx, &keys, &path)?.ok_or_else(Error::not_found)?;
                // What was deleted or destroyed while the call was out stays so.
                let newest = draft.row.newest_of(&draft.versions);
                let same_version = newest
                    .is_some_and(|newest| newest.version == attempt.version && is_refreshable(newest));
                match (&outcome, &plaintext) {
                    (Ok((fields, rotated, expires_in)), Some(plaintext)) if same_version => {
                        let end = expires_in.map(|seconds| ctx.now + TimeDelta::seconds(seconds));
                        draft.row.expires_at = end;
                        let new = NewVersion {
                            kind: SecretKind::Oauth.as_str(),
                            fields,
                            plaintext,
                            rolled_back_from: None,
                        };
                        let destroyed = draft.add(db, &ctx, &keys, &path, &new)?;
                        let (secret, version) = (draft.row.id, draft.row.current_version);
                        let facts = json!({
                            "version": version, "from": attempt.version, "rotated": rotated, "expires_at": end,
                            "destroyed": destroyed,
                        });
                        let (_, entry) = draft.save(db, &ctx, &keys, &path, "secret.refreshed", facts)?;
                        let next_at = end.map_or(ctx.now + UNTOLD, |end| before(ctx.now, end));
                        let row = RefreshRow {
                            org_id: ctx.organization,
                            secret_id: secret,
                            version,
                            next_at: Some(next_at),
                            failures: 0,
                            last_error: None,
                            refreshed_at: Some(ctx.now),
                            attempt_at: None,
                            lost_at: None,
                            attempt_id: None,
                        };
                        store::save(db, &row)?;
                        aim_audit::append(db, vec![entry])?;
                        Ok(reply(&path, RefreshOutcome::Refreshed, version, row))
                    }
                    (Err(failure), _) => failed(db, &ctx, &draft, &path, &attempt, failure),
                    (Ok(_), _) => superseded(db, &ctx, &draft, &path, &attempt),
                }
            })
            .await
    }

    /// One that is broken is not tried every few seconds.
    async fn put_off(&self, ctx: &Ctx, path: SecretPath, reason: String) -> Result<()> {
        let ctx = ctx.clone();
        self.store
            .write(ctx.organization, move |db| {
                let row = crate::vault::store::lock(db, ctx.organization, path.as_str())?;
                let Some(row) = row else { return Ok(()) };
                if let Some(mut watched) = store::find(db, ctx.organization, row.id)? {
                    watched.failures += 1;
                    watched.next_at = Some(ctx.now + pause_after(watched.failures));
                    watched.last_error = Some(reason.clone());
                    store::save(db, &watched)?;
                }
                Ok(())
            })
            .await
    }
}

fn not_refreshable() -> Error {
    let detail =
        "this is no OAuth secret with a token_url and a refresh_token whose newest version is active";
    Error::new(Code::StateConflict, detail).at("path")
}

/// The fields of the next version; whether the refresh token is another one; and how long the access token lives.
fn taken_over(fields: &Fields, granted: Granted) -> (Fields, bool, Option<i64>) {
    let mut next = fields.clone();
    next.0.insert("access_token".to_owned(), granted.access_token);
    let rotated = granted.refresh_token.as_ref().is_some_and(|token| {
        !fields
            .0
            .get("refresh_token")
            .is_some_and(|before| before.ct_eq(token))
    });
    if let Some(token) = granted.refresh_token {
        next.0.insert("refresh_token".to_owned(), token);
    }
    (next, rotated, granted.expires_in)
}

fn failed(
    db: &mut Db,
    ctx: &Ctx,
    draft: &Draft,
    path: &SecretPath,
    attempt: &Attempt,
    failure: &Failure,
) -> aim_store::Result<RefreshReply> {
    let current = draft.row.current_version;
    let Some(watched) = store::find(db, ctx.organization, draft.row.id)? else {
        // It is no secret to be refreshed any more.
        return superseded(db, ctx, draft, path, attempt);
    };
    if watched.attempt_id != Some(attempt.id) {
        // Somebody else has it by now: what became of this attempt is theirs to find out, or over.
        return Ok(reply(path, RefreshOutcome::Failed, current, watched));
    }
    let mut reason = failure.reason.clone();
    if failure.is_uncertain {
        reason.push_str("; the endpoint may have exchanged the refresh token all the same");
    }
    if let Some(lost) = attempt.lost_at.filter(|_| !failure.is_passing) {
        reason.push_str(&format!(
            "; the answer to the attempt of {lost} was lost, and may have held the refresh token that counts now: authorise anew"
        ));
    }
    let failures = watched.failures + 1;
    let next_at = failure.is_passing.then(|| ctx.now + pause_after(failures));
    let row = RefreshRow {
        next_at,
        failures,
        last_error: Some(reason.clone()),
        attempt_at: None,
        attempt_id: None,
        lost_at: if failure.is_uncertain {
            Some(ctx.now)
        } else {
            watched.lost_at
        },
        ..watched
    };
    store::save(db, &row)?;
    let entry = Entry::event(ctx, "secret.refresh_failed")
        .target("secret", draft.row.id)
        .outcome(if failure.is_passing { "retried" } else { "refused" })
        .facts(json!({
            "version": attempt.version,
            "failures": failures,
            "next_at": next_at,
            "answer_lost": failure.is_uncertain,
        }))
        .details(json!({"path": path.as_str(), "reason": reason}));
    aim_audit::append(db, vec![entry])?;
    Ok(reply(path, RefreshOutcome::Failed, current, row))
}

/// What somebody wrote, deleted or destroyed while the call was out counts; what the call brought is not kept.
fn superseded(
    db: &mut Db,
    ctx: &Ctx,
    draft: &Draft,
    path: &SecretPath,
    attempt: &Attempt,
) -> aim_store::Result<RefreshReply> {
    let current = draft.row.current_version;
    let watched = store::find(db, ctx.organization, draft.row.id)?;
    let watched = watched.unwrap_or_else(|| RefreshRow::none(ctx.organization, draft.row.id, current));
    let entry = Entry::event(ctx, "secret.refresh_failed")
        .target("secret", draft.row.id)
        .outcome("superseded")
        .facts(json!({"version": attempt.version, "current_version": current}))
        .details(json!({"path": path.as_str()}));
    aim_audit::append(db, vec![entry])?;
    Ok(reply(path, RefreshOutcome::Failed, current, watched))
}

fn reply(path: &SecretPath, outcome: RefreshOutcome, current_version: i64, row: RefreshRow) -> RefreshReply {
    RefreshReply {
        path: path.as_str().to_owned(),
        outcome,
        current_version,
        refresh: RefreshView::of(row),
    }
}
