"""Makes what stands beside a role's direction in a comparison: random directions that are chosen as
the role's is, directions from shuffled labels, persona prompts, and effects that must be found."""
