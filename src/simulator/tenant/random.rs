//! Anything that may happen in a directory, by dice.

use std::time::Duration;

use rand::Rng;
use rand::seq::IndexedRandom as _;
use uuid::Uuid;

use super::roles::{
    DYNAMICS_365_ADMINISTRATOR, GLOBAL_ADMINISTRATOR, GLOBAL_READER, Hold, POWER_PLATFORM_ADMINISTRATOR,
};
use super::state::{Removal, Standing};
use super::{AssignedPlan, Profile, Tenant, User};

const ROLES: [Uuid; 4] = [
    GLOBAL_ADMINISTRATOR,
    POWER_PLATFORM_ADMINISTRATOR,
    DYNAMICS_365_ADMINISTRATOR,
    GLOBAL_READER,
];

/// Draws this often before giving up on finding somebody of the kind that is wanted.
const DRAWS: usize = 32;

impl Tenant {
    /// Lets one random thing happen, and tells what, without personal data. Says "nothing" if the dice found
    /// nobody to do it to. Groups are never deleted: a vanished gate is an alarm, not a change to follow.
    pub fn random_change<R: Rng + ?Sized>(&self, rng: &mut R) -> String {
        let happened = match rng.random_range(0..100) {
            0..8 => self.somebody_joins(rng),
            8..50 => self.somebody_changes(rng),
            50..62 => self.somebody_goes_or_returns(rng),
            62..85 => self.a_group_changes(rng),
            85..97 => self.a_role_changes(rng),
            _ => self.a_product_changes(rng),
        };
        happened.unwrap_or_else(|| "nothing".into())
    }

    /// A random live user.
    pub fn random_user<R: Rng + ?Sized>(&self, rng: &mut R) -> Option<Uuid> {
        self.draw(rng, |standing| standing == Standing::Live)
    }

    fn draw<R: Rng + ?Sized>(&self, rng: &mut R, wanted: impl Fn(Standing) -> bool) -> Option<Uuid> {
        let state = self.read();
        let population = state.population();
        (0..DRAWS).filter(|_| population > 0).find_map(|_| {
            let (user, standing) = state.at(rng.random_range(0..population))?;
            wanted(standing).then_some(user.id)
        })
    }

    fn somebody_joins<R: Rng + ?Sized>(&self, rng: &mut R) -> Option<String> {
        let number: u32 = rng.random();
        let mut user = User::named("Newcomer", &format!("No{number:08x}"));
        user.is_agent = rng.random_ratio(1, 20);
        user.given_name = user.given_name.filter(|_| !rng.random_ratio(1, 5));
        user.account_enabled = Some(!rng.random_ratio(1, 10));
        let id = self.add_user(user);
        let profile = *Profile::ALL.choose(rng)?;
        self.give_profile(id, profile);
        Some(format!("user {id} was created with {profile:?}"))
    }

    fn somebody_changes<R: Rng + ?Sized>(&self, rng: &mut R) -> Option<String> {
        let id = self.random_user(rng)?;
        let number: u16 = rng.random();
        let what = match rng.random_range(0..11) {
            0 => {
                self.update_user(id, |user| user.job_title = Some(format!("Title {number}")));
                "has another title"
            }
            1 => {
                self.update_user(id, |user| {
                    user.given_name = if number.is_multiple_of(3) {
                        None
                    } else {
                        Some("Renée".into())
                    }
                });
                "has another given name"
            }
            2 => {
                self.update_user(id, |user| {
                    user.user_principal_name = Some(format!("renamed.{number}.{}@contoso.example", id.simple()));
                });
                "has another userPrincipalName"
            }
            3 => {
                let other = self.random_user(rng).filter(|other| *other != id)?;
                let _ = self.swap_upns(id, other);
                return Some(format!("users {id} and {other} swapped their userPrincipalNames"));
            }
            4 => {
                self.update_user(id, |user| user.mail = None);
                "has no mail"
            }
            5 => {
                self.update_user(id, |user| {
                    user.business_phones = vec![format!("+44 20 7946 {:04}", number % 10_000)];
                });
                "has another telephone"
            }
            6 => {
                self.update_user(id, |user| {
                    user.account_enabled = Some(user.account_enabled == Some(false));
                });
                "was enabled or disabled"
            }
            7 => {
                self.replay_user(id);
                "is repeated without a change"
            }
            8 => {
                let status = *["Enabled", "Warning", "Suspended", "Deleted", "LockedOut", "Novel"].choose(rng)?;
                self.update_user(id, |user| {
                    let at = usize::from(number) % user.plans.len().max(1);
                    match user.plans.get_mut(at) {
                        Some(plan) => plan.capability_status = status.into(),
                        None => user
                            .plans
                            .push(AssignedPlan::new(Uuid::from_u128(u128::from(number)), status)),
                    }
                });
                return Some(format!("one plan of user {id} is now {status}"));
            }
            _ => {
                let profile = *Profile::ALL.choose(rng)?;
                self.give_profile(id, profile);
                return Some(format!("user {id} was given {profile:?}"));
            }
        };
        Some(format!("user {id} {what}"))
    }

