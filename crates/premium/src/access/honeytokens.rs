//! Honeytoken secrets: paths that nobody has a reason to read, with fakes that look real. A read of one is decided and
//! answered as any other; only the follower knows better. So nothing that an agent sees or can measure tells them apart.

use aim_audit::Entry;
use aim_core::{Code, Ctx, Error, Result, Timestamp};
use aim_crypto::digest;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use utoipa::ToSchema;

use super::{
    service::AccessService,
    store::{self, HoneytokenRow},
};
use crate::vault::{model::PutSecret, path::SecretPath, service::refuse_agents};

/// The most honeytokens of an organisation.
pub const MOST: i64 = 1_000;
/// The most that are made at once.
pub const MOST_AT_ONCE: usize = 50;
/// The longest note, in characters.
const LONGEST_NOTE: usize = 1_000;

/// What a fake looks like.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Shape {
    /// A live key of Stripe.
    Stripe,
    /// An access key of AWS with its secret.
    Aws,
    /// A project key of OpenAI.
    Openai,
    /// A key of Anthropic.
    Anthropic,
    /// A personal access token of GitHub.
    Github,
    /// A login to a database.
    Database,
    /// A token of no special form.
    Generic,
    /// Nothing is written: the secret that is at the path already is marked.
    Existing,
}

impl Shape {
    /// Its name on the wire and in the database.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Stripe => "stripe",
            Self::Aws => "aws",
            Self::Openai => "openai",
            Self::Anthropic => "anthropic",
            Self::Github => "github",
            Self::Database => "database",
            Self::Generic => "generic",
            Self::Existing => "existing",
        }
    }

    /// A fake of this shape, made of randomness: it opens nothing anywhere. None for what is there already.
    fn fake(self) -> Result<Option<Value>> {
        let key = |value: String| json!({"kind": "api_key", "fields": {"value": value}});
        Ok(Some(match self {
            Self::Stripe => key(format!("sk_live_51{}", letters(BASE62, 97)?)),
            Self::Openai => key(format!(
                "sk-proj-{}T3BlbkFJ{}",
                letters(BASE64URL, 74)?,
                letters(BASE64URL, 74)?
            )),
            Self::Anthropic => key(format!("sk-ant-api03-{}AA", letters(BASE64URL, 93)?)),
            Self::Github => key(github()?),
            Self::Generic => key(letters(b"0123456789abcdef", 40)?),
            Self::Aws => json!({"kind": "aws", "fields": {
                "access_key_id": format!("AKIA{}", letters(BASE32, 16)?),
                "secret_access_key": letters(BASE64, 40)?,
            }}),
            Self::Database => json!({"kind": "database", "fields": {
                "username": "app_admin",
                "password": letters(BASE62, 24)?,
                "port": "5432",
                "database": "production",
            }}),
            Self::Existing => return Ok(None),
        }))
    }
}

const BASE62: &[u8] = b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";
const BASE32: &[u8] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZ234567";
const BASE64: &[u8] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
const BASE64URL: &[u8] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";

/// So many random letters of an alphabet, each as likely as the others.
fn letters(alphabet: &[u8], count: usize) -> Result<String> {
    let most = 256 - 256 % alphabet.len().max(1);
    let mut text = String::with_capacity(count);
    while text.len() < count {
        let random: [u8; 64] = digest::random_bytes().map_err(Error::internal)?;
        let fair = random.into_iter().map(usize::from).filter(|byte| *byte < most);
        for byte in fair.take(count - text.len()) {
            text.extend(alphabet.get(byte % alphabet.len()).copied().map(char::from));
        }
    }
    Ok(text)
}

/// A token as GitHub makes them: its last six letters are a checksum of the others, which scanners verify.
fn github() -> Result<String> {
    let random = letters(BASE62, 30)?;
    let mut sum = usize::try_from(crc32(random.as_bytes())).unwrap_or(0);
    let mut check = Vec::new();
    for _ in 0..6 {
        check.extend(BASE62.get(sum % 62).copied());
        sum /= 62;
    }
    check.reverse();
    let check: String = check.into_iter().map(char::from).collect();
    Ok(format!("ghp_{random}{check}"))
}

