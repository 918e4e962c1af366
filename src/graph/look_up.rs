//! Users on demand: the current directory state of some users, with as few requests as possible.
//!
//! Decides nothing about users, and reads direct membership only from the plain listing.

use futures_util::stream::{self, StreamExt, TryStreamExt};
use uuid::Uuid;

use super::batch::{BatchesInHand, MOST_PARTS, Part, PartAnswer, concerns_all};
use super::client::Graph;
use super::error::GraphError;
use super::pages::whole;
use super::wire::batch::Body;
use super::wire::relation::{RawPrincipal, RawRoleAssignment};
use super::wire::user::RawUser;
use super::wire::{self, Raw};
use super::{assignments_of, endpoint, groups_at, owners_of, present, user_at, user_segment};
use crate::domain::feed::{
    AdminRole, Asked, Assignments, Entry, Listed, LookedUp, Principal, PrincipalKind, RoleAssignment, UserPatch,
};

/// The result of a look-up of some users.
#[derive(Debug)]
pub struct LookUps {
    /// The users, in the requested order.
    pub users: Vec<Result<LookedUp, GraphError>>,
    /// Every active assignment of the three administrator roles, if requested.
    pub roles: Option<Result<Assignments, GraphError>>,
    /// The owners of the group, if one was given.
    pub owners: Option<Result<Asked<Listed<Principal>>, GraphError>>,
}

/// The result of several listings, each on its own.
pub(super) type Listings = Vec<Result<Asked<Listed<Principal>>, GraphError>>;

/// The number of concurrent batches: enough that many users do not queue, few enough that one look-up does not exhaust
/// the quota.
const BATCHES_AT_ONCE: usize = 4;

/// What a part requests.
#[derive(Clone, Copy)]
enum Question {
    Roles(AdminRole),
    Owners,
    User(usize),
    Groups(usize),
}

/// What is known of one user so far.
struct PartialLookUp {
    user: Result<Asked<Option<UserPatch>>, GraphError>,
    groups: Result<Asked<Listed<Uuid>>, GraphError>,
}

/// The answer to a question.
enum Fact {
    Roles(Result<Assignments, GraphError>),
    Owners(Result<Asked<Listed<Principal>>, GraphError>),
    User(usize, Box<Result<Asked<Option<UserPatch>>, GraphError>>),
    Groups(usize, Result<Asked<Listed<Uuid>>, GraphError>),
}

impl Graph {
    /// Looks up within a call that has begun.
    pub(super) async fn look_up_all(
        &self,
        users: &[String],
        with_roles: bool,
        owners_of: Option<Uuid>,
    ) -> Result<LookUps, GraphError> {
        let (questions, parts) = questions(users, self.selection(), with_roles, owners_of);
        let in_hand = BatchesInHand::default();
        let batches: Vec<_> = questions
            .chunks(MOST_PARTS)
            .zip(parts.chunks(MOST_PARTS))
            .map(|(questions, parts)| self.find_out(questions, parts, &in_hand))
            .collect();
        let facts: Vec<Vec<Fact>> = stream::iter(batches).buffered(BATCHES_AT_ONCE).try_collect().await?;
        Ok(gather(users.len(), facts.into_iter().flatten()))
    }

    /// Reads the parent groups of groups, within a call that has begun.
    pub(super) async fn look_up_groups(
        &self,
        groups: &[Uuid],
    ) -> Result<Vec<Result<Asked<Listed<Uuid>>, GraphError>>, GraphError> {
        let part = |group: &Uuid| Part {
            endpoint: endpoint::GROUP_MEMBER_OF,
            rest: groups_at(&format!("groups/{group}")),
        };
        let found = self.read_listings(groups.iter().map(part).collect()).await?;
        Ok(found
            .into_iter()
            .map(|read| read.map(|read| read.map(self::groups)))
            .collect())
    }

    /// Reads the owners of groups, within a call that has begun.
    pub(super) async fn look_up_owners(&self, groups: &[Uuid]) -> Result<Listings, GraphError> {
        let part = |group: &Uuid| Part {
            endpoint: endpoint::GROUP_OWNERS,
            rest: owners_of(*group),
        };
        self.read_listings(groups.iter().map(part).collect()).await
    }

    async fn read_listings(&self, parts: Vec<Part>) -> Result<Listings, GraphError> {
        let in_hand = BatchesInHand::default();
        let batches: Vec<_> = parts
            .chunks(MOST_PARTS)
            .map(|parts| self.read_together(parts, &in_hand))
            .collect();
        let found: Vec<Listings> = stream::iter(batches).buffered(BATCHES_AT_ONCE).try_collect().await?;
        Ok(found.into_iter().flatten().collect())
    }

    async fn read_together(&self, parts: &[Part], in_hand: &BatchesInHand) -> Result<Listings, GraphError> {
        let answers = self.ask_together(parts, in_hand).await?;
        let mut found = Vec::with_capacity(answers.len());
        for (part, answer) in parts.iter().zip(answers) {
            found.push(self.read_on::<RawPrincipal>(part, answer).await?);
        }
        Ok(found)
    }

