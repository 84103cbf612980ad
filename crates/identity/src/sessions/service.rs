//! Use cases of sign-in and sessions.

use std::time::{Duration, Instant};

use aim_audit::Entry;
use aim_core::{Actor, Code, Ctx, Error, PageRequest, Result, SessionId, Timestamp, UserId};
use aim_crypto::{
    password::needs_rehash,
    secret::SecretString,
    token::{IssuedToken, ParsedToken, TokenKind},
};
use aim_platform::{Authenticated, Kernel};
use aim_store::{Db, Scope};
use chrono::TimeDelta;
use serde_json::json;

use super::{
    attempts::{self, Subject},
    model::{SessionList, SessionView, SignedIn, SignedInUser},
    store::{self, SessionRow},
};
use crate::{
    gate::Gate,
    passwords::Passwords,
    users::{
        UserView,
        store::{self as users, UserRow},
    },
};

/// Failed sign-ins from one network address in a quarter of an hour before it is turned away for as long.
const ADDRESS_LIMIT: i64 = 50;
/// Refusals leave at whole multiples of this, so that the work behind them cannot be measured.
const REFUSAL_STEP: Duration = Duration::from_millis(100);
/// How exactly the last use of a session is kept.
const SEEN_EVERY: TimeDelta = TimeDelta::minutes(1);

/// Signs users in and out.
#[derive(Clone)]
pub struct SessionService {
    kernel: Kernel,
    passwords: Passwords,
    seen: Gate<SessionId>,
}

impl SessionService {
    pub(crate) fn new(kernel: &Kernel, passwords: &Passwords) -> Self {
        Self {
            kernel: kernel.clone(),
            passwords: passwords.clone(),
            seen: Gate::new(),
        }
    }

    /// Starts a session. Whether the account is unknown, deactivated or locked, or the password is
    /// wrong, the refusal is the same, in its words and in its time.
    ///
    /// # Errors
    /// `auth.sign_in_refused`; `limit.requests` when this network address failed too often or too many
    /// wait for their turn.
    pub async fn sign_in(&self, ctx: &Ctx, email: &str, password: &SecretString) -> Result<SignedIn> {
        let started = Instant::now();
        let result = self.try_sign_in(ctx, email, password).await;
        if result
            .as_ref()
            .is_err_and(|error| error.code == Code::SignInRefused)
        {
            let step = REFUSAL_STEP.as_nanos();
            let steps = started.elapsed().as_nanos().div_ceil(step);
            let until = u64::try_from(steps * step)
                .map(Duration::from_nanos)
                .unwrap_or(REFUSAL_STEP);
            tokio::time::sleep_until(tokio::time::Instant::from_std(started + until)).await;
        }
        result
    }

    async fn try_sign_in(&self, ctx: &Ctx, email: &str, password: &SecretString) -> Result<SignedIn> {
        let now = ctx.now;
        let email = email.trim().to_lowercase();
        let account = Subject::email(&self.kernel.pepper, &email);
        let address = ctx
            .source_ip
            .as_deref()
            .map(|ip| Subject::address(&self.kernel.pepper, ip));
        let (user, account_locked, address_locked) = self
            .kernel
            .store
            .read(Scope::Installation, move |db| {
                let locked = match address {
                    Some(address) => attempts::locked_until(db, address, now)?,
                    None => None,
                };
                Ok((
                    users::by_email(db, &email)?,
                    attempts::locked_until(db, account, now)?.is_some(),
                    locked,
                ))
            })
            .await?;
        if let Some(until) = address_locked {
            return Err(turned_away(until, now));
        }
        let candidate = user.as_ref().filter(|user| user.is_active() && !account_locked);
        let hash = candidate.map(|user| user.password_hash.clone());
        let fits = self.passwords.fits(password, hash.clone()).await?;
        match (user, hash) {
            (Some(user), Some(hash)) if fits => {
                let renewed = if needs_rehash(&hash) {
                    Some(self.passwords.hash(password).await?)
                } else {
                    None
                };
                self.begin(ctx, user, account, renewed).await
            }
            (user, _) => {
                self.record_refusal(ctx, user, account, address, account_locked)
                    .await?;
                Err(refused())
            }
        }
    }

