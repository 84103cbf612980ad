//! The HTTP server: the same application for the binary, the demonstration and the tests.

use std::{future::Future, io, net::SocketAddr, panic::AssertUnwindSafe, sync::Arc, time::Duration};

use actix_web::{
    App, HttpServer,
    body::MessageBody,
    dev::{ServiceFactory, ServiceRequest, ServiceResponse},
    middleware::{Next, from_fn},
    rt, web,
};
use aim_core::Error;
use aim_platform::{ApiError, EditionInfo, FollowRunner, JobRunner, Kernel, Module, OpenApiDocument, Shell};
use futures_util::FutureExt;
use tokio::sync::watch;

use crate::composition;

/// How long a connection may stay open without a request.
const KEEP_ALIVE: Duration = Duration::from_secs(75);
/// How long a client may take to send its header fields.
const HEADER_PATIENCE: Duration = Duration::from_secs(10);
/// How long requests that have begun may take once the server is told to stop, in seconds.
const DRAINING: u64 = 30;
/// How often limits, metrics and what modules keep in memory are trimmed.
const TIDY: Duration = Duration::from_secs(5);

/// Everything an application is made of; cloning is cheap.
#[derive(Clone)]
pub struct AppParts {
    /// Store, clock, settings.
    pub kernel: Kernel,
    /// The capabilities.
    pub modules: Vec<Arc<dyn Module>>,
    /// What `GET /api/v1/edition` answers.
    pub edition: EditionInfo,
    /// The OpenAPI document.
    pub document: OpenApiDocument,
    /// Limits and metrics, shared by all workers.
    pub shell: web::Data<Shell>,
}

impl AppParts {
    /// The parts of this edition on `kernel`.
    #[must_use]
    pub fn new(kernel: Kernel) -> Self {
        let modules = composition::modules(&kernel);
        let edition = composition::edition(&modules);
        // On a thread of its own: what building the document takes, some megabytes, goes with the thread.
        let text = std::thread::scope(|scope| {
            let build = || serde_json::to_string(&aim_platform::openapi_of(&modules, &edition));
            scope.spawn(build).join()
        });
        let text = text.ok().and_then(Result::ok).unwrap_or_default();
        let shell = aim_platform::shell_state(&kernel, &modules);
        Self {
            kernel,
            modules,
            edition,
            document: OpenApiDocument(Arc::from(text)),
            shell,
        }
    }

    /// Registers state and routes.
    pub fn configure(&self, config: &mut web::ServiceConfig) {
        aim_platform::configure(
            config,
            &self.kernel,
            &self.modules,
            &self.shell,
            &self.edition,
            &self.document,
        );
    }

    /// The background work of this node.
    #[must_use]
    pub fn job_runner(&self) -> JobRunner {
        JobRunner::new(
            self.kernel.clone(),
            self.modules.iter().flat_map(|module| module.jobs()).collect(),
        )
    }

    /// Those who follow the log on this node.
    #[must_use]
    pub fn follow_runner(&self) -> FollowRunner {
        FollowRunner::new(
            self.kernel.clone(),
            self.modules
                .iter()
                .flat_map(|module| module.followers())
                .collect(),
        )
    }
}

/// The application: the shell around all routes.
pub fn app(
    parts: &AppParts,
) -> App<
    impl ServiceFactory<
        ServiceRequest,
        Config = (),
        Response = ServiceResponse<impl MessageBody + use<>>,
        Error = actix_web::Error,
        InitError = (),
    > + use<>,
> {
    let parts = parts.clone();
    App::new()
        .wrap(from_fn(survive_panics))
        .wrap(from_fn(aim_platform::shell::shell))
        .wrap(from_fn(crate::traces::request))
        .configure(move |config| parts.configure(config))
}

/// A panic in a handler is a failure of one request, and says no more than any other failure.
async fn survive_panics<B: MessageBody + 'static>(
    request: ServiceRequest,
    next: Next<B>,
) -> Result<ServiceResponse<B>, actix_web::Error> {
    AssertUnwindSafe(next.call(request))
        .catch_unwind()
        .await
        .unwrap_or_else(|_| Err(ApiError(Error::internal("a handler panicked")).into()))
}

/// Where and how to serve.
#[derive(Debug, Clone, Copy)]
pub struct ServeOptions {
    /// Address and port; port 0 takes a free one.
    pub address: SocketAddr,
    /// Threads; 0 is two for each core.
    pub workers: usize,
}

/// Serves until `stop` is resolved, then lets requests that have begun come to their end. Calls `ready`
/// with the real address once connections are accepted.
///
/// # Errors
/// When the address cannot be bound, or the jobs cannot be prepared.
pub async fn run_server(
    parts: AppParts,
    options: ServeOptions,
    stop: impl Future<Output = ()>,
    ready: impl FnOnce(SocketAddr),
) -> io::Result<()> {
    let runner = parts.job_runner();
    runner
        .prepare()
        .await
        .map_err(|error| io::Error::other(format!("{error:?}")))?;
    let following = parts.follow_runner();
    following
        .prepare()
        .await
        .map_err(|error| io::Error::other(format!("{error:?}")))?;
    let (shell, stopping) = (parts.shell.clone(), parts.kernel.stopping.clone());
    let server = HttpServer::new(move || app(&parts))
        .workers(workers(options.workers))
        .keep_alive(KEEP_ALIVE)
        .client_request_timeout(HEADER_PATIENCE)
        .shutdown_timeout(DRAINING)
        // SIGINT would end requests midway by default; `stop` lets them finish.
        .disable_signals();
    let server = server.bind(options.address)?;
    let address = server.addrs().first().copied().unwrap_or(options.address);
    let server = server.run();
    let handle = server.handle();
    let mut serving = rt::spawn(server);

    let (stop_background, stopped) = watch::channel(());
    let jobs = rt::spawn(runner.run_until(until_dropped(stopped.clone())));
    let following = rt::spawn(following.run_until(until_dropped(stopped.clone())));
    let tidying = rt::spawn(tidy(shell, until_dropped(stopped)));
    ready(address);

    let result = tokio::select! {
        () = stop => {
            tracing::info!("stopping: no new requests, those that have begun come to their end");
            // Answers without an end, such as the live feed, would be waited for in vain.
            stopping.begin();
            handle.stop(true).await;
            (&mut serving).await
        }
        ended = &mut serving => ended,
    };
    drop(stop_background);
    let _ = tokio::join!(jobs, following, tidying);
    result.map_err(io::Error::other)?
}

