//! Restored users: re-reads their group memberships.
//!
//! A soft-deleted user keeps its memberships, but a listing omits it, and the changes of a group do not report its
//! return (graph.md, section 3). So restored users are requested directly.

use super::Puller;
use super::{Problem, PullError, survive};
use crate::domain::feed::{Asked, Listed, Principal};
use crate::domain::source::Source;
use crate::graph::GraphError;
use crate::store::groups::{self, MembershipsOf};
use crate::store::lease::Lease;
use crate::store::{pending, recheck};
use crate::sync::Failure;
use futures_util::future::join_all;

/// The number of users requested at once: few are restored, and Graph counts each.
const AT_ONCE: usize = 8;

/// No groups.
const NONE: Listed<Principal> = Listed {
    items: Vec::new(),
    unreadable: 0,
};

impl Puller {
    /// Reads the groups of all restored users. Groups that no environment counts at present are included: when one
    /// counts them again, their changes are followed from the stored link.
    pub(super) async fn pull_returned(&self, lease: &Lease) -> Result<Option<Problem>, Failure> {
        let result = self.ask_for_returned(lease).await;
        Ok(survive(Source::Users, result)?.err())
    }

    async fn ask_for_returned(&self, lease: &Lease) -> Result<(), PullError> {
        let (returned, read) = {
            let mut db = self.base.store.read().await?;
            (groups::returned(&mut db).await?, groups::followed(&mut db).await?)
        };
        for users in returned.chunks(AT_ONCE) {
            self.base.check_cancelled()?;
            let answers = join_all(users.iter().map(async |user| {
                if read.is_empty() {
                    return Ok(Asked::<()>::default().map(|()| NONE));
                }
                self.directory().user_member_of(*user).await
            }))
            .await;
            for (user, answer) in users.iter().zip(answers) {
                let member_of = match answer {
                    Ok(member_of) => member_of,
                    // Deleted again, which the users' feed reports too: the known facts stand.
                    Err(GraphError::NotFound { .. }) => {
                        let mut tx = self.base.begin(lease).await?;
                        groups::forget_returned(&mut tx, &[*user]).await?;
                        tx.commit().await?;
                        continue;
                    }
                    Err(error) => return Err(error.into()),
                };
                let at = member_of.at;
                // A user with unreadable memberships only gains groups, and is requested again.
                let whole = Some(Asked { at, value: *user }).filter(|_| member_of.value.unreadable == 0);
                let pairs = member_of.value.items.iter().map(|group| (*user, group.id));
                let joined = pairs.filter(|(_, group)| read.contains(group));
                let memberships = MembershipsOf {
                    users: whole.into_iter().collect(),
                    joined: joined.map(|value| Asked { at, value }).collect(),
                };
                let mut tx = self.base.begin(lease).await?;
                let news = groups::settle_members(&mut tx, &memberships, self.base.clock.now() - recheck::LAG).await?;
                pending::mark(&mut tx, &self.base.settings.names(), &news).await?;
                tx.commit().await?;
            }
        }
        Ok(())
    }
}
