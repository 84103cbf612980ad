//! Violations: totals against a plain count of random data, pages, files and groups.

use aim_core::{
    AgentId, Code, Cursor, DecisionId, Json, OrganizationId, PageRequest, Role, Timestamp, ViolationId,
};
use aim_decision::Severity;
use aim_violations::violations::{
    self as area, Filter, GroupFilter, ViolationView, counts,
    store::{Slice, ViolationRow, page},
    window::Window,
};
use chrono::TimeDelta;
use serde_json::json;

use crate::house::{House, at, on_each, request};

const SEVERITIES: [Severity; 4] = [
    Severity::Low,
    Severity::Medium,
    Severity::High,
    Severity::Critical,
];

/// SplitMix64: the same numbers for the same seed, everywhere.
pub(crate) struct Dice(u64);

impl Dice {
    pub(crate) fn seeded(seed: u64) -> Self {
        Self(seed)
    }

    pub(crate) fn below(&mut self, end: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (mixed ^ (mixed >> 31)) % end
    }

    pub(crate) fn one_in(&mut self, count: u64) -> bool {
        self.below(count) == 0
    }

    pub(crate) fn pick<'a, T>(&mut self, items: &'a [T]) -> &'a T {
        &items[usize::try_from(self.below(items.len() as u64)).unwrap()]
    }
}

pub(crate) fn violation(organization: OrganizationId, agent: AgentId, moment: Timestamp) -> ViolationRow {
    ViolationRow {
        org_id: organization,
        id: ViolationId::generate(moment),
        agent_id: agent,
        agent_name: "a".to_owned(),
        decision_id: DecisionId::generate(moment),
        attempted_capability: "db:read".to_owned(),
        resource: None,
        registered_capabilities: Json(json!(["db:list"])),
        severity: "low".to_owned(),
        trust_score_impact: -1,
        is_blocked: true,
        source_ip: Some("192.0.2.1".to_owned()),
        request_metadata: Json(json!({"context": {}})),
        reason_codes: Json(json!(["capability.not_granted"])),
        created_at: moment,
    }
}

impl House {
    pub(crate) async fn record(&self, rows: &[ViolationRow]) {
        for part in rows.chunks(500) {
            let part = part.to_vec();
            self.store()
                .write(aim_store::Scope::Installation, move |db| area::record(db, &part))
                .await
                .unwrap();
        }
    }
}

const CAPABILITIES: [&str; 4] = ["db:read", "db:write", "mail:send", "pay"];

/// Violations over five days, more of them in some hours than in others, some in the same millisecond.
pub(crate) fn random_rows(
    dice: &mut Dice,
    organization: OrganizationId,
    agents: &[AgentId],
    count: usize,
) -> Vec<ViolationRow> {
    let start = at("2026-03-01T00:00:00Z");
    let mut rows = Vec::with_capacity(count);
    for _ in 0..count {
        let hour = dice.below(120);
        let hour = if dice.one_in(3) { hour } else { hour / 10 };
        let within = match dice.below(4) {
            0 => 0,
            1 => 1_800_000_000 + dice.below(2_500),
            _ => dice.below(3_600_000_000),
        };
        let micros = i64::try_from(hour * 3_600_000_000 + within).unwrap();
        let mut row = violation(
            organization,
            *dice.pick(agents),
            start + TimeDelta::microseconds(micros),
        );
        row.attempted_capability = (*dice.pick(&CAPABILITIES)).to_owned();
        row.severity = dice.pick(&SEVERITIES).as_str().to_owned();
        row.is_blocked = !dice.one_in(5);
        rows.push(row);
    }
    rows.sort_by_key(|row| std::cmp::Reverse(row.id));
    rows
}

fn random_moment(dice: &mut Dice) -> Option<Timestamp> {
    let start = at("2026-02-28T00:00:00Z");
    let units = match dice.below(5) {
        0 => return None,
        1 => TimeDelta::days(i64::try_from(dice.below(8)).unwrap()),
        2 => TimeDelta::hours(i64::try_from(dice.below(190)).unwrap()),
        // Around the crowded half hours, to the microsecond.
        3 => {
            let micros = 1_800_000_000 + dice.below(2_500);
            TimeDelta::hours(i64::try_from(dice.below(60)).unwrap())
                + TimeDelta::microseconds(i64::try_from(micros).unwrap())
        }
        _ => TimeDelta::microseconds(i64::try_from(dice.below(190 * 3_600_000_000)).unwrap()),
    };
    Some(start + units)
}

