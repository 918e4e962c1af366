//! Section 7: a line per column, and what becomes of blank, long and wrong values.

use super::*;
use crate::domain::field::Policy;

fn user() -> DirectoryUser {
    DirectoryUser {
        user_principal_name: Some("ada@contoso.example".to_owned()),
        ..DirectoryUser::default()
    }
}

fn value(user: &DirectoryUser, field: Field) -> Option<String> {
    desired(user, field).0.value()
}

#[test]
fn blank_names_are_filled_as_section_7_says() {
    let mut user = user();
    let names = |user: &DirectoryUser| {
        [Field::FirstName, Field::LastName, Field::FullName].map(|field| value(user, field).unwrap())
    };
    assert_eq!(names(&user), ["#", "#", "#"]);
    user.display_name = Some("Ada L.".to_owned());
    assert_eq!(names(&user), ["#", "Ada L.", "Ada L."]);
    user.surname = Some("Lovelace".to_owned());
    assert_eq!(names(&user), ["#", "Lovelace", "Lovelace"]);
    user.given_name = Some(" \t".to_owned());
    assert_eq!(names(&user), ["#", "Lovelace", "Lovelace"]);
    user.given_name = Some("Ada".to_owned());
    assert_eq!(names(&user), ["Ada", "Lovelace", "Ada Lovelace"]);
}

#[test]
fn lengths_are_code_points_and_a_cut_is_found() {
    let mut user = user();
    user.postal_code = Some("é".repeat(40));
    assert_eq!(desired(&user, Field::PostalCode).1, None);
    user.postal_code = Some("é".repeat(41));
    let (_, finding) = desired(&user, Field::PostalCode);
    assert_eq!(finding.unwrap().code, Code::ValueTruncated);
    assert_eq!(value(&user, Field::PostalCode).unwrap().chars().count(), 40);
    user.given_name = Some("x".repeat(300));
    let (_, finding) = desired(&user, Field::FirstName);
    assert_eq!(finding, None, "names are cut without a finding");
    assert_eq!(value(&user, Field::FirstName).unwrap().len(), 256);
}

#[test]
fn an_unusable_mail_is_never_written() {
    let mut user = user();
    assert_eq!(
        desired(&user, Field::InternalEmailAddress).0,
        Desired::Value(user.user_principal_name.clone())
    );
    for bad in [
        "no at",
        "@x",
        "x@",
        "a@b@c",
        "a b@c",
        &format!("{}@x.example", "a".repeat(100)),
    ] {
        user.mail = Some(bad.to_owned());
        let (desired, finding) = desired(&user, Field::InternalEmailAddress);
        assert_eq!(desired, Desired::KeepOr(user.user_principal_name.clone()), "{bad}");
        assert_eq!(finding.unwrap().code, Code::InvalidEmail);
    }
    user.mail = Some("  ".to_owned());
    assert_eq!(desired(&user, Field::InternalEmailAddress).1, None, "blank is null");
}

/// What becomes of a value that is longer than its column.
#[derive(Clone, Copy, Debug, PartialEq)]
enum TooLong {
    Cut,
    CutAndFound,
    KeptAndFound,
    /// Gate 6 lets no such user through.
    NeverCut,
}

type Line = (
    &'static str,
    usize,
    Policy,
    fn(&mut DirectoryUser, String),
    Option<&'static str>,
    TooLong,
);

