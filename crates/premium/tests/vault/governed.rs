//! What governs any action governs a read: policies, the trust threshold, violations, and the evidence.

use aim_core::Role;
use aim_store::{
    Scope,
    diesel::{ExpressionMethods, QueryDsl, RunQueryDsl},
    each,
    schema::agents,
};
use aim_violations::policies::PolicyService;
use serde_json::{Value, json};

use crate::bed::{Bed, Read};

impl Bed {
    /// A person makes a policy of the organisation.
    async fn rules(&self, policy: Value) -> aim_core::PolicyId {
        let ctx = self.as_role(Role::Admin);
        let new = serde_json::from_value(policy).unwrap();
        PolicyService::new(&self.kernel)
            .create(&ctx, new)
            .await
            .unwrap()
            .id
    }

    /// The agent's score, as trust would have published it.
    async fn scores(&self, score: i64) {
        let agent = self.agent.id;
        let write = self.kernel.store.write(Scope::Installation, move |db| {
            each!(db, c => diesel::update(agents::table.filter(agents::id.eq(agent)))
                .set((agents::trust_score.eq(Some(score)), agents::epoch.eq(agents::epoch + 1)))
                .execute(c))?;
            Ok(())
        });
        write.await.unwrap();
    }
}

/// How a read ended: its status, and the codes of the reasons.
fn told(read: &Read) -> (&str, &[String]) {
    (&read.reply.decision.status, &read.reply.decision.reason_codes)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_policy_stops_a_read_that_a_grant_allows_and_the_denial_is_a_violation() {
    for bed in Bed::all().await {
        bed.put("payments/stripe/live", "canary").await;
        assert_eq!(bed.read("payments/stripe/live").await.unwrap().value(), "canary");
        let policy = json!({"name": "no live keys", "effect": "deny", "capability": "secret:read", "resources": ["payments/*/live"]});
        let id = bed.rules(policy).await;
        let read = bed.read("payments/stripe/live").await.unwrap();
        assert_eq!(told(&read), ("denied", &["policy.denied".to_owned()][..]));
        assert!(read.opened.is_none());
        let violations = "SELECT count(*) FROM violations WHERE attempted_capability = 'secret:read' AND resource = 'payments/stripe/live'";
        assert_eq!(bed.database.count(violations).await, 1);
        // Each has its evidence: a leaf of the log in the transaction of the decision.
        let leaves = "SELECT count(*) FROM decisions d JOIN audit_log l ON l.leaf_index = d.leaf_index AND l.kind = 'decision'";
        assert_eq!(bed.database.count(leaves).await, 2);
        let ctx = bed.as_role(Role::Admin);
        PolicyService::new(&bed.kernel).delete(&ctx, id).await.unwrap();
        assert_eq!(bed.read("payments/stripe/live").await.unwrap().value(), "canary");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_read_obeys_the_trust_threshold() {
    for bed in Bed::all().await {
        bed.put("payments/stripe/live", "canary").await;
        let policy =
            json!({"name": "trusted alone", "effect": "deny", "capability": "secret:*", "trust_below": 60});
        bed.rules(policy).await;
        bed.scores(59).await;
        let read = bed.read("payments/stripe/live").await.unwrap();
        assert_eq!(told(&read), ("denied", &["policy.denied".to_owned()][..]));
        bed.scores(60).await;
        assert_eq!(bed.read("payments/stripe/live").await.unwrap().value(), "canary");
    }
}
