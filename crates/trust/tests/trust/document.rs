//! docs/TRUST.md says what the code does.

use std::fmt::Write;

use aim_core::Timestamp;
use aim_platform::TrustRules;
use aim_trust::{
    model::FactorView,
    score::{
        Decisions, FORMULA, Factor, Grants, Incidents, Inputs, Key, OnFile, Violations, compute, decay,
        weight_of,
    },
};
use chrono::TimeDelta;

const DOCUMENT: &str = include_str!("../../../../docs/TRUST.md");

fn part(name: &str) -> &'static str {
    let (start, end) = (format!("<!-- {name} -->\n"), format!("<!-- /{name} -->"));
    DOCUMENT
        .split_once(&start)
        .and_then(|(_, rest)| rest.split_once(&end))
        .unwrap_or_else(|| panic!("docs/TRUST.md lacks {name}"))
        .0
}

#[test]
fn the_settings_are_those_of_the_code() {
    let rules = TrustRules::default();
    let expected = format!(
        "| setting | default |\n|---|---|\n| `trust.half_life_days` | {} |\n| `trust.minimum_events` | {} |\n",
        rules.half_life_days, rules.minimum_events
    );
    assert_eq!(part("settings"), expected);
}

#[test]
fn the_weights_are_those_of_the_code() {
    let weights = TrustRules::default().weights;
    let mut expected = "| factor | weight |\n|---|---|\n".to_owned();
    for factor in Factor::ALL {
        let _ = writeln!(
            expected,
            "| `{}` | {} |",
            factor.name(),
            weight_of(&weights, factor)
        );
    }
    assert_eq!(part("factors"), expected);
    let named: Vec<&str> = weights.named().iter().map(|(name, _)| *name).collect();
    assert_eq!(named, Factor::ALL.map(Factor::name));
}

#[test]
fn the_example_is_what_comes_out() {
    let now = Timestamp::parse("2026-03-01T12:00:00Z").unwrap();
    let rules = TrustRules::default();
    let inputs = Inputs {
        formula: FORMULA,
        at: now,
        half_life_days: rules.half_life_days,
        minimum_events: rules.minimum_events,
        weights: rules.weights,
        decisions: Decisions {
            approved: 180,
            denied: 20,
            approved_weighted: 180 * decay(3, rules.half_life_days),
            denied_weighted: 20 * decay(3, rules.half_life_days),
        },
        violations: Violations {
            critical: 2,
            points_weighted: 2 * 15 * decay(7, rules.half_life_days),
            ..Violations::default()
        },
        key: Some(Key {
            fingerprint: "example".to_owned(),
            created_at: now - TimeDelta::days(30),
            expires_at: now + TimeDelta::days(335),
        }),
        grants: Grants { used: 1, unused: 1 },
        mcp: None,
        on_file: OnFile {
            owner: true,
            description: true,
            documentation: false,
            repository: false,
            registered_at: now - TimeDelta::days(30),
        },
        incidents: Incidents::default(),
        adjustments: Vec::new(),
        citations: Vec::new(),
    };
    let outcome = compute(&inputs);
    let mut table = "| factor | value | weight | points |\n|---|---|---|---|\n".to_owned();
    for factor in FactorView::all(&inputs, &outcome) {
        let value = factor
            .value
            .map_or_else(|| "no data".to_owned(), |value| value.to_string());
        let points = factor
            .contribution
            .map_or_else(|| "–".to_owned(), |points| format!("{points:.2}"));
        let _ = writeln!(
            table,
            "| {} | {value} | {} | {points} |",
            factor.label, factor.weight
        );
    }
    let (_, shown) = part("example").split_once("\n\n").unwrap();
    let expected = format!("{table}\nThe score is **{}**.\n", outcome.score.unwrap());
    assert_eq!(shown, expected);
}
