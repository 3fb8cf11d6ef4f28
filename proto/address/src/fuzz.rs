//! Check functions for the fuzzers.
