//! Use cases of preferences, one transaction each.

use aim_audit::Entry;
use aim_core::{Code, Ctx, Error, Result};
use aim_platform::Kernel;
use serde_json::{Value, json};

use super::{
    model::{MOST, PreferenceView, check_name, check_value},
    store,
};
use crate::sessions::own_session;

/// Remembers small things for users.
#[derive(Clone)]
pub struct PreferenceService {
    kernel: Kernel,
}

impl PreferenceService {
    pub(crate) fn new(kernel: &Kernel) -> Self {
        Self {
            kernel: kernel.clone(),
        }
    }

    /// A preference of the caller's; one that is not set has no value.
    ///
    /// # Errors
    /// `request.field_invalid` at `name`; `auth.forbidden` for callers that are no users.
    pub async fn get(&self, ctx: &Ctx, name: &str) -> Result<PreferenceView> {
        let (user, _) = own_session(ctx)?;
        check_name(name)?;
        let (organization, name) = (ctx.organization, name.to_owned());
        self.kernel
            .store
            .read(organization, move |db| {
                let found = store::find(db, organization, user, &name)?;
                let (value, updated_at) = found.map_or((Value::Null, None), |(value, at)| (value, Some(at)));
                Ok(PreferenceView {
                    name,
                    value,
                    updated_at,
                })
            })
            .await
    }

    /// Sets a preference of the caller's; null forgets it.
    ///
    /// # Errors
    /// `request.field_invalid` at `name` or `value`; `resource.conflict` when the user has too many;
    /// `auth.forbidden` for callers that are no users.
    pub async fn set(&self, ctx: &Ctx, name: &str, value: Value) -> Result<PreferenceView> {
        let (user, _) = own_session(ctx)?;
        check_name(name)?;
        check_value(&value)?;
        let (ctx, name) = (ctx.clone(), name.to_owned());
        self.kernel
            .store
            .write(ctx.organization, move |db| {
                let organization = ctx.organization;
                if value.is_null() {
                    store::forget(db, organization, user, &name)?;
                } else {
                    if store::others(db, organization, user, &name)? >= MOST {
                        let detail = format!("a user has at most {MOST} preferences; forget one first");
                        return Err(Error::new(Code::Conflict, detail).into());
                    }
                    store::set(db, organization, user, &name, &value, ctx.now)?;
                }
                let entry = Entry::event(&ctx, "user.preference_set")
                    .target("user", user)
                    .facts(json!({ "name": name }));
                aim_audit::append(db, vec![entry])?;
                Ok(PreferenceView {
                    name: name.clone(),
                    updated_at: (!value.is_null()).then_some(ctx.now),
                    value: value.clone(),
                })
            })
            .await
    }
}
