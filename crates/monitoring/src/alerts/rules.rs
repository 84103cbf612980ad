//! What an organisation wants to be told of, and how. An organisation that set nothing has the defaults;
//! they need no rows.

use aim_core::{Error, OrganizationId, Timestamp};
use aim_decision::Severity;
use aim_store::{Db, Result, each};
use diesel::{ExpressionMethods, OptionalExtension, QueryDsl, RunQueryDsl, SelectableHelper};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::model::{AlertKind, parse_severity};
use crate::schema::alert_rules;

/// What raises an alert of one kind, and how often people are told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rule {
    /// The kind.
    pub kind: AlertKind,
    /// Whether it raises alerts at all.
    pub enabled: bool,
    /// The severity of its alerts; none: as bad as what was noticed.
    pub severity: Option<Severity>,
    /// How long people are not told again of an alert that is open.
    pub cooldown_minutes: i64,
    /// For bursts: how many denials. For the audit log: how many days without a verification.
    pub threshold: i64,
    /// For bursts: within how long.
    pub window_minutes: i64,
}

impl Rule {
    /// The rule of an organisation that set none.
    #[must_use]
    pub const fn default_of(kind: AlertKind) -> Self {
        let (cooldown_minutes, threshold, window_minutes) = match kind {
            AlertKind::DenialsBurst => (60, 20, 5),
            AlertKind::CriticalViolation | AlertKind::ThreatFinding => (60, 1, 0),
            AlertKind::KeyExpiring | AlertKind::KeyExpired => (24 * 60, 1, 0),
            AlertKind::TrustLow | AlertKind::AgentSuspended | AlertKind::WebhookFailing => (6 * 60, 1, 0),
            AlertKind::AuditUnverified => (24 * 60, 7, 0),
        };
        Self {
            kind,
            // Threat detection finds bursts by their share too, and raises `threat_finding`: one cause, one alert.
            // This plain count is for those who want it besides.
            enabled: !matches!(kind, AlertKind::DenialsBurst),
            severity: None,
            cooldown_minutes,
            threshold,
            window_minutes,
        }
    }

    /// Whether `threshold` means something for the kind.
    #[must_use]
    pub const fn has_threshold(kind: AlertKind) -> bool {
        matches!(kind, AlertKind::DenialsBurst | AlertKind::AuditUnverified)
    }

    /// Whether `window_minutes` means something for the kind.
    #[must_use]
    pub const fn has_window(kind: AlertKind) -> bool {
        matches!(kind, AlertKind::DenialsBurst)
    }
}

/// A rule as the API shows it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct RuleView {
    /// The kind of alert.
    pub kind: AlertKind,
    /// What it is about, in words.
    pub meaning: String,
    /// Whether it raises alerts.
    pub enabled: bool,
    /// The severity of its alerts; null: as bad as what was noticed.
    pub severity: Option<String>,
    /// How long people are not told again of an alert that is open.
    pub cooldown_minutes: i64,
    /// How many denials make a burst, or how many days the audit log may stay unverified; null where it means nothing.
    pub threshold: Option<i64>,
    /// Within how long they make a burst; null where it means nothing.
    pub window_minutes: Option<i64>,
    /// Whether it differs from the defaults because somebody set it.
    pub customised: bool,
    /// Who set it last, as `kind:id`.
    pub updated_by: Option<String>,
    /// When.
    pub updated_at: Option<Timestamp>,
}

/// All rules.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct RuleList {
    /// One of each kind.
    pub rules: Vec<RuleView>,
}

/// A rule as it shall be.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct SetRule {
    /// The kind of alert.
    pub kind: AlertKind,
    /// Whether it raises alerts.
    pub enabled: bool,
    /// `low`, `medium`, `high` or `critical`; null: as bad as what was noticed.
    pub severity: Option<String>,
    /// 0 to 43200 (30 days).
    pub cooldown_minutes: i64,
    /// Where the kind has one: 1 to 1000. Left out, it stays at the default.
    pub threshold: Option<i64>,
    /// Where the kind has one: 1 to 1440. Left out, it stays at the default.
    pub window_minutes: Option<i64>,
}

/// A rule that shall be as it was made.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct ResetRule {
    /// The kind of alert.
    pub kind: AlertKind,
}

