//! Group scope: the mirror holds the population and nobody else, at a cost that the tenant's size does not matter for.

mod meanwhile;

use std::collections::BTreeSet;
use std::time::Duration;

use rollcall::domain::environment::{Environment, GroupNesting, Kind};
use rollcall::domain::scope::Scope;
use rollcall::rules::Trigger;
use rollcall::simulator::tenant::{
    DYNAMICS_365_ADMINISTRATOR, GLOBAL_ADMINISTRATOR, Hold, POWER_PLATFORM_ADMINISTRATOR, Standing, Tenant, User,
};
use rollcall::simulator::{Effect, Fault, Settings as SimulatorSettings, When};
use rollcall::sync::desk::Ask;
use uuid::Uuid;

use crate::on_demand::{ENV, ask};
use crate::world::{NO_LIMITS, World, guarded_environment, licensed, open_environment};

const GROUP: Uuid = Uuid::from_u128(0x6060);
/// An id that the directory never had.
const NOBODY: Uuid = Uuid::from_u128(0xdead);
const ADMINISTRATORS: [Uuid; 3] = [
    GLOBAL_ADMINISTRATOR,
    POWER_PLATFORM_ADMINISTRATOR,
    DYNAMICS_365_ADMINISTRATOR,
];
const INNER: Uuid = Uuid::from_u128(0x1aae);

/// A stage in group scope around a tenant with some users, and a group that is empty.
async fn stage(environment: Environment, simulator: SimulatorSettings) -> World {
    let mut world = World::with(vec![environment], simulator, NO_LIMITS).await;
    world.configure(|settings| settings.scope = Scope::Groups);
    world.tenant().create_group_with_id(GROUP, "All of production");
    world
}

async fn small_stage() -> World {
    let simulator = SimulatorSettings {
        users: 60,
        ..SimulatorSettings::default()
    };
    stage(guarded_environment(ENV, GROUP), simulator).await
}

fn first(tenant: &Tenant, users: usize) -> Vec<Uuid> {
    (0..users).filter_map(|at| tenant.user_id_at(at)).collect()
}

async fn mirrored(world: &World) -> BTreeSet<Uuid> {
    let ids = world.strings("select id::text from rollcall.directory_user").await;
    ids.iter().map(|id| Uuid::parse_str(id).unwrap()).collect()
}

/// Who belongs to the population, read off the tenant and the rows.
async fn population(world: &World) -> BTreeSet<Uuid> {
    let tenant = world.tenant();
    let mut population = BTreeSet::new();
    for (environment, _) in &world.engine.settings.environments {
        let mut groups: Vec<Uuid> = environment.security_group.into_iter().collect();
        population.extend(groups.iter().filter_map(|group| tenant.owners(*group)).flatten());
        while let Some(group) = groups.pop() {
            let members = tenant.members(group).unwrap_or_default();
            let (inner, users): (Vec<_>, Vec<_>) = members.into_iter().partition(|id| tenant.members(*id).is_some());
            population.extend(users);
            if environment.group_nesting != GroupNesting::Ignore {
                groups.extend(inner);
            }
        }
        population.extend(environment.creator);
        population.extend(world.rows(&environment.name).await.into_keys());
    }
    let roles = tenant.role_assignments().into_iter();
    let roles =
        roles.filter(|held| ADMINISTRATORS.contains(&held.role) && held.scope == "/" && held.hold != Hold::Eligible);
    population.extend(roles.flat_map(|held| tenant.members(held.principal).unwrap_or_else(|| vec![held.principal])));
    // Devices and applications.
    population.retain(|id| tenant.standing(*id).is_some() || *id == NOBODY);
    population
}

/// The mirror holds the population, as the directory knows it, and nobody else.
pub async fn assert_mirrors_the_population(world: &World, what: &str) {
    let mirrored = mirrored(world).await;
    let population = population(world).await;
    // What the directory does not know can be a member: a record says so.
    let outside = mirrored.difference(&population);
    let tenant = world.tenant();
    let outside: Vec<_> = outside.filter(|id| tenant.standing(**id).is_some()).collect();
    assert!(outside.is_empty(), "{what}: outside the population: {outside:?}");
    // No listing names a member who is deleted.
    let missing = population.difference(&mirrored);
    let missing: Vec<_> = missing
        .filter(|id| tenant.standing(**id) == Some(Standing::Live))
        .collect();
    assert!(missing.is_empty(), "{what}: missing from the mirror: {missing:?}");
}

