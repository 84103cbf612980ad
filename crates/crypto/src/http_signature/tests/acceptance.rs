//! What is accepted, when, and what a client is told that cannot sign.

use super::*;

#[test]
fn a_signed_request_is_accepted_with_its_own_key() {
    let request = Request::post().signed(&key(), &["content-type"]);
    assert_eq!(request.accept(&key().public(), NOW), Ok(()));
    let candidate = request.parse().unwrap();
    assert_eq!(candidate.keyid(), key().public().fingerprint().as_str());
    assert_eq!(candidate.nonce(), NONCE);
    assert_eq!(
        std::str::from_utf8(candidate.signature_base()).unwrap(),
        format!(
            "\"@method\": POST\n\"@authority\": aim.example\n\"@path\": /api/v1/verifications\n\"@query\": ?wait=1\n\
             \"content-digest\": sha-256=:X48E9qOokqqrvdts8nOJRJN3OWDUoyWxBf7kbu9DBPE=:\n\
             \"content-type\": application/json\n\
             \"@signature-params\": (\"@method\" \"@authority\" \"@path\" \"@query\" \"content-digest\" \"content-type\")\
             ;created={NOW};nonce=\"{NONCE}\";alg=\"ed25519\";keyid=\"{}\"",
            key().public().fingerprint()
        )
    );
}

#[test]
fn a_request_without_query_and_body_needs_neither_covered() {
    let mut request = Request::post();
    request.method = "GET".to_owned();
    request.query = None;
    request.body = Vec::new();
    let request = request.signed(&key(), &[]);
    assert_eq!(request.accept(&key().public(), NOW), Ok(()));
    assert_eq!(request.parse().unwrap().components().count(), 3);
}

#[test]
fn the_target_uri_stands_for_authority_path_and_query() {
    let input = format!(
        "(\"@method\" \"@target-uri\" \"content-digest\");created={NOW};keyid=\"k\";nonce=\"n\";expires={};tag=\"t\"",
        NOW + 5
    );
    let base = format!(
        "\"@method\": POST\n\"@target-uri\": https://aim.example/api/v1/verifications?wait=1\n\
         \"content-digest\": {}\n\"@signature-params\": {input}",
        content_digest(BODY)
    );
    let mut request = Request::post();
    request.set("Content-Digest", &content_digest(BODY));
    let request = request.signed_by_hand(&key(), &input, &base);
    assert_eq!(request.accept(&key().public(), NOW), Ok(()));
    let candidate = request.parse().unwrap();
    assert_eq!((candidate.expires(), candidate.tag()), (Some(NOW + 5), Some("t")));
}

#[test]
fn the_order_and_spacing_of_signature_input_are_the_signers() {
    let input = format!(
        "(\"@path\"   \"content-digest\" \"@query\" \"@method\" \"@authority\" );nonce=\"n\"; keyid=\"k\";created={NOW}"
    );
    let serialised = format!(
        "(\"@path\" \"content-digest\" \"@query\" \"@method\" \"@authority\");nonce=\"n\";keyid=\"k\";created={NOW}"
    );
    let base = format!(
        "\"@path\": /api/v1/verifications\n\"content-digest\": {}\n\"@query\": ?wait=1\n\"@method\": POST\n\
         \"@authority\": aim.example\n\"@signature-params\": {serialised}",
        content_digest(BODY)
    );
    let mut request = Request::post();
    request.set("Content-Digest", &content_digest(BODY));
    let request = request.signed_by_hand(&key(), &input, &base);
    assert_eq!(request.accept(&key().public(), NOW), Ok(()));
}

#[test]
fn of_several_signatures_the_first_that_can_be_ours_is_taken_and_no_other() {
    let ours = Request::post().signed(&key(), &[]);
    let header = |name: &str| {
        let (_, value) = ours.headers.iter().find(|(found, _)| found == name).unwrap();
        String::from_utf8(value.clone()).unwrap()
    };
    let (input, signature) = (header("Signature-Input"), header("Signature"));
    let garbage = STANDARD.encode([0; 64]);
    let foreign_input = input
        .replace("aim=", "rsa=")
        .replace("alg=\"ed25519\"", "alg=\"rsa-pss-sha512\"");

    let mut after_foreign = ours.clone();
    after_foreign.set("Signature-Input", &format!("other=(), {foreign_input}, {input}"));
    after_foreign.set("Signature", &format!("rsa=:AAAA:, {signature}"));
    assert_eq!(after_foreign.accept(&key().public(), NOW), Ok(()));

    let mut in_two_lines = ours.clone();
    in_two_lines.set("Signature-Input", &foreign_input);
    in_two_lines.add("Signature-Input", &input);
    in_two_lines.set("Signature", "rsa=:AAAA:");
    in_two_lines.add("Signature", &signature);
    assert_eq!(in_two_lines.accept(&key().public(), NOW), Ok(()));

    let mut after_wrong = ours;
    after_wrong.set(
        "Signature-Input",
        &format!("{}, {input}", input.replace("aim=", "first=")),
    );
    after_wrong.set("Signature", &format!("{signature}, first=:{garbage}:"));
    assert_eq!(after_wrong.refusal(&key().public()), "signature.invalid");
}

