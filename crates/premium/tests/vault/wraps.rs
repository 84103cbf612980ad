//! Wrap tokens: once, soon, for whom they were made, and a second use is noticed.

use aim_core::{Actor, AgentCredential, Code, Ctx, Id, Role, ctx::CredentialLimits};
use aim_crypto::sealing::{RecipientKey, Sealed, WrapInfo, open};
use aim_platform::NonceClaim;
use aim_premium::{
    agent_api_keys::AgentApiKeyService,
    secret_wraps::{
        SecretWraps, SecretWrapsService, WrapId, WrapList, WrapQuery, WrapReply, WrapRequest, WrapState,
        WrapView,
    },
    vault::reveals::model::RevealMode,
};
use aim_testkit::{seed_agent, seed_organization};
use chrono::TimeDelta;
use serde_json::{Value, json};

use crate::{
    bed::{Bed, at, refused},
    reveals::Person,
};

fn service(bed: &Bed) -> SecretWrapsService {
    SecretWraps::new(&bed.kernel, bed.vault.clone()).service()
}

fn of_person(path: &str) -> WrapRequest {
    request(json!({"path": path, "reason": "the first start of the payer"}))
}

fn request(body: Value) -> WrapRequest {
    serde_json::from_value(body).unwrap()
}

fn id_of(view: &WrapView) -> WrapId {
    view.wrap.wrap_id.parse().unwrap()
}

/// By an organisation's key, where values are shown for a reason.
pub(crate) async fn made(bed: &Bed, body: Value) -> WrapView {
    let person = Person::signed_in(bed, bed.organization).await;
    person.sets(bed, RevealMode::Reason).await;
    let ctx = bed.as_role(Role::Admin);
    service(bed).wrap_for_person(&ctx, request(body)).await.unwrap()
}

/// Somebody without credentials, now.
pub(crate) fn nobody(bed: &Bed) -> Ctx {
    let mut ctx = Ctx::system("test", Id::from_uuid(uuid::Uuid::nil()), bed.kernel.now());
    ctx.actor = Actor::Anonymous;
    ctx
}

pub(crate) async fn unwrapped(bed: &Bed, ctx: &Ctx, token: &str) -> Result<Value, aim_core::Error> {
    unwrapped_by(bed, ctx, (None, "rfc9421"), token).await
}

async fn unwrapped_by(
    bed: &Bed,
    ctx: &Ctx,
    (nonce, scheme): (Option<NonceClaim>, &str),
    token: &str,
) -> Result<Value, aim_core::Error> {
    let key = RecipientKey::generate().unwrap();
    let body = serde_json::from_value(json!({"token": token, "seal_to": key.public_text()})).unwrap();
    let reply = service(bed).unwrap(ctx, nonce, scheme, body).await?;
    let info = WrapInfo {
        organization: &bed.organization.to_string(),
        wrap: &reply.wrap.wrap_id,
        path: &reply.wrap.creation_path,
        version: reply.wrap.version,
    };
    let sealed: Sealed = serde_json::from_value(serde_json::to_value(&reply.sealed).unwrap()).unwrap();
    let plaintext = open(&key, &info.bytes(), &sealed).unwrap();
    Ok(serde_json::from_slice(&plaintext).unwrap())
}

