//! What an access token must be: every way of forging or misusing one that we know of.

use std::time::Duration;

use ring::hmac;
use ring::signature::{RSA_PKCS1_SHA384, RSA_PKCS1_SHA512, RSA_PSS_SHA256};

use super::*;

#[tokio::test]
async fn a_good_token_of_an_application_names_the_application() {
    let stage = Stage::new();
    assert_eq!(
        stage.accepts(&token()).await,
        Caller {
            name: format!("app:{APPLICATION}"),
            kind: CallerKind::Application,
            roles: roles(&[ApiRole::Read]),
        }
    );
}

#[tokio::test]
async fn a_good_token_of_a_person_names_the_object_id_and_nothing_personal() {
    let stage = Stage::new();
    let person = json!({
        "scp": "access_as_user", "oid": USER, "sub": "pairwise", "name": "Maria Example",
        "preferred_username": "maria@contoso.example", "upn": "maria@contoso.example", "roles": ["Rollcall.Operate"],
    });
    assert_eq!(
        stage.accepts(&token_with(&person)).await,
        Caller {
            name: format!("user:{USER}"),
            kind: CallerKind::User,
            roles: roles(&[ApiRole::Operate]),
        }
    );
    for (changes, kind) in [
        (json!({"idtyp": "user", "oid": USER}), CallerKind::User),
        (json!({"idtyp": "app"}), CallerKind::Application),
    ] {
        assert_eq!(stage.accepts(&token_with(&changes)).await.kind, kind);
    }
}

#[tokio::test]
async fn tokens_of_version_one_are_good_too() {
    let stage = Stage::new();
    let first = json!({
        "ver": "1.0", "iss": format!("https://sts.windows.net/{TENANT}/"), "aud": format!("api://{API}"),
        "azp": null, "appid": APPLICATION,
    });
    assert_eq!(
        stage.accepts(&token_with(&first)).await.name,
        format!("app:{APPLICATION}")
    );
    let upper = json!({"aud": API.to_uppercase(), "tid": TENANT.to_string().to_uppercase()});
    stage.accepts(&token_with(&upper)).await;
}

#[tokio::test]
async fn every_claim_is_checked() {
    let stage = Stage::new();
    let tid_of_other = format!("https://login.microsoftonline.com/{OTHER_TENANT}/v2.0");
    let cases = [
        (json!({"exp": null}), Fault::Lacks("exp")),
        (json!({"nbf": null}), Fault::Lacks("nbf")),
        (json!({"iss": null}), Fault::Lacks("iss")),
        (json!({"aud": null}), Fault::Lacks("aud")),
        (json!({"exp": now() - 3600}), Fault::Expired),
        (json!({"exp": -1}), Fault::Expired),
        (json!({"exp": 0}), Fault::Expired),
        (json!({"exp": (now() + 3600).to_string()}), Fault::Claims),
        (json!({"nbf": now() + 3600}), Fault::NotYetValid),
        (json!({"nbf": true}), Fault::Claims),
        (json!({"aud": "00000003-0000-0000-c000-000000000000"}), Fault::Audience),
        (json!({"aud": format!("api://{API}/")}), Fault::Audience),
        (json!({"aud": format!("https://{API}")}), Fault::Audience),
        (json!({"aud": ""}), Fault::Audience),
        (json!({"aud": [API]}), Fault::Claims),
        (json!({"iss": tid_of_other}), Fault::Issuer),
        (json!({"iss": format!("{}/", issuer())}), Fault::Issuer),
        (json!({"iss": issuer().to_uppercase()}), Fault::Issuer),
        (
            json!({"iss": format!("https://sts.windows.net/{OTHER_TENANT}/")}),
            Fault::Issuer,
        ),
        (
            json!({"iss": format!("https://sts.windows.net/{TENANT}")}),
            Fault::Issuer,
        ),
        (json!({"iss": [issuer()]}), Fault::Claims),
        (json!({"tid": OTHER_TENANT}), Fault::Tenant),
        (json!({"tid": "contoso.example"}), Fault::Tenant),
        (json!({"roles": "Rollcall.Operate"}), Fault::Claims),
        // An identity token has the same issuer, audience and signature.
        (
            json!({"azp": null, "nonce": "n", "scp": null, "oid": USER}),
            Fault::NotAnAccessToken,
        ),
        (json!({"azp": "no id"}), Fault::NotAnAccessToken),
        (json!({"idtyp": "device"}), Fault::NotAnAccessToken),
        (json!({"scp": "x", "oid": null}), Fault::Lacks("oid")),
        (json!({"scp": "x", "oid": "maria@contoso.example"}), Fault::Lacks("oid")),
    ];
    for (changes, fault) in cases {
        assert_eq!(stage.fault(&token_with(&changes)).await, fault, "{changes}");
    }
    // Not there means nothing to check.
    stage.accepts(&token_with(&json!({"tid": null}))).await;
    assert_eq!(stage.tenant.fetches(), 1);
}

