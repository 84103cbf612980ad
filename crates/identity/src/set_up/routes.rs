//! HTTP of set-up.

use actix_web::{HttpRequest, HttpResponse, post, web};
use aim_crypto::secret::SecretString;
use aim_platform::{Anyone, ApiResult, Body, Kernel, Problem, ServiceConfig};
use serde::Deserialize;
use utoipa::ToSchema;

use super::service::{FirstAdministrator, SetUpService};
use crate::sessions::routes::{SignedInAnswer, anonymous, answer, refuse_other_sites};

/// Registers the routes.
pub(crate) fn register(config: &mut ServiceConfig<'_>, service: &SetUpService) {
    config.app_data(web::Data::new(service.clone()));
    config.service(set_up_installation);
}

/// The first organisation and its administrator.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct SetUpRequest {
    /// The token that the server printed at its first start.
    #[schema(value_type = String, example = "aim_setup_…")]
    token: SecretString,
    /// The organisation's name: 1 to 128 characters.
    #[schema(example = "Example Ltd", max_length = 128)]
    organization: String,
    /// The administrator's e-mail address.
    #[schema(example = "ada@example.com", max_length = 254)]
    email: String,
    /// The administrator's password: 12 to 256 characters.
    #[schema(value_type = String, format = Password, min_length = 12, max_length = 256)]
    password: SecretString,
    /// The administrator's name.
    name: Option<String>,
}

/// Founds the organisation of a new installation and signs its administrator in.
#[utoipa::path(
    tag = "installation",
    request_body = SetUpRequest,
    responses(
        (status = 201, description = "A session of the administrator; also set as a cookie", body = SignedInAnswer),
        (status = 400, description = "The body is not valid JSON", body = Problem),
        (status = 401, description = "The token is wrong, used or expired", body = Problem),
        (status = 403, description = "The request was caused by another site", body = Problem),
        (status = 409, description = "The installation is set up already", body = Problem),
        (status = 422, description = "A field is not accepted", body = Problem),
    ),
)]
#[post("/api/v1/setup")]
async fn set_up_installation(
    anyone: Anyone,
    request: HttpRequest,
    body: Body<SetUpRequest>,
    kernel: web::Data<Kernel>,
    service: web::Data<SetUpService>,
) -> ApiResult<HttpResponse> {
    refuse_other_sites(&request)?;
    let SetUpRequest {
        token,
        organization,
        email,
        password,
        name,
    } = body.0;
    let first = FirstAdministrator {
        organization,
        email,
        name,
        password,
    };
    let signed_in = service.set_up(&anonymous(&anyone), &token, first).await?;
    Ok(answer(HttpResponse::Created(), &kernel, signed_in))
}
