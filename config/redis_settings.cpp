#include "config/redis_settings.hpp"

#include <fmt/format.h>

#include <boost/url/parse.hpp>
#include <boost/url/url_view.hpp>

#include "config/router_settings.hpp"
#include "config/scalars.hpp"

namespace spillway::config {

namespace {

constexpr Range<std::uint64_t> kPorts{1, 65535};
constexpr Range<std::uint64_t> kDatabases{0, 1'000'000};

// The parts of redis://user:password@host:port/database?option=value.
class UrlReader {
 public:
  UrlReader(const Node& node, const Context& context) : node_(node), context_(context) {}

  std::optional<RedisSettings> read(const std::string& text) {
    const auto parsed = boost::urls::parse_uri(text);
    if (!parsed || (parsed->scheme() != "redis" && parsed->scheme() != "rediss"))
      return fault("must be a URL such as redis://:password@host:6379/0, or rediss:// for TLS");
    if (parsed->host_address().empty()) return fault("names no host");
    RedisSettings out;
    out.tls = parsed->scheme() == "rediss";
    out.host = parsed->host_address();
    if (parsed->has_port() && !parsed->port().empty()) {
      if (parsed->port_number() == 0) return fault("holds a port that is not between 1 and 65535");
      out.port = parsed->port_number();
    }
    out.user = parsed->user();
    out.password = Secret(parsed->password());
    if (!out.user.empty() && out.password.empty())
      context_.warn(node_, "names a user without a password, who has no effect");
    std::string_view path = std::string_view(parsed->encoded_path());
    if (path.starts_with('/')) path.remove_prefix(1);
    if (!path.empty() && !read_database(path, out)) return std::nullopt;
    for (const auto& option : parsed->params()) {
      if (!read_option(option.key, option.value, out)) return std::nullopt;
    }
    return out;
  }

 private:
  std::nullopt_t fault(std::string message) const {
    context_.fault_of_value(node_, message);
    return std::nullopt;
  }

  bool read_database(std::string_view text, RedisSettings& out) const {
    const auto number = parse_count(text);
    if (!number || *number > kDatabases.most) {
      fault("ends in something that is not the number of a database");
      return false;
    }
    out.database = static_cast<unsigned>(*number);
    return true;
  }

  bool read_option(std::string_view key, const std::string& value, RedisSettings& out) const {
    if (key == "db") return read_database(value, out);
    if (key == "ssl_ca_certs") {
      if (const std::string wrong = authorities_fault(value); !wrong.empty()) {
        context_.report.depends_on(value);
        fault("names a file of trusted certificates (ssl_ca_certs) that " + wrong);
        return false;
      }
      out.ca_file = value;
    } else if (key == "ssl_cert_reqs" || key == "ssl_check_hostname") {
      if (value == "required" || parse_boolean(value) == true) return true;
      context_.warn(node_, "certificates are always verified; name a CA file with ssl_ca_certs");
    } else {
      context_.warn(node_, "holds an option after the \"?\" that has no effect");
    }
    return true;
  }

  const Node& node_;
  const Context& context_;
};

}  // namespace

std::optional<RedisSettings> read_redis(Section& section, Context& context,
                                        const std::string& ca_file) {
  RedisSettings parts;
  const auto url = section.text("redis_url");
  const auto host = section.text("redis_host");
  if (const auto port = section.count("redis_port", kPorts))
    parts.port = static_cast<std::uint16_t>(*port);
  if (auto password = section.free_text("redis_password"))
    parts.password = Secret(std::move(*password));
  if (auto user = section.text("redis_username")) parts.user = std::move(*user);
  if (const auto database = section.count("redis_db", kDatabases))
    parts.database = static_cast<unsigned>(*database);
  parts.tls = section.boolean("redis_ssl").value_or(false);

  std::optional<RedisSettings> out;
  if (url) {
    const Node& node = *section.get("redis_url");
    out = UrlReader(node, context).read(*url);
    if (host) context.warn(*section.get("redis_host"), "has no effect beside redis_url");
  } else if (host && !host->empty()) {
    out = std::move(parts);
    out->host = *host;
    if (!out->user.empty() && out->password.empty())
      context.warn(*section.get("redis_username"), "has no effect without redis_password");
  }
  if (out && out->ca_file.empty()) out->ca_file = ca_file;
  return out;
}

}  // namespace spillway::config
