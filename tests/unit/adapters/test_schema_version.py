"""The newest version of the schema is read from the names of the migrations' files."""

from alembic.script import ScriptDirectory

from activityctl.adapters.postgres.schema.migrate import alembic_config
from activityctl.adapters.postgres.schema.version import package_versions


def test_the_names_of_the_files_say_the_versions_that_alembic_reads_in_them():
    script = ScriptDirectory.from_config(alembic_config())
    known = {version.revision for version in script.walk_revisions()}
    assert package_versions() == (known, script.get_current_head())
