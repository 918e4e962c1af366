//! Before anything is pulled: what earlier runs left, what is due, and environments that this configuration lacks
//! (rules.md, section 11). Changes are not recorded for those, so they are evaluated in full when they return.

use std::collections::HashMap;

use chrono::{DateTime, Utc};
use tracing::warn;

use super::part::RunInfo;
use super::{Cycle, Refused};
use crate::domain::directory_user::FOLDING;
use crate::domain::doubt::Doubt;
use crate::domain::environment::Environment;
use crate::domain::feed::checkpoint::Input;
use crate::domain::field::{Field, Policy};
use crate::domain::run::LeftOver;
use crate::domain::source::Source;
use crate::store::environments::{self, Progress, Registration, Survey};
use crate::store::{
    Connection, Keys, StoreError, StoreResult, Transaction, checkpoints, findings, mirror, pending, quota, refusals,
    removals, rows,
};
use crate::sync::Failure;

impl Cycle {
    /// Sets aside environments that are not configured, before anything is pulled: they will miss its changes. Their
    /// held sets expire too.
    pub(super) async fn set_aside(
        &self,
        tx: &mut Transaction,
        run: RunInfo<'_>,
        left_over: &[LeftOver],
    ) -> StoreResult<()> {
        for left in left_over {
            warn!(
                environment = left.environment,
                enabled = left.enabled,
                held = left.held,
                "an environment is left over: configure it again, or take leave of it with `rollcall environment retire`"
            );
        }
        let away = environments::others(&mut *tx, &self.base.settings.names()).await?;
        environments::set_aside(&mut *tx, &away).await?;
        for name in &away {
            expire_sets(&mut *tx, name, run).await?;
        }
        findings::reconcile_left_over(tx, left_over, run.run_id, run.now).await
    }

    /// Handles what earlier runs left and what is due, before anything is pulled. Returns the environments whose writes
    /// the database rejects, with the message; the others continue.
    pub(super) async fn prepare(&self, run: RunInfo<'_>, full: bool) -> Result<Refused, Failure> {
        let mut refused = Refused::default();
        let surveys = {
            let mut db = self.base.store.read().await?;
            self.survey(&mut db, run).await?
        };
        for (environment, fingerprint) in &self.base.settings.environments {
            let name = &environment.name;
            if surveys.get(name).is_some_and(|survey| survey.is_prepared) {
                continue;
            }
            let prepared = self.prepare_environment(run, environment, fingerprint).await;
            let progress = refused.or_note(name, prepared)?;
            if environment.has_database && !run.dry_run && progress.is_some_and(|progress| !progress.is_set_up) {
                refused.or_note(name, self.set_up(run, name).await)?;
            }
        }
        if full {
            let mut tx = self.base.begin(run.lease).await?;
            checkpoints::verify_all(&mut tx).await?;
            environments::judge_everyone(&mut tx, &self.base.settings.names()).await?;
            tx.commit().await?;
        }
        Ok(refused)
    }

    async fn prepare_environment(
        &self,
        run: RunInfo<'_>,
        environment: &Environment,
        fingerprint: &str,
    ) -> Result<Progress, Failure> {
        let name = &environment.name;
        let progress = self.register(run, environment, fingerprint).await?;
        if !run.dry_run {
            self.fold_names(run, name, &progress).await?;
        }
        let mut tx = self.base.begin(run.lease).await?;
        removals::requeue_collected(&mut tx, name).await?;
        expire_sets(&mut tx, name, run).await?;
        pending::mark_due(&mut tx, name, run.now).await?;
        let is_due = progress.judged_at.is_some_and(|at| Some(at) <= self.due_before(run));
        if is_due && progress.judged_epoch == progress.epoch {
            environments::judge_everyone(&mut tx, std::slice::from_ref(name)).await?;
            // No later change of these users would show that they are readable now.
            let users = checkpoints::read(&mut tx, Source::Users).await?;
            if users.seen.missed || mirror::any_unreadable(&mut tx).await? {
                checkpoints::step(&mut tx, users, Input::RenewUnlessUnderWay).await?;
            }
        }
        tx.commit().await?;
        Ok(progress)
    }

