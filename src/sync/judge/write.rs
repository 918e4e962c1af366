//! Writes the decisions about a batch: together first, and row by row if the database rejects one.

use std::collections::{BTreeMap, HashMap, HashSet};

use ring::digest;
use serde_json::json;
use uuid::Uuid;

use crate::domain::system_user::SystemUser;
use crate::plan::{Change, Operation, RoleChange};
use crate::store::changes::Author;
use crate::store::rows::Unit;
use crate::store::{ByEnvironment, Fault, StoreError, StoreResult, Transaction, changes, findings, roles, rows};

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
    pub environment: &'a str,
    /// The locked row, if there is one.
    pub before: Option<&'a SystemUser>,
    pub change: &'a mut Change,
}

/// What was written.
#[derive(Debug, Default)]
pub(super) struct Written {
    /// Users who waited for a name that is now free.
    pub woken: ByEnvironment<Vec<Uuid>>,
    /// Rows that the database rejects, by environment and id.
    pub refused: HashMap<(String, Uuid), Fault>,
    /// Those of them of which the removal was written, and nothing else: the change is the removal alone.
    pub removed: HashSet<(String, Uuid)>,
}

/// Writes rows and roles. The rows' author signs their lines in the change log, `roles_by` those of the roles.
pub(super) async fn write(
    tx: &mut Transaction,
    writes: &mut [Write<'_>],
    given: &[(&str, &RoleChange)],
    author: Author<'_>,
    roles_by: &str,
    care: WriteMode,
) -> StoreResult<Written> {
    for write in writes.iter_mut() {
        write.stamp(author);
    }
    let mut removed = HashSet::new();
    let refused = if care == WriteMode::Together {
        write_together(tx, writes, author).await?;
        let by = Author {
            actor: roles_by,
            ..author
        };
        roles::apply(tx, given, by).await?;
        HashMap::new()
    } else {
        let refused = write_each(tx, writes, given, author, roles_by, care).await?;
        removed = write_removals(tx, writes, &refused, author).await?;
        refused
    };
    let is_written = |write: &&Write<'_>| !refused.contains_key(&write.key());
    let written: Vec<&Write<'_>> = writes.iter().filter(is_written).collect();
    let freed = written
        .iter()
        .filter_map(|write| Some((write.environment, write.freed_name()?)));
    let woken = findings::wake_waiting(tx, &freed.collect()).await?;
    changes::note_enabled(tx, written.iter().map(|write| &*write.change)).await?;
    Ok(Written {
        woken,
        refused,
        removed,
    })
}

/// Whoever must not sign in is disabled although the database rejects other columns of the row. Returns the rows whose
/// removal was written; their change is the removal alone from now on. A row that makes the database wait is left alone.
pub(super) async fn write_removals(
    tx: &mut Transaction,
    writes: &mut [Write<'_>],
    refused: &HashMap<(String, Uuid), Fault>,
    author: Author<'_>,
) -> StoreResult<HashSet<(String, Uuid)>> {
    let mut removals: Vec<(usize, Change)> = Vec::new();
    for (at, write) in writes.iter().enumerate() {
        let fault = refused.get(&write.key()).filter(|fault| !fault.is_slow());
        if let (Some(_), Some(before)) = (fault, write.before) {
            let removal = write.change.removal_alone(before);
            removals.extend(removal.map(|removal| (at, removal)));
        }
    }
    if removals.is_empty() {
        return Ok(HashSet::new());
    }
    let mut alone: Vec<Write<'_>> = removals
        .iter_mut()
        .map(|(at, change)| Write {
            environment: writes[*at].environment,
            before: writes[*at].before,
            change,
        })
        .collect();
    for write in &mut alone {
        write.stamp(author);
    }
    let still_refused = write_each(tx, &alone, &[], author, author.actor, WriteMode::Resigned).await?;
    let written = alone.iter().filter(|write| !still_refused.contains_key(&write.key()));
    changes::note_enabled(tx, written.map(|write| &*write.change)).await?;
    let mut removed = HashSet::new();
    for (at, change) in removals {
        let key = writes[at].key();
        if !still_refused.contains_key(&key) {
            *writes[at].change = change;
            removed.insert(key);
        }
    }
    Ok(removed)
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
            environment: name,
            before: *before,
            change,
        })
        .collect();
    let written = write(tx, &mut writes, &[], author, author.actor, care).await?;
    Ok(written
        .refused
        .into_iter()
        .map(|((_, row), fault)| (row, fault))
        .collect())
}