pub(crate) fn random_filter(dice: &mut Dice, agents: &[AgentId]) -> Filter {
    let (mut from, mut to) = (random_moment(dice), random_moment(dice));
    if from.zip(to).is_some_and(|(from, to)| from > to) {
        (from, to) = (to, from);
    }
    let mut severities: Vec<Severity> = (0..dice.below(4)).map(|_| *dice.pick(&SEVERITIES)).collect();
    severities.sort_unstable();
    severities.dedup();
    Filter {
        agent: dice.one_in(2).then(|| *dice.pick(agents)),
        severities,
        capability: dice.one_in(3).then(|| (*dice.pick(&CAPABILITIES)).to_owned()),
        blocked: dice.one_in(4).then(|| dice.one_in(2)),
        window: Window { from, to },
        triage: None,
    }
}

pub(crate) fn selects(filter: &Filter, row: &ViolationRow) -> bool {
    filter.agent.is_none_or(|agent| agent == row.agent_id)
        && (filter.severities.is_empty() || filter.severity_names().contains(&row.severity.as_str()))
        && filter
            .capability
            .as_ref()
            .is_none_or(|capability| *capability == row.attempted_capability)
        && filter.blocked.is_none_or(|blocked| blocked == row.is_blocked)
        && filter.window.from.is_none_or(|from| row.created_at >= from)
        && filter.window.to.is_none_or(|to| row.created_at < to)
}

#[actix_web::test]
async fn totals_and_pages_are_those_of_a_plain_search_for_any_filter() {
    on_each(|house| async move {
        let mut dice = Dice::seeded(20_260_310);
        let mut agents = Vec::new();
        for name in ["a", "b", "c"] {
            agents.push(house.agent(house.home, name).await);
        }
        let rows = random_rows(&mut dice, house.home, &agents, 2_000);
        house.record(&rows).await;
        let strangers = [house.agent(house.elsewhere, "x").await];
        house
            .record(&random_rows(&mut dice, house.elsewhere, &strangers, 200))
            .await;
        let (service, viewer) = (house.violations(), house.user(house.home, Role::Viewer));
        let mut found_some = 0;
        for round in 0..300 {
            let filter = random_filter(&mut dice, &agents);
            let wanted: Vec<&ViolationRow> = rows.iter().filter(|row| selects(&filter, row)).collect();
            found_some += usize::from(!wanted.is_empty());
            let limit = 1 + i64::try_from(dice.below(100)).unwrap();
            let offset = if dice.one_in(2) {
                i64::try_from(dice.below(150)).unwrap()
            } else {
                0
            };
            let request = PageRequest {
                limit,
                offset,
                cursor: None,
            };
            let list = service.list(&viewer, filter.clone(), request).await.unwrap();
            assert_eq!(
                list.total,
                i64::try_from(wanted.len()).unwrap(),
                "round {round}: {filter:?}"
            );
            let ids: Vec<ViolationId> = list.violations.iter().map(|view| view.id).collect();
            let skipped = usize::try_from(offset).unwrap();
            let taken = usize::try_from(limit).unwrap();
            let expected: Vec<ViolationId> = wanted
                .iter()
                .skip(skipped)
                .take(taken)
                .map(|row| row.id)
                .collect();
            assert_eq!(ids, expected, "round {round}: {filter:?}");
            assert_eq!(
                list.next_cursor.is_some(),
                wanted.len() > skipped + taken,
                "round {round}"
            );
            if let Some(before) = wanted.get(wanted.len() / 2) {
                let request = PageRequest {
                    limit,
                    offset: 0,
                    cursor: Some(Cursor(before.id.uuid())),
                };
                let list = service.list(&viewer, filter.clone(), request).await.unwrap();
                let ids: Vec<ViolationId> = list.violations.iter().map(|view| view.id).collect();
                let after = wanted.len() / 2 + 1;
                let expected: Vec<ViolationId> =
                    wanted.iter().skip(after).take(taken).map(|row| row.id).collect();
                assert_eq!(ids, expected, "round {round}: {filter:?}");
            }
        }
        assert!(
            found_some > 100,
            "the filters must select something often enough: {found_some}"
        );
    })
    .await;
}

