//! What a request says that cannot be taken: the answer names the field, and the daemon never stumbles.

use reqwest::Method;
use rollcall::simulator::tenant::DOMAIN;
use serde_json::{Value, json};

use super::{Answered, OPERATOR, READER, Stage, sent, with_json};
use crate::world::licensed;

async fn raw(stage: &Stage, method: Method, path: &str, body: impl Into<String>) -> Answered {
    sent(with_json(stage.request(method, path, Some(OPERATOR)), body.into())).await
}

#[expect(clippy::too_many_lines, reason = "tables")]
#[tokio::test]
async fn a_body_that_cannot_be_taken_is_422_and_names_the_field() {
    let stage = Stage::new().await;
    let ada = licensed(stage.world.tenant(), "Ada", "Lovelace");
    stage.access(ada).await.good();
    let user = format!("environments/production/users/{ada}");
    let env = "environments/production";
    let long = "x".repeat(1025);
    for (path, body, field) in [
        (format!("{env}/access"), json!({}), "user"),
        (format!("{env}/access"), json!({"user": 7}), "user"),
        (format!("{env}/access"), json!({"user": null}), "user"),
        (format!("{env}/access"), json!({"user": " "}), "user"),
        (format!("{env}/access"), json!({"user": long}), "user"),
        (format!("{env}/access"), json!({"user": "a\0b"}), "user"),
        (format!("{env}/access"), json!({"user": "a", "usr": "b"}), "usr"),
        (
            format!("{env}/access"),
            json!({"user": "a", "client": "pigeon"}),
            "client",
        ),
        (format!("{env}/access"), json!([]), "body"),
        (format!("{env}/access"), json!("ada"), "body"),
        (format!("{env}/users"), json!({"user": ["a"]}), "user"),
        (format!("{env}/users"), json!({"user": "a", "client": "api"}), "client"),
        (format!("{env}/users:batch"), json!({"users": []}), "users"),
        (format!("{env}/users:batch"), json!({"users": "a"}), "users"),
        (format!("{env}/users:batch"), json!({"users": vec!["a"; 1001]}), "users"),
        (format!("{env}/users:batch"), json!({"users": ["a", 7]}), "users[1]"),
        (format!("{env}/users:batch"), json!({"users": ["a", ""]}), "users[1]"),
        (format!("{env}/users:batch"), json!({"users": ["a", "b\0"]}), "users[1]"),
        (format!("{user}/hold"), json!({}), "reason"),
        (format!("{user}/hold"), json!({"reason": ""}), "reason"),
        (format!("{user}/hold"), json!({"reason": "x".repeat(1001)}), "reason"),
        (format!("{user}/hold"), json!({"reason": "a\0b"}), "reason"),
        (format!("{user}/map"), json!({"user": "\0"}), "user"),
        (format!("{user}/roles"), json!({"role": 7}), "role"),
        (format!("{env}/imports"), json!({"company": "C"}), "users"),
        (format!("{env}/imports"), json!({"users": ["a"]}), "company"),
        (
            format!("{env}/imports"),
            json!({"company": "C", "users": ["a"], "all": true}),
            "users",
        ),
        (
            format!("{env}/imports"),
            json!({"company": "x".repeat(257), "all": true}),
            "company",
        ),
        (
            format!("{env}/imports"),
            json!({"company": "C\0", "all": true}),
            "company",
        ),
        (
            format!("{env}/imports"),
            json!({"company": "C", "users": ["a\0b"]}),
            "users",
        ),
        (
            format!("{env}/imports"),
            json!({"company": "C", "all": true, "max_retries": 6}),
            "max_retries",
        ),
        (
            format!("{env}/imports"),
            json!({"company": "C", "all": true, "max_retries": -1}),
            "max_retries",
        ),
        (
            format!("{env}/imports"),
            json!({"company": "C", "all": true, "schedule": "often"}),
            "schedule",
        ),
        (
            format!("{env}/imports"),
            json!({"company": "C", "all": true, "monitoring_category": "Not One"}),
            "monitoring_category",
        ),
        (
            format!("{env}/imports"),
            json!({"company": "C", "all": true, "batch_group": "g\0"}),
            "batch_group",
        ),
        (
            format!("{env}/imports"),
            json!({"company": "C", "all": true, "hurry": true}),
            "hurry",
        ),
        ("sync".to_owned(), json!({"environments": ["mars"]}), "environments"),
        ("sync".to_owned(), json!({"environments": "production"}), "environments"),
        ("sync".to_owned(), json!({"fast": true}), "fast"),
    ] {
        let answer = stage.post(&path, &body).await;
        assert_eq!(answer.field(), field, "{path} {body}: {}", answer.body);
    }
    for (body, field) in [
        (json!({}), "body"),
        (json!([]), "body"),
        (json!({"jobtitle": 7}), "jobtitle"),
        (json!({"jobtitle": "x".repeat(129)}), "jobtitle"),
        (json!({"jobtitle": "a\0b"}), "jobtitle"),
        (json!({"internalemailaddress": "none"}), "internalemailaddress"),
        (json!({"accessmode": 6}), "accessmode"),
        (json!({"accessmode": "0"}), "accessmode"),
        (json!({"company": "x".repeat(257)}), "company"),
        (json!({"shoe_size": 43}), "shoe_size"),
        (json!({"shoe\0size": 43}), "shoe\0size"),
        (json!({"onhold": true}), "holdreason"),
        (json!({"onhold": true, "holdreason": 7}), "holdreason"),
        (json!({"onhold": true, "holdreason": " "}), "holdreason"),
        (json!({"onhold": true, "holdreason": "x".repeat(1001)}), "holdreason"),
        (json!({"onhold": false, "holdreason": "why"}), "holdreason"),
        (json!({"holdreason": "why"}), "holdreason"),
        (json!({"onhold": 1, "holdreason": "why"}), "onhold"),
    ] {
        let answer = stage.patch(&user, &body).await;
        assert_eq!(answer.field(), field, "{body}: {}", answer.body);
    }
    let lines = stage
        .world
        .number("select count(*) from rollcall.system_user_change where actor = 'operator'")
        .await;
    assert_eq!(lines, 1, "nothing but the row that was made for this");
    stage.end().await;
}

