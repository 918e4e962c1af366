//! A round of users that is a plain listing between two links: how it begins, goes on after a crash or a dead link, and
//! what absence from it means.

use rollcall::domain::feed::Kept;
use rollcall::simulator::tenant::{Tenant, TokenDeath};
use rollcall::simulator::{Carrying, Effect, When};
use uuid::Uuid;

use super::crashes::killed_at;
use super::{
    ENVIRONMENT, SALES, USERS, asked, assert_all_enabled, disabled, forever, forget_requests, has_row, heal, listed,
    once, restart, row, staff, sync_incompletely,
};
use crate::world::{World, licensed};

const LISTING: &str = "/users";
const COUNT: &str = "/users/$count";
const DELETED: &str = "/directory/deletedItems/microsoft.graph.user";

/// The requests about users since they were last taken, by endpoint, with what they carry.
fn told(world: &World) -> Vec<String> {
    let requests = world.simulator.take_requests();
    let about_users = requests
        .iter()
        .filter(|seen| [USERS, LISTING, COUNT, DELETED, "/$batch"].contains(&seen.endpoint));
    let what = about_users.map(|seen| match (seen.endpoint, &seen.query) {
        (USERS, query) if query.contains("latest") => "latest".to_owned(),
        (USERS, query) if query.contains("deltatoken") => "changes".to_owned(),
        (USERS, _) => "walk".to_owned(),
        (LISTING, _) => "page".to_owned(),
        (COUNT, _) => "count".to_owned(),
        (DELETED, _) => "deleted".to_owned(),
        (endpoint, _) => endpoint.to_owned(),
    });
    what.collect()
}

fn beginnings(world: &World) -> usize {
    asked(world, USERS)
        .iter()
        .filter(|seen| seen.query.contains("latest"))
        .count()
}

/// The next round is a listing from its beginning.
fn begin_anew(world: &World) {
    world.tenant().expire_tokens(TokenDeath::Gone);
    forget_requests(world);
}

/// A process that fails at a request for good, after which another goes on.
async fn broken_at(world: &mut World, request: When) {
    forever(world, request, Effect::error(500, "generalException"));
    sync_incompletely(world).await;
    heal(world);
    restart(world).await;
    forget_requests(world);
}

#[tokio::test]
async fn a_round_takes_the_link_of_the_changes_lists_follows_it_and_compares_the_number() {
    let world = listed(3).await;
    let users = staff(&world, 8);
    world.sync_completely().await;
    assert_eq!(
        told(&world),
        ["latest", "page", "page", "page", "changes", "deleted", "count"]
    );
    assert_all_enabled(&world, &users).await;
    world.sync_completely().await;
    assert_eq!(told(&world), ["changes"]);
    world.assert_settled().await;
    world.end().await;
}

#[tokio::test]
async fn what_changes_while_users_are_listed_counts_whether_its_page_was_read_before_or_after() {
    for page in 0..4 {
        let world = listed(2).await;
        let users = staff(&world, 8);
        let [changed, deleted, purged] = [users[1], users[3], users[5]];
        let change = move |tenant: &Tenant| {
            tenant.update_user(changed, |user| user.job_title = Some("Newer".to_owned()));
            tenant.soft_delete(deleted);
            tenant.purge(purged);
            licensed(tenant, "New", "Comer");
        };
        let when = When::endpoint(LISTING).after(page);
        once(&world, when, Effect::meanwhile(change));
        world.sync_completely().await;
        assert_eq!(
            row(&world, changed).await.jobtitle.as_deref(),
            Some("Newer"),
            "page {page}"
        );
        assert!(
            !has_row(&world, deleted).await && !has_row(&world, purged).await,
            "page {page}"
        );
        assert_eq!(world.rows(ENVIRONMENT).await.len(), 7, "page {page}");
        world.assert_settled().await;
        world.end().await;
    }
}