async fn looked_up(bed: &Bed, ctx: &Ctx, token: &str) -> Result<String, aim_core::Error> {
    let body = serde_json::from_value(json!({"token": token})).unwrap();
    let found = service(bed).lookup(ctx, None, body).await?;
    Ok(found.creation_path)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_hands_over_what_it_was_made_for_once() {
    for bed in Bed::all().await {
        bed.put("payments/stripe", "one").await;
        let view = made(
            &bed,
            json!({"path": "payments/stripe", "reason": "the first start"}),
        )
        .await;
        assert_eq!((view.wrap.version, view.token.len()), (1, 9 + 43 + 6));
        assert!(!format!("{view:?}").contains(&view.token));
        // What is written later is not what was wrapped.
        bed.put("payments/stripe", "two").await;
        let nobody = nobody(&bed);
        assert_eq!(
            looked_up(&bed, &nobody, &view.token).await.unwrap(),
            "payments/stripe"
        );
        let opened = unwrapped(&bed, &nobody, &view.token).await.unwrap();
        assert_eq!(opened, json!({"kind": "api_key", "fields": {"value": "one"}}));
        for _ in 0..2 {
            assert_eq!(
                refused(unwrapped(&bed, &nobody, &view.token).await).0,
                Code::WrapUsed
            );
        }
        assert_eq!(
            refused(looked_up(&bed, &nobody, &view.token).await).0,
            Code::WrapUsed
        );
        let audited = bed.audited().await;
        let of_wraps: Vec<&str> = audited
            .iter()
            .map(String::as_str)
            .filter(|action| action.contains("wrap"))
            .collect();
        assert_eq!(
            of_wraps,
            [
                "secret.wrapped",
                "secret.unwrapped",
                "secret.wrap_reused",
                "secret.wrap_reused"
            ]
        );
        let kept = format!(
            "SELECT count(*) FROM audit_log WHERE leaf LIKE '%{0}%'",
            view.token
        );
        assert_eq!(bed.database.count(&kept).await, 0);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn of_two_that_use_a_token_at_once_one_gets_the_secret() {
    for bed in Bed::all().await {
        bed.put("payments/stripe", "one").await;
        let view = made(
            &bed,
            json!({"path": "payments/stripe", "reason": "the first start"}),
        )
        .await;
        let nobody = nobody(&bed);
        let uses = (0..4).map(|_| unwrapped(&bed, &nobody, &view.token));
        let outcomes = futures_util::future::join_all(uses).await;
        assert_eq!(outcomes.iter().filter(|outcome| outcome.is_ok()).count(), 1);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_ends_and_what_it_stands_for_can_end_before() {
    for bed in Bed::all().await {
        bed.put("payments/stripe", "one").await;
        let short = json!({"path": "payments/stripe", "reason": "the first start", "ttl_seconds": 60});
        let view = made(&bed, short.clone()).await;
        bed.clock.advance(TimeDelta::seconds(60));
        let nobody = nobody(&bed);
        assert_eq!(
            refused(unwrapped(&bed, &nobody, &view.token).await).0,
            Code::NotFound
        );

        let view = made(&bed, short).await;
        bed.vault
            .delete(&bed.manager(), at("payments/stripe"), Some(1))
            .await
            .unwrap();
        assert_eq!(
            refused(unwrapped(&bed, &nobody, &view.token).await).0,
            Code::NotFound
        );
        // It was not used up by that.
        bed.vault
            .undelete(&bed.manager(), at("payments/stripe"), 1)
            .await
            .unwrap();
        assert!(unwrapped(&bed, &nobody, &view.token).await.is_ok());
        service(&bed)
            .tidy(bed.kernel.now() + TimeDelta::days(2))
            .await
            .unwrap();
        assert_eq!(
            refused(unwrapped(&bed, &nobody, &view.token).await).0,
            Code::NotFound
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_agent_wraps_what_it_may_read_and_a_suspended_ones_tokens_open_nothing() {
    for bed in Bed::all().await {
        bed.put("payments/stripe", "one").await;
        bed.put("hr/salaries", "x").await;
        let wraps = service(&bed);
        let agent = bed.as_agent();
        let wrap = |path: &str| request(json!({"path": path}));
        let reply = wraps
            .wrap_for_agent(&agent, None, "rfc9421", wrap("payments/stripe"))
            .await;
        let WrapReply::Made(view) = reply.unwrap() else {
            panic!("approved");
        };
        let reply = wraps
            .wrap_for_agent(&agent, None, "rfc9421", wrap("hr/salaries"))
            .await;
        let WrapReply::Decided(decision) = reply.unwrap() else {
            panic!("denied");
        };
        assert_eq!(decision.status, "denied");
        let uncovered = wraps
            .wrap_for_agent(&agent, None, "sdk_header", wrap("payments/stripe"))
            .await;
        assert_eq!(refused(uncovered).0, Code::Forbidden);
        let by_way_of_people = wraps.wrap_for_person(&agent, of_person("payments/stripe")).await;
        assert_eq!(refused(by_way_of_people).0, Code::Forbidden);

        let suspend = "UPDATE agents SET status = 'suspended'";
        bed.database.sql(suspend).await;
        let nobody = nobody(&bed);
        assert_eq!(
            refused(unwrapped(&bed, &nobody, &view.token).await).0,
            Code::NotFound
        );
        bed.database.sql("UPDATE agents SET status = 'active'").await;
        assert!(unwrapped(&bed, &nobody, &view.token).await.is_ok());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_for_one_agent_is_unknown_to_all_others() {
    for bed in Bed::all().await {
        bed.put("payments/stripe", "one").await;
        let other = seed_agent(&bed.database.store, bed.organization, "other").await;
        let body = json!({"path": "payments/stripe", "reason": "the first start", "for_agent": bed.agent.id});
        let view = made(&bed, body).await;
        let other = bed.as_agent_of(bed.organization, &other);
        for ctx in [nobody(&bed), bed.as_role(Role::Admin), other] {
            assert_eq!(
                refused(unwrapped(&bed, &ctx, &view.token).await).0,
                Code::NotFound
            );
            assert_eq!(
                refused(looked_up(&bed, &ctx, &view.token).await).0,
                Code::NotFound
            );
        }
        assert!(unwrapped(&bed, &bed.as_agent(), &view.token).await.is_ok());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_for_an_agent_takes_that_agents_own_signature_over_the_body() {
    for bed in Bed::all().await {
        bed.put("payments/stripe", "one").await;
        let body = json!({"path": "payments/stripe", "reason": "the first start", "for_agent": bed.agent.id});
        let view = made(&bed, body).await;
        let mut by_a_key_for_programs = bed.as_agent();
        by_a_key_for_programs.actor = Actor::Agent {
            id: bed.agent.id,
            credential: AgentCredential::Limited {
                id: uuid::Uuid::from_u128(7),
                capabilities: vec!["secret:read".to_owned()],
                limits: CredentialLimits::default(),
            },
        };
        for outcome in [
            looked_up(&bed, &by_a_key_for_programs, &view.token)
                .await
                .map(|_| ()),
            unwrapped(&bed, &by_a_key_for_programs, &view.token)
                .await
                .map(|_| ()),
        ] {
            assert_eq!(refused(outcome).0, Code::NotFound);
        }
        let agent = bed.as_agent();
        let uncovered = unwrapped_by(&bed, &agent, (None, "sdk_header"), &view.token).await;
        assert_eq!(refused(uncovered).0, Code::Forbidden);
        assert!(unwrapped(&bed, &agent, &view.token).await.is_ok(), "not used up");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_use_that_is_sent_again_is_a_replay_and_no_second_use() {
    for bed in Bed::all().await {
        bed.put("payments/stripe", "one").await;
        let body = json!({"path": "payments/stripe", "reason": "the first start", "for_agent": bed.agent.id});
        let view = made(&bed, body).await;
        let agent = bed.as_agent();
        let nonce = |byte| NonceClaim {
            organization: bed.organization,
            digest: [byte; 16],
            expires_at: bed.kernel.now() + TimeDelta::minutes(1),
        };
        let used = async |byte| unwrapped_by(&bed, &agent, (Some(nonce(byte)), "rfc9421"), &view.token).await;
        assert!(used(1).await.is_ok());
        for _ in 0..2 {
            assert_eq!(refused(used(1).await).0, Code::SignatureReplayed);
        }
        assert!(!bed.audited().await.contains(&"secret.wrap_reused".to_owned()));
        assert_eq!(refused(used(2).await).0, Code::WrapUsed);
        assert!(bed.audited().await.contains(&"secret.wrap_reused".to_owned()));
        let again = json!({"token": view.token});
        for _ in 0..2 {
            let again = serde_json::from_value(again.clone()).unwrap();
            let looked = service(&bed).lookup(&agent, Some(nonce(2)), again).await;
            assert_eq!(refused(looked).0, Code::SignatureReplayed);
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_agents_token_hands_over_only_what_the_agent_might_still_read() {
    for bed in Bed::all().await {
        for path in ["payments/stripe", "payments/other"] {
            bed.put(path, "one").await;
        }
        let (agent, wraps) = (bed.as_agent(), service(&bed));
        let wrapped = async |path: &str| {
            let wish = request(json!({"path": path}));
            let reply = wraps.wrap_for_agent(&agent, None, "rfc9421", wish).await;
            let WrapReply::Made(view) = reply.unwrap() else {
                panic!("approved");
            };
            view.token
        };
        let (kept, withdrawn) = (wrapped("payments/stripe").await, wrapped("payments/other").await);
        let nobody = nobody(&bed);
        let opens = async |token: &str, expected: bool| {
            let outcome = looked_up(&bed, &nobody, token).await;
            assert_eq!(outcome.is_ok(), expected, "{outcome:?}");
            if !expected {
                let outcome = unwrapped(&bed, &nobody, token).await;
                assert_eq!(refused(outcome).0, Code::NotFound);
            }
        };
        opens(&kept, true).await;
        opens(&withdrawn, true).await;
        bed.grant("deny", "payments/other").await;
        opens(&kept, true).await;
        opens(&withdrawn, false).await;
        // What a person would have to approve by now, nobody has approved.
        bed.grant("require_approval", "payments/stripe").await;
        opens(&kept, false).await;
        bed.database
            .sql("DELETE FROM grants WHERE effect = 'require_approval'")
            .await;
        opens(&kept, true).await;
        bed.database
            .sql("UPDATE agent_keys SET revoked_at = created_at")
            .await;
        opens(&kept, false).await;
        bed.database.sql("UPDATE agent_keys SET revoked_at = NULL").await;
        assert!(unwrapped(&bed, &nobody, &kept).await.is_ok(), "not used up");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn another_organisation_can_do_nothing_with_a_token() {
    for bed in Bed::all().await {
        bed.put("payments/stripe", "one").await;
        let view = made(
            &bed,
            json!({"path": "payments/stripe", "reason": "the first start"}),
        )
        .await;
        let foreign = seed_organization(&bed.database.store).await.organization;
        let agent = seed_agent(&bed.database.store, foreign, "stranger").await;
        let kind = aim_crypto::token::TokenKind::Long("aim_wrap_");
        let unknown = aim_crypto::token::IssuedToken::generate(kind).unwrap();
        for ctx in [
            bed.as_role_of(foreign, Role::Admin),
            bed.as_agent_of(foreign, &agent),
        ] {
            let error = unwrapped(&bed, &ctx, &view.token).await.unwrap_err();
            let none = unwrapped(&bed, &ctx, unknown.text().expose()).await.unwrap_err();
            assert_eq!((error.code, &error.detail), (Code::NotFound, &none.detail));
            assert_eq!(
                refused(looked_up(&bed, &ctx, &view.token).await).0,
                Code::NotFound
            );
        }
        assert!(
            unwrapped(&bed, &nobody(&bed), &view.token).await.is_ok(),
            "and has not used it up"
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn tokens_are_listed_by_state_and_path_page_by_page_and_without_the_tokens() {
    for bed in Bed::all().await {
        bed.put("payments/stripe", "one").await;
        bed.put("payments/other", "two").await;
        let wraps = service(&bed);
        let body =
            |path: &str, ttl: i64| json!({"path": path, "reason": "the first start", "ttl_seconds": ttl});
        let mut views = Vec::new();
        for (path, ttl) in [
            ("payments/stripe", 60),
            ("payments/stripe", 600),
            ("payments/other", 600),
            ("payments/stripe", 600),
        ] {
            // Ids of one moment have no order.
            bed.clock.advance(TimeDelta::milliseconds(2));
            views.push(made(&bed, body(path, ttl)).await);
        }
        let [expired, used, revoked, active] = views.as_slice() else {
            panic!("four");
        };
        bed.clock.advance(TimeDelta::seconds(60));
        let admin = bed.as_role(Role::Admin);
        unwrapped(&bed, &nobody(&bed), &used.token).await.unwrap();
        wraps.revoke(&admin, id_of(revoked)).await.unwrap();
        let list = async |query: Value| {
            let query = serde_json::from_value(query).unwrap();
            wraps.list(&admin, query).await.unwrap()
        };
        let ids = |list: &WrapList| {
            let found = list.wraps.iter().map(|listed| listed.wrap.wrap_id.clone());
            found.collect::<Vec<_>>()
        };
        let all = list(json!({})).await;
        let newest_first = [active, revoked, used, expired].map(|view| view.wrap.wrap_id.clone());
        assert_eq!(ids(&all), newest_first);
        let states: Vec<WrapState> = all.wraps.iter().map(|listed| listed.state).collect();
        use WrapState::{Active, Expired, Revoked, Used};
        assert_eq!(states, [Active, Revoked, Used, Expired]);
        let text = serde_json::to_string(&all).unwrap();
        assert!(views.iter().all(|view| !text.contains(&view.token)), "{text}");
        for (state, view) in [
            (Active, active),
            (Revoked, revoked),
            (Used, used),
            (Expired, expired),
        ] {
            let found = list(json!({"state": state})).await;
            assert_eq!(ids(&found), vec![view.wrap.wrap_id.clone()], "{state:?}");
        }
        let of_path = list(json!({"path": "payments/other"})).await;
        assert_eq!(ids(&of_path), vec![revoked.wrap.wrap_id.clone()]);
        let [listed] = of_path.wraps.as_slice() else {
            panic!("one");
        };
        assert_eq!(listed.reason.as_deref(), Some("the first start"));
        assert_eq!(listed.revoked_by.as_deref(), Some(admin.actor_text().as_str()));
        assert_eq!((listed.used_at, listed.revoked_at), (None, Some(admin.now)));
        let first = list(json!({"limit": 3})).await;
        let rest = list(json!({"limit": 3, "cursor": first.next_cursor})).await;
        assert_eq!([ids(&first), ids(&rest)].concat(), newest_first);
        assert_eq!(rest.next_cursor, None);

        let foreign = seed_organization(&bed.database.store).await.organization;
        let theirs = bed.as_role_of(foreign, Role::Admin);
        let found = wraps.list(&theirs, WrapQuery::default()).await.unwrap();
        assert!(found.wraps.is_empty());
        let agent = wraps.list(&bed.as_agent(), WrapQuery::default()).await;
        assert_eq!(refused(agent).0, Code::Forbidden);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_revoked_token_is_an_unknown_one_and_what_ended_is_not_revoked() {
    for bed in Bed::all().await {
        bed.put("payments/stripe", "one").await;
        let wraps = service(&bed);
        let body = json!({"path": "payments/stripe", "reason": "the first start"});
        let (view, other) = (made(&bed, body.clone()).await, made(&bed, body.clone()).await);
        let (admin, nobody) = (bed.as_role(Role::Admin), nobody(&bed));
        let foreign = seed_organization(&bed.database.store).await.organization;
        let theirs = bed.as_role_of(foreign, Role::Admin);
        let crossed = wraps.revoke(&theirs, id_of(&view)).await.unwrap_err();
        let unknown = wraps
            .revoke(&theirs, WrapId::generate(theirs.now))
            .await
            .unwrap_err();
        assert_eq!((crossed.code, &crossed.detail), (Code::NotFound, &unknown.detail));
        let by_agent = wraps.revoke(&bed.as_agent(), id_of(&view)).await;
        assert_eq!(refused(by_agent).0, Code::Forbidden);
        assert!(looked_up(&bed, &nobody, &view.token).await.is_ok());

        wraps.revoke(&admin, id_of(&view)).await.unwrap();
        for outcome in [
            looked_up(&bed, &nobody, &view.token).await.map(|_| ()),
            unwrapped(&bed, &nobody, &view.token).await.map(|_| ()),
        ] {
            assert_eq!(refused(outcome).0, Code::NotFound);
        }
        unwrapped(&bed, &nobody, &other.token).await.unwrap();
        let late = made(&bed, body).await;
        bed.clock.advance(TimeDelta::hours(1));
        let admin = bed.as_role(Role::Admin);
        for ended in [&view, &other, &late] {
            assert_eq!(
                refused(wraps.revoke(&admin, id_of(ended)).await).0,
                Code::StateConflict
            );
        }
        let audited = bed.audited().await;
        let revoked = audited.iter().filter(|action| *action == "secret.wrap_revoked");
        assert_eq!(revoked.count(), 1);
        // No second use: a token that was revoked was not used.
        assert!(!audited.iter().any(|action| action == "secret.wrap_reused"));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn bad_input_is_named() {
    let bed = Bed::all().await.remove(0);
    bed.put("payments/stripe", "one").await;
    let admin = bed.as_role(Role::Admin);
    let wraps = service(&bed);
    for (body, field) in [
        (json!({"path": "payments/stripe"}), "reason"),
        (json!({"path": "payments/stripe", "reason": "short"}), "reason"),
        (json!({"path": "../x", "reason": "the first start"}), "path"),
        (
            json!({"path": "payments/stripe", "reason": "the first start", "ttl_seconds": 0}),
            "ttl_seconds",
        ),
        (
            json!({"path": "payments/stripe", "reason": "the first start", "ttl_seconds": 3601}),
            "ttl_seconds",
        ),
        (
            json!({"path": "payments/stripe", "reason": "the first start", "version": 0}),
            "version",
        ),
        (
            json!({"path": "payments/stripe", "reason": "the first start", "for_agent": uuid::Uuid::from_u128(9)}),
            "for_agent",
        ),
    ] {
        let said = body.to_string();
        let outcome = wraps.wrap_for_person(&admin, request(body)).await;
        assert_eq!(refused(outcome), (Code::FieldInvalid, field.to_owned()), "{said}");
    }
    let missing = wraps.wrap_for_person(&admin, of_person("payments/nothing")).await;
    assert_eq!(refused(missing).0, Code::NotFound);
    for token in ["", "aim_live_x", "aim_wrap_short"] {
        assert_eq!(
            refused(looked_up(&bed, &nobody(&bed), token).await),
            (Code::FieldInvalid, "token".to_owned())
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_persons_token_for_whoever_brings_it_is_as_good_as_a_reveal_and_obeys_the_same_setting() {
    for bed in Bed::all().await {
        bed.put("payments/stripe", "one").await;
        let person = Person::signed_in(&bed, bed.organization).await;
        let wraps = service(&bed);
        let callers = || [person.ctx(&bed), bed.as_role(Role::Admin)];
        let refusals = async |why: &str| {
            for ctx in callers() {
                let error = wraps
                    .wrap_for_person(&ctx, of_person("payments/stripe"))
                    .await
                    .unwrap_err();
                assert_eq!(error.code, Code::StateConflict);
                assert!(error.detail.contains(why), "{}", error.detail);
            }
        };
        // As it is until somebody says otherwise.
        refusals("shows values to nobody").await;
        person.sets(&bed, RevealMode::SecondPerson).await;
        refusals("a second person's approval alone").await;
        // What only an agent can open shows nothing to a person, in every mode; nor does what an agent wraps that may read.
        for mode in [RevealMode::Off, RevealMode::SecondPerson, RevealMode::Reason] {
            person.sets(&bed, mode).await;
            for ctx in callers() {
                let body = json!({"path": "payments/stripe", "reason": "the first start", "for_agent": bed.agent.id});
                let view = wraps.wrap_for_person(&ctx, request(body)).await.unwrap();
                for other in [&ctx, &nobody(&bed)] {
                    assert_eq!(
                        refused(unwrapped(&bed, other, &view.token).await).0,
                        Code::NotFound
                    );
                }
                assert!(unwrapped(&bed, &bed.as_agent(), &view.token).await.is_ok());
            }
            let by_agent = wraps
                .wrap_for_agent(
                    &bed.as_agent(),
                    None,
                    "rfc9421",
                    request(json!({"path": "payments/stripe"})),
                )
                .await;
            let WrapReply::Made(view) = by_agent.unwrap() else {
                panic!("approved");
            };
            assert!(unwrapped(&bed, &nobody(&bed), &view.token).await.is_ok());
        }
        // Where a reason is enough it is enough here; and what was made then is worth nothing once the setting is another.
        for ctx in callers() {
            let view = wraps
                .wrap_for_person(&ctx, of_person("payments/stripe"))
                .await
                .unwrap();
            person.sets(&bed, RevealMode::SecondPerson).await;
            for _ in 0..2 {
                assert_eq!(
                    refused(unwrapped(&bed, &nobody(&bed), &view.token).await).0,
                    Code::StateConflict
                );
            }
            person.sets(&bed, RevealMode::Reason).await;
            assert!(
                unwrapped(&bed, &nobody(&bed), &view.token).await.is_ok(),
                "it was not used up"
            );
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_person_who_makes_tokens_signed_in_lately_and_makes_not_too_many() {
    for bed in Bed::all().await {
        bed.put("payments/stripe", "one").await;
        let person = Person::signed_in(&bed, bed.organization).await;
        person.sets(&bed, RevealMode::Reason).await;
        let wraps = service(&bed);
        bed.clock.advance(TimeDelta::minutes(61));
        let late = wraps
            .wrap_for_person(&person.ctx(&bed), of_person("payments/stripe"))
            .await;
        assert_eq!(refused(late).0, Code::Forbidden);
        let person = person.signs_in(&bed).await;
        for _ in 0..20 {
            assert!(
                wraps
                    .wrap_for_person(&person.ctx(&bed), of_person("payments/stripe"))
                    .await
                    .is_ok()
            );
        }
        let one_more = wraps
            .wrap_for_person(&person.ctx(&bed), of_person("payments/stripe"))
            .await;
        assert_eq!(refused(one_more).0, Code::RateLimited);
        bed.clock.advance(TimeDelta::minutes(60));
        let person = person.signs_in(&bed).await;
        assert!(
            wraps
                .wrap_for_person(&person.ctx(&bed), of_person("payments/stripe"))
                .await
                .is_ok()
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_that_was_found_is_recognised_by_its_organisation_alone() {
    for bed in Bed::all().await {
        bed.put("payments/stripe", "one").await;
        let view = made(
            &bed,
            json!({"path": "payments/stripe", "reason": "the first start"}),
        )
        .await;
        let keys = AgentApiKeyService::new(&bed.kernel);
        let recognised = async |organization, token: &str| {
            let wanted = serde_json::from_value(json!({"token": token})).unwrap();
            let ctx = bed.as_role_of(organization, Role::Manager);
            keys.recognise(&ctx, wanted).await.unwrap()
        };
        let found = recognised(bed.organization, &view.token).await;
        assert_eq!((found.known, found.kind.as_deref()), (true, Some("wrap_token")));
        assert!(found.verdict.contains("revoke it"), "{}", found.verdict);
        let wrap = found.wrap.unwrap();
        assert_eq!((wrap.id, wrap.state), (id_of(&view), WrapState::Active));

        let unknown =
            aim_crypto::token::IssuedToken::generate(aim_crypto::token::TokenKind::Long("aim_wrap_"));
        let unknown = recognised(bed.organization, unknown.unwrap().text().expose()).await;
        assert_eq!((unknown.well_formed, unknown.known), (true, false));
        let foreign = seed_organization(&bed.database.store).await.organization;
        assert_eq!(recognised(foreign, &view.token).await, unknown);

        unwrapped(&bed, &nobody(&bed), &view.token).await.unwrap();
        let used = recognised(bed.organization, &view.token).await;
        assert_eq!(used.wrap.unwrap().state, WrapState::Used);
        assert!(used.verdict.contains("rotate the secret"), "{}", used.verdict);
    }
}
