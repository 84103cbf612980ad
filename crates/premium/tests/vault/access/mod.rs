//! The access audit: real decisions, a real follower, and what comes of them.

mod accesses;
mod anomalies;
mod honeytokens;
mod http;
mod review;

use aim_core::{Ctx, Role, Timestamp};
use aim_platform::{FollowRunner, Module};
use aim_premium::{
    access::{
        Access, AccessService, DETECTORS, Pace,
        model::{AccessQuery, AccessView},
    },
    vault::VaultService,
};
use aim_testkit::SeededAgent;
use aim_threats::{
    ThreatService,
    model::{FindingQuery, FindingView, PutPolicies},
};

use crate::bed::{Bed, Read};

/// The address that agents call from.
pub(crate) const HOME: &str = "198.51.100.7";

/// The audit of a bed.
pub(crate) struct Audit<'a> {
    pub(crate) bed: &'a Bed,
    pub(crate) service: AccessService,
    pub(crate) threats: ThreatService,
    runner: FollowRunner,
}

impl<'a> Audit<'a> {
    /// The follower starts with what the tables say, and hears of the reads of the bed's vault.
    pub(crate) async fn of(bed: &'a Bed) -> Self {
        Self::beside(bed, bed.vault.clone(), Pace::default()).await
    }

    /// As after a start, or on another node: the follower knows nothing but what the tables say. The index follows at once.
    pub(crate) async fn restarted(bed: &'a Bed) -> Self {
        let at_once = Pace {
            behind: 2,
            ..Pace::default()
        };
        Self::beside(bed, bed.restarted(), at_once).await
    }

    async fn beside(bed: &'a Bed, vault: VaultService, pace: Pace) -> Self {
        let access = Access::new(&bed.kernel, vault).at_pace(pace);
        let runner = FollowRunner::new(bed.kernel.clone(), access.followers());
        runner.prepare().await.unwrap();
        Self {
            bed,
            service: access.service(),
            threats: ThreatService::with(&bed.kernel, DETECTORS),
            runner,
        }
    }

    pub(crate) async fn catch_up(&self) {
        self.runner.catch_up().await.unwrap();
    }

    /// An agent at an address.
    pub(crate) fn ctx_of(&self, agent: &SeededAgent) -> Ctx {
        let mut ctx = self.bed.as_agent_of(self.bed.organization, agent);
        ctx.source_ip = Some(HOME.to_owned());
        ctx
    }

    /// A read by the bed's agent.
    pub(crate) async fn read(&self, path: &str) -> Read {
        self.read_by(&self.bed.agent, path).await
    }

    pub(crate) async fn read_by(&self, agent: &SeededAgent, path: &str) -> Read {
        let ctx = self.ctx_of(agent);
        self.bed.read_by(&self.bed.vault, &ctx, path, None).await.unwrap()
    }

    /// All accesses, newest first.
    pub(crate) async fn accesses(&self) -> Vec<AccessView> {
        self.catch_up().await;
        let query = AccessQuery {
            limit: Some("100".to_owned()),
            ..AccessQuery::default()
        };
        let list = self.service.list(&self.bed.manager(), &query).await.unwrap();
        list.accesses
    }

    /// All findings, newest first.
    pub(crate) async fn findings(&self) -> Vec<FindingView> {
        self.catch_up().await;
        let filter = FindingQuery::default().parse(DETECTORS).unwrap();
        let list = self
            .threats
            .list(&self.bed.as_role(Role::Viewer), filter)
            .await
            .unwrap();
        list.threats
    }

    /// The detectors of all findings with what they are about, sorted.
    pub(crate) async fn found(&self) -> Vec<(String, String)> {
        let mut found: Vec<_> = self
            .findings()
            .await
            .into_iter()
            .map(|finding| (finding.detector, finding.subject))
            .collect();
        found.sort();
        found
    }

    pub(crate) async fn set(&self, detector: &str, response: &str) {
        let put = PutPolicies {
            responses: [(detector.to_owned(), response.to_owned())].into(),
        };
        let admin = self.bed.as_role(Role::Admin);
        self.threats.put_policies(&admin, put).await.unwrap();
    }

    pub(crate) fn at(&self, text: &str) {
        self.bed.clock.set(Timestamp::parse(text).unwrap());
    }
}

/// Beds for an audit beside the vault, and for one that knows nothing but the tables.
pub(crate) async fn beds_of_both() -> Vec<(Bed, bool)> {
    let mut beds: Vec<_> = Bed::all().await.into_iter().map(|bed| (bed, false)).collect();
    beds.extend(Bed::all().await.into_iter().map(|bed| (bed, true)));
    beds
}

pub(crate) async fn audit_of((bed, is_restarted): &(Bed, bool)) -> Audit<'_> {
    if *is_restarted {
        Audit::restarted(bed).await
    } else {
        Audit::of(bed).await
    }
}

pub(crate) fn pair(detector: &str, subject: &str) -> (String, String) {
    (detector.to_owned(), subject.to_owned())
}
