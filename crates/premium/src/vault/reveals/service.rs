//! The use cases of reveals: one transaction each, and the value leaves only when its record is durable.

use aim_audit::Entry;
use aim_core::{
    Actor, Code, Ctx, Error, OrganizationId, PageRequest, RequiredPermission, Result, SessionId, UserId,
};
use aim_crypto::sealing::{self, SealingError, SecretInfo};
use aim_store::Db;
use chrono::TimeDelta;
use serde_json::json;
use zeroize::Zeroizing;

use super::{
    model::{
        ASKS_AN_HOUR, AnswerReveal, AskReveal, Plaintext, RevealId, RevealList, RevealMode, RevealQuery,
        RevealReply, RevealSettings, RevealState, RevealView, RevealedFields, SIGNED_IN_WITHIN_MINUTES,
        SetRevealMode, TAKEN_WITHIN_MINUTES, TakeReveal, WAITS_HOURS,
    },
    store::{self, RevealRow},
};
use crate::vault::{
    VaultService,
    keys::{OrganizationKeys, refuse_sealed},
    model::SecretId,
    path::SecretPath,
    permission::SecretsReveal,
    reads::{ReadSecret, SealedSecret, nothing_there, take, unusable_key},
    service::refuse_agents,
    store as secrets,
};

/// A person, and the session that the person signed in to.
#[derive(Clone, Copy)]
struct Person {
    id: UserId,
    session: SessionId,
}

/// A key to which a value is sealed.
type Recipient = [u8; 32];

impl VaultService {
    /// Whether people may see values.
    ///
    /// # Errors
    /// The database's.
    pub async fn reveal_settings(&self, ctx: &Ctx) -> Result<RevealSettings> {
        refuse_agents(ctx)?;
        let organization = ctx.organization;
        let row = self
            .store
            .read(organization, move |db| store::settings(db, organization))
            .await?;
        Ok(match row {
            Some((mode, by, at)) => RevealSettings {
                mode: RevealMode::parse(&mode),
                changed_by: Some(by),
                changed_at: Some(at),
            },
            None => RevealSettings {
                mode: RevealMode::Off,
                changed_by: None,
                changed_at: None,
            },
        })
    }

    /// Sets whether people may see values. Only a person can.
    ///
    /// # Errors
    /// `auth.forbidden` for everybody else, and for a person who signed in too long ago.
    pub async fn set_reveal_mode(&self, ctx: &Ctx, wanted: SetRevealMode) -> Result<RevealSettings> {
        let person = person(ctx, "vault:reveal_mode")?;
        let at = ctx.clone();
        self.store
            .write(ctx.organization, move |db| {
                check_sign_in(db, &at, person)?;
                let before = store::lock_mode(db, at.organization)?;
                let mode = wanted.mode.as_str();
                store::set_mode(db, at.organization, mode, &at.actor_text(), at.now)?;
                let before = before.unwrap_or_else(|| RevealMode::Off.as_str().to_owned());
                let entry =
                    Entry::event(&at, "vault.reveal_mode_set").facts(json!({"mode": mode, "before": before}));
                aim_audit::append(db, vec![entry])?;
                Ok(())
            })
            .await?;
        self.reveal_settings(ctx).await
    }

    /// Shows a value to a person, or asks a second person to approve that, as the organisation has it.
    ///
    /// # Errors
    /// `auth.forbidden` for what is no person, and for one who signed in too long ago; `resource.state` where reveals are off;
    /// `limit.requests`; `request.field_invalid` at a field; `resource.not_found`; `vault.sealed`; `vault.integrity`.
    pub async fn reveal(&self, ctx: &Ctx, request: AskReveal) -> Result<RevealReply> {
        let person = person(ctx, "secrets:reveal")?;
        let (path, reason) = (SecretPath::parse(&request.path)?, request.check()?);
        let recipient = recipient(request.seal_to.as_deref())?;
        let (_, keys) = self.opened_now(ctx).await?;
        let (at, version) = (ctx.clone(), request.version);
        self.store
            .write(ctx.organization, move |db| {
                check_sign_in(db, &at, person)?;
                let mode = store::lock_mode(db, at.organization)?;
                let mode = mode.map_or(RevealMode::Off, |mode| RevealMode::parse(&mode));
                refuse_off(mode)?;
                check_rate(db, &at, person)?;
                refuse_sealed(db)?;
                let keys = keys.as_ref().ok_or_else(nothing_there)?;
                let found = value_at(db, &at, keys, &path, version)?;
                let is_shown = mode == RevealMode::Reason;
                let (state, waits, event) = if is_shown {
                    (RevealState::Taken, TimeDelta::zero(), "secret.revealed")
                } else {
                    let waits = TimeDelta::hours(WAITS_HOURS);
                    (RevealState::Pending, waits, "secret.reveal_requested")
                };
                let row = RevealRow {
                    org_id: at.organization,
                    id: at.new_id(),
                    secret_id: found.id,
                    path: path.as_str().to_owned(),
                    version: found.secret.version,
                    reason: reason.clone(),
                    state: state.as_str().to_owned(),
                    asked_by: person.id,
                    asked_at: at.now,
                    expires_at: at.now + waits,
                    answered_by: None,
                    answered_at: None,
                    note: None,
                    taken_at: is_shown.then_some(at.now),
                };
                let reply = reply(&at, &row, is_shown.then_some(found), recipient.as_ref())?;
                store::insert(db, &row)?;
                record(db, &at, event, &row, recipient.is_some())?;
                Ok(reply)
            })
            .await
    }

