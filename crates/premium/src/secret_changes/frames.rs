//! Server-sent events as bytes (HTML standard §9.2).

use actix_web::web::Bytes;
use serde_json::json;

use super::HEARTBEAT;

/// A comment that says: the log was read to its end, and there was nothing for you.
pub(super) fn heartbeat() -> Bytes {
    Bytes::from_static(b": still here\n\n")
}

/// The first event: from here on nothing is missed. What was kept before may be out of date.
pub(super) fn ready() -> Bytes {
    event("ready", &json!({"heartbeat_seconds": HEARTBEAT.as_secs()}))
}

/// A secret that the agent read was changed.
pub(super) fn secret(path: &str, version: Option<i64>, change: &str) -> Bytes {
    event(
        "secret",
        &json!({"path": path, "version": version, "change": change}),
    )
}

/// What the agent may read has changed: nothing that it keeps counts any more.
pub(super) fn revoked(reason: &str) -> Bytes {
    event("revoked", &json!({"reason": reason}))
}

/// The last event: why there will be no more.
pub(super) fn farewell(name: &str, reason: &str) -> Bytes {
    event(name, &json!({"reason": reason}))
}

fn event(name: &str, data: &serde_json::Value) -> Bytes {
    Bytes::from(format!("event: {name}\ndata: {data}\n\n"))
}
