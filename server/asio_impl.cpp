// The one translation unit that holds the code of Asio, its TLS layer and Beast; every other sees
// declarations only, which halves the time to compile it.
#include <boost/asio/impl/src.hpp>
#include <boost/asio/ssl/impl/src.hpp>
#include <boost/beast/src.hpp>
