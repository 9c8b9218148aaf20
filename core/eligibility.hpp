// Which deployments of a group may take a request at all, whatever their health: those that offer
// its endpoint, that its tags allow, and whose window it is not known to exceed.
//
// Tags mean what they mean in LiteLLM: a tagged request goes to deployments with one of its tags
// (or with all, if so configured) and, when none of these can take it, to those tagged "default";
// an untagged one goes to those tagged "default" if there are any, else to all.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "core/config.hpp"
#include "core/request_options.hpp"

namespace spillway {

class Eligibility {
 public:
  Eligibility(const Config& config, const ModelMatch& model, const RequestTraits& traits);

  // Why nobody may take the request.
  enum class Closed : std::uint8_t { by_endpoint, by_tags, by_window };
  std::optional<Closed> closed() const { return closed_; }

  bool admits(DeploymentIndex deployment) const;
  // The model that `refused` serves (named `upstream_model` there) found the request too long: the
  // same model of the same provider at the same address would again, unless its declared window is
  // larger.
  void bar_model(const Deployment& refused, const std::string& upstream_model);

  // Everybody in question: the group's usable deployments, or the one called by its id.
  std::span<const DeploymentIndex> members() const { return members_; }
  // Those that are not asked, and those asked only when none of the others can be.
  std::span<const DeploymentIndex> barred() const { return barred_; }
  std::span<const DeploymentIndex> reserve() const { return reserve_; }

 private:
  bool offers(DeploymentIndex deployment) const;
  bool barred(DeploymentIndex deployment) const;
  void sort_by_tags();
  void bar_small_windows();
  void close_if_empty(Closed reason);

  const Config* config_;
  const RequestTraits* traits_;
  std::vector<std::string> captures_;
  std::span<const DeploymentIndex> members_;
  std::vector<DeploymentIndex> barred_;
  std::vector<DeploymentIndex> reserve_;
  std::optional<Closed> closed_;
};

}  // namespace spillway
