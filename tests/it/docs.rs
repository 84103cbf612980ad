//! docs/API.md says what the code says: its tables and its worked example are made from the code.
//!
//! `AIM_BLESS=1 cargo test -p aim-tests --test it docs` writes them anew.

use aim_core::{Code, Timestamp, role::permission};
use aim_crypto::{
    http_signature::{Candidate, Coverage, RequestView, sign_request},
    keys::SigningKey,
};
use aim_decision::ReasonCode;
use aim_tests::workspace;

use crate::matrix::{self, Who};

const DOCUMENT: &str = "docs/API.md";
const BLESS: &str = "AIM_BLESS";

/// A part of the document between `<!-- name -->` and `<!-- /name -->`.
struct Part {
    name: &'static str,
    text: String,
}

#[test]
fn the_tables_and_the_example_of_the_api_document_are_those_of_the_code() {
    let parts = [
        Part {
            name: "error codes",
            text: error_codes(),
        },
        Part {
            name: "reason codes",
            text: reason_codes(),
        },
        Part {
            name: "permissions",
            text: permissions(),
        },
        Part {
            name: "routes",
            text: routes(),
        },
        Part {
            name: "signed request",
            text: signed_request(),
        },
    ];
    let before = workspace::text(DOCUMENT);
    let after = parts
        .iter()
        .fold(before.clone(), |document, part| replaced(&document, part));
    if std::env::var_os(BLESS).is_some() {
        std::fs::write(workspace::root().join(DOCUMENT), &after).unwrap();
    } else {
        assert!(
            before == after,
            "{DOCUMENT} is stale; set {BLESS}=1 and run this test again"
        );
    }
}

fn replaced(document: &str, part: &Part) -> String {
    let (start, end) = (
        format!("<!-- {} -->\n", part.name),
        format!("<!-- /{} -->", part.name),
    );
    let (before, rest) = document
        .split_once(&start)
        .unwrap_or_else(|| panic!("{DOCUMENT} lacks {start}"));
    let (_, after) = rest
        .split_once(&end)
        .unwrap_or_else(|| panic!("{DOCUMENT} lacks {end}"));
    format!("{before}{start}{}{end}{after}", part.text)
}

fn error_codes() -> String {
    let mut text = "| code | status | meaning | what to do |\n|---|---|---|---|\n".to_owned();
    for code in Code::ALL {
        text += &format!(
            "| `{}` | {} | {} | {} |\n",
            code.slug(),
            code.status(),
            code.title(),
            code.remedy()
        );
    }
    text
}

fn reason_codes() -> String {
    let mut text = "| code | meaning |\n|---|---|\n".to_owned();
    for code in ReasonCode::all() {
        text += &format!("| `{}` | {} |\n", code.slug(), code.text());
    }
    text
}

fn permissions() -> String {
    let mut text = "| permission | from role | what it lets one do |\n|---|---|---|\n".to_owned();
    for permission in permission::COMMUNITY {
        text += &format!(
            "| `{}` | {} | {} |\n",
            permission.name,
            permission.minimum.as_str(),
            permission.meaning
        );
    }
    text
}

fn routes() -> String {
    let mut text = "| method | path | who |\n|---|---|---|\n".to_owned();
    for route in matrix::routes(false) {
        let who = match route.who {
            Who::Everybody => "everybody".to_owned(),
            Who::WithOrWithoutCredentials(needed) => format!("everybody; with credentials `{}`", needed.name),
            Who::People(needed) => format!("`{}`", needed.name),
            Who::Operators(needed) => format!("`{}`, in the organisation that was set up first", needed.name),
            Who::Users(needed) => format!("`{}`, users only", needed.name),
            Who::PeopleOrItself(needed) => format!("`{}`, or the agent itself", needed.name),
            Who::Agents | Who::AgentInBody | Who::SignerOfBody => "agents".to_owned(),
            Who::Itself => "the agent itself".to_owned(),
        };
        text += &format!("| {} | `{}` | {who} |\n", route.method, route.path);
    }
    text
}

/// RFC 8032 §7.1, test 1: a key that everybody has.
const EXAMPLE_SEED: [u8; 32] = [
    0x9d, 0x61, 0xb1, 0x9d, 0xef, 0xfd, 0x5a, 0x60, 0xba, 0x84, 0x4a, 0xf4, 0x92, 0xec, 0x2c, 0xc4, 0x44,
    0x49, 0xc5, 0x69, 0x7b, 0x32, 0x69, 0x19, 0x70, 0x3b, 0xac, 0x03, 0x1c, 0xae, 0x7f, 0x60,
];
const EXAMPLE_BODY: &str = r#"{"action":"db:read","resource":"customers/42"}"#;
const EXAMPLE_NONCE: &str = "5f2c1d0e9b8a47768594a3b2c1d0e0f1";

fn signed_request() -> String {
    let key = SigningKey::from_seed(&EXAMPLE_SEED);
    let created = Timestamp::parse("2026-11-23T10:00:00Z").unwrap().timestamp();
    let headers = vec![("content-type".to_owned(), "application/json".to_owned())];
    let view = RequestView {
        method: "POST",
        scheme: "https",
        authority: "aim.example.com",
        path: "/api/v1/verifications",
        query: None,
        headers: &headers,
    };
    let signed = sign_request(&view, EXAMPLE_BODY.as_bytes(), &key, created, EXAMPLE_NONCE, &[]).unwrap();
    let digest = signed.content_digest.unwrap();
    let mut sent = headers.clone();
    sent.push(("content-digest".to_owned(), digest.clone()));
    sent.push(("signature-input".to_owned(), signed.signature_input.clone()));
    sent.push(("signature".to_owned(), signed.signature.clone()));
    let received = RequestView {
        headers: &sent,
        ..view
    };
    // What the reader is shown is what the server accepts.
    let candidate = Candidate::parse(&received, EXAMPLE_BODY.as_bytes(), &Coverage::strict()).unwrap();
    candidate.verify(&key.public()).unwrap();
    let base = String::from_utf8(candidate.signature_base().to_vec()).unwrap();
    format!(
        "The key is that of RFC 8032 §7.1, test 1, whose private half everybody knows:\n\n```\n{}\n```\n\n\
         1. The digest of the body (RFC 9530):\n\n   ```http\n   Content-Digest: {digest}\n   ```\n\n\
         2. The signature base (RFC 9421 §2.5), lines joined by a line feed, without one at the end:\n\n```\n{base}\n```\n\n\
         3. The Ed25519 signature of these bytes, and the whole request:\n\n```http\nPOST /api/v1/verifications HTTP/1.1\n\
         Host: aim.example.com\nContent-Type: application/json\nContent-Digest: {digest}\n\
         Signature-Input: {}\nSignature: {}\n\n{EXAMPLE_BODY}\n```\n",
        key.to_pkcs8_pem().expose().trim(),
        signed.signature_input,
        signed.signature,
    )
}
