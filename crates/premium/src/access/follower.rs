//! Follows the log: accesses become rows and counts, and what is out of the ordinary becomes findings.
//!
//! What is kept in memory of pairs and denials only spares queries: it is thrown away whenever a batch does not begin where the
//! last one ended. The rows are written before the batch takes effect, in short transactions, since decisions wait for the same
//! writer; they have the ids of what they tell of, so that a batch that comes again changes nothing.

use std::{
    collections::{BTreeMap, HashMap, btree_map::Entry},
    iter,
    sync::Arc,
};

use aim_audit::Record;
use aim_core::{AgentId, GrantId, OrganizationId, Result, Timestamp};
use aim_monitoring::activity::model::hour_of;
use aim_platform::{Follower, Kernel, follow::Effect};
use aim_store::{Db, Scope, Store};
use aim_threats::report::{Sighting, report};
use chrono::TimeDelta;
use tokio::sync::Mutex;

use super::{
    detect::{self, BASELINE_DAYS, Company, Denials, Findings, Pair},
    index::{Indexer, Merged, Pace},
    model::{ALL, PEOPLE},
    records::{EXPORTED, Touch, Understood, understand},
    settings::Thresholds,
    store::{self, AccessRow, HourRow, PairRow, Readers},
};
use crate::vault::recent::RecentReads;

/// The follower's name.
pub const NAME: &str = "vault.access";
/// The most records of a batch: its effect writes a row for each pair in it.
const RECORDS: usize = 250;
/// The most pairs and agents that are kept in memory when a batch begins: what a hash table of 8,192 places takes before it doubles,
/// with those of the batch, at some 300 bytes each.
const REMEMBERED: usize = 8_192 / 8 * 7 - RECORDS;

type PairKey = (OrganizationId, String, AgentId);
/// The hours of a batch, which no table has yet.
type Hours = BTreeMap<(PairKey, Timestamp), HourRow>;
type TotalKey = (OrganizationId, AgentId, Timestamp);
/// The hours of agents with all secrets.
type Totals = HashMap<TotalKey, HourRow>;

/// What is remembered from batch to batch.
struct Memory {
    next: Option<i64>,
    pairs: HashMap<PairKey, Pair>,
    denials: HashMap<(OrganizationId, AgentId), Denials>,
    indexer: Indexer,
}

impl Memory {
    fn new(pace: Pace) -> Self {
        Self {
            next: None,
            pairs: HashMap::new(),
            denials: HashMap::new(),
            indexer: Indexer::new(pace),
        }
    }

    fn begin_at(&mut self, first: i64) {
        let goes_on = self.next.take() == Some(first);
        if !goes_on || self.pairs.len() > REMEMBERED {
            self.pairs.clear();
        }
        if !goes_on || self.denials.len() > REMEMBERED {
            self.denials.clear();
        }
        if !goes_on {
            self.indexer.forget();
        }
    }
}

/// What a batch comes to.
#[derive(Default)]
struct Outcome {
    rows: Vec<AccessRow>,
    undelivered: Vec<(OrganizationId, AgentId, aim_core::DecisionId)>,
    pairs: Vec<PairRow>,
    hours: Vec<HourRow>,
    sightings: Vec<Sighting>,
}

/// The follower of this installation.
pub(super) fn follower(kernel: &Kernel, recent: &RecentReads, pace: Pace) -> Follower {
    let recent = recent.clone();
    let (store, limits) = (kernel.store.clone(), kernel.config.threats);
    let memory = Arc::new(Mutex::new(Memory::new(pace)));
    Follower::new(NAME, true, move |_, records: Arc<[Record]>| {
        let (store, memory, recent) = (store.clone(), Arc::clone(&memory), recent.clone());
        async move {
            let mut memory = memory.lock_owned().await;
            let (mut memory, outcome) = store
                .read(Scope::Installation, move |db| {
                    let outcome = consider(db, &recent, &mut memory, &records)?;
                    Ok((memory, outcome))
                })
                .await?;
            let Some(outcome) = outcome else {
                return Ok(None);
            };
            let merged = write_rows(&store, &mut memory.indexer, &outcome).await?;
            let effect: Effect = Box::new(move |db: &mut Db| {
                if let Some(merged) = &merged {
                    merged.take_effect(db)?;
                }
                store::add_hours(db, &outcome.hours)?;
                store::save_pairs(db, &outcome.pairs)?;
                let entries = report(db, &limits, &outcome.sightings)?;
                aim_audit::append(db, entries)?;
                Ok(())
            });
            Ok(Some(effect))
        }
    })
    .at_most(RECORDS)
}