#[actix_web::test]
async fn paging_by_cursor_visits_each_row_once_also_while_new_ones_arrive() {
    on_each(|house| async move {
        let agent = house.agent(house.home, "a").await;
        let mut dice = Dice::seeded(7);
        let mut rows = random_rows(&mut dice, house.home, &[agent], 250);
        house.record(&rows).await;
        let (service, viewer) = (house.violations(), house.user(house.home, Role::Viewer));
        let severities = vec![Severity::Low, Severity::Critical];
        for filter in [
            Filter::default(),
            Filter {
                severities,
                ..Filter::default()
            },
        ] {
            let (mut seen, mut cursor) = (Vec::new(), None);
            loop {
                let request = PageRequest::parse(Some(17), None, cursor.as_deref()).unwrap();
                let list = service.list(&viewer, filter.clone(), request).await.unwrap();
                seen.extend(list.violations.iter().map(|view| view.id));
                let mut newer = violation(house.home, agent, house.kernel.now());
                newer.severity = "critical".to_owned();
                house.record(&[newer]).await;
                cursor = list.next_cursor;
                if cursor.is_none() {
                    break;
                }
            }
            let expected: Vec<ViolationId> = rows
                .iter()
                .filter(|row| selects(&filter, row))
                .map(|row| row.id)
                .collect();
            assert_eq!(seen, expected);
            rows = present(&house).await;
        }
    })
    .await;
}

/// Everything that the organisation `home` has, newest first.
async fn present(house: &House) -> Vec<ViolationRow> {
    let (home, slice) = (
        house.home,
        Slice {
            before: None,
            offset: 0,
            limit: 10_000,
        },
    );
    house
        .read(move |db| page(db, home, &Filter::default(), slice))
        .await
}

#[actix_web::test]
async fn a_csv_file_is_the_filtered_set_however_many_pieces_it_takes_and_runs_no_formula() {
    on_each(|house| async move {
        let (agent, other) = (
            house.agent(house.home, "a").await,
            house.agent(house.home, "b").await,
        );
        let mut dice = Dice::seeded(11);
        let mut rows = random_rows(&mut dice, house.home, &[agent, other], 2_600);
        rows[0].agent_id = agent;
        rows[0].severity = "high".to_owned();
        rows[0].agent_name = "=HYPERLINK(\"http://x\")".to_owned();
        rows[0].resource = Some("+a,\"b\"\r\nc".to_owned());
        rows[0].reason_codes = Json(json!(["policy.denied", "capability.denied"]));
        rows[0].source_ip = Some("@x".to_owned());
        house.record(&rows).await;
        let viewer = house.user(house.home, Role::Viewer);

        let whole = house
            .send(request(&viewer, "GET", "/api/v1/violations?format=csv&limit=5"))
            .await;
        assert_eq!(whole.status, 200);
        assert_eq!(
            whole.headers.get("content-type").unwrap(),
            "text/csv; charset=utf-8"
        );
        assert_eq!(
            whole.headers.get("content-disposition").unwrap(),
            "attachment; filename=\"violations.csv\""
        );
        let text = whole.text();
        assert!(text.starts_with(&format!("{}\r\n", ViolationView::CSV_HEADER.join(","))));
        let mut reader = csv::Reader::from_reader(text.as_bytes());
        let records: Vec<csv::StringRecord> = reader.records().map(Result::unwrap).collect();
        let ids: Vec<String> = records.iter().map(|record| record[0].to_owned()).collect();
        assert_eq!(ids, rows.iter().map(|row| row.id.to_string()).collect::<Vec<_>>());
        let first = &records[0];
        assert_eq!(&first[1], rows[0].created_at.to_text());
        assert_eq!(&first[3], "'=HYPERLINK(\"http://x\")");
        assert_eq!(&first[5], "'+a,\"b\"\r\nc");
        assert_eq!(
            (&first[6], &first[8], &first[9]),
            ("high", "-1", "policy.denied capability.denied")
        );
        assert_eq!(&first[11], "'@x");

        let path =
            format!("/api/v1/agents/{agent}/violations?severity=high&severity=low&from=2026-03-01T02:30:00Z");
        let part = house
            .send(request(&viewer, "GET", &path).insert_header(("accept", "text/csv")))
            .await;
        let body = part.text();
        let ids: Vec<String> = csv::Reader::from_reader(body.as_bytes())
            .records()
            .map(|record| record.unwrap()[0].to_owned())
            .collect();
        let filter = Filter {
            agent: Some(agent),
            severities: vec![Severity::Low, Severity::High],
            window: Window {
                from: Some(at("2026-03-01T02:30:00Z")),
                to: None,
            },
            ..Filter::default()
        };
        let expected = rows
            .iter()
            .filter(|row| selects(&filter, row))
            .map(|row| row.id.to_string());
        assert_eq!(ids, expected.collect::<Vec<_>>());
        assert!(!ids.is_empty());
    })
    .await;
}

