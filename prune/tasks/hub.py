"""The Hugging Face hub: whether it can be reached at all."""

import socket
import urllib.request
from functools import cache
from urllib.parse import urlparse

from huggingface_hub import constants


@cache
def look() -> None:
    """Puts the hub's client into its offline mode where the hub's name has no address.

    What is cached is then used at once, and what is not fails at once; without this, each missing
    file costs half a minute of retries and their warnings.
    """
    if constants.HF_HUB_OFFLINE or urllib.request.getproxies():
        return
    try:
        socket.getaddrinfo(urlparse(constants.ENDPOINT).hostname, 443)
    except OSError:
        constants.HF_HUB_OFFLINE = True
