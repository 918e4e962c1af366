//! The header, the static tokens, and what a refusal answers.

use std::time::Duration;

use axum::http::StatusCode;

use super::*;

#[tokio::test]
async fn a_static_token_is_known_by_its_hash() {
    let stage = Stage::new();
    let caller = stage.accepts(HELPDESK).await;
    assert_eq!(
        caller,
        Caller {
            name: "helpdesk".to_owned(),
            kind: CallerKind::StaticToken,
            roles: roles(&[ApiRole::Read, ApiRole::Access]),
        }
    );
    assert_eq!(stage.accepts(OPERATOR).await.name, "operator");
    assert_eq!(stage.tenant.fetches(), 0, "no key is needed");
}

#[tokio::test]
async fn an_almost_right_static_token_is_wrong() {
    let stage = Stage::new();
    let hash = format!("{:?}", digest(&SHA256, HELPDESK.as_bytes()));
    let hash = hash.trim_start_matches("SHA256:");
    for wrong in [
        &HELPDESK[1..],
        &HELPDESK[..HELPDESK.len() - 1],
        &format!("{HELPDESK}~"),
        &HELPDESK.to_uppercase(),
        "helpdesk",
        hash,
        "another",
    ] {
        assert_eq!(stage.fault(wrong).await, Fault::NotAJwt, "{wrong}");
    }
}

#[tokio::test]
async fn the_scheme_is_read_in_any_case_and_with_any_blanks() {
    let stage = Stage::new();
    for scheme in ["Bearer", "bearer", "BEARER", "bEaReR"] {
        let sent = headers(&[&format!("{scheme} {HELPDESK}")]);
        assert_eq!(stage.auth.authenticate(&sent).await.unwrap().name, "helpdesk");
    }
    let sent = headers(&[&format!("Bearer   {HELPDESK} ")]);
    assert_eq!(stage.auth.authenticate(&sent).await.unwrap().name, "helpdesk");
}

#[tokio::test]
async fn a_header_that_is_no_bearer_token_is_refused() {
    let stage = Stage::new();
    let twice = format!("Bearer {HELPDESK}, Bearer {HELPDESK}");
    let right = format!("Bearer {HELPDESK}");
    let glued = format!("Bearer{HELPDESK}");
    let cases: [(&[&str], Fault); 13] = [
        (&[], Fault::Missing),
        (&[""], Fault::OtherScheme),
        (&["Basic aGVscGRlc2s6c2VjcmV0"], Fault::OtherScheme),
        (&[HELPDESK], Fault::OtherScheme),
        (&[&glued], Fault::OtherScheme),
        (&["Bearer"], Fault::Malformed),
        (&["Bearer "], Fault::Malformed),
        (&["Bearer    "], Fault::Malformed),
        (&["Bearer two words"], Fault::Malformed),
        (&["Bearer t\u{f6}ken"], Fault::Malformed),
        (&[&twice], Fault::Malformed),
        (&[&right, &right], Fault::Repeated),
        (&[&right, "Basic aGVscGRlc2s6c2VjcmV0"], Fault::Repeated),
    ];
    for (sent, fault) in cases {
        let refused = stage.auth.authenticate(&headers(sent)).await.unwrap_err();
        assert_eq!(refused, AuthError::Unauthenticated(fault), "{sent:?}");
        assert_eq!(refused.status(), StatusCode::UNAUTHORIZED);
    }
}

#[tokio::test]
async fn a_huge_token_is_refused_unread() {
    let stage = Stage::new();
    let huge = token_with(&json!({"filler": "x".repeat(16 << 10)}));
    assert_eq!(stage.fault(&huge).await, Fault::TooLong);
    assert_eq!(stage.tenant.fetches(), 0);
    let large = token_with(&json!({"filler": "x".repeat(8 << 10)}));
    assert_eq!(stage.accepts(&large).await.name, format!("app:{APPLICATION}"));
}

#[tokio::test]
async fn without_an_audience_no_access_token_is_accepted() {
    let clock = Clock::simulated(start());
    let auth = Auth::new(static_tokens(), None, clock.clone());
    assert_eq!(auth.authenticate(&bearer(HELPDESK)).await.unwrap().name, "helpdesk");
    let refused = auth.authenticate(&bearer(&token())).await.unwrap_err();
    assert_eq!(refused, Fault::Unknown.into());
    let nothing = Auth::new(Vec::new(), None, clock);
    let refused = nothing.authenticate(&bearer(HELPDESK)).await.unwrap_err();
    assert_eq!(refused, Fault::NothingAccepted.into());
    assert!(refused.detail().contains("http.audience"));
}

#[test]
fn a_refusal_says_what_rfc_6750_wants() {
    let caller = || "app:x".to_owned();
    let cases: [(AuthError, u16, &str, Option<&str>); 8] = [
        (Fault::Missing.into(), 401, "unauthenticated", Some("Bearer")),
        (Fault::OtherScheme.into(), 401, "unauthenticated", Some("Bearer")),
        (
            Fault::Repeated.into(),
            401,
            "unauthenticated",
            Some(r#"Bearer error="invalid_request", error_description="there is more than one Authorization header""#),
        ),
        (
            Fault::Expired.into(),
            401,
            "unauthenticated",
            Some(r#"Bearer error="invalid_token", error_description="the token has expired""#),
        ),
        (
            Fault::Lacks("exp").into(),
            401,
            "unauthenticated",
            Some(r#"Bearer error="invalid_token", error_description="the token lacks the claim exp""#),
        ),
        (
            AuthError::Forbidden {
                caller: caller(),
                role: ApiRole::Operate,
            },
            403,
            "forbidden",
            Some(r#"Bearer error="insufficient_scope", scope="Rollcall.Operate""#),
        ),
        (
            AuthError::NoRole { caller: caller() },
            403,
            "forbidden",
            Some(r#"Bearer error="insufficient_scope""#),
        ),
        (
            AuthError::KeysUnavailable {
                retry_after: Duration::from_secs(9),
            },
            503,
            "directory_unavailable",
            None,
        ),
    ];
    for (refused, status, code, challenge) in cases {
        let sent = refused.challenge();
        let sent = sent.as_ref().map(|value| value.to_str().unwrap());
        assert_eq!(
            (refused.status().as_u16(), refused.code(), sent),
            (status, code, challenge),
            "{refused:?}"
        );
        assert_eq!(refused.retry_after().is_some(), status == 503);
        assert!(!refused.detail().ends_with('.'));
    }
}

#[tokio::test]
async fn no_refusal_repeats_the_token() {
    let stage = Stage::new();
    let expired = token_with(&json!({"exp": now() - 3600, "oid": USER}));
    let unknown = "secret-that-nobody-knows";
    for sent in [
        expired.as_str(),
        unknown,
        "..",
        &format!("{unknown}.{unknown}.{unknown}"),
    ] {
        let refused = stage.present(sent).await.unwrap_err();
        let shown = format!("{refused} {refused:?} {} {:?}", refused.detail(), refused.challenge());
        for part in sent.split('.').filter(|part| !part.is_empty()) {
            assert!(!shown.contains(part), "{shown}");
        }
        assert!(!shown.contains(USER) && !shown.contains(APPLICATION), "{shown}");
    }
    let shown = format!("{:?}", stage.auth);
    assert!(!shown.contains("helpdesk"), "{shown}");
}