#[actix_web::test]
async fn a_file_that_is_being_sent_is_not_moved_by_new_rows() {
    on_each(|house| async move {
        let agent = house.agent(house.home, "a").await;
        let rows = random_rows(&mut Dice::seeded(3), house.home, &[agent], 2_100);
        house.record(&rows).await;
        let (service, viewer) = (house.violations(), house.user(house.home, Role::Viewer));
        let (mut seen, mut before, mut pieces) = (Vec::new(), None, 0);
        loop {
            let (views, last) = service.piece(&viewer, Filter::default(), before).await.unwrap();
            seen.extend(views.iter().map(|view| view.id));
            house
                .record(&[violation(house.home, agent, house.kernel.now())])
                .await;
            pieces += 1;
            before = last;
            if before.is_none() {
                break;
            }
        }
        assert_eq!(pieces, 3);
        assert_eq!(seen, rows.iter().map(|row| row.id).collect::<Vec<_>>());
    })
    .await;
}

fn of(agent: AgentId) -> GroupFilter {
    GroupFilter {
        agent: Some(agent),
        ..GroupFilter::default()
    }
}

#[actix_web::test]
async fn repeats_are_one_group_with_the_latest_on_top() {
    on_each(|house| async move {
        let (agent, other) = (
            house.agent(house.home, "a").await,
            house.agent(house.home, "b").await,
        );
        let moment = |minute: i64| at("2026-03-01T00:00:00Z") + TimeDelta::minutes(minute);
        let mut late = violation(house.home, agent, moment(5));
        late.severity = "critical".to_owned();
        late.agent_name = "renamed".to_owned();
        let mut denied = violation(house.home, agent, moment(3));
        denied.reason_codes = Json(json!(["capability.denied", "scope.resource"]));
        house
            .record(&[violation(house.home, agent, moment(1)), late.clone()])
            .await;
        house.record(&[denied.clone()]).await;
        // Commits after the newer ones, as a slower transaction may.
        house.record(&[violation(house.home, agent, moment(2))]).await;
        house.record(&[violation(house.home, other, moment(4))]).await;
        let (service, viewer) = (house.violations(), house.user(house.home, Role::Viewer));
        let all = service
            .groups(
                &viewer,
                GroupFilter::default(),
                PageRequest::parse(Some(2), None, None).unwrap(),
            )
            .await
            .unwrap();
        assert_eq!(all.total, 3);
        let top = &all.groups[0];
        assert_eq!(
            (top.agent_id, top.count, top.reason_code.as_str()),
            (agent, 3, "capability.not_granted")
        );
        assert_eq!((top.first_seen_at, top.last_seen_at), (moment(1), moment(5)));
        assert_eq!(
            (top.severity.as_str(), top.agent_name.as_str()),
            ("critical", "renamed")
        );
        assert_eq!(top.last_violation_id, late.id);
        assert_eq!(all.groups[1].agent_id, other);
        let rest = PageRequest::parse(Some(2), None, all.next_cursor.as_deref()).unwrap();
        let rest = service
            .groups(&viewer, GroupFilter::default(), rest)
            .await
            .unwrap();
        assert_eq!(rest.groups[0].reason_code, "capability.denied");
        assert_eq!(rest.next_cursor, None);
        let of_other = service
            .groups(&viewer, of(other), PageRequest::default())
            .await
            .unwrap();
        assert_eq!((of_other.total, of_other.groups.len()), (1, 1));
    })
    .await;
}

