"""Methods beyond the paper, each in a folder of its own, loaded only where a setting asks for it."""
