//! The table: every operation, who may use it, and the status when it does what it is for.

use std::fmt;

use aim_core::{Permission, Role, role::permission};
use reqwest::Method;

use super::callers::Kind;

/// Who may use a route.
#[derive(Debug, Clone, Copy)]
pub enum Who {
    /// Everybody; credentials are not looked at.
    Everybody,
    /// Everybody; but credentials that come along must be good, and must have the permission.
    WithOrWithoutCredentials(Permission),
    /// Users and organisation API keys with the permission.
    People(Permission),
    /// As people, but of the organisation alone that the installation was set up with.
    Operators(Permission),
    /// Signed-in users with the permission.
    Users(Permission),
    /// As people, or the agent that the path is about.
    PeopleOrItself(Permission),
    /// Agents, for themselves.
    Agents,
    /// The agent that the path is about.
    Itself,
    /// Agents, named in the body.
    AgentInBody,
    /// The agent that has signed a part of the body.
    SignerOfBody,
}

impl Who {
    /// The permission that people need.
    pub const fn permission(self) -> Option<Permission> {
        match self {
            Self::WithOrWithoutCredentials(permission)
            | Self::People(permission)
            | Self::Operators(permission)
            | Self::Users(permission)
            | Self::PeopleOrItself(permission) => Some(permission),
            Self::Everybody | Self::Agents | Self::Itself | Self::AgentInBody | Self::SignerOfBody => None,
        }
    }
}

/// What a caller is told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Expected {
    /// What the route is for.
    Success,
    /// 401, with a code that starts so.
    Unauthenticated(&'static str),
    /// 403, naming the permission where one is missing.
    Forbidden(Option<&'static str>),
    /// 404.
    NotFound,
}

/// A line of the table.
#[derive(Debug, Clone)]
pub struct Route {
    /// The method.
    pub method: Method,
    /// The path, as the document has it.
    pub path: &'static str,
    /// Who may use it.
    pub who: Who,
    /// The status of success.
    pub success: u16,
}

impl fmt::Display for Route {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{} {}", self.method, self.path)
    }
}

impl Route {
    /// The path with these ids in its places.
    pub fn target(&self, ids: &[String]) -> String {
        let mut ids = ids.iter();
        let segments = self
            .path
            .split('/')
            .map(|segment| match segment.starts_with('{') {
                true => ids.next().expect("an id for each place").as_str(),
                false => segment,
            });
        segments.collect::<Vec<_>>().join("/")
    }

    /// Whether the path is about a thing of one organisation.
    pub fn has_ids(&self) -> bool {
        // What is the caller's own has no id of anybody else's; and a secret's path is a name that each organisation
        // has for itself.
        self.path.contains('{') && !self.path.contains("/me/") && !self.path.contains("/vault/secrets/")
    }

    /// What `kind` is told.
    pub fn expected(&self, kind: Kind) -> Expected {
        let foreign = if self.has_ids() {
            Expected::NotFound
        } else {
            Expected::Success
        };
        match (self.who, kind) {
            (Who::Everybody, _) | (Who::WithOrWithoutCredentials(_), Kind::Nobody) => Expected::Success,
            // Its body is the credential, and this one holds none.
            (Who::AgentInBody, Kind::Nobody) => Expected::Unauthenticated("auth."),
            (_, Kind::Nobody) => Expected::Unauthenticated("auth.credentials_missing"),
            (_, Kind::BadToken | Kind::DisabledKey | Kind::ExpiredKey) => {
                Expected::Unauthenticated("auth.credentials_invalid")
            }
            (Who::Agents, Kind::Itself | Kind::Peer | Kind::ForeignAgent)
            | (Who::AgentInBody | Who::Itself | Who::SignerOfBody, Kind::Itself) => Expected::Success,
            (Who::Itself, Kind::Peer | Kind::ForeignAgent) => Expected::NotFound,
            (Who::SignerOfBody, Kind::Peer | Kind::ForeignAgent) => {
                Expected::Unauthenticated("auth.signature_invalid")
            }
            (Who::Agents | Who::AgentInBody | Who::Itself | Who::SignerOfBody, _) => {
                Expected::Forbidden(None)
            }
            (Who::Users(_), Kind::Key(_)) | (Who::Operators(_), Kind::ForeignAdmin) => {
                Expected::Forbidden(None)
            }
            (
                Who::People(needed)
                | Who::Operators(needed)
                | Who::Users(needed)
                | Who::PeopleOrItself(needed)
                | Who::WithOrWithoutCredentials(needed),
                Kind::User(role) | Kind::Key(role),
            ) => {
                if role >= needed.minimum {
                    Expected::Success
                } else {
                    Expected::Forbidden(Some(needed.name))
                }
            }
            (
                Who::People(needed) | Who::Operators(needed) | Who::Users(needed),
                Kind::Itself | Kind::Peer | Kind::ForeignAgent,
            ) => Expected::Forbidden(Some(needed.name)),
            (Who::PeopleOrItself(_) | Who::WithOrWithoutCredentials(_), Kind::Itself) => Expected::Success,
            (_, Kind::Peer | Kind::ForeignAgent | Kind::ForeignAdmin) => foreign,
        }
    }

