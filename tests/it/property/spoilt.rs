//! One bad thing stays one bad thing: a random value, entry, row or source is spoilt, and the rest of the table is as if it
//! were not. What reads the spoilt thing may stay as it was, and follows once it is well again.
//! `ROLLCALL_PROPERTY_SEEDS` replays some seeds, as for the other plays.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use rand::rngs::StdRng;
use rand::seq::IndexedRandom as _;
use rand::{Rng, SeedableRng};
use rollcall::domain::environment::{Environment, GroupNesting};
use rollcall::domain::system_user::SystemUser;
use rollcall::simulator::tenant::{AssignedPlan, LARGE_GROUP, NESTED_GROUP, Tenant, TokenDeath, User};
use rollcall::simulator::{Effect, Fault, Settings as SimulatorSettings, Spoilt, When};
use rollcall::sync::cycle::Request;
use rollcall::sync::guard::approval::Decision;
use serde_json::Value;
use sqlx::AssertSqlSafe;
use uuid::{Uuid, uuid};

use super::{NO_LIMITS, seeds};
use crate::contract::spoilt::UNDECODABLE;
use crate::guard::{decide, open_sets};
use crate::world::{World, guarded_environment, open_environment};

/// `DYN365_ENTERPRISE_SALES`, a full plan.
const SALES: Uuid = uuid!("2da8e897-7791-486b-b08f-cc63c8129df7");

/// How many kinds of spoiling there are.
const KINDS: u64 = 11;

const OPEN: &str = "open";

/// What a gate, a role or a licence decides about a row.
const STATE: [&str; 5] = ["isdisabled", "disabledreason", "disabled_by", "accessmode", "setupuser"];

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Source {
    Users,
    Members,
    Owners,
    Roles,
    Skus,
}

impl Source {
    fn paths(self) -> Vec<String> {
        let of_groups = |what: &str| [LARGE_GROUP, NESTED_GROUP].map(|group| format!("/groups/{group}/{what}"));
        match self {
            Self::Users => vec!["/users/delta".to_owned(), "/users?".to_owned()],
            Self::Members => [vec!["/groups/delta".to_owned()], of_groups("members").to_vec()].concat(),
            Self::Owners => of_groups("owners").to_vec(),
            Self::Roles => vec!["/roleManagement/directory/roleAssignments".to_owned()],
            Self::Skus => vec!["/subscribedSkus".to_owned()],
        }
    }
}

#[derive(Clone, Debug)]
enum Spoiling {
    Values(Vec<Spoilt>),
    /// The entry of a user cannot be read.
    Entry(Source, Uuid),
    /// A constraint of the customer's keeps a row from being written.
    Row(Uuid),
    /// A source cannot be read.
    Whole(Source),
}

impl Spoiling {
    /// Every kind in turn, by the seed.
    fn draw(seed: u64, users: &[Uuid], dice: &mut StdRng) -> Self {
        let user = *users.choose(dice).unwrap();
        match seed % KINDS {
            0 => Self::Values((0..dice.random_range(1..12)).map(|_| a_value(users, dice)).collect()),
            1 => Self::Row(user),
            2 => Self::Entry(Source::Users, user),
            3 => Self::Entry(Source::Members, user),
            4 => Self::Entry(Source::Owners, user),
            5 => Self::Entry(Source::Roles, user),
            6 => Self::Entry(Source::Skus, user),
            7 => Self::Whole(Source::Members),
            8 => Self::Whole(Source::Owners),
            9 => Self::Whole(Source::Roles),
            _ => Self::Whole(Source::Skus),
        }
    }

    async fn apply(&self, world: &World) {
        let push = |path: &str, effect| world.simulator.faults().push(Fault::forever(When::path(path), effect));
        match self {
            Self::Values(spoilt) => {
                for path in ["/users/delta", "/users?", "/users/{id}"] {
                    push(path, Effect::spoil(spoilt.clone()));
                }
            }
            Self::Entry(source, user) => {
                let user = Value::from(user.to_string());
                for path in source.paths() {
                    let user = user.clone();
                    push(&path, Effect::rewrite(move |page| without_id(page, &user)));
                }
            }
            Self::Row(user) => {
                let mut db = world.sql().await;
                let statement = format!(
                    "alter table rollcall.system_user add constraint customers_own
                         check (azureactivedirectoryobjectid <> '{user}') not valid"
                );
                sqlx::raw_sql(AssertSqlSafe(statement)).execute(&mut db).await.unwrap();
            }
            Self::Whole(source) => {
                for path in source.paths() {
                    push(&path, Effect::error(403, "Authorization_RequestDenied"));
                }
            }
        }
    }