/// Writes the rows, on SQLite a little at a time and with what the index needs.
async fn write_rows(store: &Store, indexer: &mut Indexer, outcome: &Outcome) -> Result<Option<Merged>> {
    let merged = if store.is_postgres() {
        let rows = outcome.rows.clone();
        store
            .write_behind(Scope::Installation, move |db| store::add_accesses(db, &rows))
            .await?;
        None
    } else {
        indexer.write(store, &outcome.rows).await?
    };
    if !outcome.undelivered.is_empty() {
        let undelivered = outcome.undelivered.clone();
        store
            .write_behind(Scope::Installation, move |db| {
                undelivered.iter().try_for_each(|(organization, agent, id)| {
                    store::set_undelivered(db, *organization, *agent, *id)
                })
            })
            .await?;
    }
    Ok(merged)
}

fn consider(
    db: &mut Db,
    recent: &RecentReads,
    memory: &mut Memory,
    records: &[Record],
) -> aim_store::Result<Option<Outcome>> {
    let Some((first, last)) = records.first().zip(records.last()) else {
        return Ok(None);
    };
    memory.begin_at(first.leaf_index);
    let understood = understand(db, recent, records)?;
    let outcome = if understood.is_empty() {
        None
    } else {
        Some(Batch::of(db, memory, &understood, first.leaf_index)?.run(db, memory, understood)?)
    };
    memory.next = Some(last.leaf_index + 1);
    Ok(outcome)
}

/// What is read once for a batch.
struct Batch {
    /// Who read the secrets of pairs that are not in memory, before this batch.
    readers: HashMap<(OrganizationId, String), Readers>,
    first: i64,
    thresholds: HashMap<OrganizationId, Thresholds>,
    /// Since when a path is a honeytoken.
    honeytokens: HashMap<(OrganizationId, String), Timestamp>,
}

impl Batch {
    fn of(db: &mut Db, memory: &Memory, understood: &Understood, first: i64) -> aim_store::Result<Self> {
        let mut organizations: Vec<OrganizationId> =
            understood.touches.iter().map(|touch| touch.row.org_id).collect();
        organizations.sort_unstable();
        organizations.dedup();
        let thresholds = store::settings(db, &organizations)?
            .into_iter()
            .filter_map(|row| Some((row.org_id, serde_json::from_value(row.settings.0).ok()?)))
            .collect();
        let honeytokens = store::honeytokens(db, &organizations)?
            .into_iter()
            .map(|row| ((row.org_id, row.path), row.created_at))
            .collect();
        let mut paths: Vec<String> = understood
            .touches
            .iter()
            .filter(|touch| {
                touch.is_there
                    && memory
                        .pairs
                        .get(&key_of(touch))
                        .is_none_or(|pair| pair.row.approved == 0)
            })
            .map(|touch| touch.row.path.clone())
            .collect();
        paths.sort_unstable();
        paths.dedup();
        Ok(Self {
            readers: store::readers_of(db, &organizations, &paths)?,
            first,
            thresholds,
            honeytokens,
        })
    }