    /// Whether the caller's own sessions end by it.
    pub fn ends_sessions(&self) -> bool {
        matches!(self.path, "/api/v1/auth/logout" | "/api/v1/auth/sessions") && self.method != Method::GET
    }
}

/// The permission of that name; of the premium edition's, its least role stands here, and is checked against
/// the module's.
fn needs(name: &'static str) -> Permission {
    let premium = [
        ("agent_api_keys:read", Role::Member),
        ("agent_api_keys:write", Role::Manager),
        ("secrets:read", Role::Member),
        ("secrets:write", Role::Manager),
        ("vault:unseal", Role::Admin),
        ("vault:keys", Role::Admin),
        ("secrets:reveal", Role::Admin),
        ("vault:reveal_mode", Role::Admin),
        ("secrets:audit", Role::Manager),
        ("honeytokens:write", Role::Admin),
        ("secrets:wrap", Role::Admin),
        ("secrets:export", Role::Admin),
    ];
    let community = permission::COMMUNITY
        .iter()
        .copied()
        .find(|permission| permission.name == name);
    community.unwrap_or_else(|| {
        let (name, minimum) = premium
            .into_iter()
            .find(|(known, _)| *known == name)
            .expect("a permission");
        Permission {
            name,
            minimum,
            meaning: "",
        }
    })
}

fn people(name: &'static str) -> Who {
    Who::People(needs(name))
}

fn people_or_itself(name: &'static str) -> Who {
    Who::PeopleOrItself(needs(name))
}

fn users() -> Who {
    Who::Users(needs("self:manage"))
}

fn get(path: &'static str, who: Who) -> Route {
    Route {
        method: Method::GET,
        path,
        who,
        success: 200,
    }
}

fn post(path: &'static str, who: Who, success: u16) -> Route {
    Route {
        method: Method::POST,
        path,
        who,
        success,
    }
}

fn delete(path: &'static str, who: Who) -> Route {
    Route {
        method: Method::DELETE,
        path,
        who,
        success: 204,
    }
}

/// The table of an edition.
pub fn routes(premium: bool) -> Vec<Route> {
    let mut table = installation_and_people();
    table.extend(agents_and_keys());
    table.extend(decisions());
    table.extend(trust());
    table.extend(mcp_servers());
    table.extend(threats());
    table.extend(monitoring());
    table.extend(compatibility());
    if premium {
        table.extend(premium_routes());
    }
    table
}

/// What only the premium edition has.
pub fn premium_routes() -> Vec<Route> {
    let mut table = vault();
    table.extend(agent_keys_and_reveals());
    table.extend(accesses_to_secrets());
    table.extend(clients_of_the_vault());
    table
}

