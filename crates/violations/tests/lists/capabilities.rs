//! Grants and requests for them.

use aim_core::{CapabilityRequestId, Code, GrantId, Role};
use aim_decision::{Effect, Scope};
use aim_store::each;
use aim_violations::capabilities::{
    Approval, NewCapabilityRequest, NewGrant, Rejection,
    model::{CapabilityRequestFilter, GrantFilter, GrantStatus, RequestStatus},
    store::live_of_agent,
};
use chrono::TimeDelta;
use diesel::{ExpressionMethods, QueryDsl, RunQueryDsl};
use futures_util::future::join_all;
use serde_json::{Value, json};

use crate::house::{House, at, on_each, request};

fn grant(capability: &str) -> NewGrant {
    NewGrant {
        capability: capability.to_owned(),
        ..NewGrant::default()
    }
}

fn scoped(capability: &str, scope: Value) -> NewGrant {
    NewGrant {
        scope: Some(scope),
        ..grant(capability)
    }
}

fn ask(capability: &str) -> NewCapabilityRequest {
    NewCapabilityRequest {
        capability: capability.to_owned(),
        reason: "to answer customers' questions".to_owned(),
        ..NewCapabilityRequest::default()
    }
}

fn approval(digest: &str) -> Approval {
    Approval {
        digest: digest.to_owned(),
        note: None,
    }
}

fn rejection() -> Rejection {
    Rejection {
        note: "not needed".to_owned(),
    }
}

#[actix_web::test]
async fn a_grant_is_listed_logged_and_seen_by_the_next_decision() {
    on_each(|house| async move {
        let agent = house.agent(house.home, "a").await;
        let service = house.capabilities();
        let scope = json!({"resources": ["customers/*"], "rate_limit": {"max": 5, "per_seconds": 60}});
        let view = service
            .grant(&house.manager(), agent, scoped("db:read", scope))
            .await
            .unwrap();
        assert_eq!((view.status, view.effect), (GrantStatus::Active, Effect::Allow));
        assert_eq!(
            view.scope_in_words,
            "Allows db:read, on resources that match customers/*, at most 5 times in a minute."
        );
        assert_eq!(house.epoch(agent).await, 1);
        assert_eq!(house.logged().await, ["capability.granted"]);
        let listed = service
            .list(&house.acting(house.home, agent), agent)
            .await
            .unwrap();
        assert_eq!((listed.total, listed.capabilities[0].id), (1, view.id));
        let (home, now) = (house.home, house.manager().now);
        let rows = house.read(move |db| live_of_agent(db, home, agent, now)).await;
        let fact = rows[0].to_grant().unwrap();
        assert_eq!((fact.id, fact.scope), (view.id.uuid(), view.scope));
    })
    .await;
}

#[actix_web::test]
async fn an_identical_live_grant_is_refused_and_a_different_one_is_not() {
    on_each(|house| async move {
        let agent = house.agent(house.home, "a").await;
        let (service, manager) = (house.capabilities(), house.manager());
        let scope = json!({"resources": ["a/*"], "context": [{"field": "n", "op": "lt", "value": 1.5}]});
        let first = service
            .grant(&manager, agent, scoped("db:*", scope.clone()))
            .await
            .unwrap();
        let again = service
            .grant(&manager, agent, scoped("db:*", scope.clone()))
            .await
            .unwrap_err();
        assert_eq!(
            (again.code, again.field.as_deref()),
            (Code::Conflict, Some("capability"))
        );
        let denied = NewGrant {
            effect: Some(Effect::Deny),
            ..scoped("db:*", scope.clone())
        };
        service.grant(&manager, agent, denied).await.unwrap();
        service.grant(&manager, agent, grant("db:*")).await.unwrap();
        service
            .grant(&manager, agent, scoped("db:read", scope.clone()))
            .await
            .unwrap();
        service.revoke(&manager, agent, first.id).await.unwrap();
        service
            .grant(&manager, agent, scoped("db:*", scope))
            .await
            .unwrap();
    })
    .await;
}

