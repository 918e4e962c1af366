//! Older never replaces newer (rules.md, section 2, "Order"): a cycle and a look-up ask about one user, and what they ask
//! for changes between the moments at which each is asked, answered and stored. All orders of these moments are played for
//! each kind of fact by `./dev explore`, a sample of them here; `ROLLCALL_ORDER='users:bblclbclb'` plays one again.
//!
//! An order is a word: `b` is the next moment of the cycle (asked, answered, stored, and the end of the run), `l` the next
//! one of the look-up (asked, answered, stored and judged), `c` a change in the directory.

mod cases;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use futures_util::future::join_all;
use rand::SeedableRng;
use rand::rngs::StdRng;
use rand::seq::IndexedRandom;
use rollcall::domain::environment::{Environment, GroupNesting};
use rollcall::simulator::tenant::{GLOBAL_ADMINISTRATOR, Profile, Tenant};
use rollcall::simulator::{Carrying, Effect, Fault, Gate, When};
use rollcall::sync::cycle::Request;
use rollcall::sync::{CycleError, Report, RunOutcome};
use sqlx::PgConnection;
use tokio::task::JoinHandle;
use uuid::Uuid;

use crate::on_demand::{ENV, ask, stage, stage_of};
use crate::world::{World, guarded_environment, licensed};

const GROUP: Uuid = Uuid::from_u128(0x6060);

/// A group that may be in the other.
const INNER: Uuid = Uuid::from_u128(0x1aae);

/// How many changes an order has: with the moments of both sides, 4,200 orders of a kind.
const CHANGES: usize = 3;

/// How many orders of a kind a test plays, and those that once ended wrongly.
const SAMPLE: usize = 20;
const ONCE_WRONG: [&str; 6] = [
    "bclcbbcllb",
    "llbbbclccb",
    "bcbllcblcb",
    "bccllcbbbl",
    "bccllcbblb",
    "bclclcbbbl",
];

/// A kind of fact, and how it changes and is read.
#[expect(clippy::struct_excessive_bools, reason = "independent facts")]
struct Kind {
    name: &'static str,
    /// Which request of the cycle is held.
    page: fn() -> When,
    /// Changes the fact to and fro.
    toggle: fn(&Tenant, Uuid, bool),
    /// What tells that the page is stored. Without it, the cycle goes on to its end.
    stored: Option<&'static str>,
    /// Whether the source is read whole, so that it says something of the user although nothing has changed.
    is_whole: bool,
    /// Whether it is the user's own record that changes.
    is_about_the_user: bool,
    /// Whether the look-up finds it out by a second question, once the first is answered.
    is_asked_second: bool,
    /// Whether a look-up that was asked before the page was stored, and differs from it, asks again.
    is_ambiguous: bool,
    /// Whether the fact holds for user `$1`.
    fact: &'static str,
    /// Prepares the source for the next order.
    prepare: &'static str,
}

impl Kind {
    /// An order without the end of the run, where that is the moment at which the page is stored.
    fn shorten(&self, order: &str) -> String {
        let last = order.rfind('b').filter(|_| self.stored.is_none());
        let moments = order.char_indices().filter(|(at, _)| Some(*at) != last);
        moments.map(|(_, moment)| moment).collect()
    }
}

/// The row is enabled.
const ROW: &str = "select not isdisabled from rollcall.system_user where azureactivedirectoryobjectid = $1";

