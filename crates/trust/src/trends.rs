//! How the trust of an organisation's agents moves: who rose and fell, and how the scores were spread.

use std::collections::HashMap;

use aim_core::{
    AgentId, Ctx, Error, OrganizationId, Result, Timestamp,
    sql::{DbTime, DbUuid},
};
use aim_store::{Db, each, schema::agents};
use chrono::TimeDelta;
use diesel::{
    ExpressionMethods, QueryDsl, RunQueryDsl,
    dsl::sql,
    sql_types::{BigInt, Bool, Text},
};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use crate::{gather::day_of, schema::trust_days, service::TrustService};

/// How far apart two samples are.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Interval {
    /// A day.
    #[default]
    Day,
    /// Seven days.
    Week,
}

impl Interval {
    /// Its length in days.
    #[must_use]
    pub const fn days(self) -> i64 {
        match self {
            Self::Day => 1,
            Self::Week => 7,
        }
    }

    /// Its name.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Day => "day",
            Self::Week => "week",
        }
    }
}

/// The most samples.
pub const MOST_PERIODS: i64 = 31;
/// The samples of a caller that names no number.
pub const PERIODS: i64 = 14;
/// The bands of the distribution, by their lowest score.
pub const BANDS: [(i64, &str); 5] = [
    (0, "0-19"),
    (20, "20-39"),
    (40, "40-59"),
    (60, "60-79"),
    (80, "80-100"),
];

/// Which trends are wanted.
#[derive(Debug, Clone, Default, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct TrendsQuery {
    /// `day` or `week`; `day` if absent.
    pub interval: Option<String>,
    /// How many intervals back, 1 to 31; 14 if absent.
    pub periods: Option<i64>,
    /// Agents of this type only.
    pub agent_type: Option<String>,
    /// Agents with this tag only.
    pub tag: Option<String>,
    /// How many agents to list each way, 1 to 100; 20 if absent.
    pub limit: Option<i64>,
}

/// [`TrendsQuery`] as it was checked.
#[derive(Debug, Clone, PartialEq, Eq)]
#[expect(missing_docs, reason = "the fields are those of the query")]
pub struct TrendsFilter {
    pub interval: Interval,
    pub periods: i64,
    pub agent_type: Option<String>,
    pub tag: Option<String>,
    pub limit: usize,
}

impl TrendsQuery {
    /// Checks what was sent.
    ///
    /// # Errors
    /// `request.field_invalid` naming the parameter.
    pub fn check(self) -> Result<TrendsFilter> {
        let interval = match self.interval.as_deref() {
            None | Some("day") => Interval::Day,
            Some("week") => Interval::Week,
            Some(_) => return Err(Error::field("interval", "interval is day or week")),
        };
        let periods = self.periods.unwrap_or(PERIODS);
        if !(1..=MOST_PERIODS).contains(&periods) {
            return Err(Error::field("periods", format!("periods is 1 to {MOST_PERIODS}")));
        }
        let limit = self.limit.unwrap_or(20);
        if !(1..=100).contains(&limit) {
            return Err(Error::field("limit", "limit is 1 to 100"));
        }
        let word = |name: &str, text: Option<String>| match text {
            Some(text) if text.is_empty() || text.len() > 256 || text.chars().any(char::is_control) => {
                let help = format!("{name} is 1 to 256 characters; leave it out for all");
                Err(Error::field(name, help))
            }
            text => Ok(text),
        };
        Ok(TrendsFilter {
            interval,
            periods,
            agent_type: word("agent_type", self.agent_type)?,
            tag: word("tag", self.tag)?,
            limit: usize::try_from(limit).unwrap_or(20),
        })
    }
}

/// Where an agent's score goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Direction {
    /// Up.
    Up,
    /// Down.
    Down,
    /// Neither.
    Stable,
    /// It has a score now, and had none then.
    New,
    /// It has no score.
    Unscored,
}

