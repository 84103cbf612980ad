//! The tab "Summary": who the agent is, what it did lately, and what was decided last.

use aim_core::{
    AgentId, Result,
    role::permission::{AgentsWrite, VerificationsRead},
};
use aim_platform::console::{
    Fragment, Frame, Names, Panel, Viewed,
    chart::{self, Series},
    ui,
};
use askama::Template;

use crate::agents::{
    AgentService, AgentView,
    facts::{DayOfDecisions, RecentDecision},
};

/// How many days the chart shows.
const DAYS: i64 = 14;
/// How many decisions are shown.
const RECENT: i64 = 8;

#[derive(Template)]
#[template(path = "agents/summary.html")]
struct Summary<'a> {
    frame: &'a Frame,
    agent: AgentView,
    names: Names,
    activity: Panel<Activity>,
    recent: Panel<Vec<RecentDecision>>,
}

/// What the agent did over the days of the chart.
struct Activity {
    approved: i64,
    denied: i64,
    pending: i64,
    refused: i64,
    chart: Fragment,
}

impl Activity {
    fn of(days: &[DayOfDecisions]) -> Self {
        let sum = |count: fn(&DayOfDecisions) -> i64| days.iter().map(count).sum();
        let series = |name: &str, tone, count: fn(&DayOfDecisions) -> i64| {
            let values = days.iter().map(|day| as_height(count(day))).collect();
            Series::new(name, tone, values)
        };
        let labels: Vec<String> = days
            .iter()
            .map(|day| day.day.format("%b %-d").to_string())
            .collect();
        Self {
            approved: sum(|day| day.approved),
            denied: sum(|day| day.denied),
            pending: sum(|day| day.pending),
            refused: sum(|day| day.refused),
            chart: chart::stacked_bars(
                "Decisions a day",
                &labels,
                &[
                    series("Approved", "good", |day| day.approved),
                    series("Pending", "warn", |day| day.pending),
                    series("Denied", "bad", |day| day.denied),
                ],
            ),
        }
    }

    fn is_empty(&self) -> bool {
        self.approved + self.denied + self.pending + self.refused == 0
    }
}

/// A count as a chart draws it.
fn as_height(count: i64) -> f64 {
    u32::try_from(count).map_or(f64::from(u32::MAX), f64::from)
}

impl Summary<'_> {
    fn owner(&self) -> Option<String> {
        Some(format!("user:{}", self.agent.owner_id?))
    }
}

pub(super) async fn summary(service: &AgentService, viewed: &Viewed, id: AgentId) -> Result<Fragment> {
    let agent = service.get(&viewed.ctx, id).await?;
    let owner = agent.owner_id.map(|owner| format!("user:{owner}"));
    let names = viewed
        .names([Some(agent.created_by.clone()), owner].into_iter().flatten())
        .await;
    let activity = Panel::load("Decisions of the last days", viewed, async {
        let days = service.decisions_by_day(&viewed.ctx, id, DAYS).await?;
        Ok(Activity::of(&days))
    })
    .await;
    let recent = Panel::load(
        "Recent decisions",
        viewed,
        service.recent_decisions(&viewed.ctx, id, RECENT),
    )
    .await;
    Fragment::of(&Summary {
        frame: &viewed.frame,
        agent,
        names,
        activity,
        recent,
    })
}
