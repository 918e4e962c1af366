//! Forgetting a person: nothing that the person is called is left in any column of any table, and what happened is.

use std::collections::BTreeSet;

use rollcall::domain::extra_field::{ExtraField, ExtraProperty};
use rollcall::domain::field::Policy;
use rollcall::simulator::tenant::{Profile, User};
use rollcall::sync::DeskError;
use rollcall::sync::desk::forget::Forgotten;
use serde_json::json;
use sqlx::{AssertSqlSafe, Connection, Executor, PgConnection};
use uuid::Uuid;

use crate::on_demand::{ENV, ask, one_user, word};
use crate::world::{World, licensed};

const ZOE: &str = "zq.upn@contoso.example";

/// What no table holds of a person: words of the program, names of things, secrets' hashes, links.
const IMPERSONAL: &str = "
    business_unit.name business_unit.name_key position.name position.name_key team.name team.name_key
    checkpoint.delta_link checkpoint.doubt checkpoint.fingerprint checkpoint.next_link checkpoint.phase checkpoint.source
    checkpoint.suspicion checkpoint.value console_session.roles directory_difference.source
    directory_reading.source sync_run_verification.result
    environment.default_unit_key environment.fingerprint environment.kind environment.name environment.until_edited
    environment_doubt.source environment_doubt.why finding.code import_item.code import_item.state import_job.batch_group
    import_job.claimed_by import_job.company import_job.monitoring_category import_job.outcome import_job.role_results
    import_job.roles import_job.schedule import_job.state lease.holder lease.name planned_change.operation
    planned_change.reason planned_change.role refusal.plan removal.reason removal.state run_progress.phase serving.holder
    held_set.decision sync_request.environments sync_run.counts sync_run.environments sync_run.left_over sync_run.outcome
    sync_run.trigger system_user.accessmode_origin system_user.customer_owned system_user.disabledreason
    system_user.last_entitlement system_user.upn_key system_user_change.operation system_user_change.reason
    subscription.resource subscription.url webhook.failure webhook.name webhook_waiting.webhook
    system_user_role.provenance system_user_role.role team_role.role";

/// A line for each column in which a value of Zoe's is, and for each that could hold one.
async fn columns(world: &World) -> (BTreeSet<String>, BTreeSet<String>) {
    let mut db = world.sql().await;
    let columns: Vec<(String, String)> = sqlx::query_as(
        "select c.table_name::text, c.column_name::text
         from information_schema.columns c join information_schema.tables t using (table_schema, table_name)
         where c.table_schema = 'rollcall' and t.table_type = 'BASE TABLE' and c.table_name <> '_sqlx_migrations'
           and c.column_name not in ('environment') and c.column_name <> 'shoe_size'
           and (c.data_type in ('text', 'character varying', 'jsonb') or c.data_type = 'ARRAY' and c.udt_name = '_text')",
    )
    .fetch_all(&mut db)
    .await
    .unwrap();
    let (mut holding, mut all) = (BTreeSet::new(), BTreeSet::new());
    for (table, column) in columns {
        let query = format!("select count(*) from rollcall.{table} where {column}::text ilike '%zq%'");
        let found: i64 = sqlx::query_scalar(AssertSqlSafe(query))
            .fetch_one(&mut db)
            .await
            .unwrap();
        let name = format!("{table}.{column}");
        holding.extend((found > 0).then(|| name.clone()));
        all.insert(name);
    }
    (holding, all)
}

async fn forget(world: &World, user: &str) -> Result<Forgotten, String> {
    match world.engine.desk().forget(user, "helpdesk").await {
        Ok(forgotten) => Ok(forgotten),
        Err(DeskError::Refused(refusal)) => Err(format!("{}: {}", refusal.code, refusal.detail)),
        Err(error) => panic!("{error}"),
    }
}

