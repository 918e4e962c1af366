//! Microsoft's own example payloads: every one the daemon can meet decodes, and nothing in it is lost.

use std::path::{Path, PathBuf};

use chrono::TimeDelta;

use super::server::{Reply, Server};
use super::*;
use crate::domain::feed::{AdminRole, Kept, Link, Moment, Next, Patch, PrincipalKind, Removal, UserChange};
use crate::graph::GraphError;
use crate::graph::fault::Codes;
use crate::graph::wire::relation::{RawDeletedUser, RawGroup, RawPrincipal, RawRoleAssignment, RawSku};
use crate::graph::wire::user::RawUser;
use crate::graph::wire::{Raw, batch, decode_listing};

/// Payloads the daemon never meets, and why.
const NOT_MET: [(&str, &str); 10] = [
    (
        "change-notification.json",
        "there is no notification endpoint; polling is correct alone",
    ),
    (
        "lifecycle-reauthorization-required.json",
        "belongs to change notifications",
    ),
    ("subscription-created.json", "belongs to change notifications"),
    (
        "directory-roles.json",
        "roles are read through roleAssignments, which knows scopes",
    ),
    (
        "role-assignment-schedule-instances.json",
        "roleAssignments lists what is active, permanent and activated alike",
    ),
    ("group-get.json", "a group's own properties are not needed"),
    (
        "group-members-cast-user-count.json",
        "the cast is answered from an index that lags; decoded all the same below",
    ),
    ("license-details.json", "one call per user, and placeholders for ids"),
    (
        "service-principals-delta.json",
        "application users are not synchronised",
    ),
    (
        "users-list-assigned-licenses.json",
        "plans decide, not SKUs; decoded all the same below",
    ),
];

fn folder() -> Option<PathBuf> {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    let candidates = [
        std::env::var_os("ROLLCALL_SHARED").map(PathBuf::from),
        Some(here.join("../shared")),
        Some(here.join("../../shared")),
    ];
    candidates
        .into_iter()
        .flatten()
        .map(|shared| shared.join("graph-examples"))
        .find(|folder| folder.is_dir())
}

struct Examples(PathBuf);

impl Examples {
    fn read(&self, name: &str) -> Vec<u8> {
        std::fs::read(self.0.join(name)).unwrap_or_else(|error| panic!("{name}: {error}"))
    }

    fn decode<R: Raw>(&self, name: &str) -> (Vec<R::Item>, Vec<String>) {
        let listing = decode_listing::<R>(&self.read(name)).unwrap_or_else(|error| panic!("{name}: {error:?}"));
        (listing.items, listing.unreadable)
    }

    fn users(&self, name: &str) -> Vec<UserChange> {
        let (items, unreadable) = self.decode::<RawUser>(name);
        assert_eq!(unreadable, Vec::<String>::new(), "{name}");
        items
    }

    fn delta_link(&self, name: &str) -> Next {
        let listing = decode_listing::<RawUser>(&self.read(name)).unwrap();
        listing.into_delta_page("first", Moment::default()).unwrap().next
    }
}

fn present(change: &UserChange) -> &crate::domain::feed::UserPatch {
    match change {
        UserChange::Present(user) => user,
        UserChange::Removed { .. } => panic!("{change:?}"),
    }
}

fn value(text: &str) -> Patch<String> {
    Patch::Value(text.to_owned())
}

macro_rules! examples_or_return {
    () => {
        match folder() {
            Some(folder) => Examples(folder),
            None => {
                eprintln!("the folder graph-examples is missing (set ROLLCALL_SHARED): nothing was checked");
                return;
            }
        }
    };
}

#[test]
fn every_example_is_either_met_here_or_known_not_to_be_met() {
    let examples = examples_or_return!();
    let source = include_str!("examples.rs");
    let mut names: Vec<_> = std::fs::read_dir(&examples.0)
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .filter(|name| Path::new(name).extension().is_some_and(|extension| extension == "json"))
        .collect();
    names.sort();
    assert!(names.len() >= 30);
    for name in names {
        assert!(
            source.contains(&format!("\"{name}\"")),
            "{name} is neither decoded nor listed as not met"
        );
    }
    assert!(NOT_MET.iter().all(|(_, why)| !why.is_empty()));
}

