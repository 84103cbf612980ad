//! Use cases of set-up.

use aim_audit::Entry;
use aim_core::{Actor, Code, Ctx, Error, Id, OrganizationId, Result, Role, UserId};
use aim_crypto::{
    secret::SecretString,
    token::{IssuedToken, ParsedToken, TokenKind},
};
use aim_platform::Kernel;
use aim_store::{Db, Scope};
use chrono::TimeDelta;
use serde_json::json;

use super::store;
use crate::{
    api_keys::{self, store::ApiKeyRow},
    organizations::store as organizations,
    passwords::Passwords,
    sessions::{self, SignedIn},
    users::{
        UserStatus, check_email, check_user_name,
        store::{self as users, UserRow},
    },
};

/// How long a set-up token is good, in hours.
const TOKEN_HOURS: i64 = 24;

/// What [`initialise`] made.
#[derive(Debug)]
pub struct Initialised {
    /// The organisation.
    pub organization_id: OrganizationId,
    /// Its first administrator.
    pub admin_user_id: UserId,
    /// An organisation API key of the role admin, named `initial`: shown once.
    pub api_key: SecretString,
}

/// The organisation to be founded, and who administers it.
#[derive(Debug, Clone)]
pub struct FirstAdministrator {
    /// The organisation's name.
    pub organization: String,
    /// The administrator's e-mail address.
    pub email: String,
    /// The administrator's name; the part of the address before the `@` when left out.
    pub name: Option<String>,
    /// The administrator's password.
    pub password: SecretString,
}

/// At the first start of an installation without an organisation: a token that sets it up once,
/// within 24 hours. The caller prints it and keeps it nowhere. `None` once there is an organisation.
///
/// # Errors
/// The database's.
pub async fn prepare(kernel: &Kernel) -> Result<Option<SecretString>> {
    let token = IssuedToken::generate(TokenKind::SetUp).map_err(Error::internal)?;
    let digest = token.digest(&kernel.pepper);
    let now = kernel.now();
    let needed = kernel
        .store
        .write(Scope::Installation, move |db| {
            if organizations::any(db)? {
                return Ok(false);
            }
            store::insert_token(db, &digest, now, now + TimeDelta::hours(TOKEN_HOURS))?;
            Ok(true)
        })
        .await?;
    Ok(needed.then(|| token.text().clone()))
}

/// Sets an installation up from the operator's command line: organisation, administrator and an API
/// key named `initial`.
///
/// # Errors
/// `resource.state` when there is an organisation already; `request.field_invalid` by field.
pub async fn initialise(
    kernel: &Kernel,
    organization: &str,
    email: &str,
    password: &SecretString,
) -> Result<Initialised> {
    let first = FirstAdministrator {
        organization: organization.to_owned(),
        email: email.to_owned(),
        name: None,
        password: password.clone(),
    };
    found(kernel, first, true).await
}

/// Adds a further organisation, as [`initialise`] makes the first one. An act of the operator:
/// nothing reaches it over HTTP.
///
/// # Errors
/// `request.field_invalid` by field; `resource.conflict` when the address is in use.
pub async fn add_organization(
    kernel: &Kernel,
    organization: &str,
    email: &str,
    password: &SecretString,
) -> Result<Initialised> {
    let first = FirstAdministrator {
        organization: organization.to_owned(),
        email: email.to_owned(),
        name: None,
        password: password.clone(),
    };
    found(kernel, first, false).await
}

async fn found(kernel: &Kernel, first: FirstAdministrator, only: bool) -> Result<Initialised> {
    let ctx = founding_ctx(kernel, None);
    let founding = Founding::prepare(&ctx, first, &Passwords::new()).await?;
    let token = IssuedToken::generate(TokenKind::OrganizationKey).map_err(Error::internal)?;
    let key = api_keys::new_row(&ctx, kernel, &token, "initial".to_owned(), Role::Admin, None);
    let admin_user_id = founding.admin.id;
    let organization_id = ctx.organization;
    kernel
        .store
        .write(Scope::Installation, move |db| {
            if only {
                refuse_second(db, &ctx)?;
            }
            let mut entries = founding.store(db, &ctx)?;
            entries.push(store_key(db, &ctx, &key)?);
            aim_audit::append(db, entries)?;
            Ok(())
        })
        .await?;
    Ok(Initialised {
        organization_id,
        admin_user_id,
        api_key: token.text().clone(),
    })
}

fn store_key(db: &mut Db, ctx: &Ctx, key: &ApiKeyRow) -> aim_store::Result<Entry> {
    api_keys::store::insert(db, key)?;
    Ok(api_keys::created(ctx, key))
}

/// Sets up over HTTP, by a token of [`prepare`].
#[derive(Clone)]
pub struct SetUpService {
    kernel: Kernel,
    passwords: Passwords,
}

impl SetUpService {
    pub(crate) fn new(kernel: &Kernel, passwords: &Passwords) -> Self {
        Self {
            kernel: kernel.clone(),
            passwords: passwords.clone(),
        }
    }

