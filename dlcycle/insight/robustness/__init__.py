"""How decisions bear changed texts: accidents, and an attack that swaps words."""
