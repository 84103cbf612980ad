//! What kinds of secrets there are, and which fields each has.

use std::{collections::BTreeMap, fmt};

use aim_core::{Error, Result};
use aim_crypto::secret::SecretString;
use serde::{
    Deserialize, Deserializer, Serialize,
    de::{self, MapAccess, Visitor},
    ser::SerializeMap,
};
use utoipa::ToSchema;
use zeroize::Zeroizing;

/// The most fields of one secret.
pub const MAX_FIELDS: usize = 64;
/// The longest name of a field.
pub const MAX_FIELD_NAME: usize = 64;

/// The kind of a secret.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum SecretKind {
    /// An API key or token of any service: `value`.
    ApiKey,
    /// An AWS access key: `access_key_id`, `secret_access_key`.
    Aws,
    /// A password: `password`, and `username` where there is one.
    Password,
    /// A database login: `username`, `password`, and `host`, `port`, `database`.
    Database,
    /// An OAuth 2 client: `client_id`, and `client_secret`, `refresh_token`, `access_token`; with a `token_url` AIM
    /// refreshes the access token, for the `scopes`, as `client_auth` (`basic` or `body`) says.
    Oauth,
    /// A certificate and its key in PEM: `certificate`, `private_key`.
    Certificate,
    /// A file: `content`, in base64.
    File,
    /// Names and values of any kind.
    Map,
}

impl SecretKind {
    /// Every kind, in the order of the docs.
    pub const ALL: [Self; 8] = [
        Self::ApiKey,
        Self::Aws,
        Self::Password,
        Self::Database,
        Self::Oauth,
        Self::Certificate,
        Self::File,
        Self::Map,
    ];

    /// Its name on the wire and in the database.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::ApiKey => "api_key",
            Self::Aws => "aws",
            Self::Password => "password",
            Self::Database => "database",
            Self::Oauth => "oauth",
            Self::Certificate => "certificate",
            Self::File => "file",
            Self::Map => "map",
        }
    }

    /// The kind of that name.
    #[must_use]
    pub fn parse(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.as_str() == name)
    }

    /// The fields that it must have, and those that it may have. A map has whatever it is given.
    const fn fields(self) -> (&'static [&'static str], &'static [&'static str]) {
        match self {
            Self::ApiKey => (&["value"], &[]),
            Self::Aws => (&["access_key_id", "secret_access_key"], &[]),
            Self::Password => (&["password"], &["username"]),
            Self::Database => (&["username", "password"], &["host", "port", "database"]),
            Self::Oauth => (
                &["client_id"],
                &[
                    "client_secret",
                    "refresh_token",
                    "access_token",
                    "token_url",
                    "scopes",
                    "client_auth",
                ],
            ),
            Self::Certificate => (&["certificate", "private_key"], &[]),
            Self::File => (&["content"], &[]),
            Self::Map => (&[], &[]),
        }
    }

    /// Checks the fields of a new version.
    ///
    /// # Errors
    /// `request.field_invalid` at `fields`, or at `fields.NAME`; no value is repeated.
    pub fn check(self, fields: &Fields) -> Result<()> {
        let (required, optional) = self.fields();
        if let Some(missing) = required.iter().find(|name| !fields.0.contains_key(**name)) {
            return Err(Error::field(
                format!("fields.{missing}"),
                format!("a secret of kind {} has the field {missing}", self.as_str()),
            ));
        }
        if fields.0.is_empty() || fields.0.len() > MAX_FIELDS {
            return Err(Error::field(
                "fields",
                format!("a secret has 1 to {MAX_FIELDS} fields"),
            ));
        }
        for (name, value) in &fields.0 {
            if self == Self::Map {
                check_name(name)?;
            } else if !required.contains(&name.as_str()) && !optional.contains(&name.as_str()) {
                let known = [required, optional].concat().join(", ");
                return Err(Error::field(
                    "fields",
                    format!(
                        "a secret of kind {} has the fields {known} and no other",
                        self.as_str()
                    ),
                ));
            }
            if value.is_empty() {
                return Err(Error::field(format!("fields.{name}"), "the value is empty"));
            }
        }
        self.check_form(fields)
    }

    fn check_form(self, fields: &Fields) -> Result<()> {
        use base64::{Engine as _, engine::general_purpose::STANDARD};
        if self == Self::File
            && let Some(content) = fields.0.get("content")
            && STANDARD.decode(content.expose()).map(Zeroizing::new).is_err()
        {
            return Err(Error::field(
                "fields.content",
                "the content of a file is base64 (RFC 4648 §4, with padding)",
            ));
        }
        if self == Self::Oauth {
            super::refresh::check_fields(fields)?;
        }
        if self == Self::Certificate {
            for (name, label) in [("certificate", "CERTIFICATE"), ("private_key", "PRIVATE KEY")] {
                let pem = fields.0.get(name).is_some_and(|text| {
                    text.expose().trim_start().starts_with("-----BEGIN ") && text.expose().contains(label)
                });
                if !pem {
                    return Err(Error::field(
                        format!("fields.{name}"),
                        format!("this is no {label} in PEM"),
                    ));
                }
            }
        }
        Ok(())
    }
}