#[tokio::test]
async fn an_edit_that_cannot_be_taken_whole_is_not_taken_at_all() {
    let stage = Stage::new().await;
    let ada = licensed(stage.world.tenant(), "Ada", "Lovelace");
    stage.access(ada).await.good();
    stage
        .world
        .execute("alter table rollcall.system_user add shoe_size integer")
        .await;
    let before = stage.world.dump().await;
    let user = format!("environments/production/users/{ada}");
    for (body, field) in [
        (json!({"jobtitle": "Countess", "shoe_size": "large"}), "shoe_size"),
        (
            json!({"jobtitle": "Countess", "onhold": true, "holdreason": " "}),
            "holdreason",
        ),
        (json!({"jobtitle": "Countess", "hat_size": 7}), "hat_size"),
        (json!({"jobtitle": "Countess", "onhold": false}), "onhold"),
    ] {
        let answer = stage.patch(&user, &body).await;
        assert_eq!(answer.field(), field, "{body}");
        assert_eq!(stage.world.dump().await, before, "{body}");
    }
    let taken = stage
        .patch(&user, &json!({"jobtitle": "Countess", "shoe_size": 37}))
        .await
        .good();
    assert_eq!(taken["outcome"], "updated");
    assert_eq!(stage.get(&user).await.good()["shoe_size"], 37);
    let held = json!({"company": "Contoso", "onhold": true, "holdreason": "on leave", "shoe_size": 38});
    let row = stage.patch(&user, &held).await.good()["user"].clone();
    assert_eq!(
        (&row["company"], &row["holdreason"], &row["isdisabled"]),
        (&json!("Contoso"), &json!("on leave"), &json!(true))
    );
    let released = stage.patch(&user, &json!({"onhold": false})).await.good();
    assert_eq!(released["outcome"], "enabled");
    let stub = stage
        .world
        .engine
        .desk()
        .stub(crate::on_demand::ask("stub@contoso.example"), None)
        .await
        .unwrap();
    let before = stage.world.dump().await;
    let path = format!("environments/production/users/{}", stub.user.unwrap().systemuserid);
    let refused = stage
        .patch(&path, &json!({"jobtitle": "x", "onhold": true, "holdreason": "x"}))
        .await;
    assert_eq!(refused.problem(), (409, "stub_user"));
    assert_eq!(stage.world.dump().await, before);
    stage.end().await;
}