#[actix_web::test]
async fn of_many_identical_grants_at_once_one_is_made() {
    on_each(|house| async move {
        let agent = house.agent(house.home, "a").await;
        let (service, manager) = (house.capabilities(), house.manager());
        let outcomes = join_all((0..8).map(|_| service.grant(&manager, agent, grant("db:read")))).await;
        assert_eq!(outcomes.iter().filter(|outcome| outcome.is_ok()).count(), 1);
        assert!(
            outcomes
                .iter()
                .flat_map(|outcome| outcome.as_ref().err())
                .all(|error| error.code == Code::Conflict)
        );
        assert_eq!(house.epoch(agent).await, 1);
    })
    .await;
}

#[actix_web::test]
async fn a_revoked_grant_is_gone_at_once_and_cannot_be_revoked_twice() {
    on_each(|house| async move {
        let agent = house.agent(house.home, "a").await;
        let (service, manager) = (house.capabilities(), house.manager());
        let view = service.grant(&manager, agent, grant("db:read")).await.unwrap();
        service.revoke(&manager, agent, view.id).await.unwrap();
        assert_eq!(house.epoch(agent).await, 2);
        assert_eq!(service.list(&manager, agent).await.unwrap().total, 0);
        let (home, now) = (house.home, manager.now);
        assert!(
            house
                .read(move |db| live_of_agent(db, home, agent, now))
                .await
                .is_empty()
        );
        let all = service.grants(&manager, agent, true).await.unwrap();
        assert_eq!((all.total, all.capabilities[0].status), (1, GrantStatus::Revoked));
        assert_eq!(
            service.revoke(&manager, agent, view.id).await.unwrap_err().code,
            Code::NotFound
        );
        assert_eq!(house.logged().await, ["capability.granted", "capability.revoked"]);
        assert_eq!(house.epoch(agent).await, 2);
    })
    .await;
}

#[actix_web::test]
async fn a_grant_tells_for_how_many_days_nobody_used_it() {
    on_each(|house| async move {
        let agent = house.agent(house.home, "a").await;
        let service = house.capabilities();
        let used = service
            .grant(&house.manager(), agent, grant("db:read"))
            .await
            .unwrap();
        assert_eq!(used.unused_days, Some(0));
        for new in [
            grant("db:write"),
            NewGrant {
                effect: Some(Effect::Deny),
                ..grant("db:drop")
            },
            NewGrant {
                expires_at: Some(house.manager().now + TimeDelta::days(3)),
                ..grant("db:list")
            },
        ] {
            service.grant(&house.manager(), agent, new).await.unwrap();
        }
        let last_use = house.manager().now + TimeDelta::days(30) - TimeDelta::hours(1);
        let (home, id) = (house.home, used.id);
        house
            .kernel
            .store
            .write(home, move |db| {
                use aim_store::schema::grants;
                each!(db, c => diesel::update(grants::table.find((home, id)))
                    .set(grants::last_used_at.eq(Some(last_use)))
                    .execute(c))?;
                Ok(())
            })
            .await
            .unwrap();
        house.clock.set(last_use + TimeDelta::hours(1));
        let mut all = service.grants(&house.manager(), agent, true).await.unwrap();
        let mut unused: Vec<_> = all
            .capabilities
            .iter()
            .map(|grant| (grant.capability.as_str(), grant.unused_days))
            .collect();
        // They were given in one millisecond, in whose ids there is no order.
        unused.sort_unstable();
        let expected = [
            ("db:drop", None),
            ("db:list", None),
            ("db:read", Some(0)),
            ("db:write", Some(30)),
        ];
        assert_eq!(unused, expected);
        all.keep_unused(31);
        assert_eq!((all.total, all.capabilities.len()), (0, 0));
        let mut all = service.grants(&house.manager(), agent, true).await.unwrap();
        all.keep_unused(30);
        assert_eq!(
            (all.total, all.capabilities[0].capability.as_str()),
            (1, "db:write")
        );
        for wrong in ["0", "-1", "3651", "x"] {
            let filter = GrantFilter {
                unused_days: Some(wrong.to_owned()),
                ..GrantFilter::default()
            };
            let refused = filter.unused_days().unwrap_err();
            assert_eq!(refused.field.as_deref(), Some("unused_days"), "{wrong}");
        }
    })
    .await;
}

