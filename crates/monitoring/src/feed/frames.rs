//! Server-sent events as bytes (HTML standard §9.2): made once for all clients that see the same.

use actix_web::web::Bytes;

use super::model::FeedItem;

/// How many items of one look at the log a client is sent one by one.
pub(super) const MOST_ITEMS: usize = 100;

/// A comment, so that proxies keep the connection and a client that is gone is noticed.
pub(super) fn heartbeat() -> Bytes {
    Bytes::from_static(b": still here\n\n")
}

/// The first event: from which index on events will come.
pub(super) fn ready(next: i64) -> Bytes {
    Bytes::from(format!(
        "retry: 2000\nid: {}\nevent: ready\ndata: {{\"next_index\":{next}}}\n\n",
        next - 1
    ))
}

/// The last event: why there will be no more.
pub(super) fn farewell(event: &str, words: &str) -> Bytes {
    Bytes::from(format!("event: {event}\ndata: {{\"reason\":\"{words}\"}}\n\n"))
}

/// Events that a client cannot be given any more.
pub(super) fn gap(from: i64, to: i64) -> Bytes {
    Bytes::from(format!(
        "event: gap\ndata: {{\"from_index\":{from},\"to_index\":{to}}}\n\n"
    ))
}

/// The items in their order. If there are too many, approved actions are left out first, and then the
/// earliest; an event `more` says how many. The last frame carries `last`, so that a client that comes back
/// goes on behind it.
pub(super) fn items(mut items: Vec<FeedItem>, last: i64) -> Bytes {
    let all = items.len();
    if all > MOST_ITEMS {
        let mut routine = all - MOST_ITEMS;
        items.retain(|item| {
            let leave_out = routine > 0 && item.outcome == "approved";
            routine -= usize::from(leave_out);
            !leave_out
        });
        items.drain(..items.len().saturating_sub(MOST_ITEMS));
    }
    let left_out = all - items.len();
    let mut text = String::with_capacity(items.len() * 480);
    for item in &items {
        let data = serde_json::to_string(item).unwrap_or_default();
        text.push_str(&format!("id: {}\ndata: {data}\n\n", item.index));
    }
    if left_out > 0 {
        text.push_str(&format!(
            "id: {last}\nevent: more\ndata: {{\"left_out\":{left_out}}}\n\n"
        ));
    }
    Bytes::from(text)
}

#[cfg(test)]
mod tests {
    use aim_core::Timestamp;

    use super::*;

    fn item(index: i64, outcome: &str) -> FeedItem {
        FeedItem {
            index,
            at: Timestamp::parse("2026-11-23T10:00:00Z").unwrap(),
            kind: "decision".to_owned(),
            action: "action.decided".to_owned(),
            capability: None,
            agent_id: None,
            agent_name: None,
            outcome: outcome.to_owned(),
            severity: None,
            words: "a line\nand another".to_owned(),
            actor_kind: "agent".to_owned(),
            target_kind: "decision".to_owned(),
            target_id: None,
        }
    }

    fn ids(bytes: &Bytes) -> Vec<i64> {
        let text = std::str::from_utf8(bytes).unwrap();
        text.lines()
            .filter_map(|line| line.strip_prefix("id: "))
            .map(|id| id.parse().unwrap())
            .collect()
    }

    #[test]
    fn few_are_sent_one_by_one_and_each_stays_on_one_line() {
        let bytes = items(vec![item(3, "approved"), item(4, "denied")], 4);
        assert_eq!(ids(&bytes), [3, 4]);
        let text = std::str::from_utf8(&bytes).unwrap();
        assert!(
            text.lines()
                .all(|line| line.is_empty() || line.starts_with("id: ") || line.starts_with("data: {"))
        );
    }

    #[test]
    fn of_too_many_the_routine_ones_are_left_out_and_counted() {
        let mut many: Vec<_> = (0..300).map(|index| item(index, "approved")).collect();
        many.extend((300..350).map(|index| item(index, "denied")));
        let bytes = items(many, 999);
        let ids = ids(&bytes);
        assert_eq!(ids.len(), MOST_ITEMS + 1);
        assert_eq!(ids.last(), Some(&999));
        assert!(
            (300..350).all(|index| ids.contains(&index)),
            "no denial is left out"
        );
        assert!(
            std::str::from_utf8(&bytes)
                .unwrap()
                .contains(r#"{"left_out":250}"#)
        );
    }

    #[test]
    fn when_there_are_too_many_denials_the_latest_are_sent() {
        let many: Vec<_> = (0..300).map(|index| item(index, "denied")).collect();
        let ids = ids(&items(many, 299));
        assert_eq!((ids.first(), ids.len()), (Some(&200), MOST_ITEMS + 1));
    }
}
