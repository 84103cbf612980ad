//! The scenes: an ordinary day, approvals, attacks, and keys that come and go.

use aim_client::{Action, AgentIdentity, Clock, Decision, Rotation, SigningKey, Status};
use aim_core::{Clock as _, SystemClock};
use chrono::Timelike;
use reqwest::Method;
use serde_json::{Value, json};

use super::{
    fleet,
    play::{Kind, Play, action, action_with},
};
use crate::cli::Failure;

const NO_BODY: Option<&()> = None;

/// Plays all scenes.
pub(super) async fn perform(play: &mut Play) -> Result<(), Failure> {
    let hour = SystemClock.now().hour();
    let at = |hours: u32| format!("{:02}:00", (hour + hours) % 24);
    fleet::hire_all(play, json!({"start": at(2), "end": at(3)})).await?;
    ordinary_day(play).await?;
    limits(play).await?;
    approvals(play).await?;
    new_capability(play).await?;
    attacks(play).await?;
    rotations(play).await?;
    emergencies(play).await
}

/// What agents do all day.
async fn ordinary_day(play: &mut Play) -> Result<(), Failure> {
    for ticket in ["tickets/eu/4711", "tickets/eu/4712"] {
        play.asks(
            "support-assistant",
            action("tickets:read", Some(ticket)),
            "approved",
        )
        .await?;
    }
    play.asks(
        "support-assistant",
        action("tickets:reply", Some("tickets/eu/4711")),
        "approved",
    )
    .await?;
    let read = play
        .asks(
            "invoice-reader",
            action("db:read", Some("customers/acme/orders")),
            "approved",
        )
        .await?;
    if let Some(read) = read {
        let client = play.agent("invoice-reader")?;
        let told = client
            .report_result(read.id, aim_client::Outcome::Success, Some("12 orders"))
            .await;
        play.happened("invoice-reader", "reports how it went", "done", told);
        let spying = play.agent("intern-bot")?.poll(read.id).await;
        play.happened(
            "intern-bot",
            "looks at another's decision",
            "refused: resource.not_found",
            spying,
        );
    }
    play.asks(
        "deploy-bot",
        action("deploy:staging", Some("services/tracking")),
        "approved",
    )
    .await?;
    play.asks(
        "code-reviewer",
        action("repo:comment", Some("repos/tracking/pulls/88")),
        "approved",
    )
    .await?;
    play.asks(
        "web-researcher",
        action("web:fetch", Some("https://handbook.example/returns")),
        "approved",
    )
    .await?;
    play.asks(
        "dock-robot",
        action("door:open", Some("warehouse-4/door-2")),
        "approved",
    )
    .await?;
    play.asks(
        "refund-clerk",
        action_with("payments:refund", Some("orders/9001"), "amount", json!(45)),
        "approved",
    )
    .await?;
    Ok(())
}

/// What the grants and policies do not cover.
async fn limits(play: &mut Play) -> Result<(), Failure> {
    play.asks(
        "support-assistant",
        action("tickets:reply", Some("tickets/us/17")),
        "denied: scope.resource",
    )
    .await?;
    play.asks(
        "support-assistant",
        action("tickets:delete", Some("tickets/eu/4711")),
        "denied: capability.not_granted",
    )
    .await?;
    play.asks(
        "invoice-reader",
        action("db:read", Some("customers/protected/jane")),
        "denied: capability.denied",
    )
    .await?;
    play.asks(
        "deploy-bot",
        action("deploy:production", Some("services/tracking")),
        "denied: policy.denied",
    )
    .await?;
    play.asks(
        "refund-clerk",
        action_with("payments:refund", Some("orders/9002"), "amount", json!(9000)),
        "denied: scope.context",
    )
    .await?;
    play.asks(
        "web-researcher",
        action("web:fetch", Some("https://handbook.example/%2e%2e/payroll")),
        "denied: resource.not_canonical",
    )
    .await?;
    play.asks(
        "night-backup",
        action("backup:run", Some("db/main")),
        "denied: scope.time_window",
    )
    .await?;
    for campaign in ["spring", "summer", "autumn"] {
        play.asks(
            "newsletter",
            action("mail:send", Some(&format!("campaigns/{campaign}"))),
            "approved",
        )
        .await?;
    }
    play.asks(
        "newsletter",
        action("mail:send", Some("campaigns/winter")),
        "denied: scope.rate_limit",
    )
    .await?;
    for _ in 0..2 {
        play.asks(
            "intern-bot",
            action("secrets:read", Some("vault/root")),
            "denied: capability.not_granted",
        )
        .await?;
    }
    Ok(())
}

