//! Teams, business units and the profile at the console.

use reqwest::StatusCode;

use super::browser::{Browser, location};
use super::{ENV, OPERATOR, READER, Stage};
use crate::import::roles::with_roles;
use crate::world::{World, licensed};

/// What the form of a profile sends.
const PLACE: [(&str, &str); 5] = [
    ("businessunitid", "north"),
    ("parentsystemuserid", "bob.builder@contoso.example"),
    ("positionid", ""),
    ("title", "Countess"),
    ("nickname", ""),
];

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_person_gets_a_place_and_through_a_team_a_role_and_loses_them_again() {
    let stage = Stage::around(World::new(vec![with_roles()]).await).await;
    let (ada, bob) = (
        licensed(stage.world.tenant(), "Ada", "Lovelace"),
        licensed(stage.world.tenant(), "Bob", "Builder"),
    );
    stage.world.sync_completely().await;
    let browser = Browser::of(&stage, OPERATOR).await;
    let (units, teams) = (
        format!("/console/environments/{ENV}/units"),
        format!("/console/environments/{ENV}/teams"),
    );
    let (ada_s, bob_s) = (
        format!("/console/environments/{ENV}/users/{ada}"),
        format!("/console/environments/{ENV}/users/{bob}"),
    );
    let done = async |path: &str, fields: &[(&str, &str)]| {
        let answer = browser.post(path, fields).await;
        assert_eq!(
            answer.status(),
            StatusCode::SEE_OTHER,
            "{path} {fields:?}: {}",
            answer.text().await.unwrap()
        );
        location(&answer).to_owned()
    };
    let refused = async |path: &str, fields: &[(&str, &str)], why: &str| {
        let answer = browser.post(path, fields).await;
        assert_eq!(answer.status(), StatusCode::CONFLICT, "{path}");
        let page = answer.text().await.unwrap();
        assert!(page.contains(why), "{page}");
    };
    let shows = async |path: &str, all: &[&str], none: &[&str]| {
        let page = browser.text(path).await;
        for text in all {
            assert!(page.contains(text), "{path} lacks {text}: {page}");
        }
        for text in none {
            assert!(!page.contains(text), "{path} has {text}: {page}");
        }
    };

    let hostile = "Sales <b>& \"more\"";
    done(&units, &[("name", hostile), ("parent", "")]).await;
    done(&units, &[("name", "North"), ("parent", hostile)]).await;
    refused(&format!("{units}/{ENV}/disable"), &[], "root").await;
    shows(&units, &["Sales &#60;b&#62;&#38; &#34;more&#34;", "North"], &["<b>& "]).await;
    let team = done(&teams, &[("name", "Sellers"), ("teamtype", "owner"), ("unit", "North")]).await;
    refused(&teams, &[("name", "sellers"), ("teamtype", "access")], "name_taken").await;
    done(&format!("{team}/grant"), &[("role", "Reader")]).await;
    done(&format!("{team}/add"), &[("user", "ada.lovelace@contoso.example")]).await;
    shows(&team, &["Ada Lovelace", "Revoke Reader"], &["Bob"]).await;
    shows(&teams, &["Sellers", "North"], &[]).await;

    // The profile: unit, manager and position by name, and what comes with the team.
    done(&format!("{ada_s}/edit"), &PLACE).await;
    shows(
        &ada_s,
        &[
            "<dd>North</dd>",
            ">Bob Builder</a>",
            "value=\"Countess\"",
            "Reader (team Sellers)",
            "Leave Sellers",
        ],
        &[],
    )
    .await;
    shows(&bob_s, &["<dt>Reports</dt><dd><a ", ">Ada Lovelace</a>"], &["Sellers"]).await;
    refused(
        &format!("{bob_s}/edit"),
        &[("parentsystemuserid", &ada.to_string())],
        "would_cycle",
    )
    .await;
    refused(&format!("{units}/north/delete"), &[], "unit_not_empty").await;

    // A field that a person owns goes back to the sync.
    done(
        &format!("{ada_s}/edit"),
        &[("column", "internalemailaddress"), ("value", "ada@mail.example")],
    )
    .await;
    shows(&ada_s, &["ada@mail.example", "Give back to the sync"], &[]).await;
    done(&format!("{ada_s}/own"), &[("field", "internalemailaddress")]).await;
    shows(&ada_s, &[], &["Give back to the sync"]).await;

    done(&format!("{ada_s}/leave"), &[("team", "Sellers")]).await;
    done(&format!("{bob_s}/join"), &[("team", "Sellers")]).await;
    done(&format!("{team}/revoke"), &[("role", "Reader")]).await;
    shows(&ada_s, &[], &["Leave Sellers", "(team Sellers)"]).await;
    let reader = Browser::of(&stage, READER).await;
    for page in [&units, &teams, &team, &ada_s] {
        let page = reader.text(page).await;
        assert_eq!(
            page.matches("method=\"post\"").count(),
            1,
            "a reader signs out, and changes nothing: {page}"
        );
    }
    done(&format!("{team}/delete"), &[]).await;
    shows(&teams, &[], &["Sellers"]).await;
    stage.end().await;
}