#[tokio::test]
async fn clocks_may_differ_by_a_minute() {
    let stage = Stage::new();
    for (changes, fault) in [
        (json!({"exp": now() - 59}), None),
        (json!({"exp": now() - 60}), Some(Fault::Expired)),
        (json!({"nbf": now() + 60}), None),
        (json!({"nbf": now() + 61}), Some(Fault::NotYetValid)),
    ] {
        let found = stage.present(&token_with(&changes)).await.err();
        assert_eq!(found, fault.map(Into::into), "{changes}");
    }
    let token = token();
    stage.accepts(&token).await;
    stage.clock.advance(Duration::from_secs(3600 + 59));
    stage.accepts(&token).await;
    stage.clock.advance(Duration::from_secs(1));
    assert_eq!(stage.fault(&token).await, Fault::Expired);
}

#[tokio::test]
async fn alg_none_is_no_signature() {
    let stage = Stage::new();
    for alg in ["none", "None", "NONE", "nOnE", ""] {
        let open = open(&json!({"typ": "JWT", "alg": alg, "kid": "a"}), &claims());
        assert_eq!(stage.fault(&format!("{open}.")).await, Fault::NotAJwt);
        assert_eq!(stage.fault(&format!("{open}.AAAA")).await, Fault::NotAJwt);
        let signed = sign_by(&RSA_PKCS1_SHA256, A, &open);
        assert_eq!(stage.fault(&signed).await, Fault::NotAJwt);
    }
    let no_alg = open(&json!({"typ": "JWT", "kid": "a"}), &claims());
    assert_eq!(stage.fault(&format!("{no_alg}.")).await, Fault::NotAJwt);
    assert_eq!(
        stage.fault(&format!("{}.", open(&header(), &claims()))).await,
        Fault::Signature
    );
}

#[tokio::test]
async fn the_public_key_is_no_secret_of_an_hmac() {
    let stage = Stage::new();
    let public = key_pair(A);
    let components = published("a", A);
    let open = open(&json!({"typ": "JWT", "alg": "HS256", "kid": "a"}), &claims());
    let without_end = A_PUBLIC.trim_ascii_end();
    let encoded = URL_SAFE_NO_PAD.encode(&components.modulus);
    for secret in [
        A_PUBLIC,
        without_end,
        &components.modulus,
        encoded.as_bytes(),
        ring::signature::KeyPair::public_key(&public).as_ref(),
        b"",
    ] {
        let mark = hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, secret), open.as_bytes());
        let forged = format!("{open}.{}", URL_SAFE_NO_PAD.encode(mark));
        assert_eq!(stage.fault(&forged).await, Fault::Algorithm);
    }
}

