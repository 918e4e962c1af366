//! Section 7: the columns under their policies.

use super::*;

#[test]
fn section_7_a_new_row_takes_every_column() {
    let row = Stage::created().row.unwrap();
    let expected = [
        (Field::DomainName, "Ada@contoso.example"),
        (Field::FirstName, "Ada"),
        (Field::LastName, "Lovelace"),
        (Field::FullName, "Ada Lovelace"),
        (Field::JobTitle, "Countess"),
        (Field::InternalEmailAddress, "ada@mail.example"),
        (Field::Telephone1, "+44 1"),
        (Field::MobilePhone, "+44 2"),
        (Field::Line1, "12 St James's Square"),
        (Field::City, "London"),
        (Field::StateOrProvince, "Greater London"),
        (Field::PostalCode, "SW1Y"),
        (Field::Country, "United Kingdom"),
    ];
    for (field, text) in expected {
        assert_eq!(row.text(field).as_deref(), Some(text), "{field}");
    }
    assert_eq!(row.azureactivedirectoryobjectid, Some(USER));
    assert_eq!((row.systemuserid, row.createdon, row.modifiedon), (ROW, now(), now()));
    assert_eq!((row.createdby.as_str(), row.modifiedby.as_str()), ("sync", "sync"));
    assert!(row.islicensed && row.issyncwithdirectory && !row.isdisabled && !row.setupuser);
}

#[test]
fn section_7_the_four_policies_at_creation_and_at_a_change() {
    for field in choosable() {
        for (policy, at_creation, at_change, once_edited) in [
            (Policy::Always, true, true, true),
            (Policy::OnCreate, true, false, false),
            (Policy::UntilEdited, true, true, false),
            (Policy::Never, false, false, false),
        ] {
            let what = format!("{field} {}", policy.as_str());
            let mut stage = Stage::new().with(|stage| stage.set_policy(field, policy));
            assert_eq!(
                stage.changed().contains(&field.column()),
                at_creation,
                "{what}, created"
            );
            assert_eq!(stage.row().text(field).is_some(), at_creation, "{what}, created");
            stage.change_everything();
            let mut edited = stage.clone();
            assert_eq!(stage.changed().contains(&field.column()), at_change, "{what}, changed");
            edited.row().customer_owned.push(field.column().to_owned());
            assert_eq!(edited.changed().contains(&field.column()), once_edited, "{what}, owned");
            assert!(
                edited.row().owned_by_customer(field.column()),
                "{what}: the sync never takes ownership back"
            );
        }
    }
}

#[test]
fn section_7_default_policies_follow_names_but_not_the_full_name() {
    let mut stage = Stage::created().with(Stage::change_everything);
    let changed = stage.changed();
    for field in choosable() {
        let follows = field != Field::FullName;
        assert_eq!(changed.contains(&field.column()), follows, "{field}");
    }
    assert!(changed.contains(&"domainname"));
}

#[test]
fn section_7_a_blank_first_name_is_a_hash_until_there_is_one() {
    let mut stage = Stage::new().with(|stage| stage.user.given_name = None);
    stage.apply();
    assert_eq!(stage.row().firstname.as_deref(), Some("#"));
    assert_eq!(stage.row().fullname.as_deref(), Some("Lovelace"));
    stage.user.given_name = Some("Ada".to_owned());
    assert_eq!(stage.apply(), [("firstname", json!("#"), json!("Ada"))]);
    stage.user.given_name = Some("  ".to_owned());
    assert_eq!(stage.apply(), [("firstname", json!("Ada"), json!("#"))]);
}

#[test]
fn section_7_a_value_that_is_cleared_becomes_null() {
    let mut stage = Stage::created();
    stage.user.city = Some(" \n".to_owned());
    stage.user.business_phone = None;
    assert_eq!(
        stage.apply(),
        [
            ("address1_telephone1", json!("+44 1"), Value::Null),
            ("address1_city", json!("London"), Value::Null)
        ]
    );
}

#[test]
fn section_7_a_bad_mail_keeps_the_old_one_and_a_new_row_takes_the_name() {
    let too_long = format!("{}@x.example", "a".repeat(100));
    for bad in ["no address", "a@b@c", "@x", "x@", too_long.as_str()] {
        let mut stage = Stage::created().with(|stage| stage.user.mail = Some(bad.to_owned()));
        let plan = stage.plan();
        assert_eq!(plan.change, None, "{bad}");
        assert_eq!(plan.findings[0].code, Code::InvalidEmail);
        stage.row = None;
        stage.apply();
        assert_eq!(
            stage.row().internalemailaddress.as_deref(),
            Some("Ada@contoso.example"),
            "{bad}"
        );
        stage.user.user_principal_name = Some("no address either".to_owned());
        stage.row = None;
        stage.apply();
        assert_eq!(stage.row().internalemailaddress, None);
    }
    let mut stage = Stage::created().with(|stage| stage.user.mail = None);
    stage.apply();
    assert_eq!(stage.row().internalemailaddress.as_deref(), Some("Ada@contoso.example"));
}

#[test]
fn section_7_one_bad_value_blocks_nothing_else() {
    let mut stage = Stage::created().with(|stage| {
        stage.user.mail = Some("bad".to_owned());
        stage.user.job_title = Some("x".repeat(129));
        stage.user.city = Some("Marylebone".to_owned());
        stage.user.nul_removed = 1;
    });
    let codes: Vec<_> = stage.plan().findings.iter().map(|finding| finding.code).collect();
    assert_eq!(codes, [Code::ValueTruncated, Code::InvalidEmail, Code::ValueTruncated]);
    assert_eq!(stage.changed(), ["jobtitle", "address1_city"]);
    assert_eq!(stage.row().jobtitle.as_ref().unwrap().len(), 128);
}

#[test]
fn section_7_no_finding_about_a_column_that_is_not_written() {
    let expected = RowPlan {
        follows: true,
        ..RowPlan::default()
    };
    let stage = Stage::created().with(|stage| {
        stage.user.mail = Some("bad".to_owned());
        stage.row().customer_owned.push("internalemailaddress".to_owned());
        stage.user.job_title = Some("x".repeat(129));
        stage.set_policy(Field::JobTitle, Policy::Never);
    });
    assert_eq!(stage.plan(), expected);
}
