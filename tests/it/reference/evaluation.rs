//! The reference: who has which row after a cycle, read off rules.md sentence by sentence.
//!
//! Slow and plain: everybody is judged in every cycle, from the table before it, the directory and the time. It shares
//! nothing with the product but the shape of an environment's configuration. Security roles (rules.md, section 8) are left
//! out.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};

use chrono::{DateTime, Utc};
use rollcall::domain::environment::{Environment, GroupNesting, Kind};
use rollcall::domain::field::{Field, Policy};
use rollcall::domain::licence::ViralCountsAs;
use uuid::Uuid;

use super::directory::{Directory, Person, Presence};
use super::fields::{Wanted, wanted};
use super::licences::Worth;
use super::names::{Goal, Stand, blocked};
use super::outcome::{enable, judge_row, set_access_mode};
use super::table::{FED, Row};

/// The actor that the sync writes as.
pub const SYNC: &str = "sync";

/// What one cycle sees.
pub struct Cycle<'a> {
    pub directory: &'a Directory,
    pub now: DateTime<Utc>,
    pub viral: ViralCountsAs,
}

/// A row and what the rules remember of it.
#[derive(Clone, Debug)]
pub struct Record {
    pub row: Row,
    /// "rows whose last entitlement was the app pass alone" (section 4)
    pub app_pass_alone: bool,
    /// When the grace of an app pass that is gone has run out.
    pub grace_ends: Option<DateTime<Utc>>,
    /// The sentences that decided, for whoever reads a difference.
    pub because: Vec<&'static str>,
}

/// The table of one environment as it has to be.
#[derive(Clone, Debug, Default)]
pub struct Reference {
    /// Rows with an object id, by it.
    pub bound: BTreeMap<Uuid, Record>,
    /// Stubs, application users and placeholders, by their key.
    pub unbound: BTreeMap<Uuid, Row>,
    /// Users whose row the database did not take in the last run.
    pub refused: BTreeSet<Uuid>,
}

