//! From bytes to the domain's shapes: what is kept, what is skipped, what is set aside.

use serde::de::DeserializeOwned;

use super::*;
use crate::domain::feed::{Patch, Removal, UserChange, UserPatch};
use crate::graph::wire::user::RawUser;
use crate::graph::wire::{Listing, Raw, Undecodable, decode_listing};

const USER: &str = "87d349ed-44d7-43e1-9a83-5f2406dee5bd";
const PLAN: &str = "40b010bb-0b69-4654-ac5e-ba161433f4b4";

fn list<R: Raw + DeserializeOwned>(entries: &str) -> Listing<R::Item> {
    decode_listing::<R>(format!(r#"{{"value":[{entries}]}}"#).as_bytes()).unwrap()
}

fn user(properties: &str) -> UserPatch {
    let listing = list::<RawUser>(&format!(r#"{{"id":"{USER}",{properties}}}"#));
    assert_eq!(listing.unreadable, Vec::<String>::new());
    match listing.items.into_iter().next() {
        Some(UserChange::Present(user)) => *user,
        other => panic!("{other:?}"),
    }
}

fn value(text: &str) -> Patch<String> {
    Patch::Value(text.to_owned())
}

#[test]
fn every_selected_property_is_read() {
    let user = user(
        r#""userPrincipalName":"a@b.c","displayName":"Ad\u00e8le \"A\" Vance","givenName":"Adèle","surname":"Vance",
        "jobTitle":"Chef","mail":"m@b.c","businessPhones":["+1","+2"],"mobilePhone":"+3","streetAddress":"1 Way\nEnd",
        "city":"Ulm","state":"BW","postalCode":"89073","country":"DE","accountEnabled":true,"assignedPlans":[]"#,
    );
    assert_eq!(user.user_principal_name, value("a@b.c"));
    assert_eq!(user.display_name, value("Adèle \"A\" Vance"));
    assert_eq!(user.given_name, value("Adèle"));
    assert_eq!(user.surname, value("Vance"));
    assert_eq!(user.job_title, value("Chef"));
    assert_eq!(user.mail, value("m@b.c"));
    assert_eq!(user.business_phone, value("+1"));
    assert_eq!(user.mobile_phone, value("+3"));
    assert_eq!(user.street_address, value("1 Way\nEnd"));
    assert_eq!(user.city, value("Ulm"));
    assert_eq!(user.state, value("BW"));
    assert_eq!(user.postal_code, value("89073"));
    assert_eq!(user.country, value("DE"));
    assert_eq!(user.account_enabled, Patch::Value(true));
    assert_eq!(user.usable_plans, Patch::Value(Vec::new()));
    assert!(!user.is_agent);
    // One property for every name in the selection, and `id`.
    assert_eq!(crate::graph::SELECTION_FINGERPRINT.split(',').count(), 16);
}

#[test]
fn absent_null_and_value_stay_three_things() {
    let user =
        user(r#""givenName":null,"surname":"","accountEnabled":null,"assignedPlans":null,"businessPhones":null"#);
    assert_eq!((user.given_name, user.surname), (Patch::Null, value("")));
    assert_eq!(user.account_enabled, Patch::Null);
    assert_eq!(user.usable_plans, Patch::Null);
    assert_eq!(user.business_phone, Patch::Null);
    assert_eq!(user.mail, Patch::Absent);
    let user = self::user(r#""businessPhones":[],"unknown":{"deep":[1,{"x":null}]}"#);
    assert_eq!((user.business_phone, user.usable_plans), (Patch::Null, Patch::Absent));
    assert_eq!(self::user(r#""businessPhones":[null]"#).business_phone, Patch::Null);
}

#[test]
fn a_plan_is_usable_if_any_of_its_entries_is() {
    let other = "95b76021-6a53-4741-ab8b-1d1f3d66a95a";
    let user = user(&format!(
        r#""assignedPlans":[
            {{"assignedDateTime":"x","capabilityStatus":"Deleted","service":"s","servicePlanId":"{PLAN}"}},
            {{"capabilityStatus":"Warning","servicePlanId":"{other}"}},
            {{"servicePlanId":"{}","capabilityStatus":"Enabled"}},
            {{"servicePlanId":"{PLAN}","capabilityStatus":"enabled"}},
            {{"servicePlanId":"11b0131d-43c8-4bbb-b2c8-e80f9a50834a","capabilityStatus":"Suspended"}},
            {{"servicePlanId":"21b0131d-43c8-4bbb-b2c8-e80f9a50834a","capabilityStatus":"LockedOut"}},
            {{"servicePlanId":"31b0131d-43c8-4bbb-b2c8-e80f9a50834a","capabilityStatus":"SomethingNew"}},
            {{"servicePlanId":"41b0131d-43c8-4bbb-b2c8-e80f9a50834a","capabilityStatus":null}},
            {{"servicePlanId":"51b0131d-43c8-4bbb-b2c8-e80f9a50834a"}},
            {{"servicePlanId":"no guid","capabilityStatus":"Enabled"}},
            {{"capabilityStatus":"Enabled"}}]"#,
        PLAN.to_uppercase()
    ));
    assert_eq!(user.usable_plans, Patch::Value(vec![id(PLAN), id(other)]));
}

#[test]
fn agents_and_tombstones_are_told_apart() {
    for (name, is_agent) in [
        ("#microsoft.graph.agentUser", true),
        ("#Microsoft.Graph.AGENTUSER", true),
        ("#microsoft.graph.user", false),
        ("#microsoft.graph.notagentUser", false),
    ] {
        assert_eq!(user(&format!(r#""@odata.type":"{name}""#)).is_agent, is_agent, "{name}");
    }
    for (reason, expected) in [
        (r#"{"reason":"changed"}"#, Removal::SoftDeleted),
        (r#"{"reason":"deleted"}"#, Removal::Gone),
        (r#"{"reason":"Deleted","x":1}"#, Removal::Gone),
        (r#"{"reason":"vanished"}"#, Removal::SoftDeleted),
        (r"{}", Removal::SoftDeleted),
    ] {
        let listing = list::<RawUser>(&format!(r#"{{"@removed":{reason},"id":"{}"}}"#, USER.to_uppercase()));
        assert!(
            matches!(listing.items[..], [UserChange::Removed { id: removed, reason, .. }] if removed == id(USER) && reason == expected),
            "{reason}: {listing:?}"
        );
    }
}

#[test]
fn entries_that_cannot_be_read_are_set_aside_and_show_nothing() {
    let listing = list::<RawUser>(&format!(
        r#"{{"displayName":"Maria"}},{{"id":"Maria"}},{{"id":null}},{{"id":"{USER}","accountEnabled":"Maria"}},
           {{"id":"{USER}","assignedPlans":[{{"servicePlanId":"{PLAN}","capabilityStatus":["Maria"]}}]}},
           "Maria",null,{{"id":7}},{{"id":"{USER}","mail":{{"Maria":1}}}},{{"id":"{USER}","city":"Ulm"}}"#
    ));
    assert!(
        matches!(&listing.items[..], [UserChange::Present(user)] if user.city == value("Ulm")),
        "{listing:?}"
    );
    assert_eq!(listing.unreadable.len(), 9);
    let complaints = listing.unreadable.join("\n");
    assert!(!complaints.contains("Maria"), "{complaints}");
    assert!(
        complaints.contains("entry 3: a wrong type at `accountEnabled`"),
        "{complaints}"
    );
    assert!(
        complaints.contains("entry 4: a wrong type at `assignedPlans[0].capabilityStatus`"),
        "{complaints}"
    );
}

#[test]
fn half_a_body_is_broken_and_another_shape_is_not() {
    let decode = |body: &str| decode_listing::<RawUser>(body.as_bytes()).map(|_| ());
    for broken in [
        "",
        "<html>",
        r#"{"value":["#,
        r#"{"value":[{"id":"#,
        r#"{"value":[]} x"#,
        "{\"value\":[\"\u{1}\"]}",
    ] {
        assert_eq!(decode(broken), Err(Undecodable::Broken), "{broken}");
    }
    // A wrong type first, then the end of the body: still broken.
    assert_eq!(decode(r#"{"value":[{"id":7},{"id""#), Err(Undecodable::Broken));
    assert_eq!(decode("{\"value\":[{\"id\":\"\u{fffd}"), Err(Undecodable::Broken));
    for shape in [
        "{}",
        "[]",
        "7",
        r#"{"value":7}"#,
        r#"{"value":null}"#,
        r#"{"value":[],"@odata.nextLink":7}"#,
    ] {
        assert!(matches!(decode(shape), Err(Undecodable::Shape(_))), "{shape}");
    }
}

#[test]
fn a_page_cut_anywhere_is_broken() {
    let page = format!(
        r##"{{"@odata.nextLink":"https://x/v1.0/y?$skiptoken=1","value":[{{"@odata.type":"#microsoft.graph.user",
            "id":"{USER}","displayName":"\u00c9","businessPhones":["+1"],"accountEnabled":true,"assignedPlans":[
            {{"servicePlanId":"{PLAN}","capabilityStatus":"Enabled"}}]}},{{"id":"{USER}","@removed":{{"reason":"deleted"}}}}]}}"##
    );
    assert_eq!(decode_listing::<RawUser>(page.as_bytes()).unwrap().items.len(), 2);
    for end in 0..page.len() {
        let cut = decode_listing::<RawUser>(&page.as_bytes()[..end]);
        assert_eq!(cut.map(|_| ()).unwrap_err(), Undecodable::Broken, "cut at {end}");
    }
}
