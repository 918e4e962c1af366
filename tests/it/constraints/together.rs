//! Many environments in one batch: each gets what it gets alone, also where the database rejects rows of one of them.

use std::slice::from_ref;

use rand::SeedableRng;
use rand::rngs::StdRng;
use rollcall::domain::environment::{Environment, GroupNesting};
use rollcall::plan::guard::Limits;
use rollcall::simulator::Settings as SimulatorSettings;
use rollcall::simulator::tenant::{LARGE_GROUP, NESTED_GROUP};
use rollcall::sync::cycle::Request;

use super::siblings::{assert_same, with_role};
use super::{run_sql, titled, unwritten};
use crate::world::{World, guarded_environment, open_environment};

/// Held removals are part of the play.
const LIMITS: Limits = Limits {
    max_disables: 6,
    max_disable_percent: 100.0,
};

fn environments() -> Vec<Environment> {
    let nested = Environment {
        group_nesting: GroupNesting::Full,
        ..guarded_environment("nested", NESTED_GROUP)
    };
    let capped = Environment {
        non_interactive_cap: 1,
        ..open_environment("capped")
    };
    let guarded = guarded_environment("guarded", LARGE_GROUP);
    vec![
        with_role(),
        guarded,
        nested,
        capped,
        open_environment("rejecting"),
        open_environment("sandbox"),
    ]
}

const QUERIES: [&str; 6] = [
    "select concat_ws(' ', environment, azureactivedirectoryobjectid, to_jsonb(s) - array['systemuserid', 'createdon', 'modifiedon'])
     from rollcall.system_user s order by 1",
    "select concat_ws(' ', c.environment, s.azureactivedirectoryobjectid, c.actor, c.operation, c.reason, c.by_rule, c.fields)
     from rollcall.system_user_change c join rollcall.system_user s using (environment, systemuserid) order by 1",
    "select concat_ws(' ', r.environment, s.azureactivedirectoryobjectid, r.role, r.provenance, r.granted_by)
     from rollcall.system_user_role r join rollcall.system_user s using (environment, systemuserid) order by 1",
    "select concat_ws(' ', environment, azureactivedirectoryobjectid, code, detail) from rollcall.finding
     where closed_at is null and code <> 'removals_held' order by 1",
    "select concat_ws(' ', environment, object_id, reason, state) from rollcall.removal order by 1",
    "select concat_ws(' ', environment, enabled_rows + coalesce((select sum(delta) from rollcall.enabled_delta d
         where d.environment = name), 0)) from (select name as environment, * from rollcall.environment) e order by 1",
];

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_environment_gets_together_with_others_what_it_gets_alone() {
    let simulator = SimulatorSettings {
        users: 60,
        ..SimulatorSettings::default()
    };
    let together = World::with(environments(), simulator, LIMITS).await;
    together.tenant().furnish();
    let bob = titled(together.tenant(), "Bob", Some("Forbidden"));
    let alone = together.beside().await;
    for world in [&together, &alone] {
        let rule = format!(
            "alter table rollcall.system_user add constraint no_bob
             check (environment <> 'rejecting' or azureactivedirectoryobjectid <> '{bob}')"
        );
        run_sql(world, rule).await;
    }
    let seed: u64 = rand::random();
    println!("seed {seed}");
    let mut dice = StdRng::seed_from_u64(seed);
    let mut rejected = 0;
    for round in 0..6 {
        // Bob is there in the first round, whatever becomes of him.
        for _ in 0..if round == 0 { 0 } else { 25 } {
            together.tenant().random_change(&mut dice);
        }
        let tenant = together.tenant();
        tenant.update_user(bob, |user| user.city = Some(format!("City {round}")));
        together.sync().await;
        for environment in environments() {
            let request = Request {
                trigger: "sync".to_owned(),
                environments: from_ref(&environment.name).to_vec(),
                ..Request::default()
            };
            alone.run(request).await.unwrap();
        }
        for query in QUERIES {
            assert_same(&together.strings(query).await, &alone.strings(query).await);
        }
        rejected += unwritten(&together).await.len();
    }
    assert!(rejected > 0);
    together.end().await;
    alone.end().await;
}
