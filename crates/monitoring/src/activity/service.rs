//! Reading activity.

use aim_core::{Ctx, Error, Result};
use aim_platform::Kernel;

use super::{
    model::{Activity, ActivityQuery, Counts, EVERYBODY, Span},
    store,
};

/// The use cases of activity.
#[derive(Clone)]
pub struct ActivityService {
    kernel: Kernel,
}

impl ActivityService {
    /// The use cases on this kernel's store.
    #[must_use]
    pub fn new(kernel: &Kernel) -> Self {
        Self {
            kernel: kernel.clone(),
        }
    }

    /// How many decisions there were, over time.
    ///
    /// # Errors
    /// Names the parameter that is not accepted; `resource.not_found` for an unknown agent.
    pub async fn activity(&self, ctx: &Ctx, query: &ActivityQuery) -> Result<Activity> {
        let span = Span::parse(query, ctx.now)?;
        let (organization, agent) = (ctx.organization, query.agent_id);
        let rows = self
            .kernel
            .store
            .read(organization, move |db| {
                if let Some(agent) = agent
                    && !store::agent_exists(db, organization, agent)?
                {
                    return Err(Error::not_found().into());
                }
                store::hours(db, organization, agent.unwrap_or(EVERYBODY), span.from, span.to)
            })
            .await?;
        let series = span.series(rows.iter().map(|row| (row.hour, row.counts())));
        let mut totals = Counts::default();
        for point in &series {
            totals.add(&point.counts);
        }
        Ok(Activity {
            agent_id: agent,
            granularity: span.granularity,
            from: span.from,
            to: span.to,
            series,
            totals,
        })
    }
}
