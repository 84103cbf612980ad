//! An organisation with its people and keys. An operator founds it; everybody but the first administrator
//! comes in through the public routes.

use std::collections::{HashMap, HashSet};

use aim_core::{OrganizationId, Role};
use aim_crypto::secret::SecretString;
use aim_identity::set_up;
use aim_platform::Kernel;
use serde_json::json;
use tokio::sync::Mutex;

use super::{agent::TestAgent, app::TestApp, caller::Caller};

/// The password of every user.
pub const PASSWORD: &str = "quiet harbour lantern";

/// An organisation.
pub struct Tenant {
    /// Its id.
    pub id: OrganizationId,
    slug: String,
    sessions: Mutex<Sessions>,
}

/// Who of the organisation is there, and who is signed in.
#[derive(Default)]
struct Sessions {
    users: HashSet<Role>,
    tokens: HashMap<Role, String>,
}

impl Tenant {
    /// Founds an organisation with an administrator, as an operator does it.
    pub(crate) async fn create(kernel: &Kernel, name: &str) -> Self {
        let slug = name.split(' ').next().unwrap_or_default().to_lowercase();
        let (email, password) = (
            email_of(&slug, Role::Admin),
            SecretString::new(PASSWORD.to_owned()),
        );
        let made = set_up::add_organization(kernel, name, &email, &password)
            .await
            .expect("an organisation");
        let sessions = Sessions {
            users: HashSet::from([Role::Admin]),
            tokens: HashMap::new(),
        };
        Self {
            id: made.organization_id,
            slug,
            sessions: Mutex::new(sessions),
        }
    }
}

fn email_of(slug: &str, role: Role) -> String {
    format!("{}@{slug}.example", role.as_str())
}

/// An organisation of an application.
#[derive(Clone, Copy)]
pub struct TenantOf<'a> {
    app: &'a TestApp,
    tenant: &'a Tenant,
}

impl<'a> TenantOf<'a> {
    pub(crate) const fn new(app: &'a TestApp, tenant: &'a Tenant) -> Self {
        Self { app, tenant }
    }

    /// The application.
    #[must_use]
    pub const fn app(&self) -> &'a TestApp {
        self.app
    }

    /// The organisation's id.
    #[must_use]
    pub const fn id(&self) -> OrganizationId {
        self.tenant.id
    }

    /// The address with which the user of this role signs in.
    #[must_use]
    pub fn email(&self, role: Role) -> String {
        email_of(&self.tenant.slug, role)
    }

    /// The user of this role, signed in.
    pub async fn user(&self, role: Role) -> Caller<'a> {
        self.app.bearer(&self.token(role).await)
    }

    /// The access token of the user of this role: the same one until it is forgotten.
    pub async fn token(&self, role: Role) -> String {
        let mut sessions = self.tenant.sessions.lock().await;
        if !sessions.users.contains(&role) {
            let administrator = self.open_session(&mut sessions, Role::Admin).await;
            let new = json!({
                "email": self.email(role),
                "name": format!("The {}", role.as_str()),
                "role": role.as_str(),
                "password": PASSWORD,
            });
            let _ = self
                .app
                .bearer(&administrator)
                .post("/api/v1/users", &new)
                .await
                .expect(201);
            sessions.users.insert(role);
        }
        self.open_session(&mut sessions, role).await
    }

    async fn open_session(&self, sessions: &mut Sessions, role: Role) -> String {
        if let Some(token) = sessions.tokens.get(&role) {
            return token.clone();
        }
        let token = self.sign_in(role).await;
        sessions.tokens.insert(role, token.clone());
        token
    }

    /// Signs the user of this role in anew at the next use: for tests that end sessions.
    pub async fn forget(&self, role: Role) {
        self.tenant.sessions.lock().await.tokens.remove(&role);
    }

    /// A session of its own for the user of this role, who must be there.
    pub async fn sign_in(&self, role: Role) -> String {
        let credentials = json!({"email": self.email(role), "password": PASSWORD});
        let answer = self
            .app
            .anonymous()
            .post("/api/v1/auth/login", &credentials)
            .await;
        let _ = answer.expect(200);
        answer.member("access_token")
    }

    /// A new API key.
    pub async fn api_key(&self, role: Role) -> Caller<'a> {
        let new = json!({"name": format!("key {}", uuid::Uuid::new_v4().simple()), "role": role.as_str()});
        let answer = self.user(Role::Admin).await.post("/api/v1/api-keys", &new).await;
        let _ = answer.expect(201);
        self.app.bearer(&answer.member("api_key"))
    }

    /// A new agent with a grant of each capability.
    pub async fn agent(&self, name: &str, grants: &[&str]) -> TestAgent<'a> {
        let agent = TestAgent::register(*self, name).await;
        for capability in grants {
            agent.grant(json!({"capability": capability})).await;
        }
        agent
    }
}
