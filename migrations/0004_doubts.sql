-- A doubt that nobody has decided outlives the set that it held.

-- Why the last complete reading of a source was doubted; null again as soon as one is beyond doubt. A set that this
-- doubt held and that expires is held anew for as long as the source says the same.
alter table rollcall.checkpoint add column suspicion text;
