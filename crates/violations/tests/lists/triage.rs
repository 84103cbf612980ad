//! What people make of violations: against a plain model for random acts, over HTTP, and in the log.

use std::collections::HashMap;

use aim_core::{AgentId, Code, Ctx, Json, PageRequest, Role, Timestamp, ViolationId};
use aim_violations::violations::{
    Filter, GroupFilter, TriageFilter, TriageState, ViolationView, groups::GroupKey, store::ViolationRow,
    triage::model::Act,
};
use chrono::TimeDelta;
use serde_json::{Value, json};

use crate::{
    house::{House, at, on_each, request},
    violations::{Dice, random_filter, random_rows, selects, violation},
};

/// What was said last, and until when it counts.
#[derive(Clone, Copy)]
struct Said {
    state: TriageState,
    until: Option<Timestamp>,
}

/// The rules of triage in the plainest words.
#[derive(Default)]
struct Model {
    singles: HashMap<ViolationId, (GroupKey, Said)>,
    groups: HashMap<GroupKey, (Option<ViolationId>, Said)>,
}

impl Model {
    fn state(&self, row: &ViolationRow, now: Timestamp) -> TriageState {
        let counts = |said: &Said| said.until.is_none_or(|until| until > now);
        if let Some((_, said)) = self.singles.get(&row.id).filter(|(_, said)| counts(said)) {
            return said.state;
        }
        match self.groups.get(&GroupKey::of(row)) {
            Some((through, said)) if counts(said) && through.is_none_or(|through| row.id <= through) => {
                said.state
            }
            _ => TriageState::Open,
        }
    }
}

fn random_act(dice: &mut Dice, ctx: &Ctx) -> (Act, Said) {
    let until = ctx.now + TimeDelta::minutes(1 + i64::try_from(dice.below(90)).unwrap());
    let (act, state, until) = match dice.below(4) {
        0 => (Act::acknowledge(None), TriageState::Acknowledged, None),
        1 => (Act::resolve("dealt with"), TriageState::Resolved, None),
        2 => (
            Act::suppress(ctx, "noise", until),
            TriageState::Suppressed,
            Some(until),
        ),
        _ => (Act::reopen(Some("again")), TriageState::Open, None),
    };
    (act.unwrap(), Said { state, until })
}

/// One act on a random violation or group, done to the house and to the model.
async fn random_step(house: &House, dice: &mut Dice, model: &mut Model, rows: &[ViolationRow]) {
    let (service, ctx) = (house.triage(), house.manager());
    let row = dice.pick(rows);
    let (act, said) = random_act(dice, &ctx);
    let key = GroupKey::of(row);
    if dice.one_in(2) {
        let before = model.state(row, ctx.now);
        let answer = service.act(&ctx, row.id, act).await;
        if said.state == TriageState::Open && before == TriageState::Open {
            assert_eq!(answer.unwrap_err().code, Code::StateConflict);
        } else {
            assert_eq!(answer.unwrap().state, said.state);
            model.singles.insert(row.id, (key, said));
        }
        return;
    }
    let through = dice.one_in(2).then_some(row.id);
    let answer = service.act_on_group(&ctx, key.clone(), act, through).await;
    let latest = rows
        .iter()
        .filter(|row| GroupKey::of(row) == key)
        .map(|row| row.id)
        .max();
    let covered = match said.state {
        TriageState::Acknowledged | TriageState::Resolved => through.or(latest),
        TriageState::Open | TriageState::Suppressed => None,
    };
    let count = model.singles.len();
    model
        .singles
        .retain(|id, (of, _)| *of != key || covered.is_some_and(|covered| *id > covered));
    if said.state == TriageState::Open {
        let known = model.groups.remove(&key).is_some() || model.singles.len() < count;
        assert_eq!(
            answer.map_err(|error| error.code).err(),
            (!known).then_some(Code::StateConflict)
        );
    } else {
        let view = answer.unwrap();
        let whole = covered.is_none_or(|covered| Some(covered) == latest);
        let state = if whole { said.state } else { TriageState::Open };
        assert_eq!(view.state, state);
        model.groups.insert(key, (covered, said));
    }
}