    /// Stores the session of a user whose password fitted, unless something changed meanwhile.
    async fn begin(
        &self,
        ctx: &Ctx,
        user: UserRow,
        account: Subject,
        renewed_hash: Option<String>,
    ) -> Result<SignedIn> {
        let token = IssuedToken::generate(TokenKind::Session).map_err(Error::internal)?;
        let digest = token.digest(&self.kernel.pepper);
        let hours = self.kernel.config.session_hours;
        let mut ctx = ctx.clone();
        ctx.organization = user.org_id;
        let (session, user) = self
            .kernel
            .store
            .write(Scope::Organization(user.org_id), move |db| {
                let mut row = users::find(db, user.org_id, user.id, true)?;
                // Guesses that ran side by side with those that locked the account gain nothing.
                let locked = attempts::locked_until(db, account, ctx.now)?.is_some();
                if locked || !row.is_active() || row.password_hash != user.password_hash {
                    return Err(refused().into());
                }
                row.last_login_at = Some(ctx.now);
                row.password_hash = renewed_hash.clone().unwrap_or(row.password_hash);
                users::save(db, &row)?;
                attempts::clear(db, account)?;
                let (session, started) = start(db, &ctx, row.id, row.role()?, &digest, hours)?;
                aim_audit::append(db, vec![started])?;
                Ok((session, row.view()?))
            })
            .await?;
        Ok(signed_in(&session, &token, user))
    }

    /// Counts a refusal, and records it where there is a tenant whose record it belongs to.
    async fn record_refusal(
        &self,
        ctx: &Ctx,
        user: Option<UserRow>,
        account: Subject,
        address: Option<Subject>,
        account_locked: bool,
    ) -> Result<()> {
        let limit = self.kernel.config.sign_in_attempts.max(1);
        let ctx = ctx.clone();
        let locks = self
            .kernel
            .store
            .write(Scope::Installation, move |db| {
                // What comes in while the account is locked neither prolongs that nor fills the log.
                let locks = !account_locked && attempts::record_failure(db, account, ctx.now, limit)?;
                if let Some(address) = address {
                    attempts::record_failure(db, address, ctx.now, ADDRESS_LIMIT)?;
                }
                if let (Some(user), false) = (&user, account_locked) {
                    let mut ctx = ctx.clone();
                    ctx.organization = user.org_id;
                    let event = |action| {
                        Entry::event(&ctx, action)
                            .target("user", user.id)
                            .outcome("refused")
                            .details(json!({ "source_ip": ctx.source_ip, "user_agent": ctx.user_agent }))
                    };
                    let mut entries = vec![event("sign_in.refused")];
                    if locks {
                        entries.push(event("sign_in.locked"));
                    }
                    aim_audit::append(db, entries)?;
                }
                Ok(locks)
            })
            .await?;
        metrics::counter!("aim_sign_in_refused_total").increment(1);
        tracing::info!(
            subject = account.short(),
            locked = account_locked || locks,
            "a sign-in was refused"
        );
        Ok(())
    }

    /// Whoever presents `token`, with the role that the user has at this moment.
    ///
    /// # Errors
    /// `auth.credentials_invalid` unless the session is live and its user active.
    pub async fn authenticate(&self, token: &ParsedToken, now: Timestamp) -> Result<Authenticated> {
        let digest = token.digest(&self.kernel.pepper);
        let found = self
            .kernel
            .store
            .read(Scope::Installation, move |db| {
                let Some((session, user)) = store::by_digest(db, &digest)? else {
                    return Ok(None);
                };
                let role = user.role()?;
                Ok(Some((session, user, role)))
            })
            .await?;
        let live = found.filter(|(session, user, _)| {
            session.revoked_at.is_none() && session.expires_at > now && user.is_active()
        });
        let (session, user, role) = live
            .ok_or_else(|| Error::new(Code::CredentialsInvalid, "this session has ended; sign in again"))?;
        self.note_use(&session, now).await;
        Ok(Authenticated {
            actor: Actor::User {
                id: user.id,
                role,
                session: session.id,
            },
            organization: session.org_id,
            nonce: None,
            scheme: "session",
        })
    }

