//! The limit that the verified action is measured against: an endpoint that only checks the
//! signature of a request, with the same code and the same HTTP server, and answers a small JSON.
//! Nothing is looked up, decided or stored. `signature_only PORT KEY_FILE`: the file holds one key a
//! line (any form that `PublicKey::parse` reads).

#![expect(
    clippy::print_stdout,
    clippy::expect_used,
    reason = "a tool for benchmarks fails loudly"
)]

use std::{collections::HashMap, sync::Arc};

use actix_web::{App, HttpRequest, HttpResponse, HttpServer, http::header::HeaderMap, web};
use aim_crypto::{
    http_signature::{Candidate, Coverage, HeaderLookup, RequestView},
    keys::PublicKey,
};

struct Headers<'a>(&'a HeaderMap);

impl HeaderLookup for Headers<'_> {
    fn values(&self, name: &str) -> Vec<&[u8]> {
        self.0.get_all(name).map(|value| value.as_bytes()).collect()
    }
}

async fn check(
    request: HttpRequest,
    body: web::Bytes,
    keys: web::Data<Arc<HashMap<String, PublicKey>>>,
) -> HttpResponse {
    let headers = Headers(request.headers());
    let view = RequestView {
        method: request.method().as_str(),
        scheme: "http",
        authority: request
            .headers()
            .get("host")
            .and_then(|value| value.to_str().ok())
            .unwrap_or_default(),
        path: request.uri().path(),
        query: request.uri().query(),
        headers: &headers,
    };
    let valid = Candidate::parse(&view, &body, &Coverage::strict()).is_ok_and(|candidate| {
        keys.get(candidate.keyid())
            .is_some_and(|key| candidate.verify(key).is_ok())
    });
    if valid {
        HttpResponse::Created().json(serde_json::json!({"status": "checked"}))
    } else {
        HttpResponse::Unauthorized().finish()
    }
}

#[actix_web::main]
async fn main() -> std::io::Result<()> {
    let mut arguments = std::env::args().skip(1);
    let port: u16 = arguments.next().and_then(|text| text.parse().ok()).expect("PORT");
    let text = std::fs::read_to_string(arguments.next().expect("KEY_FILE"))?;
    let keys: HashMap<String, PublicKey> = text
        .lines()
        .map(|line| {
            let key = PublicKey::parse(line).expect("a public key a line");
            (key.fingerprint().to_string(), key)
        })
        .collect();
    let keys = web::Data::new(Arc::new(keys));
    println!("ready on 127.0.0.1:{port}");
    HttpServer::new(move || {
        App::new()
            .app_data(keys.clone())
            .route("/api/v1/verifications", web::post().to(check))
    })
    .bind(("127.0.0.1", port))?
    .run()
    .await
}