    /// Whether a column of a user's row may stay as it was, where `wanted` is the row as it should be.
    fn may_keep(&self, play: &Play, environment: &str, id: Uuid, column: &str, wanted: Option<&SystemUser>) -> bool {
        let reason = wanted.and_then(|row| row.disabledreason.as_deref()).unwrap_or_default();
        let is_gated = environment != OPEN;
        let is_state = STATE.contains(&column);
        let by_directory = reason.starts_with("directory_");
        let for_want_of = |reasons: &[&str]| is_state && reasons.contains(&reason);
        match self {
            Self::Values(spoilt) => spoilt
                .iter()
                .any(|bad| bad.id == id && decided_by(bad.property).contains(&column)),
            Self::Row(user) => id == *user,
            // "Absence is no evidence for that round": in a full one, nor is it for others.
            Self::Entry(Source::Users, user) => id == *user || (play.is_full && reason == "directory_deleted"),
            Self::Entry(Source::Members, user) => {
                is_gated && is_state && (id == *user || play.is_full) && play.changed(id, |facts| &facts.members)
            }
            Self::Entry(Source::Owners, _) => is_gated && is_state && play.changed(id, |facts| &facts.owners),
            Self::Entry(Source::Roles, _) => is_state && play.changed(id, |facts| &facts.roles),
            Self::Whole(Source::Users) => true,
            Self::Whole(Source::Members | Source::Owners) => is_gated && is_state && !by_directory,
            Self::Whole(Source::Roles) => {
                for_want_of(&["unlicensed", "not_in_security_group"])
                    || (is_state && !by_directory && play.changed(id, |facts| &facts.roles))
            }
            Self::Entry(Source::Skus, _) | Self::Whole(Source::Skus) => {
                for_want_of(&["unlicensed"]) || (is_state && !by_directory && play.licences_changed())
            }
        }
    }
}

fn a_value(users: &[Uuid], dice: &mut StdRng) -> Spoilt {
    let property = *PROPERTIES.choose(dice).unwrap();
    Spoilt {
        id: *users.choose(dice).unwrap(),
        property,
        text: match property {
            // The plans of an array without plans are none, whatever stands there; only an object is spoilt for sure.
            "assignedPlans" => r#"[{"servicePlanId":{},"capabilityStatus":"Enabled"}]"#.to_owned(),
            _ => (*UNDECODABLE.choose(dice).unwrap()).to_owned(),
        },
    }
}

/// Whatever names the user is no id any more; of products, every first one.
fn without_id(page: &mut Value, user: &Value) {
    let entries = page["value"].as_array_mut().into_iter().flatten();
    for (at, entry) in entries.enumerate() {
        if entry["principalId"] == *user {
            entry["principalId"] = 7.into();
            entry["principal"] = Value::Null;
        }
        if at == 0 && entry.get("skuId").is_some() {
            entry["skuId"] = 7.into();
        }
        if entry["id"] == *user {
            entry["id"] = 7.into();
        }
        let members = entry.get_mut("members@delta").and_then(Value::as_array_mut);
        for member in members.into_iter().flatten().filter(|member| member["id"] == *user) {
            member["id"] = 7.into();
        }
    }
}

/// Who stood where.
type Places = BTreeSet<(Uuid, Uuid)>;

#[derive(Clone, Debug, Default)]
struct Facts {
    members: Places,
    owners: Places,
    roles: Places,
    products: Vec<(String, String)>,
}

impl Facts {
    fn of(tenant: &Tenant) -> Self {
        let mut facts = Self::default();
        for group in [LARGE_GROUP, NESTED_GROUP] {
            let pair = |id| (id, group);
            facts
                .members
                .extend(tenant.members(group).unwrap_or_default().into_iter().map(pair));
            facts
                .owners
                .extend(tenant.owners(group).unwrap_or_default().into_iter().map(pair));
        }
        for held in tenant.role_assignments() {
            let holders = tenant.members(held.principal).unwrap_or_else(|| vec![held.principal]);
            facts.roles.extend(holders.into_iter().map(|id| (id, held.role)));
        }
        let products = tenant.skus().into_iter();
        facts.products = products.map(|sku| (sku.part_number, sku.capability_status)).collect();
        facts
    }
}

