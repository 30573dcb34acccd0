//! Tests of the whole replica: see `whole/`.
