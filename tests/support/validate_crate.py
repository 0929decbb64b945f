# SPDX-License-Identifier: Apache-2.0
"""Validate an RO-Crate without a network: print what the validator finds, as JSON.

This program runs in the virtual environment of ``make test-checkers``, and imports nothing else.
"""

from __future__ import annotations

import io
import json
import sys
from importlib.resources import files
from typing import Any

import requests
from requests.adapters import BaseAdapter
from rocrate_validator import services
from rocrate_validator.models import Severity, ValidationSettings
from rocrate_validator.utils.http import HttpRequester

TERMS = "https://w3id.org/ro/terms/workflow-run"
NAMES = ("ContainerImage", "DockerImage", "SIFImage", "containerImage", "registry", "sha256", "tag")
CONTEXTS = {
    "https://w3id.org/ro/crate/1.1/context": (
        files("rocrate").joinpath("data/ro-crate.jsonld").read_bytes()
    ),
    # No package has this one.
    f"{TERMS}/context": json.dumps(
        {"@context": {name: f"{TERMS}#{name}" for name in NAMES}}
    ).encode(),
}


class Contexts(BaseAdapter):
    """Answers requests for contexts, and says of anything else that it does not exist."""

    def send(self, request: requests.PreparedRequest, *_: Any, **__: Any) -> Any:
        response = requests.Response()
        content = CONTEXTS.get(str(request.url))
        response.status_code = 404 if content is None else 200
        response.raw = io.BytesIO(content or b"")
        response.headers["Content-Type"] = "application/ld+json"
        response.url, response.request = str(request.url), request
        return response

    def close(self) -> None:
        """Close nothing: no connection is open."""


def validate(directory: str, profile: str) -> list[tuple[str, str, str]]:
    """Return severity, check and message of each problem."""
    settings = ValidationSettings(
        rocrate_uri=directory,
        profile_identifier=profile,
        requirement_severity=Severity.RECOMMENDED,
        no_cache=True,
    )
    # The settings replace the session, so they come first.
    session = HttpRequester().session
    for scheme in ("http://", "https://"):
        session.mount(scheme, Contexts())
    found = services.validate(settings).get_issues()
    return [(issue.severity.name, issue.check.identifier, str(issue.message)) for issue in found]


if __name__ == "__main__":
    json.dump(validate(*sys.argv[1:]), sys.stdout)
