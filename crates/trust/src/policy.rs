//! What a low score leads to: below one threshold an alert, below another a restriction, below a third the
//! suspension. The restriction is a row of `policies`, which decide() reads like every other policy: there is
//! no second place where it would have to be enforced.

use aim_audit::Entry;
use aim_core::{Code, Ctx, Error, Json, OrganizationId, PolicyId, Result, Timestamp, id::PolicyKind};
use aim_store::{
    Db, ResultExt, each,
    schema::{organizations, policies},
};
use chrono::TimeDelta;
use diesel::{ExpressionMethods, QueryDsl, RunQueryDsl};
use serde::{Deserialize, Serialize};
use serde_json::json;
use utoipa::ToSchema;

use crate::{
    service::TrustService,
    store::{self, TrustPolicyRow},
};

/// The name of the policy that restricts.
pub const RESTRICTION: &str = "Trust: low scores are restricted";

/// What the policy says about a score, the worst last.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Level {
    /// There is no score.
    None,
    /// Above every threshold.
    Ok,
    /// Worth an alert.
    Alert,
    /// Restricted.
    Restrict,
    /// To be suspended.
    Suspend,
}

impl Level {
    /// The level's name.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::Ok => "ok",
            Self::Alert => "alert",
            Self::Restrict => "restrict",
            Self::Suspend => "suspend",
        }
    }

    /// The level of that name.
    #[must_use]
    pub fn parse(name: &str) -> Self {
        [Self::Ok, Self::Alert, Self::Restrict, Self::Suspend]
            .into_iter()
            .find(|level| level.as_str() == name)
            .unwrap_or(Self::None)
    }
}

/// The thresholds of an organisation. A score below one has crossed it.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Thresholds {
    /// Below this an alert is due.
    pub alert: Option<i64>,
    /// Below this the agent is restricted.
    pub restrict: Option<i64>,
    /// Below this it is suspended.
    pub suspend: Option<i64>,
}

impl Thresholds {
    /// The worst level that the score has reached.
    #[must_use]
    pub fn level(&self, score: Option<i64>) -> Level {
        let Some(score) = score else { return Level::None };
        [Level::Suspend, Level::Restrict, Level::Alert]
            .into_iter()
            .find(|level| self.of(*level).is_some_and(|threshold| score < threshold))
            .unwrap_or(Level::Ok)
    }

    /// The threshold of a level.
    #[must_use]
    pub const fn of(&self, level: Level) -> Option<i64> {
        match level {
            Level::None | Level::Ok => None,
            Level::Alert => self.alert,
            Level::Restrict => self.restrict,
            Level::Suspend => self.suspend,
        }
    }
}

/// What happens to a restricted agent's actions.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Restriction {
    /// Each needs a person's approval.
    #[default]
    RequireApproval,
    /// Each is denied.
    Deny,
}

impl Restriction {
    /// The effect's name.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::RequireApproval => "require_approval",
            Self::Deny => "deny",
        }
    }
}

/// What a low score leads to.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct TrustPolicyView {
    /// Below this `trust.threshold_crossed` is recorded, which alerts are made of; null: never.
    pub alert_below: Option<i64>,
    /// Below this decide() restricts the agent; null: never. Agents without a score are restricted too.
    pub restrict_below: Option<i64>,
    /// What happens to a restricted agent's actions.
    pub restrict_effect: Restriction,
    /// The policy that decide() reads, as `GET /api/v1/policies` lists it; null when nothing is restricted.
    pub restrict_policy_id: Option<PolicyId>,
    /// Below this the agent is suspended, once; null: never.
    pub suspend_below: Option<i64>,
    /// Who set it, as `kind:id`; null: nobody did.
    pub updated_by: Option<String>,
    /// When.
    pub updated_at: Option<Timestamp>,
}

