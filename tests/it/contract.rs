//! The obligations of graph.md, section 11: each is shown by a test whose name begins with its item,
//! against the simulated tenant and a real database, and each ends with a cycle that plans nothing.
//!
//! Beside them, `look_ups` shows what the edge alone promises about batches and reads on demand (graph.md, section
//! 7.4), and `doubt`, `breaker`, `nesting`, `spoilt` and `unreadable` show what else the directory may say that is not
//! to be taken at its word (rules.md, sections 1 and 11).

mod admins;
mod breaker;
mod crashes;
mod doubt;
mod expiry;
mod first_round;
mod groups;
mod incremental;
mod licences;
mod links;
mod listing;
mod look_ups;
mod nesting;
mod renames;
mod resync;
mod retries;
pub mod spoilt;
mod tokens;
mod unreadable;

use rollcall::domain::environment::Environment;
use rollcall::domain::schema::Schema;
use rollcall::domain::system_user::SystemUser;
use rollcall::plan::guard::Limits;
use rollcall::simulator::tenant::Profile;
use rollcall::simulator::{Carrying, Effect, Fault, Seen, Settings as SimulatorSettings, When};
use rollcall::store::Store;
use rollcall::sync::{Report, RunOutcome};
use uuid::{Uuid, uuid};

use crate::world::{NO_LIMITS, World, graph, guarded_environment, licensed, open_environment};

const ENVIRONMENT: &str = "production";
const USERS: &str = "/users/delta";
/// The security group of those who have one.
const GATE: Uuid = Uuid::from_u128(0x9999);

/// `DYN365_ENTERPRISE_SALES`: a full plan.
const SALES: Uuid = uuid!("2da8e897-7791-486b-b08f-cc63c8129df7");
/// `POWERAPPS_PER_USER`: another.
const POWER_APPS: Uuid = uuid!("ea2cf03b-ac60-46ae-9c1d-eeaeb63cec86");
/// `DYN365_CDS_O365_P2`: the free Dataverse plan of an Office product.
const OFFICE_DATAVERSE: Uuid = uuid!("4ff01e01-1ba7-4d71-8cf8-ce96c3bbcf14");

/// A stage with one open environment and so many users a page, where rounds are walks through the feed.
async fn paged(page_size: usize) -> World {
    paged_with(vec![open_environment(ENVIRONMENT)], page_size).await
}

/// The same with other environments; relations come in pages of the same size.
async fn paged_with(environments: Vec<Environment>, page_size: usize) -> World {
    let simulator = SimulatorSettings {
        users: 0,
        page_size,
        listing_page_size: page_size,
        ignores_latest: true,
        relations_per_page: page_size,
        ..SimulatorSettings::default()
    };
    stage(environments, simulator, NO_LIMITS).await
}

/// The same, where rounds are listings.
async fn listed(page_size: usize) -> World {
    let world = paged(page_size).await;
    world.simulator.configure(|settings| settings.ignores_latest = false);
    world
}

/// Any stage, in a tenant without a Marketing licence: with one, everybody could be let in on demand, and nobody would
/// ever be unlicensed.
async fn stage(environments: Vec<Environment>, simulator: SimulatorSettings, limits: Limits) -> World {
    let world = World::with(environments, simulator, limits).await;
    let mut skus = world.tenant().skus();
    skus.retain(|sku| sku.plans.iter().all(|(_, name, _)| !name.contains("Marketing")));
    world.tenant().set_skus(skus);
    world
}

/// So many licensed users, in the order in which pages list them.
fn staff(world: &World, count: usize) -> Vec<Uuid> {
    (1..=count)
        .map(|number| licensed(world.tenant(), "User", &format!("Number{number}")))
        .collect()
}

/// So many licensed users in the security group of the one environment, which is in sync.
async fn gate(count: usize) -> (World, Vec<Uuid>) {
    let world = paged_with(vec![guarded_environment(ENVIRONMENT, GATE)], 200).await;
    let users = staff(&world, count);
    world.tenant().create_group_with_id(GATE, "Gate");
    world.tenant().add_members(GATE, users.iter().copied());
    world.sync_completely().await;
    (world, users)
}

/// Answers with a listing in which nobody stands.
fn nobody() -> Effect {
    Effect::rewrite(|page| {
        page["value"] = serde_json::json!([]);
        if let Some(page) = page.as_object_mut() {
            page.remove("@odata.nextLink");
        }
    })
}

/// Takes every plan away.
fn unlicense(world: &World, user: Uuid) {
    world.tenant().give_profile(user, Profile::Unlicensed);
}

/// What came in for an endpoint since the requests were last taken.
fn asked(world: &World, endpoint: &str) -> Vec<Seen> {
    let requests = world.simulator.requests();
    requests.into_iter().filter(|seen| seen.endpoint == endpoint).collect()
}

/// From here on [`asked`] tells only what is new.
fn forget_requests(world: &World) {
    drop(world.simulator.take_requests());
}

/// How many of some requests began a round or listing.
fn beginnings(seen: &[Seen]) -> usize {
    let carries = |seen: &&Seen| seen.query.contains("token=") && !seen.query.contains("token=latest");
    seen.len() - seen.iter().filter(carries).count()
}

fn once(world: &World, when: When, effect: Effect) {
    world.simulator.faults().push(Fault::once(when, effect));
}

fn forever(world: &World, when: When, effect: Effect) {
    world.simulator.faults().push(Fault::forever(when, effect));
}

fn heal(world: &World) {
    world.simulator.faults().clear();
}

/// The request for this page of users; the first is number 1.
fn page(number: u64) -> When {
    match number {
        1 => When::path(USERS).carrying(Carrying::Latest),
        later => When::path(USERS).carrying(Carrying::SkipToken).after(later - 2),
    }
}

/// A new process: it has nothing but the database.
async fn restart(world: &mut World) {
    world.engine.graph = graph(&world.simulator, world.clock.clone());
    world.engine.store = Store::connect(world.database_url(), &Schema::default(), 5)
        .await
        .unwrap();
}

/// One cycle that could not read everything.
async fn sync_incompletely(world: &World) -> Report {
    let report = world.sync().await;
    assert_eq!(report.outcome, RunOutcome::Incomplete, "{report:?}");
    assert!(!report.problems.is_empty());
    report
}

async fn row(world: &World, user: Uuid) -> SystemUser {
    world.row(ENVIRONMENT, user).await.unwrap()
}

async fn has_row(world: &World, user: Uuid) -> bool {
    world.row(ENVIRONMENT, user).await.is_some()
}

/// Why a row is disabled; none for an enabled one.
async fn disabled(world: &World, user: Uuid) -> Option<String> {
    let row = row(world, user).await;
    assert_eq!(row.isdisabled, row.disabledreason.is_some(), "{row:?}");
    row.disabledreason
}

/// All of them have exactly one row, and it is enabled.
async fn assert_all_enabled(world: &World, users: &[Uuid]) {
    let rows = world.rows(ENVIRONMENT).await;
    for user in users {
        assert!(
            rows.get(user).is_some_and(|row| !row.isdisabled),
            "{user}: {:?}",
            rows.get(user)
        );
    }
    let bound = world
        .number(
            "select count(*) from rollcall.system_user
             where environment = 'production' and azureactivedirectoryobjectid is not null",
        )
        .await;
    assert_eq!(usize::try_from(bound).unwrap(), rows.len(), "one row a user");
}
