//! The local stack: the three functions behind a stand-in for API Gateway, on an embedded DynamoDB
//! with the very tables of template.yaml. The binary `byos` serves it; the tests of the whole
//! workspace run on it. Beside it, the commands of an operator, which speak to any deployment: see
//! [`target`].

pub mod check;
pub mod delivery;
pub mod doctor;
pub mod embedded;
pub mod gateway;
pub mod hostile;
pub mod http;
pub mod import;
pub mod mirror;
pub mod outcome;
pub mod printed;
pub mod reconcile;
pub mod recorded;
pub mod replay;
pub mod report;
pub mod runtime_api;
pub mod secrets;
pub mod send;
pub mod serve;
pub mod show;
pub mod standin;
pub mod stigg;
pub mod story;
pub mod tables;
pub mod target;
pub mod template;
