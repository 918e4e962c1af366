//! What a person decides about removals that the guard holds.

use std::collections::BTreeSet;

use super::batch::{RunInfo, Scope};
use super::cycle::{held_subject, view};
use super::judge::Tally;
use super::pull::Pulled;
use super::{Counts, Engine, SyncError};
use crate::domain::environment::GroupNesting;
use crate::store::{checkpoints, findings, groups, removals};

/// What to do with a held set.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Decision {
    /// Carry it out.
    Approve,
    /// Leave the rows enabled until their cause changes.
    Reject,
}

impl Engine {
    /// Decides what a run holds, in all its environments or one. An approval applies exactly the held set, each
    /// row judged again at that moment: a row that qualifies again is dropped, none is ever added.
    ///
    /// # Errors
    /// [`SyncError::NothingHeld`] when the run holds nothing there; else when the database fails.
    pub async fn decide(
        &self,
        run_id: i64,
        environment: Option<&str>,
        decision: Decision,
        actor: &str,
    ) -> Result<Vec<Counts>, SyncError> {
        let now = self.clock.now();
        let open: Vec<String> = {
            let mut db = self.store.read().await?;
            removals::sets(&mut db, Some(run_id))
                .await?
                .into_iter()
                .filter(|set| set.decision.is_none() && set.expires_at > now)
                .filter(|set| environment.is_none_or(|name| name == set.environment))
                .map(|set| set.environment)
                .collect()
        };
        if open.is_empty() {
            return Err(SyncError::NothingHeld(run_id));
        }
        let known = self.known().await?;
        let run = RunInfo {
            lease: None,
            run_id,
            now,
            dry_run: false,
            actor,
        };
        let mut decided = Vec::new();
        for name in open {
            let mut tally = Tally::new(&name);
            let Some((environment, _)) = self.settings.environments.iter().find(|(known, _)| known.name == name) else {
                return Err(SyncError::UnknownEnvironment(name));
            };
            let ids = {
                let mut db = self.store.read().await?;
                removals::held_ids(&mut db, &name, run_id).await?
            };
            if decision == Decision::Approve {
                self.carry_out(&view(environment, &known), run, Scope::Approved, ids, &mut tally)
                    .await?;
            } else {
                tally.counts.held = ids.len() as u64;
            }
            let mut tx = self.begin(None).await?;
            let word = if decision == Decision::Approve {
                "approved"
            } else {
                "rejected"
            };
            let is_ours = removals::decide(&mut tx, &name, run_id, word, actor, run.now).await?;
            findings::close_subject(&mut tx, &name, findings::REMOVALS_HELD, &held_subject(run_id), run.now).await?;
            tx.commit().await?;
            // Two may decide at once: the set bears the name of one of them, and each is told what came of it.
            if is_ours {
                decided.push(tally.counts);
            }
        }
        if decided.is_empty() {
            return Err(SyncError::NothingHeld(run_id));
        }
        Ok(decided)
    }

    /// What the last runs found out about the sources, without asking Graph.
    ///
    /// # Errors
    /// When the database fails.
    pub(super) async fn known(&self) -> Result<Pulled, SyncError> {
        let mut db = self.store.read().await?;
        let mut pulled = Pulled {
            users_reached: true,
            ..Pulled::default()
        };
        for (environment, _) in &self.settings.environments {
            let Some(group) = environment.security_group else {
                continue;
            };
            let nested = match environment.group_nesting {
                GroupNesting::Ignore => Vec::new(),
                GroupNesting::OnDemand | GroupNesting::Full => groups::nested_groups(&mut db, group).await?,
            };
            for group in nested.iter().copied().chain([group]).collect::<BTreeSet<_>>() {
                let checkpoint = checkpoints::read(&mut db, &format!("group:{group}")).await?;
                if !checkpoint.readable || checkpoint.reached_at.is_none() {
                    pulled.unreadable_groups.insert(group);
                }
            }
            if !nested.is_empty() || !pulled.nested.contains_key(&group) {
                pulled.nested.insert(group, nested);
            }
        }
        let skus = checkpoints::read(&mut db, "skus").await?;
        pulled.tenant_marketing = self
            .settings
            .tenant_marketing
            .unwrap_or(skus.value == Some(true.into()));
        Ok(pulled)
    }
}
