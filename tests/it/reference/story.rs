//! What happened in a play, for whoever reads a difference.

use std::collections::HashMap;

use uuid::Uuid;

#[derive(Debug, Default)]
pub struct Story {
    cycle: usize,
    /// What happened to each user.
    of: HashMap<Uuid, Vec<String>>,
    /// What happened to groups, products and the configuration.
    general: Vec<String>,
}

impl Story {
    pub fn begin_cycle(&mut self, cycle: usize) {
        self.cycle = cycle;
    }

    pub fn note(&mut self, id: Uuid, what: &str) {
        let line = format!("before cycle {}: {what}", self.cycle);
        self.of.entry(id).or_default().push(line);
    }

    pub fn note_in_general(&mut self, what: &str) {
        self.general.push(format!("before cycle {}: {what}", self.cycle));
    }

    /// What may have to do with one user.
    pub fn of(&self, id: Option<Uuid>) -> String {
        let own = id.and_then(|id| self.of.get(&id)).map_or(&[][..], Vec::as_slice);
        format!("{own:#?}\nin general {:#?}", self.general)
    }
}
