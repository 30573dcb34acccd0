//! The store against the embedded DynamoDB.
#![allow(missing_docs)]

use byos::embedded::Embedded;
use shared::{customer::Profile, id::Id, store::Outcome, version::Version};

#[tokio::test]
async fn a_profile_is_written_once() {
    let embedded = Embedded::in_memory().await.unwrap();
    let version = Version::new("2026-11-01T00:00:00Z".parse().unwrap(), "m");
    let id = Id::try_from("c").unwrap();
    let now = "2026-11-01T00:00:00Z".parse().unwrap();
    let store = embedded.store.metered();
    assert_eq!(store.write_profile(&id, &version, &Profile::default(), true, now).await.unwrap(), Outcome::Applied);
    assert_eq!(store.write_profile(&id, &version, &Profile::default(), true, now).await.unwrap(), Outcome::Stale);
    println!("{:?}", store.spent());
    assert_eq!(store.customers(&[id]).await.unwrap().len(), 1);
}
