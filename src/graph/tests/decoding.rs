//! From bytes to the domain's shapes: what is kept, what is skipped, what is set aside.

use std::sync::Arc;

use serde::de::DeserializeOwned;

use super::*;
use crate::domain::directory_user::{DirectoryState, DirectoryUser, Property, Unknowns};
use crate::domain::feed::{Kept, Patch, PrincipalKind, Removal, UserChange, UserPatch};
use crate::graph::wire::relation::{RawDeletedUser, RawGroup, RawPrincipal, RawRoleAssignment, RawSku};
use crate::graph::wire::user::RawUser;
use crate::graph::wire::{Listing, Raw, Undecodable, decode_kept, decode_listing};

const USER: &str = "87d349ed-44d7-43e1-9a83-5f2406dee5bd";
const OTHER: &str = "95b76021-6a53-4741-ab8b-1d1f3d66a95a";
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
        "city":"Ulm","state":"BW","postalCode":"89073","country":"DE","userType":"Guest","accountEnabled":true,"assignedPlans":[]"#,
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
    assert_eq!(user.user_type, value("Guest"));
    assert_eq!(user.account_enabled, Patch::Value(true));
    assert_eq!(user.usable_plans, Patch::Value(Vec::new()));
    assert!(!user.is_agent);
    // One property for every name in the selection, and `id`.
    assert_eq!(crate::graph::SELECTION_FINGERPRINT.split(',').count(), 17);
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
    let other = OTHER;
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
fn entries_whose_id_cannot_be_read_are_set_aside_and_show_nothing() {
    let listing = list::<RawUser>(&format!(
        r#"{{"displayName":"Maria"}},{{"id":"Maria"}},{{"id":null}},{{"id":7}},{{"id":"\ud83d"}},{{"id":["Maria"]}},
           "Maria",null,7,{{"id":"{USER}","city":"Ulm"}}"#
    ));
    assert!(
        matches!(&listing.items[..], [UserChange::Present(user)] if user.city == value("Ulm")),
        "{listing:?}"
    );
    assert_eq!(listing.unreadable.len(), 9);
    let complaints = listing.unreadable.join("\n");
    assert!(!complaints.contains("Maria"), "{complaints}");
    assert!(complaints.contains("entry 6 is no object"), "{complaints}");
}

/// What is no value of any property.
fn undecodable() -> Vec<String> {
    let mut values: Vec<String> = [
        "7",
        "-1",
        "1.5e300",
        "1e400",
        "{}",
        r#"{"Maria":[{}]}"#,
        r#""Ada \ud83d""#,
        r#""\udc00\ud800""#,
        r#"["\ud83d"]"#,
        "[42]",
        "[[]]",
        "[{}]",
        "[null,{\"id\":7}]",
    ]
    .map(str::to_owned)
    .to_vec();
    values.push("9".repeat(400));
    values.push(format!("{}{}", "[".repeat(5_000), "]".repeat(5_000)));
    values.push(format!("{}1{}", "{\"a\":".repeat(5_000), "}".repeat(5_000)));
    values
}