#[tokio::test]
async fn a_first_sync_of_a_group_costs_the_same_in_a_tenant_of_any_size() {
    let mut costs = Vec::new();
    for users in [2_500, 20_000] {
        let simulator = SimulatorSettings {
            users,
            ..SimulatorSettings::default()
        };
        let world = stage(guarded_environment(ENV, GROUP), simulator).await;
        let tenant = world.tenant();
        tenant.add_members(GROUP, first(tenant, 2_000));
        tenant.add_owner(GROUP, tenant.user_id_at(2_100).unwrap());
        tenant.assign_role(GLOBAL_ADMINISTRATOR, tenant.user_id_at(2_101).unwrap(), "/");
        world.sync_completely().await;
        let sent = world.simulator.request_counts();
        let requests: u64 = sent.values().sum();
        assert!(requests <= 20, "{requests} requests in a tenant of {users}: {sent:?}");
        assert!(!sent.contains_key("/users"), "{sent:?}");
        assert_eq!(mirrored(&world).await.len(), 2_002);
        assert_mirrors_the_population(&world, "first sync").await;
        costs.push(requests);
        world.assert_settled().await;
        world.end().await;
    }
    assert_eq!(costs[0], costs[1]);
}

#[tokio::test]
async fn whoever_enters_the_population_is_judged_in_the_same_run_and_whoever_leaves_it_is_forgotten() {
    let environment = Environment {
        group_nesting: GroupNesting::Full,
        ..guarded_environment(ENV, GROUP)
    };
    let simulator = SimulatorSettings {
        users: 60,
        ..SimulatorSettings::default()
    };
    let world = stage(environment, simulator).await;
    let tenant = world.tenant();
    tenant.create_group_with_id(INNER, "Within");
    let someone = |name: &str| licensed(tenant, name, "Tester");
    let [member, owner, admin, nested, leaver, blank] =
        ["Member", "Owner", "Admin", "Nested", "Leaver", "Blank"].map(someone);
    let unlicensed = tenant.add_user(User::named("Guest", "Tester"));
    tenant.add_member(GROUP, leaver);
    tenant.add_member(INNER, nested);
    world.sync_completely().await;
    assert_mirrors_the_population(&world, "first sync").await;

    let steps: [(&str, &dyn Fn() -> bool, Uuid, &str); 8] = [
        (
            "a member joins",
            &|| tenant.add_member(GROUP, member),
            member,
            "enabled",
        ),
        ("an owner is added", &|| tenant.add_owner(GROUP, owner), owner, "none"),
        (
            "an administrator is appointed",
            &|| !tenant.assign_role(GLOBAL_ADMINISTRATOR, admin, "/").is_empty(),
            admin,
            "enabled",
        ),
        (
            "a group is nested",
            &|| tenant.add_member(GROUP, INNER),
            nested,
            "enabled",
        ),
        (
            "a user without a row joins and leaves between two runs",
            &|| tenant.add_member(GROUP, blank) && tenant.remove_member(GROUP, blank),
            blank,
            "none",
        ),
        (
            "somebody without a licence joins",
            &|| tenant.add_member(GROUP, unlicensed),
            unlicensed,
            "none",
        ),
        (
            "and leaves",
            &|| tenant.remove_member(GROUP, unlicensed),
            unlicensed,
            "none",
        ),
        (
            "somebody with a row leaves",
            &|| tenant.remove_member(GROUP, leaver),
            leaver,
            "not_in_security_group by sync",
        ),
    ];
    for (what, change, user, expected) in steps {
        assert!(change(), "{what}");
        world.sync_completely().await;
        assert_eq!(crate::on_demand::state(&world, user).await, expected, "{what}");
        assert_mirrors_the_population(&world, what).await;
    }
    assert!(
        mirrored(&world).await.contains(&leaver),
        "a row keeps its user in the mirror"
    );
    tenant.update_user(leaver, |user| user.job_title = Some("Elsewhere".to_owned()));
    tenant.update_user(unlicensed, |user| user.job_title = Some("Elsewhere".to_owned()));
    world.sync_completely().await;
    let row = world.row(ENV, leaver).await.unwrap();
    assert_eq!(row.jobtitle.as_deref(), Some("Elsewhere"));
    assert_mirrors_the_population(&world, "the tenant's changes").await;
    world.assert_settled().await;
    world.end().await;
}

#[tokio::test]
async fn a_user_who_is_asked_for_is_mirrored_as_long_as_the_answer_is_fresh_or_a_row_exists() {
    let mut world = small_stage().await;
    world.configure(|settings| settings.access_freshness = Duration::from_mins(1));
    let tenant = world.tenant();
    let (outsider, member) = (licensed(tenant, "Out", "Sider"), licensed(tenant, "New", "Member"));
    world.sync_completely().await;
    assert!(mirrored(&world).await.is_empty());
    world.tenant().add_member(GROUP, member);
    let desk = world.engine.desk();
    for (user, created) in [(outsider, false), (member, true)] {
        let name = user.to_string();
        let answer = desk.add(ask(&name), Trigger::AdminAdd).await;
        assert_eq!(answer.is_ok(), created, "{answer:?}");
    }
    assert_eq!(mirrored(&world).await, BTreeSet::from([outsider, member]));
    world.sync_completely().await;
    assert!(mirrored(&world).await.contains(&outsider), "the answer is still fresh");
    world.tenant().remove_member(GROUP, member);
    world.advance(Duration::from_mins(2));
    world.sync_completely().await;
    assert_eq!(mirrored(&world).await, BTreeSet::from([member]));
    world.assert_settled().await;
    world.end().await;
}