const KINDS: [Kind; 11] = [
    Kind {
        name: "users",
        page: || When::path("/users/delta").carrying(Carrying::DeltaToken),
        toggle: |tenant, user, on| {
            tenant.update_user(user, |user| user.account_enabled = Some(on));
        },
        stored: Some("select reached_at::text from rollcall.checkpoint where phase = 'delta' and source = 'users'"),
        is_whole: false,
        is_about_the_user: true,
        is_asked_second: false,
        is_ambiguous: true,
        fact: ROW,
        prepare: "select",
    },
    Kind {
        name: "walk",
        page: || When::path("/users/delta").carrying(Carrying::Latest),
        toggle: |tenant, user, on| {
            tenant.update_user(user, |user| user.account_enabled = Some(on));
        },
        stored: Some("select reached_at::text from rollcall.checkpoint where phase = 'delta' and source = 'users'"),
        is_whole: true,
        is_about_the_user: true,
        is_asked_second: false,
        is_ambiguous: true,
        fact: ROW,
        prepare: "update rollcall.checkpoint set phase = 'full', next_link = null where source = 'users'",
    },
    Kind {
        name: "walked absence",
        page: || When::path("/users/delta").carrying(Carrying::Latest),
        toggle: |tenant, user, on| {
            let _ = if on {
                tenant.restore(user)
            } else {
                tenant.soft_delete(user)
            };
        },
        stored: Some("select reached_at::text from rollcall.checkpoint where phase = 'delta' and source = 'users'"),
        is_whole: true,
        is_about_the_user: true,
        is_asked_second: false,
        is_ambiguous: true,
        fact: ROW,
        prepare: "update rollcall.checkpoint set phase = 'full', next_link = null where source = 'users'",
    },
    Kind {
        name: "round",
        page: || When::endpoint("/users"),
        toggle: |tenant, user, on| {
            tenant.update_user(user, |user| user.account_enabled = Some(on));
        },
        stored: Some("select reached_at::text from rollcall.checkpoint where phase = 'delta' and source = 'users'"),
        is_whole: true,
        is_about_the_user: true,
        is_asked_second: false,
        is_ambiguous: true,
        fact: ROW,
        prepare: "update rollcall.checkpoint set phase = 'full', next_link = null where source = 'users'",
    },
    Kind {
        name: "absence",
        page: || When::endpoint("/users"),
        toggle: |tenant, user, on| {
            let _ = if on {
                tenant.restore(user)
            } else {
                tenant.soft_delete(user)
            };
        },
        stored: Some("select reached_at::text from rollcall.checkpoint where phase = 'delta' and source = 'users'"),
        is_whole: true,
        is_about_the_user: true,
        is_asked_second: false,
        is_ambiguous: true,
        fact: ROW,
        prepare: "update rollcall.checkpoint set phase = 'full', next_link = null where source = 'users'",
    },
    Kind {
        name: "members",
        page: || When::path("/groups/delta").carrying(Carrying::DeltaToken),
        toggle: toggle_member,
        stored: Some(
            "select reached_at::text from rollcall.checkpoint where phase = 'delta' and source like 'group:%'",
        ),
        is_whole: false,
        is_about_the_user: false,
        is_asked_second: false,
        is_ambiguous: true,
        fact: ROW,
        prepare: "select",
    },
    Kind {
        name: "listing",
        page: || When::path(format!("/groups/{GROUP}/members")),
        toggle: toggle_member,
        stored: Some(
            "select reached_at::text from rollcall.checkpoint where phase = 'delta' and source like 'group:%'",
        ),
        is_whole: true,
        is_about_the_user: false,
        is_asked_second: false,
        is_ambiguous: true,
        fact: ROW,
        prepare: "update rollcall.checkpoint set phase = 'full', next_link = null, delta_link = null
                  where source like 'group:%'",
    },
    Kind {
        name: "roles",
        page: || When::path("roleAssignments"),
        toggle: |tenant, user, on| {
            if on {
                tenant.assign_role(GLOBAL_ADMINISTRATOR, user, "/");
            } else {
                tenant.unassign_role(GLOBAL_ADMINISTRATOR, user);
            }
        },
        stored: Some("select asked::text from rollcall.directory_reading where source = 'roles'"),
        is_whole: true,
        is_about_the_user: false,
        is_asked_second: false,
        is_ambiguous: false,
        fact: ROW,
        prepare: "select",
    },
    Kind {
        name: "owners",
        page: || When::path(format!("/groups/{GROUP}/owners")),
        toggle: |tenant, user, on| {
            let _ = if on {
                tenant.add_owner(GROUP, user)
            } else {
                tenant.remove_owner(GROUP, user)
            };
        },
        stored: None,
        is_whole: true,
        is_about_the_user: false,
        is_asked_second: false,
        is_ambiguous: false,
        // Owners have no row but for access.
        fact: "select is_owner from rollcall.directory_group_member where object_id = $1",
        prepare: "select",
    },
    Kind {
        name: "nested",
        page: || When::path(format!("/groups/{GROUP}/members")),
        toggle: |tenant, _, on| toggle_member(tenant, INNER, on),
        stored: Some(
            "select reached_at::text from rollcall.checkpoint where phase = 'delta' and source like 'group:%6060'",
        ),
        is_whole: true,
        is_about_the_user: false,
        is_asked_second: true,
        is_ambiguous: false,
        fact: ROW,
        prepare: "update rollcall.checkpoint set phase = 'full', next_link = null, delta_link = null
                  where source like 'group:%6060'",
    },
    Kind {
        name: "returned",
        page: || When::path("/users/{id}/memberOf"),
        toggle: toggle_member,
        stored: None,
        is_whole: true,
        is_about_the_user: false,
        is_asked_second: false,
        is_ambiguous: false,
        fact: ROW,
        prepare: "insert into rollcall.directory_returned
                  select azureactivedirectoryobjectid from rollcall.system_user where firstname = 'Ada'",
    },
];

