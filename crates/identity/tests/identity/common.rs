//! A world with two organisations on a database of its own, and requests that need no server.

use std::sync::Arc;

use actix_web::http::{
    Method, Uri,
    header::{HeaderMap, HeaderName, HeaderValue},
};
use aim_core::{Actor, AgentId, Ctx, Id, ManualClock, OrganizationId, Result, Role, UserId};
use aim_crypto::{
    http_signature::{RequestView, sign_request},
    keys::SigningKey,
    possession::{Purpose, possession_message},
    secret::SecretString,
};
use aim_identity::{
    AgentView, Identity, NewAgent, ProvenKey,
    set_up::{self, Initialised},
};
use aim_platform::{Authenticated, Authenticator, Kernel, Module, RequestHead};
use aim_testkit::{TestDatabase, databases};

pub(crate) const PASSWORD: &str = "quiet harbour lantern 7";
pub(crate) const EMAIL: &str = "ada@example.com";
pub(crate) const AUTHORITY: &str = "aim.example";

/// An installation with two organisations; tests act in the first.
pub(crate) struct World {
    pub(crate) database: TestDatabase,
    pub(crate) kernel: Kernel,
    pub(crate) clock: Arc<ManualClock>,
    pub(crate) identity: Identity,
    pub(crate) authenticators: Vec<Arc<dyn Authenticator>>,
    pub(crate) first: Initialised,
    pub(crate) second: Initialised,
}

/// A world on each database that can be had.
pub(crate) async fn worlds() -> Vec<World> {
    let mut worlds = Vec::new();
    for database in databases().await {
        worlds.push(World::on(database).await);
    }
    worlds
}

pub(crate) fn password() -> SecretString {
    SecretString::from(PASSWORD)
}

impl World {
    async fn on(database: TestDatabase) -> Self {
        let (kernel, clock) = aim_testkit::kernel(&database.store);
        let first = set_up::initialise(&kernel, "First Ltd", EMAIL, &password())
            .await
            .unwrap();
        let second = set_up::add_organization(&kernel, "Second Ltd", "bob@example.org", &password())
            .await
            .unwrap();
        let identity = Identity::new(&kernel);
        let authenticators = identity.authenticators();
        Self {
            authenticators,
            database,
            kernel,
            clock,
            identity,
            first,
            second,
        }
    }

    /// Somebody of the first organisation with `role`.
    pub(crate) fn ctx(&self, role: Role) -> Ctx {
        self.ctx_of(self.first.organization_id, self.first.admin_user_id, role)
    }

    pub(crate) fn admin(&self) -> Ctx {
        self.ctx(Role::Admin)
    }

    /// The administrator of the second organisation.
    pub(crate) fn stranger(&self) -> Ctx {
        self.ctx_of(
            self.second.organization_id,
            self.second.admin_user_id,
            Role::Admin,
        )
    }

    fn ctx_of(&self, organization: OrganizationId, user: UserId, role: Role) -> Ctx {
        let now = self.kernel.now();
        let mut ctx = Ctx::system("test", organization, now);
        ctx.actor = Actor::User {
            id: user,
            role,
            session: Id::generate(now),
        };
        ctx.source_ip = Some("192.0.2.1".to_owned());
        ctx
    }

    /// Somebody who is not known yet.
    pub(crate) fn anonymous(&self, address: &str) -> Ctx {
        let mut ctx = Ctx::system(
            "test",
            OrganizationId::from_uuid(uuid::Uuid::nil()),
            self.kernel.now(),
        );
        ctx.actor = Actor::Anonymous;
        ctx.source_ip = Some(address.to_owned());
        ctx
    }

    /// A new agent with its key, its possession proven.
    pub(crate) async fn new_agent(&self, ctx: &Ctx, name: &str, key: &SigningKey) -> NewAgent {
        let challenge = self.identity.agents().challenge(ctx).await.unwrap().challenge;
        let proof = key
            .sign(&possession_message(Purpose::Register, &challenge, &key.public()))
            .to_vec();
        NewAgent {
            name: name.to_owned(),
            key: Some(ProvenKey {
                public_key: key.public(),
                challenge,
                proof,
            }),
            ..NewAgent::default()
        }
    }

    pub(crate) async fn register(&self, ctx: &Ctx, name: &str) -> (AgentView, SigningKey) {
        let key = SigningKey::generate().unwrap();
        let new = self.new_agent(ctx, name, &key).await;
        (self.identity.agents().register(ctx, new).await.unwrap(), key)
    }

    /// How many audit records of this action the first organisation has.
    pub(crate) async fn audited(&self, action: &str) -> i64 {
        self.database
            .count(&format!(
                "SELECT count(*) FROM audit_log WHERE action = '{action}'"
            ))
            .await
    }

    /// What the first authenticator that recognises the request says; none when nobody does.
    pub(crate) async fn authenticate(&self, request: &Request) -> Option<Result<Authenticated>> {
        let head = RequestHead {
            method: &request.method,
            uri: &request.uri,
            scheme: "https",
            authority: AUTHORITY,
            headers: &request.headers,
            now: self.kernel.now(),
            source_ip: Some("203.0.113.7"),
        };
        for authenticator in &self.authenticators {
            if authenticator.recognises(&head) {
                let body = if authenticator.needs_body() {
                    request.body.as_slice()
                } else {
                    &[]
                };
                return Some(authenticator.authenticate(&head, body).await);
            }
        }
        None
    }

    /// As [`Self::authenticate`], for a request that somebody must recognise.
    pub(crate) async fn recognised(&self, request: &Request) -> Result<Authenticated> {
        self.authenticate(request)
            .await
            .expect("an authenticator that recognises the request")
    }
}

/// A request as it was received.
pub(crate) struct Request {
    pub(crate) method: Method,
    pub(crate) uri: Uri,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Vec<u8>,
}

impl Request {
    pub(crate) fn new(method: Method, uri: &str) -> Self {
        Self {
            method,
            uri: uri.parse().unwrap(),
            headers: HeaderMap::new(),
            body: Vec::new(),
        }
    }

    pub(crate) fn header(mut self, name: &str, value: &str) -> Self {
        let name: HeaderName = name.parse().unwrap();
        self.headers.insert(name, HeaderValue::from_str(value).unwrap());
        self
    }

    pub(crate) fn bearer(token: &str) -> Self {
        Self::new(Method::GET, "/api/v1/agents").header("authorization", &format!("Bearer {token}"))
    }

    /// A `POST` with this body, signed at `created`.
    pub(crate) fn signed(key: &SigningKey, body: &[u8], created: i64, nonce: &str) -> Self {
        let mut request = Self::new(Method::POST, "/api/v1/verifications?trace=1");
        request.body = body.to_vec();
        let no_headers: Vec<(String, String)> = Vec::new();
        let view = RequestView {
            method: "POST",
            scheme: "https",
            authority: AUTHORITY,
            path: "/api/v1/verifications",
            query: Some("trace=1"),
            headers: &no_headers,
        };
        let signed = sign_request(&view, body, key, created, nonce, &[]).unwrap();
        let request = request
            .header("signature-input", &signed.signature_input)
            .header("signature", &signed.signature);
        match signed.content_digest {
            Some(digest) => request.header("content-digest", &digest),
            None => request,
        }
    }
}

pub(crate) fn agent_of(caller: &Authenticated) -> AgentId {
    match caller.actor {
        Actor::Agent { id, .. } => id,
        ref other => panic!("not an agent: {other:?}"),
    }
}
