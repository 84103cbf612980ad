//! How approved actions ended. A freshly registered aim-sdk 2.x sends these reports without any credential,
//! so they are kept as what they are: unproven, first come, and of no weight.

use actix_web::{HttpResponse, post, web};
use aim_core::{Actor, Code, DecisionId, Timestamp, id::DecisionKind, role::permission};
use aim_platform::{Anyone, ApiError, ApiResult, AuthedOrAgent, Body, PathId, Problem};
use aim_violations::verification::ResultReport;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::{Compat, wire::cut};

/// The longest text of a report, in characters; the rest is cut off.
const LONGEST: usize = 2_000;

/// How an action ended, as the SDKs report it.
#[derive(Debug, Deserialize, ToSchema)]
pub(crate) struct SdkResult {
    /// `success` or `failure`.
    #[serde(default)]
    #[schema(example = "success")]
    result: Option<String>,
    /// The same as a truth value, as the SDK's MCP helper sends it.
    #[serde(default)]
    success: Option<bool>,
    /// What came out, in a few words.
    #[serde(default)]
    result_summary: Option<String>,
    /// What went wrong.
    #[serde(default)]
    error_message: Option<String>,
}

impl SdkResult {
    fn into_report(self) -> aim_core::Result<ResultReport> {
        let outcome = match (self.result.as_deref(), self.success) {
            (Some("success"), _) | (None, Some(true)) => "success",
            (Some("failure"), _) | (None, Some(false)) => "failure",
            _ => return Err(aim_core::Error::field("result", "result is success or failure")),
        };
        Ok(ResultReport {
            outcome: outcome.to_owned(),
            summary: cut(self.result_summary, LONGEST),
            error_message: cut(self.error_message, LONGEST),
        })
    }
}

/// Whether an action was carried out, as the SDK's `aim_verify` decorator reports it.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct SdkExecutionStatus {
    /// Whether the body of the function ran.
    executed: bool,
    /// What it raised.
    #[serde(default)]
    execution_error: Option<String>,
}

impl SdkExecutionStatus {
    fn into_report(self) -> ResultReport {
        let (outcome, summary) = match (self.executed, &self.execution_error) {
            (true, None) => ("success", "executed"),
            (true, Some(_)) => ("failure", "executed, and failed"),
            (false, _) => ("failure", "not executed"),
        };
        ResultReport {
            outcome: outcome.to_owned(),
            summary: Some(summary.to_owned()),
            error_message: cut(self.execution_error, LONGEST),
        }
    }
}

/// A report as it was kept.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct SdkResultKept {
    /// Always true; a report that is not kept is a problem.
    success: bool,
    /// The decision.
    id: DecisionId,
    /// `success` or `failure`.
    result: String,
    /// Whether the agent proved who it is when it reported.
    authenticated: bool,
    /// When it was reported.
    reported_at: Timestamp,
}

type Caller = Result<AuthedOrAgent<permission::AgentsWrite>, ApiError>;

/// The result of an approved action. The first report stays; without a credential it is marked as unproven.
#[utoipa::path(tag = "compat", params(("id" = String, Path, description = "The decision")), request_body = SdkResult, responses(
    (status = 201, description = "Kept", body = SdkResultKept),
    (status = 401, description = "A credential came along and is not valid", body = Problem),
    (status = 404, description = "Unknown, or another's", body = Problem),
    (status = 409, description = "Reported already, or not approved", body = Problem),
    (status = 422, description = "A field is not accepted", body = Problem),
), security((), ("signature" = []), ("bearer" = [])))]
#[post("/api/v1/sdk-api/verifications/{id}/result")]
pub(crate) async fn post_sdk_result(
    caller: Caller,
    anyone: Anyone,
    id: PathId<DecisionKind>,
    report: Body<SdkResult>,
    compat: web::Data<Compat>,
) -> ApiResult<HttpResponse> {
    keep(caller, &anyone, id.0, report.0.into_report()?, &compat).await
}

/// Whether the action was carried out. The first report of either kind stays.
#[utoipa::path(tag = "compat", params(("id" = String, Path, description = "The decision")), request_body = SdkExecutionStatus, responses(
    (status = 201, description = "Kept", body = SdkResultKept),
    (status = 401, description = "A credential came along and is not valid", body = Problem),
    (status = 404, description = "Unknown, or another's", body = Problem),
    (status = 409, description = "Reported already, or not approved", body = Problem),
    (status = 422, description = "A field is not accepted", body = Problem),
), security((), ("signature" = []), ("bearer" = [])))]
#[post("/api/v1/sdk-api/verifications/{id}/execution-status")]
pub(crate) async fn post_sdk_execution_status(
    caller: Caller,
    anyone: Anyone,
    id: PathId<DecisionKind>,
    report: Body<SdkExecutionStatus>,
    compat: web::Data<Compat>,
) -> ApiResult<HttpResponse> {
    keep(caller, &anyone, id.0, report.0.into_report(), &compat).await
}

async fn keep(
    caller: Caller,
    anyone: &Anyone,
    id: DecisionId,
    report: ResultReport,
    compat: &Compat,
) -> ApiResult<HttpResponse> {
    let kept = match caller {
        Ok(AuthedOrAgent { ctx, .. }) if matches!(ctx.actor, Actor::Agent { .. }) => {
            compat.verifications.report_result(&ctx, id, report).await?
        }
        // An organisation key proves the organisation, not that it was this agent that acted.
        Ok(AuthedOrAgent { ctx, .. }) => {
            compat.verifications.get(&ctx, id).await?;
            compat
                .verifications
                .report_untrusted_result(&ctx, id, report)
                .await?
        }
        // No credential at all. One that is not valid is refused rather than ignored.
        Err(ApiError(error)) if error.code == Code::CredentialsMissing => {
            compat
                .verifications
                .report_untrusted_result(&anyone.ctx, id, report)
                .await?
        }
        Err(error) => return Err(error),
    };
    Ok(HttpResponse::Created().json(SdkResultKept {
        success: true,
        id: kept.decision_id,
        result: kept.outcome,
        authenticated: kept.authenticated,
        reported_at: kept.reported_at,
    }))
}
