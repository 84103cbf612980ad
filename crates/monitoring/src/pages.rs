//! The console's part: the overview, the live feed, alerts with their rules, and webhooks with their deliveries.

mod alerts;
mod overview;
mod webhooks;

use aim_core::role::permission::{AlertsRead, EventsRead, WebhooksRead};
use aim_platform::console::{ConsoleRegistry, NavEntry, NavSection};

use crate::alerts::AlertService;

/// Registers the pages.
pub(crate) fn register(console: &mut ConsoleRegistry, service: &AlertService) {
    console.page("/overview", overview::overview_page);
    console.page("/live", overview::live_page);
    console.page("/alerts", alerts::alerts_page);
    // Before the one with an id, which would take its name for one.
    console.page("/alerts/rules", alerts::rules_page);
    console.page("/alerts/{id}", alerts::alert_page);
    console.page("/webhooks", webhooks::webhooks_page);
    console.page("/webhooks/{id}", webhooks::webhook_page);
    console.navigation(NavEntry::new::<EventsRead>(
        NavSection::Monitor,
        "Overview",
        "/overview",
        "overview",
        10,
    ));
    console.navigation(NavEntry::new::<EventsRead>(
        NavSection::Monitor,
        "Live feed",
        "/live",
        "feed",
        20,
    ));
    let counting = service.clone();
    console.navigation(
        NavEntry::new::<AlertsRead>(NavSection::Monitor, "Alerts", "/alerts", "alert", 30).badge(
            move |ctx| {
                let counting = counting.clone();
                async move { Ok(u64::try_from(counting.count(&ctx).await?.open).unwrap_or(0)) }
            },
        ),
    );
    console.navigation(NavEntry::new::<WebhooksRead>(
        NavSection::Administer,
        "Webhooks",
        "/webhooks",
        "webhook",
        30,
    ));
}