#[actix_web::test]
async fn another_tenant_and_another_agent_see_nothing() {
    on_each(|house| async move {
        let (agent, other) = (
            house.agent(house.home, "a").await,
            house.agent(house.home, "b").await,
        );
        house
            .record(&[violation(house.home, agent, at("2026-03-01T00:00:00Z"))])
            .await;
        let (service, page) = (house.violations(), PageRequest::default());
        let own = Filter {
            agent: Some(agent),
            ..Filter::default()
        };
        let me = house.acting(house.home, agent);
        assert_eq!(service.list(&me, own.clone(), page).await.unwrap().total, 1);
        let foreign = house.user(house.elsewhere, Role::Admin);
        let stranger = house.acting(house.home, other);
        assert_eq!(
            service
                .list(&foreign, Filter::default(), page)
                .await
                .unwrap()
                .total,
            0
        );
        assert_eq!(
            service
                .groups(&foreign, GroupFilter::default(), page)
                .await
                .unwrap()
                .total,
            0
        );
        let unknown = Filter {
            agent: Some(AgentId::generate(me.now)),
            ..Filter::default()
        };
        let unknown = service.list(&house.manager(), unknown, page).await.unwrap_err();
        for refusal in [
            service.list(&foreign, own.clone(), page).await.unwrap_err(),
            service.list(&stranger, own.clone(), page).await.unwrap_err(),
            service.list(&me, Filter::default(), page).await.unwrap_err(),
            service.piece(&foreign, own.clone(), None).await.unwrap_err(),
            service.groups(&foreign, of(agent), page).await.unwrap_err(),
            service.groups(&stranger, of(agent), page).await.unwrap_err(),
            service
                .groups(&me, GroupFilter::default(), page)
                .await
                .unwrap_err(),
        ] {
            assert_eq!((refusal.code, &refusal.detail), (Code::NotFound, &unknown.detail));
        }
    })
    .await;
}

