#include "config/document.hpp"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <utility>
#include <vector>

#include "config/bounds.hpp"
#include "config/json_reader.hpp"
#include "config/yaml_reader.hpp"

namespace spillway::config {

namespace {

namespace fs = std::filesystem;

constexpr std::size_t kReadStep = 64 * 1024;

class Includer {
 public:
  explicit Includer(Report& report) : report_(report) {}

  // Replaces the `include` of `root`, which was read from `directory`, by what the files hold.
  void merge_includes(Node& root, const fs::path& directory) {
    const Node* include = root.find("include");
    if (include == nullptr) return;
    const Node wanted = *include;
    std::erase_if(root.members, [](const Member& member) { return member.key == "include"; });
    if (wanted.kind == NodeKind::null) return;
    const std::vector<Node> single{wanted};
    for (const Node& item : wanted.kind == NodeKind::sequence ? wanted.items : single) {
      if (item.kind != NodeKind::scalar) {
        report_.fault(item.place, "include", "must be a list of file names");
      } else {
        include_file(root, item, directory);
      }
    }
  }

  std::vector<fs::path>& chain() { return chain_; }

 private:
  void include_file(Node& root, const Node& item, const fs::path& directory) {
    const fs::path path =
        fs::path(item.text).is_absolute() ? fs::path(item.text) : directory / item.text;
    std::error_code ignored;
    const fs::path canonical = fs::weakly_canonical(path, ignored);
    if (std::find(chain_.begin(), chain_.end(), canonical) != chain_.end()) {
      return report_.fault(item.place, "include", fmt::format("{} includes itself", item.text));
    }
    if (chain_.size() > kMaxIncludeDepth || ++included_ > kMaxIncludes) {
      return report_.fault(item.place, "include",
                           fmt::format("more than {} files, or more than {} inside each other",
                                       kMaxIncludes, kMaxIncludeDepth));
    }
    report_.depends_on(path);
    const auto text = read_text(path);
    if (!text) {
      return report_.fault(item.place, "include",
                           fmt::format("{}: {}", path.string(), text.error()));
    }
    auto tree = read_tree(*text, report_.add_file(path.string()), report_);
    if (!tree) return;
    if (tree->kind != NodeKind::map) {
      return report_.fault(tree->place, "", "an included file must hold a map");
    }
    chain_.push_back(canonical);
    merge_includes(*tree, path.parent_path());
    chain_.pop_back();
    for (Member& member : tree->members) merge_member(root, std::move(member));
  }

  void merge_member(Node& root, Member member) {
    const auto same = std::find_if(root.members.begin(), root.members.end(),
                                   [&](const Member& other) { return other.key == member.key; });
    if (same == root.members.end()) {
      root.members.push_back(std::move(member));
    } else if (same->value.kind == NodeKind::sequence && member.value.kind == NodeKind::sequence) {
      std::move(member.value.items.begin(), member.value.items.end(),
                std::back_inserter(same->value.items));
    } else {
      report_.warn(member.place, member.key,
                   fmt::format("replaces the section of {} line {}, because this file is included",
                               report_.file_name(same->place.file), same->place.line));
      *same = std::move(member);
    }
  }

  Report& report_;
  std::vector<fs::path> chain_;
  std::size_t included_ = 0;
};

class File {
 public:
  explicit File(int descriptor) : descriptor_(descriptor) {}
  ~File() {
    if (is_open()) ::close(descriptor_);
  }
  File(const File&) = delete;
  File& operator=(const File&) = delete;
  bool is_open() const { return descriptor_ >= 0; }
  int descriptor() const { return descriptor_; }

 private:
  int descriptor_;
};

std::string why_not_read(int error) {
  if (error == ENOENT || error == ENOTDIR) return "does not exist";
  if (error == EACCES) return "may not be read by the user that this program runs as";
  if (error == ENXIO) return "is not a regular file";  // sockets cannot even be opened
  return std::string("cannot be read: ") + std::strerror(error);
}

bool starts_as_json(std::string_view text) {
  const std::size_t first = text.find_first_not_of(" \t\r\n\xEF\xBB\xBF");
  return first != std::string_view::npos && text[first] == '{';
}

}  // namespace

// Opening waits for nobody: what has no other end yet (a FIFO) is looked at, and refused.
std::expected<std::string, std::string> read_text(const fs::path& path) {
  const File file(::open(path.c_str(), O_RDONLY | O_NONBLOCK | O_NOCTTY | O_CLOEXEC));
  if (!file.is_open()) return std::unexpected(why_not_read(errno));
  struct stat about {};
  if (::fstat(file.descriptor(), &about) != 0) return std::unexpected(why_not_read(errno));
  if (S_ISDIR(about.st_mode)) return std::unexpected("is a directory");
  if (!S_ISREG(about.st_mode)) return std::unexpected(why_not_read(ENXIO));
  // By steps: the bound is far above what most files hold.
  std::string text;
  for (std::size_t step = kReadStep; text.size() <= kMaxFileBytes; step *= 2) {
    const std::size_t begin = text.size();
    text.resize(std::min(begin + step, kMaxFileBytes + 1));
    const auto got = ::read(file.descriptor(), text.data() + begin, text.size() - begin);
    if (got < 0) return std::unexpected(why_not_read(errno));
    text.resize(begin + static_cast<std::size_t>(got));
    if (got == 0) return text;
  }
  return std::unexpected(fmt::format("is larger than {} MiB", kMaxFileBytes / 1024 / 1024));
}

std::optional<Node> read_tree(std::string_view text, std::uint32_t file, Report& report) {
  if (text.size() > kMaxFileBytes) {
    report.fault({.file = file}, "",
                 fmt::format("is larger than {} MiB", kMaxFileBytes / 1024 / 1024));
    return std::nullopt;
  }
  if (report.file_name(file).ends_with(".json")) return read_json(text, file, report);
  if (starts_as_json(text)) {
    // YAML in flow style starts with a brace as well, so only text that is JSON is read as JSON.
    Report attempt;
    while (attempt.add_file(report.file_name(file)) < file) continue;  // places carry the number
    auto tree = read_json(text, file, attempt);
    if (tree && !attempt.has_faults()) return tree;
    if (tree) return read_json(text, file, report);
  }
  return read_yaml(text, file, report);
}

std::optional<Node> read_document(std::string_view text, std::string_view name,
                                  const fs::path& directory, Report& report) {
  auto root = read_tree(text, report.add_file(std::string(name)), report);
  if (!root) return std::nullopt;
  if (root->kind == NodeKind::null) root->kind = NodeKind::map;
  if (root->kind != NodeKind::map) {
    report.fault(root->place, "", "the configuration must be a map of sections such as model_list");
    return std::nullopt;
  }
  Includer includer(report);
  std::error_code ignored;
  includer.chain().push_back(fs::weakly_canonical(directory / fs::path(name).filename(), ignored));
  includer.merge_includes(*root, directory);
  assign_paths(*root, "");
  return root;
}

}  // namespace spillway::config
