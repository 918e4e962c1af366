//! Imports of selected users: what each comes to, the company, and what cannot be asked for.

use rollcall::rules::Trigger;
use rollcall::simulator::{Effect, Fault, When};
use rollcall::sync::imports::ImportRequest;
use serde_json::json;

use super::{ENV, crowd, import, items, of, report, results, said, step, submit, summary, unlicensed};
use crate::on_demand::ask;
use crate::world::{World, guarded_environment, licensed, open_environment};

#[tokio::test]
async fn every_selected_user_has_a_result_and_the_company_goes_to_those_who_get_a_row() {
    let world = World::new(vec![open_environment(ENV)]).await;
    let carl = licensed(world.tenant(), "Carl", "Old");
    world.sync_completely().await;
    let company = json!({ "company": "OLDCO" });
    world
        .engine
        .desk()
        .edit(ask(&carl.to_string()), company.as_object().unwrap())
        .await
        .unwrap();
    world.sync_completely().await;
    let before = world.row(ENV, carl).await;
    let ada = licensed(world.tenant(), "Ada", "Lovelace");
    let eve = licensed(world.tenant(), "Eve", "Name");
    let bob = unlicensed(world.tenant(), "Bob");
    let mut request = of(&[ada, carl, bob]);
    let name = world.tenant().user(eve).unwrap().user_principal_name.unwrap();
    request.users.extend([
        name.to_uppercase(),
        "nobody@contoso.example".to_owned(),
        "crmoln@microsoft.com".to_owned(),
    ]);
    let report = import(&world, &request).await;
    assert_eq!(
        results(&world, report.job.id).await,
        [
            "created",
            "already_present",
            "unlicensed",
            "created",
            "user_not_found",
            "already_present"
        ]
    );
    assert_eq!(summary(&report), ("ended_with_refusals", 2, 2, 2));
    assert_eq!(report.job.total, 6);
    let codes: Vec<_> = report.refused_by_code.iter().map(|one| one.code.as_str()).collect();
    assert_eq!(codes, ["unlicensed", "user_not_found"]);
    let row = world.row(ENV, ada).await.unwrap();
    assert_eq!(
        (row.company.as_deref(), row.createdby.as_str()),
        (Some("USMF"), "helpdesk")
    );
    assert_eq!(world.row(ENV, carl).await, before, "an import changes no row");
    let item = &items(&world, report.job.id).await[0];
    assert_eq!((item.object_id, item.systemuserid), (Some(ada), Some(row.systemuserid)));
    assert_eq!(report.created_without_role, 2);
    assert!(report.next_step.unwrap().contains("rollcall role grant"));
    world.assert_settled().await;
    assert_eq!(world.row(ENV, ada).await.unwrap().company.as_deref(), Some("USMF"));
    world.end().await;
}

#[tokio::test]
async fn nobody_is_called_unlicensed_or_an_outsider_while_roles_cannot_be_read() {
    let group = uuid::Uuid::from_u128(0x7e57);
    let world = World::new(vec![guarded_environment(ENV, group)]).await;
    world.tenant().create_group_with_id(group, "Sales");
    let bob = unlicensed(world.tenant(), "Bob");
    let ada = licensed(world.tenant(), "Ada", "Lovelace");
    world.tenant().add_member(group, bob);
    world.sync_completely().await;
    let roles = When::path("/roleManagement/directory/roleAssignments");
    let fault = Fault::forever(roles, Effect::error(503, "serviceNotAvailable"));
    world.simulator.faults().push(fault);
    let refused = import(&world, &of(&[bob, ada])).await;
    assert_eq!(results(&world, refused.job.id).await, ["directory_unavailable"; 2]);
    let named = [bob.to_string(), ada.to_string()];
    let added = world
        .engine
        .desk()
        .add_many(ENV, &named, "helpdesk", Trigger::AdminAdd, None)
        .await
        .unwrap();
    for result in added {
        assert_eq!(result.unwrap_err().code.as_str(), "directory_unavailable");
    }
    world.simulator.faults().clear();
    let refused = import(&world, &of(&[bob, ada])).await;
    assert_eq!(
        results(&world, refused.job.id).await,
        ["unlicensed", "not_in_security_group"]
    );
    world.end().await;
}

