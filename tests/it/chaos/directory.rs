//! What happens in the directory, and what was ever true there: who had to be disabled for what, from when until when,
//! by the reference's reading of the rules; and every personal value that was ever given.

use std::collections::{BTreeSet, HashMap};

use chrono::{DateTime, Utc};
use rand::Rng;
use rand::rngs::StdRng;
use rollcall::clock::Clock;
use rollcall::domain::environment::Environment;
use rollcall::domain::licence::ViralCountsAs;
use rollcall::simulator::tenant::{Tenant, User};
use uuid::Uuid;

use super::pause;
use super::stage::Stage;
use crate::reference::directory::{Directory, Person};
use crate::reference::evaluation::{Cycle, Entitlement, Gates, gates, means};
use crate::reference::table::Row;

/// A reason that held for a while.
#[derive(Clone, Debug)]
struct Spell {
    reason: &'static str,
    from: DateTime<Utc>,
    /// None: it still holds.
    until: Option<DateTime<Utc>>,
}

/// Everybody who ever was in the directory.
pub struct People {
    pub environments: Vec<Environment>,
    pub viral: ViralCountsAs,
    pub directory: Directory,
    pub ids: Vec<Uuid>,
    spells: HashMap<(String, Uuid), Vec<Spell>>,
    /// Every value that is nobody else's business.
    pub values: BTreeSet<String>,
}

impl People {
    pub fn new(environments: Vec<Environment>, viral: ViralCountsAs) -> Self {
        Self {
            environments,
            viral,
            directory: Directory::default(),
            ids: Vec::new(),
            spells: HashMap::new(),
            values: BTreeSet::new(),
        }
    }

    /// Looks at everybody after a change that was made between these moments.
    pub fn look(&mut self, tenant: &Tenant, before: DateTime<Utc>, after: DateTime<Utc>) {
        for position in self.ids.len()..tenant.population() {
            self.ids.extend(tenant.user_id_at(position));
        }
        for user in self.ids.iter().filter_map(|id| tenant.user(*id)) {
            self.values.extend(personal(user));
        }
        self.directory.look(tenant, &self.ids, &|_| false);
        let cycle = Cycle {
            directory: &self.directory,
            now: after,
            viral: self.viral,
        };
        for environment in &self.environments {
            for person in self.directory.people.values() {
                let reason = reason(environment, &cycle, person);
                let spells = self.spells.entry((environment.name.clone(), person.id)).or_default();
                let last = spells.last_mut().filter(|spell| spell.until.is_none());
                if last.as_ref().map(|spell| spell.reason) == reason {
                    continue;
                }
                if let Some(last) = last {
                    last.until = Some(after);
                }
                spells.extend(reason.map(|reason| Spell {
                    reason,
                    from: before,
                    until: None,
                }));
            }
        }
    }

    /// Whether the rules wanted this user disabled for this reason at some moment between these two.
    pub fn had_to_go(
        &self,
        environment: &str,
        id: Uuid,
        reason: &str,
        from: DateTime<Utc>,
        until: DateTime<Utc>,
    ) -> bool {
        let spells = self.spells.get(&(environment.to_owned(), id));
        spells
            .into_iter()
            .flatten()
            .any(|spell| spell.reason == reason && spell.from <= until && spell.until.is_none_or(|ended| ended >= from))
    }

    /// When which reason held, for whoever reads a failure.
    pub fn story_of(&self, environment: &str, id: Uuid) -> String {
        format!("{:#?}", self.spells.get(&(environment.to_owned(), id)))
    }

    /// One of those whom this one of so many callers asks about.
    pub fn draw(&self, dice: &mut StdRng, caller: usize, callers: usize) -> Uuid {
        self.ids[dice.random_range(0..self.ids.len() / callers) * callers + caller]
    }
}

/// Why an enabled row of this user has to be disabled, if it has to.
pub fn reason(environment: &Environment, cycle: &Cycle<'_>, person: &Person) -> Option<&'static str> {
    let row = Row::new(Uuid::nil(), "sync", cycle.now);
    let gates = gates(environment, cycle, person, Some(&row));
    match gates {
        Gates::Refused(reason, _) => Some(reason),
        Gates::Passed { .. } => {
            let means = means(environment, cycle, person, Some(&row), &gates);
            (means.entitlement == Entitlement::None).then_some("unlicensed")
        }
        Gates::LeftAlone(_) | Gates::StateLeft(_) => None,
    }
}

fn personal(user: User) -> impl Iterator<Item = String> {
    let single = [
        user.user_principal_name,
        user.display_name,
        user.given_name,
        user.surname,
        user.mail,
        user.mobile_phone,
        user.street_address,
    ];
    single.into_iter().flatten().chain(user.business_phones)
}

/// Changes the directory until it is over.
pub async fn change(stage: &Stage, mut dice: StdRng) {
    while !stage.is_over() {
        {
            let _calm = stage.calm.read().await;
            for _ in 0..dice.random_range(0..4) {
                let mut people = stage.people.lock().unwrap();
                let before = Clock::system().now();
                stage.tenant().random_change(&mut dice);
                people.look(stage.tenant(), before, Clock::system().now());
            }
        }
        pause(dice.random_range(100..600)).await;
    }
}