/// Actions that a person decides.
async fn approvals(play: &mut Play) -> Result<(), Failure> {
    let refund =
        |order: &str, amount: u32| action_with("payments:refund", Some(order), "amount", json!(amount));
    let pending = "pending: grant.approval_required";
    let large = play
        .asks("refund-clerk", refund("orders/9003", 900), pending)
        .await?;
    review(play, "refund-clerk", large, true).await?;
    let larger = play
        .asks("refund-clerk", refund("orders/9004", 4800), pending)
        .await?;
    review(play, "refund-clerk", larger, false).await?;
    let careful = Action {
        approval_requested: true,
        ..action("deploy:staging", Some("services/billing"))
    };
    play.asks("deploy-bot", careful, "pending: approval.requested")
        .await?;
    Ok(())
}

/// A person decides, and the agent asks what came of it.
async fn review(
    play: &mut Play,
    name: &str,
    decision: Option<Decision>,
    approve: bool,
) -> Result<(), Failure> {
    let Some(decision) = decision else { return Ok(()) };
    let word = if approve { "approve" } else { "reject" };
    let body = json!({"digest": decision.more.get("request_digest"), "note": "seen in the demonstration"});
    let path = format!("/api/v1/verifications/{}/{word}", decision.id);
    let reviewed = play.manager.call::<Value>(Method::POST, &path, Some(&body)).await;
    play.happened("(a person)", &format!("{word}s it"), "done", reviewed);
    let polled = play.agent(name)?.poll(decision.id).await;
    let (expected, kind) = if approve {
        (Status::Approved, Kind::Approved)
    } else {
        (Status::Denied, Kind::Denied)
    };
    let got = polled.map_or_else(|error| error.to_string(), |decision| decision.status.to_string());
    play.note(name, "asks what came of it", &expected.to_string(), kind, got);
    Ok(())
}

/// An agent asks for a capability, and uses it once it is given.
async fn new_capability(play: &mut Play) -> Result<(), Failure> {
    let name = "code-reviewer";
    let push = || action("repo:push", Some("repos/tracking/branches/fix-88"));
    play.asks(name, push(), "denied: capability.not_granted").await?;
    let client = play.agent(name)?;
    let path = format!(
        "/api/v1/agents/{}/capability-requests",
        play.identity(name)?.agent_id
    );
    let wanted = json!({
        "capability": "repo:push",
        "scope": {"resources": ["repos/tracking/branches/*"]},
        "reason": "to push the corrections that reviewers asked for",
    });
    let asked = client.call::<Value>(Method::POST, &path, Some(&wanted)).await;
    let asked = play.happened(name, "asks for repo:push on branches", "done", asked);
    if let Some(request) = asked {
        let text = |field: &str| request.get(field).and_then(Value::as_str).unwrap_or_default();
        let path = format!("/api/v1/capability-requests/{}/approve", text("id"));
        let approval = json!({"digest": text("digest"), "note": "branches only"});
        let approved = play
            .manager
            .call::<Value>(Method::POST, &path, Some(&approval))
            .await;
        play.happened("(a person)", "approves exactly that", "done", approved);
    }
    play.asks(name, push(), "approved").await?;
    play.asks(
        name,
        action("repo:push", Some("repos/tracking/tags/v9")),
        "denied: scope.resource",
    )
    .await?;
    Ok(())
}

