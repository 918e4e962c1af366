//! Users: the delta rounds, single users, and the plain listing.

use std::collections::HashMap;
use std::fmt::Write as _;

use axum::http::StatusCode;
use serde_json::{Value, json};
use uuid::Uuid;

use super::Shared;
use super::listing;
use super::round::{Page, Round, separate, tombstone};
use super::tenant::Standing;
use super::tenant::history::View;
use super::tenant::property::{
    self, ALL, Mask, NOT_IN_THE_MAIN_STORE, Writing, basic_properties, default_properties, property,
};
use super::tenant::state::{Removal, State};
use super::wire::{Answer, Ask, Outcome, equality};

/// `GET /users/delta`
pub(super) fn delta(shared: &Shared, ask: &Ask) -> Outcome {
    let how = writing(shared, ask)?;
    let state = shared.tenant.read();
    let end = state.user_log.len();
    let mut round = Round::of(shared, ask, &state, "users", end)?;
    let selection = selection(ask, round.marker.select.as_deref(), true)?;
    let how = Writing {
        selection,
        omit_unset: round.marker.first,
        ..how
    };
    let mut page = Page {
        value: Vec::new(),
        context: context("users", round.marker.select.as_deref()),
        finished: round.latest,
    };
    if round.latest {
        round.marker.log = end as u64;
        return Ok(round.answer(shared, ask, &state, &page));
    }
    if ask.empty_page {
        return Ok(round.answer(shared, ask, &state, &page));
    }
    let room = shared.settings().page_size;
    let listed = list_page(&state, &mut round, how, room, &mut page.value);
    if round.marker.listing.is_none() {
        log_page(&state, &mut round, how, room - listed, &mut page.value);
        page.finished = usize::try_from(round.marker.log).is_ok_and(|at| at >= end);
    }
    Ok(round.answer(shared, ask, &state, &page))
}

/// Writes as much of the listing as there is room for; how many items that were.
fn list_page(state: &State, round: &mut Round, how: Writing, room: usize, value: &mut Vec<u8>) -> usize {
    let Some((from, ..)) = round.marker.listing else {
        return 0;
    };
    let mut position = usize::try_from(from).unwrap_or(usize::MAX);
    let mut written = 0;
    let named = round.marker.ids.clone();
    // Strays come first: one that is added in mid-round then repeats a user instead of hiding her.
    let strays = if named.is_some() { 0 } else { state.strays.len() };
    let total = named.as_ref().map_or_else(|| strays + state.population(), Vec::len);
    while written < room && position < total {
        if position < strays {
            let (id, removal) = state.strays[position];
            tombstone(value, id, reason(removal));
            written += 1;
        } else {
            let found = match &named {
                Some(ids) => state.find(ids[position]),
                None => state.at(position - strays),
            };
            if let Some((user, Standing::Live)) = found {
                separate(value);
                property::write(value, &user, how);
                written += 1;
            }
        }
        position += 1;
    }
    round.marker.listing = (position < total).then_some((position as u64, 0, 0));
    written
}

/// Writes the users that changed since the round's place in the log, each once a page and as she is now.
fn log_page(state: &State, round: &mut Round, how: Writing, room: usize, value: &mut Vec<u8>) {
    let mut order: Vec<Uuid> = Vec::new();
    let mut changed: HashMap<Uuid, Mask> = HashMap::new();
    let from = usize::try_from(round.marker.log)
        .unwrap_or(usize::MAX)
        .min(state.user_log.len());
    let mut at = from;
    for (id, mask) in &state.user_log[from..] {
        let known = changed.contains_key(id);
        if mask & how.selection != 0 && round.concerns(*id) {
            if !known && order.len() == room {
                break;
            }
            if !known {
                order.push(*id);
            }
            *changed.entry(*id).or_default() |= mask;
        }
        at += 1;
    }
    round.marker.log = at as u64;
    for id in order {
        let mask = changed.get(&id).copied().unwrap_or(ALL);
        match state.find(id) {
            Some((user, Standing::Live)) => {
                // One who is new or back comes whole even then.
                let partly = round.minimal && !round.marker.first && mask != ALL;
                let how = if partly {
                    Writing {
                        selection: how.selection & mask,
                        ..how
                    }
                } else {
                    how
                };
                separate(value);
                property::write(value, &user, how);
            }
            Some((_, Standing::SoftDeleted(_))) => tombstone(value, id, reason(Removal::Soft)),
            Some((_, Standing::Purged)) => tombstone(value, id, reason(Removal::Permanent)),
            None => {
                let stray = state.strays.iter().rev().find(|(stray, _)| *stray == id);
                tombstone(
                    value,
                    id,
                    reason(stray.map_or(Removal::Permanent, |(_, removal)| *removal)),
                );
            }
        }
    }
}

