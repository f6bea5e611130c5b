//! Stamps the build.
fn main() {}
