//! Another program writes to the table in plain SQL: what it may do, and what rules.md says comes of it at once.
//!
//! Each edit is carried out in the database and, by the words of section 7, in the reference.

use std::fmt::Write as _;

use chrono::DateTime;
use rand::Rng;
use rand::rngs::StdRng;
use rand::seq::{IndexedRandom as _, IteratorRandom as _};
use rollcall::domain::environment::Environment;
use rollcall::domain::field::Policy;
use sqlx::{AssertSqlSafe, PgConnection};
use uuid::Uuid;

use super::directory::Person;
use super::evaluation::{Record, Reference, policy};
use super::story::Story;
use super::table::{self, Row};

/// One column that a statement sets.
#[derive(Clone, Debug)]
enum Set {
    Text(&'static str, Option<String>),
    AccessMode(i16),
    /// The access mode is the sync's again.
    AccessModeOfSync,
    Disabled(bool),
    Hold(bool),
    /// The column is the sync's again.
    HandBack(&'static str),
    /// The row is soft-deleted in the store.
    Deleted,
}

/// Columns that people edit, beside those that mean something to the rules.
const TEXTS: [&str; 9] = [
    "internalemailaddress",
    "internalemailaddress",
    "jobtitle",
    "jobtitle",
    "fullname",
    "firstname",
    "mobilephone",
    "address1_telephone1",
    "company",
];

/// Another program with a connection of its own.
pub struct Editor<'a> {
    pub db: &'a mut PgConnection,
    /// Its database user.
    pub user: &'a str,
    pub environment: &'a Environment,
    pub story: &'a mut Story,
}

impl Editor<'_> {
    /// One random write.
    pub async fn write(&mut self, reference: &mut Reference, people: &[Person], dice: &mut StdRng) {
        match dice.random_range(0..20) {
            0 => self.insert_stub(reference, people, dice).await,
            1 => self.insert_application_user(reference, dice).await,
            2 => self.delete_stub(reference, dice).await,
            3 => self.insert_bound_row(reference, people, dice).await,
            _ => self.edit(reference, dice).await,
        }
    }

    async fn edit(&mut self, reference: &mut Reference, dice: &mut StdRng) {
        let slots = reference.enabled_non_interactive() < self.environment.non_interactive_cap as usize;
        // Half of the edits go to a few rows, so that one row is edited again and again.
        let reach = if dice.random() { 40 } else { usize::MAX };
        let Some((id, record)) = reference.bound.iter_mut().take(reach).choose(dice) else {
            return;
        };
        let sets = choose_edit(&record.row, slots, dice);
        if sets.is_empty() {
            return;
        }
        let mut statement = String::from("update rollcall.system_user set ");
        for (position, set) in sets.iter().enumerate() {
            if position > 0 {
                statement.push_str(", ");
            }
            write_set(&mut statement, set);
        }
        let _ = write!(
            statement,
            " where environment = {} and systemuserid = '{}'",
            quoted(&self.environment.name),
            record.row.systemuserid
        );
        self.story.note(*id, &format!("SQL: {statement}"));
        self.execute(statement).await;
        let before = record.row.clone();
        for set in &sets {
            apply(&mut record.row, set, self.environment, self.user);
        }
        let found = table::read_one(self.db, &self.environment.name, before.systemuserid)
            .await
            .unwrap();
        if record.row != before {
            // "`modifiedon` and `modifiedby` move" (section 7); the time is the database's own.
            record.row.modifiedon = found.modifiedon;
            self.user.clone_into(&mut record.row.modifiedby);
        }
        let differences = record.row.differences(&found);
        assert!(
            differences.is_empty(),
            "after an edit of {before:#?}: {differences:#?}\n{}",
            self.story.of(Some(*id))
        );
    }

    async fn insert_stub(&mut self, reference: &mut Reference, people: &[Person], dice: &mut StdRng) {
        let name = match people.choose(dice).and_then(|person| person.upn.clone()) {
            Some(upn) if dice.random() => upn,
            _ => format!("stub.{:08x}@contoso.example", dice.random::<u32>()),
        };
        if reference.holds(&name) {
            return;
        }
        let mut row = self.foreign_row(dice, &name);
        row.isstub = true;
        row.isdisabled = true;
        row.disabledreason = Some("stub_user".to_owned());
        row.disabled_by = Some(self.user.to_owned());
        self.insert(&mut row).await;
        reference.unbound.insert(row.systemuserid, row);
    }

