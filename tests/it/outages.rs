//! The directory is away for hours, in every way in which it can be: cycles keep their interval, nobody is disabled,
//! a finding says why, the metrics tell the truth, and the first cycle after it catches up exactly.
//!
//! Hours pass on the simulated clock. What only the network can do (a connection that stays half open, a body that
//! drips) is done by a proxy between us and the tenant, and given up after a blink of the machine's time.

mod clocks;
mod network;
mod proxy;
mod services;

use std::time::Duration;

use metrics_exporter_prometheus::{PrometheusBuilder, PrometheusHandle, PrometheusRecorder};
use rollcall::domain::environment::Environment;
use rollcall::simulator::Settings as SimulatorSettings;
use rollcall::sync::daemon::gauges;
use rollcall::sync::{Report, RunOutcome};
use uuid::Uuid;

use crate::guard::without_marketing;
use crate::world::{NO_LIMITS, World, guarded_environment, licensed, open_environment};

const OPEN: &str = "open";
const GUARDED: &str = "guarded";
const GATE: Uuid = Uuid::from_u128(0x9999);
const INTERVAL: Duration = Duration::from_mins(15);

/// What one cycle may ask of a directory that is away: five attempts for each of the sources, and for a token.
const MOST_REQUESTS: usize = 30;

fn environments() -> Vec<Environment> {
    vec![open_environment(OPEN), guarded_environment(GUARDED, GATE)]
}

/// A synchronised tenant, and what happens in it while it is away.
struct Absence {
    world: World,
    users: Vec<Uuid>,
    rows: Vec<String>,
    requests: Vec<usize>,
}

impl Absence {
    async fn new() -> Self {
        let simulator = SimulatorSettings {
            page_size: 10,
            listing_page_size: 10,
            ..SimulatorSettings::default()
        };
        Self::of(World::with(environments(), simulator, NO_LIMITS).await).await
    }

    async fn of(world: World) -> Self {
        without_marketing(world.tenant());
        let users: Vec<Uuid> = (0..12)
            .map(|number| licensed(world.tenant(), "User", &number.to_string()))
            .collect();
        world.tenant().create_group_with_id(GATE, "Gate");
        world.tenant().add_members(GATE, users.iter().copied());
        world.sync_completely().await;
        world.assert_settled().await;
        let rows = world.dump().await;
        Self {
            world,
            users,
            rows,
            requests: Vec::new(),
        }
    }

    /// What is missed meanwhile: somebody goes, is blocked, leaves the group, is renamed, and comes.
    fn change(&self) {
        let tenant = self.world.tenant();
        tenant.purge(self.users[0]);
        tenant.update_user(self.users[1], |user| user.account_enabled = Some(false));
        tenant.remove_member(GATE, self.users[2]);
        tenant.update_user(self.users[3], |user| user.job_title = Some("Countess".to_owned()));
        licensed(tenant, "New", "Comer");
    }

    /// Cycles at their interval for some hours, none of which reads anything. Every one of them is incomplete, tells
    /// `why`, changes no row and asks for little. Answers the last report.
    async fn lasts(&mut self, hours: u32, why: &str) -> Report {
        let mut last = None;
        for _ in 0..hours * 4 {
            self.world.advance(INTERVAL);
            drop(self.world.simulator.take_requests());
            let report = self.world.sync().await;
            assert_eq!(report.outcome, RunOutcome::Incomplete, "{report:?}");
            let problems = report.problems.join("\n");
            assert!(problems.contains(why), "{why} in {problems}");
            let told = self
                .world
                .strings(
                    "select detail from rollcall.finding where closed_at is null and code = 'directory_unavailable'",
                )
                .await;
            assert!(told.iter().any(|detail| detail.contains(why)), "{why} in {told:?}");
            assert_eq!(self.world.dump().await, self.rows, "no row is touched");
            let requests = self.world.simulator.take_requests().len();
            assert!(requests <= MOST_REQUESTS, "{requests} requests in one cycle");
            self.requests.push(requests);
            last = Some(report);
        }
        last.unwrap()
    }

    /// The first cycle after it has all that was missed, the second has nothing to do, and nothing is open.
    async fn catches_up(self) {
        let report = self.world.sync_completely().await;
        let counts = |at: usize| {
            let one = &report.environments[at];
            (one.created, one.updated, one.disabled, one.held)
        };
        assert_eq!(counts(0), (1, 1, 2, 0), "{report:?}");
        assert_eq!(counts(1), (0, 1, 3, 0), "the newcomer is not in the group: {report:?}");
        let row = self.world.row(OPEN, self.users[3]).await.unwrap();
        assert_eq!(row.jobtitle.as_deref(), Some("Countess"));
        self.world.assert_settled().await;
        assert_eq!(self.world.findings().await, Vec::<String>::new());
        self.world.end().await;
    }
}