impl Write<'_> {
    fn row(&self) -> Uuid {
        self.change.after.systemuserid
    }

    fn key(&self) -> (String, Uuid) {
        (self.environment.to_owned(), self.row())
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
async fn write_together(tx: &mut Transaction, writes: &[Write<'_>], author: Author<'_>) -> StoreResult<()> {
    let gives_up = |write: &&Write<'_>| write.freed_name().is_some();
    let released = writes
        .iter()
        .filter(gives_up)
        .map(|write| (write.environment, write.row()));
    let (new, known): (Vec<&Change>, Vec<&Change>) = writes
        .iter()
        .map(|write| &*write.change)
        .partition(|change| change.operation == Operation::Create);
    let known: Vec<&SystemUser> = known.into_iter().map(|change| &change.after).collect();
    let new: Vec<&SystemUser> = new.into_iter().map(|change| &change.after).collect();
    rows::release_names(&mut *tx, &released.collect()).await?;
    rows::update(&mut *tx, &known).await?;
    rows::insert(&mut *tx, &new).await?;
    let all: Vec<&Change> = writes.iter().map(|write| &*write.change).collect();
    rows::write_extra(&mut *tx, &all).await?;
    let logged: Vec<&Change> = all.into_iter().filter(|change| !change.fields.is_empty()).collect();
    changes::record(&mut *tx, &logged, author).await
}

/// Writes row by row; rows that exchange a name succeed or fail together. Returns the refused rows.
async fn write_each(
    tx: &mut Transaction,
    writes: &[Write<'_>],
    given: &[(&str, &RoleChange)],
    author: Author<'_>,
    roles_by: &str,
    care: WriteMode,
) -> StoreResult<HashMap<(String, Uuid), Fault>> {
    let mut refused = HashMap::new();
    for (name, units) in units(writes, given) {
        for (at, fault) in rows::write_each(tx, name, &units, author, roles_by).await? {
            if care == WriteMode::Each && fault.may_pass() {
                return Err(StoreError::Refused(fault));
            }
            let Some(unit) = units.get(at) else { continue };
            let rows = unit.changes.iter().map(|change| change.after.systemuserid);
            let rows = rows.chain(unit.roles.iter().map(|change| change.systemuserid));
            refused.extend(rows.map(|row| ((name.to_owned(), row), fault.clone())));
        }
    }
    Ok(refused)
}

/// The units to write together, by environment: a row with its roles, and the rows to which its name passes.
fn units<'a>(writes: &'a [Write<'_>], given: &[(&'a str, &'a RoleChange)]) -> BTreeMap<&'a str, Vec<Unit<'a>>> {
    let mut units: BTreeMap<(&str, usize), Unit<'a>> = BTreeMap::new();
    let mut unit_of_row: HashMap<(&str, Uuid), usize> = HashMap::new();
    for (write, unit) in writes.iter().zip(chains(&writes.iter().collect::<Vec<_>>())) {
        unit_of_row.insert((write.environment, write.row()), unit);
        let unit = units.entry((write.environment, unit)).or_default();
        unit.released.extend(write.freed_name().map(|_| write.row()));
        unit.changes.push(write.change);
    }
    let mut next = writes.len();
    for (name, change) in given {
        let unit = *unit_of_row.entry((*name, change.systemuserid)).or_insert_with(|| {
            next += 1;
            next
        });
        units.entry((*name, unit)).or_default().roles.push(change);
    }
    let mut by_environment: BTreeMap<&str, Vec<Unit<'a>>> = BTreeMap::new();
    for ((name, _), unit) in units {
        by_environment.entry(name).or_default().push(unit);
    }
    by_environment
}

/// Numbers the rows; rows that exchange names have the same number.
pub(super) fn chains(writes: &[&Write<'_>]) -> Vec<usize> {
    let freed: HashMap<(&str, String), usize> = writes
        .iter()
        .enumerate()
        .filter_map(|(at, write)| Some(((write.environment, write.freed_name()?), at)))
        .collect();
    let mut chain_of: Vec<usize> = (0..writes.len()).collect();
    for (at, write) in writes.iter().enumerate() {
        let name = write.name_after();
        let from = name.and_then(|name| freed.get(&(write.environment, name)));
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