#[actix_web::test]
async fn the_routes_read_repeated_filters_and_name_what_is_not_accepted() {
    on_each(|house| async move {
        let agent = house.agent(house.home, "a").await;
        let mut rows: Vec<ViolationRow> = Vec::new();
        for (minute, severity) in [(0, "low"), (1, "high"), (2, "critical"), (3, "high")] {
            let mut row = violation(
                house.home,
                agent,
                at("2026-03-01T00:00:00Z") + TimeDelta::minutes(minute),
            );
            row.severity = severity.to_owned();
            rows.push(row);
        }
        rows[3].is_blocked = false;
        house.record(&rows).await;
        let (viewer, me) = (
            house.user(house.home, Role::Viewer),
            house.acting(house.home, agent),
        );
        for (query, total) in [
            ("", 4),
            ("?severity=high", 2),
            ("?severity=high&severity=critical", 3),
            ("?severity=low&severity=medium&severity=high&severity=critical", 4),
            ("?blocked=false", 1),
            ("?capability=db:read&blocked=true", 3),
            ("?capability=db:write", 0),
            ("?from=2026-03-01T00:01:00Z&to=2026-03-01T00:03:00Z", 2),
            ("?from=2026-03-01T02:01:00%2B02:00", 3),
        ] {
            for path in [
                "/api/v1/violations".to_owned(),
                format!("/api/v1/agents/{agent}/violations"),
            ] {
                let answer = house
                    .send(request(&viewer, "GET", &format!("{path}{query}")))
                    .await;
                let list = answer.json();
                assert_eq!(
                    (answer.status, &list["total"]),
                    (200, &json!(total)),
                    "{path}{query}"
                );
                assert_eq!((&list["limit"], &list["offset"]), (&json!(20), &json!(0)));
                assert_eq!(list["violations"].as_array().unwrap().len(), total);
            }
        }
        let list = house
            .send(request(&viewer, "GET", "/api/v1/violations?limit=1"))
            .await
            .json();
        let one = &list["violations"][0];
        assert_eq!(one["severity"], "high");
        assert_eq!(one["registered_capabilities"], json!(["db:list"]));
        assert_eq!(one["request_metadata"], json!({"context": {}}));
        for (query, field) in [
            ("severity=worst", "severity"),
            ("from=yesterday", "from"),
            ("from=2026-03-01T02:01:00+02:00", "from"),
            ("to=2026", "to"),
            ("from=2026-03-02T00:00:00Z&to=2026-03-01T00:00:00Z", "from"),
            ("blocked=maybe", "blocked"),
            ("capability=", "capability"),
            ("limit=0", "limit"),
            ("limit=101", "limit"),
            ("offset=-1", "offset"),
            ("cursor=x", "cursor"),
            ("format=xml", "format"),
        ] {
            let answer = house
                .send(request(&viewer, "GET", &format!("/api/v1/violations?{query}")))
                .await;
            assert_eq!(
                (answer.status, &answer.json()["field"]),
                (422, &json!(field)),
                "{query}"
            );
        }
        let typo = house
            .send(request(&viewer, "GET", "/api/v1/violations?severty=high"))
            .await;
        assert_eq!((typo.status, &typo.json()["field"]), (400, &json!("severty")));
        for (path, status) in [
            ("/api/v1/violations".to_owned(), 403),
            ("/api/v1/violations/groups".to_owned(), 403),
            (format!("/api/v1/agents/{agent}/violations"), 200),
            (format!("/api/v1/agents/{agent}/violations/groups"), 200),
            (
                format!("/api/v1/agents/{}/violations", AgentId::generate(me.now)),
                404,
            ),
        ] {
            assert_eq!(
                house.send(request(&me, "GET", &path)).await.status,
                status,
                "{path}"
            );
        }
        let groups = house
            .send(request(&viewer, "GET", "/api/v1/violations/groups"))
            .await
            .json();
        assert_eq!(
            (&groups["total"], &groups["groups"][0]["count"]),
            (&json!(1), &json!(4))
        );
    })
    .await;
}

#[actix_web::test]
async fn a_page_is_not_searched_for_outside_the_days_on_which_there_is_something() {
    on_each(|house| async move {
        let agent = house.agent(house.home, "a").await;
        let (first, last) = (at("2026-03-02T10:00:00Z"), at("2026-03-04T11:00:00Z"));
        let mut rows = vec![
            violation(house.home, agent, first),
            violation(house.home, agent, last),
        ];
        rows[1].severity = "high".to_owned();
        house.record(&rows).await;
        let home = house.home;
        let filter = Filter {
            agent: Some(agent),
            severities: vec![Severity::Low],
            ..Filter::default()
        };
        let never = Filter {
            severities: vec![Severity::Critical],
            ..filter.clone()
        };
        let extents = house
            .read(move |db| {
                let all = Filter::default();
                Ok([filter, never, all].map(|filter| counts::extent(db, home, &filter).unwrap()))
            })
            .await;
        let days = |from: &str, to: &str| {
            Some(Window {
                from: Some(at(from)),
                to: Some(at(to)),
            })
        };
        assert_eq!(extents[0], days("2026-03-02T00:00:00Z", "2026-03-03T00:00:00Z"));
        assert_eq!(extents[1], None);
        assert_eq!(extents[2], days("2026-03-02T00:00:00Z", "2026-03-05T00:00:00Z"));
        let none = Filter {
            blocked: Some(false),
            ..Filter::default()
        };
        let slice = Slice {
            before: None,
            offset: 0,
            limit: 10,
        };
        assert!(
            house
                .read(move |db| page(db, home, &none, slice))
                .await
                .is_empty()
        );
    })
    .await;
}
