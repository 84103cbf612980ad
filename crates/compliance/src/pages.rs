//! Compliance in the console: the checks with the objects behind them, retention and legal holds.

use actix_web::web;
use aim_core::role::permission::{ComplianceRead, RetentionWrite};
use aim_platform::console::{
    ConsoleRegistry, Frame, Names, NavEntry, NavSection, Page, PageResult, Panel, Viewing, ui,
};
use askama::Template;

use crate::{
    RetentionService, StatusService,
    retention::{
        HoldList, RetentionView,
        model::{ClassView, LEAST_DAYS, MOST_DAYS},
    },
    status::ComplianceStatus,
};

/// Registers page and navigation.
pub(crate) fn register(console: &mut ConsoleRegistry) {
    console.page("/compliance", compliance_page);
    console.navigation(NavEntry::new::<ComplianceRead>(
        NavSection::Govern,
        "Compliance",
        "/compliance",
        "compliance",
        20,
    ));
}

#[derive(Template)]
#[template(path = "compliance/page.html")]
struct CompliancePage<'a> {
    frame: &'a Frame,
    status: Panel<ComplianceStatus>,
    retention: Panel<RetentionView>,
    holds: Panel<HoldList>,
    names: Names,
}

impl CompliancePage<'_> {
    fn lead(&self) -> String {
        match &self.status {
            Panel::Ready(status) => self.posture(status),
            Panel::Failed(_) => "The checks could not be computed.".to_owned(),
        }
    }

    fn posture(&self, status: &ComplianceStatus) -> String {
        let (failing, open) = (status.summary.fail, status.summary.not_evidenced);
        let checks = |count: i64| if count == 1 { "check" } else { "checks" };
        match (failing, open) {
            (0, 0) => "Every check is kept.".to_owned(),
            (0, open) => format!(
                "Nothing fails; {open} {} cannot be told from the data.",
                checks(open)
            ),
            (failing, 0) => format!(
                "{failing} {} failing.",
                if failing == 1 { "check is" } else { "checks are" }
            ),
            (failing, open) => format!(
                "{failing} {} failing, and {open} cannot be told from the data.",
                if failing == 1 { "check is" } else { "checks are" }
            ),
        }
    }

    fn kept(&self, class: &ClassView) -> String {
        class
            .days
            .map_or_else(|| "for good".to_owned(), |days| format!("{days} days"))
    }

    fn meaning(&self, class: &str) -> &'static str {
        match class {
            "decision_inputs" => "Arguments, resource and address of each decision; the verdict stays",
            "violations" => "Violations, with their totals",
            "audit_details" => "Personal details beside the audit log; its leaves stay",
            "activity" => "Counts of activity by hour",
            _ => "What was delivered to webhooks and mailboxes",
        }
    }

    fn days_field(&self, class: &ClassView) -> ui::Field {
        let field = ui::input(
            format!("{}_days", class.class),
            format!("{}, in days", ui::in_words(&class.class)),
        )
        .kind("number")
        .data_type("int")
        .hint(self.meaning(&class.class))
        .placeholder("for good")
        .attribute("min", LEAST_DAYS)
        .attribute("max", MOST_DAYS);
        match class.days {
            Some(days) => field.value(days),
            None => field,
        }
    }
}

async fn compliance_page(
    viewing: Viewing<ComplianceRead>,
    status: web::Data<StatusService>,
    retention: web::Data<RetentionService>,
) -> PageResult {
    let ctx = &viewing.ctx;
    let status = Panel::load("The checks", &viewing, status.status(ctx)).await;
    let view = Panel::load("Retention", &viewing, retention.view(ctx)).await;
    let holds = Panel::load("Legal holds", &viewing, retention.holds(ctx)).await;
    let mut actors: Vec<String> = Vec::new();
    if let Panel::Ready(holds) = &holds {
        actors.extend(holds.holds.iter().map(|hold| hold.created_by.clone()));
    }
    if let Panel::Ready(view) = &view {
        actors.extend(view.updated_by.clone());
    }
    let names = viewing.names(actors).await;
    let page = CompliancePage {
        frame: &viewing.frame,
        status,
        retention: view,
        holds,
        names,
    };
    viewing.page(Page::new("Compliance"), &page)
}
