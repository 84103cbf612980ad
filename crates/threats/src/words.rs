//! A finding's evidence as a sentence.

use aim_core::Timestamp;
use serde_json::{Map, Value};

use crate::detector::Detector;

/// What is not known.
const NOWHERE: &str = "an unknown place";

/// A moment to the minute: nobody reads microseconds in a sentence.
fn in_words(moment: Timestamp) -> String {
    moment.format("%Y-%m-%d %H:%M UTC").to_string()
}

struct Values<'a>(&'a Map<String, Value>);

impl Values<'_> {
    fn text(&self, name: &str) -> String {
        match self.0.get(name) {
            Some(Value::String(text)) => Timestamp::parse(text).map_or_else(|| text.clone(), in_words),
            Some(Value::Number(number)) => number.as_f64().filter(|_| number.is_f64()).map_or_else(
                || number.to_string(),
                |number| {
                    if number.fract() == 0.0 {
                        format!("{number:.0}")
                    } else {
                        format!("{number:.1}")
                    }
                },
            ),
            Some(Value::Bool(yes)) => yes.to_string(),
            Some(Value::Array(items)) => {
                let items: Vec<&str> = items.iter().filter_map(Value::as_str).collect();
                items.join(", ")
            }
            _ => NOWHERE.to_owned(),
        }
    }

    fn number(&self, name: &str) -> u64 {
        self.0.get(name).and_then(Value::as_u64).unwrap_or(0)
    }

    fn is(&self, name: &str) -> bool {
        self.0.get(name).and_then(Value::as_bool).unwrap_or(false)
    }
}

/// The evidence in words. Values that are missing leave a gap, never a failure.
#[must_use]
pub fn summary(detector: Detector, values: &Map<String, Value>) -> String {
    let it = Values(values);
    let text = |name: &str| it.text(name);
    let held_back = match it.number("held_back") {
        0 => String::new(),
        more => format!(" {more} more like it were held back before."),
    };
    match detector {
        Detector::ForgedSignature if text("code") == "key.not_of_the_agent" => format!(
            "A request from {} called itself this agent and was signed by a key that is not the agent's.{held_back}",
            text("source")
        ),
        Detector::ForgedSignature => format!(
            "A request from {} came in this agent's name, and its signature was not the agent's ({}).{held_back}",
            text("source"),
            text("code")
        ),
        Detector::ReplayedSignature if it.is("source_known") => format!(
            "A signed request was sent again from {}, a network that the agent uses: most likely a client that repeats itself.{held_back}",
            text("source")
        ),
        Detector::ReplayedSignature => format!(
            "A signed request was sent again from {}, where the agent never called from.{held_back}",
            text("source")
        ),
        Detector::EndedKey => format!(
            "A key that no longer counts ({}) was used from {}.",
            text("code"),
            text("source")
        ),
        Detector::DenialBurst => format!(
            "{} of {} decisions within {} minutes were denials; the limit is {}.",
            text("denials"),
            text("decisions"),
            text("minutes"),
            text("limit")
        ),
        Detector::CapabilityProbing => format!(
            "{} different capabilities that were never given were asked for within {} minutes; the limit is {}: {}.",
            text("different"),
            text("minutes"),
            text("limit"),
            text("capabilities")
        ),
        Detector::UnusualVolume => format!(
            "{} decisions in the hour from {}; above {} is unusual. The agent's median hour has {}, its greatest around this time had {}.",
            text("decisions"),
            text("hour"),
            text("limit"),
            text("median"),
            text("greatest_at_this_time")
        ),
        Detector::UnusualHour if text("why") == "weekday" => format!(
            "The agent acted in the hour from {}, on a day of the week on which it did not act in {} days.",
            text("hour"),
            text("days_known")
        ),
        Detector::UnusualHour => format!(
            "The agent acted in the hour from {}, a time of day at which it did not act in {} days.",
            text("hour"),
            text("days_known")
        ),
        Detector::NewSource => format!(
            "The key was used from {} (network {}). Known until now: {}.",
            text("source"),
            text("network"),
            text("known_networks")
        ),
        Detector::DormantAgent if it.is("had_acted") => format!(
            "The agent acted after {} days; its last action was at {}. The limit is {} days.",
            text("days"),
            text("last_action"),
            text("limit_days")
        ),
        Detector::DormantAgent => format!(
            "The agent acted for the first time, {} days after it was registered. The limit is {} days.",
            text("days"),
            text("limit_days")
        ),
        Detector::SharedKey => format!(
            "One key changed {} times between {} within {} minutes; the limit is {}. New to the agent: {}.",
            text("changes"),
            text("networks"),
            text("minutes"),
            text("limit"),
            text("new_networks")
        ),
        Detector::McpDrift => {
            let part = |name: &str, words: &str| match text(name).as_str() {
                "" | NOWHERE => String::new(),
                names => format!(" {words}: {names}."),
            };
            format!(
                "The manifest of {} changed after it was attested.{}{}{}{}",
                text("server_name"),
                part("tools_added", "Tools added"),
                part("tools_schema_changed", "Arguments changed"),
                part("tools_description_changed", "Descriptions changed"),
                part("tools_removed", "Tools removed"),
            )
        }
        Detector::Honeytoken => format!(
            "The agent asked for {}, which the honeytoken {} covers; it was {}. Nobody has a reason to.",
            text("capability"),
            text("honeytoken"),
            text("outcome")
        ),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn every_detector_has_words_even_without_values() {
        for detector in Detector::ALL {
            let text = summary(*detector, &Map::new());
            assert!(text.ends_with('.') && text.len() > 20, "{detector:?}: {text}");
        }
    }

    #[test]
    fn moments_are_told_to_the_minute() {
        let values = json!({"why": "weekday", "hour": "2026-11-21T03:00:00.000000Z", "days_known": 21});
        let text = summary(Detector::UnusualHour, values.as_object().unwrap());
        assert!(
            text.contains("in the hour from 2026-11-21 03:00 UTC, on a day"),
            "{text}"
        );
    }

    #[test]
    fn values_stand_in_the_words() {
        let values = json!({"denials": 25, "decisions": 30, "minutes": 5, "limit": 20});
        let text = summary(Detector::DenialBurst, values.as_object().unwrap());
        assert_eq!(
            text,
            "25 of 30 decisions within 5 minutes were denials; the limit is 20."
        );
    }
}