#[test]
fn the_window_is_closed_on_both_sides() {
    let request = Request::post().signed(&key(), &[]);
    let at = |now: i64| request.accept(&key().public(), now);
    assert_eq!(at(NOW - 30), Ok(()));
    assert_eq!(at(NOW + 30), Ok(()));
    assert_eq!(
        at(NOW + 31),
        Err(HttpSignatureError::Stale { age: 31, window: 30 })
    );
    assert_eq!(
        at(NOW - 31),
        Err(HttpSignatureError::Future {
            ahead: 31,
            window: 30
        })
    );
}

#[test]
fn a_signature_ends_with_its_own_expires() {
    assert_eq!(check_freshness(NOW, Some(NOW + 5), NOW + 5, 30), Ok(()));
    assert_eq!(
        check_freshness(NOW, Some(NOW + 5), NOW + 6, 30),
        Err(HttpSignatureError::Expired { ago: 1 })
    );
    assert_eq!(
        check_freshness(NOW, Some(NOW + 999), NOW + 31, 30)
            .unwrap_err()
            .code(),
        "signature.stale"
    );
}

#[test]
fn extreme_times_are_refused_without_overflow() {
    for (created, now) in [
        (i64::MAX, i64::MIN),
        (i64::MIN, i64::MAX),
        (0, i64::MAX),
        (i64::MAX, 0),
    ] {
        assert!(
            check_freshness(created, None, now, 30).is_err(),
            "{created} {now}"
        );
    }
}

#[test]
fn a_client_is_told_what_it_cannot_sign() {
    let sign = |nonce: &str, created: i64, extra: &[&str]| {
        let request = Request::post();
        sign_request(&request.view(), &request.body, &key(), created, nonce, extra)
            .map_err(|error| error.code())
    };
    assert!(sign(NONCE, NOW, &["@method", "content-type", "content-type"]).is_ok());
    assert_eq!(sign("", NOW, &[]), Err("signature.parameter_invalid"));
    assert_eq!(
        sign(&"n".repeat(129), NOW, &[]),
        Err("signature.parameter_invalid")
    );
    assert_eq!(sign("\n", NOW, &[]), Err("signature.parameter_invalid"));
    assert_eq!(sign(NONCE, -1, &[]), Err("signature.parameter_invalid"));
    assert_eq!(sign(NONCE, i64::MAX, &[]), Err("signature.parameter_invalid"));
    assert_eq!(
        sign(NONCE, NOW, &["x-absent"]),
        Err("signature.component_missing")
    );
    assert_eq!(
        sign(NONCE, NOW, &["X-Upper"]),
        Err("signature.component_unsupported")
    );
    assert_eq!(
        sign(NONCE, NOW, &["\u{fc}"]),
        Err("signature.component_unsupported")
    );
}

#[test]
fn the_digest_of_an_empty_body_is_signed_when_asked_for() {
    let mut request = Request::post();
    request.body = Vec::new();
    let request = request.signed(&key(), &["content-digest"]);
    assert_eq!(request.accept(&key().public(), NOW), Ok(()));
    assert!(
        request
            .parse()
            .unwrap()
            .components()
            .any(|component| component == "\"content-digest\"")
    );
}

#[test]
fn error_texts_have_a_remedy_and_quote_no_value() {
    let mut request = Request::post().signed(&key(), &[]);
    request.set(
        "Signature-Input",
        "aim=(\"@method\");created=1;keyid=\"very-private\";nonce=(",
    );
    let text = request.parse().unwrap_err().to_string();
    assert!(!text.contains("very-private"), "{text}");
    assert!(text.contains("RFC 9421"), "{text}");
}