#[actix_web::test]
async fn an_expired_grant_is_no_longer_listed_but_a_decision_can_still_name_it_for_thirty_days() {
    on_each(|house| async move {
        let agent = house.agent(house.home, "a").await;
        let service = house.capabilities();
        let end = house.manager().now + TimeDelta::hours(1);
        let new = NewGrant {
            expires_at: Some(end),
            ..grant("db:read")
        };
        service.grant(&house.manager(), agent, new.clone()).await.unwrap();
        let home = house.home;
        house.clock.set(end);
        assert_eq!(service.list(&house.manager(), agent).await.unwrap().total, 0);
        let all = service.grants(&house.manager(), agent, true).await.unwrap();
        assert_eq!(all.capabilities[0].status, GrantStatus::Expired);
        assert_eq!(
            house
                .read(move |db| live_of_agent(db, home, agent, end))
                .await
                .len(),
            1
        );
        let later = end + TimeDelta::days(30);
        assert!(
            house
                .read(move |db| live_of_agent(db, home, agent, later))
                .await
                .is_empty()
        );
        let again = NewGrant {
            expires_at: Some(end + TimeDelta::hours(1)),
            ..new
        };
        service.grant(&house.manager(), agent, again).await.unwrap();
    })
    .await;
}

#[actix_web::test]
async fn an_approval_makes_exactly_the_grant_that_was_asked_for_and_binds_its_digest() {
    on_each(|house| async move {
        let agent = house.agent(house.home, "a").await;
        let (service, manager) = (house.capabilities(), house.manager());
        let scope =
            json!({"resources": ["customers/*"], "context": [{"field": "n", "op": "in", "value": [1, 2.5]}]});
        let new = NewCapabilityRequest {
            scope: Some(scope.clone()),
            metadata: json!({"ticket": 7}).as_object().cloned(),
            ..ask("db:read")
        };
        let asked = service
            .request(&house.acting(house.home, agent), agent, new.clone())
            .await
            .unwrap();
        assert_eq!(
            (asked.status, asked.requested_by.as_str()),
            (RequestStatus::Pending, &*format!("agent:{agent}"))
        );
        assert_eq!(asked.metadata, json!({"ticket": 7}));
        assert_eq!(house.epoch(agent).await, 0);

        let wider = service.request(&manager, agent, ask("db:read")).await.unwrap();
        assert_ne!(wider.digest, asked.digest);
        let refusal = service
            .approve(&manager, asked.id, approval(&wider.digest))
            .await
            .unwrap_err();
        assert_eq!(
            (refusal.code, refusal.field.as_deref()),
            (Code::Conflict, Some("digest"))
        );
        assert_eq!(service.list(&manager, agent).await.unwrap().total, 0);

        let done = service
            .approve(&manager, asked.id, approval(&asked.digest))
            .await
            .unwrap();
        assert_eq!(
            (done.status, done.reviewed_by.as_deref()),
            (RequestStatus::Approved, Some(&*manager.actor_text()))
        );
        let held = service.list(&manager, agent).await.unwrap().capabilities;
        assert_eq!(held.len(), 1);
        assert_eq!(
            (Some(held[0].id), &held[0].capability[..]),
            (done.grant_id, "db:read")
        );
        assert_eq!(held[0].scope, Scope::from_json(&scope).unwrap());
        assert_eq!(house.epoch(agent).await, 1);
        let again = service
            .approve(&manager, asked.id, approval(&asked.digest))
            .await
            .unwrap_err();
        assert_eq!(again.code, Code::StateConflict);
        let repeated = service.request(&manager, agent, new).await.unwrap_err();
        assert_eq!(repeated.code, Code::Conflict, "it is granted already");
        assert_eq!(
            house.logged().await,
            [
                "capability_request.created",
                "capability_request.created",
                "capability_request.approved",
                "capability.granted",
            ]
        );
    })
    .await;
}

