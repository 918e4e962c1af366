//! What people see on a terminal: every line fits it, whatever the names; colours, and none where they are not wanted.

use rollcall::simulator::tenant::{Profile, User};
use sqlx::{Connection, PgConnection};
use unicode_width::UnicodeWidthStr;

use super::Stage;

/// As long as environments are named.
const LAB: &str = "laboratory-of-the-department";
const UPN: &str = "maximiliane.freifrau.von.und.zu.hohenstein@a-long-domain.contoso.example";

/// Everything that lists, with rows for each.
const FILLING: [&str; 5] = [
    "insert into rollcall.system_user_role (environment, systemuserid, role, granted_by)
     select environment, systemuserid, 'Approver of invoices of the department of 山田太郎山田太郎', 'administrator of all'
     from rollcall.system_user",
    "insert into rollcall.finding (environment, code, subject, detail, opened_at, azureactivedirectoryobjectid)
     select environment, 'orphaned_role_assignment', 'a', repeat('a role is assigned to a group 山田太郎 ', 9), now(), id
     from rollcall.directory_user cross join rollcall.environment limit 40",
    "insert into rollcall.sync_run (trigger, started_at, ended_at, outcome, dry_run)
     select 'requested by somebody', now(), now(), 'incomplete', true",
    "insert into rollcall.import_job
         (environment, company, is_all, submitted_by, submitted_at, state, outcome, batch_group, total, created)
     select 'laboratory-of-the-department', 'A company with a long name', false, 'administrator of all', now(), 'ended',
         'ended_with_refusals', 'every night after the others', 12345, 12345",
    "insert into rollcall.import_item (job, position, given, state, code, detail, systemuserid)
     select id, 1, repeat('山田太郎', 9), 'refused', 'directory_account_disabled', repeat('It is refused. ', 9),
         gen_random_uuid() from rollcall.import_job",
];

impl Stage {
    /// A long environment with rows that have long names, one of them disabled, and removals that wait.
    async fn with_long_names() -> Self {
        let stage = Self::new().await;
        stage
            .installation
            .amend("\"sandbox\"\nkind", &format!("\"{LAB}\"\nkind"));
        for (at, surname) in ["Freifrau von und zu Hohenstein-Hohenfels".to_owned(), "山田".repeat(20)]
            .into_iter()
            .enumerate()
        {
            let tenant = stage.simulator.tenant();
            let id = tenant.add_user(User {
                user_principal_name: Some(format!("{at}{UPN}")),
                display_name: Some(format!("Maximiliane {surname}")),
                ..User::named("Maximiliane", &surname)
            });
            tenant.give_profile(id, Profile::E5PowerApps);
        }
        stage.good("sync").await;
        stage
            .good(&format!("user hold 0{UPN} --reason audit --environment {LAB}"))
            .await;
        let mut db = PgConnection::connect(&stage.database.url).await.unwrap();
        for filling in FILLING {
            sqlx::query(filling).execute(&mut db).await.unwrap();
        }
        stage.block(40);
        let held = stage.run("sync").await;
        assert_eq!(held.code, Some(3), "{held:?}");
        stage
    }
}

/// A text without colours and progress.
fn plain(text: &str) -> String {
    let mut parts = text.split('\u{1b}');
    let mut plain = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        let end = part.find(|character: char| character.is_ascii_alphabetic()).unwrap();
        plain += &part[end + 1..];
    }
    let visible = plain.lines().map(|line| line.rsplit('\r').next().unwrap_or_default());
    visible.collect::<Vec<_>>().join("\n")
}

