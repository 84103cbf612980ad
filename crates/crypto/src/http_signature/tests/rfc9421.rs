//! The vectors and examples of RFC 9421 itself.

use super::*;

const RFC_PRIVATE: &str = "-----BEGIN PRIVATE KEY-----\nMC4CAQAwBQYDK2VwBCIEIJ+DYvh6SEqVTm50DFtMDoQikTmiCqirVv9mWG9qfSnF\n-----END PRIVATE KEY-----\n";
const RFC_PUBLIC: &str = "-----BEGIN PUBLIC KEY-----\nMCowBQYDK2VwAyEAJrQLj5P/89iXES9+vFgrIy29clF9CC/oPPsw3c5D0bs=\n-----END PUBLIC KEY-----\n";
const RFC_INPUT: &str = "sig-b26=(\"date\" \"@method\" \"@path\" \"@authority\" \"content-type\" \"content-length\");created=1618884473;keyid=\"test-key-ed25519\"";
const RFC_SIGNATURE: &str =
    "sig-b26=:wqcAqbmYJ2ji2glfAMaRy4gruYYnx2nEFN2HN6jrnDnQCK1u02Gb04v9EDgwUPiu4A0w6vuQv5lIp5WPpBKRCw==:";
const RFC_BASE: &str = "\"date\": Tue, 20 Apr 2021 02:07:55 GMT\n\
    \"@method\": POST\n\
    \"@path\": /foo\n\
    \"@authority\": example.com\n\
    \"content-type\": application/json\n\
    \"content-length\": 18\n\
    \"@signature-params\": (\"date\" \"@method\" \"@path\" \"@authority\" \"content-type\" \"content-length\");created=1618884473;keyid=\"test-key-ed25519\"";

/// The test-request of RFC 9421 appendix B.2.
fn rfc_request() -> Request {
    let mut request = Request {
        method: "POST".to_owned(),
        scheme: "https".to_owned(),
        authority: "example.com".to_owned(),
        path: "/foo".to_owned(),
        query: Some("param=Value&Pet=dog".to_owned()),
        headers: Vec::new(),
        body: BODY.to_vec(),
    };
    request.add("Host", "example.com");
    request.add("Date", "Tue, 20 Apr 2021 02:07:55 GMT");
    request.add("Content-Type", "application/json");
    request.add(
        "Content-Digest",
        "sha-512=:WZDPaVn/7XgHaAy8pmojAkGWoRx2UFChF41A2svX+TaPm+AbwAgBWnrIiYllu7BNNyealdVLvRwEmTHWXvJwew==:",
    );
    request.add("Content-Length", "18");
    request
}

#[test]
fn rfc_9421_appendix_b_2_6_gives_its_base_and_its_signature() {
    let mut request = rfc_request();
    request.add("Signature-Input", RFC_INPUT);
    request.add("Signature", RFC_SIGNATURE);
    let candidate = relaxed(&request).unwrap();
    assert_eq!(std::str::from_utf8(candidate.signature_base()).unwrap(), RFC_BASE);
    assert_eq!(candidate.verify(&PublicKey::parse(RFC_PUBLIC).unwrap()), Ok(()));
    assert_eq!(candidate.label(), "sig-b26");
    assert_eq!(candidate.keyid(), "test-key-ed25519");
    assert_eq!(candidate.created(), 1_618_884_473);
    assert_eq!(
        (candidate.expires(), candidate.nonce(), candidate.tag()),
        (None, "", None)
    );
    assert_eq!(
        candidate.components().collect::<Vec<_>>(),
        [
            "\"date\"",
            "\"@method\"",
            "\"@path\"",
            "\"@authority\"",
            "\"content-type\"",
            "\"content-length\""
        ]
    );
    let private = SigningKey::from_pkcs8_pem(RFC_PRIVATE).unwrap();
    assert_eq!(&private.sign(RFC_BASE.as_bytes()), candidate.signature());
}

#[test]
fn rfc_9421_appendix_b_2_6_is_too_little_for_the_strict_rule() {
    let mut request = rfc_request();
    request.add("Signature-Input", RFC_INPUT);
    request.add("Signature", RFC_SIGNATURE);
    assert_eq!(
        request.parse().unwrap_err(),
        HttpSignatureError::ParameterMissing { name: "nonce" }
    );
}

