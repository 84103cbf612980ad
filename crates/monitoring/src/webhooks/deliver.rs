//! The worker: takes what is due, sends it, and writes down how it ended.

use std::{sync::Arc, time::Duration};

use aim_audit::Entry;
use aim_core::{Ctx, Error, Result, Timestamp};
use aim_crypto::digest::random_bytes;
use aim_decision::Severity;
use aim_platform::{
    Job, Kernel,
    outbound::{Call, parse_url},
};
use aim_store::{Db, Scope};
use chrono::TimeDelta;
use serde_json::json;
use tokio::sync::Semaphore;

use super::{
    mail,
    model::{DeliveryStatus, FAILURES_TO_TELL, Format, pause_after},
    secret,
    store::{self, Attempt, DeliveryRow, WebhookRow},
};
use crate::alerts::{self, AlertKind, NewAlert};

/// How many deliveries a node sends at the same time.
const AT_ONCE: usize = 16;
/// How long a delivery is a node's own: longer than any exchange takes.
const LEASE: TimeDelta = TimeDelta::seconds(90);
/// How much of an answer is read: none of it is kept.
const ANSWER_LIMIT: usize = 1_024;

/// Sends deliveries. Cloning is cheap.
#[derive(Clone)]
pub struct Deliverer {
    kernel: Kernel,
    places: Arc<Semaphore>,
}

/// How sending ended.
struct Sent {
    response_status: Option<i64>,
    error: Option<String>,
}

impl Deliverer {
    /// A worker on this kernel.
    #[must_use]
    pub fn new(kernel: &Kernel) -> Self {
        Self {
            kernel: kernel.clone(),
            places: Arc::new(Semaphore::new(AT_ONCE)),
        }
    }

    /// The job that looks for what is due. It does not wait for what it sends, so that a slow receiver holds
    /// up nothing else.
    pub(crate) fn job(&self) -> Job {
        let this = self.clone();
        Job::new("monitoring.deliveries", Duration::from_secs(1), move |_| {
            let this = this.clone();
            async move { this.start_due().await.map(|_| ()) }
        })
    }

    /// Sends everything that is due, and waits for it. Answers how many attempts were made.
    ///
    /// # Errors
    /// The database's.
    pub async fn deliver_due(&self) -> Result<usize> {
        let mut attempts = 0;
        loop {
            let started = self.start_due().await?;
            if started.is_empty() {
                return Ok(attempts);
            }
            for attempt in started {
                attempt.await.map_err(Error::internal)?;
                attempts += 1;
            }
        }
    }

    async fn start_due(&self) -> Result<Vec<tokio::task::JoinHandle<()>>> {
        let now = self.kernel.now();
        let free = i64::try_from(self.places.available_permits()).unwrap_or(0);
        let store = &self.kernel.store;
        let is_due = store
            .read(Scope::Installation, move |db| store::is_due(db, now))
            .await?;
        if free == 0 || !is_due {
            return Ok(Vec::new());
        }
        let rows = store
            .write(Scope::Installation, move |db| {
                store::claim(db, now, now + LEASE, free)
            })
            .await?;
        let mut started = Vec::with_capacity(rows.len());
        for row in rows {
            let this = self.clone();
            started.push(tokio::spawn(async move {
                let Ok(_place) = Arc::clone(&this.places).acquire_owned().await else {
                    return;
                };
                if let Err(error) = this.attempt(&row).await {
                    // The lease ends by itself, and it is tried again.
                    tracing::warn!(?error, delivery = %row.id, "how a delivery ended could not be written down");
                }
            }));
        }
        Ok(started)
    }

    /// One attempt at `row`, and its record.
    pub(super) async fn attempt(&self, row: &DeliveryRow) -> Result<()> {
        let (organization, id) = (row.org_id, row.webhook_id);
        let webhook = self
            .kernel
            .store
            .read(organization, move |db| store::get(db, organization, id))
            .await?;
        let Some(webhook) = webhook else {
            return Ok(());
        };
        let sent = self.send(&webhook, row).await;
        let at = self.kernel.now();
        let [chance] = random_bytes::<1>().unwrap_or_default();
        // A test and what nobody wants any more are tried once.
        let again = (row.event != "webhook.test" && webhook.enabled)
            .then(|| pause_after(row.attempts + 1, chance))
            .flatten();
        let status = match (&sent.error, again) {
            (None, _) => DeliveryStatus::Delivered,
            (Some(_), Some(_)) => DeliveryStatus::Pending,
            (Some(_), None) => DeliveryStatus::Dead,
        };
        let attempt = Attempt {
            status,
            at,
            due_at: at + again.unwrap_or_default(),
            response_status: sent.response_status,
            last_error: sent.error,
        };
        metrics::counter!("aim_webhook_attempts_total", "status" => status.as_str()).increment(1);
        let row = row.clone();
        self.kernel
            .store
            .write(organization, move |db| finish(db, &webhook, &row, &attempt))
            .await
    }

