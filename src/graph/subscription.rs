//! Subscriptions to change notifications: created, renewed, removed (graph.md, section 9).

use chrono::{DateTime, SecondsFormat, Utc};
use serde::Deserialize;
use serde_json::json;
use uuid::Uuid;

use super::client::{Call, Expected};
use super::endpoint::{SUBSCRIPTION, SUBSCRIPTIONS};
use super::fault::LinkKind;
use super::wire::Undecodable;
use super::{Graph, GraphError};
use crate::domain::notifications::Subscription;

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct RawSubscription {
    id: Uuid,
    expiration_date_time: DateTime<Utc>,
}

fn decode(body: &[u8]) -> Result<Subscription, Undecodable> {
    let raw: serde_json::Value = serde_json::from_slice(body).map_err(|_| Undecodable::Broken)?;
    let made = RawSubscription::deserialize(raw).map_err(|_| Undecodable::Shape("it is no subscription".to_owned()))?;
    Ok(Subscription {
        id: made.id,
        expires_at: made.expiration_date_time,
    })
}

fn text(time: DateTime<Utc>) -> String {
    time.to_rfc3339_opts(SecondsFormat::Millis, true)
}

impl Graph {
    /// Subscribes to a resource. The service asks the address for a handshake before it answers.
    ///
    /// # Errors
    ///
    /// [`GraphError::BadRequest`] if the handshake fails; as every call.
    pub async fn create_subscription(
        &self,
        resource: &str,
        url: &str,
        secret: &str,
        expires_at: DateTime<Utc>,
    ) -> Result<Subscription, GraphError> {
        let body = json!({
            "changeType": "updated,deleted",
            "notificationUrl": url,
            "lifecycleNotificationUrl": url,
            "resource": resource,
            "expirationDateTime": text(expires_at),
            "clientState": secret,
        });
        let call = Call {
            body: Some(body.to_string()),
            ..self.call(SUBSCRIPTIONS, || "subscriptions".to_owned(), None, LinkKind::Nothing)?
        };
        Ok(self.fetch(&call.expecting(Expected::Created), decode).await?.value)
    }

    /// Renews a subscription.
    ///
    /// # Errors
    ///
    /// [`GraphError::NotFound`] if there is none of this id; as every call.
    pub async fn renew_subscription(&self, id: Uuid, expires_at: DateTime<Utc>) -> Result<Subscription, GraphError> {
        let call = Call {
            body: Some(json!({ "expirationDateTime": text(expires_at) }).to_string()),
            ..self.call(SUBSCRIPTION, || format!("subscriptions/{id}"), None, LinkKind::Nothing)?
        };
        Ok(self.fetch(&call.expecting(Expected::Changed), decode).await?.value)
    }

    /// Removes a subscription.
    ///
    /// # Errors
    ///
    /// As [`Self::renew_subscription`].
    pub async fn delete_subscription(&self, id: Uuid) -> Result<(), GraphError> {
        let call = self.call(SUBSCRIPTION, || format!("subscriptions/{id}"), None, LinkKind::Nothing)?;
        self.fetch(&call.expecting(Expected::Deleted), |_| Ok(())).await?;
        Ok(())
    }
}
