//! What can be done with attestations: one transaction a use case, an audit record for each.

use aim_core::{Actor, AgentCredential, AgentId, Code, Ctx, Error, PageRequest, Result, Timestamp};
use aim_platform::{Kernel, NonceClaim, extract::replayed, standing};
use aim_store::Db;
use serde_json::json;

use super::{
    confidence::{COUNTS_FOR, Vote},
    model::{AttestationList, AttestationView, Attested, NewAttestation},
    store::{self, AttestationRow, Named, Standing},
};
use crate::servers::{
    McpServerId,
    store::{self as servers, ServerRow},
};

/// Takes and shows attestations.
#[derive(Clone)]
pub struct AttestationService {
    kernel: Kernel,
}

impl AttestationService {
    /// The use cases on this kernel's store.
    #[must_use]
    pub fn new(kernel: &Kernel) -> Self {
        Self {
            kernel: kernel.clone(),
        }
    }

    /// Takes an agent's word that the server offers just what its present manifest says. The signature is used up,
    /// agent and key are looked up, and the word is kept, in one transaction.
    ///
    /// # Errors
    /// `resource.not_found` where the agent is not connected to such a server; `resource.state` when another manifest
    /// counts, or the server is stopped; `auth.forbidden` for anybody but an agent with a key of its own.
    pub async fn attest(
        &self,
        ctx: &Ctx,
        server: McpServerId,
        new: NewAttestation,
        nonce: Option<NonceClaim>,
        scheme: &'static str,
    ) -> Result<Attested> {
        let (agent, fingerprint) = signer(ctx)?;
        new.check()?;
        let ctx = ctx.clone();
        self.kernel
            .store
            .write(ctx.organization, move |db| {
                standing::check(db, ctx.organization, &ctx.actor, ctx.now)?;
                if let Some(nonce) = &nonce
                    && !aim_store::nonces::claim(db, nonce.organization, &nonce.digest, nonce.expires_at)?
                {
                    return Err(replayed().into());
                }
                crate::servers::visible_to(db, &ctx, server)?;
                let row = servers::find(db, ctx.organization, server, true)?;
                current(&row, &new.manifest_digest)?;
                let before = store::find(db, ctx.organization, server, agent, row.manifest_version)?;
                let kept = AttestationRow {
                    org_id: ctx.organization,
                    server_id: server,
                    agent_id: agent,
                    manifest_version: row.manifest_version,
                    id: ctx.new_id(),
                    manifest_digest: new.manifest_digest.clone(),
                    fingerprint: Some(fingerprint.clone()),
                    scheme: scheme.to_owned(),
                    note: new.note.clone().filter(|note| !note.is_empty()),
                    first_attested_at: before.as_ref().map_or(ctx.now, |before| before.first_attested_at),
                    attested_at: ctx.now,
                    times: before.map_or(0, |before| before.times) + 1,
                };
                store::put(db, &kept)?;
                let standing = standing_of(db, &row, ctx.now)?;
                let entry = crate::servers::event(&ctx, "mcp_server.attested", &row)
                    .agent(agent)
                    .facts(json!({
                        "attestation_id": kept.id,
                        "manifest_version": kept.manifest_version,
                        "manifest_digest": kept.manifest_digest,
                        "fingerprint": kept.fingerprint,
                        "scheme": scheme,
                        "confidence": standing.confidence,
                    }))
                    .details(json!({ "name": row.name, "note": kept.note }));
                aim_audit::append(db, vec![entry])?;
                Ok(Attested {
                    id: kept.id,
                    manifest_version: kept.manifest_version,
                    manifest_digest: kept.manifest_digest,
                    confidence: standing.confidence,
                    attesting_agents: standing.agents,
                    attested_at: kept.attested_at,
                    expires_at: kept.attested_at + COUNTS_FOR,
                })
            })
            .await
    }

    /// A page of a server's attestations of all versions, the newest first.
    ///
    /// # Errors
    /// `resource.not_found`, or the database's.
    pub async fn list(&self, ctx: &Ctx, server: McpServerId, page: PageRequest) -> Result<AttestationList> {
        let ctx = ctx.clone();
        self.kernel
            .store
            .read(ctx.organization, move |db| {
                crate::servers::visible_to(db, &ctx, server)?;
                let row = servers::find(db, ctx.organization, server, false)?;
                let total = store::count(db, ctx.organization, server)?;
                let found = store::page(db, ctx.organization, server, &page)?;
                let (found, next_cursor) = page.cut(found, |(row, _, _)| row.id.uuid());
                let standing = standing_of(db, &row, ctx.now)?;
                Ok(AttestationList {
                    attestations: found
                        .into_iter()
                        .map(|named| seen(named, &row, ctx.now))
                        .collect(),
                    total,
                    limit: page.limit,
                    offset: page.offset,
                    next_cursor,
                    confidence: standing.confidence,
                    last_attested_at: standing.last_at,
                })
            })
            .await
    }
}

/// The agent that signed, and with which key. A key that was lent to somebody else proves nothing about who saw what.
fn signer(ctx: &Ctx) -> Result<(AgentId, String)> {
    match &ctx.actor {
        Actor::Agent {
            id,
            credential: AgentCredential::Key { fingerprint },
        } => Ok((*id, fingerprint.clone())),
        _ => Err(Error::new(
            Code::Forbidden,
            "only an agent can attest, with a request signed by its own key",
        )),
    }
}

/// Refuses what is not the present manifest of a server that may be attested.
fn current(row: &ServerRow, digest: &str) -> aim_store::Result<()> {
    let status = row.status()?;
    if !status.is_live() {
        let detail = format!("the server is {}, and is not attested", status.as_str());
        return Err(Error::new(Code::StateConflict, detail).into());
    }
    match row.manifest_digest.as_deref() {
        Some(present) if present == digest => Ok(()),
        Some(present) => Err(Error::new(
            Code::StateConflict,
            format!(
                "the manifest that counts is {present}; report the one that you see first, then attest it"
            ),
        )
        .at("manifest_digest")
        .into()),
        None => Err(Error::new(
            Code::StateConflict,
            "the server has no manifest yet; report the one that you see first, then attest it",
        )
        .at("manifest_digest")
        .into()),
    }
}

fn standing_of(db: &mut Db, row: &ServerRow, now: Timestamp) -> aim_store::Result<Standing> {
    let standings = store::standings(db, row.org_id, std::slice::from_ref(row), now)?;
    Ok(standings.get(&row.id).copied().unwrap_or_default())
}

fn seen((attestation, agent_name, agent_status): Named, row: &ServerRow, now: Timestamp) -> AttestationView {
    let vote = Vote {
        attested_at: attestation.attested_at,
    };
    let freshness = vote.freshness(now);
    let is_current = attestation.manifest_version == row.manifest_version;
    AttestationView {
        id: attestation.id,
        agent_id: attestation.agent_id,
        agent_name,
        manifest_version: attestation.manifest_version,
        manifest_digest: attestation.manifest_digest,
        is_current,
        counts: is_current && freshness > 0.0 && agent_status == "active",
        freshness: (freshness * 100.0).round() as i64,
        fingerprint: attestation.fingerprint,
        scheme: attestation.scheme,
        note: attestation.note,
        first_attested_at: attestation.first_attested_at,
        attested_at: attestation.attested_at,
        expires_at: attestation.attested_at + COUNTS_FOR,
        times: attestation.times,
    }
}