/// The known user after a page that says this of her among others.
fn after(property: &str, spoilt: &[u8], is_full: bool) -> DirectoryUser {
    let others = format!(
        r#""userPrincipalName":"n@b.c","displayName":"New","givenName":"New","surname":"New","jobTitle":"New",
           "mail":"n@b.c","businessPhones":["New"],"mobilePhone":"New","streetAddress":"New","city":"New","state":"New",
           "postalCode":"New","country":"New","userType":"New","accountEnabled":false,
           "assignedPlans":[{{"servicePlanId":"{PLAN}","capabilityStatus":"Enabled"}}]"#
    );
    let kept = format!("\"{property}\":");
    let others = others.replace(&kept, "\"was\":");
    let mut page = format!(r#"{{"value":[{{"id":"{OTHER}"}},{{"id":"{USER}",{others},{kept}"#).into_bytes();
    page.extend_from_slice(spoilt);
    page.extend_from_slice(format!(r#"}},{{"id":"{PLAN}"}}]}}"#).as_bytes());
    let listing = decode_listing::<RawUser>(&page).unwrap();
    assert_eq!((listing.items.len(), listing.unreadable.len()), (3, 0), "{property}");
    let Some(UserChange::Present(patch)) = listing.items.into_iter().nth(1) else {
        panic!("{property}: no user")
    };
    let mut user = known();
    user.absorb(&patch, is_full);
    user
}

fn known() -> DirectoryUser {
    let old = || Some("Old".to_owned());
    DirectoryUser {
        id: id(USER),
        account_enabled: Some(true),
        usable_plans: vec![id(OTHER)],
        user_principal_name: old(),
        display_name: old(),
        given_name: old(),
        surname: old(),
        job_title: old(),
        mail: old(),
        business_phone: old(),
        mobile_phone: old(),
        street_address: old(),
        city: old(),
        state_or_province: old(),
        postal_code: old(),
        country: old(),
        user_type: old(),
        ..DirectoryUser::default()
    }
}

/// Every property by its name: texts by what they hold, the account and the plans as words.
fn values(user: &DirectoryUser) -> Vec<(&'static str, Option<String>)> {
    let plans: Vec<String> = user.usable_plans.iter().map(Uuid::to_string).collect();
    vec![
        ("userPrincipalName", user.user_principal_name.clone()),
        ("displayName", user.display_name.clone()),
        ("givenName", user.given_name.clone()),
        ("surname", user.surname.clone()),
        ("jobTitle", user.job_title.clone()),
        ("mail", user.mail.clone()),
        ("businessPhones", user.business_phone.clone()),
        ("mobilePhone", user.mobile_phone.clone()),
        ("streetAddress", user.street_address.clone()),
        ("city", user.city.clone()),
        ("state", user.state_or_province.clone()),
        ("postalCode", user.postal_code.clone()),
        ("country", user.country.clone()),
        ("userType", user.user_type.clone()),
        (
            "accountEnabled",
            user.account_enabled.map(|enabled| enabled.to_string()),
        ),
        ("assignedPlans", Some(plans.join(" "))),
    ]
}

#[test]
fn a_value_that_cannot_be_decoded_costs_that_value_and_nothing_else() {
    let before = values(&known());
    for (property, old) in &before {
        let mut spoilt: Vec<Vec<u8>> = undecodable().into_iter().map(String::into_bytes).collect();
        spoilt.push(b"\"\xff\xfe\"".to_vec());
        spoilt.push(b"\"Ada \xed\xa0\xbd\"".to_vec());
        // Control characters as they are, and what a backslash makes of either.
        spoilt.extend(["\"Ada\n\"", "\"\\\\\u{0}\"", "\"\\\u{1f}\""].map(|text| text.as_bytes().to_vec()));
        spoilt.push(b"\"\\\xff \\\"\"".to_vec());
        if *property != "accountEnabled" {
            spoilt.extend([b"true".to_vec(), b"false".to_vec()]);
        }
        if !["businessPhones", "assignedPlans"].contains(property) {
            spoilt.push(b"[]".to_vec());
        }
        if ["accountEnabled", "businessPhones", "assignedPlans"].contains(property) {
            spoilt.push(b"\"true\"".to_vec());
        }
        for spoilt in spoilt {
            // Of plans, an entry without an id is none, whatever else it says.
            if *property == "assignedPlans" && [&b"[{}]"[..]].contains(&&spoilt[..]) {
                continue;
            }
            // Only the first phone counts.
            if *property == "businessPhones" && spoilt.starts_with(b"[null") {
                continue;
            }
            for is_full in [false, true] {
                let user = after(property, &spoilt, is_full);
                let told = format!("{property}: {:.40}", String::from_utf8_lossy(&spoilt));
                for ((name, now), (_, old)) in values(&user).into_iter().zip(&before) {
                    assert_eq!(now == *old, name == *property, "{told}: {name} is {now:?}");
                }
                let undecodable: Vec<&str> = user.undecodable.properties().map(Property::as_str).collect();
                assert_eq!(undecodable, [*property], "{told}");
                assert!(old.is_some());
            }
        }
    }
}

#[test]
fn a_value_stays_undecodable_until_it_decodes() {
    let patch = |properties: &str| user(properties);
    let mut user = known();
    user.absorb(&patch(r#""givenName":7,"assignedPlans":7,"accountEnabled":7"#), false);
    user.absorb(&patch(r#""surname":"New""#), false);
    assert_eq!(user.undecodable.properties().count(), 3, "{user:?}");
    user.absorb(&patch(r#""givenName":null"#), false);
    user.absorb(&patch(r#""accountEnabled":true"#), false);
    assert_eq!((user.given_name.clone(), user.account_enabled), (None, Some(true)));
    let properties: Vec<_> = user.undecodable.properties().collect();
    assert_eq!(properties, [Property::AssignedPlans]);
    user.absorb(&patch(r#""surname":"Newer""#), true);
    assert_eq!(
        user.undecodable,
        Unknowns::default(),
        "not mentioned in a full round is null"
    );
}

#[test]
fn plans_beside_one_that_cannot_be_decoded_count_and_none_that_was_known_is_lost() {
    let spoilt = |entry: &str| {
        let plan = format!(r#"{{"servicePlanId":"{PLAN}","capabilityStatus":"Enabled"}}"#);
        let patch = user(&format!(r#""assignedPlans":[{entry},{plan},{entry}]"#));
        let (mut known, mut new) = (known(), DirectoryUser::default());
        known.absorb(&patch, true);
        new.absorb(&patch, true);
        (known, new)
    };
    for entry in [
        "7".to_owned(),
        "null".to_owned(),
        "[]".to_owned(),
        format!(r#"{{"servicePlanId":"{OTHER}","capabilityStatus":7}}"#),
        format!(r#"{{"servicePlanId":"{OTHER}","capabilityStatus":"\ud83d"}}"#),
        r#"{"servicePlanId":7,"capabilityStatus":"Enabled"}"#.to_owned(),
        r#"{"servicePlanId":"\ud83d","capabilityStatus":"Warning"}"#.to_owned(),
    ] {
        let (known, new) = spoilt(&entry);
        assert!(known.undecodable.has(Property::AssignedPlans), "{entry}");
        assert_eq!((known.usable_plans.len(), new.usable_plans.len()), (2, 1), "{entry}");
        assert!(
            new.undecodable.no_plans_ever() && !known.undecodable.no_plans_ever(),
            "{entry}"
        );
    }
    for entry in [
        format!(r#"{{"servicePlanId":"{OTHER}","capabilityStatus":"Deleted","service":7}}"#),
        r#"{"servicePlanId":7,"capabilityStatus":"Deleted"}"#.to_owned(),
        r#"{"servicePlanId":"Maria","capabilityStatus":7}"#.to_owned(),
        r#"{"assignedDateTime":"\ud83d","service":["\ud83d"]}"#.to_owned(),
    ] {
        let (known, _) = spoilt(&entry);
        assert_eq!(known.undecodable, Unknowns::default(), "{entry} counts for nothing");
        assert_eq!(known.usable_plans, [id(PLAN)], "{entry}");
    }
}

#[test]
fn what_may_be_a_tombstone_is_neither_a_removal_nor_a_return() {
    for removed in ["42", "false", "\"deleted\"", "[]", r#"["deleted"]"#, r#"{"\ud83d":1}"#] {
        let patch = user(&format!(r#""@removed":{removed},"city":"Ulm""#));
        let mut user = known();
        user.state = DirectoryState::SoftDeleted;
        user.absorb(&patch, true);
        assert_eq!(user.state, DirectoryState::SoftDeleted, "{removed}");
        assert_eq!(
            (user.city.as_deref(), user.given_name.as_deref()),
            (Some("Ulm"), Some("Old"))
        );
        assert!(user.undecodable.has(Property::Removed), "{removed}");
    }
    let patch = user(r#""@odata.type":{"x":"agentUser"},"city":"Ulm""#);
    assert!(!patch.is_agent && patch.undecodable.has(Property::Type));
}

#[test]
fn relations_survive_whatever_stands_beside_the_ids() {
    let bad = [r#""\ud83d""#, "7", "[{}]", "true"];
    for bad in bad {
        let members = list::<RawPrincipal>(&format!(
            r#"{{"id":"{USER}","@odata.type":{bad}}},{{"id":{bad}}},{{"id":"{OTHER}","x":{bad}}}"#
        ));
        let kinds: Vec<_> = members.items.iter().map(|member| member.kind).collect();
        assert_eq!(kinds, [PrincipalKind::Unknown, PrincipalKind::User], "{bad}");
        assert_eq!(members.unreadable.len(), 1, "{bad}");

        let groups = list::<RawGroup>(&format!(
            r#"{{"id":"{USER}","members@delta":[{bad},{{"id":"{OTHER}"}},{{"id":{bad}}},{{"id":"{PLAN}","@removed":{bad}}},
               {{"id":"{USER}","@removed":{{"reason":{bad}}}}}]}},{{"id":"{USER}","members@delta":{bad}}}"#
        ));
        assert_eq!(groups.items[0].joined[0].id, id(OTHER), "{bad}");
        assert_eq!(
            (groups.items[0].joined.len(), &groups.items[0].left[..]),
            (1, &[id(USER)][..]),
            "{bad}"
        );
        assert!(groups.unreadable.len() >= 3, "{bad}");

        let roles = list::<RawRoleAssignment>(&format!(
            r#"{{"principalId":"{USER}","directoryScopeId":"/","principal":{bad}}},
               {{"principalId":{bad},"directoryScopeId":"/","principal":{{"id":"{OTHER}","@odata.type":"user"}}}},
               {{"principalId":"{USER}","directoryScopeId":{bad}}},{{"principalId":{bad},"directoryScopeId":"/"}}"#
        ));
        let principals: Vec<_> = roles
            .items
            .iter()
            .map(|role| (role.principal.id, role.principal.kind))
            .collect();
        let expected = [(id(USER), PrincipalKind::Unknown), (id(OTHER), PrincipalKind::User)];
        assert_eq!((principals, roles.unreadable.len()), (expected.to_vec(), 2), "{bad}");

        let deleted = list::<RawDeletedUser>(&format!(r#"{{"id":"{USER}","deletedDateTime":{bad}}}"#));
        assert_eq!(deleted.items[0].deleted_at, None, "{bad}");

        let skus = list::<RawSku>(&format!(
            r#"{{"skuId":"{USER}","skuPartNumber":{bad},"capabilityStatus":"Enabled",
                "servicePlans":[{bad},{{"servicePlanId":"{PLAN}","servicePlanName":{bad}}}]}},
               {{"skuId":"{USER}","capabilityStatus":{bad},"servicePlans":{bad}}}"#
        ));
        assert!(skus.items[0].usable && skus.items[0].plans[0].0 == id(PLAN), "{bad}");
        assert!(!skus.items[1].usable && skus.unreadable.len() >= 2, "{bad}");
    }
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

#[test]
fn an_entry_that_is_not_kept_is_dropped_unread_unless_it_is_a_tombstone_or_has_no_id() {
    let [kept, other, gone] = [1, 2, 3].map(Uuid::from_u128);
    let page = |spoilt: &str| {
        format!(
            r#"{{"value": [
                {{"id": "{kept}", "jobTitle": "Tester"}},
                {{"assignedPlans": 7, "jobTitle": "{spoilt}", "id": "{other}", "@odata.type": ["no type"]}},
                {{"id": "{gone}", "@removed": {{"reason": "changed"}}}},
                {{"jobTitle": "Nobody"}}]}}"#
        )
    };
    // A control character makes the page be read in the tolerant way.
    for spoilt in ["fine", "\u{7}"] {
        let only = Kept::Only(Arc::from([kept]));
        let page = decode_kept::<RawUser>(page(spoilt).as_bytes(), &only).unwrap();
        let ids: Vec<Uuid> = page.items.iter().map(UserChange::id).collect();
        assert_eq!(ids, [kept, gone]);
        assert_eq!(page.dropped, [other]);
        assert_eq!(page.unreadable, ["a user has no id"]);
    }
}
