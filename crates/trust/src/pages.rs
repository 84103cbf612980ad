//! The console's part of trust: the tab of an agent, and the page of the organisation's trends.

use actix_web::web;
use aim_core::{
    AgentId, PageRequest, Result, Timestamp,
    role::permission::{TrustAdjust, TrustRead},
};
use aim_platform::{
    Query,
    console::{
        AgentTab, ConsoleRegistry, Fragment, Frame, Names, NavEntry, NavSection, PageResult, Panel, Viewed,
        Viewing,
        chart::{self, BarRow, Marker, Series},
        ui,
    },
};
use askama::Template;
use chrono::TimeDelta;

use crate::{
    model::{AdjustmentView, FactorView, HistoryEntry, TrustBreakdown, TrustHistory, TrustScoreView},
    policy::{Level, Restriction, TrustPolicyView},
    service::TrustService,
    trends::{AgentTrend, BANDS, Interval, MOST_PERIODS, Trends, TrendsQuery},
    words,
};

/// How many changes the tab explains.
const CHANGES: i64 = 12;
/// How many markers the line carries.
const MARKERS: usize = 8;
/// How many agents the page lists each way.
const MOVERS: i64 = 10;
/// How many columns the spread over time has at most, so that each can be read.
const COLUMNS: usize = 16;

/// Registers the tab and the page.
pub(crate) fn register(console: &mut ConsoleRegistry, service: &TrustService) {
    let of_agent = service.clone();
    console.agent_tab(AgentTab::new::<TrustRead, _, _>(
        "trust",
        "Trust",
        60,
        move |viewed, agent, _| {
            let service = of_agent.clone();
            async move { tab(&service, &viewed, agent).await }
        },
    ));
    console.page("/trust", trends_page);
    console.navigation(NavEntry::new::<TrustRead>(
        NavSection::Agents,
        "Trust trends",
        "/trust",
        "trend",
        40,
    ));
}

#[derive(Template)]
#[template(path = "trust/tab.html")]
struct TrustTab<'a> {
    frame: &'a Frame,
    agent: AgentId,
    score: TrustScoreView,
    breakdown: TrustBreakdown,
    history: TrustHistory,
    adjustments: Vec<AdjustmentView>,
    names: Names,
    gauge: Fragment,
    factors: Fragment,
    line: Fragment,
    inputs: Option<String>,
}

impl TrustTab<'_> {
    /// How a change reads: "88 to 73".
    fn step(&self, change: &HistoryEntry) -> String {
        let word =
            |score: Option<i64>| score.map_or_else(|| "unscored".to_owned(), |score| score.to_string());
        format!("{} → {}", word(change.previous_score), word(change.trust_score))
    }

    /// `good`, `bad` or `neutral`.
    fn tone(&self, change: &HistoryEntry) -> &'static str {
        match (change.previous_score, change.trust_score) {
            (Some(before), Some(after)) if after < before => "bad",
            (Some(_), Some(_)) => "good",
            _ => "neutral",
        }
    }

    fn in_words(&self) -> &'static str {
        match self.score.level {
            Level::None => "It counts as below every threshold until there is a score.",
            Level::Ok => "Above every threshold of the policy.",
            Level::Alert => "Below the threshold for an alert.",
            Level::Restrict => "Restricted by the policy.",
            Level::Suspend => "Below the threshold for suspension.",
        }
    }

    fn delta(&self, points: &i64) -> String {
        format!("{points:+}")
    }
}

