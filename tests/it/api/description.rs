//! The OpenAPI document: it describes what is there, all of it, and nothing else.

use std::collections::BTreeSet;

use reqwest::Method;
use serde_json::{Value, json};

use super::{OPERATOR, Stage, sent};
use crate::world::licensed;

/// Every value of a key anywhere in a document.
fn all<'a>(document: &'a Value, key: &str, found: &mut Vec<&'a Value>) {
    match document {
        Value::Object(map) => {
            found.extend(map.get(key));
            map.values().for_each(|value| all(value, key, found));
        }
        Value::Array(items) => items.iter().for_each(|item| all(item, key, found)),
        _ => {}
    }
}

fn document() -> Value {
    serde_json::to_value(rollcall::http::api::document()).unwrap()
}

#[tokio::test]
async fn the_document_is_served_to_everybody_and_is_openapi_3_1() {
    let stage = Stage::new().await;
    let served = sent(stage.request(Method::GET, "openapi.json", None)).await.good();
    assert_eq!(served, document());
    assert!(served["openapi"].as_str().unwrap().starts_with("3.1."));
    assert_eq!(served["security"], json!([{"bearer": []}]));
    assert_eq!(served["components"]["securitySchemes"]["bearer"]["scheme"], "bearer");
    stage.end().await;
}

#[test]
fn every_reference_leads_somewhere_and_every_operation_has_a_name_of_its_own() {
    let document = document();
    let (mut references, mut operations) = (Vec::new(), Vec::new());
    all(&document, "$ref", &mut references);
    all(&document, "operationId", &mut operations);
    assert!(references.len() > 50);
    let used: BTreeSet<&str> = references.iter().map(|reference| reference.as_str().unwrap()).collect();
    for reference in &used {
        let pointer = reference.strip_prefix('#').unwrap();
        assert!(document.pointer(pointer).is_some(), "{reference}");
    }
    let names: BTreeSet<String> = operations.iter().map(ToString::to_string).collect();
    assert_eq!(names.len(), operations.len(), "{operations:?}");
}

/// What interfaces.md, section 4 lists, and what the command line could do alone.
const OPERATIONS: &str = "
    GET /status
    GET /users/{user}/environments
    POST /users/{user}/forget
    GET /environments
    GET /environments/{env}
    GET /environments/{env}/users
    POST /environments/{env}/users
    POST /environments/{env}/users:batch
    GET /environments/{env}/users/{systemuserid}
    PATCH /environments/{env}/users/{systemuserid}
    DELETE /environments/{env}/users/{systemuserid}
    POST /environments/{env}/access
    POST /environments/{env}/users/{systemuserid}/refresh
    POST /environments/{env}/users/{systemuserid}/disable
    POST /environments/{env}/users/{systemuserid}/enable
    POST /environments/{env}/users/{systemuserid}/hold
    POST /environments/{env}/users/{systemuserid}/release
    POST /environments/{env}/users/{systemuserid}/map
    GET /environments/{env}/explain
    GET /environments/{env}/users/{systemuserid}/roles
    POST /environments/{env}/users/{systemuserid}/roles
    DELETE /environments/{env}/users/{systemuserid}/roles
    GET /environments/{env}/business-units
    POST /environments/{env}/business-units
    GET /environments/{env}/business-units/{businessunitid}
    PATCH /environments/{env}/business-units/{businessunitid}
    DELETE /environments/{env}/business-units/{businessunitid}
    GET /environments/{env}/teams
    POST /environments/{env}/teams
    GET /environments/{env}/teams/{teamid}
    PATCH /environments/{env}/teams/{teamid}
    DELETE /environments/{env}/teams/{teamid}
    GET /environments/{env}/teams/{teamid}/members
    POST /environments/{env}/teams/{teamid}/members
    DELETE /environments/{env}/teams/{teamid}/members
    GET /environments/{env}/teams/{teamid}/roles
    POST /environments/{env}/teams/{teamid}/roles
    DELETE /environments/{env}/teams/{teamid}/roles
    GET /environments/{env}/positions
    POST /environments/{env}/positions
    GET /environments/{env}/positions/{positionid}
    PATCH /environments/{env}/positions/{positionid}
    DELETE /environments/{env}/positions/{positionid}
    POST /environments/{env}/imports
    GET /environments/{env}/imports
    GET /imports/{job}
    POST /imports/{job}/cancel
    POST /imports/{job}/requeue
    GET /imports/{job}/items
    GET /environments/{env}/candidates
    GET /runs
    GET /runs/{id}
    GET /runs/{id}/held
    GET /runs/{id}/changes
    POST /runs/{id}/approve
    POST /runs/{id}/reject
    POST /sync
    GET /findings
    GET /changes
    POST /environments/{env}/stubs
    POST /environments/{env}/applications
    GET /environments/{env}/users/{systemuserid}/history
    GET /environments/{env}/users/{systemuserid}/own
    POST /environments/{env}/users/{systemuserid}/own
";

