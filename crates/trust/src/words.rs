//! What records of the audit log mean for trust: which ones touch it, what they take, and what they are
//! called in a history.

/// What a record of the log means for the agent that it is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Meaning {
    /// The record's action.
    pub action: &'static str,
    /// What it takes from the factor `incidents`.
    pub points: i64,
    /// What happened, in words.
    pub words: &'static str,
}

const fn of(action: &'static str, points: i64, words: &'static str) -> Meaning {
    Meaning {
        action,
        points,
        words,
    }
}

/// Every event that touches an agent's trust. Refused signatures are not among them: anybody can send those
/// in an agent's name. Nor are alerts: they are made of the same events, which would then count twice.
pub const MEANINGS: &[Meaning] = &[
    of("agent.registered", 0, "registered"),
    of("agent.updated", 0, "details changed"),
    of("agent.suspended", 30, "suspended"),
    of("agent.reactivated", 0, "reactivated"),
    of("agent.deleted", 0, "deleted"),
    of("agent_key.registered", 0, "first key brought"),
    of("agent_key.rotated", 0, "key rotated"),
    of("agent_key.replaced", 0, "key replaced without its own signature"),
    of("agent_key.revoked", 15, "key revoked"),
    of("capability.granted", 0, "capability granted"),
    of("capability.revoked", 0, "capability revoked"),
    of("trust.adjusted", 0, "adjusted by hand"),
    of("trust.adjustment_withdrawn", 0, "adjustment withdrawn"),
    of("trust.threshold_crossed", 0, "fell below a threshold"),
    of("trust.threshold_recovered", 0, "recovered above a threshold"),
    of("agent.restricted", 0, "restricted for a while"),
    of("agent.restriction_lifted", 0, "restriction lifted"),
    of("mcp_connection.added", 0, "MCP server connected"),
    of("mcp_connection.removed", 0, "MCP server disconnected"),
    // Findings are read from their own table, where one can be marked as false.
    of("threat.found", 0, "threat found"),
    of("threat.reviewed", 0, "threat finding reviewed"),
];

/// What the action means, if it touches trust.
#[must_use]
pub fn meaning(action: &str) -> Option<&'static Meaning> {
    MEANINGS.iter().find(|meaning| meaning.action == action)
}

/// The action in words; the action itself where it has none.
#[must_use]
pub fn of_action(action: &str) -> &str {
    meaning(action).map_or(action, |meaning| meaning.words)
}