/// How one agent's score moved.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct AgentTrend {
    /// The agent.
    pub agent_id: AgentId,
    /// Its unique name.
    pub agent_name: String,
    /// Its type.
    pub agent_type: String,
    /// The score now; null: unscored.
    pub current_score: Option<i64>,
    /// The score at the start; null: it had none.
    pub previous_score: Option<i64>,
    /// The difference; null where one of the two is missing.
    pub change: Option<i64>,
    /// Where it goes.
    pub trend: Direction,
}

/// How the scores were spread at the end of a day.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Spread {
    /// The start of the day in UTC.
    pub day: Timestamp,
    /// How many agents had a score of 0-19, 20-39, 40-59, 60-79 and 80-100.
    pub bands: Vec<i64>,
    /// How many had none.
    pub unscored: i64,
    /// The mean of the scores; null: there was none.
    pub average: Option<f64>,
}

/// How the organisation's trust moves.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Trends {
    /// The tenant.
    pub organization_id: OrganizationId,
    /// How far apart the samples are.
    pub interval: Interval,
    /// The start of the first day.
    pub from: Timestamp,
    /// The start of the last day.
    pub to: Timestamp,
    /// How many agents the filter selects.
    pub total_agents: i64,
    /// How many of them have a score now.
    pub scored_agents: i64,
    /// The mean of the scores now; null: there is none.
    pub average: Option<f64>,
    /// Those that moved most, up or down, at most twice `limit`.
    pub trends: Vec<AgentTrend>,
    /// Those that rose most.
    pub movers_up: Vec<AgentTrend>,
    /// Those that fell most.
    pub movers_down: Vec<AgentTrend>,
    /// The lowest scores now.
    pub lowest: Vec<AgentTrend>,
    /// How the scores were spread, the oldest day first. A day on which nothing was computed is left out.
    pub distribution: Vec<Spread>,
}

/// What a day's spread is remembered under.
type SpreadKey = (OrganizationId, Option<String>, Option<String>, Timestamp);

/// The spreads of days that are over: their rows do not change any more, and with ten thousand agents each
/// costs as many rows. With a type or tag they follow a change of those within an hour.
#[derive(Clone)]
pub(crate) struct Spreads(moka::sync::Cache<SpreadKey, Option<Spread>>);

impl Spreads {
    pub(crate) fn new() -> Self {
        Self(
            moka::sync::Cache::builder()
                .max_capacity(4_096)
                .time_to_live(std::time::Duration::from_secs(60 * 60))
                .build(),
        )
    }
}

/// How long after its end a day may still be written to, by a run that began in it.
const STILL_WRITTEN: TimeDelta = TimeDelta::minutes(10);

impl TrustService {
    /// How the organisation's trust moves.
    ///
    /// # Errors
    /// The database's.
    pub async fn trends(&self, ctx: &Ctx, filter: TrendsFilter) -> Result<Trends> {
        let (organization, now, today) = (ctx.organization, ctx.now, day_of(ctx.now));
        let from = today - TimeDelta::days(filter.periods * filter.interval.days());
        let spreads = self.spreads.clone();
        self.kernel
            .store
            .read(organization, move |db| {
                let agents = agents_of(db, organization, from, &filter)?;
                let days: Vec<Timestamp> = (1..=filter.periods)
                    .rev()
                    .map(|back| today - TimeDelta::days(back * filter.interval.days()))
                    .collect();
                let key = |day: Timestamp| (organization, filter.agent_type.clone(), filter.tag.clone(), day);
                let (mut known, mut missing) = (Vec::new(), Vec::new());
                for day in days {
                    match spreads.0.get(&key(day)) {
                        Some(spread) => known.extend(spread),
                        None => missing.push(day),
                    }
                }
                for (day, spread) in missing.iter().zip(spread(db, organization, &missing, &filter)?) {
                    if *day + TimeDelta::days(1) + STILL_WRITTEN <= now {
                        spreads.0.insert(key(*day), spread.clone());
                    }
                    known.extend(spread);
                }
                known.sort_by_key(|spread| spread.day);
                known.extend(present(today, &agents));
                Ok(assemble(organization, from, today, agents, known, &filter))
            })
            .await
    }
}

