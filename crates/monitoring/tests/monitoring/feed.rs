//! The live feed: everybody sees all of their own and nothing else, whenever they come.

use aim_core::Code;
use aim_monitoring::feed::{Subscription, model::FeedQuery};
use serde_json::{Value, json};

use crate::bed::{Bed, on_each};

/// What a client was sent up to an event that `is_last`.
async fn read_until(subscription: &mut Subscription, is_last: impl Fn(&Event) -> bool) -> Vec<Event> {
    let mut events = Vec::new();
    while let Some(bytes) = subscription.next().await {
        let text = String::from_utf8(bytes.to_vec()).unwrap();
        for frame in text.split("\n\n").filter(|frame| !frame.is_empty()) {
            if frame.starts_with(':') {
                continue;
            }
            let event = Event::parse(frame);
            let over = is_last(&event);
            events.push(event);
            if over {
                return events;
            }
        }
    }
    events
}

#[derive(Debug)]
struct Event {
    name: String,
    id: Option<i64>,
    data: Value,
}

impl Event {
    fn parse(frame: &str) -> Self {
        let line = |name: &str| frame.lines().find_map(|line| line.strip_prefix(name));
        Self {
            name: line("event: ").unwrap_or("message").to_owned(),
            id: line("id: ").map(|id| id.parse().unwrap()),
            data: serde_json::from_str(line("data: ").unwrap()).unwrap(),
        }
    }

    fn is_item(&self, action: &str) -> bool {
        self.name == "message" && self.data["action"] == action
    }
}

fn items(events: &[Event]) -> Vec<i64> {
    events
        .iter()
        .filter(|event| event.name == "message")
        .map(|event| event.id.unwrap())
        .collect()
}

async fn mark(bed: &Bed) {
    bed.log(vec![bed.event("agent.reactivated", json!({}))]).await;
}

#[tokio::test]
async fn clients_see_what_happens_in_their_organisation_and_nothing_of_another() {
    on_each(|bed| async move {
        let hub = bed.monitoring.hub();
        let viewer = bed.key_holder(bed.home).await;
        let mut mine = hub.subscribe(&viewer, None, None).await.unwrap();
        let mut quiet = hub.subscribe(&viewer, Some(bed.stranger), None).await.unwrap();
        let other = bed.key_holder(bed.elsewhere).await;
        let mut theirs = hub.subscribe(&other, None, None).await.unwrap();
        assert_eq!(hub.clients(), 3);
        let facts =
            json!({"capability": "db:drop", "severity": "high", "reasons": ["capability.not_granted"]});
        bed.log(vec![
            bed.decision_with(bed.home, bed.agent, "denied", facts),
            bed.decision(bed.elsewhere, bed.stranger, "approved"),
        ])
        .await;
        mark(&bed).await;

        let events = read_until(&mut mine, |event| event.is_item("agent.reactivated")).await;
        assert_eq!(events[0].name, "ready");
        assert_eq!(items(&events), [0, 2], "{}", bed.database.kind);
        let denial = &events[1].data;
        assert_eq!(denial["agent_name"], "billing-bot");
        assert_eq!(denial["severity"], "high");
        assert_eq!(
            denial["words"],
            "billing-bot was denied db:drop (capability not granted)"
        );
        assert_eq!(events[2].data["words"], "billing-bot was reactivated");

        let events = read_until(&mut theirs, |event| event.is_item("action.decided")).await;
        assert_eq!(items(&events), [1]);
        // Another tenant's agent is nobody here: its name and doings stay unseen.
        bed.kernel.stopping.begin();
        let events = read_until(&mut quiet, |event| event.name == "stopping").await;
        assert_eq!(items(&events), [0_i64; 0]);
        assert_eq!(hub.clients(), 0, "{}", bed.database.kind);
    })
    .await;
}

#[tokio::test]
async fn a_client_that_comes_back_misses_nothing_and_gets_nothing_twice() {
    on_each(|bed| async move {
        let hub = bed.monitoring.hub();
        let viewer = bed.key_holder(bed.home).await;
        mark(&bed).await;
        let mut first = hub.subscribe(&viewer, None, None).await.unwrap();
        mark(&bed).await;
        let seen = read_until(&mut first, |event| event.id == Some(1)).await;
        assert_eq!(items(&seen), [1]);
        drop(first);
        assert_eq!(hub.clients(), 0);
        for _ in 0..5 {
            mark(&bed).await;
        }
        let mut again = hub.subscribe(&viewer, None, Some(1)).await.unwrap();
        mark(&bed).await;
        let seen = read_until(&mut again, |event| event.name == "message" && event.id == Some(7)).await;
        assert_eq!(items(&seen), [2, 3, 4, 5, 6, 7], "{}", bed.database.kind);
    })
    .await;
}

