//! What is told of the host.