#[actix_web::test]
async fn a_digest_names_agent_capability_scope_and_reason_and_nothing_else() {
    on_each(|house| async move {
        let (one, other) = (
            house.agent(house.home, "a").await,
            house.agent(house.home, "b").await,
        );
        let (service, manager) = (house.capabilities(), house.manager());
        let metadata = json!({"a": 1}).as_object().cloned();
        let variants = [
            (one, ask("db:read")),
            (other, ask("db:read")),
            (one, ask("db:write")),
            (
                one,
                NewCapabilityRequest {
                    scope: Some(json!({"resources": ["x"]})),
                    ..ask("db:read")
                },
            ),
            (
                one,
                NewCapabilityRequest {
                    reason: "another good reason".to_owned(),
                    ..ask("db:delete")
                },
            ),
        ];
        let mut digests = Vec::new();
        for (agent, new) in variants {
            digests.push(service.request(&manager, agent, new).await.unwrap().digest);
        }
        digests.sort_unstable();
        digests.dedup();
        assert_eq!(digests.len(), 5);
        let first = service.requests(&manager, other).await.unwrap().remove(0);
        service.reject(&manager, first.id, rejection()).await.unwrap();
        let again = service
            .request(
                &manager,
                other,
                NewCapabilityRequest {
                    metadata,
                    ..ask("db:read")
                },
            )
            .await
            .unwrap();
        assert_eq!(again.digest, first.digest);
    })
    .await;
}

#[actix_web::test]
async fn of_many_reviewers_at_once_one_decides() {
    on_each(|house| async move {
        let agent = house.agent(house.home, "a").await;
        let (service, manager) = (house.capabilities(), house.manager());
        let asked = service.request(&manager, agent, ask("db:read")).await.unwrap();
        let approving =
            join_all((0..4).map(|_| service.approve(&manager, asked.id, approval(&asked.digest))));
        let rejecting = join_all((0..4).map(|_| service.reject(&manager, asked.id, rejection())));
        let (approved, rejected) = futures_util::future::join(approving, rejecting).await;
        let outcomes: Vec<_> = approved.into_iter().chain(rejected).collect();
        let winners: Vec<_> = outcomes.iter().flatten().collect();
        assert_eq!(winners.len(), 1);
        assert!(
            outcomes
                .iter()
                .flat_map(|outcome| outcome.as_ref().err())
                .all(|error| error.code == Code::StateConflict)
        );
        let now_is = service.find_request(&manager, asked.id).await.unwrap();
        assert_eq!(now_is.status, winners[0].status);
        let grants = service.list(&manager, agent).await.unwrap().total;
        assert_eq!(grants, i64::from(now_is.status == RequestStatus::Approved));
    })
    .await;
}

#[actix_web::test]
async fn a_request_that_is_pending_is_not_repeated_and_one_that_was_granted_otherwise_stays_pending() {
    on_each(|house| async move {
        let agent = house.agent(house.home, "a").await;
        let (service, manager) = (house.capabilities(), house.manager());
        let asked = service.request(&manager, agent, ask("db:read")).await.unwrap();
        let repeated = service
            .request(&manager, agent, ask("db:read"))
            .await
            .unwrap_err();
        assert_eq!(
            (repeated.code, repeated.field.as_deref()),
            (Code::Conflict, Some("capability"))
        );
        service.grant(&manager, agent, grant("db:read")).await.unwrap();
        let refused = service
            .approve(&manager, asked.id, approval(&asked.digest))
            .await
            .unwrap_err();
        assert_eq!(refused.code, Code::Conflict);
        assert_eq!(
            service.find_request(&manager, asked.id).await.unwrap().status,
            RequestStatus::Pending
        );
        let done = service.reject(&manager, asked.id, rejection()).await.unwrap();
        assert_eq!(
            (done.status, done.review_note.as_deref()),
            (RequestStatus::Rejected, Some("not needed"))
        );
        assert_eq!(
            service
                .reject(&manager, asked.id, rejection())
                .await
                .unwrap_err()
                .code,
            Code::StateConflict
        );
    })
    .await;
}