#[tokio::test]
async fn a_round_that_breaks_off_at_any_request_goes_on_there_with_the_link_it_began_with() {
    let requests = [
        When::path(USERS).carrying(Carrying::Latest),
        When::endpoint(LISTING),
        When::endpoint(LISTING).after(1),
        When::endpoint(LISTING).after(3),
        When::path(USERS).carrying(Carrying::DeltaToken),
        When::endpoint(DELETED),
        When::endpoint(COUNT),
    ];
    for (number, request) in requests.into_iter().enumerate() {
        let mut world = listed(2).await;
        let users = staff(&world, 8);
        broken_at(&mut world, request).await;
        // By now its page has been read, unless none has.
        let early = users[0];
        world
            .tenant()
            .update_user(early, |user| user.job_title = Some("Newer".to_owned()));
        world.sync_completely().await;
        let said = told(&world);
        let expected = match number {
            0 | 1 => vec!["latest", "page", "page", "page", "page", "changes", "deleted", "count"],
            2 => vec!["page", "page", "page", "changes", "deleted", "count"],
            3 => vec!["page", "changes", "deleted", "count"],
            _ => vec!["changes", "deleted", "count"],
        };
        assert_eq!(said, expected, "request {number}");
        assert_eq!(
            row(&world, early).await.jobtitle.as_deref(),
            Some("Newer"),
            "request {number}"
        );
        assert_all_enabled(&world, &users).await;
        world.assert_settled().await;
        world.end().await;
    }
}

#[tokio::test]
async fn a_round_killed_at_any_request_is_repeated_without_loss() {
    for page in 0..4 {
        let mut world = listed(2).await;
        let users = staff(&world, 8);
        killed_at(&mut world, When::endpoint(LISTING).after(page)).await;
        world.sync_completely().await;
        assert_all_enabled(&world, &users).await;
        world.assert_settled().await;
        world.end().await;
    }
}

#[tokio::test]
async fn a_page_link_that_dies_begins_the_listing_again_with_the_same_link_while_that_lives() {
    type Death = fn(&World);
    let page_links: Death = |world| world.tenant().expire_page_tokens();
    let refused: Death = |world| {
        let page = When::endpoint(LISTING).carrying(Carrying::SkipToken);
        once(world, page, Effect::error(400, "Request_BadRequest"));
    };
    let all: Death = |world| world.tenant().expire_tokens(TokenDeath::Gone);
    for (number, (death, rounds)) in [(page_links, 0), (refused, 0), (all, 1)].into_iter().enumerate() {
        let mut world = listed(2).await;
        let users = staff(&world, 8);
        broken_at(&mut world, When::endpoint(LISTING).after(2)).await;
        death(&world);
        world.sync_completely().await;
        assert_eq!(beginnings(&world), rounds, "death {number}");
        assert_all_enabled(&world, &users).await;
        world.assert_settled().await;
        world.end().await;
    }
}

#[tokio::test]
async fn where_the_link_or_the_listing_is_refused_the_round_is_a_walk_with_a_finding_and_the_next_tries_again() {
    let latest = || When::path(USERS).carrying(Carrying::Latest);
    for (when, status) in [
        (latest(), 400),
        (latest(), 501),
        (When::endpoint(LISTING), 400),
        (When::endpoint(LISTING), 405),
    ] {
        let world = listed(3).await;
        let users = staff(&world, 8);
        forever(&world, when, Effect::error(status, "Request_UnsupportedQuery"));
        world.sync_completely().await;
        assert_all_enabled(&world, &users).await;
        assert_eq!(world.findings().await, ["directory_unavailable"], "{status}");
        let walked = told(&world).iter().filter(|what| *what == "walk").count();
        assert_eq!(walked, 3, "{status}");
        // What it began with is followed, and nothing is asked for again that was refused.
        world.tenant().purge(users[0]);
        world.sync_completely().await;
        assert_eq!(told(&world), ["changes"]);
        assert_eq!(disabled(&world, users[0]).await.as_deref(), Some("directory_deleted"));
        assert!(world.findings().await.is_empty());
        heal(&world);
        begin_anew(&world);
        world.sync_completely().await;
        assert!(!told(&world).contains(&"walk".to_owned()));
        world.assert_settled().await;
        world.end().await;
    }
}

