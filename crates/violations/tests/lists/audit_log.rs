//! Reading the audit log: pages against a plain search, and files that can be verified offline.

use aim_audit::{Details, Entry, Kind as EntryKind, leaf_hash};
use aim_core::{AgentId, Code, DecisionId, OrganizationId, Role, Timestamp, ctx::ActorRef};
use aim_store::{Scope, each, schema::decisions};
use aim_violations::audit_log::{
    AuditEntry,
    model::AuditQuery,
    store::{Filter, Kind, page},
};
use chrono::TimeDelta;
use diesel::{ExpressionMethods, RunQueryDsl};
use serde_json::json;

use crate::{
    house::{House, at, on_each, request},
    violations::Dice,
};

const ACTIONS: [&str; 3] = ["agent.suspended", "capability.granted", "policy.created"];

fn event(
    dice: &mut Dice,
    organization: OrganizationId,
    actors: &[ActorRef],
    agents: &[AgentId],
    at: Timestamp,
) -> Entry {
    let agent = *dice.pick(agents);
    Entry {
        organization,
        at,
        kind: EntryKind::Event,
        action: dice.pick::<&'static str>(&ACTIONS),
        actor: dice.pick(actors).clone(),
        agent: Some(agent),
        target_kind: "agent",
        target_id: Some(agent.to_string()),
        outcome: "ok",
        facts: json!({"n": dice.below(10)}),
        details: Details::Inline(json!({"reason": "=1+1"})),
    }
}

fn decision(dice: &mut Dice, organization: OrganizationId, agents: &[AgentId], at: Timestamp) -> Entry {
    let agent = *dice.pick(agents);
    Entry {
        organization,
        at,
        kind: EntryKind::Decision,
        action: "action.decided",
        actor: ActorRef {
            kind: "agent".to_owned(),
            id: Some(agent.to_string()),
        },
        agent: Some(agent),
        target_kind: "decision",
        target_id: Some(DecisionId::generate(at).to_string()),
        outcome: dice.pick::<&'static str>(&["approved", "denied"]),
        facts: json!({}),
        details: Details::Elsewhere([1; 32]),
    }
}

impl House {
    async fn log(&self, entries: Vec<Entry>) {
        self.store()
            .write(Scope::Installation, move |db| {
                let leaves = aim_audit::append(db, entries.clone())?;
                for (entry, leaf) in entries.iter().zip(leaves) {
                    if entry.kind != EntryKind::Decision {
                        continue;
                    }
                    let id: DecisionId = entry.target_id.as_ref().unwrap().parse().unwrap();
                    each!(db, c => diesel::insert_into(decisions::table)
                        .values((
                            (
                                decisions::org_id.eq(entry.organization),
                                decisions::id.eq(id),
                                decisions::agent_id.eq(entry.agent.unwrap()),
                                decisions::created_at.eq(entry.at),
                                decisions::action.eq("db:read"),
                                decisions::status.eq(entry.outcome),
                                decisions::outcome.eq(entry.outcome),
                                decisions::reason_codes.eq(aim_core::Json(json!([]))),
                            ),
                            (
                                decisions::risk.eq("low"),
                                decisions::credential.eq("key"),
                                decisions::scheme.eq("rfc9421"),
                                decisions::snapshot_digest.eq(vec![0_u8; 32]),
                                decisions::inputs.eq("{}"),
                                decisions::verdict.eq("{}"),
                                decisions::salt.eq(vec![0_u8; 16]),
                                decisions::leaf_index.eq(leaf.index),
                            ),
                        ))
                        .execute(c))?;
                }
                Ok(())
            })
            .await
            .unwrap();
    }

    /// A log of 400 records, times not quite in the order of the records, and the ids it speaks of.
    async fn random_log(&self, dice: &mut Dice) -> (Vec<AgentId>, Vec<ActorRef>) {
        let mut agents = Vec::new();
        for name in ["a", "b", "c"] {
            agents.push(self.agent(self.home, name).await);
        }
        let user = |number: u8| ActorRef {
            kind: "user".to_owned(),
            id: Some(format!("user-{number}")),
        };
        let actors = vec![
            user(1),
            user(2),
            ActorRef {
                kind: "agent".to_owned(),
                id: Some(agents[0].to_string()),
            },
        ];
        let mut entries = Vec::new();
        for number in 0..400_i64 {
            let jitter = i64::try_from(dice.below(20)).unwrap();
            let moment = at("2026-03-01T00:00:00Z") + TimeDelta::minutes(number) + TimeDelta::minutes(jitter);
            let organization = if dice.below(5) == 0 {
                self.elsewhere
            } else {
                self.home
            };
            entries.push(match dice.below(3) {
                0 => event(dice, organization, &actors, &agents, moment),
                _ => decision(dice, organization, &agents, moment),
            });
        }
        self.log(entries).await;
        (agents, actors)
    }

