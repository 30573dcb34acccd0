//! Takes Stigg's events and writes what they say.
