//! The plain listings of who stands in a group, their casts and counts.

use std::collections::{HashSet, VecDeque};

use serde_json::json;
use uuid::Uuid;

use super::groups::{self, READERS};
use super::round::separate;
use super::tenant::Standing;
use super::tenant::group::Group;
use super::tenant::property::{self, Writing};
use super::tenant::state::{Object, State};
use super::wire::{Answer, Ask, Outcome};
use super::{Shared, listing, users};

/// Whom a listing of a group's people names.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Reach {
    Members,
    Owners,
    Transitive,
}

/// `GET /groups/{id}/members`, `/owners` and `/transitiveMembers`
pub(super) fn people(shared: &Shared, ask: &Ask, key: &str, reach: Reach, cast: Option<&str>) -> Outcome {
    let permissions: &[&str] = match reach {
        Reach::Owners => READERS,
        _ => &[
            "GroupMember.ReadBasic.All",
            "GroupMember.Read.All",
            "Group.Read.All",
            "Directory.Read.All",
        ],
    };
    shared.require(ask, permissions)?;
    ask.only_options(&["$select", "$top", "$skiptoken", "$count"])?;
    advanced(shared, ask, cast)?;
    let select = ask.select()?;
    let top = if ask.empty_page { 0 } else { shared.top(ask, 100)? };
    let how = Writing {
        typed: true,
        ..member_writing(shared, ask, select.as_deref())?
    };
    let lag = match cast {
        Some(_) => shared.settings().index_lag,
        None => shared.settings().listing_lag,
    };
    let state = shared.tenant.read_late(lag);
    let group = Uuid::parse_str(key)
        .ok()
        .and_then(|id| state.group(id))
        .ok_or_else(|| ask.not_found(key))?;
    let (from, _) = listing::place(shared, ask, &state)?;
    let candidates: Box<dyn Iterator<Item = (u64, Uuid)> + '_> = match reach {
        Reach::Members => Box::new(group.members.after(from)),
        Reach::Owners => Box::new(group.owners.after(from)),
        Reach::Transitive => {
            let all = transitive(&state, group).into_iter().enumerate();
            let numbered = all.map(|(at, id)| (at as u64 + 1, id));
            Box::new(numbered.skip_while(move |(number, _)| *number <= from))
        }
    };
    let wanted = |id: Uuid| {
        let kind = state.odata_type(id).and_then(|kind| kind.strip_prefix('#'));
        cast.is_none_or(|cast| kind == Some(cast) || (cast == USER && state.live(id).is_some()))
    };
    let mut shown = candidates
        .filter(|(_, id)| listed(&state, *id) && wanted(*id))
        .peekable();
    let (mut value, mut last, mut written) = (Vec::new(), from, 0);
    while written < top {
        let Some((number, id)) = shown.next() else { break };
        separate(&mut value);
        write_object(&mut value, &state, id, how, select.as_deref());
        last = number;
        written += 1;
    }
    let next = shown.peek().map(|_| last);
    Ok(listing::answer(shared, ask, &state, "directoryObjects", &value, next))
}

/// `GET /groups/{id}/members/$count`
pub(super) fn count(shared: &Shared, ask: &Ask, key: &str) -> Outcome {
    shared.require(ask, READERS)?;
    let state = shared.tenant.read_late(shared.settings().index_lag);
    let group = Uuid::parse_str(key)
        .ok()
        .and_then(|id| state.group(id))
        .ok_or_else(|| ask.not_found(key))?;
    let members = group.members.iter().filter(|id| listed(&state, *id));
    listing::count(ask, members.count())
}

/// Soft-deleted users keep their memberships, and no listing names them.
fn listed(state: &State, id: Uuid) -> bool {
    state.standing(id).is_none_or(|standing| standing == Standing::Live)
}

const USER: &str = "microsoft.graph.user";

/// Casting needs the index, which must be asked for.
fn advanced(shared: &Shared, ask: &Ask, cast: Option<&str>) -> Result<(), Answer> {
    let counted = ask.option("$count") == Some("true") || ask.option("$skiptoken").is_some();
    if cast.is_some() && shared.settings().cast_needs_index && !(listing::eventual(ask) && counted) {
        return Err(ask.unsupported_query(
            "The request needs the header 'ConsistencyLevel: eventual' and the parameter '$count=true'.",
        ));
    }
    Ok(())
}

/// Members of a kind the application may not read come with an id and nulls.
fn member_writing(shared: &Shared, ask: &Ask, select: Option<&[String]>) -> Result<Writing, Answer> {
    let how = users::writing(shared, ask).unwrap_or(Writing {
        blank: true,
        ..Writing::full(0)
    });
    Ok(Writing {
        selection: users::selection(ask, select, true)?,
        ..how
    })
}

/// Everyone under a group, each once.
fn transitive(state: &State, group: &Group) -> Vec<Uuid> {
    let mut seen = HashSet::from([group.id]);
    let mut found = Vec::new();
    let mut left = VecDeque::from([group]);
    while let Some(group) = left.pop_front() {
        for id in group.members.iter() {
            if seen.insert(id) {
                found.push(id);
                left.extend(state.group(id));
            }
        }
    }
    found
}

/// Writes any directory object, with its type.
pub(super) fn write_object(value: &mut Vec<u8>, state: &State, id: Uuid, how: Writing, select: Option<&[String]>) {
    if let Some(user) = state.live(id) {
        property::write(value, &user, how);
        return;
    }
    let object = match (state.group(id), state.objects.get(&id)) {
        (Some(group), _) => groups::object(group, select, true),
        (None, Some(Object::ServicePrincipal { name, app_id })) => json!({
            "@odata.type": "#microsoft.graph.servicePrincipal", "id": id, "displayName": name, "appId": app_id,
        }),
        // Reading devices needs a permission of its own, which nobody gives a synchroniser.
        (None, Some(Object::Device { .. }) | None) => json!({
            "@odata.type": "#microsoft.graph.device", "id": id, "displayName": null, "accountEnabled": null,
            "deviceId": null,
        }),
    };
    value.extend_from_slice(object.to_string().as_bytes());
}