async fn tab(service: &TrustService, viewed: &Viewed, agent: AgentId) -> Result<Fragment> {
    let ctx = &viewed.ctx;
    let page = |limit| PageRequest {
        limit,
        ..PageRequest::default()
    };
    let score = service.score(ctx, agent).await?;
    let breakdown = service.breakdown(ctx, agent).await?;
    let history = service.history(ctx, agent, page(CHANGES)).await?;
    let adjustments = service.adjustments(ctx, agent, page(CHANGES)).await?.adjustments;
    let names = viewed
        .names(adjustments.iter().map(|adjustment| adjustment.created_by.clone()))
        .await;
    Fragment::of(&TrustTab {
        frame: &viewed.frame,
        agent,
        gauge: chart::gauge("Trust score", score.trust_score),
        factors: factors(&breakdown.details),
        line: line(&history, score.trust_score, ctx.now),
        inputs: breakdown
            .inputs
            .as_ref()
            .and_then(|inputs| serde_json::to_string_pretty(inputs).ok()),
        score,
        breakdown,
        history,
        adjustments,
        names,
    })
}

fn tone_of(value: i64) -> &'static str {
    match value {
        ..40 => "bad",
        40..70 => "warn",
        _ => "good",
    }
}

fn factors(details: &[FactorView]) -> Fragment {
    let rows: Vec<BarRow> = details
        .iter()
        .map(|factor| {
            let weight = factor.weight;
            match factor.value {
                Some(value) => BarRow::new(&factor.label, value as f64)
                    .note(format!("{value} · weight {weight}"))
                    .tone(tone_of(value)),
                None => BarRow::new(&factor.label, 0.0)
                    .note(format!("no data · weight {weight}"))
                    .tone("neutral"),
            }
        })
        .collect();
    chart::bars("Factors of the trust score", &rows, 100)
}

/// The score at the end of each day, its latest changes, and now.
fn line(history: &TrustHistory, score: Option<i64>, now: Timestamp) -> Fragment {
    let mut points: Vec<(Timestamp, f64)> = history
        .days
        .iter()
        .filter_map(|day| Some((day.day + TimeDelta::days(1), day.trust_score? as f64)))
        .filter(|(end, _)| *end <= now)
        .collect();
    let last = points.last().map(|(end, _)| *end);
    let today = history
        .history
        .iter()
        .rev()
        .filter(|change| last.is_none_or(|last| change.timestamp > last))
        .filter_map(|change| Some((change.timestamp, change.trust_score? as f64)));
    points.extend(today);
    points.extend(score.map(|score| (now, score as f64)));
    let first = points.first().map_or(now, |(at, _)| *at);
    let mut markers: Vec<Marker> = history
        .markers
        .iter()
        .filter(|marker| marker.timestamp >= first)
        .take(MARKERS)
        .map(|marker| Marker {
            at: marker.timestamp,
            label: capitalised(&marker.words),
            tone: match words::meaning(&marker.action) {
                Some(meaning) if meaning.points > 0 => "bad",
                _ if marker.action == "trust.threshold_crossed" => "warn",
                _ => "info",
            },
        })
        .collect();
    markers.sort_by_key(|marker| marker.at);
    chart::line("Trust score", now, &points, &markers, 0, 100)
}

fn capitalised(text: &str) -> String {
    let mut letters = text.chars();
    letters
        .next()
        .map_or_else(String::new, |first| first.to_uppercase().chain(letters).collect())
}

#[derive(Template)]
#[template(path = "trust/trends.html")]
struct TrendsPage<'a> {
    frame: &'a Frame,
    filter: Shown,
    trends: Panel<Trends>,
    policy: Panel<TrustPolicyView>,
}

/// The filters as the form shows them.
struct Shown {
    interval: Interval,
    periods: i64,
    agent_type: String,
    tag: String,
}

