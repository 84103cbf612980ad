//! The rules of the checks: pure functions from what was found to what is said. Where the data shows
//! nothing either way, that is said, and never taken for a pass.

use aim_core::Timestamp;
use chrono::TimeDelta;

use super::{
    model::{Check, CheckResult, Evidence},
    store::{Admin, Found, Key, OBJECTS, OpenAlert, Ownerless, Unused},
};
use crate::{retention::model::RetentionView, verification::Verification};

/// How soon a key's expiry is near.
pub(crate) const NEAR: TimeDelta = TimeDelta::days(14);
/// After how long a key shall have been rotated.
pub(crate) const ROTATION: TimeDelta = TimeDelta::days(180);
/// For how long a grant may go unused, and an administrator may stay away.
pub(crate) const IDLE: TimeDelta = TimeDelta::days(90);
/// How old a check of the log may be.
const FRESH: TimeDelta = TimeDelta::hours(48);
/// How much time retention has to carry out what is due.
const GRACE: TimeDelta = TimeDelta::days(2);

fn days(delta: TimeDelta) -> i64 {
    delta.num_days()
}

fn plural(count: i64, one: &str, many: &str) -> String {
    format!("{count} {}", if count == 1 { one } else { many })
}

struct Rule {
    id: &'static str,
    title: &'static str,
    rule: String,
}

impl Rule {
    fn new(id: &'static str, title: &'static str, rule: impl Into<String>) -> Self {
        Self {
            id,
            title,
            rule: rule.into(),
        }
    }

    fn say(
        self,
        result: CheckResult,
        finding: impl Into<String>,
        total: i64,
        objects: Vec<Evidence>,
    ) -> Check {
        Check {
            id: self.id.to_owned(),
            title: self.title.to_owned(),
            rule: self.rule,
            result,
            finding: finding.into(),
            total,
            objects,
        }
    }

    /// A rule about each of `of` things, which those found break.
    fn none_of(
        self,
        of: i64,
        nothing: &str,
        kept: &str,
        broken: String,
        found: Vec<Evidence>,
        total: i64,
    ) -> Check {
        match (of, total) {
            (0, 0) => self.say(CheckResult::NotEvidenced, nothing, 0, Vec::new()),
            (_, 0) => self.say(CheckResult::Pass, kept, 0, Vec::new()),
            _ => self.say(CheckResult::Fail, broken, total, found),
        }
    }
}

fn key(row: &Key, detail: String, at: Timestamp) -> Evidence {
    let (agent, name, fingerprint, ..) = row;
    Evidence {
        kind: "agent_key".to_owned(),
        id: fingerprint.clone(),
        name: name.clone(),
        detail,
        href: format!("/agents/{agent}/key-vault"),
        at: Some(at),
    }
}

pub(crate) fn keys_expiring(of: i64, (total, rows): Found<Key>, now: Timestamp) -> Check {
    let rule = format!(
        "The current key of every agent is good for {} more days at least.",
        days(NEAR)
    );
    let objects = rows
        .iter()
        .map(|row| {
            let left = days(row.4 - now);
            let detail = if row.4 <= now {
                "the key has expired".to_owned()
            } else {
                format!("the key expires in {}", plural(left, "day", "days"))
            };
            key(row, detail, row.4)
        })
        .collect();
    Rule::new("keys_expiring", "Keys near their expiry", rule).none_of(
        of,
        "No agent has a key yet.",
        "Every current key is good for longer.",
        format!("{} expired, or will soon.", plural(total, "key has", "keys have")),
        objects,
        total,
    )
}

pub(crate) fn keys_rotated(of: i64, (total, rows): Found<Key>, now: Timestamp) -> Check {
    let rule = format!(
        "The current key of every agent was made within the last {} days.",
        days(ROTATION)
    );
    let objects = rows
        .iter()
        .map(|row| {
            let age = plural(days(now - row.3), "day", "days");
            key(row, format!("the key is {age} old"), row.3)
        })
        .collect();
    Rule::new("keys_rotated", "Keys without rotation", rule).none_of(
        of,
        "No agent has a key yet.",
        "Every current key is younger.",
        format!(
            "{} been rotated for longer.",
            plural(total, "key has not", "keys have not")
        ),
        objects,
        total,
    )
}

pub(crate) fn agents_owned(of: i64, (total, rows): Found<Ownerless>) -> Check {
    let rule = "Every agent has an owner whose account is active.";
    let objects = rows
        .into_iter()
        .map(|(id, name, owner, registered)| Evidence {
            kind: "agent".to_owned(),
            id: id.to_string(),
            name,
            detail: match owner {
                None => "nobody owns it".to_owned(),
                Some(_) => "its owner's account is not active".to_owned(),
            },
            href: format!("/agents/{id}"),
            at: Some(registered),
        })
        .collect();
    Rule::new("agents_owned", "Agents without an owner", rule).none_of(
        of,
        "There is no agent yet.",
        "Every agent has one.",
        format!(
            "{} nobody to answer for.",
            plural(total, "agent has", "agents have")
        ),
        objects,
        total,
    )
}

pub(crate) fn grants_used(of: i64, (total, rows): Found<Unused>, now: Timestamp) -> Check {
    let rule = format!(
        "Every grant in force for longer than {0} days was used within the last {0} days.",
        days(IDLE)
    );
    let objects = rows
        .into_iter()
        .map(|(id, agent, name, capability, granted, used)| Evidence {
            kind: "grant".to_owned(),
            id: id.to_string(),
            name: format!("{name}: {capability}"),
            detail: match used {
                None => format!(
                    "never used since it was granted {} ago",
                    plural(days(now - granted), "day", "days")
                ),
                Some(used) => format!("last used {} ago", plural(days(now - used), "day", "days")),
            },
            href: format!("/agents/{agent}/capabilities"),
            at: Some(used.unwrap_or(granted)),
        })
        .collect();
    Rule::new("grants_used", "Unused grants", rule).none_of(
        of,
        "No grant is in force.",
        "Every grant that is that old was.",
        format!(
            "{} for nothing; withdraw what is not needed.",
            plural(total, "grant is", "grants are")
        ),
        objects,
        total,
    )
}

