//! Pushed changes over HTTP.

use actix_web::{HttpResponse, get, http::header, web};
use aim_platform::{ApiResult, AuthedOrAgent, Problem, ServiceConfig};

use super::{EDITION_MARKER, hub::Hub};
use crate::vault::permission::SecretsWrite;

pub(crate) fn register(config: &mut ServiceConfig<'_>, hub: &Hub) {
    config
        .app_data(web::Data::new(hub.clone()))
        .service(get_secret_changes);
}

/// Changes, as they happen, for an agent that keeps secrets in memory: server-sent events. `secret` names a secret that this
/// agent read within the last day or since it listens, and that was written, deleted, destroyed or rolled back; `revoked`: the
/// agent, its key, its trust, a grant of its reads or a policy changed, or the vault was sealed, so that nothing that it keeps
/// counts any more. `ready` comes first: what was kept from before may be out of date. A comment comes every 5 seconds; without one, nothing is known.
/// The last event is `ended`, `lagged` or `stopping`.
#[utoipa::path(
    tag = "vault",
    responses(
        (status = 200, description = "The events, without an end", content_type = "text/event-stream", body = String),
        (status = 401, description = "No valid signature, or one that was used before", body = Problem),
        (status = 403, description = "The caller is no agent that signed with its key, or is suspended", body = Problem),
        (status = 429, description = "This node has too many listeners", body = Problem),
    ),
    security(("signature" = [])),
    extensions(("x-aim-edition" = json!(EDITION_MARKER)))
)]
#[get("/api/v1/vault/changes")]
async fn get_secret_changes(
    // The permission is for nobody: people are told by the hub that this is for agents.
    caller: AuthedOrAgent<SecretsWrite>,
    hub: web::Data<Hub>,
) -> ApiResult<HttpResponse> {
    let listening = hub.listen(&caller.ctx).await?;
    Ok(HttpResponse::Ok()
        .content_type("text/event-stream")
        .insert_header((header::CACHE_CONTROL, "no-store"))
        // Proxies must not gather events up.
        .insert_header(("x-accel-buffering", "no"))
        .streaming(listening.into_stream()))
}
