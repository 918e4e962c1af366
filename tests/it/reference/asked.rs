//! Somebody is asked for while a cycle waits for a page: rules.md, section 4, "on demand or refresh", and section 9.

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};
use rand::Rng;
use rand::rngs::StdRng;
use rand::seq::IndexedRandom as _;
use rollcall::domain::environment::Environment;
use rollcall::simulator::tenant::{GLOBAL_ADMINISTRATOR, LARGE_GROUP, Profile, SMALL_GROUP, Tenant};
use uuid::Uuid;

use super::directory::Person;
use super::evaluation::{Cycle, Entitlement, Gates, Record, Reference, gates, means, new_record};
use super::outcome::{enable, judge_row};
use super::table::Row;

/// Who asks.
pub const HELPDESK: &str = "helpdesk";

/// Somebody is asked for.
#[derive(Clone, Debug)]
pub struct Asked {
    pub environment: String,
    pub id: Uuid,
    /// As `ask_by` of the on-demand tests takes it.
    pub way: &'static str,
    pub at: DateTime<Utc>,
}

impl Asked {
    pub fn draw(environment: &str, id: Uuid, dice: &mut StdRng) -> Self {
        Self {
            environment: environment.to_owned(),
            id,
            way: *["refresh", "api", "admin_add", "access by a program"]
                .choose(dice)
                .unwrap(),
            at: DateTime::UNIX_EPOCH,
        }
    }
}

/// What changes about a user just before: the page that is held says it otherwise, or not at all. Only who was seen before is
/// deleted: of others the reference knows nothing.
pub fn change(tenant: &Tenant, id: Uuid, was_seen: bool, dice: &mut StdRng) -> String {
    match dice.random_range(if was_seen { 0..7 } else { 1..6 }) {
        0 => {
            let to = dice.random();
            tenant.update_user(id, |user| user.account_enabled = Some(to));
            format!("accountEnabled is {to}")
        }
        1 => {
            let profile = *Profile::ALL.choose(dice).unwrap();
            tenant.give_profile(id, profile);
            format!("was given {profile:?}")
        }
        2 => {
            let title = format!("Title {}", dice.random::<u16>());
            tenant.update_user(id, |user| user.job_title = Some(title.clone()));
            format!("jobTitle is {title}")
        }
        3 => {
            let group = *[LARGE_GROUP, SMALL_GROUP].choose(dice).unwrap();
            let joined = tenant.add_member(group, id) || !tenant.remove_member(group, id);
            format!("in {group}: {joined}")
        }
        4 => {
            let lost = tenant.unassign_role(GLOBAL_ADMINISTRATOR, id);
            if !lost {
                tenant.assign_role(GLOBAL_ADMINISTRATOR, id, "/");
            }
            format!("Global Administrator: {}", !lost)
        }
        5 => "nothing".to_owned(),
        _ => {
            tenant.soft_delete(id);
            "was deleted".to_owned()
        }
    }
}

impl Reference {
    /// Whether nobody's name stands in the way of this user's, nor moves because of it.
    pub fn has_its_name_free(&self, person: &Person) -> bool {
        let name = person.upn.as_ref().map(|upn| upn.to_lowercase());
        let bound = self.bound.iter().map(|(id, record)| (Some(*id), &record.row));
        let rows = bound.chain(self.unbound.values().map(|row| (None, row)));
        name.is_some()
            && rows
                .filter(|(_, row)| row.held_name() == name)
                .all(|(id, _)| id == Some(person.id))
    }

    /// The table after somebody was asked for whose name is free.
    pub fn ask(&mut self, environment: &Environment, cycle: &Cycle<'_>, asked: &Asked, found: &BTreeMap<Uuid, Row>) {
        let person = &cycle.directory.people[&asked.id];
        if !environment.has_database {
            return;
        }
        let Some(before) = self.bound.get(&asked.id) else {
            self.bound.extend(added(environment, cycle, person, asked, found));
            return;
        };
        let before = before.clone();
        let mut record = before.clone();
        record.because.clear();
        if judge_row(environment, cycle, person, false, true, &mut record) {
            if self.enabled_non_interactive() < environment.non_interactive_cap as usize {
                enable(&mut record.row);
            } else if record.row.disabled_by.as_deref() == Some(super::SYNC) {
                record.row.disabledreason = Some("non_interactive_cap".to_owned());
            }
        }
        if record.row != before.row {
            record.row.modifiedon = cycle.now.max(record.row.modifiedon);
            HELPDESK.clone_into(&mut record.row.modifiedby);
        }
        self.bound.insert(asked.id, record);
    }
}

/// "no row, on demand": created for whoever is entitled at all. "Refresh and diagnostics never create."
fn added(
    environment: &Environment,
    cycle: &Cycle<'_>,
    person: &Person,
    asked: &Asked,
    found: &BTreeMap<Uuid, Row>,
) -> Option<(Uuid, Record)> {
    let gates = gates(environment, cycle, person, None);
    let means = means(environment, cycle, person, None, &gates);
    let is_entitled = matches!(gates, Gates::Passed { .. }) && means.entitlement != Entitlement::None;
    if !is_entitled || asked.way == "refresh" {
        return None;
    }
    let own = found
        .values()
        .find(|row| row.azureactivedirectoryobjectid == Some(asked.id));
    let key = own.map_or(Uuid::nil(), |row| row.systemuserid);
    let mut record = new_record(environment, cycle, person, key);
    // A transaction that met the cycle's is repeated a moment later, and is dated then.
    record.row.createdon = own.map_or(asked.at, |row| row.createdon).max(asked.at);
    record.app_pass_alone = means.app_pass_alone;
    HELPDESK.clone_into(&mut record.row.createdby);
    HELPDESK.clone_into(&mut record.row.modifiedby);
    Some((asked.id, record))
}
