//! A secret read by an agent: the action `secret:read` on its path, decided as every action is, and then sealed to the
//! key inside of the request that the agent signed.
//!
//! The decision comes first and the secret after: whether a path exists is told to nobody who may not read it.

use std::sync::{Arc, Mutex, PoisonError};

use aim_audit::Entry;
use aim_core::{Code, Ctx, DecisionId, Error, OrganizationId, Result, Timestamp};
use aim_crypto::sealing::{self, SealingError, SecretInfo};
use aim_platform::NonceClaim;
use aim_store::Db;
use aim_violations::verification::{ActionRequest, DecisionView, LookUp, Within};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};
use utoipa::ToSchema;

use super::{
    age,
    delivery::{parse_recipient, requires_covering, seal_as_hpke},
    envelope::Head,
    key_store,
    keys::{OrganizationKeys, refuse_sealed, with_the_keys_of_now},
    kinds::SecretKind,
    known::{Key, KnownSecrets, Moment},
    model::VersionState,
    past,
    path::SecretPath,
    recent::{RecentRead, RecentReads},
    root::{self, BY_HAND, Root},
    service::{VaultService, fits, open_version},
    store::{self, Stored},
};

/// The capability that a read takes.
pub const READ_ACTION: &str = "secret:read";
/// The scheme whose signatures cover the body (RFC 9421 with `content-digest`).
pub(super) const COVERING_SCHEME: &str = "rfc9421";
/// The member of the context that the vault writes itself.
pub(super) const OWN_CONTEXT: &str = "secret";
/// Under what name the vault stands in the records of decisions that it asks for itself.
pub(crate) const PART: &str = "vault";

/// What an agent asks for.
#[derive(Debug, Clone, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct ReadRequest {
    /// The secret's path.
    #[schema(example = "payments/stripe/live")]
    pub path: String,
    /// The version; absent: the newest.
    #[serde(default)]
    pub version: Option<i64>,
    /// A fresh X25519 public key, 32 bytes in base64url without padding: whom it is sealed to.
    #[schema(example = "N_2jVnvb1ijohmjDyNfpfR0SU7bU6m1EwVD3QfG_RDE")]
    pub seal_to: String,
    /// The arguments, for the constraints of grants. The member `secret` is the vault's own.
    #[serde(default)]
    #[schema(value_type = Object)]
    pub context: Map<String, Value>,
    /// The decision of an earlier read that had to be approved by a person: this takes it up, once, instead of asking anew.
    /// Path and version are those of that read, and there is no context.
    #[serde(default)]
    pub decision_id: Option<DecisionId>,
}

/// A decision, and the secret if it was approved.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct ReadReply {
    /// The decision, as the verified action answers it.
    pub decision: DecisionView,
    /// What is sealed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub secret: Option<ReadSecret>,
    /// `{"kind":…,"fields":{…}}`, sealed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub sealed: Option<SealedSecret>,
}

/// What is known of a secret that is handed over.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct ReadSecret {
    /// The organisation: a part of what the secret is sealed for.
    pub organization_id: OrganizationId,
    /// Its path.
    pub path: String,
    /// The version.
    pub version: i64,
    /// The kind of this version.
    pub kind: SecretKind,
    /// From when on it is not handed over any more.
    pub expires_at: Option<Timestamp>,
}

/// A message in HPKE's base mode (RFC 9180): `info` is the UTF-8 text of `AIM-SECRET-V1` and the ids of organisation, agent
/// and decision, the path and the version, a line each; there is no associated data.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct SealedSecret {
    /// DHKEM(X25519, HKDF-SHA256): 32.
    pub kem: u16,
    /// HKDF-SHA256: 1.
    pub kdf: u16,
    /// AES-256-GCM: 2.
    pub aead: u16,
    /// The encapsulated key, in base64url without padding.
    pub enc: String,
    /// The ciphertext with its tag, in base64url without padding.
    pub ciphertext: String,
}

/// That the vault itself asks for a decision and acts on it, which is how the access audit tells a delivery.
pub(crate) fn within(look_up: Option<LookUp>) -> Within {
    Within { part: PART, look_up }
}

