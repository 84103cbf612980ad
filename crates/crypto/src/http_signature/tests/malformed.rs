//! Fields, parameters and components that are refused.

use super::*;

#[test]
fn a_request_without_its_signature_fields_says_which_is_missing() {
    let signed = Request::post().signed(&key(), &[]);
    for name in ["Signature-Input", "Signature"] {
        let mut request = signed.clone();
        request.remove(name);
        let error = request.parse().unwrap_err();
        assert_eq!(error.code(), "signature.missing");
        assert!(
            error
                .to_string()
                .starts_with(&format!("the header {name} is missing")),
            "{error}"
        );
    }
}

#[test]
fn malformed_fields_are_refused() {
    let signed = Request::post().signed(&key(), &[]);
    for (name, value) in [
        ("Signature-Input", ""),
        ("Signature-Input", "aim"),
        ("Signature-Input", "aim=()=("),
        ("Signature-Input", "aim=1"),
        ("Signature-Input", "other=(\"@method\");created=1"),
        ("Signature-Input", "aim=(\"@method\";created=1"),
        ("Signature", "aim"),
        ("Signature", "aim=\"text\""),
        ("Signature", "aim=(:AAAA:)"),
        ("Signature", "aim=:AAAA:"),
        ("Signature", "aim=:****:"),
        ("Signature", "other=:AAAA:"),
    ] {
        let mut request = signed.clone();
        request.set(name, value);
        assert_eq!(
            request.refusal(&key().public()),
            "signature.malformed",
            "{name}: {value}"
        );
    }
    let mut twice = signed;
    let (_, input) = twice
        .headers
        .iter()
        .find(|(name, _)| name == "Signature-Input")
        .unwrap()
        .clone();
    twice.add("Signature-Input", std::str::from_utf8(&input).unwrap());
    assert_eq!(twice.refusal(&key().public()), "signature.malformed");
}

#[test]
fn missing_and_unusable_parameters_are_named() {
    let code = |parameters: &str| parse_code(&input_with(parameters));
    assert_eq!(code(";keyid=\"k\";nonce=\"n\""), "signature.parameter_missing");
    assert_eq!(code(";created=1;nonce=\"n\""), "signature.parameter_missing");
    assert_eq!(code(";created=1;keyid=\"k\""), "signature.parameter_missing");
    for parameters in [
        ";created=\"1\";keyid=\"k\";nonce=\"n\"",
        ";created=1.5;keyid=\"k\";nonce=\"n\"",
        ";created=-1;keyid=\"k\";nonce=\"n\"",
        ";created=1;keyid=k;nonce=\"n\"",
        ";created=1;keyid=\"\";nonce=\"n\"",
        ";created=1;keyid=\"k\";nonce=\"\"",
        ";created=1;keyid=\"k\";nonce=7",
        ";created=1;keyid=\"k\";nonce",
        ";created=2;expires=1;keyid=\"k\";nonce=\"n\"",
        ";created=1;keyid=\"k\";nonce=\"n\";tag=t",
        ";created=1;keyid=\"k\";nonce=\"n\";unknown=1",
    ] {
        assert_eq!(code(parameters), "signature.parameter_invalid", "{parameters}");
    }
    let with_nonce = |length: usize| {
        unverified(&input_with(&format!(
            ";created=1;keyid=\"k\";nonce=\"{}\"",
            "n".repeat(length)
        )))
    };
    assert_eq!(with_nonce(128).parse().unwrap().nonce().len(), 128);
    assert_eq!(
        with_nonce(129).parse().unwrap_err().code(),
        "signature.parameter_invalid"
    );
}

#[test]
fn algorithms_other_than_ed25519_are_refused() {
    for algorithm in [
        "\"rsa-v1_5-sha256\"",
        "\"hmac-sha256\"",
        "\"ED25519\"",
        "\"\"",
        "ed25519",
        "1",
    ] {
        let code = parse_code(&input_with(&format!(
            ";created=1;keyid=\"k\";nonce=\"n\";alg={algorithm}"
        )));
        assert_eq!(code, "signature.algorithm", "{algorithm}");
    }
}

