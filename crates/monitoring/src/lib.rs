//! Monitoring: what happens, as it happens. Activity by hour, the live feed, alerts and what raises them,
//! and their delivery to webhooks and mailboxes. All of it is made from the audit log, so it shows what
//! happened and nothing else; it decides nothing.

use actix_web::web;
use aim_platform::{Follower, Job, Kernel, Module, Retained, ServiceConfig, console::ConsoleRegistry};

pub mod activity;
pub mod alerts;
pub mod feed;
pub mod overview;
mod pages;
pub mod schema;
pub mod webhooks;

use activity::ActivityService;
use alerts::AlertService;
use feed::{FeedService, Hub};
use overview::OverviewService;
use webhooks::{Deliverer, WebhookService};

/// The capability as the composition root sees it.
#[derive(Clone)]
pub struct Monitoring {
    kernel: Kernel,
    activity: ActivityService,
    alerts: AlertService,
    feed: FeedService,
    hub: Hub,
    deliverer: Deliverer,
    webhooks: WebhookService,
}

impl Monitoring {
    /// The capability of this installation.
    #[must_use]
    pub fn new(kernel: &Kernel) -> Self {
        let deliverer = Deliverer::new(kernel);
        Self {
            kernel: kernel.clone(),
            activity: ActivityService::new(kernel),
            alerts: AlertService::new(kernel),
            feed: FeedService::new(kernel),
            hub: Hub::new(kernel),
            webhooks: WebhookService::new(kernel, &deliverer),
            deliverer,
        }
    }

    /// The use cases of alerts.
    #[must_use]
    pub fn alerts(&self) -> AlertService {
        self.alerts.clone()
    }

    /// The use cases of the feed.
    #[must_use]
    pub fn feed(&self) -> FeedService {
        self.feed.clone()
    }

    /// The clients of the live feed on this node.
    #[must_use]
    pub fn hub(&self) -> Hub {
        self.hub.clone()
    }

    /// The use cases of webhooks.
    #[must_use]
    pub fn webhooks(&self) -> WebhookService {
        self.webhooks.clone()
    }

    /// The worker that sends deliveries.
    #[must_use]
    pub fn deliverer(&self) -> Deliverer {
        self.deliverer.clone()
    }

    /// The use cases of activity.
    #[must_use]
    pub fn activity(&self) -> ActivityService {
        self.activity.clone()
    }
}

impl Module for Monitoring {
    fn name(&self) -> &'static str {
        "monitoring"
    }

    fn routes(&self, config: &mut ServiceConfig<'_>) {
        activity::routes::register(config, &self.activity);
        alerts::routes::register(config, &self.alerts);
        feed::routes::register(config, &self.feed, &self.hub);
        webhooks::routes::register(config, &self.webhooks);
        let overview = OverviewService::new(&self.kernel, &self.activity, &self.alerts);
        config.app_data(web::Data::new(overview));
    }

    fn console(&self, console: &mut ConsoleRegistry) {
        pages::register(console, &self.alerts);
    }

    fn jobs(&self) -> Vec<Job> {
        let mut jobs = alerts::jobs(&self.kernel);
        jobs.push(self.deliverer.job());
        jobs
    }

    fn followers(&self) -> Vec<Follower> {
        vec![
            activity::follower(),
            alerts::watch::follower(&self.kernel),
            webhooks::follower(&self.kernel),
        ]
    }

    fn retained(&self) -> Vec<Retained> {
        vec![activity::retained(), webhooks::retained()]
    }
}
