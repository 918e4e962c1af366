//! Signing in to the console with Entra: from a deep link through the tenant's page and back, and everything that is no
//! sign-in.

use std::sync::Arc;
use std::time::Duration;

use reqwest::StatusCode;
use rollcall::domain::api_role::ApiRole;
use rollcall::http::auth::{Entra as Accepted, KeySource};
use rollcall::http::console::{Entra, NotRedeemed, Redeemer, Site};
use serde_json::{Value, json};
use url::Url;
use uuid::Uuid;

use super::browser::{Browser, location};
use super::{ENV, PLENTY, Stage};
use crate::guard::block;
use crate::world::{World, licensed, open_environment};

const ROOT: &str = "https://rollcall.example";
const CALLBACK: &str = "https://rollcall.example/console/callback";
const ADA: &str = "ada.lovelace@contoso.example";

/// A console at a public address of the tenant's application, and Ada, who has these roles.
async fn public(roles: &[ApiRole]) -> (Stage, Uuid) {
    let world = World::new(vec![open_environment(ENV)]).await;
    let ada = licensed(world.tenant(), "Ada", "Lovelace");
    world.sync_completely().await;
    let roles = roles.iter().map(|role| role.as_str().to_owned()).collect();
    world.simulator.configure(|settings| {
        settings.redirect_uris = vec![CALLBACK.to_owned()];
        settings.app_roles.insert(ada, roles);
    });
    let client_id = world.simulator.client_id().to_string();
    let (redeems, publishes) = (world.engine.graph.clone(), world.engine.graph.clone());
    let site = Site::Public(Arc::new(Entra {
        public_url: Url::parse(ROOT).unwrap(),
        authorize: Url::parse(&format!(
            "{}/{}/oauth2/v2.0/authorize",
            world.simulator.root(),
            world.simulator.tenant_id()
        ))
        .unwrap(),
        client_id: client_id.clone(),
        redeemer: Redeemer::new(move |redemption| {
            let graph = redeems.clone();
            async move {
                graph.redeem(&redemption).await.map_err(|error| NotRedeemed {
                    detail: rollcall::graph::describe(&error),
                    is_transient: error.is_transient(),
                })
            }
        }),
    }));
    let accepted = Accepted {
        tenant: world.simulator.tenant_id(),
        audience: client_id,
        keys: KeySource::new(move || {
            let graph = publishes.clone();
            async move { graph.signing_keys().await }
        }),
    };
    let engine = world.engine.clone();
    let within = super::DECIDED_WITHIN;
    let stage = Stage::at(world, engine, PLENTY, within, (site, Some(accepted))).await;
    (stage, ada)
}

/// Follows a link to sign in as Ada until the tenant sends the browser back; returns the path to which it does.
async fn as_ada(browser: &mut Browser, to: &str) -> String {
    let query = url::form_urlencoded::Serializer::new(String::new())
        .append_pair("to", to)
        .finish();
    let begun = browser.get(&format!("/console/sign-in/entra?{query}")).await;
    browser.keep_cookies(&begun);
    let asks = browser.visit(location(&begun)).await;
    assert!(asks.text().await.unwrap().contains(ADA), "the tenant asks who it is");
    let answered = browser.visit(&format!("{}&login_hint={ADA}", location(&begun))).await;
    let back = location(&answered).to_owned();
    back.strip_prefix(ROOT).unwrap_or_else(|| panic!("{back}")).to_owned()
}