impl VaultService {
    /// Decides whether the agent may read the secret and, if it may, seals it to the key that it signed. When this answers,
    /// the decision is durable with its evidence.
    ///
    /// # Errors
    /// `request.field_invalid` at a field; `vault.sealed`; `resource.not_found` when the read was approved and there is
    /// nothing to be read; `resource.state` for an approval that cannot be taken up any more; what the verified action
    /// refuses.
    pub async fn read(
        &self,
        ctx: &Ctx,
        nonce: Option<NonceClaim>,
        scheme: &'static str,
        request: ReadRequest,
    ) -> Result<ReadReply> {
        requires_covering(ctx, scheme)?;
        let path = SecretPath::parse(&request.path)?;
        if request.version.is_some_and(|version| version < 1) {
            return Err(Error::field("version", "versions are counted from 1"));
        }
        let recipient = parse_recipient(&request.seal_to)?;
        // Before the decision: a sealed vault answers nobody, and no read is approved that cannot happen.
        let (root, keys) = self.opened(ctx).await?;
        let version = request.version;
        let early = Early::default();
        let decision = match request.decision_id {
            Some(id) => self.take_up(ctx, nonce, id, &path, request).await?,
            None => {
                // PostgreSQL's transaction would make everybody in it wait for these round trips.
                let look_up = (!self.store.is_postgres())
                    .then(|| early.look_up(ctx, &path, version, (&self.known, &self.recent)));
                self.decide(ctx, nonce, scheme, &path, request, look_up).await?
            }
        };
        if decision.status != "approved" {
            return Ok(ReadReply {
                decision,
                secret: None,
                sealed: None,
            });
        }
        let keys = keys.ok_or_else(nothing_there)?;
        let handed = self
            .hand_over(
                ctx,
                (root, keys),
                (&path, version),
                &decision,
                (&recipient, early.take()),
            )
            .await;
        let (secret, sealed) = self.delivered(ctx, &decision, &path, handed).await?;
        Ok(ReadReply {
            decision,
            secret: Some(secret),
            sealed: Some(sealed),
        })
    }
}

/// The key that a secret is sealed to, and what was looked up with the decision.
type Recipient<'a> = (&'a [u8; sealing::KEY_LENGTH], Option<Looked>);

impl VaultService {
    /// Opens what is stored and seals it for its reader.
    async fn hand_over(
        &self,
        ctx: &Ctx,
        (root, keys): (Arc<Root>, Arc<OrganizationKeys>),
        (path, version): (&SecretPath, Option<i64>),
        decision: &DecisionView,
        (recipient, early): Recipient<'_>,
    ) -> Result<(ReadSecret, SealedSecret)> {
        let early = early.map(|looked| looked.opened(ctx, &keys, path, version, &self.known));
        let (secret, plaintext) = match early {
            Some(Ok(opened)) => opened,
            Some(Err(error)) if error.code != Code::VaultIntegrity => return Err(error),
            // Or a key was rotated that this node does not know of yet.
            _ => {
                let (ctx, path) = (ctx.clone(), path.clone());
                self.store
                    .read(ctx.organization, move |db| {
                        // Whoever sealed the vault meanwhile is heard at once, on every node.
                        refuse_sealed(db)?;
                        with_the_keys_of_now(db, &ctx, &root, &keys, |db, keys| {
                            take(db, &ctx, keys, &path, version)
                        })
                    })
                    .await?
            }
        };
        let info = SecretInfo {
            organization: &ctx.organization.to_string(),
            agent: &decision.agent_id.to_string(),
            decision: &decision.id.to_string(),
            path: path.as_str(),
            version: secret.version,
        };
        let sealed = seal_as_hpke(recipient, &info.bytes(), &plaintext)?;
        Ok((secret, sealed))
    }

    /// Decides the read, as every action is decided.
    async fn decide(
        &self,
        ctx: &Ctx,
        nonce: Option<NonceClaim>,
        scheme: &'static str,
        path: &SecretPath,
        request: ReadRequest,
        look_up: Option<LookUp>,
    ) -> Result<DecisionView> {
        let mut context = request.context;
        if context.contains_key(OWN_CONTEXT) {
            return Err(Error::field(
                "context.secret",
                "this member is the vault's own; name yours otherwise",
            ));
        }
        // The evidence of the decision tells which version was asked for, and to which key it was sealed.
        let own = json!({"version": request.version, "seal_to": request.seal_to});
        context.insert(OWN_CONTEXT.to_owned(), own);
        let action = ActionRequest {
            action: READ_ACTION.to_owned(),
            resource: Some(path.as_str().to_owned()),
            context,
            approval_requested: false,
        };
        self.verifications
            .verify_within(Some(within(look_up)), ctx, nonce, scheme, action)
            .await
    }