/// Section 2, for one user.
pub enum Gates {
    /// Gates 1 to 6: nothing about the row follows.
    LeftAlone(&'static str),
    /// Gate 11: "existing row left"; "'Left' in gate 11 means state and mode; fields and azurestate follow." Gate 6, where
    /// what is unknown is so because it cannot be decoded.
    StateLeft(&'static str),
    /// Gates 8 to 10 and 15, with the reason code.
    Refused(&'static str, &'static str),
    /// The user passes; gates 13 and 14 let through on demand only.
    Passed { on_demand_only: bool, why: &'static str },
}

/// Section 3.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Entitlement {
    NonInteractive,
    Full,
    Admin,
    OnDemandOnly,
    None,
}

/// What a user's licences and roles are worth in an environment.
#[expect(clippy::struct_excessive_bools, reason = "independent facts")]
pub struct Means {
    pub full: bool,
    pub admin: bool,
    /// Global or Power Platform administrator.
    pub tenant_admin: bool,
    pub entitlement: Entitlement,
    pub app_pass_alone: bool,
}

impl Record {
    /// "If it has to be disabled, it is disabled, and nothing else of it is written." (section 10)
    fn with_removal_of(&self, judged: Self) -> Self {
        if self.row.isdisabled || !judged.row.isdisabled {
            return self.clone();
        }
        Self {
            row: Row {
                isdisabled: true,
                disabledreason: judged.row.disabledreason,
                disabled_by: judged.row.disabled_by,
                ..self.row.clone()
            },
            ..judged
        }
    }
}

impl Reference {
    /// The next table. `found` is the table as it was found, looked at for nothing but the keys of new rows and
    /// the tie in [`blocked`]. `refused` are those whose row the database does not take: "costs the rows concerned", which
    /// stay as they are, except that they are disabled.
    pub fn next(
        &self,
        environment: &Environment,
        cycle: &Cycle<'_>,
        found: &BTreeMap<Uuid, Row>,
        refused: &BTreeSet<Uuid>,
    ) -> Self {
        let mut next = self.clone();
        next.refused.clone_from(refused);
        // Gate 1: "environment has no database | skip".
        if !environment.has_database {
            return next;
        }
        let blocked = self.blocked_names(environment, cycle, found, refused);
        let keys: HashMap<Uuid, Uuid> = found
            .values()
            .filter_map(|row| Some((row.azureactivedirectoryobjectid?, row.systemuserid)))
            .collect();
        let mut waiting = Vec::new();
        for person in cycle.directory.people.values() {
            let is_refused = refused.contains(&person.id);
            let keeps_name = blocked.contains(&person.id);
            if let Some(before) = self.bound.get(&person.id) {
                let mut record = before.clone();
                record.because.clear();
                let waits = judge_row(environment, cycle, person, keeps_name, false, &mut record);
                if is_refused {
                    record = before.with_removal_of(record);
                } else if waits {
                    waiting.push(person.id);
                }
                next.bound.insert(person.id, record);
            } else if !is_refused && !keeps_name && is_created(environment, cycle, person) {
                let key = keys.get(&person.id).copied().unwrap_or(Uuid::nil());
                next.bound
                    .insert(person.id, new_record(environment, cycle, person, key));
            }
        }
        next.fill_slots(environment, waiting);
        for (id, record) in &mut next.bound {
            let Some(before) = self.bound.get(id) else { continue };
            // "An unchanged row is never rewritten: `modifiedon` moves only when a value does." (section 4)
            if record.row != before.row {
                // It does not run backwards, whatever the clock of another program said.
                record.row.modifiedon = cycle.now.max(record.row.modifiedon);
                SYNC.clone_into(&mut record.row.modifiedby);
            }
        }
        next
    }

    /// "Enables that need one of the seven non-interactive slots come after the run's removals, oldest `createdon`
    /// first, then `systemuserid`." (section 4)
    fn fill_slots(&mut self, environment: &Environment, mut waiting: Vec<Uuid>) {
        // "only enabled ones count" (section 6)
        let enabled = |row: &&Row| row.is_non_interactive() && !row.isdisabled;
        let bound = self.bound.values().map(|record| &record.row).filter(enabled).count();
        let mut taken = bound + self.unbound.values().filter(enabled).count();
        waiting.sort_by_key(|id| (self.bound[id].row.createdon, self.bound[id].row.systemuserid));
        for id in waiting {
            let record = self.bound.get_mut(&id).unwrap();
            if taken < environment.non_interactive_cap as usize {
                enable(&mut record.row);
                record
                    .because
                    .push("4: non_interactive, disabled row, background: enable if the cap allows");
                taken += 1;
            } else {
                record.row.disabledreason = Some("non_interactive_cap".to_owned());
                record
                    .because
                    .push("4: disabledreason: held by the cap → non_interactive_cap");
            }
        }
    }

    fn blocked_names(
        &self,
        environment: &Environment,
        cycle: &Cycle<'_>,
        found: &BTreeMap<Uuid, Row>,
        refused: &BTreeSet<Uuid>,
    ) -> HashSet<Uuid> {
        let mut stands = HashMap::new();
        for person in cycle.directory.people.values() {
            let wish = || Goal::Have(person.upn.as_ref().unwrap().to_lowercase());
            let stand = match self.bound.get(&person.id) {
                Some(record) => Stand {
                    holds: record.row.held_name(),
                    goal: match gates(environment, cycle, person, Some(&record.row)) {
                        Gates::LeftAlone(_) => Goal::Keep,
                        _ if refused.contains(&person.id) => Goal::Keep,
                        _ if person.is_present() => wish(),
                        _ => Goal::LetGo,
                    },
                },
                None if is_created(environment, cycle, person) && !refused.contains(&person.id) => Stand {
                    holds: None,
                    goal: wish(),
                },
                None => continue,
            };
            stands.insert(person.id, stand);
        }
        let kept = self.unbound.values().filter_map(Row::held_name).collect();
        let found = found
            .values()
            .filter_map(|row| Some((row.held_name()?, row.azureactivedirectoryobjectid?)))
            .collect();
        blocked(&stands, &kept, &found)
    }
}

/// Section 2, in its order, for the background.
pub fn gates(environment: &Environment, cycle: &Cycle<'_>, person: &Person, row: Option<&Row>) -> Gates {
    let is_reserved = person.upn.as_ref().is_some_and(|upn| {
        let reserved = ["crmoln@microsoft.com", "crmoln2@microsoft.com", "system", "integration"];
        reserved.contains(&upn.to_lowercase().as_str())
    });
    if is_reserved {
        return Gates::LeftAlone("gate 2: reserved identity: never touched");
    }
    if row.is_some_and(|row| row.applicationid.is_some()) {
        return Gates::LeftAlone("gate 3: row is an application user: left alone");
    }
    if row.is_some_and(|row| row.isstub) {
        return Gates::LeftAlone("gate 4: row is a stub: left alone");
    }
    if row.is_some_and(|row| row.deletedstate != 0) {
        return Gates::LeftAlone("gate 5: row is soft-deleted in the store: left alone");
    }
    // Of a user who is deleted nobody can read `accountEnabled`: the deletion itself is the answer.
    if person.is_present() && person.enabled.is_none() {
        return Gates::LeftAlone("gate 6: `accountEnabled` unknown: left alone, no disable");
    }
    if person.is_present() && person.upn.as_ref().is_none_or(|upn| upn.trim().is_empty()) {
        return Gates::LeftAlone("2: a directory user without a UPN ... is skipped with a finding");
    }
    if person.is_present() && person.account_undecodable {
        return Gates::StateLeft(
            "2: `accountEnabled` cannot be decoded: gate 6 ..., everything else of the entry applies",
        );
    }
    match person.presence {
        Presence::Gone => return Gates::Refused("directory_deleted", "gate 8: directory user gone"),
        Presence::SoftDeleted => {
            return Gates::Refused("directory_soft_deleted", "gate 9: directory user soft-deleted");
        }
        Presence::Present => {}
    }
    if person.enabled == Some(false) {
        return Gates::Refused(
            "directory_account_disabled",
            "gate 10: `accountEnabled` is false (admins and non-interactive users too)",
        );
    }
    if environment.kind == Kind::Developer && environment.creator != Some(person.id) {
        return Gates::StateLeft("gate 11: developer environment and not its creator: existing row left");
    }
    security_group(environment, cycle, person)
}

/// Gates 12 to 15.
fn security_group(environment: &Environment, cycle: &Cycle<'_>, person: &Person) -> Gates {
    let passed = |why| Gates::Passed {
        on_demand_only: false,
        why,
    };
    let on_demand = |why| Gates::Passed {
        on_demand_only: true,
        why,
    };
    let Some(group) = environment.security_group else {
        return passed("gate 12: no group is set");
    };
    let roles = cycle.directory.roles_of(person.id);
    if roles.global || roles.power_platform {
        return passed("gate 12: group set, and Global or Power Platform admin: pass");
    }
    if cycle.directory.is_member(group, person.id) {
        return passed("gate 12: group set, and direct member: pass");
    }
    let nesting = environment.group_nesting;
    let nested = nesting != GroupNesting::Ignore && cycle.directory.is_nested_member(group, person.id);
    if nested && nesting == GroupNesting::Full {
        return passed("2: under `full` nesting, nested counts as member before ownership is looked at");
    }
    if cycle.directory.is_owner(group, person.id) {
        return on_demand("gate 13: group set, owner only: pass as `on_demand_only`");
    }
    if nested {
        return on_demand("gate 14: nested member only, group_nesting = on_demand: pass as `on_demand_only`");
    }
    Gates::Refused("not_in_security_group", "gate 15: group set, none of these")
}

/// Section 3: "the first that fits".
pub fn means(environment: &Environment, cycle: &Cycle<'_>, person: &Person, row: Option<&Row>, gates: &Gates) -> Means {
    let viral = person.plans.contains(&Worth::Viral);
    let full = person.plans.contains(&Worth::Full) || (viral && cycle.viral == ViralCountsAs::Full);
    let free = person.plans.contains(&Worth::FreeM365) || (viral && cycle.viral == ViralCountsAs::FreeM365);
    let roles = cycle.directory.roles_of(person.id);
    let app_passes = environment.app_pass_capacity > 0;
    let others = free || cycle.directory.marketing || environment.pay_as_you_go;
    let entitlement = if row.is_some_and(Row::is_non_interactive) {
        Entitlement::NonInteractive
    } else if full {
        Entitlement::Full
    } else if roles.any() {
        Entitlement::Admin
    } else if others || app_passes {
        Entitlement::OnDemandOnly
    } else {
        Entitlement::None
    };
    // "Gates 13 and 14 turn `full` and `admin` into `on_demand_only` but keep the access mode of section 5."
    let by_gate = matches!(
        gates,
        Gates::Passed {
            on_demand_only: true,
            ..
        }
    ) && matches!(entitlement, Entitlement::Full | Entitlement::Admin);
    Means {
        full,
        admin: roles.any(),
        tenant_admin: roles.global || roles.power_platform,
        entitlement: if by_gate {
            Entitlement::OnDemandOnly
        } else {
            entitlement
        },
        app_pass_alone: entitlement == Entitlement::OnDemandOnly && !others,
    }
}

/// Whether the background makes a row for somebody without one: section 4, second column.
fn is_created(environment: &Environment, cycle: &Cycle<'_>, person: &Person) -> bool {
    let gates = gates(environment, cycle, person, None);
    if !matches!(gates, Gates::Passed { .. }) {
        return false;
    }
    // "AI agent users are never created by background" (section 2)
    if person.is_agent {
        return false;
    }
    // "`trial`: background never creates"; "`teams`: background never creates"
    if matches!(environment.kind, Kind::Trial | Kind::Teams) {
        return false;
    }
    // "Background creates only for `full` and `admin`"
    let entitlement = means(environment, cycle, person, None, &gates).entitlement;
    matches!(entitlement, Entitlement::Full | Entitlement::Admin)
}

pub fn new_record(environment: &Environment, cycle: &Cycle<'_>, person: &Person, key: Uuid) -> Record {
    let gates = gates(environment, cycle, person, None);
    let means = means(environment, cycle, person, None, &gates);
    let mut row = Row::new(key, SYNC, cycle.now);
    row.azureactivedirectoryobjectid = Some(person.id);
    // "`issyncwithdirectory` (true for rows bound to an object id)" (section 7)
    row.issyncwithdirectory = true;
    row.islicensed = means.full;
    for column in FED {
        if policy(environment, column) != Policy::Never {
            *row.text(column) = match wanted(person, column) {
                Wanted::Value(value) | Wanted::KeepElse(value) => value,
            };
        }
    }
    set_access_mode(environment, &means, &mut row);
    Record {
        row,
        app_pass_alone: false,
        grace_ends: None,
        because: vec!["4: no row, background: full or admin: create"],
    }
}

/// The policy of a column.
pub fn policy(environment: &Environment, column: &str) -> Policy {
    environment.policies.of(column.parse::<Field>().unwrap())
}

/// What the rules say of a column.
pub fn sentence(column: &str) -> &'static str {
    match column {
        "domainname" => "7: userPrincipalName, always; gate 7: the row keeps its old domainname while the new is taken",
        "accessmode" | "accessmode_origin" | "setupuser" => "5: access mode",
        "isdisabled" | "disabledreason" | "disabled_by" => "4: outcome; disabledreason follows the primary reason",
        "islicensed" => "7: a usable full plan, viral included while it counts as full",
        "azurestate" => "7: 0 exists, 1 soft-deleted, 2 gone",
        "azuredeletedon" => "7: deletion time from deletedItems if read in that run, else the run's, never rewritten",
        "customer_owned" => "7: until_edited: until anyone but the sync changes the column",
        "modifiedon" | "modifiedby" => "4: an unchanged row is never rewritten",
        _ => "7: fields by their policy",
    }
}
