//! Commands for several users: each is acted on by itself, with a line each and one exit code.

use std::process::Stdio;

use rollcall::simulator::tenant::{Profile, User};
use rollcall::simulator::{Effect, Fault, When};
use serde_json::{Value, json};
use tokio::io::AsyncWriteExt;
use uuid::Uuid;

use super::{Stage, cells};
use crate::binary::said;

const IN_SANDBOX: &str = "--environment sandbox";
const ADA: &str = "ada.person@contoso.example";
const BOB: &str = "bob.person@contoso.example";
/// She has no row yet.
const CARA: &str = "cara.person@contoso.example";

/// Two users with a row, and an administrator whom nobody disables.
async fn stage() -> Stage {
    let stage = Stage::new().await;
    stage
        .installation
        .amend("kind = \"sandbox\"", "kind = \"sandbox\"\nroles = [\"Reader\"]");
    for given in ["Ada", "Bob", "Cara"] {
        let id = stage.simulator.tenant().add_user(User::named(given, "Person"));
        stage.simulator.tenant().give_profile(id, Profile::E5PowerApps);
    }
    let greta = stage.furnished.global_administrator;
    stage.good(&format!("user add {ADA} {BOB} {greta} {IN_SANDBOX}")).await;
    stage
}

impl Stage {
    /// Outcome or code of each user, by the document of a command; and its exit code.
    async fn results(&self, command: &str) -> (Vec<String>, Option<i32>) {
        let said = self.run(&format!("{command} {IN_SANDBOX} --output json")).await;
        let document = said.json();
        let items = document["items"].as_array().unwrap().iter();
        let result = |item: &Value| {
            item.get("code")
                .unwrap_or(&item["outcome"])
                .as_str()
                .unwrap()
                .to_owned()
        };
        (items.map(result).collect(), said.code)
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_refused_user_does_not_stop_the_others_and_the_exit_code_tells() {
    let stage = stage().await;
    let greta = stage.furnished.global_administrator;
    let all = format!("{greta} {ADA} nobody@contoso.example {BOB}");
    let cases = [
        (
            format!("user disable {all}"),
            ["tenant_administrator", "disabled", "user_not_found", "disabled"],
            6,
        ),
        (
            format!("user disable {all}"),
            ["tenant_administrator", "unchanged", "user_not_found", "unchanged"],
            6,
        ),
        (
            format!("user enable {all}"),
            ["unchanged", "enabled", "user_not_found", "enabled"],
            6,
        ),
        (
            format!("role grant {all} Reader"),
            ["updated", "updated", "user_not_found", "updated"],
            6,
        ),
        (
            format!("role grant {all} Reader"),
            ["unchanged", "unchanged", "user_not_found", "unchanged"],
            6,
        ),
        (
            format!("role revoke {all} Reader"),
            ["updated", "updated", "user_not_found", "updated"],
            6,
        ),
        (
            format!("user hold {all} --reason audit"),
            ["tenant_administrator", "disabled", "user_not_found", "disabled"],
            6,
        ),
        (
            format!("role grant {all} Reader"),
            ["updated", "user_disabled", "user_not_found", "user_disabled"],
            6,
        ),
        (
            format!("user release {all}"),
            ["unchanged", "enabled", "user_not_found", "enabled"],
            6,
        ),
        (
            format!("user refresh {all}"),
            ["unchanged", "unchanged", "user_not_found", "unchanged"],
            6,
        ),
    ];
    for (command, results, code) in cases {
        assert_eq!(
            stage.results(&command).await,
            (results.map(str::to_owned).to_vec(), Some(code)),
            "{command}"
        );
    }
    let said = stage.run(&format!("user disable {all} {IN_SANDBOX}")).await;
    let table = cells(&said.stdout);
    assert_eq!(table[0], ["USER", "OUTCOME", "SYSTEMUSERID"]);
    assert_eq!(table[1][1], "refused (tenant_administrator)");
    assert_eq!(table[2][..2], [ADA, "disabled"]);
    let notes: Vec<&str> = said.stderr.lines().collect();
    assert!(
        notes[0].starts_with("tenant_administrator: ") && notes[0].ends_with('.'),
        "{notes:?}"
    );
    assert!(notes[1].starts_with("user_not_found: "), "{notes:?}");
    assert_eq!(notes[2..], ["rollcall: some were refused (tenant_administrator)"]);

    // An error that concerns every user is told once.
    let line = stage
        .bad(&format!("role grant {ADA} {BOB} Emperor {IN_SANDBOX}"), 6)
        .await;
    assert!(line.contains("role_not_found"), "{line}");
    let line = stage.bad(&format!("role grant Reader {IN_SANDBOX}"), 2).await;
    assert!(line.contains("name at least one user"), "{line}");
    stage.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_unavailable_directory_wins_over_a_refusal_because_the_same_command_may_succeed_later() {
    let stage = stage().await;
    let users = format!("nobody@contoso.example {ADA} {BOB}");
    let silent = Effect::rewrite(|answer| {
        for response in answer["responses"].as_array_mut().unwrap() {
            if [ADA, CARA]
                .map(Value::from)
                .contains(&response["body"]["userPrincipalName"])
            {
                response["status"] = 403.into();
                response["body"] = json!({"error": {"code": "Authorization_RequestDenied", "message": ""}});
            }
        }
    });
    stage
        .simulator
        .faults()
        .push(Fault::forever(When::path("/$batch"), silent));
    for (command, of_nobody, of_bob, code) in [
        ("user add", "user_not_found", "unchanged", 4),
        ("user refresh", "user_not_found", "unchanged", 4),
        ("user disable", "user_not_found", "disabled", 6),
    ] {
        let of_ada = if code == 4 { "directory_unavailable" } else { "disabled" };
        assert_eq!(
            stage.results(&format!("{command} {users}")).await,
            ([of_nobody, of_ada, of_bob].map(str::to_owned).to_vec(), Some(code)),
            "{command}"
        );
    }
    let said = stage.run(&format!("user add {users} {IN_SANDBOX}")).await;
    let last = said.stderr.lines().last().unwrap();
    assert!(last.contains("the directory was unavailable for some"), "{said:?}");

    // An import has the exit code that `user add` has for the same cause, for one user and for many.
    let import = |users: &str| format!("import --company C --max-retries 0 {IN_SANDBOX} --user {users}");
    let all = format!("nobody@contoso.example {CARA} {BOB}");
    for (users, code) in [(all.as_str(), 4), (CARA, 4), ("nobody@contoso.example", 6), (BOB, 0)] {
        for command in [format!("user add {users} {IN_SANDBOX}"), import(users)] {
            assert_eq!(stage.run(&command).await.code, Some(code), "{command}");
        }
    }
    stage.simulator.faults().clear();
    let away = Fault::forever(When::path("/$batch"), Effect::unavailable(None));
    stage.simulator.faults().push(away);
    for command in [format!("user add {CARA} {IN_SANDBOX}"), import(CARA)] {
        assert_eq!(stage.run(&command).await.code, Some(4), "{command}");
    }
    stage.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_file_names_users_with_comments_and_any_line_ends() {
    let stage = stage().await;
    let users = format!("\u{feff}# On leave\r\n\r\n  {ADA}\t\r\n{BOB}");
    let file = stage.installation.folder.join("users.txt");
    std::fs::write(&file, &users).unwrap();
    let named = format!("--file {}", file.display());
    let two = |outcome: &str| (vec![outcome.to_owned(); 2], Some(0));
    for (command, outcome) in [
        ("user hold --reason audit", "disabled"),
        ("user release", "enabled"),
        ("role grant Reader", "updated"),
        ("role revoke Reader", "updated"),
        ("user add", "unchanged"),
    ] {
        assert_eq!(
            stage.results(&format!("{command} {named}")).await,
            two(outcome),
            "{command}"
        );
    }

    let mut command = stage
        .installation
        .command(&format!("user disable --file - {IN_SANDBOX} --output json"));
    let mut child = command.stdin(Stdio::piped()).spawn().unwrap();
    let mut stdin = child.stdin.take().unwrap();
    stdin.write_all(users.as_bytes()).await.unwrap();
    drop(stdin);
    let said = said(child).await;
    let outcomes = said.json()["items"]
        .as_array()
        .unwrap()
        .iter()
        .map(|item| item["outcome"].clone())
        .collect::<Value>();
    assert_eq!(outcomes, json!(["disabled", "disabled"]), "{said:?}");

    // A file of one user is a list of one.
    std::fs::write(&file, ADA).unwrap();
    assert_eq!(stage.results(&format!("user enable {named}")).await.0, ["enabled"]);
    std::fs::write(&file, "# nobody\n").unwrap();
    let line = stage.bad(&format!("user enable {named} {IN_SANDBOX}"), 2).await;
    assert!(line.contains("name at least one user"), "{line}");
    let line = stage.bad(&format!("user enable --file /nowhere {IN_SANDBOX}"), 2).await;
    assert!(line.contains("could not read /nowhere"), "{line}");
    stage.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_thousand_unknown_users_are_one_line_of_the_log() {
    let stage = stage().await;
    let users: String = (0..1000)
        .map(|n| match n % 2 {
            0 => format!("nobody.{n}@contoso.example\n"),
            _ => format!("{}\n", Uuid::from_u128(0x6060 + n)),
        })
        .collect();
    let file = stage.installation.folder.join("users.txt");
    std::fs::write(&file, users).unwrap();
    let said = stage
        .run(&format!(
            "user add --file {} {IN_SANDBOX} --log info --output json",
            file.display()
        ))
        .await;
    assert_eq!(said.code, Some(6), "{said:?}");
    assert_eq!(said.json()["items"].as_array().unwrap().len(), 1000);
    let of_config = |line: &&str| !line.contains("rollcall::cli::wire");
    let lines: Vec<&str> = said.stderr.lines().filter(of_config).collect();
    assert_eq!(lines.len(), 2, "{lines:#?}");
    assert!(
        lines[0].contains("unknown=1000") && !lines[0].contains("nobody."),
        "{lines:#?}"
    );
    assert_eq!(lines[1], "rollcall: some were refused (user_not_found)");
    stage.end().await;
}
