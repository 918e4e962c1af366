//! Writing what was decided about a batch: together first, and row by row where the database refuses one.

use std::collections::{BTreeMap, HashMap};

use ring::digest;
use serde_json::json;
use uuid::Uuid;

use super::Engine;
use super::case::held_name;
use crate::domain::system_user::SystemUser;
use crate::plan::{Change, Operation, RoleChange};
use crate::store::changes::Author;
use crate::store::rows::Unit;
use crate::store::{Fault, StoreError, StoreResult, Transaction, changes, findings, roles, rows};

/// How a batch is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Care {
    /// All rows at once: fast, and in vain if the database refuses one.
    Together,
    /// Row by row. Where somebody else came in the way, the whole is repeated.
    Each,
    /// Row by row, for the last time: where somebody still comes in the way, the row is refused, too.
    Resigned,
}

/// A row to write, with the row that was locked where there is one.
pub(super) type Write = (Option<SystemUser>, Change);

/// What was written.
#[derive(Debug, Default)]
pub(super) struct Written {
    /// Those with columns that differ.
    pub changes: Vec<Change>,
    /// Users who waited for a name that is free now.
    pub woken: Vec<Uuid>,
    /// Rows that the database does not take, by their id.
    pub refused: HashMap<Uuid, Fault>,
}

impl Engine {
    /// Repeats a transaction with more and more care, as long as single rows are what is wrong with it.
    pub(super) async fn with_care<T, F>(&self, mut attempt: impl FnMut(Care) -> F) -> StoreResult<T>
    where
        F: Future<Output = StoreResult<T>>,
    {
        for care in [Care::Together, Care::Each] {
            match self.retry(|| attempt(care)).await {
                // What takes too long takes longer row by row: fewer at once are what helps.
                Err(StoreError::Refused(fault)) if !fault.is_slow() => {}
                result => return result,
            }
        }
        self.retry(|| attempt(Care::Resigned)).await
    }
}

/// Writes rows and roles. The rows' author signs their lines in the change log, `roles_by` those of the roles.
pub(super) async fn write(
    tx: &mut Transaction,
    name: &str,
    mut writes: Vec<Write>,
    given: &[RoleChange],
    author: Author<'_>,
    roles_by: &str,
    care: Care,
) -> StoreResult<Written> {
    let mut written = Written::default();
    for (before, change) in &mut writes {
        stamp(before.as_ref(), change, author);
    }
    if care == Care::Together {
        written.changes = write_together(tx, name, &writes, author).await?;
        let by = Author {
            actor: roles_by,
            ..author
        };
        roles::apply(tx, name, given, by).await?;
    } else {
        written.refused = write_each(tx, name, &writes, given, author, roles_by, care).await?;
        writes.retain(|(_, change)| !written.refused.contains_key(&change.after.systemuserid));
        written.changes = writes.iter().map(|(_, change)| change.clone()).collect();
    }
    let freed: Vec<String> = writes.iter().filter_map(freed_name).collect();
    written.woken = findings::wake_waiting(tx, name, &freed).await?;
    written.changes.retain(|change| !change.fields.is_empty());
    changes::note_enabled(tx, name, &written.changes.iter().collect::<Vec<_>>()).await?;
    Ok(written)
}

/// The key of a row's name, and its times: whatever the clocks of other writers said, they do not go back.
fn stamp(before: Option<&SystemUser>, change: &mut Change, author: Author<'_>) {
    let after = &mut change.after;
    after.upn_key = after.upn_key_after(before);
    match before {
        Some(before) if !change.fields.is_empty() => after.modifiedon = author.at.max(before.modifiedon),
        Some(_) => {}
        None => {
            after.createdon = author.at;
            after.modifiedon = author.at;
        }
    }
}

/// Writes a few rows that a person or an answer to one is about: all or nothing.
pub(super) async fn write_changes(
    tx: &mut Transaction,
    name: &str,
    writes: Vec<Write>,
    author: Author<'_>,
) -> StoreResult<()> {
    write(tx, name, writes, &[], author, author.actor, Care::Together).await?;
    Ok(())
}

/// In an order in which names can pass from row to row.
async fn write_together(
    tx: &mut Transaction,
    name: &str,
    writes: &[Write],
    author: Author<'_>,
) -> StoreResult<Vec<Change>> {
    let released: Vec<Uuid> = writes
        .iter()
        .filter(|write| freed_name(write).is_some())
        .map(|(_, change)| change.after.systemuserid)
        .collect();
    let written = || writes.iter().map(|(_, change)| change);
    let (new, known): (Vec<&Change>, Vec<&Change>) =
        written().partition(|change| change.operation == Operation::Create);
    let known: Vec<&SystemUser> = known.into_iter().map(|change| &change.after).collect();
    let new: Vec<&SystemUser> = new.into_iter().map(|change| &change.after).collect();
    rows::release_names(&mut *tx, name, &released).await?;
    rows::update(&mut *tx, name, &known).await?;
    rows::insert(&mut *tx, name, &new).await?;
    let logged: Vec<&Change> = written().filter(|change| !change.fields.is_empty()).collect();
    changes::record(&mut *tx, name, &logged, author).await?;
    Ok(written().cloned().collect())
}

