//! The audit log over HTTP: pages as JSON, the whole filtered set as CSV or NDJSON.

use actix_web::{HttpRequest, HttpResponse, get, web};
use aim_core::{Error, Result, role::permission};
use aim_platform::{ApiResult, Authed, Problem, Query, ServiceConfig};

use super::{
    model::{AuditEntry, AuditLine, AuditList, AuditQuery},
    service::AuditLogService,
};
use crate::export::{self, Format};

/// Registers the routes.
pub fn register(config: &mut ServiceConfig<'_>, service: &AuditLogService) {
    config.app_data(web::Data::new(service.clone()));
    config.service(list_audit_log);
}

/// What changed and what was decided, newest first. There is no `total`: use the cursor. With
/// `Accept: text/csv` or `application/x-ndjson` (or `format`) the whole filtered set as a file; a line of
/// NDJSON holds leaf, hash and link, so that it can be verified offline.
#[utoipa::path(tag = "audit", params(AuditQuery), responses(
    (status = 200, description = "A page, or the whole filtered set",
        content((AuditList = "application/json"), (String = "text/csv"), (AuditLine = "application/x-ndjson"))),
    (status = 401, description = "No credentials", body = Problem),
    (status = 403, description = "The permission is missing", body = Problem),
    (status = 422, description = "A parameter is not accepted", body = Problem),
), security(("bearer" = [])))]
#[get("/api/v1/audit-logs")]
async fn list_audit_log(
    authed: Authed<permission::AuditRead>,
    query: Query<AuditQuery>,
    request: HttpRequest,
    service: web::Data<AuditLogService>,
) -> ApiResult<HttpResponse> {
    let (ctx, query) = (authed.ctx, query.0);
    let filter = query.filter()?;
    let format = Format::wanted(
        &request,
        query.format.as_deref(),
        &[Format::Json, Format::Csv, Format::Ndjson],
    )?;
    if format == Format::Json {
        let page = query.page()?;
        return Ok(HttpResponse::Ok().json(service.list(&ctx, filter, page).await?));
    }
    let service = service.get_ref().clone();
    let answer = export::file(format, "audit-log", move |before| {
        let (service, ctx, filter) = (service.clone(), ctx.clone(), filter.clone());
        async move {
            let (rows, last) = service.piece(&ctx, filter, before).await?;
            let text = if format == Format::Csv {
                let mut text = if before.is_none() {
                    export::csv([AuditEntry::CSV_HEADER])?
                } else {
                    Vec::new()
                };
                text.append(&mut export::csv(
                    rows.into_iter().map(|row| AuditEntry::from(row).csv_record()),
                )?);
                text
            } else {
                lines(rows.into_iter().map(AuditLine::from))?
            };
            Ok((text, last))
        }
    });
    Ok(answer.await?)
}

fn lines(entries: impl Iterator<Item = AuditLine>) -> Result<Vec<u8>> {
    let mut text = Vec::new();
    for entry in entries {
        serde_json::to_writer(&mut text, &entry).map_err(Error::internal)?;
        text.push(b'\n');
    }
    Ok(text)
}
