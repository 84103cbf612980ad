//! The SDKs' routes: thin, and without rules of their own beyond what the wire forms need.

mod agents;
mod capabilities;
mod detections;
mod mcp_servers;
mod register;
mod reports;
mod verifications;

use actix_web::web;
use aim_platform::ServiceConfig;

use crate::Compat;

/// Registers the routes and what they use.
pub(crate) fn register(config: &mut ServiceConfig<'_>, compat: &Compat) {
    config.app_data(web::Data::new(compat.clone()));
    config.service(register::register_agent);
    config.service(agents::get_sdk_agent);
    config.service(verifications::post_sdk_verification);
    config.service(verifications::get_sdk_verification);
    config.service(reports::post_sdk_result);
    config.service(reports::post_sdk_execution_status);
    config.service(capabilities::post_sdk_capability_request);
    config.service(capabilities::list_sdk_capability_requests);
    config.service(capabilities::register_sdk_capability);
    config.service(mcp_servers::post_sdk_mcp_servers);
    config.service(mcp_servers::list_sdk_mcp_servers);
    config.service(mcp_servers::get_sdk_mcp_server_by_name);
    config.service(detections::report_sdk_detections);
    config.service(detections::report_detections);
    config.service(detections::get_detection_status);
}
