//! Candidates whom the mirror does not hold. In group scope nobody but the population is in it, and an environment
//! without a security group has the whole tenant to choose from: its candidates are listed by the directory, and none
//! of them is kept.

use std::collections::BTreeMap;

use uuid::Uuid;

use super::Imports;
use crate::domain::environment::Environment;
use crate::domain::feed::{Extent, Link, Next, Patch, Trail, UserChange, UserPatch};
use crate::domain::import::{Candidate, Item, ItemState, Job};
use crate::domain::scope::Scope;
use crate::graph::{Graph, GraphError};
use crate::store::candidates;
use crate::store::jobs::items;
use crate::store::jobs::queue::{self, Claim};
use crate::sync::{Failure, ImportError};

/// The number of items that one statement writes.
const WRITTEN_TOGETHER: usize = 1000;

/// The users of the directory, page by page.
struct Listing {
    graph: Graph,
    trail: Trail,
    at: Option<Link>,
    is_over: bool,
}

impl Listing {
    fn new(graph: Graph) -> Self {
        Self {
            graph,
            trail: Trail::new(Extent::STREAMED),
            at: None,
            is_over: false,
        }
    }

    /// The next users; none after the last page.
    async fn next(&mut self) -> Result<Option<Vec<UserPatch>>, GraphError> {
        if self.is_over {
            return Ok(None);
        }
        let page = self.graph.users_listing(self.at.as_ref()).await?;
        self.trail.step(&page).map_err(|what| GraphError::Protocol {
            endpoint: "users",
            what,
        })?;
        let users = page.items.into_iter().filter_map(|item| match item {
            UserChange::Present(user) => Some(*user),
            UserChange::Removed { .. } => None,
        });
        let users = users.collect();
        match page.next {
            Next::Page(link) => self.at = Some(link),
            Next::Delta(_) | Next::End => self.is_over = true,
        }
        Ok(Some(users))
    }
}

impl Imports {
    /// Whether the mirror does not hold the candidates of an environment.
    pub(super) fn has_unmirrored_candidates(&self, environment: &Environment) -> bool {
        self.base.settings.scope == Scope::Groups && environment.security_group.is_none()
    }

    /// The first users after an id, in key order, who have no row in an environment and whose names contain a text.
    pub(super) async fn listed_candidates(
        &self,
        environment: &str,
        text: Option<&str>,
        after: Option<Uuid>,
        limit: i64,
    ) -> Result<Result<Vec<Candidate>, GraphError>, Failure> {
        let text = text.map(str::to_lowercase);
        let limit = usize::try_from(limit).unwrap_or_default();
        let mut first: BTreeMap<Uuid, Candidate> = BTreeMap::new();
        let mut listing = Listing::new(self.puller.graph().for_someone_waiting());
        loop {
            self.base.check_cancelled()?;
            let users = match listing.next().await {
                Ok(Some(users)) => users,
                Ok(None) => return Ok(Ok(first.into_values().collect())),
                Err(error) => return Ok(Err(Failure::unless_directory(error)?)),
            };
            let found = users
                .into_iter()
                .filter(|user| after.is_none_or(|after| user.id > after));
            let mut found: Vec<Candidate> = found.map(candidate).collect();
            found.retain(|user| text.as_ref().is_none_or(|text| is_named(user, text)));
            let ids: Vec<Uuid> = found.iter().map(|user| user.id).collect();
            let with_row = {
                let mut db = self.base.store.read().await?;
                candidates::with_row(&mut db, environment, &ids).await?
            };
            first.extend(
                found
                    .into_iter()
                    .filter(|user| !with_row.contains_key(&user.id))
                    .map(|user| (user.id, user)),
            );
            while first.len() > limit {
                first.pop_last();
            }
        }
    }

    /// Puts everyone whom the directory lists, and who has no row yet, on an import of everybody. Each is looked up as
    /// if named. Returns why the directory could not list them.
    pub(super) async fn put_everyone_on(&self, claim: Claim, job: &Job) -> Result<Option<GraphError>, ImportError> {
        let mut ids = Vec::new();
        let mut listing = Listing::new(self.puller.graph().clone());
        loop {
            self.base.check_cancelled()?;
            let users = match listing.next().await {
                Ok(Some(users)) => users,
                Ok(None) => break,
                Err(error) => return Ok(Some(Failure::unless_directory(error)?)),
            };
            let people: Vec<Uuid> = users.iter().filter(|user| !user.is_agent).map(|user| user.id).collect();
            let mut db = self.base.store.read().await?;
            let with_row = candidates::with_row(&mut db, &job.environment, &people).await?;
            ids.extend(people.into_iter().filter(|id| !with_row.contains_key(id)));
        }
        ids.sort_unstable();
        ids.dedup();
        let write = async || {
            let mut tx = self.base.begin(None).await?;
            let last = items::last_position(&mut tx, job.id).await?;
            let all: Vec<Item> = ids.iter().copied().zip(last + 1..).map(waiting).collect();
            for items in all.chunks(WRITTEN_TOGETHER) {
                items::write(&mut tx, job.id, items).await?;
            }
            queue::note_walked(&mut tx, claim).await?;
            queue::note_total(&mut tx, claim, i32::try_from(ids.len()).unwrap_or(i32::MAX)).await?;
            tx.commit().await
        };
        self.base.retry(write).await.map_err(Failure::from)?;
        Ok(None)
    }
}

fn waiting((id, position): (Uuid, i64)) -> Item {
    Item {
        position,
        given: id.to_string(),
        object_id: Some(id),
        state: ItemState::Waiting,
        code: None,
        detail: None,
        systemuserid: None,
    }
}

fn candidate(user: UserPatch) -> Candidate {
    Candidate {
        id: user.id,
        user_principal_name: user.user_principal_name.value(),
        display_name: user.display_name.value(),
        mail: user.mail.value(),
        account_enabled: Patch::value(user.account_enabled),
        is_agent: user.is_agent,
    }
}

fn is_named(user: &Candidate, text: &str) -> bool {
    let names = [&user.display_name, &user.user_principal_name];
    let names: Vec<&str> = names.into_iter().flatten().map(String::as_str).collect();
    names.join(" ").to_lowercase().contains(text)
}
