#include <catch2/catch_test_macros.hpp>

#include "config_support.hpp"

namespace spillway::config {
namespace {

using testing::entry;
using testing::has_warning;
using testing::loaded;
using testing::only_fault;

std::string with_router(std::string_view settings) {
  return entry({"model: openai/x", "api_key: k"}) + "router_settings: {" + std::string(settings) +
         "}\n";
}

RedisSettings redis(std::string_view settings, Environment environment = {}) {
  const Loaded result = loaded(with_router(settings), std::move(environment));
  CHECK(result.warnings.empty());
  REQUIRE(result.config.redis);
  return *result.config.redis;
}

TEST_CASE("Without a Redis an instance is alone") {
  CHECK_FALSE(loaded(with_router("")).config.redis);
  CHECK_FALSE(loaded(with_router("redis_port: 6379, redis_password: x")).config.redis);
}

TEST_CASE("A Redis user without a password has no effect, and that is said") {
  const Loaded parts = loaded(with_router("redis_host: h, redis_username: me"));
  CHECK(has_warning(parts, "redis_username: has no effect without redis_password"));
  CHECK(has_warning(loaded(with_router("redis_url: 'redis://me@h'")), "a user without a password"));
  CHECK(redis("redis_host: h, redis_username: me, redis_password: x").user == "me");
  CHECK(redis("redis_url: 'redis://me:x@h'").user == "me");
}

TEST_CASE("redis_host, redis_port, redis_password and redis_db are read as in LiteLLM") {
  const RedisSettings read = redis(
      "redis_host: os.environ/HOST, redis_port: os.environ/PORT, redis_password: "
      "os.environ/SECRET, "
      "redis_db: 3",
      {{"HOST", "cache.test"}, {"PORT", "6380"}, {"SECRET", "pass"}});
  CHECK(read.host == "cache.test");
  CHECK(read.port == 6380);
  CHECK(read.password.reveal() == "pass");
  CHECK(read.database == 3);
  CHECK_FALSE(read.tls);
  CHECK(redis("redis_host: h").port == 6379);
  CHECK(redis("redis_host: h, redis_ssl: true").tls);
}

TEST_CASE("redis_url says everything at once") {
  const RedisSettings read = redis("redis_url: 'rediss://us%40er:pa%3Ass@cache.test:6390/7'");
  CHECK(read.tls);
  CHECK(read.host == "cache.test");
  CHECK(read.port == 6390);
  CHECK(read.user == "us@er");
  CHECK(read.password.reveal() == "pa:ss");
  CHECK(read.database == 7);
  CHECK(redis("redis_url: 'redis://[::1]'").host == "::1");
  CHECK(redis("redis_url: 'redis://h?db=2'").database == 2);
  CHECK(redis("redis_url: 'redis://:p@h/'").password.reveal() == "p");
}

TEST_CASE("redis_url wins over redis_host, with a warning") {
  const Loaded result = loaded(with_router("redis_url: 'redis://a', redis_host: b"));
  CHECK(result.config.redis->host == "a");
  CHECK(has_warning(result, "redis_host: has no effect beside redis_url"));
}

TEST_CASE("A faulty redis_url is a fault that does not repeat it") {
  for (const std::string_view url :
       {"http://:hush@h", "hush", "redis://:hush@h:0", "redis://:hush@h/hush", "redis://:hush@",
        "redis://:hush@h?ssl_ca_certs=/nowhere/hush", "redis://:hush@h:99999", "unix:///hush"}) {
    INFO(url);
    const std::string fault = only_fault(with_router("redis_url: '" + std::string(url) + "'"));
    CHECK(fault.find("router_settings.redis_url: ") != std::string::npos);
    CHECK(fault.find("hush") == std::string::npos);
  }
  CHECK(only_fault(with_router("redis_host: h, redis_port: hush")).find("redis_port") !=
        std::string::npos);
}

TEST_CASE("Certificates of a Redis are verified, against a file of one's own if one is named") {
  const testing::Directory directory;
  const std::string file = directory.write("ca.pem", testing::kCertificate).string();
  CHECK(redis("redis_url: 'rediss://h?ssl_cert_reqs=required&ssl_ca_certs=" + file + "'").ca_file ==
        file);
  CHECK(only_fault(with_router("redis_url: 'rediss://h?ssl_ca_certs=/no/such/file'"))
            .ends_with("(ssl_ca_certs) that does not exist"));
  const Loaded result = loaded(with_router("redis_url: 'rediss://h?ssl_cert_reqs=none'"));
  CHECK(has_warning(result, "certificates are always verified"));
  const std::string litellm = "litellm_settings: {ssl_verify: '" + file + "'}\n";
  CHECK(loaded(with_router("redis_url: 'rediss://h'") + litellm).config.redis->ca_file == file);
}

}  // namespace
}  // namespace spillway::config
