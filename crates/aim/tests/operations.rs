//! What operators rely on: the measurements, and a stop that loses nobody's answer.

#![expect(clippy::unwrap_used, reason = "a helper of a test fails the test")]

use std::{
    io::{BufRead, BufReader, Read, Write},
    net::{SocketAddr, TcpStream},
    process::{Command, Stdio},
    sync::{Arc, Mutex},
    time::Duration,
};

use actix_web::{App, HttpResponse, HttpServer, rt, web};
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
        "aim_http_request_seconds_bucket{",
        "aim_database_up 1",
        "aim_writer_queue_depth ",
        "aim_writer_batch_size_bucket{le=\"2\"} ",
        "aim_writer_commit_seconds_bucket{le=\"0.001\"} ",
        "aim_jobs_dead 0",
        "aim_job_lag_seconds{job=\"compliance.audit_verification\"}",
        "aim_job_failures{job=\"compliance.retention\"}",
        "aim_audit_log_records ",
        "# HELP aim_http_requests_total ",
    ] {
        assert!(text.contains(name), "no {name} in:\n{text}");
    }
    assert!(!text.contains("health.probe"), "{text}");
    // A distribution whose name says no unit would be counted in none of the buckets.
    assert!(!text.contains("quantile="), "{text}");
    running.stop.send(()).unwrap();
    running.server.await.unwrap().unwrap();
}

/// The server as a program of its own, which sends traces to `collector`: started, asked once as part of the
/// caller's trace, and stopped.
fn served_once(collector: &str) -> bool {
    let home = tempfile::tempdir().unwrap();
    let mut child = Command::new(env!("CARGO_BIN_EXE_aim"))
        .args(["serve", "--bind", "127.0.0.1:0", "--data"])
        .arg(home.path().join("data"))
        .env_clear()
        .env("AIM__LOG__TRACES_URL", collector)
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let lines = BufReader::new(child.stdout.take().unwrap()).lines();
    let address = lines
        .map_while(Result::ok)
        .find_map(|line| Some(line.split_once(" ready on ")?.1.to_owned()))
        .unwrap();
    let mut stream = TcpStream::connect(address.trim_start_matches("http://")).unwrap();
    let request = "GET /api/v1/edition?secret=hunter2 HTTP/1.1\r\nhost: aim\r\nconnection: close\r\n\
         traceparent: 00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01\r\n\r\n";
    stream.write_all(request.as_bytes()).unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
    let id = child.id().to_string();
    assert!(
        Command::new("kill")
            .args(["-TERM", &id])
            .status()
            .unwrap()
            .success()
    );
    child.wait().unwrap().success()
}

#[actix_web::test]
async fn a_request_is_traced_as_part_of_its_callers_trace_and_says_nothing_of_what_was_sent() {
    let received: Arc<Mutex<Vec<u8>>> = Arc::default();
    let collector = HttpServer::new({
        let received = Arc::clone(&received);
        move || {
            let received = Arc::clone(&received);
            let take = move |body: web::Bytes| {
                received.lock().unwrap().extend_from_slice(&body);
                std::future::ready(HttpResponse::Ok().content_type("application/x-protobuf").finish())
            };
            App::new().route("/v1/traces", web::post().to(take))
        }
    })
    .workers(1)
    .disable_signals()
    .bind(("127.0.0.1", 0))
    .unwrap();
    let url = format!("http://{}", collector.addrs()[0]);
    let collector = collector.run();
    let handle = collector.handle();
    let collecting = rt::spawn(collector);
    assert!(web::block(move || served_once(&url)).await.unwrap());
    handle.stop(false).await;
    collecting.await.unwrap().unwrap();

    let received = received.lock().unwrap();
    let holds = |bytes: &[u8]| received.windows(bytes.len()).any(|window| window == bytes);
    assert!(holds(b"GET /api/v1/edition"), "no span of the request");
    let trace = [
        0x4b, 0xf9, 0x2f, 0x35, 0x77, 0xb3, 0x4d, 0xa6, 0xa3, 0xce, 0x92, 0x9d, 0x0e, 0x0e, 0x47, 0x36,
    ];
    assert!(holds(&trace), "it is not part of the caller's trace");
    assert!(holds(b"aim.request_id") && holds(b"service.name"));
    assert!(!holds(b"hunter2"), "the query was sent along");
}
