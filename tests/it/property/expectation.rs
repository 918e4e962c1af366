//! What the rules want of a user, read off the tenant, and which differences between two tables follow from it.

use std::collections::HashSet;

use rollcall::domain::environment::{Environment, GroupNesting};
use rollcall::domain::field::{Field, Policy};
use rollcall::domain::licence::{Category, ViralCountsAs};
use rollcall::domain::system_user::SystemUser;
use rollcall::simulator::tenant::{
    DYNAMICS_365_ADMINISTRATOR, GLOBAL_ADMINISTRATOR, Hold, POWER_PLATFORM_ADMINISTRATOR, Standing, Tenant, User,
};
use uuid::Uuid;

use crate::world::World;

/// What the rules say of a user as the tenant is now.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Expectation {
    /// A row that is enabled: in both tables.
    Entitled,
    /// No new row in the background; one that exists is kept as it is.
    OnDemandOnly,
    /// No new row; one that exists is disabled for this.
    Disabled(&'static str),
}

/// The tenant as one environment has to see it.
pub struct Facts<'a> {
    world: &'a World,
    pub tenant: &'a Tenant,
    environment: &'a Environment,
    admins: HashSet<Uuid>,
    /// Those of them whom the security group does not stop.
    exempt: HashSet<Uuid>,
    direct: HashSet<Uuid>,
    owners: HashSet<Uuid>,
    nested: HashSet<Uuid>,
    marketing: bool,
}

impl<'a> Facts<'a> {
    pub fn of(world: &'a World, environment: &'a Environment) -> Self {
        let tenant: &Tenant = world.tenant();
        let members = |group| tenant.members(group).unwrap_or_default();
        let holders = |roles: &[Uuid]| -> HashSet<Uuid> {
            tenant
                .role_assignments()
                .into_iter()
                .filter(|held| roles.contains(&held.role) && held.scope == "/" && held.hold != Hold::Eligible)
                .flat_map(|held| tenant.members(held.principal).unwrap_or_else(|| vec![held.principal]))
                .collect()
        };
        let mut nested = HashSet::new();
        let mut groups: Vec<Uuid> = environment.security_group.into_iter().collect();
        let mut seen: HashSet<Uuid> = groups.iter().copied().collect();
        while let Some(group) = groups.pop() {
            for member in members(group) {
                nested.insert(member);
                if tenant.members(member).is_some() && seen.insert(member) {
                    groups.push(member);
                }
            }
        }
        let catalogue = &world.engine.settings.catalogue;
        let bought = tenant.skus().into_iter().any(|sku| {
            matches!(sku.capability_status.as_str(), "Enabled" | "Warning")
                && sku.plans.iter().any(|(plan, ..)| {
                    Uuid::parse_str(plan).is_ok_and(|plan| catalogue.category(plan) == Category::Marketing)
                })
        });
        Self {
            world,
            tenant,
            environment,
            admins: holders(&[
                GLOBAL_ADMINISTRATOR,
                POWER_PLATFORM_ADMINISTRATOR,
                DYNAMICS_365_ADMINISTRATOR,
            ]),
            exempt: holders(&[GLOBAL_ADMINISTRATOR, POWER_PLATFORM_ADMINISTRATOR]),
            direct: environment.security_group.map(members).into_iter().flatten().collect(),
            owners: environment
                .security_group
                .and_then(|group| tenant.owners(group))
                .into_iter()
                .flatten()
                .collect(),
            nested,
            marketing: world.engine.settings.tenant_marketing.unwrap_or(bought),
        }
    }

    /// What the user's usable plans are worth: paid for, free.
    fn licences(&self, user: &User) -> (bool, bool) {
        let settings = &self.world.engine.settings;
        let usable = user
            .plans
            .iter()
            .filter(|plan| matches!(plan.capability_status.as_str(), "Enabled" | "Warning"))
            .filter_map(|plan| Uuid::parse_str(&plan.plan_id).ok());
        let (mut full, mut free) = (false, false);
        for plan in usable {
            match (settings.catalogue.category(plan), settings.viral_counts_as) {
                (Category::Full, _) | (Category::Viral, ViralCountsAs::Full) => full = true,
                (Category::FreeM365, _) | (Category::Viral, ViralCountsAs::FreeM365) => free = true,
                _ => {}
            }
        }
        (full, free)
    }

