//! Values shown to people: switched on first, with a reason, with a second person where wanted, and once.

use aim_core::{Actor, Code, Ctx, Error, OrganizationId, Role, SessionId, UserId};
use aim_crypto::sealing::{RecipientKey, Sealed, SecretInfo, open};
use aim_premium::vault::reveals::model::{
    AnswerReveal, AskReveal, RevealId, RevealMode, RevealQuery, RevealReply, RevealState, RevealView,
    SetRevealMode, TakeReveal,
};
use aim_store::{
    diesel::{ExpressionMethods, RunQueryDsl},
    each,
    schema::sessions,
};
use chrono::TimeDelta;
use serde_json::{Value, json};

use crate::{
    bed::{Bed, at, refused},
    canary::{CANARY, everything, holds},
};

const REASON: &str = "the provider wants it on the phone";

/// A person who signed in now.
#[derive(Clone, Copy)]
pub(crate) struct Person {
    organization: OrganizationId,
    id: UserId,
    session: SessionId,
}

impl Person {
    pub(crate) async fn signed_in(bed: &Bed, organization: OrganizationId) -> Self {
        let now = bed.kernel.now();
        let person = Self {
            organization,
            id: UserId::generate(now),
            session: SessionId::generate(now),
        };
        person.signs_in(bed).await
    }

    /// The same person in a new session.
    pub(crate) async fn signs_in(mut self, bed: &Bed) -> Self {
        let now = bed.kernel.now();
        self.session = SessionId::generate(now);
        let (organization, id, session) = (self.organization, self.id, self.session);
        bed.kernel
            .store
            .write(organization, move |db| {
                each!(db, c => aim_store::diesel::insert_into(sessions::table)
                    .values((
                        sessions::org_id.eq(organization),
                        sessions::id.eq(session),
                        sessions::user_id.eq(id),
                        sessions::token_digest.eq(session.uuid().as_bytes().to_vec()),
                        sessions::created_at.eq(now),
                        sessions::expires_at.eq(now + TimeDelta::days(30)),
                        sessions::last_seen_at.eq(now),
                    ))
                    .execute(c))?;
                Ok(())
            })
            .await
            .unwrap();
        self
    }

    pub(crate) fn ctx(&self, bed: &Bed) -> Ctx {
        let mut ctx = Ctx::system("test", self.organization, bed.kernel.now());
        ctx.actor = Actor::User {
            id: self.id,
            role: Role::Admin,
            session: self.session,
        };
        ctx
    }

    pub(crate) async fn sets(&self, bed: &Bed, mode: RevealMode) {
        let ctx = self.ctx(bed);
        let set = bed.vault.set_reveal_mode(&ctx, SetRevealMode { mode }).await;
        assert_eq!(set.unwrap().mode, mode);
    }

    async fn asks(&self, bed: &Bed, path: &str) -> Result<RevealReply, Error> {
        bed.vault.reveal(&self.ctx(bed), ask(path)).await
    }

    async fn answers(&self, bed: &Bed, id: RevealId, approve: bool) -> Result<RevealView, Error> {
        let answer = AnswerReveal {
            note: Some("seen with her".to_owned()),
        };
        bed.vault.answer_reveal(&self.ctx(bed), id, approve, answer).await
    }

    async fn takes(&self, bed: &Bed, id: RevealId) -> Result<RevealReply, Error> {
        bed.vault
            .take_reveal(&self.ctx(bed), id, TakeReveal::default())
            .await
    }
}

fn ask(path: &str) -> AskReveal {
    ask_of(json!({"path": path, "reason": REASON}))
}

fn ask_of(body: Value) -> AskReveal {
    serde_json::from_value(body).unwrap()
}

