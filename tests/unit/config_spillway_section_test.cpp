#include <catch2/catch_test_macros.hpp>

#include "config_support.hpp"

namespace spillway::config {
namespace {

using testing::entry;
using testing::faults;
using testing::has_warning;
using testing::loaded;
using testing::only_fault;

const std::string kModel = entry({"model: openai/x", "api_key: k"});

TEST_CASE("The spillway section is read as a whole") {
  const Config config = loaded(kModel + R"(
spillway:
  listen: "[::1]:8080"
  threads: 3
  keys: [{name: ci, key: sk-1}, {name: dev, key: os.environ/DEV}]
  cors_origins: [https://app.example.com, "http://localhost:3000"]
  limits: {body: 8MiB, head: 32KiB, headers: 50, connections: 10, concurrent_requests: 20,
           queue: 30, queue_timeout: 2s, memory: 256MiB}
  timeouts: {connect: 1s, head: 2, body: 3s, keepalive: 4s,
             stream_idle: 1m, total: 90s, drain: 500ms}
  failover: false
  max_attempts: 3
  max_wait: 250ms
  retry_budget: 10%
  stream_keepalive: 20s
  stream_recovery: off
  access_log: {format: logfmt, sample: 0.5}
  metrics: false
)",
                               {{"DEV", "sk-2"}})
                            .config;
  CHECK(config.listen_host == "::1");
  CHECK(config.listen_port == 8080);
  CHECK(config.threads == 3);
  REQUIRE(config.keys.size() == 2);
  CHECK(config.keys[1].name == "dev");
  CHECK(config.keys[1].key.reveal() == "sk-2");
  CHECK(config.cors_origins.size() == 2);
  CHECK(config.limits == Limits{8 << 20, 32 << 10, 50, 10, 20, 30, seconds(2), 256 << 20});
  CHECK(config.timeouts == Timeouts{seconds(1), seconds(2), seconds(3), seconds(4), minutes(1),
                                    seconds(90), milliseconds(500)});
  CHECK_FALSE(config.router.failover);
  CHECK(config.router.max_attempts == 3);
  CHECK(config.router.max_wait == milliseconds(250));
  CHECK(config.router.retry_budget_share == 0.1);
  CHECK(config.stream_keepalive == seconds(20));
  CHECK_FALSE(config.stream_recovery);
  CHECK(config.access_log.format == AccessLogFormat::logfmt);
  CHECK(config.access_log.sample == 0.5);
  CHECK_FALSE(config.metrics);
}

TEST_CASE("Settings that can be off are off") {
  const Config config =
      loaded(kModel +
             "spillway: {timeouts: {total: off}, access_log: off, stream_keepalive: off}\n")
          .config;
  CHECK_FALSE(config.timeouts.total.has_value());
  CHECK(config.access_log.format == AccessLogFormat::off);
  CHECK(config.stream_keepalive == Duration{});
  CHECK(loaded(kModel + "spillway: {access_log: {format: off}}\n").config.access_log.format ==
        AccessLogFormat::off);
}

TEST_CASE("Values outside their limits are faults") {
  for (const std::string_view wrong : {"listen: 4000",
                                       "listen: ':1'",
                                       "threads: 1025",
                                       "threads: -1",
                                       "keys: x",
                                       "keys: [x]",
                                       "cors_origins: ['*']",
                                       "cors_origins: ['https://a.test/']",
                                       "cors_origins: ['https://u@a.test']",
                                       "limits: {body: 0}",
                                       "limits: {body: 2GiB}",
                                       "limits: {head: 100}",
                                       "limits: {head: 2MiB}",
                                       "limits: {headers: 7}",
                                       "timeouts: {connect: 0}",
                                       "timeouts: {connect: 5x}",
                                       "timeouts: {drain: 31000000}",
                                       "max_attempts: 0",
                                       "max_attempts: 101",
                                       "max_wait: 301s",
                                       "retry_budget: 1.1",
                                       "retry_budget: 101%",
                                       "retry_budget: x",
                                       "hedge: on",
                                       "hedge: 0s",
                                       "hedge: [p95]",
                                       "hedge: {after: p99}",
                                       "hedge: {share: 2}",
                                       "hedge: {delay: 1s}",
                                       "stream_recovery: maybe",
                                       "access_log: {format: xml}",
                                       "access_log: {sample: 1.5}",
                                       "access_log: loud",
                                       "metrics: maybe",
                                       "failover: 2",
                                       "limits: [1]"}) {
    INFO(wrong);
    const auto all = faults(kModel + "spillway: {" + std::string(wrong) + "}\n");
    CHECK(all.size() == 1);
  }
}

TEST_CASE("A queue for places that are not counted is a warning") {
  CHECK(has_warning(loaded(kModel + "spillway: {limits: {queue: 5}}\n"), "concurrent_requests"));
  CHECK(
      loaded(kModel + "spillway: {limits: {queue: 5, concurrent_requests: 1}}\n").warnings.empty());
}

TEST_CASE("The memory's limit is the machine's unless one is given, or off") {
  const auto memory = [](std::string_view yaml) {
    return loaded(kModel + "spillway: {limits: {" + std::string(yaml) + "}}\n")
        .config.limits.memory;
  };
  CHECK_FALSE(memory("").has_value());
  CHECK(memory("memory: off") == 0u);
  CHECK(memory("memory: 1GiB") == 1u << 30);
  CHECK(faults(kModel + "spillway: {limits: {memory: 1MiB}}\n").size() == 1);
}

TEST_CASE("A TLS listener has a certificate, a key, and TLS 1.2 or later") {
  const auto tls = [](std::string_view yaml) {
    return loaded(kModel + "spillway: {tls: " + std::string(yaml) + "}\n").config.tls;
  };
  CHECK_FALSE(loaded(kModel).config.tls.has_value());
  CHECK(tls("{certificate: c.pem, key: k.pem}") == TlsSettings{{"c.pem"}, {"k.pem"}, {}, {}});
  CHECK(tls("{certificate: c, key: k, client_ca: a, min_version: 1.3}") ==
        TlsSettings{{"c"}, {"k"}, {"a"}, TlsVersion::v1_3});
  CHECK(tls("{certificate: c, key: k, min_version: \"1.2\"}")->min_version == TlsVersion::v1_2);
}

TEST_CASE("A TLS listener that would be served in plain text is a fault") {
  const auto count = [](std::string_view yaml) {
    return faults(kModel + "spillway: {tls: " + std::string(yaml) + "}\n").size();
  };
  CHECK(count("{cert: x, certificate: c, key: k}") == 1);
  CHECK(count("{certificate: c}") == 1);
  CHECK(count("{key: k}") == 1);
  CHECK(count("") == 2);
  CHECK(count("off") == 1);
  CHECK(count("{certificate: \"\", key: k}") == 1);
  CHECK(count("{certificate: c, key: os.environ/NOT_SET}") == 1);
  CHECK(count("{certificate: c, key: k, client_ca: }") == 1);
  CHECK(count("{certificate: c, key: k, min_version: 1.1}") == 1);
}

TEST_CASE("Hedging is off unless asked for, by a time or by the deployment's p95") {
  const auto hedge = [](std::string_view yaml) {
    return loaded(kModel + "spillway: {" + std::string(yaml) + "}\n").config.router.hedge;
  };
  CHECK_FALSE(hedge("").has_value());
  CHECK_FALSE(hedge("hedge: off").has_value());
  CHECK(hedge("hedge: p95") == HedgeRules{.after = {}, .share = 0.1});
  CHECK(hedge("hedge: 800ms") == HedgeRules{.after = milliseconds(800), .share = 0.1});
  CHECK(hedge("hedge: {after: 2s, share: 5%}") == HedgeRules{.after = seconds(2), .share = 0.05});
  CHECK(hedge("hedge: {share: 0.5}") == HedgeRules{.after = {}, .share = 0.5});
}

TEST_CASE("Keys come from the file and from the environment") {
  const auto keys = [](std::string_view yaml, Environment environment) {
    std::string out;
    for (const ClientKey& key :
         loaded(kModel + std::string(yaml), std::move(environment)).config.keys) {
      out += key.name + "=" + key.key.reveal() + " ";
    }
    return out;
  };
  CHECK(keys("general_settings: {master_key: sk-1}\n", {}) == "master=sk-1 ");
  CHECK(keys("general_settings: {master_key: os.environ/M}\n", {{"M", "sk-2"}}) == "master=sk-2 ");
  CHECK(keys("", {{"SPILLWAY_MASTER_KEY", "sk-3"}}) == "master=sk-3 ");
  CHECK(keys("", {{"LITELLM_MASTER_KEY", "sk-4"}}) == "master=sk-4 ");
  CHECK(keys("general_settings: {master_key: sk-1}\n", {{"SPILLWAY_MASTER_KEY", "sk-1"}}) ==
        "master=sk-1 ");
  CHECK(keys("general_settings: {master_key: sk-1}\n", {{"SPILLWAY_MASTER_KEY", "sk-5"}}) ==
        "master=sk-1 master=sk-5 ");
}

TEST_CASE("A key that is empty, missing, repeated or unsendable is a fault, and is not shown") {
  for (const std::string_view yaml :
       {"general_settings: {master_key: ''}",
        "general_settings: {master_key: os.environ/NOT_THERE}",
        "general_settings: {master_key: 'hunter2 x'}", "general_settings: {master_key: [hunter2]}",
        "spillway: {keys: [{name: a, key: ''}]}", "spillway: {keys: [{name: a}]}",
        "spillway: {keys: [{key: hunter2}]}",
        "spillway: {keys: [{name: a, key: hunter2}, {name: b, key: hunter2}]}",
        "spillway: {keys: [{name: a, key: hunter2}, {name: a, key: hunter3}]}",
        "spillway: {keys: [{name: a, key: os.environ/NOT_THERE}]}",
        "spillway: {keys: [{name: a, key: \"hunter2\\n\"}]}",
        "{general_settings: {master_key: hunter2}, spillway: {keys: [{name: a, key: hunter2}]}}"}) {
    INFO(yaml);
    const std::string text(yaml.starts_with('{') ? yaml.substr(1, yaml.size() - 2) : yaml);
    const std::string lines =
        yaml.starts_with('{')
            ? "general_settings: {master_key: hunter2}\nspillway: {keys: [{name: a, key: hunter2}]}"
            : text;
    const auto all = faults(kModel + lines + "\n");
    CHECK(all.size() == 1);
    CHECK(all[0].find("hunter") == std::string::npos);
  }
  CHECK_FALSE(faults(kModel, {{"SPILLWAY_MASTER_KEY", "a b"}}).empty());
}

TEST_CASE("A master key that LiteLLM would refuse is only noted") {
  CHECK(has_warning(loaded(kModel + "general_settings: {master_key: abc}\n"),
                    "does not begin with sk-"));
}

TEST_CASE("Listening beyond loopback wants a key") {
  const std::string open = kModel + "spillway:\n  listen: 0.0.0.0:4000\n";
  CHECK(only_fault(open).starts_with(
      "config.yaml:7:11: spillway.listen: listening on 0.0.0.0 without a key"));
  CHECK(loaded(open, {{"SPILLWAY_MASTER_KEY", "sk-1"}}).config.listen_host == "0.0.0.0");
  CHECK(loaded(kModel + "spillway: {listen: 'localhost:1'}\n").config.keys.empty());
  Sources sources;
  sources.listen = "[::]:80";
  const auto result = load_text(kModel, "config.yaml", sources);
  REQUIRE_FALSE(result.has_value());
  CHECK(to_string(result.error()[0]).starts_with("--listen: listening on :: without a key"));
}

TEST_CASE("The admin listener has an address of its own") {
  CHECK_FALSE(loaded(kModel).config.admin);
  const auto config = loaded(kModel + "spillway: {admin: {listen: '[::1]:9090'}}\n").config;
  CHECK(config.admin == AdminSettings{.listen_host = "::1", .listen_port = 9090});
  CHECK(config.listen_port == 4000);
}

TEST_CASE("An admin listener without an address is a fault") {
  CHECK(only_fault(kModel + "spillway:\n  admin: {}\n")
            .starts_with("config.yaml:7:10: spillway.admin: listen is missing"));
  CHECK(only_fault(kModel + "spillway:\n  admin: {listen: 9090}\n")
            .starts_with("config.yaml:7:19: spillway.admin.listen: must be HOST:PORT"));
  CHECK_FALSE(faults(kModel + "spillway: {admin: '127.0.0.1:9090'}\n").empty());
  CHECK_FALSE(faults(kModel + "spillway: {admin: {listen: 'a:1', port: 2}}\n").empty());
}

TEST_CASE("An admin listener beyond loopback wants a key") {
  const std::string open = kModel + "spillway:\n  admin: {listen: '0.0.0.0:9090'}\n";
  CHECK(only_fault(open).starts_with(
      "config.yaml:7:19: spillway.admin.listen: listening on 0.0.0.0 without a key"));
  CHECK(loaded(open, {{"SPILLWAY_MASTER_KEY", "sk-1"}}).config.admin);
}

TEST_CASE("The command line wins over the file") {
  Sources sources;
  sources.listen = "127.0.0.1:9";
  sources.threads = 2;
  const auto result =
      load_text(kModel + "spillway: {listen: '127.0.0.1:8', threads: 1}\n", "config.yaml", sources);
  REQUIRE(result.has_value());
  CHECK(result->config.listen_port == 9);
  CHECK(result->config.threads == 2);
  sources.listen = "nonsense";
  CHECK_FALSE(load_text(kModel, "config.yaml", sources).has_value());
}

TEST_CASE("Proxies are read from the environment, lower case first") {
  const auto proxy = loaded(kModel, {{"HTTPS_PROXY", "http://big:1"},
                                     {"https_proxy", "http://u:p@small:1"},
                                     {"HTTP_PROXY", "plain:3128"},
                                     {"NO_PROXY", "Localhost, *.Internal .corp,,10.0.0.1"}})
                         .config.proxy;
  CHECK(proxy.https_proxy == "http://u:p@small:1");
  CHECK(proxy.http_proxy == "http://plain:3128");
  CHECK(proxy.no_proxy == std::vector<std::string>{"localhost", ".internal", ".corp", "10.0.0.1"});
}

TEST_CASE("A proxy of another kind is a fault that does not show its password") {
  const std::string fault = only_fault(kModel, {{"HTTPS_PROXY", "socks5://u:hunter2@h:1"}});
  CHECK(fault.starts_with("HTTPS_PROXY: must be a proxy"));
  CHECK(fault.find("hunter2") == std::string::npos);
}

TEST_CASE("What may be a secret is not shown, and a fault says nothing in its place") {
  CHECK(only_fault("spillway: {keys: hunter2}").find("hunter2") == std::string::npos);
  CHECK(only_fault("model_list:\n  - model_name: a\n    litellm_params: {model: openai/x, "
                   "api_key: k, input_cost_per_token: much}\n")
            .ends_with("input_cost_per_token: must be a number"));
}

TEST_CASE("All faults are reported at once, in the order of the file") {
  const auto all = faults(
      "router_settings: {timeout: soon}\nmodel_list:\n  - model_name: a\n    litellm_params: "
      "{model: openai/x, rpm: many}\n"
      "  - litellm_params: {model: openai/x, api_base: nowhere}\nspillway: {listen: x}\n");
  REQUIRE(all.size() == 4);
  CHECK(all[0].starts_with("config.yaml:1:28: router_settings.timeout: must be a time such as"));
  CHECK(all[1] ==
        "config.yaml:4:44: model_list[0].litellm_params.rpm: must be a whole number of 0 or more, "
        "not "
        "\"many\"");
  CHECK(all[2] == "config.yaml:5:5: model_list[1]: model_name is missing");
  CHECK(all[3].starts_with("config.yaml:6:20: spillway.listen:"));
}

TEST_CASE("A variable that is missing outside a deployment keeps the default, with a warning") {
  const auto result = loaded(kModel + "router_settings: {num_retries: os.environ/N}\n");
  CHECK(result.config.groups[0].num_retries == 2);
  CHECK(has_warning(result, "N is not set; the default is used"));
}

}  // namespace
}  // namespace spillway::config