    /// Keeps the time of the last use, to the minute. That it cannot is no reason to refuse the request.
    async fn note_use(&self, session: &SessionRow, now: Timestamp) {
        if now - session.last_seen_at < SEEN_EVERY || !self.seen.passes(session.id, now) {
            return;
        }
        let (organization, id) = (session.org_id, session.id);
        let noted = self
            .kernel
            .store
            .write(organization, move |db| store::touch(db, organization, id, now))
            .await;
        if let Err(error) = noted {
            tracing::warn!(?error, "the last use of a session could not be noted");
        }
    }

    /// The signed-in user.
    ///
    /// # Errors
    /// `auth.forbidden` for callers that are no users.
    pub async fn me(&self, ctx: &Ctx) -> Result<SignedInUser> {
        let (user, _) = own_session(ctx)?;
        let organization = ctx.organization;
        self.kernel
            .store
            .read(organization, move |db| {
                Ok(users::find(db, organization, user, false)?.view()?.into())
            })
            .await
    }

    /// A page of the caller's live sessions, newest first.
    ///
    /// # Errors
    /// `auth.forbidden` for callers that are no users.
    pub async fn list(&self, ctx: &Ctx, page: PageRequest) -> Result<SessionList> {
        let (user, current) = own_session(ctx)?;
        let (organization, now) = (ctx.organization, ctx.now);
        let (rows, total) = self
            .kernel
            .store
            .read(organization, move |db| {
                store::page(db, organization, user, &page, now)
            })
            .await?;
        let (rows, next_cursor) = page.cut(rows, |row| row.id.uuid());
        let sessions = rows
            .into_iter()
            .map(|row| SessionView {
                current: row.id == current,
                id: row.id,
                created_at: row.created_at,
                expires_at: row.expires_at,
                last_seen_at: row.last_seen_at,
                source_ip: row.source_ip,
                user_agent: row.user_agent,
            })
            .collect();
        Ok(SessionList {
            sessions,
            total,
            limit: page.limit,
            offset: page.offset,
            next_cursor,
        })
    }

    /// Ends the session of this request.
    ///
    /// # Errors
    /// `auth.forbidden` for callers that are no users.
    pub async fn sign_out(&self, ctx: &Ctx) -> Result<()> {
        let (_, session) = own_session(ctx)?;
        self.end(ctx, session, "sign_out").await
    }

    /// Ends one of the caller's sessions.
    ///
    /// # Errors
    /// `resource.not_found` unless it is a live session of the caller's.
    pub async fn revoke(&self, ctx: &Ctx, session: SessionId) -> Result<()> {
        self.end(ctx, session, "session.revoked").await
    }

    async fn end(&self, ctx: &Ctx, session: SessionId, action: &'static str) -> Result<()> {
        let (user, _) = own_session(ctx)?;
        let ctx = ctx.clone();
        self.kernel
            .store
            .write(ctx.organization, move |db| {
                if !store::revoke(db, ctx.organization, user, session, ctx.now)? {
                    return Err(Error::not_found().into());
                }
                aim_audit::append(db, vec![Entry::event(&ctx, action).target("session", session)])?;
                Ok(())
            })
            .await
    }

    /// Ends all of the caller's sessions, this one too.
    ///
    /// # Errors
    /// `auth.forbidden` for callers that are no users.
    pub async fn revoke_all(&self, ctx: &Ctx) -> Result<()> {
        let (user, _) = own_session(ctx)?;
        let ctx = ctx.clone();
        self.kernel
            .store
            .write(ctx.organization, move |db| {
                let ended = store::revoke_all(db, ctx.organization, user, None, ctx.now)?;
                let entry = Entry::event(&ctx, "sign_out.everywhere")
                    .target("user", user)
                    .facts(json!({ "sessions_ended": ended }));
                aim_audit::append(db, vec![entry])?;
                Ok(())
            })
            .await
    }

