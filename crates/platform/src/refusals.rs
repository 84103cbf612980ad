//! Refused proofs of registered keys leave evidence in the audit log, but no more than one record a minute
//! for each key and kind of refusal: whoever forges or repeats signatures must not fill the disk. The record
//! says how many were held back since the one before. Only what was refused comes here, so an accepted
//! request pays nothing.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
};

use aim_audit::Entry;
use aim_core::{Actor, AgentId, Ctx, OrganizationId, Timestamp};
use aim_store::Store;
use chrono::TimeDelta;
use serde_json::{Value, json};

/// How long a subject stays quiet after a record.
const QUIET: TimeDelta = TimeDelta::minutes(1);
/// How many subjects are remembered; beyond it, those that may speak again are forgotten.
const REMEMBERED: usize = 10_000;

/// The action of the records.
pub const REFUSED: &str = "authentication.refused";

/// A proof in the name of a registered agent that was refused.
#[derive(Debug, Clone)]
pub struct Refusal<'a> {
    /// The tenant of the agent.
    pub organization: OrganizationId,
    /// The agent in whose name it came.
    pub agent: AgentId,
    /// The key that it named, if it named one of the agent's.
    pub fingerprint: Option<&'a str>,
    /// Why it was refused, as a stable code.
    pub code: &'static str,
    /// How it was signed (`rfc9421`, `sdk_body`, …).
    pub scheme: &'static str,
    /// When.
    pub now: Timestamp,
    /// From where, as far as is known.
    pub source_ip: Option<&'a str>,
    /// What it asked for: `POST /path`, or the capability.
    pub asked: String,
}

#[derive(PartialEq, Eq, Hash)]
struct Subject(AgentId, Option<String>, &'static str);

struct Last {
    noted: Timestamp,
    held_back: u64,
}

/// The gate in front of the log. Cloning shares it.
#[derive(Clone, Default)]
pub struct Refusals(Arc<Mutex<HashMap<Subject, Last>>>);

impl Refusals {
    /// Whether a refusal of this kind may be noted now, and how many were held back since the last one.
    fn pass(&self, subject: Subject, now: Timestamp) -> Option<u64> {
        let mut known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        // A clock that was set back does not silence anybody.
        let is_quiet = |last: &Last| (TimeDelta::zero()..QUIET).contains(&(now - last.noted));
        if let Some(last) = known.get_mut(&subject).filter(|last| is_quiet(last)) {
            last.held_back += 1;
            return None;
        }
        if known.len() >= REMEMBERED {
            known.retain(|_, last| is_quiet(last));
            if known.len() >= REMEMBERED {
                known.clear();
            }
        }
        let before = known.insert(
            subject,
            Last {
                noted: now,
                held_back: 0,
            },
        );
        Some(before.map_or(0, |last| last.held_back))
    }

    /// The record of `refusal`, unless one like it was noted within the last minute.
    #[must_use]
    pub fn entry(&self, refusal: &Refusal<'_>) -> Option<Entry> {
        let fingerprint = refusal.fingerprint.map(str::to_owned);
        let held_back = self.pass(
            Subject(refusal.agent, fingerprint.clone(), refusal.code),
            refusal.now,
        )?;
        let mut ctx = Ctx::system("authentication", refusal.organization, refusal.now);
        // Nobody proved anything: the agent is whom it is about, not who did it.
        ctx.actor = Actor::Anonymous;
        let entry = Entry::event(&ctx, REFUSED)
            .agent(refusal.agent)
            .outcome("refused")
            .facts(json!({
                "code": refusal.code,
                "fingerprint": fingerprint,
                "scheme": refusal.scheme,
                "held_back": held_back,
            }))
            .details(details(refusal));
        Some(match fingerprint {
            Some(fingerprint) => entry.target("agent_key", fingerprint),
            None => entry.target("agent", refusal.agent),
        })
    }

    /// Writes the record of `refusal`, if it is due, in a transaction of its own. The caller is refused in
    /// any case, so a failure to write is only logged.
    pub async fn note(&self, store: &Store, refusal: Refusal<'_>) {
        let Some(entry) = self.entry(&refusal) else {
            return;
        };
        tracing::warn!(agent = %refusal.agent, fingerprint = refusal.fingerprint, code = refusal.code, "a signature in the name of a registered agent was refused");
        let written = store
            .write(refusal.organization, move |db| {
                aim_audit::append(db, vec![entry.clone()]).map(|_| ())
            })
            .await;
        if let Err(error) = written {
            tracing::warn!(?error, "the refusal of a signature could not be recorded");
        }
    }
}

fn details(refusal: &Refusal<'_>) -> Value {
    let asked: String = refusal.asked.chars().take(256).collect();
    json!({ "source_ip": refusal.source_ip, "asked": asked })
}

#[cfg(test)]
mod tests {
    use aim_core::Id;

    use super::*;

    fn refusal(agent: AgentId, code: &'static str, now: Timestamp) -> Refusal<'static> {
        Refusal {
            organization: Id::generate(now),
            agent,
            fingerprint: Some("key"),
            code,
            scheme: "rfc9421",
            now,
            source_ip: Some("203.0.113.7"),
            asked: "POST /x".to_owned(),
        }
    }

    #[test]
    fn a_subject_is_noted_once_a_minute_with_how_many_were_held_back() {
        let gate = Refusals::default();
        let start = Timestamp::parse("2026-01-01T00:00:00Z").unwrap();
        let agent: AgentId = Id::generate(start);
        let held = |entry: Option<Entry>| entry.map(|entry| entry.facts["held_back"].clone());
        assert_eq!(held(gate.entry(&refusal(agent, "wrong", start))), Some(json!(0)));
        for seconds in [1, 59] {
            let again = refusal(agent, "wrong", start + TimeDelta::seconds(seconds));
            assert!(gate.entry(&again).is_none());
        }
        let other = refusal(agent, "replayed", start + TimeDelta::seconds(2));
        assert!(gate.entry(&other).is_some(), "another kind is not held up");
        let later = refusal(agent, "wrong", start + TimeDelta::seconds(60));
        assert_eq!(held(gate.entry(&later)), Some(json!(2)));
        assert!(
            gate.entry(&refusal(agent, "wrong", start)).is_some(),
            "a clock that was set back does not silence it"
        );
    }

    #[test]
    fn the_address_is_a_detail_that_can_be_erased_and_no_fact() {
        let start = Timestamp::parse("2026-01-01T00:00:00Z").unwrap();
        let entry = Refusals::default()
            .entry(&refusal(Id::generate(start), "wrong", start))
            .unwrap();
        assert!(!entry.facts.to_string().contains("203.0.113.7"));
        assert!(matches!(entry.details, aim_audit::Details::Inline(details)
            if details["source_ip"] == "203.0.113.7"));
    }

    #[test]
    fn a_flood_of_subjects_is_forgotten_early_rather_than_kept() {
        let gate = Refusals::default();
        let start = Timestamp::parse("2026-01-01T00:00:00Z").unwrap();
        for _ in 0..REMEMBERED * 2 + 1 {
            assert!(
                gate.entry(&refusal(Id::generate(start), "wrong", start))
                    .is_some()
            );
        }
        assert!(gate.0.lock().unwrap().len() <= REMEMBERED);
    }
}