#[actix_web::test]
async fn lists_by_state_are_those_of_a_plain_model_after_any_acts() {
    on_each(|house| async move {
        let mut dice = Dice::seeded(20_261_123);
        let mut agents = Vec::new();
        for name in ["a", "b", "c"] {
            agents.push(house.agent(house.home, name).await);
        }
        let mut rows = random_rows(&mut dice, house.home, &agents, 600);
        for row in &mut rows {
            let codes = [
                json!(["capability.not_granted", "scope.resource"]),
                json!(["policy.denied"]),
                json!([]),
            ];
            row.reason_codes = Json(dice.pick(&codes).clone());
        }
        house.record(&rows).await;
        let (service, mut model, mut found) = (house.violations(), Model::default(), 0);
        for round in 0..60 {
            for _ in 0..3 {
                random_step(&house, &mut dice, &mut model, &rows).await;
            }
            house.clock.advance(TimeDelta::minutes(7));
            let viewer = house.user(house.home, Role::Viewer);
            let wanted: Vec<TriageState> = TriageState::ALL.into_iter().filter(|_| dice.one_in(2)).collect();
            let plain = random_filter(&mut dice, &agents);
            let filter = Filter {
                triage: TriageFilter::of(&wanted, viewer.now),
                ..if dice.one_in(2) { Filter::default() } else { plain }
            };
            let expected: Vec<(ViolationId, TriageState)> = rows
                .iter()
                .filter(|row| selects(&filter, row))
                .map(|row| (row.id, model.state(row, viewer.now)))
                .filter(|(_, state)| wanted.is_empty() || wanted.contains(state))
                .collect();
            found += usize::from(!expected.is_empty() && filter.triage.is_some());
            let (seen, _) = service.piece(&viewer, filter.clone(), None).await.unwrap();
            let seen: Vec<_> = seen.iter().map(|view| (view.id, view.state)).collect();
            assert_eq!(seen, expected, "round {round}: {filter:?}");
            let page = PageRequest::parse(Some(10), None, None).unwrap();
            let list = service.list(&viewer, filter, page).await.unwrap();
            assert_eq!(
                list.total,
                i64::try_from(expected.len()).unwrap(),
                "round {round}"
            );
            assert_eq!(list.violations.len(), expected.len().min(10));
        }
        assert!(found > 20, "only {found} filters by state found anything");
    })
    .await;
}

#[actix_web::test]
async fn one_more_repeat_opens_a_resolved_group_and_stays_hidden_in_a_suppressed_one_until_it_is_over() {
    on_each(|house| async move {
        let agent = house.agent(house.home, "a").await;
        let first = violation(house.home, agent, at("2026-03-10T10:00:00Z"));
        house.record(std::slice::from_ref(&first)).await;
        let (lists, service) = (house.violations(), house.triage());
        let key = GroupKey::of(&first);
        let open_groups = async || {
            let viewer = house.user(house.home, Role::Viewer);
            let filter = GroupFilter {
                triage: TriageFilter::of(&[TriageState::Open], viewer.now),
                ..GroupFilter::default()
            };
            lists
                .groups(&viewer, filter, PageRequest::default())
                .await
                .unwrap()
                .total
        };
        assert_eq!(open_groups().await, 1);
        let ctx = house.manager();
        let resolved = service
            .act_on_group(&ctx, key.clone(), Act::resolve("fixed").unwrap(), None)
            .await
            .unwrap();
        assert_eq!((resolved.state, open_groups().await), (TriageState::Resolved, 0));
        let triage = resolved.triage.unwrap();
        assert_eq!(
            (triage.by.clone(), triage.at, triage.reason.as_str()),
            (ctx.actor_text(), ctx.now, "fixed")
        );

        house
            .record(&[violation(house.home, agent, at("2026-03-10T11:00:00Z"))])
            .await;
        assert_eq!(open_groups().await, 1);
        let viewer = house.user(house.home, Role::Viewer);
        let list = lists
            .list(&viewer, Filter::default(), PageRequest::default())
            .await
            .unwrap();
        let states: Vec<TriageState> = list.violations.iter().map(|view| view.state).collect();
        assert_eq!(states, [TriageState::Open, TriageState::Resolved]);

        let until = house.kernel.now() + TimeDelta::hours(1);
        let act = Act::suppress(&house.manager(), "known noise", until).unwrap();
        service
            .act_on_group(&house.manager(), key, act, None)
            .await
            .unwrap();
        house
            .record(&[violation(house.home, agent, house.kernel.now())])
            .await;
        assert_eq!(open_groups().await, 0);
        house.clock.advance(TimeDelta::hours(1));
        assert_eq!(open_groups().await, 1);
    })
    .await;
}

async fn post(house: &House, ctx: &Ctx, path: &str, body: Value) -> (u16, Value) {
    let answer = house.send(request(ctx, "POST", path).set_json(body)).await;
    (answer.status, answer.json())
}

