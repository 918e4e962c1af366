//! Writes the decisions about a batch: together first, and row by row if the database rejects one.

use std::collections::{BTreeMap, HashMap};

use ring::digest;
use serde_json::json;
use uuid::Uuid;

use crate::domain::system_user::SystemUser;
use crate::plan::{Change, Operation, RoleChange};
use crate::store::changes::Author;
use crate::store::rows::Unit;
use crate::store::{Fault, StoreError, StoreResult, Transaction, changes, findings, roles, rows};

/// How a batch is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::sync) enum WriteMode {
    /// All rows at once: fast, but fails as a whole if the database rejects one.
    Together,
    /// Row by row. On a conflict with another transaction, the whole is repeated.
    Each,
    /// Row by row, the last attempt: a row that still conflicts is refused.
    Resigned,
}

/// A row to write.
#[derive(Debug)]
pub(super) struct Write<'a> {
    /// The locked row, if there is one.
    pub before: Option<&'a SystemUser>,
    pub change: &'a mut Change,
}

/// What was written.
#[derive(Debug, Default)]
pub(super) struct Written {
    /// Users who waited for a name that is now free.
    pub woken: Vec<Uuid>,
    /// Rows that the database rejects, by their id.
    pub refused: HashMap<Uuid, Fault>,
}

/// Writes rows and roles. The rows' author signs their lines in the change log, `roles_by` those of the roles.
pub(super) async fn write(
    tx: &mut Transaction,
    name: &str,
    writes: &mut [Write<'_>],
    given: &[&RoleChange],
    author: Author<'_>,
    roles_by: &str,
    care: WriteMode,
) -> StoreResult<Written> {
    for write in writes.iter_mut() {
        write.stamp(author);
    }
    let refused = if care == WriteMode::Together {
        write_together(tx, name, writes, author).await?;
        let by = Author {
            actor: roles_by,
            ..author
        };
        roles::apply(tx, name, given, by).await?;
        HashMap::new()
    } else {
        write_each(tx, name, writes, given, author, roles_by, care).await?
    };
    let is_written = |write: &&Write<'_>| !refused.contains_key(&write.row());
    let freed: Vec<String> = writes.iter().filter(is_written).filter_map(Write::freed_name).collect();
    let woken = findings::wake_waiting(tx, name, &freed).await?;
    let written = writes.iter().filter(is_written).map(|write| &*write.change);
    changes::note_enabled(tx, name, written).await?;
    Ok(Written { woken, refused })
}

/// Writes rows that a person changes without an evaluation. Returns those that the database rejects.
pub(in crate::sync) async fn write_by_hand(
    tx: &mut Transaction,
    name: &str,
    mut changes: Vec<(Option<&SystemUser>, Change)>,
    author: Author<'_>,
    care: WriteMode,
) -> StoreResult<HashMap<Uuid, Fault>> {
    let writes = changes.iter_mut();
    let mut writes: Vec<Write<'_>> = writes
        .map(|(before, change)| Write {
            before: *before,
            change,
        })
        .collect();
    let written = write(tx, name, &mut writes, &[], author, author.actor, care).await?;
    Ok(written.refused)
}

impl Write<'_> {
    fn row(&self) -> Uuid {
        self.change.after.systemuserid
    }

    /// Sets the key of a row's name and its times. The times never go back, whatever the clocks of other writers say.
    fn stamp(&mut self, author: Author<'_>) {
        let changes_columns = !self.change.fields.is_empty();
        let after = &mut self.change.after;
        after.upn_key = after.upn_key_after(self.before);
        match self.before {
            Some(before) if changes_columns => after.modifiedon = author.at.max(before.modifiedon),
            Some(_) => {}
            None => {
                after.createdon = author.at;
                after.modifiedon = author.at;
            }
        }
    }

    /// The name that the row gives up.
    fn freed_name(&self) -> Option<String> {
        let old = self.before.and_then(|row| row.upn_key.as_ref())?;
        (self.name_after().as_ref() != Some(old)).then(|| old.clone())
    }

    /// The name that the row will have, stamped or not.
    fn name_after(&self) -> Option<String> {
        self.change.after.upn_key_after(self.before)
    }
}

