//! Bounds the pages of one feed. A server may return a cycle of links, pages without new entries, or endless new pages:
//! every feed that is followed must end.

use std::collections::HashSet;
use std::hash::{BuildHasher, Hash, RandomState};

use super::{
    DeletedUser, GroupChange, Next, Page, Principal, RoleAssignment, ServicePrincipal, SubscribedSku, UserChange,
};

/// The maximum number of consecutive pages without new entries. An empty page is legal (graph.md, section 2.3). The
/// next run continues a feed that is cut off here, so that even a service that needs more pages reaches its end.
const MOST_IDLE_PAGES: u32 = 1000;

/// From this many pages on, a feed must average a minimum number of entries a page.
const SPARSE_PAGES: u64 = 10_000;
const ENTRIES_TO_A_PAGE: u64 = 5;

/// The number of entries remembered, in a few megabytes. A feed that repeats more of them meets the other bounds.
const REMEMBERED: usize = 500_000;

/// The maximum extent of a feed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Extent {
    /// Entries.
    pub entries: u64,
    /// Bytes of all its pages together.
    pub bytes: u64,
}

impl Extent {
    /// For a feed whose pages are stored one by one: more than the users of any tenant.
    pub const STREAMED: Self = Self {
        entries: 20_000_000,
        bytes: 64 << 30,
    };

    /// For a listing held in memory.
    pub const HELD: Self = Self {
        entries: 1_000_000,
        bytes: 256 << 20,
    };
}

/// An entry of a feed.
pub trait Entry {
    /// The part that an entry shares with its repetitions.
    fn key(&self) -> impl Hash;
}

/// The pages seen so far.
#[derive(Debug)]
pub struct Trail {
    extent: Extent,
    hasher: RandomState,
    links: HashSet<u64>,
    entries: HashSet<u64>,
    idle_pages: u32,
    read: Extent,
}

impl Trail {
    /// The state before the first page.
    #[must_use]
    pub fn new(extent: Extent) -> Self {
        Self {
            extent,
            hasher: RandomState::new(),
            links: HashSet::new(),
            entries: HashSet::new(),
            idle_pages: 0,
            read: Extent { entries: 0, bytes: 0 },
        }
    }

    /// Advances by a page.
    ///
    /// # Errors
    /// Why the feed must not be followed any further, as a clause.
    pub fn step<T: Entry>(&mut self, page: &Page<T>) -> Result<(), String> {
        let Extent { entries, bytes } = self.extent;
        self.read.entries += count(page.items.len() + page.unreadable.len() + page.dropped.len());
        self.read.bytes += count(page.bytes);
        if self.read.entries > entries {
            return Err(format!("more than {entries} entries, and no end"));
        }
        if self.read.bytes > bytes {
            return Err(format!("more than {} MiB, and no end", bytes >> 20));
        }
        let Next::Page(link) = &page.next else { return Ok(()) };
        if !self.links.insert(self.hasher.hash_one(link)) {
            return Err("a next link leads back to an earlier page".to_owned());
        }
        let brings = self.brings_something(page);
        self.idle_pages = if brings { 0 } else { self.idle_pages + 1 };
        if self.idle_pages > MOST_IDLE_PAGES {
            return Err("one empty page, or page of repetitions, after the other, and no end".to_owned());
        }
        let pages = count(self.links.len());
        if pages > SPARSE_PAGES + self.read.entries / ENTRIES_TO_A_PAGE {
            return Err(format!("{pages} pages with hardly an entry each, and no end"));
        }
        Ok(())
    }

    /// Whether a page contains any entry not remembered from another.
    fn brings_something<T: Entry>(&mut self, page: &Page<T>) -> bool {
        if self.entries.len() > REMEMBERED {
            self.entries.clear();
        }
        let mut brings = !page.unreadable.is_empty();
        for entry in &page.items {
            brings |= self.entries.insert(self.hasher.hash_one(entry.key()));
        }
        for dropped in &page.dropped {
            brings |= self.entries.insert(self.hasher.hash_one(dropped));
        }
        brings
    }
}

fn count(some: usize) -> u64 {
    u64::try_from(some).unwrap_or(u64::MAX)
}

