//! Case list-1: lists go on to their end, and say so when they are told to stop before.

use std::collections::BTreeSet;

use serde_json::Value;
use sqlx::{Connection, PgConnection};

use super::{Stage, cells};

/// More than are read at once.
const MANY: usize = 1100;

/// Fills every table that is listed; plain SQL, as another program would.
const FILLING: [&str; 6] = [
    "insert into rollcall.system_user (environment, systemuserid, domainname, isstub, isdisabled, disabledreason)
     select 'sandbox', gen_random_uuid(), 'stub' || n || '@contoso.example', true, true, 'stub_user'
     from generate_series(1, 1100) n",
    "insert into rollcall.system_user_role (environment, systemuserid, role)
     select environment, systemuserid, 'Role & ' || domainname from rollcall.system_user",
    "insert into rollcall.directory_user (id, plan_set, user_principal_name)
     select gen_random_uuid(), gen_random_uuid(), 'user' || n from generate_series(1, 1100) n",
    "insert into rollcall.sync_run (trigger, started_at, ended_at, outcome)
     select 'sync', now(), now(), 'complete' from generate_series(1, 1100)",
    "insert into rollcall.finding (environment, code, subject, detail, opened_at)
     select 'sandbox', 'value_truncated', 'column ' || n, 'a value was too long', now() from generate_series(1, 1100) n",
    "with jobs as (
         insert into rollcall.import_job (environment, company, is_all, submitted_by, submitted_at, state, outcome)
         select 'sandbox', 'USMF', false, 'anna', now(), 'ended', 'complete' from generate_series(1, 1100) returning id)
     insert into rollcall.import_item (job, position, given)
     select 1, n, 'user' || n from generate_series(1, 1100) n",
];

/// The lists, and which member tells their items apart.
const LISTS: [(&str, &str); 7] = [
    ("user list --environment sandbox", "systemuserid"),
    ("role list --environment sandbox", "systemuserid"),
    ("candidates --environment sandbox", "id"),
    ("runs list", "id"),
    ("findings", "id"),
    ("job list", "id"),
    ("job show 1 --items", "position"),
];

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn list_1_a_list_goes_on_to_its_end_unless_a_limit_stops_it() {
    let stage = Stage::new().await;
    let mut db = PgConnection::connect(&stage.database.url).await.unwrap();
    for filling in FILLING {
        sqlx::query(filling).execute(&mut db).await.unwrap();
    }
    for (list, key) in LISTS {
        let keys = |document: &Value| -> Vec<String> {
            document["items"]
                .as_array()
                .unwrap()
                .iter()
                .map(|item| item[key].to_string())
                .collect()
        };
        let (mut all, mut seen) = (Vec::new(), BTreeSet::new());
        let ways: &[&str] = if list == "runs list" {
            &["", "--all", "--limit 0"]
        } else {
            &[""]
        };
        for more in ways {
            let said = stage.run(&format!("{list} {more} --output json")).await;
            assert_eq!(
                (said.code, said.stderr.as_str()),
                (Some(0), ""),
                "{list} {more}: {said:?}"
            );
            let document = said.json();
            assert!(
                document.as_object().unwrap().contains_key("next") && document["next"].is_null(),
                "{list}"
            );
            all = keys(&document);
            assert_eq!(all.len(), MANY, "{list} {more}");
        }
        seen.extend(all.iter().cloned());
        assert_eq!(seen.len(), MANY, "{list}: none comes twice");

        let table = stage.good(list).await;
        let rows = cells(&table).iter().filter(|cells| cells.len() > 2).count();
        assert!((MANY..=MANY + 3).contains(&rows), "{list}: {rows}");

        // In pieces, each of which says how to go on.
        let mut pieces = Vec::new();
        let mut after = String::new();
        for _ in 0..3 {
            let said = stage.run(&format!("{list} --limit 500 {after} --output json")).await;
            assert_eq!(said.code, Some(0), "{list}: {said:?}");
            let document = said.json();
            pieces.extend(keys(&document));
            match document["next"].as_str() {
                Some(next) => {
                    let told = format!("There are more: go on with --after {next}, or leave out --limit.\n");
                    assert_eq!(said.stderr, told, "{list}");
                    after = format!("--after {next}");
                }
                None => assert_eq!(said.stderr, "", "{list}"),
            }
        }
        assert_eq!(pieces, all, "{list}");
    }
    let line = stage.bad("runs list --after yesterday", 2).await;
    assert!(line.contains("--after"), "{line}");
    let json = stage.good("user list --environment production --output json").await;
    assert_eq!(json, "{\n  \"items\": [],\n  \"next\": null\n}\n");
    db.close().await.unwrap();
    stage.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn environments_are_listed_in_pieces() {
    let stage = Stage::new().await;
    let whole: Value = serde_json::from_str(&stage.good("environment list --all --output json").await).unwrap();
    let said = stage.run("environment list --limit 1 --output json").await;
    assert_eq!(
        said.stderr,
        "There are more: go on with --after production, or leave out --limit.\n"
    );
    assert_eq!(said.json()["next"], "production");
    let rest = stage.good("environment list --after production --output json").await;
    let rest: Value = serde_json::from_str(&rest).unwrap();
    assert_eq!(whole["items"][0], said.json()["items"][0]);
    assert_eq!(whole["items"][1], rest["items"][0]);
    let counts = [&whole, &said.json(), &rest].map(|list| list["items"].as_array().unwrap().len());
    assert_eq!(counts, [2, 1, 1]);
    let line = stage.bad("environment list --after attic", 2).await;
    assert!(line.contains("known: production, sandbox"), "{line}");
    stage.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_limit_cuts_what_is_shown_of_a_batch_and_not_what_is_done() {
    let stage = Stage::new().await;
    let stubs = "user stub a@contoso.example b@contoso.example c@contoso.example --environment sandbox";
    let said = stage.run(&format!("{stubs} --limit 1 --output json")).await;
    assert_eq!(said.code, Some(0), "{said:?}");
    assert_eq!(
        said.stderr,
        "2 more results are not shown: leave out --limit to see all.\n"
    );
    let document = said.json();
    assert_eq!(document["items"].as_array().unwrap().len(), 1);
    assert_eq!(
        (&document["left_out"], &document["next"]),
        (&Value::from(2), &Value::Null)
    );
    assert_eq!(
        stage
            .number("select count(*) from rollcall.system_user where isstub")
            .await,
        3
    );
    let again = stage
        .run("user add x@contoso.example y@contoso.example --environment sandbox --limit 1")
        .await;
    assert_eq!(again.code, Some(6), "{again:?}");
    assert_eq!(cells(&again.stdout).len(), 2, "{again:?}");
    let all = stage
        .run("user add x@contoso.example y@contoso.example --environment sandbox --all --output json")
        .await
        .json();
    assert_eq!(all["items"].as_array().unwrap().len(), 2);
    assert!(all.get("left_out").is_none(), "{all}");
    stage.end().await;
}
