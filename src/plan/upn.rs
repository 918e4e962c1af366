//! Assigns user principal names when many rows are renamed at once.
//!
//! Names are unique among the live rows of an environment. A name may pass from row to row within one batch, in chains
//! and in swaps; it passes only if its holder really gives it up. Pure; source: rules.md, gate 7.

use std::collections::{BTreeSet, HashMap, HashSet};

use uuid::Uuid;

/// A user who wants a name: a row that is renamed or restored, or a user who would get a new row.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Claim {
    /// The directory user.
    pub object_id: Uuid,
    /// The wanted name, lower-cased.
    pub wanted: String,
    /// The name its row holds now.
    pub held: Option<String>,
    /// Whether a row already exists.
    pub has_row: bool,
}

/// Decides every claim of a batch. `keepers` are the names held by live rows that make no claim and give nothing up; a
/// row that gives its name up without wanting another is in neither list. Returns the object ids whose claim fails.
#[must_use]
pub fn blocked(claims: &[Claim], keepers: &BTreeSet<String>) -> HashSet<Uuid> {
    let mut order: Vec<&Claim> = claims.iter().collect();
    // The current holder of the name goes first, then rows before new users, then the smaller id.
    order.sort_by_key(|claim| {
        (
            claim.held.as_ref() != Some(&claim.wanted),
            !claim.has_row,
            claim.object_id,
        )
    });
    let mut failed: HashSet<Uuid> = HashSet::new();
    loop {
        let mut taken: HashMap<&str, Uuid> = HashMap::new();
        for claim in order.iter().filter(|claim| failed.contains(&claim.object_id)) {
            if let Some(held) = &claim.held {
                taken.insert(held, claim.object_id);
            }
        }
        let before = failed.len();
        for claim in &order {
            if failed.contains(&claim.object_id) {
                continue;
            }
            let free = !keepers.contains(&claim.wanted)
                && *taken.entry(&claim.wanted).or_insert(claim.object_id) == claim.object_id;
            if !free {
                failed.insert(claim.object_id);
            }
        }
        if failed.len() == before {
            return failed;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn claim(id: u128, held: Option<&str>, wanted: &str) -> Claim {
        Claim {
            object_id: Uuid::from_u128(id),
            wanted: wanted.to_owned(),
            held: held.map(str::to_owned),
            has_row: held.is_some(),
        }
    }

    fn fails(claims: &[Claim], keepers: &[&str]) -> Vec<u128> {
        let keepers = keepers.iter().map(|&name| name.to_owned()).collect();
        let mut failed: Vec<_> = blocked(claims, &keepers).into_iter().map(|id| id.as_u128()).collect();
        failed.sort_unstable();
        failed
    }

    #[test]
    fn swaps_and_chains_go_through() {
        assert!(fails(&[claim(1, Some("a"), "b"), claim(2, Some("b"), "a")], &[]).is_empty());
        assert!(
            fails(
                &[claim(1, Some("a"), "b"), claim(2, Some("b"), "c"), claim(3, None, "a")],
                &[]
            )
            .is_empty()
        );
    }

    #[test]
    fn a_chain_that_ends_at_a_keeper_fails_as_a_whole() {
        let claims = [
            claim(1, Some("a"), "b"),
            claim(2, Some("b"), "c"),
            claim(3, None, "a"),
            claim(4, None, "d"),
        ];
        assert_eq!(fails(&claims, &["c"]), [1, 2, 3]);
    }

    #[test]
    fn the_holder_keeps_its_name_against_a_newcomer() {
        assert_eq!(fails(&[claim(1, None, "a"), claim(2, Some("a"), "a")], &[]), [1]);
        assert_eq!(fails(&[claim(1, None, "a"), claim(2, None, "a")], &[]), [2]);
    }
}
