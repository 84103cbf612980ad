//! Counts the records of the log into their hours.

use std::{collections::BTreeMap, sync::Arc};

use aim_audit::Record;
use aim_core::Result;
use aim_platform::{Follower, follow::Effect};

use super::{
    model::{Counts, EVERYBODY, hour_of},
    store::{self, HourRow},
};

/// The follower. It keeps nothing in memory.
pub(crate) fn follower() -> Follower {
    Follower::new(
        "monitoring.activity",
        true,
        |_, records: Arc<[Record]>| async move { Ok(effect_of(&records)) as Result<Option<Effect>> },
    )
}

fn effect_of(records: &[Record]) -> Option<Effect> {
    let rows = count(records);
    if rows.is_empty() {
        return None;
    }
    Some(Box::new(move |db| store::add(db, &rows)))
}

/// The hours that the records fall into, in the order of their keys: two nodes that took turns never wait
/// for each other crosswise.
fn count(records: &[Record]) -> Vec<HourRow> {
    let mut hours = BTreeMap::new();
    for record in records {
        let mut one = Counts::default();
        if !one.count(&record.kind, &record.outcome) {
            continue;
        }
        let hour = hour_of(record.created_at);
        for agent in [Some(EVERYBODY), record.agent_id].into_iter().flatten() {
            hours
                .entry((record.org_id, agent, hour))
                .or_insert_with(Counts::default)
                .add(&one);
        }
    }
    let rows = hours
        .into_iter()
        .map(|((org_id, agent_id, hour), counts)| HourRow {
            org_id,
            agent_id,
            hour,
            approved: counts.approved,
            denied: counts.denied,
            pending: counts.pending,
            refused: counts.refused,
        });
    rows.collect()
}
