//! The page "Import": a file is looked at before it is written. The file is read by the browser and sent to the API.

use aim_platform::console::{ConsoleRegistry, PageResult, Viewing, ui};
use askama::Template;

use crate::vault::permission::SecretsWrite;

pub(in crate::vault) fn register(console: &mut ConsoleRegistry) {
    console.page("/secrets/import", import_page);
}

#[derive(Template)]
#[template(path = "vault/import.html")]
struct ImportPage;

async fn import_page(viewing: Viewing<SecretsWrite>) -> PageResult {
    viewing.page("Import secrets", &ImportPage)
}
