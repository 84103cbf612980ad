//! Files of secrets become what is to be written. The server reads what the console sends; the command line reads its own
//! files by the same rules.

use std::{collections::BTreeMap, fmt};

use aim_crypto::secret::SecretString;
use serde::{
    Deserialize, Deserializer,
    de::{self, MapAccess, Visitor},
};
use serde_json::value::RawValue;

use super::{
    dotenv,
    model::{ImportFormat, ImportItem, Mapping},
};
use crate::vault::{
    kinds::{Fields, SecretKind, SecretValue},
    model::PutSecret,
};

/// A secret of a file.
#[derive(Debug)]
pub struct Candidate {
    /// Its name in the file.
    pub name: String,
    /// Where it goes.
    pub path: String,
    /// What is to be written, or why it cannot be; no reason repeats a value.
    pub write: Result<PutSecret, String>,
}

impl Candidate {
    pub(super) fn of(item: ImportItem, mapping: &Mapping) -> Self {
        let (name, write) = item.into_write();
        Self {
            path: mapping.path(&name),
            name,
            write: Ok(write),
        }
    }
}

/// What a file holds.
///
/// # Errors
/// Why it is no such file; nothing that stands in it is repeated but names.
pub fn candidates(format: ImportFormat, text: &str, mapping: &Mapping) -> Result<Vec<Candidate>, String> {
    match format {
        ImportFormat::Env => of_env(text, mapping),
        ImportFormat::Json => of_json(text, mapping),
    }
}

fn of_env(text: &str, mapping: &Mapping) -> Result<Vec<Candidate>, String> {
    let pairs = dotenv::parse(text)?;
    if let Some(path) = &mapping.as_map {
        let mut fields = BTreeMap::new();
        for (name, value) in pairs {
            if fields.contains_key(&name) {
                return Err(format!("{name} stands there twice"));
            }
            fields.insert(name, value);
        }
        return Ok(vec![Candidate {
            name: path.clone(),
            path: path.clone(),
            write: Ok(plain(SecretKind::Map, Fields(fields))),
        }]);
    }
    let candidate = |(name, value): (String, SecretString)| Candidate {
        path: mapping.path(&name),
        write: Ok(single(SecretValue(value))),
        name,
    };
    Ok(pairs.into_iter().map(candidate).collect())
}

fn of_json(text: &str, mapping: &Mapping) -> Result<Vec<Candidate>, String> {
    if text.trim_start().starts_with('[') {
        let items: Vec<ImportItem> = serde_json::from_str(text).map_err(|error| said(&error))?;
        return Ok(items
            .into_iter()
            .map(|item| Candidate::of(item, mapping))
            .collect());
    }
    let Pairs(pairs) = serde_json::from_str(text).map_err(|error| said(&error))?;
    if let Some(path) = &mapping.as_map {
        let fields: Fields = serde_json::from_str(text).map_err(|error| said(&error))?;
        return Ok(vec![Candidate {
            name: path.clone(),
            path: path.clone(),
            write: Ok(plain(SecretKind::Map, fields)),
        }]);
    }
    let candidate = |(name, raw): (String, &RawValue)| Candidate {
        path: mapping.path(&name),
        write: of_value(raw.get()),
        name,
    };
    Ok(pairs.into_iter().map(candidate).collect())
}

/// A value of the object of paths: a text, an object of texts, or a secret with its kind.
fn of_value(text: &str) -> Result<PutSecret, String> {
    if text.starts_with('{') {
        let Pairs(members) = serde_json::from_str(text).map_err(|error| said(&error))?;
        // A secret with its kind has an object for its fields; names and values alone have none.
        let is_secret = members
            .iter()
            .any(|(name, raw)| name == "fields" && raw.get().starts_with('{'));
        if is_secret {
            return serde_json::from_str(text).map_err(|error| said(&error));
        }
        let fields: Fields = serde_json::from_str(text).map_err(|error| said(&error))?;
        return Ok(plain(SecretKind::Map, fields));
    }
    let value: SecretValue = serde_json::from_str(text).map_err(|error| said(&error))?;
    Ok(single(value))
}

fn single(value: SecretValue) -> PutSecret {
    plain(
        SecretKind::ApiKey,
        Fields(BTreeMap::from([("value".to_owned(), value.0)])),
    )
}

fn plain(kind: SecretKind, fields: Fields) -> PutSecret {
    PutSecret {
        kind,
        fields,
        description: None,
        tags: None,
        owner: None,
        expires_at: None,
        max_versions: None,
        cas: None,
        provider: None,
    }
}