/// Writes rows in an order in which names can pass from row to row.
async fn write_together(tx: &mut Transaction, name: &str, writes: &[Write<'_>], author: Author<'_>) -> StoreResult<()> {
    let gives_up = |write: &&Write<'_>| write.freed_name().is_some();
    let released: Vec<Uuid> = writes.iter().filter(gives_up).map(Write::row).collect();
    let (new, known): (Vec<&Change>, Vec<&Change>) = writes
        .iter()
        .map(|write| &*write.change)
        .partition(|change| change.operation == Operation::Create);
    let known: Vec<&SystemUser> = known.into_iter().map(|change| &change.after).collect();
    let new: Vec<&SystemUser> = new.into_iter().map(|change| &change.after).collect();
    rows::release_names(&mut *tx, name, &released).await?;
    rows::update(&mut *tx, name, &known).await?;
    rows::insert(&mut *tx, name, &new).await?;
    let changed = writes.iter().map(|write| &*write.change);
    let logged: Vec<&Change> = changed.filter(|change| !change.fields.is_empty()).collect();
    changes::record(&mut *tx, name, &logged, author).await
}

/// Writes row by row; rows that exchange a name succeed or fail together. Returns the refused rows.
async fn write_each(
    tx: &mut Transaction,
    name: &str,
    writes: &[Write<'_>],
    given: &[&RoleChange],
    author: Author<'_>,
    roles_by: &str,
    care: WriteMode,
) -> StoreResult<HashMap<Uuid, Fault>> {
    let units = units(writes, given);
    let mut refused = HashMap::new();
    for (at, fault) in rows::write_each(tx, name, &units, author, roles_by).await? {
        if care == WriteMode::Each && fault.may_pass() {
            return Err(StoreError::Refused(fault));
        }
        let Some(unit) = units.get(at) else { continue };
        let rows = unit.changes.iter().map(|change| change.after.systemuserid);
        let rows = rows.chain(unit.roles.iter().map(|change| change.systemuserid));
        refused.extend(rows.map(|row| (row, fault.clone())));
    }
    Ok(refused)
}

/// The units to write together: a row with its roles, and the rows to which its name passes.
fn units<'a>(writes: &'a [Write<'_>], given: &[&'a RoleChange]) -> Vec<Unit<'a>> {
    let mut units: BTreeMap<usize, Unit<'a>> = BTreeMap::new();
    let mut unit_of_row: HashMap<Uuid, usize> = HashMap::new();
    for (write, unit) in writes.iter().zip(chains(&writes.iter().collect::<Vec<_>>())) {
        unit_of_row.insert(write.row(), unit);
        let unit = units.entry(unit).or_default();
        unit.released.extend(write.freed_name().map(|_| write.row()));
        unit.changes.push(write.change);
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

/// Numbers the rows; rows that exchange names have the same number.
pub(super) fn chains(writes: &[&Write<'_>]) -> Vec<usize> {
    let freed: HashMap<String, usize> = writes
        .iter()
        .enumerate()
        .filter_map(|(at, write)| Some((write.freed_name()?, at)))
        .collect();
    let mut chain_of: Vec<usize> = (0..writes.len()).collect();
    for (at, write) in writes.iter().enumerate() {
        let from = write.name_after().and_then(|name| freed.get(&name));
        if let Some(from) = from.filter(|from| chain_of[**from] != chain_of[at]) {
            let (one, other) = (chain_of[*from], chain_of[at]);
            for chain in chain_of.iter_mut().filter(|chain| **chain == other) {
                *chain = one;
            }
        }
    }
    chain_of
}

/// A hash of what is about to be written of a row: equal for equal values. The time of the look-up is not included.
pub(super) fn signature(change: Option<&Change>, roles: &[RoleChange]) -> String {
    let fields = change.map(|change| {
        let fields = change.fields.iter().filter(|field| field.column != "azuredeletedon");
        let fields: Vec<_> = fields
            .map(|field| json!([field.column, field.old, field.new]))
            .collect();
        json!([
            change.operation.as_str(),
            fields,
            Option::<String>::from(change.after.last_entitlement)
        ])
    });
    let mut roles: Vec<_> = roles
        .iter()
        .map(|change| (&change.role, change.provenance.as_str(), change.is_granted))
        .collect();
    roles.sort_unstable();
    hash(&json!([fields, roles]).to_string())
}

/// A hash, shortened to a length that still tells differences.
pub(super) fn hash(text: &str) -> String {
    let hash = digest::digest(&digest::SHA256, text.as_bytes());
    let start = hash.as_ref().first_chunk().copied().unwrap_or_default();
    format!("{:032x}", u128::from_be_bytes(start))
}
