//! HTTP of organisations.

use actix_web::{get, web};
use aim_core::role::permission::OrganizationRead;
use aim_platform::{ApiResult, Authed, Problem, ServiceConfig};

use super::service::{OrganizationService, OrganizationView};

/// Registers the routes.
pub(crate) fn register(config: &mut ServiceConfig<'_>, service: &OrganizationService) {
    config.app_data(web::Data::new(service.clone()));
    config.service(get_current_organization);
}

/// The caller's organisation.
#[utoipa::path(
    tag = "organizations",
    responses(
        (status = 200, description = "The organisation", body = OrganizationView),
        (status = 401, description = "No credentials", body = Problem),
        (status = 403, description = "The permission organization:read is missing", body = Problem),
    ),
    security(("bearer" = [])),
)]
#[get("/api/v1/organizations/current")]
async fn get_current_organization(
    authed: Authed<OrganizationRead>,
    service: web::Data<OrganizationService>,
) -> ApiResult<web::Json<OrganizationView>> {
    Ok(web::Json(service.current(&authed.ctx).await?))
}
