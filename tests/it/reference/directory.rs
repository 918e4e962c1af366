//! A plain copy of what the tenant holds, as somebody who looks once per cycle can know it.
//!
//! Of a user who is deleted only the deletion can be seen: the rest stays as it was last seen.

use std::collections::{BTreeMap, HashMap, HashSet};

use chrono::{DateTime, SubsecRound as _, Utc};
use rollcall::simulator::tenant::{
    DYNAMICS_365_ADMINISTRATOR, GLOBAL_ADMINISTRATOR, Hold, POWER_PLATFORM_ADMINISTRATOR, Standing, Tenant, User,
};
use uuid::Uuid;

use super::licences::{self, Worth};

/// Whether the directory still has the user.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Presence {
    Present,
    SoftDeleted,
    Gone,
}

/// One user, with the properties that rules.md, section 7 reads. NUL characters are removed, nothing else is changed.
#[derive(Clone, Debug)]
pub struct Person {
    pub id: Uuid,
    pub presence: Presence,
    /// When the user was deleted, if a run read deletedItems to learn of the deletion. Otherwise nobody tells.
    pub deleted_at: Option<DateTime<Utc>>,
    /// None: the application may not read it.
    pub enabled: Option<bool>,
    /// What the directory says of `accountEnabled` cannot be decoded.
    pub account_undecodable: bool,
    pub is_agent: bool,
    pub upn: Option<String>,
    pub display_name: Option<String>,
    pub given_name: Option<String>,
    pub surname: Option<String>,
    pub job_title: Option<String>,
    pub mail: Option<String>,
    pub phone: Option<String>,
    pub mobile: Option<String>,
    pub street: Option<String>,
    pub city: Option<String>,
    pub state: Option<String>,
    pub postal_code: Option<String>,
    pub country: Option<String>,
    /// What the usable plans are worth.
    pub plans: HashSet<Worth>,
}

/// The administrator roles of one user that count: active and tenant-wide.
#[derive(Clone, Copy, Debug, Default)]
pub struct Roles {
    pub global: bool,
    pub power_platform: bool,
    pub dynamics: bool,
}

#[derive(Clone, Debug, Default)]
pub struct Group {
    pub members: HashSet<Uuid>,
    pub owners: HashSet<Uuid>,
    /// The members of the groups within it, however deep.
    pub nested: HashSet<Uuid>,
}

/// Everything that was seen of the tenant.
#[derive(Clone, Debug, Default)]
pub struct Directory {
    pub people: BTreeMap<Uuid, Person>,
    pub groups: HashMap<Uuid, Group>,
    pub roles: HashMap<Uuid, Roles>,
    /// A tenant-level Marketing licence.
    pub marketing: bool,
    /// Properties that cannot be decoded at present, by user.
    pub undecodable: BTreeMap<Uuid, Vec<&'static str>>,
}

impl Directory {
    /// Looks at the tenant as it is now: at these users, and at everything else. Of some it is read when they were deleted.
    pub fn look(&mut self, tenant: &Tenant, people: &[Uuid], reads_deletion: &dyn Fn(Uuid) -> bool) {
        for id in people.iter().copied() {
            match tenant.standing(id) {
                Some(Standing::Live) => {
                    let mut person = Person::new(tenant.user(id).unwrap());
                    for property in self.undecodable.get(&id).into_iter().flatten() {
                        person.keep(property, self.people.get(&id));
                    }
                    self.people.insert(id, person);
                }
                Some(Standing::SoftDeleted(at)) => {
                    if let Some(person) = self.people.get_mut(&id) {
                        if person.is_present() && reads_deletion(id) {
                            // Graph tells times in whole seconds.
                            person.deleted_at = Some(at.trunc_subsecs(0));
                        }
                        person.presence = Presence::SoftDeleted;
                    }
                }
                Some(Standing::Purged) | None => {
                    if let Some(person) = self.people.get_mut(&id) {
                        person.presence = Presence::Gone;
                    }
                }
            }
        }
        self.groups.clear();
        for id in tenant.group_ids() {
            let group = Group {
                members: tenant.members(id).unwrap().into_iter().collect(),
                owners: tenant.owners(id).unwrap().into_iter().collect(),
                nested: HashSet::new(),
            };
            self.groups.insert(id, group);
        }
        let nested: HashMap<Uuid, HashSet<Uuid>> = self.groups.keys().map(|id| (*id, self.nested_in(*id))).collect();
        for (id, group) in &mut self.groups {
            group.nested.clone_from(&nested[id]);
        }
        self.look_at_roles(tenant);
        self.marketing = tenant.skus().iter().any(|sku| {
            is_usable(&sku.capability_status)
                && sku
                    .plans
                    .iter()
                    .any(|(plan, ..)| licences::worth(plan) == Some(Worth::Marketing))
        });
    }

