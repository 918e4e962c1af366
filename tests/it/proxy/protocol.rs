//! What a client says to PostgreSQL, as far as it tells whether a message commits something.
//!
//! Followed on the client's side only: it begins, commits and rolls back by simple queries, and names each statement
//! that it prepares before it runs it.

use std::collections::HashMap;

/// One connection, after its start-up.
#[derive(Debug, Default)]
pub struct Conversation {
    in_transaction: bool,
    /// Prepared statements by name, and whether they write.
    prepared: HashMap<Vec<u8>, bool>,
}

impl Conversation {
    /// Whether the server commits something because of this message: a `COMMIT`, or a write by itself.
    pub fn commits(&mut self, message: &[u8]) -> bool {
        let body = &message[5..];
        match message[0] {
            b'Q' => {
                let said = lower(body);
                let ends = ["commit", "rollback"].iter().any(|end| said.starts_with(end));
                if said.starts_with("rollback to") || said.starts_with("savepoint") {
                    return false;
                }
                self.in_transaction = said.starts_with("begin") || self.in_transaction && !ends;
                said.starts_with("commit") || !self.in_transaction && writes(&said)
            }
            b'P' => {
                let mut parts = body.splitn(3, |byte| *byte == 0);
                if let (Some(name), Some(sql)) = (parts.next(), parts.next()) {
                    self.prepared.insert(name.to_owned(), writes(&lower(sql)));
                }
                false
            }
            // The portal, then the statement.
            b'B' => {
                let name = body.split(|byte| *byte == 0).nth(1).unwrap_or_default();
                !self.in_transaction && self.prepared.get(name).copied().unwrap_or_default()
            }
            _ => false,
        }
    }
}

fn lower(sql: &[u8]) -> String {
    String::from_utf8_lossy(sql).trim_start().to_lowercase()
}

fn writes(sql: &str) -> bool {
    let changing = ["insert into ", "update ", "delete from "];
    let begins = changing.iter().any(|word| sql.starts_with(word));
    begins || sql.starts_with("with ") && changing.iter().any(|word| sql.contains(word))
}