/// How many threads serve requests. One takes nothing over from another that is busy: with one for each core, a core has nothing
/// to do whenever its thread has not, while requests wait on the other.
fn workers(wanted: usize) -> usize {
    match wanted {
        0 => std::thread::available_parallelism().map_or(2, |cores| cores.get() * 2),
        wanted => wanted,
    }
}

/// Resolves when the sender is gone.
async fn until_dropped(mut stopped: watch::Receiver<()>) {
    while stopped.changed().await.is_ok() {}
}

async fn tidy(shell: web::Data<Shell>, stop: impl Future<Output = ()>) {
    tokio::pin!(stop);
    let mut tick = tokio::time::interval(TIDY);
    loop {
        tokio::select! {
            () = &mut stop => return,
            _ = tick.tick() => shell.tidy(),
        }
    }
}

/// Resolves at the first SIGTERM or SIGINT since it was called, awaited or not. A second one ends the process at once.
/// Called inside the runtime.
pub fn stop_signal() -> impl Future<Output = ()> + Send {
    use tokio::signal::unix::{SignalKind, signal};
    let signals = signal(SignalKind::terminate())
        .and_then(|terminate| Ok((terminate, signal(SignalKind::interrupt())?)));
    async move {
        let Ok((mut terminate, mut interrupt)) = signals else {
            tracing::warn!("signals cannot be received; only SIGKILL ends this process");
            return std::future::pending().await;
        };
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
        rt::spawn(async move {
            tokio::select! {
                _ = terminate.recv() => {}
                _ = interrupt.recv() => {}
            }
            std::process::exit(130);
        });
    }
}

#[cfg(test)]
mod tests {
    use actix_web::test;
    use aim_crypto::token::TokenPepper;
    use aim_platform::ServiceConfig;
    use aim_store::{COMMUNITY_MIGRATIONS, DatabaseConfig, Store};

    use super::*;
    use crate::{configuration::Settings, installation};

    struct Breaking;

    impl Module for Breaking {
        fn name(&self) -> &'static str {
            "breaking"
        }

        fn routes(&self, config: &mut ServiceConfig<'_>) {
            config.route("/breaks", web::get().to(breaks));
        }
    }

    async fn breaks() -> actix_web::HttpResponse {
        panic!("the details of a bug")
    }

    async fn parts(folder: &std::path::Path) -> AppParts {
        let url = format!("sqlite:{}", folder.join("aim.db").display());
        let store = Store::connect(
            &DatabaseConfig { url, connections: 2 },
            vec![COMMUNITY_MIGRATIONS],
        )
        .await
        .unwrap();
        let mut parts = AppParts::new(installation::kernel(
            store,
            &Settings::default(),
            TokenPepper::from_bytes([7; 32]),
        ));
        parts.modules.push(Arc::new(Breaking));
        parts
    }

    #[actix_web::test]
    async fn a_panic_in_a_handler_is_a_500_without_details_and_the_server_goes_on() {
        let home = tempfile::tempdir().unwrap();
        let parts = parts(home.path()).await;
        let (stop, stopped) = tokio::sync::oneshot::channel::<()>();
        let (announce, announced) = tokio::sync::oneshot::channel();
        let options = ServeOptions {
            address: "127.0.0.1:0".parse().unwrap(),
            workers: 1,
        };
        let server = rt::spawn(run_server(
            parts,
            options,
            async move { drop(stopped.await) },
            move |address| announce.send(address).unwrap(),
        ));
        let base = format!("http://{}", announced.await.unwrap());
        let client = aim_client::Client::builder().server(&base).build().unwrap();
        for _ in 0..3 {
            let get = client
                .prepare(reqwest::Method::GET, "/breaks", None::<&()>)
                .unwrap();
            let reply = client.send(get).await.unwrap();
            let body = String::from_utf8_lossy(&reply.body).into_owned();
            assert_eq!(reply.status, 500, "{body}");
            assert!(reply.request_id.is_some());
            assert!(
                body.contains("server.internal") && !body.contains("details of a bug"),
                "{body}"
            );
        }
        assert_eq!(
            client.edition().await.unwrap().edition,
            composition::edition_name()
        );
        drop(stop);
        server.await.unwrap().unwrap();
        assert!(
            client.edition().await.unwrap_err().is_uncertain(),
            "it still listens"
        );
    }

    #[actix_web::test]
    async fn the_application_answers_health_and_edition() {
        let home = tempfile::tempdir().unwrap();
        let service = test::init_service(app(&parts(home.path()).await)).await;
        for path in [
            "/health/live",
            "/health/ready",
            "/api/v1/edition",
            "/api/v1/openapi.json",
        ] {
            let request = test::TestRequest::get().uri(path).to_request();
            assert_eq!(
                test::call_service(&service, request).await.status(),
                200,
                "{path}"
            );
        }
    }
}
