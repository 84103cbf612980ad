//! A server with something of everything, and every request that is made of the corpus for it.

use std::collections::BTreeMap;

use aim_client::{Client, PreparedRequest, Reply};
use futures_util::{StreamExt, stream};
use reqwest::{Method, Url};
use serde_json::{Value, json};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};

use super::{corpus, heads, judge::Outcome, schema::Operation};
use crate::process::{Door, PATIENCE, Signer};

const CLIENTS: usize = 12;

/// A request to be sent, and what is known of its answer beforehand.
struct Attempt {
    what: String,
    request: PreparedRequest,
    /// Whether it carries a name of its own in `Host`.
    as_agent: bool,
    status: Option<u16>,
    /// The member for which it must be refused.
    field: Option<String>,
    /// The member to be named if it is refused.
    odd: Option<&'static str>,
}

/// A server with something of everything, so that requests get past the look-up of ids.
pub struct World {
    door: Door,
    signer: Signer,
    /// Somebody who signed in, for what concerns sign-ins.
    person: Client,
    /// The first id in a path, by what stands before it.
    ids: BTreeMap<&'static str, String>,
}

impl World {
    /// Puts one of everything into it.
    pub async fn on(door: Door) -> Self {
        let (signer, grant) = door.agent("caller", json!({})).await;
        let (victim, _) = door.agent("victim", json!({})).await;
        let key = door
            .post("/api/v1/api-keys", json!({"name": "victim", "role": "viewer"}))
            .await;
        let policy = json!({"name": "victim", "effect": "deny", "capability": "nothing:at-all"});
        let policy = door.post("/api/v1/policies", policy).await;
        let (email, password) = ("victim@example.com", "correct horse battery staple 48");
        let user = json!({"email": email, "name": "Victim", "role": "admin", "password": password});
        let user = door.post("/api/v1/users", user).await;
        let signed_in = door
            .admin
            .login(email, &password.into())
            .await
            .expect("a sign-in");
        let decision = door.send(&signer.wants("db:read")).await.expect("a decision");
        let decision: Value = serde_json::from_slice(&decision.body).expect("a decision");
        let wish = json!({"capability": "files:read", "reason": "it is needed for a test"});
        let wish = door
            .post(&format!("/api/v1/agents/{}/capability-requests", victim.id), wish)
            .await;
        let text = |value: &Value| {
            let id = if value["id"].is_null() {
                &value["api_key"]["id"]
            } else {
                &value["id"]
            };
            id.as_str()
                .unwrap_or_else(|| panic!("an id in {value}"))
                .to_owned()
        };
        let server = json!({"name": "victim", "url": "https://victim.example/mcp"});
        let server = door.post("/api/v1/mcp-servers", server).await;
        let ids = BTreeMap::from([
            ("mcp-servers", text(&server)),
            ("agents", victim.id.to_string()),
            ("verifications", text(&decision)),
            ("api-keys", text(&key)),
            ("capabilities", grant),
            ("policies", text(&policy)),
            ("users", text(&user)),
            ("capability-requests", text(&wish)),
        ]);
        let person = door.admin.as_bearer(signed_in.access_token);
        Self {
            door,
            signer,
            person,
            ids,
        }
    }

    /// The path with an id in each place: the thing's own where there is one.
    fn path(&self, operation: &Operation, as_agent: bool) -> String {
        let mut before = "";
        let mut path = String::new();
        for segment in operation.path.split('/').skip(1) {
            path.push('/');
            match segment.starts_with('{') {
                true if as_agent && before == "agents" => path += &self.signer.id.to_string(),
                true => {
                    path += self
                        .ids
                        .get(before)
                        .map_or("00000000-0000-4000-8000-000000000001", String::as_str)
                }
                false => path += segment,
            }
            before = segment;
        }
        path
    }

    pub async fn try_operation(&self, operation: &Operation) -> Vec<Outcome> {
        let mut attempts = self.paths_and_queries(operation);
        attempts.extend(self.odd_headers(operation));
        attempts.extend(self.bodies(operation));
        self.send_all(attempts).await
    }

    fn attempt(&self, operation: &Operation, target: &str, body: Option<Vec<u8>>, what: String) -> Attempt {
        let method = Method::from_bytes(operation.method.as_bytes()).expect("a method");
        let about_sign_ins = operation.path.starts_with("/api/v1/auth/");
        let caller = if about_sign_ins {
            &self.person
        } else {
            &self.door.admin
        };
        let mut request = caller.prepare(method, "/", None::<&()>).expect("a request");
        request.url = self.url(target);
        if let Some(body) = body {
            request.set_header("content-type", "application/json");
            request.body = body;
        }
        let what = format!("{} {} with {what}", operation.method, operation.path);
        Attempt {
            what,
            request,
            as_agent: false,
            status: None,
            field: None,
            odd: None,
        }
    }

