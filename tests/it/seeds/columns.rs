//! Which properties become which columns, and which never do.

use rollcall::simulator::tenant::User;

use super::{ENV, stage};
use crate::world::{World, licensed, open_environment};

/// What the table says of the one user, `column=value`, in the order of the published list.
async fn columns(world: &World) -> Vec<String> {
    world
        .strings(
            "select concat(c.name, '=', c.value) from rollcall.system_user s,
             lateral (values (1, 'domainname', domainname), (2, 'fullname', fullname), (3, 'jobtitle', jobtitle),
                 (4, 'firstname', firstname), (5, 'lastname', lastname),
                 (6, 'internalemailaddress', internalemailaddress), (7, 'address1_telephone1', address1_telephone1),
                 (8, 'mobilephone', mobilephone), (9, 'address1_line1', address1_line1),
                 (10, 'address1_city', address1_city), (11, 'address1_stateorprovince', address1_stateorprovince),
                 (12, 'address1_postalcode', address1_postalcode), (13, 'address1_country', address1_country),
                 (14, 'azureactivedirectoryobjectid', azureactivedirectoryobjectid::text)) c (at, name, value)
             where azureactivedirectoryobjectid is not null order by c.at",
        )
        .await
}

fn furnish(user: &mut User, mark: &str) {
    let text = |what: &str| Some(format!("{what} {mark}"));
    user.user_principal_name = Some(format!("ada.{mark}@contoso.example"));
    user.mail = Some(format!("ada.{mark}@mail.example"));
    user.given_name = text("Ada");
    user.surname = text("Lovelace");
    user.job_title = text("Analyst");
    user.business_phones = vec![format!("+44 {mark}")];
    user.mobile_phone = text("+45");
    user.street_address = text("Square");
    user.city = text("London");
    user.state = text("Middlesex");
    user.postal_code = text("SW1Y");
    user.country = text("England");
}

#[tokio::test]
async fn every_managed_field_is_written_at_creation_and_follows_except_the_full_name() {
    let world = World::new(vec![open_environment(ENV)]).await;
    let ada = licensed(world.tenant(), "Ada", "Lovelace");
    world.tenant().update_user(ada, |user| furnish(user, "1"));
    world.sync_completely().await;
    let expected = |mark: &str, full_name: &str| {
        [
            format!("domainname=ada.{mark}@contoso.example"),
            format!("fullname={full_name}"),
            format!("jobtitle=Analyst {mark}"),
            format!("firstname=Ada {mark}"),
            format!("lastname=Lovelace {mark}"),
            format!("internalemailaddress=ada.{mark}@mail.example"),
            format!("address1_telephone1=+44 {mark}"),
            format!("mobilephone=+45 {mark}"),
            format!("address1_line1=Square {mark}"),
            format!("address1_city=London {mark}"),
            format!("address1_stateorprovince=Middlesex {mark}"),
            format!("address1_postalcode=SW1Y {mark}"),
            format!("address1_country=England {mark}"),
            format!("azureactivedirectoryobjectid={ada}"),
        ]
    };
    assert_eq!(columns(&world).await, expected("1", "Ada 1 Lovelace 1"));
    world.tenant().update_user(ada, |user| furnish(user, "2"));
    world.sync_completely().await;
    assert_eq!(
        columns(&world).await,
        expected("2", "Ada 1 Lovelace 1"),
        "the full name stays"
    );
    world.assert_settled().await;
    world.end().await;
}

#[tokio::test]
async fn department_and_office_and_fax_have_no_column_and_change_nothing() {
    let world = stage(vec![open_environment(ENV)]).await;
    let ada = licensed(world.tenant(), "Ada", "Lovelace");
    world.sync_completely().await;
    let before = world.dump().await;
    world.tenant().update_user(ada, |user| {
        user.department = Some("Engines".to_owned());
        user.office_location = Some("12".to_owned());
        user.fax_number = Some("+44 9".to_owned());
    });
    world.sync_completely().await;
    assert_eq!(world.dump().await, before);
    world.end().await;
}
