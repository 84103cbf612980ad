//! Who may do what: every operation of the served OpenAPI document × every kind of caller, from one table.
//!
//! A refusal is checked twice, for a thing that is there and for one that is not: both must read the same, or
//! a caller could find out what exists.

mod callers;
mod cases;
mod pages;
mod routes;

use std::collections::BTreeSet;

use aim_core::Role;
use aim_tests::{Answer, TestApp};
use serde_json::Value;

pub(crate) use self::routes::{Route, Who, premium_routes, routes};
use self::{
    callers::{Kind, World},
    cases::Case,
    routes::Expected,
};

const ADMINISTRATOR: Kind = Kind::User(Role::Admin);

#[tokio::test(flavor = "multi_thread")]
async fn every_route_admits_exactly_whom_the_table_says_on_sqlite() {
    walk(&TestApp::builder().start_on_sqlite().await).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn every_route_admits_exactly_whom_the_table_says_on_postgres() {
    if let Some(app) = TestApp::builder().start_on_postgres().await {
        walk(&app).await;
    }
}

async fn walk(app: &TestApp) {
    assert_table_is_complete(&app.document().await, app.is_premium());
    assert_table_fits_the_permissions(app);
    let world = World::new(app).await;
    for route in routes(app.is_premium()) {
        Walk {
            world: &world,
            route: &route,
        }
        .all()
        .await;
    }
    let audit = app.audit().await;
    assert!(audit.intact, "{audit:?}");
}

/// The table has a line for every operation of the document, and no other.
fn assert_table_is_complete(document: &Value, premium: bool) {
    let table = routes(premium);
    let listed: BTreeSet<(String, &str)> = table
        .iter()
        .map(|route| (route.method.as_str().to_lowercase(), route.path))
        .collect();
    assert_eq!(listed.len(), table.len(), "a route is listed twice");
    let paths = document["paths"].as_object().unwrap();
    let served: BTreeSet<(String, &str)> = paths
        .iter()
        .flat_map(|(path, item)| {
            let names = item.as_object().unwrap().keys();
            names
                .filter(|name| is_method(name))
                .map(|method| (method.clone(), path.as_str()))
        })
        .collect();
    let unlisted: Vec<_> = served.difference(&listed).collect();
    assert!(
        unlisted.is_empty(),
        "say in tests/it/matrix/routes.rs who may use {unlisted:#?}"
    );
    let gone: Vec<_> = listed.difference(&served).collect();
    assert!(gone.is_empty(), "the document lacks {gone:#?}");
}

fn is_method(name: &str) -> bool {
    [
        "get", "put", "post", "delete", "patch", "head", "options", "trace",
    ]
    .contains(&name)
}

/// The table speaks of permissions as the code has them.
fn assert_table_fits_the_permissions(app: &TestApp) {
    let mut known = aim_core::role::permission::COMMUNITY.to_vec();
    known.extend(app.parts.modules.iter().flat_map(|module| module.permissions()));
    for route in routes(app.is_premium()) {
        let Some(permission) = route.who.permission() else {
            continue;
        };
        let found = known.iter().find(|known| known.name == permission.name);
        assert_eq!(
            found.map(|found| found.minimum),
            Some(permission.minimum),
            "{}",
            permission.name
        );
    }
}

/// One route, and everybody who comes along.
struct Walk<'a> {
    world: &'a World<'a>,
    route: &'a Route,
}

