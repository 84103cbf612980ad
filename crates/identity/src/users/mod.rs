//! Users: the people of an organisation, and their roles.

mod model;
pub(crate) mod routes;
mod service;
pub(crate) mod store;

pub use model::{NewUser, UpdateUser, UserList, UserStatus, UserView};
pub(crate) use model::{check_email, check_user_name};
pub use service::UserService;
