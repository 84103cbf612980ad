//! The overview and the live feed.

use actix_web::web;
use aim_core::{Timestamp, role::permission::EventsRead};
use aim_platform::{
    Query,
    console::{
        Fragment, Frame, PageResult, Panel, Viewing,
        chart::{self, BarRow, Series},
        ui,
    },
};
use askama::Template;
use chrono::TimeDelta;
use serde::Deserialize;

use crate::{
    activity::{
        ActivityService,
        model::{Activity, ActivityQuery, Counts, Granularity, day_of, hour_of},
    },
    feed::{
        FeedService,
        model::{FeedItem, FeedPage, FeedQuery},
    },
    overview::{
        OverviewService,
        model::{DeniedCapability, ExpiringKey, Trend},
        service::Numbers,
    },
};

/// How long a time the chart shows.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
enum Range {
    #[default]
    #[serde(rename = "24h")]
    Day,
    #[serde(rename = "7d")]
    Week,
    #[serde(rename = "30d")]
    Month,
}

impl Range {
    const ALL: [Self; 3] = [Self::Day, Self::Week, Self::Month];

    const fn name(self) -> &'static str {
        match self {
            Self::Day => "24h",
            Self::Week => "7d",
            Self::Month => "30d",
        }
    }

    const fn words(self) -> &'static str {
        match self {
            Self::Day => "24 hours",
            Self::Week => "7 days",
            Self::Month => "30 days",
        }
    }

    fn query(self, now: Timestamp) -> ActivityQuery {
        let (granularity, from) = match self {
            Self::Day => (Granularity::Hour, hour_of(now) - TimeDelta::hours(23)),
            Self::Week => (Granularity::Day, day_of(now) - TimeDelta::days(6)),
            Self::Month => (Granularity::Day, day_of(now) - TimeDelta::days(29)),
        };
        ActivityQuery {
            granularity,
            from: Some(from),
            ..ActivityQuery::default()
        }
    }
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct OverviewQuery {
    #[serde(default)]
    range: Range,
}

#[derive(Template)]
#[template(path = "monitoring/overview.html")]
struct OverviewPage<'a> {
    frame: &'a Frame,
    range: Range,
    numbers: Panel<Numbers>,
    activity: Panel<Activity>,
    denied: Panel<Vec<DeniedCapability>>,
    keys: Panel<Vec<ExpiringKey>>,
    feed: Panel<FeedPage>,
}

impl OverviewPage<'_> {
    fn tiles(&self, numbers: &Numbers) -> [ui::Tile; 4] {
        let spark = |label: &str, trend: &Trend| chart::sparkline(label, &trend.steps);
        let suspended = match numbers.suspended {
            0 => "none suspended".to_owned(),
            count => format!("{count} suspended"),
        };
        let standing = &numbers.standing;
        let waiting = match (standing.critical, standing.high) {
            (0, 0) => "none critical or high".to_owned(),
            (critical, high) => format!("{critical} critical, {high} high"),
        };
        [
            ui::tile("Agents", numbers.agents.now)
                .note(match numbers.agents.change() {
                    Some(_) => format!("{suspended}; against 7 days ago"),
                    None => suspended,
                })
                .change(numbers.agents.change(), true)
                .chart(spark("Agents in 7 days", &numbers.agents))
                .link("/agents"),
            // More is neither better nor worse: the change is told in words.
            ui::tile("Decisions, 24 h", numbers.decisions.now)
                .note(against(&numbers.decisions))
                .chart(spark("Decisions by hour", &numbers.decisions)),
            ui::tile("Denials, 24 h", numbers.denials.now)
                .note(match numbers.denials.change() {
                    Some(_) => "against the 24 h before",
                    None => "none in the 24 h before",
                })
                .change(numbers.denials.change(), false)
                .chart(spark("Denials by hour", &numbers.denials))
                .link("/violations?range=24h"),
            ui::tile("Open alerts", numbers.alerts.now)
                .note(waiting)
                .chart(spark("Alerts raised by day", &numbers.alerts))
                .link("/alerts"),
        ]
    }

    fn chart(&self, activity: &Activity) -> Fragment {
        chart::stacked_bars(
            &format!("Decisions in the last {}", self.range.words()),
            &labels(activity),
            &series(activity),
        )
    }

    fn denied_bars(&self, denied: &[DeniedCapability]) -> Fragment {
        let rows: Vec<BarRow> = denied
            .iter()
            .map(|row| {
                let capability: String = percent(&row.capability);
                BarRow::new(&row.capability, row.count as f64)
                    .tone("bad")
                    .link(format!("/violations?range=24h&capability={capability}"))
            })
            .collect();
        chart::bars("Capabilities that were denied most often", &rows, None::<f64>)
    }

    fn is_range(&self, range: &Range) -> bool {
        self.range == *range
    }

    fn is_expired(&self, key: &ExpiringKey) -> bool {
        key.expires_at <= self.frame.now
    }
}