fn accesses_to_secrets() -> Vec<Route> {
    let (audit, bait) = (|| people("secrets:audit"), || people("honeytokens:write"));
    let thresholds = "/api/v1/vault/access/thresholds";
    vec![
        get("/api/v1/vault/access", audit()),
        get("/api/v1/vault/access/summary", audit()),
        get("/api/v1/vault/access/unused", audit()),
        get("/api/v1/vault/access/broad-grants", audit()),
        get(thresholds, audit()),
        Route {
            method: Method::PUT,
            path: thresholds,
            who: bait(),
            success: 200,
        },
        get("/api/v1/vault/honeytokens", bait()),
        post("/api/v1/vault/honeytokens", bait(), 201),
        delete("/api/v1/vault/honeytokens/{path}", bait()),
    ]
}

fn vault() -> Vec<Route> {
    let (read, write) = (|| people("secrets:read"), || people("secrets:write"));
    let secret = "/api/v1/vault/secrets/{path}";
    vec![
        post("/api/v1/vault/reads", Who::Agents, 201),
        get("/api/v1/vault/status", read()),
        // The root key of the tests comes from a file: whoever may unseal is told that there is nothing to unseal.
        post("/api/v1/vault/unseal", people("vault:unseal"), 409),
        get("/api/v1/vault/keys", read()),
        post("/api/v1/vault/keys/rotate", people("vault:keys"), 200),
        post("/api/v1/vault/rekey", Who::Operators(needs("vault:keys")), 200),
        post("/api/v1/vault/seal", Who::Operators(needs("vault:keys")), 200),
        get("/api/v1/vault/secrets", read()),
        get(secret, read()),
        Route {
            method: Method::PUT,
            path: secret,
            who: write(),
            success: 201,
        },
        Route {
            success: 200,
            ..delete(secret, write())
        },
        post("/api/v1/vault/undelete", write(), 200),
        post("/api/v1/vault/destroy", write(), 200),
        post("/api/v1/vault/rollback", write(), 201),
        post("/api/v1/vault/find-value", write(), 200),
        // The matrix sends no query: without it, whoever may ask is told what is missing.
        Route {
            success: 400,
            ..get("/api/v1/vault/diff", read())
        },
        get("/api/v1/vault/at", read()),
        post("/api/v1/vault/restore", write(), 200),
        post("/api/v1/vault/import", write(), 200),
        post("/api/v1/vault/export", people("secrets:export"), 200),
        post("/api/v1/vault/refresh", write(), 409),
    ]
}

fn agent_keys_and_reveals() -> Vec<Route> {
    let reveal = || Who::Users(needs("secrets:reveal"));
    vec![
        get("/api/v1/agents/{id}/api-keys", people("agent_api_keys:read")),
        post(
            "/api/v1/agents/{id}/api-keys",
            people("agent_api_keys:write"),
            201,
        ),
        delete(
            "/api/v1/agents/{id}/api-keys/{key_id}",
            people("agent_api_keys:write"),
        ),
        post(
            "/api/v1/agents/{id}/api-keys/{key_id}/rotate",
            people("agent_api_keys:write"),
            201,
        ),
        get("/api/v1/agent-api-keys", people("agent_api_keys:read")),
        post(
            "/api/v1/agent-api-keys/recognise",
            people("agent_api_keys:write"),
            200,
        ),
        post("/api/v1/vault/writes", Who::Agents, 201),
        post("/api/v1/vault/lists", Who::Agents, 201),
        get("/api/v1/vault/reveal-settings", people("secrets:read")),
        Route {
            method: Method::PUT,
            path: "/api/v1/vault/reveal-settings",
            who: Who::Users(needs("vault:reveal_mode")),
            success: 200,
        },
        post("/api/v1/vault/reveal", reveal(), 202),
        get("/api/v1/vault/reveals", people("secrets:reveal")),
        get("/api/v1/vault/reveals/{id}", people("secrets:reveal")),
        post("/api/v1/vault/reveals/{id}/approve", reveal(), 200),
        post("/api/v1/vault/reveals/{id}/reject", reveal(), 200),
        post("/api/v1/vault/reveals/{id}/take", reveal(), 200),
    ]
}

