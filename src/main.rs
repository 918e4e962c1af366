//! Parses the arguments, hands over, maps the result to an exit code.
fn main() {}
