#include "config/spillway_section.hpp"

#include <fmt/format.h>

#include <boost/url/parse.hpp>
#include <boost/url/url_view.hpp>

#include "config/client_keys.hpp"
#include "config/listen.hpp"
#include "config/router_settings.hpp"
#include "config/scalars.hpp"
#include "config/tls_section.hpp"
#include "core/bounds.hpp"

namespace spillway::config {

namespace {

constexpr std::uint64_t kKiB = 1024;
constexpr std::uint64_t kMiB = 1024 * kKiB;
constexpr std::uint64_t kGiB = 1024 * kMiB;

// True if the key says "off" (or false): for settings that can be switched off as a whole.
bool is_off(Section& section, std::string_view key) {
  const Node* node = section.get(key);
  if (node == nullptr || node->kind != NodeKind::scalar) return false;
  const auto flag = parse_boolean(node->text);
  return flag && !*flag;
}

void read_limits(const Node* node, Context& context, Limits& limits) {
  Section section(node, context);
  const auto set = [](std::size_t& target, std::optional<std::uint64_t> value) {
    if (value) target = static_cast<std::size_t>(*value);
  };
  set(limits.body, section.size("body", {1, kGiB}));
  set(limits.head, section.size("head", {kKiB, kMiB}));
  set(limits.headers, section.count("headers", {8, 10'000}));
  set(limits.connections, section.count("connections", {0, 10'000'000}));
  set(limits.concurrent_requests, section.count("concurrent_requests", {0, 10'000'000}));
  set(limits.queue, section.count("queue", {0, bounds::kQueueMost}));
  if (limits.queue > 0 && limits.concurrent_requests == 0)
    context.warn(*section.get("queue"), "has no effect without concurrent_requests");
  if (const auto patience = section.time("queue_timeout", kPositiveTimes))
    limits.queue_timeout = *patience;
  if (is_off(section, "memory"))
    limits.memory = 0;
  else if (const auto memory = section.size("memory", {64 * kMiB, 1024 * kGiB}))
    limits.memory = static_cast<std::size_t>(*memory);
  section.finish();
}

void read_timeouts(const Node* node, Context& context, Timeouts& timeouts) {
  Section section(node, context);
  const auto set = [&](std::string_view key, Duration& target) {
    if (const auto value = section.time(key, kPositiveTimes)) target = *value;
  };
  set("connect", timeouts.connect);
  set("head", timeouts.head);
  set("body", timeouts.body);
  set("keepalive", timeouts.keepalive);
  set("stream_idle", timeouts.stream_idle);
  set("drain", timeouts.drain);
  timeouts.drain_delay =
      section.time("drain_delay", {Duration{}, kPositiveTimes.most}).value_or(timeouts.drain_delay);
  if (!is_off(section, "total")) timeouts.total = section.time("total", kPositiveTimes);
  section.finish();
}

void read_access_log(Section& parent, Context& context, AccessLog& log) {
  if (is_off(parent, "access_log")) {
    log.format = AccessLogFormat::off;
    return;
  }
  Section section(parent.get("access_log"), context);
  if (is_off(section, "format")) {
    log.format = AccessLogFormat::off;
  } else if (const auto format = section.text("format")) {
    if (*format == "logfmt") {
      log.format = AccessLogFormat::logfmt;
    } else if (*format != "json") {
      context.fault(*section.get("format"), "must be json, logfmt or off");
    }
  }
  log.sample = section.number("sample", {0, 1}).value_or(log.sample);
  log.file = section.file("file").value_or(log.file);
  section.finish();
}

// A browser sends scheme, host and port, nothing else, and the comparison is exact.
bool is_origin(std::string_view text) {
  const auto url = boost::urls::parse_uri(boost::core::string_view(text.data(), text.size()));
  return url && (url->scheme() == "http" || url->scheme() == "https") &&
         !url->host_address().empty() && url->encoded_path().empty() && !url->has_query() &&
         !url->has_fragment() && !url->has_userinfo();
}

void read_cors(Section& section, Context& context, Config& config) {
  const auto origins = section.texts("cors_origins");
  if (!origins) return;
  for (const std::string& origin : *origins) {
    if (!is_origin(origin)) {
      context.fault(
          *section.get("cors_origins"),
          fmt::format("\"{}\" is not an exact origin such as https://app.example.com", origin));
    }
  }
  config.cors_origins = *origins;
}

// A share of the requests: 0.1 or 10%.
void read_share(Section& section, std::string_view key, Context& context, double& share) {
  auto text = section.text(key);
  if (!text) return;
  const bool percent = text->ends_with('%');
  if (percent) text->pop_back();
  const double value = parse_number(*text).value_or(-1) / (percent ? 100 : 1);
  if (value < 0 || value > 1) {
    return context.fault(*section.get(key),
                         "must be a share of the requests between 0 and 1, or 0% and 100%");
  }
  share = value;
}

// off, p95, a time, or a map of both settings.
void read_hedge(Section& parent, Context& context, RouterSettings& router) {
  const Node* node = parent.get("hedge");
  if (node == nullptr || is_off(parent, "hedge")) return;
  HedgeRules rules;
  const auto read_after = [&](Section& section, std::string_view key) {
    const auto text = section.text(key);
    if (!text || *text == "p95") return;
    rules.after = parse_time(*text);
    if (!rules.after || *rules.after <= Duration{} || *rules.after > kPositiveTimes.most)
      context.fault(*section.get(key), "must be off, p95 or a time such as 800ms");
  };
  if (node->kind == NodeKind::scalar) {
    read_after(parent, "hedge");
  } else {
    Section section(node, context);
    read_after(section, "after");
    read_share(section, "share", context, rules.share);
    section.finish();
  }
  router.hedge = rules;
}

void read_streams(Section& section, Context& context, Config& config) {
  if (is_off(section, "stream_keepalive")) {
    config.stream_keepalive = Duration{};
  } else if (const auto keepalive = section.time("stream_keepalive", kPositiveTimes)) {
    config.stream_keepalive = *keepalive;
  }
  if (is_off(section, "stream_recovery")) {
    config.stream_recovery = false;
  } else if (const auto recovery = section.text("stream_recovery");
             recovery && *recovery != "exact") {
    context.fault(*section.get("stream_recovery"), "must be exact or off");
  }
}

std::optional<ListenAddress> read_listen(Section& section, Context& context) {
  const auto listen = section.text("listen");
  if (!listen) return std::nullopt;
  auto address = parse_listen(*listen);
  if (!address)
    context.fault(*section.get("listen"),
                  "must be HOST:PORT, such as 127.0.0.1:4000 or [::1]:4000");
  return address;
}

void read_admin(Section& parent, Context& context, Config& config) {
  if (!parent.has("admin")) return;
  const Node& node = *parent.member("admin");
  Section section(&node, context);
  if (node.kind != NodeKind::scalar && !section.has("listen"))
    context.fault(node, "listen is missing: HOST:PORT, such as 127.0.0.1:9090");
  const auto address = read_listen(section, context);
  if (address && address->port != 0 && address->host == config.listen_host &&
      address->port == config.listen_port)
    context.fault(*section.get("listen"),
                  "is the address that clients are served at; give each its own");
  else if (address)
    config.admin = AdminSettings{.listen_host = address->host, .listen_port = address->port};
  section.finish();
}

void read_listening(Section& section, Context& context, Config& config) {
  if (const auto address = read_listen(section, context)) {
    config.listen_host = address->host;
    config.listen_port = address->port;
  }
  read_admin(section, context, config);
  if (const auto threads = section.count("threads", {0, 1024})) {
    config.threads = static_cast<unsigned>(*threads);
  }
  if (const auto* keys = section.list("keys")) read_client_keys(*keys, context, config.keys);
}

}  // namespace

void read_spillway_section(const Node& root, Context& context, Config& config) {
  Section section(root.find("spillway"), context);
  read_listening(section, context, config);
  read_cors(section, context, config);
  read_limits(section.get("limits"), context, config.limits);
  read_timeouts(section.get("timeouts"), context, config.timeouts);
  config.router.failover = section.boolean("failover").value_or(config.router.failover);
  if (const auto most = section.count("max_attempts", {1, 100})) {
    config.router.max_attempts = static_cast<unsigned>(*most);
  }
  config.router.max_wait =
      section.time("max_wait", {Duration{}, seconds(300)}).value_or(config.router.max_wait);
  read_share(section, "retry_budget", context, config.router.retry_budget_share);
  read_hedge(section, context, config.router);
  read_streams(section, context, config);
  read_access_log(section, context, config.access_log);
  config.litellm_headers = section.boolean("litellm_headers").value_or(config.litellm_headers);
  config.reload_on_change = section.boolean("reload_on_change").value_or(config.reload_on_change);
  config.metrics = section.boolean("metrics").value_or(config.metrics);
  config.tls = read_tls(section, context);
  section.finish();
}

}  // namespace spillway::config
