//! Random changes of the directory, as people make them between two cycles.

use std::collections::HashMap;
use std::time::Duration;

use rand::Rng;
use rand::rngs::StdRng;
use rand::seq::IndexedRandom as _;
use rollcall::simulator::tenant::{
    AssignedPlan, DYNAMICS_365_ADMINISTRATOR, GLOBAL_ADMINISTRATOR, GLOBAL_READER, Hold, LARGE_GROUP, NESTED_GROUP,
    POWER_PLATFORM_ADMINISTRATOR, Profile, SMALL_GROUP, Sku, Standing, Tenant, User,
};
use uuid::Uuid;

use super::licences::MARKETING;
use super::story::Story;

/// A second group within the first, so that nesting goes two levels deep.
pub const DEEP_GROUP: Uuid = Uuid::from_u128(0x5133_1a7e_0000_4000_8000_0000_0000_0004);

const GROUPS: [Uuid; 4] = [LARGE_GROUP, SMALL_GROUP, NESTED_GROUP, DEEP_GROUP];

const ROLES: [Uuid; 4] = [
    GLOBAL_ADMINISTRATOR,
    POWER_PLATFORM_ADMINISTRATOR,
    DYNAMICS_365_ADMINISTRATOR,
    GLOBAL_READER,
];

/// The directory's people and what is done to them.
pub struct Changes<'a> {
    pub tenant: &'a Tenant,
    pub dice: &'a mut StdRng,
    pub story: &'a mut Story,
    /// Every user that ever was.
    pub people: &'a mut Vec<Uuid>,
    /// Names that stubs hold somewhere.
    pub stub_names: Vec<String>,
    /// The names of live users, lower-cased, and how many have each.
    names: HashMap<String, usize>,
}

impl<'a> Changes<'a> {
    pub fn new(
        tenant: &'a Tenant,
        dice: &'a mut StdRng,
        story: &'a mut Story,
        people: &'a mut Vec<Uuid>,
        stub_names: Vec<String>,
    ) -> Self {
        let mut names = HashMap::new();
        for id in tenant.user_ids() {
            if let Some(name) = tenant.user(id).and_then(|user| user.user_principal_name) {
                *names.entry(name.to_lowercase()).or_default() += 1;
            }
        }
        Self {
            tenant,
            dice,
            story,
            people,
            stub_names,
            names,
        }
    }

    /// One thing happens, or nothing if nobody was found to do it to.
    pub fn one(&mut self) {
        let _ = match self.dice.random_range(0..100) {
            0..10 => self.somebody_is_hired(),
            10..24 => self.a_licence_changes(),
            24..31 => self.an_account_is_blocked_or_freed(),
            31..39 => self.somebody_goes(),
            39..45 => self.somebody_returns(),
            45..55 => self.a_name_changes(),
            55..75 => self.a_property_changes(),
            75..89 => self.a_group_changes(),
            89..97 => self.a_role_changes(),
            97 => self.two_groups_nest(),
            98 => self.somebody_is_repeated(),
            _ => self.the_marketing_licence_changes(),
        };
    }

    /// Half of the choices fall on a few, so that much happens to them.
    fn somebody(&mut self, wanted: impl Fn(Standing) -> bool) -> Option<Uuid> {
        let reach = if self.dice.random() {
            self.people.len().min(150)
        } else {
            self.people.len()
        };
        (0..64)
            .filter_map(|_| self.people[..reach].choose(self.dice).copied())
            .find(|id| self.tenant.standing(*id).is_some_and(&wanted))
    }

    fn a_live_user(&mut self) -> Option<Uuid> {
        self.somebody(|standing| standing == Standing::Live)
    }

    fn name_of(&self, id: Uuid) -> Option<String> {
        self.tenant.user(id)?.user_principal_name
    }

    /// Somebody whose name nobody else has. Two users with one name do not pass it on; that is settled first.
    fn a_user_with_a_name(&mut self) -> Option<(Uuid, String)> {
        let id = self.a_live_user()?;
        let name = self.name_of(id)?;
        (self.names.get(&name.to_lowercase()) == Some(&1)).then_some((id, name))
    }

