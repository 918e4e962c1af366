//! After every cycle every row is what a slow reference says, which was written from rules.md alone.
//!
//! The reference shares no code with the product's rules: `reference/evaluation.rs` says it sentence by sentence. A play
//! changes the directory, the table and the configuration at random, runs a cycle, and compares all rows in all columns.
//! `ROLLCALL_REFERENCE_SEED` replays a seed; `ROLLCALL_REFERENCE_CYCLES` lengthens a play.

mod changes;
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

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use chrono::{DateTime, Utc};
use rand::rngs::StdRng;
use rand::seq::SliceRandom as _;
use rand::{Rng, SeedableRng};
use rollcall::domain::environment::Environment;
use rollcall::plan::guard::Limits;
use rollcall::simulator::tenant::{NESTED_GROUP, Tenant};
use rollcall::simulator::{Effect, Fault, Settings as SimulatorSettings, When};
use rollcall::sync::cycle::Request;
use serde_json::json;
use sqlx::PgConnection;
use uuid::Uuid;

use self::changes::{Changes, DEEP_GROUP};
use self::directory::Directory;
use self::edits::Editor;
use self::evaluation::{Cycle, Reference, SYNC};
use self::story::Story;
use self::table::Row;
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
            drop(self.world.simulator.take_requests());
            // Retries may turn the clock; a run's time is that of its beginning.
            let now = self.world.clock.now();
            let report = match self.world.run(Request::default()).await {
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
            let reads_deleted_items = requests.iter().any(|request| request.path.contains("deletedItems"));
            self.directory
                .look(self.world.tenant(), &self.people, reads_deleted_items);
            self.compare(cycle, now).await;
        }
        println!("rows by reason: {:#?}", self.reasons);
        self.world.assert_settled().await;
        self.world.end().await;
        self.reasons
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
            let mut next = before.next(environment, &cycle, &found);
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