    fn url(&self, target: &str) -> Url {
        format!("http://{}{target}", self.door.address)
            .parse()
            .expect("a target")
    }

    fn signed(&self, operation: &Operation, target: &str, body: Vec<u8>, what: String) -> Attempt {
        let method = Method::from_bytes(operation.method.as_bytes()).expect("a method");
        let request = self.signer.signed_bytes(method, target, body);
        let what = format!(
            "{} {} with a signature and {what}",
            operation.method, operation.path
        );
        Attempt {
            what,
            request,
            as_agent: true,
            status: None,
            field: None,
            odd: None,
        }
    }

    fn paths_and_queries(&self, operation: &Operation) -> Vec<Attempt> {
        let sound = self.path(operation, false);
        let own = self.path(operation, true);
        let body = operation.body.as_ref().map(|body| body.to_string().into_bytes());
        let mut attempts = Vec::new();
        let mut add = |target: String, what: &str| {
            attempts.push(self.attempt(operation, &target, body.clone(), format!("{what} {target}")));
        };
        if operation.path.contains('{') {
            let long = "a".repeat(5_000);
            for segment in corpus::SEGMENTS.iter().copied().chain([long.as_str()]) {
                let target: Vec<&str> = operation
                    .path
                    .split('/')
                    .map(|part| if part.starts_with('{') { segment } else { part })
                    .collect();
                add(target.join("/"), "the path");
            }
        }
        // A parameter of a DELETE says nothing, and each would remove something.
        if operation.method == "GET" {
            for query in corpus::QUERIES {
                add(format!("{sound}?{query}"), "the query");
            }
            for name in &operation.query {
                for value in corpus::QUERY_VALUES {
                    add(format!("{sound}?{name}={value}"), "the parameter");
                }
                add(
                    format!("{sound}?{name}={}", "x".repeat(5_000)),
                    "a long parameter",
                );
                add(format!("{sound}?{name}=1&{name}=1"), "twice the parameter");
            }
            for query in ["limit=-1", "a=%00", "%zz", "x=%FF", "cursor=x"] {
                let target = format!("{own}?{query}");
                attempts.push(self.signed(operation, &target, Vec::new(), format!("the query {target}")));
            }
        }
        attempts
    }

    fn odd_headers(&self, operation: &Operation) -> Vec<Attempt> {
        if operation.method == "DELETE" {
            return Vec::new();
        }
        let sound = self.path(operation, false);
        let body = operation.body.as_ref().map(|body| body.to_string().into_bytes());
        heads::headers()
            .into_iter()
            .map(|(name, value)| {
                let shown: String = value.chars().take(40).collect();
                let mut attempt = self.attempt(operation, &sound, body.clone(), format!("{name}: {shown}"));
                attempt.request.set_header(name, value);
                attempt
            })
            .collect()
    }

    fn bodies(&self, operation: &Operation) -> Vec<Attempt> {
        let Some(sample) = &operation.body else {
            return Vec::new();
        };
        let (sound, own) = (self.path(operation, false), self.path(operation, true));
        let mut attempts = Vec::new();
        for (what, body, status) in corpus::raw_bodies(sample) {
            attempts.push(self.signed(operation, &own, body.clone(), what.to_owned()));
            let mut attempt = self.attempt(operation, &sound, Some(body), what.to_owned());
            attempt.status = status;
            attempts.push(attempt);
        }
        for (number, (pointer, body)) in corpus::mutations(sample).into_iter().enumerate() {
            let bytes = body.to_string().into_bytes();
            let mut shown = body.pointer(&pointer).map(Value::to_string).unwrap_or_default();
            shown.truncate(shown.floor_char_boundary(60));
            let what = format!("{pointer} = {shown}");
            if operation.is_agents_own || number % 7 == 0 {
                attempts.push(self.signed(operation, &own, bytes.clone(), what.clone()));
            }
            let mut attempt = self.attempt(operation, &sound, Some(bytes), what);
            // Where the form says that a member is no object, an object is refused under its name.
            let name = pointer.trim_start_matches('/');
            let is_plain = operation.plain_members.iter().any(|plain| plain == name);
            if is_plain
                && body
                    .pointer(&pointer)
                    .is_some_and(|value| value.get("unexpected").is_some())
            {
                attempt.field = Some(name.to_owned());
            }
            attempts.push(attempt);
        }
        for name in &operation.required_members {
            let mut body = sample.clone();
            if body
                .as_object_mut()
                .is_some_and(|members| members.remove(name).is_some())
            {
                let bytes = body.to_string().into_bytes();
                let mut attempt = self.attempt(operation, &sound, Some(bytes), format!("no {name}"));
                attempt.field = Some(name.clone());
                attempts.push(attempt);
            }
        }
        if let Some(mut body) = sample.as_object().cloned() {
            body.insert("unexpected_member".to_owned(), json!(1));
            let bytes = Value::Object(body).to_string().into_bytes();
            let mut attempt = self.attempt(operation, &sound, Some(bytes), "an unknown member".to_owned());
            attempt.odd = operation.is_closed.then_some("unexpected_member");
            attempts.push(attempt);
        }
        for body in corpus::arbitrary_bodies(sample, 24) {
            let (what, bytes) = (format!("any JSON {body}"), body.to_string().into_bytes());
            attempts.push(self.signed(operation, &own, bytes.clone(), what.clone()));
            attempts.push(self.attempt(operation, &sound, Some(bytes), what));
        }
        let bytes = sample.to_string().into_bytes();
        for (media_type, status) in heads::MEDIA_TYPES {
            let what = format!("the media type {media_type:?}");
            let mut attempt = self.attempt(operation, &sound, Some(bytes.clone()), what);
            attempt.request.set_header("content-type", *media_type);
            attempt.status = *status;
            attempts.push(attempt);
        }
        attempts
    }

