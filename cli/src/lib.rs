//! The local stack: the three functions behind a stand-in for API Gateway, on an embedded DynamoDB
//! with the very tables of template.yaml. The binary `byos` serves it; the tests of the whole
//! workspace run on it.

pub mod embedded;
pub mod gateway;
pub mod hostile;
pub mod runtime_api;
pub mod serve;
pub mod standin;
pub mod story;
pub mod tables;
pub mod template;
