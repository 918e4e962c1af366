//! Item 8: links that must not be followed, and pages without any. They end the source's round for this run,
//! nobody is disabled, and the next runs recover.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use rollcall::simulator::tenant::TokenDeath;
use rollcall::simulator::{Carrying, Effect, When};
use tokio::net::TcpListener;
use tokio_util::task::AbortOnDropHandle;
use url::Url;
use uuid::Uuid;

use super::{
    ENVIRONMENT, GATE, USERS, asked, assert_all_enabled, beginnings, disabled, forever, forget_requests, heal, once,
    page, paged, paged_with, row, staff, sync_incompletely,
};
use crate::world::{World, guarded_environment};

/// Another host, where no request of ours may ever arrive.
pub struct Stranger {
    root: String,
    visits: Arc<AtomicUsize>,
    _listening: AbortOnDropHandle<()>,
}

impl Stranger {
    pub async fn listen() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let root = format!("http://{}", listener.local_addr().unwrap());
        let visits = Arc::new(AtomicUsize::new(0));
        let count = Arc::clone(&visits);
        let listening = AbortOnDropHandle::new(tokio::spawn(async move {
            while listener.accept().await.is_ok() {
                count.fetch_add(1, Ordering::Relaxed);
            }
        }));
        Self {
            root,
            visits,
            _listening: listening,
        }
    }

    pub fn root(&self) -> &str {
        &self.root
    }

    pub fn visits(&self) -> usize {
        self.visits.load(Ordering::Relaxed)
    }
}

/// A resync meets `effect` at page 2 of 4, once or for ever: it stops there, disables nobody, and the runs after
/// it find whom it missed.
async fn stops_a_resync_and_recovers(effect: Effect) {
    for for_ever in [false, true] {
        let world = paged(2).await;
        let users = staff(&world, 8);
        world.sync_completely().await;
        world.tenant().purge(users[7]);
        world.tenant().expire_tokens(TokenDeath::Gone);
        if for_ever {
            forever(&world, page(2), effect.clone());
        } else {
            once(&world, page(2), effect.clone());
        }
        for _ in 0..if for_ever { 4 } else { 1 } {
            forget_requests(&world);
            sync_incompletely(&world).await;
            assert!(asked(&world, USERS).len() <= 4, "{:?}", asked(&world, USERS));
            assert_all_enabled(&world, &users).await;
        }
        heal(&world);
        world.sync_completely().await;
        assert_eq!(disabled(&world, users[7]).await.as_deref(), Some("directory_deleted"));
        assert_all_enabled(&world, &users[..7]).await;
        world.assert_settled().await;
        world.end().await;
    }
}

/// A first round meets `effect` once at page 3 of 5: the next run resumes at that very page.
async fn is_resumed_at_that_page(effect: Effect) {
    let world = paged(2).await;
    let users = staff(&world, 10);
    once(&world, page(3), effect);
    let report = sync_incompletely(&world).await;
    assert!(report.problems[0].starts_with("users: "), "{report:?}");
    assert!(world.rows(ENVIRONMENT).await.is_empty());
    assert_eq!(asked(&world, USERS).len(), 3, "nothing is asked beyond the bad page");
    forget_requests(&world);
    world.sync_completely().await;
    let pages = asked(&world, USERS);
    assert_eq!(
        (beginnings(&pages), pages.len()),
        (0, 3),
        "pages 3 to 5 alone: {pages:?}"
    );
    assert_all_enabled(&world, &users).await;
    world.assert_settled().await;
    world.end().await;
}

#[tokio::test]
async fn item_8_a_next_link_with_a_foreign_host_gets_no_request() {
    let stranger = Stranger::listen().await;
    is_resumed_at_that_page(Effect::ForeignNextLink(stranger.root().to_owned())).await;
    stops_a_resync_and_recovers(Effect::ForeignNextLink(stranger.root().to_owned())).await;
    assert_eq!(stranger.visits(), 0);
}