/// Whether a field tells of itself enough to look a leaked value up by it. The others are no secrets, and are shared
/// by many.
#[must_use]
pub fn is_telling(name: &str) -> bool {
    !matches!(
        name,
        "username" | "host" | "port" | "database" | "token_url" | "scopes" | "client_auth"
    )
}

fn check_name(name: &str) -> Result<()> {
    let fits = (1..=MAX_FIELD_NAME).contains(&name.len())
        && name
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-' | b'.'));
    if fits {
        Ok(())
    } else {
        Err(Error::field(
            "fields",
            format!("a field's name has 1 to {MAX_FIELD_NAME} letters, digits, '_', '-' or '.'"),
        ))
    }
}

/// The values of a secret by their names. Wiped when dropped; `Debug` prints the names alone. It is read from JSON, and
/// no refusal repeats what stands there: a password that was sent as a number must not come back in an error.
#[derive(Clone, Default)]
pub struct Fields(pub(super) BTreeMap<String, SecretString>);

impl Fields {
    /// These values. [`SecretKind::check`] says whether a kind may have them.
    pub(crate) fn of(values: impl IntoIterator<Item = (String, SecretString)>) -> Self {
        Self(values.into_iter().collect())
    }

    /// The names, in their order.
    #[must_use]
    pub fn names(&self) -> Vec<&str> {
        self.0.keys().map(String::as_str).collect()
    }

    /// The values with their names.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &SecretString)> {
        self.0.iter().map(|(name, value)| (name.as_str(), value))
    }

    /// The plaintext of a version: `{"kind":…,"fields":{…}}`.
    ///
    /// # Errors
    /// `server.internal`; a map of texts always has JSON.
    pub fn plaintext(&self, kind: SecretKind) -> Result<Zeroizing<Vec<u8>>> {
        // Sized in advance: a growing buffer would leave copies behind. An escape takes at most six bytes for one.
        let values: usize = self
            .0
            .iter()
            .map(|(name, value)| name.len() + value.len() * 6 + 8)
            .sum();
        let mut bytes = Zeroizing::new(Vec::with_capacity(values + 64));
        serde_json::to_writer(&mut *bytes, &Plaintext { kind, fields: self }).map_err(Error::internal)?;
        Ok(bytes)
    }
}

#[derive(Serialize)]
struct Plaintext<'a> {
    kind: SecretKind,
    #[serde(serialize_with = "exposed")]
    fields: &'a Fields,
}

/// The one place where values become JSON: inside of what is encrypted next, or sent to the vault to be.
pub(super) fn exposed<S: serde::Serializer>(fields: &&Fields, serializer: S) -> Result<S::Ok, S::Error> {
    let mut map = serializer.serialize_map(Some(fields.0.len()))?;
    for (name, value) in &fields.0 {
        map.serialize_entry(name, value.expose())?;
    }
    map.end()
}

impl fmt::Debug for Fields {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_list().entries(self.0.keys()).finish()
    }
}

impl<'de> Deserialize<'de> for Fields {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(FieldsVisitor)
    }
}

/// Answers what is of the wrong type without the value, which the default answer would quote.
macro_rules! refuse_values {
    ($words:literal) => {
        fn visit_bool<E: de::Error>(self, _: bool) -> Result<Self::Value, E> {
            Err(E::custom($words))
        }
        fn visit_i64<E: de::Error>(self, _: i64) -> Result<Self::Value, E> {
            Err(E::custom($words))
        }
        fn visit_u64<E: de::Error>(self, _: u64) -> Result<Self::Value, E> {
            Err(E::custom($words))
        }
        fn visit_f64<E: de::Error>(self, _: f64) -> Result<Self::Value, E> {
            Err(E::custom($words))
        }
    };
}

struct FieldsVisitor;