/// CRC-32 as of ISO 3309.
fn crc32(bytes: &[u8]) -> u32 {
    let mut sum = u32::MAX;
    for byte in bytes {
        sum ^= u32::from(*byte);
        for _ in 0..8 {
            sum = if sum & 1 == 1 {
                (sum >> 1) ^ 0xEDB8_8320
            } else {
                sum >> 1
            };
        }
    }
    !sum
}

/// Honeytokens to be.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct PostHoneytokens {
    /// Where they stand, 1 to 50 paths.
    #[schema(example = json!(["payments/stripe/legacy-root"]))]
    pub paths: Vec<String>,
    /// What they look like.
    pub shape: Shape,
    /// What they are for, for those who may see honeytokens; at most 1,000 characters.
    #[serde(default)]
    pub note: Option<String>,
}

/// A honeytoken.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct HoneytokenSecret {
    /// Where it stands.
    pub path: String,
    /// What it looks like.
    #[schema(example = "stripe")]
    pub shape: String,
    /// What it is for.
    pub note: String,
    /// Who set it, as `kind:id`.
    pub created_by: String,
    /// Since when touches of it count.
    pub created_at: Timestamp,
}

/// The organisation's honeytoken secrets, by their paths.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct HoneytokenSecrets {
    /// The honeytokens.
    pub honeytokens: Vec<HoneytokenSecret>,
}

impl AccessService {
    /// The organisation's honeytoken secrets.
    ///
    /// # Errors
    /// The database's.
    pub async fn honeytokens(&self, ctx: &Ctx) -> Result<HoneytokenSecrets> {
        refuse_agents(ctx)?;
        let organization = ctx.organization;
        let rows = self
            .store
            .read(organization, move |db| store::honeytokens(db, &[organization]))
            .await?;
        let honeytokens = rows.into_iter().map(|row| HoneytokenSecret {
            path: row.path,
            shape: row.shape,
            note: row.note,
            created_by: row.created_by,
            created_at: row.created_at,
        });
        Ok(HoneytokenSecrets {
            honeytokens: honeytokens.collect(),
        })
    }

    /// Makes honeytokens, one after the other: those before one that is refused stay.
    ///
    /// # Errors
    /// `request.field_invalid` at the entry; `resource.conflict` for a path at which there is something, or nothing, already.
    pub async fn add_honeytokens(&self, ctx: &Ctx, wanted: PostHoneytokens) -> Result<HoneytokenSecrets> {
        refuse_agents(ctx)?;
        if wanted.paths.is_empty() || wanted.paths.len() > MOST_AT_ONCE {
            return Err(Error::field(
                "paths",
                format!("1 to {MOST_AT_ONCE} paths at once"),
            ));
        }
        let note = wanted.note.unwrap_or_default().trim().to_owned();
        if note.chars().count() > LONGEST_NOTE {
            return Err(Error::field("note", format!("at most {LONGEST_NOTE} characters")));
        }
        let mut paths = Vec::new();
        for (place, path) in wanted.paths.iter().enumerate() {
            let field = format!("paths[{place}]");
            let path = SecretPath::parse(path).map_err(|error| error.at(field.as_str()))?;
            paths.push((field, path));
        }
        for (field, path) in paths {
            self.add_honeytoken(ctx, &path, wanted.shape, note.clone())
                .await
                .map_err(|error| error.at(field))?;
        }
        self.honeytokens(ctx).await
    }