    /// Takes up a read that a person approved: once, and for the path and version that the person saw.
    async fn take_up(
        &self,
        ctx: &Ctx,
        nonce: Option<NonceClaim>,
        id: DecisionId,
        path: &SecretPath,
        request: ReadRequest,
    ) -> Result<DecisionView> {
        if !request.context.is_empty() {
            return Err(Error::field(
                "context",
                "the arguments are those that were approved; send none",
            ));
        }
        let (caller, path) = (ctx.clone(), path.clone());
        self.verifications
            .take_up(ctx, nonce, id, move |db, decision, context| {
                let seen = context.get(OWN_CONTEXT).and_then(|own| own.get("version"));
                let same = decision.action == READ_ACTION
                    && decision.resource.as_deref() == Some(path.as_str())
                    && seen == Some(&json!(request.version));
                if !same {
                    let detail = "that decision is about another action, path or version";
                    return Err(Error::field("decision_id", detail).into());
                }
                if !store::use_approval(db, caller.organization, id, caller.now)? {
                    let detail = "this approval was taken up before; ask anew";
                    return Err(Error::new(Code::StateConflict, detail).at("decision_id").into());
                }
                let entry = Entry::event(&caller, "secret.approval_used")
                    .agent(decision.agent_id)
                    .target("decision", id)
                    .facts(json!({"version": request.version, "seal_to": request.seal_to, "delivery": "sealed_after_approval"}))
                    .details(json!({"path": path.as_str(), "source_ip": caller.source_ip}));
                aim_audit::append(db, vec![entry])?;
                Ok(())
            })
            .await
    }
}

/// What is stored of a secret at one moment, encrypted as it is.
pub(super) struct Found {
    pub(super) stored: Stored,
    /// When the values of the version end that is asked for.
    end: Option<Timestamp>,
    /// The change that the log has, where the rows are older.
    newer: Option<i64>,
}

impl Found {
    /// About how many bytes it takes.
    pub(super) fn size(&self) -> usize {
        let sealed = self
            .stored
            .sealed
            .as_ref()
            .map_or(0, |sealed| sealed.ciphertext.len() + sealed.wrapped_key.len());
        let versions = self.stored.versions.iter();
        sealed
            + versions
                .map(|(_, state)| size_of::<(i64, String)>() + state.len())
                .sum::<usize>()
    }

    /// A secret with so large a ciphertext, for tests of what is kept.
    #[cfg(test)]
    pub(super) fn of(secret: super::model::SecretId, size: usize) -> Self {
        let now = Timestamp::new(chrono::DateTime::UNIX_EPOCH);
        Self {
            stored: Stored {
                row: store::HeadRow {
                    id: secret,
                    expires_at: None,
                    max_versions: 10,
                    current_version: 1,
                    changes: 1,
                    head: Vec::new(),
                },
                versions: Vec::new(),
                sealed: Some(store::SealedRow {
                    state: "active".to_owned(),
                    kind: "generic".to_owned(),
                    key_id: aim_core::Id::from_uuid(uuid::Uuid::nil()),
                    wrapped_key: Vec::new(),
                    ciphertext: vec![0; size],
                    created_at: now,
                }),
            },
            end: None,
            newer: None,
        }
    }
}

/// What the transaction of a decision found.
struct Looked {
    /// Whether somebody sealed the vault meanwhile.
    is_sealed: bool,
    found: Option<Arc<Found>>,
    /// The moment of which this is, if it was looked up in the tables and may be kept.
    fresh: Option<Moment>,
}

impl Looked {
    /// Opens what was found, in a transaction that is committed, and keeps it for the next who asks.
    fn opened(
        self,
        ctx: &Ctx,
        keys: &OrganizationKeys,
        path: &SecretPath,
        version: Option<i64>,
        known: &KnownSecrets,
    ) -> Result<(ReadSecret, zeroize::Zeroizing<Vec<u8>>)> {
        if self.is_sealed {
            return Err(root::sealed(BY_HAND));
        }
        let found = self.found.ok_or_else(nothing_there)?;
        let opened = opened(ctx, keys, path, version, &found)?;
        if let Some(moment) = self.fresh {
            known.keep((ctx.organization, path.clone(), version), moment, found);
        }
        Ok(opened)
    }
}

/// Where the transaction of a decision leaves what it found.
#[derive(Clone, Default)]
struct Early(Arc<Mutex<Option<Looked>>>);

impl Early {
    /// Looks for the secret, which may be `known`; what the access audit will want to know of the read goes to `recent`.
    fn look_up(
        &self,
        ctx: &Ctx,
        path: &SecretPath,
        version: Option<i64>,
        (known, recent): (&KnownSecrets, &RecentReads),
    ) -> LookUp {
        let (here, known, recent) = (self.clone(), known.clone(), recent.clone());
        let wanted = (ctx.organization, path.clone(), version);
        let source_ip = ctx.source_ip.clone();
        Arc::new(move |db, decided| {
            let looked = match known.get(db, &wanted) {
                Some(found) => Looked {
                    is_sealed: false,
                    found: Some(found),
                    fresh: None,
                },
                None => look_in_the_tables(db, &wanted)?,
            };
            if let Some(found) = &looked.found {
                let read = RecentRead {
                    path: wanted.1.as_str().to_owned(),
                    decider: decided.decider(),
                    source_ip: source_ip.clone(),
                    version: version.unwrap_or(found.stored.row.current_version),
                };
                recent.note(decided.id, read);
            }
            *here.0.lock().unwrap_or_else(PoisonError::into_inner) = Some(looked);
            Ok(())
        })
    }

