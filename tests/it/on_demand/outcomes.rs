//! The outcome table of rules.md, section 4, every column by every way to ask: the rows, not only the rules.

use uuid::Uuid;

use super::{ENV, WAYS, counted_disables, entitle, person, row, stage, state, word};
use crate::guard::{allow, block};
use crate::world::{World, licensed};

const ENTITLEMENTS: [&str; 4] = ["full", "admin", "on_demand_only", "none"];

/// One user for every entitlement and every way to ask.
struct Crowd {
    world: World,
    users: Vec<(&'static str, &'static str, Uuid)>,
}

impl Crowd {
    /// Everybody has an enabled row and a full licence.
    async fn enabled() -> Self {
        let world = stage().await;
        let mut users = Vec::new();
        for entitlement in ENTITLEMENTS {
            for way in WAYS {
                users.push((entitlement, way, licensed(world.tenant(), entitlement, way)));
            }
        }
        world.sync_completely().await;
        Self { world, users }
    }

    /// From here on everybody has what the test is about; no cycle comes by.
    fn entitle(&self) {
        for (entitlement, _, user) in &self.users {
            entitle(&self.world, *user, entitlement);
        }
    }

    fn ids(&self) -> Vec<Uuid> {
        self.users.iter().map(|(_, _, id)| *id).collect()
    }

    /// Asks for each and compares the answer and the row with what is expected.
    async fn ask(&self, expected: impl Fn(&str, &str) -> (&'static str, &'static str)) {
        for (entitlement, way, user) in &self.users {
            let said = word(&self.world, way, user).await;
            let row = state(&self.world, *user).await;
            let expected = expected(entitlement, way);
            assert_eq!((said.as_str(), row.as_str()), expected, "{entitlement}, {way}");
        }
    }
}

#[tokio::test]
async fn without_a_row_everybody_who_is_entitled_gets_one_on_demand() {
    let world = stage().await;
    world.sync_completely().await;
    let users = ENTITLEMENTS
        .iter()
        .flat_map(|entitlement| WAYS.map(|way| (*entitlement, way, person(&world, entitlement, way, entitlement))))
        .collect();
    let crowd = Crowd { world, users };
    crowd
        .ask(|entitlement, way| match (entitlement, way) {
            ("none", _) => ("unlicensed", "none"),
            (_, "refresh") => ("unchanged", "none"),
            _ => ("created", "enabled"),
        })
        .await;
    for (entitlement, way, user) in &crowd.users {
        let Some(row) = crowd.world.row(ENV, *user).await else {
            continue;
        };
        let mode = if *entitlement == "admin" { (1, true) } else { (0, false) };
        assert_eq!((row.accessmode, row.setupuser), mode, "{entitlement}, {way}");
        assert_eq!(row.islicensed, *entitlement == "full");
        assert_eq!(row.createdby, "helpdesk");
        assert!(row.issyncwithdirectory && row.accessmode_origin == "sync");
    }
    // The cycle makes the two rows that refresh did not, and keeps the others.
    let report = crowd.world.sync_completely().await;
    assert_eq!(
        (report.environments[0].created, report.environments[0].disabled),
        (2, 0)
    );
    crowd.world.assert_settled().await;
    crowd.world.end().await;
}

#[tokio::test]
async fn without_a_row_the_background_creates_narrowly() {
    let world = stage().await;
    let users: Vec<(&str, Uuid)> = ENTITLEMENTS
        .iter()
        .map(|entitlement| (*entitlement, person(&world, entitlement, "Person", entitlement)))
        .collect();
    let report = world.sync_completely().await;
    for (entitlement, user) in users {
        let expected = match entitlement {
            "full" | "admin" => "enabled",
            _ => "none",
        };
        assert_eq!(state(&world, user).await, expected, "{entitlement}");
    }
    let skipped: Vec<(&str, u64)> = report.environments[0]
        .skipped
        .iter()
        .map(|(code, count)| (code.as_str(), *count))
        .collect();
    assert_eq!(skipped, [("on_demand_only", 1), ("unlicensed", 1)]);
    world.assert_settled().await;
    world.end().await;
}

#[tokio::test]
async fn whom_the_sync_disabled_whoever_asks_enables() {
    let crowd = Crowd::enabled().await;
    block(&crowd.world, &crowd.ids());
    crowd.world.sync_completely().await;
    let blocked = counted_disables(&crowd.world).await;
    crowd.entitle();
    allow(&crowd.world, &crowd.ids());
    crowd
        .ask(|entitlement, way| match (entitlement, way) {
            (_, "import") => ("unchanged", "directory_account_disabled by sync"),
            ("none", _) => ("unlicensed", "unlicensed by sync"),
            _ => ("enabled", "enabled"),
        })
        .await;
    assert_eq!(
        counted_disables(&crowd.world).await,
        blocked,
        "nobody was disabled again"
    );
    // What the import left: the cycle enables who is entitled, and says of the others why not.
    crowd.world.sync_completely().await;
    for (entitlement, way, user) in &crowd.users {
        let expected = match (*entitlement, *way) {
            ("none", _) => "unlicensed by sync",
            ("on_demand_only", "import") => "on_demand_only by sync",
            _ => "enabled",
        };
        assert_eq!(state(&crowd.world, *user).await, expected, "{entitlement}, {way}");
    }
    crowd.world.assert_settled().await;
    crowd.world.end().await;
}

