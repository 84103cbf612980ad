//! The secrets that an agent may know of: the action `secret:list` on a prefix, and then only those paths on which it may list
//! or read. Of what it may not know, nothing is told, not even that there is more.

use aim_audit::Entry;
use aim_core::{Code, Ctx, Cursor, DecisionId, Error, PageRequest, Result, Timestamp};
use aim_decision::CapabilityName;
use aim_platform::NonceClaim;
use aim_store::Db;
use aim_violations::verification::{ActionRequest, DecisionView, Foresight};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};
use utoipa::ToSchema;

use super::{
    kinds::SecretKind,
    model::SecretId,
    path::check_prefix,
    reads::READ_ACTION,
    service::VaultService,
    store::{self, SecretRow, Wanted},
};

/// The capability that a list takes.
pub const LIST_ACTION: &str = "secret:list";
/// How many rows are looked at in one query.
const AT_ONCE: i64 = 500;
/// How many rows are looked at for one answer.
const MOST_LOOKED_AT: usize = 20_000;

/// Which secrets an agent wants to know of.
#[derive(Debug, Clone, Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct ListRequest {
    /// What their paths begin with, such as `payments/`: the resource of the action. Absent: all, which takes a grant without
    /// resources.
    #[serde(default)]
    #[schema(example = "payments/")]
    pub prefix: Option<String>,
    /// How many, 1 to 100; 20 if absent.
    #[serde(default)]
    #[schema(minimum = 1, maximum = 100)]
    pub limit: Option<i64>,
    /// `next_cursor` of the page before.
    #[serde(default)]
    pub cursor: Option<String>,
    /// The arguments, for the constraints of grants.
    #[serde(default)]
    #[schema(value_type = Object)]
    pub context: Map<String, Value>,
    /// The decision of an earlier list that had to be approved by a person: this takes it up, once. The prefix is that of
    /// then, and there is no context.
    #[serde(default)]
    pub decision_id: Option<DecisionId>,
}

/// A decision, and the secrets if it was approved.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct ListReply {
    /// The decision, as the verified action answers it.
    pub decision: DecisionView,
    /// The secrets by their paths; absent unless it was approved.
    #[serde(flatten)]
    pub page: Option<ListedPage>,
}

/// A page of what an agent may know of.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct ListedPage {
    /// The secrets.
    pub secrets: Vec<ListedSecret>,
    /// The page's size.
    pub limit: i64,
    /// Where to go on; null on the last page.
    pub next_cursor: Option<String>,
    /// Whether all below the prefix was looked at, up to where the page ends. If not, name a longer prefix.
    pub complete: bool,
}

/// What an agent may know of a secret.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct ListedSecret {
    /// Its path.
    pub path: String,
    /// The kind of its newest version.
    pub kind: SecretKind,
    /// Its newest version.
    pub version: i64,
    /// From when on it is not handed over any more.
    pub expires_at: Option<Timestamp>,
    /// When it was last changed.
    pub updated_at: Timestamp,
    /// Whether the agent may read it now, as far as can be told without asking; a person may have to approve.
    pub readable: bool,
}

impl VaultService {
    /// Decides whether the agent may list the prefix and, if it may, answers the secrets below it that it may list or read.
    ///
    /// # Errors
    /// `request.field_invalid` at a field; `resource.state` for an approval that cannot be taken up any more; what the
    /// verified action refuses.
    pub async fn list_as_agent(
        &self,
        ctx: &Ctx,
        nonce: Option<NonceClaim>,
        scheme: &'static str,
        request: ListRequest,
    ) -> Result<ListReply> {
        let page = PageRequest::parse(request.limit, None, request.cursor.as_deref())?;
        let prefix = request.prefix.filter(|prefix| !prefix.is_empty());
        if let Some(prefix) = &prefix {
            check_prefix(prefix)?;
        }
        let decision = match request.decision_id {
            Some(id) => {
                self.take_up_list(ctx, nonce, id, prefix.clone(), &request.context)
                    .await?
            }
            None => {
                let action = ActionRequest {
                    action: LIST_ACTION.to_owned(),
                    resource: prefix.clone(),
                    context: request.context,
                    approval_requested: false,
                };
                self.verifications.verify(ctx, nonce, scheme, action).await?
            }
        };
        if decision.status != "approved" {
            return Ok(ListReply { decision, page: None });
        }
        let ctx = ctx.clone();
        let page = self
            .store
            .read(ctx.organization, move |db| {
                let eye = Eye::of(db, &ctx)?;
                listed(db, &ctx, &eye, prefix.as_deref(), &page)
            })
            .await?;
        Ok(ListReply {
            decision,
            page: Some(page),
        })
    }

