//! The vault of the whole installation: sealing it, opening it again, and replacing its root key. For administrators of the
//! organisation that the installation was set up with: what they do, all other organisations feel.

use aim_audit::Entry;
use aim_core::{Code, Ctx, Error, OrganizationId, Result};
use aim_crypto::secret::SecretString;
use aim_platform::VaultProvider;
use aim_store::{
    Db, Scope,
    diesel::{OptionalExtension, QueryDsl, RunQueryDsl},
    each,
    schema::organizations,
};
use serde_json::json;
use uuid::Uuid;

use super::{
    envelope::{OrganizationKeyPlace, Purpose},
    fail_point,
    key_store::{self, Hold},
    model::VaultStatus,
    root::{Next, Root, sealed},
    service::{VaultService, refuse_agents},
};

/// How many organisations' keys are wrapped anew at once.
const BATCH: i64 = 500;

impl VaultService {
    /// Seals the vault on all nodes: this one at once, the others with their next write or read by an agent, and after a
    /// second at the latest. The keys leave their memory.
    ///
    /// # Errors
    /// `auth.forbidden` for others than the operator; `resource.state` when there is nothing to seal.
    pub async fn seal(&self, ctx: &Ctx) -> Result<VaultStatus> {
        refuse_agents(ctx)?;
        let entry_of = ctx.clone();
        self.store
            .write(Scope::Installation, move |db| {
                refuse_others_than_the_operator(db, &entry_of)?;
                let known = key_store::held_root(db, Hold::Alone)?.ok_or_else(|| {
                    Error::new(
                        Code::StateConflict,
                        "there is no root key yet, and nothing to seal",
                    )
                })?;
                if known.sealed_at.is_some() {
                    return Err(Error::new(Code::StateConflict, "the vault is sealed already").into());
                }
                fail_point::reached("vault.seal.begun");
                key_store::set_sealed(db, Some(entry_of.now))?;
                let entry =
                    Entry::event(&entry_of, "vault.sealed").facts(json!({"root_key_id": known.root_key_id}));
                aim_audit::append(db, vec![entry])?;
                fail_point::reached("vault.seal.recorded");
                Ok(())
            })
            .await?;
        fail_point::reached("vault.seal.committed");
        self.keeper.wipe().await;
        self.status(ctx).await
    }

    /// Opens the vault: takes the seal off and, where the root key is made of a passphrase, gives it to this node. The first
    /// passphrase that is given is the one that is set. Wrong ones leave a record.
    ///
    /// # Errors
    /// `request.field_invalid` at `passphrase`; `resource.state` where there is nothing to unseal; `auth.forbidden` for
    /// others than the operator, where it is about more than this node.
    pub async fn unseal(
        &self,
        ctx: &Ctx,
        passphrase: impl Into<Option<SecretString>>,
    ) -> Result<VaultStatus> {
        refuse_agents(ctx)?;
        let caller = ctx.clone();
        let before = self
            .store
            .read(Scope::Installation, move |db| {
                let known = key_store::root(db)?;
                // The first passphrase and the seal are everybody's.
                if known.as_ref().is_none_or(|known| known.sealed_at.is_some()) {
                    refuse_others_than_the_operator(db, &caller)?;
                }
                Ok(known)
            })
            .await?;
        let given = self
            .keeper
            .unsealing(&self.store, passphrase.into(), ctx.now)
            .await;
        let outcome = match &given {
            Ok(_) => "ok",
            Err(error) if error.field.is_some() => "refused",
            Err(error) => return Err(error.clone()),
        };
        let entry_of = ctx.clone();
        let takes_off = given.is_ok() && before.is_some_and(|known| known.sealed_at.is_some());
        let epoch = self
            .store
            .write(Scope::Installation, move |db| {
                if takes_off {
                    key_store::set_sealed(db, None)?;
                }
                let epoch = key_store::root(db)?.map_or(0, |known| known.epoch);
                let entry = Entry::event(&entry_of, "vault.unsealed")
                    .outcome(outcome)
                    .facts(json!({"takes_the_seal_off": takes_off}));
                aim_audit::append(db, vec![entry])?;
                fail_point::reached("vault.unseal.recorded");
                Ok(epoch)
            })
            .await?;
        self.keeper.unsealed(&self.store, given?, epoch, ctx.now).await;
        self.status(ctx).await
    }

