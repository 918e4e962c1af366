//! Who may do what, and whose name stays.

use std::time::Duration;

use reqwest::Method;
use serde_json::{Value, json};

use super::{Answered, OPERATOR, READER, REQUESTER, Stage, sent, with_json};
use crate::world::licensed;

/// What an endpoint wants of its caller.
#[derive(Clone, Copy, PartialEq, PartialOrd)]
enum Needs {
    Nothing,
    Read,
    Access,
    Operate,
}

/// The endpoints that are about users, jobs and runs. The ids are of nobody: who may come in is decided before.
fn endpoints() -> Vec<(Method, String, Option<Value>, Needs)> {
    use Needs::{Access, Nothing, Operate, Read};
    let get = |path: &str, needs| (Method::GET, path.to_owned(), None, needs);
    let act = |path: &str, needs| (Method::POST, path.to_owned(), None, needs);
    let post = |path: &str, body: Value, needs| (Method::POST, path.to_owned(), Some(body), needs);
    let user = json!({"user": "nobody@contoso.example"});
    let row = "environments/production/users/nobody";
    vec![
        get("//health/live", Nothing),
        get("//health/ready", Nothing),
        get("//metrics", Nothing),
        get("openapi.json", Nothing),
        get("status", Read),
        get("users/nobody/environments", Read),
        get("environments", Read),
        get("environments/production", Read),
        get("environments/production/explain?user=nobody", Read),
        get("environments/production/candidates", Read),
        get("environments/production/users", Read),
        get(row, Read),
        get(&format!("{row}/roles"), Read),
        get("environments/production/imports", Read),
        get("imports/4711", Read),
        get("imports/4711/items", Read),
        get("runs", Read),
        get("runs/4711", Read),
        get("runs/4711/held", Read),
        get("runs/4711/changes", Read),
        get("findings", Read),
        get("changes", Read),
        post("environments/production/users", user.clone(), Access),
        post("environments/production/access", user.clone(), Access),
        post(
            "environments/production/users:batch",
            json!({"users": ["nobody"]}),
            Access,
        ),
        act(&format!("{row}/refresh"), Access),
        (Method::PATCH, row.to_owned(), Some(json!({"jobtitle": "x"})), Operate),
        (Method::PATCH, row.to_owned(), Some(json!({"accessmode": 0})), Operate),
        (Method::PATCH, row.to_owned(), Some(json!({"accessmode": 2})), Operate),
        (Method::PATCH, row.to_owned(), Some(json!({"accessmode": 1})), Operate),
        (Method::PATCH, row.to_owned(), Some(json!({"accessmode": 4})), Operate),
        (
            Method::PATCH,
            row.to_owned(),
            Some(json!({"onhold": true, "holdreason": "x"})),
            Operate,
        ),
        (Method::PATCH, row.to_owned(), Some(json!({"onhold": false})), Operate),
        act("users/nobody/forget", Operate),
        act(&format!("{row}/disable"), Operate),
        act(&format!("{row}/enable"), Operate),
        act(&format!("{row}/release"), Operate),
        post(&format!("{row}/hold"), json!({"reason": "x"}), Operate),
        post(&format!("{row}/map"), user.clone(), Operate),
        get(&format!("{row}?include=roles,teams,history,directory"), Read),
        get(&format!("{row}/history"), Read),
        get(&format!("{row}/own"), Read),
        post(
            &format!("{row}/own"),
            json!({"fields": ["internalemailaddress"], "by": "sync"}),
            Operate,
        ),
        // The name is the system's: nobody makes a row of it.
        post(
            "environments/production/stubs",
            json!({"user": "crmoln@microsoft.com"}),
            Operate,
        ),
        post(
            "environments/production/applications",
            json!({"application": uuid::Uuid::nil()}),
            Operate,
        ),
        post(&format!("{row}/roles"), json!({"role": "x"}), Operate),
        (Method::DELETE, format!("{row}/roles?role=x"), None, Operate),
        (Method::DELETE, row.to_owned(), None, Operate),
        post(
            "environments/production/imports",
            json!({"company": "C", "users": ["nobody"], "background": true}),
            Operate,
        ),
        act("imports/4711/cancel", Operate),
        act("imports/4711/requeue", Operate),
        act("runs/4711/approve", Operate),
        act("runs/4711/reject", Operate),
        post("sync", json!({"environments": ["mars"]}), Operate),
    ]
}

fn every_endpoint() -> Vec<(Method, String, Option<Value>, Needs)> {
    [endpoints(), structure()].concat()
}

/// Those of the units, teams and positions of an environment: list, show, create, change, delete.
fn structure() -> Vec<(Method, String, Option<Value>, Needs)> {
    let trees = [
        (
            "business-units",
            json!({"name": "x", "parentbusinessunitid": "nowhere"}),
        ),
        ("teams", json!({"name": "x", "businessunitid": "nowhere"})),
        ("positions", json!({"name": "x", "parentpositionid": "nowhere"})),
    ];
    let of_tree = |(list, new): (&str, Value)| {
        let list = format!("environments/production/{list}");
        let one = format!("{list}/nowhere");
        [
            (Method::GET, list.clone(), None, Needs::Read),
            (Method::GET, one.clone(), None, Needs::Read),
            (Method::POST, list, Some(new), Needs::Operate),
            (Method::PATCH, one.clone(), Some(json!({"name": "x"})), Needs::Operate),
            (Method::DELETE, one, None, Needs::Operate),
        ]
    };
    let of_team = |(list, named): (&str, &str)| {
        let list = format!("environments/production/teams/nowhere/{list}");
        let drop = format!("{list}?{named}=nobody");
        [
            (Method::GET, list.clone(), None, Needs::Read),
            (Method::POST, list, Some(json!({named: "nobody"})), Needs::Operate),
            (Method::DELETE, drop, None, Needs::Operate),
        ]
    };
    let trees = trees.into_iter().flat_map(of_tree);
    trees
        .chain([("members", "user"), ("roles", "role")].into_iter().flat_map(of_team))
        .collect()
}