/// A new policy. What is left out is switched off.
#[derive(Debug, Clone, Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct NewTrustPolicy {
    /// Below this an alert is due, 1 to 100.
    #[serde(default)]
    #[schema(minimum = 1, maximum = 100)]
    pub alert_below: Option<i64>,
    /// Below this decide() restricts the agent, 1 to 100.
    #[serde(default)]
    #[schema(minimum = 1, maximum = 100)]
    pub restrict_below: Option<i64>,
    /// What happens to a restricted agent's actions.
    #[serde(default)]
    pub restrict_effect: Restriction,
    /// Below this the agent is suspended, 1 to 100.
    #[serde(default)]
    #[schema(minimum = 1, maximum = 100)]
    pub suspend_below: Option<i64>,
}

impl NewTrustPolicy {
    fn check(&self) -> Result<()> {
        let fields = [
            ("alert_below", self.alert_below),
            ("restrict_below", self.restrict_below),
            ("suspend_below", self.suspend_below),
        ];
        for (name, value) in fields {
            if value.is_some_and(|value| !(1..=100).contains(&value)) {
                let help = format!("{name} is 1 to 100; leave it out to switch it off");
                return Err(Error::field(name, help));
            }
        }
        let mut above: Option<(&str, i64)> = None;
        for (name, value) in fields {
            let Some(value) = value else { continue };
            if let Some((higher, most)) = above
                && value > most
            {
                let help =
                    format!("{name} is at most {higher}, which is {most}: the graver step comes later");
                return Err(Error::field(name, help));
            }
            above = Some((name, value));
        }
        Ok(())
    }
}

/// The thresholds as they count now.
///
/// # Errors
/// The database's.
pub fn thresholds(db: &mut Db, organization: OrganizationId) -> aim_store::Result<Thresholds> {
    let Some(row) = store::policy(db, organization)? else {
        return Ok(Thresholds::default());
    };
    let restriction = restriction(db, &row)?;
    Ok(Thresholds {
        alert: row.alert_below,
        restrict: restriction.and_then(|(_, threshold)| threshold),
        suspend: row.suspend_below,
    })
}

fn restriction(db: &mut Db, row: &TrustPolicyRow) -> aim_store::Result<Option<(String, Option<i64>)>> {
    match row.restrict_policy_id {
        Some(policy) => store::restriction(db, row.org_id, policy),
        None => Ok(None),
    }
}

fn view(db: &mut Db, organization: OrganizationId) -> aim_store::Result<TrustPolicyView> {
    let row = store::policy(db, organization)?;
    let restriction = match &row {
        Some(row) => restriction(db, row)?,
        None => None,
    };
    let effect = match restriction.as_ref().map(|(effect, _)| effect.as_str()) {
        Some("deny") => Restriction::Deny,
        _ => Restriction::RequireApproval,
    };
    Ok(TrustPolicyView {
        alert_below: row.as_ref().and_then(|row| row.alert_below),
        restrict_below: restriction.as_ref().and_then(|(_, threshold)| *threshold),
        restrict_effect: effect,
        restrict_policy_id: restriction
            .as_ref()
            .and(row.as_ref())
            .and_then(|row| row.restrict_policy_id),
        suspend_below: row.as_ref().and_then(|row| row.suspend_below),
        updated_by: row.as_ref().map(|row| row.updated_by.clone()),
        updated_at: row.as_ref().map(|row| row.updated_at),
    })
}

impl TrustService {
    /// What a low score leads to.
    ///
    /// # Errors
    /// The database's.
    pub async fn policy(&self, ctx: &Ctx) -> Result<TrustPolicyView> {
        let organization = ctx.organization;
        self.kernel
            .store
            .read(organization, move |db| view(db, organization))
            .await
    }