/// The spread of the scores as they stand.
fn present(today: Timestamp, agents: &[AgentTrend]) -> Option<Spread> {
    let mut spread = Spread {
        day: today,
        bands: vec![0; BANDS.len()],
        unscored: 0,
        average: None,
    };
    let mut sum = 0;
    for agent in agents {
        match agent.current_score {
            None => spread.unscored += 1,
            Some(score) => {
                let band = usize::try_from(score / 20).unwrap_or(0).min(BANDS.len() - 1);
                if let Some(count) = spread.bands.get_mut(band) {
                    *count += 1;
                }
                sum += score;
            }
        }
    }
    spread.average = mean(sum, spread.bands.iter().sum());
    (!agents.is_empty()).then_some(spread)
}

fn assemble(
    organization: OrganizationId,
    from: Timestamp,
    to: Timestamp,
    agents: Vec<AgentTrend>,
    distribution: Vec<Spread>,
    filter: &TrendsFilter,
) -> Trends {
    let number = |count: usize| i64::try_from(count).unwrap_or(i64::MAX);
    let scores: Vec<i64> = agents.iter().filter_map(|agent| agent.current_score).collect();
    let moved = |direction: Direction| {
        let mut movers: Vec<AgentTrend> = agents
            .iter()
            .filter(|agent| agent.trend == direction)
            .cloned()
            .collect();
        movers.sort_by_key(|agent| {
            (
                std::cmp::Reverse(agent.change.unwrap_or(0).abs()),
                agent.agent_name.clone(),
            )
        });
        movers.truncate(filter.limit);
        movers
    };
    let (movers_up, movers_down) = (moved(Direction::Up), moved(Direction::Down));
    let mut trends: Vec<AgentTrend> = movers_up.iter().chain(&movers_down).cloned().collect();
    trends.sort_by_key(|agent| std::cmp::Reverse(agent.change.unwrap_or(0).abs()));
    let mut lowest: Vec<AgentTrend> = agents
        .iter()
        .filter(|agent| agent.current_score.is_some())
        .cloned()
        .collect();
    lowest.sort_by_key(|agent| (agent.current_score, agent.agent_name.clone()));
    lowest.truncate(filter.limit);
    Trends {
        organization_id: organization,
        interval: filter.interval,
        from,
        to,
        total_agents: number(agents.len()),
        scored_agents: number(scores.len()),
        average: mean(scores.iter().sum(), number(scores.len())),
        trends,
        movers_up,
        movers_down,
        lowest,
        distribution,
    }
}

/// The mean with one decimal.
fn mean(sum: i64, count: i64) -> Option<f64> {
    (count > 0).then(|| (10.0 * sum as f64 / count as f64).round() / 10.0)
}

/// The agents that carry a tag, in the database's own words.
const fn has_tag(postgres: bool) -> (&'static str, &'static str) {
    if postgres {
        ("agents.tags @> jsonb_build_array(", "::text)")
    } else {
        (
            "EXISTS (SELECT 1 FROM json_each(agents.tags) WHERE json_each.value = ",
            ")",
        )
    }
}

fn agents_of(
    db: &mut Db,
    organization: OrganizationId,
    from: Timestamp,
    filter: &TrendsFilter,
) -> aim_store::Result<Vec<AgentTrend>> {
    type Row = (AgentId, String, String, Option<i64>);
    let tag = has_tag(db.is_postgres());
    let rows: Vec<Row> = each!(db, c => {
        let mut query = agents::table
            .filter(agents::org_id.eq(organization))
            .filter(agents::deleted_at.is_null())
            .select((agents::id, agents::name, agents::agent_type, agents::trust_score))
            .into_boxed();
        if let Some(agent_type) = &filter.agent_type {
            query = query.filter(agents::agent_type.eq(agent_type.clone()));
        }
        if let Some(wanted) = &filter.tag {
            query = query.filter(sql::<Bool>(tag.0).bind::<Text, _>(wanted.clone()).sql(tag.1));
        }
        query.load(c)
    })?;
    let then: HashMap<AgentId, Option<i64>> = each!(db, c => trust_days::table
        .filter(trust_days::org_id.eq(organization))
        .filter(trust_days::day.eq(from))
        .select((trust_days::agent_id, trust_days::score))
        .load::<(AgentId, Option<i64>)>(c))?
    .into_iter()
    .collect();
    Ok(rows
        .into_iter()
        .map(|(id, name, agent_type, now)| trend(id, name, agent_type, now, then.get(&id).copied().flatten()))
        .collect())
}

