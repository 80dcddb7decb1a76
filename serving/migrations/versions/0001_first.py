"""Scores, API keys, idempotency, the vault's mark and the audit trail.

A migration states the tables as they were on its day; it never imports them.
"""

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None

NO_CHANGE_SQLITE = """
CREATE TRIGGER audit_trail_no_{verb} BEFORE {verb} ON audit_trail
BEGIN SELECT RAISE(ABORT, 'the audit trail is append-only'); END
"""
NO_CHANGE_POSTGRESQL = (
    """
CREATE FUNCTION audit_trail_is_append_only() RETURNS trigger LANGUAGE plpgsql AS
$$ BEGIN RAISE EXCEPTION 'the audit trail is append-only'; END $$
""",
    """
CREATE TRIGGER audit_trail_no_change BEFORE UPDATE OR DELETE OR TRUNCATE ON audit_trail
FOR EACH STATEMENT EXECUTE FUNCTION audit_trail_is_append_only()
""",
)


def upgrade() -> None:
    """Make the tables."""
    _keys()
    _scores()
    _idempotency()
    _vault_mark()
    _audit_trail()


def _keys() -> None:
    op.create_table(
        "api_keys",
        sa.Column("id", sa.String(16), primary_key=True),
        sa.Column("role", sa.String(16), nullable=False),
        sa.Column("label", sa.String(100), nullable=False),
        sa.Column("salt", sa.LargeBinary, nullable=False),
        sa.Column("digest", sa.LargeBinary, nullable=False),
        sa.Column("created_at", sa.String(32), nullable=False),
        sa.Column("revoked_at", sa.String(32)),
    )


def _scores() -> None:
    op.create_table(
        "scores",
        sa.Column("id", sa.String(40), primary_key=True),
        sa.Column("owner", sa.String(16), sa.ForeignKey("api_keys.id"), nullable=False),
        sa.Column("status", sa.String(12), nullable=False, index=True),
        sa.Column("created_at", sa.String(32), nullable=False, index=True),
        sa.Column("updated_at", sa.String(32), nullable=False),
        sa.Column("job", sa.String(100), nullable=False),
        sa.Column("question", sa.String(100)),
        sa.Column("policy_region", sa.String(40), nullable=False),
        sa.Column("consent", sa.String(200), nullable=False),
        sa.Column("sealed_request", sa.LargeBinary),
        sa.Column("input_sha256", sa.String(64), nullable=False),
        sa.Column("media", sa.String(64), unique=True),
        sa.Column("suffix", sa.String(8), nullable=False),
        sa.Column("media_until", sa.String(32), index=True),
        sa.Column("stills_until", sa.String(32), index=True),
        sa.Column("record_until", sa.String(32), index=True),
        sa.Column("attempts", sa.Integer, nullable=False),
        sa.Column("sealed_scorecard", sa.LargeBinary),
        sa.Column("sealed_exhibit", sa.LargeBinary),
        sa.Column("sealed_stills", sa.LargeBinary),
        sa.Column("receipt_sha256", sa.String(64)),
        sa.Column("problem_code", sa.String(60)),
        sa.Column("problem_detail", sa.Text),
        sa.Column("superseded_by", sa.String(40)),
        sa.Column("erased_at", sa.String(32)),
    )


def _idempotency() -> None:
    op.create_table(
        "idempotency",
        sa.Column("owner", sa.String(16), sa.ForeignKey("api_keys.id"), primary_key=True),
        sa.Column("key_sha256", sa.String(64), primary_key=True),
        sa.Column("created_at", sa.String(32), nullable=False),
        sa.Column("token", sa.String(32), nullable=False),
        sa.Column("body_fingerprint", sa.String(64)),
        sa.Column("score", sa.String(40), sa.ForeignKey("scores.id")),
    )


def _vault_mark() -> None:
    op.create_table(
        "vault_mark",
        sa.Column("number", sa.Integer, primary_key=True, autoincrement=False),
        sa.Column("sealed", sa.LargeBinary, nullable=False),
    )


def _audit_trail() -> None:
    op.create_table(
        "audit_trail",
        sa.Column("number", sa.Integer, primary_key=True, autoincrement=True),
        sa.Column("at", sa.String(32), nullable=False, index=True),
        sa.Column("actor", sa.String(40), nullable=False),
        sa.Column("action", sa.String(40), nullable=False),
        sa.Column("score", sa.String(40), index=True),
        sa.Column("outcome", sa.String(60), nullable=False),
        sa.Column("trace_id", sa.String(32), nullable=False),
    )
    if op.get_bind().dialect.name == "sqlite":
        statements = tuple(NO_CHANGE_SQLITE.format(verb=verb) for verb in ("UPDATE", "DELETE"))
    else:
        statements = NO_CHANGE_POSTGRESQL
    for statement in statements:
        op.execute(sa.text(statement))
