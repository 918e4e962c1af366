//! Words for a verdict: what each check looked at. Never decides anything.
