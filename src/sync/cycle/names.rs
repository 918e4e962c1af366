//! Folds the names that other programs wrote, at the start of each run. If two rows fold to one name, the second waits
//! for it, with a finding, and is retried in each run.

use std::collections::HashSet;

use uuid::Uuid;

use super::Cycle;
use super::part::RunInfo;
use crate::domain::directory_user::{FOLDING, name_key};
use crate::domain::reason::Code;
use crate::domain::system_user::SystemUser;
use crate::store::environments::{self, Progress};
use crate::store::findings::ObservedFinding;
use crate::store::names::{self, Clash, NameKeys, NamedRow};
use crate::store::{Keys, StoreResult, pending, rows};
use crate::sync::Failure;

const BATCH: i64 = 1000;

impl Cycle {
    /// Folds the queued names. After an upgrade, also names that an older version folded differently.
    pub(in crate::sync) async fn fold_names(
        &self,
        run: RunInfo<'_>,
        name: &str,
        progress: &Progress,
    ) -> Result<(), Failure> {
        if progress.folding < FOLDING {
            self.find_misfolded(run, name).await?;
        }
        let mut after = Uuid::nil();
        while let Some(last) = self.base.retry(|| self.fold_batch(run, name, after)).await? {
            self.base.check_cancelled()?;
            after = last;
        }
        Ok(())
    }

    /// Queues every row whose stored keys differ from those computed now.
    async fn find_misfolded(&self, run: RunInfo<'_>, name: &str) -> Result<(), Failure> {
        let mut after = Uuid::nil();
        loop {
            self.base.check_cancelled()?;
            let mut tx = self.base.begin(run.lease).await?;
            let found = names::next(&mut tx, name, after, BATCH).await?;
            let misfolded: Vec<Uuid> = found
                .iter()
                .filter(|row| is_misfolded(row))
                .map(|row| row.systemuserid)
                .collect();
            names::queue(&mut tx, name, &misfolded).await?;
            let last = found.last().map(|row| row.systemuserid);
            if last.is_none() {
                environments::note_folding(&mut tx, name, FOLDING).await?;
            }
            tx.commit().await?;
            match last {
                Some(last) => after = last,
                None => return Ok(()),
            }
        }
    }

    /// Folds the next names after `after`. Returns the last row, if there was one.
    async fn fold_batch(&self, run: RunInfo<'_>, name: &str, after: Uuid) -> StoreResult<Option<Uuid>> {
        let mut tx = self.base.begin(run.lease).await?;
        let queued = names::queued(&mut tx, name, after, BATCH).await?;
        let Some(last) = queued.last().copied() else {
            return Ok(None);
        };
        let mut found = rows::lock_by_ids(&mut tx, name, &queued).await?;
        found.sort_by_key(|row| (row.createdon, row.systemuserid));
        let wanted: Vec<String> = found.iter().filter_map(key_of).collect();
        let mut taken: HashSet<String> = names::held(&mut tx, name, &wanted).await?.into_iter().collect();
        let keys: Vec<NameKeys> = found.iter().map(|row| keys_of(row, &mut taken)).collect();

        let is_changed = |row: &&SystemUser, keys: &NameKeys| row.upn_key != keys.held;
        let changed = found.iter().zip(&keys).filter(|(row, keys)| is_changed(row, keys));
        let changed: Vec<&SystemUser> = changed.map(|(row, _)| row).collect();
        let released: Vec<Uuid> = changed.iter().map(|row| row.systemuserid).collect();
        let judged: Vec<Uuid> = changed
            .iter()
            .filter_map(|row| row.azureactivedirectoryobjectid)
            .collect();
        rows::release_names(&mut tx, &Keys::of(name, released)).await?;
        names::write(&mut tx, name, &keys).await?;
        let waits = |id: &Uuid| {
            let row = found.iter().zip(&keys).find(|(row, _)| row.systemuserid == *id);
            row.is_some_and(|(row, keys)| row.is_live() && keys.held.is_none() && keys.unheld.is_some())
        };
        let settled: Vec<Uuid> = queued.into_iter().filter(|id| !waits(id)).collect();
        names::settle(&mut tx, name, &settled).await?;
        pending::mark(&mut tx, &[name.to_owned()], &judged).await?;
        tx.commit().await?;
        Ok(Some(last))
    }
}

/// The key that a live row should have.
fn key_of(row: &SystemUser) -> Option<String> {
    row.domainname.as_deref().filter(|_| row.is_live()).and_then(name_key)
}

/// The keys of a row, given the keys already taken. Adds its own to them.
fn keys_of(row: &SystemUser, taken: &mut HashSet<String>) -> NameKeys {
    let wanted = key_of(row);
    let held = wanted.filter(|key| row.upn_key.as_ref() == Some(key) || taken.insert(key.clone()));
    let unheld = row.domainname.as_deref().filter(|_| held.is_none()).and_then(name_key);
    NameKeys {
        systemuserid: row.systemuserid,
        held,
        unheld,
    }
}

/// Whether a row's keys do not match its name. A row that waits for its name is correct as it is.
fn is_misfolded(row: &NamedRow) -> bool {
    let key = row.domainname.as_deref().and_then(name_key);
    let (held, unheld) = (row.upn_key.as_ref(), row.unheld_upn_key.as_ref());
    match key.as_ref() {
        None => held.or(unheld).is_some(),
        Some(key) if row.is_live => held != Some(key),
        Some(key) => held.is_some() || unheld != Some(key),
    }
}

/// The finding about a row that waits for its name.
pub(in crate::sync) fn clash(clash: Clash) -> ObservedFinding {
    let sentence = Code::UpnConflict.sentence();
    ObservedFinding {
        object_id: clash.object_id,
        code: Code::UpnConflict.as_str().to_owned(),
        subject: clash.key,
        detail: match clash.object_id {
            Some(_) => sentence.to_owned(),
            None => format!("{sentence} (row {})", clash.systemuserid),
        },
    }
}