async fn signed_in(stage: &Stage) -> Browser {
    let mut browser = Browser::at(stage, ROOT);
    let back = as_ada(&mut browser, "/console/").await;
    let answer = browser.get(&back).await;
    browser.keep_cookies(&answer);
    browser
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_deep_link_survives_the_sign_in_and_the_person_is_the_actor() {
    let (stage, ada) = public(&[ApiRole::Operate]).await;
    let mut browser = Browser::at(&stage, ROOT);
    let user = format!("/console/environments/{ENV}/users/{ada}");
    let deep = format!("{user}?done=updated");
    let refused = browser.get(&deep).await;
    let page = browser.text(location(&refused)).await;
    let link = page
        .split("href=\"")
        .find_map(|part| part.strip_prefix("/console/sign-in/entra?to="));
    let encoded = link.unwrap().split('"').next().unwrap();
    let to: String = url::form_urlencoded::parse(format!("to={encoded}").as_bytes())
        .next()
        .unwrap()
        .1
        .into_owned();
    assert_eq!(to, deep);
    let back = as_ada(&mut browser, &to).await;
    let answer = browser.get(&back).await;
    assert_eq!(
        (answer.status(), location(&answer)),
        (StatusCode::SEE_OTHER, deep.as_str())
    );
    browser.keep_cookies(&answer);
    assert_eq!(browser.cookies.keys().collect::<Vec<_>>(), ["__Host-rollcall"]);
    let page = browser.text(&user).await;
    assert!(page.contains("Ada Lovelace<br>Rollcall.Operate"), "{page}");
    let held = browser.post(&format!("{user}/hold"), &[("reason", "a test")]).await;
    assert_eq!(held.status(), StatusCode::SEE_OTHER);
    let actors = "select distinct actor from rollcall.system_user_change where actor <> 'sync'";
    assert_eq!(stage.world.strings(actors).await, [format!("user:{ada}")]);
    // The session is worth nothing to the API, and ends when the directory blocks its person.
    assert_eq!(
        browser.get("/api/v1/environments").await.status(),
        StatusCode::UNAUTHORIZED
    );
    block(&stage.world, &[ada]);
    stage.world.sync().await;
    assert_eq!(browser.get("/console/").await.status(), StatusCode::SEE_OTHER);
    stage.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_but_the_sign_in_that_this_browser_began_begins_a_session() {
    let (stage, _) = public(&[ApiRole::Read]).await;
    // A code, but another state; no cookie; another browser's cookie.
    let mut browser = Browser::at(&stage, ROOT);
    let back = as_ada(&mut browser, "/console/").await;
    let forged = back.split("&state=").next().unwrap().to_owned() + "&state=forged";
    let mut other = Browser::at(&stage, ROOT);
    as_ada(&mut other, "/console/").await;
    for (browser, path) in [
        (&browser, &forged),
        (&Browser::at(&stage, ROOT), &back),
        (&other, &back),
    ] {
        let answer = browser.get(path).await;
        assert_eq!(answer.status(), StatusCode::BAD_REQUEST, "{path}");
        assert!(
            answer
                .headers()
                .get("set-cookie")
                .unwrap()
                .to_str()
                .unwrap()
                .starts_with("__Host-rollcall-sign-in=;")
        );
    }
    // A code is good once, even with the cookie that began it; and not with another verifier.
    let answer = browser.get(&back).await;
    assert_eq!(location(&answer), "/console/");
    let replayed = browser.get(&back).await;
    assert_eq!(replayed.status(), StatusCode::BAD_REQUEST);
    let page = replayed.text().await.unwrap();
    assert!(page.contains("sign in again") && page.contains("54005"), "{page}");
    let stolen = {
        let code = back.split("code=").nth(1).unwrap().split('&').next().unwrap();
        let mut thief = Browser::at(&stage, ROOT);
        let own = as_ada(&mut thief, "/console/").await;
        let named = own.split("&state=").nth(1).unwrap().to_owned();
        thief.get(&format!("/console/callback?code={code}&state={named}")).await
    };
    assert_eq!(stolen.status(), StatusCode::BAD_REQUEST);
    // What Entra refuses is said with its code, and nothing else of the address.
    let mut refused = Browser::at(&stage, ROOT);
    let own = as_ada(&mut refused, "/console/").await;
    let named = own.split("&state=").nth(1).unwrap();
    let path = format!("/console/callback?error=access_denied&error_description=Call+555-0199&state={named}");
    let answer = refused.get(&path).await;
    assert_eq!(answer.status(), StatusCode::FORBIDDEN);
    let page = answer.text().await.unwrap();
    assert!(page.contains("access_denied") && !page.contains("555"), "{page}");
    stage.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_identity_token_that_is_not_exactly_ours_begins_no_session() {
    let (stage, _) = public(&[ApiRole::Read]).await;
    let now = stage.world.clock.now().timestamp();
    let refused: &[(Value, &str)] = &[
        (json!({"nonce": "another"}), "made for another sign-in"),
        (json!({"nonce": null}), "lacks the claim nonce"),
        (json!({"aud": Uuid::from_u128(7)}), "made for another application"),
        (
            json!({"aud": format!("api://{}", stage.world.simulator.client_id())}),
            "made for another application",
        ),
        (json!({"exp": now - 61}), "has expired"),
        (json!({"nbf": now + 61}), "not valid yet"),
        (json!({"iss": "https://login.example/v2.0"}), "another issuer"),
        (json!({"tid": Uuid::from_u128(7)}), "of another tenant"),
        (json!({"tid": null}), "lacks the claim tid"),
        (json!({"oid": null}), "lacks the claim oid"),
        (json!({"roles": null}), "Ask for the role Rollcall.Read"),
        (json!({"roles": ["Rollcall.Other"]}), "Ask for the role Rollcall.Read"),
        (json!({"roles": ["Rollcall.Access"]}), "Ask for the role Rollcall.Read"),
    ];
    for (claims, why) in refused {
        stage
            .world
            .simulator
            .configure(|settings| settings.identity_claims = claims.clone());
        let mut browser = Browser::at(&stage, ROOT);
        let back = as_ada(&mut browser, "/console/").await;
        let answer = browser.get(&back).await;
        assert!([401, 403].contains(&answer.status().as_u16()), "{claims}: {answer:?}");
        browser.keep_cookies(&answer);
        assert!(browser.cookies.is_empty(), "{claims}");
        let page = answer.text().await.unwrap();
        assert!(page.contains(why), "{claims}: {page}");
    }
    stage
        .world
        .simulator
        .configure(|settings| settings.identity_claims = Value::Null);
    assert_eq!(signed_in(&stage).await.get("/console/").await.status(), StatusCode::OK);
    // The application's own credential is refused: an operator's matter, said with the remedy.
    stage
        .world
        .simulator
        .configure(|settings| settings.client_secret = "changed".to_owned());
    let mut browser = Browser::at(&stage, ROOT);
    let back = as_ada(&mut browser, "/console/").await;
    let page = browser.get(&back).await.text().await.unwrap();
    assert!(page.contains("The client secret is wrong"), "{page}");
    stage.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_public_console_answers_under_its_own_address_and_to_its_own_forms_only() {
    let (stage, _) = public(&[ApiRole::Operate]).await;
    let browser = signed_in(&stage).await;
    for host in ["localhost", "127.0.0.1:8080", "rollcall.example:8443", "evil.example"] {
        for path in [
            "/console/",
            "/console/sign-in",
            "/console/callback",
            "/console/assets/console.css",
        ] {
            let mut elsewhere = browser.clone();
            elsewhere.root = format!("https://{host}");
            let answer = elsewhere.get(path).await;
            assert_eq!(answer.status(), StatusCode::MISDIRECTED_REQUEST, "{path} of {host}");
        }
    }
    for origin in [
        "https://evil.example",
        "http://rollcall.example",
        "https://localhost",
        "null",
    ] {
        let answer = browser.post_from(origin, "/console/runs", &[]).await;
        assert_eq!(answer.status(), StatusCode::FORBIDDEN, "{origin}");
    }
    assert_eq!(browser.post("/console/runs", &[]).await.status(), StatusCode::SEE_OTHER);
    // Static tokens and invitations are for the machine itself.
    let token = Browser::at(&stage, ROOT)
        .post("/console/sign-in", &[("token", super::OPERATOR)])
        .await;
    assert_eq!(token.status(), StatusCode::NOT_FOUND);
    let page = Browser::at(&stage, ROOT).text("/console/sign-in?invitation=x").await;
    assert!(
        page.contains("Sign in with Microsoft Entra") && !page.contains("token"),
        "{page}"
    );
    let answer = browser.post("/console/sign-out", &[]).await;
    let mut browser = browser;
    browser.keep_cookies(&answer);
    assert!(browser.cookies.is_empty());
    stage.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_old_sign_in_is_asked_for_anew_before_a_change_and_the_form_comes_back_filled() {
    let (stage, ada) = public(&[ApiRole::Operate]).await;
    let mut browser = signed_in(&stage).await;
    let user = format!("/console/environments/{ENV}/users/{ada}");
    stage.world.advance(Duration::from_hours(2));
    let reason = "<b>on leave</b> & \"back\" in May";
    let refused = browser.post(&format!("{user}/hold"), &[("reason", reason)]).await;
    let sign_in = location(&refused).to_owned();
    assert!(sign_in.starts_with("/console/sign-in?to="), "{sign_in}");
    assert!(browser.text(&sign_in).await.contains("what you filled in is kept"));
    assert!(!stage.world.row(ENV, ada).await.unwrap().onhold);
    // Reading, and what needs no operator, goes on meanwhile.
    assert_eq!(browser.get(&user).await.status(), StatusCode::OK);
    let refreshed = browser.post(&format!("{user}/refresh"), &[]).await;
    assert!(location(&refreshed).ends_with("?done=unchanged"));

    let old = browser.clone();
    let back = as_ada(&mut browser, "/console/again").await;
    let answer = browser.get(&back).await;
    browser.keep_cookies(&answer);
    let page = browser.text(location(&answer)).await;
    assert!(page.contains(&format!("action=\"{user}/hold\"")), "{page}");
    assert!(
        page.contains("value=\"&#60;b&#62;on leave&#60;/b&#62; &#38; &#34;back&#34; in May\""),
        "{page}"
    );
    assert_eq!(
        old.get("/console/").await.status(),
        StatusCode::SEE_OTHER,
        "the old session has ended"
    );
    let held = browser.post(&format!("{user}/hold"), &[("reason", reason)]).await;
    assert_eq!(held.status(), StatusCode::SEE_OTHER);
    assert_eq!(
        stage.world.row(ENV, ada).await.unwrap().holdreason.as_deref(),
        Some(reason)
    );
    stage.end().await;
}
