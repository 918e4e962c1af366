//! Case pipe-1: a reader that goes away, and output that cannot be written.

use std::fs::File;
use std::process::Stdio;

use super::Stage;
use crate::binary::said;

/// Something of everything that prints.
const COMMANDS: [(&str, i32); 18] = [
    ("user list --environment sandbox", 0),
    ("user list --environment sandbox --output json", 0),
    ("candidates --environment sandbox", 0),
    ("runs list", 0),
    ("status", 0),
    ("status --output json", 0),
    ("environment list", 0),
    ("user where crmoln@microsoft.com", 0),
    ("job list", 0),
    ("findings", 0),
    ("role list --environment sandbox", 0),
    ("sync --environment sandbox --dry-run --log off", 0),
    ("check --output json", 0),
    ("config show", 0),
    ("rules", 0),
    ("completions bash", 0),
    ("--help", 0),
    ("user show crmoln@microsoft.com --environment sandbox", 0),
];

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn pipe_1_a_closed_pipe_ends_a_command_quietly() {
    let stage = Stage::new().await;
    stage.good("sync --environment sandbox").await;
    for (command, code) in COMMANDS {
        let mut child = stage.installation.start(command);
        drop(child.stdout.take());
        let said = said(child).await;
        assert_eq!(
            (said.code, said.stderr.as_str()),
            (Some(code), ""),
            "{command}: {said:?}"
        );
    }
    // What the command itself has to say is said, whoever listens to its results.
    let mut child = stage
        .installation
        .start("user show nobody@contoso.example --environment sandbox --output json");
    drop(child.stdout.take());
    let said = said(child).await;
    assert_eq!(said.code, Some(6), "{said:?}");
    assert!(said.stderr.starts_with("rollcall: sandbox has no row"), "{said:?}");
    stage.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn pipe_1_a_full_disk_is_one_line_and_exit_code_1() {
    let stage = Stage::new().await;
    stage.good("sync --environment sandbox").await;
    for (command, _) in COMMANDS {
        let full = File::options().write(true).open("/dev/full").unwrap();
        let said = said(stage.installation.command(command).stdout(full).spawn().unwrap()).await;
        assert_eq!(said.code, Some(1), "{command}: {said:?}");
        assert!(
            said.one_line().contains("could not write the result: No space left"),
            "{command}: {said:?}"
        );
    }
    stage.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn pipe_1_nobody_needs_to_listen_to_errors() {
    let stage = Stage::new().await;
    stage.good("sync --environment sandbox").await;
    for (command, code) in [
        ("user show nobody@contoso.example --environment sandbox", 6),
        ("sync --environment attic", 2),
        ("runs list --limit 0 --log debug", 0),
        ("user list --environment sandbox --limit 1", 0),
        ("user list --colour", 2),
    ] {
        let mut child = stage.installation.start(command);
        drop(child.stderr.take());
        assert_eq!(said(child).await.code, Some(code), "{command}");
        let full = File::options().write(true).open("/dev/full").unwrap();
        let child = stage
            .installation
            .command(command)
            .stderr(full)
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        assert_eq!(said(child).await.code, Some(code), "{command}");
    }
    stage.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_program_reads_has_no_colours_and_no_cell_is_cut_whatever_the_terminal_is() {
    let stage = Stage::new().await;
    stage.good("sync --environment sandbox").await;
    let name = "a.name.that.is.much.longer.than.a.narrow.terminal@contoso.example";
    let stub = format!("user stub {name} --environment sandbox");
    stage.good(&stub).await;
    for (command, _) in COMMANDS {
        let mut command = stage.installation.command(command);
        command.env("COLUMNS", "20").env("TERM", "xterm").env_remove("NO_COLOR");
        let said = said(command.spawn().unwrap()).await;
        assert!(!said.stdout.contains(['\u{1b}', '…']), "{said:?}");
    }
    let listed = stage.good("user list --environment sandbox").await;
    assert!(listed.contains(name), "{listed}");
    stage.end().await;
}