/// Zoe, each of whose values has the letters zq, with a row that has been written in every way.
async fn zoe(world: &World) -> Uuid {
    let value = |name: &str| Some(format!("zq {name}"));
    let id = world.tenant().add_user(User {
        user_principal_name: Some(ZOE.to_owned()),
        mail: Some("zq.mail@contoso.example".to_owned()),
        display_name: value("display name"),
        given_name: value("given"),
        surname: value("surname"),
        job_title: value("job"),
        business_phones: vec!["zq 1".to_owned()],
        mobile_phone: value("2"),
        street_address: value("street"),
        city: value("city"),
        state: value("state"),
        postal_code: value("code"),
        country: value("country"),
        user_type: value("type"),
        ..User::default()
    });
    world.tenant().give_profile(id, Profile::E5PowerApps);
    world.sync_completely().await;
    world
        .execute("alter table rollcall.system_user add column shoe_size text, add column department text")
        .await;
    let edits = json!({
        "title": "zq title", "nickname": "zq nick", "middlename": "zq middle", "employeeid": "zq employee",
        "preferredlanguage": "zq", "company": "zq company", "shoe_size": "zq 37", "jobtitle": "zq countess",
    });
    let desk = world.engine.desk();
    desk.edit(ask(ZOE), edits.as_object().unwrap()).await.unwrap();
    desk.hold(ask(ZOE), "zq left").await.unwrap();
    id
}

/// Zoe in every other place. The row and the object id are known, so these are the statements of a test.
fn traces(zoe: Uuid, row: Uuid) -> String {
    format!(
        "set rollcall.writer = 'rollcall';
         update rollcall.system_user set unheld_upn_key = 'zq.upn@contoso.example' where systemuserid = '{row}';
         update rollcall.system_user set createdby = '{ZOE}', modifiedby = 'ZQ.upn@contoso.example', disabled_by = '{ZOE}'
         where azureactivedirectoryobjectid <> '{zoe}';
         update rollcall.directory_user set usertype = 'zq', extra = '{{\"values\": {{\"department\": \"zq dept\"}}}}'
         where id = '{zoe}';
         update rollcall.system_user set department = 'zq dept' where systemuserid = '{row}';
         insert into rollcall.system_user_change (environment, at, actor, systemuserid, operation, fields)
         values ('{ENV}', now(), '{ZOE}', gen_random_uuid(), 'disable', '{{\"disabled_by\": [null, \"{ZOE}\"]}}');
         insert into rollcall.system_user_role (environment, systemuserid, role, granted_by, revoked_at, revoked_by)
         select environment, systemuserid, 'Reader', '{ZOE}', now(), '{ZOE}' from rollcall.system_user
         where azureactivedirectoryobjectid <> '{zoe}';
         update rollcall.business_unit set createdby = '{ZOE}', modifiedby = '{ZOE}';
         update rollcall.team set createdby = '{ZOE}', modifiedby = '{ZOE}';
         insert into rollcall.position (environment, positionid, name, name_key, createdby, modifiedby)
         values ('{ENV}', gen_random_uuid(), 'Clerk', 'clerk', '{ZOE}', '{ZOE}');
         insert into rollcall.team_member (environment, teamid, systemuserid, added_by)
         select t.environment, t.teamid, s.systemuserid, '{ZOE}' from rollcall.team t, rollcall.system_user s
         where s.azureactivedirectoryobjectid <> '{zoe}' limit 1;
         insert into rollcall.team_role (environment, teamid, role, granted_by)
         select environment, teamid, 'Reader', '{ZOE}' from rollcall.team limit 1;
         insert into rollcall.finding (code, environment, azureactivedirectoryobjectid, subject, detail, opened_at) values
             ('value_truncated', '{ENV}', '{zoe}', 'zq 1', 'zq 2', now()), ('value_truncated', '{ENV}', '{zoe}', 'zq 3', 'zq 4', now()),
             ('upn_conflict', '{ENV}', gen_random_uuid(), '{ZOE}', 'Held by {ZOE}.', now());
         insert into rollcall.refusal values ('{ENV}', '{zoe}', 'plan', 'zq was refused', now()),
             ('{ENV}', gen_random_uuid(), 'plan', '{ZOE} has it', now());
         insert into rollcall.import_job (environment, company, is_all, submitted_by, submitted_at, cancelled_by, error, description)
         values ('{ENV}', 'USMF', false, '{ZOE}', now(), '{ZOE}', 'no slot: {ZOE}, ada', 'for <{ZOE}>');
         insert into rollcall.import_item (job, position, given, object_id, detail)
         select id, 1, 'ZQ.UPN@contoso.example', null::uuid, 'zq' from rollcall.import_job
         union all select id, 2, 'zq.former@contoso.example', '{zoe}', null from rollcall.import_job
         union all select id, 3, 'bob', null, '{ZOE} and zq.former@contoso.example have the slots' from rollcall.import_job;
         insert into rollcall.held_set (environment, run_id, why, held_at, expires_at, decision, decided_at, decided_by)
         values ('{ENV}', 4711, 'because of {ZOE}', now(), now(), 'approved', now(), '{ZOE}');
         insert into rollcall.planned_change (
             run_id, environment, who, systemuserid, azureactivedirectoryobjectid, domainname, operation, role, held, fields)
         values (4711, '{ENV}', '{zoe}', '{row}', '{zoe}', '{ZOE}', 'update', '', false, '{{\"fullname\": [null, \"zq\"]}}');
         insert into rollcall.sync_run (trigger, started_at, ended_at, changes, problems)
         values ('test', now(), now(), '[{{\"domainname\": \"{ZOE}\"}}]', '{{\"lost {ZOE}\",fine}}');
         insert into rollcall.console_session values ('\\x01', false, 'user:zq', 'zq zoe', '{zoe}', '{{}}', now(), now());
         insert into rollcall.console_session
         values ('\\x02', false, 'user:ada', 'Ada', null, '{{}}', now(), now(), '/console/zq', 'user=zq');"
    )
}

