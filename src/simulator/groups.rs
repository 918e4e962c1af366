//! Groups: the delta rounds, single groups, and the groups that a group stands in.

use std::collections::{HashMap, HashSet};

use chrono::SecondsFormat;
use serde_json::{Map, Value, json};
use uuid::Uuid;

use super::round::{Page, Round, separate, tombstone};
use super::tenant::group::{Group, GroupChange, GroupKind, Relation};
use super::tenant::state::State;
use super::wire::{Answer, Ask, Outcome};
use super::{Shared, listing, users};

pub(super) const READERS: &[&str] = &["GroupMember.Read.All", "Group.Read.All", "Directory.Read.All"];

/// The properties of a group that one may select.
const PROPERTIES: &[&str] = &[
    "id",
    "createdDateTime",
    "deletedDateTime",
    "description",
    "displayName",
    "groupTypes",
    "isAssignableToRole",
    "mail",
    "mailEnabled",
    "mailNickname",
    "membershipRule",
    "membershipRuleProcessingState",
    "onPremisesSyncEnabled",
    "securityEnabled",
    "visibility",
];

/// A group as JSON, with the selected properties or all of them.
pub(super) fn object(group: &Group, select: Option<&[String]>, typed: bool) -> Value {
    let all = json!({
        "id": group.id,
        "createdDateTime": group.created.to_rfc3339_opts(SecondsFormat::Secs, true),
        "deletedDateTime": null,
        "description": group.description,
        "displayName": group.name,
        "groupTypes": if group.kind == GroupKind::Microsoft365 { vec!["Unified"] } else { vec![] },
        "isAssignableToRole": group.role_assignable.then_some(true),
        "mail": null,
        "mailEnabled": group.kind != GroupKind::Security,
        "mailNickname": group.id.simple().to_string()[..9],
        "membershipRule": null,
        "membershipRuleProcessingState": null,
        "onPremisesSyncEnabled": null,
        "securityEnabled": group.kind == GroupKind::Security,
        "visibility": null,
    });
    let mut object = Map::new();
    if typed {
        object.insert("@odata.type".into(), "#microsoft.graph.group".into());
    }
    if let Value::Object(all) = all {
        object.extend(all.into_iter().filter(|(name, _)| {
            name == "id" || select.is_none_or(|names| names.iter().any(|wanted| wanted.eq_ignore_ascii_case(name)))
        }));
    }
    Value::Object(object)
}

pub(super) fn check_names(ask: &Ask, names: Option<&[String]>, relations: &[&str]) -> Result<(), Answer> {
    let known = |name: &&String| PROPERTIES.contains(&name.as_str()) || relations.contains(&name.as_str());
    match names.unwrap_or_default().iter().find(|name| !known(name)) {
        None => Ok(()),
        Some(name) => Err(ask.bad_request(&format!(
            "Parsing OData Select and Expand failed: Could not find a property named '{name}' on type \
             'microsoft.graph.group'."
        ))),
    }
}

/// `GET /groups/delta`
pub(super) fn delta(shared: &Shared, ask: &Ask) -> Outcome {
    shared.require(ask, READERS)?;
    let state = shared.tenant.read();
    let end = state.group_log.len();
    let mut round = Round::of(shared, ask, &state, "groups", end)?;
    let select = round.marker.select.clone();
    check_names(ask, select.as_deref(), &["members", "owners"])?;
    let plain: Option<Vec<String>> = select.as_ref().map(|names| {
        names
            .iter()
            .filter(|name| PROPERTIES.contains(&name.as_str()))
            .cloned()
            .collect()
    });
    let relations: Vec<Relation> = [("members", Relation::Members), ("owners", Relation::Owners)]
        .into_iter()
        .filter(|(name, relation)| match &select {
            Some(names) => names.iter().any(|wanted| wanted == name),
            None => *relation == Relation::Members,
        })
        .map(|(_, relation)| relation)
        .collect();
    let mut page = Page {
        value: Vec::new(),
        context: users::context("groups", plain.as_deref()),
        finished: round.latest,
    };
    if round.latest {
        round.marker.log = end as u64;
    } else if !ask.empty_page {
        let mut writer = Writer {
            state: &state,
            select: plain,
            relations,
            objects_left: shared.settings().page_size,
            relations_left: shared.settings().relations_per_page,
            value: &mut page.value,
        };
        writer.listing(&mut round);
        if round.marker.listing.is_none() {
            writer.log(&mut round);
            page.finished = usize::try_from(round.marker.log).is_ok_and(|at| at >= end);
        }
    }
    Ok(round.answer(shared, ask, &state, &page))
}

/// Writes one page of group objects, counting down what still fits.
struct Writer<'a> {
    state: &'a State,
    select: Option<Vec<String>>,
    relations: Vec<Relation>,
    objects_left: usize,
    relations_left: usize,
    value: &'a mut Vec<u8>,
}

