//! A tenant as one would find it: gate groups, administrators of every sort, a few oddities.

use uuid::Uuid;

use super::{
    DYNAMICS_365_ADMINISTRATOR, GLOBAL_ADMINISTRATOR, GLOBAL_READER, POWER_PLATFORM_ADMINISTRATOR, Profile, Tenant,
    User,
};

/// A group with three in five of the founding users.
pub const LARGE_GROUP: Uuid = Uuid::from_u128(0x5133_1a7e_0000_4000_8000_0000_0000_0001);
/// A group with some fifty users, a nested group, a device, and an owner who is no member.
pub const SMALL_GROUP: Uuid = Uuid::from_u128(0x5133_1a7e_0000_4000_8000_0000_0000_0002);
/// The group nested in the small one.
pub const NESTED_GROUP: Uuid = Uuid::from_u128(0x5133_1a7e_0000_4000_8000_0000_0000_0003);

/// The people of a furnished tenant who are worth knowing by name.
#[derive(Clone, Debug)]
pub struct Furnished {
    /// Global Administrator by direct assignment, without a licence.
    pub global_administrator: Uuid,
    /// Power Platform Administrator by way of a role-assignable group.
    pub power_platform_administrator: Uuid,
    /// Dynamics 365 Administrator, in no group.
    pub dynamics_administrator: Uuid,
    /// Eligible for Global Administrator, and not active.
    pub eligible: Uuid,
    /// Global Administrator of one administrative unit only.
    pub scoped: Uuid,
    /// Global Reader.
    pub reader: Uuid,
    /// A soft-deleted member of the small group.
    pub soft_deleted: Uuid,
    /// An `agentUser`.
    pub agent: Uuid,
}

impl Tenant {
    /// Sets up groups with fixed ids and administrators. To be called once, before anybody reads: it forgets the
    /// logs, and every token handed out before dies.
    pub fn furnish(&self) -> Furnished {
        let founders: Vec<Uuid> = self.user_ids();
        self.create_group_with_id(LARGE_GROUP, "Dataverse users");
        self.add_members(
            LARGE_GROUP,
            founders
                .iter()
                .enumerate()
                .filter(|(at, _)| at % 5 < 3)
                .map(|(_, id)| *id),
        );
        self.create_group_with_id(SMALL_GROUP, "Dataverse pilots");
        self.create_group_with_id(NESTED_GROUP, "Pilots of last year");
        self.add_members(SMALL_GROUP, founders.iter().copied().step_by(founders.len() / 50 + 1));
        self.add_members(
            NESTED_GROUP,
            founders.iter().copied().skip(1).step_by(founders.len() / 20 + 1),
        );
        self.add_member(SMALL_GROUP, NESTED_GROUP);
        self.add_member(SMALL_GROUP, self.add_device("Meeting room"));

        let person = |given: &str, surname: &str, profile| {
            let id = self.add_user(User::named(given, surname));
            self.give_profile(id, profile);
            id
        };
        let furnished = Furnished {
            global_administrator: person("Greta", "Global", Profile::Unlicensed),
            power_platform_administrator: person("Piotr", "Platform", Profile::E3),
            dynamics_administrator: person("Dana", "Dynamics", Profile::Unlicensed),
            eligible: person("Elif", "Eligible", Profile::E3),
            scoped: person("Sami", "Scoped", Profile::E3),
            reader: person("Rosa", "Reader", Profile::E3),
            soft_deleted: person("Dora", "Departed", Profile::E5PowerApps),
            agent: self.add_user(User {
                is_agent: true,
                ..User::named("Aide", "Agent")
            }),
        };
        let role_group = self.create_role_group("Platform administrators");
        self.add_member(role_group, furnished.power_platform_administrator);
        self.assign_role(GLOBAL_ADMINISTRATOR, furnished.global_administrator, "/");
        self.assign_role(POWER_PLATFORM_ADMINISTRATOR, role_group, "/");
        self.assign_role(DYNAMICS_365_ADMINISTRATOR, furnished.dynamics_administrator, "/");
        self.make_eligible(GLOBAL_ADMINISTRATOR, furnished.eligible, "/");
        let unit = format!(
            "/administrativeUnits/{}",
            Uuid::from_u128(0x5133_1a7e_0000_4000_8000_0000_0000_0009)
        );
        self.assign_role(GLOBAL_ADMINISTRATOR, furnished.scoped, &unit);
        self.assign_role(GLOBAL_READER, furnished.reader, "/");
        self.add_owner(SMALL_GROUP, furnished.reader);
        self.add_member(SMALL_GROUP, furnished.soft_deleted);
        self.soft_delete(furnished.soft_deleted);

        let mut state = self.write();
        state.user_log = Vec::new();
        state.group_log = Vec::new();
        state.history = Vec::new();
        state.generation += 1;
        state.page_generation += 1;
        drop(state);
        furnished
    }
}
