//! Who may see what: every page of the console × nobody, each role, keys, agents and another tenant.

use aim_core::Role;
use aim_tests::{Answer, PageAddress, Prepared, Scene, TestApp};
use reqwest::Method;

/// What a browser sends when it goes to a page.
async fn look(app: &TestApp, target: &str, session: Option<&str>) -> Answer {
    let request = Prepared::new(Method::GET, target).header("accept", "text/html");
    let request = match session {
        Some(token) => request.header("cookie", &format!("aim_session={token}")),
        None => request,
    };
    app.send(&request).await
}

fn is_page(answer: &Answer) -> bool {
    answer
        .header("content-type")
        .is_some_and(|kind| kind.starts_with("text/html"))
}

#[tokio::test(flavor = "multi_thread")]
async fn every_page_is_shown_to_exactly_those_who_may_see_it() {
    for app in TestApp::on_each().await {
        let scene = Scene::new(&app).await;
        let pages = scene.pages().await;
        assert!(pages.len() > 10, "{pages:#?}");
        for page in &pages {
            check_strangers(&app, page).await;
            check_roles(&app, page).await;
            check_tenants(&app, page).await;
        }
    }
}

/// Whoever is not signed in is asked to be, and told nothing else.
async fn check_strangers(app: &TestApp, page: &PageAddress) {
    for session in [None, Some("aim_session_nonsense")] {
        let answer = look(app, &page.target, session).await;
        let said = format!(
            "{} for a stranger: {} {}",
            page.target, answer.status, answer.text
        );
        if page.permission.is_none() {
            assert!(matches!(answer.status, 200 | 303), "{said}");
            continue;
        }
        assert_eq!(answer.status, 303, "{said}");
        let place = answer.header("location").unwrap_or_default();
        assert!(place.starts_with("/sign-in?next=%2F"), "{said} {place}");
        if let Some(unknown) = &page.unknown {
            assert_eq!(look(app, unknown, session).await.status, 303, "{unknown}");
        }
    }
}

/// Each role sees what its permissions allow; keys and agents are no people.
async fn check_roles(app: &TestApp, page: &PageAddress) {
    let Some(permission) = page.permission else { return };
    for role in Role::ALL {
        let token = app.tenant().token(role).await;
        let answer = look(app, &page.target, Some(&token)).await;
        let said = format!("{} for {role:?}: {} {}", page.target, answer.status, answer.text);
        assert!(is_page(&answer), "{said}");
        if role >= permission.minimum {
            assert_eq!(answer.status, 200, "{said}");
        } else {
            assert_eq!(answer.status, 403, "{said}");
            assert!(answer.text.contains(permission.name), "{said}");
        }
        assert!(answer.header("content-security-policy").is_some(), "{said}");
    }
    let key = app.api_key(Role::Admin).await;
    let answer = key.get_as("text/html", &page.target).await;
    assert_eq!(answer.status, 403, "{} for a key: {}", page.target, answer.text);
}

/// Another tenant's thing reads as one that is not there.
async fn check_tenants(app: &TestApp, page: &PageAddress) {
    let (Some(unknown), Some(_)) = (&page.unknown, page.permission) else {
        return;
    };
    let foreign = app.other_tenant().await.token(Role::Admin).await;
    let theirs = look(app, &page.target, Some(&foreign)).await;
    let none = look(app, unknown, Some(&foreign)).await;
    assert_eq!(
        (theirs.status, none.status),
        (404, 404),
        "{}: {}",
        page.target,
        theirs.text
    );
    let plain = |answer: &Answer, target: &str| {
        let id = target.split('/').nth(2).unwrap_or_default().to_owned();
        answer.text_without_request_id().replace(&id, "…")
    };
    assert_eq!(
        plain(&theirs, &page.target),
        plain(&none, unknown),
        "{} can be told from one that is not there",
        page.target
    );
    for wrong in ["not-an-id", "%F0%9F%A6%80"] {
        let id = page.target.split('/').nth(2).unwrap_or_default();
        let answer = look(app, &page.target.replace(id, wrong), Some(&foreign)).await;
        assert_eq!(answer.status, 404, "{}: {}", page.target, answer.text);
    }
}
