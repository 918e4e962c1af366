//! Role assignments, subscribed products and service principals.

use chrono::SecondsFormat;
use serde_json::{Value, json};
use uuid::Uuid;

use super::members::write_object;
use super::tenant::property::{Writing, default_properties, property};
use super::tenant::roles::{Hold, RoleAssignment};
use super::tenant::state::{Object, State};
use super::wire::{Answer, Ask, Outcome, equality};
use super::{Shared, listing, users};

/// Which list of role holders.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Roles {
    Assignments,
    Instances,
    Eligibilities,
}

impl Roles {
    fn set(self) -> &'static str {
        match self {
            Self::Assignments => "roleAssignments",
            Self::Instances => "roleAssignmentScheduleInstances",
            Self::Eligibilities => "roleEligibilityScheduleInstances",
        }
    }
}

/// How many role assignments a page holds.
const ROLE_PAGE: usize = 100;

/// `GET /roleManagement/directory/…`
pub(super) fn roles(shared: &Shared, ask: &Ask, which: Roles) -> Outcome {
    shared.require(
        ask,
        match which {
            Roles::Assignments => &[
                "RoleManagement.Read.Directory",
                "RoleManagement.Read.All",
                "Directory.Read.All",
            ],
            Roles::Instances => &["RoleManagement.Read.Directory", "RoleAssignmentSchedule.Read.Directory"],
            Roles::Eligibilities => &[
                "RoleManagement.Read.Directory",
                "RoleEligibilitySchedule.Read.Directory",
            ],
        },
    )?;
    ask.only_options(&["$filter", "$expand", "$select", "$skiptoken"])?;
    let expand = match ask.option("$expand") {
        None => false,
        Some("principal") => true,
        Some(other) => return Err(ask.bad_request(&format!("Could not find a property named '{other}'."))),
    };
    let filter = ask
        .option("$filter")
        .map(|filter| clauses(ask, filter))
        .transpose()?
        .unwrap_or_default();
    let how = users::writing(shared, ask).unwrap_or(Writing {
        blank: true,
        ..Writing::full(0)
    });
    let enabled = property("accountEnabled").unwrap_or(0) | property("userType").unwrap_or(0);
    let how = Writing {
        selection: default_properties() | enabled,
        typed: true,
        ..how
    };
    let state = shared.tenant.read();
    let held = state.assignments.iter().filter(|held| {
        let present = match which {
            Roles::Eligibilities => held.hold == Hold::Eligible,
            Roles::Assignments | Roles::Instances => held.active(ask.now),
        };
        present && filter.iter().all(|clause| clause.admits(held))
    });
    let all: Vec<Value> = held
        .map(|held| object(&state, held, which, expand.then_some(how)))
        .collect();
    let context = format!(
        "roleManagement/directory/{}{}",
        which.set(),
        if expand { "(principal())" } else { "" }
    );
    listing::values(shared, ask, &state, &context, &all, ROLE_PAGE)
}

enum Clause {
    Role(Uuid),
    Principal(Uuid),
    Scope(String),
}

impl Clause {
    fn admits(&self, held: &RoleAssignment) -> bool {
        match self {
            Self::Role(role) => held.role == *role,
            Self::Principal(principal) => held.principal == *principal,
            Self::Scope(scope) => held.scope == *scope,
        }
    }
}

fn clauses(ask: &Ask, filter: &str) -> Result<Vec<Clause>, Answer> {
    let unsupported = || {
        ask.refuse(
            axum::http::StatusCode::BAD_REQUEST,
            "Request_BadRequest",
            "Unsupported filter.",
        )
    };
    filter
        .split(" and ")
        .map(|clause| {
            let (property, value) = equality(clause)
                .filter(|(_, value)| !value.contains('\''))
                .ok_or_else(unsupported)?;
            let id = || Uuid::parse_str(value).map_err(|_| unsupported());
            match property {
                "roleDefinitionId" => Ok(Clause::Role(id()?)),
                "principalId" => Ok(Clause::Principal(id()?)),
                "directoryScopeId" => Ok(Clause::Scope(value.to_owned())),
                _ => Err(unsupported()),
            }
        })
        .collect()
}