    /// A second person's answer. Never that of whoever asked.
    ///
    /// # Errors
    /// `resource.not_found`; `resource.state` when it is not pending any more; `auth.forbidden` for whoever asked.
    pub async fn answer_reveal(
        &self,
        ctx: &Ctx,
        id: RevealId,
        approve: bool,
        answer: AnswerReveal,
    ) -> Result<RevealView> {
        let person = person(ctx, "secrets:reveal")?;
        let note = answer.check()?;
        let at = ctx.clone();
        self.store
            .write(ctx.organization, move |db| {
                check_sign_in(db, &at, person)?;
                let mut row = store::lock(db, at.organization, id)?.ok_or_else(Error::not_found)?;
                if row.asked_by == person.id {
                    let detail = "whoever asked cannot answer; somebody else with the permission must";
                    return Err(Error::new(Code::Forbidden, detail).into());
                }
                if row.state_at(at.now) != RevealState::Pending {
                    return Err(
                        Error::new(Code::StateConflict, "this request is not pending any more").into(),
                    );
                }
                let (state, event) = if approve {
                    (RevealState::Approved, "secret.reveal_approved")
                } else {
                    (RevealState::Rejected, "secret.reveal_rejected")
                };
                state.as_str().clone_into(&mut row.state);
                row.expires_at = at.now + TimeDelta::minutes(TAKEN_WITHIN_MINUTES);
                row.answered_by = Some(person.id);
                row.answered_at = Some(at.now);
                row.note.clone_from(&note);
                store::answer(db, &row)?;
                record(db, &at, event, &row, false)?;
                Ok(RevealView::of(row, at.now))
            })
            .await
    }

    /// Shows an approved value to whoever asked for it, once.
    ///
    /// # Errors
    /// `resource.not_found`, also when the version was deleted meanwhile; `auth.forbidden` for anybody else; `resource.state`
    /// when it is not approved, taken before or too old, and where reveals were switched off meanwhile.
    pub async fn take_reveal(&self, ctx: &Ctx, id: RevealId, request: TakeReveal) -> Result<RevealReply> {
        let person = person(ctx, "secrets:reveal")?;
        let recipient = recipient(request.seal_to.as_deref())?;
        let (_, keys) = self.opened_now(ctx).await?;
        let at = ctx.clone();
        self.store
            .write(ctx.organization, move |db| {
                check_sign_in(db, &at, person)?;
                let mode = store::lock_mode(db, at.organization)?;
                let mut row = store::lock(db, at.organization, id)?.ok_or_else(Error::not_found)?;
                if row.asked_by != person.id {
                    return Err(Error::new(Code::Forbidden, "only whoever asked can take it").into());
                }
                refuse_off(mode.map_or(RevealMode::Off, |mode| RevealMode::parse(&mode)))?;
                let state = row.state_at(at.now);
                if state != RevealState::Approved {
                    return Err(not_to_be_taken(state).into());
                }
                refuse_sealed(db)?;
                let keys = keys.as_ref().ok_or_else(nothing_there)?;
                let path = SecretPath::parse(&row.path)?;
                let found = value_at(db, &at, keys, &path, Some(row.version))?;
                if found.id != row.secret_id || !store::take(db, at.organization, id, at.now)? {
                    return Err(Error::not_found().into());
                }
                RevealState::Taken.as_str().clone_into(&mut row.state);
                row.taken_at = Some(at.now);
                let reply = reply(&at, &row, Some(found), recipient.as_ref())?;
                record(db, &at, "secret.revealed", &row, recipient.is_some())?;
                Ok(reply)
            })
            .await
    }

    /// A reveal without its value.
    ///
    /// # Errors
    /// `resource.not_found`.
    pub async fn get_reveal(&self, ctx: &Ctx, id: RevealId) -> Result<RevealView> {
        refuse_agents(ctx)?;
        let (organization, now) = (ctx.organization, ctx.now);
        let row = self
            .store
            .read(organization, move |db| store::find(db, organization, id))
            .await?;
        row.map(|row| RevealView::of(row, now))
            .ok_or_else(Error::not_found)
    }