impl Entry for UserChange {
    fn key(&self) -> impl Hash {
        match self {
            Self::Present(user) => (user.id, false),
            Self::Removed { id, .. } => (*id, true),
        }
    }
}

/// A large group is sent in several entries.
impl Entry for GroupChange {
    fn key(&self) -> impl Hash {
        (self.group, self.removed, &self.joined, &self.left)
    }
}

impl Entry for Principal {
    fn key(&self) -> impl Hash {
        self.id
    }
}

impl Entry for RoleAssignment {
    fn key(&self) -> impl Hash {
        (self.principal.id, self.tenant_wide)
    }
}

impl Entry for SubscribedSku {
    fn key(&self) -> impl Hash {
        self.sku_id
    }
}

impl Entry for DeletedUser {
    fn key(&self) -> impl Hash {
        self.id
    }
}

impl Entry for ServicePrincipal {
    fn key(&self) -> impl Hash {
        self.object_id
    }
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::super::{Link, Moment, PrincipalKind};
    use super::*;

    const SMALL: Extent = Extent {
        entries: 100_000,
        bytes: 1 << 20,
    };

    fn page(ids: impl IntoIterator<Item = u128>, link: u64) -> Page<Principal> {
        let principal = |id| Principal {
            id: Uuid::from_u128(id),
            kind: PrincipalKind::User,
        };
        Page {
            asked: Moment::default(),
            items: ids.into_iter().map(principal).collect(),
            unreadable: Vec::new(),
            dropped: Vec::new(),
            bytes: 0,
            next: Next::Page(Link::new(link.to_string())),
        }
    }

    /// Follows pages to the one that is rejected: its number, and why.
    fn follow(extent: Extent, pages: impl Fn(u64) -> Page<Principal>) -> (u64, String) {
        let mut trail = Trail::new(extent);
        let refused = (0..1_000_000).find_map(|number| trail.step(&pages(number)).err().map(|why| (number, why)));
        refused.expect("an end")
    }

    #[test]
    fn a_circle_ends_where_it_closes() {
        let (number, why) = follow(SMALL, |number| page([number.into()], number % 7));
        assert!(number == 7 && why.contains("earlier page"), "{number}: {why}");
    }

    #[test]
    fn ever_new_links_to_what_is_known_or_to_nothing_end_after_a_thousand_pages() {
        for repeated in [0_u128, 1, 50] {
            let (number, why) = follow(SMALL, |number| page(0..repeated, number));
            assert!(
                (1000..1002).contains(&number) && why.contains("repetitions"),
                "{number}: {why}"
            );
        }
        let two_millions = Extent {
            entries: 2_000_000,
            ..Extent::STREAMED
        };
        let (number, why) = follow(two_millions, |number| {
            let first = u128::from(number) % 6000 * 100;
            page(first..first + 100, number)
        });
        assert!(
            number == 20_000 && why.contains("2000000 entries"),
            "more than is remembered: {number}: {why}"
        );
    }

    #[test]
    fn ever_new_entries_end_with_more_than_there_can_be() {
        let (number, why) = follow(SMALL, |number| {
            let first = u128::from(number) * 1000;
            page(first..first + 1000, number)
        });
        assert!(number == 100 && why.contains("100000 entries"), "{number}: {why}");
        let (number, why) = follow(SMALL, |number| page([number.into()], number));
        assert!(
            (12_400..12_600).contains(&number) && why.contains("hardly"),
            "{number}: {why}"
        );
    }

    #[test]
    fn ever_more_bytes_end_too_on_the_last_page_as_well() {
        let (number, why) = follow(SMALL, |number| Page {
            bytes: 64 << 10,
            ..page([number.into()], number)
        });
        assert!(number == 16 && why.contains("1 MiB"), "{number}: {why}");
        let last = Page {
            bytes: 2 << 20,
            next: Next::End,
            ..page([1], 1)
        };
        assert!(Trail::new(SMALL).step(&last).is_err());
    }

    #[test]
    fn a_feed_with_some_idle_pages_is_followed() {
        let mut trail = Trail::new(SMALL);
        for number in 0..5000 {
            let ids = (number % 900 == 0).then_some(u128::from(number));
            trail.step(&page(ids, number)).unwrap();
        }
    }
}