fn object(state: &State, held: &RoleAssignment, which: Roles, expand: Option<Writing>) -> Value {
    let end = match held.hold {
        Hold::Activated(end) => Some(end.to_rfc3339_opts(SecondsFormat::Secs, true)),
        _ => None,
    };
    let mut object = json!({
        "id": held.id,
        "principalId": held.principal,
        "roleDefinitionId": held.role,
        "directoryScopeId": held.scope,
    });
    match which {
        Roles::Assignments => {}
        Roles::Instances => {
            let activated = end.is_some();
            object["appScopeId"] = Value::Null;
            object["startDateTime"] = Value::Null;
            object["endDateTime"] = end.into();
            object["assignmentType"] = if activated { "Activated" } else { "Assigned" }.into();
            object["memberType"] = "Direct".into();
            object["roleAssignmentOriginId"] = held.id.clone().into();
            object["roleAssignmentScheduleId"] = held.id.clone().into();
        }
        Roles::Eligibilities => {
            object["appScopeId"] = Value::Null;
            object["startDateTime"] = Value::Null;
            object["endDateTime"] = Value::Null;
            object["memberType"] = "Direct".into();
            object["roleEligibilityScheduleId"] = held.id.clone().into();
        }
    }
    if let Some(how) = expand {
        let mut principal = Vec::new();
        if state.is_deleted_group(held.principal) {
            let group = json!({"@odata.type": "#microsoft.graph.group", "id": held.principal});
            principal.extend_from_slice(group.to_string().as_bytes());
        } else if state.live(held.principal).is_some() || state.standing(held.principal).is_none() {
            write_object(&mut principal, state, held.principal, how, None);
        }
        object["principal"] = serde_json::from_slice(&principal).unwrap_or(Value::Null);
    }
    object
}

/// `GET /subscribedSkus`
pub(super) fn subscribed_skus(shared: &Shared, ask: &Ask) -> Outcome {
    shared.require(
        ask,
        &[
            "LicenseAssignment.Read.All",
            "Organization.Read.All",
            "Directory.Read.All",
        ],
    )?;
    ask.only_options(&[])?;
    let state = shared.tenant.read();
    let all: Vec<Value> = state
        .skus
        .iter()
        .map(|sku| sku.to_json(shared.settings().tenant_id))
        .collect();
    Ok(Answer::json(&json!({
        "@odata.context": format!("{}/v1.0/$metadata#subscribedSkus", shared.root),
        "value": all,
    })))
}

/// `GET /servicePrincipals` and `GET /servicePrincipals(appId='…')`
pub(super) fn service_principals(shared: &Shared, ask: &Ask, app: Option<&str>) -> Outcome {
    shared.require(ask, &["Application.Read.All", "Directory.Read.All"])?;
    ask.only_options(&["$filter", "$select", "$top", "$skiptoken"])?;
    let select = ask.select()?;
    let state = shared.tenant.read();
    let one = |id: Uuid, app_id: Uuid, name: &str| {
        json!({
            "id": id, "appId": app_id, "displayName": name, "accountEnabled": true,
            "servicePrincipalType": "Application", "appOwnerOrganizationId": shared.settings().tenant_id,
        })
    };
    // The application that asks has a service principal too; its object id is made from its application id.
    let own = Uuid::from_u128(shared.settings().client_id.as_u128().rotate_left(8) & !(0xf << 76) | (0x4 << 76));
    let mut all = vec![one(own, shared.settings().client_id, "rollcall")];
    all.extend(state.objects.iter().filter_map(|(id, object)| match object {
        Object::ServicePrincipal { name, app_id } => Some(one(*id, *app_id, name)),
        Object::Device { .. } => None,
    }));
    all.sort_by_key(|principal| principal["id"].to_string());
    let is = |principal: &Value, app: &str| {
        principal["appId"]
            .as_str()
            .is_some_and(|id| id.eq_ignore_ascii_case(app))
    };
    if let Some(first) = all.first() {
        check_names(ask, select.as_deref(), first)?;
    }
    let selected = |mut principal: Value| {
        if let (Some(object), Some(names)) = (principal.as_object_mut(), &select) {
            object.retain(|name, _| name == "id" || names.contains(name));
        }
        principal
    };
    if let Some(app) = app {
        let found = all.into_iter().find(|principal| is(principal, app));
        return found
            .map(|found| Answer::json(&selected(found)))
            .ok_or_else(|| ask.not_found(app));
    }
    if let Some(filter) = ask.option("$filter") {
        let (property, app) = equality(filter).ok_or_else(|| ask.bad_request("Invalid filter clause"))?;
        if property != "appId" {
            return Err(ask.unsupported_query("The request uses a filter property that is not indexed"));
        }
        all.retain(|principal| is(principal, app));
    }
    let all: Vec<Value> = all.into_iter().map(selected).collect();
    listing::values(shared, ask, &state, "servicePrincipals", &all, 100)
}

/// Refuses a `$select` of what no such object has.
fn check_names(ask: &Ask, select: Option<&[String]>, object: &Value) -> Result<(), Answer> {
    match select
        .unwrap_or_default()
        .iter()
        .find(|name| object.get(name.as_str()).is_none())
    {
        None => Ok(()),
        Some(name) => Err(ask.bad_request(&format!(
            "Parsing OData Select and Expand failed: Could not find a property named '{name}' on type \
             'microsoft.graph.servicePrincipal'."
        ))),
    }
}
