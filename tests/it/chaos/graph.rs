//! What goes wrong with the directory: answers that fail, come late or in pieces, tokens that die, permissions and groups
//! that vanish, and lies about everybody.
//!
//! A lie is told only where the product has a way to doubt it: a listing that comes back empty, properties that are
//! null for everybody. An incremental page that leaves one user out cannot be told from the truth.

use std::time::Duration;

use rand::Rng;
use rand::rngs::StdRng;
use rand::seq::IndexedRandom as _;
use rollcall::clock::Clock;
use rollcall::simulator::tenant::{LARGE_GROUP, SMALL_GROUP, TokenDeath};
use rollcall::simulator::{Carrying, Effect, Fault, Gate, RetryAfter, Spoilt, TokenFault, When};
use serde_json::Value;

use super::stage::Stage;
use super::{Deck, pause};
use crate::daemon::eventually;

/// What befalls single requests.
#[derive(Clone, Copy, Debug)]
enum Answer {
    Throttled,
    Unavailable,
    Unauthorized,
    Hangup,
    CutBody,
    HalfAPage,
    SlowBody,
    Late,
    HtmlPage,
    EmptyBody,
    EmptyObject,
    NoLink,
    NoValue,
    EmptyPage,
    LinkToItself,
    Gone,
    TokenServiceAway,
    WrongClock,
    ShortToken,
}

const ANSWERS: [Answer; 19] = [
    Answer::Throttled,
    Answer::Unavailable,
    Answer::Unauthorized,
    Answer::Hangup,
    Answer::CutBody,
    Answer::HalfAPage,
    Answer::SlowBody,
    Answer::Late,
    Answer::HtmlPage,
    Answer::EmptyBody,
    Answer::EmptyObject,
    Answer::NoLink,
    Answer::NoValue,
    Answer::EmptyPage,
    Answer::LinkToItself,
    Answer::Gone,
    Answer::TokenServiceAway,
    Answer::WrongClock,
    Answer::ShortToken,
];

/// What befalls the directory as a whole.
#[derive(Clone, Copy, Debug)]
enum Turn {
    TokensDie,
    AccessTokensRevoked,
    PermissionWithdrawn,
    GroupVanished,
    GroupListedEmpty,
    UsersListedEmpty,
    NullsForEverybody,
    HalfOpen,
    ValuesSpoilt,
    PageHeld,
}

const TURNS: [Turn; 10] = [
    Turn::ValuesSpoilt,
    Turn::PageHeld,
    Turn::TokensDie,
    Turn::AccessTokensRevoked,
    Turn::PermissionWithdrawn,
    Turn::GroupVanished,
    Turn::GroupListedEmpty,
    Turn::UsersListedEmpty,
    Turn::NullsForEverybody,
    Turn::HalfOpen,
];

const MEMBERS: &str = "/groups/{id}/members";

/// Breaks something now and then until it is over.
pub async fn break_things(stage: &Stage, mut dice: StdRng) {
    let (mut answers, mut turns) = (Deck::new(&ANSWERS), Deck::new(&TURNS));
    // The least that a short run has, too.
    let mut first = Some(*[Turn::ValuesSpoilt, Turn::PageHeld].choose(&mut dice).unwrap());
    while !stage.is_over() {
        for _ in 0..4 {
            // What nobody has met by now makes room.
            if stage.simulator.faults().pending() > 6 {
                stage.simulator.faults().clear();
            }
            answer_badly(stage, answers.draw(&mut dice), &mut dice);
            pause(dice.random_range(150..600)).await;
        }
        let next = first.take().unwrap_or_else(|| turns.draw(&mut dice));
        turn(stage, next, &mut dice).await;
    }
}