fn clients_of_the_vault() -> Vec<Route> {
    let (read, write) = (|| people_or_itself("secrets:read"), || people("secrets:write"));
    let namespace = "/api/v1/secrets/namespaces/{id}";
    vec![
        post("/api/v1/secrets/resolve", Who::SignerOfBody, 200),
        post("/api/v1/secrets/namespaces", write(), 201),
        get("/api/v1/secrets/namespaces", read()),
        get(namespace, read()),
        Route {
            success: 200,
            ..delete(namespace, write())
        },
        post("/api/v1/secrets/namespaces/{id}/credentials", write(), 201),
        post("/api/v1/secrets/namespaces/{id}/rotate", write(), 201),
        get("/api/v1/secrets/audit", read()),
        // An agent wraps what it may read.
        post("/api/v1/vault/wrap", people_or_itself("secrets:wrap"), 201),
        // The token is the credential; what it does for others than its organisation is tested beside the vault.
        post("/api/v1/vault/wrap/lookup", Who::Everybody, 200),
        post("/api/v1/vault/wrap/unwrap", Who::Everybody, 200),
        get("/api/v1/vault/wraps", people("secrets:wrap")),
        delete("/api/v1/vault/wraps/{id}", people("secrets:wrap")),
        get("/api/v1/vault/changes", Who::Agents),
    ]
}

fn installation_and_people() -> Vec<Route> {
    vec![
        get("/api/v1/edition", Who::Everybody),
        get("/api/v1/openapi.json", Who::Everybody),
        // The installations of these tests are set up already, which is all that anybody is told.
        post("/api/v1/setup", Who::Everybody, 409),
        post("/api/v1/auth/login", Who::Everybody, 200),
        post("/api/v1/auth/login-link", Who::Everybody, 200),
        post("/api/v1/auth/logout", users(), 204),
        get("/api/v1/auth/me", users()),
        get("/api/v1/auth/sessions", users()),
        delete("/api/v1/auth/sessions", users()),
        delete("/api/v1/auth/sessions/{id}", users()),
        post("/api/v1/auth/change-password", users(), 204),
        get("/api/v1/users", people("users:read")),
        post("/api/v1/users", people("users:write"), 201),
        get("/api/v1/users/{id}", people("users:read")),
        get("/api/v1/users/me/preferences/{name}", users()),
        Route {
            method: Method::PUT,
            path: "/api/v1/users/me/preferences/{name}",
            who: users(),
            success: 200,
        },
        Route {
            method: Method::PATCH,
            path: "/api/v1/users/{id}",
            who: people("users:write"),
            success: 200,
        },
        get("/api/v1/organizations/current", people("organization:read")),
        get("/api/v1/api-keys", people("api_keys:read")),
        post("/api/v1/api-keys", people("api_keys:write"), 201),
        Route {
            method: Method::PATCH,
            path: "/api/v1/api-keys/{id}/disable",
            who: people("api_keys:write"),
            success: 200,
        },
        delete("/api/v1/api-keys/{id}", people("api_keys:write")),
    ]
}

fn agents_and_keys() -> Vec<Route> {
    vec![
        post("/api/v1/agents/challenges", people("agents:write"), 201),
        get("/api/v1/agents", people("agents:read")),
        post("/api/v1/agents", people("agents:write"), 201),
        get("/api/v1/agents/{id}", people_or_itself("agents:read")),
        Route {
            method: Method::PUT,
            path: "/api/v1/agents/{id}",
            who: people("agents:write"),
            success: 200,
        },
        delete("/api/v1/agents/{id}", people("agents:delete")),
        post("/api/v1/agents/bulk-suspend", people("agents:suspend"), 200),
        post("/api/v1/agents/{id}/suspend", people("agents:suspend"), 200),
        post("/api/v1/agents/{id}/reactivate", people("agents:suspend"), 200),
        get("/api/v1/agents/{id}/key-vault", people_or_itself("keys:read")),
        get(
            "/api/v1/agents/{id}/key-vault/history",
            people_or_itself("keys:read"),
        ),
        get(
            "/api/v1/agents/{id}/key-vault/formats",
            people_or_itself("keys:read"),
        ),
        post(
            "/api/v1/agents/{id}/key-vault/challenges",
            people_or_itself("keys:rotate"),
            201,
        ),
        post(
            "/api/v1/agents/{id}/key-vault/rotate",
            people_or_itself("keys:rotate"),
            200,
        ),
        post(
            "/api/v1/agents/{id}/key-vault/replace",
            people("keys:revoke"),
            200,
        ),
        post("/api/v1/agents/{id}/key-vault/revoke", people("keys:revoke"), 200),
        get("/api/v1/key-warnings", people("keys:read")),
    ]
}

