//! Whether an answer to malformed input is as it should be, and the account of those that are not.

use std::collections::BTreeMap;

use aim_client::Reply;
use serde_json::Value;
use uuid::Uuid;

/// What was found, by kind; each kind is told with a few examples.
#[derive(Default)]
pub struct Findings {
    sent: usize,
    accepted: usize,
    fields_blamed: usize,
    kinds: BTreeMap<String, Vec<String>>,
}

impl Findings {
    /// Takes down one finding.
    pub fn note(&mut self, kind: &str, example: String) {
        self.kinds.entry(kind.to_owned()).or_default().push(example);
    }

    /// Takes down what is wrong with these answers.
    pub fn of(&mut self, outcomes: Vec<Outcome>) {
        self.sent += outcomes.len();
        for outcome in outcomes {
            if let Ok(reply) = &outcome.reply {
                self.accepted += usize::from(reply.status < 300);
                self.fields_blamed += usize::from(reply.status == 422);
            }
            if let Some((kind, example)) = outcome.finding() {
                self.note(&kind, example);
            }
        }
    }

    /// Fails with everything that was found.
    pub fn report(self) {
        assert!(self.sent > 5_000, "only {} requests were sent", self.sent);
        // Were everything refused at the door, nothing would have been tried.
        assert!(
            self.accepted > 500,
            "only {} requests were accepted",
            self.accepted
        );
        assert!(
            self.fields_blamed > 2_000,
            "only {} bodies were read",
            self.fields_blamed
        );
        if self.kinds.is_empty() {
            return;
        }
        let mut text = format!("of {} requests:\n", self.sent);
        for (kind, examples) in &self.kinds {
            text += &format!("{} × {kind}\n", examples.len());
            for example in examples.iter().take(2) {
                text += &format!("    {example}\n");
            }
        }
        panic!("{text}");
    }
}

/// An answer, and what is known beforehand of what it must be.
pub struct Outcome {
    /// The request, in words.
    pub what: String,
    /// The status of the refusal, where it is certain.
    pub status: Option<u16>,
    /// The member for which it must be refused.
    pub field: Option<String>,
    /// The member to be named if it is refused.
    pub odd: Option<&'static str>,
    /// The answer.
    pub reply: aim_client::Result<Reply>,
}

impl Outcome {
    /// What is wrong with the answer, as a kind and an example.
    fn finding(self) -> Option<(String, String)> {
        let operation = self.what.split(" with ").next().unwrap_or_default().to_owned();
        let reply = match self.reply {
            Ok(reply) => reply,
            Err(error) => {
                return Some((
                    format!("{operation}: no answer"),
                    format!("{}: {error}", self.what),
                ));
            }
        };
        let body: Value = serde_json::from_slice(&reply.body).unwrap_or(Value::Null);
        let wrong = wrong_with(&reply, &body, self.status, self.field.as_deref())
            .or_else(|| self.odd.and_then(|odd| blames_another(&body, odd)))?;
        let mut answer = String::from_utf8_lossy(&reply.body).into_owned();
        answer.truncate(answer.floor_char_boundary(400));
        Some((
            format!("{operation}: {wrong}"),
            format!("{} → {} {answer}", self.what, reply.status),
        ))
    }
}

fn wrong_with(reply: &Reply, body: &Value, status: Option<u16>, field: Option<&str>) -> Option<&'static str> {
    if reply.status >= 500 {
        return Some("the server failed");
    }
    if reply.status < 400 {
        return status.or(field.map(|_| 422)).map(|_| "it was accepted");
    }
    // A denied action is a decision, not a problem; a denied read of a secret has it as a member.
    let decision = if body["decision"].is_object() {
        &body["decision"]
    } else {
        body
    };
    if reply.status == 403 && decision["status"] == "denied" && decision["id"].is_string() {
        return None;
    }
    let is_problem = body["status"] == reply.status
        && ["type", "title", "code", "remedy", "request_id"]
            .iter()
            .all(|name| body[name].is_string());
    if !is_problem {
        return Some("the refusal is no problem details");
    }
    if body["request_id"].as_str() != reply.request_id.as_deref() {
        return Some("the request's id in body and header differ");
    }
    if body["code"] == "request.field_invalid" && body["field"].as_str().is_none_or(str::is_empty) {
        return Some("a field is at fault, and it is not named");
    }
    if status.is_some_and(|status| ![status, 401, 403, 404].contains(&reply.status)) {
        return Some("the refusal has another status");
    }
    field
        .filter(|_| matches!(reply.status, 400 | 422))
        .and_then(|field| blames_another(body, field))
}

/// Whether a refusal of a field names neither this one nor something inside of it.
fn blames_another(body: &Value, field: &str) -> Option<&'static str> {
    if body["code"] != "request.field_invalid" {
        return None;
    }
    let blamed = body["field"].as_str().unwrap_or_default();
    let fits = blamed
        .strip_prefix(field)
        .is_some_and(|rest| rest.is_empty() || rest.starts_with(['.', '[']));
    (!fits).then_some("another field is blamed")
}

#[test]
fn the_judge_finds_what_is_wrong_with_an_answer() {
    let id = Uuid::nil().to_string();
    let judge = |status: u16, body: &str, expected: Option<u16>, field: Option<&str>| {
        let reply = Reply {
            status,
            request_id: Some(id.clone()),
            retry_after: None,
            body: body.replace("ID", &id).into_bytes(),
        };
        let body: Value = serde_json::from_slice(&reply.body).unwrap_or(Value::Null);
        wrong_with(&reply, &body, expected, field)
    };
    let problem = r#"{"type":"t","title":"t","code":"request.field_invalid","remedy":"r","request_id":"ID","status":422,"field":"name"}"#;
    assert_eq!(judge(422, problem, None, Some("name")), None);
    assert_eq!(judge(200, "{}", None, None), None);
    assert!(judge(200, "{}", Some(400), None).is_some());
    assert!(judge(503, problem, None, None).is_some());
    assert!(judge(400, "", None, None).is_some());
    assert!(
        judge(400, problem, None, None).is_some(),
        "another status in the body"
    );
    assert!(judge(422, problem, None, Some("tags")).is_some());
    assert!(judge(422, problem, Some(413), None).is_some());
    assert!(judge(422, &problem.replace(r#","field":"name""#, ""), None, None).is_some());
    assert!(judge(422, &problem.replace("ID", "another"), None, None).is_some());
}
