//! What people do with webhooks: one transaction a use case, and each change leaves an audit record.

use aim_audit::Entry;
use aim_core::{Code, Ctx, Error, Result};
use aim_platform::{
    Kernel,
    outbound::{OutboundError, parse_url},
};
use aim_store::ResultExt;
use serde_json::json;

use super::{
    deliver::{Deliverer, lease_end},
    follower::queued,
    format,
    model::{
        DeliveryId, DeliveryList, DeliveryQuery, DeliveryView, Format, MAX_WEBHOOKS, NewWebhook, SetWebhook,
        Wanted, WebhookId, WebhookList, WebhookView,
    },
    secret,
    store::{self, WebhookRow},
};

/// The use cases of webhooks.
#[derive(Clone)]
pub struct WebhookService {
    kernel: Kernel,
    deliverer: Deliverer,
}

impl WebhookService {
    /// The use cases on this kernel's store.
    #[must_use]
    pub fn new(kernel: &Kernel, deliverer: &Deliverer) -> Self {
        Self {
            kernel: kernel.clone(),
            deliverer: deliverer.clone(),
        }
    }

    /// The organisation's webhooks.
    ///
    /// # Errors
    /// The database's.
    pub async fn list(&self, ctx: &Ctx) -> Result<WebhookList> {
        let organization = ctx.organization;
        let rows = self
            .kernel
            .store
            .read(organization, move |db| store::list(db, organization))
            .await?;
        Ok(WebhookList {
            webhooks: rows.into_iter().map(Into::into).collect(),
        })
    }

    /// One webhook.
    ///
    /// # Errors
    /// `resource.not_found`.
    pub async fn get(&self, ctx: &Ctx, id: WebhookId) -> Result<WebhookView> {
        self.row(ctx, id).await.map(Into::into)
    }

    async fn row(&self, ctx: &Ctx, id: WebhookId) -> Result<WebhookRow> {
        let organization = ctx.organization;
        self.kernel
            .store
            .read(organization, move |db| {
                store::get(db, organization, id)?.ok_or_else(|| Error::not_found().into())
            })
            .await
    }

    /// Makes a webhook. Its secret is in the answer, and nowhere else ever after.
    ///
    /// # Errors
    /// Names the field that is not accepted; `resource.name_taken`; `resource.state` when there are too many.
    pub async fn create(&self, ctx: &Ctx, request: SetWebhook) -> Result<NewWebhook> {
        let wanted = request.checked()?;
        self.check_reachable(&wanted).await?;
        let id: WebhookId = ctx.new_id();
        let (secret, sealed_secret) = if wanted.format == Format::Email {
            (None, Vec::new())
        } else {
            let secret = secret::generate()?;
            let sealed = secret::seal(&self.kernel.pepper, ctx.organization, id, &secret)?;
            (Some(secret), sealed)
        };
        let row = WebhookRow {
            org_id: ctx.organization,
            id,
            name: wanted.name,
            format: wanted.format.as_str().to_owned(),
            url: wanted.url,
            events: aim_core::Json::of(&wanted.events),
            minimum_severity: wanted.minimum_severity.as_str().to_owned(),
            enabled: wanted.enabled,
            sealed_secret,
            failures: 0,
            last_success_at: None,
            last_failure_at: None,
            created_by: ctx.actor_text(),
            created_at: ctx.now,
            updated_at: ctx.now,
        };
        let ctx = ctx.clone();
        let webhook = self
            .kernel
            .store
            .write(ctx.organization, move |db| {
                if store::count(db, ctx.organization)? >= MAX_WEBHOOKS {
                    let problem =
                        format!("an organisation has at most {MAX_WEBHOOKS} webhooks; delete one first");
                    return Err(Error::new(Code::StateConflict, problem).into());
                }
                store::insert(db, &row).on_unique(name_taken)?;
                aim_audit::append(db, vec![entry(&ctx, "webhook.created", &row)])?;
                Ok(WebhookView::from(row.clone()))
            })
            .await?;
        Ok(NewWebhook {
            webhook,
            secret: secret.map(|secret| secret.expose().to_owned()),
        })
    }

    /// Changes a webhook; its form and secret stay.
    ///
    /// # Errors
    /// As [`Self::create`]; `resource.not_found`.
    pub async fn update(&self, ctx: &Ctx, id: WebhookId, request: SetWebhook) -> Result<WebhookView> {
        let wanted = request.checked()?;
        let row = self.row(ctx, id).await?;
        if row.format != wanted.format.as_str() {
            return Err(Error::field(
                "format",
                "the form of a webhook stays; make another one",
            ));
        }
        if row.url != wanted.url {
            self.check_reachable(&wanted).await?;
        }
        let ctx = ctx.clone();
        self.kernel
            .store
            .write(ctx.organization, move |db| {
                let updated =
                    store::update(db, ctx.organization, id, &wanted, ctx.now).on_unique(name_taken)?;
                let row = store::get(db, ctx.organization, id)?.filter(|_| updated);
                let row = row.ok_or_else(Error::not_found)?;
                aim_audit::append(db, vec![entry(&ctx, "webhook.updated", &row)])?;
                Ok(row.into())
            })
            .await
    }

