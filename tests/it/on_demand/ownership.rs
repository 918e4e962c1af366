//! Who owns a column (rules.md, section 7) when people edit through the program: the same as by plain SQL, see
//! `fields`.

use rollcall::domain::environment::Environment;
use rollcall::domain::field::{Field, Policy};
use serde_json::{Value, json};
use uuid::Uuid;

use super::{ENV, ask, edit, one_user, row, said, stage_of};
use crate::world::{World, licensed, open_environment};

/// One user in an environment with these policies.
async fn under(policies: &[(Field, Policy)]) -> (World, Uuid) {
    let mut environment: Environment = open_environment(ENV);
    for (field, policy) in policies {
        environment.policies.set(*field, *policy).unwrap();
    }
    let world = stage_of(environment).await;
    let ada = licensed(world.tenant(), "Ada", "Lovelace");
    world
        .tenant()
        .update_user(ada, |user| user.job_title = Some("Analyst".to_owned()));
    world.sync_completely().await;
    (world, ada)
}

/// The directory gets another title.
fn promote(world: &World, user: Uuid, title: &str) {
    let title = title.to_owned();
    world.tenant().update_user(user, |user| user.job_title = Some(title));
}

async fn title(world: &World, user: Uuid) -> String {
    row(world, user).await.jobtitle.unwrap_or_default()
}

async fn owner(world: &World, user: Uuid, column: &str) -> (String, String) {
    let owners = world.engine.desk().ownership(ask(&user.to_string())).await.unwrap();
    let one = owners.into_iter().find(|one| one.field == column).unwrap();
    (one.policy.to_owned(), one.owner.to_owned())
}

async fn own(world: &World, user: Uuid, column: &str, to_customer: bool) -> String {
    let columns = [column.to_owned()];
    said(
        &world
            .engine
            .desk()
            .own(ask(&user.to_string()), &columns, to_customer)
            .await,
    )
}

#[tokio::test]
async fn under_until_edited_an_edit_takes_the_column_for_good() {
    let (world, ada) = under(&[(Field::JobTitle, Policy::UntilEdited)]).await;
    assert_eq!(
        owner(&world, ada, "jobtitle").await,
        ("until_edited".into(), "sync".into())
    );
    assert_eq!(
        said(&edit(&world, ada, json!({"jobtitle": "Countess"})).await),
        "updated"
    );
    promote(&world, ada, "Programmer");
    world.sync_completely().await;
    assert_eq!(title(&world, ada).await, "Countess");
    assert_eq!(
        owner(&world, ada, "jobtitle").await,
        ("until_edited".into(), "customer".into())
    );
    world.assert_settled().await;
    // Handed back, the directory's value follows in the next cycle.
    assert_eq!(own(&world, ada, "jobtitle", false).await, "updated");
    assert_eq!(title(&world, ada).await, "Countess");
    world.sync_completely().await;
    assert_eq!(title(&world, ada).await, "Programmer");
    assert_eq!(own(&world, ada, "jobtitle", false).await, "unchanged");
    world.assert_settled().await;
    world.end().await;
}

#[tokio::test]
async fn an_edit_that_sets_the_same_value_takes_the_column_too() {
    let (world, ada) = under(&[]).await;
    let mail = "ada.lovelace@contoso.example";
    assert_eq!(
        said(&edit(&world, ada, json!({"internalemailaddress": mail})).await),
        "updated"
    );
    assert_eq!(
        owner(&world, ada, "internalemailaddress").await,
        ("until_edited".into(), "customer".into())
    );
    assert_eq!(
        said(&edit(&world, ada, json!({"internalemailaddress": mail})).await),
        "unchanged"
    );
    world
        .tenant()
        .update_user(ada, |user| user.mail = Some("other@contoso.example".to_owned()));
    world.sync_completely().await;
    assert_eq!(row(&world, ada).await.internalemailaddress.as_deref(), Some(mail));
    world.assert_settled().await;
    world.end().await;
}

#[tokio::test]
async fn a_column_can_be_taken_without_an_edit() {
    let (world, ada) = under(&[(Field::JobTitle, Policy::UntilEdited)]).await;
    assert_eq!(own(&world, ada, "jobtitle", true).await, "updated");
    assert_eq!(own(&world, ada, "jobtitle", true).await, "unchanged");
    promote(&world, ada, "Programmer");
    world.sync_completely().await;
    assert_eq!(title(&world, ada).await, "Analyst");
    world.assert_settled().await;
    world.end().await;
}

#[tokio::test]
async fn under_always_an_edit_is_overwritten_and_the_log_keeps_it_and_who_wrote_it() {
    let (world, ada) = under(&[(Field::JobTitle, Policy::Always)]).await;
    assert_eq!(
        said(&edit(&world, ada, json!({"jobtitle": "Countess"})).await),
        "updated"
    );
    assert_eq!(title(&world, ada).await, "Countess");
    assert_eq!(owner(&world, ada, "jobtitle").await, ("always".into(), "sync".into()));
    world.sync_completely().await;
    assert_eq!(title(&world, ada).await, "Analyst");
    let lines = world
        .strings(
            "select concat_ws(' ', actor, operation, fields -> 'jobtitle') from rollcall.system_user_change
             where fields ? 'jobtitle' and operation <> 'create' order by id",
        )
        .await;
    assert_eq!(
        lines,
        [
            r#"helpdesk edit ["Analyst", "Countess"]"#,
            r#"sync update ["Countess", "Analyst"]"#
        ]
    );
    world.assert_settled().await;
    world.end().await;
}