#[tokio::test]
async fn whom_a_person_disabled_comes_back_by_asking_and_never_by_the_background() {
    let crowd = Crowd::enabled().await;
    for user in crowd.ids() {
        assert_eq!(word(&crowd.world, "disable", user).await, "disabled");
    }
    crowd.entitle();
    crowd.world.sync_completely().await;
    for user in crowd.ids() {
        assert_eq!(state(&crowd.world, user).await, "disabled_by_hand by helpdesk");
    }
    assert_eq!(
        counted_disables(&crowd.world).await,
        0,
        "a person's disables do not count"
    );
    crowd
        .ask(|entitlement, way| match (entitlement, way) {
            (_, "import") => ("unchanged", "disabled_by_hand by helpdesk"),
            ("none", _) => ("unlicensed", "disabled_by_hand by helpdesk"),
            _ => ("enabled", "enabled"),
        })
        .await;
    crowd.world.assert_settled().await;
    crowd.world.end().await;
}

#[tokio::test]
async fn whoever_is_on_hold_stays_so_whichever_way_it_is_asked() {
    let crowd = Crowd::enabled().await;
    for user in crowd.ids() {
        assert_eq!(word(&crowd.world, "hold", user).await, "disabled");
    }
    crowd.entitle();
    crowd
        .ask(|entitlement, way| match (entitlement, way) {
            (_, "import") | ("full", "refresh") => ("unchanged", "on_hold by helpdesk"),
            ("none", _) => ("unlicensed", "on_hold by helpdesk"),
            // That there is no paid plan any more.
            (_, "refresh") => ("updated", "on_hold by helpdesk"),
            _ => ("on_hold", "on_hold by helpdesk"),
        })
        .await;
    crowd.world.sync_completely().await;
    crowd.world.assert_settled().await;
    crowd.world.end().await;
}

#[tokio::test]
async fn an_enabled_row_stays_unless_nothing_entitles_it_any_more() {
    let crowd = Crowd::enabled().await;
    crowd.entitle();
    crowd
        .ask(|entitlement, way| match (entitlement, way) {
            (_, "import") | ("full", _) => ("unchanged", "enabled"),
            ("none", "refresh") => ("disabled", "unlicensed by sync"),
            ("none", _) => ("unlicensed", "unlicensed by sync"),
            // The mode of an administrator, or that there is no paid plan any more.
            _ => ("updated", "enabled"),
        })
        .await;
    assert_eq!(
        counted_disables(&crowd.world).await,
        5,
        "a refusal that disables counts"
    );
    let lines = crowd
        .world
        .strings(
            "select distinct concat_ws(' ', actor, operation, reason, by_rule) from rollcall.system_user_change
             where operation = 'disable'",
        )
        .await;
    assert_eq!(lines, ["helpdesk disable unlicensed t"]);
    for (entitlement, way, user) in &crowd.users {
        let row = row(&crowd.world, *user).await;
        if *entitlement == "admin" && *way != "import" {
            assert_eq!((row.accessmode, row.setupuser, row.islicensed), (1, true, false));
        }
    }
    // What the import left alone follows in the cycle.
    let report = crowd.world.sync_completely().await;
    assert_eq!(
        (report.environments[0].disabled, report.environments[0].updated),
        (1, 2)
    );
    crowd.world.assert_settled().await;
    crowd.world.end().await;
}

#[tokio::test]
async fn a_refusal_tells_every_check_that_failed_and_what_to_do() {
    let world = stage().await;
    let bob = person(&world, "Bob", "Builder", "none");
    world.sync_completely().await;
    let refusal = super::refusal(super::ask_by(&world, "access", bob).await);
    let problem = serde_json::json!(rollcall::http::problem::Problem::from(refusal.clone()));
    assert_eq!(
        (&problem["code"], &problem["retryable"], &problem["status"]),
        (&"unlicensed".into(), &false.into(), &409.into())
    );
    assert!(problem["remedy"].as_str().is_some_and(|remedy| remedy.ends_with('.')));
    let failed: Vec<&str> = problem["checks"]
        .as_array()
        .unwrap()
        .iter()
        .filter(|check| check["status"] == "fail")
        .filter_map(|check| check["gate"].as_str())
        .collect();
    assert_eq!(failed, ["licence"]);
    world.end().await;
}
