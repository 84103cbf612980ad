//! What operators rely on: the measurements, and a stop that loses nobody's answer.

#![expect(clippy::unwrap_used, reason = "a helper of a test fails the test")]

use std::{net::SocketAddr, sync::Arc, time::Duration};

use actix_web::{HttpResponse, rt, web};
use aim::{
    configuration::Settings,
    installation,
    server::{AppParts, ServeOptions, run_server},
};
use aim_crypto::token::TokenPepper;
use aim_platform::{Kernel, Module, ServiceConfig};
use aim_store::{COMMUNITY_MIGRATIONS, DatabaseConfig, Store};
use futures_util::StreamExt;
use tokio::sync::{Notify, oneshot};

/// Routes that a test holds in its hand: one that answers when it is told to, and one that never ends by itself.
#[derive(Clone, Default)]
struct Slow {
    begun: Arc<Notify>,
    go_on: Arc<Notify>,
}

impl Module for Slow {
    fn name(&self) -> &'static str {
        "slow"
    }

    fn routes(&self, config: &mut ServiceConfig<'_>) {
        let slow = self.clone();
        config.route(
            "/slow",
            web::get().to(move || {
                let slow = slow.clone();
                async move {
                    slow.begun.notify_one();
                    slow.go_on.notified().await;
                    HttpResponse::Ok().body("answered")
                }
            }),
        );
        config.route("/endless", web::get().to(endless));
    }
}

async fn endless(kernel: web::Data<Kernel>) -> HttpResponse {
    let stopping = kernel.stopping.clone();
    let end = async move {
        stopping.begun().await;
        None::<Result<web::Bytes, actix_web::Error>>
    };
    let first = futures_util::stream::iter([Ok(web::Bytes::from_static(b"event: hello\n\n"))]);
    let rest = futures_util::stream::once(end).filter_map(std::future::ready);
    HttpResponse::Ok()
        .content_type("text/event-stream")
        .streaming(first.chain(rest))
}

struct Running {
    address: SocketAddr,
    stop: oneshot::Sender<()>,
    server: rt::task::JoinHandle<std::io::Result<()>>,
    _home: tempfile::TempDir,
}

async fn start(modules: Vec<Arc<dyn Module>>) -> Running {
    let home = tempfile::tempdir().unwrap();
    let config = DatabaseConfig {
        url: format!("sqlite:{}", home.path().join("aim.db").display()),
        connections: 2,
    };
    let store = Store::connect(&config, vec![COMMUNITY_MIGRATIONS]).await.unwrap();
    let pepper = TokenPepper::from_bytes([7; 32]);
    let mut parts = AppParts::new(installation::kernel(store, &Settings::default(), pepper));
    parts.modules.extend(modules);
    let (stop, stopped) = oneshot::channel::<()>();
    let (announce, announced) = oneshot::channel();
    let options = ServeOptions {
        address: "127.0.0.1:0".parse().unwrap(),
        workers: 2,
    };
    let server = rt::spawn(run_server(
        parts,
        options,
        async move { drop(stopped.await) },
        move |address| announce.send(address).unwrap(),
    ));
    Running {
        address: announced.await.unwrap(),
        stop,
        server,
        _home: home,
    }
}

fn http() -> reqwest::Client {
    // A second test finds it installed already.
    let _ = rustls::crypto::ring::default_provider().install_default();
    reqwest::Client::builder().no_proxy().build().unwrap()
}

#[actix_web::test]
async fn a_stop_lets_answers_end_that_have_begun_and_ends_those_that_never_would() {
    let slow = Slow::default();
    let running = start(vec![Arc::new(slow.clone())]).await;
    let base = format!("http://{}", running.address);
    let asked = rt::spawn({
        let url = format!("{base}/slow");
        async move { http().get(url).send().await.unwrap().text().await.unwrap() }
    });
    slow.begun.notified().await;
    let endless = http().get(format!("{base}/endless")).send().await.unwrap();
    let mut body = Box::pin(endless.bytes_stream());
    assert_eq!(&body.next().await.unwrap().unwrap()[..], b"event: hello\n\n");

    running.stop.send(()).unwrap();
    // The endless one ends well, not by a cut; while the slow one is still under way.
    assert!(body.next().await.is_none(), "it was cut off, or said more");
    assert!(!asked.is_finished());
    // And nobody new is let in: asked until the listening socket is closed.
    let refused = async {
        while http().get(format!("{base}/health/live")).send().await.is_ok() {
            rt::task::yield_now().await;
        }
    };
    tokio::time::timeout(Duration::from_secs(20), refused)
        .await
        .unwrap();
    slow.go_on.notify_one();
    assert_eq!(asked.await.unwrap(), "answered");
    running.server.await.unwrap().unwrap();
}

#[actix_web::test]
async fn the_measurements_tell_of_queue_jobs_followers_and_the_log() {
    let running = start(Vec::new()).await;
    let base = format!("http://{}", running.address);
    let _ = http().get(format!("{base}/health/ready")).send().await.unwrap();
    let text = http().get(format!("{base}/metrics")).send().await.unwrap();
    let text = text.text().await.unwrap();
    for name in [
        "aim_http_requests_total{",
        "aim_database_up 1",
        "aim_writer_queue_depth ",
        "aim_writer_batch_size{",
        "aim_writer_commit_seconds{",
        "aim_jobs_dead 0",
        "aim_job_lag_seconds{job=\"compliance.audit_verification\"}",
        "aim_job_failures{job=\"compliance.retention\"}",
        "aim_audit_log_records ",
        "# HELP aim_http_requests_total ",
    ] {
        assert!(text.contains(name), "no {name} in:\n{text}");
    }
    assert!(!text.contains("health.probe"), "{text}");
    running.stop.send(()).unwrap();
    running.server.await.unwrap().unwrap();
}
