//! After every cycle every row is what a slow reference says, which was written from rules.md alone.
//!
//! The reference shares no code with the product's rules: `reference/evaluation.rs` says it sentence by sentence. A play
//! changes the directory, the table and the configuration at random, runs a cycle, and compares all rows in all columns.
//! `ROLLCALL_REFERENCE_SEED` replays a seed; `ROLLCALL_REFERENCE_CYCLES` lengthens a play.

mod asked;
mod changes;
mod customers;
pub mod directory;
mod edits;
pub mod evaluation;
mod fields;
mod licences;
mod names;
mod outcome;
mod settings;
mod story;
pub mod table;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use chrono::{DateTime, Utc};
use rand::rngs::StdRng;
use rand::seq::{IndexedRandom as _, SliceRandom as _};
use rand::{Rng, SeedableRng};
use rollcall::domain::environment::Environment;
use rollcall::plan::guard::Limits;
use rollcall::simulator::tenant::{NESTED_GROUP, Standing, Tenant};
use rollcall::simulator::{Effect, Fault, Gate, Settings as SimulatorSettings, Spoilt, When};
use rollcall::sync::cycle::Request;
use rollcall::sync::desk::Ask;
use rollcall::sync::{CycleError, Report};
use serde_json::json;
use sqlx::PgConnection;
use uuid::Uuid;

use self::asked::{Asked, HELPDESK};
use self::changes::{Changes, DEEP_GROUP};
use self::customers::Customers;
use self::directory::{Directory, Person};
use self::edits::Editor;
use self::evaluation::{Cycle, Reference, SYNC};
use self::story::Story;
use self::table::Row;
use crate::on_demand::{ask_as, said};
use crate::world::World;

/// The guard is another test's business.
const NO_LIMITS: Limits = Limits {
    max_disables: u32::MAX,
    max_disable_percent: f64::INFINITY,
};

const SEED: u64 = 20_260_302;
const ROLES: &str = "/roleManagement/directory/roleAssignments";

/// What the play of the default seed comes across.
const REASONS: [&str; 11] = [
    "app_pass_exhausted",
    "directory_account_disabled",
    "directory_deleted",
    "directory_soft_deleted",
    "disabled_by_hand",
    "non_interactive_cap",
    "not_in_security_group",
    "on_demand_only",
    "on_hold",
    "unlicensed",
    "upn_conflict",
];

