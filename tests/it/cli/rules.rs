//! `rollcall rules`: the rule table, on a machine that has nothing but the program.

use std::process::Stdio;

use serde_json::{Value, json};
use tokio::process::Command;

use crate::binary::{Said, said};

async fn rules(arguments: &[&str]) -> Said {
    let child = Command::new(env!("CARGO_BIN_EXE_rollcall"))
        .arg("rules")
        .args(arguments)
        .env_clear()
        .env("ROLLCALL_CONFIG", "/nowhere/rollcall.toml")
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let said = said(child).await;
    assert_eq!((said.code, said.stderr.as_str()), (Some(0), ""), "{said:?}");
    said
}

fn strings<'a>(list: &'a Value, key: &str) -> Vec<&'a str> {
    list.as_array()
        .unwrap()
        .iter()
        .map(|one| one[key].as_str().unwrap())
        .collect()
}

#[tokio::test]
async fn the_rules_are_printed_without_configuration_and_fit_a_narrow_terminal() {
    let page = rules(&[]).await.stdout;
    for line in page.lines() {
        assert!(line.chars().count() <= 80, "{line}");
        assert_eq!(line.trim_end(), line, "no line ends with blanks");
    }
    let sections = [
        "GATES",
        "12b  security_group",
        "ENTITLEMENTS",
        "on_demand_only",
        "REASON CODES",
    ];
    let places: Vec<Option<usize>> = sections
        .iter()
        .map(|section| page.find(&format!("\n{section}")).or_else(|| page.find(section)))
        .collect();
    assert!(
        places.iter().all(Option::is_some) && places.is_sorted(),
        "{places:?}\n{page}"
    );
    for line in [
        "directory_unavailable        retryable",
        "unlicensed                   not retryable",
        "     no row             create, mode 1, setupuser  create, mode 1, setupuser",
        "     disabled by hand   leave disabled_by_hand     enable, mode 0",
    ] {
        assert!(page.lines().any(|printed| printed == line), "{line}\n{page}");
    }
}

#[tokio::test]
async fn the_rules_are_one_document_for_programs() {
    let document = rules(&["--output", "json"]).await.json();
    let gates = strings(&document["gates"], "number");
    assert_eq!(
        gates[..16],
        [
            "1", "2", "3", "4", "5", "6", "7", "8", "9", "10", "11", "12", "12b", "13", "14", "15"
        ]
    );
    let gone = &document["gates"][7];
    assert_eq!(gone["codes"], json!(["directory_deleted", "user_not_found"]));
    let told = |row: &str, outcome: &str, code: &str| {
        json!({
            "row": row, "outcome": outcome, "code": code, "asker_code": "user_not_found", "only_reported": false,
            "accessmode": null, "setupuser": null,
        })
    };
    assert_eq!(
        gone["on_demand"],
        json!([
            told("none", "refuse", "user_not_found"),
            told("enabled", "disable", "directory_deleted"),
            told("disabled_by_sync", "refuse", "directory_deleted"),
        ])
    );
    assert_eq!(
        strings(&document["entitlements"], "entitlement"),
        ["non_interactive", "full", "admin", "on_demand_only", "none"]
    );
    let codes = document["codes"].as_array().unwrap();
    assert_eq!(codes.len(), 46);
    assert_eq!(
        codes[5],
        json!({
            "code": "directory_unavailable", "retryable": true,
            "sentence": "The directory did not give a complete answer.", "remedy": codes[5]["remedy"],
        })
    );
    let outcome = |entitlement: &str, row: &str, trigger: &str| {
        let outcomes = document["outcomes"].as_array().unwrap();
        let mut found = outcomes
            .iter()
            .filter(|one| one["entitlement"] == entitlement && one["row"] == row && one["trigger"] == trigger);
        let one = found.next().unwrap();
        assert!(found.next().is_none());
        json!([one["outcome"], one["code"], one["accessmode"]])
    };
    assert_eq!(outcome("admin", "none", "background"), json!(["create", null, 1]));
    assert_eq!(
        outcome("on_demand_only", "none", "background"),
        json!(["skip", "on_demand_only", null])
    );
    assert_eq!(
        outcome("full", "disabled_by_hand", "on_demand"),
        json!(["enable", null, 0])
    );
    assert_eq!(outcome("full", "enabled", "import"), json!(["leave", null, null]));
    assert_eq!(
        outcome("none", "enabled", "refresh"),
        json!(["disable", "unlicensed", null])
    );
}