    /// Replaces the root key by a fresh one of `provider` (absent: of the present one), which wraps all organisations' keys from
    /// then on. One transaction: at every moment one root key opens all of them.
    ///
    /// # Errors
    /// `auth.forbidden` for others than the operator; `request.field_invalid` at a field; `vault.sealed`;
    /// `resource.state` when another one replaced it at the same time; `vault.integrity` when a key does not open.
    pub async fn rekey(
        &self,
        ctx: &Ctx,
        provider: Option<VaultProvider>,
        passphrase: Option<SecretString>,
    ) -> Result<VaultStatus> {
        refuse_agents(ctx)?;
        let caller = ctx.clone();
        self.store
            .read(Scope::Installation, move |db| {
                refuse_others_than_the_operator(db, &caller)
            })
            .await?;
        let present = self.keeper.open(&self.store, ctx.now).await?;
        let (_, now_from) = self.keeper.state(&self.store, ctx.now).await?;
        let provider = provider.unwrap_or(now_from);
        let next = self.keeper.next(&present, provider, passphrase, ctx.now).await?;
        fail_point::reached("vault.rekey.prepared");
        let Next { root, parameters, .. } = &next;
        let (root, parameters, entry_of) = (root.clone(), parameters.clone(), ctx.clone());
        let epoch = self
            .store
            .write(Scope::Installation, move |db| {
                let known = key_store::held_root(db, Hold::Alone)?;
                match known {
                    Some(known) if known.sealed_at.is_some() => {
                        return Err(sealed("somebody sealed it at the same time").into());
                    }
                    Some(known) if known.root_key_id == present.id => {}
                    _ => return Err(replaced_meanwhile().into()),
                }
                let keys = rewrap_all(db, &present, &root)?;
                fail_point::reached("vault.rekey.rewrapped");
                key_store::replace_root(db, &root.id, provider.as_str(), &parameters, entry_of.now)?;
                let epoch = key_store::root(db)?.map_or(0, |known| known.epoch);
                let entry = Entry::event(&entry_of, "vault.rekeyed").facts(json!({
                    "root_key_id": root.id, "before": present.id, "provider": provider.as_str(), "keys": keys,
                }));
                aim_audit::append(db, vec![entry])?;
                fail_point::reached("vault.rekey.recorded");
                Ok(epoch)
            })
            .await?;
        self.keeper.exchanged(&self.store, next, epoch, ctx.now).await;
        fail_point::reached("vault.rekey.exchanged");
        self.status(ctx).await
    }
}

/// Wraps the keys of all organisations by `next`; answers how many there are.
fn rewrap_all(db: &mut Db, present: &Root, next: &Root) -> aim_store::Result<usize> {
    let (mut after, mut count): (Option<(OrganizationId, Uuid)>, usize) = (None, 0);
    loop {
        let rows = key_store::keys_of_all(db, after, BATCH)?;
        let Some(last) = rows.last() else { return Ok(count) };
        after = Some((last.org_id, last.id));
        for row in &rows {
            let place = OrganizationKeyPlace {
                organization: row.org_id,
                id: row.id,
                purpose: Purpose::parse(&row.purpose),
                root_key_id: &present.id,
            };
            let key = place.unwrap(&present.key, &row.wrapped)?;
            let place = OrganizationKeyPlace {
                root_key_id: &next.id,
                ..place
            };
            let wrapped = place.wrap(&next.key, &key)?;
            key_store::rewrap_key(db, row.org_id, row.id, &next.id, &wrapped)?;
            count += 1;
        }
    }
}

fn replaced_meanwhile() -> Error {
    Error::new(
        Code::StateConflict,
        "the root key was replaced at the same time; look at the status and decide anew",
    )
}

/// The operator is the organisation that the installation was set up with: the oldest one.
fn refuse_others_than_the_operator(db: &mut Db, ctx: &Ctx) -> aim_store::Result<()> {
    let oldest: Option<OrganizationId> = each!(db, c => organizations::table
        .order((organizations::created_at, organizations::id))
        .select(organizations::id)
        .first(c)
        .optional())?;
    if oldest == Some(ctx.organization) {
        return Ok(());
    }
    Err(Error::new(
        Code::Forbidden,
        "this is about the vault of the whole installation: only administrators of the organisation that it was set up with may do it",
    )
    .into())
}
