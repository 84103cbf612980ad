//! Webhooks: what is delivered is signed, tried again, given up, told of and repeated; and never to where it
//! must not go.

use std::{net::SocketAddr, sync::Arc};

use aim_core::Code;
use aim_crypto::{digest::hex, digest::hmac_sha256};
use aim_monitoring::{
    alerts::{AlertKind, model::AlertQuery},
    webhooks::model::{DeliveryQuery, DeliveryView, Format, MAX_ATTEMPTS, NewWebhook, SetWebhook, WebhookId},
};
use aim_platform::{MailServer, Module, SmtpSecurity, retention::Trim};
use aim_testkit::{databases, kernel};
use chrono::TimeDelta;
use serde_json::{Value, json};
use tokio::{
    io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader},
    net::TcpListener,
    sync::mpsc,
};

use crate::bed::Bed;

/// Runs a test on each database, with this machine allowed as a receiver.
async fn on_each<F: Future<Output = ()>>(test: impl Fn(Bed) -> F) {
    for database in databases().await {
        let (mut kernel, clock) = kernel(&database.store);
        Arc::make_mut(&mut kernel.config).outbound_allow = vec!["127.0.0.1/32".parse().unwrap()];
        Arc::make_mut(&mut kernel.config).public_url = "https://aim.example".to_owned();
        test(Bed::on(database, kernel, clock).await).await;
    }
}

/// What a receiver was sent.
#[derive(Debug)]
struct Request {
    headers: Vec<(String, String)>,
    body: String,
}

impl Request {
    fn header(&self, name: &str) -> &str {
        let found = self.headers.iter().find(|(header, _)| header == name);
        &found.unwrap_or_else(|| panic!("no {name}")).1
    }
}

/// A receiver that answers with the statuses in turn, the last one for ever.
async fn receiver(statuses: &'static [u16]) -> (SocketAddr, mpsc::UnboundedReceiver<Request>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let (sender, requests) = mpsc::unbounded_channel();
    tokio::spawn(async move {
        for turn in 0.. {
            let (stream, _) = listener.accept().await.unwrap();
            let status = statuses.get(turn).or(statuses.last()).unwrap();
            let mut stream = BufReader::new(stream);
            let mut line = String::new();
            stream.read_line(&mut line).await.unwrap();
            let (mut headers, mut length) = (Vec::new(), 0);
            loop {
                let mut line = String::new();
                stream.read_line(&mut line).await.unwrap();
                let Some((name, value)) = line.trim_end().split_once(": ") else {
                    break;
                };
                if name == "content-length" {
                    length = value.parse().unwrap();
                }
                headers.push((name.to_owned(), value.to_owned()));
            }
            let mut body = vec![0; length];
            stream.read_exact(&mut body).await.unwrap();
            let answer = format!("HTTP/1.1 {status} X\r\ncontent-length: 0\r\nconnection: close\r\n\r\n");
            stream.get_mut().write_all(answer.as_bytes()).await.unwrap();
            let body = String::from_utf8(body).unwrap();
            if sender.send(Request { headers, body }).is_err() {
                return;
            }
        }
    });
    (address, requests)
}

fn wish(url: String) -> SetWebhook {
    SetWebhook {
        name: "On call".to_owned(),
        format: Format::Json,
        url,
        events: vec!["alert.raised".to_owned(), "agent.*".to_owned()],
        minimum_severity: "high".to_owned(),
        enabled: true,
    }
}

async fn create(bed: &Bed, wish: SetWebhook) -> NewWebhook {
    bed.monitoring
        .webhooks()
        .create(&bed.manager(), wish)
        .await
        .unwrap()
}

async fn deliver(bed: &Bed) -> usize {
    bed.monitoring.deliverer().deliver_due().await.unwrap()
}

async fn deliveries(bed: &Bed, id: WebhookId) -> Vec<DeliveryView> {
    bed.monitoring
        .webhooks()
        .deliveries(&bed.manager(), id, &DeliveryQuery::default())
        .await
        .unwrap()
        .deliveries
}

async fn reactivate(bed: &Bed) {
    bed.log(vec![bed.event("agent.reactivated", json!({}))]).await;
    bed.follow().await;
}