    /// Sets what a low score leads to. Every agent is measured by it within seconds; decide() restricts from
    /// the next action on.
    ///
    /// # Errors
    /// 422 naming a threshold that is out of range or out of order; 409 when a policy of the name that the
    /// restriction needs is there already.
    pub async fn set_policy(&self, ctx: &Ctx, new: NewTrustPolicy) -> Result<TrustPolicyView> {
        new.check()?;
        let ctx = ctx.clone();
        self.kernel
            .store
            .write(ctx.organization, move |db| {
                // First the epoch, which holds the organisation's row: changes come one after the other.
                let known = each!(db, c => diesel::update(organizations::table.find(ctx.organization))
                    .set(organizations::policy_epoch.eq(organizations::policy_epoch + 1))
                    .execute(c))?;
                if known == 0 {
                    return Err(Error::not_found().into());
                }
                let before = store::policy(db, ctx.organization)?;
                if let Some(old) = before.as_ref().and_then(|row| row.restrict_policy_id) {
                    each!(db, c => diesel::delete(policies::table.find((ctx.organization, old))).execute(c))?;
                }
                let restrict_policy_id = match new.restrict_below {
                    Some(threshold) => Some(restrict(db, &ctx, threshold, new.restrict_effect)?),
                    None => None,
                };
                store::save_policy(
                    db,
                    &TrustPolicyRow {
                        org_id: ctx.organization,
                        alert_below: new.alert_below,
                        restrict_policy_id,
                        suspend_below: new.suspend_below,
                        updated_by: ctx.actor_text(),
                        updated_at: ctx.now,
                    },
                )?;
                store::mark_all(db, ctx.organization, ctx.now + TimeDelta::seconds(1))?;
                let view = view(db, ctx.organization)?;
                let entry = Entry::event(&ctx, "trust_policy.updated").facts(json!({
                    "alert_below": new.alert_below,
                    "restrict_below": new.restrict_below,
                    "restrict_effect": new.restrict_effect,
                    "suspend_below": new.suspend_below,
                    "policy_id": restrict_policy_id,
                }));
                aim_audit::append(db, vec![entry])?;
                Ok(view)
            })
            .await
    }
}

fn restrict(db: &mut Db, ctx: &Ctx, threshold: i64, effect: Restriction) -> aim_store::Result<PolicyId> {
    let id = ctx.new_id::<PolicyKind>();
    each!(db, c => diesel::insert_into(policies::table)
        .values((
            policies::org_id.eq(ctx.organization),
            policies::id.eq(id),
            policies::name.eq(RESTRICTION),
            policies::effect.eq(effect.as_str()),
            policies::capability.eq("*"),
            policies::resources.eq(Json(json!([]))),
            policies::agent_types.eq(Json(json!([]))),
            policies::trust_below.eq(Some(threshold)),
            policies::created_by.eq(ctx.actor_text()),
            policies::created_at.eq(ctx.now),
        ))
        .execute(c))
    .on_unique(|| {
        Error::new(
            Code::NameTaken,
            format!("the organisation has a policy of its own called {RESTRICTION:?}; delete it first"),
        )
        .at("restrict_below")
    })?;
    Ok(id)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_score_on_the_threshold_has_not_crossed_it() {
        let thresholds = Thresholds {
            alert: Some(60),
            restrict: Some(40),
            suspend: Some(20),
        };
        for (score, level) in [
            (None, Level::None),
            (Some(60), Level::Ok),
            (Some(59), Level::Alert),
            (Some(40), Level::Alert),
            (Some(39), Level::Restrict),
            (Some(19), Level::Suspend),
            (Some(0), Level::Suspend),
        ] {
            assert_eq!(thresholds.level(score), level, "{score:?}");
        }
        assert_eq!(Thresholds::default().level(Some(0)), Level::Ok);
    }

    #[test]
    fn thresholds_are_in_range_and_the_graver_step_comes_later() {
        let policy = |alert_below, restrict_below, suspend_below| NewTrustPolicy {
            alert_below,
            restrict_below,
            restrict_effect: Restriction::default(),
            suspend_below,
        };
        assert!(policy(Some(60), Some(40), Some(20)).check().is_ok());
        assert!(policy(None, None, None).check().is_ok());
        assert!(policy(Some(60), None, Some(60)).check().is_ok());
        for (refused, field) in [
            (policy(Some(0), None, None), "alert_below"),
            (policy(Some(101), None, None), "alert_below"),
            (policy(Some(40), Some(60), None), "restrict_below"),
            (policy(None, Some(40), Some(60)), "suspend_below"),
            (policy(Some(50), None, Some(60)), "suspend_below"),
        ] {
            assert_eq!(refused.check().unwrap_err().field.as_deref(), Some(field));
        }
    }
}
