"""Downloading an image from an address, within limits of size and time."""

import time
import urllib.error
import urllib.request
from concurrent.futures import Future
from concurrent.futures import TimeoutError as NotDone
from threading import Thread
from urllib.parse import urlsplit

from allinone.errors import DataError

SCHEMES = ('http', 'https')
MAX_BYTES = 64 * 2**20
TIMEOUT = 30.0  # seconds for all of a download
CHUNK = 2**16
AGENT = 'allinone'  # Some servers refuse the default of urllib.


def is_url(entry: object) -> bool:
    """Whether an input is an address of HTTP."""
    return isinstance(entry, str) and entry.lower().startswith(('http://', 'https://'))


def download(url: str, max_bytes: int = MAX_BYTES, timeout: float = TIMEOUT) -> bytes:
    """The content of an address.

    Args:
        url: Of http or https; redirections to other schemes are refused.
        max_bytes: Limit of its size.
        timeout: Limit in seconds from the request to the last byte.

    Raises:
        DataError: If it cannot be fetched within the limits.
    """
    done: Future = Future()

    def work() -> None:
        try:
            done.set_result(_read(url, max_bytes, timeout))
        except BaseException as error:
            done.set_exception(error)

    # A server that sends a byte now and then passes any limit of a socket.
    Thread(target=work, name='download', daemon=True).start()
    try:
        return done.result(timeout)
    except DataError:
        raise
    except Exception as error:
        reason = getattr(error, 'reason', None) or error
        if isinstance(reason, (TimeoutError, NotDone)):
            raise DataError(
                f'{url} did not arrive within {timeout:g} seconds; try again, or give a file'
            ) from error
        code = f'{error.code} ' if isinstance(error, urllib.error.HTTPError) else ''
        raise DataError(
            f'{url} cannot be fetched: {code}{" ".join(str(reason).split())}; check the address, '
            'or give a file'
        ) from error


def _read(url: str, max_bytes: int, timeout: float) -> bytes:
    end, content = time.monotonic() + timeout, bytearray()
    opener = urllib.request.build_opener(_WebOnly)
    request = urllib.request.Request(url, headers={'User-Agent': AGENT})
    with opener.open(request, timeout=timeout) as response:
        while chunk := response.read1(CHUNK):
            content += chunk
            if len(content) > max_bytes:
                raise DataError(
                    f'{url} is larger than {max_bytes:,} bytes; download it and give the file'
                )
            if time.monotonic() > end:
                raise TimeoutError
    return bytes(content)


class _WebOnly(urllib.request.HTTPRedirectHandler):
    """Follows redirections to http and https alone, which urllib would also follow to ftp."""

    def redirect_request(self, req, fp, code, msg, headers, newurl):
        if urlsplit(newurl).scheme not in SCHEMES:
            raise DataError(f'{req.full_url} redirects to {newurl}, which is not fetched')
        return super().redirect_request(req, fp, code, msg, headers, newurl)
