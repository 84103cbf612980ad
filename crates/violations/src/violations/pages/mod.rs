//! Violations in the console: the organisation's page, an agent's tab, and the evidence of one.

mod evidence;
mod list;
mod query;

use aim_core::role::permission::ViolationsRead;
use aim_platform::console::{AgentTab, ConsoleRegistry, Fragment, NavEntry, NavSection, TabQuery, Viewed};
use askama::Template;

use super::ViolationService;
use crate::VerificationService;

/// Registers pages, navigation and tab.
pub(crate) fn register(
    console: &mut ConsoleRegistry,
    violations: &ViolationService,
    verifications: &VerificationService,
) {
    console.page("/violations", list::violations_page);
    console.page("/violations/{id}", evidence::violation_page);
    console.navigation(NavEntry::new::<ViolationsRead>(
        NavSection::Monitor,
        "Violations",
        "/violations",
        "violation",
        50,
    ));
    let (violations, verifications) = (violations.clone(), verifications.clone());
    console.agent_tab(AgentTab::new::<ViolationsRead, _, _>(
        "violations",
        "Violations",
        40,
        move |viewed: Viewed, agent, query: TabQuery| {
            let (violations, verifications) = (violations.clone(), verifications.clone());
            async move {
                let query = query.parse()?;
                list::tab(&viewed, agent, &query, &violations, &verifications).await
            }
        },
    ));
}

fn rendered(template: &impl Template) -> aim_core::Result<Fragment> {
    Fragment::of(template)
}