/// How long the play of the two opposites is.
const CYCLES: usize = 50;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_opposite_environments_agree_with_the_reference_after_every_cycle() {
    let play = Play::new(2_000, CYCLES, settings::opposites(), settings::change_of_an_opposite).await;
    let has_its_usual_course = play.seed == SEED && play.cycles >= CYCLES;
    let reasons = play.run().await;
    let unseen = REASONS.iter().find(|reason| !reasons.contains_key(**reason));
    assert!(!has_its_usual_course || unseen.is_none(), "no row was ever {unseen:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_environment_of_changing_kind_agrees_with_the_reference_after_every_cycle() {
    let play = Play::new(200, 40, settings::of_every_kind(), settings::change_of_kind).await;
    play.run().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn environments_that_come_and_go_agree_with_the_reference_after_every_cycle() {
    for seed in [310_501, 310_502] {
        let mut play = Play::seeded(seed, 150, 20, settings::opposites(), settings::come_and_go).await;
        play.odds = 2;
        play.run().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn with_values_that_cannot_be_decoded_it_agrees_with_the_reference_after_every_cycle() {
    for seed in [310_601, 310_602] {
        let mut play = Play::seeded(seed, 150, 14, settings::opposites(), settings::change_of_an_opposite).await;
        play.trouble = Some(Trouble::Undecodable);
        assert!(play.run().await["value_undecodable"] > 20);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn under_rules_of_the_customer_it_agrees_with_the_reference_after_every_cycle() {
    for seed in [310_701, 310_702] {
        let mut play = Play::seeded(seed, 150, 14, settings::opposites(), settings::change_of_an_opposite).await;
        play.trouble = Some(Trouble::Customers);
        assert!(play.run().await["row_not_written"] > 20);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn while_pages_are_slow_and_somebody_asks_it_agrees_with_the_reference_after_every_cycle() {
    for seed in [310_801, 310_802] {
        let mut play = Play::seeded(seed, 150, 14, settings::opposites(), settings::change_of_an_opposite).await;
        play.trouble = Some(Trouble::SlowPages);
        assert!(play.run().await["asked for"] > 20);
    }
}

/// What befalls a play beside everything else.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Trouble {
    /// Values that cannot be decoded come and go.
    Undecodable,
    /// The customer's own constraints and triggers come and go.
    Customers,
    /// A page is held, and users change and are asked for meanwhile.
    SlowPages,
}

/// What no property can be.
const UNDECODABLE: [&str; 4] = [r#""half \ud83d""#, "42", r#"{"a":[[{"b":{}}]]}"#, "[[[[7]]]]"];

/// A tenant always has an administrator; without any, the roles would be in doubt. This one is an application, and no
/// part of the play.
fn a_lasting_administrator() -> Effect {
    Effect::rewrite(|page| {
        let id = Uuid::from_u128(0x5133_1a7e_0000_4000_8000_0000_0000_0005);
        let principal = json!({"@odata.type": "#microsoft.graph.servicePrincipal", "id": id});
        let assignment = json!({"principalId": id, "directoryScopeId": "/", "principal": principal});
        if let Some(listed) = page["value"].as_array_mut() {
            listed.push(assignment);
        }
    })
}

struct Play {
    seed: u64,
    cycles: usize,
    dice: StdRng,
    world: World,
    db: PgConnection,
    /// The database user of the other program.
    user: String,
    configure: settings::Change,
    /// The configuration changes once in so many cycles.
    odds: u32,
    trouble: Option<Trouble>,
    customers: Customers,
    directory: Directory,
    references: BTreeMap<String, Reference>,
    people: Vec<Uuid>,
    story: Story,
    /// How many rows had each reason after a cycle, summed over all cycles: what the play has come across.
    reasons: BTreeMap<String, usize>,
}

impl Play {
    async fn new(users: u64, cycles: usize, environments: Vec<Environment>, configure: settings::Change) -> Self {
        Self::seeded(SEED, users, cycles, environments, configure).await
    }

    async fn seeded(
        seed: u64,
        users: u64,
        cycles: usize,
        environments: Vec<Environment>,
        configure: settings::Change,
    ) -> Self {
        let number = |name, default| std::env::var(name).map_or(default, |value| value.parse().unwrap());
        let seed = number("ROLLCALL_REFERENCE_SEED", seed);
        let cycles = usize::try_from(number("ROLLCALL_REFERENCE_CYCLES", cycles as u64)).unwrap();
        println!("seed {seed}: replay with ROLLCALL_REFERENCE_SEED={seed}");
        let mut dice = StdRng::seed_from_u64(seed);
        let simulator = SimulatorSettings {
            users,
            seed,
            minimal_rounds: dice.random(),
            relations_per_page: if dice.random() { 7 } else { 500 },
            ..SimulatorSettings::default()
        };
        let mut world = World::with(environments, simulator, NO_LIMITS).await;
        // Judging everybody now and then hides whom an incremental cycle forgets.
        world.configure(|settings| settings.full_interval = Duration::from_hours(5 * 24));
        // Two batches of a walk may each want a name from the other; PostgreSQL would think for a second every time.
        world
            .execute(
                "do $$ begin
                     execute format('alter database %I set deadlock_timeout = %L', current_database(), '20ms');
                 end $$",
            )
            .await;
        furnish(world.tenant());
        world
            .simulator
            .faults()
            .push(Fault::forever(When::path(ROLES), a_lasting_administrator()));
        let mut people: Vec<Uuid> = (0..world.tenant().population())
            .filter_map(|position| world.tenant().user_id_at(position))
            .collect();
        people.shuffle(&mut dice);
        let mut db = world.sql().await;
        let user = sqlx::query_scalar("select session_user::text")
            .fetch_one(&mut db)
            .await
            .unwrap();
        let names = world
            .engine
            .settings
            .environments
            .iter()
            .map(|(environment, _)| environment.name.clone());
        Self {
            seed,
            cycles,
            dice,
            user,
            configure,
            odds: 6,
            trouble: None,
            customers: Customers::default(),
            directory: Directory::default(),
            references: names.map(|name| (name, Reference::default())).collect(),
            people,
            story: Story::default(),
            reasons: BTreeMap::new(),
            db,
            world,
        }
    }

    /// Plays, and answers how many rows had each reason after a cycle, summed over all cycles.
    async fn run(mut self) -> BTreeMap<String, usize> {
        for cycle in 0..self.cycles {
            self.story.begin_cycle(cycle);
            if cycle == 1 {
                // The server's own round comes too late for a play of seconds.
                self.world.execute("analyze").await;
            }
            if cycle > 0 {
                self.change_the_directory();
                self.edit_the_tables().await;
                self.change_the_configuration();
                self.pass_time();
            }
            let mut request = Request::default();
            let mut asked = Vec::new();
            match self.trouble.filter(|_| cycle > 0) {
                Some(Trouble::Undecodable) => self.spoil_values(),
                Some(Trouble::Customers) => {
                    let (people, dice, story) = (&self.people, &mut self.dice, &mut self.story);
                    let tenant = Arc::clone(self.world.tenant());
                    request.full = self.customers.act(&mut self.db, &tenant, people, dice, story).await;
                }
                Some(Trouble::SlowPages) => asked = self.somebody_to_ask(),
                None => {}
            }
            drop(self.world.simulator.take_requests());
            // Retries may turn the clock; a run's time is that of its beginning.
            let now = self.world.clock.now();
            let report = match self.run_a_cycle(request, &mut asked).await {
                Ok(report) => report,
                Err(error) => panic!("seed {}, cycle {cycle}: {error:?}\n{}", self.seed, self.story.of(None)),
            };
            assert_eq!(
                report.problems,
                Vec::<String>::new(),
                "seed {}, cycle {cycle}",
                self.seed
            );
            let requests = self.world.simulator.take_requests();
            let read = |what: &str| requests.iter().any(|request| request.path.contains(what));
            let reads_all = read("deletedItems/microsoft.graph.user");
            let reads_deletion = |id: Uuid| reads_all || read(&format!("deletedItems/{id}"));
            self.directory.look(self.world.tenant(), &self.people, &reads_deletion);
            self.apply(&asked).await;
            self.compare(cycle, now).await;
        }
        println!("rows by reason: {:#?}", self.reasons);
        self.world.assert_settled().await;
        self.world.end().await;
        self.reasons
    }

    /// Some values cannot be decoded from here on, others can be again. Whoever is concerned is read.
    fn spoil_values(&mut self) {
        const PROPERTIES: [&str; 16] = [
            "userPrincipalName",
            "displayName",
            "givenName",
            "surname",
            "jobTitle",
            "mail",
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
        let undecodable = &mut self.directory.undecodable;
        undecodable.retain(|_, _| self.dice.random_ratio(2, 3));
        for _ in 0..self.dice.random_range(0..8) {
            let id = *self.people[..self.people.len().min(60)].choose(&mut self.dice).unwrap();
            let property = *PROPERTIES.choose(&mut self.dice).unwrap();
            // Of somebody new nothing is known: "gate 6 or the last known plans decide".
            let is_known = self.directory.people.contains_key(&id);
            let decides = matches!(property, "accountEnabled" | "assignedPlans");
            if self.world.tenant().standing(id) == Some(Standing::Live) && (is_known || !decides) {
                let properties = undecodable.entry(id).or_default();
                if !properties.contains(&property) {
                    properties.push(property);
                    self.story.note(id, &format!("{property} cannot be decoded"));
                }
                self.world.tenant().replay_user(id);
            }
        }
        let spoilt: Vec<Spoilt> = undecodable
            .iter()
            .flat_map(|(id, properties)| properties.iter().map(|property| (*id, *property)))
            .map(|(id, property)| Spoilt {
                id,
                property,
                text: match property {
                    "assignedPlans" => r#"[{"servicePlanId":{},"capabilityStatus":"Enabled"}]"#.to_owned(),
                    _ => (*UNDECODABLE.choose(&mut self.dice).unwrap()).to_owned(),
                },
            })
            .collect();
        let faults = self.world.simulator.faults();
        faults.withdraw("undecodable");
        for when in [When::users(), When::endpoint("/users/{id}")] {
            let fault = Fault::forever(when, Effect::spoil(spoilt.clone()));
            faults.push(fault.called("undecodable"));
        }
    }

    /// Whom to ask for: people who are there, each once, whose name is free.
    fn somebody_to_ask(&mut self) -> Vec<Asked> {
        let mut asked: Vec<Asked> = Vec::new();
        for _ in 0..self.dice.random_range(2..16) {
            let (environment, _) = self.world.engine.settings.environments.choose(&mut self.dice).unwrap();
            let id = *self.people[..self.people.len().min(60)].choose(&mut self.dice).unwrap();
            let Some(user) = self.world.tenant().user(id) else {
                continue;
            };
            let is_live = self.world.tenant().standing(id) == Some(Standing::Live);
            let is_free = self.references[&environment.name].has_its_name_free(&Person::new(user));
            if is_live && is_free && asked.iter().all(|asked| asked.id != id) {
                asked.push(Asked::draw(&environment.name, id, &mut self.dice));
            }
        }
        asked
    }

    /// A cycle. Where somebody is to be asked for, a page is held meanwhile; nobody is asked for if no such page is read.
    async fn run_a_cycle(&mut self, request: Request, asked: &mut Vec<Asked>) -> Result<Report, CycleError> {
        if asked.is_empty() {
            return self.world.run(request).await;
        }
        let held = match self.dice.random_range(0..4) {
            0 | 1 => When::users(),
            2 => When::path("/groups/delta"),
            _ => When::path("/subscribedSkus"),
        };
        let gate = Gate::default();
        let when = held.clone().after(self.dice.random_range(0..2));
        let faults = self.world.simulator.faults();
        faults.push(Fault::once(when, Effect::Hold(gate.clone())).called("held"));
        let (world, directory, dice, story) = (&self.world, &self.directory, &mut self.dice, &mut self.story);
        let meanwhile = async {
            gate.asked().await;
            gate.answer().await;
            for asked in asked.iter_mut() {
                let what = asked::change(world.tenant(), asked.id, directory.people.contains_key(&asked.id), dice);
                asked.at = world.clock.now();
                let ask = Ask {
                    environment: &asked.environment,
                    user: &asked.id.to_string(),
                    actor: HELPDESK,
                };
                let said = said(&ask_as(world, asked.way, ask).await);
                let told = format!(
                    "while {held:?} was held: {what}, then {} in {}: {said}",
                    asked.way, asked.environment
                );
                story.note(asked.id, &told);
            }
            gate.send();
        };
        let mut run = Box::pin(world.run(request));
        tokio::select! {
            report = &mut run => {
                faults.withdraw("held");
                asked.clear();
                report
            }
            () = Box::pin(meanwhile) => run.await,
        }
    }

    /// What was asked for comes before what the cycle has written.
    async fn apply(&mut self, asked: &[Asked]) {
        for asked in asked {
            *self.reasons.entry("asked for".to_owned()).or_default() += 1;
            let settings = Arc::clone(&self.world.engine.settings);
            let mut environments = settings.environments.iter().map(|(environment, _)| environment);
            let environment = environments.find(|one| one.name == asked.environment).unwrap();
            let found = table::read(&mut self.db, &environment.name).await;
            let cycle = Cycle {
                directory: &self.directory,
                now: asked.at,
                viral: settings.viral_counts_as,
            };
            let reference = self.references.get_mut(&environment.name).unwrap();
            reference.ask(environment, &cycle, asked, &found);
        }
    }

    fn change_the_directory(&mut self) {
        let stubs = self
            .references
            .values()
            .flat_map(|reference| reference.unbound.values());
        let stub_names = stubs
            .filter(|row| row.isstub)
            .filter_map(|row| row.domainname.clone())
            .collect();
        let tenant = Arc::clone(self.world.tenant());
        let mut changes = Changes::new(&tenant, &mut self.dice, &mut self.story, &mut self.people, stub_names);
        let many = changes.dice.random_range(60..150);
        for _ in 0..many {
            changes.one();
        }
    }

    async fn edit_the_tables(&mut self) {
        let people: Vec<_> = self.directory.people.values().cloned().collect();
        for (environment, _) in &self.world.engine.settings.environments {
            let reference = self.references.get_mut(&environment.name).unwrap();
            let mut editor = Editor {
                db: &mut self.db,
                user: &self.user,
                environment,
                story: &mut self.story,
            };
            for _ in 0..self.dice.random_range(5..20) {
                editor.write(reference, &people, &mut self.dice).await;
            }
        }
    }

    fn change_the_configuration(&mut self) {
        if self.dice.random_ratio(1, self.odds) {
            let (change, dice, people) = (self.configure, &mut self.dice, &self.people);
            let mut told = String::new();
            self.world.configure(|settings| told = change(settings, people, dice));
            self.story.note_in_general(&told);
        }
    }

    fn pass_time(&mut self) {
        let minutes = match self.dice.random_range(0..24) {
            // Beyond the life of a delta link.
            0 => 8 * 24 * 60,
            // Beyond the grace of app passes, and often beyond the interval of a complete reconcile.
            1..5 => self.dice.random_range(12 * 60..30 * 60),
            _ => self.dice.random_range(0..90),
        };
        self.story.note_in_general(&format!("{minutes} minutes pass"));
        self.world.advance(Duration::from_mins(minutes));
    }

    async fn compare(&mut self, number: usize, now: DateTime<Utc>) {
        let cycle = Cycle {
            directory: &self.directory,
            now,
            viral: self.world.engine.settings.viral_counts_as,
        };
        for (environment, _) in &self.world.engine.settings.environments {
            let name = &environment.name;
            let found = table::read(&mut self.db, name).await;
            let before = &self.references[name];
            let mut refused = BTreeSet::new();
            let mut next = loop {
                let next = before.next(environment, &cycle, &found, &refused);
                let more = &self.customers.refused(before, &next, &found) - &refused;
                if more.is_empty() {
                    break next;
                }
                refused.extend(more);
            };
            if number == 0 {
                next.add_placeholders(&cycle, &found);
            }
            // A transaction that met another one is repeated a moment later, and is dated then.
            let until = self.world.clock.now();
            for (id, record) in &mut next.bound {
                let is_new = !before.bound.contains_key(id);
                let expected = &mut record.row;
                let found = found.get(&expected.systemuserid);
                let written = found
                    .map(|found| found.modifiedon)
                    .filter(|at| *at > now && *at <= until);
                if let Some(written) = written.filter(|_| expected.modifiedon == now) {
                    // No time passes between some cycles: `now` may be when the cycle before made the row.
                    if is_new && expected.createdon == now {
                        expected.createdon = written;
                    }
                    expected.modifiedon = written;
                }
            }
            let differences = differences(&next, &found);
            if let Some((id, told)) = differences.first() {
                let count = differences.len();
                let person = id.and_then(|id| self.directory.people.get(&id));
                let before = id.and_then(|id| before.bound.get(&id));
                panic!(
                    "seed {}, cycle {number} at {}, {environment:#?}\n{count} rows differ; the first: {told}\n\
                     before {before:#?}\nroles {:?}\n{person:#?}\n{}",
                    self.seed,
                    cycle.now,
                    id.map(|id| self.directory.roles_of(id)),
                    self.story.of(*id)
                );
            }
            for reason in next
                .bound
                .values()
                .filter_map(|record| record.row.disabledreason.clone())
            {
                *self.reasons.entry(reason).or_default() += 1;
            }
            self.references.insert(name.clone(), next);
        }
        for (environment, _) in &Arc::clone(&self.world.engine.settings).environments {
            self.compare_findings(&environment.name, number).await;
        }
    }

    /// Whoever is refused, and every value that cannot be decoded, is a finding; nothing else is one of these. Counts them.
    async fn compare_findings(&mut self, environment: &str, number: usize) {
        let open: Vec<(String, Uuid, String)> = sqlx::query_as(
            "select code, azureactivedirectoryobjectid, coalesce(subject, '') from rollcall.finding
             where closed_at is null and environment = $1 and code in ('row_not_written', 'value_undecodable')
               and azureactivedirectoryobjectid is not null",
        )
        .bind(environment)
        .fetch_all(&mut self.world.sql().await)
        .await
        .unwrap();
        let is_live = |id: &Uuid| self.directory.people.get(id).is_some_and(Person::is_present);
        let undecodable = self.directory.undecodable.iter().filter(|(id, _)| is_live(id));
        let expected: BTreeSet<(String, Uuid, String)> = undecodable
            .flat_map(|(id, properties)| properties.iter().map(|property| (*id, (*property).to_owned())))
            .map(|(id, property)| ("value_undecodable".to_owned(), id, property))
            .chain(
                self.references[environment]
                    .refused
                    .iter()
                    .map(|id| ("row_not_written".to_owned(), *id, String::new())),
            )
            .collect();
        let open: BTreeSet<_> = open.into_iter().collect();
        let one = open.symmetric_difference(&expected).next();
        assert_eq!(
            open,
            expected,
            "seed {}, cycle {number}, {}: findings; {}",
            self.seed,
            environment,
            self.story.of(one.map(|(_, id, _)| *id))
        );
        for (code, ..) in open {
            *self.reasons.entry(code).or_default() += 1;
        }
    }
}

/// The tenant as the simulator furnishes it, with a group two levels deep.
fn furnish(tenant: &Tenant) {
    tenant.furnish();
    tenant.create_group_with_id(DEEP_GROUP, "Pilots of long ago");
    tenant.add_member(NESTED_GROUP, DEEP_GROUP);
    tenant.add_members(DEEP_GROUP, tenant.user_ids().into_iter().step_by(40));
}

/// Every row that is not as it should be, with what to tell of it.
pub fn differences(expected: &Reference, found: &BTreeMap<Uuid, Row>) -> Vec<(Option<Uuid>, String)> {
    let mut differences = Vec::new();
    let bound = expected
        .bound
        .iter()
        .map(|(id, record)| (Some(*id), &record.row, &record.because[..]));
    let unbound = expected.unbound.values().map(|row| {
        (
            None,
            row,
            &["6: stubs, application users and placeholders are left alone"][..],
        )
    });
    let mut seen = 0;
    for (id, row, because) in bound.chain(unbound) {
        match found.get(&row.systemuserid) {
            None => differences.push((
                id,
                format!("user {id:?} has no row, because {because:#?} expected {row:#?}"),
            )),
            Some(found) => {
                seen += 1;
                for (column, wanted, is) in row.differences(found) {
                    let rule = evaluation::sentence(&column);
                    differences.push((
                        id,
                        format!(
                            "user {id:?}, {column}: expected {wanted}, found {is}; rule: {rule}; because {because:#?}"
                        ),
                    ));
                }
            }
        }
    }
    if seen != found.len() {
        for row in found.values() {
            let id = row.azureactivedirectoryobjectid;
            let is_expected = match id {
                Some(id) => expected.bound.contains_key(&id),
                None => expected.unbound.contains_key(&row.systemuserid),
            };
            if !is_expected {
                differences.push((id, format!("user {id:?} should have no row: {row:#?}")));
            }
        }
    }
    differences
}

impl Reference {
    /// Section 6: "They are written by the first sync of each environment with a database: enabled, azurestate 0,
    /// issyncwithdirectory false, names "Support User" and "Delegated Admin"."
    fn add_placeholders(&mut self, cycle: &Cycle<'_>, found: &BTreeMap<Uuid, Row>) {
        for (name, first, last, mode) in [
            ("crmoln@microsoft.com", "Support", "User", 3),
            ("crmoln2@microsoft.com", "Delegated", "Admin", 5),
        ] {
            let holder = found.values().find(|row| row.domainname.as_deref() == Some(name));
            let mut row = Row::new(holder.map_or(Uuid::nil(), |row| row.systemuserid), SYNC, cycle.now);
            row.domainname = Some(name.to_owned());
            row.firstname = Some(first.to_owned());
            row.lastname = Some(last.to_owned());
            row.fullname = Some(format!("{first} {last}"));
            row.accessmode = mode;
            self.unbound.insert(row.systemuserid, row);
        }
    }
}
