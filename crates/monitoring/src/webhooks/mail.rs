//! Sending mail through the server that the operator configured.

use std::time::Duration;

use aim_platform::{MailServer, SmtpSecurity};
use lettre::{
    AsyncSmtpTransport, AsyncTransport, Message, Tokio1Executor,
    message::header::ContentType,
    transport::smtp::{authentication::Credentials, client::Tls, client::TlsParameters},
};
use serde_json::Value;

/// How long the mail server may take.
const PATIENCE: Duration = Duration::from_secs(15);

/// Sends a mail that [`super::format`] made.
///
/// # Errors
/// What went wrong, in words that name no password.
pub(super) async fn send(server: &MailServer, to: &str, body: &str) -> Result<(), String> {
    let body: Value = serde_json::from_str(body).map_err(|error| error.to_string())?;
    let text = |name: &str| body.get(name).and_then(Value::as_str).unwrap_or_default();
    let from = server
        .from
        .parse()
        .map_err(|_| "smtp.from is no mail address".to_owned())?;
    let to = to
        .trim_start_matches("mailto:")
        .parse()
        .map_err(|_| "this is no mail address".to_owned())?;
    let message = Message::builder()
        .from(from)
        .to(to)
        .subject(text("subject"))
        // Nobody's out-of-office reply is wanted (RFC 3834 §5).
        .header(AutoSubmitted)
        .header(ContentType::TEXT_PLAIN)
        .body(text("text").to_owned())
        .map_err(|error| error.to_string())?;
    let transport = transport(server)?;
    transport
        .send(message)
        .await
        .map(|_| ())
        .map_err(|error| words_of(&error))
}

fn transport(server: &MailServer) -> Result<AsyncSmtpTransport<Tokio1Executor>, String> {
    let parameters = || TlsParameters::new(server.host.clone()).map_err(|error| error.to_string());
    let tls = match server.security {
        SmtpSecurity::Starttls => Tls::Required(parameters()?),
        SmtpSecurity::Tls => Tls::Wrapper(parameters()?),
        SmtpSecurity::None => Tls::None,
    };
    let mut builder = AsyncSmtpTransport::<Tokio1Executor>::builder_dangerous(&server.host)
        .port(server.port)
        .timeout(Some(PATIENCE))
        .tls(tls);
    if !server.user.is_empty() {
        builder = builder.credentials(Credentials::new(
            server.user.clone(),
            server.password.expose().to_owned(),
        ));
    }
    Ok(builder.build())
}

fn words_of(error: &lettre::transport::smtp::Error) -> String {
    let words = match error.status() {
        Some(code) => format!("the mail server answered {code}"),
        None if error.is_timeout() => format!("no answer within {} seconds", PATIENCE.as_secs()),
        None if error.is_tls() => "TLS to the mail server failed".to_owned(),
        None => "the mail server could not be reached".to_owned(),
    };
    tracing::debug!(?error, "a mail was not sent");
    words
}

/// `Auto-Submitted: auto-generated`.
#[derive(Clone)]
struct AutoSubmitted;

impl lettre::message::header::Header for AutoSubmitted {
    fn name() -> lettre::message::header::HeaderName {
        lettre::message::header::HeaderName::new_from_ascii_str("Auto-Submitted")
    }

    fn parse(_: &str) -> Result<Self, Box<dyn std::error::Error + Send + Sync>> {
        Ok(Self)
    }

    fn display(&self) -> lettre::message::header::HeaderValue {
        lettre::message::header::HeaderValue::new(Self::name(), "auto-generated".to_owned())
    }
}
