//! `--environment`: left out where there is one, and errors that name what could be chosen.

use super::Stage;
use crate::binary::Said;

/// Commands about one environment; those about somebody whom nobody knows are refused with 6.
const COMMANDS: [&str; 20] = [
    "user list",
    "user show nobody@contoso.example",
    "user add nobody@contoso.example",
    "user add nobody@contoso.example noone@contoso.example",
    "user access nobody@contoso.example",
    "user refresh nobody@contoso.example",
    "user edit nobody@contoso.example --set jobtitle=a",
    "user disable nobody@contoso.example",
    "user enable nobody@contoso.example",
    "user hold nobody@contoso.example --reason a",
    "user release nobody@contoso.example",
    "user map nobody@contoso.example noone@contoso.example",
    "user own nobody@contoso.example",
    "user stub stub@contoso.example",
    "user delete nobody@contoso.example",
    "role list",
    "role grant nobody@contoso.example Reader",
    "explain nobody@contoso.example",
    "candidates",
    "import --company USMF --user nobody@contoso.example",
];

fn said_one(said: &Said, part: &str, command: &str) {
    assert_eq!(said.code, Some(2), "{command}: {said:?}");
    assert!(said.one_line().contains(part), "{command}: {said:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_only_environment_need_not_be_named_and_errors_name_the_known_ones() {
    let stage = Stage::new().await;
    for command in COMMANDS {
        let said = stage.run(command).await;
        let part = "which environment? Choose one with --environment NAME: production, sandbox";
        said_one(&said, part, command);
    }
    let unknown = "there is no environment `attic`; known: production, sandbox";
    let others = [
        "findings",
        "job list",
        "sync --output json",
        "runs approve 1",
        "runs reject 1",
    ];
    for command in COMMANDS.iter().chain(&others) {
        let said = stage.run(&format!("{command} --environment attic")).await;
        said_one(&said, unknown, command);
    }
    said_one(&stage.run("environment retire attic").await, unknown, "retire");

    let sandbox = "[[environment]]\nname = \"sandbox\"\nkind = \"sandbox\"\n";
    stage.installation.amend(sandbox, "");
    for command in COMMANDS {
        let said = stage.run(command).await;
        assert!(matches!(said.code, Some(0 | 6)), "{command}: {said:?}");
    }
    stage.end().await;
}