/// Rows bound to object ids by another program.
#[tokio::test]
async fn a_row_of_another_program_brings_its_user_into_the_mirror() {
    let world = small_stage().await;
    let someone = licensed(world.tenant(), "Im", "Ported");
    world.sync_completely().await;
    let statement = format!(
        "insert into rollcall.system_user (environment, systemuserid, azureactivedirectoryobjectid, domainname)
         values ('{ENV}', gen_random_uuid(), '{someone}', 'imported@example.com'),
                ('{ENV}', gen_random_uuid(), '{NOBODY}', 'nobody@example.com')"
    );
    world.execute(statement.leak()).await;
    world.sync_completely().await;
    assert_mirrors_the_population(&world, "rows").await;
    let row = world.row(ENV, someone).await.unwrap();
    assert_eq!(row.disabledreason.as_deref(), Some("not_in_security_group"));
    let row = world.row(ENV, NOBODY).await.unwrap();
    assert_eq!(
        (row.azurestate, row.disabledreason.as_deref()),
        (2, Some("directory_deleted"))
    );
    world.assert_settled().await;
    world.end().await;
}

#[tokio::test]
async fn a_change_of_scope_begins_a_round_and_changes_no_row() {
    let mut world = small_stage().await;
    let tenant = world.tenant();
    tenant.add_members(GROUP, first(tenant, 20));
    tenant.add_member(GROUP, licensed(tenant, "Ada", "Lovelace"));
    world.sync_completely().await;
    let rows = world.dump().await;
    for scope in [Scope::Tenant, Scope::Groups, Scope::Tenant, Scope::Groups] {
        world.configure(|settings| settings.scope = scope);
        drop(world.simulator.take_requests());
        world.sync_completely().await;
        assert_eq!(world.dump().await, rows, "{scope}");
        let is_listed = |endpoint| world.simulator.requests().iter().any(|seen| seen.endpoint == endpoint);
        assert!(is_listed("/users/delta"));
        assert_eq!(is_listed("/users"), scope == Scope::Tenant);
        match scope {
            Scope::Tenant => assert_eq!(mirrored(&world).await.len(), 61),
            Scope::Groups => assert_mirrors_the_population(&world, "groups again").await,
        }
        world.assert_settled().await;
    }
    world.end().await;
}

/// No group's feed tells of a user who returns, and no listing has had them.
#[tokio::test]
async fn a_member_deleted_before_the_first_round_returns_with_the_membership() {
    for scope in [Scope::Groups, Scope::Tenant] {
        let mut world = small_stage().await;
        world.configure(|settings| settings.scope = scope);
        let tenant = world.tenant();
        let [before, later, outsider] = ["Before", "Later", "Outside"].map(|name| licensed(tenant, name, "Deleted"));
        tenant.add_members(GROUP, [before, later]);
        tenant.soft_delete(before);
        tenant.soft_delete(outsider);
        world.sync_completely().await;
        assert!(world.row(ENV, before).await.is_none());
        tenant.soft_delete(later);
        world.sync_completely().await;
        let row = world.row(ENV, later).await.unwrap();
        assert_eq!((row.isdisabled, row.azurestate), (true, 1));
        for user in [before, later, outsider] {
            tenant.restore(user);
        }
        world.sync_completely().await;
        for user in [before, later] {
            let row = world.row(ENV, user).await.unwrap();
            assert_eq!((row.isdisabled, row.azurestate), (false, 0), "{scope}");
        }
        assert!(world.row(ENV, outsider).await.is_none());
        if scope == Scope::Groups {
            assert_mirrors_the_population(&world, "restored").await;
        }
        world.assert_settled().await;
        world.end().await;
    }
}