fn reason(removal: Removal) -> &'static str {
    match removal {
        Removal::Soft => "changed",
        Removal::Permanent => "deleted",
    }
}

/// What the application may read of a user, or 403.
pub(super) fn writing(shared: &Shared, ask: &Ask) -> Result<Writing, Answer> {
    let how = Writing::full(ALL);
    if shared.settings().limited_information {
        return Ok(Writing { blank: true, ..how });
    }
    if shared.may(&["User.Read.All", "Directory.Read.All", "User.ReadWrite.All"]) {
        return Ok(how);
    }
    if shared.may(&["User.ReadBasic.All"]) {
        return Ok(Writing {
            readable: basic_properties(),
            ..how
        });
    }
    Err(ask.forbidden())
}

/// The properties these names select. A collection refuses those outside the main store.
pub(super) fn selection(ask: &Ask, names: Option<&[String]>, collection: bool) -> Result<Mask, Answer> {
    let Some(names) = names else {
        return Ok(default_properties());
    };
    let mut mask = 0;
    for name in names {
        if let Some(bit) = property(name) {
            mask |= bit;
        } else if NOT_IN_THE_MAIN_STORE.contains(&name.as_str()) {
            if collection {
                let message = format!("The property '{name}' cannot be selected in a collection of users.");
                return Err(ask.refuse(StatusCode::NOT_IMPLEMENTED, "NotImplemented", &message));
            }
        } else if name != "id" && name != "manager" {
            return Err(ask.bad_request(&format!(
                "Parsing OData Select and Expand failed: Could not find a property named '{name}' on type \
                 'microsoft.graph.user'."
            )));
        }
    }
    Ok(mask)
}

pub(super) fn context(set: &str, select: Option<&[String]>) -> String {
    let mut context = set.to_owned();
    if let Some(names) = select {
        let _ = write!(context, "({})", names.join(","));
    }
    context
}

/// `GET /users/{id or userPrincipalName}`
pub(super) fn one(shared: &Shared, ask: &Ask, key: &str) -> Outcome {
    let how = writing(shared, ask)?;
    ask.only_options(&["$select"])?;
    let select = ask.select()?;
    let how = Writing {
        selection: selection(ask, select.as_deref(), false)?,
        ..how
    };
    let state = shared.tenant.read_late(shared.settings().look_up_lag);
    let user = match Uuid::parse_str(key) {
        Ok(id) => state.live(id),
        Err(_) => state.by_upn(key),
    };
    let user = user.ok_or_else(|| ask.not_found(key))?;
    let set = if select.is_some() {
        context("users", select.as_deref())
    } else {
        "users".into()
    };
    let mut body = format!("{{\"@odata.context\":\"{}/v1.0/$metadata#{set}/$entity\",", shared.root).into_bytes();
    let mut object = Vec::new();
    property::write(&mut object, &user, how);
    body.extend_from_slice(&object[1..]);
    Ok(Answer::bytes(body))
}

/// `GET /users/{id}/memberOf`
pub(super) fn member_of(shared: &Shared, ask: &Ask, key: &str) -> Outcome {
    shared.require(
        ask,
        &[
            "Directory.Read.All",
            "GroupMember.Read.All",
            "User.Read.All",
            "Group.Read.All",
        ],
    )?;
    ask.only_options(&["$select", "$top", "$skiptoken"])?;
    let state = shared.tenant.read_late(shared.settings().look_up_lag);
    let user = match Uuid::parse_str(key) {
        Ok(id) => state.live(id),
        Err(_) => state.by_upn(key),
    };
    let id = user.ok_or_else(|| ask.not_found(key))?.id;
    containers(shared, ask, &state, id)
}

