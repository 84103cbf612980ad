//! Links that sign a user in once: made by the operator on the server's own machine, never over HTTP. The
//! token stands in the link's fragment, so that no log on the way sees it; only its digest is stored.

use aim_audit::Entry;
use aim_core::{Code, Ctx, Error, Id, OrganizationId, Result, Timestamp, UserId};
use aim_crypto::{
    secret::SecretString,
    token::{IssuedToken, ParsedToken, TokenKind},
};
use aim_platform::Kernel;
use aim_store::{Db, Scope, each};
use chrono::TimeDelta;
use diesel::{ExpressionMethods, OptionalExtension, QueryDsl, RunQueryDsl};
use serde_json::json;

use super::{
    model::SignedIn,
    service::{SessionService, signed_in, start},
};
use crate::{schema::sign_in_links, users::store as users};

/// How long a link is good.
const MINUTES: i64 = 5;
/// What the token of a link starts with.
const KIND: TokenKind = TokenKind::custom("aim_link_");

/// A kind of the row's id.
enum LinkKind {}

/// A token that signs the user of that address in once, within five minutes: `/sign-in#token=…`.
///
/// # Errors
/// `resource.not_found` unless the address belongs to an active user.
pub async fn sign_in_link(kernel: &Kernel, email: &str) -> Result<SecretString> {
    let token = IssuedToken::generate(KIND).map_err(Error::internal)?;
    let digest = token.digest(&kernel.pepper);
    let (now, email) = (kernel.now(), email.trim().to_lowercase());
    kernel
        .store
        .write(Scope::Installation, move |db| {
            let user = users::by_email(db, &email)?.filter(users::UserRow::is_active);
            let user = user.ok_or_else(Error::not_found)?;
            let id: Id<LinkKind> = Id::generate(now);
            each!(db, c => diesel::insert_into(sign_in_links::table)
                .values((
                    sign_in_links::org_id.eq(user.org_id),
                    sign_in_links::id.eq(id),
                    sign_in_links::user_id.eq(user.id),
                    sign_in_links::token_digest.eq(digest.as_slice()),
                    sign_in_links::created_at.eq(now),
                    sign_in_links::expires_at.eq(now + TimeDelta::minutes(MINUTES)),
                ))
                .execute(c))?;
            let ctx = Ctx::system("sign-in-link", user.org_id, now);
            let entry = Entry::event(&ctx, "sign_in.link_created")
                .target("user", user.id)
                .facts(json!({ "minutes": MINUTES }));
            aim_audit::append(db, vec![entry])?;
            Ok(())
        })
        .await?;
    Ok(token.text().clone())
}

/// Uses the link up; answers whose it was, if it was good at `now`.
fn take(db: &mut Db, digest: &[u8], now: Timestamp) -> aim_store::Result<Option<(OrganizationId, UserId)>> {
    let of_token = sign_in_links::table.filter(sign_in_links::token_digest.eq(digest));
    let row: Option<(OrganizationId, UserId, Timestamp)> = each!(db, c => of_token
        .select((sign_in_links::org_id, sign_in_links::user_id, sign_in_links::expires_at))
        .get_result(c)
        .optional())?;
    let removed = each!(db, c => diesel::delete(of_token).execute(c))?;
    // Of two who come at once, one removes the row.
    Ok(row
        .filter(|(_, _, expires_at)| removed == 1 && *expires_at > now)
        .map(|(organization, user, _)| (organization, user)))
}

/// Forgets links that expired before `before`.
pub(crate) fn forget(db: &mut Db, before: Timestamp) -> aim_store::Result<usize> {
    let over = sign_in_links::table.filter(sign_in_links::expires_at.lt(before));
    Ok(each!(db, c => diesel::delete(over).execute(c))?)
}

impl SessionService {
    /// Starts a session by a link's token, which is used up.
    ///
    /// # Errors
    /// `auth.credentials_invalid` at `token` unless the link is good and its user active.
    pub async fn sign_in_by_link(&self, ctx: &Ctx, token: &SecretString) -> Result<SignedIn> {
        let parsed = ParsedToken::parse_with(token.expose(), &[KIND])
            .ok()
            .filter(|token| token.kind() == KIND)
            .ok_or_else(refused)?;
        let digest = parsed.digest(&self.kernel.pepper);
        let session_token = IssuedToken::generate(TokenKind::Session).map_err(Error::internal)?;
        let session_digest = session_token.digest(&self.kernel.pepper);
        let hours = self.kernel.config.session_hours;
        let ctx = ctx.clone();
        let (session, user) = self
            .kernel
            .store
            .write(Scope::Installation, move |db| {
                let mut ctx = ctx.clone();
                let (organization, user) = take(db, &digest, ctx.now)?.ok_or_else(refused)?;
                ctx.organization = organization;
                let mut row = users::find(db, organization, user, true)?;
                if !row.is_active() {
                    return Err(refused().into());
                }
                row.last_login_at = Some(ctx.now);
                users::save(db, &row)?;
                let (session, started) = start(db, &ctx, row.id, row.role()?, &session_digest, hours)?;
                let used = Entry::event(&ctx, "sign_in.link_used").target("user", user);
                aim_audit::append(db, vec![used, started])?;
                Ok((session, row.view()?))
            })
            .await?;
        Ok(signed_in(&session, &session_token, user))
    }
}

fn refused() -> Error {
    Error::new(
        Code::CredentialsInvalid,
        "this link is wrong, used or older than five minutes; sign in with your password, or ask for a new link",
    )
    .at("token")
}
