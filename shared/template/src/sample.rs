//! The sample events in events/, for the local stack and the tests.

use include_dir::{Dir, include_dir};
use serde_json::Value;

/// The folder at build time.
static EVENTS: Dir<'_> = include_dir!("$CARGO_MANIFEST_DIR/../../events");

/// The API Gateway events of a route (`webhook`, `check-access` or `graphql`) with their file names, sorted by name. The
/// webhook's events must be delivered in this order.
pub fn events(route: &str) -> Vec<(String, Value)> {
    let files = EVENTS.get_dir(route).into_iter().flat_map(Dir::files);
    let mut events: Vec<(String, Value)> = files
        .filter_map(|file| {
            let name = file.path().file_name()?.to_str()?.to_owned();
            Some((name, serde_json::from_slice(file.contents()).ok()?))
        })
        .collect();
    events.sort_by(|(one, _), (other, _)| one.cmp(other));
    events
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_file_is_an_event_of_its_route() {
        for route in ["webhook", "check-access", "graphql"] {
            let events = events(route);
            let files = EVENTS.get_dir(route).unwrap().files().count();
            assert!(files > 0 && events.len() == files, "{route}: a file is not JSON");
            for (name, event) in events {
                assert_eq!(event["version"], "2.0", "{name}");
                let path = event["rawPath"].as_str().unwrap();
                assert!(path == format!("/{route}") || (route == "graphql" && path == "/graphiql"), "{name}: {path}");
            }
        }
    }
}