    fn run(self, db: &mut Db, memory: &mut Memory, understood: Understood) -> aim_store::Result<Outcome> {
        let mut findings = Findings::default();
        for incident in &understood.incidents {
            detect::incident(&mut findings, incident);
        }
        let (mut totals, mut hours) = (Totals::new(), Hours::new());
        let mut changed: BTreeMap<PairKey, PairRow> = BTreeMap::new();
        for touch in &understood.touches {
            let row = &touch.row;
            let marked = self.honeytokens.get(&(row.org_id, row.path.clone()));
            if marked.is_some_and(|since| *since <= row.at) {
                detect::honeytoken(&mut findings, touch);
            }
            if row.delivery.as_deref() == Some(EXPORTED) {
                // No read, and no use: after a backup no secret would be unused.
                continue;
            }
            let thresholds = self.thresholds.get(&row.org_id).copied().unwrap_or_default();
            if let Some(agent) = row.agent_id {
                self.denials(db, memory, &thresholds, touch, agent, &mut findings)?;
            }
            for agent in iter::once(PEOPLE).chain(row.agent_id) {
                let of_all = (row.org_id, agent, hour_of(row.at));
                let total = totals
                    .entry(of_all)
                    .or_insert_with(|| no_counts(ALL.to_owned(), of_all));
                add(total, &one(row));
            }
            if !touch.is_there {
                continue;
            }
            let key = key_of(touch);
            let readers = self.readers.get(&(key.0, key.1.clone())).copied();
            let pair = remembered(db, memory, &key, row.at, readers.is_some())?;
            if let Some(over) = pair.enter(row.at) {
                add_to_hour(&mut hours, over);
            }
            if hour_of(row.at) == pair.hour {
                detect::count_in_hour(pair, touch);
            } else {
                // It comes late, from before a clock was set.
                add_to_hour(
                    &mut hours,
                    HourRow {
                        path: row.path.clone(),
                        ..one(row)
                    },
                );
            }
            if row.outcome == "approved" && row.agent_id.is_some() {
                judge(
                    db,
                    &thresholds,
                    touch,
                    pair,
                    &hours,
                    readers.unwrap_or_default(),
                    &mut findings,
                )?;
            }
            detect::count(pair, touch);
            changed.insert(key, pair.row.clone());
        }
        Ok(Outcome {
            rows: understood.touches.into_iter().map(|touch| touch.row).collect(),
            undelivered: understood.undelivered,
            pairs: changed.into_values().collect(),
            hours: totals.into_values().chain(hours.into_values()).collect(),
            sightings: findings.into_sightings(),
        })
    }

    /// Counts a denial, or looks at what an approved read followed.
    fn denials(
        &self,
        db: &mut Db,
        memory: &mut Memory,
        thresholds: &Thresholds,
        touch: &Touch,
        agent: AgentId,
        findings: &mut Findings,
    ) -> aim_store::Result<()> {
        let row = &touch.row;
        let denials = match memory.denials.entry((row.org_id, agent)) {
            std::collections::hash_map::Entry::Occupied(known) => known.into_mut(),
            std::collections::hash_map::Entry::Vacant(unknown) => {
                let since = row.at - TimeDelta::minutes(thresholds.denial_minutes);
                let mut denials = Denials::default();
                for (at, index, reasons) in store::denials(db, row.org_id, agent, since, self.first)?
                    .iter()
                    .rev()
                {
                    denials.count(*at, *index, &texts(reasons));
                }
                unknown.insert(denials)
            }
        };
        match row.outcome.as_str() {
            "denied" => denials.count(row.at, row.leaf_index, &texts(&row.reasons)),
            "approved" => detect::after_denials(findings, thresholds, touch, denials),
            _ => {}
        }
        Ok(())
    }
}

fn key_of(touch: &Touch) -> PairKey {
    let row = &touch.row;
    (row.org_id, row.path.clone(), row.agent_id.unwrap_or(PEOPLE))
}

const fn no_counts(path: String, (org_id, agent_id, hour): TotalKey) -> HourRow {
    HourRow {
        org_id,
        path,
        agent_id,
        hour,
        approved: 0,
        denied: 0,
        pending: 0,
    }
}

/// One access as the counts of its hour, without its path.
fn one(row: &AccessRow) -> HourRow {
    let agent = row.agent_id.unwrap_or(PEOPLE);
    let mut one = no_counts(String::new(), (row.org_id, agent, hour_of(row.at)));
    match row.outcome.as_str() {
        "approved" => one.approved = 1,
        "denied" => one.denied = 1,
        _ => one.pending = 1,
    }
    one
}

