"""Sample material and how it was made; not part of the installed product."""