#[actix_web::test]
async fn requests_are_listed_by_agent_and_status_page_by_page() {
    on_each(|house| async move {
        let (one, other) = (
            house.agent(house.home, "a").await,
            house.agent(house.home, "b").await,
        );
        let (service, manager) = (house.capabilities(), house.manager());
        for number in 0..5 {
            house.clock.advance(TimeDelta::milliseconds(1));
            service
                .request(&house.manager(), one, ask(&format!("db:read{number}")))
                .await
                .unwrap();
        }
        let asked = service.request(&manager, other, ask("db:read")).await.unwrap();
        service.reject(&manager, asked.id, rejection()).await.unwrap();
        let filter =
            |status: Option<&str>, agent: Option<String>, cursor: Option<String>| CapabilityRequestFilter {
                status: status.map(str::to_owned),
                agent_id: agent,
                limit: Some("2".to_owned()),
                offset: None,
                cursor,
            };
        let mut seen = Vec::new();
        let mut cursor = None;
        loop {
            let page = service
                .request_page(&manager, filter(Some("pending"), None, cursor))
                .await
                .unwrap();
            assert_eq!(page.total, 5);
            seen.extend(
                page.capability_requests
                    .into_iter()
                    .map(|request| request.capability),
            );
            cursor = page.next_cursor;
            if cursor.is_none() {
                break;
            }
        }
        assert_eq!(seen, ["db:read4", "db:read3", "db:read2", "db:read1", "db:read0"]);
        let of_other = service
            .request_page(&manager, filter(None, Some(other.to_string()), None))
            .await
            .unwrap();
        assert_eq!(
            (of_other.total, of_other.capability_requests[0].id),
            (1, asked.id)
        );
        let refused = service
            .request_page(&manager, filter(Some("open"), None, None))
            .await
            .unwrap_err();
        assert_eq!(refused.field.as_deref(), Some("status"));
    })
    .await;
}

#[actix_web::test]
async fn an_agent_neither_grants_nor_reviews_and_sees_only_itself() {
    on_each(|house| async move {
        let (one, other) = (
            house.agent(house.home, "a").await,
            house.agent(house.home, "b").await,
        );
        let (service, me) = (house.capabilities(), house.acting(house.home, one));
        let asked = service.request(&me, one, ask("db:read")).await.unwrap();
        assert_eq!(
            service.grant(&me, one, grant("db:read")).await.unwrap_err().code,
            Code::Forbidden
        );
        assert_eq!(
            service
                .revoke(&me, one, GrantId::generate(me.now))
                .await
                .unwrap_err()
                .code,
            Code::Forbidden
        );
        assert_eq!(
            service
                .approve(&me, asked.id, approval(&asked.digest))
                .await
                .unwrap_err()
                .code,
            Code::Forbidden
        );
        assert_eq!(
            service.reject(&me, asked.id, rejection()).await.unwrap_err().code,
            Code::Forbidden
        );
        let stranger = house.acting(house.home, other);
        assert_eq!(
            service.find_request(&stranger, asked.id).await.unwrap_err().code,
            Code::NotFound
        );
        assert_eq!(
            service.list(&stranger, one).await.unwrap_err().code,
            Code::NotFound
        );
        assert_eq!(
            service.requests(&stranger, one).await.unwrap_err().code,
            Code::NotFound
        );
        assert_eq!(
            service
                .request(&stranger, one, ask("db:write"))
                .await
                .unwrap_err()
                .code,
            Code::NotFound
        );
        assert_eq!(service.requests(&me, one).await.unwrap().len(), 1);
    })
    .await;
}