fn decisions() -> Vec<Route> {
    vec![
        get(
            "/api/v1/agents/{id}/capabilities",
            people_or_itself("capabilities:read"),
        ),
        post(
            "/api/v1/agents/{id}/capabilities",
            people("capabilities:grant"),
            201,
        ),
        delete(
            "/api/v1/agents/{id}/capabilities/{capability_id}",
            people("capabilities:grant"),
        ),
        get(
            "/api/v1/agents/{id}/capability-requests",
            people_or_itself("capabilities:read"),
        ),
        post(
            "/api/v1/agents/{id}/capability-requests",
            people_or_itself("capabilities:request"),
            201,
        ),
        get("/api/v1/capability-requests", people("capabilities:read")),
        get(
            "/api/v1/capability-requests/{id}",
            people_or_itself("capabilities:read"),
        ),
        post(
            "/api/v1/capability-requests/{id}/approve",
            people("capabilities:review"),
            200,
        ),
        post(
            "/api/v1/capability-requests/{id}/reject",
            people("capabilities:review"),
            200,
        ),
        get("/api/v1/policies", people("policies:read")),
        post("/api/v1/policies", people("policies:write"), 201),
        delete("/api/v1/policies/{id}", people("policies:write")),
        post("/api/v1/verifications", Who::Agents, 201),
        get("/api/v1/verifications", people("verifications:read")),
        get(
            "/api/v1/verifications/{id}",
            people_or_itself("verifications:read"),
        ),
        get("/api/v1/verifications/{id}/evidence", people("audit:read")),
        post(
            "/api/v1/verifications/{id}/result",
            people_or_itself("agents:write"),
            201,
        ),
        post(
            "/api/v1/verifications/{id}/approve",
            people("verifications:review"),
            200,
        ),
        post(
            "/api/v1/verifications/{id}/reject",
            people("verifications:review"),
            200,
        ),
        get("/api/v1/violations", people("violations:read")),
        get("/api/v1/violations/groups", people("violations:read")),
        get("/api/v1/violations/{id}", people("violations:read")),
        post(
            "/api/v1/violations/{id}/acknowledge",
            people("violations:triage"),
            200,
        ),
        post(
            "/api/v1/violations/{id}/resolve",
            people("violations:triage"),
            200,
        ),
        post(
            "/api/v1/violations/{id}/suppress",
            people("violations:triage"),
            200,
        ),
        post("/api/v1/violations/{id}/reopen", people("violations:triage"), 200),
        post(
            "/api/v1/violation-groups/acknowledge",
            people("violations:triage"),
            200,
        ),
        post(
            "/api/v1/violation-groups/resolve",
            people("violations:triage"),
            200,
        ),
        post(
            "/api/v1/violation-groups/suppress",
            people("violations:triage"),
            200,
        ),
        post(
            "/api/v1/violation-groups/reopen",
            people("violations:triage"),
            200,
        ),
        get(
            "/api/v1/agents/{id}/violations",
            people_or_itself("violations:read"),
        ),
        get(
            "/api/v1/agents/{id}/violations/groups",
            people_or_itself("violations:read"),
        ),
        get("/api/v1/audit-logs", people("audit:read")),
        get("/api/v1/compliance/status", people("compliance:read")),
        get("/api/v1/retention", people("compliance:read")),
        Route {
            method: Method::PUT,
            path: "/api/v1/retention",
            who: people("retention:write"),
            success: 200,
        },
        get("/api/v1/retention/holds", people("compliance:read")),
        post("/api/v1/retention/holds", people("retention:write"), 201),
        delete("/api/v1/retention/holds/{id}", people("retention:write")),
    ]
}

