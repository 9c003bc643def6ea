"""Reads the YAML file of issuers, as strictly as manifests are read."""

import json
from pathlib import Path
from typing import Final

from pydantic import ValidationError

from activityctl.adapters.manifests.strict_yaml import YamlDocument, parse_documents, path_text
from activityctl.domain.access.issuer import Issuers
from activityctl.domain.values.finding import Finding, findings_of
from activityctl.domain.values.model import WRITTEN
from activityctl.errors import InvalidInputError, InvalidManifestsError, Problem, reason_of

_MOST_BYTES: Final = 1 << 20


def read_issuers(name: str) -> Issuers:
    """Return the issuers of a file, with whole paths of the files of keys.

    Raises InvalidInputError, with every problem in its place.
    """
    path = Path(name).absolute()
    try:
        with path.open("rb") as file:
            text = file.read(_MOST_BYTES + 1)
    except OSError as error:
        raise InvalidInputError(
            f"{path} cannot be read: {reason_of(error)}", hint="activityctl guide http-api"
        ) from None
    documents, problems = parse_documents(text, str(path))
    if not problems and len(documents) != 1:
        problems = [Problem(str(path), 0, 0, "", "should have one document with issuers")]
    if problems or any(document.refused for document in documents):
        raise InvalidManifestsError(problems)
    (document,) = documents
    try:
        issuers = Issuers.model_validate_json(json.dumps(document.value), context=WRITTEN)
        return issuers.in_folder(path.parent)
    except ValidationError as error:
        found = findings_of(error, Issuers)
    raise InvalidManifestsError([_problem(document, finding) for finding in found])


def _problem(document: YamlDocument, finding: Finding) -> Problem:
    position = document.key_at if finding.at_key else document.value_at
    line, column = position(finding.path)
    return Problem(document.file, line, column, path_text(finding.path), finding.reason)