/// The columns that follow a text: name, characters, default policy, property, what a blank becomes.
const COLUMNS: [Line; 12] = [
    (
        "domainname",
        1024,
        Policy::Always,
        |user, text| user.user_principal_name = Some(text),
        None,
        TooLong::NeverCut,
    ),
    (
        "firstname",
        256,
        Policy::Always,
        |user, text| user.given_name = Some(text),
        Some("#"),
        TooLong::Cut,
    ),
    (
        "lastname",
        256,
        Policy::Always,
        |user, text| user.surname = Some(text),
        Some("Ada L."),
        TooLong::Cut,
    ),
    (
        "jobtitle",
        128,
        Policy::Always,
        |user, text| user.job_title = Some(text),
        None,
        TooLong::CutAndFound,
    ),
    (
        "internalemailaddress",
        100,
        Policy::UntilEdited,
        |user, text| {
            user.mail = Some(if text.len() > 80 {
                format!("{}@x.example", &text[10..])
            } else {
                text
            });
        },
        Some("ada@contoso.example"),
        TooLong::KeptAndFound,
    ),
    (
        "address1_telephone1",
        64,
        Policy::Always,
        |user, text| user.business_phone = Some(text),
        None,
        TooLong::CutAndFound,
    ),
    (
        "mobilephone",
        64,
        Policy::Always,
        |user, text| user.mobile_phone = Some(text),
        None,
        TooLong::CutAndFound,
    ),
    (
        "address1_line1",
        1024,
        Policy::Always,
        |user, text| user.street_address = Some(text),
        None,
        TooLong::CutAndFound,
    ),
    (
        "address1_city",
        128,
        Policy::Always,
        |user, text| user.city = Some(text),
        None,
        TooLong::CutAndFound,
    ),
    (
        "address1_stateorprovince",
        128,
        Policy::Always,
        |user, text| user.state_or_province = Some(text),
        None,
        TooLong::CutAndFound,
    ),
    (
        "address1_postalcode",
        40,
        Policy::Always,
        |user, text| user.postal_code = Some(text),
        None,
        TooLong::CutAndFound,
    ),
    (
        "address1_country",
        128,
        Policy::Always,
        |user, text| user.country = Some(text),
        None,
        TooLong::CutAndFound,
    ),
];

fn named() -> DirectoryUser {
    DirectoryUser {
        display_name: Some("Ada L.".to_owned()),
        ..user()
    }
}

#[test]
fn section_7_each_column_has_its_property_length_and_policy() {
    for (column, characters, policy, set, _, too_long) in COLUMNS {
        let field: Field = column.parse().unwrap();
        assert_eq!(
            (field.max_characters(), field.default_policy()),
            (characters, policy),
            "{column}"
        );
        let with = |length: usize| {
            let mut user = named();
            set(&mut user, "x".repeat(length));
            user
        };
        if too_long != TooLong::KeptAndFound {
            let fits = desired(&with(characters), field);
            assert_eq!(fits, (Desired::Value(Some("x".repeat(characters))), None), "{column}");
        }
        let (wanted, finding) = desired(&with(characters + 1), field);
        let found = finding.map(|finding| finding.code);
        let cut = Desired::Value(Some("x".repeat(characters)));
        match too_long {
            TooLong::Cut => assert_eq!((wanted, found), (cut, None), "{column}"),
            TooLong::CutAndFound => assert_eq!((wanted, found), (cut, Some(Code::ValueTruncated)), "{column}"),
            TooLong::KeptAndFound => {
                let fallback = Desired::KeepOr(Some("ada@contoso.example".to_owned()));
                assert_eq!((wanted, found), (fallback, Some(Code::InvalidEmail)), "{column}");
            }
            TooLong::NeverCut => {
                assert_eq!(wanted, Desired::Value(Some("x".repeat(characters + 1))), "{column}");
                assert_eq!(with(characters).upn_key().map(|key| key.len()), Some(characters));
                assert_eq!(with(characters + 1).upn_key(), None, "{column}");
            }
        }
    }
}

#[test]
fn section_7_blank_is_null_empty_or_white_space() {
    for (column, _, _, set, expected, too_long) in COLUMNS {
        if too_long == TooLong::NeverCut {
            continue;
        }
        let field: Field = column.parse().unwrap();
        for blank in ["", " ", " \t\r\n", "\u{a0}\u{2003}"] {
            let mut user = named();
            set(&mut user, blank.to_owned());
            let wanted = (Desired::Value(expected.map(str::to_owned)), None);
            assert_eq!(desired(&user, field), wanted, "{column} {blank:?}");
        }
        let wanted = (Desired::Value(expected.map(str::to_owned)), None);
        assert_eq!(desired(&named(), field), wanted, "{column} null");
    }
}

#[test]
fn section_7_strings_are_stored_as_sent() {
    for (column, _, _, set, _, _) in COLUMNS {
        let field: Field = column.parse().unwrap();
        if matches!(field, Field::InternalEmailAddress) {
            continue;
        }
        for text in [
            " Åsa  ",
            "e\u{301}",
            "山田",
            "'; drop table x; --",
            "#",
            "\u{1f469}\u{200d}\u{1f4bb}",
        ] {
            let mut user = named();
            set(&mut user, text.to_owned());
            assert_eq!(
                desired(&user, field),
                (Desired::Value(Some(text.to_owned())), None),
                "{column}"
            );
        }
    }
}