#[tokio::test]
async fn under_on_create_and_never_an_edit_stays() {
    for policy in [Policy::OnCreate, Policy::Never] {
        let (world, ada) = under(&[(Field::JobTitle, policy)]).await;
        let made = if policy == Policy::OnCreate { "Analyst" } else { "" };
        assert_eq!(title(&world, ada).await, made);
        assert_eq!(
            owner(&world, ada, "jobtitle").await,
            (policy.as_str().to_owned(), "nobody".to_owned())
        );
        assert_eq!(
            said(&edit(&world, ada, json!({"jobtitle": "Countess"})).await),
            "updated"
        );
        promote(&world, ada, "Programmer");
        world.sync_completely().await;
        assert_eq!(title(&world, ada).await, "Countess");
        assert_eq!(own(&world, ada, "jobtitle", false).await, "bad input: jobtitle");
        world.assert_settled().await;
        world.end().await;
    }
}

#[tokio::test]
async fn plain_sql_and_edits_take_ownership_alike() {
    let (world, ada) = under(&[
        (Field::JobTitle, Policy::UntilEdited),
        (Field::City, Policy::UntilEdited),
    ])
    .await;
    world
        .execute("update rollcall.system_user set jobtitle = 'Countess' where firstname = 'Ada'")
        .await;
    assert_eq!(
        said(&edit(&world, ada, json!({"address1_city": "London"})).await),
        "updated"
    );
    assert_eq!(row(&world, ada).await.customer_owned, ["jobtitle", "address1_city"]);
    let mut db = world.sql().await;
    sqlx::query("update rollcall.system_user set address1_city = null")
        .execute(&mut db)
        .await
        .unwrap();
    world.sync_completely().await;
    let kept = row(&world, ada).await;
    assert_eq!((kept.jobtitle.as_deref(), kept.address1_city), (Some("Countess"), None));
    world.assert_settled().await;
    world.end().await;
}

#[tokio::test]
async fn what_cannot_be_taken_is_refused_by_name_and_nothing_is_written() {
    let (world, ada) = one_user().await;
    let before = world.dump().await;
    let long = "x".repeat(129);
    for (values, expected) in [
        (json!({"jobtitle": long}), "bad input: jobtitle"),
        (json!({"jobtitle": 7}), "bad input: jobtitle"),
        (json!({"jobtitle": "a\u{0}b"}), "bad input: jobtitle"),
        (
            json!({"internalemailaddress": "no address"}),
            "bad input: internalemailaddress",
        ),
        (
            json!({"internalemailaddress": "a@b@c"}),
            "bad input: internalemailaddress",
        ),
        (json!({"company": "x".repeat(257)}), "bad input: company"),
        (json!({"accessmode": 7}), "bad input: accessmode"),
        (json!({"accessmode": "four"}), "bad input: accessmode"),
        (json!({"favourite_colour": "blue"}), "bad input: favourite_colour"),
        (json!({"accessmode": 3}), "field_not_editable"),
        (json!({"accessmode": 5}), "field_not_editable"),
    ] {
        assert_eq!(said(&edit(&world, ada, values.clone()).await), expected, "{values}");
    }
    for column in [
        "domainname",
        "azureactivedirectoryobjectid",
        "systemuserid",
        "environment",
        "isdisabled",
        "disabledreason",
        "disabled_by",
        "islicensed",
        "onhold",
        "holdreason",
        "isstub",
        "setupuser",
        "azurestate",
        "deletedstate",
        "applicationid",
        "createdon",
        "modifiedby",
        "upn_key",
        "customer_owned",
        "accessmode_origin",
        "last_entitlement",
        "due_at",
    ] {
        let refused = edit(&world, ada, json!({column: "x", "company": "Contoso"})).await;
        assert_eq!(said(&refused), "field_not_editable", "{column}");
    }
    assert_eq!(before, world.dump().await);
    assert_eq!(own(&world, ada, "domainname", true).await, "bad input: domainname");
    assert_eq!(own(&world, ada, "shoesize", true).await, "bad input: shoesize");
    assert_eq!(
        said(&edit(&world, "nobody@contoso.example", json!({"company": "x"})).await),
        "user_not_found"
    );
    world.assert_settled().await;
    world.end().await;
}

#[tokio::test]
async fn a_blank_is_null_and_lengths_are_characters() {
    let (world, ada) = one_user().await;
    let title = "\u{1F451}".repeat(128);
    assert_eq!(said(&edit(&world, ada, json!({"jobtitle": title})).await), "updated");
    assert_eq!(row(&world, ada).await.jobtitle, Some(title));
    for blank in [json!(""), json!("  \t"), Value::Null] {
        edit(&world, ada, json!({"company": "Contoso"})).await.unwrap();
        assert_eq!(said(&edit(&world, ada, json!({"company": blank})).await), "updated");
        assert_eq!(row(&world, ada).await.company, None);
    }
    assert_eq!(said(&edit(&world, ada, json!({})).await), "unchanged");
    world.end().await;
}

#[tokio::test]
async fn who_owns_what_is_listed_column_by_column() {
    let (world, ada) = under(&[(Field::City, Policy::Never)]).await;
    let owners = world.engine.desk().ownership(ask(&ada.to_string())).await.unwrap();
    let listed: Vec<String> = owners
        .iter()
        .map(|one| format!("{} {} {}", one.field, one.policy, one.owner))
        .collect();
    assert_eq!(listed.len(), 15, "{listed:?}");
    for line in [
        "domainname always sync",
        "fullname on_create nobody",
        "internalemailaddress until_edited sync",
        "address1_city never nobody",
        "accessmode until_edited sync",
    ] {
        assert!(listed.iter().any(|listed| listed == line), "{line} in {listed:?}");
    }
    world.end().await;
}