    /// Signatures that are broken in one place. Each must be refused as a credential.
    pub async fn try_broken_signatures(&self) -> Vec<Outcome> {
        let sound = self.signer.wants("db:read");
        let (input, signature) = (
            sound.header("signature-input").expect("one"),
            sound.header("signature").expect("one"),
        );
        let mut attempts = Vec::new();
        let mut add = |what: String, alter: &dyn Fn(&mut PreparedRequest)| {
            let mut request = sound.clone();
            alter(&mut request);
            let what = format!("POST /api/v1/verifications with {what}");
            attempts.push(Attempt {
                what,
                request,
                as_agent: true,
                status: Some(401),
                field: None,
                odd: None,
            });
        };
        for (input, signature) in heads::broken_signatures(input, signature) {
            let shown = format!("{} {}", &input, &signature)
                .chars()
                .take(160)
                .collect::<String>();
            add(shown, &|request| {
                request.set_header("signature-input", input.clone());
                request.set_header("signature", signature.clone());
            });
        }
        for digest in heads::DIGESTS {
            add(format!("content-digest {digest}"), &|request| {
                request.set_header("content-digest", *digest)
            });
        }
        for name in ["signature", "signature-input", "content-digest"] {
            add(format!("no {name}"), &|request| {
                request
                    .headers
                    .retain(|(known, _)| !known.eq_ignore_ascii_case(name));
            });
            add(format!("two of {name}"), &|request| {
                let value = request.header(name).expect("one").to_owned();
                request.headers.push((name.to_owned(), value));
            });
        }
        self.send_all(attempts).await
    }

    /// The signatures of the published SDKs: in the body of a verification, in the headers of any request,
    /// and in those of a poll. Nothing here is signed, so nothing may be accepted.
    pub async fn try_sdk_signatures(&self) -> Vec<Outcome> {
        let key = self.signer.public_key();
        let now = self.signer.seconds();
        let zeros = "A".repeat(86) + "==";
        let agent = self.signer.id.to_string();
        let body = json!({
            "agentId": agent, "capability": "db:read", "resource": "customers/42", "context": {"a": [1, {"b": 1.0}]},
            "timestamp": "2026-11-23T10:00:00Z", "signature": zeros, "publicKey": key,
        });
        let mut attempts = Vec::new();
        let mut add = |method: Method, path: &str, headers: &[(&str, &str)], body: Vec<u8>, what: String| {
            let mut request = self
                .door
                .admin
                .prepare(method, path, None::<&()>)
                .expect("a request");
            request.headers.retain(|(name, _)| name != "authorization");
            request.set_header("content-type", "application/json");
            for (name, value) in headers {
                request.set_header(name, *value);
            }
            let what = format!("{} {path} with an SDK's signature, {what}", request.method);
            request.body = body;
            attempts.push(Attempt {
                what,
                request,
                as_agent: false,
                status: Some(401),
                field: None,
                odd: None,
            });
        };
        let verifications = "/api/v1/sdk-api/verifications";
        for (what, bytes, status) in corpus::raw_bodies(&body) {
            if status != Some(413) {
                add(Method::POST, verifications, &[], bytes, what.to_owned());
            }
        }
        for (pointer, body) in corpus::mutations(&body) {
            let shown: String = body
                .pointer(&pointer)
                .map(Value::to_string)
                .unwrap_or_default()
                .chars()
                .take(60)
                .collect();
            add(
                Method::POST,
                verifications,
                &[],
                body.to_string().into_bytes(),
                format!("{pointer} = {shown}"),
            );
        }
        let poll = format!("{verifications}/{}", self.ids["verifications"]);
        let agents = format!("/api/v1/sdk-api/agents/{agent}");
        let sound = ["x-agent-id", "x-timestamp", "x-public-key", "x-signature"];
        let values = [agent.as_str(), &now, &key, &zeros];
        for (place, name) in sound.iter().enumerate() {
            for odd in heads::SDK_HEADERS {
                let mut headers: Vec<(&str, &str)> = sound.iter().copied().zip(values).collect();
                headers[place].1 = odd;
                let what = format!("{name}: {odd}");
                add(
                    Method::POST,
                    verifications,
                    &headers,
                    body.to_string().into_bytes(),
                    what.clone(),
                );
                add(Method::GET, &agents, &headers, Vec::new(), what.clone());
                let polling: Vec<(String, &str)> = headers
                    .iter()
                    .map(|(name, value)| (name.replacen("x-", "x-aim-", 1), *value))
                    .collect();
                let polling: Vec<(&str, &str)> = polling
                    .iter()
                    .map(|(name, value)| (name.as_str(), *value))
                    .collect();
                add(Method::GET, &poll, &polling, Vec::new(), what);
            }
        }
        self.send_all(attempts).await
    }