    async fn insert_application_user(&mut self, reference: &mut Reference, dice: &mut StdRng) {
        let name = format!("app.{:08x}@contoso.example", dice.random::<u32>());
        let mut row = self.foreign_row(dice, &name);
        row.applicationid = Some(Uuid::from_u128(dice.random()));
        row.accessmode = 4;
        self.insert(&mut row).await;
        reference.unbound.insert(row.systemuserid, row);
    }

    /// A row as something other than the background makes it: for somebody who has access on demand only.
    async fn insert_bound_row(&mut self, reference: &mut Reference, people: &[Person], dice: &mut StdRng) {
        let without_row = |person: &&Person| person.is_present() && !reference.bound.contains_key(&person.id);
        let Some(person) = people.iter().filter(without_row).choose(dice) else {
            return;
        };
        let Some(name) = person.upn.clone().filter(|name| !reference.holds(name)) else {
            return;
        };
        let mut row = self.foreign_row(dice, &name);
        row.azureactivedirectoryobjectid = Some(person.id);
        row.issyncwithdirectory = true;
        self.story
            .note(person.id, &format!("SQL: row inserted in {}", self.environment.name));
        self.insert(&mut row).await;
        let record = Record {
            row,
            app_pass_alone: false,
            grace_ends: None,
            because: Vec::new(),
        };
        reference.bound.insert(person.id, record);
    }

    async fn delete_stub(&mut self, reference: &mut Reference, dice: &mut StdRng) {
        let stubs = reference.unbound.values().filter(|row| row.isstub);
        let Some(id) = stubs.map(|row| row.systemuserid).choose(dice) else {
            return;
        };
        reference.unbound.remove(&id);
        let environment = quoted(&self.environment.name);
        self.execute(format!(
            "delete from rollcall.system_user where environment = {environment} and systemuserid = '{id}'"
        ))
        .await;
    }

    fn foreign_row(&self, dice: &mut StdRng, name: &str) -> Row {
        let mut row = Row::new(Uuid::from_u128(dice.random()), self.user, DateTime::UNIX_EPOCH);
        row.domainname = Some(name.to_owned());
        row
    }

    async fn insert(&mut self, row: &mut Row) {
        let id = |id: Option<Uuid>| id.map_or("null".to_owned(), |id| format!("'{id}'"));
        let statement =
            format!(
            "insert into rollcall.system_user (environment, systemuserid, azureactivedirectoryobjectid, applicationid,
                 domainname, accessmode, isstub, isdisabled, disabledreason, issyncwithdirectory)
             values ({}, '{}', {}, {}, {}, {}, {}, {}, {}, {})",
            quoted(&self.environment.name),
            row.systemuserid,
            id(row.azureactivedirectoryobjectid),
            id(row.applicationid),
            quoted(row.domainname.as_ref().unwrap()),
            row.accessmode,
            row.isstub,
            row.isdisabled,
            row.disabledreason.as_ref().map_or("null".to_owned(), |reason| quoted(reason)),
            row.issyncwithdirectory,
        );
        self.execute(statement).await;
        let found = table::read_one(self.db, &self.environment.name, row.systemuserid)
            .await
            .unwrap();
        (row.createdon, row.modifiedon) = (found.createdon, found.modifiedon);
        assert_eq!(row.differences(&found), [], "after an insert");
    }

    async fn execute(&mut self, statement: String) {
        sqlx::query(AssertSqlSafe(statement))
            .execute(&mut *self.db)
            .await
            .unwrap();
    }
}

/// What somebody may want to do to a row; nothing if it is left alone this time.
fn choose_edit(row: &Row, slot_is_free: bool, dice: &mut StdRng) -> Vec<Set> {
    let takes_slot = |mode: i16| mode == 4 && !slot_is_free;
    match dice.random_range(0..24) {
        0..3 => vec![Set::Disabled(true)],
        // Releasing and enabling at once; enabling what is held would not enable it.
        3..7 if row.isdisabled && row.deletedstate == 0 && !takes_slot(row.accessmode) => {
            vec![Set::Hold(false), Set::Disabled(false)]
        }
        7..12 => {
            let mode = *[0, 1, 2, 4, 4, 4].choose(dice).unwrap();
            if takes_slot(mode) && !row.isdisabled {
                return Vec::new();
            }
            vec![Set::AccessMode(mode)]
        }
        12 => vec![Set::AccessModeOfSync],
        13..15 => vec![Set::Hold(true)],
        15 => vec![Set::Hold(false)],
        16 => vec![Set::HandBack(
            ["internalemailaddress", "jobtitle"].choose(dice).unwrap(),
        )],
        17 if row.azurestate == 2 => vec![Set::Deleted],
        _ => {
            let column = *TEXTS.choose(dice).unwrap();
            let value = match dice.random_range(0..4) {
                0 => None,
                // An edit that sets what was there is an edit.
                1 => row.clone().text(column).clone(),
                _ => Some(format!("edited.{:04x}@contoso.example", dice.random::<u16>())),
            };
            vec![Set::Text(column, value)]
        }
    }
}