impl<'de> Visitor<'de> for FieldsVisitor {
    type Value = Fields;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("an object of names and texts")
    }

    refuse_values!("expected an object of names and texts");

    fn visit_str<E: de::Error>(self, _: &str) -> Result<Fields, E> {
        Err(E::custom("expected an object of names and texts"))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Fields, A::Error> {
        let mut fields = BTreeMap::new();
        while let Some(name) = map.next_key::<String>()? {
            let value: SecretValue = map.next_value()?;
            if fields.insert(name, value.0).is_some() {
                return Err(de::Error::custom("a field stands there twice"));
            }
        }
        Ok(Fields(fields))
    }
}

/// One value. See [`Fields`] for what is special in how it is read.
#[derive(Clone, Debug)]
pub struct SecretValue(pub SecretString);

impl<'de> Deserialize<'de> for SecretValue {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(ValueVisitor)
    }
}

struct ValueVisitor;

impl Visitor<'_> for ValueVisitor {
    type Value = SecretValue;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("a text")
    }

    refuse_values!("expected a text; put the value in quotes");

    fn visit_str<E: de::Error>(self, text: &str) -> Result<SecretValue, E> {
        Ok(SecretValue(SecretString::from(text)))
    }

    fn visit_string<E: de::Error>(self, text: String) -> Result<SecretValue, E> {
        Ok(SecretValue(SecretString::new(text)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fields(json: &str) -> Fields {
        serde_json::from_str(json).unwrap()
    }

    fn refused(kind: SecretKind, json: &str) -> String {
        kind.check(&fields(json)).unwrap_err().field.unwrap()
    }

    #[test]
    fn each_kind_wants_its_fields_and_no_other() {
        let good = [
            (SecretKind::ApiKey, r#"{"value":"v"}"#),
            (
                SecretKind::Aws,
                r#"{"access_key_id":"a","secret_access_key":"s"}"#,
            ),
            (SecretKind::Password, r#"{"password":"p"}"#),
            (SecretKind::Password, r#"{"password":"p","username":"u"}"#),
            (
                SecretKind::Database,
                r#"{"username":"u","password":"p","host":"h","port":"5432","database":"d"}"#,
            ),
            (SecretKind::Oauth, r#"{"client_id":"c","refresh_token":"r"}"#),
            (
                SecretKind::Certificate,
                r#"{"certificate":"-----BEGIN CERTIFICATE-----","private_key":"-----BEGIN EC PRIVATE KEY-----"}"#,
            ),
            (SecretKind::File, r#"{"content":"AAEC"}"#),
            (SecretKind::Map, r#"{"ANY.name-1":"x"}"#),
        ];
        for (kind, json) in good {
            kind.check(&fields(json)).unwrap();
        }
        assert_eq!(refused(SecretKind::ApiKey, "{}"), "fields.value");
        assert_eq!(refused(SecretKind::ApiKey, r#"{"value":""}"#), "fields.value");
        assert_eq!(
            refused(SecretKind::ApiKey, r#"{"value":"v","more":"x"}"#),
            "fields"
        );
        assert_eq!(
            refused(SecretKind::Database, r#"{"username":"u"}"#),
            "fields.password"
        );
        assert_eq!(refused(SecretKind::File, r#"{"content":"%"}"#), "fields.content");
        assert_eq!(
            refused(
                SecretKind::Certificate,
                r#"{"certificate":"x","private_key":"y"}"#
            ),
            "fields.certificate"
        );
        assert_eq!(refused(SecretKind::Map, "{}"), "fields");
        assert_eq!(refused(SecretKind::Map, r#"{"a b":"x"}"#), "fields");
    }

    #[test]
    fn no_refusal_and_no_debug_text_repeats_a_value() {
        for json in [
            r#""canary-4711""#,
            r#"4711"#,
            r#"4711.5"#,
            r#"-4711"#,
            r#"{"value":4711}"#,
            r#"{"value":-4711}"#,
            r#"{"value":4711.25}"#,
            r#"{"value":["canary-4711"]}"#,
            r#"{"value":{"canary-4711":1}}"#,
            r#"["canary-4711"]"#,
            r#"{"value":"canary-4711","value":"canary-4711"}"#,
        ] {
            let error = serde_json::from_str::<Fields>(json).unwrap_err().to_string();
            assert!(!error.contains("4711"), "{json}: {error}");
        }
        let fields = fields(r#"{"value":"canary-4711"}"#);
        assert_eq!(format!("{fields:?}"), r#"["value"]"#);
    }

    #[test]
    fn the_plaintext_is_the_one_that_a_reader_expects() {
        let plaintext = fields(r#"{"password":"a\"b","username":"u"}"#)
            .plaintext(SecretKind::Password)
            .unwrap();
        assert_eq!(
            plaintext.as_slice(),
            br#"{"kind":"password","fields":{"password":"a\"b","username":"u"}}"#
        );
    }
}
