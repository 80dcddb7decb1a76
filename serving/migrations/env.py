"""How alembic reaches the database: over the connection that `database.migrate` hands it."""

from alembic import context

from serving.database import metadata

context.configure(connection=context.config.attributes["connection"], target_metadata=metadata)
context.run_migrations()