#[test]
fn user_feeds() {
    let examples = examples_or_return!();

    let users = examples.users("users-delta-initial-page.json");
    assert_eq!(present(&users[0]).given_name, value("John"));
    assert_eq!(present(&users[1]).id, id("605d1257-ffff-40b6-8e6f-528a53f5dc55"));
    assert_eq!(present(&users[1]).mail, Patch::Absent);
    assert!(
        matches!(examples.delta_link("users-delta-initial-page.json"), Next::Page(link)
        if link.expose().starts_with("https://graph.microsoft.com/v1.0/users/delta?$skiptoken=oEBwd"))
    );

    let users = examples.users("users-delta-last-page.json");
    assert_eq!(present(&users[1]).surname, value("Doe"));
    assert!(
        matches!(examples.delta_link("users-delta-last-page.json"), Next::Delta(link)
        if link.expose().ends_with("$deltatoken=oEcOySpF_hWYmTIUZBOIfPzcwisr_rPe8o9M54L45qEXQGmvQC6T2dbL-9O7nSU-njKhFiGlAZqewNAThmCVnNxqPu5gOBegrm1CaVZ-ZtFZ2tPOAO98OD9y0ao460"))
    );

    assert!(examples.users("users-delta-no-changes.json").is_empty());
    assert!(matches!(
        examples.delta_link("users-delta-no-changes.json"),
        Next::Delta(_)
    ));

    let users = examples.users("users-delta-changes-removed-changed.json");
    assert_eq!(present(&users[0]).display_name, value("Testuser7"));
    let removed = id("8ffff70c-1c63-4860-b963-e34ec660931d");
    assert!(matches!(users[1], UserChange::Removed { id, reason: Removal::SoftDeleted, .. } if id == removed));

    let users = examples.users("users-delta-default-properties.json");
    assert_eq!(present(&users[0]).business_phone, value("+1 425 555 0109"));
    assert_eq!(present(&users[0]).job_title, value("Retail Manager"));
    assert_eq!(present(&users[0]).usable_plans, Patch::Absent);

    // The block omits the id, which a live answer never does: set aside, not a new user.
    let (users, unreadable) = examples.decode::<RawUser>("users-delta-return-minimal-null.json");
    assert!(users.is_empty());
    assert_eq!(unreadable, ["a user has no id"]);

    let users = examples.users("users-list-app-only.json");
    assert_eq!(present(&users[0]).business_phone, Patch::Null);
    assert_eq!(present(&users[0]).given_name, Patch::Null);
    assert_eq!(present(&users[1]).mail, value("AdeleV@Contoso.com"));
    let users = examples.users("users-list-assigned-licenses.json");
    assert_eq!(present(&users[1]).mail, value("DebraB@contoso.com"));

    // One user outside a list, without an id and with an unknown capabilityStatus.
    let body = String::from_utf8(examples.read("user-assigned-licenses-and-plans.json")).unwrap();
    let body = format!(
        r#"{{"value":[{}]}}"#,
        body.replacen('{', r#"{"id":"87d349ed-44d7-43e1-9a83-5f2406dee5bd","#, 1)
    );
    let users = decode_listing::<RawUser>(body.as_bytes()).unwrap().items;
    assert_eq!(present(&users[0]).account_enabled, Patch::Value(true));
    assert_eq!(present(&users[0]).usable_plans, Patch::Value(Vec::new()));
    assert_eq!(present(&users[0]).city, value("city-value"));
}

#[test]
fn groups_roles_and_skus() {
    let examples = examples_or_return!();

    let (groups, unreadable) = examples.decode::<RawGroup>("group-delta-initial-page-members.json");
    assert!(unreadable.is_empty());
    assert_eq!(groups[0].group, GROUP);
    assert_eq!(groups[0].joined.len(), 2);
    assert_eq!(groups[0].joined[1].id, id("49320844-be99-4164-8167-87ff5d047ace"));
    assert!(groups[1].joined.is_empty() && groups[1].left.is_empty() && !groups[1].removed);

    // The leaver's id is one digit short.
    let (groups, unreadable) = examples.decode::<RawGroup>("group-delta-large-group-page-1.json");
    assert_eq!(groups[0].joined[0].id, id("37de1ae3-408f-4702-8636-20824abda004"));
    assert!(groups[0].left.is_empty());
    assert_eq!(unreadable, ["the id of a member is no GUID"]);

    let (members, _) = examples.decode::<RawPrincipal>("group-members-direct.json");
    assert_eq!(members[0].id, id("11111111-2222-3333-4444-555555555555"));
    assert_eq!(members[0].kind, PrincipalKind::User);
    let (members, _) = examples.decode::<RawPrincipal>("group-members-cast-user-count.json");
    assert_eq!(members.len(), 2);

    let (roles, _) = examples.decode::<RawRoleAssignment>("role-assignments-by-role-expand-principal.json");
    assert_eq!(roles.len(), 3);
    assert_eq!(roles[0].principal.id, id("ace08ec9-aa11-4ada-9145-addf0398233e"));
    assert!(
        roles
            .iter()
            .all(|role| role.tenant_wide && role.principal.kind == PrincipalKind::User)
    );
    let body = String::from_utf8(examples.read("role-assignments-by-role-expand-principal.json")).unwrap();
    assert!(body.contains(&AdminRole::Global.template_id().to_string()));

    let (skus, _) = examples.decode::<RawSku>("subscribed-skus.json");
    assert_eq!(
        (skus[0].part_number.as_str(), skus[0].usable),
        ("ENTERPRISEPREMIUM", true)
    );
    assert_eq!((skus[1].part_number.as_str(), skus[1].usable), ("CRMSTANDARD", false));
    assert_eq!(skus[1].sku_id, id("d17b27af-3f49-4822-99f9-56a661538792"));
    assert_eq!(
        skus[0].plans,
        [(id("8c098270-9dd4-4350-9b30-ba4703f3b36b"), "ADALLOM_S_O365".to_owned())]
    );

    // Groups, but the envelope is the one of deleted users.
    let (deleted, _) = examples.decode::<RawDeletedUser>("deleted-items-groups.json");
    assert_eq!(
        (deleted[0].id, deleted[0].deleted_at),
        (id("46cc6179-19d0-473e-97ad-6ff84347bbbb"), None)
    );
}

#[test]
fn a_batch() {
    let examples = examples_or_return!();
    let answers = batch::decode(&examples.read("batch-response-unordered.json")).unwrap();
    let status = |id: &str| answers[id].status();
    assert_eq!(answers.len(), 4);
    assert_eq!(["1", "2", "3", "4"].map(status), [302, 200, 401, 204].map(Some));
    assert!(answers["1"].header("Location").unwrap().starts_with("https://b0mpua"));
    assert_eq!(answers["1"].bytes(), b"null");
    assert_eq!(Codes::decode(answers["3"].bytes()).shown(), "Forbidden");
    assert_eq!(answers["4"].bytes(), b"null");
    let listing = decode_listing::<RawPrincipal>(answers["2"].bytes()).unwrap();
    assert!(listing.items.is_empty());
}

#[tokio::test]
async fn errors_and_tokens() {
    let examples = examples_or_return!();
    let server = Server::start([
        Reply::new(429, examples.read("error-throttled-429.json")).with("retry-after", "10"),
        Reply::new(400, examples.read("error-unsupported-query-400.json")),
        Reply::new(400, examples.read("error-unsupported-query-400.json")),
    ])
    .await;
    server.script_tokens([
        Reply::new(400, examples.read("token-error-invalid-scope.json")),
        Reply::ok(examples.read("imds-token-success.json")),
        Reply::ok(examples.read("token-success.json")),
    ]);
    let (graph, clock) = graph(&server);

    let error = graph.check_token().await.unwrap_err();
    let GraphError::Token(fault) = &error else {
        panic!("{error:?}")
    };
    assert_eq!((fault.error.as_str(), fault.aadsts), ("invalid_scope", Some(70_011)));
    assert_eq!(fault.trace_id.as_deref(), Some("255d1aef-8c98-452f-ac51-23d051240864"));
    assert_eq!(
        fault.correlation_id.as_deref(),
        Some("fb3d2015-bc17-4bb9-bb85-30c5cf1aaaa7")
    );
    assert!(error.remedy().is_some());
    for _ in 0..2 {
        assert_eq!(
            graph.check_token().await.unwrap() - clock.now(),
            TimeDelta::seconds(3599)
        );
    }

    let error = graph.users_delta(None, &Kept::All).await.unwrap_err();
    assert_eq!(clock.now() - start(), TimeDelta::seconds(10));
    assert!(
        matches!(&error, GraphError::BadRequest { status: 400, code, .. } if code == "Request_UnsupportedQuery"),
        "{error:?}"
    );
    let link = Link::new(server.link("users/delta?$deltatoken=1"));
    assert!(matches!(
        graph.users_delta(Some(&link), &Kept::All).await,
        Err(GraphError::LinkExpired { .. })
    ));
}