    async fn find_out(
        &self,
        questions: &[Question],
        parts: &[Part],
        in_hand: &BatchesInHand,
    ) -> Result<Vec<Fact>, GraphError> {
        let answers = self.ask_together(parts, in_hand).await?;
        let mut facts = Vec::with_capacity(answers.len());
        for ((question, part), answer) in questions.iter().zip(parts).zip(answers) {
            facts.push(self.understand(*question, part, answer).await?);
        }
        Ok(facts)
    }

    /// Decodes an answer. An error affects all questions.
    async fn understand(&self, question: Question, part: &Part, answer: PartAnswer) -> Result<Fact, GraphError> {
        Ok(match question {
            Question::User(at) => Fact::User(at, Box::new(user(answer))),
            Question::Groups(at) => {
                let read = self.read_on::<RawPrincipal>(part, answer).await?;
                Fact::Groups(at, read.map(|read| read.map(groups)))
            }
            Question::Owners => Fact::Owners(self.read_on::<RawPrincipal>(part, answer).await?),
            Question::Roles(role) => {
                let read = self.read_on::<RawRoleAssignment>(part, answer).await?;
                let read = read.and_then(|read| whole(part.endpoint, read));
                let of_role = |all: Vec<RoleAssignment>| all.into_iter().map(|one| (role, one)).collect();
                Fact::Roles(read.map(|read| read.map(of_role)))
            }
        })
    }

    /// A listing whose first page came in a batch; reads the further pages. An error affects all questions.
    async fn read_on<R: Raw<Item: Entry>>(
        &self,
        part: &Part,
        answer: PartAnswer,
    ) -> Result<Result<Asked<Listed<R::Item>>, GraphError>, GraphError> {
        let read = match answer.value {
            Ok(page) => {
                let first = || part.rest.clone();
                let page = Asked {
                    at: answer.at,
                    value: page.get().as_bytes(),
                };
                self.fetch_rest::<R>(part.endpoint, first, page).await
            }
            Err(error) => Err(error),
        };
        match read {
            Err(error) if concerns_all(&error) => Err(error),
            read => Ok(read),
        }
    }
}

/// The questions, and how to ask them. Leaves out a text that cannot name a user.
fn questions(users: &[String], selection: &str, with_roles: bool, group: Option<Uuid>) -> (Vec<Question>, Vec<Part>) {
    let mut questions = Vec::new();
    let mut parts = Vec::new();
    let mut ask = |question, endpoint, rest| {
        questions.push(question);
        parts.push(Part { endpoint, rest });
    };
    if with_roles {
        for role in AdminRole::ALL {
            ask(Question::Roles(role), endpoint::ROLE_ASSIGNMENTS, assignments_of(role));
        }
    }
    if let Some(group) = group {
        ask(Question::Owners, endpoint::GROUP_OWNERS, owners_of(group));
    }
    for (at, user) in users.iter().enumerate() {
        if let Some(segment) = user_segment(user) {
            ask(Question::User(at), endpoint::USER, user_at(&segment, selection));
            ask(Question::Groups(at), endpoint::MEMBER_OF, groups_at(&segment));
        }
    }
    (questions, parts)
}

fn gather(users: usize, facts: impl Iterator<Item = Fact>) -> LookUps {
    let nobody = || PartialLookUp {
        user: Ok(Asked::default()),
        groups: Ok(Asked::default()),
    };
    let mut known: Vec<PartialLookUp> = (0..users).map(|_| nobody()).collect();
    let mut roles: Option<Result<Asked<Vec<_>>, _>> = None;
    let mut owners = None;
    for fact in facts {
        match fact {
            Fact::User(at, user) => known[at].user = *user,
            Fact::Groups(at, groups) => known[at].groups = groups,
            Fact::Owners(found) => owners = Some(found),
            Fact::Roles(found) => {
                roles = Some(match (roles, found) {
                    (Some(Ok(mut all)), Ok(found)) => {
                        all.at = all.at.min(found.at);
                        all.value.extend(found.value);
                        Ok(all)
                    }
                    (None | Some(Ok(_)), found) => found,
                    (Some(failed), _) => failed,
                });
            }
        }
    }
    LookUps {
        users: known.into_iter().map(PartialLookUp::settle).collect(),
        roles,
        owners,
    }
}

impl PartialLookUp {
    /// Groups count only for a user who exists: otherwise they are not found either.
    fn settle(self) -> Result<LookedUp, GraphError> {
        let user = self.user?;
        let groups = match user.value {
            Some(_) => self.groups?,
            None => Asked::default(),
        };
        Ok(LookedUp { user, groups })
    }
}

fn user(answer: PartAnswer) -> Result<Asked<Option<UserPatch>>, GraphError> {
    let read = |body: Body| {
        let user = wire::decode_one::<RawUser>(body.get().as_bytes());
        Ok(present(user.map_err(|why| GraphError::unusable(endpoint::USER, why))?))
    };
    let value = match answer.value.and_then(read) {
        Err(GraphError::NotFound { .. }) => None,
        read => read?,
    };
    Ok(Asked { at: answer.at, value })
}

/// The groups, without roles and administrative units. An object without a type may be a group, since a user never
/// appears here.
fn groups(member_of: Listed<Principal>) -> Listed<Uuid> {
    let groups = member_of
        .items
        .into_iter()
        .filter(|one| one.kind != PrincipalKind::Other);
    Listed {
        items: groups.map(|group| group.id).collect(),
        unreadable: member_of.unreadable,
    }
}
