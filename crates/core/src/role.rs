//! Roles, and the one table of permissions that API, console and docs use alike.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// What a user or an organisation API key may do. Each role includes those before it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Role {
    /// Reads.
    Viewer,
    /// Registers and edits agents, asks for capabilities.
    Member,
    /// Grants, suspends, approves, reads the audit log.
    Manager,
    /// Manages users, policies and the organisation.
    Admin,
}

impl Role {
    /// Every role, weakest first.
    pub const ALL: [Self; 4] = [Self::Viewer, Self::Member, Self::Manager, Self::Admin];

    /// The role's name on the wire and in the database.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Viewer => "viewer",
            Self::Member => "member",
            Self::Manager => "manager",
            Self::Admin => "admin",
        }
    }

    /// The role of that name.
    #[must_use]
    pub fn parse(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|role| role.as_str() == name)
    }
}

/// Something one may be allowed to do, and the least role that is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Permission {
    /// Its name, as a refusal gives it (`agents:write`).
    pub name: &'static str,
    /// The weakest role that has it.
    pub minimum: Role,
    /// What it lets one do, for the docs.
    pub meaning: &'static str,
}

/// A permission as a type, so that a handler's signature states what it requires.
pub trait RequiredPermission: Send + Sync + 'static {
    /// The permission.
    const PERMISSION: Permission;
}

/// Declares permissions: a marker type each, and a table of them all.
#[macro_export]
macro_rules! permissions {
    ($table:ident: $($marker:ident = $name:literal, $minimum:ident, $meaning:literal;)*) => {
        $(
            #[doc = $meaning]
            #[derive(Debug, Clone, Copy)]
            pub enum $marker {}
            impl $crate::RequiredPermission for $marker {
                const PERMISSION: $crate::Permission = $crate::Permission {
                    name: $name,
                    minimum: $crate::Role::$minimum,
                    meaning: $meaning,
                };
            }
        )*
        /// Every permission of this crate, in the order of the docs.
        pub const $table: &[$crate::Permission] =
            &[$(<$marker as $crate::RequiredPermission>::PERMISSION),*];
    };
}

/// The community edition's permissions.
pub mod permission {
    crate::permissions! { COMMUNITY:
        AgentsRead = "agents:read", Viewer, "See agents and their details";
        AgentsWrite = "agents:write", Member, "Register and edit agents";
        AgentsSuspend = "agents:suspend", Manager, "Suspend and reactivate agents";
        AgentsDelete = "agents:delete", Manager, "Delete agents";
        KeysRead = "keys:read", Viewer, "See agents' public keys and their history";
        KeysRotate = "keys:rotate", Member, "Rotate an agent's key with the agent's own signature";
        KeysRevoke = "keys:revoke", Manager, "Revoke or replace an agent's key without its signature";
        CapabilitiesRead = "capabilities:read", Viewer, "See grants and capability requests";
        CapabilitiesGrant = "capabilities:grant", Manager, "Grant and revoke capabilities";
        CapabilitiesRequest = "capabilities:request", Member, "Ask for a capability on an agent's behalf";
        CapabilitiesReview = "capabilities:review", Manager, "Approve or reject capability requests";
        PoliciesRead = "policies:read", Viewer, "See organisation-wide policies";
        PoliciesWrite = "policies:write", Admin, "Create and delete organisation-wide policies";
        VerificationsRead = "verifications:read", Viewer, "See decisions";
        VerificationsReview = "verifications:review", Manager, "Approve or reject pending actions";
        ViolationsRead = "violations:read", Viewer, "See violations";
        ViolationsTriage = "violations:triage", Manager, "Acknowledge, resolve and suppress violations";
        TrustRead = "trust:read", Viewer, "See trust scores, their factors and history";
        TrustAdjust = "trust:adjust", Admin, "Adjust a trust score by hand, and set what a low score leads to";
        EventsRead = "events:read", Viewer, "Follow the live feed and see activity";
        AlertsRead = "alerts:read", Viewer, "See alerts";
        AlertsHandle = "alerts:handle", Manager, "Acknowledge, assign and resolve alerts";
        AlertRulesWrite = "alert_rules:write", Admin, "Change alert rules";
        WebhooksRead = "webhooks:read", Manager, "See webhooks and their deliveries";
        WebhooksWrite = "webhooks:write", Admin, "Create, change, test and delete webhooks and mail recipients";
        ThreatsRead = "threats:read", Viewer, "See threat findings";
        ThreatsReview = "threats:review", Manager, "Mark findings as false or handled";
        ThreatPoliciesWrite = "threat_policies:write", Admin, "Set what a finding leads to, and honeytoken capabilities";
        McpRead = "mcp:read", Viewer, "See MCP servers, their manifests and attestations";
        McpWrite = "mcp:write", Member, "Register and edit MCP servers, and connect agents to them";
        McpVerify = "mcp:verify", Manager, "Verify, suspend, revoke and delete MCP servers";
        ComplianceRead = "compliance:read", Manager, "See the compliance status";
        RetentionWrite = "retention:write", Admin, "Set retention and legal holds";
        AuditRead = "audit:read", Manager, "Read and export the audit log";
        ApiKeysRead = "api_keys:read", Member, "See organisation API keys";
        ApiKeysWrite = "api_keys:write", Member, "Create, disable and delete organisation API keys up to one's own role";
        UsersRead = "users:read", Manager, "See users";
        UsersWrite = "users:write", Admin, "Invite users, change roles, deactivate";
        OrganizationRead = "organization:read", Viewer, "See the organisation";
        SelfManage = "self:manage", Viewer, "See and change one's own account and sessions";
    }
}
