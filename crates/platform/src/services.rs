//! Where modules register their routes. The same registration makes the OpenAPI document and configures each worker;
//! the document takes megabytes to build, so only who asks for it pays.

use actix_web::{Route, dev::HttpServiceFactory, web};
use utoipa::openapi::{Components, OpenApi, Paths};
use utoipa_actix_web::OpenApiFactory;

/// Takes routes and state into an actix application, and their description where a document is made.
pub struct ServiceConfig<'s> {
    actix: &'s mut web::ServiceConfig,
    document: Option<&'s mut OpenApi>,
}

impl<'s> ServiceConfig<'s> {
    /// Takes routes and state, and describes nothing.
    pub const fn new(actix: &'s mut web::ServiceConfig) -> Self {
        Self {
            actix,
            document: None,
        }
    }

    /// Describes what it takes in `document`.
    pub const fn describing(actix: &'s mut web::ServiceConfig, document: &'s mut OpenApi) -> Self {
        Self {
            actix,
            document: Some(document),
        }
    }

    /// Takes a handler with its route.
    pub fn service<F: HttpServiceFactory + OpenApiFactory + 'static>(&mut self, factory: F) -> &mut Self {
        if let Some(document) = &mut self.document {
            let paths: Paths = factory.paths();
            document.paths.merge(paths);
            let mut schemas = Vec::new();
            factory.schemas(&mut schemas);
            document
                .components
                .get_or_insert_with(Components::new)
                .schemas
                .extend(schemas);
        }
        self.actix.service(factory);
        self
    }

    /// Takes a route that the document does not tell of.
    pub fn route(&mut self, path: &str, route: Route) -> &mut Self {
        self.actix.route(path, route);
        self
    }

    /// Takes state for handlers.
    pub fn app_data<U: 'static>(&mut self, data: U) -> &mut Self {
        self.actix.app_data(data);
        self
    }
}
