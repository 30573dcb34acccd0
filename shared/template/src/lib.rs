//! What is deployed, as data: template.yaml and its tables, the sample events, and the defaults of the local stack.

pub mod local;
pub mod sample;
pub mod tables;

use std::collections::BTreeMap;

use serde::Deserialize;
use yaml_serde::Value;

/// The template that `sam deploy` deploys, as it was when this program was built.
pub const TEMPLATE: &str = include_str!("../../../template.yaml");

/// A template's resources, by their logical ids.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct Template {
    resources: BTreeMap<String, Resource>,
}

/// A resource, with its intrinsic functions as they are written.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct Resource {
    r#type: String,
    #[serde(default)]
    properties: Value,
}

impl Template {
    /// Reads a template.
    ///
    /// # Errors
    /// If it is no template.
    pub fn read(text: &str) -> Result<Self, yaml_serde::Error> {
        yaml_serde::from_str(text)
    }

    /// The resources of a type, with their properties.
    pub fn of_type(&self, kind: &str) -> impl Iterator<Item = (&str, &Value)> {
        let resources = self.resources.iter().filter(move |(_, resource)| resource.r#type == kind);
        resources.map(|(name, resource)| (name.as_str(), &resource.properties))
    }
}