    /// Sets a new password and ends the caller's other sessions. Wrong guesses at the present one count
    /// as failed sign-ins, so that a stolen session does not help to find it.
    ///
    /// # Errors
    /// `request.field_invalid` at `current_password` or `new_password`; `limit.requests` while the
    /// account is locked.
    pub async fn change_password(&self, ctx: &Ctx, current: &SecretString, new: &SecretString) -> Result<()> {
        let (user, session) = own_session(ctx)?;
        let (organization, now) = (ctx.organization, ctx.now);
        let pepper = self.kernel.pepper.clone();
        let (row, account, locked) = self
            .kernel
            .store
            .read(Scope::Installation, move |db| {
                let row = users::find(db, organization, user, false)?;
                let account = Subject::email(&pepper, &row.email);
                let locked = attempts::locked_until(db, account, now)?;
                Ok((row, account, locked))
            })
            .await?;
        if let Some(until) = locked {
            return Err(turned_away(until, now));
        }
        if !self
            .passwords
            .fits(current, Some(row.password_hash.clone()))
            .await?
        {
            self.record_refusal(ctx, Some(row), account, None, false).await?;
            return Err(Error::field(
                "current_password",
                "this is not your present password",
            ));
        }
        if current.ct_eq(new) {
            return Err(Error::field(
                "new_password",
                "the new password is the present one; choose another",
            ));
        }
        let hash = self.passwords.hash_new(new, "new_password").await?;
        let ctx = ctx.clone();
        self.kernel
            .store
            .write(organization, move |db| {
                let mut changed = users::find(db, organization, user, true)?;
                if changed.password_hash != row.password_hash {
                    return Err(
                        Error::new(Code::StateConflict, "the password was changed at the same time").into(),
                    );
                }
                changed.password_hash.clone_from(&hash);
                changed.updated_at = ctx.now;
                users::save(db, &changed)?;
                attempts::clear(db, account)?;
                let ended = store::revoke_all(db, organization, user, Some(session), ctx.now)?;
                let entry = Entry::event(&ctx, "user.password_changed")
                    .target("user", user)
                    .facts(json!({ "sessions_ended": ended }));
                aim_audit::append(db, vec![entry])?;
                Ok(())
            })
            .await
    }
}

/// Stores a session for `user` in the caller's transaction; answers it and what the audit log says of it.
pub(crate) fn start(
    db: &mut Db,
    ctx: &Ctx,
    user: UserId,
    role: aim_core::Role,
    digest: &[u8; 32],
    hours: i64,
) -> aim_store::Result<(SessionRow, Entry)> {
    let session = SessionRow {
        org_id: ctx.organization,
        id: ctx.new_id(),
        user_id: user,
        token_digest: digest.to_vec(),
        created_at: ctx.now,
        expires_at: ctx.now + TimeDelta::hours(hours),
        last_seen_at: ctx.now,
        revoked_at: None,
        source_ip: ctx.source_ip.clone(),
        user_agent: ctx.user_agent.clone(),
    };
    store::insert(db, &session)?;
    let mut signed_in = ctx.clone();
    signed_in.actor = Actor::User {
        id: user,
        role,
        session: session.id,
    };
    let entry = Entry::event(&signed_in, "sign_in.succeeded")
        .target("session", session.id)
        .details(json!({ "source_ip": ctx.source_ip, "user_agent": ctx.user_agent }));
    Ok((session, entry))
}

/// The answer for a session that has just been stored.
pub(crate) fn signed_in(session: &SessionRow, token: &IssuedToken, user: UserView) -> SignedIn {
    SignedIn {
        session: session.id,
        access_token: token.text().clone(),
        expires_at: session.expires_at,
        user: user.into(),
    }
}

fn own_session(ctx: &Ctx) -> Result<(UserId, SessionId)> {
    match &ctx.actor {
        Actor::User { id, session, .. } => Ok((*id, *session)),
        _ => Err(Error::new(
            Code::Forbidden,
            "this is about a user's own account; sign in as a user",
        )),
    }
}

/// One refusal for every reason.
fn refused() -> Error {
    Error::new(
        Code::SignInRefused,
        "the e-mail address or the password is wrong, or the account is locked",
    )
}

fn turned_away(until: Timestamp, now: Timestamp) -> Error {
    let seconds = u64::try_from((until - now).num_seconds()).unwrap_or(0).max(1);
    Error::new(
        Code::RateLimited,
        "too many sign-ins failed; wait before the next one",
    )
    .retry_after(seconds)
}