    fn somebody_goes_or_returns<R: Rng + ?Sized>(&self, rng: &mut R) -> Option<String> {
        let (id, what) = match rng.random_range(0..8) {
            0..4 => {
                let id = self.random_user(rng)?;
                self.soft_delete(id);
                (id, "was soft-deleted")
            }
            4..6 => {
                let id = self.draw(rng, |standing| matches!(standing, Standing::SoftDeleted(_)))?;
                self.restore(id);
                (id, "was restored")
            }
            6 => {
                let id = self.draw(rng, |standing| standing != Standing::Purged)?;
                self.purge(id);
                (id, "was purged")
            }
            _ => {
                let id = Uuid::from_u128(rng.random());
                self.add_stray_tombstone(
                    id,
                    if rng.random() {
                        Removal::Soft
                    } else {
                        Removal::Permanent
                    },
                );
                (id, "is unknown and left a tombstone")
            }
        };
        Some(format!("user {id} {what}"))
    }

    fn a_group_changes<R: Rng + ?Sized>(&self, rng: &mut R) -> Option<String> {
        let groups = self.group_ids();
        let group = *groups.choose(rng)?;
        let what = match rng.random_range(0..14) {
            0..5 => {
                let user = self.random_user(rng)?;
                self.add_member(group, user);
                format!("user {user} joined")
            }
            5..9 => {
                let member = *self.members(group)?.choose(rng)?;
                self.remove_member(group, member);
                format!("{member} left")
            }
            9 => {
                let nested = *groups.choose(rng).filter(|nested| **nested != group)?;
                self.add_member(group, nested);
                format!("group {nested} joined")
            }
            10 => {
                let device = self.add_device("laptop");
                self.add_member(group, device);
                format!("device {device} joined")
            }
            11 => {
                let name = format!("Group {}", rng.random::<u16>());
                if rng.random_ratio(1, 4) {
                    let made = self.create_group(&name);
                    return Some(format!("group {made} was created"));
                }
                self.rename_group(group, &name);
                "renamed".to_owned()
            }
            _ => {
                let user = self.random_user(rng)?;
                let _ = self.add_owner(group, user) || self.remove_owner(group, user);
                format!("user {user} became or ceased to be an owner")
            }
        };
        Some(format!("group {group}: {what}"))
    }

    fn a_role_changes<R: Rng + ?Sized>(&self, rng: &mut R) -> Option<String> {
        let role = *ROLES.choose(rng)?;
        if rng.random_ratio(2, 5) {
            let held = self.role_assignments().choose(rng)?.clone();
            let _ = match held.hold {
                Hold::Eligible => self.end_eligibility(held.role, held.principal),
                _ => self.unassign_role(held.role, held.principal),
            };
            return Some(format!("{} lost role {}", held.principal, held.role));
        }
        let role_group = {
            let state = self.read();
            let assignable: Vec<Uuid> = state
                .groups
                .iter()
                .filter(|group| group.role_assignable && !group.deleted)
                .map(|group| group.id)
                .collect();
            assignable.choose(rng).copied().filter(|_| rng.random_ratio(1, 3))
        };
        let principal = role_group.or_else(|| self.random_user(rng))?;
        let scope = if rng.random_ratio(1, 5) {
            format!("/administrativeUnits/{}", Uuid::from_u128(rng.random()))
        } else {
            "/".to_owned()
        };
        if rng.random_ratio(1, 5) {
            self.activate_role(role, principal, &scope, Duration::from_hours(1));
            return Some(format!("{principal} activated role {role} over {scope}"));
        }
        if rng.random_ratio(1, 5) {
            self.make_eligible(role, principal, &scope);
            return Some(format!("{principal} became eligible for role {role} over {scope}"));
        }
        self.assign_role(role, principal, &scope);
        Some(format!("{principal} was given role {role} over {scope}"))
    }

    fn a_product_changes<R: Rng + ?Sized>(&self, rng: &mut R) -> Option<String> {
        let mut skus = self.skus();
        let status = *["Enabled", "Warning", "Suspended", "LockedOut"].choose(rng)?;
        let at = rng.random_range(0..skus.len().max(1));
        let sku = skus.get_mut(at)?;
        sku.capability_status = status.into();
        let told = format!("product {} is now {status}", sku.part_number);
        self.set_skus(skus);
        Some(told)
    }
}
