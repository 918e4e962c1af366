//! A trigger may raise any SQLSTATE; only where an error comes from says whether it is about a row.

use rollcall::domain::reason::Code;

use super::{BAD, ENV, attempts, raising, run_sql, sync_fully, titled, unwritten};
use crate::on_demand::{ask_by, refusal};
use crate::world::{World, licensed, open_environment};

/// What looks like somebody else, an outage, a full disk, a fault of ours, and what no list has.
const STATES: [&str; 24] = [
    "P0001", "P0002", "P0003", "P0004", "40001", "40P01", "40003", "08000", "08006", "08P01", "57P01", "57P03",
    "57014", "55P03", "53100", "53300", "58030", "25006", "0A000", "42501", "28P01", "XX000", "23505", "ZZ123",
];

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_trigger_that_raises_costs_one_row_whatever_it_raises() {
    let world = World::new(vec![open_environment(ENV)]).await;
    run_sql(
        &world,
        format!(
            "{} create trigger a0_count before insert or update on rollcall.system_user for each row
             when (new.jobtitle = '{BAD}') execute function public.count_attempt();",
            super::COUNT
        ),
    )
    .await;
    let bob = titled(world.tenant(), "Bob", Some(BAD));
    for (number, state) in STATES.into_iter().enumerate() {
        run_sql(&world, raising(state)).await;
        let good = licensed(world.tenant(), "Good", &format!("Person{number}"));
        let tried = attempts(&world).await;
        sync_fully(&world).await;
        assert!(world.row(ENV, good).await.is_some(), "{state}");
        let now = attempts(&world).await;
        assert!((1..=2).contains(&(now - tried)), "{state}: {}", now - tried);
        let found = unwritten(&world).await;
        let told = format!("{bob} The database does not take the row: function public.refuse (SQLSTATE {state})");
        assert!(found.len() == 1 && found[0].ends_with(&told), "{found:?}");
        world.assert_settled().await;
        assert_eq!(attempts(&world).await, now, "{state}");
        let refused = refusal(ask_by(&world, "access", bob).await);
        assert_eq!(refused.code, Code::RowNotWritten, "{state}");
        assert_eq!(attempts(&world).await, now + 1, "{state}");
    }
    // Nothing of what was said is kept anywhere.
    for kept in [
        "select coalesce(string_agg(f::text, ' '), '') from rollcall.finding f",
        "select coalesce(string_agg(r::text, ' '), '') from rollcall.refusal r",
        "select coalesce(string_agg(r::text, ' '), '') from rollcall.sync_run r",
    ] {
        let kept = world.strings(kept).await.concat();
        assert!(
            !kept.contains("xxx") && !kept.contains('@') && !kept.contains("Bob"),
            "{kept}"
        );
    }
    world.end().await;
}