/// What a parser says, if that cannot hold a value.
fn said(error: &serde_json::Error) -> String {
    let place = format!("line {}, column {}", error.line(), error.column());
    match error.classify() {
        serde_json::error::Category::Data => {
            // Our own readers quote no value; what others say of an unknown member or kind quotes names alone.
            let words = error.to_string();
            let words = words.split(" at line ").next().unwrap_or_default();
            if words.starts_with("invalid type") || words.starts_with("invalid value") {
                format!("a member is of the wrong type ({place})")
            } else {
                format!("{words} ({place})")
            }
        }
        _ => format!("this is no JSON ({place})"),
    }
}

/// The members of an object as they stand there, those that stand there twice included.
struct Pairs<'a>(Vec<(String, &'a RawValue)>);

impl<'de> Deserialize<'de> for Pairs<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(PairsVisitor)
    }
}

struct PairsVisitor;

impl<'de> Visitor<'de> for PairsVisitor {
    type Value = Pairs<'de>;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("an object of paths and values")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Pairs<'de>, A::Error> {
        let mut pairs = Vec::new();
        while let Some(pair) = map.next_entry::<String, &'de RawValue>()? {
            pairs.push(pair);
        }
        Ok(Pairs(pairs))
    }

    fn visit_str<E: de::Error>(self, _: &str) -> Result<Pairs<'de>, E> {
        Err(E::custom("expected an object of paths and values"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(
        format: ImportFormat,
        text: &str,
        mapping: &Mapping,
    ) -> Vec<(String, Result<SecretKind, String>)> {
        let all = candidates(format, text, mapping).unwrap();
        let of = |one: Candidate| (one.path, one.write.map(|write| write.kind));
        all.into_iter().map(of).collect()
    }

    #[test]
    fn names_become_paths_as_the_caller_says_and_no_other_way() {
        let text = "STRIPE_KEY=a\nDB=b";
        let paths = |mapping: &Mapping| -> Vec<String> {
            let read = read(ImportFormat::Env, text, mapping);
            read.into_iter().map(|(path, _)| path).collect()
        };
        let mut mapping = Mapping {
            prefix: Some("web/".to_owned()),
            ..Default::default()
        };
        assert_eq!(paths(&mapping), ["web/STRIPE_KEY", "web/DB"]);
        mapping.lowercase = true;
        mapping.path_map = BTreeMap::from([("DB".to_owned(), "db/main".to_owned())]);
        assert_eq!(paths(&mapping), ["web/stripe_key", "db/main"]);
        mapping.as_map = Some("web/env".to_owned());
        assert_eq!(
            read(ImportFormat::Env, text, &mapping),
            [("web/env".to_owned(), Ok(SecretKind::Map))]
        );
        assert!(
            candidates(ImportFormat::Env, "A=1\nA=2", &mapping)
                .unwrap_err()
                .contains("A stands there twice")
        );
    }

    #[test]
    fn json_holds_texts_maps_and_whole_secrets() {
        let text = r#"{
            "a/text": "v", "a/map": {"kind": "of", "fields": "too"},
            "a/whole": {"kind": "password", "fields": {"password": "p"}, "tags": ["t"]},
            "a/number": 4711, "a/odd": {"x": 4711}, "a/unknown": {"kind": "nonsense", "fields": {"x": "canary"}},
            "a/text": "w"
        }"#;
        let found = read(ImportFormat::Json, text, &Mapping::default());
        let kinds: Vec<_> = found.iter().map(|(_, kind)| kind.clone().ok()).collect();
        use SecretKind::{ApiKey, Map, Password};
        assert_eq!(
            kinds,
            [
                Some(ApiKey),
                Some(Map),
                Some(Password),
                None,
                None,
                None,
                Some(ApiKey)
            ]
        );
        for (path, kind) in &found {
            let reason = kind.clone().err().unwrap_or_default();
            assert!(
                !reason.contains("4711") && !reason.contains("canary"),
                "{path}: {reason}"
            );
        }
        let list = r#"[{"path": "a", "kind": "api_key", "fields": {"value": "v"}}]"#;
        assert_eq!(
            read(ImportFormat::Json, list, &Mapping::default()),
            [("a".to_owned(), Ok(ApiKey))]
        );
        for text in [
            "",
            "canary",
            "\"canary\"",
            "4711",
            "{\"a\": canary}",
            "[{\"path\": 4711}]",
            "[\"canary\"]",
        ] {
            let error = candidates(ImportFormat::Json, text, &Mapping::default()).unwrap_err();
            assert!(
                !error.contains("canary") && !error.contains("4711"),
                "{text}: {error}"
            );
        }
    }
}
