//! Imports at the console: a preview that writes nothing, and the job that does what the preview said.

use reqwest::StatusCode;

use super::browser::{Browser, location};
use super::{ENV, OPERATOR, Stage};
use crate::guard::block;
use crate::import::roles::with_roles;
use crate::world::{World, licensed};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_preview_says_what_the_import_then_does_and_writes_nothing() {
    let stage = Stage::around(World::new(vec![with_roles()]).await).await;
    let tenant = stage.world.tenant();
    let ada = licensed(tenant, "Ada", "Lovelace");
    stage.world.sync_completely().await;
    let (grace, eve) = (
        licensed(tenant, "Grace", "Hopper"),
        licensed(tenant, "Eve", "<b>Mallory"),
    );
    let blocked = licensed(tenant, "Bob", "Blocked");
    block(&stage.world, &[blocked]);
    let browser = Browser::of(&stage, OPERATOR).await;
    let list =
        format!("ada.lovelace@contoso.example\nGrace;grace.hopper@contoso.example\nnobody@contoso.example,{blocked}");
    let eve = eve.to_string();
    let fields = [
        ("users", list.as_str()),
        ("user", &eve),
        ("company", ""),
        ("description", "\"The\" <newcomers>"),
        ("monitoring_category", "onboarding"),
        ("critical", "yes"),
        ("role", "Reader"),
    ];
    let written = "select (select count(*) from rollcall.system_user) + (select count(*) from rollcall.import_job)
                        + (select count(*) from rollcall.system_user_change)";
    let before = stage.world.number(written).await;
    let previewed = browser
        .post(&format!("/console/environments/{ENV}/import/preview"), &fields)
        .await;
    assert_eq!(previewed.status(), StatusCode::OK);
    let page = previewed.text().await.unwrap();
    assert_eq!(stage.world.number(written).await, before, "a preview writes nothing");
    for expected in [
        "5 users: 2 to be created, 1 present, 2 refused.",
        "<td><span class=\"badge failed\">refused</span></td><td>Sign-in is blocked for the user in the directory.",
        "neither the directory nor the table has the user",
        "Eve &#60;b&#62;Mallory",
        "value=\"&#34;The&#34; &#60;newcomers&#62;\"",
    ] {
        assert!(page.contains(expected), "{expected}: {page}");
    }

    // What is wrong is said above the form, which stays filled.
    let submit = format!("/console/environments/{ENV}/imports");
    let refused = browser.post(&submit, &fields).await;
    assert_eq!(refused.status(), StatusCode::UNPROCESSABLE_ENTITY);
    let page = refused.text().await.unwrap();
    assert!(
        page.contains("needs the default company") && page.contains("nobody@contoso.example"),
        "{page}"
    );

    let mut filled = fields;
    filled[2] = ("company", "USMF");
    let submitted = browser.post(&submit, &filled).await;
    let job = location(&submitted).to_owned();
    assert!(browser.text(&job).await.contains("0 of 5 users have a result"));
    stage.world.engine.imports().run_next_import("test").await.unwrap();
    let page = browser.text(&job).await;
    for expected in [
        "ended: ended with refusals",
        "5 of 5 users have a result: 2 got a row, 1 had one, 2 were refused.",
        "Reader</dt><dd>3 hold it",
        ", critical",
    ] {
        assert!(page.contains(expected), "{expected}: {page}");
    }
    let row = stage.world.row(ENV, grace).await.unwrap();
    assert_eq!(
        (row.company.as_deref(), row.createdby.as_str()),
        (Some("USMF"), OPERATOR)
    );
    assert!(stage.world.row(ENV, ada).await.unwrap().company.is_none());

    // Again: the blocked one comes back, the queue takes the rest; a job that waits can be cancelled, an ended one not.
    stage
        .world
        .tenant()
        .update_user(blocked, |user| user.account_enabled = Some(true));
    assert_eq!(location(&browser.post(&format!("{job}/requeue"), &[]).await), job);
    stage.world.engine.imports().run_next_import("test").await.unwrap();
    assert!(
        browser
            .text(&job)
            .await
            .contains("3 got a row, 1 had one, 1 were refused.")
    );
    let late = browser.post(&format!("{job}/cancel"), &[]).await;
    assert_eq!(late.status(), StatusCode::UNPROCESSABLE_ENTITY);
    let again = browser
        .post(&submit, &[("users", "x@y.example"), ("company", "USMF")])
        .await;
    let job = location(&again).to_owned();
    browser.post(&format!("{job}/cancel"), &[]).await;
    assert!(browser.text(&job).await.contains("Cancelled by operator."));
    stage.end().await;
}
