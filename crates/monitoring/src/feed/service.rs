//! Reading the feed page by page.

use std::collections::HashMap;

use aim_core::{Ctx, Result};
use aim_platform::Kernel;

use super::{
    model::{FeedItem, FeedPage, FeedQuery, cursor_of},
    store,
};

/// The use cases of the feed.
#[derive(Clone)]
pub struct FeedService {
    kernel: Kernel,
}

impl FeedService {
    /// The use cases on this kernel's store.
    #[must_use]
    pub fn new(kernel: &Kernel) -> Self {
        Self {
            kernel: kernel.clone(),
        }
    }

    /// A page of the feed, the newest first.
    ///
    /// # Errors
    /// Names the parameter that is not accepted.
    pub async fn page(&self, ctx: &Ctx, query: &FeedQuery) -> Result<FeedPage> {
        let (page, before) = query.page()?;
        let filter = aim_audit::Filter {
            kind: query.kind()?,
            agent_id: query.agent_id,
            before,
            ..aim_audit::Filter::default()
        };
        let organization = ctx.organization;
        self.kernel
            .store
            .read(organization, move |db| {
                let records = aim_audit::page(db, organization, &filter, page.fetch())?;
                let (records, next_cursor) = page.cut(records, |record| cursor_of(record.leaf_index));
                let agents: Vec<_> = records
                    .iter()
                    .filter_map(|record| record.agent_id.map(|agent| (organization, agent)))
                    .collect();
                let names: HashMap<_, _> = if agents.is_empty() {
                    HashMap::new()
                } else {
                    let names = store::names(db, &agents)?.into_iter();
                    names.map(|(_, agent, name)| (agent, name)).collect()
                };
                let events = records
                    .iter()
                    .map(|record| {
                        let name = record.agent_id.and_then(|agent| names.get(&agent).cloned());
                        FeedItem::of(record, name)
                    })
                    .collect();
                Ok(FeedPage { events, next_cursor })
            })
            .await
    }
}