    fn count_name(&mut self, name: Option<&String>, by: isize) {
        if let Some(name) = name {
            let count = self.names.entry(name.to_lowercase()).or_default();
            *count = count.saturating_add_signed(by);
        }
    }

    fn is_free(&self, name: &str) -> bool {
        self.names.get(&name.to_lowercase()).is_none_or(|count| *count == 0)
    }

    fn add(&mut self, user: User, how: &str) -> Uuid {
        self.count_name(user.user_principal_name.as_ref(), 1);
        let id = self.tenant.add_user(user);
        let profile = *Profile::ALL.choose(self.dice).unwrap();
        self.tenant.give_profile(id, profile);
        // Newcomers are where much happens, too.
        let at = self.dice.random_range(0..self.people.len().min(150));
        self.people.insert(at, id);
        self.story.note(id, &format!("{how} with {profile:?}"));
        for group in GROUPS {
            if self.dice.random_ratio(1, 3) {
                self.tenant.add_member(group, id);
                self.story.note(id, &format!("joined {group}"));
            }
        }
        id
    }

    fn somebody_is_hired(&mut self) -> Option<()> {
        let mut user = User::named("Newcomer", &format!("No{:08x}", self.dice.random::<u32>()));
        user.is_agent = self.dice.random_ratio(1, 15);
        user.account_enabled = *[Some(true), Some(true), Some(true), Some(false), None].choose(self.dice)?;
        user.given_name = user.given_name.filter(|_| self.dice.random_ratio(4, 5));
        self.add(user, "was hired");
        Some(())
    }

    fn a_licence_changes(&mut self) -> Option<()> {
        let id = self.a_live_user()?;
        if self.dice.random_ratio(1, 4) {
            let status = *["Enabled", "Warning", "Suspended", "Deleted", "LockedOut"].choose(self.dice)?;
            self.tenant.update_user(id, |user| {
                for plan in user.plans.iter_mut() {
                    status.clone_into(&mut plan.capability_status);
                }
                user.plans.push(AssignedPlan::new(Uuid::from_u128(7), "Enabled"));
            });
            self.story.note(id, &format!("all plans are {status}"));
        } else {
            let profile = *Profile::ALL.choose(self.dice)?;
            self.tenant.give_profile(id, profile);
            self.story.note(id, &format!("was given {profile:?}"));
        }
        Some(())
    }

    fn an_account_is_blocked_or_freed(&mut self) -> Option<()> {
        let id = self.a_live_user()?;
        let to = *[Some(true), Some(true), Some(true), Some(false), Some(false), None].choose(self.dice)?;
        self.tenant.update_user(id, |user| user.account_enabled = to);
        self.story.note(id, &format!("accountEnabled is {to:?}"));
        Some(())
    }

    fn somebody_goes(&mut self) -> Option<()> {
        if self.dice.random_ratio(1, 4) {
            let id = self.somebody(|standing| standing != Standing::Purged)?;
            let name = self.name_of(id);
            self.count_name(name.as_ref(), -1);
            self.tenant.purge(id);
            self.story.note(id, "was deleted for good");
        } else {
            let id = self.a_live_user()?;
            let name = self.name_of(id);
            self.count_name(name.as_ref(), -1);
            self.tenant.soft_delete(id);
            self.story.note(id, "was deleted");
        }
        Some(())
    }

    fn somebody_returns(&mut self) -> Option<()> {
        let id = self.somebody(|standing| matches!(standing, Standing::SoftDeleted(_)))?;
        self.tenant.restore(id);
        let name = self.name_of(id);
        self.count_name(name.as_ref(), 1);
        self.story.note(id, "was restored");
        Some(())
    }

    fn rename(&mut self, id: Uuid, to: Option<String>) {
        let old = self.name_of(id);
        self.count_name(old.as_ref(), -1);
        self.count_name(to.as_ref(), 1);
        self.story.note(id, &format!("was renamed to {to:?}"));
        self.tenant.update_user(id, |user| user.user_principal_name = to);
    }

