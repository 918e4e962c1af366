//! `rollcall unit`, `rollcall position`, and where `rollcall user edit` puts a user.

use serde_json::{Value, json};

use super::{Stage, cells};
use crate::world::licensed;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn units_and_positions_are_kept_and_users_placed_in_them() {
    let stage = Stage::new().await;
    let good = async |command: &str| stage.good(&format!("{command} --environment sandbox")).await;
    let said = good("unit add Sales").await;
    assert!(said.starts_with("Sales: below sandbox, enabled ("), "{said}");
    good("unit add North --parent Sales").await;
    good("unit rename North South").await;
    good("unit move South --parent sandbox").await;
    let said = good("unit disable South").await;
    assert!(said.starts_with("South: below sandbox, disabled ("), "{said}");
    let list = good("unit list").await;
    let list = cells(&list);
    let mut list: Vec<[&str; 3]> = list.iter().map(|row| [row[0], row[1], row[2]]).collect();
    assert_eq!(list[0], ["UNIT", "BELOW", "STATE"]);
    list[1..].sort_unstable();
    assert_eq!(
        list[1..],
        [
            ["Sales", "sandbox", "enabled"],
            ["South", "sandbox", "disabled"],
            ["sandbox", "-", "enabled"],
        ]
    );
    good("unit enable South").await;
    good("unit disable South").await;
    let said = good("unit delete South").await;
    assert!(said.starts_with("deleted: business unit South ("), "{said}");
    assert_eq!(good("position list").await, "No position.\n");
    good("position add Head").await;
    good("position add Clerk --parent Head").await;
    good("position rename Clerk Agent").await;
    let said = good("position move Agent --top").await;
    assert!(said.starts_with("Agent: at the top ("), "{said}");
    let said = good("position delete Head").await;
    assert!(said.starts_with("deleted: position Head ("), "{said}");

    let line = stage.bad("unit delete sandbox --environment sandbox", 6).await;
    assert!(line.contains("(root_unit). "), "{line}");
    let line = stage
        .bad("unit move Nowhere --parent Sales --environment sandbox", 2)
        .await;
    assert_eq!(
        line,
        "rollcall: sandbox has no business unit `Nowhere`; `rollcall unit list` shows which there are"
    );

    let [ada, bob] = ["Ada", "Bob"].map(|name| licensed(stage.simulator.tenant(), name, "Person"));
    for user in [ada, bob] {
        good(&format!("user add {user}")).await;
    }
    let places = "businessunit=sales manager=bob.person@contoso.example position=Agent";
    good(&format!("user edit {ada} --set {places}")).await;
    let shown: Value = serde_json::from_str(&good(&format!("user show {ada} --output json")).await).unwrap();
    let bob: Value = serde_json::from_str(&good(&format!("user show {bob} --output json")).await).unwrap();
    let unit: Value = serde_json::from_str(&good("unit list --output json").await).unwrap();
    assert_eq!(shown["user"]["parentsystemuserid"], bob["user"]["systemuserid"]);
    let named = ["business_unit", "position", "manager"].map(|key| shown[key].as_str().unwrap());
    assert_eq!(named, ["Sales", "Agent", "bob.person@contoso.example"]);
    assert_eq!(bob["reports"], json!(["ada.person@contoso.example"]));
    let places: Vec<String> = good(&format!("user show {ada}"))
        .await
        .lines()
        .filter(|line| {
            ["business unit ", "position ", "manager ", "reports "]
                .iter()
                .any(|key| line.starts_with(key))
        })
        .map(|line| line.split_whitespace().collect::<Vec<_>>().join(" "))
        .collect();
    assert_eq!(
        places,
        [
            "business unit Sales",
            "position Agent",
            "manager bob.person@contoso.example",
            "reports -"
        ]
    );
    let unit = unit["items"]
        .as_array()
        .unwrap()
        .iter()
        .find(|unit| unit["name"] == "Sales");
    assert_eq!(shown["user"]["businessunitid"], unit.unwrap()["businessunitid"]);
    let line = stage
        .bad(
            &format!("user edit {ada} --set position=Emperor --environment sandbox"),
            2,
        )
        .await;
    assert_eq!(line, "rollcall: positionid: sandbox has no position `Emperor`");
    stage.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn teams_have_members_and_roles_and_give_them_to_users() {
    let stage = Stage::new().await;
    let sandbox = "kind = \"sandbox\"";
    stage
        .installation
        .amend(sandbox, &format!("{sandbox}\nroles = [\"Approver\"]"));
    let good = async |command: &str| stage.good(&format!("{command} --environment sandbox")).await;
    let [ada, bob] = ["Ada", "Bob"].map(|name| licensed(stage.simulator.tenant(), name, "Person"));
    for user in [ada, bob] {
        good(&format!("user add {user}")).await;
    }
    let said = good("team add Callers").await;
    assert!(
        said.starts_with("Callers: owner team of sandbox, members: added by hand ("),
        "{said}"
    );
    good(&format!("team member add Callers {ada} {bob}")).await;
    good(&format!("team member remove Callers {bob}")).await;
    good("role grant --team Callers Approver").await;
    let shown = good("team show Callers").await;
    assert!(
        shown.contains("Roles: Approver\n") && shown.contains("ada.person@contoso.example"),
        "{shown}"
    );
    assert!(!shown.contains("bob.person@contoso.example"), "{shown}");
    let list = good("team list").await;
    let list = cells(&list);
    assert_eq!(list[1][..4], ["sandbox", "owner", "sandbox", "the unit's users"]);
    let shown = good(&format!("user show {ada}")).await;
    let line = |name: &str| {
        shown
            .lines()
            .find(|line| line.starts_with(name))
            .unwrap_or_default()
            .to_owned()
    };
    assert!(line("roles ").ends_with(" Approver (team Callers)"), "{shown}");
    assert!(line("teams ").ends_with(" sandbox, Callers"), "{shown}");
    let explained = good(&format!("explain {ada}")).await;
    let check = explained
        .lines()
        .find(|line| line.contains(" security_role "))
        .unwrap_or_default();
    assert!(
        check.contains("pass") && check.contains("Approver (team Callers)"),
        "{explained}"
    );
    let without = good("user list --without-role").await;
    assert!(
        without.contains("bob.person") && !without.contains("ada.person"),
        "{without}"
    );
    let explained = good(&format!("explain {bob} --output json")).await;
    let explained: Value = serde_json::from_str(&explained).unwrap();
    let check = explained["checks"].as_array().unwrap().last().unwrap();
    assert_eq!(
        (&check["gate"], &check["status"]),
        (&json!("security_role"), &json!("fail"))
    );
    assert!(check["remedy"].as_str().unwrap().contains("role grant"), "{check}");
    good("role revoke --team Callers Approver").await;
    let said = good("team delete Callers").await;
    assert!(said.starts_with("deleted: team Callers ("), "{said}");
    let line = stage
        .bad("role grant --team Callers x Approver --environment sandbox", 2)
        .await;
    assert!(line.contains("together with --team"), "{line}");
    stage.end().await;
}