#[tokio::test]
async fn a_parameter_that_cannot_be_taken_is_422_and_names_it() {
    let stage = Stage::new().await;
    for (path, field) in [
        ("environments/production/users?limit=0", "limit"),
        ("environments/production/users?limit=1001", "limit"),
        ("environments/production/users?limit=-1", "limit"),
        ("environments/production/users?limit=many", "limit"),
        ("environments/production/users?limit=99999999999999999999", "limit"),
        ("environments/production/users?cursor=here", "cursor"),
        ("environments/production/users?state=asleep", "state"),
        ("environments/production/users?mode=9", "mode"),
        ("environments/production/users?mode=high", "mode"),
        ("environments/production/users?type=alien", "type"),
        ("environments/production/users?reason=spite", "reason"),
        ("environments/production/users?colour=red", "colour"),
        ("environments/production/candidates?limit=0", "limit"),
        ("environments/production/candidates?limit=1001", "limit"),
        ("environments/production/candidates?cursor=7", "cursor"),
        ("environments/production/explain", "user"),
        ("environments/production/explain?user=", "user"),
        ("environments/production/explain?user=a&trigger=whim", "trigger"),
        ("environments/production/imports?state=asleep", "state"),
        ("environments/production/imports?limit=0", "limit"),
        ("environments/production/imports?cursor=x", "cursor"),
        ("imports/seven", "job"),
        ("imports/1/items?state=asleep", "state"),
        ("imports/1/items?limit=1001", "limit"),
        ("runs?limit=0", "limit"),
        ("runs?limit=1001", "limit"),
        ("runs?cursor=x", "cursor"),
        ("runs/seven", "id"),
        ("runs/99999999999999999999", "id"),
        ("findings?limit=0", "limit"),
        ("findings?cursor=x", "cursor"),
        ("findings?limit=1&limit=2", "limit"),
    ] {
        let answer = stage.get(path).await;
        assert_eq!(answer.field(), field, "{path}: {}", answer.body);
    }
    for path in ["runs/seven/approve", "runs/x/reject"] {
        assert_eq!(stage.act(path).await.field(), "id");
    }
    stage.end().await;
}

#[tokio::test]
async fn a_body_that_is_no_json_is_415_or_422_and_a_long_one_413() {
    let stage = Stage::new().await;
    let path = "environments/production/access";
    for kind in [
        "text/plain",
        "application/x-www-form-urlencoded",
        "application/jsonp",
        "",
    ] {
        let request = stage.request(Method::POST, path, Some(OPERATOR));
        let answer = sent(request.header("content-type", kind).body("{\"user\":\"a\"}")).await;
        assert_eq!(answer.problem(), (415, "not_json"), "{kind}");
    }
    let bare = stage
        .request(Method::POST, path, Some(OPERATOR))
        .body("{\"user\":\"a\"}");
    assert_eq!(sent(bare).await.problem(), (415, "not_json"));
    let request = stage.request(Method::POST, path, Some(OPERATOR));
    let fine = request.header("content-type", "Application/JSON; charset=utf-8");
    assert_eq!(
        sent(fine.body("{\"user\":\"a\"}")).await.problem(),
        (404, "user_not_found")
    );
    for broken in [
        "",
        "{",
        "{\"user\":\"a\"",
        "{\"user\":\"a\"} {}",
        "\u{feff}{}",
        "{\"user\":\"a\",\"user\":\"b\"}",
    ] {
        let answer = raw(&stage, Method::POST, path, broken).await;
        assert_eq!(answer.problem(), (422, "bad_input"), "{broken}: {}", answer.body);
    }
    let request = stage.request(Method::POST, path, Some(OPERATOR));
    let answer = sent(
        request
            .header("content-type", "application/json")
            .body(vec![b'"', 0xff, b'"']),
    )
    .await;
    assert_eq!(answer.problem(), (422, "bad_input"), "not UTF-8");
    let long = json!({"user": "x".repeat(1024 * 1024)}).to_string();
    assert_eq!(raw(&stage, Method::POST, path, long).await.problem(), (413, "bad_body"));
    let deep = "[".repeat(100_000);
    assert_eq!(
        raw(&stage, Method::POST, path, deep).await.problem(),
        (422, "bad_input")
    );
    stage.end().await;
}