    /// Everything that the organisation `home` has in the log, by the filter that narrows nothing.
    async fn everything(&self) -> Vec<AuditEntry> {
        let home = self.home;
        let rows = self
            .read(move |db| page(db, home, &Filter::default(), None, 10_000))
            .await;
        rows.into_iter().map(AuditEntry::from).collect()
    }
}

fn selects(filter: &Filter, entry: &AuditEntry) -> bool {
    let kind = match filter.kind {
        Some(Kind::Event) => entry.kind == "event",
        Some(Kind::Decision) => entry.kind == "decision",
        None => true,
    };
    kind && filter
        .action
        .as_ref()
        .is_none_or(|action| *action == entry.action)
        && filter
            .actor_kind
            .as_ref()
            .is_none_or(|kind| *kind == entry.actor.kind)
        && filter
            .actor_id
            .as_ref()
            .is_none_or(|id| entry.actor.id.as_ref() == Some(id))
        && filter.agent_id.is_none_or(|id| entry.agent_id == Some(id))
        && filter
            .target_id
            .as_ref()
            .is_none_or(|id| entry.target.id.as_ref() == Some(id))
        && filter
            .outcome
            .as_ref()
            .is_none_or(|outcome| *outcome == entry.outcome)
        && filter.from.is_none_or(|from| entry.created_at >= from)
        && filter.to.is_none_or(|to| entry.created_at < to)
}

#[actix_web::test]
async fn a_walk_through_the_pages_is_a_plain_search_for_any_filter() {
    on_each(|house| async move {
        let mut dice = Dice::seeded(99);
        let (agents, actors) = house.random_log(&mut dice).await;
        let all = house.everything().await;
        assert!((250..400).contains(&all.len()));
        assert!(all.is_sorted_by_key(|entry| std::cmp::Reverse(entry.leaf_index)));
        let mut found_some = 0;
        for round in 0..300 {
            let sometimes = |dice: &mut Dice| dice.below(3) == 0;
            let moment = |dice: &mut Dice| {
                at("2026-03-01T00:00:00Z") + TimeDelta::minutes(i64::try_from(dice.below(420)).unwrap())
            };
            let some = dice.pick(&all).clone();
            let filter = Filter {
                action: sometimes(&mut dice).then(|| some.action.clone()),
                kind: sometimes(&mut dice).then(|| *dice.pick(&[Kind::Event, Kind::Decision])),
                actor_kind: sometimes(&mut dice).then(|| dice.pick(&actors).kind.clone()),
                actor_id: sometimes(&mut dice).then(|| some.actor.id.clone().unwrap()),
                agent_id: sometimes(&mut dice).then(|| *dice.pick(&agents)),
                target_id: (dice.below(4) == 0).then(|| some.target.id.clone().unwrap()),
                outcome: sometimes(&mut dice).then(|| some.outcome.clone()),
                from: sometimes(&mut dice).then(|| moment(&mut dice)),
                to: sometimes(&mut dice).then(|| moment(&mut dice)),
            };
            let mut expected: Vec<i64> = all
                .iter()
                .filter(|entry| selects(&filter, entry))
                .map(|entry| entry.leaf_index)
                .collect();
            expected.sort_unstable();
            found_some += usize::from(!expected.is_empty());
            let (mut seen, mut before) = (Vec::new(), None);
            loop {
                let (home, wanted) = (house.home, filter.clone());
                let rows = house.read(move |db| page(db, home, &wanted, before, 7)).await;
                seen.extend(rows.iter().map(|row| row.leaf_index));
                before = rows.last().map(|row| row.leaf_index);
                if rows.len() < 7 {
                    break;
                }
            }
            seen.sort_unstable();
            assert_eq!(seen, expected, "round {round}: {filter:?}");
        }
        assert!(
            found_some > 80,
            "the filters must select something often enough: {found_some}"
        );
    })
    .await;
}

#[actix_web::test]
async fn pages_go_on_by_cursor_and_tell_no_total() {
    on_each(|house| async move {
        house.random_log(&mut Dice::seeded(5)).await;
        let (manager, all) = (house.manager(), house.everything().await);
        let (mut seen, mut cursor) = (Vec::new(), String::new());
        loop {
            let path = format!("/api/v1/audit-logs?limit=100{cursor}");
            let answer = house.send(request(&manager, "GET", &path)).await;
            assert_eq!(answer.status, 200);
            let list = answer.json();
            assert_eq!((&list["limit"], list.get("total")), (&json!(100), None));
            seen.extend(
                list["entries"]
                    .as_array()
                    .unwrap()
                    .iter()
                    .map(|entry| entry["leaf_index"].as_i64().unwrap()),
            );
            let Some(next) = list["next_cursor"].as_str() else {
                break;
            };
            cursor = format!("&cursor={next}");
        }
        assert_eq!(seen, all.iter().map(|entry| entry.leaf_index).collect::<Vec<_>>());
        let list = house
            .send(request(&manager, "GET", "/api/v1/audit-logs?kind=event&limit=1"))
            .await
            .json();
        let entry = &list["entries"][0];
        assert_eq!(entry["details"], json!({"reason": "=1+1"}));
        assert!(
            entry["facts"]["n"].is_number()
                && entry["actor"]["id"].is_string()
                && entry["target"]["kind"] == "agent"
        );
        assert_eq!(entry["leaf_hash"].as_str().unwrap().len(), 64);
    })
    .await;
}