#[tokio::test]
async fn an_event_is_delivered_once_signed_over_time_and_body() {
    on_each(|bed| async move {
        let (address, mut requests) = receiver(&[204]).await;
        let made = create(&bed, wish(format!("http://{address}/hook?x=1"))).await;
        bed.log(vec![
            bed.event("agent.reactivated", json!({})),
            bed.event("agent_key.rotated", json!({})),
            bed.decision(bed.elsewhere, bed.stranger, "denied"),
        ])
        .await;
        bed.follow().await;
        bed.clock.advance(TimeDelta::seconds(5));
        assert_eq!(deliver(&bed).await, 1, "{}", bed.database.kind);
        assert_eq!(deliver(&bed).await, 0);

        let request = requests.recv().await.unwrap();
        assert_eq!(request.header("x-aim-event"), "agent.reactivated");
        assert_eq!(request.header("content-type"), "application/json");
        let seconds = bed.now().timestamp();
        let secret = made.secret.unwrap();
        let mac = hmac_sha256(
            secret.as_bytes(),
            format!("{seconds}.{}", request.body).as_bytes(),
        );
        assert_eq!(
            request.header("x-aim-signature"),
            format!("t={seconds},v1={}", hex(&mac))
        );
        let body: Value = serde_json::from_str(&request.body).unwrap();
        assert_eq!(body["title"], "billing-bot was reactivated");
        assert_eq!(body["agent"]["name"], "billing-bot");
        assert_eq!(body["url"], format!("https://aim.example/agents/{}", bed.agent));

        let log = deliveries(&bed, made.webhook.id).await;
        assert_eq!(log.len(), 1);
        assert_eq!(
            (log[0].status.as_str(), log[0].attempts, log[0].response_status),
            ("delivered", 1, Some(204))
        );
        assert_eq!(request.header("x-aim-delivery"), log[0].id.to_string());
    })
    .await;
}

#[tokio::test]
async fn the_secret_is_shown_once_and_is_not_readable_in_the_database_or_the_log() {
    on_each(|bed| async move {
        let made = create(&bed, wish("https://8.8.8.8/hook/token-in-path".to_owned())).await;
        let secret = made.secret.unwrap();
        assert!(secret.starts_with("whsec_") && secret.len() == 49);
        let all = bed.monitoring.webhooks().list(&bed.manager()).await.unwrap();
        let one = bed
            .monitoring
            .webhooks()
            .get(&bed.manager(), made.webhook.id)
            .await
            .unwrap();
        for text in [
            serde_json::to_string(&all).unwrap(),
            serde_json::to_string(&one).unwrap(),
        ] {
            assert!(!text.contains(&secret) && !text.contains("secret"), "{text}");
        }
        let hexed: String = secret.bytes().map(|byte| format!("{byte:02x}")).collect();
        let query = if bed.database.kind == "sqlite" {
            format!("SELECT count(*) FROM webhooks WHERE hex(sealed_secret) LIKE upper('%{hexed}%')")
        } else {
            format!("SELECT count(*) FROM webhooks WHERE encode(sealed_secret, 'hex') LIKE '%{hexed}%'")
        };
        assert_eq!(bed.database.count(&query).await, 0);
        let leak = "SELECT count(*) FROM audit_log WHERE leaf LIKE '%token-in-path%' OR leaf LIKE '%whsec%' \
                    OR CAST(details AS TEXT) LIKE '%token-in-path%' OR CAST(details AS TEXT) LIKE '%whsec%'";
        assert_eq!(bed.database.count(leak).await, 0, "{}", bed.database.kind);
    })
    .await;
}

#[tokio::test]
async fn a_failure_is_tried_again_later_and_then_given_up_and_people_are_told() {
    on_each(|bed| async move {
        let (address, mut requests) = receiver(&[500]).await;
        let made = create(&bed, wish(format!("http://{address}/"))).await;
        reactivate(&bed).await;
        let mut attempts = 0;
        for _ in 0..MAX_ATTEMPTS {
            attempts += deliver(&bed).await;
            // It is not due before its pause is over.
            assert_eq!(deliver(&bed).await, 0);
            let request = requests.recv().await.unwrap();
            assert_eq!(request.header("x-aim-attempt"), attempts.to_string());
            bed.clock.advance(TimeDelta::hours(8));
        }
        assert_eq!(attempts, 8, "{}", bed.database.kind);
        assert_eq!(deliver(&bed).await, 0);
        let log = deliveries(&bed, made.webhook.id).await;
        assert_eq!(
            (log[0].status.as_str(), log[0].attempts, log[0].response_status),
            ("dead", 8, Some(500))
        );
        assert_eq!(log[0].last_error.as_deref(), Some("the receiver answered 500"));

        let query = AlertQuery {
            kind: vec![AlertKind::WebhookFailing.as_str().to_owned()],
            ..AlertQuery::default()
        };
        let alerts = bed
            .monitoring
            .alerts()
            .list(&bed.manager(), &query)
            .await
            .unwrap();
        assert_eq!(alerts.alerts.len(), 1);
        assert_eq!(
            alerts.alerts[0].title,
            "The webhook On call failed 3 times in a row"
        );
        let given_up = "SELECT count(*) FROM audit_log WHERE action = 'webhook_delivery.given_up'";
        assert_eq!(bed.database.count(given_up).await, 1);
    })
    .await;
}

