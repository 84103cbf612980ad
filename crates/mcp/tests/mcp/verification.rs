//! Verification by challenge, against real servers on this machine.

use std::{net::SocketAddr, sync::Arc};

use aim_core::Code;
use aim_crypto::keys::SigningKey;
use aim_mcp::{
    McpServers,
    servers::{McpServerId, NewServer, ServerStatus, UpdateServer, challenge_message},
};
use aim_platform::PlatformConfig;
use base64::{Engine as _, engine::general_purpose::STANDARD};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpListener,
};

use crate::bed::{Bed, refusal};

/// How a server answers its challenge.
#[derive(Clone, Copy)]
enum Answering {
    Well,
    WithAnotherKey,
    ForAnotherAddress,
    WithHtml,
    WithRedirect,
    WithStatus404,
}

/// A server on this machine that holds `key`.
async fn listen(key: SigningKey, answering: Answering) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let mut request = Vec::new();
            let mut piece = [0; 1024];
            while !request.windows(4).any(|end| end == b"\r\n\r\n") {
                match stream.read(&mut piece).await {
                    Ok(0) | Err(_) => break,
                    Ok(read) => request.extend(&piece[..read]),
                }
            }
            let head = String::from_utf8(request).unwrap();
            let answer = answer(&head, &key, address, answering);
            let _ = stream.write_all(answer.as_bytes()).await;
        }
    });
    address
}

fn answer(head: &str, key: &SigningKey, address: SocketAddr, answering: Answering) -> String {
    let target = head.split(' ').nth(1).unwrap();
    let (path, query) = target.split_once('?').unwrap();
    assert_eq!(path, "/.well-known/aim-mcp-challenge");
    let parameter = |name: &str| {
        let pair = query
            .split('&')
            .find_map(|pair| pair.strip_prefix(&format!("{name}=")));
        pair.unwrap().to_owned()
    };
    let server: McpServerId = parameter("server_id").parse().unwrap();
    let url = match answering {
        Answering::ForAnotherAddress => format!("http://{address}/other"),
        _ => format!("http://{address}/mcp"),
    };
    let message = challenge_message(server, &url, &parameter("challenge"));
    let body = match answering {
        Answering::WithHtml => "<h1>It works!</h1>".to_owned(),
        Answering::WithAnotherKey => signed(&SigningKey::generate().unwrap(), &message),
        _ => signed(key, &message),
    };
    let status = match answering {
        Answering::WithRedirect => "302 Found\r\nlocation: http://169.254.169.254/latest/meta-data",
        Answering::WithStatus404 => "404 Not Found",
        _ => "200 OK",
    };
    format!(
        "HTTP/1.1 {status}\r\ncontent-type: application/json\r\ncontent-length: {}\r\nconnection: close\r\n\r\n{body}",
        body.len()
    )
}

fn signed(key: &SigningKey, message: &str) -> String {
    format!(
        "{{\"signature\":\"{}\"}}",
        STANDARD.encode(key.sign(message.as_bytes()))
    )
}

/// The capability of an operator who allows this machine.
fn allowing_this_machine(bed: &Bed) -> McpServers {
    let mut kernel = bed.kernel.clone();
    kernel.config = Arc::new(PlatformConfig {
        outbound_allow: vec!["127.0.0.0/8".parse().unwrap()],
        ..PlatformConfig::default()
    });
    McpServers::new(&kernel)
}

async fn registered(bed: &Bed, address: SocketAddr, key: &SigningKey) -> McpServerId {
    let new = NewServer {
        name: format!("server at {}", address.port()),
        url: format!("http://{address}/mcp"),
        public_key: Some(key.public().spki_base64()),
        ..NewServer::default()
    };
    bed.mcp.servers().register(&bed.manager(), new).await.unwrap().id
}

#[tokio::test]
async fn a_server_that_signs_its_challenge_is_verified() {
    for bed in Bed::all().await {
        let key = SigningKey::generate().unwrap();
        let address = listen(key.clone(), Answering::Well).await;
        let id = registered(&bed, address, &key).await;
        let servers = allowing_this_machine(&bed).servers();
        let first = servers.verify(&bed.manager(), id).await.unwrap();
        assert!(first.verified, "{first:?}");
        assert_eq!(first.mcp_server.status, ServerStatus::Verified);
        assert_eq!(first.verified_at, Some(bed.kernel.now()));
        let again = servers.verify(&bed.manager(), id).await.unwrap();
        assert_ne!(
            first.challenge, again.challenge,
            "a challenge is never used twice"
        );
        let audited = bed.audited().await;
        let (action, facts) = audited.last().unwrap();
        assert_eq!(
            (action.as_str(), &facts["to"]),
            ("mcp_server.verified", &serde_json::json!("verified"))
        );
    }
}

