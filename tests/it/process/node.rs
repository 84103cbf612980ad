//! A node: started, reached, killed.

use std::{fs, net::SocketAddr, process::Child};

use aim_client::{Client, NewAgent, PreparedRequest, Reply};
use reqwest::Method;
use serde_json::{Value, json};
use tokio::sync::oneshot;

use super::{AUTHORITY, PATIENCE, Signer};

/// A node that was started and has not yet said that it is ready.
pub struct Starting {
    pub(super) child: Option<Child>,
    pub(super) address: oneshot::Receiver<SocketAddr>,
    pub(super) log: Option<tempfile::NamedTempFile>,
    pub(super) api_key: String,
}

impl Starting {
    /// Waits for the line that says so.
    ///
    /// # Panics
    /// With the node's log, when it ends instead or takes too long.
    pub async fn ready(mut self) -> Node {
        let log = self.log.take().expect("a log");
        let Ok(Ok(address)) = tokio::time::timeout(PATIENCE, &mut self.address).await else {
            let said = fs::read_to_string(log.path()).unwrap_or_default();
            panic!("a node did not become ready:\n{said}");
        };
        let client = Client::builder()
            .server(format!("http://{address}"))
            .api_key(self.api_key.clone())
            .timeout(PATIENCE)
            .build()
            .expect("a client");
        Node {
            child: self.child.take().expect("a child"),
            door: Door {
                address,
                admin: client,
            },
            log,
        }
    }
}

impl Drop for Starting {
    fn drop(&mut self) {
        if let Some(child) = &mut self.child {
            end(child);
        }
    }
}

fn end(child: &mut Child) {
    let _ = child.kill();
    let _ = child.wait();
}

/// A node that serves. It ends with this value.
pub struct Node {
    child: Child,
    door: Door,
    log: tempfile::NamedTempFile,
}

impl Node {
    /// SIGKILL; nothing can be tidied up.
    pub fn kill(mut self) {
        end(&mut self.child);
    }

    /// The process.
    pub fn process_id(&self) -> u32 {
        self.child.id()
    }

    /// How to reach it, for tasks that may outlive it.
    pub fn door(&self) -> Door {
        self.door.clone()
    }

    /// What it logged so far.
    pub fn log(&self) -> String {
        fs::read_to_string(self.log.path()).unwrap_or_default()
    }
}

impl std::ops::Deref for Node {
    type Target = Door;

    fn deref(&self) -> &Door {
        &self.door
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        end(&mut self.child);
        if std::thread::panicking() {
            eprintln!("the log of the node at {}:\n{}", self.door.address, self.log());
        }
    }
}

/// The way to a node.
#[derive(Clone)]
pub struct Door {
    /// Where it listens.
    pub address: SocketAddr,
    /// A client with the administrator's API key.
    pub admin: Client,
}

impl Door {
    /// Sends a request that was signed for [`AUTHORITY`] to this node, byte for byte.
    ///
    /// # Errors
    /// When the node does not answer.
    pub async fn send(&self, request: &PreparedRequest) -> aim_client::Result<Reply> {
        let mut request = request.clone();
        request.url.set_ip_host(self.address.ip()).expect("an address");
        request.url.set_port(Some(self.address.port())).expect("a port");
        request.set_header("host", AUTHORITY);
        self.admin.send(request).await
    }

    /// The status of a path that needs no credentials.
    pub async fn status(&self, path: &str) -> Option<u16> {
        let request = self.admin.prepare(Method::GET, path, None::<&()>).ok()?;
        self.admin.send(request).await.ok().map(|reply| reply.status)
    }

    /// Sends JSON as the administrator and expects success.
    pub async fn post(&self, path: &str, body: Value) -> Value {
        let request = self
            .admin
            .prepare(Method::POST, path, Some(&body))
            .expect("a request");
        let reply = self.admin.send(request).await.expect("an answer");
        let text = String::from_utf8_lossy(&reply.body).into_owned();
        assert!(
            (200..300).contains(&reply.status),
            "POST {path}: {} {text}",
            reply.status
        );
        serde_json::from_slice(&reply.body).unwrap_or(Value::Null)
    }

    /// Removes something as the administrator and expects success.
    pub async fn delete(&self, path: &str) {
        let request = self
            .admin
            .prepare(Method::DELETE, path, None::<&()>)
            .expect("a request");
        let reply = self.admin.send(request).await.expect("an answer");
        assert!(
            (200..300).contains(&reply.status),
            "DELETE {path}: {}",
            reply.status
        );
    }

    /// Registers an agent that may do `db:read`, narrowed by `scope`. Answers it with its grant.
    pub async fn agent(&self, name: &str, scope: Value) -> (Signer, String) {
        let identity = self
            .admin
            .create_agent(&NewAgent::named(name))
            .await
            .expect("an agent");
        let path = format!("/api/v1/agents/{}/capabilities", identity.agent_id);
        let grant = self
            .post(&path, json!({"capability": "db:read", "scope": scope}))
            .await;
        (
            Signer::new(identity),
            grant["id"].as_str().expect("a grant").to_owned(),
        )
    }
}
