//! Queues what the log tells for the webhooks that want it.

use std::{
    collections::{BTreeSet, HashMap},
    sync::Arc,
};

use aim_audit::Record;
use aim_core::{Id, Result, Timestamp};
use aim_platform::{Follower, Kernel, follow::Effect};
use aim_store::Scope;
use serde_json::Value;

use super::{
    format,
    model::{DeliveryStatus, Format, is_bad_enough, means},
    store::{self, DeliveryRow, WebhookRow},
};
use crate::{
    alerts::watch::facts_of,
    feed::{model::FeedItem, store::names},
};

/// The follower. It keeps nothing in memory.
pub(crate) fn follower(kernel: &Kernel) -> Follower {
    let kernel = kernel.clone();
    Follower::new(
        "monitoring.webhooks",
        false,
        move |now, records: Arc<[Record]>| {
            let kernel = kernel.clone();
            async move { consider(&kernel, now, &records).await }
        },
    )
}

async fn consider(kernel: &Kernel, now: Timestamp, records: &[Record]) -> Result<Option<Effect>> {
    let events: Vec<&Record> = records.iter().filter(|record| record.kind == "event").collect();
    if events.is_empty() {
        return Ok(None);
    }
    let organizations: BTreeSet<_> = events.iter().map(|record| record.org_id).collect();
    let organizations: Vec<_> = organizations.into_iter().collect();
    let webhooks = kernel
        .store
        .read(Scope::Installation, move |db| store::enabled(db, &organizations))
        .await?;
    if webhooks.is_empty() {
        return Ok(None);
    }
    let wanted: Vec<(&Record, &WebhookRow)> = events
        .iter()
        .flat_map(|record| webhooks.iter().map(move |webhook| (*record, webhook)))
        .filter(|(record, webhook)| wants(webhook, record))
        .collect();
    if wanted.is_empty() {
        return Ok(None);
    }
    let agents: Vec<_> = wanted
        .iter()
        .filter_map(|(record, _)| record.agent_id.map(|agent| (record.org_id, agent)))
        .collect();
    let found = kernel
        .store
        .read(Scope::Installation, move |db| names(db, &agents))
        .await?;
    let found: HashMap<_, _> = found
        .into_iter()
        .map(|(organization, agent, name)| ((organization, agent), name))
        .collect();
    let console = &kernel.config.public_url;
    let rows: Vec<DeliveryRow> = wanted
        .into_iter()
        .map(|(record, webhook)| {
            let key = record.agent_id.map(|agent| (record.org_id, agent));
            let item = FeedItem::of(record, key.and_then(|key| found.get(&key).cloned()));
            let body = format::body(Format::of(&webhook.format), record, &item, console);
            queued(webhook, &record.action, body, now)
        })
        .collect();
    Ok(Some(Box::new(move |db| store::queue(db, &rows))))
}

/// Whether a webhook is told of a record.
fn wants(webhook: &WebhookRow, record: &Record) -> bool {
    if webhook.org_id != record.org_id || !means(&webhook.events.strings(), &record.action) {
        return false;
    }
    if record.action != "alert.raised" {
        return true;
    }
    let facts = facts_of(record);
    let severity = facts.get("severity").and_then(Value::as_str).unwrap_or_default();
    is_bad_enough(severity, &webhook.minimum_severity)
}

/// A delivery that is due at once.
pub(super) fn queued(webhook: &WebhookRow, event: &str, body: String, now: Timestamp) -> DeliveryRow {
    DeliveryRow {
        org_id: webhook.org_id,
        id: Id::generate(now),
        webhook_id: webhook.id,
        event: event.to_owned(),
        body,
        status: DeliveryStatus::Pending.as_str().to_owned(),
        attempts: 0,
        due_at: now,
        lease_until: None,
        response_status: None,
        last_error: None,
        last_attempt_at: None,
        replay_of: None,
        created_at: now,
    }
}