#[tokio::test]
async fn item_8_a_delta_link_with_a_foreign_host_gets_no_request() {
    let stranger = Stranger::listen().await;
    let world = paged(2).await;
    let users = staff(&world, 4);
    let foreign = format!("{}/v1.0/users/delta?$deltatoken=foreign", stranger.root());
    once(
        &world,
        page(2),
        Effect::rewrite(move |page| page["@odata.deltaLink"] = foreign.clone().into()),
    );
    sync_incompletely(&world).await;
    world.sync_completely().await;
    world
        .tenant()
        .update_user(users[0], |user| user.job_title = Some("Later".to_owned()));
    world.sync_completely().await;
    assert_eq!(row(&world, users[0]).await.jobtitle.as_deref(), Some("Later"));
    assert_eq!(stranger.visits(), 0);
    world.assert_settled().await;
    world.end().await;
}

#[tokio::test]
async fn item_8_a_next_link_to_itself_stops_the_round() {
    is_resumed_at_that_page(Effect::NextLinkToItself).await;
    stops_a_resync_and_recovers(Effect::NextLinkToItself).await;
}

#[tokio::test]
async fn item_8_a_first_page_that_leads_to_itself_stops_the_round() {
    let world = paged(2).await;
    let users = staff(&world, 4);
    once(&world, page(1), Effect::NextLinkToItself);
    sync_incompletely(&world).await;
    assert_eq!(asked(&world, USERS).len(), 1);
    world.sync_completely().await;
    assert_all_enabled(&world, &users).await;
    world.assert_settled().await;
    world.end().await;
}

#[tokio::test]
async fn item_8_a_circle_of_pages_stops_the_round() {
    let world = paged(2).await;
    let users = staff(&world, 8);
    world.sync_completely().await;
    world.tenant().purge(users[7]);
    world.tenant().expire_tokens(TokenDeath::Gone);
    // Page 1 leads to 2, 2 to 3, and 3 back to 2.
    let second = Arc::new(std::sync::Mutex::new(None));
    let noted = Arc::clone(&second);
    once(
        &world,
        page(1),
        Effect::rewrite(move |page| *noted.lock().unwrap() = Some(page["@odata.nextLink"].clone())),
    );
    forever(
        &world,
        page(3),
        Effect::rewrite(move |page| {
            if let Some(page) = page.as_object_mut() {
                page.remove("@odata.deltaLink");
                page.insert("@odata.nextLink".to_owned(), second.lock().unwrap().clone().unwrap());
            }
        }),
    );
    for _ in 0..3 {
        forget_requests(&world);
        sync_incompletely(&world).await;
        assert!(asked(&world, USERS).len() <= 6, "{}", asked(&world, USERS).len());
        assert_all_enabled(&world, &users).await;
    }
    heal(&world);
    world.sync_completely().await;
    assert_eq!(disabled(&world, users[7]).await.as_deref(), Some("directory_deleted"));
    world.assert_settled().await;
    world.end().await;
}

#[tokio::test]
async fn item_8_a_page_that_is_an_empty_object_is_where_the_next_run_resumes() {
    is_resumed_at_that_page(Effect::empty_object()).await;
    stops_a_resync_and_recovers(Effect::empty_object()).await;
}

#[tokio::test]
async fn item_8_a_page_without_either_link_is_where_the_next_run_resumes() {
    is_resumed_at_that_page(Effect::NoLink).await;
    stops_a_resync_and_recovers(Effect::NoLink).await;
}

#[tokio::test]
async fn item_8_a_page_without_value_is_where_the_next_run_resumes() {
    is_resumed_at_that_page(Effect::NoValue).await;
    stops_a_resync_and_recovers(Effect::NoValue).await;
}

#[tokio::test]
async fn item_8_a_page_with_both_links_is_where_the_next_run_resumes() {
    let both = || Effect::rewrite(|page| page["@odata.deltaLink"] = page["@odata.nextLink"].clone());
    is_resumed_at_that_page(both()).await;
    stops_a_resync_and_recovers(both()).await;
}

