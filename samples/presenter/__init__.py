"""A fictional presenter: sculpted, posed, lit and rendered here; see samples/README.md."""
