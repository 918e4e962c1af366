//! The tenant that owns the schema: the first that was synchronised into it.

use chrono::{DateTime, Utc};
use uuid::Uuid;

use super::{Store, StoreError, StoreResult};

impl Store {
    /// Refuses a schema that belongs to another tenant. A schema that does not exist belongs to nobody.
    ///
    /// # Errors
    /// [`StoreError::OtherTenant`], or when the database does not answer.
    pub async fn check_tenant(&self, tenant: Uuid) -> StoreResult<()> {
        match self.tenant().await? {
            Some(owner) if owner != tenant => Err(StoreError::OtherTenant(owner)),
            _ => Ok(()),
        }
    }

    /// Records the owner of the migrated schema if it has none, and refuses another tenant's.
    ///
    /// # Errors
    /// As [`Self::check_tenant`].
    pub async fn claim(&self, tenant: Uuid, now: DateTime<Utc>) -> StoreResult<()> {
        if self.tenant().await?.is_none() {
            let mut db = self.read().await?;
            sqlx::query!(
                "insert into installation (tenant, recorded_at) values ($1, $2) on conflict do nothing",
                tenant,
                now
            )
            .execute(&mut db)
            .await?;
        }
        self.check_tenant(tenant).await
    }

    async fn tenant(&self) -> StoreResult<Option<Uuid>> {
        let mut db = self.read().await?;
        let is_there = sqlx::query_scalar!(r#"select to_regclass('installation') is not null as "there!""#)
            .fetch_one(&mut db)
            .await?;
        if !is_there {
            return Ok(None);
        }
        Ok(sqlx::query_scalar!("select tenant from installation")
            .fetch_optional(&mut db)
            .await?)
    }
}