#[tokio::test]
async fn item_8_a_bad_page_in_a_later_round_loses_no_change() {
    let stranger = Stranger::listen().await;
    for effect in [
        Effect::ForeignNextLink(stranger.root().to_owned()),
        Effect::NextLinkToItself,
        Effect::empty_object(),
        Effect::NoLink,
        Effect::NoValue,
    ] {
        for carrying in [Carrying::DeltaToken, Carrying::SkipToken] {
            let world = paged(2).await;
            let users = staff(&world, 6);
            world.sync_completely().await;
            for user in &users {
                world
                    .tenant()
                    .update_user(*user, |user| user.job_title = Some("Changed".to_owned()));
            }
            once(&world, When::path(USERS).carrying(carrying), effect.clone());
            sync_incompletely(&world).await;
            assert_all_enabled(&world, &users).await;
            forget_requests(&world);
            world.sync_completely().await;
            assert_eq!(beginnings(&asked(&world, USERS)), 0, "no full round is needed");
            let rows = world.rows(ENVIRONMENT).await;
            assert!(
                rows.values().all(|row| row.jobtitle.as_deref() == Some("Changed")),
                "{rows:?}"
            );
            world.assert_settled().await;
            world.end().await;
        }
    }
    assert_eq!(stranger.visits(), 0);
}

/// A gate with 250 members in three pages.
async fn gate() -> (World, Vec<Uuid>) {
    let world = paged_with(vec![guarded_environment(ENVIRONMENT, GATE)], 100).await;
    let users = staff(&world, 250);
    world.tenant().create_group_with_id(GATE, "Gate");
    world.tenant().add_members(GATE, users.iter().copied());
    world.sync_completely().await;
    (world, users)
}

#[tokio::test]
async fn item_8_a_bad_page_of_a_group_listing_disables_nobody_and_recovers() {
    let stranger = Stranger::listen().await;
    let (world, users) = gate().await;
    for effect in [
        Effect::ForeignNextLink(stranger.root().to_owned()),
        Effect::NextLinkToItself,
        Effect::empty_object(),
        Effect::NoValue,
    ] {
        for after in [0, 1] {
            world.tenant().expire_tokens(TokenDeath::Gone);
            once(&world, When::path("/groups/{id}/members").after(after), effect.clone());
            let report = sync_incompletely(&world).await;
            assert!(report.problems[0].starts_with("group:"), "{report:?}");
            assert_all_enabled(&world, &users).await;
            heal(&world);
            world.sync_completely().await;
            assert_all_enabled(&world, &users).await;
        }
    }
    assert_eq!(stranger.visits(), 0);
    world.assert_settled().await;
    world.end().await;
}

#[tokio::test]
async fn item_8_a_bad_page_of_group_changes_disables_nobody_and_recovers() {
    let stranger = Stranger::listen().await;
    let (world, users) = gate().await;
    for effect in [
        Effect::ForeignNextLink(stranger.root().to_owned()),
        Effect::NextLinkToItself,
        Effect::empty_object(),
        Effect::NoLink,
        Effect::NoValue,
    ] {
        world.tenant().remove_member(GATE, users[0]);
        once(&world, When::path("/groups/delta"), effect.clone());
        sync_incompletely(&world).await;
        assert_all_enabled(&world, &users[1..]).await;
        world.sync_completely().await;
        assert_eq!(
            disabled(&world, users[0]).await.as_deref(),
            Some("not_in_security_group")
        );
        world.tenant().add_member(GATE, users[0]);
        world.sync_completely().await;
        assert_all_enabled(&world, &users).await;
    }
    assert_eq!(stranger.visits(), 0);
    world.assert_settled().await;
    world.end().await;
}

#[tokio::test]
async fn item_8_stored_links_of_a_root_that_is_no_longer_configured_are_not_followed() {
    let (mut world, users) = gate().await;
    // The same tenant is reached by another name from now on; the old one leads elsewhere.
    let stranger = Stranger::listen().await;
    for column in ["next_link", "delta_link"] {
        let root = Url::parse(world.simulator.root()).unwrap();
        let statement = format!(
            "update rollcall.checkpoint set {column} = replace({column}, '{}', '{}')",
            root.as_str().trim_end_matches('/'),
            stranger.root()
        );
        sqlx::raw_sql(sqlx::AssertSqlSafe(statement))
            .execute(&mut world.sql().await)
            .await
            .unwrap();
    }
    super::restart(&mut world).await;
    world.tenant().purge(users[0]);
    world.sync_completely().await;
    assert_eq!(disabled(&world, users[0]).await.as_deref(), Some("directory_deleted"));
    assert_all_enabled(&world, &users[1..]).await;
    assert_eq!(stranger.visits(), 0);
    world.assert_settled().await;
    world.end().await;
}