#[tokio::test]
async fn a_webhook_that_is_back_resolves_its_alert_and_a_delivery_can_be_repeated() {
    on_each(|bed| async move {
        let (address, mut requests) = receiver(&[500, 500, 500, 200]).await;
        let made = create(&bed, wish(format!("http://{address}/"))).await;
        reactivate(&bed).await;
        for _ in 0..4 {
            assert_eq!(deliver(&bed).await, 1);
            bed.clock.advance(TimeDelta::hours(1));
        }
        let log = deliveries(&bed, made.webhook.id).await;
        assert_eq!(
            (log[0].status.as_str(), log[0].attempts),
            ("delivered", 4),
            "{}",
            bed.database.kind
        );
        let alerts = bed
            .monitoring
            .alerts()
            .list(&bed.manager(), &AlertQuery::default())
            .await
            .unwrap();
        assert_eq!(alerts.alerts[0].status, "resolved");
        let service = bed.monitoring.webhooks();
        let view = service.get(&bed.manager(), made.webhook.id).await.unwrap();
        assert_eq!(view.failures, 0);

        let again = service
            .replay(&bed.manager(), made.webhook.id, log[0].id)
            .await
            .unwrap();
        assert_eq!(again.replay_of, Some(log[0].id));
        let error = service
            .replay(&bed.manager(), made.webhook.id, again.id)
            .await
            .unwrap_err();
        assert_eq!(error.code, Code::StateConflict);
        assert_eq!(deliver(&bed).await, 1);
        let mut bodies = Vec::new();
        for _ in 0..5 {
            bodies.push(requests.recv().await.unwrap().body);
        }
        assert_eq!(bodies[3], bodies[4]);
    })
    .await;
}

#[tokio::test]
async fn two_nodes_deliver_nothing_twice() {
    on_each(|bed| async move {
        let (address, mut requests) = receiver(&[200]).await;
        let made = create(&bed, wish(format!("http://{address}/"))).await;
        for _ in 0..30 {
            bed.log(vec![bed.event("agent.reactivated", json!({}))]).await;
        }
        bed.follow().await;
        let other = aim_monitoring::Monitoring::new(&bed.kernel);
        let (mine, theirs) = (bed.monitoring.deliverer(), other.deliverer());
        let (mine, theirs) = tokio::join!(mine.deliver_due(), theirs.deliver_due());
        assert_eq!(mine.unwrap() + theirs.unwrap(), 30, "{}", bed.database.kind);
        let mut seen = std::collections::BTreeSet::new();
        for _ in 0..30 {
            seen.insert(requests.recv().await.unwrap().header("x-aim-delivery").to_owned());
        }
        assert_eq!(seen.len(), 30);
        assert_eq!(deliveries(&bed, made.webhook.id).await.len(), 20);
    })
    .await;
}

#[tokio::test]
async fn nothing_is_sent_to_an_address_that_is_not_allowed_even_if_it_was_once() {
    on_each(|bed| async move {
        let service = bed.monitoring.webhooks();
        for url in [
            "http://169.254.169.254/latest/meta-data/",
            "http://10.0.0.1/",
            "http://[::1]/",
        ] {
            let error = service
                .create(&bed.manager(), wish(url.to_owned()))
                .await
                .unwrap_err();
            assert_eq!(
                (error.code, error.field.as_deref()),
                (Code::FieldInvalid, Some("url")),
                "{url}"
            );
        }
        let (address, mut requests) = receiver(&[200]).await;
        let made = create(&bed, wish(format!("http://{address}/"))).await;
        let mut kernel = bed.kernel.clone();
        Arc::make_mut(&mut kernel.config).outbound_allow = Vec::new();
        let stricter = aim_monitoring::Monitoring::new(&kernel);
        let tested = stricter
            .webhooks()
            .test(&bed.manager(), made.webhook.id)
            .await
            .unwrap();
        assert_eq!((tested.status.as_str(), tested.attempts), ("dead", 1));
        assert!(tested.last_error.unwrap().contains("outbound.allow"));
        assert!(requests.try_recv().is_err(), "{}", bed.database.kind);
    })
    .await;
}

