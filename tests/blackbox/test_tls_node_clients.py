"""The clients for Node over TLS."""

from test_node_clients import *  # noqa: F403
from tls import gateway, module_gateway, trust  # noqa: F401
