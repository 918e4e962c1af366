//! What else a customer's rule can get in the way of: names that pass, removals, approvals, roles, the change log, the
//! placeholders, and many rows at once.

use rollcall::domain::environment::Environment;
use rollcall::domain::schema::Schema;
use rollcall::plan::guard::Limits;
use rollcall::simulator::Settings as SimulatorSettings;
use rollcall::simulator::tenant::Profile;
use rollcall::store::Store;
use rollcall::sync::guard::approval::Decision;
use uuid::Uuid;

use super::{COUNT, ENV, attempts, give_title, run_sql, sync_fully, titled, unwritten};
use crate::guard::{allow, block, decide, open_sets, without_marketing};
use crate::on_demand::{ask, said, state, word};
use crate::proxy::Proxy;
use crate::world::{World, licensed, open_environment};

/// Refuses what a condition names, and counts.
fn refusing(table: &str, event: &str, when: &str, instead: &str) -> String {
    format!(
        "{COUNT}
         create function public.refuse() returns trigger language plpgsql as $$
         begin perform nextval('public.attempts'); {instead} end $$;
         create trigger refuse before {event} on rollcall.{table} for each row when ({when})
             execute function public.refuse();"
    )
}

const RAISE: &str = "raise exception 'on purpose' using errcode = '40001';";
const DROP: &str =
    "drop function public.refuse() cascade; drop function public.count_attempt(); drop sequence public.attempts";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_column_that_must_not_be_null_before_the_first_sync_stops_no_run() {
    let world = World::new(vec![open_environment(ENV), open_environment("sandbox")]).await;
    let ada = titled(world.tenant(), "Ada", None);
    run_sql(
        &world,
        "alter table rollcall.system_user add cost_centre text;
         alter table rollcall.system_user add constraint cost_centre check (cost_centre is not null or environment <> 'production')"
            .to_owned(),
    )
    .await;
    for _ in 0..3 {
        world.sync_completely().await;
        let expected = [
            "row_not_written production".to_owned(),
            format!("row_not_written production {ada}"),
        ];
        assert_eq!(world.findings().await, expected);
    }
    assert!(world.row("sandbox", ada).await.is_some());
    world
        .execute("alter table rollcall.system_user drop constraint cost_centre")
        .await;
    sync_fully(&world).await;
    world.sync_completely().await;
    assert!(world.findings().await.is_empty());
    let placeholders = "select count(*) from rollcall.system_user where accessmode in (3, 5)";
    assert_eq!(world.number(placeholders).await, 4);
    world.assert_settled().await;
    world.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn rows_between_which_a_name_passes_stand_and_fall_together() {
    let world = World::new(vec![open_environment(ENV)]).await;
    let tenant = world.tenant();
    let [ada, bea, eve] = ["Ada", "Bea", "Eve"].map(|given| titled(tenant, given, Some("Fine")));
    world.sync_completely().await;
    run_sql(
        &world,
        "alter table rollcall.system_user add constraint no_count check (jobtitle <> 'Count')".to_owned(),
    )
    .await;
    let name = |id: Uuid| tenant.user(id).unwrap().user_principal_name;
    let (of_ada, of_bea) = (name(ada), name(bea));
    tenant.update_user(ada, |user| {
        user.user_principal_name.clone_from(&of_bea);
        user.job_title = Some("Count".to_owned());
    });
    tenant.update_user(bea, |user| user.user_principal_name.clone_from(&of_ada));
    tenant.update_user(eve, |user| user.job_title = Some("Countess".to_owned()));
    let before = world.row(ENV, ada).await;
    world.sync_completely().await;
    assert_eq!(world.row(ENV, ada).await, before);
    let expected: Vec<String> = {
        let mut ids = [ada, bea].map(|id| format!("row_not_written production {id}"));
        ids.sort();
        ids.into()
    };
    assert_eq!(world.findings().await, expected);
    let keys = "select count(*) from rollcall.system_user where upn_key = lower(domainname)";
    assert_eq!(world.number(keys).await, 5, "nobody has lost a name");
    assert_eq!(world.row(ENV, eve).await.unwrap().jobtitle.as_deref(), Some("Countess"));
    tenant.update_user(ada, |user| user.job_title = Some("Fine".to_owned()));
    world.sync_completely().await;
    assert_eq!(world.row(ENV, ada).await.unwrap().domainname, of_bea);
    sync_fully(&world).await;
    assert_eq!(world.row(ENV, bea).await.unwrap().domainname, of_ada);
    assert!(world.findings().await.is_empty());
    world.assert_settled().await;
    world.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_removal_that_is_refused_is_tried_once_and_keeps_no_set_open() {
    let world = World::new(vec![open_environment(ENV)]).await;
    let [ada, bea] = ["Ada", "Bea"].map(|given| titled(world.tenant(), given, Some("Fine")));
    world.sync_completely().await;
    let when = "new.isdisabled and not old.isdisabled and new.firstname = 'Ada'";
    run_sql(&world, refusing("system_user", "update", when, RAISE)).await;
    block(&world, &[ada, bea]);
    let report = world.sync_completely().await;
    assert_eq!(report.environments[0].disabled, 1);
    assert_eq!(state(&world, ada).await, "enabled");
    assert_eq!(state(&world, bea).await, "directory_account_disabled by sync");
    let tried = attempts(&world).await;
    assert_eq!(tried, 2);
    assert_eq!(world.findings().await, [format!("row_not_written production {ada}")]);
    world.assert_settled().await;
    assert_eq!(attempts(&world).await, tried);
    assert_eq!(world.number("select count(*) from rollcall.removal").await, 0);
    for way in ["disable", "hold", "refresh", "access"] {
        assert_eq!(word(&world, way, ada).await, "row_not_written", "{way}");
    }
    run_sql(&world, DROP.to_owned()).await;
    assert_eq!(word(&world, "refresh", ada).await, "disabled");
    world.sync_completely().await;
    assert!(world.findings().await.is_empty());
    world.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whoever_is_blocked_is_disabled_although_the_database_refuses_the_rest_of_the_row() {
    let world = World::new(vec![open_environment(ENV)]).await;
    let all = ["Ada", "Bea", "Cleo"].map(|given| titled(world.tenant(), given, Some("Fine")));
    let [ada, bea, cleo] = all;
    world.sync_completely().await;
    run_sql(&world, refusing("system_user", "update", "new.jobtitle = 'Odd'", RAISE)).await;
    for user in all {
        give_title(world.tenant(), user, Some("Odd"));
    }
    block(&world, &[ada, bea]);
    assert_eq!(word(&world, "refresh", bea).await, "disabled", "on demand");
    let report = world.sync_completely().await;
    assert_eq!(report.environments[0].disabled, 1);
    for (user, expected) in [
        (ada, "directory_account_disabled by sync"),
        (bea, "directory_account_disabled by sync"),
        (cleo, "enabled"),
    ] {
        assert_eq!(state(&world, user).await, expected);
        assert_eq!(world.row(ENV, user).await.unwrap().jobtitle.as_deref(), Some("Fine"));
    }
    let lines = "select count(*) from rollcall.system_user_change where operation = 'disable' and fields ? 'jobtitle'";
    assert_eq!(world.number(lines).await, 0, "the change log has what was written");
    let enabled = "select (sum(enabled_rows) + coalesce((select sum(delta) from rollcall.enabled_delta), 0))::bigint
                   from rollcall.environment";
    assert_eq!(world.number(enabled).await, 1);
    world.sync_completely().await;
    let mut refused = all.map(|user| format!("row_not_written production {user}"));
    refused.sort();
    assert_eq!(world.findings().await, refused);
    let tried = attempts(&world).await;
    world.assert_settled().await;
    assert_eq!(attempts(&world).await, tried, "nothing is tried again and again");

    run_sql(&world, DROP.to_owned()).await;
    sync_fully(&world).await;
    assert!(world.findings().await.is_empty());
    assert_eq!(world.row(ENV, ada).await.unwrap().jobtitle.as_deref(), Some("Odd"));
    world.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_approved_set_is_decided_although_one_row_of_it_is_refused() {
    let limits = Limits {
        max_disables: 0,
        max_disable_percent: 0.0,
    };
    let world = World::with(vec![open_environment(ENV)], SimulatorSettings::default(), limits).await;
    let users: Vec<Uuid> = ["Ada", "Bea", "Cleo"]
        .map(|given| titled(world.tenant(), given, None))
        .into();
    world.sync_completely().await;
    block(&world, &users);
    world.sync().await;
    let when = "new.isdisabled and not old.isdisabled and new.firstname = 'Bea'";
    run_sql(&world, refusing("system_user", "update", when, RAISE)).await;
    let sets = open_sets(&world).await;
    let decided = decide(&world, sets[0].run_id, Decision::Approve).await.unwrap();
    assert_eq!(decided, 2);
    assert!(open_sets(&world).await.is_empty());
    assert_eq!(unwritten(&world).await.len(), 1);
    let tried = attempts(&world).await;
    world.sync_completely().await;
    assert_eq!(attempts(&world).await, tried);
    run_sql(&world, DROP.to_owned()).await;
    allow(&world, &users);
    world.sync_completely().await;
    assert!(world.findings().await.is_empty());
    world.end().await;
}

pub fn with_role() -> Environment {
    Environment {
        roles: vec!["Sales".to_owned(), "Helper".to_owned()],
        license_roles: vec![(
            Uuid::parse_str("ea2cf03b-ac60-46ae-9c1d-eeaeb63cec86").unwrap(),
            "Sales".to_owned(),
        )],
        ..open_environment(ENV)
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_rule_about_roles_costs_the_rows_that_get_or_lose_them() {
    let world = World::new(vec![with_role()]).await;
    without_marketing(world.tenant());
    let ada = licensed(world.tenant(), "Ada", "Person");
    world.sync_completely().await;
    // Giving.
    let bob_s =
        "exists (select from rollcall.system_user s where s.systemuserid = new.systemuserid and s.firstname = 'Bob')";
    let body = format!("if {bob_s} then {RAISE} end if; return new;");
    run_sql(&world, refusing("system_user_role", "insert", "true", &body)).await;
    let bob = licensed(world.tenant(), "Bob", "Person");
    let cleo = licensed(world.tenant(), "Cleo", "Person");
    world.sync_completely().await;
    assert!(world.row(ENV, bob).await.is_none(), "with all of it or not at all");
    assert_eq!(
        world
            .strings("select role from rollcall.system_user_role order by 1")
            .await,
        ["Sales", "Sales"]
    );
    assert_eq!(world.findings().await, [format!("row_not_written production {bob}")]);
    let tried = attempts(&world).await;
    world.assert_settled().await;
    assert_eq!(attempts(&world).await, tried);
    assert_eq!(word(&world, "access", bob).await, "row_not_written");
    run_sql(&world, DROP.to_owned()).await;
    sync_fully(&world).await;
    assert!(world.row(ENV, bob).await.is_some());

    // Taking: one trigger raises, one says nothing.
    for instead in [RAISE, "return null;"] {
        run_sql(&world, refusing("system_user_role", "delete", "true", instead)).await;
        let granted = world.engine.desk().grant(ask(&ada.to_string()), "Helper").await;
        assert_eq!(said(&granted), "updated");
        assert_eq!(
            said(&world.engine.desk().revoke(ask(&ada.to_string()), "Helper").await),
            "row_not_written"
        );
        world.tenant().give_profile(cleo, Profile::Unlicensed);
        world.sync_completely().await;
        assert!(unwritten(&world).await[0].contains(&cleo.to_string()), "{instead}");
        let tried = attempts(&world).await;
        world.assert_settled().await;
        assert_eq!(attempts(&world).await, tried);
        run_sql(&world, DROP.to_owned()).await;
        assert_eq!(
            said(&world.engine.desk().revoke(ask(&ada.to_string()), "Helper").await),
            "updated"
        );
        world.tenant().give_profile(cleo, Profile::E5PowerApps);
        world.sync_completely().await;
        assert!(world.findings().await.is_empty());
    }

    // Giving by hand, swallowed.
    run_sql(&world, refusing("system_user_role", "insert", "true", "return null;")).await;
    let granted = world.engine.desk().grant(ask(&ada.to_string()), "Helper").await;
    assert_eq!(said(&granted), "row_not_written");

    // To several at once: the rows beside a refused one get the role.
    let mut rows = Vec::new();
    for user in [ada, bob, cleo] {
        rows.push(world.row(ENV, user).await.unwrap().systemuserid);
    }
    for instead in [RAISE, "return null;"] {
        run_sql(&world, DROP.to_owned()).await;
        let body = format!("if new.systemuserid = '{}' then {instead} end if; return new;", rows[1]);
        run_sql(&world, refusing("system_user_role", "insert", "true", &body)).await;
        for outcome in ["updated", "unchanged"] {
            let granted = world.engine.desk().grant_rows(ENV, &rows, "Helper", "tester").await;
            let results = granted.unwrap().into_iter().map(|result| match result {
                Ok(effect) => effect.as_str(),
                Err(refusal) => refusal.code.as_str(),
            });
            assert_eq!(
                results.collect::<Vec<_>>(),
                [outcome, "row_not_written", outcome],
                "{instead}"
            );
        }
        for row in [rows[0], rows[2]] {
            let revoked = world.engine.desk().revoke(ask(&row.to_string()), "Helper").await;
            assert_eq!(said(&revoked), "updated");
        }
    }
    world.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_rule_about_the_change_log_costs_the_row_whose_line_it_refuses() {
    let world = World::new(vec![open_environment(ENV)]).await;
    let when = "new.fields #>> '{jobtitle,1}' = 'Forbidden'";
    run_sql(&world, refusing("system_user_change", "insert", when, RAISE)).await;
    let bob = titled(world.tenant(), "Bob", Some("Forbidden"));
    let ada = titled(world.tenant(), "Ada", Some("Fine"));
    world.sync_completely().await;
    assert!(world.row(ENV, bob).await.is_none());
    assert!(world.row(ENV, ada).await.is_some());
    let tried = attempts(&world).await;
    world.assert_settled().await;
    assert_eq!(attempts(&world).await, tried);
    assert_eq!(word(&world, "admin_add", bob).await, "row_not_written");
    world.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_trigger_makes_of_our_values_is_not_written_over_in_each_cycle() {
    let world = World::new(vec![open_environment(ENV)]).await;
    let body = "new.jobtitle := upper(new.jobtitle); new.company := 'Theirs'; return new;";
    run_sql(&world, refusing("system_user", "insert or update", "true", body)).await;
    let ada = titled(world.tenant(), "Ada", Some("Fine"));
    world.sync_completely().await;
    world.assert_settled().await;
    let tried = attempts(&world).await;
    world
        .tenant()
        .update_user(ada, |user| user.city = Some("Leeds".to_owned()));
    world.sync_completely().await;
    world.assert_settled().await;
    assert_eq!(attempts(&world).await, tried + 1);
    let row = world.row(ENV, ada).await.unwrap();
    assert_eq!(
        (row.jobtitle.as_deref(), row.company.as_deref()),
        (Some("FINE"), Some("Theirs"))
    );
    world.end().await;
}

/// Duplicates of what a customer wants to be unique, spread over several batches.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn many_refused_rows_cost_two_attempts_each_and_an_idle_cycle_nothing() {
    let mut world = World::new(vec![open_environment(ENV)]).await;
    let mut clean = world.beside().await;
    for world in [&mut world, &mut clean] {
        world.configure(|settings| settings.max_batch = 40);
    }
    for number in 0..200 {
        let id = licensed(world.tenant(), "User", &format!("Number{number}"));
        let of = if number % 10 == 9 { number - 5 } else { number };
        world
            .tenant()
            .update_user(id, |user| user.mail = Some(format!("mail{of}@contoso.example")));
    }
    run_sql(
        &world,
        format!(
            "{COUNT} create trigger a0 before insert on rollcall.system_user for each row
                 execute function public.count_attempt();
             create unique index one_mail on rollcall.system_user (environment, internalemailaddress)"
        ),
    )
    .await;
    let report = world.sync_completely().await;
    assert_eq!(report.environments[0].created, 180);
    assert_eq!(report.environments[0].skipped["row_not_written"], 20);
    assert_eq!(unwritten(&world).await.len(), 20);
    let tried = attempts(&world).await;
    assert!(
        tried <= 2 * 202,
        "each row twice at most, the placeholders included: {tried}"
    );
    clean.sync_completely().await;
    let mut commits = Vec::new();
    for world in [&mut world, &mut clean] {
        world.assert_settled().await;
        let proxy = Proxy::before(world.database_url()).await;
        world.engine.store = Store::connect(proxy.url(), &Schema::default(), 5).await.unwrap();
        world.sync_completely().await;
        commits.push(proxy.commits());
    }
    assert_eq!(commits[0], commits[1]);
    assert_eq!(attempts(&world).await, tried);
    world.end().await;
    clean.end().await;
}

pub fn assert_same(found: &[String], expected: &[String]) {
    let missing: Vec<&String> = expected.iter().filter(|line| !found.contains(line)).collect();
    let added: Vec<&String> = found.iter().filter(|line| !expected.contains(line)).collect();
    assert!(
        missing.is_empty() && added.is_empty(),
        "missing {missing:#?}, added {added:#?}"
    );
}

/// Row by row, the same is written as together.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_batch_with_a_refused_row_leaves_the_others_as_a_batch_without_one() {
    let simulator = SimulatorSettings {
        users: 60,
        ..SimulatorSettings::default()
    };
    let world = World::with(vec![with_role()], simulator, crate::world::NO_LIMITS).await;
    world.tenant().furnish();
    let bob = titled(world.tenant(), "Bob", Some("Forbidden"));
    let other = world.beside().await;
    run_sql(
        &other,
        format!(
            "alter table rollcall.system_user add constraint no_bob check (azureactivedirectoryobjectid <> '{bob}')"
        ),
    )
    .await;
    let of_others = |lines: Vec<String>| -> Vec<String> {
        let is_bob_s = |line: &String| line.starts_with(&bob.to_string());
        lines.into_iter().filter(|line| !is_bob_s(line)).collect()
    };
    let mut dice = <rand::rngs::StdRng as rand::SeedableRng>::seed_from_u64(7);
    for round in 0..4 {
        for _ in 0..30 {
            world.tenant().random_change(&mut dice);
        }
        world
            .tenant()
            .update_user(bob, |user| user.city = Some(format!("City {round}")));
        world.sync().await;
        other.sync().await;
        let mut expected = world.rows(ENV).await;
        expected.remove(&bob);
        let mut found = other.rows(ENV).await;
        for (id, row) in &mut found {
            row.systemuserid = expected[id].systemuserid;
        }
        assert!(found == expected, "round {round}");
        let lines =
            "select concat_ws(' ', s.azureactivedirectoryobjectid, c.actor, c.operation, c.reason, c.by_rule, c.fields)
                     from rollcall.system_user_change c join rollcall.system_user s using (environment, systemuserid)
                     order by 1";
        assert_same(
            &of_others(other.strings(lines).await),
            &of_others(world.strings(lines).await),
        );
        let roles =
            "select concat_ws(' ', s.azureactivedirectoryobjectid, r.role, r.provenance, r.granted_by, r.granted_at)
                     from rollcall.system_user_role r join rollcall.system_user s using (environment, systemuserid)
                     order by 1";
        assert_same(
            &of_others(other.strings(roles).await),
            &of_others(world.strings(roles).await),
        );
        let keys = "select concat_ws(' ', azureactivedirectoryobjectid, upn_key, last_entitlement, due_at)
                    from rollcall.system_user order by 1";
        assert_same(
            &of_others(other.strings(keys).await),
            &of_others(world.strings(keys).await),
        );
    }
    world.end().await;
    other.end().await;
}

/// `./dev test --test it -- --ignored --nocapture three_hundred`: how long cycles take, against those without duplicates.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "measures"]
async fn three_hundred_duplicates_among_five_thousand() {
    let unique = "create unique index one_mail on rollcall.system_user (environment, internalemailaddress)";
    let check =
        "alter table rollcall.system_user add constraint no_copies check (internalemailaddress not like 'copy%')";
    for (what, rule, copies) in [
        ("clean", "", 0),
        ("300 duplicates", unique, 300),
        ("300 that a check refuses", check, 300),
        ("clean", "", 0),
    ] {
        let world = World::new(vec![open_environment(ENV)]).await;
        for number in 0..5_000 {
            let id = licensed(world.tenant(), "User", &format!("Number{number}"));
            let is_copy = number % 16 == 15 && number / 16 < copies;
            let mail = match (is_copy, rule == check) {
                (true, true) => format!("copy{number}@contoso.example"),
                (true, false) => format!("mail{}@contoso.example", (number * 7) % 15),
                (false, _) => format!("mail{number}@contoso.example"),
            };
            world.tenant().update_user(id, |user| user.mail = Some(mail));
        }
        run_sql(&world, rule.to_owned()).await;
        let mut took = Vec::new();
        for cycle in ["first", "second", "third", "full"] {
            let begun = std::time::Instant::now();
            if cycle == "full" {
                sync_fully(&world).await;
            } else {
                world.sync_completely().await;
            }
            took.push(format!("{cycle} {} ms", begun.elapsed().as_millis()));
        }
        println!(
            "{what}: {}; {} not written",
            took.join(", "),
            unwritten(&world).await.len()
        );
        world.end().await;
    }
}