    pub async fn try_authorizations(&self) -> Vec<Outcome> {
        let mut attempts = Vec::new();
        for path in ["/api/v1/agents", "/api/v1/nothing-here"] {
            for value in heads::authorizations() {
                let mut request = self
                    .door
                    .admin
                    .prepare(Method::GET, path, None::<&()>)
                    .expect("a request");
                let what = format!(
                    "GET {path} with authorization {}",
                    value.chars().take(60).collect::<String>()
                );
                request.set_header("authorization", value);
                attempts.push(Attempt {
                    what,
                    request,
                    as_agent: false,
                    status: Some(401),
                    field: None,
                    odd: None,
                });
            }
        }
        self.send_all(attempts).await
    }

    /// What is hardly HTTP, on connections of its own. The client of the others would not send it.
    pub async fn try_wire(&self) -> Vec<Outcome> {
        let mut outcomes = Vec::new();
        for bytes in heads::wire_bytes() {
            let what = format!(
                "the wire with {}",
                bytes
                    .escape_ascii()
                    .to_string()
                    .chars()
                    .take(120)
                    .collect::<String>()
            );
            let answer = tokio::time::timeout(PATIENCE, self.exchange(&bytes)).await;
            let Ok(answer) = answer else {
                let reason = "the connection was left open".to_owned();
                let error = aim_client::Error::Unreachable {
                    server: self.door.address.to_string(),
                    reason,
                };
                outcomes.push(Outcome {
                    what,
                    status: None,
                    field: None,
                    odd: None,
                    reply: Err(error),
                });
                continue;
            };
            let status = answer
                .strip_prefix("HTTP/1.")
                .and_then(|rest| rest.get(2..5)?.parse().ok());
            // An answer of the HTTP layer itself has no body; what matters is whose failure it says it is.
            if status.is_some_and(|status: u16| status >= 500 && status != 505) {
                let reply = Reply {
                    status: 500,
                    request_id: None,
                    retry_after: None,
                    body: answer.into_bytes(),
                };
                outcomes.push(Outcome {
                    what,
                    status: None,
                    field: None,
                    odd: None,
                    reply: Ok(reply),
                });
            }
        }
        assert_eq!(self.door.status("/health/live").await, Some(200));
        outcomes
    }

    /// What comes back until the server closes the connection.
    async fn exchange(&self, bytes: &[u8]) -> String {
        let mut stream = TcpStream::connect(self.door.address).await.expect("a connection");
        // The server may refuse before it has read everything.
        let _ = stream.write_all(bytes).await;
        let _ = stream.shutdown().await;
        let mut answer = Vec::new();
        let _ = stream.read_to_end(&mut answer).await;
        String::from_utf8_lossy(&answer).into_owned()
    }

    async fn send_all(&self, attempts: Vec<Attempt>) -> Vec<Outcome> {
        stream::iter(attempts)
            .map(|attempt| async move {
                let reply = if attempt.as_agent {
                    self.door.send(&attempt.request).await
                } else {
                    self.door.admin.send(attempt.request.clone()).await
                };
                let Attempt {
                    what,
                    status,
                    field,
                    odd,
                    ..
                } = attempt;
                Outcome {
                    what,
                    status,
                    field,
                    odd,
                    reply,
                }
            })
            .buffer_unordered(CLIENTS)
            .collect()
            .await
    }
}
