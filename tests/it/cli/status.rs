//! `rollcall status`: what an operator reads first.

use chrono::{DateTime, TimeDelta, Utc};
use serde_json::{Value, json};
use sqlx::{Connection, PgConnection};

use super::{Stage, cells};

/// The row of another program, in an environment that the configuration lacks.
const ATTIC: &str = "
    insert into rollcall.environment (name, fingerprint, until_edited) values ('attic', '', '{}');
    insert into rollcall.system_user (environment, systemuserid, azureactivedirectoryobjectid, domainname)
    values ('attic', gen_random_uuid(), gen_random_uuid(), 'left@contoso.example')";

const DAEMON: &str = "
    insert into rollcall.lease as l (name, holder, fence, is_daemon, expires_at)
    values ('cycle', 'mill.example:77:ab12', 1, true, 'infinity')
    on conflict (name) do update set holder = excluded.holder, is_daemon = true, expires_at = 'infinity';
    insert into rollcall.sync_run (trigger, started_at) values ('interval', now())";

impl Stage {
    async fn status(&self) -> Value {
        serde_json::from_str(&self.good("status --output json").await).unwrap()
    }

    /// The text, which fits a terminal of 80 columns.
    async fn status_text(&self) -> String {
        let text = self.good("status").await;
        assert!(text.lines().all(|line| line.chars().count() <= 80), "{text}");
        text
    }
}

fn time(value: &Value) -> DateTime<Utc> {
    value.as_str().unwrap().parse().unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn status_says_who_leads_what_ran_and_how_each_environment_is() {
    let stage = Stage::new().await;
    let mut db = PgConnection::connect(&stage.database.url).await.unwrap();

    let text = stage.status_text().await;
    for line in [
        "Leader        none: no daemon syncs now. Start `rollcall serve`.",
        "Last run      none yet",
        "Last success  none yet",
        "Next cycle    none: no daemon leads",
    ] {
        assert!(text.lines().any(|told| told == line), "{line} in {text}");
    }
    assert!(text.contains("No run has succeeded for three intervals"), "{text}");

    stage.good("sync").await;
    stage.block(40);
    assert_eq!(stage.run("sync").await.code, Some(3));
    sqlx::raw_sql(ATTIC).execute(&mut db).await.unwrap();
    let status = stage.status().await;
    assert_eq!(
        [
            &status["leader"],
            &status["running"],
            &status["next_cycle_at"],
            &status["is_stale"]
        ],
        [&Value::Null, &Value::Null, &Value::Null, &json!(false)]
    );
    assert_eq!(
        (&status["last_run"]["id"], &status["last_success"]["outcome"]),
        (&json!(2), &json!("held"))
    );
    let environments = status["environments"].as_array().unwrap();
    for (one, name) in environments.iter().zip(["production", "sandbox", "attic"]) {
        assert_eq!(one["environment"], name);
        let listed = stage.good("environment list --output json").await;
        let listed: Value = serde_json::from_str(&listed).unwrap();
        let listed = listed["items"]
            .as_array()
            .unwrap()
            .iter()
            .find(|listed| listed["name"] == name);
        for count in ["configured", "enabled", "disabled", "held"] {
            assert_eq!(one[count], listed.unwrap()[count], "{count} of {name}");
        }
    }
    assert!(environments[0]["held"].as_i64().unwrap() > 0);
    assert_eq!(environments[0]["findings"]["removals_held"], 1);
    assert_eq!(environments[0]["non_interactive_cap"], 7);
    assert_eq!(environments[2]["non_interactive_cap"], Value::Null);

    sqlx::raw_sql(DAEMON).execute(&mut db).await.unwrap();
    let status = stage.status().await;
    assert_eq!(
        status["leader"],
        json!({"holder": "mill.example:77:ab12", "is_daemon": true})
    );
    assert_eq!(status["running"]["id"], 3);
    let due = time(&status["running"]["started_at"]) + TimeDelta::minutes(15);
    assert_eq!(time(&status["next_cycle_at"]), due);
    assert_eq!(status["last_run"]["id"], 2, "the run in progress is not the last one");
    let text = stage.status_text().await;
    for part in [
        "Leader        the daemon, process 77 on mill.example\n",
        "Running       run 3 (interval) since ",
        "Last run      run 2 (held), ",
        "Next cycle    about ",
        "rollcall environment retire NAME",
        "`rollcall runs approve RUN`",
    ] {
        assert!(text.contains(part), "{part} in {text}");
    }
    assert!(
        cells(&text)
            .iter()
            .any(|line| line.starts_with(&["attic", "left over", "1", "0", "0"])),
        "{text}"
    );

    // A day later nothing has succeeded, and the process is gone.
    let aged = "update rollcall.sync_run set started_at = started_at - interval '1 day',
                    ended_at = ended_at - interval '1 day';
                update rollcall.lease set expires_at = '-infinity'";
    sqlx::raw_sql(aged).execute(&mut db).await.unwrap();
    let status = stage.status().await;
    assert_eq!(
        [&status["is_stale"], &status["running"], &status["leader"]],
        [&json!(true), &Value::Null, &Value::Null]
    );
    db.close().await.unwrap();
    stage.end().await;
}