#[tokio::test]
async fn a_listing_that_breaks_off_is_doubted_and_read_again_and_disables_nobody() {
    for is_counted in [true, false] {
        let world = listed(4).await;
        let users = staff(&world, 12);
        if !is_counted {
            forever(
                &world,
                When::endpoint(COUNT),
                Effect::error(400, "Request_UnsupportedQuery"),
            );
        }
        world.sync_completely().await;
        begin_anew(&world);
        once(&world, When::endpoint(LISTING).after(1), Effect::NoLink);
        let report = sync_incompletely(&world).await;
        let why = "the directory listed 8 users, where it should have listed 12";
        assert!(
            report.problems.iter().any(|problem| problem.contains(why)),
            "{report:?}"
        );
        assert_eq!((report.environments[0].held, report.environments[0].disabled), (0, 0));
        assert_all_enabled(&world, &users).await;
        world.sync_completely().await;
        assert_all_enabled(&world, &users).await;
        world.assert_settled().await;
        assert!(world.findings().await.is_empty(), "{:?}", world.findings().await);
        world.end().await;
    }
}

#[tokio::test]
async fn a_first_listing_that_breaks_off_is_read_again() {
    let world = listed(4).await;
    let users = staff(&world, 12);
    once(&world, When::endpoint(LISTING).after(1), Effect::NoLink);
    sync_incompletely(&world).await;
    world.sync_completely().await;
    assert_all_enabled(&world, &users).await;
    world.assert_settled().await;
    world.end().await;
}

/// Takes users out of every listing.
fn without(users: &[Uuid]) -> Effect {
    let users: Vec<String> = users.iter().map(Uuid::to_string).collect();
    Effect::rewrite(move |page| {
        if let Some(entries) = page["value"].as_array_mut() {
            entries.retain(|entry| !users.iter().any(|user| entry["id"] == user.as_str()));
        }
    })
}

#[tokio::test]
async fn nobody_is_gone_for_being_missing_from_a_listing_but_for_what_a_look_up_says() {
    let world = listed(200).await;
    let users = staff(&world, 300);
    let [alive, deleted, purged] = [users[0], users[1], users[2]];
    world.sync_completely().await;
    world.tenant().soft_delete(deleted);
    world.tenant().purge(purged);
    world
        .tenant()
        .update_user(alive, |user| user.job_title = Some("Unlisted".to_owned()));
    begin_anew(&world);
    forever(&world, When::endpoint(LISTING), without(&[alive]));
    world.sync_completely().await;
    // Whoever is found nowhere is asked for once more.
    assert_eq!(told(&world).iter().filter(|what| *what == "/$batch").count(), 2);
    assert_eq!(row(&world, alive).await.jobtitle.as_deref(), Some("Unlisted"));
    assert_all_enabled(&world, &users[3..]).await;
    assert_eq!(disabled(&world, alive).await, None);
    assert_eq!(
        disabled(&world, deleted).await.as_deref(),
        Some("directory_soft_deleted")
    );
    assert_eq!(disabled(&world, purged).await.as_deref(), Some("directory_deleted"));
    world.assert_settled().await;
    world.end().await;
}

#[tokio::test]
async fn whoever_is_missing_and_cannot_be_looked_up_is_asked_for_by_the_next_run() {
    let world = listed(200).await;
    let users = staff(&world, 300);
    world.sync_completely().await;
    world.tenant().purge(users[0]);
    begin_anew(&world);
    forever(&world, When::path("/$batch"), Effect::error(503, ""));
    forever(&world, When::endpoint("/users/{id}"), Effect::error(503, ""));
    sync_incompletely(&world).await;
    assert_all_enabled(&world, &users).await;
    heal(&world);
    forget_requests(&world);
    world.sync_completely().await;
    assert!(!told(&world).contains(&"latest".to_owned()));
    assert_eq!(disabled(&world, users[0]).await.as_deref(), Some("directory_deleted"));
    world.assert_settled().await;
    world.end().await;
}

#[tokio::test]
async fn whoever_is_both_listed_and_deleted_is_looked_up() {
    let world = listed(200).await;
    let users = staff(&world, 5);
    world.sync_completely().await;
    let deleted = users[1];
    world.tenant().soft_delete(deleted);
    begin_anew(&world);
    // The listing is of before.
    let lagging = Effect::rewrite(move |page| {
        let mut stale = page["value"][0].clone();
        stale["id"] = deleted.to_string().into();
        stale["userPrincipalName"] = "user.number2@contoso.example".into();
        page["value"].as_array_mut().unwrap().push(stale);
    });
    once(&world, When::endpoint(LISTING), lagging);
    world.sync_completely().await;
    assert_eq!(
        disabled(&world, deleted).await.as_deref(),
        Some("directory_soft_deleted")
    );
    world.assert_settled().await;
    world.end().await;
}

