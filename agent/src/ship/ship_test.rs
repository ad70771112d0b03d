//! Tests of shipping.