#[tokio::test]
async fn no_algorithm_but_rs256_is_accepted_even_with_the_right_key() {
    let stage = Stage::new();
    let algorithms: [(&str, &'static dyn RsaEncoding); 3] = [
        ("RS384", &RSA_PKCS1_SHA384),
        ("RS512", &RSA_PKCS1_SHA512),
        ("PS256", &RSA_PSS_SHA256),
    ];
    for (name, padding) in algorithms {
        let named = open(&json!({"typ": "JWT", "alg": name, "kid": "a"}), &claims());
        assert_eq!(
            stage.fault(&sign_by(padding, A, &named)).await,
            Fault::Algorithm,
            "{name}"
        );
        let disguised = sign_by(padding, A, &open(&header(), &claims()));
        assert_eq!(stage.fault(&disguised).await, Fault::Signature, "{name}");
    }
    for name in ["ES256", "EdDSA", "HS512"] {
        let named = open(&json!({"typ": "JWT", "alg": name, "kid": "a"}), &claims());
        assert_eq!(
            stage.fault(&sign_by(&RSA_PKCS1_SHA256, A, &named)).await,
            Fault::Algorithm
        );
    }
    assert_eq!(stage.tenant.fetches(), 1, "for the signatures alone");
}

#[tokio::test]
async fn the_header_decides_neither_the_key_nor_an_extension() {
    let stage = Stage::new();
    let theirs = published("a", B);
    let jwk = json!({
        "kty": "RSA", "kid": "a", "n": URL_SAFE_NO_PAD.encode(theirs.modulus), "e": "AQAB", "alg": "RS256",
    });
    let cases = [
        (json!({"jwk": jwk}), Fault::Signature),
        (json!({"jku": "https://evil.example/keys"}), Fault::Signature),
        (json!({"x5c": ["AAAA"]}), Fault::Signature),
        (json!({"crit": ["b64"], "b64": false}), Fault::Extension),
        (json!({"crit": []}), Fault::Extension),
        (json!({"zip": "DEF"}), Fault::Extension),
        (json!({"typ": "id_token+jwt"}), Fault::NotAnAccessToken),
        (json!({"kid": null}), Fault::UnknownKey),
        (json!({"kid": ["a"]}), Fault::NotAJwt),
        (json!({"kid": "../a"}), Fault::UnknownKey),
    ];
    for (changes, fault) in cases {
        let mut header = header();
        header
            .as_object_mut()
            .unwrap()
            .extend(changes.as_object().unwrap().clone());
        assert_eq!(stage.fault(&sign(B, &header, &claims())).await, fault, "{changes}");
    }
    for typ in [json!("jwt"), json!("at+jwt"), json!(null)] {
        let mut header = header();
        header["typ"] = typ;
        stage.accepts(&sign(A, &header, &claims())).await;
    }
}

#[tokio::test]
async fn what_was_changed_after_signing_is_refused() {
    let stage = Stage::new();
    let token = token();
    stage.accepts(&token).await;
    let [header, payload, mark] = token.split('.').collect::<Vec<_>>()[..] else {
        panic!("{token}")
    };
    let more = claims_with(&json!({"roles": ["Rollcall.Operate"]}));
    let more = URL_SAFE_NO_PAD.encode(more.to_string());
    assert_eq!(stage.fault(&format!("{header}.{more}.{mark}")).await, Fault::Signature);
    let blank = URL_SAFE_NO_PAD.encode(format!("{} ", claims()));
    assert_eq!(stage.fault(&format!("{header}.{blank}.{mark}")).await, Fault::Signature);

    let mut bytes = URL_SAFE_NO_PAD.decode(mark).unwrap();
    for position in [0, 1, 127, 254, 255] {
        bytes[position] ^= 1;
        let changed = URL_SAFE_NO_PAD.encode(&bytes);
        assert_eq!(
            stage.fault(&format!("{header}.{payload}.{changed}")).await,
            Fault::Signature
        );
        bytes[position] ^= 1;
    }
    for bytes in [&bytes[1..], &bytes[..255], &[], &[bytes.as_slice(), &[0]].concat()] {
        let changed = URL_SAFE_NO_PAD.encode(bytes);
        assert_eq!(
            stage.fault(&format!("{header}.{payload}.{changed}")).await,
            Fault::Signature
        );
    }
    let by_other = sign(B, &super::header(), &claims());
    assert_eq!(stage.fault(&by_other).await, Fault::Signature);
}

#[tokio::test]
async fn no_cut_of_a_token_is_a_token() {
    let stage = Stage::new();
    let token = token();
    for end in (0..token.len()).step_by(7).filter(|end| *end > 0) {
        let fault = stage.fault(&token[..end]).await;
        assert!(matches!(fault, Fault::NotAJwt | Fault::Signature), "{end}: {fault:?}");
    }
}

#[tokio::test]
async fn what_only_looks_like_a_token_is_refused() {
    let stage = Stage::new();
    let encode = |text: &str| URL_SAFE_NO_PAD.encode(text);
    let header = encode(&header().to_string());
    let odd = [
        ".".to_owned(),
        "..".to_owned(),
        "...".to_owned(),
        "a.b.c".to_owned(),
        "!!!.???.***".to_owned(),
        format!("{}.{}.{}", encode("[]"), encode("{}"), encode("x")),
        format!("{}.{}.{}", encode("null"), encode("{}"), encode("x")),
        format!("{}.{}.{}", encode(&"[".repeat(5_000)), encode("{}"), encode("x")),
        format!("{}.{}", token(), encode("x")),
        format!("{}.", token()),
        format!(".{}", token()),
    ];
    for odd in odd {
        let fault = stage.fault(&odd).await;
        assert!(matches!(fault, Fault::NotAJwt | Fault::UnknownKey), "{odd}: {fault:?}");
    }
    assert_eq!(stage.tenant.fetches(), 0);
    for payload in ["", "[]", "null", "{", "\u{0}", r#"{"exp":1,"exp":99999999999}"#] {
        let signed = sign_by(&RSA_PKCS1_SHA256, A, &format!("{header}.{}", encode(payload)));
        let fault = stage.fault(&signed).await;
        assert!(matches!(fault, Fault::Claims | Fault::Lacks(_)), "{payload}: {fault:?}");
    }
    let padded = token().replacen('.', "=.", 1);
    assert_eq!(stage.fault(&padded).await, Fault::NotAJwt);
}