#[tokio::test]
async fn every_endpoint_wants_the_role_it_is_said_to_want() {
    let stage = Stage::new().await;
    let callers = [
        (None, Needs::Nothing),
        (Some("stranger"), Needs::Nothing),
        (Some(READER), Needs::Read),
        (Some(REQUESTER), Needs::Access),
        (Some(OPERATOR), Needs::Operate),
    ];
    for (method, path, body, needs) in every_endpoint() {
        // Strangers may only ask so often.
        stage.world.advance(Duration::from_secs(1));
        for (caller, has) in callers {
            let request = stage.request(method.clone(), &path, caller);
            let answer = match &body {
                Some(body) => sent(with_json(request, body.to_string())).await,
                None => sent(request).await,
            };
            let is_known = caller.is_some_and(|caller| caller != "stranger");
            let is_let_in = has == Needs::Operate || has == needs || needs == Needs::Nothing;
            let about = format!("{method} {path} as {caller:?}: {answer:?}");
            if !path.starts_with("//") {
                let private = (answer.header("cache-control"), answer.header("x-content-type-options"));
                assert_eq!(private, ("no-store", "nosniff"), "{about}");
            }
            match (is_let_in, is_known) {
                (true, _) => assert!(!matches!(answer.status, 401 | 403 | 405 | 415), "{about}"),
                (false, true) => {
                    assert_eq!(answer.problem().0, 403, "{about}");
                    assert!(answer.body["remedy"].as_str().unwrap().contains("role"), "{about}");
                }
                (false, false) => {
                    assert_eq!(answer.problem().0, 401, "{about}");
                    assert!(answer.header("www-authenticate").starts_with("Bearer"), "{about}");
                }
            }
        }
    }
    assert_eq!(
        stage
            .world
            .number("select count(*) from rollcall.system_user_change")
            .await,
        2,
        "the two placeholders of the environment, and nothing by the callers"
    );
    stage.end().await;
}

#[tokio::test]
async fn every_endpoint_of_the_description_is_in_the_table_of_roles() {
    let stage = Stage::new().await;
    let document = stage.get("openapi.json").await.good();
    for (path, item) in document["paths"].as_object().unwrap() {
        let pattern: Vec<&str> = path[1..].split('/').collect();
        for (method, operation) in item.as_object().unwrap().iter().filter(|(key, _)| *key != "parameters") {
            let tried = every_endpoint().into_iter().find(|(tried, path, ..)| {
                let path: Vec<&str> = path.split('?').next().unwrap().split('/').collect();
                let fits = |(part, wanted): (&&str, &&str)| part == wanted || wanted.starts_with('{');
                tried.as_str().eq_ignore_ascii_case(method)
                    && path.len() == pattern.len()
                    && path.iter().zip(&pattern).all(fits)
            });
            let Some((.., needs)) = tried else {
                panic!("{method} {path}")
            };
            let role = match needs {
                Needs::Nothing => panic!("{method} {path} is open"),
                Needs::Read => "Rollcall.Read",
                Needs::Access => "Rollcall.Access",
                Needs::Operate => "Rollcall.Operate",
            };
            assert_eq!(operation["security"], json!([{ "bearer": [role] }]), "{method} {path}");
        }
    }
    stage.end().await;
}

#[tokio::test]
async fn every_write_leaves_its_callers_name() {
    let stage = Stage::new().await;
    let ada = licensed(stage.world.tenant(), "Ada", "Lovelace");
    let user = format!("environments/production/users/{ada}");
    let named = json!({"user": ada.to_string()});
    let good = |answer: Answered| assert_eq!(answer.status, 200, "{answer:?}");
    good(
        stage
            .send(Method::POST, "environments/production/access", &named, REQUESTER)
            .await,
    );
    good(
        stage
            .send(Method::PATCH, &user, &json!({"jobtitle": "Countess"}), OPERATOR)
            .await,
    );
    good(stage.act(&format!("{user}/disable")).await);
    good(
        stage
            .send(Method::POST, "environments/production/users", &named, REQUESTER)
            .await,
    );
    good(stage.patch(&user, &json!({"onhold": true, "holdreason": "x"})).await);
    good(stage.patch(&user, &json!({"onhold": false})).await);
    stage
        .world
        .execute("alter table rollcall.system_user add shoe_size integer")
        .await;
    good(
        stage
            .send(Method::PATCH, &user, &json!({"shoe_size": 37}), OPERATOR)
            .await,
    );
    let lines = stage
        .world
        .strings(
            "select concat_ws(' ', actor, operation) from rollcall.system_user_change c
             join rollcall.system_user s using (environment, systemuserid)
             where azureactivedirectoryobjectid is not null order by c.id",
        )
        .await;
    let expected = [
        "requester create",
        "operator edit",
        "operator disable",
        "requester enable",
        "operator disable",
        "operator edit",
        "operator enable",
        "operator edit",
    ];
    let by_callers: Vec<&String> = lines.iter().filter(|line| !line.starts_with("sync ")).collect();
    assert_eq!(by_callers, expected.iter().collect::<Vec<_>>());
    let row = stage.get(&user).await.good();
    assert_eq!(
        (&row["createdby"], &row["modifiedby"]),
        (&json!(REQUESTER), &json!(OPERATOR))
    );
    stage.end().await;
}
