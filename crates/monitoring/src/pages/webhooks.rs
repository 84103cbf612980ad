//! Webhooks and their deliveries.

use actix_web::web;
use aim_core::role::permission::{WebhooksRead, WebhooksWrite};
use aim_platform::{
    Kernel, PathId, Query,
    console::{Frame, Names, PageResult, Viewing, ui},
};
use askama::Template;

use crate::{
    alerts::model::SEVERITIES,
    webhooks::{
        WebhookService,
        model::{DeliveryQuery, DeliveryView, WebhookMarker, WebhookView},
    },
};

/// What the templates say of a webhook.
trait Told {
    fn form_words(&self) -> &'static str;
    fn state(&self) -> &'static str;
    fn place(&self) -> String;
}

impl Told for WebhookView {
    fn form_words(&self) -> &'static str {
        match self.format.as_str() {
            "slack" => "Slack",
            "email" => "Mail",
            _ => "Signed JSON",
        }
    }

    fn state(&self) -> &'static str {
        match (self.enabled, self.failures) {
            (false, _) => "disabled",
            (true, 0) => "active",
            (true, _) => "failing",
        }
    }

    /// The host: the path of an address is often a secret of its own.
    fn place(&self) -> String {
        match self.url.split_once("://") {
            Some((_, rest)) => rest.split(['/', '?']).next().unwrap_or(rest).to_owned(),
            None => self.url.trim_start_matches("mailto:").to_owned(),
        }
    }
}

/// What the templates say of a delivery.
trait Ended {
    fn answer(&self) -> String;
    fn pretty(&self) -> String;
    fn is_over(&self) -> bool;
}

impl Ended for DeliveryView {
    fn answer(&self) -> String {
        match (&self.last_error, self.response_status) {
            (Some(error), _) => error.clone(),
            (None, Some(status)) => format!("answered {status}"),
            (None, None) if self.status == "delivered" => "taken by the mail server".to_owned(),
            (None, None) => "not tried yet".to_owned(),
        }
    }

    fn pretty(&self) -> String {
        serde_json::from_str::<serde_json::Value>(&self.body)
            .and_then(|value| serde_json::to_string_pretty(&value))
            .unwrap_or_else(|_| self.body.clone())
    }

    fn is_over(&self) -> bool {
        self.status != "pending"
    }
}

/// The fields of a webhook's form.
fn fields(form: &str, webhook: Option<&WebhookView>, mail: bool) -> Vec<ui::Field> {
    let of = |part: fn(&WebhookView) -> &str| webhook.map(part).unwrap_or_default().to_owned();
    let format = webhook.map_or("json", |webhook| webhook.format.as_str());
    let mut forms = ui::select("format", "Form")
        .within(form)
        .value(format)
        .option("json", "Signed JSON")
        .option("slack", "Slack-compatible");
    if mail || format == "email" {
        forms = forms.option("email", "Mail");
    }
    let severity = SEVERITIES.into_iter().fold(
        ui::select("minimum_severity", "Alerts of at least")
            .within(form)
            .value(webhook.map_or("medium", |webhook| webhook.minimum_severity.as_str()))
            .hint("Holds for alerts; other events are always sent."),
        |field, severity| field.option(severity.as_str(), ui::in_words(severity.as_str())),
    );
    let events = webhook.map_or_else(|| "alert.raised".to_owned(), |webhook| webhook.events.join("\n"));
    let mut fields = vec![
        ui::input("name", "Name")
            .within(form)
            .required()
            .attribute("maxlength", 100)
            .autocomplete("off")
            .value(of(|webhook| &webhook.name)),
    ];
    if webhook.is_none() {
        fields.push(forms);
    }
    fields.extend([
        ui::input("url", "Address")
            .within(form)
            .required()
            .autocomplete("off")
            .value(of(|webhook| &webhook.url))
            .placeholder("https://hooks.example.com/aim")
            .hint(if mail {
                "https://…, or mailto:… for mail"
            } else {
                "https://…"
            }),
        ui::textarea("events", "Events")
            .within(form)
            .data_type("list")
            .attribute("rows", 3)
            .value(events)
            .hint("One a line: names as in the audit log (alert.raised), a whole noun (agent.*), or * for everything."),
        severity,
    ]);
    fields
}

#[derive(Template)]
#[template(path = "monitoring/webhooks.html")]
struct WebhooksPage<'a> {
    frame: &'a Frame,
    webhooks: Vec<WebhookView>,
    mail: bool,
}

impl WebhooksPage<'_> {
    fn fields(&self) -> Vec<ui::Field> {
        fields("new", None, self.mail)
    }
}

pub(super) async fn webhooks_page(
    viewing: Viewing<WebhooksRead>,
    service: web::Data<WebhookService>,
    kernel: web::Data<Kernel>,
) -> PageResult {
    let page = WebhooksPage {
        frame: &viewing.frame,
        webhooks: service.list(&viewing.ctx).await?.webhooks,
        mail: kernel.config.mail.is_some(),
    };
    viewing.page("Webhooks", &page)
}

#[derive(Template)]
#[template(path = "monitoring/webhook.html")]
struct WebhookPage<'a> {
    frame: &'a Frame,
    webhook: WebhookView,
    deliveries: Vec<DeliveryView>,
    names: Names,
    next: Option<String>,
    mail: bool,
}

impl WebhookPage<'_> {
    fn fields(&self) -> Vec<ui::Field> {
        fields("edit", Some(&self.webhook), self.mail)
    }
}

pub(super) async fn webhook_page(
    viewing: Viewing<WebhooksRead>,
    id: PathId<WebhookMarker>,
    query: Query<DeliveryQuery>,
    service: web::Data<WebhookService>,
    kernel: web::Data<Kernel>,
) -> PageResult {
    let webhook = service.get(&viewing.ctx, id.0).await?;
    let list = service.deliveries(&viewing.ctx, id.0, &query.0).await?;
    let title = webhook.name.clone();
    let page = WebhookPage {
        frame: &viewing.frame,
        names: viewing.names([webhook.created_by.clone()]).await,
        webhook,
        deliveries: list.deliveries,
        next: list.next_cursor,
        mail: kernel.config.mail.is_some(),
    };
    viewing.page(title, &page)
}