    fn a_name_changes(&mut self) -> Option<()> {
        match self.dice.random_range(0..12) {
            0..4 => {
                let id = self.a_live_user()?;
                let name = format!("Renamed.{:08x}@contoso.example", self.dice.random::<u32>());
                self.rename(id, Some(name));
            }
            4..6 => {
                let ((one, first), (other, second)) = (self.a_user_with_a_name()?, self.a_user_with_a_name()?);
                if one != other {
                    self.tenant.swap_upns(one, other);
                    self.story
                        .note(one, &format!("swapped {first} for {second} with {other}"));
                    self.story
                        .note(other, &format!("swapped {second} for {first} with {one}"));
                }
            }
            // A chain: the first takes the name of the second, who takes a new one.
            6 => {
                let ((one, _), (other, name)) = (self.a_user_with_a_name()?, self.a_user_with_a_name()?);
                if one != other {
                    let fresh = format!("chained.{:08x}@contoso.example", self.dice.random::<u32>());
                    self.rename(other, Some(fresh));
                    self.rename(one, Some(name));
                }
            }
            // A name passes from somebody who goes to somebody new.
            7..9 => {
                let (old, name) = self.a_user_with_a_name()?;
                self.count_name(Some(&name), -1);
                if self.dice.random_ratio(2, 3) {
                    self.tenant.soft_delete(old);
                } else {
                    self.tenant.purge(old);
                }
                let mut heir = User::named("Heir", &format!("No{:08x}", self.dice.random::<u32>()));
                heir.user_principal_name = Some(name.to_uppercase());
                let heir = self.add(heir, &format!("was hired with the name of {old}"));
                self.story
                    .note(old, &format!("was deleted and left the name {name} to {heir}"));
            }
            9..11 => {
                let name = self.stub_names.choose(self.dice)?.clone();
                let id = self.a_live_user()?;
                if self.is_free(&name) {
                    self.rename(id, Some(name));
                }
            }
            _ => {
                let id = self.a_live_user()?;
                let name = [None, Some("crmoln2@microsoft.com".to_owned())]
                    .choose(self.dice)?
                    .clone();
                if name.as_ref().is_none_or(|name| self.is_free(name)) {
                    self.rename(id, name);
                }
            }
        }
        Some(())
    }

    fn a_property_changes(&mut self) -> Option<()> {
        let id = self.a_live_user()?;
        let number: u16 = self.dice.random();
        let long = "é€".repeat(700);
        let value = match self.dice.random_range(0..10) {
            0 => None,
            1 => Some(String::new()),
            2 => Some(" \t\u{a0}".to_owned()),
            3 => Some(long),
            4 => Some(format!("with\0out {number}")),
            5 => Some(format!(" padded {number} ")),
            _ => Some(format!("Välue {number}")),
        };
        let mail = match self.dice.random_range(0..10) {
            0 => None,
            1 => Some("   ".to_owned()),
            2 => Some("no address".to_owned()),
            3 => Some(format!("two@at@{number}.example")),
            4 => Some(format!("white space@{number}.example")),
            5 => Some(format!("{}@contoso.example", "m".repeat(100))),
            _ => Some(format!("mail.{number}@contoso.example")),
        };
        let (what, change): (_, fn(&mut User, Option<String>)) = match self.dice.random_range(0..15) {
            0 => ("givenName", |user, value| user.given_name = value),
            1 => ("surname", |user, value| user.surname = value),
            2 => ("displayName", |user, value| user.display_name = value),
            3 => ("jobTitle", |user, value| user.job_title = value),
            4 => ("businessPhones", |user, value| {
                user.business_phones = value.into_iter().collect();
            }),
            5 => ("mobilePhone", |user, value| user.mobile_phone = value),
            6 => ("streetAddress", |user, value| user.street_address = value),
            7 => ("city", |user, value| user.city = value),
            8 => ("state", |user, value| user.state = value),
            9 => ("postalCode", |user, value| user.postal_code = value),
            10 => ("country", |user, value| user.country = value),
            _ => ("mail", |user, value| user.mail = value),
        };
        let value = if what == "mail" { mail } else { value };
        let told: Option<String> = value.as_ref().map(|value| value.chars().take(40).collect());
        self.story.note(id, &format!("{what} is {told:?}"));
        self.tenant.update_user(id, |user| change(user, value));
        Some(())
    }

