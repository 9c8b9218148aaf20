"""Streams over TLS: the tests of plain ones, with gateways that listen with TLS."""

from test_stream_end import *  # noqa: F403
from test_stream_pace import *  # noqa: F403
from test_stream_start import *  # noqa: F403
from tls import gateway, module_gateway, trust  # noqa: F401
