//! Rules of the customer's own on the table, which come and go: whoever they refuse keeps the row as it is.

use std::collections::{BTreeMap, BTreeSet};

use rand::Rng;
use rand::rngs::StdRng;
use rand::seq::IndexedRandom as _;
use rollcall::simulator::tenant::{Standing, Tenant};
use sqlx::{AssertSqlSafe, PgConnection};
use uuid::Uuid;

use super::evaluation::{Record, Reference};
use super::story::Story;
use super::table::Row;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    UniqueIndex,
    Check,
    Trigger,
}

/// At most one rule at a time. Each is about values that nobody had before it, so that it can be made at any time.
#[derive(Debug, Default)]
pub struct Customers {
    rule: Option<Kind>,
    /// Which rule it is.
    number: u32,
}

impl Customers {
    fn forbidden_title(&self) -> String {
        format!("Forbidden {}", self.number)
    }

    fn shared_mail(&self) -> String {
        format!("shared.{}.", self.number)
    }

    /// A rule comes or goes, and some users get values that it is about. True when it went: then everything is to be
    /// tried again.
    pub async fn act(
        &mut self,
        db: &mut PgConnection,
        tenant: &Tenant,
        people: &[Uuid],
        dice: &mut StdRng,
        story: &mut Story,
    ) -> bool {
        let statement = match self.rule {
            None => {
                self.number += 1;
                let kind = *[Kind::UniqueIndex, Kind::Check, Kind::Trigger].choose(dice).unwrap();
                self.rule = Some(kind);
                self.made(kind, dice)
            }
            Some(kind) if dice.random_ratio(1, 4) => {
                self.rule = None;
                dropped(kind).to_owned()
            }
            Some(_) => String::new(),
        };
        if !statement.is_empty() {
            story.note_in_general(&format!("SQL: {statement}"));
            sqlx::raw_sql(AssertSqlSafe(statement)).execute(db).await.unwrap();
        }
        let Some(kind) = self.rule else { return true };
        for _ in 0..dice.random_range(4..16) {
            let id = *people[..people.len().min(60)].choose(dice).unwrap();
            if tenant.standing(id) != Some(Standing::Live) {
                continue;
            }
            let value = match (kind, dice.random_ratio(2, 3)) {
                (Kind::UniqueIndex, true) => {
                    format!("{}{}@contoso.example", self.shared_mail(), dice.random_range(0..3))
                }
                (Kind::UniqueIndex, false) => format!("own.{}@contoso.example", id.simple()),
                (_, true) => self.forbidden_title(),
                (_, false) => format!("Allowed {}", dice.random::<u16>()),
            };
            story.note(id, &format!("is given {value}"));
            tenant.update_user(id, |user| match kind {
                Kind::UniqueIndex => user.mail = Some(value),
                _ => user.job_title = Some(value),
            });
        }
        false
    }

    fn made(&self, kind: Kind, dice: &mut StdRng) -> String {
        let (title, mail) = (self.forbidden_title(), self.shared_mail());
        match kind {
            Kind::UniqueIndex => format!(
                "create unique index customers_own on rollcall.system_user (environment, internalemailaddress)
                 where internalemailaddress like '{mail}%'"
            ),
            Kind::Check => {
                format!("alter table rollcall.system_user add constraint customers_own check (jobtitle <> '{title}')")
            }
            Kind::Trigger => {
                let code = ["P0001", "22023", "08006"].choose(dice).unwrap();
                format!(
                    "create function public.customers_own() returns trigger language plpgsql as $$ begin
                         if new.jobtitle = '{title}' then
                             raise exception 'no % at %', new.fullname, clock_timestamp() using errcode = '{code}';
                         end if;
                         return new;
                     end $$;
                     create trigger customers_own before insert or update on rollcall.system_user
                         for each row execute function public.customers_own()"
                )
            }
        }
    }

    /// Whom the database does not take, if `next` is what shall be written over `before`: whose own values a rule
    /// forbids, and "rows between which a name passes stand and fall together". Which of two rows comes first to a value
    /// that only one can have is left open: `found` tells.
    pub fn refused(&self, before: &Reference, next: &Reference, found: &BTreeMap<Uuid, Row>) -> BTreeSet<Uuid> {
        let Some(kind) = self.rule else {
            return BTreeSet::new();
        };
        let own = |id: &Uuid| found.values().find(|row| row.azureactivedirectoryobjectid == Some(*id));
        let old = |id: &Uuid| before.bound.get(id).map(|record| &record.row);
        let written: Vec<(&Uuid, &Record)> = next
            .bound
            .iter()
            .filter(|(id, record)| old(id) != Some(&record.row))
            .collect();
        let breaks = |(id, record): &&(&Uuid, &Record)| match kind {
            Kind::Check | Kind::Trigger => record.row.jobtitle == Some(self.forbidden_title()),
            Kind::UniqueIndex => {
                let mail = record.row.internalemailaddress.as_ref();
                let others = before.bound.iter().chain(&next.bound).filter(|(other, _)| other != id);
                let has_rival = || {
                    others
                        .into_iter()
                        .any(|(_, other)| other.row.internalemailaddress.as_ref() == mail)
                };
                mail.is_some_and(|mail| mail.starts_with(&self.shared_mail()))
                    && own(id).is_none_or(|own| own.internalemailaddress.as_ref() != mail)
                    && (has_rival() || before.refused.contains(id))
            }
        };
        let mut refused: BTreeSet<Uuid> = written.iter().filter(breaks).map(|(id, _)| **id).collect();
        loop {
            let gives_to = |from: &Uuid, to: &Uuid| {
                let given = old(from).and_then(Row::held_name);
                given.is_some() && from != to && next.bound.get(to).and_then(|record| record.row.held_name()) == given
            };
            let falls_too = |id: &&Uuid| {
                let is_linked = refused.iter().any(|other| gives_to(other, id) || gives_to(id, other));
                is_linked && !refused.contains(id) && own(id) == old(id)
            };
            let more: Vec<Uuid> = written.iter().map(|(id, _)| *id).filter(falls_too).copied().collect();
            if more.is_empty() {
                return refused;
            }
            refused.extend(more);
        }
    }
}

fn dropped(kind: Kind) -> &'static str {
    match kind {
        Kind::UniqueIndex => "drop index rollcall.customers_own",
        Kind::Check => "alter table rollcall.system_user drop constraint customers_own",
        Kind::Trigger => "drop function public.customers_own() cascade",
    }
}
