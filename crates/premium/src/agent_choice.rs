//! The agents of an organisation, for forms in which one of them is chosen.

use aim_core::{AgentId, Ctx, OrganizationId, Result};
use aim_platform::console::ui;
use aim_store::{Db, Store, each, schema::agents};
use diesel::{ExpressionMethods, QueryDsl, RunQueryDsl};

/// How many agents are offered.
const OFFERED: usize = 500;

/// Agents by their names.
pub(crate) struct AgentChoice(Vec<(AgentId, String)>);

impl AgentChoice {
    /// The agents that are not revoked; of very many the first.
    ///
    /// # Errors
    /// The database's.
    pub(crate) async fn load(store: &Store, ctx: &Ctx) -> Result<Self> {
        let organization = ctx.organization;
        let most = i64::try_from(OFFERED).unwrap_or(i64::MAX);
        let agents = store
            .read(organization, move |db| by_name(db, organization, most))
            .await?;
        Ok(Self(agents))
    }

    /// Whether there is none.
    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Whether there are more than are offered.
    pub(crate) fn is_cut(&self) -> bool {
        self.0.len() >= OFFERED
    }

    /// A choice with these agents behind the options that it has.
    pub(crate) fn options(&self, field: ui::Field) -> ui::Field {
        self.0
            .iter()
            .fold(field, |field, (id, name)| field.option(id, name))
    }

    /// A filter by agent, with what was chosen before; that stays chosen when it is none of these.
    pub(crate) fn filter(&self, chosen: &str) -> ui::Field {
        let field = ui::select("agent_id", "Agent").value(chosen).option("", "Any");
        let known = chosen.is_empty() || self.0.iter().any(|(id, _)| id.to_string() == chosen);
        let field = if known {
            field
        } else {
            field.option(chosen, "Another agent")
        };
        self.options(field)
    }
}

fn by_name(
    db: &mut Db,
    organization: OrganizationId,
    most: i64,
) -> aim_store::Result<Vec<(AgentId, String)>> {
    Ok(each!(db, c => agents::table
        .filter(agents::org_id.eq(organization))
        .filter(agents::deleted_at.is_null())
        .filter(agents::status.ne("revoked"))
        .order((agents::name, agents::id))
        .limit(most)
        .select((agents::id, agents::name))
        .load(c))?)
}