    fn a_group_changes(&mut self) -> Option<()> {
        let group = *GROUPS.choose(self.dice)?;
        let id = self.a_live_user()?;
        let what = match self.dice.random_range(0..10) {
            0..4 => self.tenant.add_member(group, id).then_some("joined"),
            4..7 => self.tenant.remove_member(group, id).then_some("left"),
            7..9 => self.tenant.add_owner(group, id).then_some("became an owner of"),
            _ => self
                .tenant
                .remove_owner(group, id)
                .then_some("ceased to be an owner of"),
        }?;
        self.story.note(id, &format!("{what} {group}"));
        Some(())
    }

    fn two_groups_nest(&mut self) -> Option<()> {
        let (outer, inner) = (*GROUPS.choose(self.dice)?, *GROUPS.choose(self.dice)?);
        if outer != inner {
            let joined = self.tenant.add_member(outer, inner) || !self.tenant.remove_member(outer, inner);
            self.story
                .note_in_general(&format!("group {inner} in {outer}: {joined}"));
        }
        Some(())
    }

    fn a_role_changes(&mut self) -> Option<()> {
        let role = *ROLES.choose(self.dice)?;
        if self.dice.random_ratio(2, 5) {
            let held = self.tenant.role_assignments().choose(self.dice)?.clone();
            let _ = match held.hold {
                Hold::Eligible => self.tenant.end_eligibility(held.role, held.principal),
                _ => self.tenant.unassign_role(held.role, held.principal),
            };
            self.story.note(held.principal, &format!("lost role {}", held.role));
            return Some(());
        }
        let id = self.a_live_user()?;
        let what = match self.dice.random_range(0..10) {
            0 => {
                self.tenant.make_eligible(role, id, "/");
                "is eligible for"
            }
            1 => {
                let lasting = Duration::from_mins(self.dice.random_range(1..600));
                self.tenant.activate_role(role, id, "/", lasting);
                "has activated"
            }
            2 => {
                let unit = format!("/administrativeUnits/{}", Uuid::from_u128(self.dice.random()));
                self.tenant.assign_role(role, id, &unit);
                "has for one unit"
            }
            3..6 => {
                let assignments = self.tenant.role_assignments();
                let group = assignments
                    .iter()
                    .find(|held| self.tenant.members(held.principal).is_some())?;
                let (group, role) = (group.principal, group.role);
                let joined = self.tenant.add_member(group, id) || !self.tenant.remove_member(group, id);
                self.story.note(id, &format!("in the group with role {role}: {joined}"));
                return Some(());
            }
            _ => {
                self.tenant.assign_role(role, id, "/");
                "has"
            }
        };
        self.story.note(id, &format!("{what} role {role}"));
        Some(())
    }

    fn somebody_is_repeated(&mut self) -> Option<()> {
        let id = self.a_live_user()?;
        self.tenant.replay_user(id);
        Some(())
    }

    fn the_marketing_licence_changes(&mut self) -> Option<()> {
        // It counts for the whole tenant, so it is rare.
        if self.dice.random_ratio(3, 4) {
            return None;
        }
        let status = *["Enabled", "Warning", "Suspended", "LockedOut", "Deleted"].choose(self.dice)?;
        let mut skus = self.tenant.skus();
        skus.retain(|sku| sku.part_number != "DYN365_BUSINESS_MARKETING");
        skus.push(Sku {
            id: "238e2f8d-e429-4035-94db-6926be4ffe7b".to_owned(),
            part_number: "DYN365_BUSINESS_MARKETING".to_owned(),
            capability_status: status.to_owned(),
            units: 1,
            plans: vec![(MARKETING.to_owned(), "DYN365_BUSINESS_Marketing".to_owned(), true)],
        });
        self.tenant.set_skus(skus);
        self.story
            .note_in_general(&format!("the Marketing licence is {status}"));
        Some(())
    }
}
