//! What an agent may do, foreseen without asking: for lists that show an agent what it may know of. It decides as
//! [`aim_decision::decide`] does, on the facts of the caller's transaction, and leaves no record; so it permits nothing.

use aim_core::{Actor, Code, Ctx, Error};
use aim_decision::{Call, CapabilityName, Credential, Outcome, Snapshot, decide};
use aim_store::{Db, Result};
use serde_json::Map;

use super::{batch::credential, snapshot};

/// The facts of an agent at one moment, and its credential.
pub struct Foresight {
    snapshot: Snapshot,
    credential: Credential,
    now: aim_core::Timestamp,
}

impl Foresight {
    /// The facts of the agent that calls.
    ///
    /// # Errors
    /// `auth.forbidden` for what is no agent; `resource.not_found`.
    pub fn of(db: &mut Db, ctx: &Ctx) -> Result<Self> {
        let Actor::Agent { id, .. } = &ctx.actor else {
            return Err(Error::new(Code::Forbidden, "only an agent's own actions can be foreseen").into());
        };
        Ok(Self {
            snapshot: snapshot::fresh(db, ctx.organization, *id, ctx.now)?.snapshot,
            credential: credential(&ctx.actor)?,
            now: ctx.now,
        })
    }

    /// Whether the action on the resource would not be denied, without arguments and before any use of a rate. A person may
    /// have to approve it all the same.
    #[must_use]
    pub fn may(&self, action: &CapabilityName, resource: &str) -> bool {
        let call = Call {
            action: action.clone(),
            resource: Some(resource.to_owned()),
            context: Map::new(),
            credential: self.credential.clone(),
            uses: std::collections::BTreeMap::new(),
            approval_requested: false,
            now: self.now.into(),
        };
        decide(&self.snapshot, &call).outcome != Outcome::Denied
    }
}