fn answer_badly(stage: &Stage, answer: Answer, dice: &mut StdRng) {
    let elsewhere = [
        "/groups/delta",
        "/roleManagement",
        "/subscribedSkus",
        "/owners",
        "/users",
    ];
    let anywhere = match dice.random_range(0..=elsewhere.len()) {
        0 => When::users(),
        place => When::path(elsewhere[place - 1]),
    };
    let users = When::users();
    let seconds = Some(RetryAfter::Seconds(1));
    let (name, when, effect) = match answer {
        Answer::Throttled => ("429", anywhere, Effect::throttled(seconds.filter(|_| dice.random()))),
        Answer::Unavailable => ("503", anywhere, Effect::unavailable(seconds.filter(|_| dice.random()))),
        Answer::Unauthorized => ("401", anywhere, Effect::unauthorized()),
        Answer::Hangup => ("hangup", anywhere, Effect::Hangup),
        Answer::CutBody => ("cut body", anywhere, Effect::Cut(dice.random_range(0..200))),
        Answer::HalfAPage => ("half a page", anywhere, Effect::Truncate),
        Answer::SlowBody => ("slow body", anywhere, Effect::SlowBody(Duration::from_millis(100))),
        Answer::Late => ("late answer", anywhere, Effect::Delay(Duration::from_secs(1))),
        Answer::HtmlPage => ("a proxy's page", anywhere, Effect::html(502)),
        Answer::EmptyBody => ("no body", anywhere, Effect::empty_body(200)),
        Answer::EmptyObject => ("{}", users, Effect::empty_object()),
        Answer::NoLink => ("no link", users, Effect::NoLink),
        Answer::NoValue => ("no value", users, Effect::NoValue),
        Answer::EmptyPage => ("empty first page", users, Effect::EmptyPage),
        Answer::LinkToItself => ("link to itself", users, Effect::NextLinkToItself),
        Answer::Gone => ("410", users.carrying(Carrying::DeltaToken), Effect::gone(dice.random())),
        Answer::TokenServiceAway => {
            stage.simulator.revoke_access_tokens();
            let fault = TokenFault::TEMPORARILY_UNAVAILABLE;
            ("token service away", When::token(), Effect::Token(fault))
        }
        Answer::WrongClock => {
            let date = RetryAfter::Date(Duration::from_hours(1));
            ("wrong clock", anywhere, Effect::throttled(Some(date)))
        }
        Answer::ShortToken => {
            stage.simulator.revoke_access_tokens();
            let fault = TokenFault::Lifetime(Duration::from_secs(1));
            ("short-lived token", When::token(), Effect::Token(fault))
        }
    };
    let times = dice.random_range(1..4);
    let fault = Fault::times(when.after(dice.random_range(0..2)), times, effect);
    stage.simulator.faults().push(fault.called(name));
}

async fn turn(stage: &Stage, turn: Turn, dice: &mut StdRng) {
    let faults = stage.simulator.faults();
    match turn {
        Turn::TokensDie => {
            let deaths = [
                TokenDeath::GoneWithLocation,
                TokenDeath::Gone,
                TokenDeath::SyncStateNotFound,
                TokenDeath::UnsupportedQuery,
            ];
            let before = last_answered(stage, &[400, 410]);
            stage.tenant().expire_tokens(*deaths.choose(dice).unwrap());
            runs_end(stage, 1).await;
            if last_answered(stage, &[400, 410]) > before {
                stage.hit("delta tokens die");
            }
        }
        Turn::AccessTokensRevoked => {
            let before = last_answered(stage, &[401]);
            stage.simulator.revoke_access_tokens();
            runs_end(stage, 1).await;
            if last_answered(stage, &[401]) > before {
                stage.hit("access tokens revoked");
            }
        }
        Turn::PermissionWithdrawn => {
            let permissions = ["GroupMember.Read.All", "RoleManagement.Read.Directory", "User.Read.All"];
            withdraw(stage, permissions.choose(dice).unwrap()).await;
        }
        Turn::GroupVanished => {
            let group = *[LARGE_GROUP, SMALL_GROUP].choose(dice).unwrap();
            let gone = Effect::error(404, "Request_ResourceNotFound");
            let fault = Fault::forever(When::path(format!("/groups/{group}/")), gone);
            faults.push(fault.called("group vanished"));
            runs_end(stage, 1).await;
            faults.withdraw("group vanished");
        }
        Turn::GroupListedEmpty => {
            lie(stage, "group listed empty", When::path(MEMBERS), 1, nobody(), dice).await;
        }
        Turn::UsersListedEmpty => {
            lie(stage, "users listed empty", When::users().after(1), 1, nobody(), dice).await;
        }
        Turn::NullsForEverybody => {
            lie(stage, "nulls for everybody", When::users(), u64::MAX, nulls(), dice).await;
        }
        // The request ends by the daemon's own time-out, of a minute in a cycle and of seconds where somebody waits.
        Turn::HalfOpen => {
            let long = stage.numbers.own_server && dice.random_ratio(1, 3);
            let when = if long { When::users() } else { When::path("/memberOf") };
            faults.push(Fault::once(when, Effect::Delay(Duration::from_secs(75))).called("half-open"));
        }
        Turn::ValuesSpoilt => spoil_values(stage, dice).await,
        Turn::PageHeld => hold_a_page(stage, dice).await,
    }
}