fn toggle_member(tenant: &Tenant, user: Uuid, on: bool) {
    let _ = if on {
        tenant.add_member(GROUP, user)
    } else {
        tenant.remove_member(GROUP, user)
    };
}

/// The stage for one kind: everybody qualifies while the fact is on.
async fn stage_for(kind: &Kind) -> (Arc<World>, Uuid) {
    let world = match kind.name {
        "members" | "listing" | "owners" | "returned" => stage_of(guarded_environment(ENV, GROUP)).await,
        "nested" => {
            stage_of(Environment {
                group_nesting: GroupNesting::Full,
                ..guarded_environment(ENV, GROUP)
            })
            .await
        }
        _ => stage().await,
    };
    let walks = matches!(kind.name, "walk" | "walked absence");
    world.simulator.configure(|settings| settings.ignores_latest = walks);
    world.tenant().create_group_with_id(GROUP, "Sales");
    world.tenant().create_group_with_id(INNER, "Sales abroad");
    let ada = licensed(world.tenant(), "Ada", "Lovelace");
    // Somebody who stays: an empty listing is doubted.
    let bob = licensed(world.tenant(), "Bob", "Babbage");
    world.tenant().add_member(GROUP, bob);
    world.tenant().assign_role(GLOBAL_ADMINISTRATOR, bob, "/");
    let is_prepared = match kind.name {
        "roles" => world.tenant().give_profile(ada, Profile::Unlicensed),
        "owners" => world.tenant().add_member(GROUP, ada),
        "nested" => world.tenant().add_member(INNER, ada),
        _ => true,
    };
    assert!(is_prepared);
    (kind.toggle)(world.tenant(), ada, true);
    world.sync_completely().await;
    (Arc::new(world), ada)
}

type Run = JoinHandle<Result<Report, CycleError>>;

/// Waits until the run has ended, which must be complete.
async fn end_of(run: &mut Option<Run>, order: &str) {
    let report = run.take().unwrap().await.unwrap().unwrap();
    assert_eq!(report.outcome, RunOutcome::Complete, "{order}: {:?}", report.problems);
}

/// What changes when the page is stored, and everything that the run reads after it.
async fn stored(kind: &Kind, db: &mut PgConnection) -> Option<String> {
    let query = kind.stored.unwrap_or("select null::text where false");
    sqlx::query_scalar(query).fetch_optional(db).await.unwrap()
}

/// Whether the fact holds, by the table.
async fn holds(kind: &Kind, db: &mut PgConnection, user: Uuid) -> Option<bool> {
    let query = sqlx::query_scalar(kind.fact).bind(user);
    query.fetch_optional(db).await.unwrap()
}

/// One side of an order: what it has come to, and what stood in the directory when it was answered.
#[derive(Default)]
struct Side {
    moments: usize,
    asked_at: usize,
    answer: Option<bool>,
    stored_at: usize,
}