/// The users of a group come fast, or not at all: look-ups fetch whoever is missing, and membership is the groups' own.
#[tokio::test]
async fn a_listing_of_a_groups_users_that_lags_or_is_refused_leaves_nobody_out_and_adds_nobody() {
    const CAST: &str = "/groups/{id}/members/microsoft.graph.user";
    for (what, ignores_latest, cast_needs_index, refused) in [
        ("from the index", false, true, false),
        ("without the index", false, false, false),
        ("refused", false, true, true),
        ("without a link of the changes", true, true, false),
    ] {
        let simulator = SimulatorSettings {
            users: 900,
            index_lag: Duration::from_mins(10),
            ignores_latest,
            cast_needs_index,
            ..SimulatorSettings::default()
        };
        let world = stage(guarded_environment(ENV, GROUP), simulator).await;
        let tenant = world.tenant();
        if refused {
            let refusal = Effect::error(400, "Request_UnsupportedQuery");
            world
                .simulator
                .faults()
                .push(Fault::forever(When::endpoint(CAST), refusal));
        }
        tenant.add_members(GROUP, first(tenant, 500));
        let (former, blocked) = (tenant.user_id_at(3).unwrap(), tenant.user_id_at(4).unwrap());
        world.advance(Duration::from_mins(20));
        tenant.remove_member(GROUP, former);
        let late = licensed(tenant, "Just", "Joined");
        tenant.add_member(GROUP, late);
        world.sync_completely().await;
        let counts = world.simulator.request_counts();
        assert!(
            refused || ignores_latest || counts.contains_key(CAST),
            "{what}: {counts:?}"
        );
        assert_mirrors_the_population(&world, what).await;
        assert!(world.row(ENV, former).await.is_none(), "{what}");
        assert!(!world.row(ENV, late).await.unwrap().isdisabled, "{what}");
        tenant.update_user(blocked, |user| user.account_enabled = Some(false));
        world.sync_completely().await;
        let row = world.row(ENV, blocked).await;
        assert!(row.is_none_or(|row| row.isdisabled), "{what}");
        assert_mirrors_the_population(&world, what).await;
        world.assert_settled().await;
        world.end().await;
    }
}

/// An environment that the background does not fill can still be filled by an import of everybody.
#[tokio::test]
async fn an_environment_without_a_group_chooses_from_the_tenant_although_the_mirror_does_not_hold_it() {
    let mut world = small_stage().await;
    let trial = Environment::new("trial", Kind::Trial);
    world.configure(|settings| settings.environments.push((trial, String::new())));
    let known = licensed(world.tenant(), "Known", "Already");
    let other = licensed(world.tenant(), "Other", "Person");
    world.sync_completely().await;
    let name = known.to_string();
    let add = Ask {
        environment: "trial",
        ..ask(&name)
    };
    world.engine.desk().add(add, Trigger::AdminAdd).await.unwrap();
    let imports = world.engine.imports();
    let all = imports.candidates("trial", None, None, 1_000).await.unwrap();
    assert_eq!(all.len(), world.tenant().user_ids().len() - 1);
    assert!(all.is_sorted_by_key(|user| user.id) && all.iter().all(|user| user.id != known));
    let named = imports.candidates("trial", Some("OTHER p"), None, 10).await.unwrap();
    assert_eq!(named.iter().map(|user| user.id).collect::<Vec<_>>(), [other]);
    let after = imports.candidates("trial", None, Some(all[4].id), 3).await.unwrap();
    assert_eq!(after, all[5..8]);
    world.sync_completely().await;
    assert_mirrors_the_population(&world, "nobody listed is kept").await;
    world.end().await;
}

/// Whoever the tenant has, and wherever they stand in the population.
#[tokio::test]
async fn developers_and_role_holders_are_in_the_population_and_a_purged_member_is_gone() {
    let mut world = small_stage().await;
    let tenant = world.tenant();
    let [creator, dynamics, purged] = ["Creator", "Dynamics", "Purged"].map(|name| licensed(tenant, name, "Tester"));
    tenant.assign_role(DYNAMICS_365_ADMINISTRATOR, dynamics, "/");
    tenant.add_member(GROUP, purged);
    world.sync_completely().await;
    world.configure(|settings| {
        let own = Environment {
            creator: Some(creator),
            ..Environment::new("own", Kind::Developer)
        };
        let trial = Environment::new("trial", Kind::Trial);
        settings.environments.push((own, String::new()));
        settings.environments.push((trial, String::new()));
    });
    world.tenant().soft_delete(purged);
    world.tenant().purge(purged);
    assert_eq!(world.tenant().standing(purged), Some(Standing::Purged));
    world.sync_completely().await;
    assert!(world.row("own", creator).await.is_some());
    assert_eq!(world.row(ENV, purged).await.unwrap().azurestate, 2);
    assert_mirrors_the_population(&world, "creators").await;
    world.assert_settled().await;
    let open = open_environment("open");
    world.configure(|settings| {
        settings.environments.push((open, String::new()));
        settings.scope = Scope::Tenant;
    });
    world.sync_completely().await;
    assert!(world.rows("open").await.len() > 3);
    world.assert_settled().await;
    world.end().await;
}