#[actix_web::test]
async fn the_routes_set_and_take_back_states_and_every_change_is_in_the_log() {
    on_each(|house| async move {
        let agent = house.agent(house.home, "a").await;
        let row = violation(house.home, agent, at("2026-03-10T10:00:00Z"));
        house.record(std::slice::from_ref(&row)).await;
        let manager = house.manager();
        let path = format!("/api/v1/violations/{}", row.id);
        let answer = house.send(request(&manager, "GET", &path)).await.json();
        assert_eq!((&answer["state"], &answer["triage"]), (&json!("open"), &Value::Null));
        let group = json!({"agent_id": agent, "attempted_capability": "db:read", "reason_code": "capability.not_granted"});
        let with = |extra: Value| {
            let mut body = group.clone();
            body.as_object_mut().unwrap().extend(extra.as_object().unwrap().clone());
            body
        };
        let until = "2026-03-11T00:00:00Z";
        for (target, body, state) in [
            (format!("{path}/acknowledge"), json!({}), "acknowledged"),
            (format!("{path}/resolve"), json!({"reason": "the grant was missing"}), "resolved"),
            (format!("{path}/suppress"), json!({"reason": "noise", "until": until}), "suppressed"),
            (format!("{path}/reopen"), json!({}), "open"),
            ("/api/v1/violation-groups/acknowledge".to_owned(), with(json!({})), "acknowledged"),
            ("/api/v1/violation-groups/resolve".to_owned(), with(json!({"reason": "done", "through": row.id})), "resolved"),
            ("/api/v1/violation-groups/suppress".to_owned(), with(json!({"reason": "noise", "until": until})), "suppressed"),
            ("/api/v1/violation-groups/reopen".to_owned(), with(json!({"reason": "not yet"})), "open"),
        ] {
            let (status, answer) = post(&house, &manager, &target, body).await;
            assert_eq!((status, &answer["state"]), (200, &json!(state)), "{target}: {answer}");
            let one = house.send(request(&manager, "GET", &path)).await.json();
            let filtered = house
                .send(request(&manager, "GET", &format!("/api/v1/violations?state={state}")))
                .await
                .json();
            assert_eq!((&one["state"], &filtered["total"]), (&json!(state), &json!(1)), "{target}");
        }
        assert_eq!(
            house.logged().await,
            [
                "violation.acknowledged",
                "violation.resolved",
                "violation.suppressed",
                "violation.reopened",
                "violation_group.acknowledged",
                "violation_group.resolved",
                "violation_group.suppressed",
                "violation_group.reopened",
            ]
        );
        let file = house.send(request(&manager, "GET", "/api/v1/violations?state=open&format=csv")).await.text();
        assert!(ViolationView::CSV_HEADER.contains(&"state") && file.trim_end().ends_with(",open"), "{file}");
    })
    .await;
}

#[actix_web::test]
async fn triage_refuses_what_it_cannot_take_by_field_and_writes_nothing() {
    on_each(|house| async move {
        let agent = house.agent(house.home, "a").await;
        let row = violation(house.home, agent, at("2026-03-10T10:00:00Z"));
        house.record(std::slice::from_ref(&row)).await;
        let manager = house.manager();
        let path = |rest: &str| format!("/api/v1/violations/{}/{rest}", row.id);
        for (target, body, status, field) in [
            (path("resolve"), json!({}), 422, "reason"),
            (path("resolve"), json!({"reason": "  x "}), 422, "reason"),
            (path("resolve"), json!({"reason": "x".repeat(501)}), 422, "reason"),
            (path("suppress"), json!({"reason": "noise"}), 422, "until"),
            (path("suppress"), json!({"reason": "noise", "until": "2026-03-10T12:00:00Z"}), 422, "until"),
            (path("suppress"), json!({"reason": "noise", "until": "2027-03-11T00:00:00Z"}), 422, "until"),
            (path("suppress"), json!({"reason": "noise", "until": "tomorrow"}), 422, "until"),
            (path("acknowledge"), json!({"because": "x"}), 422, "because"),
        ] {
            let (answered, problem) = post(&house, &manager, &target, body.clone()).await;
            assert_eq!((answered, &problem["field"]), (status, &json!(field)), "{target} {body}: {problem}");
        }
        let (status, problem) = post(&house, &manager, &path("reopen"), json!({})).await;
        assert_eq!((status, &problem["code"]), (409, &json!("resource.state")));
        let viewer = house.user(house.home, Role::Viewer);
        let (status, _) = post(&house, &viewer, &path("acknowledge"), json!({})).await;
        assert_eq!(status, 403);
        let foreign = house.user(house.elsewhere, Role::Admin);
        let unknown = format!("/api/v1/violations/{}/acknowledge", ViolationId::generate(manager.now));
        assert_eq!(post(&house, &foreign, &path("acknowledge"), json!({})).await.0, 404);
        assert_eq!(post(&house, &manager, &unknown, json!({})).await.0, 404);
        let group = json!({"agent_id": agent, "attempted_capability": "db:read", "reason_code": "capability.not_granted"});
        assert_eq!(post(&house, &foreign, "/api/v1/violation-groups/acknowledge", group.clone()).await.0, 404);
        assert_eq!(post(&house, &manager, "/api/v1/violation-groups/reopen", group).await.0, 409);
        let none = json!({"agent_id": AgentId::generate(manager.now), "attempted_capability": "db:read", "reason_code": "x"});
        assert_eq!(post(&house, &manager, "/api/v1/violation-groups/acknowledge", none).await.0, 404);
        assert!(house.logged().await.is_empty());
    })
    .await;
}