fn value(reply: &RevealReply) -> &str {
    reply.fields.as_ref().unwrap().get("value").unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn nobody_sees_a_value_until_an_administrator_switches_it_on() {
    for bed in Bed::all().await {
        bed.put("payments/key", CANARY).await;
        let ada = Person::signed_in(&bed, bed.organization).await;
        assert_eq!(
            bed.vault.reveal_settings(&ada.ctx(&bed)).await.unwrap().mode,
            RevealMode::Off
        );
        assert_eq!(
            refused(ada.asks(&bed, "payments/key").await).0,
            Code::StateConflict
        );
        // A key is no person, whatever its role; nor is an agent.
        for ctx in [bed.as_role(Role::Admin), bed.as_agent()] {
            let mode = SetRevealMode {
                mode: RevealMode::Reason,
            };
            assert_eq!(
                refused(bed.vault.set_reveal_mode(&ctx, mode).await).0,
                Code::Forbidden
            );
        }
        ada.sets(&bed, RevealMode::Reason).await;
        for ctx in [bed.as_role(Role::Admin), bed.as_agent()] {
            let reply = bed.vault.reveal(&ctx, ask("payments/key")).await;
            assert_eq!(refused(reply).0, Code::Forbidden);
        }
        let reply = ada.asks(&bed, "payments/key").await.unwrap();
        assert_eq!((value(&reply), reply.reveal.state), (CANARY, RevealState::Taken));
        assert_eq!(reply.secret.as_ref().unwrap().version, 1);
        ada.sets(&bed, RevealMode::Off).await;
        assert_eq!(
            refused(ada.asks(&bed, "payments/key").await).0,
            Code::StateConflict
        );
        let records = bed.audited().await;
        let of = |name: &str| records.iter().filter(|action| *action == name).count();
        assert_eq!((of("vault.reveal_mode_set"), of("secret.revealed")), (2, 1));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_value_stands_in_that_answer_and_nowhere_else() {
    for bed in Bed::all().await {
        bed.put("payments/key", CANARY).await;
        let ada = Person::signed_in(&bed, bed.organization).await;
        let ben = Person::signed_in(&bed, bed.organization).await;
        ada.sets(&bed, RevealMode::Reason).await;
        let reply = ada.asks(&bed, "payments/key").await.unwrap();
        assert!(holds(&serde_json::to_vec(&reply).unwrap(), CANARY.as_bytes()));
        assert!(!holds(format!("{reply:?}").as_bytes(), CANARY.as_bytes()));
        ada.sets(&bed, RevealMode::SecondPerson).await;
        let asked = ada.asks(&bed, "payments/key").await.unwrap();
        let approved = ben.answers(&bed, asked.reveal.id, true).await.unwrap();
        assert_eq!(value(&ada.takes(&bed, asked.reveal.id).await.unwrap()), CANARY);
        let list = bed
            .vault
            .list_reveals(&ben.ctx(&bed), RevealQuery::default())
            .await
            .unwrap();
        let others = format!("{}{}{}", json!(asked), json!(approved), json!(list));
        assert!(!holds(others.as_bytes(), CANARY.as_bytes()));
        let kept = everything(&bed).await;
        assert!(!holds(&kept, CANARY.as_bytes()));
        assert!(holds(&kept, REASON.as_bytes()), "the reason is kept");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn with_two_people_one_asks_another_approves_and_the_first_takes_it_once() {
    for bed in Bed::all().await {
        bed.put("payments/key", "one").await;
        let ada = Person::signed_in(&bed, bed.organization).await;
        let ben = Person::signed_in(&bed, bed.organization).await;
        ada.sets(&bed, RevealMode::SecondPerson).await;
        let asked = ada.asks(&bed, "payments/key").await.unwrap();
        let id = asked.reveal.id;
        assert_eq!(asked.reveal.state, RevealState::Pending);
        assert!(asked.fields.is_none() && asked.secret.is_none() && asked.sealed.is_none());
        assert_eq!(refused(ada.takes(&bed, id).await).0, Code::StateConflict);
        assert_eq!(
            refused(ada.answers(&bed, id, true).await).0,
            Code::Forbidden,
            "never the same person"
        );
        let again = ada.signs_in(&bed).await;
        assert_eq!(refused(again.answers(&bed, id, true).await).0, Code::Forbidden);
        let approved = ben.answers(&bed, id, true).await.unwrap();
        assert_eq!(
            (approved.state, approved.answered_by, approved.expires_at),
            (
                RevealState::Approved,
                Some(format!("user:{}", ben.id)),
                bed.kernel.now() + TimeDelta::minutes(15)
            )
        );
        assert_eq!(refused(ben.answers(&bed, id, false).await).0, Code::StateConflict);
        assert_eq!(
            refused(ben.takes(&bed, id).await).0,
            Code::Forbidden,
            "only whoever asked"
        );
        // What was approved is the version that was asked for.
        bed.put("payments/key", "two").await;
        let taken = ada.takes(&bed, id).await.unwrap();
        assert_eq!(
            (value(&taken), taken.secret.as_ref().unwrap().version),
            ("one", 1)
        );
        assert_eq!(refused(ada.takes(&bed, id).await).0, Code::StateConflict);
        let records = bed.audited().await;
        let steps: Vec<&String> = records
            .iter()
            .filter(|action| action.starts_with("secret.reveal"))
            .collect();
        assert_eq!(
            steps,
            [
                "secret.reveal_requested",
                "secret.reveal_approved",
                "secret.revealed"
            ]
        );

        let asked = ada.asks(&bed, "payments/key").await.unwrap().reveal.id;
        assert_eq!(
            ben.answers(&bed, asked, false).await.unwrap().state,
            RevealState::Rejected
        );
        assert_eq!(refused(ada.takes(&bed, asked).await).0, Code::StateConflict);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn of_two_who_take_it_at_once_one_gets_it() {
    for bed in Bed::all().await {
        bed.put("payments/key", "one").await;
        let ada = Person::signed_in(&bed, bed.organization).await;
        let ben = Person::signed_in(&bed, bed.organization).await;
        ada.sets(&bed, RevealMode::SecondPerson).await;
        let id = ada.asks(&bed, "payments/key").await.unwrap().reveal.id;
        ben.answers(&bed, id, true).await.unwrap();
        let (one, other) = tokio::join!(ada.takes(&bed, id), ada.takes(&bed, id));
        assert_eq!(u8::from(one.is_ok()) + u8::from(other.is_ok()), 1);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn requests_and_approvals_end_with_their_time_and_with_what_they_stood_on() {
    for bed in Bed::all().await {
        bed.put("payments/key", "one").await;
        let mut ada = Person::signed_in(&bed, bed.organization).await;
        let mut ben = Person::signed_in(&bed, bed.organization).await;
        ada.sets(&bed, RevealMode::SecondPerson).await;
        let asked = ada.asks(&bed, "payments/key").await.unwrap().reveal.id;
        bed.clock.advance(TimeDelta::hours(24));
        (ada, ben) = (ada.signs_in(&bed).await, ben.signs_in(&bed).await);
        assert_eq!(
            refused(ben.answers(&bed, asked, true).await).0,
            Code::StateConflict
        );
        let state = bed.vault.get_reveal(&ben.ctx(&bed), asked).await.unwrap().state;
        assert_eq!(state, RevealState::Expired);

        let approved = async |ada: Person, ben: Person| {
            let id = ada.asks(&bed, "payments/key").await.unwrap().reveal.id;
            ben.answers(&bed, id, true).await.unwrap();
            id
        };
        let id = approved(ada, ben).await;
        bed.clock.advance(TimeDelta::minutes(15));
        assert_eq!(refused(ada.takes(&bed, id).await).0, Code::StateConflict);
        let of_state = async |state| {
            let query = RevealQuery {
                state: Some(state),
                ..Default::default()
            };
            bed.vault
                .list_reveals(&ben.ctx(&bed), query)
                .await
                .unwrap()
                .reveals
                .len()
        };
        assert_eq!(
            (
                of_state(RevealState::Expired).await,
                of_state(RevealState::Approved).await
            ),
            (2, 0)
        );

        // Switched off meanwhile; and the version deleted.
        let id = approved(ada, ben).await;
        ada.sets(&bed, RevealMode::Off).await;
        assert_eq!(refused(ada.takes(&bed, id).await).0, Code::StateConflict);
        ada.sets(&bed, RevealMode::SecondPerson).await;
        bed.vault
            .delete(&bed.manager(), at("payments/key"), Some(1))
            .await
            .unwrap();
        assert_eq!(refused(ada.takes(&bed, id).await).0, Code::NotFound);
        assert_eq!(refused(ada.asks(&bed, "payments/key").await).0, Code::NotFound);
        bed.vault
            .undelete(&bed.manager(), at("payments/key"), 1)
            .await
            .unwrap();
        assert_eq!(
            value(&ada.takes(&bed, id).await.unwrap()),
            "one",
            "a refusal used nothing up"
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_old_session_and_one_that_is_not_there_see_nothing() {
    for bed in Bed::all().await {
        bed.put("payments/key", "one").await;
        let ada = Person::signed_in(&bed, bed.organization).await;
        ada.sets(&bed, RevealMode::Reason).await;
        bed.clock
            .advance(TimeDelta::minutes(60) - TimeDelta::microseconds(1));
        assert!(ada.asks(&bed, "payments/key").await.is_ok());
        bed.clock.advance(TimeDelta::microseconds(1));
        let refusal = ada.asks(&bed, "payments/key").await.unwrap_err();
        assert!(refusal.code == Code::Forbidden && refusal.detail.contains("sign out and in again"));
        assert!(ada.signs_in(&bed).await.asks(&bed, "payments/key").await.is_ok());
        let unknown = Person {
            session: SessionId::generate(bed.kernel.now()),
            ..ada
        };
        assert_eq!(
            refused(unknown.asks(&bed, "payments/key").await).0,
            Code::Forbidden
        );
        let ben = Person::signed_in(&bed, bed.organization).await;
        let borrowed = Person {
            session: ben.session,
            ..ada
        };
        assert_eq!(
            refused(borrowed.asks(&bed, "payments/key").await).0,
            Code::Forbidden
        );
        bed.database
            .sql("UPDATE sessions SET revoked_at = created_at")
            .await;
        assert_eq!(refused(ben.asks(&bed, "payments/key").await).0, Code::Forbidden);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn one_person_sees_a_bounded_number_of_values_an_hour() {
    for bed in Bed::all().await {
        bed.put("payments/key", "one").await;
        let ada = Person::signed_in(&bed, bed.organization).await;
        let ben = Person::signed_in(&bed, bed.organization).await;
        ada.sets(&bed, RevealMode::Reason).await;
        for _ in 0..20 {
            ada.asks(&bed, "payments/key").await.unwrap();
            bed.clock.advance(TimeDelta::seconds(30));
        }
        let refusal = ada.asks(&bed, "payments/key").await.unwrap_err();
        assert_eq!(
            (refusal.code, refusal.retry_after),
            (Code::RateLimited, Some(50 * 60 + 1))
        );
        assert!(
            ben.asks(&bed, "payments/key").await.is_ok(),
            "each person for themself"
        );
        bed.clock.advance(TimeDelta::minutes(50));
        let ada = ada.signs_in(&bed).await;
        assert!(ada.asks(&bed, "payments/key").await.is_ok());
        assert_eq!(refused(ada.asks(&bed, "payments/key").await).0, Code::RateLimited);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_asked_for_badly_is_refused_by_name_and_shows_nothing() {
    for bed in Bed::all().await {
        bed.put("payments/key", "one").await;
        let ada = Person::signed_in(&bed, bed.organization).await;
        ada.sets(&bed, RevealMode::Reason).await;
        for (change, field) in [
            (json!({"reason": "too short"}), "reason"),
            (json!({"reason": format!("{}x", " ".repeat(20))}), "reason"),
            (json!({"reason": "r".repeat(501)}), "reason"),
            (json!({"path": "payments//key"}), "path"),
            (json!({"version": 0}), "version"),
            (json!({"seal_to": "x"}), "seal_to"),
            (json!({"seal_to": "A".repeat(43)}), "seal_to"),
        ] {
            let mut body = json!({"path": "payments/key", "reason": REASON});
            body.as_object_mut()
                .unwrap()
                .extend(change.as_object().unwrap().clone());
            let refusal = bed.vault.reveal(&ada.ctx(&bed), ask_of(body)).await;
            assert_eq!(
                refused(refusal),
                (Code::FieldInvalid, field.to_owned()),
                "{change}"
            );
        }
        assert_eq!(
            refused(ada.asks(&bed, "payments/nothing").await).0,
            Code::NotFound
        );
        let version = ask_of(json!({"path": "payments/key", "reason": REASON, "version": 7}));
        assert_eq!(
            refused(bed.vault.reveal(&ada.ctx(&bed), version).await).0,
            Code::NotFound
        );
        assert_eq!(bed.database.count("SELECT count(*) FROM vault_reveals").await, 0);
        assert!(!bed.audited().await.contains(&"secret.revealed".to_owned()));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_value_can_come_sealed_to_the_persons_own_key() {
    for bed in Bed::all().await {
        bed.put("payments/key", CANARY).await;
        let ada = Person::signed_in(&bed, bed.organization).await;
        ada.sets(&bed, RevealMode::Reason).await;
        let key = RecipientKey::generate().unwrap();
        let ask = ask_of(json!({"path": "payments/key", "reason": REASON, "seal_to": key.public_text()}));
        let reply = bed.vault.reveal(&ada.ctx(&bed), ask).await.unwrap();
        assert!(reply.fields.is_none());
        assert!(!holds(&serde_json::to_vec(&reply).unwrap(), CANARY.as_bytes()));
        let sealed: Sealed = serde_json::from_value(json!(reply.sealed)).unwrap();
        let info = SecretInfo {
            organization: &bed.organization.to_string(),
            agent: &ada.id.to_string(),
            decision: &reply.reveal.id.to_string(),
            path: "payments/key",
            version: 1,
        };
        let plaintext = open(&key, &info.bytes(), &sealed).unwrap();
        let plaintext: Value = serde_json::from_slice(&plaintext).unwrap();
        assert_eq!(plaintext["fields"]["value"], CANARY);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn another_tenants_request_is_as_unknown_as_one_that_is_not_there() {
    for bed in Bed::all().await {
        bed.put("payments/key", "ours").await;
        let ada = Person::signed_in(&bed, bed.organization).await;
        ada.sets(&bed, RevealMode::SecondPerson).await;
        let ours = ada.asks(&bed, "payments/key").await.unwrap().reveal.id;
        let stranger = aim_testkit::seed_organization(&bed.kernel.store)
            .await
            .organization;
        let eve = Person::signed_in(&bed, stranger).await;
        eve.sets(&bed, RevealMode::SecondPerson).await;
        let unknown = RevealId::generate(bed.kernel.now());
        let all = async |id| {
            let answers = [
                eve.answers(&bed, id, true).await,
                eve.answers(&bed, id, false).await,
            ];
            let mut errors: Vec<Error> = answers.into_iter().map(|answer| answer.unwrap_err()).collect();
            errors.push(eve.takes(&bed, id).await.unwrap_err());
            errors.push(bed.vault.get_reveal(&eve.ctx(&bed), id).await.unwrap_err());
            errors
                .into_iter()
                .map(|error| (error.code, error.detail))
                .collect::<Vec<_>>()
        };
        assert_eq!(all(ours).await, all(unknown).await);
        assert!(all(ours).await.iter().all(|(code, _)| *code == Code::NotFound));
        assert_eq!(refused(eve.asks(&bed, "payments/key").await).0, Code::NotFound);
        let list = bed
            .vault
            .list_reveals(&eve.ctx(&bed), RevealQuery::default())
            .await
            .unwrap();
        assert!(list.reveals.is_empty());
        // The other tenant's setting is its own.
        eve.sets(&bed, RevealMode::Reason).await;
        assert_eq!(
            bed.vault.reveal_settings(&ada.ctx(&bed)).await.unwrap().mode,
            RevealMode::SecondPerson
        );
    }
}
