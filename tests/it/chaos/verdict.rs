//! What must hold when it is over: the table, the change log, and who wrote when.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};

use chrono::{DateTime, TimeDelta, Utc};
use rollcall::clock::Clock;
use sqlx::PgConnection;
use uuid::Uuid;

use super::directory::People;
use super::ledger::{Ledger, Wish};
use super::stage::Stage;
use crate::reference::differences;
use crate::reference::evaluation::{Cycle, Record, Reference, SYNC};
use crate::reference::table::{self, Row};

/// A judgement on demand has ended by then.
const ON_DEMAND_ENDS_WITHIN: TimeDelta = TimeDelta::seconds(25);

pub async fn judge(stage: &Stage) {
    let mut db = stage.sql().await;
    let mut tables = BTreeMap::new();
    let environments = stage.people.lock().unwrap().environments.clone();
    for environment in &environments {
        tables.insert(environment.name.clone(), table::read(&mut db, &environment.name).await);
    }
    let undecided = undecided(&mut db).await;
    let people = std::mem::replace(
        &mut *stage.people.lock().unwrap(),
        People::new(Vec::new(), rollcall::domain::licence::ViralCountsAs::Full),
    );
    let ledger = std::mem::take(&mut *stage.ledger.lock().unwrap());
    tell_of_runs(&mut db).await;
    for (environment, found) in &tables {
        agrees_with_the_reference(&people, environment, found, &undecided);
        was_asked_for(&ledger, environment, found);
    }
    what_was_acknowledged_is_there(&mut db, &ledger, &tables).await;
    rows_are_made_once_and_keep_their_full_name(&mut db, &tables).await;
    every_disable_had_its_reason(&mut db, &people).await;
    no_run_writes_after_the_next_has_begun(&mut db).await;
    *stage.people.lock().unwrap() = people;
}

/// Removals that the guard holds, or that somebody has rejected: row id → reason.
async fn undecided(db: &mut PgConnection) -> HashMap<Uuid, String> {
    let rows: Vec<(Uuid, String, String)> = sqlx::query_as("select systemuserid, reason, state from rollcall.removal")
        .fetch_all(db)
        .await
        .unwrap();
    assert!(rows.iter().all(|(_, _, state)| state != "collected"), "{rows:?}");
    rows.into_iter().map(|(id, reason, _)| (id, reason)).collect()
}

/// The table is where the rules, applied once more to it and to the directory as it is, change nothing. What a person has
/// still to decide, or has rejected, counts as carried out: it has to be what the rules want.
fn agrees_with_the_reference(
    people: &People,
    name: &str,
    found: &BTreeMap<Uuid, Row>,
    undecided: &HashMap<Uuid, String>,
) {
    let environment = people.environments.iter().find(|one| one.name == name).unwrap();
    let mut found = found.clone();
    for row in found.values_mut() {
        if let Some(reason) = undecided.get(&row.systemuserid) {
            assert!(!row.isdisabled, "a removal waits for a row that is disabled: {row:?}");
            row.isdisabled = true;
            row.disabledreason = Some(reason.clone());
            row.disabled_by = Some(SYNC.to_owned());
        }
    }
    let mut reference = Reference::default();
    for row in found.values().cloned() {
        match row.azureactivedirectoryobjectid {
            Some(id) => {
                let record = Record {
                    row,
                    app_pass_alone: false,
                    grace_ends: None,
                    because: Vec::new(),
                };
                reference.bound.insert(id, record);
            }
            None => {
                reference.unbound.insert(row.systemuserid, row);
            }
        }
    }
    let cycle = Cycle {
        directory: &people.directory,
        now: Clock::system().now(),
        viral: people.viral,
    };
    let mut next = reference.next(environment, &cycle, &found, &BTreeSet::new());
    for (id, record) in &mut next.bound {
        if people
            .directory
            .people
            .get(id)
            .is_some_and(|person| !person.is_present())
        {
            // Of somebody who has gone nobody can read the plans any more: what was last read of them stands.
            let found = &found[&record.row.systemuserid];
            record.row.islicensed = found.islicensed;
            record.row.modifiedon = found.modifiedon;
            record.row.modifiedby.clone_from(&found.modifiedby);
        }
    }
    let differences = differences(&next, &found);
    let stories: Vec<String> = differences
        .iter()
        .filter_map(|(id, _)| Some(people.story_of(name, (*id)?)))
        .take(3)
        .collect();
    assert!(differences.is_empty(), "{name}: {differences:#?}\n{stories:#?}");
    let slots = found.values().filter(|row| row.is_non_interactive() && !row.isdisabled);
    assert!(slots.count() <= environment.non_interactive_cap as usize, "{name}");
    println!("{name}: {} rows agree with the reference", found.len());
}

