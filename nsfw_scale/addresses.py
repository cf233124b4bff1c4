"""Pictures at addresses, such as s3://bucket/a.jpg: workers of a cluster share no disk.

Only what scores on a cluster opens them. `open_nsfw.nsfw_score` refuses an address: whoever scores what strangers name
would fetch for them whatever only this machine can reach.
"""

from __future__ import annotations

import re


class Address:
    """A picture at an address, read when it is looked at: a binary file, as `read_picture` takes it.

    Parameters
    ----------
    name : str
        As fsspec [1]_ opens it: s3://, gs://, https://, memory://, ... each with the package that it asks for.

    References
    ----------
    .. [1] fsspec, https://filesystem-spec.readthedocs.io

    Examples
    --------
    >>> import fsspec
    >>> with fsspec.open("memory://a.txt", "wb") as file:
    ...     _ = file.write(b"abc")
    >>> Address("memory://a.txt").read()
    b'abc'
    """

    def __init__(self, name: str):
        self.name = name

    def read(self, size: int = -1) -> bytes:
        """Fetch what is there.

        Parameters
        ----------
        size : int, optional
            Bytes at most; left out, all.

        Returns
        -------
        bytes

        Raises
        ------
        OSError, ValueError, ImportError
            As fsspec does: there is nothing, or nobody answers, or a package is missing.
        """
        try:
            import fsspec
        except ImportError as error:
            raise ImportError("addresses need fsspec: pip install 'open-nsfw-theano[cluster]'") from error
        with fsspec.open(self.name, "rb") as file:
            return file.read(size)


def is_address(img: object) -> bool:
    """Say whether a picture is given by its address.

    Parameters
    ----------
    img : object

    Returns
    -------
    bool

    Examples
    --------
    >>> is_address("s3://bucket/a.jpg"), is_address("img/coffee.jpg"), is_address("C:/a.jpg")
    (True, False, False)
    """
    return isinstance(img, str) and re.match(r"[a-zA-Z][a-zA-Z0-9+.-]+://", img) is not None