#[test]
fn duplicate_and_unsupported_components_are_refused() {
    let code = |components: &str| parse_code(&format!("({components});created=1;keyid=\"k\";nonce=\"n\""));
    assert_eq!(
        code("\"@method\" \"@path\" \"@method\""),
        "signature.component_duplicate"
    );
    assert_eq!(
        code("\"content-type\" \"content-type\""),
        "signature.component_duplicate"
    );
    assert_eq!(
        code("\"@query-param\";name=\"wait\" \"@query-param\";name=\"wait\""),
        "signature.component_duplicate"
    );
    for component in [
        "\"content-type\";sf",
        "\"content-digest\";key=\"sha-256\"",
        "\"content-type\";bs",
        "\"content-type\";tr",
        "\"@method\";req",
        "\"@method\";unknown",
        "\"content-type\";bs=?0",
        "\"@status\"",
        "\"@signature-params\"",
        "\"@unknown\"",
        "\"Content-Type\"",
        "\"content type\"",
        "\"\"",
        "content-type",
        "1",
        "\"@query-param\"",
        "\"@query-param\";name=wait",
        "\"@query-param\";name=\"wait\";req",
        "\"@query-param\";key=\"wait\"",
    ] {
        assert_eq!(code(component), "signature.component_unsupported", "{component}");
    }
    assert_eq!(code("\"x-absent\""), "signature.component_missing");
    assert_eq!(
        code("\"@query-param\";name=\"absent\""),
        "signature.component_missing"
    );
    let many: String = (0..65).map(|index| format!("\"h{index}\" ")).collect();
    assert_eq!(code(&many), "signature.malformed");
}

#[test]
fn a_query_parameter_that_is_there_twice_cannot_be_covered() {
    let mut request = unverified("(\"@query-param\";name=\"a\");created=1;keyid=\"k\";nonce=\"n\"");
    request.query = Some("a=1&b=2&%61=3".to_owned());
    assert_eq!(request.parse().unwrap_err().code(), "signature.component_missing");
}

#[test]
fn a_covered_header_that_is_ambiguous_is_refused() {
    let parameters = ";created=1;keyid=\"k\";nonce=\"n\"";
    for value in ["gr\u{fc}n", "a\nb", "a\r\n\"@method\": GET"] {
        let mut request = unverified(&format!("(\"x-test\"){parameters}"));
        request.add("X-Test", value);
        assert_eq!(
            request.parse().unwrap_err(),
            HttpSignatureError::HeaderValue {
                name: "x-test".to_owned()
            }
        );
    }
}

#[test]
fn a_target_that_could_break_the_lines_of_the_base_is_refused() {
    let part = |change: fn(&mut Request)| {
        let mut request = Request::post().signed(&key(), &[]);
        change(&mut request);
        match request.parse().unwrap_err() {
            HttpSignatureError::Target { part } => part,
            other => panic!("{other}"),
        }
    };
    assert_eq!(
        part(|request| request.method = "GET\n\"@path\": /".to_owned()),
        "method"
    );
    assert_eq!(part(|request| request.method.clear()), "method");
    assert_eq!(part(|request| request.scheme = "https:".to_owned()), "scheme");
    assert_eq!(
        part(|request| request.authority = "user@aim.example".to_owned()),
        "authority"
    );
    assert_eq!(
        part(|request| request.authority = "aim.example/x".to_owned()),
        "authority"
    );
    assert_eq!(part(|request| request.authority.clear()), "authority");
    assert_eq!(part(|request| request.path = "/a\n".to_owned()), "path");
    assert_eq!(part(|request| request.path = "/a?b".to_owned()), "path");
    assert_eq!(part(|request| request.path = "a".to_owned()), "path");
    assert_eq!(part(|request| request.path = "/\u{fc}".to_owned()), "path");
    assert_eq!(part(|request| request.query = Some("a b".to_owned())), "query");
    assert_eq!(part(|request| request.query = Some("a#b".to_owned())), "query");
}