/// Plays one order, and says what is wrong with what came of it.
#[expect(clippy::too_many_lines, reason = "a script reads best in one piece")]
async fn play(kind: &Kind, world: &Arc<World>, ada: Uuid, order: &str) -> Result<(), String> {
    (kind.toggle)(world.tenant(), ada, true);
    world.sync_completely().await;
    let mut db = world.sql().await;
    let before = stored(kind, &mut db).await;
    world.execute(kind.prepare).await;
    world.advance(Duration::from_secs(1));
    let (page, end, look) = (Gate::default(), Gate::default(), Gate::default());
    let faults = world.simulator.faults();
    let mut run: Option<Run> = None;
    let mut asking: Option<JoinHandle<()>> = None;
    let (mut cycle, mut person) = (Side::default(), Side::default());
    // What the round says of a user and what deletedItems says contradict each other: the run looks the user up.
    let mut is_unsure = false;
    let (mut on, mut changes_before_the_page, mut changes_since_the_run) = (true, 0, 0);
    for (at, step) in order.chars().enumerate() {
        match (step, cycle.moments, person.moments) {
            ('c', ..) => {
                on = !on;
                (kind.toggle)(world.tenant(), ada, on);
                changes_before_the_page += usize::from(cycle.moments < 2);
                changes_since_the_run += usize::from(cycle.moments > 0);
            }
            ('b', 0, _) => {
                faults.push(Fault::once((kind.page)(), Effect::Hold(page.clone())));
                if kind.stored.is_some() {
                    faults.push(Fault::once(When::path("/subscribedSkus"), Effect::Hold(end.clone())));
                }
                cycle.asked_at = at;
                let running = Arc::clone(world);
                let mut running = tokio::spawn(async move { running.run(Request::default()).await });
                tokio::select! {
                    () = page.asked() => run = Some(running),
                    // The look-up has left nothing to ask.
                    report = &mut running => {
                        assert_eq!(kind.name, "returned");
                        assert_eq!(report.unwrap().unwrap().outcome, RunOutcome::Complete);
                        faults.clear();
                        cycle.answer = Some(on);
                    }
                }
            }
            ('b', ..) if run.is_none() => {}
            ('b', 1, _) => {
                page.answer().await;
                cycle.answer = Some(on);
            }
            ('b', 2, _) => {
                // A listing is followed by what has changed since it was begun.
                if matches!(kind.name, "listing" | "nested" | "round" | "absence") && changes_since_the_run > 0 {
                    cycle = Side {
                        asked_at: at,
                        answer: Some(on),
                        ..cycle
                    };
                }
                cycle.stored_at = at;
                is_unsure = kind.name.ends_with("absence") && cycle.answer != Some(on);
                page.send();
                if kind.stored.is_none() {
                    end_of(&mut run, order).await;
                }
                while run.is_some() && [&before, &None].contains(&&stored(kind, &mut db).await) {
                    tokio::task::yield_now().await;
                }
            }
            ('b', ..) => {
                if is_unsure {
                    cycle = Side {
                        asked_at: at,
                        answer: Some(on),
                        ..cycle
                    };
                }
                end.answer().await;
                end.send();
                end_of(&mut run, order).await;
            }
            ('l', _, 0) => {
                faults.push(Fault::once(When::path("/$batch"), Effect::Hold(look.clone())));
                let world = Arc::clone(world);
                asking = Some(tokio::spawn(async move {
                    let user = ada.to_string();
                    // A refusal is as good as an answer.
                    let _ = world.engine.desk().refresh(ask(&user)).await;
                }));
                look.asked().await;
                person.asked_at = at;
            }
            ('l', _, 1) => {
                look.answer().await;
                person.answer = Some(on);
            }
            _ => {
                // Whoever hears that the mirror knows something newer of the user asks again.
                let page_says_something = kind.is_whole || changes_before_the_page > 0;
                if kind.is_about_the_user
                    && page_says_something
                    && cycle.moments > 2
                    && cycle.asked_at > person.asked_at
                {
                    person = Side {
                        asked_at: at,
                        answer: Some(on),
                        ..person
                    };
                }
                // And whoever may be older than a page that was stored meanwhile.
                if kind.is_ambiguous
                    && page_says_something
                    && cycle.moments > 2
                    && cycle.stored_at > person.asked_at
                    && cycle.answer != person.answer
                {
                    person = Side {
                        asked_at: at,
                        answer: Some(on),
                        ..person
                    };
                }
                // Whoever is found neither among the users nor among the deleted ones is asked for once more.
                if kind.name.ends_with("absence") && person.answer == Some(false) && on {
                    person = Side {
                        asked_at: at,
                        answer: Some(true),
                        ..person
                    };
                }
                if kind.is_asked_second {
                    person = Side {
                        asked_at: at,
                        answer: Some(on),
                        ..person
                    };
                }
                look.send();
                asking.take().unwrap().await.unwrap();
            }
        }
        cycle.moments += usize::from(step == 'b');
        person.moments += usize::from(step == 'l');
    }
    assert_eq!(faults.pending(), 0, "{order}");

    // What was asked for last counts, whichever came last; a feed says nothing of somebody who has not changed.
    let page_says_something = kind.is_whole || changes_before_the_page > 0;
    let newest = if page_says_something && cycle.asked_at > person.asked_at {
        cycle.answer
    } else {
        person.answer
    };
    let now = holds(kind, &mut db, ada).await;
    if now != newest {
        return Err(format!(
            "{}:{order}: holds {now:?}, the newest answer was {newest:?}",
            kind.name
        ));
    }
    // And the next run finds out what the directory says by now, whatever was dropped.
    world.sync_completely().await;
    let now = holds(kind, &mut db, ada).await;
    if now != Some(on) {
        return Err(format!(
            "{}:{order}: holds {now:?} after the next run, not {on}",
            kind.name
        ));
    }
    Ok(())
}

