//! What users/delta and groups/delta have in common: how a round begins, goes on and ends.

use std::collections::HashSet;

use axum::http::StatusCode;
use uuid::Uuid;

use super::Shared;
use super::marker::Marker;
use super::tenant::state::State;
use super::wire::{Answer, Ask, equality};

/// The most ids a delta filter may name.
const FILTER_IDS: usize = 50;

/// A delta request, understood.
pub(super) struct Round {
    pub marker: Marker,
    /// Nothing but the link is wanted.
    pub latest: bool,
    pub minimal: bool,
    ids: Option<HashSet<Uuid>>,
    of: &'static str,
}

/// A page: its items as JSON, and where the round stands after it.
pub(super) struct Page {
    pub value: Vec<u8>,
    pub context: String,
    pub finished: bool,
}

impl Round {
    /// Understands a request for `{of}/delta`. `end` is the present length of the log.
    pub(super) fn of(shared: &Shared, ask: &Ask, state: &State, of: &'static str, end: usize) -> Result<Self, Answer> {
        ask.only_options(&["$select", "$filter", "$deltatoken", "$skiptoken", "$top"])?;
        let skip = ask.option("$skiptoken");
        let delta = ask.option("$deltatoken");
        let token = match (skip, delta) {
            (Some(_), Some(_)) => return Err(ask.bad_request("Only one token may be given.")),
            (None, Some("" | "latest") | None) => None,
            (Some(token), None) | (None, Some(token)) => Some(token),
        };
        let minimal = ask
            .header("prefer")
            .is_some_and(|prefer| prefer.contains("return=minimal"));
        let (marker, latest) = if let Some(token) = token {
            if ask.query.len() > 1 {
                return Err(ask.bad_request("No parameter may be added to a link; they are a part of its token."));
            }
            let mut marker = Marker::open(ask, &shared.key, of, token)?;
            if marker.issued.is_some() == skip.is_some() {
                return Err(ask.refuse(StatusCode::BAD_REQUEST, "Request_BadRequest", "Badly formed token."));
            }
            marker.alive(ask, state, shared.token_lifetime(), &delta_url(shared, of))?;
            if marker.issued.take().is_some() {
                marker.first = false;
                marker.salt = 0;
            }
            (marker, false)
        } else {
            let marker = Marker {
                of: of.to_owned(),
                generation: state.generation,
                page_generation: state.page_generation,
                issued: None,
                first: true,
                listing: Some((0, 0, 0)),
                log: end as u64,
                select: ask.select()?,
                ids: ask.option("$filter").map(|filter| ids(ask, filter)).transpose()?,
                salt: 0,
            };
            (marker, delta == Some("latest") && !shared.settings().ignores_latest)
        };
        let ids = marker.ids.as_ref().map(|ids| ids.iter().copied().collect());
        Ok(Self {
            marker,
            latest,
            minimal: minimal || shared.settings().minimal_rounds,
            ids,
            of,
        })
    }

    pub(super) fn concerns(&self, id: Uuid) -> bool {
        self.ids.as_ref().is_none_or(|ids| ids.contains(&id))
    }

    /// Puts a page and the link that follows it together.
    pub(super) fn answer(mut self, shared: &Shared, ask: &Ask, state: &State, page: &Page) -> Answer {
        let name;
        self.marker.generation = state.generation;
        self.marker.page_generation = state.page_generation;
        if page.finished {
            name = "delta";
            self.marker.issued = Some(ask.now.timestamp());
            self.marker.listing = None;
            self.marker.first = false;
        } else {
            name = "next";
            self.marker.salt += u32::from(ask.empty_page);
        }
        let parameter = if page.finished { "deltatoken" } else { "skiptoken" };
        let link = format!(
            "{}?${parameter}={}",
            delta_url(shared, self.of),
            self.marker.seal(&shared.key)
        );
        let mut body = Vec::with_capacity(page.value.len() + link.len() + 200);
        let root = &shared.root;
        let context = &page.context;
        body.extend_from_slice(
            format!(
                "{{\"@odata.context\":\"{root}/v1.0/$metadata#{context}\",\"@odata.{name}Link\":\"{link}\",\"value\":["
            )
            .as_bytes(),
        );
        body.extend_from_slice(&page.value);
        body.extend_from_slice(b"]}");
        let mut answer = Answer::bytes(body);
        // A delta token tells when it was issued; every other page is the same until the tenant changes.
        answer.cacheable = !page.finished;
        if self.minimal {
            answer = answer.with_header("preference-applied", "return=minimal");
        }
        answer
    }
}

pub(super) fn delta_url(shared: &Shared, of: &str) -> String {
    format!("{}/v1.0/{of}/delta", shared.root)
}

/// The ids of `id eq '…' or id eq '…'`.
fn ids(ask: &Ask, filter: &str) -> Result<Vec<Uuid>, Answer> {
    let unsupported = || ask.unsupported_query("Only 'id eq' clauses joined by 'or' can filter a delta query.");
    let ids = filter
        .split(" or ")
        .map(|clause| {
            let (property, id) = equality(clause).ok_or_else(unsupported)?;
            if property != "id" {
                return Err(unsupported());
            }
            Uuid::parse_str(id).map_err(|_| ask.bad_request(&format!("Invalid object identifier '{id}'.")))
        })
        .collect::<Result<Vec<Uuid>, Answer>>()?;
    if ids.len() > FILTER_IDS {
        return Err(ask.unsupported_query(&format!("A delta filter may name at most {FILTER_IDS} objects.")));
    }
    Ok(ids)
}

/// Appends a comma unless this is the first item.
pub(super) fn separate(value: &mut Vec<u8>) {
    if !value.is_empty() {
        value.push(b',');
    }
}

/// Appends a tombstone.
pub(super) fn tombstone(value: &mut Vec<u8>, id: Uuid, reason: &str) {
    separate(value);
    value.extend_from_slice(format!("{{\"id\":\"{id}\",\"@removed\":{{\"reason\":\"{reason}\"}}}}").as_bytes());
}