/// Values of some users cannot be decoded for a while. Plans can: what was last known of them decides, for reasons that
/// may be long over.
async fn spoil_values(stage: &Stage, dice: &mut StdRng) {
    const PROPERTIES: [&str; 6] = [
        "accountEnabled",
        "displayName",
        "givenName",
        "mail",
        "jobTitle",
        "businessPhones",
    ];
    let mut spoilt = Vec::new();
    for id in (0..8)
        .filter_map(|_| stage.tenant().random_user(dice))
        .collect::<Vec<_>>()
    {
        stage.tenant().replay_user(id);
        spoilt.push(Spoilt {
            id,
            property: PROPERTIES.choose(dice).unwrap(),
            text: [r#""\ud83d""#, "42", r#"{"a":[[{}]]}"#]
                .choose(dice)
                .unwrap()
                .to_string(),
        });
    }
    for when in [When::users(), When::endpoint("/users/{id}")] {
        let fault = Fault::forever(when, Effect::spoil(spoilt.clone()));
        stage.simulator.faults().push(fault.called("values spoilt"));
    }
    runs_end(stage, 1).await;
    stage.simulator.faults().withdraw("values spoilt");
}

/// A page of users is answered late and sent later, while the directory changes and people ask. Whoever waits for it may
/// be killed.
async fn hold_a_page(stage: &Stage, dice: &mut StdRng) {
    let gate = Gate::default();
    let fault = Fault::once(When::users(), Effect::Hold(gate.clone()));
    stage.simulator.faults().push(fault.called("page held"));
    tokio::select! {
        () = gate.asked() => {
            pause(dice.random_range(100..1_500)).await;
            let _ = tokio::time::timeout(Duration::from_secs(2), gate.answer()).await;
            pause(dice.random_range(100..1_500)).await;
            gate.send();
        }
        () = runs_end(stage, 1) => stage.simulator.faults().withdraw("page held"),
    }
}

async fn withdraw(stage: &Stage, permission: &str) {
    let before = last_answered(stage, &[403]);
    stage.simulator.configure(|settings| {
        settings.permissions.remove(permission);
    });
    runs_end(stage, 1).await;
    stage.simulator.configure(|settings| {
        settings.permissions.insert(permission.to_owned());
    });
    if last_answered(stage, &[403]) > before {
        stage.hit("permission withdrawn");
    }
}

/// The number of the last request that was answered so.
fn last_answered(stage: &Stage, statuses: &[u16]) -> Option<u64> {
    let requests = stage.simulator.requests();
    let answered = requests.iter().filter(|seen| statuses.contains(&seen.status));
    answered.map(|seen| seen.sequence).max()
}

/// Lets everybody be read anew, and lies about it. Nothing else happens meanwhile.
async fn lie(stage: &Stage, name: &'static str, when: When, times: u64, effect: Effect, dice: &mut StdRng) {
    let _calm = stage.calm.write().await;
    let faults = stage.simulator.faults();
    faults.clear();
    faults.push(Fault::times(when, times, effect).called(name));
    stage.tenant().expire_tokens(TokenDeath::Gone);
    runs_end(stage, 1).await;
    faults.withdraw(name);
    if times > 1 || dice.random() {
        // A page of the lie and a page of the truth do not make a round.
        stage.tenant().expire_tokens(TokenDeath::Gone);
    }
    runs_end(stage, 1).await;
}

/// Waits until so many runs have begun and ended from here on, however they end.
pub async fn runs_end(stage: &Stage, wanted: i64) {
    let now = Clock::system().now();
    let ended = eventually(async || {
        let query =
            format!("select count(*) from rollcall.sync_run where started_at > '{now}' and ended_at is not null");
        let ended = stage.number(&query).await;
        ended >= wanted || stage.is_over()
    });
    assert!(ended.await, "no run comes to an end: {}", stage.told());
}

/// A listing in which nobody stands.
fn nobody() -> Effect {
    Effect::rewrite(|page| {
        page["value"] = serde_json::json!([]);
        if let Some(page) = page.as_object_mut() {
            page.remove("@odata.nextLink");
        }
    })
}

/// What comes back where the permission to read it is missing.
fn nulls() -> Effect {
    Effect::rewrite(|page| {
        for user in page["value"].as_array_mut().into_iter().flatten() {
            if user.get("@removed").is_none() {
                user["accountEnabled"] = Value::Null;
                user["assignedPlans"] = Value::Null;
            }
        }
    })
}