#[actix_web::test]
async fn another_tenant_finds_nothing_and_changes_nothing() {
    on_each(|house| async move {
        let agent = house.agent(house.home, "a").await;
        let service = house.capabilities();
        let held = service
            .grant(&house.manager(), agent, grant("db:read"))
            .await
            .unwrap();
        let asked = service
            .request(&house.manager(), agent, ask("db:write"))
            .await
            .unwrap();
        let foreign = house.user(house.elsewhere, Role::Admin);
        let refusals = [
            service
                .grant(&foreign, agent, grant("db:read"))
                .await
                .unwrap_err(),
            service.list(&foreign, agent).await.unwrap_err(),
            service.revoke(&foreign, agent, held.id).await.unwrap_err(),
            service
                .request(&foreign, agent, ask("db:write"))
                .await
                .unwrap_err(),
            service.requests(&foreign, agent).await.unwrap_err(),
            service.find_request(&foreign, asked.id).await.unwrap_err(),
            service
                .approve(&foreign, asked.id, approval(&asked.digest))
                .await
                .unwrap_err(),
            service.reject(&foreign, asked.id, rejection()).await.unwrap_err(),
        ];
        let unknown = CapabilityRequestId::generate(foreign.now);
        let unknown = service.find_request(&house.manager(), unknown).await.unwrap_err();
        for refusal in refusals {
            assert_eq!((refusal.code, &refusal.detail), (unknown.code, &unknown.detail));
        }
        assert_eq!(service.list(&house.manager(), agent).await.unwrap().total, 1);
        let all = CapabilityRequestFilter::default();
        assert_eq!(service.request_page(&foreign, all).await.unwrap().total, 0);
        // A grant of one agent is not revoked through another one's path.
        let other = house.agent(house.home, "b").await;
        assert_eq!(
            service
                .revoke(&house.manager(), other, held.id)
                .await
                .unwrap_err()
                .code,
            Code::NotFound
        );
    })
    .await;
}

#[actix_web::test]
async fn what_is_not_accepted_is_named() {
    on_each(|house| async move {
        let agent = house.agent(house.home, "a").await;
        let (service, manager) = (house.capabilities(), house.manager());
        let limit = json!({"rate_limit": {"max": 1, "per_seconds": 60}});
        let cases = [
            (grant(""), "capability"),
            (grant("db:re*"), "capability"),
            (grant("db read"), "capability"),
            (scoped("db:read", json!({"resource": ["x"]})), "scope.resource"),
            (
                scoped("db:read", json!({"resources": ["a/../b"]})),
                "scope.resources[0]",
            ),
            (scoped("db:read", json!([])), "scope"),
            (
                scoped(
                    "db:read",
                    json!({"context": [{"field": "a", "op": "eq", "value": "\u{0}"}]}),
                ),
                "scope",
            ),
            (
                NewGrant {
                    effect: Some(Effect::Deny),
                    ..scoped("db:read", limit)
                },
                "scope.rate_limit",
            ),
            (
                NewGrant {
                    expires_at: Some(at("2020-01-01T00:00:00Z")),
                    ..grant("db:read")
                },
                "expires_at",
            ),
            (
                NewGrant {
                    reason: Some("x".repeat(1_001)),
                    ..grant("db:read")
                },
                "reason",
            ),
            (
                NewGrant {
                    reason: Some("a\u{0}".to_owned()),
                    ..grant("db:read")
                },
                "reason",
            ),
        ];
        for (new, field) in cases {
            let error = service.grant(&manager, agent, new).await.unwrap_err();
            assert_eq!(
                (error.code, error.field.as_deref()),
                (Code::FieldInvalid, Some(field))
            );
        }
        let large = json!({"a": "x".repeat(17_000)}).as_object().cloned();
        let cases = [
            (
                NewCapabilityRequest {
                    reason: "too short".to_owned(),
                    ..ask("db:read")
                },
                "reason",
            ),
            (
                NewCapabilityRequest {
                    reason: "x".repeat(1_001),
                    ..ask("db:read")
                },
                "reason",
            ),
            (
                NewCapabilityRequest {
                    metadata: large,
                    ..ask("db:read")
                },
                "metadata",
            ),
            (
                NewCapabilityRequest {
                    metadata: json!({"\u{0}": 1}).as_object().cloned(),
                    ..ask("db:read")
                },
                "metadata",
            ),
            (ask("*:read"), "capability"),
        ];
        for (new, field) in cases {
            let error = service.request(&manager, agent, new).await.unwrap_err();
            assert_eq!(
                (error.code, error.field.as_deref()),
                (Code::FieldInvalid, Some(field))
            );
        }
        let asked = service.request(&manager, agent, ask("db:read")).await.unwrap();
        let silent = service
            .reject(&manager, asked.id, Rejection { note: " ".to_owned() })
            .await
            .unwrap_err();
        assert_eq!(silent.field.as_deref(), Some("note"));
        assert_eq!(house.epoch(agent).await, 0);
    })
    .await;
}