    /// Creates the placeholder rows, once. The database may reject them like any other row: they then wait until
    /// everyone is evaluated again.
    async fn set_up(&self, run: RunInfo<'_>, name: &str) -> Result<(), Failure> {
        let made = self.base.retry(async || {
            let mut tx = self.base.begin(run.lease).await?;
            let known = refusals::of_placeholders(&mut tx, &[name.to_owned()]).await?;
            if known.values().any(|refused| refused.plan.is_some()) {
                return Ok(());
            }
            rows::insert_placeholders(&mut tx, name, run.now).await?;
            refusals::settle(&mut tx, &Keys::of(name, [refusals::PLACEHOLDERS])).await?;
            environments::note_set_up(&mut tx, name).await?;
            tx.commit().await
        });
        let fault = match made.await {
            Err(StoreError::Refused(fault)) => fault,
            other => return Ok(other?),
        };
        let refused = refusals::Refused {
            plan: Some("placeholders".to_owned()),
            detail: format!("The database does not take the placeholder rows: {fault}"),
        };
        warn!(
            environment = name,
            detail = refused.detail,
            "the placeholder rows cannot be written"
        );
        let mut tx = self.base.begin(run.lease).await?;
        refusals::note(&mut tx, &[(name, refusals::PLACEHOLDERS, refused)], run.now).await?;
        Ok(tx.commit().await?)
    }

    async fn register(
        &self,
        run: RunInfo<'_>,
        environment: &Environment,
        fingerprint: &str,
    ) -> Result<Progress, Failure> {
        let mut tx = self.base.begin(run.lease).await?;
        let progress = environments::register(&mut tx, &registration(environment, fingerprint)).await?;
        quota::set_cap(&mut tx, &environment.name, environment.non_interactive_cap).await?;
        tx.commit().await?;
        Ok(progress)
    }

    /// What there is to do in each environment; where there is nothing, nothing is asked of it alone.
    pub(super) async fn survey(&self, db: &mut Connection, run: RunInfo<'_>) -> StoreResult<HashMap<String, Survey>> {
        let environments = self.base.settings.environments.iter();
        let registrations = environments.map(|(environment, fingerprint)| registration(environment, fingerprint));
        let registrations: Vec<Registration> = registrations.collect();
        let due_before = self.due_before(run);
        environments::survey(db, &registrations, FOLDING, run.now, due_before).await
    }

    /// If everyone was last evaluated at this time or before, everyone is due.
    fn due_before(&self, run: RunInfo<'_>) -> Option<DateTime<Utc>> {
        let interval = chrono::Duration::from_std(self.base.settings.full_interval).ok()?;
        run.now.checked_sub_signed(interval)
    }
}

/// What the database has to know of an environment.
fn registration(environment: &Environment, fingerprint: &str) -> Registration {
    let fields = Field::ALL.map(|field| (field.column(), environment.policies.of(field)));
    let extra = environment.extra_fields.iter();
    let extra = extra.map(|field| (field.column.as_str(), field.policy));
    let until_edited = fields
        .into_iter()
        .chain(extra)
        .filter(|(_, policy)| *policy == Policy::UntilEdited);
    Registration {
        name: environment.name.clone(),
        kind: environment.kind.as_str(),
        has_database: environment.has_database,
        fingerprint: fingerprint.to_owned(),
        until_edited: until_edited.map(|(column, _)| column.to_owned()).collect(),
        cap: environment.non_interactive_cap,
        default_unit_key: environment
            .default_business_unit
            .as_ref()
            .map(|unit| unit.key().to_owned()),
    }
}

/// Expires the sets that no one decided in time; what was in doubt stays in doubt.
pub(super) async fn expire_sets(tx: &mut Transaction, name: &str, run: RunInfo<'_>) -> StoreResult<()> {
    let expired = removals::expire(&mut *tx, name, run.now).await?;
    for (set, _) in &expired {
        findings::close_subject(
            &mut *tx,
            name,
            findings::REMOVALS_HELD,
            &findings::held_subject(*set),
            run.now,
        )
        .await?;
    }
    let reasons: Vec<Doubt> = expired.into_iter().flat_map(|(_, why)| why).collect();
    checkpoints::doubt_again(tx, name, &reasons).await
}
