"""What clients are promised of connections and bodies in plain text, over TLS: the same tests, with
gateways that listen with TLS."""

from test_answer_kinds import *  # noqa: F403
from test_http_bodies import *  # noqa: F403
from test_http_connections import *  # noqa: F403
from test_leaving_clients import *  # noqa: F403
from test_stopping import *  # noqa: F403
from tls import gateway, module_gateway, trust  # noqa: F401

# A client beyond the limit waits for its handshake already.
del test_connections_beyond_the_limit_do_not_hurt_the_others  # noqa: F821
# Over TLS it sees a cut as well (test_tls_listener.py).
del test_a_stream_that_is_cut_tells_a_client_of_http_1_0_in_an_event  # noqa: F821
