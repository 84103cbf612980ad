//! The paths as a tree: what lies directly below a prefix, folders and secrets.

use aim_core::{Ctx, OrganizationId, Result};
use aim_store::Db;

use super::{
    model::SecretSummary,
    past,
    service::{VaultService, refuse_agents},
};

/// How many entries a page of the tree has.
const PAGE: usize = 100;
/// How many rows are fetched at once.
const STEP: i64 = 25;
/// Up to how many secrets of a folder are counted.
const COUNTED: i64 = 100;

/// What lies directly below a prefix.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tree {
    /// Folders and secrets, by their paths.
    pub entries: Vec<Entry>,
    /// Behind which path to go on; none at the end.
    pub next: Option<String>,
}

/// A folder or a secret.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Entry {
    /// A folder.
    Folder(Folder),
    /// A secret.
    Secret(Box<SecretSummary>),
}

/// A step of paths that has secrets below it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Folder {
    /// Its last segment.
    pub name: String,
    /// What the paths below it begin with; it ends in a slash.
    pub prefix: String,
    /// How many secrets are below it, counted up to a hundred.
    pub secrets: i64,
    /// Whether there are more than were counted.
    pub more: bool,
}

impl Tree {
    /// Whether no secret lies directly there.
    #[must_use]
    pub fn has_only_folders(&self) -> bool {
        self.entries.iter().all(|entry| matches!(entry, Entry::Folder(_)))
    }
}

impl VaultService {
    /// What lies directly below `prefix`, which is empty or ends in a slash.
    ///
    /// # Errors
    /// The database's.
    pub async fn tree(&self, ctx: &Ctx, prefix: String, after: Option<String>) -> Result<Tree> {
        refuse_agents(ctx)?;
        let organization = ctx.organization;
        self.store
            .read(organization, move |db| below(db, organization, &prefix, after))
            .await
    }
}

fn below(
    db: &mut Db,
    organization: OrganizationId,
    prefix: &str,
    mut after: Option<String>,
) -> aim_store::Result<Tree> {
    let mut entries = Vec::new();
    loop {
        let rows = past::secrets(db, organization, prefix, after.as_deref(), None, STEP)?;
        if rows.is_empty() {
            return Ok(Tree { entries, next: None });
        }
        for row in rows {
            if entries.len() == PAGE {
                return Ok(Tree { entries, next: after });
            }
            let rest = row.path.strip_prefix(prefix).unwrap_or(&row.path);
            let Some((name, _)) = rest.split_once('/') else {
                after = Some(row.path.clone());
                entries.push(Entry::Secret(Box::new(SecretSummary::of(row))));
                continue;
            };
            let folder = format!("{prefix}{name}/");
            let found = past::secrets(db, organization, &folder, None, None, COUNTED + 1)?.len();
            let found = i64::try_from(found).unwrap_or(COUNTED);
            // No character of a path is as great as '~': the whole folder is passed over at once.
            after = Some(format!("{folder}~"));
            entries.push(Entry::Folder(Folder {
                name: name.to_owned(),
                secrets: found.min(COUNTED),
                more: found > COUNTED,
                prefix: folder,
            }));
            break;
        }
    }
}
