//! What the server pushes: a secret that this agent read was changed, or what it may read was.

use std::time::Duration;

use reqwest::{Method, Response};
use serde::Deserialize;

use super::SecretError;
use crate::{
    client::Client,
    error::{Error, Result},
};

/// Where changes are told.
const CHANGES: &str = "/api/v1/vault/changes";
/// The longest event that is read.
const LONGEST: usize = 64 * 1024;
/// For how long nothing may be heard: three heartbeats.
const SILENCE: Duration = Duration::from_secs(15);

/// Something that was heard.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Change {
    /// From here on nothing is missed. What was read before may be out of date.
    Ready,
    /// Nothing has changed since what was heard last.
    Nothing,
    /// A secret was written, deleted, destroyed or rolled back.
    Secret {
        /// Where it lies.
        path: String,
        /// The version that is concerned.
        version: Option<i64>,
        /// What happened: `written`, `deleted`, `destroyed`, `rolled_back` and so on.
        change: String,
    },
    /// What the agent may read has changed: nothing that it keeps counts any more.
    Revoked {
        /// `agent`, `key`, `grant`, `policy` or `sealed`.
        reason: String,
    },
    /// There will be no more.
    Ended {
        /// Why.
        reason: String,
    },
}

/// The changes that the server pushes to one agent.
pub struct Changes {
    response: Response,
    buffer: Vec<u8>,
    server: String,
}

impl std::fmt::Debug for Changes {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter
            .debug_struct("Changes")
            .field("server", &self.server)
            .finish_non_exhaustive()
    }
}

impl Client {
    /// Listens to the changes of what this agent read, and may read.
    ///
    /// # Errors
    /// [`Error::Refused`] when the agent may not listen (any more); [`Error::Unreachable`].
    pub async fn secret_changes(&self) -> Result<Changes, SecretError> {
        self.identity().ok_or(Error::NoIdentity)?;
        let request = self.prepare(Method::GET, CHANGES, None::<&()>)?;
        let response = self.open(request, SILENCE).await?;
        Ok(Changes {
            response,
            buffer: Vec::new(),
            server: self.server().to_owned(),
        })
    }
}

impl Changes {
    /// The next change; none when the server has ended it.
    ///
    /// # Errors
    /// [`Error::Unreachable`] when the connection broke, or nothing was heard for 15 seconds.
    pub async fn next(&mut self) -> Result<Option<Change>, SecretError> {
        loop {
            if let Some(frame) = self.frame() {
                if let Some(change) = parse(&frame) {
                    return Ok(Some(change));
                }
                continue;
            }
            let broken = |reason: String| Error::Unreachable {
                server: self.server.clone(),
                reason,
            };
            if self.buffer.len() > LONGEST {
                return Err(broken("an event is longer than any that the server sends".to_owned()).into());
            }
            match tokio::time::timeout(SILENCE, self.response.chunk()).await {
                Ok(Ok(Some(chunk))) => self.buffer.extend_from_slice(&chunk),
                Ok(Ok(None)) => return Ok(None),
                Ok(Err(error)) => return Err(broken(error.to_string()).into()),
                Err(_) => return Err(broken("it has fallen silent".to_owned()).into()),
            }
        }
    }

    /// Takes what stands before the first empty line.
    fn frame(&mut self) -> Option<String> {
        let end = self.buffer.windows(2).position(|pair| pair == b"\n\n")?;
        let rest = self.buffer.split_off(end + 2);
        let frame = std::mem::replace(&mut self.buffer, rest);
        Some(String::from_utf8_lossy(&frame).into_owned())
    }
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct Data {
    path: String,
    version: Option<i64>,
    change: String,
    reason: String,
}

/// What a frame says. An event of a later server that this version does not know counts as a revocation: nothing is kept
/// that might not count.
fn parse(frame: &str) -> Option<Change> {
    let line = |name: &str| {
        let found = frame.lines().find_map(|line| line.strip_prefix(name));
        found.map(str::trim)
    };
    let Some(name) = line("event:") else {
        return frame.starts_with(':').then_some(Change::Nothing);
    };
    let data: Data = line("data:")
        .and_then(|text| serde_json::from_str(text).ok())
        .unwrap_or_default();
    Some(match name {
        "ready" => Change::Ready,
        "secret" if !data.path.is_empty() => Change::Secret {
            path: data.path,
            version: data.version,
            change: data.change,
        },
        "ended" | "lagged" | "stopping" => Change::Ended {
            reason: name.to_owned(),
        },
        _ => Change::Revoked { reason: data.reason },
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn frames_are_read_and_unknown_ones_drop_everything() {
        assert_eq!(parse(": still here\n\n"), Some(Change::Nothing));
        assert_eq!(
            parse("event: ready\ndata: {\"heartbeat_seconds\":5}\n\n"),
            Some(Change::Ready)
        );
        let secret = "event: secret\ndata: {\"path\":\"a/b\",\"version\":2,\"change\":\"written\"}\n\n";
        let expected = Change::Secret {
            path: "a/b".to_owned(),
            version: Some(2),
            change: "written".to_owned(),
        };
        assert_eq!(parse(secret), Some(expected));
        let reason = |reason: &str| reason.to_owned();
        assert_eq!(
            parse("event: revoked\ndata: {\"reason\":\"grant\"}\n\n"),
            Some(Change::Revoked {
                reason: reason("grant")
            })
        );
        assert_eq!(
            parse("event: lagged\ndata: {}\n\n"),
            Some(Change::Ended {
                reason: reason("lagged")
            })
        );
        for unknown in ["event: moved\ndata: {}\n\n", "event: secret\ndata: broken\n\n"] {
            assert_eq!(
                parse(unknown),
                Some(Change::Revoked { reason: reason("") }),
                "{unknown}"
            );
        }
    }
}
