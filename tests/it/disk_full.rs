//! The database cannot be written or reached: 503 and nothing half done, `/health/ready` red, and recovery
//! by itself once it can be.

use std::{fs, net::SocketAddr, path::Path, process::Command, sync::Arc};

use aim_client::PreparedRequest;
use futures_util::{StreamExt, stream};
use serde_json::json;
use tempfile::TempDir;
use tokio::{
    io::copy_bidirectional,
    net::{TcpListener, TcpStream},
    sync::watch,
};

use crate::{
    crash::assert_audit_intact,
    process::{Door, Installation, Node, Said, Signer, binary, new_postgres_database, until},
};

const CLIENTS: usize = 16;

/// A file system of a few megabytes; unmounted when this goes away.
struct SmallDisk {
    folder: TempDir,
}

impl SmallDisk {
    /// Only root may mount; elsewhere there is none.
    fn mount(megabytes: usize) -> Option<Self> {
        let folder = TempDir::new().unwrap();
        let mounted = Command::new("mount")
            .args(["-t", "tmpfs", "-o", &format!("size={megabytes}m"), "tmpfs"])
            .arg(folder.path())
            .output();
        match mounted {
            Ok(output) if output.status.success() => Some(Self { folder }),
            _ => {
                eprintln!(
                    "skipped: a small file system cannot be mounted here; the limit on file sizes is tested"
                );
                None
            }
        }
    }