    /// "Active, tenant-wide (`directoryScopeId` "/") assignments, direct or through a role-assignable group.
    /// Eligible-only (PIM) assignments do not count." (section 1)
    fn look_at_roles(&mut self, tenant: &Tenant) {
        self.roles.clear();
        for held in tenant.role_assignments() {
            if held.hold == Hold::Eligible || held.scope != "/" {
                continue;
            }
            let holders: Vec<Uuid> = match self.groups.get(&held.principal) {
                Some(group) => group.members.iter().copied().collect(),
                None => vec![held.principal],
            };
            for holder in holders {
                let roles = self.roles.entry(holder).or_default();
                roles.global |= held.role == GLOBAL_ADMINISTRATOR;
                roles.power_platform |= held.role == POWER_PLATFORM_ADMINISTRATOR;
                roles.dynamics |= held.role == DYNAMICS_365_ADMINISTRATOR;
            }
        }
    }

    pub fn roles_of(&self, id: Uuid) -> Roles {
        self.roles.get(&id).copied().unwrap_or_default()
    }

    pub fn is_member(&self, group: Uuid, id: Uuid) -> bool {
        self.groups.get(&group).is_some_and(|group| group.members.contains(&id))
    }

    pub fn is_owner(&self, group: Uuid, id: Uuid) -> bool {
        self.groups.get(&group).is_some_and(|group| group.owners.contains(&id))
    }

    pub fn is_nested_member(&self, group: Uuid, id: Uuid) -> bool {
        self.groups.get(&group).is_some_and(|group| group.nested.contains(&id))
    }

    fn nested_in(&self, group: Uuid) -> HashSet<Uuid> {
        let mut seen = HashSet::from([group]);
        let mut next = vec![group];
        let mut nested = HashSet::new();
        while let Some(at) = next.pop() {
            for within in &self.groups[&at].members {
                if let Some(group) = self.groups.get(within)
                    && seen.insert(*within)
                {
                    nested.extend(group.members.iter().copied());
                    next.push(*within);
                }
            }
        }
        nested
    }
}

impl Roles {
    pub fn any(self) -> bool {
        self.global || self.power_platform || self.dynamics
    }
}

impl Person {
    pub fn new(user: User) -> Self {
        Self {
            id: user.id,
            presence: Presence::Present,
            deleted_at: None,
            enabled: user.account_enabled,
            account_undecodable: false,
            is_agent: user.is_agent,
            upn: storable(user.user_principal_name),
            display_name: storable(user.display_name),
            given_name: storable(user.given_name),
            surname: storable(user.surname),
            job_title: storable(user.job_title),
            mail: storable(user.mail),
            phone: storable(user.business_phones.into_iter().next()),
            mobile: storable(user.mobile_phone),
            street: storable(user.street_address),
            city: storable(user.city),
            state: storable(user.state),
            postal_code: storable(user.postal_code),
            country: storable(user.country),
            // "A plan counts only when its capabilityStatus is Enabled or Warning; if one plan appears several
            // times, any usable entry counts." (section 1)
            plans: user
                .plans
                .iter()
                .filter(|plan| is_usable(&plan.capability_status))
                .filter_map(|plan| licences::worth(&plan.plan_id))
                .collect(),
        }
    }

    /// "A value that cannot be decoded is *unknown*: the mirror keeps what it had for that property (nothing for a new
    /// user)" (section 2)
    fn keep(&mut self, property: &str, before: Option<&Self>) {
        macro_rules! keep {
            ($field:ident) => {
                self.$field = before.map(|before| before.$field.clone()).unwrap_or_default()
            };
        }
        match property {
            "userPrincipalName" => keep!(upn),
            "displayName" => keep!(display_name),
            "givenName" => keep!(given_name),
            "surname" => keep!(surname),
            "jobTitle" => keep!(job_title),
            "mail" => keep!(mail),
            "businessPhones" => keep!(phone),
            "mobilePhone" => keep!(mobile),
            "streetAddress" => keep!(street),
            "city" => keep!(city),
            "state" => keep!(state),
            "postalCode" => keep!(postal_code),
            "country" => keep!(country),
            "assignedPlans" => keep!(plans),
            "accountEnabled" => {
                keep!(enabled);
                self.account_undecodable = true;
            }
            other => panic!("{other} is no property"),
        }
    }

    pub fn is_present(&self) -> bool {
        self.presence == Presence::Present
    }
}

fn is_usable(capability_status: &str) -> bool {
    capability_status == "Enabled" || capability_status == "Warning"
}

/// "NUL characters are removed with a finding" (section 7): no column can hold them.
fn storable(text: Option<String>) -> Option<String> {
    text.map(|text| text.replace('\0', ""))
}