    /// A page of reveals, the newest first.
    ///
    /// # Errors
    /// `request.field_invalid` at a parameter.
    pub async fn list_reveals(&self, ctx: &Ctx, query: RevealQuery) -> Result<RevealList> {
        refuse_agents(ctx)?;
        let page = PageRequest::parse(query.limit, None, query.cursor.as_deref())?;
        let path = query.path.filter(|path| !path.is_empty());
        let path = path.map(|path| SecretPath::parse(&path)).transpose()?;
        let (organization, now, state) = (ctx.organization, ctx.now, query.state);
        self.store
            .read(organization, move |db| {
                let path = path.as_ref().map(SecretPath::as_str);
                let rows = store::page(db, organization, state, path, now, &page)?;
                let (rows, next_cursor) = page.cut(rows, |row| row.id.uuid());
                Ok(RevealList {
                    reveals: rows.into_iter().map(|row| RevealView::of(row, now)).collect(),
                    limit: page.limit,
                    next_cursor,
                })
            })
            .await
    }

    /// How many reveals wait for this person's answer: the others' that are pending. Whoever may not answer has none.
    ///
    /// # Errors
    /// The database's.
    pub async fn reveals_waiting_for(&self, ctx: &Ctx) -> Result<u64> {
        let me = match &ctx.actor {
            Actor::User { id, role, .. } if *role >= SecretsReveal::PERMISSION.minimum => *id,
            _ => return Ok(0),
        };
        let (organization, now) = (ctx.organization, ctx.now);
        let count = self
            .store
            .read(organization, move |db| {
                store::count_waiting_for(db, organization, me, now)
            })
            .await?;
        Ok(u64::try_from(count).unwrap_or(0))
    }
}

fn person(ctx: &Ctx, permission: &'static str) -> Result<Person> {
    match &ctx.actor {
        Actor::User { id, session, .. } => Ok(Person {
            id: *id,
            session: *session,
        }),
        Actor::Agent { .. } | Actor::Anonymous | Actor::System(_) => Err(Error::forbidden(permission)),
        Actor::ApiKey { .. } => Err(Error::new(
            Code::Forbidden,
            "a value is shown to a person who signed in, not to a key",
        )),
    }
}

/// A session that was left open somewhere shows nothing.
fn check_sign_in(db: &mut Db, ctx: &Ctx, person: Person) -> aim_store::Result<()> {
    let signed_in = store::signed_in_at(db, ctx.organization, person.session, person.id)?;
    let latest = TimeDelta::minutes(SIGNED_IN_WITHIN_MINUTES);
    if signed_in.is_some_and(|at| ctx.now - at < latest) {
        return Ok(());
    }
    let detail = format!(
        "you signed in more than {SIGNED_IN_WITHIN_MINUTES} minutes ago; sign out and in again, then repeat this"
    );
    Err(Error::new(Code::Forbidden, detail).into())
}

fn check_rate(db: &mut Db, ctx: &Ctx, person: Person) -> aim_store::Result<()> {
    let hour = TimeDelta::hours(1);
    let asked = store::asked_since(db, ctx.organization, person.id, ctx.now - hour, ASKS_AN_HOUR)?;
    let full = i64::try_from(asked.len()).unwrap_or(i64::MAX) >= ASKS_AN_HOUR;
    match asked.first().filter(|_| full) {
        None => Ok(()),
        Some(oldest) => {
            let wait = (*oldest + hour - ctx.now).num_seconds() + 1;
            let detail = format!("one person sees at most {ASKS_AN_HOUR} values an hour");
            let error = Error::new(Code::RateLimited, detail);
            Err(error.retry_after(u64::try_from(wait).unwrap_or(1)).into())
        }
    }
}

/// Refuses to hand a value to whoever brings something that a person made: that is as good as showing it, and so obeys the
/// same setting. Where a second person is wanted there is none to ask.
///
/// # Errors
/// `resource.state` where values are not shown for a reason alone.
pub(crate) fn refuse_unless_shown(db: &mut Db, organization: OrganizationId) -> aim_store::Result<()> {
    let mode =
        store::settings(db, organization)?.map_or(RevealMode::Off, |(mode, ..)| RevealMode::parse(&mode));
    let why = match mode {
        RevealMode::Reason => return Ok(()),
        RevealMode::Off => "this organisation shows values to nobody",
        RevealMode::SecondPerson => "this organisation shows values with a second person's approval alone",
    };
    let detail = format!(
        "{why}, and whoever brings this token would see one: name the agent that it is for, or let an agent make it that may read the secret"
    );
    Err(Error::new(Code::StateConflict, detail).into())
}

