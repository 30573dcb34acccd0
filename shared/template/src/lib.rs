//! The SAM template and its tables, the sample events, and the local stack's defaults, compiled into the programs.

pub mod local;
pub mod sample;
pub mod tables;

use std::collections::BTreeMap;

use serde::Deserialize;
use yaml_serde::Value;

/// template.yaml at build time.
pub const TEMPLATE: &str = include_str!("../../../template.yaml");

/// The resources of a CloudFormation template.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct Template {
    resources: BTreeMap<String, Resource>,
}

/// A resource. Intrinsic functions are not evaluated.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Resource {
    r#type: String,
    #[serde(default)]
    properties: Value,
}

impl Template {
    /// Parses a template.
    ///
    /// # Errors
    /// If the text is not a template.
    pub fn read(text: &str) -> Result<Self, yaml_serde::Error> {
        yaml_serde::from_str(text)
    }

    /// The logical ids and properties of all resources of a type.
    pub fn of_type(&self, kind: &str) -> impl Iterator<Item = (&str, &Value)> {
        let resources = self.resources.iter().filter(move |(_, resource)| resource.r#type == kind);
        resources.map(|(name, resource)| (name.as_str(), &resource.properties))
    }
}