/// Row by row; rows between which a name passes stand and fall together. Answers the refused rows.
async fn write_each(
    tx: &mut Transaction,
    name: &str,
    writes: &[Write],
    given: &[RoleChange],
    author: Author<'_>,
    roles_by: &str,
    care: Care,
) -> StoreResult<HashMap<Uuid, Fault>> {
    let units = units(writes, given);
    let mut refused = HashMap::new();
    for (at, fault) in rows::write_each(tx, name, &units, author, roles_by).await? {
        if care == Care::Each && fault.may_pass() {
            return Err(StoreError::Refused(fault));
        }
        let Some(unit) = units.get(at) else { continue };
        let rows = unit.changes.iter().map(|change| change.after.systemuserid);
        let rows = rows.chain(unit.roles.iter().map(|change| change.systemuserid));
        refused.extend(rows.map(|row| (row, fault.clone())));
    }
    Ok(refused)
}

/// What has to be written together: a row with its roles, and those to which its name passes.
fn units<'a>(writes: &'a [Write], given: &'a [RoleChange]) -> Vec<Unit<'a>> {
    let mut units: BTreeMap<usize, Unit<'a>> = BTreeMap::new();
    let mut unit_of_row: HashMap<Uuid, usize> = HashMap::new();
    for (write, unit) in writes.iter().zip(chains(&writes.iter().collect::<Vec<_>>())) {
        let row = write.1.after.systemuserid;
        unit_of_row.insert(row, unit);
        let unit = units.entry(unit).or_default();
        unit.released.extend(freed_name(write).map(|_| row));
        unit.changes.push(&write.1);
    }
    let mut next = writes.len();
    for change in given {
        let unit = *unit_of_row.entry(change.systemuserid).or_insert_with(|| {
            next += 1;
            next
        });
        units.entry(unit).or_default().roles.push(change);
    }
    units.into_values().collect()
}

/// Rows between which names pass have the same number.
pub(super) fn chains(writes: &[&Write]) -> Vec<usize> {
    let freed: HashMap<String, usize> = writes
        .iter()
        .enumerate()
        .filter_map(|(at, write)| Some((freed_name(write)?, at)))
        .collect();
    let mut chain_of: Vec<usize> = (0..writes.len()).collect();
    for (at, (before, change)) in writes.iter().enumerate() {
        let from = name_after(before.as_ref(), change).and_then(|name| freed.get(&name));
        if let Some(from) = from.filter(|from| chain_of[**from] != chain_of[at]) {
            let (one, other) = (chain_of[*from], chain_of[at]);
            for chain in chain_of.iter_mut().filter(|chain| **chain == other) {
                *chain = one;
            }
        }
    }
    chain_of
}

/// The name that a row gives up.
fn freed_name((before, change): &Write) -> Option<String> {
    let old = before.as_ref().and_then(held_name)?;
    (name_after(before.as_ref(), change).as_ref() != Some(&old)).then_some(old)
}

/// The name that a row will hold, stamped or not.
fn name_after(before: Option<&SystemUser>, change: &Change) -> Option<String> {
    change.after.upn_key_after(before)
}

/// What is about to be written of a row, as a hash: the same for the same values. When the row was looked at is no value.
pub(super) fn signature(change: Option<&Change>, roles: &[&RoleChange]) -> String {
    let fields = change.map(|change| {
        let fields = change.fields.iter().filter(|field| field.column != "azuredeletedon");
        let fields: Vec<_> = fields
            .map(|field| json!([field.column, field.old, field.new]))
            .collect();
        json!([change.operation.as_str(), fields, change.after.last_entitlement])
    });
    let mut roles: Vec<_> = roles
        .iter()
        .map(|change| (&change.role, change.provenance.as_str(), change.is_granted))
        .collect();
    roles.sort_unstable();
    hash(&json!([fields, roles]).to_string())
}

/// Enough of a hash to tell what is different.
pub(super) fn hash(text: &str) -> String {
    let hash = digest::digest(&digest::SHA256, text.as_bytes());
    let start = hash.as_ref().first_chunk().copied().unwrap_or_default();
    format!("{:032x}", u128::from_be_bytes(start))
}