/// All words of so many `b`, `l` and `c`.
fn orders(b: usize, l: usize, c: usize) -> Vec<String> {
    fn go(word: &mut String, left: [(char, usize); 3], all: &mut Vec<String>) {
        if left.iter().all(|(_, count)| *count == 0) {
            all.push(word.clone());
        }
        for at in 0..left.len() {
            let mut rest = left;
            if rest[at].1 > 0 {
                rest[at].1 -= 1;
                word.push(rest[at].0);
                go(word, rest, all);
                word.pop();
            }
        }
    }
    let mut all = Vec::new();
    go(&mut String::new(), [('b', b), ('l', l), ('c', c)], &mut all);
    all
}

/// Plays orders of every kind, each on a stage of its own, or those that were asked for: `kind` or `kind:order`. Counts
/// how many.
async fn explore(orders: &[String]) -> BTreeMap<&'static str, usize> {
    let asked = std::env::var("ROLLCALL_ORDER").ok();
    let asked = asked
        .as_deref()
        .map(|asked| asked.split_once(':').unwrap_or((asked, "")));
    let kinds = KINDS
        .iter()
        .filter(|kind| asked.is_none_or(|(name, _)| name == kind.name));
    let plays = kinds.map(async |kind| {
        let (world, ada) = stage_for(kind).await;
        let wanted = orders.iter().map(|order| kind.shorten(order));
        let wanted: BTreeSet<String> = wanted
            .filter(|order| asked.is_none_or(|(_, one)| one.is_empty() || one == order))
            .collect();
        let mut wrong = Vec::new();
        for (at, order) in wanted.iter().enumerate() {
            if at > 0 && at % 500 == 0 {
                println!("{at} of {} orders of {} played", wanted.len(), kind.name);
            }
            let result = play(kind, &world, ada, order).await;
            wrong.extend(result.err().inspect(|wrong| println!("{wrong}")));
        }
        Arc::into_inner(world).unwrap().end().await;
        (kind.name, wanted.len(), wrong)
    });
    let (mut played, mut wrong) = (BTreeMap::new(), Vec::new());
    for (name, count, mut of_kind) in join_all(plays).await {
        played.insert(name, count);
        wrong.append(&mut of_kind);
    }
    assert!(
        wrong.is_empty(),
        "{} orders end wrongly:\n{}",
        wrong.len(),
        wrong.join("\n")
    );
    played
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_asked_for_later_counts_in_a_sample_of_all_orders() {
    let mut dice = StdRng::seed_from_u64(10);
    let all = orders(4, 3, CHANGES);
    let sample = all.choose_multiple(&mut dice, SAMPLE).cloned();
    let sample: Vec<String> = sample.chain(ONCE_WRONG.map(str::to_owned)).collect();
    explore(&sample).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "takes long: ./dev explore"]
async fn what_was_asked_for_later_counts_in_every_order() {
    let played = explore(&orders(4, 3, CHANGES)).await;
    println!("orders played: {played:?}");
}
