//! The console's pages about accounts: coming in, one's own profile, users, organisation API keys, settings.
//! The pages of agents are beside the agents.

mod api_keys;
mod entrance;
mod profile;
mod settings;
mod users;

use aim_core::role::permission::{ApiKeysRead, OrganizationRead, UsersRead};
use aim_platform::console::{ConsoleRegistry, NavEntry, NavSection};

use crate::Identity;

/// Registers the pages.
pub(crate) fn register(console: &mut ConsoleRegistry, identity: &Identity) {
    let users = identity.users();
    console.viewer(move |ctx| {
        let users = users.clone();
        async move { users.viewer(&ctx).await }
    });
    console.public_page("/", entrance::start);
    console.public_page("/sign-in", entrance::sign_in);
    console.public_page("/set-up", entrance::set_up);
    console.page("/profile", profile::profile);
    console.page("/users", users::list);
    console.page("/users/{id}", users::one);
    console.page("/api-keys", api_keys::list);
    console.page("/settings", settings::settings);
    let section = NavSection::Administer;
    console.navigation(NavEntry::new::<UsersRead>(
        section, "Users", "/users", "users", 10,
    ));
    console.navigation(NavEntry::new::<ApiKeysRead>(
        section,
        "API keys",
        "/api-keys",
        "key",
        20,
    ));
    console.navigation(NavEntry::new::<OrganizationRead>(
        section,
        "Settings",
        "/settings",
        "settings",
        40,
    ));
}
