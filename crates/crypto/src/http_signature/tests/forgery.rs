//! Requests that were changed, or that are signed by too little or by another key.

use super::*;

#[test]
fn another_key_does_not_verify() {
    let request = Request::post().signed(&key(), &[]);
    let other = SigningKey::from_seed(&[8; 32]).public();
    assert_eq!(
        request.accept(&other, NOW),
        Err(HttpSignatureError::Invalid(SignatureError::Invalid))
    );
}

#[test]
fn a_change_of_any_covered_part_is_refused() {
    let signed = Request::post().signed(&key(), &["content-type"]);
    let refused_after = |change: fn(&mut Request)| {
        let mut request = signed.clone();
        change(&mut request);
        request.refusal(&key().public())
    };
    assert_eq!(
        refused_after(|request| request.method = "PUT".to_owned()),
        "signature.invalid"
    );
    assert_eq!(
        refused_after(|request| request.method = "post".to_owned()),
        "signature.invalid"
    );
    assert_eq!(
        refused_after(|request| request.authority = "evil.example".to_owned()),
        "signature.invalid"
    );
    assert_eq!(
        refused_after(|request| request.path = "/api/v1/agents".to_owned()),
        "signature.invalid"
    );
    assert_eq!(
        refused_after(|request| request.path.push('/')),
        "signature.invalid"
    );
    assert_eq!(
        refused_after(|request| request.query = Some("wait=2".to_owned())),
        "signature.invalid"
    );
    assert_eq!(
        refused_after(|request| request.query = Some(String::new())),
        "signature.invalid"
    );
    assert_eq!(
        refused_after(|request| request.set("Content-Type", "text/plain")),
        "signature.invalid"
    );
    assert_eq!(
        refused_after(|request| request.add("Content-Type", "text/plain")),
        "signature.invalid"
    );
    assert_eq!(
        refused_after(|request| request.remove("Content-Type")),
        "signature.component_missing"
    );
    assert_eq!(
        refused_after(|request| {
            let (_, value) = request
                .headers
                .iter_mut()
                .find(|(name, _)| name == "Signature-Input")
                .unwrap();
            *value = String::from_utf8(value.clone())
                .unwrap()
                .replace(NONCE, "n-0002")
                .into_bytes();
        }),
        "signature.invalid"
    );
}

#[test]
fn a_replaced_body_is_refused_even_with_a_fitting_digest() {
    let mut request = Request::post().signed(&key(), &[]);
    request.body = b"{\"hello\": \"evil\"}".to_vec();
    assert_eq!(request.refusal(&key().public()), "signature.digest_mismatch");
    request.set("Content-Digest", &content_digest(b"{\"hello\": \"evil\"}"));
    assert_eq!(request.refusal(&key().public()), "signature.invalid");
    request.body = Vec::new();
    assert_eq!(request.refusal(&key().public()), "signature.digest_mismatch");
}

#[test]
fn every_component_that_is_left_out_is_named() {
    let parameters = ";created=1;keyid=\"k\";nonce=\"n\"";
    let missing = |components: &str| match unverified(&format!("({components}){parameters}"))
        .parse()
        .unwrap_err()
    {
        HttpSignatureError::Coverage { missing } => missing,
        other => panic!("{other}"),
    };
    assert_eq!(missing(""), "@method");
    assert_eq!(
        missing("\"@authority\" \"@path\" \"@query\" \"content-digest\""),
        "@method"
    );
    assert_eq!(
        missing("\"@method\" \"@path\" \"@query\" \"content-digest\""),
        "@authority"
    );
    assert_eq!(
        missing("\"@method\" \"@authority\" \"@query\" \"content-digest\""),
        "@path"
    );
    assert_eq!(
        missing("\"@method\" \"@authority\" \"@path\" \"content-digest\""),
        "@query"
    );
    assert_eq!(
        missing("\"@method\" \"@authority\" \"@path\" \"@query\""),
        "content-digest"
    );
    assert_eq!(missing("\"@method\" \"@target-uri\""), "content-digest");
    // A single parameter, or the request target without the authority, does not stand for the whole.
    assert_eq!(
        missing("\"@method\" \"@authority\" \"@path\" \"@query-param\";name=\"wait\" \"content-digest\""),
        "@query"
    );
    assert_eq!(
        missing("\"@method\" \"@request-target\" \"content-digest\""),
        "@authority"
    );
}

#[test]
fn a_query_or_a_body_added_on_the_way_is_refused() {
    let mut request = Request::post();
    request.query = None;
    request.body = Vec::new();
    let signed = request.signed(&key(), &[]);
    let mut with_query = signed.clone();
    with_query.query = Some(String::new());
    assert_eq!(with_query.refusal(&key().public()), "signature.coverage");
    let mut with_body = signed;
    with_body.body = BODY.to_vec();
    with_body.set("Content-Digest", &content_digest(BODY));
    assert_eq!(with_body.refusal(&key().public()), "signature.coverage");
}

#[test]
fn a_digest_that_is_present_is_checked_even_when_it_is_not_covered() {
    let mut request = Request::post();
    request.body = Vec::new();
    let mut request = request.signed(&key(), &[]);
    request.set("Content-Digest", &content_digest(b"something else"));
    assert_eq!(request.refusal(&key().public()), "signature.digest_mismatch");
    request.set("Content-Digest", "md5=:AAAA:");
    assert_eq!(request.refusal(&key().public()), "signature.digest_unsupported");
    request.set("Content-Digest", "nonsense(");
    assert_eq!(request.refusal(&key().public()), "signature.digest_malformed");
}