impl SetRule {
    /// The rule, checked.
    ///
    /// # Errors
    /// Names the field that is out of range or means nothing for the kind.
    pub fn checked(&self) -> aim_core::Result<Rule> {
        let kind = self.kind;
        let defaults = Rule::default_of(kind);
        let within = |field: &str, value: i64, least: i64, most: i64| {
            if (least..=most).contains(&value) {
                Ok(value)
            } else {
                Err(Error::field(field, format!("{field} is {least} to {most}")))
            }
        };
        let meant = |field: &str, value: Option<i64>, means: bool, default: i64, most: i64| match value {
            Some(_) if !means => Err(Error::field(
                field,
                format!("{field} means nothing for {}; leave it out", kind.as_str()),
            )),
            Some(value) => within(field, value, 1, most),
            None => Ok(default),
        };
        Ok(Rule {
            kind,
            enabled: self.enabled,
            severity: self
                .severity
                .as_deref()
                .map(|name| parse_severity("severity", name))
                .transpose()?,
            cooldown_minutes: within("cooldown_minutes", self.cooldown_minutes, 0, 43_200)?,
            threshold: meant(
                "threshold",
                self.threshold,
                Rule::has_threshold(kind),
                defaults.threshold,
                1_000,
            )?,
            window_minutes: meant(
                "window_minutes",
                self.window_minutes,
                Rule::has_window(kind),
                defaults.window_minutes,
                1_440,
            )?,
        })
    }
}

/// A rule as it is stored.
#[derive(Debug, Clone, diesel::Queryable, diesel::Selectable, diesel::Insertable, diesel::AsChangeset)]
#[diesel(table_name = alert_rules, treat_none_as_default_value = false, treat_none_as_null = true)]
#[expect(missing_docs, reason = "the columns are the fields of Rule")]
pub struct RuleRow {
    pub org_id: OrganizationId,
    pub kind: String,
    pub enabled: bool,
    pub severity: Option<String>,
    pub cooldown_minutes: i64,
    pub threshold: i64,
    pub window_minutes: i64,
    pub updated_by: String,
    pub updated_at: Timestamp,
}

impl RuleRow {
    /// The rule of a row; none for a kind that this version does not know.
    #[must_use]
    pub fn rule(&self) -> Option<Rule> {
        Some(Rule {
            kind: AlertKind::parse(&self.kind)?,
            enabled: self.enabled,
            severity: self
                .severity
                .as_deref()
                .and_then(|name| parse_severity("severity", name).ok()),
            cooldown_minutes: self.cooldown_minutes,
            threshold: self.threshold,
            window_minutes: self.window_minutes,
        })
    }
}

impl RuleView {
    /// The view of a kind's rule, with the row where somebody set one.
    #[must_use]
    pub fn of(kind: AlertKind, row: Option<&RuleRow>) -> Self {
        let rule = row
            .and_then(RuleRow::rule)
            .unwrap_or_else(|| Rule::default_of(kind));
        Self {
            kind,
            meaning: kind.words().to_owned(),
            enabled: rule.enabled,
            severity: rule.severity.map(|severity| severity.as_str().to_owned()),
            cooldown_minutes: rule.cooldown_minutes,
            threshold: Rule::has_threshold(kind).then_some(rule.threshold),
            window_minutes: Rule::has_window(kind).then_some(rule.window_minutes),
            customised: row.is_some(),
            updated_by: row.map(|row| row.updated_by.clone()),
            updated_at: row.map(|row| row.updated_at),
        }
    }
}

/// The organisation's rule for `kind`.
///
/// # Errors
/// The database's.
pub fn of(db: &mut Db, organization: OrganizationId, kind: AlertKind) -> Result<Rule> {
    let row: Option<RuleRow> = each!(db, c => alert_rules::table
        .find((organization, kind.as_str()))
        .select(RuleRow::as_select())
        .get_result(c)
        .optional())?;
    Ok(row
        .and_then(|row| row.rule())
        .unwrap_or_else(|| Rule::default_of(kind)))
}

/// What the organisation set.
///
/// # Errors
/// The database's.
pub fn rows(db: &mut Db, organization: OrganizationId) -> Result<Vec<RuleRow>> {
    Ok(each!(db, c => alert_rules::table
        .filter(alert_rules::org_id.eq(organization))
        .select(RuleRow::as_select())
        .load(c))?)
}

/// What any of these organisations set for `kind`.
///
/// # Errors
/// The database's.
pub fn rows_of_kind(db: &mut Db, organizations: &[OrganizationId], kind: AlertKind) -> Result<Vec<RuleRow>> {
    Ok(each!(db, c => alert_rules::table
        .filter(alert_rules::org_id.eq_any(organizations))
        .filter(alert_rules::kind.eq(kind.as_str()))
        .select(RuleRow::as_select())
        .load(c))?)
}

/// Stores a rule.
///
/// # Errors
/// The database's.
pub fn set(db: &mut Db, row: &RuleRow) -> Result<()> {
    each!(db, c => diesel::insert_into(alert_rules::table)
        .values(row)
        .on_conflict((alert_rules::org_id, alert_rules::kind))
        .do_update()
        .set(row)
        .execute(c))?;
    Ok(())
}

/// Forgets what was set for `kind`, so that the defaults hold again.
///
/// # Errors
/// The database's.
pub fn reset(db: &mut Db, organization: OrganizationId, kind: AlertKind) -> Result<bool> {
    let count =
        each!(db, c => diesel::delete(alert_rules::table.find((organization, kind.as_str()))).execute(c))?;
    Ok(count == 1)
}