fn trend(
    agent_id: AgentId,
    agent_name: String,
    agent_type: String,
    current_score: Option<i64>,
    previous_score: Option<i64>,
) -> AgentTrend {
    let change = current_score.zip(previous_score).map(|(now, then)| now - then);
    AgentTrend {
        agent_id,
        agent_name,
        agent_type,
        current_score,
        previous_score,
        change,
        trend: match change {
            Some(change) if change > 0 => Direction::Up,
            Some(change) if change < 0 => Direction::Down,
            Some(_) => Direction::Stable,
            None if current_score.is_some() => Direction::New,
            None => Direction::Unscored,
        },
    }
}

fn spread(
    db: &mut Db,
    organization: OrganizationId,
    days: &[Timestamp],
    filter: &TrendsFilter,
) -> aim_store::Result<Vec<Option<Spread>>> {
    if days.is_empty() {
        return Ok(Vec::new());
    }
    /// The band by its number; -1 for no score.
    const BAND: &str = "CASE WHEN score IS NULL THEN -1 WHEN score >= 80 THEN 4 ELSE score / 20 END";
    const GROUPED: &str = "day, CASE WHEN score IS NULL THEN -1 WHEN score >= 80 THEN 4 ELSE score / 20 END";
    // Diesel does not let a table of this crate and one of another stand in one query.
    const AMONG: &str = "agent_id IN (SELECT agents.id FROM agents WHERE agents.org_id = ";
    type Row = (Timestamp, i64, i64, i64);
    let tag = has_tag(db.is_postgres());
    let rows: Vec<Row> = each!(db, c => {
        let mut query = trust_days::table
            .filter(trust_days::org_id.eq(organization))
            .filter(trust_days::day.eq_any(days.to_vec()))
            .group_by(sql::<BigInt>(GROUPED))
            .select((
                sql::<DbTime>("day"),
                sql::<BigInt>(BAND),
                sql::<BigInt>("count(*)"),
                sql::<BigInt>("CAST(coalesce(sum(score), 0) AS bigint)"),
            ))
            .into_boxed();
        let among = || sql::<Bool>(AMONG).bind::<DbUuid, _>(organization);
        if let Some(agent_type) = &filter.agent_type {
            query = query.filter(
                among().sql(" AND agents.agent_type = ").bind::<Text, _>(agent_type.clone()).sql(")"),
            );
        }
        if let Some(wanted) = &filter.tag {
            query = query.filter(
                among().sql(" AND ").sql(tag.0).bind::<Text, _>(wanted.clone()).sql(tag.1).sql(")"),
            );
        }
        query.load(c)
    })?;
    let of_day = |day: &Timestamp| {
        let found: Vec<&Row> = rows.iter().filter(|row| row.0 == *day).collect();
        let in_band = |band: i64| {
            found
                .iter()
                .filter(|row| row.1 == band)
                .map(|row| row.2)
                .sum::<i64>()
        };
        let bands: Vec<i64> = (0..5).map(in_band).collect();
        (!found.is_empty()).then(|| Spread {
            day: *day,
            unscored: in_band(-1),
            average: mean(found.iter().map(|row| row.3).sum(), bands.iter().sum()),
            bands,
        })
    };
    Ok(days.iter().map(of_day).collect())
}