#[tokio::test]
async fn a_test_says_how_it_ended() {
    on_each(|bed| async move {
        let (address, mut requests) = receiver(&[200, 302]).await;
        let made = create(&bed, wish(format!("http://{address}/"))).await;
        let service = bed.monitoring.webhooks();
        let tested = service.test(&bed.manager(), made.webhook.id).await.unwrap();
        assert_eq!((tested.status.as_str(), tested.attempts), ("delivered", 1));
        assert_eq!(
            requests.recv().await.unwrap().header("x-aim-event"),
            "webhook.test"
        );
        // A redirect is not followed, and a test is not tried again.
        let tested = service.test(&bed.manager(), made.webhook.id).await.unwrap();
        assert_eq!(
            (tested.status.as_str(), tested.response_status),
            ("dead", Some(302)),
            "{}",
            bed.database.kind
        );
    })
    .await;
}

#[tokio::test]
async fn alerts_are_delivered_from_the_wanted_severity_on_in_the_wanted_form() {
    on_each(|bed| async move {
        let (address, mut requests) = receiver(&[200]).await;
        let slack = SetWebhook {
            format: Format::Slack,
            events: vec!["alert.raised".to_owned()],
            ..wish(format!("http://{address}/"))
        };
        create(&bed, slack).await;
        bed.log(vec![
            bed.event("agent.suspended", json!({})),
            bed.event("trust.threshold_crossed", json!({"score": 20, "threshold": 40})),
        ])
        .await;
        // The alerts' own records are read in a second round.
        bed.follow().await;
        bed.follow().await;
        assert_eq!(deliver(&bed).await, 1, "{}", bed.database.kind);
        let body: Value = serde_json::from_str(&requests.recv().await.unwrap().body).unwrap();
        let text = body["text"].as_str().unwrap();
        assert!(
            text.starts_with("[HIGH] The trust score of billing-bot fell to 20, below 40\n<https://aim.example/alerts?alert="),
            "{text}"
        );
    })
    .await;
}

#[tokio::test]
async fn a_name_is_taken_once_and_another_tenants_webhook_is_unknown() {
    on_each(|bed| async move {
        let service = bed.monitoring.webhooks();
        let made = create(&bed, wish("https://8.8.8.8/".to_owned())).await;
        let error = service
            .create(&bed.manager(), wish("https://8.8.4.4/".to_owned()))
            .await
            .unwrap_err();
        assert_eq!(
            (error.code, error.field.as_deref()),
            (Code::NameTaken, Some("name"))
        );
        let stranger = bed.caller(bed.elsewhere);
        let id = made.webhook.id;
        assert_eq!(service.get(&stranger, id).await.unwrap_err().code, Code::NotFound);
        assert_eq!(
            service.delete(&stranger, id).await.unwrap_err().code,
            Code::NotFound
        );
        assert_eq!(
            service.test(&stranger, id).await.unwrap_err().code,
            Code::NotFound
        );
        let update = wish("https://8.8.8.8/".to_owned());
        assert_eq!(
            service.update(&stranger, id, update).await.unwrap_err().code,
            Code::NotFound
        );
        let query = DeliveryQuery::default();
        let seen = service.deliveries(&stranger, id, &query).await;
        assert_eq!(seen.unwrap_err().code, Code::NotFound);
        service
            .create(&stranger, wish("https://8.8.8.8/".to_owned()))
            .await
            .unwrap();

        let quiet = SetWebhook {
            enabled: false,
            ..wish("https://8.8.8.8/".to_owned())
        };
        assert!(!service.update(&bed.manager(), id, quiet).await.unwrap().enabled);
        reactivate(&bed).await;
        assert!(deliveries(&bed, id).await.is_empty());
        service.delete(&bed.manager(), id).await.unwrap();
        assert_eq!(
            service.get(&bed.manager(), id).await.unwrap_err().code,
            Code::NotFound
        );
    })
    .await;
}

