"""The OpenAI SDK for Python and byte-faithfulness over TLS."""

from test_bytes import *  # noqa: F403
from test_openai_python import *  # noqa: F403
from tls import gateway, module_gateway, trust  # noqa: F401
