//! Two programs on one database: what the database counts, no process can count wrong.

use serde_json::json;
use uuid::Uuid;

use super::slots::taken;
use super::{edit, row, said, stage};
use crate::binary::Installation;
use crate::world::licensed;

const ENVIRONMENT: &str = "
[[environment]]
name = \"production\"
kind = \"production\"
";

/// So many at once from either side: each process has connections of its own, and the server serves other tests too.
const AT_ONCE: usize = 5;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn processes_and_an_engine_that_want_slots_at_once_fill_seven() {
    let world = stage().await;
    let users: Vec<Uuid> = (0..40)
        .map(|number| licensed(world.tenant(), "Robot", &number.to_string()))
        .collect();
    world.sync_completely().await;
    let installation = Installation::new(&world.simulator, world.database_url(), ENVIRONMENT);
    for round in 0..2 {
        let mut words = Vec::new();
        let (by_process, by_engine) = users.split_at(20);
        for (processes, edits) in by_process.chunks(AT_ONCE).zip(by_engine.chunks(AT_ONCE)) {
            let processes = processes.iter().map(|user| {
                let command = format!("user edit {user} --environment production --set accessmode=4 --output json");
                let installation = &installation;
                async move { installation.run(&command).await }
            });
            // Each engine's edit waits for a row lock or the environment's line like any process.
            let edits = edits.iter().map(|user| edit(&world, user, json!({"accessmode": 4})));
            let (processes, edits) = tokio::join!(
                futures_util::future::join_all(processes),
                futures_util::future::join_all(edits)
            );
            words.extend(edits.iter().map(said));
            for said in processes {
                let document = said.json();
                let (code, key) = if said.code == Some(0) {
                    (0, "outcome")
                } else {
                    (6, "code")
                };
                assert_eq!(said.code, Some(code), "{said:?}");
                words.push(document[key].as_str().unwrap().to_owned());
            }
        }
        let count = |word: &str| words.iter().filter(|said| *said == word).count();
        assert_eq!(
            (count("updated"), count("non_interactive_cap")),
            (7, 33),
            "round {round}: {words:?}"
        );
        assert_eq!(taken(&world).await, (7, 7));
        for user in &users {
            if row(&world, *user).await.accessmode == 4 {
                assert_eq!(said(&edit(&world, user, json!({"accessmode": 0})).await), "updated");
            }
        }
    }
    world.assert_settled().await;
    world.end().await;
}
