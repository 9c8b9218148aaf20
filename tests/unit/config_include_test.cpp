#include <sys/stat.h>

#include <catch2/catch_test_macros.hpp>

#include "config/bounds.hpp"
#include "config_support.hpp"

namespace spillway::config {
namespace {

using testing::Directory;

constexpr std::string_view kModel =
    "model_list:\n  - model_name: a\n    litellm_params: {model: openai/a, api_key: k}\n";

std::expected<Loaded, std::vector<Notice>> load_file(const std::filesystem::path& path) {
  Sources sources;
  sources.config_file = path;
  return load(sources);
}

TEST_CASE("Included lists are appended and other keys replaced, with a warning") {
  const Directory directory;
  directory.write(
      "more/models.yaml",
      "model_list:\n  - model_name: b\n    litellm_params: {model: openai/b, api_key: k}\n"
      "router_settings: {num_retries: 7}\n");
  const auto path = directory.write(
      "config.yaml",
      "include: [more/models.yaml]\nrouter_settings: {num_retries: 1}\n" + std::string(kModel));
  const auto result = load_file(path);
  REQUIRE(result.has_value());
  CHECK(result->config.groups.size() == 2);
  CHECK(result->config.groups[0].num_retries == 7);
  CHECK(testing::has_warning(*result, "replaces the section"));
}

TEST_CASE("Loading tells which files its outcome depends on, also those that are not there") {
  const Directory directory;
  const auto included = directory.write("models.yaml", kModel);
  const auto path = directory.write("config.yaml", "include: [models.yaml, none.yaml]\n");
  Sources sources;
  sources.config_file = path;
  std::vector<std::filesystem::path> files;
  CHECK_FALSE(load(sources, &files).has_value());
  const auto beside = [&](const char* name) { return path.parent_path() / name; };
  CHECK(files == std::vector{path, included, beside("none.yaml"), beside("providers.json")});
}

TEST_CASE("Files of authorities are among those that loading depends on") {
  const Directory directory;
  const auto authorities = directory.write("ours.pem", testing::kCertificate);
  const auto path = directory.write("config.yaml",
                                    "model_list:\n  - model_name: a\n    litellm_params: {model: "
                                    "openai/a, api_key: k, ssl_verify: " +
                                        authorities.string() + "}\n");
  Sources sources;
  sources.config_file = path;
  std::vector<std::filesystem::path> files;
  REQUIRE(load(sources, &files).has_value());
  CHECK(files.back() == authorities);
  directory.write("ours.pem", "");
  REQUIRE_FALSE(load(sources, &files).has_value());
  CHECK(std::ranges::find(files, authorities) != files.end());
}

TEST_CASE("What is not a regular file with something in it is refused at once, and by its name") {
  const Directory directory;
  const std::string fifo = (directory.path() / "fifo").string();
  REQUIRE(::mkfifo(fifo.c_str(), 0600) == 0);
  const auto link = directory.path() / "link";
  std::filesystem::create_symlink(fifo, link);
  const std::pair<std::filesystem::path, std::string> rows[] = {
      {directory.write("empty.yaml", ""), "is empty"},
      {directory.path() / "none.yaml", "does not exist"},
      {directory.path(), "is a directory"},
      {fifo, "is not a regular file"},
      {link, "is not a regular file"},
      {"/dev/zero", "is not a regular file"},
  };
  for (const auto& [path, wrong] : rows) {
    const auto result = load_file(path);
    REQUIRE_FALSE(result.has_value());
    REQUIRE(result.error().size() == 1);
    CHECK(to_string(result.error()[0]) == path.string() + ": " + wrong);
  }
}

TEST_CASE("A file of providers that is none to read is refused at once") {
  const Directory directory;
  const auto path = directory.write("config.yaml", kModel);
  const auto fifo = path.parent_path() / "providers.json";
  REQUIRE(::mkfifo(fifo.c_str(), 0600) == 0);
  const auto result = load_file(path);
  REQUIRE_FALSE(result.has_value());
  CHECK(to_string(result.error()[0]) == fifo.string() + ": is not a regular file");
}

TEST_CASE("Faults in an included file name that file") {
  const Directory directory;
  const auto included = directory.write("models.yaml", "\nrouter_settings:\n  num_retrys: 3\n");
  const auto path = directory.write("config.yaml", "include: models.yaml\n" + std::string(kModel));
  const auto result = load_file(path);
  REQUIRE_FALSE(result.has_value());
  CHECK(to_string(result.error()[0]) ==
        included.string() +
            ":3:3: router_settings.num_retrys: unknown key; did you mean \"num_retries\"?");
}

TEST_CASE("Included files are found beside the file that names them") {
  const Directory directory;
  directory.write("sub/one.yaml", "include: [two.yaml]\n");
  directory.write("sub/two.yaml", kModel);
  const auto result = load_file(directory.write("config.yaml", "include: [sub/one.yaml]\n"));
  REQUIRE(result.has_value());
  CHECK(result->config.groups.size() == 1);
}

TEST_CASE("A missing included file is a fault at its name") {
  const Directory directory;
  const auto result = load_file(directory.write("config.yaml", "include:\n  - none.yaml\n"));
  REQUIRE_FALSE(result.has_value());
  CHECK(result.error()[0].line == 2);
  CHECK(result.error()[0].message.find("none.yaml") != std::string::npos);
}

TEST_CASE("A file that includes itself, at whatever distance, is a fault") {
  const Directory directory;
  directory.write("b.yaml", "include: [config.yaml]\n");
  CHECK_FALSE(load_file(directory.write("self.yaml", "include: [self.yaml]\n")).has_value());
  CHECK_FALSE(load_file(directory.write("config.yaml", "include: [b.yaml]\n")).has_value());
}

TEST_CASE("Includes inside includes are bounded") {
  const Directory directory;
  for (std::size_t i = 0; i <= kMaxIncludeDepth + 1; ++i) {
    directory.write("f" + std::to_string(i) + ".yaml",
                    "include: [f" + std::to_string(i + 1) + ".yaml]\n");
  }
  directory.write("f" + std::to_string(kMaxIncludeDepth + 2) + ".yaml", kModel);
  const auto result = load_file(directory.path() / "f0.yaml");
  REQUIRE_FALSE(result.has_value());
  CHECK(result.error()[0].message.find("inside each other") != std::string::npos);
}

TEST_CASE(
    "A configuration that is missing, a directory or too large is a fault, not an exception") {
  const Directory directory;
  CHECK_FALSE(load_file(directory.path() / "none.yaml").has_value());
  CHECK_FALSE(load_file(directory.path()).has_value());
  const auto large = directory.write("large.yaml", "#" + std::string(kMaxFileBytes, 'x'));
  const auto result = load_file(large);
  REQUIRE_FALSE(result.has_value());
  CHECK(result.error()[0].message.find("16 MiB") != std::string::npos);
}

TEST_CASE("A file of exactly the largest size is read") {
  const Directory directory;
  std::string text(kModel);
  text += "#" + std::string(kMaxFileBytes - text.size() - 1, 'x');
  CHECK(load_file(directory.write("largest.yaml", text)).has_value());
}

TEST_CASE("providers.json beside the configuration adds a provider; a named one is taken instead") {
  const Directory directory;
  directory.write("providers.json",
                  R"({"acme": {"base_url": "https://acme.test/v1", "api_key_env": "ACME_KEY"}})");
  const auto other = directory.write(
      "other.json",
      R"({"acme": {"base_url": "https://other.test/v1", "api_key_env": "ACME_KEY"}})");
  Sources sources;
  sources.environment = {{"ACME_KEY", "k"}};
  sources.config_file = directory.write(
      "config.yaml", "model_list: [{model_name: m, litellm_params: {model: acme/one}}]\n");
  CHECK(testing::only_deployment(*load(sources)).origin.host == "acme.test");
  sources.providers_file = other;
  CHECK(testing::only_deployment(*load(sources)).origin.host == "other.test");
  sources.providers_file = directory.path() / "none.json";
  CHECK_FALSE(load(sources).has_value());
}

}  // namespace
}  // namespace spillway::config
