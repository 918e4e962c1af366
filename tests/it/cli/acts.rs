//! `rollcall user` and `rollcall role`: what people and scripts do to users, what they read, and the exit codes.

use rollcall::simulator::tenant::{Profile, User};
use rollcall::simulator::{Effect, Fault, When};
use serde_json::{Value, json};
use sqlx::{Connection, PgConnection};
use uuid::Uuid;

use super::{Stage, cells};
use crate::world::licensed;

const IN_SANDBOX: &str = "--environment sandbox";

/// Security roles in the second environment.
async fn stage() -> Stage {
    let stage = Stage::new().await;
    stage.installation.amend(
        "kind = \"sandbox\"",
        "kind = \"sandbox\"\nroles = [\"System Administrator\", \"Basic User\"]",
    );
    stage
}

impl Stage {
    fn person(&self, given: &str, profile: Profile) -> Uuid {
        let id = self.simulator.tenant().add_user(User::named(given, "Person"));
        self.simulator.tenant().give_profile(id, profile);
        id
    }

    /// A command in the sandbox that must succeed; its words.
    async fn user(&self, command: &str) -> String {
        self.good(&format!("user {command} {IN_SANDBOX}")).await
    }

    /// A command in the sandbox that must be refused with this code, in words and as a document.
    async fn refused(&self, command: &str, code: &str) -> Value {
        let line = self.bad(&format!("{command} {IN_SANDBOX}"), 6).await;
        assert!(line.contains(&format!("({code}). ")), "{line}");
        assert!(line.ends_with('.'), "{line}");
        let said = self.run(&format!("{command} {IN_SANDBOX} --output json")).await;
        assert_eq!(said.code, Some(6), "{said:?}");
        let problem = said.json();
        assert_eq!(problem["code"], code);
        for key in ["type", "title", "status", "detail", "retryable", "remedy", "checks"] {
            assert!(!problem[key].is_null(), "{key} in {problem}");
        }
        problem
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_user_is_added_accessed_refreshed_and_refused() {
    let stage = stage().await;
    let ada = stage.person("Ada", Profile::E5PowerApps);
    let poor = stage.person("Paul", Profile::Unlicensed);
    let said = stage.user("add ada.person@contoso.example").await;
    assert!(
        said.starts_with("created: ada.person@contoso.example is enabled, Read-Write ("),
        "{said}"
    );
    let said = stage.user(&format!("access {ada}")).await;
    assert!(
        said.starts_with("unchanged: ada.person@contoso.example is enabled"),
        "{said}"
    );
    let answer: Value = serde_json::from_str(&stage.user(&format!("refresh {ada} --output json")).await).unwrap();
    assert_eq!(answer["outcome"], "unchanged");
    assert_eq!(answer["user"]["azureactivedirectoryobjectid"], ada.to_string());
    assert_eq!(answer["user"]["createdby"], "tester");
    assert_eq!(answer["verdict"]["outcome"], "keep");

    let problem = stage.refused(&format!("user access {poor}"), "unlicensed").await;
    assert_eq!(
        (&problem["status"], &problem["retryable"]),
        (&json!(409), &json!(false))
    );
    assert!(problem["checks"].as_array().unwrap().len() > 5, "{problem}");
    let problem = stage.refused("user add nobody@contoso.example", "user_not_found").await;
    assert_eq!(problem["status"], 404);
    stage.refused("user add crmoln@microsoft.com", "reserved_user").await;

    stage
        .simulator
        .tenant()
        .update_user(ada, |user| user.account_enabled = Some(false));
    let said = stage.user(&format!("refresh {ada}")).await;
    let lines: Vec<&str> = said.lines().collect();
    assert!(
        lines[0].starts_with("disabled: ada.person@contoso.example is disabled (directory_account_disabled)"),
        "{said}"
    );
    assert!(lines[1].ends_with('.'), "what to do about it: {said}");
    let dora = stage.person("Dora", Profile::E5PowerApps);
    let said = stage.user(&format!("refresh {dora}")).await;
    assert_eq!(said, "unchanged: there is no row\nAn access would create it.\n");
    let tenant = stage.simulator.tenant();
    tenant.update_user(dora, |user| user.account_enabled = Some(false));
    let said = stage.user(&format!("refresh {dora} --output json")).await;
    assert_eq!(serde_json::from_str::<Value>(&said).unwrap()["user"], Value::Null);
    let said = stage.user(&format!("refresh {dora}")).await;
    let refused = "unchanged: there is no row\nAn access would be refused (directory_account_disabled). ";
    assert!(said.starts_with(refused), "{said}");
    stage.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_command_for_one_user_says_that_nobody_has_the_name() {
    const NOBODY: &str = "nobody@contoso.example";
    let stage = stage().await;
    stage.installation.amend("\"Basic User\"]", "\"Clerk\"]");
    stage.user("stub stub@contoso.example").await;
    let of_nobody = format!("neither the directory nor the table has the user `{NOBODY}`");
    let no_row = format!("sandbox has no row for `{NOBODY}`");
    // Commands that ask the directory, and commands about a row.
    for (command, expected) in [
        ("user add {}", &of_nobody),
        ("user access {}", &of_nobody),
        ("user refresh {}", &of_nobody),
        ("user map stub@contoso.example {}", &of_nobody),
        ("user map stub@contoso.example {} --merge", &of_nobody),
        ("user where {}", &of_nobody),
        ("explain {}", &of_nobody),
        ("user show {}", &no_row),
        ("user edit {} --set company=C", &no_row),
        ("user disable {}", &no_row),
        ("user enable {}", &no_row),
        ("user hold {} --reason audit", &no_row),
        ("user release {}", &no_row),
        ("user map {} stub@contoso.example", &no_row),
        ("user own {}", &no_row),
        ("user delete {}", &no_row),
        ("role list --user {}", &no_row),
        ("role grant {} Clerk", &no_row),
        ("role revoke {} Clerk", &no_row),
    ] {
        let environment = if command.starts_with("user where") {
            ""
        } else {
            " --environment sandbox"
        };
        let command = command.replace("{}", NOBODY) + environment;
        let line = stage.bad(&command, 6).await;
        let remedy = "(user_not_found). Check the object id or user principal name.";
        assert_eq!(line, format!("rollcall: {expected} {remedy}"), "{command}");
    }
    stage.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_row_that_a_constraint_refuses_is_a_refusal_in_every_command() {
    let stage = stage().await;
    let bob = stage.person("Bob", Profile::E5PowerApps);
    let mut db = PgConnection::connect(&stage.database.url).await.unwrap();
    let rule = "alter table rollcall.system_user add constraint no_bobs check (firstname <> 'Bob') not valid";
    sqlx::raw_sql(rule).execute(&mut db).await.unwrap();
    for way in ["add", "access"] {
        let problem = stage.refused(&format!("user {way} {bob}"), "row_not_written").await;
        let detail = problem["detail"].as_str().unwrap();
        assert!(
            detail.ends_with("constraint no_bobs of system_user (SQLSTATE 23514)"),
            "{detail}"
        );
        assert_eq!(problem["status"], 409);
    }
    let said = stage
        .run(&format!("import {IN_SANDBOX} --company USMF --user {bob}"))
        .await;
    assert_eq!(said.code, Some(6), "{said:?}");
    assert!(said.stdout.contains("row_not_written"), "{said:?}");
    stage.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_directory_that_is_down_has_an_exit_code_of_its_own() {
    let stage = stage().await;
    let ada = stage.person("Ada", Profile::E5PowerApps);
    for path in ["/$batch", "/users/"] {
        let fault = Fault::forever(When::path(path), Effect::error(403, "Authorization_RequestDenied"));
        stage.simulator.faults().push(fault);
    }
    let line = stage.bad(&format!("user access {ada} {IN_SANDBOX}"), 4).await;
    assert!(
        line.contains("(directory_unavailable)") && line.contains("Try again"),
        "{line}"
    );
    let said = stage.run(&format!("user add {ada} {IN_SANDBOX} --output json")).await;
    assert_eq!(said.code, Some(4));
    let problem = said.json();
    assert_eq!(
        (&problem["code"], &problem["retryable"], &problem["status"]),
        (&json!("directory_unavailable"), &json!(true), &json!(503))
    );
    // What needs no directory goes on.
    let said = stage.user("stub old@contoso.example").await;
    assert!(said.contains("created"), "{said}");
    stage.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn columns_are_edited_and_owned() {
    let stage = stage().await;
    let ada = stage.person("Ada", Profile::E5PowerApps);
    stage.user(&format!("add {ada}")).await;
    let mut db = <sqlx::PgConnection as sqlx::Connection>::connect(&stage.database.url)
        .await
        .unwrap();
    sqlx::raw_sql("alter table rollcall.system_user add cost_centre text, add rate numeric(6, 2), add tags text[]")
        .execute(&mut db)
        .await
        .unwrap();
    let said = stage
        .user(&format!(
            "edit {ada} --set internalemailaddress=ada@mail.example --set company=42 --set cost_centre=1e3 \
             --set rate=1.10 --set tags=[\"a\",\"b\"]"
        ))
        .await;
    assert!(said.starts_with("updated: "), "{said}");
    let stored: String = sqlx::query_scalar(
        "select concat_ws(' ', internalemailaddress, company, cost_centre, rate, tags) from rollcall.system_user
         where azureactivedirectoryobjectid is not null",
    )
    .fetch_one(&mut db)
    .await
    .unwrap();
    assert_eq!(stored, "ada@mail.example 42 1e3 1.10 {a,b}", "as typed");

    let shown = stage.user(&format!("show {ada}")).await;
    let history = shown.split_once("History, newest first").unwrap().1;
    let lines: Vec<&str> = history.lines().map(str::trim).collect();
    assert!(lines[1].ends_with("edit by tester"), "{history}");
    for change in ["company: - -> 42", "cost_centre: - -> 1e3", "rate: - -> 1.1"] {
        assert!(lines.contains(&change), "{change} in {history}");
    }

    let owned = stage.user(&format!("own {ada}")).await;
    assert!(
        cells(&owned).contains(&vec!["internalemailaddress", "until_edited", "customer"]),
        "{owned}"
    );
    let owned = stage
        .user(&format!(
            "own {ada} --field internalemailaddress --by sync --output json"
        ))
        .await;
    let owned: Value = serde_json::from_str(&owned).unwrap();
    let mail = owned["items"]
        .as_array()
        .unwrap()
        .iter()
        .find(|one| one["field"] == "internalemailaddress");
    assert_eq!(mail.unwrap()["owner"], "sync");

    for (edit, part) in [
        ("accessmode", "expected COLUMN=VALUE"),
        ("accessmode=9", "accessmode: expected 0"),
        ("jobtitle=a --set jobtitle=b", "twice"),
        ("favourite=blue", "favourite: there is no such column"),
        ("rate=much", "rate: "),
    ] {
        let line = stage
            .bad(&format!("user edit {ada} {IN_SANDBOX} --set {edit}"), 2)
            .await;
        assert!(line.contains(part), "{edit}: {line}");
    }
    stage
        .refused(&format!("user edit {ada} --set domainname=x@y"), "field_not_editable")
        .await;
    stage
        .bad(&format!("user own {ada} {IN_SANDBOX} --field shoesize --by sync"), 2)
        .await;
    stage.bad(&format!("user add {ada} --environment attic"), 2).await;
    stage.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn rows_are_disabled_held_released_and_deleted() {
    let stage = stage().await;
    let ada = stage.person("Ada", Profile::E5PowerApps);
    stage.user(&format!("add {ada}")).await;
    let said = stage.user(&format!("disable {ada}")).await;
    assert!(said.contains("is disabled (disabled_by_hand)"), "{said}");
    let said = stage.user(&format!("enable {ada}")).await;
    assert!(said.starts_with("enabled: "), "{said}");
    let said = stage.user(&format!("hold {ada} --reason investigation")).await;
    assert!(said.starts_with("disabled: ") && said.contains("(on_hold)"), "{said}");
    stage.refused(&format!("user access {ada}"), "on_hold").await;
    stage.bad(&format!("user hold {ada} {IN_SANDBOX} --reason="), 2).await;
    let said = stage.user(&format!("release {ada}")).await;
    assert!(said.starts_with("enabled: "), "{said}");
    stage.refused(&format!("user delete {ada}"), "not_deletable").await;
    let greta = stage.furnished.global_administrator;
    stage.user(&format!("add {greta}")).await;
    stage
        .refused(&format!("user disable {greta}"), "tenant_administrator")
        .await;

    stage.simulator.tenant().purge(ada);
    stage.user(&format!("refresh {ada}")).await;
    let said = stage.user(&format!("delete {ada}")).await;
    assert!(said.contains("is deleted"), "{said}");
    stage.refused(&format!("user enable {ada}"), "row_deleted").await;
    stage.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn stubs_are_made_from_a_list_and_bound() {
    let stage = stage().await;
    let ada = stage.person("Ada", Profile::E5PowerApps);
    let file = stage.installation.folder.join("names");
    std::fs::write(&file, "one@contoso.example\n\n two@contoso.example \n").unwrap();
    let said = stage
        .user(&format!("stub three@contoso.example --file {}", file.display()))
        .await;
    let table = cells(&said);
    assert_eq!(table[0], ["USER", "OUTCOME", "SYSTEMUSERID"]);
    assert_eq!(table.len(), 4, "{said}");
    stage.user(&format!("add {ada}")).await;
    // One that is refused does not keep the others from being made; the exit code tells.
    let both = format!("user stub four@contoso.example ada.person@contoso.example {IN_SANDBOX}");
    let said = stage.run(&both).await;
    assert_eq!(said.code, Some(6), "{said:?}");
    assert!(
        said.stdout.contains("refused (upn_conflict)") && said.stdout.contains("created"),
        "{said:?}"
    );
    let said = stage.run(&format!("{both} --output json")).await;
    let items = said.json();
    assert_eq!(items["items"][0]["outcome"], "unchanged");
    assert_eq!(items["items"][1]["code"], "upn_conflict");
    stage
        .refused("user stub ada.person@contoso.example", "upn_conflict")
        .await;
    stage.bad(&format!("user stub {IN_SANDBOX}"), 2).await;
    stage.bad(&format!("user stub nobody {IN_SANDBOX}"), 2).await;
    stage.bad(&format!("user stub --file /nowhere {IN_SANDBOX}"), 2).await;

    let bob = stage.person("Bob", Profile::E5PowerApps);
    stage.refused("user access one@contoso.example", "stub_user").await;
    let said = stage.user(&format!("map one@contoso.example {bob}")).await;
    assert!(
        said.starts_with("enabled: bob.person@contoso.example is enabled"),
        "{said}"
    );
    stage
        .refused(&format!("user map two@contoso.example {bob}"), "already_mapped")
        .await;
    stage
        .refused("user map two@contoso.example nobody@contoso.example", "user_not_found")
        .await;
    let listed = stage.good(&format!("user list {IN_SANDBOX} --type stub")).await;
    assert_eq!(cells(&listed).len(), 4, "{listed}");
    stage.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn application_users_are_made_and_kept() {
    let stage = stage().await;
    let (_, application) = stage.simulator.tenant().add_service_principal("Robot");
    let line = stage
        .bad(&format!("user application {application} {IN_SANDBOX}"), 4)
        .await;
    assert!(line.contains("Application.Read.All"), "{line}");
    stage
        .simulator
        .configure(|settings| assert!(settings.permissions.insert("Application.Read.All".to_owned())));
    let said = stage.user(&format!("application {application}")).await;
    assert!(said.starts_with("created: Robot is enabled, Non-interactive"), "{said}");
    let said = stage.user(&format!("application {application}")).await;
    assert!(said.starts_with("unchanged: "), "{said}");
    stage
        .refused(&format!("user access {application}"), "application_user")
        .await;
    let said = stage.run(&format!("user application robot {IN_SANDBOX}")).await;
    assert_eq!(said.code, Some(2), "{said:?}");
    stage.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn roles_are_granted_listed_and_revoked() {
    let stage = stage().await;
    let ada = licensed(stage.simulator.tenant(), "Ada", "Person");
    stage.user(&format!("add {ada}")).await;
    // The command line of a test is split at blanks; a role's name is one argument.
    let grant = |verb: &str, role: &str, json: bool| {
        let mut command = stage.installation.command(&format!("role {verb} {ada} {IN_SANDBOX}"));
        command.arg(role);
        if json {
            command.args(["--output", "json"]);
        }
        crate::binary::said(command.spawn().unwrap())
    };
    let said = grant("grant", "System Administrator", false).await;
    assert_eq!(said.code, Some(0), "{said:?}");
    let table = cells(&said.stdout);
    assert_eq!(table[0], ["USER", "ROLE", "FROM", "BY", "SINCE (UTC)", "STATE"]);
    assert_eq!(
        table[1][..4],
        ["ada.person@contoso.example", "System Administrator", "manual", "tester"]
    );
    let said = grant("grant", "System Administrator", true).await.json();
    assert_eq!(
        (&said["outcome"], &said["roles"][0]["provenance"]),
        (&json!("unchanged"), &json!("manual"))
    );
    let listed = stage.good(&format!("role list {IN_SANDBOX} --output json")).await;
    let listed: Value = serde_json::from_str(&listed).unwrap();
    assert_eq!(listed["items"][0]["role"], "System Administrator");
    let said = grant("revoke", "System Administrator", true).await;
    assert_eq!(
        (said.code, &said.json()["code"]),
        (Some(6), &json!("last_system_administrator"))
    );
    let said = grant("grant", "Emperor", false).await;
    assert_eq!(said.code, Some(6));
    assert!(
        said.one_line().contains("System Administrator, Basic User") && said.one_line().contains("role_not_found"),
        "{said:?}"
    );
    stage
        .refused(&format!("user disable {ada}"), "last_system_administrator")
        .await;
    let shown = stage.user(&format!("show {ada}")).await;
    assert!(shown.contains("System Administrator (manual)"), "{shown}");
    let none = stage.good(&format!("role list {IN_SANDBOX} --role Emperor")).await;
    assert_eq!(none, "No role.\n");
    stage.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_database_that_is_away_has_its_own_exit_code() {
    let stage = stage().await;
    stage
        .installation
        .amend(&stage.database.url, "postgres://nobody@127.0.0.1:9/nothing");
    stage
        .bad(&format!("user access ada@contoso.example {IN_SANDBOX}"), 5)
        .await;
    stage.bad(&format!("role list {IN_SANDBOX}"), 5).await;
    stage.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_list_marks_deleted_rows_and_a_row_shows_columns_of_customers() {
    let stage = stage().await;
    let mut db = PgConnection::connect(&stage.database.url).await.unwrap();
    for statement in [
        "alter table rollcall.system_user add column cost_centre text",
        "insert into rollcall.system_user
             (environment, systemuserid, domainname, azureactivedirectoryobjectid, isdisabled, azurestate, deletedstate)
         select 'sandbox', gen_random_uuid(), name || '@contoso.example', gen_random_uuid(), disabled, azure, deleted
         from (values ('ada', false, 0, 0), ('bob', true, 1, 0), ('cleo', true, 2, 0), ('dan', true, 2, 1))
              as given (name, disabled, azure, deleted)",
        "update rollcall.system_user set cost_centre = 'R-7' where domainname = 'ada@contoso.example'",
    ] {
        sqlx::query(statement).execute(&mut db).await.unwrap();
    }
    let list = stage.user("list").await;
    for (user, state) in [
        ("ada", "enabled"),
        ("bob", "disabled, soft-deleted"),
        ("cleo", "disabled, gone"),
        ("dan", "deleted"),
    ] {
        let rows = cells(&list);
        let row = rows.iter().find(|row| row[0].starts_with(user)).unwrap();
        assert_eq!(row[2], state, "{list}");
    }
    let ada = cells(&list).into_iter().find(|row| row[0].starts_with("ada")).unwrap();
    let ada = ada.last().unwrap();
    let shown = stage.user(&format!("show {ada}")).await;
    let line = shown.lines().find(|line| line.starts_with("cost_centre "));
    assert_eq!(line.map(|line| line.ends_with(" R-7")), Some(true), "{shown}");
    let shown: Value = serde_json::from_str(&stage.user(&format!("show {ada} --output json")).await).unwrap();
    assert_eq!(shown["user"]["cost_centre"], "R-7", "{shown}");
    db.close().await.unwrap();
    stage.end().await;
}