#[tokio::test]
async fn what_is_described_is_what_there_is() {
    let document = document();
    let mut described = BTreeSet::new();
    for (path, item) in document["paths"].as_object().unwrap() {
        for (method, operation) in item.as_object().unwrap() {
            described.insert(format!("{} {path}", method.to_uppercase()));
            assert!(
                operation["responses"]["default"]["content"]["application/problem+json"].is_object(),
                "{method} {path}"
            );
            let good = operation["responses"]
                .as_object()
                .unwrap()
                .keys()
                .find(|status| status.starts_with('2'))
                .unwrap();
            assert!(
                operation["responses"][good]["content"]["application/json"].is_object(),
                "{method} {path}"
            );
            let limited = &operation["responses"]["429"];
            assert!(
                limited["content"]["application/problem+json"].is_object()
                    && limited["headers"]["Retry-After"].is_object(),
                "{method} {path}"
            );
            assert!(
                !operation["summary"].as_str().unwrap_or_default().is_empty(),
                "{method} {path}"
            );
        }
    }
    let listed: BTreeSet<String> = OPERATIONS
        .split('\n')
        .map(str::trim)
        .filter(|line| !line.is_empty())
        .map(str::to_owned)
        .collect();
    assert_eq!(described, listed);

    // Every path knows the methods that are described, and says so of the others.
    let stage = Stage::new().await;
    for path in document["paths"].as_object().unwrap().keys() {
        let address = path[1..]
            .replace("{env}", "production")
            .replace("{systemuserid}", "nobody")
            .replace("{user}", "nobody");
        let address = address.replace("{job}", "4711").replace("{id}", "4711");
        let answer = sent(stage.request(Method::TRACE, &address, Some(OPERATOR))).await;
        assert_eq!(answer.problem(), (405, "method_not_allowed"), "{path}");
        let allowed: BTreeSet<String> = answer
            .header("allow")
            .split(',')
            .map(str::to_owned)
            .filter(|method| method != "HEAD")
            .collect();
        let item = document["paths"][path].as_object().unwrap();
        let expected: BTreeSet<String> = item.keys().map(|method| method.to_uppercase()).collect();
        assert_eq!(allowed, expected, "{path}");
    }
    stage.end().await;
}

#[tokio::test]
async fn answers_have_the_members_that_are_described_and_no_others() {
    let stage = Stage::new().await;
    let ada = licensed(stage.world.tenant(), "Ada", "Lovelace");
    let document = document();
    let answer = stage.access(ada).await.good();
    let explained = stage
        .get(&format!("environments/production/explain?user={ada}"))
        .await
        .good();
    let problem = stage.get("runs/4711").await.body;
    let run = stage.get("runs?limit=1").await.items().remove(0);
    let environment = stage.get("environments/production").await.good();
    let status = stage.get("status").await.good();
    assert_eq!(status["environments"][0]["environment"], "production");
    let everywhere = stage.get(&format!("users/{ada}/environments")).await.good();
    let presence = everywhere["items"][0].clone();
    for nobody in ["nobody", "%20"] {
        let answer = stage.get(&format!("users/{nobody}/environments")).await;
        assert_eq!(answer.problem(), (404, "user_not_found"));
    }
    assert_eq!(presence["systemuserid"], answer["user"]["systemuserid"]);
    for (schema, value) in [
        ("Answer", &answer),
        ("SystemUser", &answer["user"]),
        ("ShownVerdict", &answer["verdict"]),
        ("ShownCheck", &answer["verdict"]["checks"][0]),
        ("ShownExplanation", &explained),
        ("Problem", &problem),
        ("Run", &run),
        ("EnvironmentInfo", &environment),
        ("Status", &status),
        ("EnvironmentStatus", &status["environments"][0]),
        ("RunBrief", &status["last_run"]),
        ("Whereabouts", &everywhere),
        ("Presence", &presence),
    ] {
        let (mut members, mut required) = (BTreeSet::new(), BTreeSet::new());
        gather(
            &document,
            &document["components"]["schemas"][schema],
            &mut members,
            &mut required,
        );
        let there: BTreeSet<String> = value.as_object().unwrap().keys().cloned().collect();
        assert!(there.is_subset(&members), "{schema}: {there:?} but {members:?}");
        assert!(required.is_subset(&there), "{schema}: {there:?} without {required:?}");
    }
    stage.end().await;
}

/// The members of a schema and of what it is put together from, and those it promises.
fn gather(document: &Value, schema: &Value, members: &mut BTreeSet<String>, required: &mut BTreeSet<String>) {
    if let Some(reference) = schema["$ref"].as_str() {
        return gather(document, document.pointer(&reference[1..]).unwrap(), members, required);
    }
    for part in schema["allOf"].as_array().into_iter().flatten() {
        gather(document, part, members, required);
    }
    members.extend(
        schema["properties"]
            .as_object()
            .into_iter()
            .flat_map(|properties| properties.keys().cloned()),
    );
    let names = schema["required"].as_array().into_iter().flatten();
    required.extend(names.filter_map(|name| name.as_str().map(str::to_owned)));
}