fn monitoring() -> Vec<Route> {
    let put = |path, who| Route {
        method: Method::PUT,
        path,
        who,
        success: 200,
    };
    vec![
        get("/api/v1/activity", people("events:read")),
        get("/api/v1/events", people("events:read")),
        get("/api/v1/events/stream", people("events:read")),
        get("/api/v1/alerts", people("alerts:read")),
        get("/api/v1/alerts/count", people("alerts:read")),
        get("/api/v1/alerts/{id}", people("alerts:read")),
        post("/api/v1/alerts/{id}/acknowledge", people("alerts:handle"), 200),
        post("/api/v1/alerts/{id}/resolve", people("alerts:handle"), 200),
        post("/api/v1/alerts/{id}/assign", people("alerts:handle"), 200),
        get("/api/v1/alert-rules", people("alerts:read")),
        put("/api/v1/alert-rules", people("alert_rules:write")),
        post("/api/v1/alert-rules/reset", people("alert_rules:write"), 200),
        get("/api/v1/webhooks", people("webhooks:read")),
        post("/api/v1/webhooks", people("webhooks:write"), 201),
        get("/api/v1/webhooks/{id}", people("webhooks:read")),
        put("/api/v1/webhooks/{id}", people("webhooks:write")),
        delete("/api/v1/webhooks/{id}", people("webhooks:write")),
        post("/api/v1/webhooks/{id}/test", people("webhooks:write"), 200),
        get("/api/v1/webhooks/{id}/deliveries", people("webhooks:read")),
        post(
            "/api/v1/webhooks/{id}/deliveries/{delivery_id}/replay",
            people("webhooks:write"),
            202,
        ),
    ]
}

fn trust() -> Vec<Route> {
    vec![
        get("/api/v1/agents/{id}/trust-score", people_or_itself("trust:read")),
        get(
            "/api/v1/agents/{id}/trust-score/history",
            people_or_itself("trust:read"),
        ),
        get(
            "/api/v1/trust-score/agents/{id}/breakdown",
            people_or_itself("trust:read"),
        ),
        get("/api/v1/trust-score/trends", people("trust:read")),
        get("/api/v1/trust-score/policy", people("trust:read")),
        Route {
            method: Method::PUT,
            path: "/api/v1/trust-score/policy",
            who: people("trust:adjust"),
            success: 200,
        },
        get(
            "/api/v1/agents/{id}/trust-score/adjustments",
            people_or_itself("trust:read"),
        ),
        post(
            "/api/v1/agents/{id}/trust-score/adjustments",
            people("trust:adjust"),
            201,
        ),
        delete(
            "/api/v1/agents/{id}/trust-score/adjustments/{adjustment_id}",
            people("trust:adjust"),
        ),
    ]
}

/// Threat findings, and what they lead to.
fn threats() -> Vec<Route> {
    let put = |path: &'static str| Route {
        method: Method::PUT,
        path,
        who: people("threat_policies:write"),
        success: 200,
    };
    vec![
        get("/api/v1/threats", people("threats:read")),
        get("/api/v1/threats/{id}", people("threats:read")),
        post("/api/v1/threats/{id}/review", people("threats:review"), 200),
        get("/api/v1/threats/policies", people("threats:read")),
        put("/api/v1/threats/policies"),
        get("/api/v1/threats/honeytokens", people("threat_policies:write")),
        put("/api/v1/threats/honeytokens"),
    ]
}