fn against(trend: &Trend) -> String {
    match trend.change() {
        Some(change) => format!("{change:+.0} % against the 24 h before"),
        None => "none in the 24 h before".to_owned(),
    }
}

fn percent(text: &str) -> String {
    text.bytes()
        .map(|byte| {
            if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
                char::from(byte).to_string()
            } else {
                format!("%{byte:02X}")
            }
        })
        .collect()
}

fn labels(activity: &Activity) -> Vec<String> {
    let form = match activity.granularity {
        Granularity::Hour => "%H:%M",
        Granularity::Day => "%-d %b",
    };
    activity
        .series
        .iter()
        .map(|point| point.at.format(form).to_string())
        .collect()
}

fn series(activity: &Activity) -> [Series; 3] {
    let values = |part: fn(&Counts) -> i64| {
        activity
            .series
            .iter()
            .map(|point| part(&point.counts) as f64)
            .collect()
    };
    [
        Series::new("Approved", "good", values(|counts| counts.approved)),
        Series::new("Pending", "warn", values(|counts| counts.pending)),
        Series::new("Denied", "bad", values(|counts| counts.denied)),
    ]
}

/// What a feed's item looks like before JavaScript takes over.
trait Shown {
    fn tone(&self) -> &'static str;
    fn badge(&self) -> Fragment;
}

impl Shown for FeedItem {
    fn tone(&self) -> &'static str {
        match self.outcome.as_str() {
            "approved" => "good",
            "denied" | "refused" => "bad",
            "pending" => "warn",
            _ => "neutral",
        }
    }

    fn badge(&self) -> Fragment {
        match (self.outcome.as_str(), self.severity.as_deref()) {
            ("ok", Some(severity)) => ui::severity(severity),
            ("ok", None) => ui::badge("Event", "neutral"),
            (outcome, _) => ui::badge(ui::in_words(outcome), self.tone()),
        }
    }
}

pub(super) async fn overview_page(
    viewing: Viewing<EventsRead>,
    query: Query<OverviewQuery>,
    overview: web::Data<OverviewService>,
    activity: web::Data<ActivityService>,
    feed: web::Data<FeedService>,
) -> PageResult {
    let ctx = &viewing.ctx;
    let range = query.0.range;
    let wanted = range.query(ctx.now);
    let newest = FeedQuery {
        limit: Some(12),
        ..FeedQuery::default()
    };
    let (numbers, activity, denied, keys, feed) = tokio::join!(
        Panel::load("The numbers", &viewing, overview.numbers(ctx)),
        Panel::load("Decisions over time", &viewing, activity.activity(ctx, &wanted)),
        Panel::load("Denied capabilities", &viewing, overview.denied(ctx)),
        Panel::load("Keys that expire soon", &viewing, overview.keys(ctx)),
        Panel::load("The live feed", &viewing, feed.page(ctx, &newest)),
    );
    let page = OverviewPage {
        frame: &viewing.frame,
        range,
        numbers,
        activity,
        denied,
        keys,
        feed,
    };
    viewing.page("Overview", &page)
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct LiveQuery {
    kind: Option<String>,
    agent_id: Option<String>,
    cursor: Option<String>,
    limit: Option<i64>,
}

#[derive(Template)]
#[template(path = "monitoring/live.html")]
struct LivePage<'a> {
    frame: &'a Frame,
    kind: Option<String>,
    stream: String,
    is_first: bool,
    feed: FeedPage,
}

impl LivePage<'_> {
    fn kinds(&self) -> [(&'static str, &'static str); 3] {
        [("", "Everything"), ("decision", "Decisions"), ("event", "Events")]
    }

    fn is_chosen(&self, kind: &str) -> bool {
        self.kind.as_deref().unwrap_or_default() == kind
    }
}

pub(super) async fn live_page(
    viewing: Viewing<EventsRead>,
    query: Query<LiveQuery>,
    feed: web::Data<FeedService>,
) -> PageResult {
    let kept = |text: Option<String>| text.filter(|text| !text.is_empty());
    let agent_id = kept(query.0.agent_id)
        .map(|text| {
            text.parse()
                .map_err(|_| aim_core::Error::field("agent_id", "agent_id is a UUID"))
        })
        .transpose()?;
    let wanted = FeedQuery {
        kind: kept(query.0.kind),
        agent_id,
        limit: query.0.limit.or(Some(50)),
        cursor: kept(query.0.cursor),
    };
    let list = feed.page(&viewing.ctx, &wanted).await?;
    let stream = match wanted.agent_id {
        Some(agent) => format!("/api/v1/events/stream?agent_id={agent}"),
        None => "/api/v1/events/stream".to_owned(),
    };
    let page = LivePage {
        frame: &viewing.frame,
        is_first: wanted.cursor.is_none(),
        kind: wanted.kind,
        stream,
        feed: list,
    };
    viewing.page("Live feed", &page)
}