/// The gauges of this test alone: they go to whoever records on its thread.
fn recorder() -> (PrometheusRecorder, PrometheusHandle) {
    let recorder = PrometheusBuilder::new().build_recorder();
    let handle = recorder.handle();
    (recorder, handle)
}

/// The value of a gauge without labels.
fn gauge(metrics: &PrometheusHandle, name: &str) -> f64 {
    let text = metrics.render();
    let line = text.lines().find_map(|line| line.strip_prefix(&format!("{name} ")));
    line.unwrap_or_else(|| panic!("{name} in {text}")).parse().unwrap()
}

#[tokio::test]
async fn the_metrics_grow_stale_while_the_directory_is_away_and_fresh_with_the_first_cycle_after() {
    use rollcall::simulator::{Effect, Fault, When};

    let mut absence = Absence::new().await;
    let (recorder, metrics) = recorder();
    let _recording = metrics::set_default_local_recorder(&recorder);
    gauges::refresh(&absence.world.engine).await.unwrap();
    let success = gauge(&metrics, "rollcall_cycle_last_success_timestamp_seconds");
    assert!(gauge(&metrics, "rollcall_lag_seconds") < 1.0);
    absence.change();
    let away = Effect::unavailable(None);
    absence.world.simulator.faults().push(Fault::forever(When::any(), away));
    let mut known = 0.0;
    for hour in 1..=3 {
        absence.lasts(1, "503").await;
        gauges::refresh(&absence.world.engine).await.unwrap();
        let lag = gauge(&metrics, "rollcall_lag_seconds");
        assert!(lag >= f64::from(hour) * 3600.0 && lag > known, "{lag} after {hour} h");
        assert_eq!(
            gauge(&metrics, "rollcall_cycle_last_success_timestamp_seconds").to_bits(),
            success.to_bits()
        );
        assert!(
            metrics
                .render()
                .contains("rollcall_findings{environment=\"\",code=\"directory_unavailable\"} ")
        );
        known = lag;
    }
    absence.world.simulator.faults().clear();
    absence.world.sync_completely().await;
    gauges::refresh(&absence.world.engine).await.unwrap();
    assert!(gauge(&metrics, "rollcall_lag_seconds") < 1.0);
    assert!(gauge(&metrics, "rollcall_cycle_last_success_timestamp_seconds") > success + 3.0 * 3600.0);
    absence.world.end().await;
}

#[tokio::test]
async fn the_gauge_of_findings_has_each_code_of_the_table_and_starts_at_zero() {
    let absence = Absence::new().await;
    let (recorder, metrics) = recorder();
    let _recording = metrics::set_default_local_recorder(&recorder);
    let shown = |(environment, code): (&str, &str)| {
        let name = format!("rollcall_findings{{environment=\"{environment}\",code=\"{code}\"}}");
        gauge(&metrics, &name)
    };
    let codes = [
        (OPEN, "value_undecodable"),
        (GUARDED, "value_truncated"),
        ("", "orphaned_role_assignment"),
        ("", "environment_refused"),
        ("", "directory_unavailable"),
    ];
    let is_shown = |expected: [u32; 5]| {
        for (place, count) in codes.into_iter().zip(expected) {
            assert!(
                (shown(place) - f64::from(count)).abs() < 0.5,
                "{place:?}: {}",
                shown(place)
            );
        }
    };
    gauges::refresh(&absence.world.engine).await.unwrap();
    is_shown([0; 5]);
    let mut db = absence.world.sql().await;
    for (count, (environment, code)) in (1..).zip(codes) {
        let open = "insert into rollcall.finding (environment, code, subject, detail, opened_at)
                    select nullif($1, ''), $2, 's' || n, 'd', now() from generate_series(1, $3) n";
        let opened = sqlx::query(open).bind(environment).bind(code).bind(count);
        opened.execute(&mut db).await.unwrap();
    }
    gauges::refresh(&absence.world.engine).await.unwrap();
    is_shown([1, 2, 3, 4, 5]);
    absence
        .world
        .execute("update rollcall.finding set closed_at = now()")
        .await;
    gauges::refresh(&absence.world.engine).await.unwrap();
    is_shown([0; 5]);
    absence.world.end().await;
}
