//! The evidence of one violation: what was asked, what was granted, each reason in words, from where, and
//! what people made of it. The same part stands in the drawer of a list and on a page of its own.

use actix_web::web;
use aim_core::{
    Result, ViolationId,
    id::ViolationKind,
    role::permission::{ViolationsRead, ViolationsTriage},
};
use aim_decision::ReasonCode;
use aim_platform::{
    PathId,
    console::{Fragment, Frame, Names, PageResult, Panel, Viewed, Viewing, ui},
};
use askama::Template;

use super::rendered;
use crate::{
    VerificationService,
    verification::DecisionView,
    violations::{ViolationService, service::WithRepeats, triage::TriageState},
};

/// A reason in words, and what it is about.
pub(super) struct Why {
    code: String,
    words: String,
    subject: Option<String>,
}

/// What is known of one violation.
pub(super) struct Evidence {
    found: WithRepeats,
    decision: Panel<DecisionView>,
    names: Names,
    /// Whether what is done is done to all repeats.
    of_group: bool,
}

#[derive(Template)]
#[template(path = "violations/evidence.html")]
struct Part<'a> {
    frame: &'a Frame,
    evidence: &'a Evidence,
}

#[derive(Template)]
#[template(path = "violations/one.html")]
struct OnePage<'a> {
    frame: &'a Frame,
    evidence: &'a Evidence,
    content: Fragment,
}

/// Loads it; a decision that cannot be read leaves the rest.
pub(super) async fn load(
    viewed: &Viewed,
    id: ViolationId,
    of_group: bool,
    violations: &ViolationService,
    verifications: &VerificationService,
) -> Result<Evidence> {
    let found = violations.with_repeats(&viewed.ctx, id).await?;
    let decision = verifications.get(&viewed.ctx, found.violation.decision_id);
    let decision = Panel::load("The decision", viewed, decision).await;
    let said = [
        found.violation.triage.as_ref(),
        found.repeats.as_ref().and_then(|repeats| repeats.triage.as_ref()),
    ];
    let names = viewed
        .names(said.into_iter().flatten().map(|triage| triage.by.clone()))
        .await;
    Ok(Evidence {
        of_group: of_group && found.repeats.is_some(),
        found,
        decision,
        names,
    })
}

impl Evidence {
    /// The part, rendered.
    pub(super) fn part(&self, frame: &Frame) -> Result<Fragment> {
        rendered(&Part {
            frame,
            evidence: self,
        })
    }

    /// What it is called.
    pub(super) fn title(&self) -> String {
        format!("{} was denied", self.found.violation.attempted_capability)
    }

    /// How bad it is.
    pub(super) fn severity(&self) -> &str {
        &self.found.violation.severity
    }

    /// Each reason in words: as the decision recorded it, or as its code has it where that is gone.
    fn reasons(&self) -> Vec<Why> {
        if let Panel::Ready(decision) = &self.decision {
            let of = |reason: &aim_decision::Reason| Why {
                code: reason.code.slug().to_owned(),
                words: sentence(&reason.message),
                subject: reason.subject.clone(),
            };
            return decision.reasons.iter().map(of).collect();
        }
        let of = |code: &String| Why {
            words: words_of(code),
            code: code.clone(),
            subject: None,
        };
        self.found.violation.reason_codes.iter().map(of).collect()
    }

    /// What came with the call, if anything did.
    fn context(&self) -> Option<String> {
        let context = self.found.violation.request_metadata.get("context")?;
        let empty = context.as_object().is_none_or(serde_json::Map::is_empty);
        (!empty).then(|| serde_json::to_string_pretty(context).unwrap_or_default())
    }

    /// What the call said of its sender.
    fn user_agent(&self) -> Option<&str> {
        self.found.violation.request_metadata.get("user_agent")?.as_str()
    }

    /// The id of the call.
    fn request_id(&self) -> Option<&str> {
        self.found.violation.request_metadata.get("request_id")?.as_str()
    }

    /// What people made of it, or of all repeats.
    fn state(&self) -> TriageState {
        match &self.found.repeats {
            Some(repeats) if self.of_group => repeats.state,
            _ => self.found.violation.state,
        }
    }

    /// Who said so, when and why, as one sentence's parts: who, when, why.
    fn triage(&self) -> Option<&crate::violations::TriageView> {
        match &self.found.repeats {
            Some(repeats) if self.of_group => repeats.triage.as_ref(),
            _ => self.found.violation.triage.as_ref(),
        }
    }

