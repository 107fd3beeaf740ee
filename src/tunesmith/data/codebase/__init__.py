"""From a codebase to a data set: what is in a repository, what of it may be used, and the examples that it gives."""
