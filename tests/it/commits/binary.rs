//! The same with the real program, at some of the commits: what it says, and that the next call ends well.

use rollcall::simulator::tenant::LARGE_GROUP;

use super::stories;
use crate::binary::Installation;
use crate::ending::{Ending, copy_of, drop_database};
use crate::proxy::{Proxy, Side};
use crate::world::World;

/// Breaks the connection of a command at some commits; the same command again ends well, and as if nothing had been.
async fn break_command(world: &World, environments: &str, command: &str, commits: &[u64]) {
    world.engine.store.close().await;
    let undisturbed = copy_of(world.database_url()).await;
    let said = Installation::new(&world.simulator, &undisturbed, environments)
        .run(command)
        .await;
    assert_eq!(said.code, Some(0), "{said:?}");
    let ending = Ending::of(&undisturbed).await;
    drop_database(&undisturbed).await;
    let mut breaks = 0;
    for (number, side) in commits
        .iter()
        .flat_map(|number| [(*number, Side::Before), (*number, Side::After)])
    {
        let told = format!("`{command}`, broken {side:?} commit {number}");
        let database = copy_of(world.database_url()).await;
        let proxy = Proxy::before(&database).await;
        let installation = Installation::new(&world.simulator, proxy.url(), environments);
        proxy.break_at(Some((number, side)));
        let said = installation.run(command).await;
        assert!(proxy.broke(), "{told}: {said:?}");
        // The program also announces itself beside its run, and goes on where only that was lost.
        if said.code != Some(0) {
            assert_eq!(said.code, Some(5), "{told}: {said:?}");
            let last = said.stderr.trim_end().lines().last().unwrap_or_default();
            assert!(last.contains("reach the database"), "{told}: {said:?}");
            breaks += 1;
        }
        proxy.break_at(None);
        let said = installation.run(command).await;
        assert_eq!(said.code, Some(0), "{told}, again: {said:?}");
        Ending::of(&database).await.compare(&ending, &told);
        drop_database(&database).await;
    }
    assert!(breaks > commits.len(), "{breaks}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_sync_in_the_foreground_that_loses_the_database_ends_with_5_and_the_next_one_goes_on() {
    let world = stories::founded().await;
    let environments = format!(
        "[[environment]]\nname = \"production\"\nkind = \"production\"\nsecurity_group = \"{LARGE_GROUP}\"\n\n\
         [[environment]]\nname = \"sandbox\"\nkind = \"production\"\n"
    );
    break_command(&world, &environments, "sync", &[2, 8, 12, 16]).await;
    world.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_approval_at_the_terminal_that_loses_the_database_ends_with_5_and_can_be_given_again() {
    let (world, run) = stories::held().await;
    // The program lives by the machine's clock.
    world
        .execute("update rollcall.held_set set expires_at = now() + interval '1 day'")
        .await;
    let environments = "[[environment]]\nname = \"production\"\nkind = \"production\"\n\n\
                        [[environment]]\nname = \"sandbox\"\nkind = \"production\"\n";
    break_command(&world, environments, &format!("runs approve {run}"), &[1, 2]).await;
    world.end().await;
}
