"""The library of features in a dataset's attributes, as text that any file format can store."""

from __future__ import annotations

from typing import Any

from dni_jax.features import FeatureLibrary


class LibraryText(str):
    """The names of a library's features; in memory, also the library itself.

    Attributes of a dataset must be text, numbers or lists of them: netCDF and Zarr write nothing else. Read back from a
    file, or unpickled, this is a plain ``str``.

    Examples
    --------
    >>> from dni_jax.features import char_feature
    >>> text = LibraryText.of(FeatureLibrary((char_feature("digit", str.isdigit),)))
    >>> text, text.library
    ('digit', FeatureLibrary(1 features: digit))
    """

    library: FeatureLibrary

    @classmethod
    def of(cls, library: FeatureLibrary) -> LibraryText:
        """Return the text of a library."""
        text = cls(", ".join(library.names))
        text.library = library
        return text

    def __reduce__(self) -> tuple[Any, ...]:
        return str, (str(self),)

    def __copy__(self) -> LibraryText:
        return self

    def __deepcopy__(self, memo: Any) -> LibraryText:
        return self


def library_attributes(library: FeatureLibrary | None) -> dict[str, LibraryText]:
    """Return the attributes that record a library; none for labels without one."""
    return {} if library is None else {"library": LibraryText.of(library)}


def find_library(attrs: Any) -> FeatureLibrary | None:
    """Return the library in a dataset's attributes; None for a dataset read from a file."""
    found = attrs.get("library")
    return found.library if isinstance(found, LibraryText) else None