    /// Removes a webhook, and what was and would have been delivered to it.
    ///
    /// # Errors
    /// `resource.not_found`.
    pub async fn delete(&self, ctx: &Ctx, id: WebhookId) -> Result<()> {
        let ctx = ctx.clone();
        self.kernel
            .store
            .write(ctx.organization, move |db| {
                let row = store::get(db, ctx.organization, id)?.ok_or_else(Error::not_found)?;
                store::delete(db, ctx.organization, id)?;
                aim_audit::append(db, vec![entry(&ctx, "webhook.deleted", &row)])?;
                Ok(())
            })
            .await
    }

    /// Sends a test now, once, and answers how it ended.
    ///
    /// # Errors
    /// `resource.not_found`. A receiver that fails is no error here: the delivery says so.
    pub async fn test(&self, ctx: &Ctx, id: WebhookId) -> Result<DeliveryView> {
        let row = self.row(ctx, id).await?;
        let body = format::test_body(Format::of(&row.format), &row.name, &ctx.now.to_text());
        let mut delivery = queued(&row, "webhook.test", body, ctx.now);
        // It is this call's own: the worker leaves it alone.
        delivery.lease_until = Some(lease_end(ctx.now));
        let (ctx, stored) = (ctx.clone(), delivery.clone());
        let organization = ctx.organization;
        self.kernel
            .store
            .write(organization, move |db| {
                store::queue(db, std::slice::from_ref(&stored))?;
                let entry = Entry::event(&ctx, "webhook.tested")
                    .target("webhook", id)
                    .facts(json!({"delivery_id": stored.id}));
                aim_audit::append(db, vec![entry]).map(|_| ())
            })
            .await?;
        self.deliverer.attempt(&delivery).await?;
        let delivery_id = delivery.id;
        self.kernel
            .store
            .read(organization, move |db| {
                let row = store::delivery(db, organization, id, delivery_id)?;
                row.map(Into::into).ok_or_else(|| Error::not_found().into())
            })
            .await
    }

    /// What was delivered to a webhook, and what is to be: the newest first.
    ///
    /// # Errors
    /// `resource.not_found`; names the parameter that is not accepted.
    pub async fn deliveries(&self, ctx: &Ctx, id: WebhookId, query: &DeliveryQuery) -> Result<DeliveryList> {
        let page = query.page()?;
        let organization = ctx.organization;
        self.kernel
            .store
            .read(organization, move |db| {
                store::get(db, organization, id)?.ok_or_else(Error::not_found)?;
                let rows = store::deliveries(db, organization, id, &page)?;
                let (rows, next_cursor) = page.cut(rows, |row| row.id.uuid());
                Ok(DeliveryList {
                    deliveries: rows.into_iter().map(Into::into).collect(),
                    next_cursor,
                })
            })
            .await
    }

    /// Delivers something again: a new delivery with the same body.
    ///
    /// # Errors
    /// `resource.not_found`; `resource.state` while it is still to be tried.
    pub async fn replay(&self, ctx: &Ctx, id: WebhookId, delivery: DeliveryId) -> Result<DeliveryView> {
        let ctx = ctx.clone();
        self.kernel
            .store
            .write(ctx.organization, move |db| {
                let webhook = store::get(db, ctx.organization, id)?.ok_or_else(Error::not_found)?;
                let row =
                    store::delivery(db, ctx.organization, id, delivery)?.ok_or_else(Error::not_found)?;
                if row.status == "pending" {
                    let problem = "this delivery is still to be tried; wait for it";
                    return Err(Error::new(Code::StateConflict, problem).into());
                }
                let mut again = queued(&webhook, &row.event, row.body.clone(), ctx.now);
                again.replay_of = Some(row.id);
                store::queue(db, std::slice::from_ref(&again))?;
                let entry = Entry::event(&ctx, "webhook_delivery.replayed")
                    .target("webhook", id)
                    .facts(json!({"delivery_id": again.id, "replay_of": row.id}));
                aim_audit::append(db, vec![entry])?;
                Ok(again.into())
            })
            .await
    }

    /// Refuses an address that nothing would ever be delivered to. A name that cannot be resolved just now is
    /// no reason: deliveries are tried again.
    async fn check_reachable(&self, wanted: &Wanted) -> Result<()> {
        if wanted.format == Format::Email {
            return match self.kernel.config.mail {
                Some(_) => Ok(()),
                None => Err(Error::field(
                    "format",
                    "no mail server is configured; an operator sets smtp.host",
                )),
            };
        }
        let url = parse_url("url", &wanted.url)?;
        match self.kernel.outbound().resolve(&url).await {
            Err(refused @ OutboundError::Refused { .. }) => Err(Error::field("url", refused.to_string())),
            _ => Ok(()),
        }
    }
}

fn name_taken() -> Error {
    Error::new(Code::NameTaken, "a webhook of your organisation has this name").at("name")
}

fn entry(ctx: &Ctx, action: &'static str, row: &WebhookRow) -> Entry {
    Entry::event(ctx, action)
        .target("webhook", row.id)
        .facts(json!({
            "format": row.format,
            "events": row.events.strings(),
            "minimum_severity": row.minimum_severity,
            "enabled": row.enabled,
        }))
        // The path of an address is often a secret of its own; its host says enough.
        .details(json!({"name": row.name, "host": host_of(&row.url)}))
}

fn host_of(url: &str) -> Option<String> {
    parse_url("url", url).ok()?.host_str().map(str::to_owned)
}