    async fn send(&self, webhook: &WebhookRow, row: &DeliveryRow) -> Sent {
        let failed = |error: String| Sent {
            response_status: None,
            error: Some(error),
        };
        if !webhook.enabled && row.event != "webhook.test" {
            return failed("the webhook was disabled before this was sent".to_owned());
        }
        if Format::of(&webhook.format) == Format::Email {
            let Some(server) = &self.kernel.config.mail else {
                return failed("no mail server is configured (smtp.host)".to_owned());
            };
            return match mail::send(server, &webhook.url, &row.body).await {
                Ok(()) => Sent {
                    response_status: None,
                    error: None,
                },
                Err(error) => failed(error),
            };
        }
        match self.call(webhook, row) {
            Ok(call) => match self.kernel.outbound().send(call).await {
                Ok(answer) => Sent {
                    response_status: Some(i64::from(answer.status)),
                    error: (!answer.is_success()).then(|| format!("the receiver answered {}", answer.status)),
                },
                Err(error) => failed(error.to_string()),
            },
            Err(error) => failed(error.to_string()),
        }
    }

    /// The signed request. The time is that of the attempt, so that a receiver can refuse old ones.
    fn call(&self, webhook: &WebhookRow, row: &DeliveryRow) -> Result<Call> {
        let url = parse_url("url", &webhook.url)?;
        let body = row.body.as_bytes();
        let key = secret::open(
            &self.kernel.pepper,
            webhook.org_id,
            webhook.id,
            &webhook.sealed_secret,
        )?;
        let signature = secret::signature(&key, self.kernel.now().timestamp(), body);
        Ok(Call::post_json(url, body.to_vec(), ANSWER_LIMIT)
            .header("x-aim-event", row.event.as_str())
            .header("x-aim-delivery", row.id.to_string())
            .header("x-aim-attempt", (row.attempts + 1).to_string())
            .header("x-aim-signature", signature))
    }
}

/// Writes down how an attempt ended; raises an alert when a webhook fails again and again, and resolves it
/// when it is back.
fn finish(db: &mut Db, webhook: &WebhookRow, row: &DeliveryRow, attempt: &Attempt) -> aim_store::Result<()> {
    if !store::note_attempt(db, row, attempt)? {
        return Ok(());
    }
    let succeeded = attempt.status == DeliveryStatus::Delivered;
    let before = store::note_outcome(db, row.org_id, row.webhook_id, succeeded, attempt.at)?;
    let key = format!("webhook_failing:{}", row.webhook_id);
    let ctx = Ctx::system("monitoring.deliveries", row.org_id, attempt.at);
    let mut entries = Vec::new();
    match before {
        Some(failures) if succeeded && failures >= FAILURES_TO_TELL => {
            let note = "The webhook takes deliveries again";
            entries = alerts::resolve_by_itself(db, &ctx, row.org_id, &key, note)?;
        }
        Some(failures) if !succeeded && failures + 1 == FAILURES_TO_TELL => {
            entries = alerts::raise(db, &failing(webhook, attempt, key, failures + 1))?.entries;
        }
        _ => {}
    }
    if attempt.status == DeliveryStatus::Dead {
        entries.push(
            Entry::event(&ctx, "webhook_delivery.given_up")
                .target("webhook", row.webhook_id)
                .facts(json!({"delivery_id": row.id, "event": row.event, "attempts": row.attempts + 1})),
        );
    }
    aim_audit::append(db, entries).map(|_| ())
}

fn failing(webhook: &WebhookRow, attempt: &Attempt, dedupe_key: String, failures: i64) -> NewAlert {
    NewAlert {
        organization: webhook.org_id,
        agent: None,
        kind: AlertKind::WebhookFailing,
        severity: Severity::Medium,
        title: format!("The webhook {} failed {failures} times in a row", webhook.name),
        detail: json!({
            "webhook_id": webhook.id,
            "failures": failures,
            "response_status": attempt.response_status,
            "error": attempt.last_error,
        }),
        dedupe_key,
        at: attempt.at,
    }
}

/// When a lease on a claimed delivery ends, at the latest.
#[must_use]
pub(super) fn lease_end(now: Timestamp) -> Timestamp {
    now + LEASE
}
