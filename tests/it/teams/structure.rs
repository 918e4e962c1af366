//! Sections 1 and 4: the trees of an environment, and where a user stands in them.

use rollcall::domain::import::ImportRequest;
use rollcall::domain::system_user::SystemUser;
use rollcall::domain::unit::Name;
use rollcall::sync::desk::{PositionEdit, UnitEdit};
use serde_json::{Value, json};
use uuid::Uuid;

use super::{outcome, stage};
use crate::on_demand::{ENV, edit, row, said};
use crate::world::{World, licensed};

/// `add NAME [< PARENT]`, `rename NAME > NAME`, `move NAME < PARENT`, `disable NAME`, `enable NAME`, `delete NAME`.
async fn unit(world: &World, command: &str) -> String {
    let desk = world.engine.desk();
    let (verb, rest) = command.split_once(' ').unwrap();
    let edit = async |unit: &str, edit: UnitEdit<'_>| outcome(desk.edit_unit(ENV, unit, edit, "ada").await);
    let as_it_is = UnitEdit::default();
    match (verb, rest.split_once(" < "), rest.split_once(" > ")) {
        ("add", Some((name, parent)), _) => outcome(desk.add_unit(ENV, name, Some(parent), "ada").await),
        ("add", None, _) => outcome(desk.add_unit(ENV, rest, None, "ada").await),
        ("move", Some((name, parent)), _) => {
            let parent = Some(parent);
            edit(name, UnitEdit { parent, ..as_it_is }).await
        }
        ("rename", _, Some((old, new))) => {
            let name = Some(new);
            edit(old, UnitEdit { name, ..as_it_is }).await
        }
        ("disable" | "enable", ..) => {
            let isdisabled = Some(verb == "disable");
            edit(rest, UnitEdit { isdisabled, ..as_it_is }).await
        }
        ("delete", ..) => outcome(desk.delete_unit(ENV, rest).await),
        other => panic!("{other:?}"),
    }
}