#[tokio::test]
async fn rows_in_every_state_are_already_present_and_stay_as_they_are() {
    let world = World::new(vec![open_environment(ENV)]).await;
    let tenant = world.tenant();
    let users = crowd(tenant, 8);
    world.sync_completely().await;
    let name = |at: usize| users[at].to_string();
    world.engine.desk().disable(ask(&name(1))).await.unwrap();
    world
        .engine
        .desk()
        .hold(ask(&name(2)), "under investigation")
        .await
        .unwrap();
    world
        .engine
        .desk()
        .stub(ask("stub@contoso.example"), None)
        .await
        .unwrap();
    tenant.update_user(users[3], |user| user.account_enabled = Some(false));
    tenant.soft_delete(users[4]);
    tenant.soft_delete(users[5]);
    tenant.purge(users[5]);
    world.sync_completely().await;
    world.engine.desk().delete(ask(&name(5))).await.unwrap();
    let mode = json!({ "accessmode": 4 });
    world
        .engine
        .desk()
        .edit(ask(&name(6)), mode.as_object().unwrap())
        .await
        .unwrap();
    world.sync_completely().await;
    // What the next cycle would do to an enabled row, an import does not.
    tenant.update_user(users[7], |user| user.account_enabled = Some(false));
    tenant.update_user(users[0], |user| user.job_title = Some("Engineer".to_owned()));
    let before = world.dump().await;
    let mut request = of(&users);
    request.users.push("stub@contoso.example".to_owned());
    let report = import(&world, &request).await;
    assert_eq!(results(&world, report.job.id).await, ["already_present"; 9]);
    assert_eq!(summary(&report), ("complete", 0, 9, 0));
    assert_eq!(world.dump().await, before);
    world.end().await;
}

#[tokio::test]
async fn a_name_passes_to_an_imported_user_from_one_who_was_renamed_and_nobody_else_moves() {
    let world = World::new(vec![open_environment(ENV)]).await;
    let tenant = world.tenant();
    let (old, other) = (licensed(tenant, "Olga", "Old"), licensed(tenant, "Otto", "Other"));
    world.sync_completely().await;
    let name = tenant.user(old).unwrap().user_principal_name.unwrap();
    for (user, new) in [(old, "olga.new@contoso.example"), (other, "otto.new@contoso.example")] {
        tenant.update_user(user, |user| user.user_principal_name = Some(new.to_owned()));
    }
    let heir = licensed(tenant, "Hans", "Heir");
    tenant.update_user(heir, |user| user.user_principal_name = Some(name.clone()));
    let before = world.row(ENV, other).await;
    let report = import(&world, &of(&[old, other, heir])).await;
    assert_eq!(
        results(&world, report.job.id).await,
        ["already_present", "already_present", "created"]
    );
    let named = world.row(ENV, heir).await.unwrap().domainname;
    assert_eq!(named.as_deref(), Some(name.as_str()));
    let renamed = world.row(ENV, old).await.unwrap().domainname;
    assert_eq!(renamed.as_deref(), Some("olga.new@contoso.example"));
    assert_eq!(world.row(ENV, other).await, before);
    world.sync_completely().await;
    world.assert_settled().await;
    world.end().await;
}

#[tokio::test]
async fn one_user_whom_the_database_refuses_does_not_block_the_others() {
    let world = World::new(vec![open_environment(ENV)]).await;
    world.sync_completely().await;
    let mut users = crowd(world.tenant(), 7);
    users.insert(3, licensed(world.tenant(), "Bob", "Bad"));
    world
        .execute("alter table rollcall.system_user add constraint no_bob check (firstname <> 'Bob')")
        .await;
    let report = import(&world, &of(&users)).await;
    assert_eq!(summary(&report), ("ended_with_refusals", 7, 0, 1));
    assert_eq!(results(&world, report.job.id).await[3], "row_not_written");
    let detail = items(&world, report.job.id).await[3].detail.clone().unwrap();
    assert!(detail.contains("no_bob"), "{detail}");
    world.end().await;
}

