//! Use cases around passwords: sign-in, which tells nobody why it refuses, and the change of one.

use std::time::{Duration, Instant};

use aim_audit::Entry;
use aim_core::{Code, Ctx, Error, Result, Timestamp};
use aim_crypto::{
    password::needs_rehash,
    secret::SecretString,
    token::{IssuedToken, TokenKind},
};
use aim_store::Scope;
use serde_json::json;

use super::{
    attempts::{self, Subject},
    model::SignedIn,
    service::{SessionService, own_session, signed_in, start},
    store,
};
use crate::users::store::{self as users, UserRow};

/// Failed sign-ins from one network address in a quarter of an hour before it is turned away for as long.
const ADDRESS_LIMIT: i64 = 50;
/// Refusals leave at whole multiples of this, so that the work behind them cannot be measured.
const REFUSAL_STEP: Duration = Duration::from_millis(100);
impl SessionService {
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
