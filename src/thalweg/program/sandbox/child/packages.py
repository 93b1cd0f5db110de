"""`Packages`: find the packages that were named for the run, each at its own place, and no others beside them."""

from __future__ import annotations

import os
from importlib.util import spec_from_file_location

TYPE_CHECKING = False  # as in `typing`, the import of which costs more than all the rest
if TYPE_CHECKING:
    from typing import Any


class Packages:
    def __init__(self, places: dict[str, str]) -> None:
        self._places = places  # import name -> folder or file

    def find_spec(self, name: str, path: Any = None, target: Any = None) -> Any:
        place = self._places.get(name)
        if place is None:
            return None
        if os.path.isdir(place):
            entry = os.path.join(place, "__init__.py")
            return spec_from_file_location(name, entry, submodule_search_locations=[place])
        return spec_from_file_location(name, place)
