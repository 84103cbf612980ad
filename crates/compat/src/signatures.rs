//! The three signatures of the published SDKs: which bytes each covers, and whether they were signed.
//!
//! Pure functions over what was received. Whose key it is, whether the signature is fresh and whether it
//! was used before is decided elsewhere.

use std::borrow::Cow;

use aim_core::{AgentId, Timestamp};
use aim_crypto::{
    digest,
    keys::{PublicKey, signature_from_base64},
};
use percent_encoding::{AsciiSet, CONTROLS, percent_decode_str, utf8_percent_encode};
use serde_json::value::RawValue;

use crate::python_json::{self, NameOrder, PythonJsonError, Separators, push_string};

/// Why a signature was not accepted.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SignatureProblem {
    /// A part that the signature needs is not there.
    #[error("{0} is missing")]
    Missing(&'static str),
    /// A part cannot be read.
    #[error("{field}: {problem}")]
    Malformed {
        /// Which part.
        field: &'static str,
        /// What is wrong with it.
        problem: String,
    },
    /// The same thing is said in the names of both generations.
    #[error("{0} and {1} are the same thing in two spellings; send one of them")]
    TwoSpellings(&'static str, &'static str),
    /// The body cannot be rebuilt as it was signed.
    #[error("the body: {0}")]
    Body(#[from] PythonJsonError),
    /// It is not this key's signature over these bytes.
    #[error(
        "the signature does not fit; sign exactly what is sent, with the private half of the key that is named"
    )]
    Wrong,
}

impl SignatureProblem {
    /// The part at fault, where it is one.
    #[must_use]
    pub const fn field(&self) -> Option<&'static str> {
        match self {
            Self::Missing(field) | Self::Malformed { field, .. } | Self::TwoSpellings(field, _) => {
                Some(field)
            }
            Self::Body(_) | Self::Wrong => None,
        }
    }

    pub(crate) fn malformed(field: &'static str, problem: impl ToString) -> Self {
        Self::Malformed {
            field,
            problem: problem.to_string(),
        }
    }
}

/// The first 16 bytes of SHA-256 over scheme, agent and signature: what makes it usable only once. Over the
/// signature's bytes, not over their text, since a text has more than one spelling.
#[must_use]
pub fn once_digest(scheme: &str, agent: AgentId, signature: &[u8; 64]) -> [u8; 16] {
    let whole = digest::sha256_parts(&[scheme.as_bytes(), b"|", agent.uuid().as_bytes(), b"|", signature]);
    let mut short = [0; 16];
    short.copy_from_slice(whole.split_at(16).0);
    short
}

/// Unix seconds in decimal digits, as the SDKs write them.
///
/// # Errors
/// Names `field` when it is anything else.
pub fn unix_seconds(field: &'static str, text: &str) -> Result<Timestamp, SignatureProblem> {
    let wrong = || SignatureProblem::malformed(field, "not a time in whole Unix seconds");
    // No sign and no white space: one time has one spelling.
    if !text.bytes().all(|digit| digit.is_ascii_digit()) {
        return Err(wrong());
    }
    let seconds = text.parse().map_err(|_| wrong())?;
    chrono::DateTime::from_timestamp(seconds, 0)
        .map(Timestamp::new)
        .ok_or_else(wrong)
}

/// What the header signature covers: method, target, time, and the body if there is one, a line each.
#[must_use]
pub fn header_message(method: &str, target: &str, timestamp: &str, body: &[u8]) -> Vec<u8> {
    let mut message = format!("{method}\n{target}\n{timestamp}").into_bytes();
    if !body.is_empty() {
        message.push(b'\n');
        message.extend_from_slice(body);
    }
    message
}

/// Whether `signature` is `key`'s over this request as it was received, or as the SDK wrote its target
/// before its HTTP library encoded it.
///
/// # Errors
/// [`SignatureProblem::Wrong`].
pub fn verify_header(
    key: &PublicKey,
    (method, target): (&str, &str),
    timestamp: &str,
    body: &[u8],
    signature: &[u8; 64],
) -> Result<(), SignatureProblem> {
    let signed = |target: &str| {
        key.verify(&header_message(method, target, timestamp, body), signature)
            .is_ok()
    };
    if signed(target) || target_before_encoding(target).is_some_and(|target| signed(&target)) {
        Ok(())
    } else {
        Err(SignatureProblem::Wrong)
    }
}

/// What an HTTP library must encode in a target because it cannot stand there: white space, quotes,
/// brackets and all that is not ASCII. Nothing that separates the parts of a target.
const UNSENDABLE: &AsciiSet = &CONTROLS
    .add(b' ')
    .add(b'"')
    .add(b'<')
    .add(b'>')
    .add(b'\\')
    .add(b'^')
    .add(b'`')
    .add(b'{')
    .add(b'|')
    .add(b'}');

/// The target before an HTTP library encoded what cannot stand in one; `None` when there is no such form.
/// A target with an encoded separator (`%26`, `%2F`) has none: its decoded form would mean something else.
fn target_before_encoding(target: &str) -> Option<String> {
    let decoded = percent_decode_str(target).decode_utf8().ok()?;
    let reversible = !decoded.chars().any(char::is_control)
        && utf8_percent_encode(&decoded, UNSENDABLE).to_string() == target;
    (reversible && decoded != target).then(|| decoded.into_owned())
}

