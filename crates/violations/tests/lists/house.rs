//! A database of its own for each test, with two organisations, and callers as values.

use std::sync::Arc;

use actix_web::{
    App,
    http::header::HeaderMap,
    middleware::from_fn,
    test::{TestRequest, call_service, init_service},
};
use aim_core::{
    Actor, AgentCredential, AgentId, Clock, Ctx, Error, ManualClock, OrganizationId, Result, Role, Timestamp,
    UserId, id::uuid_at,
};
use aim_crypto::token::TokenPepper;
use aim_platform::{
    Authenticated, Authenticator, EditionInfo, Kernel, Module, OpenApiDocument, PlatformConfig, RequestHead,
    ServiceConfig,
    auth::AuthFuture,
    configure,
    console::{AgentHeader, ConsoleRegistry},
    shell, shell_state,
};
use aim_store::{
    COMMUNITY_MIGRATIONS, DatabaseConfig, Db, Scope, Store, each,
    schema::{agents, audit_log, organizations},
};
use aim_violations::{
    Violations,
    audit_log::AuditLogService,
    capabilities::CapabilityService,
    policies::PolicyService,
    violations::{TriageService, ViolationService},
};
use diesel::{ExpressionMethods, QueryDsl, RunQueryDsl};
use serde_json::Value;

/// The environment variable that names a PostgreSQL server on which databases may be made.
const POSTGRES: &str = "AIM_TEST_POSTGRES_URL";

/// An installation with two organisations.
pub(crate) struct House {
    pub(crate) kernel: Kernel,
    pub(crate) clock: Arc<ManualClock>,
    pub(crate) home: OrganizationId,
    pub(crate) elsewhere: OrganizationId,
    _folder: tempfile::TempDir,
}

/// Runs a test on each database there is.
pub(crate) async fn on_each<F: Future<Output = ()>>(test: impl Fn(House) -> F) {
    let folder = tempfile::tempdir().unwrap();
    let path = format!("sqlite:{}", folder.path().join("aim.db").display());
    test(House::open(path, folder).await).await;
    if let Ok(server) = std::env::var(POSTGRES) {
        let name = format!("aim_lists_{}", uuid::Uuid::new_v4().simple());
        let admin = Store::connect(
            &DatabaseConfig {
                url: server.clone(),
                connections: 2,
            },
            vec![],
        )
        .await
        .unwrap();
        let statement = format!("CREATE DATABASE {name}");
        admin
            .read(Scope::Installation, move |db| db.execute(&statement))
            .await
            .unwrap();
        let (start, _) = server.rsplit_once('/').unwrap();
        test(House::open(format!("{start}/{name}"), tempfile::tempdir().unwrap()).await).await;
    }
}

impl House {
    async fn open(url: String, folder: tempfile::TempDir) -> Self {
        let store = Store::connect(
            &DatabaseConfig { url, connections: 6 },
            vec![COMMUNITY_MIGRATIONS],
        )
        .await
        .unwrap();
        let clock = Arc::new(ManualClock::new(at("2026-03-10T12:00:00Z")));
        let config = PlatformConfig {
            requests_per_second: 0,
            anonymous_requests_per_second: 0,
            ..PlatformConfig::default()
        };
        let kernel = Kernel {
            store,
            clock: clock.clone(),
            config: Arc::new(config),
            pepper: Arc::new(TokenPepper::from_bytes([7; 32])),
            node: "test".into(),
            refusals: aim_platform::Refusals::default(),
            stopping: aim_platform::Stopping::default(),
        };
        let (home, elsewhere) = (
            OrganizationId::generate(clock.now()),
            OrganizationId::generate(clock.now()),
        );
        let now = clock.now();
        kernel
            .store
            .write(Scope::Installation, move |db| {
                for (id, name) in [(home, "home"), (elsewhere, "elsewhere")] {
                    each!(db, c => diesel::insert_into(organizations::table)
                        .values((
                            organizations::id.eq(id),
                            organizations::name.eq(name),
                            organizations::policy_epoch.eq(0_i64),
                            organizations::created_at.eq(now),
                        ))
                        .execute(c))?;
                }
                Ok(())
            })
            .await
            .unwrap();
        Self {
            kernel,
            clock,
            home,
            elsewhere,
            _folder: folder,
        }
    }

    pub(crate) fn store(&self) -> &Store {
        &self.kernel.store
    }