impl Writer<'_> {
    fn has_room(&self) -> bool {
        self.objects_left > 0 && self.relations_left > 0
    }

    /// The groups as they are, a large one over several pages.
    fn listing(&mut self, round: &mut Round) {
        let Some((from, relation, after)) = round.marker.listing else {
            return;
        };
        let state = self.state;
        let mut place = (
            usize::try_from(from).unwrap_or(usize::MAX),
            usize::try_from(relation).unwrap_or(0),
            after,
        );
        while place.0 < state.groups.len() {
            if !self.has_room() {
                round.marker.listing = Some((place.0 as u64, place.1 as u64, place.2));
                return;
            }
            let group = &state.groups[place.0];
            if group.deleted || !round.concerns(group.id) {
                place = (place.0 + 1, 0, 0);
                continue;
            }
            let mut parts: Vec<(Relation, Vec<Uuid>)> = Vec::new();
            while let Some(relation) = self.relations.get(place.1) {
                let mut ids = Vec::new();
                let mut more = false;
                for (number, id) in group.roll(*relation).after(place.2) {
                    if self.relations_left == 0 {
                        more = true;
                        break;
                    }
                    self.relations_left -= 1;
                    ids.push(id);
                    place.2 = number;
                }
                if !ids.is_empty() {
                    parts.push((*relation, ids));
                }
                if more {
                    break;
                }
                place = (place.0, place.1 + 1, 0);
            }
            self.objects_left -= 1;
            self.group(group, true, &parts);
            if place.1 >= self.relations.len() {
                place = (place.0 + 1, 0, 0);
            }
        }
        round.marker.listing = None;
    }

    /// What happened to groups since the round's place in the log, told by how things stand now.
    fn log(&mut self, round: &mut Round) {
        let log = &self.state.group_log;
        let from = usize::try_from(round.marker.log).unwrap_or(usize::MAX).min(log.len());
        let mut order: Vec<Uuid> = Vec::new();
        let mut touched: HashMap<Uuid, Vec<GroupChange>> = HashMap::new();
        let mut seen: HashSet<(Uuid, Relation, Uuid)> = HashSet::new();
        let mut at = from;
        for (id, change) in &log[from..] {
            let tracked = match change {
                GroupChange::Itself => true,
                GroupChange::Relation(relation, object) => {
                    self.relations.contains(relation) && !seen.contains(&(*id, *relation, *object))
                }
            };
            if tracked && round.concerns(*id) {
                if !self.has_room() {
                    break;
                }
                let changes = touched.entry(*id).or_insert_with(|| {
                    order.push(*id);
                    self.objects_left -= 1;
                    Vec::new()
                });
                if let GroupChange::Relation(relation, object) = change {
                    seen.insert((*id, *relation, *object));
                    self.relations_left -= 1;
                }
                changes.push(*change);
            }
            at += 1;
        }
        round.marker.log = at as u64;
        for id in order {
            let changes = touched.remove(&id).unwrap_or_default();
            let Some(group) = self.state.group(id) else {
                tombstone(self.value, id, "deleted");
                continue;
            };
            let parts: Vec<(Relation, Vec<Uuid>)> = [Relation::Members, Relation::Owners]
                .into_iter()
                .map(|relation| {
                    let of = |change: &GroupChange| match change {
                        GroupChange::Relation(which, object) if *which == relation => Some(*object),
                        _ => None,
                    };
                    (relation, changes.iter().filter_map(of).collect::<Vec<_>>())
                })
                .filter(|(_, ids)| !ids.is_empty())
                .collect();
            let whole = !round.minimal || changes.contains(&GroupChange::Itself);
            self.group(group, whole, &parts);
        }
    }

    fn group(&mut self, group: &Group, whole: bool, parts: &[(Relation, Vec<Uuid>)]) {
        let none: &[String] = &[];
        let select = if whole { self.select.as_deref() } else { Some(none) };
        let mut object = object(group, select, false);
        for (relation, ids) in parts {
            let entries: Vec<Value> = ids
                .iter()
                .map(|id| {
                    let kind = self.state.odata_type(*id).unwrap_or("#microsoft.graph.user");
                    if group.roll(*relation).contains(*id) {
                        json!({"@odata.type": kind, "id": id})
                    } else {
                        json!({"@odata.type": kind, "id": id, "@removed": {"reason": "deleted"}})
                    }
                })
                .collect();
            let name = match relation {
                Relation::Members => "members@delta",
                Relation::Owners => "owners@delta",
            };
            object[name] = entries.into();
        }
        separate(self.value);
        self.value.extend_from_slice(object.to_string().as_bytes());
    }
}

/// `GET /groups/{id}`
pub(super) fn one(shared: &Shared, ask: &Ask, key: &str) -> Outcome {
    shared.require(ask, READERS)?;
    ask.only_options(&["$select"])?;
    let select = ask.select()?;
    check_names(ask, select.as_deref(), &[])?;
    let state = shared.tenant.read();
    let group = Uuid::parse_str(key)
        .ok()
        .and_then(|id| state.group(id))
        .ok_or_else(|| ask.not_found(key))?;
    let mut body = object(group, select.as_deref(), false);
    body["@odata.context"] = format!("{}/v1.0/$metadata#groups/$entity", shared.root).into();
    Ok(Answer::json(&body))
}

/// `GET /groups`: enough of it to look at a tenant.
pub(super) fn list(shared: &Shared, ask: &Ask) -> Outcome {
    shared.require(ask, READERS)?;
    ask.only_options(&["$select", "$top", "$skiptoken"])?;
    let select = ask.select()?;
    check_names(ask, select.as_deref(), &[])?;
    let state = shared.tenant.read();
    let groups = state.groups.iter().filter(|group| !group.deleted);
    let all: Vec<Value> = groups.map(|group| object(group, select.as_deref(), false)).collect();
    listing::values(shared, ask, &state, "groups", &all, 100)
}

/// `GET /groups/{id}/memberOf`
pub(super) fn member_of(shared: &Shared, ask: &Ask, key: &str) -> Outcome {
    shared.require(ask, READERS)?;
    ask.only_options(&["$select", "$top", "$skiptoken"])?;
    let state = shared.tenant.read_late(shared.settings().look_up_lag);
    let group = Uuid::parse_str(key).ok().and_then(|id| state.group(id));
    let id = group.ok_or_else(|| ask.not_found(key))?.id;
    users::containers(shared, ask, &state, id)
}