    async fn take_up_list(
        &self,
        ctx: &Ctx,
        nonce: Option<NonceClaim>,
        id: DecisionId,
        prefix: Option<String>,
        context: &Map<String, Value>,
    ) -> Result<DecisionView> {
        if !context.is_empty() {
            let detail = "the arguments are those that were approved; send none";
            return Err(Error::field("context", detail));
        }
        let caller = ctx.clone();
        self.verifications
            .take_up(ctx, nonce, id, move |db, decision, _| {
                if decision.action != LIST_ACTION || decision.resource != prefix {
                    let detail = "that decision is about another action or prefix";
                    return Err(Error::field("decision_id", detail).into());
                }
                if !store::use_approval(db, caller.organization, id, caller.now)? {
                    let detail = "this approval was taken up before; ask anew";
                    return Err(Error::new(Code::StateConflict, detail).at("decision_id").into());
                }
                let entry = Entry::event(&caller, "secret.approval_used")
                    .agent(decision.agent_id)
                    .target("decision", id)
                    .facts(json!({"action": LIST_ACTION}))
                    .details(json!({"prefix": prefix}));
                aim_audit::append(db, vec![entry])?;
                Ok(())
            })
            .await
    }
}

/// What the agent may know of.
struct Eye {
    foresight: Foresight,
    list: CapabilityName,
    read: CapabilityName,
}

impl Eye {
    fn of(db: &mut Db, ctx: &Ctx) -> aim_store::Result<Self> {
        let name = |text: &str| CapabilityName::try_from(text.to_owned()).map_err(Error::internal);
        Ok(Self {
            foresight: Foresight::of(db, ctx)?,
            list: name(LIST_ACTION)?,
            read: name(READ_ACTION)?,
        })
    }

    fn sees(&self, row: SecretRow) -> Option<ListedSecret> {
        let readable = self.foresight.may(&self.read, &row.path);
        (readable || self.foresight.may(&self.list, &row.path)).then(|| ListedSecret {
            kind: SecretKind::parse(&row.kind).unwrap_or(SecretKind::Map),
            path: row.path,
            version: row.current_version,
            expires_at: row.expires_at,
            updated_at: row.updated_at,
            readable,
        })
    }
}

fn listed(
    db: &mut Db,
    ctx: &Ctx,
    eye: &Eye,
    prefix: Option<&str>,
    page: &PageRequest,
) -> aim_store::Result<ListedPage> {
    let limit = usize::try_from(page.limit).unwrap_or(0);
    let mut wanted = Wanted {
        prefix: prefix.map(str::to_owned),
        after: page
            .cursor
            .map(|cursor| goes_on_behind(db, ctx, eye, cursor))
            .transpose()?,
        limit: AT_ONCE,
        ..Wanted::default()
    };
    let (mut secrets, mut last, mut looked_at) = (Vec::with_capacity(limit), None, 0);
    loop {
        let rows = store::page(db, ctx.organization, &wanted)?;
        let ended = i64::try_from(rows.len()).unwrap_or(0) < AT_ONCE;
        looked_at += rows.len();
        wanted.after = rows.last().map(|row| row.path.clone());
        for row in rows {
            let id = row.id;
            let Some(secret) = eye.sees(row) else { continue };
            if secrets.len() == limit {
                // There is one more that the agent may know of.
                return Ok(page_of(secrets, page.limit, last, true));
            }
            secrets.push(secret);
            last = Some(id);
        }
        if ended {
            return Ok(page_of(secrets, page.limit, None, true));
        }
        if looked_at >= MOST_LOOKED_AT {
            return Ok(page_of(secrets, page.limit, last, false));
        }
    }
}

/// The cursor is the last secret that was shown, so that it tells nothing of others.
fn page_of(secrets: Vec<ListedSecret>, limit: i64, last: Option<SecretId>, complete: bool) -> ListedPage {
    ListedPage {
        secrets,
        limit,
        next_cursor: last.map(|id| Cursor(id.uuid()).encode()),
        complete,
    }
}

/// The path behind which a list goes on: of a secret that the agent may know of.
fn goes_on_behind(db: &mut Db, ctx: &Ctx, eye: &Eye, cursor: Cursor) -> aim_store::Result<String> {
    let path = store::path_of(db, ctx.organization, SecretId::from_uuid(cursor.0))?;
    let path = path.filter(|path| eye.foresight.may(&eye.read, path) || eye.foresight.may(&eye.list, path));
    path.ok_or_else(|| {
        let detail = "not a cursor of this list; leave it out to start at the top";
        Error::field("cursor", detail).into()
    })
}
