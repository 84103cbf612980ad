//! Every component on one page, as a browser gets it.

use aim_core::{Timestamp, role::permission::AgentsRead};
use aim_platform::console::{
    Frame, PageResult, Viewing,
    chart::{self, BarRow, Marker, Series},
    ui,
};
use askama::Template;
use chrono::TimeDelta;

#[derive(Template)]
#[template(path = "gallery.html")]
struct Gallery<'a> {
    frame: &'a Frame,
    spark: &'a [f64],
    labels: &'a [String],
    series: &'a [Series],
    points: &'a [(Timestamp, f64)],
    markers: &'a [Marker],
    classes: &'a [(String, f64)],
    rows: &'a [BarRow],
    tags: &'a [&'a str],
}

pub(crate) async fn page(viewing: Viewing<AgentsRead>) -> PageResult {
    let now = viewing.ctx.now;
    let wave = |step: u32, most: f64| ((f64::from(step) * 0.7).sin() + 1.2) * most;
    let spark: Vec<f64> = (0..24).map(|step| wave(step, 40.0)).collect();
    let labels: Vec<String> = (0..24).map(|hour| format!("{hour:02}:00")).collect();
    let series = [
        Series::new(
            "Approved",
            "good",
            (0..24).map(|hour| wave(hour, 400.0).round()).collect(),
        ),
        Series::new(
            "Pending",
            "warn",
            (0..24).map(|hour| wave(hour, 30.0).round()).collect(),
        ),
        Series::new(
            "Denied",
            "bad",
            (0..24).map(|hour| wave(hour, 60.0).round()).collect(),
        ),
    ];
    let points: Vec<(Timestamp, f64)> = (0..30)
        .map(|day| (now + TimeDelta::days(i64::from(day) - 30), 60.0 + wave(day, 10.0)))
        .collect();
    let markers = [
        Marker {
            at: now + TimeDelta::days(-20),
            label: "Key rotated".to_owned(),
            tone: "info",
        },
        Marker {
            at: now + TimeDelta::days(-8),
            label: "Suspended".to_owned(),
            tone: "bad",
        },
    ];
    let classes: Vec<(String, f64)> = (0..10)
        .map(|class| {
            (
                format!("{}–{}", class * 10, class * 10 + 9),
                wave(class, 12.0).round(),
            )
        })
        .collect();
    let rows = [
        BarRow::new("database:write", 120.0).tone("bad").link("/x"),
        BarRow::new("payments:refund", 64.0).tone("bad"),
        BarRow::new("files:read:/etc/secrets/very/long/path", 8.0),
    ];
    let gallery = Gallery {
        frame: &viewing.frame,
        spark: &spark,
        labels: &labels,
        series: &series,
        points: &points,
        markers: &markers,
        classes: &classes,
        rows: &rows,
        tags: &["production", "billing", "eu"],
    };
    viewing.page("Gallery", &gallery)
}

#[actix_web::test]
async fn no_component_needs_what_the_policy_refuses() {
    let seen = crate::shell::look("/gallery?cursor=x&q=%3Cb%3E", Some("admin")).await;
    assert_eq!(seen.status, 200, "{}", seen.text);
    for forbidden in [" style=", "<style", " onclick", "javascript:", "<script>", "<b>"] {
        assert!(!seen.text.contains(forbidden), "{forbidden}");
    }
    let opened = seen.text.matches("<svg").count();
    assert_eq!(opened, seen.text.matches("</svg>").count());
    assert!(
        seen.text.contains("?q=%3Cb%3E&amp;cursor=abc"),
        "the next page keeps the filters"
    );
    if let Ok(folder) = std::env::var("AIM_GALLERY") {
        let folder = std::path::Path::new(&folder);
        std::fs::write(folder.join("gallery.html"), &seen.text).unwrap();
        for (name, path, role) in [
            (
                "agent.html",
                "/agents/018f0000-0000-7000-8000-00000000000a",
                "admin",
            ),
            ("forbidden.html", "/things/secret", "viewer"),
            ("missing.html", "/nowhere", "viewer"),
        ] {
            let seen = crate::shell::look(path, Some(role)).await;
            std::fs::write(folder.join(name), &seen.text).unwrap();
        }
    }
}
