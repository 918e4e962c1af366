//! What a caller may do.

use axum::http::StatusCode;

use super::*;

#[tokio::test]
async fn roles_come_by_their_names_and_unknown_ones_count_for_nothing() {
    let stage = Stage::new();
    let given = json!({"roles": ["Rollcall.Access", "Rollcall.Everything", "rollcall.operate", "Rollcall.Access"]});
    let caller = stage.accepts(&token_with(&given)).await;
    assert_eq!(caller.roles, roles(&[ApiRole::Access]));
}

#[tokio::test]
async fn a_token_without_a_role_of_ours_is_good_and_may_do_nothing() {
    let stage = Stage::new();
    for given in [
        json!(null),
        json!([]),
        json!(["Other.Read"]),
        json!(["rollcall.read", ""]),
    ] {
        let refused = stage.present(&token_with(&json!({"roles": given}))).await.unwrap_err();
        let caller = format!("app:{APPLICATION}");
        assert_eq!(refused, AuthError::NoRole { caller });
        assert_eq!(refused.status(), StatusCode::FORBIDDEN);
        assert!(refused.detail().contains("Rollcall.Read"));
    }
    let powerless = StaticToken {
        name: "powerless".to_owned(),
        sha256: digest(&SHA256, b"t").as_ref().try_into().unwrap(),
        roles: BTreeSet::new(),
    };
    let auth = Auth::new(vec![powerless], None, stage.clock.clone());
    let refused = auth.authenticate(&bearer("t")).await.unwrap_err();
    assert_eq!(refused.status(), StatusCode::FORBIDDEN);
}

#[test]
fn operate_implies_the_others_and_they_imply_nothing() {
    for (given, may) in [
        (ApiRole::Read, &[ApiRole::Read][..]),
        (ApiRole::Access, &[ApiRole::Access]),
        (ApiRole::Operate, &ApiRole::ALL),
    ] {
        let caller = Caller {
            name: "x".to_owned(),
            kind: CallerKind::StaticToken,
            roles: roles(&[given]),
        };
        for role in ApiRole::ALL {
            let allowed = may.contains(&role);
            assert_eq!(caller.may(role), allowed, "{given} for {role}");
            let refused = caller.require(role).err();
            assert_eq!(refused.is_none(), allowed);
            if let Some(refused) = refused {
                assert_eq!(refused.status(), StatusCode::FORBIDDEN);
                assert!(refused.detail().contains(role.as_str()));
                assert!(refused.to_string().contains(role.as_str()));
            }
        }
    }
}

#[test]
fn a_role_is_found_by_its_own_name() {
    for role in ApiRole::ALL {
        assert_eq!(ApiRole::parse(role.as_str()), Some(role));
    }
    assert_eq!(ApiRole::parse("Read"), None);
}