#[tokio::test]
async fn nothing_that_a_forgotten_person_is_called_is_left_anywhere_and_what_happened_is() {
    let (mut world, ada) = one_user().await;
    let id = zoe(&world).await;
    // A column that a mapping fills goes too.
    world.configure(|settings| {
        settings.environments[0].0.extra_fields = vec![ExtraField {
            column: "department".to_owned(),
            property: ExtraProperty::find("department").unwrap(),
            policy: Policy::Never,
        }];
    });
    let row = world.row(ENV, id).await.unwrap().systemuserid;
    let mut db = PgConnection::connect(world.database_url()).await.unwrap();
    db.execute(AssertSqlSafe(traces(id, row))).await.unwrap();
    let (holding, all) = columns(&world).await;
    let impersonal: BTreeSet<String> = IMPERSONAL.split_whitespace().map(str::to_owned).collect();
    let unfilled: Vec<&String> = all
        .difference(&holding)
        .filter(|one| !impersonal.contains(*one))
        .collect();
    assert!(unfilled.is_empty(), "can it hold a value of a person? {unfilled:?}");

    // Refused while she is somebody's.
    let user = id.to_string();
    let refused = async |why: &str| {
        assert_eq!(
            forget(&world, &user).await.unwrap_err(),
            format!("not_forgettable: {why}")
        );
    };
    refused("the directory still has the user").await;
    world.tenant().purge(id);
    refused("the row in production is not deleted").await;
    world.sync_completely().await;
    refused("the row in production is not deleted").await;
    assert_eq!(word(&world, "delete", id).await, "updated");
    assert_eq!(
        forget(&world, "nobody@contoso.example")
            .await
            .unwrap_err()
            .split(':')
            .next(),
        Some("user_not_found")
    );

    let what_happened =
        "select concat_ws(' ', operation, reason, run_id, at, array(select jsonb_object_keys(fields) order by 1))
        from rollcall.system_user_change where operation <> 'forget' order by id";
    let before = world.strings(what_happened).await;
    let forgotten = forget(&world, &user).await.unwrap();
    assert_eq!((forgotten.object_id, forgotten.rows.len()), (Some(id), 1));
    assert_eq!(forgotten.custom_columns, ["shoe_size"]);
    assert_eq!(forgotten.blanked["system_user"], 1);
    assert!(forgotten.held_names.is_empty());

    assert_eq!(columns(&world).await.0, BTreeSet::new());
    assert_eq!(world.strings(what_happened).await, before);
    assert_eq!(
        world.strings("select concat_ws(' ', operation, actor, fields) from rollcall.system_user_change order by id desc limit 1").await,
        ["forget helpdesk {}"]
    );
    assert_eq!(
        world.strings("select concat_ws(' ', azureactivedirectoryobjectid, shoe_size) from rollcall.system_user where deletedstate = 1").await,
        [format!("{id} zq 37")]
    );
    // Where she acted, her id stands; a text loses her name and nothing else.
    assert_eq!(world.row(ENV, ada).await.unwrap().createdby, format!("user:{id}"));
    assert_eq!(
        world
            .strings("select error || '; ' || description from rollcall.import_job")
            .await,
        [format!("no slot: user:{id}, ada; for <user:{id}>")]
    );
    assert_eq!(
        world
            .strings("select detail from rollcall.import_item where given = 'bob'")
            .await,
        [format!("user:{id} and user:{id} have the slots")]
    );
    // Again, by the row: nothing more to blank. No later cycle brings anything back.
    assert_eq!(forget(&world, &row.to_string()).await.unwrap().blanked["texts"], 0);
    world
        .execute("delete from rollcall.import_item; delete from rollcall.import_job")
        .await;
    world.assert_settled().await;
    assert_eq!(columns(&world).await.0, BTreeSet::new());
    world.end().await;
}

