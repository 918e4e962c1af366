//! Sessions of the console. Any replica knows them; the database has only hashes of their secrets.

use chrono::Duration;
use ring::digest::{SHA256, digest};

use super::{Base, Failure};
use crate::domain::session::{KeptForm, Session};
use crate::store::sessions;

/// A session ends after this time, and earlier if it is not used for [`IDLE`].
const LONGEST: Duration = Duration::hours(24);
/// A session that is not used for this time ends.
const IDLE: Duration = Duration::hours(8);
/// An invitation ends after this time.
const INVITED_FOR: Duration = Duration::hours(1);

/// Begins, finds and ends sessions.
#[derive(Clone)]
pub struct Sessions {
    base: Base,
}

impl Sessions {
    pub(super) fn new(base: Base) -> Self {
        Self { base }
    }

    /// Begins a session, and returns its secret. It takes the place of the one whose secret is given, and takes a form over
    /// that the same person left there. Sessions that have ended are deleted.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn begin(&self, session: Session, before: Option<&str>) -> Result<String, Failure> {
        let (actor, secret) = (session.actor.clone(), self.store(session, false).await?);
        if let Some(before) = before.map(hash) {
            let mut db = self.base.store.read().await?;
            if let Some(form) = sessions::form(&mut db, &before, Some(&actor)).await? {
                sessions::keep_form(&mut db, &hash(&secret), &form).await?;
            }
            sessions::delete(&mut db, &before).await?;
        }
        Ok(secret)
    }

    /// Keeps a form of a session until a new sign-in.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn keep_form(&self, secret: &str, form: &KeptForm) -> Result<(), Failure> {
        let mut db = self.base.store.read().await?;
        Ok(sessions::keep_form(&mut db, &hash(secret), form).await?)
    }

    /// The form that a session keeps.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn kept_form(&self, secret: &str) -> Result<Option<KeptForm>, Failure> {
        let mut db = self.base.store.read().await?;
        Ok(sessions::form(&mut db, &hash(secret), None).await?)
    }

    /// Makes a secret that begins a session like this one, once and within an hour.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn invite(&self, session: Session) -> Result<String, Failure> {
        self.store(session, true).await
    }

    async fn store(&self, session: Session, is_invitation: bool) -> Result<String, Failure> {
        let secret = secret();
        let now = self.base.clock.now();
        let session = Session {
            signed_in_at: now,
            ..session
        };
        let mut db = self.base.store.read().await?;
        sessions::insert(&mut db, &hash(&secret), is_invitation, &session).await?;
        sessions::purge(&mut db, now - LONGEST).await?;
        Ok(secret)
    }

    /// The session to which a secret invites; none if it does not, or did already.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn accept(&self, invitation: &str) -> Result<Option<Session>, Failure> {
        let mut db = self.base.store.read().await?;
        Ok(sessions::accept(&mut db, &hash(invitation), self.base.clock.now() - INVITED_FOR).await?)
    }

    /// The session with a secret, unless it has ended. It ends early when the directory blocks or deletes its person.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn find(&self, secret: &str) -> Result<Option<Session>, Failure> {
        let now = self.base.clock.now();
        let mut db = self.base.store.read().await?;
        Ok(sessions::find(&mut db, &hash(secret), now - LONGEST, now - IDLE, now).await?)
    }

    /// Ends the session with a secret.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn end(&self, secret: &str) -> Result<(), Failure> {
        let mut db = self.base.store.read().await?;
        Ok(sessions::delete(&mut db, &hash(secret)).await?)
    }
}

/// 256 random bits.
fn secret() -> String {
    let bits: [u8; 32] = rand::random();
    bits.iter()
        .fold(String::new(), |text, byte| format!("{text}{byte:02x}"))
}

fn hash(secret: &str) -> Vec<u8> {
    digest(&SHA256, secret.as_bytes()).as_ref().to_vec()
}