#[actix_web::test]
async fn a_file_is_the_filtered_set_and_its_leaves_can_be_verified_offline() {
    on_each(|house| async move {
        house.random_log(&mut Dice::seeded(6)).await;
        let manager = house.manager();
        let all = house.everything().await;

        let answer = house
            .send(request(&manager, "GET", "/api/v1/audit-logs?format=ndjson"))
            .await;
        assert_eq!(
            answer.headers.get("content-type").unwrap(),
            "application/x-ndjson; charset=utf-8"
        );
        assert_eq!(
            answer.headers.get("content-disposition").unwrap(),
            "attachment; filename=\"audit-log.ndjson\""
        );
        let lines: Vec<serde_json::Value> = answer
            .text()
            .lines()
            .map(|line| serde_json::from_str(line).unwrap())
            .collect();
        assert_eq!(lines.len(), all.len());
        for (line, entry) in lines.iter().zip(&all) {
            let leaf = line["leaf"].as_str().unwrap();
            let hash: String = leaf_hash(leaf.as_bytes())
                .iter()
                .map(|byte| format!("{byte:02x}"))
                .collect();
            assert_eq!(line["leaf_hash"], json!(hash));
            assert_eq!(
                (line["leaf_index"].as_i64(), &line["link"]),
                (Some(entry.leaf_index), &json!(entry.link))
            );
            assert_eq!(line["salt"].is_string(), entry.kind == "event");
        }

        let call =
            request(&manager, "GET", "/api/v1/audit-logs?kind=event").insert_header(("accept", "text/csv"));
        let answer = house.send(call).await;
        assert_eq!(
            answer.headers.get("content-type").unwrap(),
            "text/csv; charset=utf-8"
        );
        let text = answer.text();
        let mut reader = csv::Reader::from_reader(text.as_bytes());
        assert_eq!(
            reader.headers().unwrap(),
            &csv::StringRecord::from(AuditEntry::CSV_HEADER.to_vec())
        );
        let indexes: Vec<String> = reader
            .records()
            .map(|record| record.unwrap()[0].to_owned())
            .collect();
        let expected = all
            .iter()
            .filter(|entry| entry.kind == "event")
            .map(|entry| entry.leaf_index.to_string());
        assert_eq!(indexes, expected.collect::<Vec<_>>());
    })
    .await;
}

#[actix_web::test]
async fn the_log_is_for_managers_of_the_organisation_and_what_is_not_accepted_is_named() {
    on_each(|house| async move {
        house.random_log(&mut Dice::seeded(8)).await;
        let agent = house.agent(house.home, "me").await;
        let me = house.acting(house.home, agent);
        let path = "/api/v1/audit-logs";
        for (ctx, status) in [
            (&me, 403),
            (&house.user(house.home, Role::Member), 403),
            (&house.manager(), 200),
            (&house.user(house.elsewhere, Role::Admin), 200),
        ] {
            assert_eq!(house.send(request(ctx, "GET", path)).await.status, status);
        }
        let refused = house
            .audit_log()
            .list(&me, Filter::default(), AuditQuery::default().page().unwrap())
            .await;
        assert_eq!(refused.unwrap_err().code, Code::NotFound);
        let foreign = house.user(house.elsewhere, Role::Admin);
        let ours: Vec<i64> = house
            .everything()
            .await
            .iter()
            .map(|entry| entry.leaf_index)
            .collect();
        let theirs = house
            .send(request(&foreign, "GET", &format!("{path}?limit=100")))
            .await
            .json();
        let theirs = theirs["entries"].as_array().unwrap();
        assert!(!theirs.is_empty());
        assert!(
            theirs
                .iter()
                .all(|entry| !ours.contains(&entry["leaf_index"].as_i64().unwrap()))
        );
        for (query, field) in [
            ("kind=thing", "kind"),
            ("agent_id=x", "agent_id"),
            ("from=x", "from"),
            ("limit=101", "limit"),
            ("cursor=x", "cursor"),
            ("cursor=ffffffffffffffffffffffffffffffff", "cursor"),
            ("action=", "action"),
            ("format=xml", "format"),
        ] {
            let answer = house
                .send(request(&house.manager(), "GET", &format!("{path}?{query}")))
                .await;
            assert_eq!(
                (answer.status, &answer.json()["field"]),
                (422, &json!(field)),
                "{query}"
            );
        }
    })
    .await;
}