/// The groups and roles that an object is a direct member of.
pub(super) fn containers(shared: &Shared, ask: &Ask, state: &State, id: Uuid) -> Outcome {
    let select = ask.select()?;
    super::groups::check_names(ask, select.as_deref(), &["roleTemplateId"])?;
    let mut containers: Vec<Value> = state
        .groups
        .iter()
        .filter(|group| !group.deleted && group.members.contains(id))
        .map(|group| super::groups::object(group, select.as_deref(), true))
        .collect();
    let roles = state.assignments.iter();
    let roles = roles.filter(|held| held.principal == id && held.scope == "/" && held.active(ask.now));
    containers.extend(roles.map(|held| directory_role(held.role, select.as_deref())));
    listing::values(shared, ask, state, "directoryObjects", &containers, 100)
}

/// A role as an object of the directory. The object is this tenant's, so its id is not the template's.
fn directory_role(template: Uuid, select: Option<&[String]>) -> Value {
    let mut role = json!({
        "@odata.type": "#microsoft.graph.directoryRole",
        "id": Uuid::from_u128(template.as_u128().rotate_left(8) & !(0xf << 76) | (0x4 << 76)),
        "deletedDateTime": null,
        "roleTemplateId": template,
    });
    if let (Some(role), Some(names)) = (role.as_object_mut(), select) {
        role.retain(|name, _| name.starts_with('@') || name == "id" || names.contains(name));
    }
    role
}

/// `GET /users/$count`
pub(super) fn count(shared: &Shared, ask: &Ask) -> Outcome {
    writing(shared, ask)?;
    let state = shared.tenant.read_late(shared.settings().index_lag);
    listing::count(ask, state.live_users())
}

/// `GET /users`
pub(super) fn list(shared: &Shared, ask: &Ask) -> Outcome {
    let how = writing(shared, ask)?;
    ask.only_options(&["$select", "$top", "$filter", "$skiptoken", "$count"])?;
    let select = ask.select()?;
    let how = Writing {
        selection: selection(ask, select.as_deref(), true)?,
        omit_unset: false,
        ..how
    };
    let filter = ask.option("$filter").map(|filter| {
        let clause = equality(filter).filter(|(property, _)| FILTERABLE.contains(property));
        clause.ok_or_else(|| ask.unsupported_query("The request uses a filter property that is not indexed"))
    });
    let filter = filter.transpose()?;
    let top = shared.top(ask, 100)?;
    let state = shared.tenant.read_late(shared.settings().listing_lag);
    let (mut position, _) = listing::place(shared, ask, &state)?;
    let total = state.population() as u64;
    let mut value = Vec::new();
    let mut written = 0;
    while position < total && written < top && !ask.empty_page {
        if let Some((user, Standing::Live)) = state.at(usize::try_from(position).unwrap_or(usize::MAX)) {
            let wanted = filter.is_none_or(|(property, literal)| match property {
                "id" => user.id.to_string().eq_ignore_ascii_case(literal),
                "accountEnabled" => user.account_enabled.is_some_and(|on| on.to_string() == literal),
                "mail" => user
                    .mail
                    .as_ref()
                    .is_some_and(|mail| mail.eq_ignore_ascii_case(literal)),
                _ => user
                    .user_principal_name
                    .as_ref()
                    .is_some_and(|upn| upn.eq_ignore_ascii_case(literal)),
            });
            if wanted {
                separate(&mut value);
                property::write(&mut value, &user, how);
                written += 1;
            }
        }
        position += 1;
    }
    let next = (position < total).then_some(position);
    let context = context("users", select.as_deref());
    let mut answer = listing::answer(shared, ask, &state, &context, &value, next);
    // It names no time, so it is the same until the tenant changes.
    answer.cacheable = matches!(state, View::Now(_)) && shared.settings().listing_lag.is_zero();
    Ok(answer)
}

const FILTERABLE: &[&str] = &["id", "accountEnabled", "mail", "userPrincipalName"];
