//! Security roles for the users of a job: an import ends when its users hold the roles that they need.

use super::{Imports, Viewer};
use crate::domain::import::Item;
use crate::sync::ImportError;
use crate::sync::desk::{Effect, Refusal};

/// The number of users that are read at once.
const PAGE: i64 = 1000;

impl Imports {
    /// Grants a role to everyone whom a job created or found present. `tell` gets the result for each of them; a
    /// refused user does not block the others.
    ///
    /// # Errors
    /// As [`Self::import_job`] and [`Desk::grant_rows`](crate::sync::desk::Desk::grant_rows).
    pub async fn grant_to_job(
        &self,
        viewer: Viewer<'_>,
        id: i64,
        role: &str,
        mut tell: impl FnMut(&Item, Result<Effect, Refusal>),
    ) -> Result<(), ImportError> {
        let environment = self.visible_job(viewer, id).await?.environment;
        let mut after = None;
        loop {
            self.base.check_cancelled()?;
            let items = self.import_items(viewer, id, None, after, PAGE).await?;
            let Some(last) = items.last() else { return Ok(()) };
            after = Some(last.position);
            let (items, rows): (Vec<Item>, Vec<_>) = items
                .into_iter()
                .filter_map(|item| item.systemuserid.map(|row| (item, row)))
                .unzip();
            let granted = self.desk.grant_rows(&environment, &rows, role, viewer.name).await?;
            for (item, result) in items.iter().zip(granted) {
                tell(item, result);
            }
        }
    }
}