#[test]
fn section_7_the_full_name_is_joined_cut_at_200_and_written_at_creation() {
    assert_eq!(Field::FullName.default_policy(), Policy::OnCreate);
    for (given, surname, display, expected) in [
        (Some("Ada"), Some("Lovelace"), Some("x"), "Ada Lovelace".to_owned()),
        (Some("Ada"), None, Some("x"), "Ada".to_owned()),
        (Some(" "), Some("Lovelace"), Some("x"), "Lovelace".to_owned()),
        (None, None, Some("Ada L."), "Ada L.".to_owned()),
        (None, Some(""), Some(" "), "#".to_owned()),
        (None, None, None, "#".to_owned()),
        (
            Some("Ada"),
            Some(&*"ö".repeat(300)),
            None,
            format!("Ada {}", "ö".repeat(196)),
        ),
        (None, None, Some(&*"ö".repeat(300)), "ö".repeat(200)),
    ] {
        let user = DirectoryUser {
            given_name: given.map(str::to_owned),
            surname: surname.map(str::to_owned),
            display_name: display.map(str::to_owned),
            ..user()
        };
        assert_eq!(desired(&user, Field::FullName), (Desired::Value(Some(expected)), None));
    }
}

#[test]
fn section_7_the_object_id_is_set_once_and_cut_never() {
    let user = DirectoryUser {
        id: uuid::Uuid::max(),
        ..user()
    };
    let (wanted, finding) = desired(&user, Field::ObjectId);
    assert_eq!((wanted, finding), (Desired::Value(Some(user.id.to_string())), None));
    assert_eq!(Field::ObjectId.default_policy(), Policy::OnCreate);
    assert_eq!(user.id.to_string().len(), Field::ObjectId.max_characters());
}

#[test]
fn section_7_policies_that_make_no_sense_are_refused() {
    for field in Field::ALL {
        for policy in [Policy::Always, Policy::OnCreate, Policy::UntilEdited, Policy::Never] {
            let identity = matches!(field, Field::DomainName | Field::ObjectId);
            let sensible = !identity || policy == field.default_policy();
            assert_eq!(field.allows(policy), sensible, "{field} {}", policy.as_str());
        }
    }
}

#[test]
fn section_7_which_addresses_are_usable() {
    let hundred = format!("{}@x.example", "a".repeat(90));
    let accented = format!("{}@x.example", "é".repeat(90));
    for good in [
        "a@b",
        "ada+x@mail.example",
        "Ada.O'Neil@mail.example",
        hundred.as_str(),
        accented.as_str(),
    ] {
        assert!(is_address(good), "{good}");
    }
    let too_long = format!("a{hundred}");
    for bad in [
        "",
        "@",
        "a@",
        "@b",
        "a@b@c",
        "a b@c",
        "a@b\u{a0}c",
        "a\n@b",
        "ab",
        too_long.as_str(),
    ] {
        assert!(!is_address(bad), "{bad}");
    }
}

#[test]
fn section_7_a_user_without_any_address_has_none_and_is_found() {
    for (mail, upn, wanted, found) in [
        (
            None,
            "ada@contoso.example",
            Desired::Value(Some("ada@contoso.example".to_owned())),
            false,
        ),
        (None, "no address", Desired::KeepOr(None), true),
        (
            Some("bad"),
            "ada@contoso.example",
            Desired::KeepOr(Some("ada@contoso.example".to_owned())),
            true,
        ),
        (Some("bad"), "no address", Desired::KeepOr(None), true),
        (
            Some("a@mail.example"),
            "no address",
            Desired::Value(Some("a@mail.example".to_owned())),
            false,
        ),
    ] {
        let user = DirectoryUser {
            mail: mail.map(str::to_owned),
            user_principal_name: Some(upn.to_owned()),
            ..DirectoryUser::default()
        };
        let (value, finding) = desired(&user, Field::InternalEmailAddress);
        assert_eq!((value, finding.is_some()), (wanted, found), "{mail:?} {upn}");
    }
}
