//! What a look into the server's memory finds after secrets went through it: none of them. As a core of the process would have it, but
//! without one, since the server turns those off.

use std::{
    fs, io,
    os::unix::fs::{FileExt, MetadataExt},
    path::PathBuf,
    process::Command,
    time::{Duration, Instant},
};

use aim::composition;
use aim_client::{Client, KeyFolder, NewAgent};
use reqwest::Method;
use serde_json::json;

use crate::process::{Installation, Node, PATIENCE, binary};

/// Random, so that no other run's and no constant is found, and long, so that nothing is like it by chance.
fn canary() -> String {
    format!(
        "canary-{}",
        aim_crypto::digest::hex(&aim_crypto::digest::random_bytes::<24>().unwrap())
    )
}

/// Where `needle` stands in the memory of the process: the mappings that have it. None: this user may not look. Root may, or the
/// test has looked at nothing.
pub fn places(process: u32, needle: &str) -> Option<Vec<String>> {
    let folder = PathBuf::from(format!("/proc/{process}"));
    let is_root = fs::metadata("/proc/self").is_ok_and(|own| own.uid() == 0);
    let refused = |error: &io::Error| error.kind() == io::ErrorKind::PermissionDenied && !is_root;
    let maps = match fs::read_to_string(folder.join("maps")) {
        Err(error) if refused(&error) => return None,
        other => other.unwrap(),
    };
    let memory = match fs::File::open(folder.join("mem")) {
        Err(error) if refused(&error) => return None,
        other => other.unwrap(),
    };
    let mut found = Vec::new();
    for line in maps.lines() {
        let (range, rest) = line.split_once(' ').unwrap();
        if !rest.starts_with('r') || rest.contains("[v") {
            continue;
        }
        let (start, end) = range.split_once('-').unwrap();
        let start = u64::from_str_radix(start, 16).unwrap();
        let length = u64::from_str_radix(end, 16).unwrap() - start;
        let mut bytes = vec![0; usize::try_from(length).unwrap()];
        // Whoever reads a mapping that goes away meanwhile gets less.
        let mut read = 0;
        while let Some(room) = bytes.get_mut(read..).filter(|room| !room.is_empty()) {
            match memory.read_at(room, start + read as u64) {
                Ok(count) if count > 0 => read += count,
                _ => break,
            }
        }
        if memchr::memmem::find(&bytes, needle.as_bytes()).is_some() {
            found.push(line.to_owned());
        }
    }
    Some(found)
}

/// Sends a body over a connection of its own, which is closed afterwards. Answers the status.
async fn send(node: &Node, api_key: &str, method: Method, path: &str, body: String) -> u16 {
    let client = Client::builder()
        .server(format!("http://{}", node.address))
        .api_key(api_key.to_owned())
        .build()
        .unwrap();
    let mut request = client.prepare(method, path, None::<&()>).unwrap();
    request.set_header("content-type", "application/json");
    request.body = body.into_bytes();
    client.send(request).await.unwrap().status
}

/// Writes a secret, then sends it where it is refused: by the form, by the kind, and by the rules.
async fn write(node: &Node, api_key: &str, path: &str, value: &str) {
    let path = format!("/api/v1/vault/secrets/{path}");
    let whole = json!({"kind": "api_key", "fields": {"value": value}}).to_string();
    assert_eq!(send(node, api_key, Method::PUT, &path, whole.clone()).await, 201);
    let cut = whole.trim_end_matches('}').to_owned();
    for (body, status) in [
        (cut, 400),
        (json!(value).to_string(), 422),
        (json!({"kind": "api_key", "fields": value}).to_string(), 422),
        (
            json!({"kind": "api_key", "fields": {"value": value, "more": value}}).to_string(),
            422,
        ),
        (
            json!({"kind": value, "fields": {"value": value}}).to_string(),
            422,
        ),
        (
            json!({"kind": "api_key", "fields": {"value": value}, "cas": 99}).to_string(),
            409,
        ),
    ] {
        assert_eq!(
            send(node, api_key, Method::PUT, &path, body.clone()).await,
            status
        );
    }
    let found = json!({"value": value}).to_string();
    assert_eq!(
        send(node, api_key, Method::POST, "/api/v1/vault/find-value", found).await,
        200
    );
}

async fn nothing_is_left(installation: Installation) {
    if composition::edition_name() != "premium" {
        return;
    }
    let node = installation.start().await;
    let machine = tempfile::tempdir().unwrap();
    let identity = node.admin.create_agent(&NewAgent::named("bot")).await.unwrap();
    let grants = format!("/api/v1/agents/{}/capabilities", identity.agent_id);
    KeyFolder::at(machine.path().join("aim/agents"))
        .save(&identity)
        .unwrap();
    let _ = node
        .post(
            &grants,
            json!({"capability": "secret:read", "scope": {"resources": ["payments/*"]}}),
        )
        .await;

    let limits = fs::read_to_string(format!("/proc/{}/limits", node.process_id())).unwrap();
    let cores = limits
        .lines()
        .find(|line| line.starts_with("Max core file size"))
        .unwrap();
    assert_eq!(cores.split_whitespace().nth(4), Some("0"), "{cores}");

    let secret = canary();
    write(&node, &installation.api_key, "payments/key", &secret).await;
    let read = Command::new(binary())
        .args([
            "run",
            "--agent",
            "bot",
            "--env",
            "KEY=payments/key",
            "--",
            "/bin/sh",
            "-c",
            "printf %s \"$KEY\"",
        ])
        .env("XDG_CONFIG_HOME", machine.path())
        .output()
        .unwrap();
    assert_eq!(
        String::from_utf8_lossy(&read.stdout),
        secret,
        "{}",
        String::from_utf8_lossy(&read.stderr)
    );

    // The control: a text that the server keeps, in a page that it has just read or written, is found by the same look.
    let path = "payments/key";
    let Some(known) = places(node.process_id(), path) else {
        // Then nobody else of this user can look either, which is the stronger half of the promise.
        return;
    };
    assert!(!known.is_empty(), "the look into the memory finds nothing at all");
    // A connection ends, and its buffers are wiped, a moment after its client has gone.
    let deadline = Instant::now() + PATIENCE;
    let mut tick = tokio::time::interval(Duration::from_millis(100));
    loop {
        tick.tick().await;
        let left = places(node.process_id(), &secret).unwrap();
        if left.is_empty() {
            break;
        }
        assert!(Instant::now() < deadline, "the secret is still in {left:#?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn no_secret_is_left_in_the_servers_memory_on_sqlite() {
    nothing_is_left(Installation::sqlite()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn no_secret_is_left_in_the_servers_memory_on_postgresql() {
    let Some(installation) = Installation::postgres().await else {
        return;
    };
    nothing_is_left(installation).await;
}