#[actix_web::test]
async fn the_routes_answer_with_the_right_statuses_to_the_right_callers() {
    on_each(|house: House| async move {
        let agent = house.agent(house.home, "a").await;
        let other = house.agent(house.home, "b").await;
        let path = format!("/api/v1/agents/{agent}/capabilities");
        let asking = format!("/api/v1/agents/{agent}/capability-requests");
        let (manager, member) = (house.manager(), house.user(house.home, Role::Member));
        let viewer = house.user(house.home, Role::Viewer);
        let (me, stranger) = (house.acting(house.home, agent), house.acting(house.home, other));
        let foreign = house.user(house.elsewhere, Role::Admin);
        let body = json!({"capability": "db:read", "effect": "allow", "scope": {"resources": ["a"]}});

        let mut statuses = Vec::new();
        for ctx in [&viewer, &member, &me, &foreign, &manager, &manager] {
            let call = request(ctx, "POST", &path).set_json(&body);
            statuses.push(house.send(call).await.status);
        }
        assert_eq!(statuses, [403, 403, 403, 404, 201, 409]);

        let mut statuses = Vec::new();
        for ctx in [&viewer, &me, &stranger, &foreign] {
            let call = request(ctx, "GET", &path);
            statuses.push(house.send(call).await.status);
        }
        assert_eq!(statuses, [200, 200, 404, 404]);

        let wanted = json!({"capability": "db:write", "reason": "to correct addresses"});
        let mut statuses = Vec::new();
        for ctx in [&viewer, &stranger, &me, &member] {
            let call = request(ctx, "POST", &asking).set_json(&wanted);
            statuses.push(house.send(call).await.status);
        }
        assert_eq!(statuses, [403, 404, 201, 409]);

        let page = house.send(request(&viewer, "GET", &asking)).await.json();
        let asked = &page["capability_requests"][0];
        let one = format!("/api/v1/capability-requests/{}", asked["id"].as_str().unwrap());
        let mut statuses = Vec::new();
        for ctx in [&viewer, &me, &stranger, &foreign] {
            statuses.push(house.send(request(ctx, "GET", &one)).await.status);
        }
        assert_eq!(statuses, [200, 200, 404, 404]);
        let mut statuses = Vec::new();
        for ctx in [&member, &me, &foreign, &manager, &manager] {
            let body = json!({"digest": asked["digest"], "note": "fine"});
            let call = request(ctx, "POST", &format!("{one}/approve")).set_json(&body);
            statuses.push(house.send(call).await.status);
        }
        assert_eq!(statuses, [403, 403, 404, 200, 409]);

        let listed = house.send(request(&viewer, "GET", &path)).await.json();
        assert_eq!(listed["total"], 2);
        let grant = format!("{path}/{}", listed["capabilities"][0]["id"].as_str().unwrap());
        let mut statuses = Vec::new();
        for ctx in [&member, &foreign, &manager, &manager] {
            statuses.push(house.send(request(ctx, "DELETE", &grant)).await.status);
        }
        assert_eq!(statuses, [403, 404, 204, 404]);

        let call = request(&manager, "POST", &path).set_json(json!({"capability": "a", "scop": {}}));
        let answer = house.send(call).await;
        let (status, problem) = (answer.status, answer.json());
        assert_eq!((status, &problem["field"]), (422, &json!("scop")));
        let call = request(&manager, "GET", &format!("{path}?include=everything"));
        let answer = house.send(call).await;
        let (status, problem) = (answer.status, answer.json());
        assert_eq!((status, &problem["field"]), (422, &json!("include")));
        let call = request(&manager, "GET", "/api/v1/capability-requests?limit=none");
        let answer = house.send(call).await;
        let (status, problem) = (answer.status, answer.json());
        assert_eq!((status, &problem["field"]), (422, &json!("limit")));
    })
    .await;
}