/// A mail server that takes one mail, and answers what it was told.
async fn mail_server() -> (SocketAddr, tokio::task::JoinHandle<String>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let told = tokio::spawn(async move {
        let (stream, _) = listener.accept().await.unwrap();
        let mut stream = BufReader::new(stream);
        let mut told = String::new();
        stream.get_mut().write_all(b"220 mail.example\r\n").await.unwrap();
        loop {
            let mut line = String::new();
            if stream.read_line(&mut line).await.unwrap() == 0 {
                return told;
            }
            told.push_str(&line);
            let answer: &[u8] = match line.trim_end() {
                "DATA" => b"354 go on\r\n",
                "." => b"250 taken\r\n",
                "QUIT" => b"221 bye\r\n",
                _ if told.contains("\r\nDATA\r\n") && !told.contains("\r\n.\r\n") => continue,
                _ => b"250 mail.example\r\n",
            };
            stream.get_mut().write_all(answer).await.unwrap();
            if line.trim_end() == "." {
                return told;
            }
        }
    });
    (address, told)
}

#[tokio::test]
async fn an_alert_goes_out_by_mail_when_a_server_is_configured_and_not_otherwise() {
    on_each(|bed| async move {
        let mail = || SetWebhook {
            format: Format::Email,
            ..wish("mailto:ops@example.com".to_owned())
        };
        let error = bed
            .monitoring
            .webhooks()
            .create(&bed.manager(), mail())
            .await
            .unwrap_err();
        assert_eq!(error.field.as_deref(), Some("format"));

        let (address, told) = mail_server().await;
        let mut kernel = bed.kernel.clone();
        Arc::make_mut(&mut kernel.config).mail = Some(Arc::new(MailServer {
            host: "127.0.0.1".to_owned(),
            port: address.port(),
            security: SmtpSecurity::None,
            from: "AIM <aim@example.com>".to_owned(),
            user: String::new(),
            password: "".into(),
        }));
        let monitoring = aim_monitoring::Monitoring::new(&kernel);
        let made = monitoring
            .webhooks()
            .create(&bed.manager(), mail())
            .await
            .unwrap();
        assert_eq!(made.secret, None);
        let facts = json!({"capability": "keys:export", "severity": "critical"});
        bed.log(vec![bed.decision_with(bed.home, bed.agent, "denied", facts)])
            .await;
        bed.follow().await;
        bed.follow().await;
        assert_eq!(monitoring.deliverer().deliver_due().await.unwrap(), 1);
        let told = told.await.unwrap();
        assert!(told.contains("RCPT TO:<ops@example.com>"), "{told}");
        assert!(
            told.contains("Subject: AIM: [CRITICAL] billing-bot tried keys:export and was denied"),
            "{told}"
        );
        assert!(told.contains("Auto-Submitted: auto-generated"), "{told}");
        assert_eq!(deliveries(&bed, made.webhook.id).await[0].status, "delivered");
    })
    .await;
}

#[tokio::test]
async fn retention_trims_what_is_over_and_leaves_what_is_to_be_tried() {
    on_each(|bed| async move {
        let (address, _requests) = receiver(&[200, 500]).await;
        let made = create(&bed, wish(format!("http://{address}/"))).await;
        for _ in 0..2 {
            reactivate(&bed).await;
            deliver(&bed).await;
        }
        bed.log(vec![bed.decision(bed.home, bed.agent, "approved")]).await;
        bed.follow().await;
        bed.clock.advance(TimeDelta::days(2));
        bed.log(vec![bed.decision(bed.home, bed.agent, "approved")]).await;
        bed.follow().await;
        let before = bed.now() - TimeDelta::days(1);
        let home = bed.home;
        for retained in bed.monitoring.retained() {
            bed.database
                .store
                .write(home, move |db| {
                    let trim = Trim {
                        organization: home,
                        before,
                        held: Vec::new(),
                        after: None,
                        limit: 100,
                    };
                    (retained.trim)(db, &trim)
                })
                .await
                .unwrap();
        }
        let left = deliveries(&bed, made.webhook.id).await;
        assert_eq!(left.len(), 1, "{}", bed.database.kind);
        assert_eq!(left[0].status, "pending");
        let hours = "SELECT count(*) FROM agent_activity";
        assert_eq!(bed.database.count(hours).await, 2, "{}", bed.database.kind);
    })
    .await;
}