const fn add(hour: &mut HourRow, counts: &HourRow) {
    hour.approved += counts.approved;
    hour.denied += counts.denied;
    hour.pending += counts.pending;
}

fn add_to_hour(hours: &mut Hours, counts: HourRow) {
    match hours.entry(((counts.org_id, counts.path.clone(), counts.agent_id), counts.hour)) {
        Entry::Vacant(hour) => {
            hour.insert(counts);
        }
        Entry::Occupied(mut hour) => add(hour.get_mut(), &counts),
    }
}

fn texts(reasons: &serde_json::Value) -> Vec<&str> {
    reasons
        .as_array()
        .map(|reasons| reasons.iter().filter_map(serde_json::Value::as_str).collect())
        .unwrap_or_default()
}

/// The pair in memory, or as the tables have it.
fn remembered<'a>(
    db: &mut Db,
    memory: &'a mut Memory,
    key: &PairKey,
    at: Timestamp,
    may_be_there: bool,
) -> aim_store::Result<&'a mut Pair> {
    match memory.pairs.entry(key.clone()) {
        std::collections::hash_map::Entry::Occupied(known) => Ok(known.into_mut()),
        std::collections::hash_map::Entry::Vacant(unknown) => {
            let (organization, path, agent) = key;
            let (organization, agent) = (*organization, *agent);
            let row = if may_be_there {
                store::pair(db, organization, path, agent)?
            } else {
                None
            };
            let row = row.unwrap_or_else(|| PairRow {
                org_id: organization,
                path: path.clone(),
                agent_id: agent,
                approved: 0,
                denied: 0,
                first_read_at: None,
                last_read_at: None,
                last_denied_at: None,
                hours_seen: 0,
                hour: None,
                hour_approved: 0,
                hour_denied: 0,
                hour_pending: 0,
            });
            let hour = row.hour.map_or(hour_of(at), |counted| counted.max(hour_of(at)));
            Ok(unknown.insert(Pair {
                row,
                hour,
                limit: None,
            }))
        }
    }
}

/// Looks at a read that was approved, before it is counted.
fn judge(
    db: &mut Db,
    thresholds: &Thresholds,
    touch: &Touch,
    pair: &mut Pair,
    hours: &Hours,
    readers: Readers,
    findings: &mut Findings,
) -> aim_store::Result<()> {
    let (organization, path, agent) = (pair.row.org_id, pair.row.path.clone(), pair.row.agent_id);
    if pair.row.approved == 0 {
        let grant = touch
            .row
            .decided_by
            .as_deref()
            .and_then(|by| by.strip_prefix("grant:")?.parse::<GrantId>().ok());
        let granted_at = match grant {
            Some(grant) if readers.agents > 0 => store::granted_at(db, organization, grant)?,
            _ => None,
        };
        let company = Company {
            readers: readers.agents,
            since: readers.since,
            granted_at,
        };
        detect::first_reader(findings, thresholds, touch, &company);
    }
    detect::unusual_hour(findings, thresholds, touch, &pair.row);
    if pair.wants_limit(thresholds) {
        let from = pair.hour - TimeDelta::days(BASELINE_DAYS);
        let known = store::reads_by_hour(db, organization, &path, agent, from, pair.hour)?;
        let mut history: BTreeMap<Timestamp, i64> = known.into_iter().collect();
        let key = (organization, path, agent);
        for ((_, hour), row) in hours.range((key.clone(), from)..(key, pair.hour)) {
            *history.entry(*hour).or_default() += row.approved;
        }
        let history: Vec<(Timestamp, i64)> = history.into_iter().collect();
        pair.limit = Some(detect::limit_of(&history, pair.hour, thresholds));
    }
    if hour_of(touch.row.at) == pair.hour {
        detect::unusual_volume(findings, touch, pair);
    }
    Ok(())
}
