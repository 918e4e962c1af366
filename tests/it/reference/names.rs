//! Who gets which user principal name when everybody moves at once: rules.md, gate 7.

use std::collections::{HashMap, HashSet};

use uuid::Uuid;

/// How one user of an environment stands to names.
#[derive(Clone, Debug)]
pub struct Stand {
    /// The name that its live row holds now.
    pub holds: Option<String>,
    /// What the row shall hold after the run.
    pub goal: Goal,
}

#[derive(Clone, Debug)]
pub enum Goal {
    /// Nothing moves the row: it keeps what it holds.
    Keep,
    /// The row will not be live: it lets its name go.
    LetGo,
    /// This name, lower-cased.
    Have(String),
}

/// The users who cannot have the name they want. `kept` are names of rows that are nobody's in the directory: stubs,
/// application users, placeholders. `found` says who holds a name in the table, for the one question that the rules
/// leave open: which of two users who both come to a free name in one run gets it.
pub fn blocked(stands: &HashMap<Uuid, Stand>, kept: &HashSet<String>, found: &HashMap<String, Uuid>) -> HashSet<Uuid> {
    let mut holders: HashMap<&str, Uuid> = HashMap::new();
    let mut wishes: HashMap<&str, Vec<Uuid>> = HashMap::new();
    for (id, stand) in stands {
        if let Some(name) = &stand.holds {
            holders.insert(name, *id);
        }
        if let Goal::Have(name) = &stand.goal {
            wishes.entry(name).or_default().push(*id);
        }
    }
    let look = Look {
        stands,
        kept,
        found,
        holders,
        wishes,
    };
    stands
        .keys()
        .copied()
        .filter(|id| !look.gets_its_goal(*id, &mut HashSet::new()))
        .collect()
}

struct Look<'a> {
    stands: &'a HashMap<Uuid, Stand>,
    kept: &'a HashSet<String>,
    found: &'a HashMap<String, Uuid>,
    holders: HashMap<&'a str, Uuid>,
    wishes: HashMap<&'a str, Vec<Uuid>>,
}

impl Look<'_> {
    fn gets_its_goal(&self, id: Uuid, asking: &mut HashSet<Uuid>) -> bool {
        let Goal::Have(name) = &self.stands[&id].goal else {
            return true;
        };
        if self.kept.contains(name) {
            return false;
        }
        let holder = self.holders.get(name.as_str()).copied();
        if holder == Some(id) {
            return true;
        }
        // "Two users swapping UPNs within one cycle ... must work": a ring of moves goes through as a whole.
        let ring = !asking.insert(id);
        if ring {
            return true;
        }
        let is_free = holder.is_none_or(|holder| match &self.stands[&holder].goal {
            Goal::Keep => false,
            Goal::LetGo => true,
            Goal::Have(other) => other != name && self.gets_its_goal(holder, asking),
        });
        is_free && self.winner(name) == Some(id)
    }

    /// Who comes first to a free name. The rules do not say; two users with one name do not stay so in a directory.
    fn winner(&self, name: &str) -> Option<Uuid> {
        let rivals = &self.wishes[name];
        match rivals.as_slice() {
            [only] => Some(*only),
            _ => self.found.get(name).copied().filter(|id| rivals.contains(id)),
        }
    }
}
