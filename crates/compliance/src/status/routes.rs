//! The compliance status over HTTP.

use actix_web::{get, web};
use aim_core::role::permission::ComplianceRead;
use aim_platform::{ApiResult, Authed, Problem, ServiceConfig};

use super::{model::ComplianceStatus, service::StatusService};

/// Registers the route.
pub(crate) fn register(config: &mut ServiceConfig<'_>, service: &StatusService) {
    config
        .app_data(web::Data::new(service.clone()))
        .service(get_compliance_status);
}

/// The checks, computed from what is recorded now: each says its rule, how it came out, and the objects
/// behind it. `not_evidenced` means that the data shows neither.
#[utoipa::path(tag = "compliance", responses(
    (status = 200, description = "The status", body = ComplianceStatus),
    (status = 401, description = "No credentials", body = Problem),
    (status = 403, description = "The permission is missing", body = Problem),
), security(("bearer" = [])))]
#[get("/api/v1/compliance/status")]
async fn get_compliance_status(
    authed: Authed<ComplianceRead>,
    service: web::Data<StatusService>,
) -> ApiResult<web::Json<ComplianceStatus>> {
    Ok(web::Json(service.status(&authed.ctx).await?))
}
