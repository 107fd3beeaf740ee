"""One file a change of the database, named after its number and what it does."""
