//! Reading what the overview shows; each part by itself, so that one that fails does not take the others along.

use aim_core::{Ctx, Result};
use aim_platform::Kernel;
use chrono::TimeDelta;

use super::{
    model::{DeniedCapability, ExpiringKey, Standing, Trend},
    store,
};
use crate::{
    activity::{
        ActivityService,
        model::{ActivityQuery, Counts, Granularity, hour_of},
    },
    alerts::AlertService,
};

/// How many rows a part shows.
const ROWS: i64 = 8;
/// The most keys that are counted.
const MOST_KEYS: i64 = 10_000;

/// The four numbers, and the sentence that they amount to.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Numbers {
    /// Agents.
    pub agents: Trend,
    /// Agents that are suspended.
    pub suspended: i64,
    /// Decisions in 24 hours.
    pub decisions: Trend,
    /// Denials in 24 hours.
    pub denials: Trend,
    /// Alerts that are not resolved.
    pub alerts: Trend,
    /// What the sentence is made of.
    pub standing: Standing,
}

/// The reads of the overview.
#[derive(Clone)]
pub struct OverviewService {
    kernel: Kernel,
    activity: ActivityService,
    alerts: AlertService,
}

impl OverviewService {
    /// The reads on this kernel's store.
    #[must_use]
    pub fn new(kernel: &Kernel, activity: &ActivityService, alerts: &AlertService) -> Self {
        Self {
            kernel: kernel.clone(),
            activity: activity.clone(),
            alerts: alerts.clone(),
        }
    }

    /// The four numbers.
    ///
    /// # Errors
    /// The database's.
    pub async fn numbers(&self, ctx: &Ctx) -> Result<Numbers> {
        let query = ActivityQuery {
            granularity: Granularity::Hour,
            from: Some(hour_of(ctx.now) - TimeDelta::hours(47)),
            ..ActivityQuery::default()
        };
        let hours = self.activity.activity(ctx, &query).await?.series;
        let count = self.alerts.count(ctx).await?;
        let (organization, now) = (ctx.organization, ctx.now);
        let (agents, suspended, arrivals, raised, keys) = self
            .kernel
            .store
            .read(organization, move |db| {
                let (agents, suspended) = store::count_agents(db, organization)?;
                let month = TimeDelta::days(30);
                Ok((
                    agents,
                    suspended,
                    store::arrivals(db, organization, now - TimeDelta::days(7))?,
                    store::raised(db, organization, now - TimeDelta::days(14))?,
                    store::expiring(db, organization, now - month, now + TimeDelta::days(7), MOST_KEYS)?,
                ))
            })
            .await?;
        let expired = keys.iter().filter(|key| key.expires_at <= now).count();
        let number = |count: usize| i64::try_from(count).unwrap_or(i64::MAX);
        let decisions = Trend::of_hours(&hours, Counts::decisions);
        let denials = Trend::of_hours(&hours, |counts| counts.denied);
        let standing = Standing {
            agents,
            critical: count.critical,
            high: count.high,
            other: count.medium + count.low,
            expired_keys: number(expired),
            expiring_keys: number(keys.len() - expired),
            decisions: decisions.now,
            denials: denials.now,
        };
        Ok(Numbers {
            agents: Trend::of_arrivals(agents, &arrivals, now),
            suspended,
            decisions,
            denials,
            alerts: Trend::of_days(&raised, now, count.open + count.acknowledged),
            standing,
        })
    }

    /// Keys that expire within 30 days, and those that expired in the last 30.
    ///
    /// # Errors
    /// The database's.
    pub async fn keys(&self, ctx: &Ctx) -> Result<Vec<ExpiringKey>> {
        let (organization, now) = (ctx.organization, ctx.now);
        let month = TimeDelta::days(30);
        self.kernel
            .store
            .read(organization, move |db| {
                store::expiring(db, organization, now - month, now + month, ROWS)
            })
            .await
    }

    /// The capabilities that were denied most often in 24 hours.
    ///
    /// # Errors
    /// The database's.
    pub async fn denied(&self, ctx: &Ctx) -> Result<Vec<DeniedCapability>> {
        let (organization, now) = (ctx.organization, ctx.now);
        self.kernel
            .store
            .read(organization, move |db| store::denied(db, organization, now, ROWS))
            .await
    }
}
