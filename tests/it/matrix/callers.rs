//! Everybody who may come along.

use aim_core::Role;
use aim_tests::{Caller, PASSWORD, TestAgent, TestApp};
use chrono::TimeDelta;
use serde_json::json;

use super::{
    cases::{Case, NEXT_PASSWORD},
    routes::Route,
};

/// A kind of caller.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Without credentials.
    Nobody,
    /// With a token that was never issued.
    BadToken,
    /// With an API key that was disabled.
    DisabledKey,
    /// With an API key whose time is over.
    ExpiredKey,
    /// A signed-in user.
    User(Role),
    /// An API key of the organisation.
    Key(Role),
    /// The administrator of another organisation.
    ForeignAdmin,
    /// An agent of another organisation.
    ForeignAgent,
    /// The agent that the thing belongs to.
    Itself,
    /// Another agent of the same organisation.
    Peer,
}

impl Kind {
    /// Every kind.
    pub const ALL: [Self; 14] = [
        Self::Nobody,
        Self::BadToken,
        Self::DisabledKey,
        Self::ExpiredKey,
        Self::User(Role::Viewer),
        Self::User(Role::Member),
        Self::User(Role::Manager),
        Self::User(Role::Admin),
        Self::Key(Role::Viewer),
        Self::Key(Role::Admin),
        Self::ForeignAdmin,
        Self::ForeignAgent,
        Self::Itself,
        Self::Peer,
    ];
}

/// Those who stay the same through the whole walk.
pub struct World<'a> {
    /// The application.
    pub app: &'a TestApp,
    /// An agent that reading routes are about.
    pub subject: TestAgent<'a>,
    peer: TestAgent<'a>,
    foreign_agent: TestAgent<'a>,
    viewer_key: Caller<'a>,
    admin_key: Caller<'a>,
    disabled_key: Caller<'a>,
    expired_key: Caller<'a>,
}

impl<'a> World<'a> {
    /// Brings them into being.
    pub async fn new(app: &'a TestApp) -> Self {
        let administrator = app.user(Role::Admin).await;
        let issue = async |new| {
            let answer = administrator.post("/api/v1/api-keys", &new).await;
            let _ = answer.expect(201);
            answer
        };
        let disabled = issue(json!({"name": "disabled", "role": "admin"})).await;
        let path = format!("/api/v1/api-keys/{}/disable", disabled.member("id"));
        let _ = administrator.patch(&path, &json!({})).await.expect(200);
        let end = app.now() + TimeDelta::seconds(1);
        let expired = issue(json!({"name": "expired", "role": "admin", "expires_at": end})).await;
        app.advance(TimeDelta::seconds(1));
        let may = ["db:read", "secret:read", "secret:write", "secret:list"];
        Self {
            app,
            subject: app.agent("subject", &may).await,
            peer: app.agent("peer", &may).await,
            foreign_agent: app.other_tenant().await.agent("foreigner", &may).await,
            viewer_key: app.api_key(Role::Viewer).await,
            admin_key: app.api_key(Role::Admin).await,
            disabled_key: app.bearer(&disabled.member("api_key")),
            expired_key: app.bearer(&expired.member("api_key")),
        }
    }

    /// The caller of this kind, for a case.
    pub async fn caller(&self, kind: Kind, case: &Case<'a>) -> Caller<'a> {
        let app = self.app;
        let tenant = app.tenant();
        match kind {
            Kind::Nobody => app.anonymous(),
            // Of the right form, checksum included, and never issued.
            Kind::BadToken => app.bearer(&never_issued()),
            Kind::DisabledKey => self.disabled_key.clone(),
            Kind::ExpiredKey => self.expired_key.clone(),
            Kind::User(role) => tenant.user(role).await,
            Kind::Key(Role::Admin) => self.admin_key.clone(),
            Kind::Key(_) => self.viewer_key.clone(),
            Kind::ForeignAdmin => app.other_tenant().await.user(Role::Admin).await,
            Kind::ForeignAgent => (*self.foreign_agent).clone(),
            Kind::Itself => (*case.agent).clone(),
            Kind::Peer => (*self.peer).clone(),
        }
    }

    /// Lets the user of this kind go on after a call that ended its sessions or changed its password.
    pub async fn undo(&self, kind: Kind, route: &Route, caller: &Caller<'_>) {
        let (tenant, role) = match kind {
            Kind::User(role) => (self.app.tenant(), role),
            Kind::ForeignAdmin => (self.app.other_tenant().await, Role::Admin),
            _ => return,
        };
        if route.path.ends_with("/vault/seal") {
            let unsealed = caller.post("/api/v1/vault/unseal", &json!({})).await;
            assert_eq!(unsealed.status, 200, "{}", unsealed.text);
        }
        if route.ends_sessions() {
            tenant.forget(role).await;
        }
        if route.path.ends_with("/change-password") {
            let back = json!({"current_password": NEXT_PASSWORD, "new_password": PASSWORD});
            assert_eq!(
                caller.post("/api/v1/auth/change-password", &back).await.status,
                204
            );
        }
    }
}

/// An API key of the right form that nobody issued.
fn never_issued() -> String {
    let token = aim_crypto::token::IssuedToken::generate(aim_crypto::token::TokenKind::OrganizationKey);
    token.expect("randomness").text().expose().to_owned()
}
