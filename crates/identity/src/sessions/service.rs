//! Use cases of sessions.

use aim_audit::Entry;
use aim_core::{Actor, Code, Ctx, Error, PageRequest, Result, SessionId, Timestamp, UserId};
use aim_crypto::token::{IssuedToken, ParsedToken};
use aim_platform::{Authenticated, Kernel};
use aim_store::{Db, Scope};
use chrono::TimeDelta;
use serde_json::json;

use super::{
    model::{SessionList, SessionView, SignedIn, SignedInUser},
    store::{self, SessionRow},
};
use crate::{
    gate::Gate,
    passwords::Passwords,
    users::{UserView, store as users},
};

/// How exactly the last use of a session is kept.
const SEEN_EVERY: TimeDelta = TimeDelta::minutes(1);

/// Signs users in and out.
#[derive(Clone)]
pub struct SessionService {
    pub(super) kernel: Kernel,
    pub(super) passwords: Passwords,
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

pub(crate) fn own_session(ctx: &Ctx) -> Result<(UserId, SessionId)> {
    match &ctx.actor {
        Actor::User { id, session, .. } => Ok((*id, *session)),
        _ => Err(Error::new(
            Code::Forbidden,
            "this is about a user's own account; sign in as a user",
        )),
    }
}