#[expect(clippy::too_many_lines, reason = "tables")]
#[tokio::test]
async fn no_text_however_odd_makes_the_daemon_stumble() {
    let stage = Stage::new().await;
    let ada = licensed(stage.world.tenant(), "Ada", "Lovelace");
    stage.access(ada).await.good();
    let texts = [
        "%00",
        "a%00b",
        "%FF%FE",
        "%C3%28",
        "%ED%A0%80",
        "%2500",
        "..%2f..%2fsync",
        "%27%20or%201=1--",
        "%F0%9F%92%A9",
        "%E2%80%AE",
        "*",
        "%20",
        "+",
        "%",
        "%zz",
        "(objectId='x')",
        "sync",
        "SYSTEM",
    ];
    let long = "x".repeat(4000);
    for text in texts.into_iter().chain([long.as_str()]) {
        for (method, path) in [
            (Method::GET, format!("environments/{text}")),
            (Method::GET, format!("environments/{text}/users")),
            (Method::GET, format!("environments/production/users/{text}")),
            (Method::GET, format!("environments/production/users/{text}/roles")),
            (Method::POST, format!("environments/production/users/{text}/refresh")),
            (Method::POST, format!("environments/production/users/{text}/enable")),
            (Method::DELETE, format!("environments/production/users/{text}")),
            (
                Method::DELETE,
                format!("environments/production/users/{ada}/roles?role={text}"),
            ),
            (Method::GET, format!("environments/production/users?text={text}")),
            (Method::GET, format!("environments/production/users?reason={text}")),
            (Method::GET, format!("environments/production/users?cursor={text}")),
            (Method::GET, format!("environments/production/candidates?text={text}")),
            (Method::GET, format!("environments/production/explain?user={text}")),
            (Method::GET, format!("findings?environment={text}")),
            (Method::GET, format!("imports/{text}")),
            (Method::GET, format!("runs/{text}")),
            (Method::POST, format!("runs/1/approve?environment={text}")),
            (Method::GET, text.to_owned()),
        ] {
            let answer = sent(stage.request(method.clone(), &path, Some(OPERATOR))).await;
            assert!(answer.status < 500, "{method} {path}: {answer:?}");
            if answer.status >= 400 {
                answer.problem();
            }
        }
    }
    let odd: [&str; 8] = [
        "\u{0}",
        "a\u{0}b",
        "\u{fffe}",
        "\u{202e}",
        "💩",
        "' or 1=1 --",
        "\\",
        "\u{1}\u{7f}",
    ];
    for text in odd {
        let user = format!("environments/production/users/{ada}");
        let env = "environments/production";
        for (method, path, body) in [
            (Method::POST, format!("{env}/users"), json!({"user": text})),
            (
                Method::POST,
                format!("{env}/access"),
                json!({"user": format!("{text}@{DOMAIN}")}),
            ),
            (
                Method::POST,
                format!("{env}/users:batch"),
                json!({"users": [text, "x"]}),
            ),
            (Method::POST, format!("{user}/hold"), json!({"reason": text})),
            (Method::POST, format!("{user}/map"), json!({"user": text})),
            (Method::POST, format!("{user}/roles"), json!({"role": text})),
            (Method::PATCH, user.clone(), json!({"jobtitle": text})),
            (Method::PATCH, user.clone(), json!({text: text})),
            (Method::PATCH, user.clone(), json!({"onhold": true, "holdreason": text})),
            (
                Method::POST,
                format!("{env}/imports"),
                json!({"company": text, "users": [text], "description": text}),
            ),
            (Method::POST, "sync".to_owned(), json!({"environments": [text]})),
        ] {
            let answer = stage.send(method.clone(), &path, &body, OPERATOR).await;
            assert!(answer.status < 500, "{method} {path} {body}: {answer:?}");
            if answer.status >= 400 {
                answer.problem();
            }
        }
    }
    let _: Value = stage.get("environments").await.good();
    stage.end().await;
}

#[tokio::test]
async fn whoever_is_not_let_in_learns_nothing_from_what_they_send() {
    let stage = Stage::new().await;
    for path in ["environments/%00", "nothing", "environments/%FF", "environments?x=%00"] {
        let answer = sent(stage.request(Method::GET, path, None)).await;
        assert_eq!(answer.problem().0, 401, "{path}");
    }
    let body = with_json(
        stage.request(Method::POST, "environments/mars/users", Some(READER)),
        "{".to_owned(),
    );
    assert_eq!(sent(body).await.problem().0, 403);
    stage.end().await;
}
