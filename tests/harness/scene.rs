//! An organisation in which something has happened, so that every page has something to show; and the
//! addresses of all pages.

use aim_core::{Permission, Role};
use reqwest::Method;
use serde_json::{Value, json};

use super::{agent::TestAgent, app::TestApp, tenant::TenantOf};

/// A page that can be asked for.
#[derive(Debug, Clone)]
pub struct PageAddress {
    /// Its address.
    pub target: String,
    /// The same with ids that nothing has; none for pages without ids.
    pub unknown: Option<String>,
    /// What it takes to see it; none for pages without sign-in.
    pub permission: Option<Permission>,
}

/// An organisation in which something has happened.
pub struct Scene<'a> {
    /// The application.
    pub app: &'a TestApp,
    /// An agent to which most of it happened.
    pub agent: TestAgent<'a>,
    /// The MCP servers that it is connected to.
    pub mcp_servers: Vec<String>,
}

impl<'a> Scene<'a> {
    /// Lets things happen in the first organisation.
    pub async fn new(app: &'a TestApp) -> Self {
        let tenant = app.tenant();
        let agent = tenant.agent("billing-agent", &["db:read", "mail:send"]).await;
        let _ = tenant.agent("report-writer", &["db:read"]).await;
        for action in [
            "db:read",
            "db:read",
            "db:drop",
            "db:drop",
            "payments:charge",
            "secrets:read",
            "mail:delete",
        ] {
            let _ = agent.act(action, Some("orders/2026")).await;
        }
        let _ = agent
            .ask(&json!({"action": "db:read", "approval_requested": true}))
            .await
            .expect(202);
        let wish = json!({"capability": "payments:refund", "reason": "customers send things back"});
        let _ = agent
            .post(&agent.path("/capability-requests"), &wish)
            .await
            .expect(201);
        // A signature that is used twice is a threat.
        let action = agent.action("db:read");
        let _ = app.send(&action).await;
        let _ = app.send(&action).await;
        let agent = agent.rotate(24).await;
        let mcp_servers = connect(tenant, &agent).await;
        let administrator = tenant.user(Role::Admin).await;
        let _ = tenant.token(Role::Viewer).await;
        let key = json!({"name": "deployment", "role": "member"});
        let _ = administrator.post("/api/v1/api-keys", &key).await.expect(201);
        let policy = json!({"name": "nobody drops tables", "effect": "deny", "capability": "db:drop"});
        let _ = administrator.post("/api/v1/policies", &policy).await.expect(201);
        // A name that is none: nothing leaves this machine.
        let webhook = json!({"name": "on call", "url": "https://receiver.invalid/hook"});
        let _ = administrator.post("/api/v1/webhooks", &webhook).await.expect(201);
        // A suspension raises an alert.
        let suspended = tenant.agent("idle-agent", &[]).await;
        let reason = json!({"reason": "its host was broken into"});
        let _ = administrator
            .post(&suspended.path("/suspend"), &reason)
            .await
            .expect(200);
        app.catch_up().await;
        let _ = app.run_jobs().await;
        Self {
            app,
            agent,
            mcp_servers,
        }
    }

    /// Every page of the console: each tab of an agent, and each thing that has a page of its own.
    pub async fn pages(&self) -> Vec<PageAddress> {
        let console = self.app.parts.shell.console();
        let mut addresses = Vec::new();
        for page in console.pages() {
            match page.path {
                "/agents/{id}/{tab}" => {
                    for (slug, permission) in console.agent_tabs() {
                        addresses.push(PageAddress {
                            target: format!("/agents/{}/{slug}", self.agent.id),
                            unknown: Some(format!("/agents/{}/{slug}", unknown_id())),
                            permission: Some(permission),
                        });
                    }
                }
                path if path.contains('{') => {
                    let id = self.id_for(path).await;
                    addresses.push(PageAddress {
                        target: path.replace("{id}", &id),
                        unknown: Some(path.replace("{id}", &unknown_id())),
                        permission: page.permission,
                    });
                }
                path => addresses.push(PageAddress {
                    target: path.to_owned(),
                    unknown: None,
                    permission: page.permission,
                }),
            }
        }
        addresses
    }

    /// The id of something that the page is about: the first of its list in the API.
    async fn id_for(&self, path: &str) -> String {
        let collection = path
            .strip_suffix("/{id}")
            .filter(|collection| !collection.contains('{'))
            .unwrap_or_else(|| panic!("say in tests/harness/scene.rs what {path} is about"));
        let list = match collection {
            "/agents" => return self.agent.id.to_string(),
            // The list in the API has another name than the page.
            "/decisions" => "/api/v1/verifications".to_owned(),
            collection => format!("/api/v1{collection}"),
        };
        let found = self.app.user(Role::Admin).await.get(&list).await;
        let members = found.expect(200);
        let first = members
            .as_object()
            .and_then(|members| members.values().find_map(Value::as_array))
            .and_then(|things| things.first())
            .and_then(|thing| thing["id"].as_str());
        let first = first.unwrap_or_else(|| panic!("{list} is empty: let something happen in Scene::new"));
        first.to_owned()
    }
}

/// Two MCP servers that the agent talks to.
async fn connect(tenant: TenantOf<'_>, agent: &TestAgent<'_>) -> Vec<String> {
    let administrator = tenant.user(Role::Admin).await;
    let mut ids = Vec::new();
    for name in ["files", "ledger"] {
        let server = json!({"name": name, "url": format!("https://{name}.mcp.example"), "description": "for the scene"});
        let made = administrator.post("/api/v1/mcp-servers", &server).await;
        let _ = made.expect(201);
        ids.push(made.member("id"));
    }
    let _ = administrator
        .send(
            Method::PUT,
            &agent.path("/mcp-servers"),
            Some(&json!({"mcp_server_ids": ids})),
        )
        .await
        .expect(200);
    ids
}

/// An id of the form of ours that nothing has.
fn unknown_id() -> String {
    aim_core::id::uuid_at(aim_testkit::start()).to_string()
}