/// What only people decide was decided by people.
fn was_asked_for(ledger: &Ledger, environment: &str, found: &BTreeMap<Uuid, Row>) {
    for row in found.values() {
        let Some(id) = row.azureactivedirectoryobjectid else {
            continue;
        };
        let whose = (environment.to_owned(), id);
        let asked = |what: &dyn Fn(&Wish) -> bool| ledger.was_asked(&whose, what);
        let by_hand = row.isdisabled && row.disabled_by.as_deref() != Some(SYNC);
        assert!(
            !by_hand || asked(&|wish| matches!(wish, Wish::Disable | Wish::Hold(_))),
            "{row:?}"
        );
        assert!(!row.onhold || asked(&|wish| matches!(wish, Wish::Hold(_))), "{row:?}");
        let mode_by_hand = row.accessmode_origin != SYNC;
        assert!(
            !mode_by_hand || asked(&|wish| *wish == Wish::Mode(row.accessmode)),
            "{row:?}"
        );
        for (column, value) in [
            ("company", &row.company),
            ("internalemailaddress", &row.internalemailaddress),
        ] {
            let is_owned = column == "company" || row.customer_owned.iter().any(|owned| owned == column);
            let Some(value) = value.clone().filter(|_| is_owned) else {
                continue;
            };
            assert!(asked(&|wish| *wish == Wish::Column(column, value.clone())), "{row:?}");
        }
    }
}

/// An edit that was acknowledged is in the change log, and in the table unless another came after it.
async fn what_was_acknowledged_is_there(
    db: &mut PgConnection,
    ledger: &Ledger,
    tables: &BTreeMap<String, BTreeMap<Uuid, Row>>,
) {
    let lines: Vec<(String, String)> = sqlx::query_as(
        "select f.key, f.value ->> 1 from rollcall.system_user_change, jsonb_each(fields) f
         where f.key in ('company', 'internalemailaddress') and f.value ->> 1 is not null",
    )
    .fetch_all(db)
    .await
    .unwrap();
    let lines: HashSet<(&str, &str)> = lines
        .iter()
        .map(|(column, value)| (column.as_str(), value.as_str()))
        .collect();
    for (whose, wish) in &ledger.kept {
        if let Wish::Column(column, value) = wish {
            assert!(lines.contains(&(*column, value.as_str())), "lost: {whose:?} {wish:?}");
        }
    }
    for (environment, id) in &ledger.rows {
        assert!(
            tables[environment].contains_key(id),
            "the row {id} in {environment} was answered, and is not there"
        );
    }
    let mut checked = 0;
    let row_of = |whose: &(String, Uuid)| {
        let mut rows = tables[&whose.0].values();
        rows.find(|row| row.azureactivedirectoryobjectid == Some(whose.1))
            .unwrap()
    };
    let mut holds = |whose: &(String, Uuid), is_rival: &dyn Fn(&Wish) -> bool, held: bool, told: String| {
        let is_sure = !ledger
            .unsure
            .iter()
            .any(|(other, wish)| other == whose && is_rival(wish));
        assert!(!is_sure || held, "lost: {whose:?} {told}, but {:?}", row_of(whose));
        checked += usize::from(is_sure);
    };
    for column in ["company", "internalemailaddress"] {
        let last = ledger.last(|wish| match wish {
            Wish::Column(of, value) if *of == column => Some(value.clone()),
            _ => None,
        });
        for (whose, value) in last {
            let found = row_of(&whose).clone().text(column).clone();
            let is_rival = |wish: &Wish| matches!(wish, Wish::Column(of, _) if *of == column);
            holds(
                &whose,
                &is_rival,
                found.as_ref() == Some(&value),
                format!("{column} = {value}"),
            );
        }
    }
    let last = ledger.last(|wish| match wish {
        Wish::Hold(_) => Some(true),
        Wish::Release => Some(false),
        _ => None,
    });
    for (whose, held) in last {
        let is_rival = |wish: &Wish| matches!(wish, Wish::Hold(_) | Wish::Release);
        holds(
            &whose,
            &is_rival,
            row_of(&whose).onhold == held,
            format!("onhold = {held}"),
        );
    }
    let last = ledger.last(|wish| match wish {
        Wish::Mode(mode) => Some(*mode),
        _ => None,
    });
    for (whose, mode) in last {
        let is_rival = |wish: &Wish| matches!(wish, Wish::Mode(_));
        holds(
            &whose,
            &is_rival,
            row_of(&whose).accessmode == mode,
            format!("accessmode = {mode}"),
        );
    }
    println!(
        "{} acknowledged edits are in the change log, {checked} of them are the last of their row and in the table; {} answered rows are there",
        ledger.kept.len(),
        ledger.rows.len()
    );
}

