//! Query parameters of Stigg's Edge API.

use std::collections::BTreeSet;

use domain::id::{Id, IdError};
use lambda_http::aws_lambda_events::query_map::QueryMap;

use crate::request::RequestError;

/// Maximum number of resources in a request.
const MAX_RESOURCES: usize = 100;

/// The parameters that Stigg's SDKs send. Others are ignored.
#[derive(Debug, PartialEq)]
pub(crate) struct EdgeQuery {
    pub(crate) resource_id: Option<Id>,
    /// `resourceIds` together with `resourceId`.
    pub(crate) resource_ids: BTreeSet<Id>,
    pub(crate) feature_id: Option<Id>,
    /// 0 if absent.
    pub(crate) requested_usage: f64,
}

impl EdgeQuery {
    pub(crate) fn of(query: &QueryMap) -> Result<Self, RequestError> {
        let resource_id = id(query, "resourceId")?;
        let named = query.all("resourceIds").unwrap_or_default();
        if named.len() > MAX_RESOURCES {
            return Err(field("resourceIds", format!("must name at most {MAX_RESOURCES} resources")));
        }
        let named = named.into_iter().map(|text| Id::try_from(text).map_err(|error| field("resourceIds", error.to_string())));
        let mut resource_ids: BTreeSet<Id> = named.collect::<Result<_, _>>()?;
        resource_ids.extend(resource_id.clone());
        Ok(Self { resource_id, resource_ids, feature_id: id(query, "featureId")?, requested_usage: usage(query)? })
    }
}

/// `requestedUsage`, 0 if absent.
pub(crate) fn usage(query: &QueryMap) -> Result<f64, RequestError> {
    let usage = query.first("requestedUsage").map_or(Some(0.0), |text| text.parse::<f64>().ok());
    let usage = usage.filter(|usage| usage.is_finite() && *usage >= 0.0);
    usage.ok_or_else(|| field("requestedUsage", "must be a finite number, not below 0".to_owned()))
}

/// An id. None if the parameter is absent.
pub(crate) fn id(query: &QueryMap, name: &str) -> Result<Option<Id>, RequestError> {
    let text = query.first(name).map(Id::try_from);
    text.transpose().map_err(|error: IdError| field(name, error.to_string()))
}

fn field(name: &str, problem: String) -> RequestError {
    RequestError::Field { field: name.to_owned(), problem }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(query: &str) -> Result<EdgeQuery, String> {
        EdgeQuery::of(&query.parse().unwrap()).map_err(|error| error.to_string())
    }

    #[test]
    fn parameters_are_parsed_and_invalid_ones_are_named() {
        let ids = |ids: &[&str]| ids.iter().map(|id| Id::try_from(*id).unwrap()).collect::<BTreeSet<_>>();
        let query = read("resourceId=a%2Bb&featureId=f&requestedUsage=3.0&other=1").unwrap();
        assert_eq!((query.resource_ids, query.requested_usage), (ids(&["a+b"]), 3.0));
        assert_eq!(read("resourceIds=a&resourceIds=b%20c").unwrap().resource_ids, ids(&["a", "b c"]));
        assert_eq!(
            read("").unwrap(),
            EdgeQuery { resource_id: None, resource_ids: ids(&[]), feature_id: None, requested_usage: 0.0 }
        );
        let many = vec!["resourceIds=a"; 10_000].join("&");
        let usage = "`requestedUsage` must be a finite number, not below 0";
        for (query, error) in [
            ("resourceId=", "`resourceId` must not be empty"),
            ("featureId=%00", "`featureId` must not contain the character U+0000"),
            ("resourceIds=a&resourceIds=", "`resourceIds` must not be empty"),
            (&many, "`resourceIds` must name at most 100 resources"),
            ("requestedUsage=-1", usage),
            ("requestedUsage=NaN", usage),
            ("requestedUsage=", usage),
        ] {
            assert_eq!(read(query), Err(error.to_owned()), "{}", query.get(..40).unwrap_or(query));
        }
    }
}
