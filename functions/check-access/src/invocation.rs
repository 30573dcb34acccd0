//! The events that invoke the function: HTTP requests from API Gateway or a function URL (in the same form), events for a
//! Lambda authorizer, and checks as plain JSON by `lambda:InvokeFunction`.

use lambda_http::{Body, Response};
use runtime::gateway::{GatewayEvent, GatewayResponse, Malformed};
use serde::{Deserialize, Deserializer, Serialize, de::IgnoredAny};
use serde_json::value::RawValue;

use crate::authorizer::AuthorizerEvent;

/// An event that invokes the function. Any JSON can be parsed as one.
#[derive(Debug)]
pub enum Invocation {
    /// An HTTP request, or an event of unknown form.
    Http(GatewayEvent),
    /// An HTTP API asks whether to forward a request to another service.
    Authorizer(Box<AuthorizerEvent>),
    /// A check in the form of `/check-access`, or a list of checks. Authorized by the IAM permission to invoke the function.
    /// An HTTP request can't get here: its body is only a string inside an event.
    Direct(Box<RawValue>),
}

/// The response to an invocation.
#[derive(Debug, Serialize)]
#[serde(untagged)]
pub enum Reply {
    /// An HTTP response.
    Http(Box<GatewayResponse>),
    /// An authorizer's response, a decision, a list of decisions, or an error.
    Json(Box<RawValue>),
}

impl Reply {
    /// The body of a response.
    pub(crate) fn json(response: Response<Body>) -> Self {
        let body = String::from_utf8_lossy(response.body().as_ref()).into_owned();
        Self::Json(RawValue::from_string(body).unwrap_or_default())
    }
}

impl<'de> Deserialize<'de> for Invocation {
    fn deserialize<D: Deserializer<'de>>(input: D) -> Result<Self, D::Error> {
        let json = Box::<RawValue>::deserialize(input)?;
        if let Some(event) = AuthorizerEvent::read(json.get()) {
            return Ok(Self::Authorizer(Box::new(event)));
        }
        let event = GatewayEvent::read(json.get());
        // Nearly all events are HTTP requests: parse these only once.
        Ok(if event.malformed() == Some(Malformed::Event) && is_direct(json.get()) {
            Self::Direct(json)
        } else {
            Self::Http(event)
        })
    }
}

fn is_direct(json: &str) -> bool {
    #[derive(Deserialize)]
    #[serde(rename_all = "camelCase")]
    struct Members {
        customer_id: Option<IgnoredAny>,
        request_context: Option<IgnoredAny>,
    }
    json.starts_with('[')
        || serde_json::from_str::<Members>(json)
            .is_ok_and(|members| members.customer_id.is_some() && members.request_context.is_none())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_plain_checks_are_direct() {
        for (json, direct) in [
            (r#"{"customerId":"c"}"#, true),
            ("[]", true),
            (" [{}]", true),
            ("{}", false),
            ("null", false),
            ("5", false),
            (r#"{"customerId":null}"#, false),
            (r#"{"customerId":"c","requestContext":{}}"#, false),
            (r#"{"body":"{\"customerId\":\"c\"}"}"#, false),
        ] {
            let invocation = serde_json::from_str::<Invocation>(json).unwrap();
            assert_eq!(matches!(invocation, Invocation::Direct(_)), direct, "{json}");
        }
    }
}
