//! Prepares a load for `make bench`: registers agents with grants at a running server, then signs
//! requests in advance, one a line, so that the load generator only sends.
//!
//! `prepare_load SERVER API_KEY_FILE AGENTS REQUESTS OUT [CREATED_IN_SECONDS]`: each line is
//! `signature-input TAB signature`. `created` lies CREATED_IN_SECONDS ahead, so that the freshness
//! window (30 s either way) is open while the load runs. All requests share one body and digest,
//! which are written to OUT.body and OUT.digest; OUT.keys has the public keys, OUT.authority the host
//! that was signed, OUT.path the path.
//!
//! With AIM_LOAD=reads the requests read a secret of the premium edition's vault instead of asking for an action.

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

/// A read of a secret. X25519 takes any 32 bytes for a key; what is sealed to these, nobody opens.
const READ: &str =
    r#"{"path":"payments/stripe/live","seal_to":"N_2jVnvb1ijohmjDyNfpfR0SU7bU6m1EwVD3QfG_RDE"}"#;

/// What is asked, where, and the grant that it takes.
fn kind_of_load() -> (&'static str, &'static str, serde_json::Value) {
    if std::env::var("AIM_LOAD").is_ok_and(|load| load == "reads") {
        let grant = json!({"capability": "secret:read", "scope": {"resources": ["payments/*"]}});
        ("/api/v1/vault/reads", READ, grant)
    } else {
        let grant = json!({"capability": "db:read", "scope": {"resources": ["customers/*"]}});
        ("/api/v1/verifications", BODY, grant)
    }
}

#[tokio::main]
async fn main() {
    let (target, body, grant) = kind_of_load();
    let arguments: Vec<String> = std::env::args().collect();
    let [_, server, key_file, agents, requests, out, rest @ ..] = arguments.as_slice() else {
        println!("usage: prepare_load SERVER API_KEY_FILE AGENTS REQUESTS OUT [CREATED_IN_SECONDS]");
        return;
    };
    let agents: usize = agents.parse().expect("AGENTS is a number");
    let requests: usize = requests.parse().expect("REQUESTS is a number");
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
    let mut digest = String::new();
    for number in 0..requests {
        let key = &keys[number % agents];
        let nonce = format!("{created:x}-{:x}-{number:x}", std::process::id());
        let signed = sign_request(&view, body.as_bytes(), key, created, &nonce, &[]).expect("a signature");
        writeln!(file, "{}\t{}", signed.signature_input, signed.signature).expect("OUT");
        digest = signed.content_digest.unwrap_or_default();
    }
    file.flush().expect("OUT");
    std::fs::write(format!("{out}.body"), body).expect("OUT.body");
    std::fs::write(format!("{out}.digest"), digest).expect("OUT.digest");
    std::fs::write(format!("{out}.path"), target).expect("OUT.path");
    let publics: Vec<String> = keys.iter().map(|key| key.public().spki_base64()).collect();
    std::fs::write(format!("{out}.keys"), publics.join("\n")).expect("OUT.keys");
    std::fs::write(format!("{out}.authority"), &authority).expect("OUT.authority");
    println!("{agents} agents, {requests} signed requests, created {created}");
}