#[tokio::test]
async fn what_makes_no_sense_is_refused_at_submission_and_names_the_option() {
    let mut environment = open_environment("bare");
    environment.has_database = false;
    let world = World::new(vec![open_environment(ENV), environment]).await;
    let ada = licensed(world.tenant(), "Ada", "Lovelace");
    let good = of(&[ada]);
    let try_it = async |request: ImportRequest| said(world.engine.imports().submit_import(&request, "helpdesk").await);
    let with = |change: &dyn Fn(&mut ImportRequest)| {
        let mut request = good.clone();
        change(&mut request);
        request
    };
    assert_eq!(try_it(with(&|it| it.all = true)).await, "users");
    assert_eq!(try_it(with(&|it| it.users = vec![" ".to_owned()])).await, "users");
    assert_eq!(try_it(with(&|it| it.users[0].push('\0'))).await, "users");
    assert_eq!(try_it(with(&|it| it.company = "  ".to_owned())).await, "company");
    assert_eq!(try_it(with(&|it| it.company = "x".repeat(300))).await, "company");
    assert_eq!(try_it(with(&|it| it.max_retries = Some(6))).await, "max_retries");
    assert_eq!(
        try_it(with(&|it| it.roles = vec!["Emperor".to_owned()])).await,
        "role_not_found"
    );
    for schedule in ["whenever", "0 0 30 2 *", "* * * * * *"] {
        let request = with(&|it| it.schedule = Some(schedule.to_owned()));
        assert_eq!(try_it(request).await, "schedule", "{schedule}");
    }
    let category = |name: String| with(&|it| it.monitoring_category = Some(name.clone()));
    assert_eq!(try_it(category("Sales Europe".to_owned())).await, "monitoring_category");
    assert_eq!(
        try_it(with(&|it| it.environment = "bare".to_owned())).await,
        "no_database"
    );
    let unknown = try_it(with(&|it| it.environment = "attic".to_owned())).await;
    assert_eq!(unknown, "find the environment `attic`");
    assert_eq!(world.number("select count(*) from rollcall.import_job").await, 0);
    for number in 0..20 {
        assert_eq!(try_it(category(format!("c-{number}"))).await, "done");
    }
    assert_eq!(try_it(category("c-20".to_owned())).await, "monitoring_category");
    assert_eq!(try_it(category("c-19".to_owned())).await, "done");
    world.end().await;
}

#[tokio::test]
async fn a_job_belongs_to_the_service_and_outlasts_its_submitter() {
    let world = World::new(vec![open_environment(ENV)]).await;
    let tenant = world.tenant();
    let ada = licensed(tenant, "Ada", "Lovelace");
    world.sync_completely().await;
    let submitter = tenant.user(ada).unwrap().user_principal_name.unwrap();
    let new = licensed(tenant, "New", "Comer");
    let job = world
        .engine
        .imports()
        .submit_import(&of(&[new]), &submitter)
        .await
        .unwrap();
    tenant.update_user(ada, |user| user.account_enabled = Some(false));
    world.engine.desk().refresh(ask(&ada.to_string())).await.unwrap();
    assert!(world.row(ENV, ada).await.unwrap().isdisabled);
    assert_eq!(step(&world).await, Some(job.id));
    assert_eq!(summary(&report(&world, job.id).await), ("complete", 1, 0, 0));
    world.end().await;
}

#[tokio::test]
async fn a_job_is_there_as_it_was_asked_for() {
    let world = World::new(vec![open_environment(ENV)]).await;
    let ada = licensed(world.tenant(), "Ada", "Lovelace");
    let request = ImportRequest {
        users: vec![ada.to_string(), " ".to_owned(), ada.to_string().to_uppercase()],
        background: true,
        batch_group: Some(" onboarding ".to_owned()),
        critical: true,
        monitoring_category: Some("finance".to_owned()),
        description: Some("Autumn intake".to_owned()),
        max_retries: Some(0),
        ..ImportRequest::new(ENV, " USMF ")
    };
    let job = submit(&world, &request).await;
    assert_eq!(
        (job.company.as_str(), job.batch_group.as_deref(), job.total),
        ("USMF", Some("onboarding"), 1)
    );
    assert_eq!(
        (job.monitoring_category.as_str(), job.max_retries, job.critical),
        ("finance", 0, true)
    );
    let plain = submit(&world, &of(&[ada])).await;
    assert_eq!(
        (plain.monitoring_category.as_str(), plain.max_retries),
        ("undefined", 3)
    );
    // Somebody added meanwhile is found present.
    let added = world.engine.desk().add(ask(&ada.to_string()), Trigger::AdminAdd).await;
    assert!(added.is_ok());
    step(&world).await;
    assert_eq!(summary(&report(&world, job.id).await), ("complete", 0, 1, 0));
    world.end().await;
}