/// Requests that are not what they say.
async fn attacks(play: &mut Play) -> Result<(), Failure> {
    let name = "refund-clerk";
    let client = play.agent(name)?;
    let refund = action_with("payments:refund", Some("orders/9005"), "amount", json!(60));
    let prepare = || client.prepare(Method::POST, "/api/v1/verifications", Some(&refund));

    let request = prepare()?;
    play.sends(name, "refunds 60", request.clone(), "approved")
        .await?;
    play.sends(
        "(an eavesdropper)",
        "sends the same request again",
        request,
        "refused: auth.signature_replayed",
    )
    .await?;

    let mut altered = prepare()?;
    altered.body = String::from_utf8_lossy(&altered.body)
        .replace("60", "95")
        .into_bytes();
    play.sends(
        "(in between)",
        "changes the amount on the way",
        altered,
        "refused: auth.signature_invalid",
    )
    .await?;

    let mut forged = prepare()?;
    let thief = SigningKey::generate().map_err(aim_client::Error::from)?;
    forged.sign(&thief, SystemClock.now().timestamp())?;
    let victim = play.identity(name)?.fingerprint();
    let input = forged.header("signature-input").unwrap_or_default();
    let input = input.replace(thief.public().fingerprint().as_str(), victim.as_str());
    forged.set_header("signature-input", input);
    play.sends(
        "(a forger)",
        "signs in its name with another key",
        forged,
        "refused: auth.signature_invalid",
    )
    .await?;

    let mut unknown = prepare()?;
    unknown.sign(&thief, SystemClock.now().timestamp())?;
    play.sends(
        "(a stranger)",
        "signs with an unknown key",
        unknown,
        "refused: auth.signature_invalid",
    )
    .await?;

    for (what, seconds) in [
        ("sends a request signed 10 minutes ago", -600),
        ("signs for 10 minutes ahead", 600),
    ] {
        let clock = Clock::new(move || SystemClock.now().timestamp() + seconds);
        let client = client.with_clock(clock);
        play.asks_through(
            &client,
            name,
            what,
            refund.clone(),
            "refused: auth.signature_stale",
        )
        .await;
    }
    Ok(())
}

async fn rotate(play: &mut Play, name: &'static str, grace_hours: u32) -> Result<AgentIdentity, Failure> {
    let before = play.identity(name)?;
    let next = SigningKey::generate().map_err(aim_client::Error::from)?;
    let rotation = Rotation {
        reason: Some("routine".to_owned()),
        grace_hours: Some(grace_hours),
    };
    let rotated = play.agent(name)?.rotate(next, &rotation).await;
    let what = format!("rotates its key, grace {grace_hours} h");
    if let Some(after) = play.happened(name, &what, "done", rotated) {
        play.take_key(name, after);
    }
    Ok(before)
}

/// Keys come and go.
async fn rotations(play: &mut Play) -> Result<(), Failure> {
    let open = || action("door:open", Some("warehouse-4/door-7"));
    let old = rotate(play, "dock-robot", 24).await?;
    play.asks("dock-robot", open(), "approved").await?;
    let client = play.manager.as_agent(old);
    play.asks_through(
        &client,
        "dock-robot",
        "door:open, old key in its grace period",
        open(),
        "approved",
    )
    .await;

    let prepare = || action("payroll:prepare", Some("2026-11"));
    let old = rotate(play, "payroll", 0).await?;
    play.asks("payroll", prepare(), "approved").await?;
    let client = play.manager.as_agent(old);
    play.asks_through(
        &client,
        "payroll",
        "payroll:prepare, old key without grace",
        prepare(),
        "denied: key.grace_ended",
    )
    .await;
    Ok(())
}

/// What people do when something is wrong; each takes effect on the next request.
async fn emergencies(play: &mut Play) -> Result<(), Failure> {
    let plan = || action("routes:plan", Some("region-north"));
    play.asks("route-planner", plan(), "approved").await?;
    let path = format!("/api/v1/agents/{}", play.identity("route-planner")?.agent_id);
    let reason = json!({"reason": "the contractor reports a break-in"});
    let suspended = play
        .manager
        .call::<Value>(Method::POST, &format!("{path}/suspend"), Some(&reason))
        .await;
    play.happened("(a person)", "suspends route-planner", "done", suspended);
    play.asks("route-planner", plan(), "denied: agent.suspended")
        .await?;
    let again = play
        .manager
        .call::<Value>(Method::POST, &format!("{path}/reactivate"), NO_BODY)
        .await;
    play.happened("(a person)", "reactivates route-planner", "done", again);
    play.asks("route-planner", plan(), "approved").await?;

    let prices = || action("prices:read", Some("lanes/hamburg-oslo"));
    play.asks("price-watcher", prices(), "approved").await?;
    let path = format!(
        "/api/v1/agents/{}/key-vault/revoke",
        play.identity("price-watcher")?.agent_id
    );
    let reason = json!({"reason": "the key was found in a public repository"});
    let revoked = play
        .manager
        .call::<Value>(Method::POST, &path, Some(&reason))
        .await;
    play.happened("(a person)", "revokes price-watcher's key", "done", revoked);
    play.asks("price-watcher", prices(), "denied: key.revoked")
        .await?;
    Ok(())
}