#[tokio::test]
async fn too_much_to_send_again_is_a_gap_that_is_named() {
    on_each(|bed| async move {
        let viewer = bed.key_holder(bed.home).await;
        let many = (0..1_205).map(|_| bed.decision(bed.home, bed.agent, "denied"));
        bed.log(many.collect()).await;
        let mut late = bed
            .monitoring
            .hub()
            .subscribe(&viewer, None, Some(-1))
            .await
            .unwrap();
        let seen = read_until(&mut late, |event| {
            event.id == Some(1_204) && event.name == "message"
        })
        .await;
        let gap = seen.iter().find(|event| event.name == "gap").unwrap();
        assert_eq!(gap.data, json!({"from_index": 0, "to_index": 205}));
        assert_eq!(
            items(&seen),
            (205..1_205).collect::<Vec<_>>(),
            "{}",
            bed.database.kind
        );
    })
    .await;
}

#[tokio::test]
async fn who_reads_too_slowly_is_told_and_let_go_and_the_others_are_not_held_up() {
    on_each(|bed| async move {
        let hub = bed.monitoring.hub();
        let viewer = bed.key_holder(bed.home).await;
        let mut slow = hub.subscribe(&viewer, None, None).await.unwrap();
        let mut quick = hub.subscribe(&viewer, None, None).await.unwrap();
        // One look at the log after the other, until the slow one's queue is full.
        for index in 0..40 {
            mark(&bed).await;
            read_until(&mut quick, |event| {
                event.id == Some(index) && event.name == "message"
            })
            .await;
        }
        assert_eq!(hub.clients(), 1, "{}", bed.database.kind);
        let seen = read_until(&mut slow, |_| false).await;
        assert_eq!(seen.last().map(|event| event.name.as_str()), Some("lagged"));
    })
    .await;
}

#[tokio::test]
async fn the_feed_ends_when_the_key_does() {
    on_each(|bed| async move {
        let hub = bed.monitoring.hub();
        let viewer = bed.key_holder(bed.home).await;
        let mut stream = hub.subscribe(&viewer, None, None).await.unwrap();
        bed.database.sql("DELETE FROM api_keys").await;
        let seen = read_until(&mut stream, |_| false).await;
        assert_eq!(seen.last().map(|event| event.name.as_str()), Some("ended"));
        assert_eq!(hub.clients(), 0);
    })
    .await;
}

#[tokio::test]
async fn pages_of_the_feed_join_up_and_hold_no_personal_details() {
    on_each(|bed| async move {
        for _ in 0..5 {
            let entry = bed
                .event("agent.suspended", json!({}))
                .details(json!({"reason": "Ada said so", "source_ip": "198.51.100.7"}));
            bed.log(vec![entry]).await;
        }
        let feed = bed.monitoring.feed();
        let mut query = FeedQuery {
            limit: Some(3),
            ..FeedQuery::default()
        };
        let first = feed.page(&bed.manager(), &query).await.unwrap();
        query.cursor.clone_from(&first.next_cursor);
        let second = feed.page(&bed.manager(), &query).await.unwrap();
        let indices: Vec<_> = first
            .events
            .iter()
            .chain(&second.events)
            .map(|item| item.index)
            .collect();
        assert_eq!(indices, [4, 3, 2, 1, 0], "{}", bed.database.kind);
        assert_eq!(second.next_cursor, None);
        let text = serde_json::to_string(&first).unwrap();
        assert!(!text.contains("Ada") && !text.contains("198.51"));
        let nothing = feed
            .page(&bed.caller(bed.elsewhere), &FeedQuery::default())
            .await
            .unwrap();
        assert!(nothing.events.is_empty());
        query.cursor = Some("x".to_owned());
        let error = feed.page(&bed.manager(), &query).await.unwrap_err();
        assert_eq!(
            (error.code, error.field.as_deref()),
            (Code::FieldInvalid, Some("cursor"))
        );
    })
    .await;
}
