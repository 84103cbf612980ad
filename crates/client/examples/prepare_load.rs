//! Prepares a load for `make bench`: registers agents with grants at a running server, then signs
//! requests in advance, one a line, so that the load generator only sends.
//!
//! `prepare_load SERVER API_KEY_FILE AGENTS REQUESTS OUT [CREATED_IN_SECONDS]`: OUT has the requests as they go over the wire, one
//! behind the other, all of the length that OUT.size tells, so that the load generator takes no time to make them. `created`
//! lies CREATED_IN_SECONDS ahead, so that the freshness window (30 s either way) is open while the load runs. OUT.keys has the public keys.
//!
//! With AIM_LOAD=reads the requests read secrets of the premium edition's vault instead of asking for an action: one of
//! AIM_SECRETS (1,000 unless told) at `bulk/0000000` and on, another one each time.

#![expect(
    clippy::print_stdout,
    clippy::expect_used,
    clippy::disallowed_methods,
    clippy::indexing_slicing,
    reason = "a tool for benchmarks fails loudly"
)]

use std::{
    io::Write,
    time::{SystemTime, UNIX_EPOCH},
};

use aim_client::{Client, NewAgent};
use aim_crypto::{
    http_signature::{RequestView, sign_request},
    keys::SigningKey,
};
use serde_json::json;

const BODY: &str =
    r#"{"action":"db:read","resource":"customers/42","context":{"rows":10,"purpose":"support"}}"#;

/// A read of a secret. X25519 takes any 32 bytes for a key; what is sealed to these, nobody opens. The numbers go through
/// all secrets, far from one another; an agent reads its own ones over and over.
fn read_of(number: usize, secrets: usize) -> String {
    let secret = number.wrapping_mul(7_919_317) % secrets;
    format!(r#"{{"path":"bulk/{secret:07}","seal_to":"N_2jVnvb1ijohmjDyNfpfR0SU7bU6m1EwVD3QfG_RDE"}}"#)
}

/// Where the requests go, the grant that they take, and, for reads, how many secrets there are.
fn kind_of_load() -> (&'static str, serde_json::Value, Option<usize>) {
    if std::env::var("AIM_LOAD").is_ok_and(|load| load == "reads") {
        let grant = json!({"capability": "secret:read", "scope": {"resources": ["bulk/*"]}});
        let secrets = std::env::var("AIM_SECRETS").map_or(1_000, |text| text.parse().expect("AIM_SECRETS"));
        ("/api/v1/vault/reads", grant, Some(secrets))
    } else {
        let grant = json!({"capability": "db:read", "scope": {"resources": ["customers/*"]}});
        ("/api/v1/verifications", grant, None)
    }
}

#[tokio::main]
async fn main() {
    let (target, grant, secrets) = kind_of_load();
    let arguments: Vec<String> = std::env::args().collect();
    let [_, server, key_file, agents, requests, out, rest @ ..] = arguments.as_slice() else {
        println!("usage: prepare_load SERVER API_KEY_FILE AGENTS REQUESTS OUT [CREATED_IN_SECONDS]");
        return;
    };
    let agents: usize = agents.parse().expect("AGENTS is a number");
    let requests: usize = requests.parse().expect("REQUESTS is a number");
    // With as many for each agent, a secret is always read by the same one.
    let secrets = secrets.map(|secrets| {
        if secrets < agents {
            secrets
        } else {
            secrets - secrets % agents
        }
    });
    let ahead: i64 = rest.first().map_or(25, |text| text.parse().expect("seconds"));
    let api_key = std::fs::read_to_string(key_file)
        .expect("the API key's file")
        .trim()
        .to_owned();
    let client = Client::builder()
        .server(server)
        .api_key(api_key)
        .build()
        .expect("a client");

    let mut keys = Vec::with_capacity(agents);
    for index in 0..agents {
        let key = SigningKey::generate().expect("randomness");
        let name = format!("load-{}-{index}", std::process::id());
        let agent = client
            .register_with_key(&NewAgent::named(name), &key)
            .await
            .expect("an agent");
        let path = format!("/api/v1/agents/{}/capabilities", agent.id);
        let _: serde_json::Value = client
            .call(reqwest::Method::POST, &path, Some(&grant))
            .await
            .expect("a grant");
        keys.push(key);
    }

    let authority = server
        .trim_start_matches("http://")
        .trim_end_matches('/')
        .to_owned();
    let headers = [("content-type", "application/json"), ("host", authority.as_str())];
    let view = RequestView {
        method: "POST",
        scheme: "http",
        authority: &authority,
        path: target,
        query: None,
        headers: &headers,
    };
    let now = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .expect("after 1970")
        .as_secs();
    let created = i64::try_from(now).expect("a time") + ahead;
    let mut file = std::io::BufWriter::new(std::fs::File::create(out).expect("OUT"));
    let mut size = 0;
    for number in 0..requests {
        let key = &keys[number % agents];
        let nonce = format!("{created:x}-{:x}-{number:08x}", std::process::id());
        let body = secrets.map_or_else(|| BODY.to_owned(), |secrets| read_of(number, secrets));
        let signed = sign_request(&view, body.as_bytes(), key, created, &nonce, &[]).expect("a signature");
        let request = format!(
            "POST {target} HTTP/1.1\r\nHost: {authority}\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\
             Content-Digest: {}\r\nSignature-Input: {}\r\nSignature: {}\r\n\r\n{body}",
            body.len(),
            signed.content_digest.as_deref().unwrap_or_default(),
            signed.signature_input,
            signed.signature,
        );
        assert!(size == 0 || size == request.len(), "all requests have one length");
        size = request.len();
        file.write_all(request.as_bytes()).expect("OUT");
    }
    file.flush().expect("OUT");
    std::fs::write(format!("{out}.size"), size.to_string()).expect("OUT.size");
    let publics: Vec<String> = keys.iter().map(|key| key.public().spki_base64()).collect();
    std::fs::write(format!("{out}.keys"), publics.join("\n")).expect("OUT.keys");
    println!("{agents} agents, {requests} signed requests, created {created}");
}
