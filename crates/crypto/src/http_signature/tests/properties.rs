//! What holds for any request.

use proptest::prelude::*;

use super::*;

prop_compose! {
    fn any_request()(
        method in "[A-Z]{1,8}", authority in "[a-zA-Z0-9.-]{1,20}(:[0-9]{1,5})?", path in "(/[!$-.0-;=@-~]{0,12}){0,4}",
        query in proptest::option::of("[!$-;=?-~]{0,30}"), body in proptest::collection::vec(any::<u8>(), 0..64),
        header in "[ -~]{0,30}",
    ) -> Request {
        Request {
            method, scheme: "https".to_owned(), authority, path, query, body,
            headers: vec![("X-Test".to_owned(), header.into_bytes())],
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(128))]

    #[test]
    fn what_a_client_signs_a_server_accepts(request in any_request(), nonce in "[ -~]{1,128}") {
        let signed = sign_request(&request.view(), &request.body, &key(), NOW, &nonce, &["x-test"]).unwrap();
        let mut sent = request;
        sent.set("signature-input", &signed.signature_input);
        sent.set("signature", &signed.signature);
        if let Some(digest) = &signed.content_digest {
            sent.set("content-digest", digest);
        }
        prop_assert_eq!(sent.accept(&key().public(), NOW), Ok(()));
        let parsed = sent.parse().unwrap();
        prop_assert_eq!(parsed.nonce(), nonce.as_str());
    }

    #[test]
    fn the_signature_base_tells_any_two_requests_apart(
        one in any_request(), other in any_request(), replaced in 0_usize..6,
    ) {
        let mut changed = one.clone();
        match replaced {
            0 => changed.method = other.method,
            1 => changed.authority = other.authority,
            2 => changed.path = other.path,
            3 => changed.query = other.query,
            4 => changed.headers = other.headers,
            _ => changed.body = other.body,
        }
        let meaning = |request: &Request| {
            let authority = request.authority.to_ascii_lowercase();
            let authority = authority.strip_suffix(":443").unwrap_or(&authority).to_owned();
            let path = if request.path.is_empty() { "/".to_owned() } else { request.path.clone() };
            let header = String::from_utf8(request.headers[0].1.clone()).unwrap().trim().to_owned();
            (request.method.clone(), authority, path, request.query.clone(), request.body.clone(), header)
        };
        let same_meaning = meaning(&one) == meaning(&changed);
        let base = |request: Request| request.signed(&key(), &["x-test"]).parse().unwrap().signature_base().to_vec();
        prop_assert_eq!(base(one) == base(changed), same_meaning);
    }

    #[test]
    fn any_header_text_is_parsed_or_refused_without_a_panic(
        input in "\\PC{0,80}", signature in "\\PC{0,80}", digest in "\\PC{0,40}", path in "\\PC{0,20}",
    ) {
        let mut request = Request::post();
        request.set("Signature-Input", &input);
        request.set("Signature", &signature);
        request.set("Content-Digest", &digest);
        let _ = request.parse();
        request.path = path;
        request.set("Signature-Input", "s=(\"@path\");created=1;keyid=\"k\";nonce=\"n\"");
        request.set("Signature", &format!("s=:{}:", STANDARD.encode([0; 64])));
        let _ = relaxed(&request);
    }
}