    /// Whether there is no organisation yet.
    ///
    /// # Errors
    /// The database's.
    pub async fn is_needed(&self) -> Result<bool> {
        self.kernel
            .store
            .read(Scope::Installation, |db| Ok(!organizations::any(db)?))
            .await
    }

    /// Founds the installation's organisation and signs its administrator in. The token is used up.
    ///
    /// # Errors
    /// `resource.state` when there is an organisation already; `auth.credentials_invalid` at `token`;
    /// `request.field_invalid` by field.
    pub async fn set_up(
        &self,
        ctx: &Ctx,
        token: &SecretString,
        first: FirstAdministrator,
    ) -> Result<SignedIn> {
        let ctx = founding_ctx(&self.kernel, Some(ctx));
        let parsed = ParsedToken::parse(token.expose())
            .ok()
            .filter(|token| token.kind() == TokenKind::SetUp);
        let digest = parsed.map(|token| token.digest(&self.kernel.pepper));
        let now = ctx.now;
        // Nobody makes us hash passwords without a good token; the transaction checks it again.
        self.kernel
            .store
            .read(Scope::Installation, move |db| {
                if organizations::any(db)? {
                    return Err(already_set_up().into());
                }
                match digest {
                    Some(digest) if store::is_good(db, &digest, now)? => Ok(()),
                    _ => Err(token_refused().into()),
                }
            })
            .await?;
        let digest = digest.ok_or_else(token_refused)?;
        let founding = Founding::prepare(&ctx, first, &self.passwords).await?;
        let session_token = IssuedToken::generate(TokenKind::Session).map_err(Error::internal)?;
        let session_digest = session_token.digest(&self.kernel.pepper);
        let hours = self.kernel.config.session_hours;
        let (session, user) = self
            .kernel
            .store
            .write(Scope::Installation, move |db| {
                if !store::consume(db, &digest, ctx.now)? {
                    return Err(token_refused().into());
                }
                refuse_second(db, &ctx)?;
                let mut entries = founding.store(db, &ctx)?;
                let (session, started) =
                    sessions::start(db, &ctx, founding.admin.id, Role::Admin, &session_digest, hours)?;
                entries.push(started);
                let user = founding.admin.clone().view()?;
                aim_audit::append(db, entries)?;
                Ok((session, user))
            })
            .await?;
        Ok(sessions::signed_in(&session, &session_token, user))
    }
}

/// The context in which an organisation is founded: its own, and nobody's act but the installation's.
fn founding_ctx(kernel: &Kernel, request: Option<&Ctx>) -> Ctx {
    let now = kernel.now();
    let organization = Id::generate(now);
    match request {
        None => Ctx::system("set-up", organization, now),
        Some(ctx) => Ctx {
            actor: Actor::System("set-up"),
            organization,
            ..ctx.clone()
        },
    }
}

/// An organisation and its first administrator, checked and ready to be stored.
struct Founding {
    organization: String,
    admin: UserRow,
}

impl Founding {
    async fn prepare(ctx: &Ctx, first: FirstAdministrator, passwords: &Passwords) -> Result<Self> {
        let organization = check_user_name("organization", &first.organization)?;
        let email = check_email(&first.email)?;
        let local = email.split('@').next().unwrap_or_default().to_owned();
        let name = check_user_name(
            "name",
            &first.name.unwrap_or_else(|| local.chars().take(128).collect()),
        )?;
        let password_hash = passwords.hash_new(&first.password, "password").await?;
        let admin = UserRow {
            org_id: ctx.organization,
            id: ctx.new_id(),
            email,
            name,
            role: Role::Admin.as_str().to_owned(),
            password_hash,
            status: UserStatus::Active.as_str().to_owned(),
            created_at: ctx.now,
            updated_at: ctx.now,
            last_login_at: None,
        };
        Ok(Self { organization, admin })
    }

    /// Stores both; answers what the audit log says of it.
    fn store(&self, db: &mut Db, ctx: &Ctx) -> aim_store::Result<Vec<Entry>> {
        organizations::insert(db, ctx.organization, &self.organization, ctx.now)?;
        users::insert(db, &self.admin)?;
        Ok(vec![
            Entry::event(ctx, "organization.created")
                .target("organization", ctx.organization)
                .details(json!({ "name": self.organization })),
            Entry::event(ctx, "user.created")
                .target("user", self.admin.id)
                .facts(json!({ "role": self.admin.role }))
                .details(json!({ "email": self.admin.email, "name": self.admin.name })),
        ])
    }
}

fn refuse_second(db: &mut Db, ctx: &Ctx) -> aim_store::Result<()> {
    if organizations::any(db)? || !store::mark_done(db, ctx.now)? {
        return Err(already_set_up().into());
    }
    Ok(())
}

fn already_set_up() -> Error {
    Error::new(
        Code::StateConflict,
        "this installation is set up already; sign in instead",
    )
}

fn token_refused() -> Error {
    Error::new(
        Code::CredentialsInvalid,
        "the set-up token is wrong, used or expired; restart the server to have a new one printed",
    )
    .at("token")
}