impl TrendsPage<'_> {
    fn spread(&self, trends: &Trends) -> Fragment {
        let each = trends.distribution.len().div_ceil(COLUMNS).max(1);
        // Counted from the last one back, so that the present is always among them.
        let mut days: Vec<_> = trends.distribution.iter().rev().step_by(each).collect();
        days.reverse();
        let labels: Vec<String> = days
            .iter()
            .map(|spread| spread.day.format("%b %-d").to_string())
            .collect();
        let tones = ["bad", "high", "warn", "info", "good"];
        let mut series: Vec<Series> = BANDS
            .iter()
            .zip(tones)
            .enumerate()
            .map(|(index, ((_, name), tone))| {
                let values = days
                    .iter()
                    .map(|spread| spread.bands.get(index).copied().unwrap_or(0) as f64)
                    .collect();
                Series::new(name.replace('-', "–"), tone, values)
            })
            .collect();
        let unscored = days.iter().map(|spread| spread.unscored as f64).collect();
        series.push(Series::new("Unscored", "neutral", unscored));
        chart::stacked_levels("Agents by trust score", &labels, &series)
    }

    fn average(&self, trends: &Trends) -> Fragment {
        let points: Vec<(Timestamp, f64)> = trends
            .distribution
            .iter()
            .filter_map(|spread| Some((spread.day, spread.average?)))
            .collect();
        chart::line("Average score", self.frame.now, &points, &[], 0, 100)
    }

    /// The change of the average since the first day.
    fn average_note(&self, trends: &Trends) -> String {
        let first = trends.distribution.iter().find_map(|spread| spread.average);
        match (first, trends.average) {
            (Some(before), Some(now)) => format!("{:+.1} points since the first day shown", now - before),
            _ => "no score on the first day shown".to_owned(),
        }
    }

    fn of_all(&self, trends: &Trends) -> String {
        format!("of {}", trends.total_agents)
    }

    /// The two lists of those that moved: heading, what an empty one says, and the agents.
    fn movers<'t>(&self, trends: &'t Trends) -> [(&'static str, &'static str, &'t [AgentTrend]); 2] {
        [
            ("Fell", "Nobody's score fell in this span.", &trends.movers_down),
            ("Rose", "Nobody's score rose in this span.", &trends.movers_up),
        ]
    }

    /// Who moved most.
    fn mover(&self, label: &str, movers: &[AgentTrend], nobody: &str) -> ui::Tile {
        match movers.first() {
            Some(first) => ui::tile(label, first.change.unwrap_or(0))
                .note(&first.agent_name)
                .link(format!("/agents/{}/trust", first.agent_id)),
            None => ui::tile(label, 0).note(nobody),
        }
    }

    fn change(&self, agent: &AgentTrend) -> Fragment {
        match agent.change {
            Some(change) if change > 0 => ui::badge(format!("+{change}"), "good"),
            Some(change) if change < 0 => ui::badge(format!("−{}", change.unsigned_abs()), "bad"),
            Some(_) => ui::badge("0", "neutral"),
            None => ui::badge("new", "info"),
        }
    }

    fn score(&self, score: &Option<i64>) -> String {
        score.map_or_else(|| "–".to_owned(), |score| score.to_string())
    }

    fn field(&self, value: &Option<i64>) -> String {
        value.map_or_else(String::new, |value| value.to_string())
    }

    fn effect(&self, effect: &Restriction) -> &'static str {
        effect.as_str()
    }

    fn restriction(&self, effect: &Restriction) -> &'static str {
        match effect {
            Restriction::RequireApproval => "each action needs a person's approval",
            Restriction::Deny => "each action is denied",
        }
    }
}

async fn trends_page(
    viewing: Viewing<TrustRead>,
    query: Query<TrendsQuery>,
    service: web::Data<TrustService>,
) -> PageResult {
    let mut query = query.0;
    // A form sends its empty fields too.
    query.agent_type = query.agent_type.filter(|text| !text.trim().is_empty());
    query.tag = query.tag.filter(|text| !text.trim().is_empty());
    query.limit = Some(MOVERS);
    let filter = query.check()?;
    let shown = Shown {
        interval: filter.interval,
        periods: filter.periods,
        agent_type: filter.agent_type.clone().unwrap_or_default(),
        tag: filter.tag.clone().unwrap_or_default(),
    };
    let trends = Panel::load("Trends", &viewing, service.trends(&viewing.ctx, filter)).await;
    let policy = Panel::load("Policy", &viewing, service.policy(&viewing.ctx)).await;
    let page = TrendsPage {
        frame: &viewing.frame,
        filter: shown,
        trends,
        policy,
    };
    viewing.page("Trust score trends", &page)
}