pub(crate) fn admins_active(admins: Vec<Admin>, now: Timestamp) -> Check {
    let rule = format!(
        "Every administrator has signed in within the last {} days.",
        days(IDLE)
    );
    let of = i64::try_from(admins.len()).unwrap_or(i64::MAX);
    let dormant: Vec<Evidence> = admins
        .into_iter()
        .filter(|(_, _, made, seen)| now - seen.unwrap_or(*made) > IDLE)
        .map(|(id, name, made, seen)| Evidence {
            kind: "user".to_owned(),
            id: id.to_string(),
            name,
            detail: match seen {
                None => "has never signed in".to_owned(),
                Some(seen) => format!("last signed in {} ago", plural(days(now - seen), "day", "days")),
            },
            href: "/users".to_owned(),
            at: Some(seen.unwrap_or(made)),
        })
        .collect();
    let total = i64::try_from(dormant.len()).unwrap_or(i64::MAX);
    let objects = dormant
        .into_iter()
        .take(usize::try_from(OBJECTS).unwrap_or(0))
        .collect();
    Rule::new("admins_active", "Dormant administrators", rule).none_of(
        of,
        "There is no active administrator.",
        "Every administrator has.",
        format!(
            "{} power that nobody uses.",
            plural(total, "administrator holds", "administrators hold")
        ),
        objects,
        total,
    )
}

pub(crate) fn audit_verified(last: Option<Verification>, now: Timestamp) -> Check {
    let rule = Rule::new(
        "audit_verified",
        "Audit log verified",
        format!(
            "The whole audit log was found intact within the last {} hours.",
            FRESH.num_hours()
        ),
    );
    let Some(last) = last else {
        let finding =
            "It has not been checked yet; a job does so once a day, and `aim audit verify` at any time.";
        return rule.say(CheckResult::NotEvidenced, finding, 0, Vec::new());
    };
    let by = if last.source == "command" {
        "`aim audit verify`"
    } else {
        "the daily job"
    };
    let evidence = Evidence {
        kind: "audit_verification".to_owned(),
        id: last.head.clone(),
        name: format!("{} checked by {by}", plural(last.records, "record", "records")),
        detail: format!("head {}:{}", last.records, last.head),
        href: "/audit".to_owned(),
        at: Some(last.verified_at),
    };
    let (result, finding) = if !last.intact {
        let found = plural(last.findings, "record is", "records are");
        (
            CheckResult::Fail,
            format!("{found} not as it was written; run `aim audit verify` and see SECURITY."),
        )
    } else if now - last.verified_at > FRESH {
        (
            CheckResult::NotEvidenced,
            "It was intact when it was last checked, but that is too long ago.".to_owned(),
        )
    } else {
        (
            CheckResult::Pass,
            "It was intact when it was last checked.".to_owned(),
        )
    };
    rule.say(result, finding, 1, vec![evidence])
}

pub(crate) fn retention_applied(view: &RetentionView, all_held: bool) -> Check {
    let rule = Rule::new(
        "retention_applied",
        "Retention",
        format!(
            "Nothing is kept longer than the organisation's retention has it, but for legal holds; {} days are given to carry it out.",
            days(GRACE)
        ),
    );
    if view.settings.keeps_everything() {
        let finding = "No retention is set: everything is kept for good.";
        return rule.say(CheckResult::NotEvidenced, finding, 0, Vec::new());
    }
    if all_held {
        let finding = "A legal hold on the whole organisation stands against every retention.";
        return rule.say(CheckResult::NotEvidenced, finding, 0, Vec::new());
    }
    let late: Vec<Evidence> = view
        .classes
        .iter()
        .filter(|class| {
            class
                .due_before
                .zip(class.oldest_at)
                .is_some_and(|(due, oldest)| oldest < due - GRACE)
        })
        .map(|class| Evidence {
            kind: "retention".to_owned(),
            id: class.class.clone(),
            name: class.class.replace('_', " "),
            detail: format!(
                "the oldest is older than {}",
                plural(class.days.unwrap_or(0), "day", "days")
            ),
            href: "/compliance#retention".to_owned(),
            at: class.oldest_at,
        })
        .collect();
    let total = i64::try_from(late.len()).unwrap_or(i64::MAX);
    if late.is_empty() {
        rule.say(
            CheckResult::Pass,
            "The oldest of each class is within its time.",
            0,
            late,
        )
    } else {
        let finding = format!(
            "{} kept longer; look at the job compliance.retention.",
            plural(total, "class of data is", "classes of data are")
        );
        rule.say(CheckResult::Fail, finding, total, late)
    }
}

pub(crate) fn critical_alerts((total, rows): Found<OpenAlert>) -> Check {
    let rule = "No critical alert is open.";
    let objects = rows
        .into_iter()
        .map(|(id, title, seen)| Evidence {
            kind: "alert".to_owned(),
            id: id.to_string(),
            name: title,
            detail: "not resolved".to_owned(),
            href: format!("/alerts?alert={id}"),
            at: Some(seen),
        })
        .collect();
    Rule::new("critical_alerts", "Open critical alerts", rule).none_of(
        1,
        "",
        "None is.",
        format!(
            "{} somebody.",
            plural(total, "alert waits for", "alerts wait for")
        ),
        objects,
        total,
    )
}