/// What the poll signature covers: `GET`, path, agent and time, a line each.
#[must_use]
pub fn poll_message(path: &str, agent: &str, timestamp: &str) -> Vec<u8> {
    format!("GET\n{path}\n{agent}\n{timestamp}").into_bytes()
}

/// The parts of a verification request's body that its own signature is about.
#[derive(Debug)]
pub struct SignedAction<'a> {
    /// The agent that the body names.
    pub agent: AgentId,
    /// The moment that was signed.
    pub signed_at: Timestamp,
    /// The key that the body names.
    pub public_key: PublicKey,
    /// The signature.
    pub signature: [u8; 64],
    /// Whether the body is in the older generation's spelling, which needs a header signature too.
    pub older: bool,
    // As received: the values whose Python form was signed.
    action: Option<&'a RawValue>,
    agent_id: &'a RawValue,
    context: Option<&'a RawValue>,
    resource: Option<&'a RawValue>,
    timestamp: &'a RawValue,
}

impl<'a> SignedAction<'a> {
    /// Finds the parts in a body, in the spelling of either generation.
    ///
    /// # Errors
    /// What is missing, malformed, or said twice.
    pub fn parse(body: &'a [u8]) -> Result<Self, SignatureProblem> {
        let members = Members(python_json::members(body)?);
        let (agent_id, older_agent) = members.either("agentId", "agent_id")?;
        let (public_key, older_key) = members.either("publicKey", "public_key")?;
        let (action, older_action) = members.either("capability", "action_type")?;
        let signature = members.text("signature", members.one("signature"))?;
        let public_key = members.text("publicKey", public_key)?;
        let agent = members.text("agentId", agent_id)?;
        let timestamp = members.one("timestamp");
        let signed_at = members.text("timestamp", timestamp)?;
        Ok(Self {
            agent: agent
                .parse()
                .map_err(|_| SignatureProblem::malformed("agentId", "not the id of an agent"))?,
            signed_at: Timestamp::parse(&signed_at).ok_or_else(|| {
                SignatureProblem::malformed("timestamp", "not a time such as 2026-11-23T10:00:00Z")
            })?,
            public_key: PublicKey::parse(&public_key)
                .map_err(|error| SignatureProblem::malformed("publicKey", error))?,
            signature: signature_from_base64(&signature)
                .map_err(|error| SignatureProblem::malformed("signature", error))?,
            older: older_agent || older_key || older_action,
            action,
            agent_id: agent_id.ok_or(SignatureProblem::Missing("agentId"))?,
            context: members.one("context"),
            resource: members.one("resource"),
            timestamp: timestamp.ok_or(SignatureProblem::Missing("timestamp"))?,
        })
    }

    /// Checks the signature with the key that the body names. Integer names of a Python dict sort by
    /// value; where the text order does not fit, that order is tried too.
    ///
    /// # Errors
    /// [`SignatureProblem::Wrong`], or what cannot be re-emitted.
    pub fn verify(&self) -> Result<(), SignatureProblem> {
        let by_text = self.message(NameOrder::CodePoint)?;
        if self
            .public_key
            .verify(by_text.as_bytes(), &self.signature)
            .is_ok()
        {
            return Ok(());
        }
        let by_value = self.message(NameOrder::IntegersByValue)?;
        if by_value != by_text
            && self
                .public_key
                .verify(by_value.as_bytes(), &self.signature)
                .is_ok()
        {
            return Ok(());
        }
        Err(SignatureProblem::Wrong)
    }

    /// The signed text: five members with names of their own, in their order.
    fn message(&self, order: NameOrder) -> Result<String, PythonJsonError> {
        let parts = [
            ("action_type", self.action, "null"),
            ("agent_id", Some(self.agent_id), "null"),
            ("context", self.context, "{}"),
            ("resource", self.resource, "null"),
            ("timestamp", Some(self.timestamp), "null"),
        ];
        let mut message = String::from("{");
        for (position, (name, raw, absent)) in parts.into_iter().enumerate() {
            if position > 0 {
                message.push_str(", ");
            }
            push_string(&mut message, name);
            message.push_str(": ");
            match raw {
                Some(raw) => message.push_str(&python_json::sorted(raw, Separators::Spaced, order)?),
                None => message.push_str(absent),
            }
        }
        message.push('}');
        Ok(message)
    }
}

/// The members of a body, as received.
struct Members<'a>(Vec<(Cow<'a, str>, &'a RawValue)>);

impl<'a> Members<'a> {
    fn one(&self, name: &str) -> Option<&'a RawValue> {
        self.0
            .iter()
            .find(|(found, _)| found == name)
            .map(|(_, raw)| *raw)
    }

    /// The member in whichever spelling, and whether that is the older one.
    fn either(
        &self,
        newer: &'static str,
        older: &'static str,
    ) -> Result<(Option<&'a RawValue>, bool), SignatureProblem> {
        match (self.one(newer), self.one(older)) {
            (Some(_), Some(_)) => Err(SignatureProblem::TwoSpellings(newer, older)),
            (Some(raw), None) => Ok((Some(raw), false)),
            (None, found) => Ok((found, found.is_some())),
        }
    }

    fn text(&self, field: &'static str, raw: Option<&'a RawValue>) -> Result<String, SignatureProblem> {
        let raw = raw.ok_or(SignatureProblem::Missing(field))?;
        serde_json::from_str(raw.get()).map_err(|_| SignatureProblem::malformed(field, "not a text"))
    }
}

#[cfg(test)]
#[path = "signatures_tests.rs"]
mod tests;