#[tokio::test]
async fn a_name_that_somebody_else_has_by_now_is_left_where_it_may_mean_the_other() {
    let (world, ada) = one_user().await;
    world.tenant().soft_delete(ada);
    world.sync_completely().await;
    world.tenant().purge(ada);
    world.sync_completely().await;
    assert_eq!(word(&world, "delete", ada).await, "updated");
    let heir = licensed(world.tenant(), "Ada", "Lovelace");
    world.sync_completely().await;
    world
        .execute(
            "insert into rollcall.system_user_change (environment, at, actor, systemuserid, operation)
             values ('annex', now(), 'ada.lovelace@contoso.example', gen_random_uuid(), 'edit')",
        )
        .await;
    // By the name, it is the heir.
    let refusal = forget(&world, "ada.lovelace@contoso.example").await.unwrap_err();
    let (code, why) = refusal.split_once(": ").unwrap();
    assert_eq!((code, why), ("not_forgettable", "the directory still has the user"));
    let forgotten = forget(&world, &ada.to_string()).await.unwrap();
    assert_eq!(forgotten.held_names, ["ada.lovelace@contoso.example"]);
    let actors = "select actor from rollcall.system_user_change where environment = 'annex'";
    assert_eq!(world.strings(actors).await, ["ada.lovelace@contoso.example"]);
    assert_eq!(world.row(ENV, ada).await.unwrap().fullname, None);
    assert_eq!(
        world.row(ENV, heir).await.unwrap().fullname.as_deref(),
        Some("Ada Lovelace")
    );
    world.assert_settled().await;
    world.end().await;
}

#[tokio::test]
async fn the_function_itself_forgets_nobody_who_is_there() {
    let (world, ada) = one_user().await;
    let row = world.row(ENV, ada).await.unwrap().systemuserid;
    let mut db = world.sql().await;
    for (person, why) in [
        (Some(ada), "the directory has this user"),
        (None, "a row of this user is not deleted"),
    ] {
        let called = sqlx::query("select rollcall.forget($1, '{production}', $2, 'mallory', now())")
            .bind(person)
            .bind(vec![row])
            .execute(&mut db)
            .await;
        let said = called.unwrap_err().to_string();
        assert!(said.contains(why), "{said}");
    }
    world.end().await;
}
