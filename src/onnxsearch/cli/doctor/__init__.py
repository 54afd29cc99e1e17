"""The command `doctor`: what is wrong with an installation or an index, and the remedy."""