/// MCP servers, and which agents use them.
fn mcp_servers() -> Vec<Route> {
    let removal = |path| Route {
        success: 200,
        ..delete(path, people("mcp:write"))
    };
    let put = |path, who| Route {
        method: Method::PUT,
        path,
        who,
        success: 200,
    };
    vec![
        get("/api/v1/mcp-servers", people("mcp:read")),
        post("/api/v1/mcp-servers", people("mcp:write"), 201),
        get("/api/v1/mcp-servers/{id}", people_or_itself("mcp:read")),
        put("/api/v1/mcp-servers/{id}", people("mcp:write")),
        delete("/api/v1/mcp-servers/{id}", people("mcp:verify")),
        post("/api/v1/mcp-servers/{id}/suspend", people("mcp:verify"), 200),
        post("/api/v1/mcp-servers/{id}/reactivate", people("mcp:verify"), 200),
        post("/api/v1/mcp-servers/{id}/revoke", people("mcp:verify"), 200),
        post("/api/v1/mcp-servers/{id}/verify", people("mcp:verify"), 200),
        get("/api/v1/mcp-servers/{id}/manifests", people_or_itself("mcp:read")),
        post(
            "/api/v1/mcp-servers/{id}/manifests",
            people_or_itself("mcp:write"),
            201,
        ),
        get(
            "/api/v1/mcp-servers/{id}/manifests/{version}",
            people_or_itself("mcp:read"),
        ),
        get(
            "/api/v1/mcp-servers/{id}/attestations",
            people_or_itself("mcp:read"),
        ),
        post("/api/v1/mcp-servers/{id}/attestations", Who::Itself, 201),
        get("/api/v1/mcp-servers/{id}/agents", people("mcp:read")),
        get("/api/v1/agents/{id}/mcp-servers", people_or_itself("mcp:read")),
        put("/api/v1/agents/{id}/mcp-servers", people_or_itself("mcp:write")),
        removal("/api/v1/agents/{id}/mcp-servers/bulk"),
        removal("/api/v1/agents/{id}/mcp-servers/{mcp_id}"),
    ]
}

/// What the published SDKs use.
fn compatibility() -> Vec<Route> {
    let report = Who::WithOrWithoutCredentials(needs("agents:write"));
    vec![
        post("/api/v1/public/agents/register", people("agents:write"), 201),
        get(
            "/api/v1/sdk-api/agents/{identifier}",
            people_or_itself("agents:read"),
        ),
        post("/api/v1/sdk-api/verifications", Who::AgentInBody, 201),
        get(
            "/api/v1/sdk-api/verifications/{id}",
            people_or_itself("verifications:read"),
        ),
        post("/api/v1/sdk-api/verifications/{id}/result", report, 201),
        post("/api/v1/sdk-api/verifications/{id}/execution-status", report, 201),
        post(
            "/api/v1/sdk-api/agents/{id}/capability-requests",
            people_or_itself("capabilities:request"),
            201,
        ),
        get(
            "/api/v1/sdk-api/agents/{id}/capability-requests",
            people_or_itself("capabilities:read"),
        ),
        post(
            "/api/v1/sdk-api/agents/{id}/capabilities/register",
            people_or_itself("capabilities:request"),
            201,
        ),
        post(
            "/api/v1/sdk-api/agents/{id}/mcp-servers",
            people_or_itself("mcp:write"),
            201,
        ),
        get(
            "/api/v1/sdk-api/agents/{id}/mcp-servers",
            people_or_itself("mcp:read"),
        ),
        // Without the name, which those are told who may ask.
        Route {
            success: 422,
            ..get(
                "/api/v1/sdk-api/agents/{id}/mcp-servers/by-name",
                people_or_itself("mcp:read"),
            )
        },
        post(
            "/api/v1/sdk-api/agents/{id}/detection/report",
            people_or_itself("mcp:write"),
            200,
        ),
        post(
            "/api/v1/detection/agents/{id}/report",
            people_or_itself("mcp:write"),
            200,
        ),
        get(
            "/api/v1/detection/agents/{id}/status",
            people_or_itself("mcp:read"),
        ),
    ]
}