/// RFC 9421 §2.2: each derived component by its own example, and what strings of §2.2.8 become.
#[test]
fn derived_components_have_the_values_of_rfc_9421() {
    let line = |request: &Request, component: &str| {
        let mut request = request.clone();
        request.set(
            "Signature-Input",
            &format!("s=({component});created=1;keyid=\"k\""),
        );
        request.set("Signature", &format!("s=:{}:", STANDARD.encode([0; 64])));
        let candidate = relaxed(&request).unwrap();
        let base = std::str::from_utf8(candidate.signature_base())
            .unwrap()
            .to_owned();
        base.lines().next().unwrap().to_owned()
    };
    let mut request = rfc_request();
    request.authority = "WWW.Example.com:443".to_owned();
    request.path = "/path".to_owned();
    request.query = Some("param=value".to_owned());
    assert_eq!(line(&request, "\"@method\""), "\"@method\": POST");
    assert_eq!(
        line(&request, "\"@target-uri\""),
        "\"@target-uri\": https://www.example.com/path?param=value"
    );
    assert_eq!(
        line(&request, "\"@authority\""),
        "\"@authority\": www.example.com"
    );
    assert_eq!(line(&request, "\"@scheme\""), "\"@scheme\": https");
    assert_eq!(
        line(&request, "\"@request-target\""),
        "\"@request-target\": /path?param=value"
    );
    assert_eq!(line(&request, "\"@path\""), "\"@path\": /path");
    assert_eq!(line(&request, "\"@query\""), "\"@query\": ?param=value");

    request.authority = "example.com:8443".to_owned();
    assert_eq!(
        line(&request, "\"@authority\""),
        "\"@authority\": example.com:8443"
    );
    request.authority = "example.com:".to_owned();
    assert_eq!(line(&request, "\"@authority\""), "\"@authority\": example.com");
    request.authority = "example.com:80".to_owned();
    assert_eq!(line(&request, "\"@authority\""), "\"@authority\": example.com:80");
    request.scheme = "HTTP".to_owned();
    assert_eq!(line(&request, "\"@authority\""), "\"@authority\": example.com");
    assert_eq!(line(&request, "\"@scheme\""), "\"@scheme\": http");

    request.path = String::new();
    request.query = None;
    assert_eq!(line(&request, "\"@path\""), "\"@path\": /");
    assert_eq!(line(&request, "\"@query\""), "\"@query\": ?");
    assert_eq!(
        line(&request, "\"@target-uri\""),
        "\"@target-uri\": http://example.com/"
    );

    request.query = Some(
        "param=value&foo=bar&baz=batman&qux=&var=this%20is%20a%20big%0Amultiline%20value\
         &bar=with+plus+whitespace&fa%C3%A7ade%22%3A%20=something"
            .to_owned(),
    );
    for (name, value) in [
        ("baz", "batman"),
        ("qux", ""),
        ("param", "value"),
        ("var", "this%20is%20a%20big%0Amultiline%20value"),
        ("bar", "with%20plus%20whitespace"),
        ("fa%C3%A7ade%22%3A%20", "something"),
    ] {
        let component = format!("\"@query-param\";name=\"{name}\"");
        assert_eq!(line(&request, &component), format!("{component}: {value}"));
    }
}

/// RFC 9421 §2.1's example of combined, folded and empty fields, as one base.
#[test]
fn header_fields_are_combined_as_rfc_9421_shows() {
    let mut request = rfc_request();
    request.set("Host", "www.example.com");
    request.add("X-OWS-Header", "   Leading and trailing whitespace.   ");
    request.add("X-Obs-Fold-Header", "Obsolete\r\n    line folding.");
    request.add("Cache-Control", "max-age=60");
    request.add("Cache-Control", "   must-revalidate");
    request.add("X-Empty-Header", "");
    request.set(
        "Signature-Input",
        "s=(\"host\" \"x-ows-header\" \"x-obs-fold-header\" \"cache-control\" \"x-empty-header\");created=1;keyid=\"k\"",
    );
    request.set("Signature", &format!("s=:{}:", STANDARD.encode([0; 64])));
    let candidate = relaxed(&request).unwrap();
    let base = std::str::from_utf8(candidate.signature_base()).unwrap();
    assert!(
        base.starts_with(
            "\"host\": www.example.com\n\
             \"x-ows-header\": Leading and trailing whitespace.\n\
             \"x-obs-fold-header\": Obsolete line folding.\n\
             \"cache-control\": max-age=60, must-revalidate\n\
             \"x-empty-header\": \n\
             \"@signature-params\": "
        ),
        "{base}"
    );
}