fn write_set(statement: &mut String, set: &Set) {
    let _ = match set {
        Set::Text(column, value) => {
            let value = value.as_ref().map_or("null".to_owned(), |value| quoted(value));
            write!(statement, "{column} = {value}")
        }
        Set::AccessMode(mode) => write!(statement, "accessmode = {mode}"),
        Set::AccessModeOfSync => write!(statement, "accessmode_origin = 'sync'"),
        Set::Disabled(disabled) => write!(statement, "isdisabled = {disabled}"),
        Set::Hold(held) => {
            let reason = if *held { "'under review'" } else { "null" };
            write!(statement, "onhold = {held}, holdreason = {reason}")
        }
        Set::HandBack(column) => write!(statement, "customer_owned = array_remove(customer_owned, '{column}')"),
        Set::Deleted => write!(statement, "deletedstate = 1"),
    };
}

/// "Plain SQL by another program is recognised by a trigger ... the edited columns become customer-owned where the
/// policy is `until_edited`, `isdisabled` gets `disabled_by` = the database user, `accessmode` gets origin `customer`"
/// (section 7)
fn apply(row: &mut Row, set: &Set, environment: &Environment, user: &str) {
    let by_hand = |row: &mut Row, reason: &str| {
        row.isdisabled = true;
        row.disabledreason = Some(reason.to_owned());
        row.disabled_by = Some(user.to_owned());
    };
    match set {
        Set::Text(column, value) => {
            row.text(column).clone_from(value);
            // "anything else (custom columns) | never"
            let is_fed = table::FED.contains(column);
            let owned = row.customer_owned.iter().any(|owned| owned == column);
            if is_fed && !owned && policy(environment, column) == Policy::UntilEdited {
                row.customer_owned.push((*column).to_owned());
                row.customer_owned.sort();
            }
        }
        Set::AccessMode(mode) => {
            row.accessmode = *mode;
            "customer".clone_into(&mut row.accessmode_origin);
        }
        Set::AccessModeOfSync => "sync".clone_into(&mut row.accessmode_origin),
        // "A row disabled by hand carries `disabledreason` `disabled_by_hand`." A row that is disabled already stays
        // as it is: the edit says nothing new.
        Set::Disabled(true) if !row.isdisabled => by_hand(row, "disabled_by_hand"),
        Set::Disabled(true) => {}
        Set::Disabled(false) => {
            row.isdisabled = false;
            row.disabledreason = None;
            row.disabled_by = None;
        }
        Set::Hold(held) => {
            row.onhold = *held;
            row.holdreason = held.then(|| "under review".to_owned());
            // "A hold (with a reason and an actor) disables the row at once (`on_hold`)" (section 4)
            if *held && !row.isdisabled {
                by_hand(row, "on_hold");
            }
        }
        Set::HandBack(column) => row.customer_owned.retain(|owned| owned != column),
        Set::Deleted => row.deletedstate = 1,
    }
}

fn quoted(text: &str) -> String {
    format!("'{}'", text.replace('\'', "''"))
}

impl Reference {
    /// How many enabled rows count against the cap.
    pub fn enabled_non_interactive(&self) -> usize {
        let bound = self.bound.values().map(|record| &record.row);
        let rows = bound.chain(self.unbound.values());
        rows.filter(|row| row.is_non_interactive() && !row.isdisabled).count()
    }

    /// Whether a live row holds the name.
    fn holds(&self, name: &str) -> bool {
        let name = name.to_lowercase();
        let bound = self.bound.values().map(|record| &record.row);
        bound
            .chain(self.unbound.values())
            .any(|row| row.held_name().as_ref() == Some(&name))
    }
}
