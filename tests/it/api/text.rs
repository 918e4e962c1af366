//! Text that callers send: what is around it is no part of it, and what is in it stays exact.

use reqwest::Method;
use serde_json::{Value, json};

use super::{OPERATOR, Stage, sent, with_json};
use crate::world::licensed;

/// What editors and dialogs put around a text, as it is and as it stands in an address.
const AROUND: [(&str, &str); 7] = [
    (" ", "%20"),
    ("\r\n", "%0D%0A"),
    ("\u{feff}", "%EF%BB%BF"),
    ("\u{a0}", "%C2%A0"),
    ("\u{3000}", "%E3%80%80"),
    ("\u{200b}", "%E2%80%8B"),
    ("\u{202a}", "%E2%80%AA"),
];

#[tokio::test]
#[expect(clippy::too_many_lines, reason = "one text in every place that takes one")]
async fn text_2_what_is_around_a_text_is_no_part_of_it_in_bodies_paths_and_parameters() {
    let stage = Stage::new().await;
    let ada = licensed(stage.world.tenant(), "Ada", "Lovelace");
    stage.access(ada).await.good();
    let name = "ada.lovelace@contoso.example";
    let braces = format!("{{{}}}", ada.to_string().to_uppercase());
    for (around, coded) in AROUND {
        for named in [name, &braces] {
            let user = json!({"user": format!("{around}{named}{around}")});
            let env = format!("environments/{coded}production{coded}");
            for path in ["users", "access"] {
                stage.post(&format!("{env}/{path}"), &user).await.good();
            }
            let many = json!({"users": [user["user"]]});
            let batch = stage.post(&format!("{env}/users:batch"), &many).await.items();
            assert_eq!(
                (&batch[0]["user"], batch[0]["answer"].is_object()),
                (&json!(named), true),
                "{around:?}"
            );
            let import = json!({
                "users": [user["user"]], "company": format!("{around}USMF{around}"), "background": true,
                "monitoring_category": format!("{around}sales"), "description": format!("{around}why{around}"),
            });
            let job = stage.post(&format!("{env}/imports"), &import).await.good();
            assert_eq!(
                (&job["company"], &job["monitoring_category"], &job["description"]),
                (&json!("USMF"), &json!("sales"), &json!("why")),
                "{around:?}"
            );
            let item = &stage.get(&format!("imports/{coded}{}/items", job["id"])).await.items()[0];
            assert_eq!(item["user"], named, "{around:?}");

            let coded_name = named.replace('{', "%7B").replace('}', "%7D");
            let row = format!("{env}/users/{coded}{coded_name}{coded}");
            stage.get(&row).await.good();
            stage.act(&format!("{row}/refresh")).await.good();
            let held = stage
                .post(
                    &format!("{row}/hold"),
                    &json!({"reason": format!("{around}leave{around}")}),
                )
                .await
                .good();
            assert_eq!(held["user"]["holdreason"], "leave", "{around:?}");
            stage.act(&format!("{row}/release")).await.good();
            let edit = json!({"company": format!("{around}Contoso Ltd{around}"), "jobtitle": format!("{around}Head")});
            let edited = stage.patch(&row, &edit).await.good();
            assert_eq!(
                (&edited["user"]["company"], &edited["user"]["jobtitle"]),
                (&json!("Contoso Ltd"), &json!("Head")),
                "{around:?}"
            );
            let explained = stage
                .get(&format!(
                    "{env}/explain?user={coded}{coded_name}{coded}&trigger={coded}access"
                ))
                .await;
            assert_eq!(explained.good()["outcome"], "keep", "{around:?}");
        }
        for (list, count) in [
            ("users?text={}lovelace{}&state={}enabled&limit={}5", 1),
            ("findings?environment={}production{}", 0),
        ] {
            let list = list.replace("{}", coded);
            let path = if list.starts_with("users") {
                format!("environments/production/{list}")
            } else {
                list
            };
            assert_eq!(stage.get(&path).await.items().len(), count, "{path}");
        }
    }
    // A whole document from a file, and one person by two spellings of an id.
    let path = "environments/production/access";
    let body = format!("\u{feff}{}\r\n", json!({"user": name}));
    sent(with_json(stage.request(Method::POST, path, Some(OPERATOR)), body))
        .await
        .good();
    let import = json!({"users": [ada.to_string(), braces], "company": "USMF", "background": true});
    assert_eq!(
        stage.post("environments/production/imports", &import).await.good()["total"],
        1
    );
    let stub = json!({"user": "\u{feff}stub@contoso.example\r\n", "company": "\u{a0}USMF"});
    let made = stage.post("environments/production/stubs", &stub).await.good();
    let row = [&made["user"]["domainname"], &made["user"]["company"]];
    assert_eq!(row, [&json!("stub@contoso.example"), &json!("USMF")]);
    let stub = json!({"user": "st\u{feff}ub@contoso.example"});
    assert_eq!(stage.post("environments/production/stubs", &stub).await.field(), "user");
    let application = json!({"application": format!(" {braces}\r\n")});
    let unknown = stage.post("environments/production/applications", &application).await;
    assert_eq!(
        unknown.problem(),
        (503, "directory_unavailable"),
        "the id is understood"
    );
    let own = json!({"fields": ["\u{feff}internalemailaddress "], "by": "customer"});
    stage
        .post(&format!("environments/production/users/{ada}/own"), &own)
        .await
        .items();
    // Within a text they stay, and nobody is called so.
    let within = json!({"user": "ada.\u{feff}lovelace@contoso.example"});
    let refused = stage.post("environments/production/access", &within).await;
    assert_eq!(refused.problem(), (404, "user_not_found"));
    for nothing in ["\u{feff}", " \r\n"] {
        let refused = stage
            .post("environments/production/access", &json!({"user": nothing}))
            .await;
        assert_eq!(refused.field(), "user");
    }
    stage.end().await;
}

#[tokio::test]
async fn what_is_in_a_text_comes_back_exactly() {
    let stage = Stage::new().await;
    let ada = licensed(stage.world.tenant(), "Ada", "Lovelace");
    stage.access(ada).await.good();
    let row = format!("environments/production/users/{ada}");
    for text in [
        "a\nb",
        "a\u{1b}[2Jb",
        "a\u{202e}b",
        "a\u{9b}b",
        "a\u{feff}b",
        "a  b",
        "a\tb",
    ] {
        let edited = stage.patch(&row, &json!({"jobtitle": text})).await.good();
        assert_eq!(edited["user"]["jobtitle"], Value::from(text));
        assert_eq!(stage.get(&row).await.good()["jobtitle"], Value::from(text));
    }
    stage.end().await;
}