    async fn add_honeytoken(&self, ctx: &Ctx, path: &SecretPath, shape: Shape, note: String) -> Result<()> {
        let there = match self.vault.get(ctx, path.clone()).await {
            Ok(_) => true,
            Err(error) if error.code == Code::NotFound => false,
            Err(error) => return Err(error),
        };
        let wanted = shape == Shape::Existing;
        if there != wanted {
            let detail = if there {
                "there is a secret at this path; name another one, or the shape existing"
            } else {
                "there is no secret at this path to be marked; name another shape"
            };
            return Err(Error::new(Code::Conflict, detail));
        }
        // Marked first: no read of the fake can come before its mark.
        self.mark(ctx, path, shape, note).await?;
        if let Some(fake) = shape.fake()? {
            let mut fake = fake;
            if let Some(fake) = fake.as_object_mut() {
                fake.insert("cas".to_owned(), json!(0));
            }
            let put: PutSecret = serde_json::from_value(fake).map_err(Error::internal)?;
            if let Err(error) = self.vault.put(ctx, path.clone(), put).await {
                self.remove_honeytoken(ctx, path).await?;
                return Err(error);
            }
        }
        Ok(())
    }

    async fn mark(&self, ctx: &Ctx, path: &SecretPath, shape: Shape, note: String) -> Result<()> {
        let (ctx, path) = (ctx.clone(), path.as_str().to_owned());
        self.store
            .write(ctx.organization, move |db| {
                if store::count_marks(db, ctx.organization)? >= MOST {
                    let detail = format!("an organisation has at most {MOST} honeytoken secrets");
                    return Err(Error::new(Code::Conflict, detail).into());
                }
                let row = HoneytokenRow {
                    org_id: ctx.organization,
                    path: path.clone(),
                    shape: shape.as_str().to_owned(),
                    note: note.clone(),
                    created_by: ctx.actor_text(),
                    created_at: ctx.now,
                };
                if !store::mark(db, &row)? {
                    let detail = "this path is a honeytoken already";
                    return Err(Error::new(Code::Conflict, detail).into());
                }
                // Which path it is stands nowhere in the log: whoever reads it would know.
                let entry = Entry::event(&ctx, "vault_honeytoken.added");
                aim_audit::append(db, vec![entry])?;
                Ok(())
            })
            .await
    }

    /// Takes the mark away. What stands at the path stays.
    ///
    /// # Errors
    /// `resource.not_found`.
    pub async fn remove_honeytoken(&self, ctx: &Ctx, path: &SecretPath) -> Result<()> {
        refuse_agents(ctx)?;
        let (ctx, path) = (ctx.clone(), path.as_str().to_owned());
        self.store
            .write(ctx.organization, move |db| {
                if !store::unmark(db, ctx.organization, &path)? {
                    return Err(Error::not_found().into());
                }
                let entry = Entry::event(&ctx, "vault_honeytoken.removed");
                aim_audit::append(db, vec![entry])?;
                Ok(())
            })
            .await
    }

    /// Whether the path is one.
    pub(super) async fn is_honeytoken(&self, ctx: &Ctx, path: &str) -> Result<bool> {
        let (organization, path) = (ctx.organization, path.to_owned());
        self.store
            .read(organization, move |db| store::is_marked(db, organization, &path))
            .await
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_checksum_is_the_usual_one() {
        assert_eq!(crc32(b"123456789"), 0xCBF4_3926);
    }

    #[test]
    fn a_fake_has_the_shape_of_the_real_one_and_no_two_are_alike() {
        let value = |shape: Shape| -> String {
            let fake = shape.fake().unwrap().unwrap();
            fake["fields"]["value"].as_str().unwrap().to_owned()
        };
        for (shape, prefix, length) in [
            (Shape::Stripe, "sk_live_51", 107),
            (Shape::Openai, "sk-proj-", 164),
            (Shape::Anthropic, "sk-ant-api03-", 108),
            (Shape::Github, "ghp_", 40),
            (Shape::Generic, "", 40),
        ] {
            let (one, other) = (value(shape), value(shape));
            assert!(one.starts_with(prefix) && one.len() == length, "{shape:?}");
            assert_ne!(one, other);
        }
        let aws = Shape::Aws.fake().unwrap().unwrap();
        assert_eq!(aws["fields"]["access_key_id"].as_str().unwrap().len(), 20);
        assert_eq!(aws["fields"]["secret_access_key"].as_str().unwrap().len(), 40);
        assert!(Shape::Existing.fake().unwrap().is_none());
    }
}