    /// Whether there are repeats besides this one.
    fn repeated(&self) -> bool {
        self.found
            .repeats
            .as_ref()
            .is_some_and(|repeats| repeats.count > 1)
    }

    /// The route that does `verb` to it, or to all repeats.
    fn route(&self, verb: &str) -> String {
        if self.of_group {
            format!("POST /api/v1/violation-groups/{verb}")
        } else {
            format!("POST /api/v1/violations/{}/{verb}", self.found.violation.id)
        }
    }

    /// What names the repeats in a body; nothing for one violation.
    fn group(&self) -> Vec<(&'static str, String)> {
        let Some(repeats) = self.found.repeats.as_ref().filter(|_| self.of_group) else {
            return Vec::new();
        };
        vec![
            ("agent_id", repeats.agent_id.to_string()),
            ("attempted_capability", repeats.attempted_capability.clone()),
            ("reason_code", repeats.reason_code.clone()),
        ]
    }

    /// The latest violation that is seen here: later ones are not covered.
    fn through(&self) -> Option<String> {
        let repeats = self.found.repeats.as_ref().filter(|_| self.of_group)?;
        Some(repeats.last_violation_id.to_string())
    }

    /// The body of a button.
    fn body(&self, with_through: bool) -> String {
        let mut body = serde_json::Map::new();
        for (name, value) in self.group() {
            body.insert(name.to_owned(), value.into());
        }
        if let Some(through) = self.through().filter(|_| with_through) {
            body.insert("through".to_owned(), through.into());
        }
        serde_json::Value::Object(body).to_string()
    }
}

/// A reason in a few words, for a table.
pub(super) fn short(code: &str) -> String {
    match code {
        "capability.not_granted" => "Not granted".to_owned(),
        "capability.denied" => "Forbidden by a grant".to_owned(),
        "policy.denied" => "Forbidden by a policy".to_owned(),
        "credential.capability_not_included" => "Not in its credential".to_owned(),
        "credential.secret_not_included" => "Secret not in its credential".to_owned(),
        "credential.address_not_allowed" => "Used from elsewhere".to_owned(),
        "none" => "–".to_owned(),
        code => {
            let (noun, rest) = code.split_once('.').unwrap_or(("", code));
            ui::in_words(format!("{noun} {rest}").trim())
        }
    }
}

/// What a code means.
pub(super) fn words_of(code: &str) -> String {
    ReasonCode::all()
        .iter()
        .find(|known| known.slug() == code)
        .map_or_else(|| ui::in_words(code), |known| sentence(known.text()))
}

/// The words as HTML, with what stands between backticks as code.
fn marked(words: &str) -> Fragment {
    let parts = words.split('`').enumerate().map(|(index, part)| {
        let text = Fragment::text(part);
        if index % 2 == 1 {
            format!("<code>{text}</code>")
        } else {
            text.to_string()
        }
    });
    Fragment::trusted(parts.collect())
}

/// How an agent proved itself, in words.
fn proof_in_words(scheme: &str) -> String {
    match scheme {
        "rfc9421" => "HTTP message signature (RFC 9421)".to_owned(),
        scheme => ui::in_words(scheme),
    }
}

/// A text that begins and ends as a sentence does.
fn sentence(text: &str) -> String {
    let mut letters = text.chars();
    let first: String = letters.next().into_iter().flat_map(char::to_uppercase).collect();
    format!("{first}{}.", letters.as_str().trim_end_matches('.'))
}

/// `/violations/{id}`.
pub(super) async fn violation_page(
    viewing: Viewing<ViolationsRead>,
    id: PathId<ViolationKind>,
    violations: web::Data<ViolationService>,
    verifications: web::Data<VerificationService>,
) -> PageResult {
    let evidence = load(&viewing, id.0, false, &violations, &verifications).await?;
    let page = OnePage {
        frame: &viewing.frame,
        content: evidence.part(&viewing.frame)?,
        evidence: &evidence,
    };
    viewing.page(evidence.title(), &page)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_reason_reads_as_a_sentence_and_as_a_few_words() {
        for code in ReasonCode::all() {
            let words = words_of(code.slug());
            assert!(
                words.ends_with('.') && words.starts_with(char::is_uppercase),
                "{words}"
            );
            assert!(short(code.slug()).chars().count() < 32, "{}", short(code.slug()));
        }
        assert_eq!(marked("No `a<b` here").as_str(), "No <code>a&lt;b</code> here");
        assert_eq!(words_of("future.code"), "Future.code");
        assert_eq!(short("scope.rate_limit"), "Scope rate limit");
    }
}
