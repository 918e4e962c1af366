//! What is done to the daemons: they are killed, stopped, woken up, ended in good order, and given a configuration that
//! cannot be meant, that leads nowhere, or that lacks an environment.

use rand::Rng;
use rand::rngs::StdRng;
use rollcall::domain::licence::{Catalogue, Category};
use uuid::Uuid;

use super::graph::runs_end;
use super::stage::Stage;
use super::{Deck, pause};
use crate::daemon::{Daemon, eventually};

#[derive(Clone, Copy, Debug)]
enum Blow {
    KillLeader,
    KillFollower,
    KillBoth,
    KillAtItsStart,
    EndLeader,
    EndFollower,
    StopLeader,
}

const BLOWS: [Blow; 8] = [
    Blow::KillLeader,
    Blow::KillFollower,
    Blow::EndLeader,
    Blow::StopLeader,
    Blow::KillAtItsStart,
    Blow::EndFollower,
    Blow::KillFollower,
    Blow::KillBoth,
];

/// The least that a short run has, too.
const FIRST: [Blow; 4] = [Blow::KillLeader, Blow::StopLeader, Blow::EndLeader, Blow::KillFollower];

#[derive(Clone, Copy, Debug)]
enum Reload {
    CatalogueMatchesNobody,
    NoSuchHost,
    NoTls,
    EnvironmentAway,
}

const RELOADS: [Reload; 4] = [
    Reload::EnvironmentAway,
    Reload::CatalogueMatchesNobody,
    Reload::NoSuchHost,
    Reload::NoTls,
];

/// The environment that goes and comes back, and the one that stands behind it in the configuration.
const AWAY: &str = "[[environment]]\nname = \"sandbox\"\nkind = \"sandbox\"\n\n";
const STAYS: &str = "[[environment]]\nname = \"pilot\"";

/// Strikes now and then until it is over.
pub async fn kill_and_reload(stage: &Stage, mut dice: StdRng) {
    let (mut first, mut blows, mut reloads) = (Deck::new(&FIRST), Deck::new(&BLOWS), Deck::new(&RELOADS));
    let mut struck = 0;
    while !stage.is_over() {
        if stage.kills.lock().unwrap().sum() < stage.numbers.kills {
            let _calm = stage.calm.read().await;
            let deck = if struck < FIRST.len() { &mut first } else { &mut blows };
            strike(stage, deck.draw(&mut dice)).await;
            struck += 1;
        }
        pause(dice.random_range(500..3_000)).await;
        if !stage.is_over() && struck % 4 == 1 {
            reload(stage, reloads.draw(&mut dice)).await;
            struck += usize::from(stage.kills.lock().unwrap().sum() >= stage.numbers.kills);
        }
    }
}

async fn strike(stage: &Stage, blow: Blow) {
    let leader = stage.leader().await;
    let follower = 1 - leader;
    match blow {
        Blow::KillLeader => kill(stage, leader, "leader killed").await,
        Blow::KillFollower => kill(stage, follower, "follower killed").await,
        Blow::KillBoth => {
            kill(stage, leader, "leader killed").await;
            kill(stage, follower, "follower killed").await;
        }
        Blow::KillAtItsStart => {
            kill(stage, follower, "follower killed").await;
            pause(150).await;
            kill(stage, follower, "killed at its start").await;
        }
        Blow::EndLeader => end(stage, leader, "leader ended").await,
        Blow::EndFollower => end(stage, follower, "follower ended").await,
        Blow::StopLeader => stop_and_wake(stage, leader).await,
    }
}

async fn kill(stage: &Stage, at: usize, name: &'static str) {
    let member = &stage.pair[at];
    let mut process = member.process.lock().await;
    let daemon = process.as_mut().unwrap();
    daemon.child.start_kill().unwrap();
    daemon.child.wait().await.unwrap();
    stage.kills.lock().unwrap().count(name, 1);
    member.start(&mut process);
}

/// As a service manager ends it: in good order and in time, whatever goes wrong at that moment.
async fn end(stage: &Stage, at: usize, name: &'static str) {
    let member = &stage.pair[at];
    let live = async || member.get("/health/live").await.is_some();
    if !eventually(async || stage.is_over() || live().await).await {
        return;
    }
    let mut process = member.process.lock().await;
    let daemon = process.as_mut().unwrap();
    if daemon.child.try_wait().unwrap().is_some() {
        return;
    }
    daemon.signal("-TERM").await;
    let ended = eventually(async || daemon.child.try_wait().unwrap().is_some()).await;
    assert!(ended, "it does not end: {}", daemon.log());
    assert_eq!(daemon.child.wait().await.unwrap().code(), Some(0), "{}", daemon.log());
    stage.kills.lock().unwrap().count(name, 1);
    member.start(&mut process);
}

