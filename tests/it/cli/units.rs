//! `rollcall unit`, `rollcall position`, and where `rollcall user edit` puts a user.

use serde_json::Value;

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
    let list: Vec<[&str; 3]> = list.iter().map(|row| [row[0], row[1], row[2]]).collect();
    assert_eq!(
        list,
        [
            ["UNIT", "BELOW", "STATE"],
            ["sandbox", "-", "enabled"],
            ["Sales", "sandbox", "enabled"],
            ["South", "sandbox", "disabled"],
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
    assert_eq!(shown["user"]["businessunitid"], unit["items"][1]["businessunitid"]);
    let line = stage
        .bad(
            &format!("user edit {ada} --set position=Emperor --environment sandbox"),
            2,
        )
        .await;
    assert_eq!(line, "rollcall: positionid: sandbox has no position `Emperor`");
    stage.end().await;
}