/// Refuses a person who signed in too long ago. A key has not signed in.
///
/// # Errors
/// `auth.forbidden`.
pub(crate) fn refuse_old_sign_in(db: &mut Db, ctx: &Ctx) -> aim_store::Result<()> {
    match &ctx.actor {
        Actor::User { id, session, .. } => check_sign_in(
            db,
            ctx,
            Person {
                id: *id,
                session: *session,
            },
        ),
        _ => Ok(()),
    }
}

fn refuse_off(mode: RevealMode) -> Result<()> {
    if mode == RevealMode::Off {
        return Err(Error::new(
            Code::StateConflict,
            "this organisation shows values to nobody; an administrator can change that under Secrets, Reveals",
        ));
    }
    Ok(())
}

fn not_to_be_taken(state: RevealState) -> Error {
    let why = match state {
        RevealState::Pending => "nobody approved it yet",
        RevealState::Rejected => "it was rejected",
        RevealState::Taken => "it was taken before, and is shown once; ask anew",
        RevealState::Expired | RevealState::Approved => "it was not taken in time; ask anew",
    };
    Error::new(Code::StateConflict, why)
}

fn recipient(seal_to: Option<&str>) -> Result<Option<Recipient>> {
    seal_to
        .map(|text| sealing::parse_public(text).map_err(unusable_key))
        .transpose()
}

/// A value that is to be shown.
struct Found {
    id: SecretId,
    secret: ReadSecret,
    plaintext: Zeroizing<Vec<u8>>,
}

/// The values at a path.
fn value_at(
    db: &mut Db,
    ctx: &Ctx,
    keys: &OrganizationKeys,
    path: &SecretPath,
    version: Option<i64>,
) -> aim_store::Result<Found> {
    let (secret, plaintext) = take(db, ctx, keys, path, version)?;
    let row = secrets::load(db, ctx.organization, path.as_str())?;
    let (row, _) = row.ok_or_else(nothing_there)?;
    Ok(Found {
        id: row.id,
        secret,
        plaintext,
    })
}

fn record(
    db: &mut Db,
    ctx: &Ctx,
    event: &'static str,
    row: &RevealRow,
    sealed: bool,
) -> aim_store::Result<()> {
    let mut facts = json!({
        "reveal": row.id,
        "version": row.version,
        "asked_by": row.asked_by,
        "approved_by": row.answered_by.filter(|_| row.state != RevealState::Rejected.as_str()),
        "sealed": sealed,
    });
    // The access audit lists what was handed over, and how.
    if row.taken_at.is_some()
        && let Some(facts) = facts.as_object_mut()
    {
        facts.insert("delivery".to_owned(), "revealed".into());
    }
    let entry = Entry::event(ctx, event)
        .target("secret", row.secret_id)
        .facts(facts)
        .details(json!({
            "path": row.path,
            "reason": row.reason,
            "note": row.note,
            "source_ip": ctx.source_ip,
        }));
    aim_audit::append(db, vec![entry])?;
    Ok(())
}

/// The answer. It is made inside of the transaction, so that a key that cannot be sealed to uses nothing up, and leaves when
/// the record is durable.
fn reply(
    ctx: &Ctx,
    row: &RevealRow,
    found: Option<Found>,
    recipient: Option<&Recipient>,
) -> Result<RevealReply> {
    let mut reply = RevealReply {
        reveal: RevealView::of(row.clone(), ctx.now),
        secret: None,
        fields: None,
        sealed: None,
    };
    let Some(Found {
        secret, plaintext, ..
    }) = found
    else {
        return Ok(reply);
    };
    match recipient {
        Some(recipient) => reply.sealed = Some(sealed(ctx, row, recipient, &plaintext)?),
        None => {
            let plain: Plaintext = serde_json::from_slice(&plaintext)
                .map_err(|_| Error::internal("a version holds no values"))?;
            reply.fields = Some(RevealedFields(plain.fields));
        }
    }
    reply.secret = Some(secret);
    Ok(reply)
}

fn sealed(ctx: &Ctx, row: &RevealRow, recipient: &Recipient, plaintext: &[u8]) -> Result<SealedSecret> {
    let info = SecretInfo {
        organization: &ctx.organization.to_string(),
        agent: &row.asked_by.to_string(),
        decision: &row.id.to_string(),
        path: &row.path,
        version: row.version,
    };
    let sealed = sealing::seal(recipient, &info.bytes(), plaintext).map_err(|error| match error {
        SealingError::Key => unusable_key(error),
        other => Error::internal(other),
    })?;
    Ok(SealedSecret {
        kem: sealed.kem,
        kdf: sealed.kdf,
        aead: sealed.aead,
        enc: sealed.enc,
        ciphertext: sealed.ciphertext,
    })
}
