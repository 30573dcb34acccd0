//! Decides whether a customer may use a feature.