/// The leader stands still until the other leads, and then goes on where it was: it may write nothing more of its run.
async fn stop_and_wake(stage: &Stage, at: usize) {
    let (member, other) = (&stage.pair[at], &stage.pair[1 - at]);
    let mut process = member.process.lock().await;
    let daemon = process.as_mut().unwrap();
    if daemon.child.try_wait().unwrap().is_some() {
        return;
    }
    let fence = "select coalesce(max(fence), 0) from rollcall.lease";
    let before = stage.number(fence).await;
    signal(daemon, "-STOP").await;
    let taken_over = eventually(async || {
        let metrics = other.get("/metrics").await;
        let leads = metrics.is_some_and(|(_, text)| text.lines().any(|line| line == "rollcall_leader 1"));
        leads && stage.number(fence).await > before
    });
    assert!(taken_over.await, "nobody takes over: {}\n{}", stage.told(), other.log());
    pause(500).await;
    signal(daemon, "-CONT").await;
    stage
        .kills
        .lock()
        .unwrap()
        .count("leader stopped, and woken up when another led", 1);
}

/// Like [`Daemon::signal`], to a process that may have ended.
async fn signal(daemon: &Daemon, name: &str) {
    let Some(pid) = daemon.child.id() else { return };
    let mut kill = tokio::process::Command::new("kill");
    let _ = kill.args([name, &pid.to_string()]).status().await.unwrap();
}

async fn reload(stage: &Stage, reload: Reload) {
    let root = format!("authority = \"{}\"", stage.simulator.root());
    match reload {
        Reload::CatalogueMatchesNobody => match_nobody(stage).await,
        Reload::EnvironmentAway => leave_out(stage).await,
        Reload::NoSuchHost => {
            lead_nowhere(stage, &root, "authority = \"https://login.invalid\"", "DNS failure").await;
        }
        Reload::NoTls => {
            let without = root.replace("http://", "https://");
            lead_nowhere(stage, &root, &without, "TLS failure").await;
        }
    }
}

/// For one run the directory is somewhere else.
async fn lead_nowhere(stage: &Stage, old: &str, new: &str, name: &'static str) {
    let _calm = stage.calm.read().await;
    let failures = "select count(*) from rollcall.sync_run
                    where array_to_string(problems, ' ') like '%the token service%client error (Connect)%'";
    amend(stage, old, new).await;
    let before = stage.number(failures).await;
    runs_end(stage, 1).await;
    if stage.number(failures).await > before {
        stage.hit(name);
    }
    amend(stage, new, old).await;
}

/// For some runs one environment is in nobody's configuration.
async fn leave_out(stage: &Stage) {
    let _calm = stage.calm.read().await;
    let left = "select count(*) from rollcall.sync_run where left_over @> '[{\"environment\": \"sandbox\"}]'";
    let before = stage.number(left).await;
    amend(stage, AWAY, "").await;
    runs_end(stage, 3).await;
    if stage.number(left).await > before {
        stage.hit("environment away");
    }
    amend(stage, STAYS, &format!("{AWAY}{STAYS}")).await;
}

/// For one run no plan that anybody has is worth anything. Nothing else happens meanwhile.
async fn match_nobody(stage: &Stage) {
    let _calm = stage.calm.write().await;
    let catalogue = Catalogue::builtin();
    let mut plans: Vec<Uuid> = Vec::new();
    for user in stage
        .tenant()
        .user_ids()
        .into_iter()
        .filter_map(|id| stage.tenant().user(id))
    {
        let ids = user.plans.iter().filter_map(|plan| Uuid::parse_str(&plan.plan_id).ok());
        plans.extend(ids.filter(|plan| catalogue.category(*plan) != Category::None));
    }
    plans.sort_unstable();
    plans.dedup();
    let plans: Vec<String> = plans.iter().map(|plan| format!("\"{plan}\"")).collect();
    let worthless = format!("[licenses]\nnone = [{}]\n\n[guard]\n", plans.join(", "));
    // What is wrong already is not to be mixed up with it.
    stage.simulator.faults().clear();
    let held = "select count(*) from rollcall.held_set where why like '%nobody%'";
    let before = stage.number(held).await;
    amend(stage, "[guard]\n", &worthless).await;
    runs_end(stage, 1).await;
    if stage.number(held).await > before {
        stage.hit("catalogue matches nobody");
    }
    amend(stage, &worthless, "[guard]\n").await;
    // A run that has begun goes on with what it began with.
    runs_end(stage, 1).await;
}

/// Changes the configuration of both and has them take it over.
async fn amend(stage: &Stage, old: &str, new: &str) {
    for member in &stage.pair {
        member.installation.amend(old, new);
        let process = member.process.lock().await;
        let daemon = process.as_ref().unwrap();
        let reloads = || daemon.log().matches("the configuration is reloaded").count();
        let before = reloads();
        // Before it listens, a daemon has not asked to be told: the signal would end it.
        let listens =
            eventually(async || crate::daemon::get(daemon.address, "/health/live").await.is_some() || stage.is_over());
        if listens.await {
            signal(daemon, "-HUP").await;
            let _ = eventually(async || reloads() > before || stage.is_over()).await;
        }
    }
}
