//! Reading the audit log: pages, and the whole filtered set in pieces. Nothing here writes.

use aim_audit::Record;
use aim_core::{Ctx, Cursor, Error, Result};
use aim_platform::Kernel;
use aim_store::Store;

use super::{
    model::{AuditList, AuditPage, cursor_of},
    store::{self, Filter},
};
use crate::export::CHUNK;

/// The audit log of an organisation. Cloning is cheap.
#[derive(Clone)]
pub struct AuditLogService {
    store: Store,
}

impl AuditLogService {
    /// The service of this installation.
    #[must_use]
    pub fn new(kernel: &Kernel) -> Self {
        Self {
            store: kernel.store.clone(),
        }
    }

    /// A page of the log, newest first.
    ///
    /// # Errors
    /// 404 for an agent, which reads no log.
    pub async fn list(&self, ctx: &Ctx, filter: Filter, wanted: AuditPage) -> Result<AuditList> {
        let AuditPage { page, before } = wanted;
        let mut rows = self.records(ctx, filter, before, page.fetch()).await?;
        let limit = usize::try_from(page.limit).unwrap_or(0);
        let more = rows.len() > limit;
        rows.truncate(limit);
        let next_cursor = rows
            .last()
            .filter(|_| more)
            .map(|row| Cursor(cursor_of(row.leaf_index)).encode());
        Ok(AuditList {
            entries: rows.into_iter().map(Into::into).collect(),
            limit: page.limit,
            next_cursor,
        })
    }

    /// A piece of the filtered set, newest first: the records after the one with the index `before`, and
    /// the index of the last of them if there may be more.
    ///
    /// # Errors
    /// 404 for an agent, which reads no log.
    pub async fn piece(
        &self,
        ctx: &Ctx,
        filter: Filter,
        before: Option<i64>,
    ) -> Result<(Vec<Record>, Option<i64>)> {
        let rows = self.records(ctx, filter, before, CHUNK).await?;
        let full = i64::try_from(rows.len()).is_ok_and(|count| count == CHUNK);
        let last = rows.last().map(|row| row.leaf_index).filter(|_| full);
        Ok((rows, last))
    }

    /// The record with this index, if it is the organisation's.
    ///
    /// # Errors
    /// 404 for an agent, which reads no log.
    pub async fn record(&self, ctx: &Ctx, index: i64) -> Result<Option<Record>> {
        let Some(before) = index.checked_add(1) else {
            return Ok(None);
        };
        let rows = self.records(ctx, Filter::default(), Some(before), 1).await?;
        Ok(rows.into_iter().find(|row| row.leaf_index == index))
    }

    async fn records(
        &self,
        ctx: &Ctx,
        filter: Filter,
        before: Option<i64>,
        limit: i64,
    ) -> Result<Vec<Record>> {
        if matches!(
            ctx.actor,
            aim_core::Actor::Agent { .. } | aim_core::Actor::Anonymous
        ) {
            return Err(Error::not_found());
        }
        let organization = ctx.organization;
        self.store
            .read(organization, move |db| {
                store::page(db, organization, &filter, before, limit)
            })
            .await
    }
}