/// The version before knows no listing of users: by the columns that it reads, a round must begin, so that it neither
/// follows a page of the listing as a page of the feed nor takes absence for a deletion. What it writes replaces all of it.
#[tokio::test]
async fn a_version_that_knows_no_listing_of_users_begins_a_round_of_its_own_in_the_middle_of_one() {
    for (number, request) in [
        When::endpoint(LISTING).after(2),
        When::path(USERS).carrying(Carrying::DeltaToken),
        When::endpoint(DELETED),
    ]
    .into_iter()
    .enumerate()
    {
        let mut world = listed(2).await;
        let users = staff(&world, 8);
        broken_at(&mut world, request).await;
        let columns = "select phase || ' ' || (next_link is null) from rollcall.checkpoint where source = 'users'";
        assert_eq!(world.strings(columns).await, ["full true"], "{number}");
        // It walks to its first page and is gone again.
        world.simulator.configure(|settings| settings.ignores_latest = true);
        let link = walked_one_page(&world).await;
        let wrote = "update rollcall.checkpoint set next_link = $1, delta_link = null, value = '{\"present\": 2}'
                     where source = 'users'";
        let wrote = sqlx::query(wrote).bind(link);
        wrote.execute(&mut world.sql().await).await.unwrap();
        restart(&mut world).await;
        world.simulator.configure(|settings| settings.ignores_latest = false);
        forget_requests(&world);
        world.sync_completely().await;
        assert!(
            !told(&world).contains(&"page".to_owned()),
            "{number}: its walk is finished"
        );
        assert_all_enabled(&world, &users[2..]).await;
        begin_anew(&world);
        world.sync_completely().await;
        assert_all_enabled(&world, &users).await;
        world.assert_settled().await;
        world.end().await;
    }
}

/// The next link of the first page of a walk.
async fn walked_one_page(world: &World) -> String {
    let page = world.engine.graph.users_delta(None, &Kept::All).await.unwrap();
    match page.next {
        rollcall::domain::feed::Next::Page(link) => link.expose().to_owned(),
        end => panic!("{end:?}"),
    }
}

#[tokio::test]
async fn a_listing_in_smaller_pages_reads_everybody_where_the_largest_are_refused() {
    for (largest, sizes) in [(500, 2), (120, 3)] {
        let world = listed(200).await;
        world.simulator.configure(|settings| settings.largest_top = largest);
        let users = staff(&world, 3);
        world.sync_completely().await;
        assert_eq!(asked(&world, LISTING).len(), sizes, "{largest}");
        assert_all_enabled(&world, &users).await;
        let plans = world.tenant().user(users[0]).unwrap().plans;
        assert!(plans.iter().any(|plan| plan.plan_id == SALES.to_string()) || !plans.is_empty());
        world.assert_settled().await;
        world.end().await;
    }
}

#[tokio::test]
async fn an_installation_of_before_moves_over_with_one_listing_that_touches_no_row() {
    let world = listed(3).await;
    world.simulator.configure(|settings| settings.ignores_latest = true);
    let users = staff(&world, 8);
    world.sync_completely().await;
    // It walked, with a smaller selection.
    world
        .execute("update rollcall.checkpoint set fingerprint = 'id,accountEnabled' where source = 'users'")
        .await;
    world.simulator.configure(|settings| settings.ignores_latest = false);
    forget_requests(&world);
    let report = world.sync_completely().await;
    assert_eq!(
        told(&world),
        ["latest", "page", "page", "page", "changes", "deleted", "count"]
    );
    assert_eq!(report.environments[0].updated, 0);
    assert_all_enabled(&world, &users).await;
    let changes = "select count(*) from rollcall.system_user_change where operation <> 'create'";
    assert_eq!(world.number(changes).await, 0);
    world.sync_completely().await;
    assert_eq!(told(&world), ["changes"]);
    world.assert_settled().await;
    world.end().await;
}