#[tokio::test]
async fn a_wrong_answer_verifies_nobody_and_takes_a_verification_away() {
    for bed in Bed::all().await {
        let key = SigningKey::generate().unwrap();
        for answering in [
            Answering::WithAnotherKey,
            Answering::ForAnotherAddress,
            Answering::WithHtml,
        ] {
            let address = listen(key.clone(), answering).await;
            let id = registered(&bed, address, &key).await;
            let servers = allowing_this_machine(&bed).servers();
            let outcome = servers.verify(&bed.manager(), id).await.unwrap();
            assert!(!outcome.verified && outcome.problem.is_some());
            bed.database
                .sql("UPDATE mcp_servers SET status = 'verified', verified_at = created_at")
                .await;
            let outcome = servers.verify(&bed.manager(), id).await.unwrap();
            assert_eq!(
                (outcome.mcp_server.status, outcome.verified_at),
                (ServerStatus::Pending, None)
            );
            assert!(
                outcome
                    .mcp_server
                    .status_reason
                    .unwrap()
                    .starts_with("lost its verification")
            );
        }
    }
}

#[tokio::test]
async fn no_answer_proves_nothing_either_way() {
    for bed in Bed::all().await {
        let key = SigningKey::generate().unwrap();
        let dead = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let nobody = dead.local_addr().unwrap();
        drop(dead);
        let missing = listen(key.clone(), Answering::WithStatus404).await;
        let elsewhere = listen(key.clone(), Answering::WithRedirect).await;
        for address in [nobody, missing, elsewhere] {
            let id = registered(&bed, address, &key).await;
            bed.database
                .sql("UPDATE mcp_servers SET status = 'verified', verified_at = created_at")
                .await;
            let servers = allowing_this_machine(&bed).servers();
            let outcome = servers.verify(&bed.manager(), id).await.unwrap();
            assert!(!outcome.verified);
            assert_eq!(outcome.mcp_server.status, ServerStatus::Verified, "{outcome:?}");
            assert!(outcome.mcp_server.last_check_problem.is_some());
            let audited = bed.audited().await;
            let (action, facts) = audited.last().unwrap();
            assert_eq!(
                (action.as_str(), &facts["reached"]),
                ("mcp_server.verification_failed", &serde_json::json!(false))
            );
        }
    }
}

#[tokio::test]
async fn addresses_inside_are_not_called_unless_the_operator_allows_them() {
    for bed in Bed::all().await {
        let key = SigningKey::generate().unwrap();
        let address = listen(key.clone(), Answering::Well).await;
        let id = registered(&bed, address, &key).await;
        let outcome = bed.mcp.servers().verify(&bed.manager(), id).await.unwrap();
        assert!(!outcome.verified);
        assert!(outcome.problem.unwrap().contains("not of the public internet"));
        assert_eq!(outcome.mcp_server.status, ServerStatus::Pending);
    }
}

#[tokio::test]
async fn a_server_without_key_web_address_or_good_standing_is_sent_nothing() {
    for bed in Bed::all().await {
        let (servers, ctx) = (bed.mcp.servers(), bed.manager());
        let keyless = bed.server("files").await.id;
        assert_eq!(
            refusal(servers.verify(&ctx, keyless).await),
            (Code::StateConflict, Some("public_key".to_owned()))
        );
        let key = SigningKey::generate().unwrap().public().spki_base64();
        let local = NewServer {
            name: "local".to_owned(),
            url: "stdio://npx server-files".to_owned(),
            public_key: Some(key.clone()),
            ..NewServer::default()
        };
        let local = servers.register(&ctx, local).await.unwrap().id;
        assert_eq!(
            refusal(servers.verify(&ctx, local).await),
            (Code::StateConflict, Some("url".to_owned()))
        );
        let keyed = UpdateServer {
            public_key: Some(Some(key)),
            ..UpdateServer::default()
        };
        servers.update(&ctx, keyless, keyed).await.unwrap();
        servers.suspend(&ctx, keyless, "looked at").await.unwrap();
        assert_eq!(
            refusal(servers.verify(&ctx, keyless).await).0,
            Code::StateConflict
        );
    }
}