async fn rows_are_made_once_and_keep_their_full_name(
    db: &mut PgConnection,
    tables: &BTreeMap<String, BTreeMap<Uuid, Row>>,
) {
    let lines: Vec<(String, Uuid, Option<String>)> = sqlx::query_as(
        "select environment, systemuserid, fields #>> '{fullname,1}' from rollcall.system_user_change
         where operation = 'create'",
    )
    .fetch_all(db)
    .await
    .unwrap();
    let mut created = HashMap::new();
    for (environment, id, name) in lines {
        let again = created.insert((environment.clone(), id), name);
        assert!(again.is_none(), "the row {id} in {environment} was made twice");
    }
    for (environment, rows) in tables {
        for row in rows.values().filter(|row| row.azureactivedirectoryobjectid.is_some()) {
            let name = &created[&(environment.clone(), row.systemuserid)];
            assert_eq!(*name, row.fullname, "{row:?}");
        }
    }
}

#[derive(sqlx::FromRow)]
struct Disable {
    at: DateTime<Utc>,
    run_id: Option<i64>,
    actor: String,
    environment: String,
    azureactivedirectoryobjectid: Uuid,
    reason: String,
    /// When the last run before it began that has read everything.
    read_since: Option<DateTime<Utc>>,
    ended_at: Option<DateTime<Utc>>,
}

/// Nobody was disabled but for a reason that held in the directory at some moment since it was last read completely.
async fn every_disable_had_its_reason(db: &mut PgConnection, people: &People) {
    let disables: Vec<Disable> = sqlx::query_as(
        "select c.at, c.run_id, c.actor, c.environment, s.azureactivedirectoryobjectid,
                c.fields #>> '{disabledreason,1}' as reason,
                (select max(r.started_at) from rollcall.sync_run r
                 where r.outcome in ('complete', 'held') and r.ended_at <= c.at
                       and (c.actor <> 'sync' or r.id < c.run_id)) as read_since,
                case when c.actor = 'sync' then
                    (select r.ended_at from rollcall.sync_run r where r.id = c.run_id) end as ended_at
         from rollcall.system_user_change c join rollcall.system_user s using (environment, systemuserid)
         where c.fields #>> '{isdisabled,1}' = 'true' and c.fields #>> '{disabled_by,1}' = 'sync'
         order by c.id",
    )
    .fetch_all(db)
    .await
    .unwrap();
    let mut reasons: BTreeMap<&str, u64> = BTreeMap::new();
    for line in &disables {
        let (environment, id) = (&line.environment, line.azureactivedirectoryobjectid);
        let from = line.read_since.unwrap_or(DateTime::UNIX_EPOCH);
        let until = line.ended_at.unwrap_or(line.at + ON_DEMAND_ENDS_WITHIN);
        assert!(
            people.had_to_go(environment, id, &line.reason, from, until),
            "{id} in {environment} was disabled at {} as {} by {} in run {:?} without a reason between {from} and {until}: {}",
            line.at,
            line.reason,
            line.actor,
            line.run_id,
            people.story_of(environment, id),
        );
        *reasons.entry(&line.reason).or_default() += 1;
    }
    println!(
        "{} disables by the sync, each with its reason: {reasons:?}",
        disables.len()
    );
}

/// A leader that was stopped, cut off or slow writes nothing once another run has begun: in the change log the runs come
/// one after the other.
async fn no_run_writes_after_the_next_has_begun(db: &mut PgConnection) {
    let late: Vec<(i64, i64, i64)> = sqlx::query_as(
        "select * from (
             select id, run_id, max(run_id) over (order by id) as latest from rollcall.system_user_change
             where actor = 'sync' and run_id is not null) as lines
         where run_id < latest",
    )
    .fetch_all(&mut *db)
    .await
    .unwrap();
    assert!(
        late.is_empty(),
        "lines of runs that were over (line, run, latest run): {late:?}"
    );
    let open: i64 = sqlx::query_scalar(
        "select count(*) from rollcall.sync_run where ended_at is null and id < (select max(id) from rollcall.sync_run)",
    )
    .fetch_one(db)
    .await
    .unwrap();
    assert_eq!(open, 0, "a run that has no end was left behind");
}

async fn tell_of_runs(db: &mut PgConnection) {
    let outcomes: Vec<(Option<String>, i64)> =
        sqlx::query_as("select outcome, count(*) from rollcall.sync_run group by outcome order by outcome")
            .fetch_all(&mut *db)
            .await
            .unwrap();
    let leases: i64 = sqlx::query_scalar("select fence from rollcall.lease where name = 'cycle'")
        .fetch_one(&mut *db)
        .await
        .unwrap();
    let sets: Vec<(Option<String>, i64)> =
        sqlx::query_as("select decision, count(*) from rollcall.held_set group by decision order by decision")
            .fetch_all(db)
            .await
            .unwrap();
    println!("cycles {outcomes:?}; the lease was taken {leases} times; held sets {sets:?}");
}