    pub(crate) fn capabilities(&self) -> CapabilityService {
        CapabilityService::new(&self.kernel)
    }

    pub(crate) fn policies(&self) -> PolicyService {
        PolicyService::new(&self.kernel)
    }

    pub(crate) fn violations(&self) -> ViolationService {
        ViolationService::new(&self.kernel)
    }

    pub(crate) fn triage(&self) -> TriageService {
        TriageService::new(&self.kernel)
    }

    pub(crate) fn audit_log(&self) -> AuditLogService {
        AuditLogService::new(&self.kernel)
    }

    /// A new agent of the organisation.
    pub(crate) async fn agent(&self, organization: OrganizationId, name: &str) -> AgentId {
        let (id, name, now) = (
            AgentId::generate(self.clock.now()),
            name.to_owned(),
            self.clock.now(),
        );
        self.store()
            .write(organization, move |db| {
                each!(db, c => diesel::insert_into(agents::table)
                    .values((
                        agents::org_id.eq(organization),
                        agents::id.eq(id),
                        agents::name.eq(&name),
                        agents::display_name.eq(&name),
                        agents::description.eq(""),
                        agents::agent_type.eq("assistant"),
                        agents::version.eq("1"),
                        agents::status.eq("active"),
                        agents::tags.eq(aim_core::Json(serde_json::json!([]))),
                        agents::talks_to.eq(aim_core::Json(serde_json::json!([]))),
                        agents::created_by.eq("system:test"),
                        agents::created_at.eq(now),
                        agents::updated_at.eq(now),
                    ))
                    .execute(c))?;
                Ok(())
            })
            .await
            .unwrap();
        id
    }

    pub(crate) async fn epoch(&self, agent: AgentId) -> i64 {
        self.read(move |db| {
            Ok(each!(db, c => agents::table.filter(agents::id.eq(agent)).select(agents::epoch).first(c))?)
        })
        .await
    }

    pub(crate) async fn policy_epoch(&self, organization: OrganizationId) -> i64 {
        self.read(move |db| {
            Ok(each!(db, c => organizations::table.find(organization).select(organizations::policy_epoch).get_result(c))?)
        })
        .await
    }

    /// The actions in the log, oldest first.
    pub(crate) async fn logged(&self) -> Vec<String> {
        self.read(|db| Ok(each!(db, c => audit_log::table.order(audit_log::leaf_index).select(audit_log::action).load(c))?))
            .await
    }

    pub(crate) async fn read<T: Send + 'static>(
        &self,
        work: impl FnOnce(&mut Db) -> aim_store::Result<T> + Send + 'static,
    ) -> T {
        self.store().read(Scope::Installation, work).await.unwrap()
    }

    fn ctx(&self, organization: OrganizationId, actor: Actor) -> Ctx {
        let now = self.clock.now();
        Ctx {
            actor,
            organization,
            request_id: uuid_at(now),
            now,
            source_ip: None,
            user_agent: None,
        }
    }

    pub(crate) fn user(&self, organization: OrganizationId, role: Role) -> Ctx {
        let now = self.clock.now();
        let (id, session) = (UserId::generate(now), aim_core::SessionId::generate(now));
        self.ctx(organization, Actor::User { id, role, session })
    }

    pub(crate) fn manager(&self) -> Ctx {
        self.user(self.home, Role::Manager)
    }

    pub(crate) fn acting(&self, organization: OrganizationId, agent: AgentId) -> Ctx {
        let credential = AgentCredential::Key {
            fingerprint: "test".to_owned(),
        };
        self.ctx(
            organization,
            Actor::Agent {
                id: agent,
                credential,
            },
        )
    }

    /// A page of the console, as a browser asks for it.
    pub(crate) async fn look(&self, ctx: &Ctx, path: &str) -> Answer {
        let call = request(ctx, "GET", path).insert_header(("accept", "text/html"));
        let violations = Violations::new(&self.kernel);
        self.send_to(vec![Arc::new(Heads), Arc::new(violations)], call)
            .await
    }

    /// Sends a request to the routes of the four areas behind the web shell.
    pub(crate) async fn send(&self, call: TestRequest) -> Answer {
        self.send_to(vec![Arc::new(Areas(self.kernel.clone()))], call)
            .await
    }

    async fn send_to(&self, modules: Vec<Arc<dyn Module>>, call: TestRequest) -> Answer {
        let state = shell_state(&self.kernel, &modules);
        let edition = EditionInfo {
            edition: "test".to_owned(),
            version: "0".to_owned(),
            features: Vec::new(),
        };
        let document = OpenApiDocument("{}".into());
        let kernel = self.kernel.clone();
        let app = init_service(App::new().wrap(from_fn(shell)).configure(move |config| {
            configure(config, &kernel, &modules, &state, &edition, &document);
        }))
        .await;
        let response = call_service(&app, call.to_request()).await;
        let (status, headers) = (response.status().as_u16(), response.headers().clone());
        let body = actix_web::body::to_bytes(response.into_body()).await;
        let body = body.unwrap_or_else(|_| panic!("the body broke off")).to_vec();
        Answer {
            status,
            headers,
            body,
        }
    }
}