struct Play {
    is_full: bool,
    before: Facts,
    now: Facts,
}

impl Play {
    fn changed(&self, id: Uuid, places: impl Fn(&Facts) -> &Places) -> bool {
        let of = |facts| places(facts).iter().filter(|(user, _)| *user == id).collect::<Vec<_>>();
        of(&self.before) != of(&self.now)
    }

    fn licences_changed(&self) -> bool {
        self.before.products != self.now.products
    }
}

type Rows = BTreeMap<(String, Uuid), SystemUser>;

async fn all_rows(world: &World) -> Rows {
    let mut all = Rows::new();
    for (environment, _) in &world.engine.settings.environments {
        let rows = world.rows(&environment.name).await.into_iter();
        all.extend(rows.map(|(id, row)| ((environment.name.clone(), id), row)));
    }
    all
}

/// Columns of a row that the directory does not decide, or only when they were written.
const OURS: [&str; 7] = [
    "systemuserid",
    "createdon",
    "modifiedon",
    "createdby",
    "modifiedby",
    "fullname",
    "azuredeletedon",
];

/// What of a row the directory decides, by column. When a deletion was read is left out.
fn columns(row: &SystemUser) -> BTreeMap<String, Value> {
    let Value::Object(columns) = serde_json::json!(row) else {
        panic!("a row is an object")
    };
    columns
        .into_iter()
        .filter(|(column, _)| !OURS.contains(&column.as_str()))
        .collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_rest_of_the_table_is_as_if_nothing_were_spoilt() {
    let seeds = seeds(0..KINDS);
    let mut kept = 0;
    for seed in &seeds {
        let seed = *seed;
        let mut dice = StdRng::seed_from_u64(seed);
        let world = stage(seed, &mut dice).await;
        let reference = world.beside().await;
        world.sync_completely().await;
        reference.sync_completely().await;
        let old = all_rows(&world).await;
        let tenant = world.tenant();
        let before = Facts::of(tenant);
        let mut story = Vec::new();
        for _ in 0..dice.random_range(10..40) {
            story.push(tenant.random_change(&mut dice));
        }
        let users = tenant.user_ids();
        for user in &users {
            if dice.random_ratio(1, 3) {
                tenant.update_user(*user, |user| change(user, &mut dice));
            }
        }
        let play = Play {
            is_full: dice.random(),
            before,
            now: Facts::of(tenant),
        };
        if play.is_full {
            tenant.expire_tokens(TokenDeath::Gone);
        }
        let spoiling = Spoiling::draw(seed, &users, &mut dice);
        println!("seed {seed}, full {}: {spoiling:?}", play.is_full);
        spoiling.apply(&world).await;
        world.sync().await;
        world.simulator.faults().clear();
        reference.sync().await;
        let (found, wanted) = (all_rows(&world).await, all_rows(&reference).await);
        for key in found.keys().chain(wanted.keys()).collect::<BTreeSet<_>>() {
            let (environment, id) = (&key.0, key.1);
            let told = |what: &str| {
                format!(
                    "seed {seed}, {environment}, {id}: {what}; full {}, {spoiling:?}\n{story:#?}",
                    play.is_full
                )
            };
            let may_keep = |column: &str| spoiling.may_keep(&play, environment, id, column, wanted.get(key));
            let (Some(row), Some(should)) = (found.get(key), wanted.get(key)) else {
                assert!(may_keep("isdisabled"), "{}", told("in one of the tables only"));
                continue;
            };
            let (old, row, should) = (old.get(key).map(columns), columns(row), columns(should));
            for (column, value) in &row {
                kept += u32::from(*value != should[column]);
                let is_kept = old.as_ref().is_none_or(|old| old[column] == *value);
                assert!(
                    *value == should[column] || (may_keep(column) && is_kept),
                    "{}",
                    told(&format!(
                        "{column} is {value}, was {old:?}, should be {}",
                        should[column]
                    ))
                );
            }
        }
        ends_as_if_nothing_had_been(world, reference, &format!("seed {seed}, {spoiling:?}\n{story:#?}")).await;
    }
    assert!(
        kept > 0 || (seeds.len() as u64) < KINDS,
        "whatever was spoilt made no difference"
    );
}

/// Once all is well again, the two tables are the same, and so is what there is to look at.
async fn ends_as_if_nothing_had_been(world: World, reference: World, told: &str) {
    world
        .execute("alter table rollcall.system_user drop constraint if exists customers_own")
        .await;
    world.advance(Duration::from_hours(2));
    for world in [&world, &reference] {
        let request = Request {
            full: true,
            ..Request::default()
        };
        world.run(request).await.unwrap();
        for set in open_sets(world).await {
            decide(world, set.run_id, Decision::Approve).await.unwrap();
        }
        world.assert_settled().await;
    }
    let (found, wanted) = (all_rows(&world).await, all_rows(&reference).await);
    for key in found.keys().chain(wanted.keys()).collect::<BTreeSet<_>>() {
        let (row, should) = (found.get(key).map(columns), wanted.get(key).map(columns));
        assert_eq!(row, should, "{key:?} once all is well; {told}");
    }
    assert_eq!(world.findings().await, reference.findings().await, "{told}");
    reference.end().await;
    world.end().await;
}

/// An open environment and two behind a group with another within it, of which one counts that.
async fn stage(seed: u64, dice: &mut StdRng) -> World {
    let nested = Environment {
        group_nesting: GroupNesting::Full,
        ..guarded_environment("nested", LARGE_GROUP)
    };
    let environments = vec![
        open_environment(OPEN),
        guarded_environment("guarded", LARGE_GROUP),
        nested,
    ];
    let simulator = SimulatorSettings {
        users: 20,
        seed,
        page_size: *[5, 200].choose(dice).unwrap(),
        listing_page_size: if seed.is_multiple_of(2) { 5 } else { 200 },
        ignores_latest: seed.is_multiple_of(3),
        relations_per_page: *[4, 500].choose(dice).unwrap(),
        ..SimulatorSettings::default()
    };
    let mut world = World::with(environments, simulator, NO_LIMITS).await;
    world.configure(|settings| settings.hold_expiry = Duration::from_hours(1));
    let tenant = world.tenant();
    tenant.furnish();
    tenant.add_member(LARGE_GROUP, NESTED_GROUP);
    let mut skus = tenant.skus();
    skus.retain(|sku| sku.plans.iter().all(|(_, name, _)| !name.contains("Marketing")));
    tenant.set_skus(skus);
    world
}

/// The columns that a property decides.
fn decided_by(property: &str) -> &'static [&'static str] {
    match property {
        "userPrincipalName" => &["domainname", "internalemailaddress"],
        "displayName" | "surname" => &["lastname"],
        "givenName" => &["firstname"],
        "jobTitle" => &["jobtitle"],
        "mail" => &["internalemailaddress"],
        "businessPhones" => &["address1_telephone1"],
        "mobilePhone" => &["mobilephone"],
        "streetAddress" => &["address1_line1"],
        "city" => &["address1_city"],
        "state" => &["address1_stateorprovince"],
        "postalCode" => &["address1_postalcode"],
        "country" => &["address1_country"],
        "accountEnabled" => &["isdisabled", "disabledreason", "disabled_by", "accessmode", "setupuser"],
        "assignedPlans" => &[
            "isdisabled",
            "disabledreason",
            "disabled_by",
            "accessmode",
            "setupuser",
            "islicensed",
        ],
        other => panic!("{other} is no property"),
    }
}