/// The titles of the first table of a page.
fn titles(page: &str) -> Vec<String> {
    let is_heading = |line: &&str| {
        let letters: Vec<char> = line.chars().filter(|character| character.is_alphabetic()).collect();
        letters.len() > 7 && letters.iter().all(|letter| letter.is_uppercase())
    };
    let heading = page.lines().find(is_heading).unwrap_or_default();
    heading
        .split("  ")
        .map(str::trim)
        .filter(|title| !title.is_empty())
        .map(str::to_owned)
        .collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_line_fits_a_terminal_of_80_columns_and_120_show_every_column() {
    let stage = Stage::with_long_names().await;
    let of_lab = |command: &str| format!("{command} --environment {LAB}");
    let run = stage.number("select max(id) from rollcall.sync_run").await;
    for command in [
        of_lab("user list"),
        of_lab("user list --state disabled"),
        of_lab("role list"),
        of_lab("candidates"),
        of_lab("findings"),
        of_lab(&format!("explain 0{UPN}")),
        of_lab(&format!("user show 1{UPN}")),
        of_lab(&format!("user own 1{UPN}")),
        of_lab(&format!("user refresh 1{UPN} nobody@{UPN}")),
        format!("user where 1{UPN}"),
        "runs list".to_owned(),
        format!("runs show {run}"),
        "runs changes 1".to_owned(),
        "job list".to_owned(),
        "job show 1 --items".to_owned(),
        "environment list".to_owned(),
        "status".to_owned(),
        "check".to_owned(),
        "rules".to_owned(),
        "sync --dry-run".to_owned(),
    ] {
        let page = plain(&stage.installation.on_terminal(&command, 80, &[]).await.1);
        assert!(page.lines().count() > 1, "{command}: {page}");
        let is_command = |line: &&str| line.trim_start().starts_with("rollcall ");
        for line in page.lines().filter(|line| !is_command(line)) {
            assert!(line.width() <= 80, "{command}: {line}\n{page}");
        }
        // What is missing stands under its row, or is named.
        let piped = titles(&stage.run(&command).await.stdout);
        let missing: Vec<&String> = piped.iter().filter(|title| !titles(&page).contains(title)).collect();
        for title in missing {
            let is_named = page.contains("Left out") && page.contains(title.as_str());
            let is_below = page.contains(&format!("\n    {}: ", title.to_lowercase()));
            let is_cut = titles(&page).iter().any(|cut| cut.ends_with('…'));
            assert!(is_named || is_below || is_cut, "{command}: {title}\n{page}");
        }
        let wide = plain(&stage.installation.on_terminal(&command, 120, &[]).await.1);
        assert!(!wide.contains("Left out"), "{command}: {wide}");
    }
    stage.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn colours_are_for_terminals_that_want_them() {
    let stage = Stage::new().await;
    stage.good("sync").await;
    stage.good("user stub stub@contoso.example --environment sandbox").await;
    for (command, coloured) in [
        ("sync", "\u{1b}[1mENVIRONMENT"),
        ("runs list", "\u{1b}[32mcomplete\u{1b}[0m"),
        ("runs show 1", "\u{1b}[1mENVIRONMENT"),
        ("status", "\u{1b}[1mENVIRONMENT"),
        (
            "user list --environment sandbox --type stub",
            "\u{1b}[31mdisabled\u{1b}[0m",
        ),
        (
            "explain crmoln@microsoft.com --environment sandbox",
            "\u{1b}[31mFAIL\u{1b}[0m",
        ),
    ] {
        let (code, text) = stage.installation.on_terminal(command, 80, &[]).await;
        assert!(text.contains(coloured), "{command}: {text:?}");
        // Progress clears its line on any terminal.
        let is_plain = |text: &str| !text.replace("\u{1b}[K", "").contains('\u{1b}');
        for variable in [("NO_COLOR", "1"), ("TERM", "dumb")] {
            let (again, text) = stage.installation.on_terminal(command, 80, &[variable]).await;
            assert!(is_plain(&text), "{command}, {variable:?}: {text:?}");
            assert_eq!(again, code, "{command}");
        }
        let piped = stage.run(command).await;
        assert!(
            !piped.stdout.contains('\u{1b}') && !piped.stderr.contains('\u{1b}'),
            "{piped:?}"
        );
    }
    stage.end().await;
}