    fn take(&self) -> Option<Looked> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).take()
    }
}

fn look_in_the_tables(db: &mut Db, (organization, path, version): &Key) -> aim_store::Result<Looked> {
    let is_sealed = key_store::root(db)?.is_some_and(|root| root.sealed_at.is_some());
    let found = look(db, *organization, path, *version)?.map(Arc::new);
    let fresh = found
        .as_ref()
        .filter(|found| !is_sealed && found.newer.is_none())
        .and_then(|found| Moment::of(db, found.stored.row.id));
    Ok(Looked {
        is_sealed,
        found,
        fresh,
    })
}

fn look(
    db: &mut Db,
    organization: OrganizationId,
    path: &SecretPath,
    version: Option<i64>,
) -> aim_store::Result<Option<Found>> {
    let Some(stored) = store::stored(db, organization, path.as_str(), version)? else {
        return Ok(None);
    };
    let (row, sealed) = (&stored.row, &stored.sealed);
    // What is found in a transaction is kept for some seconds: on top of a confirmation that is kept, too, it would be twice that.
    let newer = if db.data_version().is_some() {
        age::ask_the_log(db, organization, row.id, row.changes)?
    } else {
        age::newer_in_the_log(db, organization, row.id, row.changes)?
    };
    let wanted = version.unwrap_or(row.current_version);
    let end = match sealed {
        // A later write has an end of its own, and takes nothing from that of this one.
        Some(sealed) if wanted != row.current_version => {
            past::written(db, organization, row.id, (wanted, sealed.created_at))?
                .and_then(|moment| moment.expires_at)
        }
        _ => row.expires_at,
    };
    Ok(Some(Found { stored, end, newer }))
}

/// The plaintext of a version that may be handed over, looked up now.
pub(super) fn take(
    db: &mut Db,
    ctx: &Ctx,
    keys: &OrganizationKeys,
    path: &SecretPath,
    version: Option<i64>,
) -> Result<(ReadSecret, zeroize::Zeroizing<Vec<u8>>)> {
    let found = look(db, ctx.organization, path, version).map_err(aim_store::Error::into_core)?;
    opened(ctx, keys, path, version, &found.ok_or_else(nothing_there)?)
}

/// The plaintext of a version that may be handed over.
fn opened(
    ctx: &Ctx,
    keys: &OrganizationKeys,
    path: &SecretPath,
    version: Option<i64>,
    Found { stored, end, newer }: &Found,
) -> Result<(ReadSecret, zeroize::Zeroizing<Vec<u8>>)> {
    let Stored {
        row,
        versions,
        sealed,
    } = stored;
    let head = Head {
        organization: ctx.organization,
        secret: row.id.uuid(),
        path,
        changes: row.changes,
        current_version: row.current_version,
        max_versions: row.max_versions,
        expires_at: row.expires_at,
        versions,
    };
    fits(keys, &head, &row.head)?;
    if let Some(newer) = newer {
        return Err(age::turned_back(row.changes, *newer));
    }
    let version = version.unwrap_or(row.current_version);
    let sealed = sealed
        .as_ref()
        .filter(|sealed| VersionState::parse(&sealed.state) == VersionState::Active)
        .ok_or_else(|| {
            Error::new(
                Code::NotFound,
                format!("version {version} of the secret at this path is not there, deleted or destroyed"),
            )
        })?;
    if end.is_some_and(|end| ctx.now >= end) {
        return Err(Error::new(
            Code::NotFound,
            format!("version {version} of the secret at this path has expired"),
        ));
    }
    let plaintext = open_version(keys, ctx.organization, row.id, path, version, sealed)?;
    let secret = ReadSecret {
        organization_id: ctx.organization,
        path: path.as_str().to_owned(),
        version,
        kind: SecretKind::parse(&sealed.kind).unwrap_or(SecretKind::Map),
        expires_at: *end,
    };
    Ok((secret, plaintext))
}

pub(super) fn nothing_there() -> Error {
    Error::new(Code::NotFound, "there is no secret at this path")
}

pub(super) fn unusable_key(error: SealingError) -> Error {
    Error::field(
        "seal_to",
        format!("{error}; send a fresh one in base64url without padding"),
    )
}
