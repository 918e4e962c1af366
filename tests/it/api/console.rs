//! The console over a socket: who may see and do what, what a browser is told, and that nothing the directory holds
//! becomes markup.

use std::time::Duration;

use reqwest::StatusCode;
use rollcall::domain::api_role::ApiRole;
use rollcall::domain::session::Session;
use uuid::Uuid;

use super::browser::{Browser, location};
use super::{ANNA, ENV, OPERATOR, READER, Stage};
use crate::guard::{block, crowd, limits};
use crate::on_demand::state;
use crate::world::licensed;

const PAGES: [&str; 11] = [
    "/console/",
    "/console/environments/production/users",
    "/console/environments/production/users.csv",
    "/console/environments/production/teams",
    "/console/environments/production/units",
    "/console/why",
    "/console/runs",
    "/console/held",
    "/console/findings",
    "/console/imports",
    "/console/rules",
];

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_page_and_act_admits_exactly_who_may() {
    let stage = Stage::new().await;
    let ada = licensed(stage.world.tenant(), "Ada", "Lovelace");
    stage.world.sync_completely().await;
    let user = format!("/console/environments/{ENV}/users/{ada}");
    let run = "/console/runs/1".to_owned();
    let pages: Vec<String> = PAGES
        .map(str::to_owned)
        .into_iter()
        .chain([user.clone(), run.clone()])
        .collect();
    let acts = [
        (format!("{user}/refresh"), 303, 303),
        (format!("/console/environments/{ENV}/users"), 404, 404),
        (format!("{user}/hold"), 403, 303),
        (format!("{user}/release"), 403, 303),
        (format!("{user}/disable"), 403, 303),
        (format!("{user}/enable"), 403, 303),
        (format!("{user}/grant"), 403, 409),
        (format!("{user}/delete"), 403, 409),
        (format!("{user}/nothing"), 403, 404),
        (format!("{user}/join"), 403, 404),
        (format!("{user}/leave"), 403, 404),
        (format!("{user}/edit"), 403, 422),
        (format!("{user}/own"), 403, 422),
        (format!("/console/environments/{ENV}/teams"), 403, 422),
        (format!("/console/environments/{ENV}/teams/none/grant"), 403, 409),
        (format!("/console/environments/{ENV}/units"), 403, 422),
        (format!("/console/environments/{ENV}/units/none/disable"), 403, 404),
        (format!("/console/environments/{ENV}/import/preview"), 403, 200),
        (format!("/console/environments/{ENV}/imports"), 403, 422),
        ("/console/imports/1/cancel".to_owned(), 403, 404),
        ("/console/runs".to_owned(), 403, 303),
        (format!("{run}/approve"), 403, 409),
        (format!("{run}/reject"), 403, 409),
    ];
    let fields = [
        ("reason", "a test"),
        ("role", "No such role"),
        ("user", "nobody@nowhere.example"),
    ];
    let (reader, requester, operator) = tokio::join!(
        Browser::of(&stage, READER),
        Browser::of(&stage, ANNA),
        Browser::of(&stage, OPERATOR)
    );
    let mut forged = Browser::new(&stage);
    forged.cookies.insert("rollcall_session".to_owned(), "0".repeat(64));
    for page in &pages {
        for stranger in [&Browser::new(&stage), &forged] {
            let answer = stranger.get(page).await;
            assert_eq!(answer.status(), StatusCode::SEE_OTHER, "{page}");
            assert!(
                location(&answer).starts_with("/console/sign-in?to=%2Fconsole%2F"),
                "{page}"
            );
        }
        for viewer in [&reader, &requester, &operator] {
            let answer = viewer.get(page).await;
            assert_eq!(answer.status(), StatusCode::OK, "{page}");
            assert!(
                answer.headers()["content-security-policy"]
                    .to_str()
                    .unwrap()
                    .starts_with("default-src 'none'")
            );
            assert_eq!(answer.headers()["cache-control"], "no-store");
            assert_eq!(answer.headers()["referrer-policy"], "same-origin");
        }
    }
    let form = format!("/console/environments/{ENV}/import");
    assert_eq!(requester.get(&form).await.status(), StatusCode::FORBIDDEN);
    assert_eq!(operator.get(&form).await.status(), StatusCode::OK);
    for (act, of_requester, of_operator) in &acts {
        let stranger = Browser::new(&stage).post(act, &fields).await;
        assert_eq!(location(&stranger), "/console/sign-in?to=%2Fconsole%2F", "{act}");
        for origin in ["http://evil.example", "null", "https://localhost"] {
            let cross = operator.post_from(origin, act, &fields).await;
            assert_eq!(cross.status(), StatusCode::FORBIDDEN, "{act} from {origin}");
        }
        assert_eq!(reader.post(act, &fields).await.status(), StatusCode::FORBIDDEN, "{act}");
        assert_eq!(
            requester.post(act, &fields).await.status().as_u16(),
            *of_requester,
            "{act}"
        );
        assert_eq!(
            operator.post(act, &fields).await.status().as_u16(),
            *of_operator,
            "{act}"
        );
    }
    // The session is worth nothing to the API, and another name of the machine is no console.
    let api = operator.get("/api/v1/environments").await;
    assert_eq!(api.status(), StatusCode::UNAUTHORIZED);
    let mut elsewhere = operator.clone();
    elsewhere.root = "http://console.example".to_owned();
    let elsewhere = elsewhere.get("/console/").await;
    assert_eq!(elsewhere.status(), StatusCode::MISDIRECTED_REQUEST);
    let actors = "select distinct actor from rollcall.system_user_change where actor <> 'sync'";
    assert_eq!(stage.world.strings(actors).await, [OPERATOR]);
    stage.world.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_session_ends_with_the_person_the_time_and_the_sign_out() {
    let stage = Stage::new().await;
    let ada = licensed(stage.world.tenant(), "Ada", "Lovelace");
    stage.world.sync_completely().await;
    let session = |object_id: Option<Uuid>| Session {
        actor: "user:ada".to_owned(),
        display_name: "Ada".to_owned(),
        object_id,
        roles: [ApiRole::Read].into(),
        signed_in_at: stage.world.clock.now(),
    };
    let sessions = stage.world.engine.sessions();
    let is_in = async |secret: &str| sessions.find(secret).await.unwrap().is_some();
    let ada_s = sessions.begin(session(Some(ada)), None).await.unwrap();
    let idle = sessions.begin(session(None), None).await.unwrap();
    let busy = sessions.begin(session(None), None).await.unwrap();
    assert!(is_in(&ada_s).await && is_in(&idle).await && is_in(&busy).await);
    block(&stage.world, &[ada]);
    stage.world.sync().await;
    assert!(!is_in(&ada_s).await);
    for _ in 0..5 {
        stage.world.advance(Duration::from_hours(4));
        assert!(is_in(&busy).await);
    }
    assert!(!is_in(&idle).await, "unused for eight hours");
    stage.world.advance(Duration::from_hours(4));
    assert!(!is_in(&busy).await, "a day old");
    let invitation = sessions.invite(session(None)).await.unwrap();
    assert!(!is_in(&invitation).await);
    let invited = sessions.accept(&invitation).await.unwrap().unwrap();
    let accepted = sessions.begin(invited, None).await.unwrap();
    assert!(is_in(&accepted).await && sessions.accept(&invitation).await.unwrap().is_none());
    let late = sessions.invite(session(None)).await.unwrap();
    stage.world.advance(Duration::from_hours(2));
    assert!(sessions.accept(&late).await.unwrap().is_none());
    let stored = "select count(*) from rollcall.console_session";
    sessions.begin(session(None), None).await.unwrap();
    assert!(stage.world.number(stored).await <= 3, "ended sessions are deleted");

    let browser = Browser::of(&stage, READER).await;
    assert_eq!(
        browser.post("/console/sign-out", &[]).await.status(),
        StatusCode::SEE_OTHER
    );
    assert_eq!(browser.get("/console/").await.status(), StatusCode::SEE_OTHER);
    for (to, expected) in [
        ("//evil.example", "/console/"),
        ("https://evil.example", "/console/"),
        ("/console/held", "/console/held"),
    ] {
        let answer = Browser::new(&stage)
            .post("/console/sign-in", &[("token", READER), ("to", to)])
            .await;
        assert_eq!(location(&answer), expected);
    }
    let wrong = Browser::new(&stage)
        .post("/console/sign-in", &[("token", "no such token"), ("to", "")])
        .await;
    assert!(wrong.headers().get("set-cookie").is_none());
    assert!(
        wrong
            .text()
            .await
            .unwrap()
            .contains("This is no token of the configuration")
    );
    stage.world.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_from_the_directory_becomes_markup_or_a_formula() {
    let stage = Stage::new().await;
    let hostile = "<script>alert(1)</script>\"'><img src=x onerror=alert(1)>&amp;{{ 7 * 7 }}";
    let eve = licensed(stage.world.tenant(), "Eve", "Mallory");
    stage.world.tenant().update_user(eve, |user| {
        user.display_name = Some(hostile.to_owned());
        user.given_name = Some(hostile.to_owned());
        user.job_title = Some("=cmd()".to_owned());
        user.city = Some("\u{202e}evil".to_owned());
    });
    stage.world.sync_completely().await;
    let browser = Browser::of(&stage, OPERATOR).await;
    let hold = format!("/console/environments/{ENV}/users/{eve}/hold");
    assert_eq!(
        browser.post(&hold, &[("reason", hostile)]).await.status(),
        StatusCode::SEE_OTHER
    );
    let user = format!("/console/environments/{ENV}/users/{eve}");
    let run = "/console/runs/2".to_owned();
    let why = format!(
        "/console/why?user={}",
        url::form_urlencoded::byte_serialize(hostile.as_bytes()).collect::<String>()
    );
    let users = format!("/console/environments/{ENV}/users");
    for page in [&user, &run, &why, &users] {
        let text = browser.text(page).await;
        assert!(
            !text.contains("<script>alert") && !text.contains("<img"),
            "{page}: {text}"
        );
        assert_eq!(text.contains("&#60;script&#62;alert"), *page != run, "{page}");
    }
    let file = browser.text(&format!("{users}.csv")).await;
    assert!(file.contains(",'=cmd(),") && !file.contains(",=cmd"), "{file}");
    stage.world.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_held_set_is_found_and_approved_in_three_clicks() {
    let (world, people) = crowd(12, limits(3, 100.0)).await;
    block(&world, &people[..5]);
    world.sync().await;
    let stage = Stage::around(world).await;
    let browser = Browser::of(&stage, OPERATOR).await;
    let overview = browser.text("/console/").await;
    assert!(overview.contains("5 removals wait for a decision."), "{overview}");
    let held = browser.text("/console/held").await;
    let link = held
        .split("href=\"")
        .find_map(|part| part.strip_prefix("/console/runs/"))
        .unwrap();
    let run = format!("/console/runs/{}", link.split('"').next().unwrap());
    let page = browser.text(&run).await;
    assert!(page.contains("Approve 5 removals in production"), "{page}");
    let answer = browser.post(&format!("{run}/approve"), &[("environment", ENV)]).await;
    let after = browser.text(location(&answer)).await;
    assert!(
        after.contains("The removals were approved.") && after.contains("approved by operator"),
        "{after}"
    );
    let disabled = state(&stage.world, people[0]).await;
    assert_eq!(disabled, "directory_account_disabled by sync");
    let who = "select distinct actor from rollcall.system_user_change where operation = 'disable'";
    assert_eq!(stage.world.strings(who).await, [OPERATOR]);
    assert!(browser.text("/console/held").await.contains("Nobody waits."));
    let again = browser.post(&format!("{run}/reject"), &[("environment", ENV)]).await;
    assert_eq!(again.status(), StatusCode::CONFLICT);
    stage.world.end().await;
}