const PROPERTIES: [&str; 15] = [
    "userPrincipalName",
    "displayName",
    "givenName",
    "surname",
    "jobTitle",
    "mail",
    "businessPhones",
    "mobilePhone",
    "streetAddress",
    "city",
    "state",
    "postalCode",
    "country",
    "accountEnabled",
    "assignedPlans",
];

/// Something else about a user, in most of the properties.
fn change(user: &mut User, dice: &mut StdRng) {
    let some = |dice: &mut StdRng| Some(format!("v{}", dice.random::<u16>()));
    for property in 0..14 {
        if dice.random_ratio(1, 3) {
            let value = some(dice);
            match property {
                0 => user.display_name = value,
                1 => user.given_name = value,
                2 => user.surname = value,
                3 => user.job_title = value,
                4 => user.mail = value.map(|value| format!("{value}@contoso.example")),
                5 => user.business_phones = value.into_iter().collect(),
                6 => user.mobile_phone = value,
                7 => user.street_address = value,
                8 => user.city = value,
                9 => user.state = value,
                10 => user.postal_code = value,
                11 => user.country = value,
                12 => user.account_enabled = Some(dice.random()),
                _ => {
                    let plans = if dice.random() {
                        vec![AssignedPlan::new(SALES, "Enabled")]
                    } else {
                        Vec::new()
                    };
                    user.plans = plans.into();
                }
            }
        }
    }
}