    pub fn expectation(&self, id: Uuid) -> Expectation {
        let user = match self.tenant.standing(id) {
            Some(Standing::Live) => self.tenant.user(id).unwrap(),
            Some(Standing::SoftDeleted(_)) => return Expectation::Disabled("directory_soft_deleted"),
            Some(Standing::Purged) | None => return Expectation::Disabled("directory_deleted"),
        };
        if user.account_enabled == Some(false) {
            return Expectation::Disabled("directory_account_disabled");
        }
        let nesting = self.environment.group_nesting;
        let nested = self.nested.contains(&id);
        let passes = self.environment.security_group.is_none()
            || self.exempt.contains(&id)
            || self.direct.contains(&id)
            || (nested && nesting == GroupNesting::Full);
        let on_demand = !passes && (self.owners.contains(&id) || (nested && nesting == GroupNesting::OnDemand));
        if !passes && !on_demand {
            return Expectation::Disabled("not_in_security_group");
        }
        let (full, free) = self.licences(&user);
        let by_environment = self.environment.app_pass_capacity > 0 || self.environment.pay_as_you_go;
        if full || self.admins.contains(&id) {
            if on_demand || user.is_agent {
                Expectation::OnDemandOnly
            } else {
                Expectation::Entitled
            }
        } else if free || self.marketing || by_environment {
            Expectation::OnDemandOnly
        } else {
            Expectation::Disabled("unlicensed")
        }
    }
}

/// Whether the two tables differ on a user in a way that the rules do not want.
pub fn differ(
    facts: &Facts<'_>,
    id: Uuid,
    kept: Option<&SystemUser>,
    new: Option<&SystemUser>,
    created: Option<&String>,
) -> Result<(), String> {
    let expected = facts.expectation(id);
    let entitled = expected == Expectation::Entitled;
    if new.is_some() != entitled {
        return Err("the sync from nothing made the wrong choice".to_owned());
    }
    let Some(kept) = kept else {
        return if entitled {
            Err("the row is missing".to_owned())
        } else {
            Ok(())
        };
    };
    let always = facts.environment.policies.of(Field::FullName) == Policy::Always;
    if !always && kept.fullname.as_ref() != created {
        return Err("the full name was written after the creation".to_owned());
    }
    if let Some(new) = new {
        let mut kept = kept.clone();
        kept.systemuserid = new.systemuserid;
        (kept.createdon, kept.modifiedon) = (new.createdon, new.modifiedon);
        if !always {
            kept.fullname.clone_from(&new.fullname);
        }
        return if kept == *new {
            Ok(())
        } else {
            Err("a column differs".to_owned())
        };
    }
    let by_sync = kept.isdisabled && kept.disabled_by.as_deref() == Some("sync");
    let reason = kept.disabledreason.as_deref();
    let state_fits = match expected {
        Expectation::Disabled(wanted) => by_sync && reason == Some(wanted),
        // Kept; or disabled earlier, and the background enables nobody who has access on demand only.
        Expectation::OnDemandOnly | Expectation::Entitled => {
            !kept.isdisabled || (by_sync && reason == Some("on_demand_only"))
        }
    };
    if !state_fits {
        return Err("the row has the wrong state or reason".to_owned());
    }
    let azure_state = match expected {
        Expectation::Disabled("directory_deleted") => 2,
        Expectation::Disabled("directory_soft_deleted") => 1,
        _ => 0,
    };
    if kept.azurestate != azure_state || kept.azuredeletedon.is_some() != (azure_state != 0) {
        return Err("azurestate or azuredeletedon is wrong".to_owned());
    }
    if let Some(user) = facts.tenant.user(id) {
        let licensed = facts.licences(&user).0;
        let first = user
            .given_name
            .filter(|name| !name.is_empty())
            .unwrap_or("#".to_owned());
        let columns = [
            (&kept.domainname, &user.user_principal_name),
            (&kept.firstname, &Some(first)),
            (&kept.lastname, &user.surname.clone().or(user.display_name.clone())),
            (&kept.jobtitle, &user.job_title),
            (
                &kept.internalemailaddress,
                &user.mail.clone().or(user.user_principal_name.clone()),
            ),
            (&kept.address1_telephone1, &user.business_phones.first().cloned()),
            (&kept.mobilephone, &user.mobile_phone),
            (&kept.address1_city, &user.city),
            (&kept.address1_country, &user.country),
        ];
        if columns.iter().any(|(column, property)| column != property) || kept.islicensed != licensed {
            return Err("a column does not follow the directory".to_owned());
        }
    }
    Ok(())
}