impl Walk<'_> {
    async fn all(&self) {
        let shared = self.case(ADMINISTRATOR).await;
        for kind in Kind::ALL {
            // What succeeds may change what it is about: each gets a thing of its own.
            match self.route.expected(kind) {
                Expected::Success => self.check(kind, &self.case(kind).await).await,
                _ => self.check(kind, &shared).await,
            }
        }
        self.check_ids_that_are_none(&shared).await;
    }

    async fn case(&self, kind: Kind) -> Case<'_> {
        cases::prepare(self.world, self.route, kind).await
    }

    async fn check(&self, kind: Kind, case: &Case<'_>) {
        let answer = self.call(kind, case, &case.ids).await;
        let said = format!("{} for {kind:?}: {} {}", self.route, answer.status, answer.text);
        assert!(answer.header("x-request-id").is_some(), "{said}");
        match self.route.expected(kind) {
            Expected::Success => {
                assert_eq!(answer.status, self.route.success, "{said}");
                return;
            }
            Expected::Unauthenticated(code) => {
                assert_eq!(answer.status, 401, "{said}");
                assert!(answer.code().starts_with(code), "{said}");
                assert!(answer.header("www-authenticate").is_some(), "{said}");
            }
            Expected::Forbidden(permission) => {
                assert_eq!(
                    (answer.status, answer.code().as_str()),
                    (403, "auth.forbidden"),
                    "{said}"
                );
                if let Some(permission) = permission {
                    assert_eq!(answer.field(), permission, "{said}");
                    assert!(answer.member("detail").contains(permission), "{said}");
                }
            }
            Expected::NotFound => {
                assert_eq!(
                    (answer.status, answer.code().as_str()),
                    (404, "resource.not_found"),
                    "{said}"
                );
            }
        }
        self.check_unknown_ids(kind, case, &answer).await;
    }

    /// A refusal tells nothing about whether the thing is there.
    async fn check_unknown_ids(&self, kind: Kind, case: &Case<'_>, answer: &Answer) {
        if case.ids.is_empty() {
            return;
        }
        let other = self
            .call(
                kind,
                case,
                &case.ids.iter().map(|_| unknown_id()).collect::<Vec<_>>(),
            )
            .await;
        assert_eq!(
            (answer.status, answer.text_without_request_id()),
            (other.status, other.text_without_request_id()),
            "{}: {kind:?} can tell a real id from an unknown one",
            self.route,
        );
    }

    /// What is no id at all is answered as an unknown id is, to those who may use the route.
    async fn check_ids_that_are_none(&self, case: &Case<'_>) {
        if !self.route.has_ids() || self.route.expected(ADMINISTRATOR) != Expected::Success {
            return;
        }
        let mut texts = BTreeSet::new();
        for id in [unknown_id().as_str(), "not-an-id", "0", "%20", "%F0%9F%A6%80"] {
            let ids: Vec<String> = case.ids.iter().map(|_| id.to_owned()).collect();
            let answer = self.call(ADMINISTRATOR, case, &ids).await;
            assert_eq!(answer.status, 404, "{} with {id}: {}", self.route, answer.text);
            texts.insert(answer.text_without_request_id());
        }
        assert_eq!(texts.len(), 1, "{}: {texts:#?}", self.route);
    }

    async fn call(&self, kind: Kind, case: &Case<'_>, ids: &[String]) -> Answer {
        let caller = self.world.caller(kind, case).await;
        let answer = caller
            .send(
                self.route.method.clone(),
                &self.route.target(ids),
                case.body.as_ref(),
            )
            .await;
        if answer.status == self.route.success {
            self.world.undo(kind, self.route, &caller).await;
        }
        answer
    }
}

/// An id of the form of ours that nothing has.
fn unknown_id() -> String {
    aim_core::id::uuid_at(aim_testkit::start()).to_string()
}

#[tokio::test(flavor = "multi_thread")]
async fn paths_that_are_not_there_are_hidden_from_nobody_in_particular() {
    let app = TestApp::builder().start_on_sqlite().await;
    let agent = app.agent("reader", &[]).await;
    for path in [
        "/api/v1/no-such-path",
        "/api/v1/",
        "/api/v2/agents",
        "/api/v1/agents/x/no-such-part",
    ] {
        let nobody = app.anonymous().get(path).await;
        assert_eq!(
            (nobody.status, nobody.code().as_str()),
            (401, "auth.credentials_missing"),
            "{path}"
        );
        let liar = app.bearer("aim_live_nonsense").get(path).await;
        assert_eq!(
            (liar.status, liar.code().as_str()),
            (401, "auth.credentials_invalid"),
            "{path}"
        );
        let somebody = app.user(Role::Viewer).await.get(path).await;
        assert_eq!(
            (somebody.status, somebody.code().as_str()),
            (404, "resource.not_found"),
            "{path}"
        );
        let signed = agent.get(path).await;
        assert_eq!(
            (signed.status, signed.code().as_str()),
            (404, "resource.not_found"),
            "{path}"
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn health_and_metrics_need_no_credentials() {
    for app in TestApp::on_each().await {
        let nobody = app.anonymous();
        assert_eq!(nobody.get("/health/live").await.expect(200)["status"], "live");
        assert_eq!(nobody.get("/health/ready").await.expect(200)["status"], "ready");
        assert!(
            nobody
                .get("/metrics")
                .await
                .text
                .contains("aim_http_requests_total")
        );
    }
}
