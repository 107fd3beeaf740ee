"""The database's shape over time: Alembic, forward only. `store.open_store` runs what is missing."""
