//! Activity over HTTP: extract, call, answer.

use actix_web::{get, web};
use aim_core::role::permission;
use aim_platform::{ApiResult, Authed, Problem, Query, ServiceConfig};

use super::{
    model::{Activity, ActivityQuery},
    service::ActivityService,
};

pub(crate) fn register(config: &mut ServiceConfig<'_>, service: &ActivityService) {
    config
        .app_data(web::Data::new(service.clone()))
        .service(get_activity);
}

/// How many decisions there were, by hour or by day, of an agent or of the organisation. It is at most a
/// second behind.
#[utoipa::path(
    tag = "monitoring",
    params(ActivityQuery),
    responses(
        (status = 200, description = "The series, without gaps", body = Activity),
        (status = 400, description = "The query string is malformed", body = Problem),
        (status = 401, description = "No valid credentials", body = Problem),
        (status = 403, description = "The permission events:read is missing", body = Problem),
        (status = 404, description = "No such agent", body = Problem),
        (status = 422, description = "A parameter is not accepted", body = Problem),
    ),
    security(("bearer" = []))
)]
#[get("/api/v1/activity")]
async fn get_activity(
    authed: Authed<permission::EventsRead>,
    query: Query<ActivityQuery>,
    service: web::Data<ActivityService>,
) -> ApiResult<web::Json<Activity>> {
    Ok(web::Json(service.activity(&authed.ctx, &query.0).await?))
}
