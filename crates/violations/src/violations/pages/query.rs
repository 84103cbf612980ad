//! The parameters of the list, as forms send them: texts, the empty ones too.

use aim_core::{AgentId, Error, PageRequest, Result, Timestamp, ViolationId};
use aim_decision::Severity;
use chrono::{NaiveDateTime, TimeDelta};
use serde::Deserialize;

use crate::{
    parameters,
    violations::{
        Filter, GroupFilter, TriageFilter,
        model::{SEVERITIES, severities_of},
        window::Window,
    },
};

/// How many lines a page shows.
const PAGE: i64 = 25;

/// The ranges of time that are offered: name, label, length.
pub(super) const RANGES: [(&str, &str, Option<TimeDelta>); 6] = [
    ("1h", "Last hour", Some(TimeDelta::hours(1))),
    ("24h", "Last 24 hours", Some(TimeDelta::hours(24))),
    ("7d", "Last 7 days", Some(TimeDelta::days(7))),
    ("30d", "Last 30 days", Some(TimeDelta::days(30))),
    ("all", "All time", None),
    ("custom", "Between two moments", None),
];
const USUAL_RANGE: &str = "7d";

/// The parameters.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct ViolationsQuery {
    view: String,
    range: String,
    pub(super) from: String,
    pub(super) to: String,
    severity: Vec<String>,
    pub(super) state: String,
    pub(super) capability: String,
    pub(super) agent: String,
    open: String,
    cursor: Option<String>,
}

impl ViolationsQuery {
    /// Whether repeats are shown one by one.
    pub(super) fn is_single(&self) -> bool {
        self.view == "single"
    }

    /// The name of the range of time.
    pub(super) fn range(&self) -> &str {
        let known = RANGES.iter().any(|(name, ..)| *name == self.range);
        match () {
            () if known => &self.range,
            // A link with moments and no range means these moments.
            () if !self.from.trim().is_empty() || !self.to.trim().is_empty() => "custom",
            () => USUAL_RANGE,
        }
    }

    /// Whether anything but the range of time is narrowed down.
    pub(super) fn is_filtered(&self) -> bool {
        !self.severity.iter().all(String::is_empty)
            || [&self.state, &self.capability, &self.agent]
                .iter()
                .any(|text| !text.trim().is_empty())
    }

    /// Whether the severity is among those that were chosen.
    pub(super) fn has_severity(&self, severity: Severity) -> bool {
        self.severity.iter().any(|name| name == severity.as_str())
    }

    /// The page that is wanted.
    pub(super) fn page(&self) -> Result<PageRequest> {
        PageRequest::parse(Some(PAGE), None, self.cursor.as_deref())
    }

    /// The violation whose evidence is to be seen.
    pub(super) fn open(&self) -> Option<ViolationId> {
        self.open.parse().ok()
    }

    /// The range of time as two moments.
    pub(super) fn window(&self, now: Timestamp) -> Result<Window> {
        let range = self.range();
        if range == "custom" {
            let window = Window {
                from: moment("from", &self.from)?,
                to: moment("to", &self.to)?,
            };
            if window.from.zip(window.to).is_some_and(|(from, to)| from > to) {
                return Err(Error::field("from", "from is after to; exchange them"));
            }
            return Ok(window);
        }
        let length = RANGES
            .iter()
            .find(|(name, ..)| *name == range)
            .and_then(|(.., length)| *length);
        Ok(Window {
            from: length.map(|length| now - length),
            to: None,
        })
    }

    /// The filter of single violations.
    pub(super) fn filter(&self, agent: Option<AgentId>, now: Timestamp) -> Result<Filter> {
        let groups = self.group_filter(agent, now)?;
        Ok(Filter {
            agent,
            severities: groups.severities,
            capability: groups.capability,
            blocked: None,
            window: groups.window,
            triage: groups.triage,
        })
    }

    /// The filter of groups.
    pub(super) fn group_filter(&self, agent: Option<AgentId>, now: Timestamp) -> Result<GroupFilter> {
        let chosen: Vec<String> = SEVERITIES
            .into_iter()
            .filter(|severity| self.has_severity(*severity))
            .map(|severity| severity.as_str().to_owned())
            .collect();
        let states: Vec<String> = text(&self.state).into_iter().collect();
        Ok(GroupFilter {
            agent,
            severities: severities_of(&chosen)?,
            capability: parameters::word("capability", text(&self.capability).as_deref())?,
            window: self.window(now)?,
            triage: TriageFilter::parse(&states, now)?,
        })
    }
}

fn text(text: &str) -> Option<String> {
    Some(text.trim().to_owned()).filter(|text| !text.is_empty())
}

/// A moment in RFC 3339; or as a browser without scripts sends it, which then is UTC.
fn moment(name: &str, value: &str) -> Result<Option<Timestamp>> {
    let Some(value) = text(value) else { return Ok(None) };
    let plain = ["%Y-%m-%dT%H:%M", "%Y-%m-%dT%H:%M:%S"]
        .iter()
        .find_map(|form| NaiveDateTime::parse_from_str(&value, form).ok());
    match plain {
        Some(plain) => Ok(Some(Timestamp::new(plain.and_utc()))),
        None => parameters::moment(name, Some(&value)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(text: &str) -> Timestamp {
        Timestamp::parse(text).unwrap()
    }

    #[test]
    fn a_range_counts_back_from_now_and_moments_alone_mean_themselves() {
        let now = at("2026-03-10T12:00:00Z");
        let mut query = ViolationsQuery::default();
        assert_eq!(query.window(now).unwrap().from, Some(at("2026-03-03T12:00:00Z")));
        query.range = "1h".to_owned();
        assert_eq!(query.window(now).unwrap().from, Some(at("2026-03-10T11:00:00Z")));
        query.range = "all".to_owned();
        assert_eq!(query.window(now).unwrap(), Window::default());
        query.range.clear();
        query.from = "2026-03-01T10:30".to_owned();
        query.to = "2026-03-01T11:00:00+01:00".to_owned();
        assert_eq!(query.window(now).unwrap_err().field.as_deref(), Some("from"));
        query.to = "2026-03-01T12:30:00+01:00".to_owned();
        let window = query.window(now).unwrap();
        assert_eq!(
            window,
            Window::between(at("2026-03-01T10:30:00Z"), at("2026-03-01T11:30:00Z"))
        );
        query.from = "yesterday".to_owned();
        assert_eq!(query.window(now).unwrap_err().field.as_deref(), Some("from"));
    }
}