/// `add NAME [< PARENT]`, `rename NAME > NAME`, `move NAME [< PARENT]`, `delete NAME`.
async fn position(world: &World, command: &str) -> String {
    let desk = world.engine.desk();
    let (verb, rest) = command.split_once(' ').unwrap();
    let edit = async |name: &str, edit: PositionEdit<'_>| outcome(desk.edit_position(ENV, name, edit, "ada").await);
    let as_it_is = PositionEdit::default();
    match (verb, rest.split_once(" < "), rest.split_once(" > ")) {
        ("add", Some((name, parent)), _) => outcome(desk.add_position(ENV, name, Some(parent), "ada").await),
        ("add", None, _) => outcome(desk.add_position(ENV, rest, None, "ada").await),
        ("move", place, _) => {
            let (name, parent) = place.map_or((rest, None), |(name, parent)| (name, Some(parent)));
            let parent = Some(parent);
            edit(name, PositionEdit { parent, ..as_it_is }).await
        }
        ("rename", _, Some((old, new))) => {
            let name = Some(new);
            edit(old, PositionEdit { name, ..as_it_is }).await
        }
        ("delete", ..) => outcome(desk.delete_position(ENV, rest).await),
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn the_tree_of_business_units_has_one_root_and_no_cycle_and_loses_only_empty_units() {
    let world = stage().await;
    let long = format!("add {}", "x".repeat(161));
    for (command, expected) in [
        ("add Sales", "ok"),
        ("add SALES", "name_taken"),
        ("add production", "name_taken"),
        ("add Europe < Sales", "ok"),
        ("add North < europe", "ok"),
        ("add Lost < Nowhere", "bad input: parentbusinessunitid"),
        ("add  \u{200b} ", "bad input: name"),
        (&long, "bad input: name"),
        ("move Sales < North", "would_cycle"),
        ("move Sales < Sales", "would_cycle"),
        ("move North < production", "ok"),
        ("move Nowhere < Sales", "find the business unit `Nowhere` in production"),
        ("rename Europe > sales", "name_taken"),
        ("rename Europe > EUROPE", "ok"),
        ("rename production > Contoso", "ok"),
        ("move Contoso < Sales", "root_unit"),
        ("disable Contoso", "root_unit"),
        ("enable Contoso", "ok"),
        ("delete Contoso", "root_unit"),
        ("delete North", "unit_not_empty"),
        ("disable North", "ok"),
        ("delete North", "ok"),
        ("disable Sales", "ok"),
        ("delete Sales", "unit_not_empty"),
    ] {
        assert_eq!(unit(&world, command).await, expected, "{command}");
    }
    let tree = "select concat_ws(' ', t.name, u.name, above.name, u.isdisabled, u.modifiedby) from rollcall.business_unit u
                join rollcall.team t on t.environment = u.environment and t.businessunitid = u.businessunitid and t.isdefault
                left join rollcall.business_unit above
                     on above.environment = u.environment and above.businessunitid = u.parentbusinessunitid
                order by 1";
    assert_eq!(
        world.strings(tree).await,
        [
            "Contoso Contoso f ada",
            "EUROPE EUROPE Sales f ada",
            "Sales Sales Contoso t ada"
        ]
    );
    world.assert_settled().await;
    world.end().await;
}

#[tokio::test]
async fn positions_are_trees_without_cycles_and_stay_while_they_are_in_use() {
    let world = stage().await;
    for (command, expected) in [
        ("add Head", "ok"),
        ("add Clerk < head", "ok"),
        ("add HEAD", "name_taken"),
        ("rename Clerk > head", "name_taken"),
        ("rename Clerk > CLERK", "ok"),
        ("move Head < Clerk", "would_cycle"),
        ("move Head < Nobody", "bad input: parentpositionid"),
        ("delete Head", "position_in_use"),
        ("move Clerk", "ok"),
        ("delete Head", "ok"),
        ("delete Head", "find the position `Head` in production"),
    ] {
        assert_eq!(position(&world, command).await, expected, "{command}");
    }
    let ada = licensed(world.tenant(), "Ada", "Lovelace");
    world.sync_completely().await;
    assert_eq!(
        said(&edit(&world, ada, json!({"positionid": "clerk"})).await),
        "updated"
    );
    assert_eq!(position(&world, "delete Clerk").await, "position_in_use");
    assert_eq!(said(&edit(&world, ada, json!({"positionid": null})).await), "updated");
    assert_eq!(position(&world, "delete Clerk").await, "ok");
    world.end().await;
}

/// The columns of a profile, as a document.
fn profile(row: &SystemUser) -> Value {
    let row = json!(row);
    let columns = ["title", "nickname", "middlename", "employeeid", "preferredlanguage"];
    columns.iter().map(|column| row[*column].clone()).collect()
}

#[tokio::test]
async fn people_edit_the_profile_and_the_sync_leaves_it() {
    let world = stage().await;
    let [ada, bob, eve] = ["Ada", "Bob", "Eve"].map(|name| licensed(world.tenant(), name, "Person"));
    world.sync_completely().await;
    assert_eq!(unit(&world, "add Sales").await, "ok");
    assert_eq!(position(&world, "add Clerk").await, "ok");
    let texts =
        json!({"title": "Dr", "nickname": "A", "middlename": "K", "employeeid": "7", "preferredlanguage": "en"});
    for (user, values, expected) in [
        (ada, texts, "updated"),
        (ada, json!({"title": "Dr"}), "unchanged"),
        (
            ada,
            json!({"businessunitid": "sales", "positionid": "Clerk"}),
            "updated",
        ),
        (
            ada,
            json!({"parentsystemuserid": "bob.person@contoso.example"}),
            "updated",
        ),
        (bob, json!({"parentsystemuserid": eve}), "updated"),
        (eve, json!({"parentsystemuserid": ada}), "would_cycle"),
        (eve, json!({"parentsystemuserid": eve}), "would_cycle"),
        (
            eve,
            json!({"parentsystemuserid": "nobody@contoso.example"}),
            "bad input: parentsystemuserid",
        ),
        (
            eve,
            json!({"parentsystemuserid": "crmoln@microsoft.com"}),
            "reserved_user",
        ),
        (eve, json!({"businessunitid": "Nowhere"}), "bad input: businessunitid"),
        (eve, json!({"positionid": ada}), "bad input: positionid"),
        (eve, json!({"nickname": "x".repeat(51)}), "bad input: nickname"),
    ] {
        assert_eq!(said(&edit(&world, user, values.clone()).await), expected, "{values}");
    }
    assert_eq!(unit(&world, "disable Sales").await, "ok");
    assert_eq!(unit(&world, "delete Sales").await, "unit_not_empty", "a user is in it");

    let before = row(&world, ada).await;
    assert_eq!(profile(&before), json!(["Dr", "A", "K", "7", "en"]));
    assert_eq!(before.parentsystemuserid, Some(row(&world, bob).await.systemuserid));
    world
        .tenant()
        .update_user(ada, |user| user.job_title = Some("Countess".to_owned()));
    world.sync_completely().await;
    let after = row(&world, ada).await;
    assert_eq!(after.jobtitle.as_deref(), Some("Countess"));
    assert_eq!(profile(&after), profile(&before));
    assert_eq!(
        (after.businessunitid, after.parentsystemuserid, after.positionid),
        (before.businessunitid, before.parentsystemuserid, before.positionid)
    );
    let log = "select concat_ws(' ', actor, operation, (select string_agg(key, ',' order by key) from jsonb_object_keys(fields) key))
               from rollcall.system_user_change where actor = 'helpdesk' order by id";
    assert_eq!(
        world.strings(log).await,
        [
            "helpdesk edit employeeid,middlename,nickname,preferredlanguage,title",
            "helpdesk edit businessunitid,positionid",
            "helpdesk edit parentsystemuserid",
            "helpdesk edit parentsystemuserid",
        ]
    );
    // Without a name it is the root again.
    assert_eq!(
        said(&edit(&world, ada, json!({"businessunitid": null})).await),
        "updated"
    );
    assert_eq!(unit(&world, "delete Sales").await, "ok");
    world.assert_settled().await;
    world.end().await;
}

#[tokio::test]
async fn every_new_row_is_in_the_root_and_one_without_a_unit_reads_as_the_root_until_it_is_filled_in() {
    let world = stage().await;
    let ada = licensed(world.tenant(), "Ada", "Lovelace");
    world.sync_completely().await;
    let outside = "select count(*) from rollcall.system_user s
                   where not exists (select from rollcall.business_unit b where b.environment = s.environment
                                     and b.businessunitid = s.businessunitid and b.parentbusinessunitid is null)";
    assert_eq!(world.number(outside).await, 0);
    let before = row(&world, ada).await;

    // As an older version writes them.
    world
        .execute("set rollcall.writer = 'rollcall'; update rollcall.system_user set businessunitid = null")
        .await;
    let shown = world.engine.records().user(ENV, &ada.to_string()).await.unwrap();
    assert_eq!(shown, before);
    let dump = "select count(*) from rollcall.system_user_change";
    let lines = world.number(dump).await;
    let mut tx = world.engine.store.begin().await.unwrap();
    let environments = [ENV.to_owned()];
    let filled = async |tx: &mut rollcall::store::Transaction, at_most| {
        rollcall::store::units::fill_in(tx, &environments, at_most)
            .await
            .unwrap()
    };
    assert_eq!(filled(&mut tx, 2).await, 2);
    assert_eq!((filled(&mut tx, 1000).await, filled(&mut tx, 1000).await), (1, 0));
    tx.commit().await.unwrap();
    assert_eq!(
        row(&world, ada).await,
        before,
        "neither its times nor anything else moved"
    );
    assert_eq!(world.number(dump).await, lines);
    world.end().await;
}

#[tokio::test]
async fn a_new_row_gets_the_unit_of_its_import_else_of_its_environment_else_the_root() {
    let mut world = stage().await;
    let root = world.engine.records().unit(ENV, ENV).await.unwrap().businessunitid;
    world.configure(|settings| {
        settings.environments[0].0.default_business_unit = Some(Name::parse("SALES").unwrap());
    });
    let unit_of = async |world: &World, user: Uuid| row(world, user).await.businessunitid.unwrap();
    let early = licensed(world.tenant(), "Early", "Person");
    world.sync_completely().await;
    assert_eq!(unit_of(&world, early).await, root, "there is no such unit");

    let [sales, service] = ["Sales", "Service"];
    for unit in [sales, service] {
        world.engine.desk().add_unit(ENV, unit, None, "ada").await.unwrap();
    }
    let unit = async |name| world.engine.records().unit(ENV, name).await.unwrap().businessunitid;
    let late = licensed(world.tenant(), "Late", "Person");
    world.sync_completely().await;
    assert_eq!(unit_of(&world, late).await, unit(sales).await);
    assert_eq!(unit_of(&world, early).await, root);

    for (given, expected) in [(None, sales), (Some(" service "), service)] {
        let user = licensed(world.tenant(), "Imported", expected);
        let request = ImportRequest {
            users: vec![user.to_string()],
            default_business_unit: given.map(str::to_owned),
            ..ImportRequest::new(ENV, "USMF")
        };
        let job = world.engine.imports().submit_import(&request, "ada").await.unwrap();
        world.engine.imports().finish_import(job.id, "here").await.unwrap();
        assert_eq!(unit_of(&world, user).await, unit(expected).await);
    }
    let nowhere = ImportRequest {
        all: true,
        default_business_unit: Some("Nowhere".to_owned()),
        ..ImportRequest::new(ENV, "USMF")
    };
    let refused = world.engine.imports().submit_import(&nowhere, "ada").await.unwrap_err();
    let refused = refused.to_string();
    assert!(
        refused.ends_with("production has no business unit `Nowhere`"),
        "{refused}"
    );
    world.end().await;
}
