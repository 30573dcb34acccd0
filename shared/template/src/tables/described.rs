//! Compares a table as DynamoDB describes it with the template.

use aws_sdk_dynamodb::types::{GlobalSecondaryIndexDescription, IndexStatus, KeySchemaElement, TableDescription, TableStatus};

use super::{Index, KeyPart, Table};

impl Table {
    /// The TTL attribute.
    pub fn ttl_attribute(&self) -> &str {
        &self.time_to_live_specification.attribute_name
    }

    /// The number of indexes.
    pub fn index_count(&self) -> usize {
        self.global_secondary_indexes.len()
    }

    /// Messages about the differences. Additional indexes are not reported: they only cost money.
    pub fn differences(&self, described: &TableDescription) -> Vec<String> {
        let mut differences = Vec::new();
        if !matches!(described.table_status(), None | Some(TableStatus::Active | TableStatus::Updating)) {
            differences.push("it is not active".to_owned());
        }
        if !is_same(&self.key_schema, described.key_schema()) {
            differences.push(format!("its key is not {}", names(&self.key_schema)));
        }
        for attribute in &self.attribute_definitions {
            let found = described.attribute_definitions().iter().find(|one| one.attribute_name() == attribute.attribute_name);
            if found.is_some_and(|found| found.attribute_type().as_str() != attribute.attribute_type) {
                differences
                    .push(format!("its attribute {} is not of type {}", attribute.attribute_name, attribute.attribute_type));
            }
        }
        for index in &self.global_secondary_indexes {
            let found = described.global_secondary_indexes().iter().find(|one| one.index_name() == Some(&index.index_name));
            match found {
                Some(found) => differences.extend(index.difference(found)),
                None => differences.push(format!("the index {} is missing", index.index_name)),
            }
        }
        differences
    }
}

impl Index {
    fn difference(&self, described: &GlobalSecondaryIndexDescription) -> Option<String> {
        let name = &self.index_name;
        let projection = described.projection().and_then(|projection| projection.projection_type());
        if !is_same(&self.key_schema, described.key_schema()) {
            Some(format!("the key of the index {name} is not {}", names(&self.key_schema)))
        } else if projection.map(|projection| projection.as_str()) != Some(&self.projection.projection_type) {
            Some(format!("the projection of the index {name} is not {}", self.projection.projection_type))
        } else if matches!(described.index_status(), Some(IndexStatus::Creating | IndexStatus::Deleting)) {
            Some(format!("the index {name} is not active"))
        } else {
            None
        }
    }
}

fn is_same(parts: &[KeyPart], described: &[KeySchemaElement]) -> bool {
    let described = described.iter().map(|part| (part.attribute_name(), part.key_type().as_str()));
    parts.iter().map(|part| (part.attribute_name.as_str(), part.key_type.as_str())).eq(described)
}

fn names(parts: &[KeyPart]) -> String {
    parts.iter().map(|part| part.attribute_name.as_str()).collect::<Vec<_>>().join(" and ")
}