    fn path(&self) -> &Path {
        self.folder.path()
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        // Lazily: a process that is about to end may still hold a file.
        let _ = Command::new("umount").arg("--lazy").arg(self.path()).status();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_full_disk_allows_nothing_and_is_recovered_from() {
    let Some(disk) = SmallDisk::mount(14) else { return };
    let ballast = disk.path().join("ballast");
    fs::write(&ballast, vec![0_u8; 8 << 20]).unwrap();
    let mut installation = Installation::sqlite_in(disk.path());
    patient(&mut installation);
    let node = installation.start().await;
    fill_and_recover(&installation, &node, async || fs::remove_file(&ballast).unwrap()).await;
    node.kill();
    assert_audit_intact(&installation);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_that_may_not_grow_allows_nothing_and_is_recovered_from() {
    let mut installation = Installation::sqlite();
    patient(&mut installation);
    // A process that ignores the signal gets an error from the write instead; both limit and disposition
    // are inherited.
    let mut command = Command::new("sh");
    command
        .args(["-c", "trap '' XFSZ; exec \"$0\" \"$@\""])
        .arg(binary());
    let node = installation.launch_by(command).ready().await;
    let limit = |bytes: &str| {
        let process = node.process_id().to_string();
        let done = Command::new("prlimit")
            .args(["--pid", &process, &format!("--fsize={bytes}:")])
            .status();
        assert!(
            done.is_ok_and(|status| status.success()),
            "prlimit of util-linux is needed"
        );
    };
    let largest = fs::read_dir(
        Path::new(installation.url.trim_start_matches("sqlite:"))
            .parent()
            .unwrap(),
    )
    .unwrap()
    .map(|entry| entry.unwrap().metadata().unwrap().len())
    .max()
    .unwrap();
    limit(&(largest + (2 << 20)).to_string());
    fill_and_recover(&installation, &node, async || limit("unlimited")).await;
    node.kill();
    assert_audit_intact(&installation);
}

/// What was refused is sent again when there is room, and shall be fresh then on the slowest machine.
fn patient(installation: &mut Installation) {
    installation.set("AIM__SECURITY__SIGNATURE_WINDOW_SECONDS", "300");
}

/// Asks under load until nothing can be written, makes room, and holds the node to its word.
async fn fill_and_recover(installation: &Installation, node: &Node, make_room: impl AsyncFn()) {
    let (signer, _) = node.agent("writer", json!({})).await;
    let (mut acknowledged, mut refused) = (Vec::new(), Vec::new());
    // Full is when it stays so: what a checkpoint of the database frees meanwhile is filled again.
    let mut red = 0;
    for _ in 0..50 {
        // What is large does not fit any more, then what is small neither.
        for size in [24 << 10, 0] {
            ask_until_refused(node, &signer, size, &mut acknowledged, &mut refused).await;
        }
        red = if turns_red(node).await { red + 1 } else { 0 };
        if red == 3 {
            break;
        }
    }
    assert_eq!(red, 3, "nothing can be written, and it is ready");
    assert!(
        acknowledged.len() > CLIENTS,
        "it was full before it began: {}",
        acknowledged.len()
    );
    assert_eq!(node.status("/health/live").await, Some(200));
    // Reading still works.
    assert_eq!(get_agents(node).await, 200);

    make_room().await;
    until("it is ready again", async || {
        (node.status("/health/ready").await == Some(200)).then_some(())
    })
    .await;

    // What was answered with 503 did not happen: the very same requests are good now, once.
    for request in &refused {
        let said = Said::by(&node.send(request).await.unwrap());
        assert!(
            said.is_approval(),
            "a request that was refused with 503 had an effect: {said:?}"
        );
    }
    // What was acknowledged did: it cannot happen again.
    for request in acknowledged.iter().chain(&refused).rev().take(100) {
        let said = Said::by(&node.send(request).await.unwrap());
        assert!(said.is_replay(), "{said:?}");
    }
    let decisions = installation.count("SELECT count(*) FROM decisions").await;
    assert_eq!(
        decisions,
        i64::try_from(acknowledged.len() + refused.len()).unwrap()
    );
    assert_agreement(installation).await;
}

/// Every decision has its record in the log, the log has no other, and no signature is used up for nothing.
async fn assert_agreement(installation: &Installation) {
    let decisions = installation.count("SELECT count(*) FROM decisions").await;
    let recorded = installation
        .count(
            "SELECT count(*) FROM decisions JOIN audit_log ON audit_log.leaf_index = decisions.leaf_index \
             WHERE audit_log.kind = 'decision'",
        )
        .await;
    assert_eq!(recorded, decisions, "a decision without its record");
    let records = installation
        .count("SELECT count(*) FROM audit_log WHERE kind = 'decision'")
        .await;
    assert_eq!(records, decisions, "a record without its decision");
    let size = installation
        .count("SELECT size FROM audit_head WHERE id = 1")
        .await;
    assert_eq!(installation.count("SELECT count(*) FROM audit_log").await, size);
    // Nothing is stale yet, so no signature was forgotten.
    let used = installation.count("SELECT count(*) FROM nonces").await;
    assert_eq!(
        used, decisions,
        "a signature without its decision, or the other way round"
    );
}

async fn get_agents(door: &Door) -> u16 {
    let request = door
        .admin
        .prepare(reqwest::Method::GET, "/api/v1/agents", None::<&()>)
        .unwrap();
    door.admin.send(request).await.unwrap().status
}

/// Whether the node says that it is not ready. Its probe writes less than a decision does: it may first have
/// to fill what is left, page by page.
async fn turns_red(door: &Door) -> bool {
    for _ in 0..20 {
        if door.status("/health/ready").await == Some(503) {
            return true;
        }
    }
    false
}

/// Asks from many clients, with contexts of this size, until each of them was answered with 503. Every other
/// answer must be an approval.
async fn ask_until_refused(
    door: &Door,
    signer: &Signer,
    size: usize,
    acknowledged: &mut Vec<PreparedRequest>,
    refused: &mut Vec<PreparedRequest>,
) {
    let words = "x".repeat(size);
    for _ in 0..200 {
        let answers: Vec<(PreparedRequest, Said)> = stream::iter(0..CLIENTS)
            .map(|_| async {
                let request = signer.wants_with("db:read", json!({"words": words}));
                let reply = door.send(&request).await.expect("an answer");
                let said = Said::by(&reply);
                (request, said)
            })
            .buffer_unordered(CLIENTS)
            .collect()
            .await;
        let before = refused.len();
        for (request, said) in answers {
            match said {
                said if said.is_approval() => acknowledged.push(request),
                said if said.is_unavailable() => refused.push(request),
                other => panic!("neither an approval nor 503: {other:?}"),
            }
        }
        if refused.len() - before == CLIENTS {
            return;
        }
    }
    panic!("it is never full: {} decisions", acknowledged.len());
}

/// A way to PostgreSQL that can be cut: connections break, and new ones are closed at once.
struct Wire {
    address: SocketAddr,
    open: Arc<watch::Sender<bool>>,
}

impl Wire {
    async fn to(server: String) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let open = Arc::new(watch::Sender::new(true));
        let state = open.clone();
        tokio::spawn(async move {
            while let Ok((mut near, _)) = listener.accept().await {
                let (server, mut state) = (server.clone(), state.subscribe());
                tokio::spawn(async move {
                    if !*state.borrow() {
                        return;
                    }
                    let Ok(mut far) = TcpStream::connect(server).await else {
                        return;
                    };
                    tokio::select! {
                        _ = copy_bidirectional(&mut near, &mut far) => {}
                        _ = state.wait_for(|open| !open) => {}
                    }
                });
            }
        });
        Self { address, open }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_database_that_is_away_allows_nothing_and_is_recovered_from() {
    let Some(url) = new_postgres_database().await else {
        return;
    };
    let mut direct = reqwest::Url::parse(&url).unwrap();
    let server = format!("{}:{}", direct.host_str().unwrap(), direct.port().unwrap_or(5432));
    let wire = Wire::to(server).await;
    direct.set_host(Some("127.0.0.1")).unwrap();
    direct.set_port(Some(wire.address.port())).unwrap();
    let mut installation = Installation::postgres_at(direct.into());
    patient(&mut installation);
    let node = installation.start().await;
    let (signer, _) = node.agent("writer", json!({})).await;

    let mut acknowledged = Vec::new();
    for round in 0..3 {
        // Cut in the midst of a load: what was on its way may or may not have arrived, but then nobody was
        // told that it may happen.
        let answers: Vec<(PreparedRequest, Said)> = stream::iter(0..120)
            .map(|number| {
                let (node, open, request) = (&node, &wire.open, signer.wants("db:read"));
                async move {
                    if number == 60 {
                        open.send_replace(false);
                    }
                    let said = Said::by(&node.send(&request).await.expect("an answer"));
                    (request, said)
                }
            })
            .buffer_unordered(CLIENTS)
            .collect()
            .await;
        for (request, said) in answers {
            match said {
                said if said.is_approval() => acknowledged.push(request),
                said if said.is_unavailable() => {}
                other => panic!("neither an approval nor 503, round {round}: {other:?}"),
            }
        }
        let refused = signer.wants("db:read");
        assert!(Said::by(&node.send(&refused).await.unwrap()).is_unavailable());
        assert_eq!(node.status("/health/live").await, Some(200));
        assert_eq!(node.status("/health/ready").await, Some(503));
        assert_eq!(get_agents(&node).await, 503);

        wire.open.send_replace(true);
        until("it is ready again", async || {
            (node.status("/health/ready").await == Some(200)).then_some(())
        })
        .await;
        assert!(Said::by(&node.send(&refused).await.unwrap()).is_approval());
        acknowledged.push(refused);
    }
    for request in acknowledged.iter().rev().take(100) {
        assert!(Said::by(&node.send(request).await.unwrap()).is_replay());
    }
    let decisions = installation.count("SELECT count(*) FROM decisions").await;
    assert!(
        decisions >= i64::try_from(acknowledged.len()).unwrap(),
        "an acknowledged decision is lost"
    );
    assert_agreement(&installation).await;
    node.kill();
    assert_audit_intact(&installation);
}
