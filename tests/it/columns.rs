//! The columns of `system_user` are listed once, in `domain::system_user`; what cannot derive from that list is compared
//! with it here.

use std::collections::BTreeSet;

use rollcall::domain::field::Field;
use rollcall::domain::system_user::SystemUser;
use serde_json::json;

use crate::world::World;

/// What batches do not write: the keys, what has statements of its own, and what is written at the creation only.
const NOT_UPDATED: [&str; 7] = [
    "environment",
    "systemuserid",
    "applicationid",
    "merged_into",
    "customer_owned",
    "createdon",
    "createdby",
];

/// What only people edit.
const PROFILE: [&str; 8] = [
    "businessunitid",
    "parentsystemuserid",
    "positionid",
    "title",
    "nickname",
    "middlename",
    "employeeid",
    "preferredlanguage",
];

fn own() -> BTreeSet<String> {
    SystemUser::COLUMNS.iter().map(ToString::to_string).collect()
}

#[tokio::test]
async fn the_table_has_the_columns_that_are_listed() {
    let world = World::new(Vec::new()).await;
    let columns = "select column_name::text from information_schema.columns
                   where table_schema = 'rollcall' and table_name = 'system_user'";
    assert_eq!(BTreeSet::from_iter(world.strings(columns).await), own());
}

#[tokio::test]
async fn a_batch_that_is_written_row_by_row_writes_the_same_columns() {
    let world = World::new(Vec::new()).await;
    let text = world
        .strings("select prosrc from pg_proc where proname = 'write_each'")
        .await
        .remove(0);
    let (_, inserted) = text.split_once("insert into rollcall.system_user (").unwrap();
    let (inserted, _) = inserted.split_once(')').unwrap();
    let inserted: BTreeSet<String> = inserted.split(',').map(|column| column.trim().to_owned()).collect();
    let mut expected = own();
    let is_written = |column: &str| column == "businessunitid" || !PROFILE.contains(&column);
    expected.retain(|column| is_written(column) && !["merged_into", "customer_owned"].contains(&column.as_str()));
    assert_eq!(inserted, expected);
    let is_updated = |column: &str| !NOT_UPDATED.contains(&column) && !PROFILE.contains(&column);
    for column in own().iter().filter(|column| is_updated(column)) {
        assert!(text.contains(&format!(" {column} = v.{column}")), "{column}");
    }
}

#[test]
fn the_description_of_the_api_has_what_rows_and_edits_have() {
    let document = json!(rollcall::http::api::document());
    let properties = |schema: &str| -> BTreeSet<String> {
        let properties = &document["components"]["schemas"][schema]["properties"];
        properties.as_object().unwrap().keys().cloned().collect()
    };
    let row = json!(SystemUser::default());
    assert_eq!(
        properties("SystemUser"),
        row.as_object().unwrap().keys().cloned().collect()
    );
    let mut edited: BTreeSet<String> = ["company", "accessmode", "onhold", "holdreason"]
        .map(str::to_owned)
        .into();
    edited.extend(PROFILE.map(str::to_owned));
    edited.extend(Field::ALL.map(|field| field.column().to_owned()));
    edited.retain(|column| !["domainname", "azureactivedirectoryobjectid"].contains(&column.as_str()));
    assert_eq!(properties("Columns"), edited);
}