/// The whole answer to a request.
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Vec<u8>,
}

impl Answer {
    pub(crate) fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or(Value::Null)
    }

    pub(crate) fn text(&self) -> String {
        String::from_utf8(self.body.clone()).unwrap()
    }
}

/// A request by the caller of `ctx`, as [`ByHeader`] reads it.
pub(crate) fn request(ctx: &Ctx, method: &str, path: &str) -> TestRequest {
    let caller = match &ctx.actor {
        Actor::User { role, .. } => format!("{}/{}", role.as_str(), ctx.organization),
        Actor::Agent { id, .. } => format!("agent:{id}/{}", ctx.organization),
        other => panic!("no such caller: {other:?}"),
    };
    TestRequest::default()
        .method(method.parse().unwrap())
        .uri(path)
        .insert_header(("x-test-caller", caller))
}

pub(crate) fn at(text: &str) -> Timestamp {
    Timestamp::parse(text).unwrap()
}

struct Areas(Kernel);

impl Module for Areas {
    fn name(&self) -> &'static str {
        "areas"
    }

    fn routes(&self, config: &mut ServiceConfig<'_>) {
        aim_violations::capabilities::routes::register(config, &CapabilityService::new(&self.0));
        aim_violations::policies::routes::register(config, &PolicyService::new(&self.0));
        aim_violations::violations::routes::register(config, &ViolationService::new(&self.0));
        aim_violations::violations::triage::routes::register(config, &TriageService::new(&self.0));
        aim_violations::audit_log::routes::register(config, &AuditLogService::new(&self.0));
    }

    fn authenticators(&self) -> Vec<Arc<dyn Authenticator>> {
        vec![Arc::new(ByHeader)]
    }
}

/// What identity adds to the pages of an agent: its head.
struct Heads;

impl Module for Heads {
    fn name(&self) -> &'static str {
        "heads"
    }

    fn routes(&self, _: &mut ServiceConfig<'_>) {}

    fn authenticators(&self) -> Vec<Arc<dyn Authenticator>> {
        vec![Arc::new(ByHeader)]
    }

    fn console(&self, console: &mut ConsoleRegistry) {
        console.agent_header(|_, _| async { Ok(AgentHeader::default()) });
    }
}

/// Takes callers at their word.
struct ByHeader;

impl Authenticator for ByHeader {
    fn recognises(&self, head: &RequestHead<'_>) -> bool {
        head.header("x-test-caller").is_some()
    }

    fn authenticate<'a>(&'a self, head: &'a RequestHead<'a>, _: &'a [u8]) -> AuthFuture<'a> {
        Box::pin(std::future::ready(caller(head)))
    }
}

fn caller(head: &RequestHead<'_>) -> Result<Authenticated> {
    let (who, organization) = head
        .header("x-test-caller")
        .and_then(|text| text.split_once('/'))
        .ok_or_else(|| Error::internal("no caller"))?;
    let organization = organization.parse().map_err(Error::internal)?;
    let actor = match who.strip_prefix("agent:") {
        Some(id) => Actor::Agent {
            id: id.parse().map_err(Error::internal)?,
            // A credential without a key, whose state nobody asks for here.
            credential: AgentCredential::Limited {
                id: uuid_at(head.now),
                capabilities: Vec::new(),
                limits: aim_core::ctx::CredentialLimits::default(),
            },
        },
        None => Actor::User {
            id: UserId::generate(head.now),
            role: Role::parse(who).ok_or_else(|| Error::internal("no role"))?,
            session: aim_core::SessionId::generate(head.now),
        },
    };
    Ok(Authenticated {
        actor,
        organization,
        nonce: None,
        scheme: "test",
    })
}
